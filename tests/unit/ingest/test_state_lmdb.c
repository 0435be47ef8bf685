/* ingest/stream/state_lmdb: changes of several tables land in their own, deletions first or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/stream/state_lmdb.h"
#include "schemas/error.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/tabiji-lmdb-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static struct state_lmdb *open_store(const char *format)
{
    struct state_lmdb *store = NULL;
    const struct state_lmdb_options options = {.fsync_off = true, .format = format};
    assert_int_equal(state_lmdb_open(&store, dir, &options), 0);
    return store;
}

static void apply(struct state_lmdb *store, const struct state_change *changes, size_t count)
{
    MDB_txn *txn;
    assert_int_equal(mdb_txn_begin(state_lmdb_env(store), NULL, 0, &txn), 0);
    assert_int_equal(state_lmdb_apply(store, txn, changes, count), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
}

#define KEY(letter) STR(#letter "---------------")

static int get(struct state_lmdb *store, enum table table, struct str key)
{
    struct str value;
    struct state_backend *backend = state_lmdb_backend(store);
    assert_int_equal(state_lmdb_begin(store), 0);
    int r = backend->get(backend, table, key, &value);
    state_lmdb_end(store);
    return r;
}

static void test_apply_table_that_begins_with_a_deletion_keeps_rows_apart(void **state)
{
    (void)state;
    struct state_lmdb *store = open_store("one");
    const struct state_change first[] = {
        {.table = TABLE_GONE, .key = KEY(a), .value = STR("x")},
        {.table = TABLE_TIMELINE, .key = KEY(b), .value = STR("x")},
    };
    const struct state_change second[] = {
        {.table = TABLE_GONE, .key = KEY(c), .value = STR("x")},
        {.table = TABLE_TIMELINE, .key = KEY(b), .deleted = true},
        {.table = TABLE_TIMELINE, .key = KEY(d), .value = STR("x")},
        {.table = TABLE_SESSION, .key = KEY(e), .deleted = true},
        {.table = TABLE_SESSION, .key = KEY(f), .value = STR("x")},
    };
    apply(store, first, 2);
    apply(store, second, 5);
    assert_int_equal(get(store, TABLE_GONE, KEY(a)), 0);
    assert_int_equal(get(store, TABLE_GONE, KEY(c)), 0);
    assert_int_equal(get(store, TABLE_TIMELINE, KEY(b)), STATE_ABSENT);
    assert_int_equal(get(store, TABLE_TIMELINE, KEY(d)), 0);
    assert_int_equal(get(store, TABLE_GONE, KEY(d)), STATE_ABSENT);
    assert_int_equal(get(store, TABLE_SESSION, KEY(f)), 0);
    assert_int_equal(get(store, TABLE_TIMELINE, KEY(f)), STATE_ABSENT);
    state_lmdb_close(&store);
    assert_null(store);
}

static void test_open_of_another_format_is_refused(void **state)
{
    (void)state;
    struct state_lmdb *store = open_store("one");
    state_lmdb_close(&store);
    const struct state_lmdb_options options = {.fsync_off = true, .format = "two"};
    assert_int_equal(state_lmdb_open(&store, dir, &options), ERR_STATE);
    assert_null(store);
}

/* ---- what is surely not there ---- */

#define KNOWN_ROWS 30000 /* more than opening, or one small change, reads */

static struct str numbered_key(uint8_t key[GROUP_SIZE + 4], uint32_t number)
{
    memset(key, 0, GROUP_SIZE);
    memcpy(key, &number, sizeof number); /* a group each */
    memcpy(key + GROUP_SIZE, &number, sizeof number);
    return str_make(key, GROUP_SIZE + 4);
}

static void put_numbered_rows(struct state_lmdb *store, uint32_t first, uint32_t count)
{
    static uint8_t keys[KNOWN_ROWS][GROUP_SIZE + 4];
    static struct state_change changes[KNOWN_ROWS];
    for (uint32_t i = 0; i < count; i++)
        changes[i] = (struct state_change){
            .table = TABLE_SESSION, .key = numbered_key(keys[i], first + i), .value = STR("x")};
    apply(store, changes, count);
}

