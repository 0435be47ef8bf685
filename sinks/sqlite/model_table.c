/* Counts are read sorted by model, then open paths, then currencies: each model's stand together.
 */
#include "sinks/sqlite/model_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "enrich/attribution/model_interval.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/model_paths.h"

#define NOTE_SIZE 128
#define SAMPLES 2000 /* of values that are not exact */

/* Remainders are told apart to this part of a unit: what is nearer is an error of rounding. */
#define REMAINDER_PARTS 1000000.0
#define UNIT_MAX 4e18 /* beyond it the sum has no room */
/* A model that is off by more than half a unit, and this part of the total, does not sum to it. */
#define SUM_ERROR_MAX 1e-9

/* One count, of all partitions. */
struct row {
    struct str model, version, currency;
    enum model_kind kind;
    int order;
    int64_t minor_per_major;
    int64_t revenue_minor;
    struct markov_count count;
};

struct reading {
    sqlite3 *db;
    struct model_answers *out;
    struct json_parser *parser;
    struct path_set channels; /* their names only */
    struct row *rows;
    size_t count, room;
    struct markov_count *counts; /* of one solving */
    struct model_credit *credits;
    size_t credits_room;
    int order; /* by which the model at hand is solved */
};

static int grow(void **items, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return 0;
    size_t more = *room ? *room * 2 : 64;
    void *larger = realloc(*items, more * size);
    if (!larger)
        return ERR_NO_MEMORY;
    *items = larger;
    *room = more;
    return 0;
}

void model_answers_free(struct model_answers *answers)
{
    arena_free(&answers->arena);
    free(answers->items);
    free(answers->failures);
    *answers = (struct model_answers){.count = 0};
}

int model_answers_add(struct model_answers *answers, const struct model_answer *answer)
{
    int r = grow((void **)&answers->items, &answers->room, answers->count, sizeof *answers->items);
    if (r == 0)
        answers->items[answers->count++] = *answer;
    return r;
}

static int add_failure(struct model_answers *answers, const struct model_failure *failure)
{
    int r = grow((void **)&answers->failures, &answers->failures_room, answers->failures_count,
        sizeof *answers->failures);
    if (r == 0)
        answers->failures[answers->failures_count++] = *failure;
    return r;
}

/* ---- whole units ---- */

struct share {
    size_t at;
    double remainder;
};

static int compare_shares(const void *a, const void *b)
{
    const struct share *x = a, *y = b;
    if (x->remainder != y->remainder)
        return x->remainder > y->remainder ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int64_t round_down(double amount, double *remainder)
{
    double down = floor(amount);
    *remainder = round((amount - down) * REMAINDER_PARTS);
    return (int64_t)down;
}

static bool sums_to(const struct model_answers *answers, size_t from, double unit, int64_t total)
{
    double sum = 0;
    for (size_t i = from; i < answers->count; i++)
        sum += answers->items[i].credit.value * unit;
    return fabs(sum - (double)total) <= fmax(0.5, SUM_ERROR_MAX * fabs((double)total));
}

int model_answers_round(
    struct model_answers *answers, size_t from, double minor_per_major, int64_t total)
{
    size_t count = answers->count - from;
    int64_t left = total;
    for (size_t i = from; i < answers->count; i++)
        if (fabs(answers->items[i].credit.value * minor_per_major) > UNIT_MAX)
            return 0;
    if (!sums_to(answers, from, minor_per_major, total)) {
        for (size_t i = from; i < answers->count; i++)
            answers->items[i].revenue_minor =
                llround(answers->items[i].credit.value * minor_per_major);
        return 0;
    }
    struct share *shares = calloc(count + 1, sizeof *shares);
    if (!shares)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct model_answer *item = &answers->items[from + i];
        shares[i].at = from + i;
        item->revenue_minor =
            round_down(item->credit.value * minor_per_major, &shares[i].remainder);
        left -= item->revenue_minor;
    }
    qsort(shares, count, sizeof *shares, compare_shares);
    for (size_t i = 0; left != 0 && count; i = (i + 1) % count) {
        /* Sums of large values are off by more than a unit: what is left is then over the count. */
        int64_t step = left / (int64_t)count;
        step = step ? step : left > 0 ? 1 : -1;
        answers->items[shares[left > 0 ? i : count - 1 - i].at].revenue_minor += step;
        left -= step;
    }
    free(shares);
    return 0;
}

