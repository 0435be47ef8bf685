/*
 * What another build has written. The log keeps its segments as they are, with the positions where
 * other schemas begin; the state is of one build, and rows of an older one are rewritten when it is
 * opened.
 *
 * Invariants of the state's `meta`:
 *  I1 "writers" is the text of the schemas of all rows, except while
 *  I2 "upgrade" is there: then rows up to "upgraded" (table, key) are of the schemas in "upgrade",
 *     those after it of "writers". Each transaction moves rows and "upgraded" together; the last
 * one puts "writers" and takes the other two away.
 */
#include <stdlib.h>

#include "ingest/stream/fault.h"
#include "ingest/stream/local_private.h"
#include "ingest/stream/row_schema.h"
#include "schemas/error.h"

#ifndef LOCAL_UPGRADE_ROWS /* rows looked at in a transaction; tests have few */
#define LOCAL_UPGRADE_ROWS ((size_t)20000)
#endif
#define UPGRADE_BYTES ((size_t)32 << 20)
#define ERAS_MAX 10000

#define KEY_WRITERS "writers"
#define KEY_UPGRADE "upgrade"
#define KEY_UPGRADED "upgraded"

/* What comes after the tables. */
#define PART_REJECTED TABLE_COUNT
#define PARTS (TABLE_COUNT + 1)

_Static_assert(LOCAL_WHY_SIZE >= WRITERS_WHY_SIZE, "room for the reason");

/* writers_read() that tells the caller of local_open() why. */
static int read_writers(const struct local *local, struct str text, struct writers *out)
{
    char unwanted[WRITERS_WHY_SIZE];
    return writers_read(text, out, local->options.why ? local->options.why : unwanted);
}

/* ---- the log ---- */

static int add_era(struct local *local, int64_t from, struct str text)
{
    struct local_era *eras = realloc(local->eras, (local->eras_count + 1) * sizeof *local->eras);
    if (!eras)
        return ERR_NO_MEMORY;
    local->eras = eras;
    eras[local->eras_count].from = from;
    int r = read_writers(local, text, &eras[local->eras_count].writers);
    local->eras_count += r == 0;
    return r;
}