static size_t count_numbered_rows(struct state_lmdb *store, uint32_t first, uint32_t count)
{
    uint8_t key[GROUP_SIZE + 4];
    size_t found = 0;
    for (uint32_t i = 0; i < count; i++)
        found += get(store, TABLE_SESSION, numbered_key(key, first + i)) == 0;
    return found;
}

/* Groups of which the store says that it has nothing. */
static size_t count_lacked(struct state_lmdb *store, uint32_t first, uint32_t count)
{
    struct state_backend *backend = state_lmdb_backend(store);
    uint8_t key[GROUP_SIZE + 4];
    size_t lacked = 0;
    for (uint32_t i = 0; i < count; i++)
        lacked += backend->lacks(
            backend, TABLE_SESSION, str_make(numbered_key(key, first + i).data, GROUP_SIZE));
    return lacked;
}

static void test_lacks_of_rows_put_is_false_of_others_mostly_true(void **state)
{
    (void)state;
    struct state_lmdb *store = open_store("one");
    put_numbered_rows(store, 0, KNOWN_ROWS);
    assert_int_equal(count_lacked(store, 0, KNOWN_ROWS), 0);
    assert_true(count_lacked(store, KNOWN_ROWS, 10000) > 9000);
    state_lmdb_close(&store);
}

static void test_lacks_after_opening_waits_until_all_keys_are_read(void **state)
{
    (void)state;
    struct state_lmdb *store = open_store("one");
    put_numbered_rows(store, 0, KNOWN_ROWS);
    state_lmdb_close(&store);
    store = open_store("one");
    assert_int_equal(count_lacked(store, KNOWN_ROWS, 1000), 0);
    /* A row that is written again before it was read is known by its being read. */
    uint8_t key[GROUP_SIZE + 4];
    const struct state_change again = {.table = TABLE_SESSION,
        .key = numbered_key(key, KNOWN_ROWS - 1),
        .value = STR("y"),
        .stood = true};
    apply(store, &again, 1);
    uint32_t next = KNOWN_ROWS;
    for (; count_lacked(store, 2 * KNOWN_ROWS, 1000) == 0 && next < 2 * KNOWN_ROWS; next++) {
        put_numbered_rows(store, next, 1);
        assert_int_equal(count_numbered_rows(store, next - 100, 101), 101);
    }
    assert_true(next < KNOWN_ROWS + 100);
    assert_int_equal(count_numbered_rows(store, 0, next), next);
    assert_true(count_lacked(store, 2 * KNOWN_ROWS, 1000) > 900);
    state_lmdb_close(&store);
}

static void test_lacks_where_another_writes_is_never_true(void **state)
{
    (void)state;
    struct state_lmdb *store = open_store("one"), *reader = NULL;
    state_lmdb_close(&store);
    const struct state_lmdb_options options = {.read_only = true, .format = "one"};
    assert_int_equal(state_lmdb_open(&reader, dir, &options), 0);
    assert_int_equal(count_lacked(reader, 0, 1000), 0);
    state_lmdb_close(&reader);
}

/* ---- large values ---- */

#define LARGE_ROWS 200
#define LARGE_SIZE 3000

struct large_row {
    uint8_t key[GROUP_SIZE + 4];
    char value[LARGE_SIZE];
};

static struct state_change large_change(struct large_row *row, uint32_t number, int version)
{
    memset(row->key, 'k', sizeof row->key);
    memcpy(row->key + GROUP_SIZE, &number, sizeof number);
    memset(row->value, 'a' + version, sizeof row->value);
    memcpy(row->value, &number, sizeof number);
    return (struct state_change){.table = TABLE_TIMELINE,
        .key = str_make(row->key, sizeof row->key),
        .value = str_make(row->value, sizeof row->value)};
}

/* Writes rows from `first` on, every `step`th. */
static void put_large_rows(struct state_lmdb *store, uint32_t first, uint32_t step, int version)
{
    static struct large_row rows[LARGE_ROWS];
    struct state_change changes[LARGE_ROWS];
    size_t count = 0;
    for (uint32_t i = first; i < LARGE_ROWS; i += step, count++)
        changes[count] = large_change(&rows[count], i, version);
    apply(store, changes, count);
}