/* ---- reading ---- */

static int read_names(
    struct reading *reading, struct str text, uint32_t *channels, size_t max, uint32_t *count)
{
    struct json array, name;
    struct json_iterator iterator;
    struct str key;
    int r = json_parse(reading->parser, text, &array);
    if (r < 0 || json_kind(array) != JSON_ARRAY)
        return r == ERR_NO_MEMORY ? r : ERR_STATE;
    json_iterate(array, &iterator);
    for (*count = 0; r == 0 && json_next(&iterator, &key, &name); ++*count) {
        if (json_kind(name) != JSON_TEXT || *count == max)
            return ERR_STATE;
        r = path_set_channel(&reading->channels, json_text(name), &channels[*count]);
    }
    return r;
}

/* Both lists of a row into the arena. */
static int read_channels(
    struct reading *reading, struct str from, struct str to, struct markov_count *count)
{
    size_t max = from.size / 2 + to.size / 2 + 2; /* a name takes two bytes at least */
    uint32_t *channels = arena_alloc(&reading->out->arena, max * sizeof *channels);
    if (!channels)
        return ERR_NO_MEMORY;
    int r = read_names(reading, from, channels, max, &count->from_count);
    if (r == 0)
        r = read_names(
            reading, to, channels + count->from_count, max - count->from_count, &count->to_count);
    count->channels = channels;
    return r;
}

static int read_row(struct reading *reading, sqlite3_stmt *select)
{
    struct arena *arena = &reading->out->arena;
    int r = grow((void **)&reading->rows, &reading->room, reading->count, sizeof *reading->rows);
    if (r < 0)
        return r;
    struct row *row = &reading->rows[reading->count];
    *row = (struct row){
        .kind = model_kind_of(column_text(select, 1)),
        .order = sqlite3_column_int(select, 2),
        .minor_per_major = sqlite3_column_int64(select, 8),
        .revenue_minor = sqlite3_column_int64(select, 10),
        .count = {.converts = str_equal(column_text(select, 4), STR("converting")),
            .paths = (double)sqlite3_column_int64(select, 9),
            .value =
                (double)sqlite3_column_int64(select, 10) / (double)sqlite3_column_int64(select, 8)},
    };
    r = arena_dup(arena, column_text(select, 0), &row->model);
    if (r == 0)
        r = arena_dup(arena, column_text(select, 3), &row->version);
    if (r == 0)
        r = arena_dup(arena, column_text(select, 5), &row->currency);
    if (r == 0)
        r = read_channels(reading, column_text(select, 6), column_text(select, 7), &row->count);
    if (r == 0)
        reading->count++;
    return r;
}

#define REVENUE_MINOR DATABASE_SUM_MINOR("t.revenue_minor")

static int read_rows(struct reading *reading, sqlite3 *db)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db,
        "SELECT t.model, t.model_kind, t.model_order, t.model_version, t.outcome, t.currency, "
        "t.from_channels, t.to_channels, coalesce(max(u.minor_per_major), 1), "
        "sum(t.paths), " REVENUE_MINOR " FROM model_transition AS t "
        "LEFT JOIN currency AS u ON u.currency = t.currency "
        "GROUP BY t.model, t.model_version, t.outcome, t.currency, t.from_channels, t.to_channels "
        "ORDER BY t.model, t.model_version, t.outcome DESC, t.currency, t.from_channels, "
        "t.to_channels",
        &select);
    if (r < 0)
        return r;
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW)
        r = read_row(reading, select);
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(select);
    return r;
}

/* ---- solving ---- */

static int answer(struct reading *reading, const struct row *row, struct str channel,
    const struct model_credit *credit)
{
    struct model_answer made = {.model = row->model,
        .kind = row->kind,
        .version = row->version,
        .currency = row->currency,
        .credit = *credit,
        .order = row->kind == MODEL_KIND_MARKOV ? reading->order : 0};
    int r = arena_dup(&reading->out->arena, channel, &made.channel);
    return r == 0 ? model_answers_add(reading->out, &made) : r;
}

