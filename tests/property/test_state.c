/*
 * A task's state over LMDB against a plain model: random puts, deletes, gets and scans in batches
 * that are committed or dropped. What is read, what counts as changed, what the store then holds
 * and that slices stay unchanged within their batch.
 */
#include <string.h>
#include <unistd.h>

#include "ingest/stream/state_lmdb.h"
#include "schemas/error.h"
#include "tests/property/random.h"

#define CASES 40
#define BATCHES 60
#define OPERATIONS_MAX 120
#define TABLES 2
#define GROUPS 3
#define SUFFIXES 14 /* 0: none; else "s", "ss" and so on, alternating with "t..." */
#define ROWS (TABLES * GROUPS * SUFFIXES)
#define ABSENT (-1)
#define HELD_MAX 64
#define KEY_ROOM 64
#define VALUE_ROOM 400 /* large ones are kept beside the table */

static const enum table tables[TABLES] = {TABLE_RECORD, TABLE_TIMELINE};

struct row {
    int64_t committed;
    int64_t now;
};

/* A slice that a read gave, and what it said then. */
struct held {
    struct str slice;
    int64_t value;
};

struct model {
    struct random *random;
    struct state_lmdb *store;
    struct state *state;
    struct row rows[ROWS];
    struct held held[HELD_MAX];
    size_t held_count;
    uint64_t operations, scans, changes;
};

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

static enum table row_table(size_t row)
{
    return tables[row / (GROUPS * SUFFIXES)];
}

static struct str row_key(size_t row, char key[KEY_ROOM])
{
    size_t suffix = row % SUFFIXES, size = (suffix + 1) / 2;
    memset(key, (int)('a' + row / SUFFIXES % GROUPS), GROUP_SIZE);
    memset(key + GROUP_SIZE, suffix % 2 ? 's' : 't', size);
    return str_make(key, GROUP_SIZE + size);
}

/* Values of every size from 0, the same number always the same bytes. */
static struct str value_bytes(int64_t value, char bytes[VALUE_ROOM])
{
    memset(bytes, (int)('0' + value % 10), VALUE_ROOM);
    return str_make(bytes, (size_t)(value * 7 % VALUE_ROOM));
}

static bool holds_value(struct str slice, int64_t value)
{
    char bytes[VALUE_ROOM];
    return str_equal(slice, value_bytes(value, bytes));
}

static void hold(struct model *model, struct str slice, int64_t value)
{
    must(holds_value(slice, value), "a read gives what was put");
    if (model->held_count < HELD_MAX)
        model->held[model->held_count++] = (struct held){slice, value};
}

static void read_row(struct model *model, size_t row)
{
    char key[KEY_ROOM];
    struct str value = STR("untouched");
    int r = state_get(model->state, row_table(row), row_key(row, key), &value);
    if (model->rows[row].now == ABSENT) {
        must(r == STATE_ABSENT && str_equal(value, STR("untouched")), "an absent row is absent");
        return;
    }
    must(r == 0, "a row is found");
    hold(model, value, model->rows[row].now);
}

static void put_row(struct model *model, size_t row)
{
    char key[KEY_ROOM], bytes[VALUE_ROOM];
    struct row *at = &model->rows[row];
    bool back = at->committed != ABSENT && random_once_in(model->random, 3);
    int64_t value = back ? at->committed : (int64_t)random_below(model->random, 300);
    int r = state_put(model->state, row_table(row), row_key(row, key), value_bytes(value, bytes));
    must(r == 0, "a put succeeds");
    memset(bytes, '!', sizeof bytes); /* the state has its own copy */
    memset(key, '!', sizeof key);
    at->now = value;
}

static void delete_row(struct model *model, size_t row)
{
    char key[KEY_ROOM];
    must(state_delete(model->state, row_table(row), row_key(row, key)) == 0, "a delete succeeds");
    model->rows[row].now = ABSENT;
}

static int compare_rows(const void *a, const void *b)
{
    char x[KEY_ROOM], y[KEY_ROOM];
    size_t i = *(const size_t *)a, k = *(const size_t *)b;
    if (row_table(i) != row_table(k))
        return row_table(i) < row_table(k) ? -1 : 1;
    return str_compare(row_key(i, x), row_key(k, y));
}

/* All rows in (table, key) order. */
static void sort_rows(size_t order[ROWS])
{
    for (size_t i = 0; i < ROWS; i++)
        order[i] = i;
    qsort(order, ROWS, sizeof *order, compare_rows);
}