static void expect_large_row(struct state_lmdb *store, uint32_t number, int version)
{
    struct large_row row;
    struct state_change change = large_change(&row, number, version);
    struct state_backend *backend = state_lmdb_backend(store);
    struct str value;
    assert_int_equal(state_lmdb_begin(store), 0);
    assert_int_equal(backend->get(backend, TABLE_TIMELINE, change.key, &value), 0);
    assert_true(str_equal(value, change.value));
    state_lmdb_end(store);
}

/* Bytes of all chunks. */
static size_t heap_bytes(struct state_lmdb *store)
{
    MDB_txn *txn;
    MDB_dbi chunks;
    MDB_cursor *cursor;
    MDB_val key, value;
    size_t bytes = 0;
    assert_int_equal(mdb_txn_begin(state_lmdb_env(store), NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "heap", 0, &chunks), 0);
    assert_int_equal(mdb_cursor_open(txn, chunks, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
        bytes += value.mv_size;
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return bytes;
}

static void test_apply_large_values_come_back_and_their_old_bytes_go(void **state)
{
    (void)state;
    struct state_lmdb *store = open_store("one");
    put_large_rows(store, 0, 1, 0);
    size_t whole = heap_bytes(store);
    assert_true(whole > LARGE_ROWS * LARGE_SIZE);
    for (int version = 1; version < 20; version++)
        put_large_rows(store, (uint32_t)version % 3, 3, version); /* chunks become sparse */
    assert_true(heap_bytes(store) < 2 * whole + (64 << 10));
    for (uint32_t i = 0; i < LARGE_ROWS; i++)
        expect_large_row(store, i, i % 3 == 0 ? 18 : i % 3 == 1 ? 19 : 17);
    state_lmdb_close(&store);
}

static void test_apply_deleted_large_values_leave_nothing(void **state)
{
    (void)state;
    struct state_lmdb *store = open_store("one");
    put_large_rows(store, 0, 1, 0);
    struct large_row row;
    for (uint32_t i = 0; i < LARGE_ROWS; i++) {
        struct state_change change = large_change(&row, i, 0);
        change.deleted = true;
        change.value = (struct str){0};
        apply(store, &change, 1);
    }
    assert_int_equal(heap_bytes(store), 0);
    state_lmdb_close(&store);
}

/* As a changelog is replayed: a key may come twice. */
static void test_apply_one_key_twice_keeps_the_last(void **state)
{
    (void)state;
    struct state_lmdb *store = open_store("one");
    struct large_row rows[2];
    struct state_change changes[2] = {
        large_change(&rows[0], 7, 0),
        large_change(&rows[1], 7, 1),
    };
    apply(store, changes, 2);
    expect_large_row(store, 7, 1);
    assert_true(heap_bytes(store) < 3 * LARGE_SIZE);
    state_lmdb_close(&store);
}

static void test_clear_leaves_nothing(void **state)
{
    (void)state;
    struct state_lmdb *store = open_store("one");
    MDB_txn *txn;
    put_large_rows(store, 0, 1, 0);
    assert_int_equal(mdb_txn_begin(state_lmdb_env(store), NULL, 0, &txn), 0);
    assert_int_equal(state_lmdb_clear(store, txn), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    assert_int_equal(heap_bytes(store), 0);
    struct large_row row;
    assert_int_equal(get(store, TABLE_TIMELINE, large_change(&row, 0, 0).key), STATE_ABSENT);
    state_lmdb_close(&store);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(test_apply_table_that_begins_with_a_deletion_keeps_rows_apart),
        TEST(test_apply_large_values_come_back_and_their_old_bytes_go),
        TEST(test_apply_deleted_large_values_leave_nothing),
        TEST(test_apply_one_key_twice_keeps_the_last),
        TEST(test_clear_leaves_nothing),
        TEST(test_open_of_another_format_is_refused),
        TEST(test_lacks_of_rows_put_is_false_of_others_mostly_true),
        TEST(test_lacks_after_opening_waits_until_all_keys_are_read),
        TEST(test_lacks_where_another_writes_is_never_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