static int read_eras(struct local *local, MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int r = mdb_cursor_open(txn, local->log_writers, &cursor);
    if (r)
        return state_lmdb_error(r);
    int error = 0;
    while (error == 0 && (r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        bool sound = key.mv_size == 8 && local->eras_count < ERAS_MAX &&
                     (local->eras_count || get_be64(key.mv_data) == 0);
        error = sound ? add_era(local, (int64_t)get_be64(key.mv_data),
                            str_make(value.mv_data, value.mv_size))
                      : ERR_STATE;
    }
    mdb_cursor_close(cursor);
    return error == 0 && r != MDB_NOTFOUND ? state_lmdb_error(r) : error;
}

static int begin_era(struct local *local, MDB_txn *txn, int64_t from)
{
    CLEANUP(buf_free) struct buf text = {0};
    uint8_t position[8];
    int r = writers_text(&text);
    if (r < 0)
        return r;
    put_be64(position, (uint64_t)from);
    MDB_val key = local_val(position, sizeof position), value = local_val(text.data, text.size);
    r = mdb_put(txn, local->log_writers, &key, &value, 0);
    return r ? state_lmdb_error(r) : 0;
}

int local_eras_read(struct local *local, MDB_txn *txn)
{
    int r = read_eras(local, txn);
    size_t last = local->eras_count;
    if (r < 0)
        return r;
    local->own_from = last ? INT64_MAX : 0;
    if (last && local->eras[last - 1].writers.own)
        local->own_from = local->eras[--local->eras_count].from;
    return 0;
}

int local_eras_open(struct local *local, MDB_txn *txn)
{
    int r = read_eras(local, txn);
    if (r < 0)
        return r;
    size_t last = local->eras_count;
    if (last && local->eras[last - 1].writers.own) {
        local->own_from = local->eras[--local->eras_count].from;
        return 0;
    }
    if (last && local->options.keep)
        return ERR_OLDER;
    /* A log that tells of none is new. */
    local->own_from = last ? local->log_end : 0;
    return begin_era(local, txn, local->own_from);
}

const struct writers *local_era(const struct local *local, int64_t position)
{
    if (position >= local->own_from)
        return NULL;
    size_t at = local->eras_count;
    while (at > 0 && local->eras[at - 1].from > position)
        at--;
    check(at > 0);
    const struct writers *writers = &local->eras[at - 1].writers;
    return writers->own ? NULL : writers;
}

int local_translate(struct local *local, const struct writers *writers, struct record *record)
{
    const struct schema_entry *version =
        writers_version(writers, row_schema_of_topic(record->topic));
    if (!version || record->value.size == 0) /* a rejection that is settled has no value */
        return 0;
    struct str value = record->value;
    return translator_value(
        &local->translator, version, value, 0, &local->translated, &record->value);
}

/* ---- the state ---- */

struct upgrade {
    struct local *local;
    struct writers from;
    int part; /* where it goes on: a table or PART_REJECTED, after the key */
    struct buf after;
    uint64_t rows;
    /* of the running transaction: */
    MDB_txn *txn;
    struct arena arena;
    struct state_change *changes;
    size_t count;
    size_t looked_at;
    size_t bytes;
};

/* Copies a row of meta; empty when it is not there. */
static int get_meta(struct local *local, MDB_txn *txn, const char *name, struct buf *out)
{
    MDB_val key = local_val(name, strlen(name)), value;
    int r = mdb_get(txn, state_lmdb_meta(local->store), &key, &value);
    if (r)
        return r == MDB_NOTFOUND ? 0 : state_lmdb_error(r);
    return buf_append(out, value.mv_data, value.mv_size);
}

static int put_meta(struct local *local, MDB_txn *txn, const char *name, struct str text)
{
    MDB_val key = local_val(name, strlen(name)), value = local_val(text.data, text.size);
    int r = mdb_put(txn, state_lmdb_meta(local->store), &key, &value, 0);
    return r ? state_lmdb_error(r) : 0;
}

static int delete_meta(struct local *local, MDB_txn *txn, const char *name)
{
    MDB_val key = local_val(name, strlen(name));
    int r = mdb_del(txn, state_lmdb_meta(local->store), &key, NULL);
    return r && r != MDB_NOTFOUND ? state_lmdb_error(r) : 0;
}

static bool transaction_full(const struct upgrade *upgrade)
{
    return upgrade->looked_at >= LOCAL_UPGRADE_ROWS || upgrade->bytes >= UPGRADE_BYTES;
}

static struct row_schema schema_of(int part, struct str key, size_t size)
{
    if (part == PART_REJECTED)
        return (struct row_schema){.id = row_schema_of_topic(TOPIC_REJECTED)};
    return row_schema((enum table)part, key, size);
}

/* Takes a row among the changes, if an older version wrote it. */
static int translate_row(struct upgrade *upgrade, struct str key, const MDB_val *stored)
{
    struct local *local = upgrade->local;
    struct row_schema row = schema_of(upgrade->part, key, stored->mv_size);
    const struct schema_entry *version = row.id ? writers_version(&upgrade->from, row.id) : NULL;
    struct str value = str_make(stored->mv_data, stored->mv_size);
    if (!version || (upgrade->part == PART_REJECTED && value.size == 0))
        return 0;
    struct state_change *change = &upgrade->changes[upgrade->count];
    int r = 0;
    if (upgrade->part != PART_REJECTED) {
        change->table = (enum table)upgrade->part;
        r = state_lmdb_value(local->store, upgrade->txn, change->table, stored, &value);
    }
    if (r == 0)
        r = arena_dup(&upgrade->arena, key, &change->key);
    if (r == 0)
        r = translator_value(
            &local->translator, version, value, row.begin, &upgrade->arena, &change->value);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    upgrade->bytes += change->value.size;
    upgrade->count++;
    return 0;
}

/* Looks at rows of the part from where it stands. Sets *ended at the part's end. */
static int translate_rows(struct upgrade *upgrade, bool *ended)
{
    struct local *local = upgrade->local;
    MDB_cursor *cursor;
    MDB_val key = local_val(upgrade->after.data, upgrade->after.size), value;
    bool resumed = upgrade->after.size > 0;
    int r = mdb_cursor_open(upgrade->txn,
        upgrade->part == PART_REJECTED ? state_lmdb_extra(local->store, LOCAL_EXTRA_REJECTED)
                                       : state_lmdb_table(local->store, (enum table)upgrade->part),
        &cursor);
    if (r)
        return state_lmdb_error(r);
    r = mdb_cursor_get(cursor, &key, &value, resumed ? MDB_SET_RANGE : MDB_FIRST);
    if (r == 0 && resumed &&
        str_equal(str_make(key.mv_data, key.mv_size), buf_str(&upgrade->after)))
        r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    int error = 0;
    while (r == 0 && error == 0 && !transaction_full(upgrade)) {
        error = translate_row(upgrade, str_make(key.mv_data, key.mv_size), &value);
        buf_clear(&upgrade->after);
        if (error == 0)
            error = buf_append(&upgrade->after, key.mv_data, key.mv_size);
        upgrade->looked_at++;
        if (error == 0)
            r = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    *ended = error == 0 && r == MDB_NOTFOUND;
    return error == 0 && r && r != MDB_NOTFOUND ? state_lmdb_error(r) : error;
}

/* Writes what was translated of one part. */
static int write_rows(struct upgrade *upgrade)
{
    struct local *local = upgrade->local;
    int r = 0;
    if (upgrade->part != PART_REJECTED) {
        r = upgrade->count
                ? state_lmdb_apply(local->store, upgrade->txn, upgrade->changes, upgrade->count)
                : 0;
        upgrade->count = 0;
        return r;
    }
    for (size_t i = 0; r == 0 && i < upgrade->count; i++) {
        const struct state_change *change = &upgrade->changes[i];
        MDB_val key = local_val(change->key.data, change->key.size);
        MDB_val value = local_val(change->value.data, change->value.size);
        r = mdb_put(
            upgrade->txn, state_lmdb_extra(local->store, LOCAL_EXTRA_REJECTED), &key, &value, 0);
    }
    upgrade->count = 0;
    return r ? state_lmdb_error(r) : 0;
}

/* Notes how far it came: where to go on, or that all is done. */
static int note_progress(struct upgrade *upgrade, struct str own)
{
    struct local *local = upgrade->local;
    if (upgrade->part < PARTS) {
        CLEANUP(buf_free) struct buf place = {0};
        const char part = (char)upgrade->part;
        int r = buf_append(&place, &part, 1);
        if (r == 0)
            r = buf_append_str(&place, buf_str(&upgrade->after));
        if (r == 0)
            r = put_meta(local, upgrade->txn, KEY_UPGRADED, buf_str(&place));
        return r < 0 ? r : put_meta(local, upgrade->txn, KEY_UPGRADE, own);
    }
    int r = put_meta(local, upgrade->txn, KEY_WRITERS, own);
    if (r == 0)
        r = delete_meta(local, upgrade->txn, KEY_UPGRADE);
    return r < 0 ? r : delete_meta(local, upgrade->txn, KEY_UPGRADED);
}

static int upgrade_some(struct upgrade *upgrade, struct str own)
{
    int r = 0;
    while (r == 0 && upgrade->part < PARTS && !transaction_full(upgrade)) {
        bool ended = false;
        r = translate_rows(upgrade, &ended);
        if (r == 0)
            r = write_rows(upgrade);
        if (r == 0 && ended) {
            upgrade->part++;
            buf_clear(&upgrade->after);
        }
    }
    if (r == 0)
        r = note_progress(upgrade, own);
    return r < 0 ? r : FAULT_POINT("upgrade_commit");
}

/* One transaction. */
static int upgrade_step(struct upgrade *upgrade, struct str own)
{
    struct local *local = upgrade->local;
    int r = mdb_txn_begin(state_lmdb_env(local->store), NULL, 0, &upgrade->txn);
    if (r)
        return state_lmdb_error(r);
    upgrade->count = upgrade->looked_at = upgrade->bytes = 0;
    r = upgrade_some(upgrade, own);
    if (r < 0)
        mdb_txn_abort(upgrade->txn);
    else
        r = state_lmdb_commit(upgrade->txn);
    arena_reset(&upgrade->arena);
    upgrade->rows += upgrade->looked_at;
    if (r == 0)
        r = FAULT_POINT("upgrade_committed");
    if (r == 0 && local->options.upgrading)
        r = local->options.upgrading(local->options.upgrading_context, upgrade->rows);
    return r;
}

static int upgrade_all(
    struct local *local, const struct writers *from, struct str place, struct str own)
{
    struct upgrade upgrade = {.local = local, .from = *from};
    int r = 0;
    if (place.size) {
        upgrade.part = (uint8_t)place.data[0];
        r = buf_append(&upgrade.after, place.data + 1, place.size - 1);
    }
    upgrade.changes = calloc(LOCAL_UPGRADE_ROWS, sizeof *upgrade.changes);
    if (!upgrade.changes)
        r = ERR_NO_MEMORY;
    while (r == 0 && upgrade.part < PARTS)
        r = upgrade_step(&upgrade, own);
    free(upgrade.changes);
    buf_free(&upgrade.after);
    arena_free(&upgrade.arena);
    return r;
}

/* What meta says of writers. */
struct marks {
    struct buf own;
    struct buf writers;
    struct buf upgrade;
    struct buf upgraded;
};

static void free_marks(struct marks *marks)
{
    buf_free(&marks->own);
    buf_free(&marks->writers);
    buf_free(&marks->upgrade);
    buf_free(&marks->upgraded);
}

static int read_marks(struct local *local, struct marks *out)
{
    MDB_txn *txn;
    int r = mdb_txn_begin(state_lmdb_env(local->store), NULL, MDB_RDONLY, &txn);
    if (r)
        return state_lmdb_error(r);
    r = writers_text(&out->own);
    if (r == 0)
        r = get_meta(local, txn, KEY_WRITERS, &out->writers);
    if (r == 0)
        r = get_meta(local, txn, KEY_UPGRADE, &out->upgrade);
    if (r == 0)
        r = get_meta(local, txn, KEY_UPGRADED, &out->upgraded);
    mdb_txn_abort(txn);
    return r;
}

/* Reads what the rows are of. Returns 1 when all are this build's already. */
static int judge_marks(struct local *local, const struct marks *marks, struct writers *from)
{
    struct writers begun;
    int r = read_writers(local, buf_str(&marks->writers), from);
    if (r == 0 && marks->upgrade.size)
        r = read_writers(local, buf_str(&marks->upgrade), &begun);
    if (r < 0)
        return r;
    if (marks->upgrade.size == 0)
        return str_equal(buf_str(&marks->writers), buf_str(&marks->own)) ? 1 : 0;
    if (str_equal(buf_str(&marks->upgrade), buf_str(&marks->own)))
        return marks->upgraded.size && (uint8_t)marks->upgraded.data[0] < PARTS ? 0 : ERR_STATE;
    if (local->options.why)
        (void)strcpy(local->options.why, "an upgrade that another build began and must finish");
    return ERR_NEWER;
}

/* Nothing that is in the environment has to change. */
static int put_first(struct local *local, struct str own)
{
    MDB_txn *txn;
    int r = mdb_txn_begin(state_lmdb_env(local->store), NULL, 0, &txn);
    if (r)
        return state_lmdb_error(r);
    r = put_meta(local, txn, KEY_WRITERS, own);
    if (r < 0) {
        mdb_txn_abort(txn);
        return r;
    }
    return state_lmdb_commit(txn);
}

int local_upgrade(struct local *local)
{
    CLEANUP(free_marks) struct marks marks = {0};
    struct writers from;
    int r = read_marks(local, &marks);
    if (r == 0 && marks.writers.size == 0)
        return put_first(local, buf_str(&marks.own));
    if (r == 0)
        r = judge_marks(local, &marks, &from);
    if (r)
        return r < 0 ? r : 0;
    /* Only that records came which had no values yet. */
    if (from.own && marks.upgrade.size == 0)
        return put_first(local, buf_str(&marks.own));
    return upgrade_all(local, &from, buf_str(&marks.upgraded), buf_str(&marks.own));
}

int local_check_writers(struct local *local)
{
    CLEANUP(free_marks) struct marks marks = {0};
    struct writers from;
    int r = read_marks(local, &marks);
    if (r == 0 && marks.writers.size == 0)
        return 0; /* just made */
    if (r == 0)
        r = judge_marks(local, &marks, &from);
    if (r == 0 && from.own && marks.upgrade.size == 0)
        return 0;
    return r == 0 ? ERR_OLDER : r < 0 ? r : 0;
}