static void scan_rows(struct model *model, size_t row)
{
    char prefix_bytes[KEY_ROOM], key_bytes[KEY_ROOM];
    struct str prefix = row_key(row, prefix_bytes), key, value;
    size_t order[ROWS];
    struct state_scan *scan;
    must(state_scan_begin(model->state, row_table(row), prefix, &scan) == 0, "a scan begins");
    sort_rows(order);
    for (size_t i = 0; i < ROWS; i++) {
        struct str wanted = row_key(order[i], key_bytes);
        if (row_table(order[i]) != row_table(row) || !str_starts_with(wanted, prefix) ||
            model->rows[order[i]].now == ABSENT)
            continue;
        must(state_scan_next(scan, &key, &value) == 0, "a scan shows every row");
        must(str_equal(key, wanted), "a scan shows rows in order");
        hold(model, value, model->rows[order[i]].now);
    }
    must(state_scan_next(scan, &key, &value) == STATE_ABSENT, "a scan ends");
    must(state_scan_next(scan, &key, &value) == STATE_ABSENT, "an ended scan stays ended");
    state_scan_end(&scan);
    model->scans++;
}

static void check_changes(struct model *model, const struct state_change *changes, size_t count)
{
    size_t order[ROWS], at = 0;
    char key[KEY_ROOM];
    sort_rows(order);
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &model->rows[order[i]];
        bool same = row->now == row->committed;
        /* Two numbers may be the same bytes. */
        char now[VALUE_ROOM];
        if (!same && row->now != ABSENT && row->committed != ABSENT)
            same = holds_value(value_bytes(row->now, now), row->committed);
        if (same)
            continue;
        must(at < count, "every changed row is a change");
        const struct state_change *change = &changes[at++];
        must(change->table == row_table(order[i]), "changes are in the order of tables");
        must(str_equal(change->key, row_key(order[i], key)), "changes are in the order of keys");
        must(change->deleted == (row->now == ABSENT), "a deletion is one");
        must(change->deleted ? change->value.size == 0 : holds_value(change->value, row->now),
            "a change has the last value");
    }
    must(at == count, "nothing else is a change");
    model->changes += count;
}

static void end_batch(struct model *model)
{
    const struct state_change *changes;
    size_t count;
    bool commit = !random_once_in(model->random, 4);
    must(state_changes(model->state, &changes, &count) == 0, "changes are told");
    check_changes(model, changes, count);
    for (size_t i = 0; i < model->held_count; i++)
        must(holds_value(model->held[i].slice, model->held[i].value), "slices stay unchanged");
    model->held_count = 0;
    if (commit) {
        MDB_txn *txn;
        must(mdb_txn_begin(state_lmdb_env(model->store), NULL, 0, &txn) == 0, "a transaction");
        must(state_lmdb_apply(model->store, txn, changes, count) == 0, "changes are applied");
        must(mdb_txn_commit(txn) == 0, "a commit");
    }
    for (size_t i = 0; i < ROWS; i++)
        if (commit)
            model->rows[i].committed = model->rows[i].now;
        else
            model->rows[i].now = model->rows[i].committed;
    state_reset(model->state);
    state_lmdb_end(model->store);
}

static void run_batch(struct model *model)
{
    size_t operations = random_below(model->random, OPERATIONS_MAX);
    must(state_lmdb_begin(model->store) == 0, "a snapshot");
    for (size_t i = 0; i < operations; i++) {
        size_t row = random_below(model->random, ROWS), kind = random_below(model->random, 10);
        if (kind < 4)
            put_row(model, row);
        else if (kind < 6)
            delete_row(model, row);
        else if (kind < 9)
            read_row(model, row);
        else
            scan_rows(model, row);
    }
    model->operations += operations;
    end_batch(model);
}

static void run_case(struct random *random, struct model *model)
{
    char dir[] = "/tmp/tabiji-state-XXXXXX", path[KEY_ROOM];
    const struct state_lmdb_options options = {.fsync_off = true, .format = "property"};
    must(mkdtemp(dir) != NULL, "a directory");
    model->random = random;
    for (size_t i = 0; i < ROWS; i++)
        model->rows[i] = (struct row){ABSENT, ABSENT};
    must(state_lmdb_open(&model->store, dir, &options) == 0, "a store");
    must(state_new(state_lmdb_backend(model->store), &model->state) == 0, "a state");
    for (int i = 0; i < BATCHES; i++)
        run_batch(model);
    state_free(&model->state);
    state_lmdb_close(&model->store);
    static const char *const files[] = {"/data.mdb", "/lock.mdb", ""};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s%s", dir, files[i]);
        must(remove(path) == 0, "the directory goes");
    }
}

int main(void)
{
    struct random random = random_begin();
    static struct model model;
    for (int i = 0; i < CASES; i++)
        run_case(&random, &model);
    must(model.scans > CASES && model.changes > CASES * BATCHES, "the cases reached something");
    printf("%llu operations, %llu scans, %llu changes\n", (unsigned long long)model.operations,
        (unsigned long long)model.scans, (unsigned long long)model.changes);
    return 0;
}
