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
        {TABLE_GONE, KEY(a), false, STR("x")},
        {TABLE_TIMELINE, KEY(b), false, STR("x")},
    };
    const struct state_change second[] = {
        {TABLE_GONE, KEY(c), false, STR("x")},
        {TABLE_TIMELINE, KEY(b), true, {0}},
        {TABLE_TIMELINE, KEY(d), false, STR("x")},
        {TABLE_SESSION, KEY(e), true, {0}},
        {TABLE_SESSION, KEY(f), false, STR("x")},
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

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(test_apply_table_that_begins_with_a_deletion_keeps_rows_apart),
        TEST(test_open_of_another_format_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
