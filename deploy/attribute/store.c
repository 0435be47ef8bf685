/* Journeys come from tabiji.db as its path table has them, net of refunds; where a model asks for
 * times, those that converted by touch. */
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

/* A path's milestones: indexes of touches, or negative. */
struct milestones {
    int64_t lead, opportunity;
};

static int add_touch(struct attribute_input *input, size_t index, struct str name, int64_t at,
    const struct milestones *milestones)
{
    if (index == input->touches_room) {
        size_t room = index ? index * 2 : 64;
        struct path_step *more = realloc(input->touches, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        input->touches = more;
        input->touches_room = room;
    }
    struct path_step *touch = &input->touches[index];
    *touch = (struct path_step){.at = at,
        .flags = (attribute_is_direct(input->options, name) ? PATH_STEP_DIRECT : 0) |
                 ((int64_t)index == milestones->lead ? PATH_STEP_LEAD : 0) |
                 ((int64_t)index == milestones->opportunity ? PATH_STEP_OPPORTUNITY : 0)};
    return attribute_channel(input, name, &touch->channel);
}

static int take_path(struct attribute_input *input, struct str text,
    const struct milestones *milestones, const struct path_count *count)
{
    size_t length = 0;
    int r = 0;
    while (r == 0 && text.size) {
        struct str name = next_channel(&text);
        r = add_touch(input, length++, name, 0, milestones);
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

int attribute_check_currency(
    const struct attribute_options *options, const char *path, const char *currency)
{
    CLEANUP(database_close) sqlite3 *db = NULL;
    sqlite3_stmt *select = NULL;
    int r = database_open_reader(&db, path);
    if (r == 0)
        r = database_prepare(db,
            "SELECT sum(coalesce(currency, '') = ?1), "
            "group_concat(DISTINCT coalesce(currency, 'none')) FROM path WHERE kind = 'converting'",
            &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(currency));
    int code = sqlite3_step(select);
    if (code != SQLITE_ROW) {
        r = database_error(code);
    } else if (sqlite3_column_type(select, 1) != SQLITE_NULL &&
               sqlite3_column_int64(select, 0) == 0) {
        (void)fprintf(options->messages, "%s: no conversion is in %s, only in: %s\n", options->name,
            currency, (const char *)sqlite3_column_text(select, 1));
        r = ERR_CONFIG;
    }
    sqlite3_finalize(select);
    return r;
}

#define NET_MINOR DATABASE_SUM_MINOR("p.net_revenue_minor")

/* A value of so many minor units; larger ones than a double counts are near it. */
static void take_minor(struct path_count *count, double minor, double unit)
{
    count->value = minor / unit;
    if (fabs(minor) > PATH_SET_TOTAL_MAX)
        return;
    count->value_rest = fma(-count->value, unit, minor) / unit;
    count->value_noise = SUM_NOISE_EXACT * fabs(count->value);
}

/* Of each channel list together; open_only: of those that did not convert. */
static int read_paths(
    struct attribute_input *input, sqlite3 *db, const char *currency, bool open_only)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT p.channels, sum(p.conversions), " NET_MINOR ", "
        "sum(p.kind = 'open'), coalesce(q.lead_index, -1), coalesce(q.opportunity_index, -1), "
        "coalesce(max(u.minor_per_major), 1) FROM v_path AS p "
        "JOIN path AS q ON q.person = p.person AND q.kind = p.kind AND q.path_key = p.path_key "
        "LEFT JOIN currency AS u ON u.currency = ?1 "
        "WHERE p.kind = 'open' OR (NOT ?2 AND coalesce(p.currency, '') = ?1) GROUP BY 1, 5, 6 "
        "ORDER BY 1, 5, 6",
        &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(currency));
    sqlite3_bind_int(select, 2, open_only);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        struct path_count count = {.conversions = sqlite3_column_double(select, 1),
            .nulls = sqlite3_column_double(select, 3)};
        const struct milestones milestones = {
            sqlite3_column_int64(select, 4), sqlite3_column_int64(select, 5)};
        take_minor(&count, sqlite3_column_double(select, 2), sqlite3_column_double(select, 6));
        r = take_path(input, column_text(select, 0), &milestones, &count);
        input->rows++;
    }
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(select);
    return r;
}

/* ---- with times ---- */

/* A conversion's rows follow each other; what they say of all of it is read with the first. */
struct timed {
    struct attribute_input *input;
    int64_t first; /* of its credits: which conversion it is; 0: none yet */
    size_t length;
    struct milestones milestones;
    struct path_count count;
};

static int end_timed(struct timed *timed)
{
    struct attribute_input *input = timed->input;
    if (!timed->first)
        return 0;
    input->rows++;
    return attribute_path(input, input->touches, timed->length, &timed->count);
}

static int take_timed(struct timed *timed, sqlite3_stmt *select)
{
    int64_t first = sqlite3_column_int64(select, 0);
    int r = 0;
    if (first != timed->first) {
        r = end_timed(timed);
        timed->first = first;
        timed->length = 0;
        timed->milestones =
            (struct milestones){sqlite3_column_int64(select, 5), sqlite3_column_int64(select, 6)};
        timed->count = (struct path_count){.conversions = 1};
        take_minor(
            &timed->count, sqlite3_column_double(select, 4), sqlite3_column_double(select, 7));
    }
    if (r < 0 || sqlite3_column_int64(select, 1) < 0) /* unattributed */
        return r;
    return add_touch(timed->input, timed->length++, column_text(select, 2),
        sqlite3_column_int64(select, 3), &timed->milestones);
}

/* Converting paths by touch: every touch has a linear credit. */
static int read_timed(struct attribute_input *input, sqlite3 *db, const char *currency)
{
    struct timed timed = {.input = input};
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT o.credit_first, a.touch_index, a.channel, coalesce(t.touched_at, 0), "
        "p.net_revenue_minor, coalesce(q.lead_index, -1), coalesce(q.opportunity_index, -1), "
        "coalesce(u.minor_per_major, 1) FROM conversion AS o "
        "JOIN v_path AS p ON p.person = o.person AND p.kind = 'converting' "
        "AND p.path_key = o.conversion_id "
        "JOIN path AS q ON q.person = p.person AND q.kind = p.kind AND q.path_key = p.path_key "
        "JOIN attribution_credit AS a ON a.credit_row >= o.credit_first "
        "AND a.credit_row < o.credit_first + o.credit_count AND a.model = 'linear' "
        "LEFT JOIN touch AS t ON t.event_key = a.touch_event_key "
        "LEFT JOIN currency AS u ON u.currency = ?1 "
        "WHERE o.kind = 'conversion' AND coalesce(o.currency, '') = ?1 "
        "ORDER BY o.credit_first, a.touch_index",
        &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(currency));
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW)
        r = take_timed(&timed, select);
    if (r == 0)
        r = end_timed(&timed);
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
    for (size_t i = 0; i < options->models_count; i++)
        input->has_times |= options->models[i] == PATH_RULE_TIME_DECAY;
    int r = database_open_reader(&db, path);
    if (r == 0 && !options->currency_given)
        r = find_currency(input, db, currency);
    if (r == 0)
        r = read_paths(input, db, currency, input->has_times);
    if (r == 0 && input->has_times)
        r = read_timed(input, db, currency);
    if (r == ERR_TOO_LARGE)
        (void)fprintf(options->messages,
            "%s: totals are over what can be counted exactly (2^53 - 1)\n", options->name);
    return r;
}
