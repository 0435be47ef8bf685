/* Two readings in the order of keys, merged. Invariant: each side stands at a row that the other
 * has not passed yet, or at its end. */
#include "sinks/sqlite/difference.h"

#include "schemas/error.h"
#include "sinks/sqlite/database.h"

struct side {
    sqlite3_stmt *rows;
    bool ended;
    int64_t count;
};

struct merge {
    const char *table;
    struct side before;
    struct side after;
    int key_columns;
    int64_t samples_left;
    difference_fn *on_sample;
    void *context;
};

static int step(struct side *side)
{
    int code = sqlite3_step(side->rows);
    side->ended = code == SQLITE_DONE;
    side->count += code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : database_error(code);
}

/* NULL < integer < text < blob, as SQLite orders. Source: SQLite, datatype3.html, 4.1. */
static int rank_of(sqlite3_stmt *row, int column)
{
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL:
        return 0;
    case SQLITE_INTEGER:
        return 1;
    case SQLITE_TEXT:
        return 2;
    default:
        return 3;
    }
}

static int compare_bytes(struct str a, struct str b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_values(sqlite3_stmt *a, sqlite3_stmt *b, int column)
{
    int ranks = rank_of(a, column) - rank_of(b, column);
    if (ranks || rank_of(a, column) == 0)
        return ranks;
    if (rank_of(a, column) == 1) {
        int64_t x = sqlite3_column_int64(a, column), y = sqlite3_column_int64(b, column);
        return (x > y) - (x < y);
    }
    return compare_bytes(column_text(a, column), column_text(b, column));
}

static int compare_keys(const struct merge *merge)
{
    if (merge->before.ended || merge->after.ended)
        return merge->before.ended - merge->after.ended;
    int order = 0;
    for (int i = 0; order == 0 && i < merge->key_columns; i++)
        order = compare_values(merge->before.rows, merge->after.rows, i);
    return order;
}

/* ---- samples ---- */

static int append_key(const struct merge *merge, sqlite3_stmt *row, struct buf *out)
{
    int r = 0;
    for (int i = 0; r == 0 && i < merge->key_columns; i++) {
        r = buf_append_str(out, str_of(i ? "," : "["));
        if (r == 0)
            r = digest_value_text(out, row, i);
    }
    return r < 0 ? r : buf_append_str(out, STR("]"));
}

static int append_column(const struct merge *merge, int column, struct buf *out)
{
    int r = buf_appendf(
        out, "%s\"%s\":[", out->size ? "," : "{", sqlite3_column_name(merge->before.rows, column));
    if (r == 0)
        r = digest_value_text(out, merge->before.rows, column);
    if (r == 0)
        r = buf_append_str(out, STR(","));
    if (r == 0)
        r = digest_value_text(out, merge->after.rows, column);
    return r < 0 ? r : buf_append_str(out, STR("]"));
}

static int append_columns(const struct merge *merge, struct buf *out)
{
    int r = 0;
    for (int i = merge->key_columns; r == 0 && i < sqlite3_column_count(merge->before.rows); i++)
        if (compare_values(merge->before.rows, merge->after.rows, i) != 0)
            r = append_column(merge, i, out);
    return r < 0 ? r : buf_append_str(out, STR("}"));
}

static int tell(struct merge *merge, enum difference_kind kind)
{
    CLEANUP(buf_free) struct buf key = {0};
    CLEANUP(buf_free) struct buf columns = {0};
    if (!merge->on_sample || merge->samples_left == 0)
        return 0;
    merge->samples_left--;
    int r =
        append_key(merge, kind == DIFFERENCE_COME ? merge->after.rows : merge->before.rows, &key);
    if (r == 0 && kind == DIFFERENCE_CHANGED)
        r = append_columns(merge, &columns);
    const struct difference_sample sample = {merge->table, kind, buf_str(&key), buf_str(&columns)};
    return r < 0 ? r : merge->on_sample(merge->context, &sample);
}

/* ---- the merge ---- */

static bool same_row(const struct merge *merge)
{
    for (int i = merge->key_columns; i < sqlite3_column_count(merge->before.rows); i++)
        if (compare_values(merge->before.rows, merge->after.rows, i) != 0)
            return false;
    return true;
}

static int merge_rows(struct merge *merge, struct difference_table *out)
{
    int r = step(&merge->before);
    if (r == 0)
        r = step(&merge->after);
    while (r == 0 && !(merge->before.ended && merge->after.ended)) {
        int order = compare_keys(merge);
        if (order < 0) {
            out->gone++;
            r = tell(merge, DIFFERENCE_GONE);
        } else if (order > 0) {
            out->come++;
            r = tell(merge, DIFFERENCE_COME);
        } else if (!same_row(merge)) {
            out->changed++;
            r = tell(merge, DIFFERENCE_CHANGED);
        }
        if (r == 0 && order <= 0)
            r = step(&merge->before);
        if (r == 0 && order >= 0)
            r = step(&merge->after);
    }
    out->before = merge->before.count;
    out->after = merge->after.count;
    return r;
}

static int compare_table(struct merge *merge, sqlite3 *before, sqlite3 *after, size_t table,
    struct difference_table *out)
{
    *out = (struct difference_table){.name = digest_table_name(table)};
    merge->table = out->name;
    merge->before = merge->after = (struct side){.rows = NULL};
    int r = digest_select(before, table, &merge->before.rows, &merge->key_columns);
    if (r == 0)
        r = digest_select(after, table, &merge->after.rows, &merge->key_columns);
    if (r == 0 &&
        sqlite3_column_count(merge->before.rows) != sqlite3_column_count(merge->after.rows))
        r = ERR_STATE; /* of different builds */
    if (r == 0)
        r = merge_rows(merge, out);
    sqlite3_finalize(merge->before.rows);
    sqlite3_finalize(merge->after.rows);
    return r;
}

int difference_make(sqlite3 *before, sqlite3 *after, int64_t samples_max, difference_fn *on_sample,
    void *context, struct difference *out)
{
    struct difference made = {.tables_count = digest_tables()};
    int r = database_run(before, "BEGIN");
    if (r < 0)
        return r;
    r = database_run(after, "BEGIN");
    for (size_t i = 0; r == 0 && i < made.tables_count; i++) {
        struct difference_table *table = &made.tables[i];
        struct merge merge = {
            .samples_left = samples_max, .on_sample = on_sample, .context = context};
        r = compare_table(&merge, before, after, i, table);
        made.rows += table->gone + table->come + table->changed;
    }
    sqlite3_exec(before, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_exec(after, "ROLLBACK", NULL, NULL, NULL);
    if (r == 0)
        *out = made;
    return r;
}
