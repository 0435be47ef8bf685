/* Journeys come from tabiji.db as its path table has them. */
#include <math.h>
#include <stdlib.h>

#include "deploy/attribute/attribute.h"
#include "schemas/error.h"
#include "sinks/sqlite/database.h"

#define ARROW STR(" > ")

/* ---- paths ---- */

static struct str next_channel(struct str *rest)
{
    const char *found = rest->size ? memmem(rest->data, rest->size, ARROW.data, ARROW.size) : NULL;
    size_t size = found ? (size_t)(found - rest->data) : rest->size;
    struct str channel = str_make(rest->data, size);
    size_t taken = found ? size + ARROW.size : size;
    *rest = str_make(rest->data + taken, rest->size - taken);
    return channel;
}

/* lead, opportunity: indexes of touches, or negative. */
static int take_path(struct attribute_input *input, struct str text, int64_t lead,
    int64_t opportunity, const struct path_count *count)
{
    size_t length = 0;
    int r = 0;
    while (r == 0 && text.size) {
        struct str name = next_channel(&text);
        if (length == input->touches_room) {
            size_t room = length ? length * 2 : 64;
            struct path_step *more = realloc(input->touches, room * sizeof *more);
            if (!more)
                return ERR_NO_MEMORY;
            input->touches = more;
            input->touches_room = room;
        }
        struct path_step *touch = &input->touches[length++];
        int64_t at = (int64_t)length - 1;
        *touch = (struct path_step){
            .flags = (attribute_is_direct(input->options, name) ? PATH_STEP_DIRECT : 0) |
                     (at == lead ? PATH_STEP_LEAD : 0) |
                     (at == opportunity ? PATH_STEP_OPPORTUNITY : 0)};
        r = attribute_channel(input, name, &touch->channel);
    }
    return r < 0 ? r : attribute_path(input, input->touches, length, count);
}

/* The currency of all conversions, where there is but one. */
static int find_currency(struct attribute_input *input, sqlite3 *db, char *currency)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT coalesce(min(currency), ''), count(DISTINCT coalesce(currency, '')), "
        "group_concat(DISTINCT coalesce(currency, 'none')) FROM path WHERE kind = 'converting'",
        &select);
    if (r < 0 || *currency) {
        sqlite3_finalize(select);
        return r;
    }
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW && sqlite3_column_int(select, 1) > 1) {
        (void)fprintf(input->options->messages,
            "%s: conversions are in %s: say which by --currency\n", input->options->name,
            (const char *)sqlite3_column_text(select, 2));
        r = ERR_CONFIG;
    } else if (code == SQLITE_ROW) {
        (void)snprintf(
            currency, ATTRIBUTE_CURRENCY_SIZE, "%s", (const char *)sqlite3_column_text(select, 0));
    } else {
        r = database_error(code);
    }
    sqlite3_finalize(select);
    return r;
}

/* Net: what was refunded of a path's conversion is taken from it. */
#define REVENUE_MINOR DATABASE_SUM_MINOR("(p.revenue_minor + coalesce(b.minor, 0))")
#define REFUND_MINOR DATABASE_SUM_MINOR("revenue_minor")

/* A value of so many minor units; larger ones than a double counts are near it. */
static void take_minor(struct path_count *count, double minor, double unit)
{
    count->value = minor / unit;
    if (fabs(minor) > PATH_SET_TOTAL_MAX)
        return;
    count->value_rest = fma(-count->value, unit, minor) / unit;
    count->value_noise = SUM_NOISE_EXACT * fabs(count->value);
}

static int read_paths(struct attribute_input *input, sqlite3 *db, const char *currency)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT p.channels, sum(p.conversions), " REVENUE_MINOR ", "
        "sum(p.kind = 'open'), coalesce(p.lead_index, -1), coalesce(p.opportunity_index, -1), "
        "coalesce(max(u.minor_per_major), 1) FROM "
        "path AS p LEFT JOIN currency AS u ON u.currency = ?1 "
        "LEFT JOIN (SELECT person, refund_of, " REFUND_MINOR " AS minor FROM conversion "
        "WHERE kind = 'refund' GROUP BY 1, 2) AS b ON p.kind = 'converting' "
        "AND b.person = p.person AND b.refund_of = p.path_key "
        "WHERE p.kind = 'open' OR coalesce(p.currency, '') = ?1 GROUP BY 1, 5, 6 ORDER BY 1, 5, 6",
        &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(currency));
    int code;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        struct path_count count = {.conversions = sqlite3_column_double(select, 1),
            .nulls = sqlite3_column_double(select, 3)};
        take_minor(&count, sqlite3_column_double(select, 2), sqlite3_column_double(select, 6));
        r = take_path(input, column_text(select, 0), sqlite3_column_int64(select, 4),
            sqlite3_column_int64(select, 5), &count);
        input->rows++;
    }
    if (r == ERR_TOO_LARGE)
        (void)fprintf(input->options->messages,
            "%s: totals are over what can be counted exactly (2^53 - 1)\n", input->options->name);
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(select);
    return r;
}

int attribute_read_database(
    struct attribute_input *input, const char *path, char currency[ATTRIBUTE_CURRENCY_SIZE])
{
    const struct attribute_options *options = input->options;
    CLEANUP(database_close) sqlite3 *db = NULL;
    for (size_t i = 0; i < options->models_count; i++) {
        if (options->models[i] != PATH_RULE_TIME_DECAY)
            continue;
        (void)fprintf(options->messages,
            "%s: time_decay needs a row a touch: stored paths have no times; "
            "v_channel_attribution has its credits\n",
            options->name);
        return ERR_CONFIG;
    }
    int r = database_open_reader(&db, path);
    if (r == 0 && !options->currency_given)
        r = find_currency(input, db, currency);
    return r < 0 ? r : read_paths(input, db, currency);
}