/* Channels that the counts name get a row, though they earned nothing. */
static int answer_all(struct reading *reading, const struct row *row, size_t counts)
{
    size_t channels = reading->channels.channels_count;
    bool *named = calloc(channels + 1, sizeof *named);
    int r = named ? 0 : ERR_NO_MEMORY;
    for (size_t i = 0; r == 0 && i < counts; i++)
        for (size_t k = 0; k < reading->counts[i].from_count + reading->counts[i].to_count; k++)
            named[reading->counts[i].channels[k]] = true;
    for (size_t i = 0; r == 0 && i < channels; i++)
        if (named[i])
            r = answer(reading, row, reading->channels.channels[i], &reading->credits[i]);
    free(named);
    const struct model_credit *rest = &reading->credits[channels];
    if (r == 0 && (rest->conversions != 0 || rest->value != 0))
        r = answer(reading, row, STR(MODEL_UNATTRIBUTED), rest);
    return r;
}

/* An order that no path is as long as is that of the longest path; that is said. */
static int note_order(struct reading *reading, const struct row *row, size_t counts, size_t from)
{
    struct model_answers *out = reading->out;
    char text[NOTE_SIZE];
    struct str note;
    size_t longest = 0;
    for (size_t i = 0; i < counts; i++) {
        const struct markov_count *count = &reading->counts[i];
        longest = count->from_count > longest ? count->from_count : longest;
        longest = count->to_count > longest ? count->to_count : longest;
    }
    if (row->kind != MODEL_KIND_MARKOV || row->order <= 1 || longest >= (size_t)row->order)
        return 0;
    int size = snprintf(text, sizeof text, "order %d is beyond the data: the longest path has %zu",
        row->order, longest);
    int r = arena_dup(&out->arena, str_make(text, (size_t)size), &note);
    for (size_t i = from; r == 0 && i < out->count; i++)
        out->items[i].note = note;
    return r;
}

/* ---- from paths, where counts do not do ---- */

/* Of the configuration: *replicates, and what options say of paths. */
static int read_wishes(struct reading *reading, const struct row *row,
    struct model_options *options, size_t *replicates)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reading->db,
        "SELECT bootstrap, seed, null_paths IS 'ignore' FROM model WHERE model = ?1 "
        "AND model_version = ?2",
        &select);
    if (r < 0)
        return r;
    bind_text(select, 1, row->model);
    bind_text(select, 2, row->version);
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW) {
        int64_t count = sqlite3_column_int64(select, 0);
        *replicates = count < 0 || (size_t)count > MODEL_REPLICATES_MAX ? 0 : (size_t)count;
        options->seed = (uint64_t)sqlite3_column_int64(select, 1);
        options->ignore_nulls = sqlite3_column_int(select, 2) != 0;
    }
    sqlite3_finalize(select);
    return database_error(code);
}

/* What `found`, by the set's numbers, says of each channel of the counts. chosen: all of it, else
 * the intervals alone. */
static void take_paths(struct reading *reading, const struct path_set *set,
    const struct model_credit *found, bool chosen)
{
    for (size_t i = 0; i < set->channels_count; i++) {
        for (size_t k = 0; k < reading->channels.channels_count; k++) {
            struct model_credit *credit = &reading->credits[k];
            if (!str_equal(set->channels[i], reading->channels.channels[k]))
                continue;
            double low = credit->low, high = credit->high;
            if (chosen)
                *credit = found[i];
            credit->low = isfinite(found[i].low) ? found[i].low : low;
            credit->high = isfinite(found[i].high) ? found[i].high : high;
        }
    }
}

static int solve_set(
    struct reading *reading, struct model_options *options, size_t replicates, struct path_set *set)
{
    size_t channels = reading->channels.channels_count;
    bool chosen = options->order == 0;
    struct markov_score scores[MARKOV_ORDER_MAX];
    int count;
    struct model_credit *found = calloc(set->channels_count + 1, sizeof *found);
    int r = found ? 0 : ERR_NO_MEMORY;
    if (r == 0 && chosen)
        r = markov_choose_order(set, &options->order, scores, &count);
    if (r == 0 && chosen)
        r = model_solve_paths(options, set, found, &reading->credits[channels]);
    for (size_t i = 0; !chosen && r == 0 && i < set->channels_count; i++)
        found[i].low = found[i].high = NAN;
    if (r >= 0 && replicates)
        r = model_solve_intervals(options, set, replicates, found);
    if (r >= 0)
        take_paths(reading, set, found, chosen);
    free(found);
    return r < 0 ? r : 0;
}

