/* A path is its channels' text, of which the first touches may be out of the model's sight. */
#include "sinks/sqlite/model_paths.h"

#include <math.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "sinks/sqlite/database.h"

#define SEPARATOR STR(" > ")

static const char paths_sql[] =
    "WITH sale AS (SELECT p.channels, p.conversions, p.net_revenue_minor, max("
    "CASE m.journey WHEN 'reset' THEN o.reset_from ELSE 0 END, "
    "CASE m.lookback_days WHEN 0 THEN 0 ELSE (SELECT count(*) FROM attribution_credit AS a "
    "CROSS JOIN touch AS t ON t.event_key = a.touch_event_key WHERE a.credit_row >= o.credit_first "
    "AND a.credit_row < o.credit_first + o.credit_count AND a.model = 'linear' AND a.touch_index "
    ">= 0 AND t.touched_at < o.occurred_at - m.lookback_days * 86400000000) END) AS begin "
    "FROM model AS m CROSS JOIN v_path AS p JOIN conversion AS o ON o.person = p.person "
    "AND o.conversion_id = p.path_key AND o.kind = 'conversion' WHERE m.model = ?1 "
    "AND p.kind = 'converting' AND coalesce(p.currency, '') = ?2 AND (m.conversion_types = '[]' "
    "OR o.type IN (SELECT value FROM json_each(m.conversion_types)))) "
    "SELECT channels, begin, sum(conversions), " DATABASE_SUM_MINOR(
        "net_revenue_minor") ", 0, (SELECT "
                             "coalesce(max(minor_per_major), 1) FROM currency WHERE currency = ?2) "
                             "FROM sale GROUP BY 1, 2 UNION ALL SELECT p.channels, 0, 0, 0, "
                             "count(*), 1 FROM model AS m CROSS JOIN path AS p WHERE m.model = ?1 "
                             "AND p.kind = 'open' AND p.channels <> '' GROUP BY 1 ORDER BY 1, 2";

struct path_reading {
    struct path_set *out;
    uint32_t *channels;
    size_t room;
};

static int take(struct path_reading *reading, size_t at, struct str name)
{
    if (at == reading->room) {
        size_t room = at ? at * 2 : 64;
        uint32_t *more = realloc(reading->channels, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        reading->channels = more;
        reading->room = room;
    }
    return path_set_channel(reading->out, name, &reading->channels[at]);
}

static int read_channels(struct path_reading *reading, struct str text, size_t begin, size_t *count)
{
    int r = 0;
    *count = 0;
    for (size_t i = 0; r == 0 && text.size; i++) {
        const char *found = memmem(text.data, text.size, SEPARATOR.data, SEPARATOR.size);
        size_t size = found ? (size_t)(found - text.data) : text.size;
        size_t taken = found ? size + SEPARATOR.size : size;
        if (i >= begin)
            r = take(reading, (*count)++, str_make(text.data, size));
        text = str_make(text.data + taken, text.size - taken);
    }
    return r;
}

static int read_path(struct path_reading *reading, sqlite3_stmt *select)
{
    double minor = sqlite3_column_double(select, 3), unit = sqlite3_column_double(select, 5);
    struct path_count count = {.conversions = sqlite3_column_double(select, 2),
        .value = minor / unit,
        .nulls = sqlite3_column_double(select, 4)};
    size_t length;
    if (fabs(minor) <= PATH_SET_TOTAL_MAX) {
        count.value_rest = fma(-count.value, unit, minor) / unit;
        count.value_noise = SUM_NOISE_EXACT * fabs(count.value);
    }
    int r = read_channels(
        reading, column_text(select, 0), (size_t)sqlite3_column_int64(select, 1), &length);
    return r < 0 ? r : path_set_add(reading->out, reading->channels, length, &count);
}

int model_paths_read(sqlite3 *db, struct str model, struct str currency, struct path_set *out)
{
    struct path_reading reading = {.out = out};
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db, paths_sql, &select);
    if (r < 0)
        return r;
    bind_text(select, 1, model);
    bind_text(select, 2, currency);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW)
        r = read_path(&reading, select);
    sqlite3_finalize(select);
    free(reading.channels);
    return r < 0 ? r : database_error(code);
}
