/*
 * One SELECT a table, made from the dictionary, in one read transaction.
 */
#include "sinks/sqlite/digest.h"

#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/json.h"
#include "sinks/sqlite/database.h"

/* By name. The order of rows is that of their keys, and each can be read in it without sorting a
 * whole table: credits by way of their conversions. */
#define REVENUE_MINOR "CAST(" DATABASE_SUM_MINOR("revenue_minor") " AS INTEGER)"

static const struct {
    const char *name;
    const char *from; /* the table's own columns are those of t */
    const char *order;
} tables[] = {
    {"attribution_credit",
        "conversion AS o CROSS JOIN attribution_credit AS t ON t.credit_row >= o.credit_first "
        "AND t.credit_row < o.credit_first + o.credit_count",
        "o.person, o.conversion_id, t.model, t.touch_index"},
    {"conversion", "conversion AS t", "person, conversion_id"},
    {"event", "event AS t", "event_key"},
    {"event_link", "event_link AS t", "weaker, stronger, occurred_at, event_key"},
    {"identifier", "identifier AS t", "node"},
    /* Of all partitions together: how many there are is no matter of the events. */
    {"model_transition",
        "(SELECT model, model_kind, model_order, model_version, outcome, currency, from_channels, "
        "to_channels, sum(paths) AS paths, " REVENUE_MINOR " AS revenue_minor "
        "FROM model_transition GROUP BY 1, 2, 3, 4, 5, 6, 7, 8) AS t",
        "model, outcome, currency, from_channels, to_channels"},
    {"path", "path AS t", "person, kind, path_key"},
    {"person", "person AS t", "person"},
    {"rejected", "rejected AS t", "rejected_key"},
    {"session", "session AS t", "person, session_key"},
    {"spend", "spend AS t", "source, channel, campaign, day"},
    {"touch", "touch AS t", "event_key"},
};
#define TABLES_COUNT (sizeof(tables) / sizeof(tables[0]))
_Static_assert(TABLES_COUNT <= DIGEST_TABLES_MAX, "struct digest has room for all tables");

/* What the values of a row are prefixed with in the hash. */
enum tag { TAG_NULL = 'n', TAG_INTEGER = 'i', TAG_REAL = 'r', TAG_TEXT = 't', TAG_BLOB = 'b' };

/* SELECT <columns that are no matter of arrival> FROM table ORDER BY its key; keyed: the key's
 * before them. */
static int select_rows(sqlite3 *db, size_t table, bool keyed, sqlite3_stmt **out)
{
    sqlite3_stmt *columns = NULL;
    CLEANUP(buf_free) struct buf sql = {0};
    int r = database_prepare(db,
        "SELECT c.name FROM pragma_table_info(?1) AS c JOIN data_dictionary AS d "
        "ON d.table_name = ?1 AND d.column_name = c.name "
        "WHERE d.arrival_only = 0 ORDER BY c.cid",
        &columns);
    if (r < 0)
        return r;
    bind_text(columns, 1, str_of(tables[table].name));
    r = buf_appendf(&sql, "SELECT %s", keyed ? tables[table].order : "");
    int code;
    size_t count = keyed;
    while (r == 0 && (code = sqlite3_step(columns)) == SQLITE_ROW)
        r = buf_appendf(
            &sql, "%s t.\"%s\"", count++ ? "," : "", (const char *)sqlite3_column_text(columns, 0));
    if (r == 0)
        r = database_error(code);
    if (r == 0 && !count)
        r = ERR_STATE;
    if (r == 0)
        r = buf_appendf(
            &sql, " FROM %s ORDER BY %s%c", tables[table].from, tables[table].order, '\0');
    sqlite3_finalize(columns);
    return r == 0 ? database_prepare(db, sql.data, out) : r;
}

size_t digest_tables(void)
{
    return TABLES_COUNT;
}

const char *digest_table_name(size_t table)
{
    check(table < TABLES_COUNT);
    return tables[table].name;
}

int digest_select(sqlite3 *db, size_t table, sqlite3_stmt **out, int *key_columns)
{
    check(table < TABLES_COUNT);
    *key_columns = 1;
    for (const char *p = tables[table].order; *p; p++)
        *key_columns += *p == ',';
    return select_rows(db, table, true, out);
}

static void hash_value(struct sha256 *hash, sqlite3_stmt *row, int column)
{
    char tag = TAG_NULL;
    uint8_t number[8];
    uint64_t bits;
    double real;
    struct str bytes = {0};
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_INTEGER:
        tag = TAG_INTEGER;
        put_be64(number, (uint64_t)sqlite3_column_int64(row, column));
        bytes = str_make(number, sizeof(number));
        break;
    case SQLITE_FLOAT:
        tag = TAG_REAL;
        real = sqlite3_column_double(row, column);
        memcpy(&bits, &real, sizeof bits);
        put_be64(number, bits);
        bytes = str_make(number, sizeof(number));
        break;
    case SQLITE_TEXT:
        tag = TAG_TEXT;
        bytes = column_text(row, column);
        break;
    case SQLITE_BLOB:
        tag = TAG_BLOB;
        bytes = column_text(row, column);
        break;
    default:
        break;
    }
    sha256_update(hash, str_make(&tag, 1));
    sha256_update_sized(hash, bytes);
}