/* Chooses the order and makes intervals, where the model wants them. */
static int refine(struct reading *reading, const struct row *row, struct model_options *options,
    size_t replicates)
{
    struct path_set set = {0};
    bool chosen = row->kind == MODEL_KIND_MARKOV && row->order == 0;
    if (!chosen && replicates == 0)
        return 0;
    int r = model_paths_read(reading->db, row->model, row->currency, &set);
    options->order = row->order;
    if (r == 0 && set.paths_count)
        r = solve_set(reading, options, replicates, &set);
    reading->order = options->order ? options->order : 1;
    path_set_free(&set);
    return r;
}

static int solve(
    struct reading *reading, const struct row *row, size_t counts, int64_t revenue_minor)
{
    size_t channels = reading->channels.channels_count;
    struct model_options options = {.kind = row->kind,
        .order = row->order ? row->order : 1,
        .samples = SAMPLES,
        .names = reading->channels.channels};
    size_t replicates = 0;
    int r = read_wishes(reading, row, &options, &replicates);
    if (r < 0)
        return r;
    reading->order = options.order;
    if (reading->credits_room < channels + 1) {
        struct model_credit *more =
            realloc(reading->credits, (channels + 1) * sizeof *reading->credits);
        if (!more)
            return ERR_NO_MEMORY;
        reading->credits = more;
        reading->credits_room = channels + 1;
    }
    r = model_solve_counts(
        &options, reading->counts, counts, channels, reading->credits, &reading->credits[channels]);
    if (r == 0)
        r = refine(reading, row, &options, replicates);
    size_t from = reading->out->count;
    if (r == 0)
        r = answer_all(reading, row, counts);
    if (r == 0)
        r = note_order(reading, row, counts, from);
    if (r == 0)
        return model_answers_round(reading->out, from, (double)row->minor_per_major, revenue_minor);
    if (r == ERR_NO_MEMORY)
        return r;
    return add_failure(reading->out, &(struct model_failure){row->model, row->currency, r});
}

static bool same_model(const struct row *a, const struct row *b)
{
    return str_equal(a->model, b->model) && str_equal(a->version, b->version);
}

/* A model's counts from `at` on: its open paths count with the conversions of each currency. *next:
 * behind them. */
static int solve_model(struct reading *reading, size_t at, size_t *next)
{
    const struct row *first = &reading->rows[at];
    size_t open = 0;
    int r = 0;
    for (; at < reading->count && same_model(first, &reading->rows[at]) &&
           !reading->rows[at].count.converts;
         at++)
        reading->counts[open++] = reading->rows[at].count;
    while (r == 0 && at < reading->count && same_model(first, &reading->rows[at])) {
        const struct row *row = &reading->rows[at];
        size_t counts = open;
        uint64_t revenue_minor = 0; /* modulo 2^64, as the counts themselves */
        for (; at < reading->count && same_model(first, &reading->rows[at]) &&
               str_equal(row->currency, reading->rows[at].currency);
             at++) {
            reading->counts[counts++] = reading->rows[at].count;
            revenue_minor += (uint64_t)reading->rows[at].revenue_minor;
        }
        r = solve(reading, row, counts, (int64_t)revenue_minor);
    }
    *next = at;
    return r;
}

int model_answers_mark(struct model_answers *answers, sqlite3 *db)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(
        db, "SELECT coalesce(sum(events), 0), coalesce(max(last_at), 0) FROM person", &select);
    if (r < 0)
        return r;
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW) {
        answers->events = sqlite3_column_int64(select, 0);
        answers->until = sqlite3_column_int64(select, 1);
    }
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}

int model_table_solve(sqlite3 *db, struct model_answers *out)
{
    struct reading reading = {.db = db, .out = out};
    int r = model_answers_mark(out, db);
    if (r == 0)
        r = json_parser_new(&reading.parser);
    if (r == 0)
        r = read_rows(&reading, db);
    reading.counts = calloc(reading.count + 1, sizeof *reading.counts);
    if (r == 0 && !reading.counts)
        r = ERR_NO_MEMORY;
    for (size_t at = 0; r == 0 && at < reading.count;)
        r = solve_model(&reading, at, &at);
    json_parser_free(&reading.parser);
    path_set_free(&reading.channels);
    free(reading.rows);
    free(reading.counts);
    free(reading.credits);
    return r;
}