static int digest_one(sqlite3 *db, size_t table, struct digest_table *out)
{
    sqlite3_stmt *rows = NULL;
    struct sha256 hash;
    int r = select_rows(db, table, false, &rows);
    if (r < 0)
        return r;
    out->name = tables[table].name;
    out->rows = 0;
    sha256_init(&hash);
    int columns = sqlite3_column_count(rows);
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        for (int i = 0; i < columns; i++)
            hash_value(&hash, rows, i);
        out->rows++;
    }
    sha256_final(&hash, out->sha256);
    sqlite3_finalize(rows);
    return database_error(code);
}

int digest_make(sqlite3 *db, struct digest *out)
{
    struct digest made = {.tables_count = TABLES_COUNT};
    struct sha256 hash;
    int r = database_run(db, "BEGIN");
    if (r < 0)
        return r;
    sha256_init(&hash);
    for (size_t i = 0; r == 0 && i < TABLES_COUNT; i++) {
        r = digest_one(db, i, &made.tables[i]);
        sha256_update_sized(&hash, str_of(tables[i].name));
        sha256_update(&hash, str_make(made.tables[i].sha256, DIGEST_SIZE));
    }
    sha256_final(&hash, made.sha256);
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    if (r == 0)
        *out = made;
    return r;
}

static int append_hex(struct buf *line, struct str bytes)
{
    int r = buf_reserve(line, 2 * bytes.size + 2);
    if (r < 0)
        return r;
    line->data[line->size++] = '"';
    hex_encode(bytes.data, bytes.size, line->data + line->size);
    line->size += 2 * bytes.size;
    line->data[line->size++] = '"';
    return 0;
}

/* Size of the UTF-8 sequence at the start of text; 0 when there is none. Source: RFC 3629, 4. */
static size_t sequence_size(struct str text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    size_t size = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (size == 0 || at[0] > 0xf4 || size > text.size)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool surrogate = at[0] == 0xed && at[1] > 0x9f;
    bool beyond = at[0] == 0xf4 && at[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : size;
}

static bool is_utf8(struct str text)
{
    while (text.size) {
        size_t size = sequence_size(text);
        if (!size)
            return false;
        text = str_make(text.data + size, text.size - size);
    }
    return true;
}

static int append_value(struct buf *line, sqlite3_stmt *row, int column)
{
    char real[JSON_DOUBLE_SIZE_MAX];
    int type = sqlite3_column_type(row, column); /* before it is read as text */
    struct str bytes = column_text(row, column);
    switch (type) {
    case SQLITE_INTEGER:
        return json_write_int(line, sqlite3_column_int64(row, column));
    case SQLITE_FLOAT:
        return buf_append(line, real, json_format_double(sqlite3_column_double(row, column), real));
    case SQLITE_TEXT:
        if (is_utf8(bytes))
            return json_write_text(line, bytes);
        break;
    default:
        return append_hex(line, bytes);
    }
    int r = buf_append_str(line, STR("{\"hex\":"));
    if (r == 0)
        r = append_hex(line, bytes);
    return r == 0 ? buf_append(line, "}", 1) : r;
}

static int append_row(struct buf *line, const char *table, sqlite3_stmt *row)
{
    int r = buf_appendf(line, "{\"table\":\"%s\"", table);
    for (int i = 0; r == 0 && i < sqlite3_column_count(row); i++) {
        int type = sqlite3_column_type(row, i);
        if (type == SQLITE_NULL)
            continue;
        r = buf_appendf(line, ",\"%s\":", sqlite3_column_name(row, i));
        if (r == 0)
            r = append_value(line, row, i);
    }
    return r == 0 ? buf_append_str(line, STR("}\n")) : r;
}

static int dump_one(sqlite3 *db, size_t table, FILE *out)
{
    sqlite3_stmt *rows = NULL;
    CLEANUP(buf_free) struct buf line = {0};
    int r = select_rows(db, table, false, &rows);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(rows)) == SQLITE_ROW) {
        buf_clear(&line);
        r = append_row(&line, tables[table].name, rows);
        if (r == 0 && fwrite(line.data, 1, line.size, out) != line.size)
            r = ERR_IO;
    }
    sqlite3_finalize(rows);
    return r == 0 ? database_error(code) : r;
}

int digest_dump(sqlite3 *db, const char *table, FILE *out)
{
    bool found = false;
    int r = database_run(db, "BEGIN");
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < TABLES_COUNT; i++) {
        if (table && strcmp(table, tables[i].name) != 0)
            continue;
        found = true;
        r = dump_one(db, i, out);
    }
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    if (r == 0 && !found)
        r = ERR_NOT_FOUND;
    return r == 0 && fflush(out) != 0 ? ERR_IO : r;
}

int digest_value_text(struct buf *out, sqlite3_stmt *row, int column)
{
    return sqlite3_column_type(row, column) == SQLITE_NULL ? buf_append_str(out, STR("null"))
                                                           : append_value(out, row, column);
}