/* ---- keeping ---- */

static int next_run(sqlite3 *db, int64_t *run)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(db, "SELECT coalesce(max(run_id), 0) + 1 FROM model_channel", &select);
    if (r < 0)
        return r;
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        *run = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}

static void bind_number(sqlite3_stmt *put, int index, double number)
{
    if (isfinite(number))
        sqlite3_bind_double(put, index, number);
    else
        sqlite3_bind_null(put, index);
}

static int put_answer(
    sqlite3_stmt *put, int64_t run, int64_t as_of, const struct model_answer *answer)
{
    bind_text(put, 1, answer->model);
    bind_text(put, 2, answer->currency);
    sqlite3_bind_int64(put, 3, run);
    bind_text(put, 4, answer->channel);
    bind_text(put, 5,
        answer->kind == MODEL_KIND_UNKNOWN ? answer->model : str_of(model_kind_name(answer->kind)));
    bind_text(put, 6, answer->version);
    sqlite3_bind_int64(put, 7, as_of);
    bind_number(put, 8, answer->credit.conversions);
    bind_number(put, 9, answer->credit.value);
    bind_number(put, 10, answer->credit.effect);
    bind_number(put, 11, answer->credit.value_effect);
    bind_number(put, 12, answer->credit.low);
    bind_number(put, 13, answer->credit.high);
    sqlite3_bind_int64(put, 14, answer->revenue_minor);
    sqlite3_bind_int(put, 17, answer->order);
    bind_text_or_null(put, 18, answer->note);
    int code = sqlite3_step(put);
    sqlite3_reset(put);
    return database_error(code);
}

/* What was kept before of a model that was not solved from counts: only its last run stands. */
static int forget_saved(sqlite3 *db, const struct model_answers *answers)
{
    sqlite3_stmt *forget = NULL;
    int r = database_prepare(db,
        "DELETE FROM model_channel WHERE model = ?1 AND currency = ?2 AND model_version = ''",
        &forget);
    for (size_t i = 0; r == 0 && i < answers->count; i++) {
        const struct model_answer *answer = &answers->items[i];
        if (answer->version.size ||
            (i && str_equal(answer->model, answers->items[i - 1].model) &&
                str_equal(answer->currency, answers->items[i - 1].currency)))
            continue;
        bind_text(forget, 1, answer->model);
        bind_text(forget, 2, answer->currency);
        int code = sqlite3_step(forget);
        sqlite3_reset(forget);
        r = database_error(code);
    }
    sqlite3_finalize(forget);
    return r;
}

static int put_answers(sqlite3 *db, const struct model_answers *answers, int64_t run, int64_t as_of)
{
    sqlite3_stmt *put = NULL;
    int r = database_prepare(db,
        "INSERT OR REPLACE INTO model_channel VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
        "?11, ?12, ?13, ?14, ?15, nullif(?16, 0), nullif(?17, 0), ?18)",
        &put);
    if (r == 0) {
        sqlite3_bind_int64(put, 15, answers->events);
        sqlite3_bind_int64(put, 16, answers->until);
    }
    for (size_t i = 0; r == 0 && i < answers->count; i++)
        r = put_answer(put, run, as_of, &answers->items[i]);
    sqlite3_finalize(put);
    return r;
}

int model_table_save(
    sqlite3 *db, const struct model_answers *answers, int64_t as_of, int64_t *run_id)
{
    sqlite3_stmt *forget = NULL;
    int64_t run = 0;
    int r = next_run(db, &run);
    if (r == 0)
        r = forget_saved(db, answers);
    if (r == 0)
        r = put_answers(db, answers, run, as_of);
    if (r == 0)
        r = database_prepare(db,
            "DELETE FROM model_channel WHERE model_version <> '' AND (run_id <= ?1 OR NOT EXISTS "
            "(SELECT 1 FROM model_transition AS t WHERE t.model = model_channel.model "
            "AND t.outcome = 'converting' AND t.currency = model_channel.currency))",
            &forget);
    if (r < 0)
        return r;
    *run_id = run;
    sqlite3_bind_int64(forget, 1, run - MODEL_RUNS_KEPT);
    int code = sqlite3_step(forget);
    sqlite3_finalize(forget);
    return database_error(code);
}
