/* A conversion's touches are those of its linear credits, which every touch has one of. */
#include "sinks/sqlite/model_credits.h"

#include <stdlib.h>

#include "enrich/attribution/credit.h"
#include "enrich/attribution/touch_fit.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "sinks/sqlite/bulk.h"
#include "sinks/sqlite/database.h"

struct fitted {
    const struct model *model;
    struct str currency;
    struct path_set set; /* its paths, of channels without names; until the fit is made */
    struct touch_fit fit;
    bool is_fitted;
};

struct stored_touch {
    int64_t touched_at; /* 0 where no model asks */
    uint8_t event_key[KEY_SIZE];
    uint32_t channel;
};

struct model_credits {
    sqlite3 *db;
    const struct model_answers *answers;
    struct path_set names; /* of channels */
    struct fitted *items;
    size_t count;
    sqlite3_stmt *path;     /* touches of a conversion */
    sqlite3_stmt *original; /* of a refund: its order, and what was refunded before */
    struct stored_touch *touches;
    uint32_t *channels;
    uint64_t *weights;
    size_t touches_count, touches_room;
    struct touch_room room;
    struct credits shares;
    struct credits taken; /* of a refund */
};

#define MODEL_CREDIT_COLUMNS 12 /* that are stored */

#define CONVERSIONS                                                                                \
    "SELECT person, conversion_id, coalesce(refund_of, ''), type, coalesce(currency, ''), "        \
    "occurred_at, revenue_minor, credit_first, credit_count, reset_from, event_key FROM "          \
    "conversion"

/* ---- a conversion's touches ---- */

static int grow(struct model_credits *credits)
{
    if (credits->touches_count < credits->touches_room)
        return 0;
    size_t room = credits->touches_room ? credits->touches_room * 2 : 64;
    struct stored_touch *touches = realloc(credits->touches, room * sizeof *touches);
    if (!touches)
        return ERR_NO_MEMORY;
    credits->touches = touches;
    uint32_t *channels = realloc(credits->channels, room * sizeof *channels);
    if (!channels)
        return ERR_NO_MEMORY;
    credits->channels = channels;
    uint64_t *weights = realloc(credits->weights, room * sizeof *weights);
    if (!weights)
        return ERR_NO_MEMORY;
    credits->weights = weights;
    credits->touches_room = room;
    return 0;
}

static int take_touch(struct model_credits *credits)
{
    struct str key = column_text(credits->path, 1);
    size_t at = credits->touches_count;
    if (sqlite3_column_int64(credits->path, 0) < 0)
        return 0;
    if (key.size != KEY_SIZE || sqlite3_column_int64(credits->path, 0) != (int64_t)at)
        return ERR_STATE;
    int r = grow(credits);
    if (r < 0)
        return r;
    struct stored_touch *touch = &credits->touches[at];
    memcpy(touch->event_key, key.data, KEY_SIZE);
    touch->touched_at = sqlite3_column_int64(credits->path, 3);
    r = path_set_channel(&credits->names, column_text(credits->path, 2), &touch->channel);
    credits->channels[at] = touch->channel;
    credits->touches_count += r == 0;
    return r;
}

static int read_touches(struct model_credits *credits, const struct model_conversion *conversion)
{
    int code = SQLITE_DONE, r = 0;
    credits->touches_count = 0;
    sqlite3_bind_int64(credits->path, 1, conversion->credit_first);
    sqlite3_bind_int64(credits->path, 2, conversion->credit_count);
    while (r == 0 && (code = sqlite3_step(credits->path)) == SQLITE_ROW)
        r = take_touch(credits);
    sqlite3_reset(credits->path);
    return r < 0 ? r : database_error(code);
}

/* The first touch that the model sees. */
static size_t begin_of(const struct model_credits *credits, const struct model *model,
    const struct model_conversion *conversion)
{
    const struct model_path path = {
        .at = conversion->occurred_at,
        .reset_from = (size_t)conversion->reset_from,
        .touched_at = credits->touches_count ? &credits->touches->touched_at : NULL,
        .stride = sizeof *credits->touches,
        .count = credits->touches_count,
    };
    return model_path_begin(model, &path);
}

static bool sees(const struct fitted *fitted, const struct model_conversion *conversion)
{
    return str_equal(fitted->currency, conversion->currency) &&
           model_counts_type(fitted->model, conversion->type);
}

static struct model_conversion conversion_of(sqlite3_stmt *select)
{
    return (struct model_conversion){
        .person = column_text(select, 0),
        .conversion_id = column_text(select, 1),
        .refund_of = column_text(select, 2),
        .type = column_text(select, 3),
        .currency = column_text(select, 4),
        .occurred_at = sqlite3_column_int64(select, 5),
        .revenue_minor = sqlite3_column_int64(select, 6),
        .credit_first = sqlite3_column_int64(select, 7),
        .credit_count = sqlite3_column_int64(select, 8),
        .reset_from = sqlite3_column_int64(select, 9),
        .event_key = column_text(select, 10),
    };
}

/* ---- fitting ---- */

static int add_path(struct model_credits *credits, const struct model_conversion *conversion)
{
    int r = read_touches(credits, conversion);
    for (size_t i = 0; r == 0 && i < credits->count; i++) {
        struct fitted *fitted = &credits->items[i];
        if (!sees(fitted, conversion))
            continue;
        size_t begin = begin_of(credits, fitted->model, conversion);
        if (begin < credits->touches_count)
            r = path_set_add(&fitted->set, credits->channels + begin,
                credits->touches_count - begin, &(struct path_count){.conversions = 1});
    }
    return r;
}

static int add_paths(struct model_credits *credits)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(credits->db, CONVERSIONS " WHERE kind = 'conversion'", &select);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        const struct model_conversion conversion = conversion_of(select);
        r = add_path(credits, &conversion);
    }
    sqlite3_finalize(select);
    return r < 0 ? r : database_error(code);
}

static bool is_of(const struct fitted *fitted, const struct model_answer *answer)
{
    return str_equal(fitted->model->name, answer->model) &&
           str_equal(fitted->currency, answer->currency);
}

/* What the model gives each channel, by number. */
static int credits_of(struct model_credits *credits, const struct fitted *fitted, double *out)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < credits->answers->count; i++) {
        const struct model_answer *answer = &credits->answers->items[i];
        uint32_t channel;
        if (!is_of(fitted, answer) || str_equal(answer->channel, STR(MODEL_UNATTRIBUTED)))
            continue;
        r = path_set_channel(&credits->names, answer->channel, &channel);
        if (r == 0 && channel < fitted->set.channels_count)
            out[channel] = answer->credit.conversions;
    }
    return r;
}

static int fit(struct model_credits *credits, struct fitted *fitted, size_t channels)
{
    double *wanted = calloc(channels + 1, sizeof *wanted);
    if (!wanted)
        return ERR_NO_MEMORY;
    fitted->set.channels_count = channels; /* which have no names here */
    int r = credits_of(credits, fitted, wanted);
    if (r == 0)
        r = touch_fit_solve(&fitted->set, wanted, &fitted->fit);
    fitted->is_fitted = r == 0;
    fitted->set.channels_count = 0;
    path_set_free(&fitted->set);
    free(wanted);
    return r == ERR_TOO_LARGE ? 0 : r;
}

/* ---- opening ---- */

static const struct model *model_of(
    const struct model *models, size_t count, const struct model_answer *answer)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(models[i].name, answer->model) && !model_is_rule(&models[i]) &&
            str_equal(answer->version,
                str_make(models[i].version, strnlen(models[i].version, MODEL_VERSION_SIZE))))
            return &models[i];
    return NULL;
}

static int list_fitted(struct model_credits *credits, const struct model *models, size_t count)
{
    const struct model_answers *answers = credits->answers;
    credits->items = calloc(answers->count + 1, sizeof *credits->items);
    if (!credits->items)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < answers->count; i++) {
        const struct model_answer *answer = &answers->items[i];
        const struct model *model = model_of(models, count, answer);
        if (!model || (credits->count && is_of(&credits->items[credits->count - 1], answer)))
            continue;
        credits->items[credits->count++] =
            (struct fitted){.model = model, .currency = answer->currency};
    }
    return 0;
}

static int prepare(struct model_credits *credits)
{
    bool times = false;
    for (size_t i = 0; i < credits->count; i++)
        times |= credits->items[i].model->lookback_micros != 0;
    int r = database_prepare(credits->db,
        times ? "SELECT a.touch_index, a.touch_event_key, a.channel, coalesce(t.touched_at, 0) "
                "FROM attribution_credit AS a LEFT JOIN touch AS t ON t.event_key = "
                "a.touch_event_key WHERE a.credit_row >= ?1 AND a.credit_row < ?1 + ?2 "
                "AND a.model = 'linear' ORDER BY a.touch_index"
              : "SELECT touch_index, touch_event_key, channel, 0 FROM attribution_credit "
                "WHERE credit_row >= ?1 AND credit_row < ?1 + ?2 AND model = 'linear' "
                "ORDER BY touch_index",
        &credits->path);
    return r < 0 ? r
                 : database_prepare(credits->db,
                       "SELECT o.revenue_minor, coalesce((SELECT -sum(r.revenue_minor) "
                       "FROM conversion AS r WHERE r.person = ?1 AND r.kind = 'refund' "
                       "AND r.refund_of = ?2 AND (r.occurred_at, r.conversion_id) < (?3, ?4)), 0), "
                       "o.type, o.occurred_at, o.reset_from, o.event_key "
                       "FROM conversion AS o WHERE o.person = ?1 AND o.conversion_id = ?2",
                       &credits->original);
}

int model_credits_open(struct model_credits **out, sqlite3 *db, const struct model *models,
    size_t count, const struct model_answers *answers)
{
    struct model_credits *credits = calloc(1, sizeof *credits);
    if (!credits)
        return ERR_NO_MEMORY;
    credits->db = db;
    credits->answers = answers;
    int r = list_fitted(credits, models, count);
    if (r == 0)
        r = prepare(credits);
    if (r == 0 && credits->count)
        r = add_paths(credits);
    size_t channels = credits->names.channels_count;
    for (size_t i = 0; r == 0 && i < credits->count; i++)
        r = fit(credits, &credits->items[i], channels);
    if (r < 0) {
        model_credits_close(&credits);
        return r;
    }
    *out = credits;
    return 0;
}

void model_credits_close(struct model_credits **out)
{
    struct model_credits *credits = *out;
    if (!credits)
        return;
    for (size_t i = 0; i < credits->count; i++) {
        credits->items[i].set.channels_count = 0;
        path_set_free(&credits->items[i].set);
        touch_fit_free(&credits->items[i].fit);
    }
    sqlite3_finalize(credits->path);
    sqlite3_finalize(credits->original);
    path_set_free(&credits->names);
    touch_room_free(&credits->room);
    credits_free(&credits->shares);
    credits_free(&credits->taken);
    free(credits->items);
    free(credits->touches);
    free(credits->channels);
    free(credits->weights);
    free(credits);
    *out = NULL;
}

size_t model_credits_count(const struct model_credits *credits)
{
    return credits->count;
}

struct model_fitted model_credits_fitted(const struct model_credits *credits, size_t index)
{
    const struct fitted *fitted = &credits->items[index];
    return (struct model_fitted){fitted->model, fitted->currency, fitted->fit.distance};
}

/* ---- credits of one conversion ---- */

/* The conversion that a refund is of, and how much of it was refunded before. */
static int read_original(struct model_credits *credits, const struct model_conversion *refund,
    struct model_conversion *out, int64_t *before)
{
    bind_blob(credits->original, 1, refund->person);
    bind_text(credits->original, 2, refund->refund_of);
    sqlite3_bind_int64(credits->original, 3, refund->occurred_at);
    bind_text(credits->original, 4, refund->conversion_id);
    int code = sqlite3_step(credits->original);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE ? ERR_STATE : database_error(code);
    *out = *refund;
    out->revenue_minor = sqlite3_column_int64(credits->original, 0);
    *before = sqlite3_column_int64(credits->original, 1);
    out->type = column_text(credits->original, 2); /* until the statement is reset */
    out->occurred_at = sqlite3_column_int64(credits->original, 3);
    out->reset_from = sqlite3_column_int64(credits->original, 4);
    out->event_key = column_text(credits->original, 5);
    return 0;
}

/* By one model, into *out. */
static int share(
    struct model_credits *credits, const struct fitted *fitted, size_t begin, int64_t revenue)
{
    size_t count = credits->touches_count - begin;
    int r = count ? touch_fit_weights(&fitted->fit, &credits->room, credits->channels + begin,
                        count, credits->weights)
                  : 0;
    return r < 0 ? r
                 : credits_of_weights(
                       &credits->shares, RULE_MODEL_UNKNOWN, credits->weights, count, revenue);
}

/* Of what both give from that touch on. */
static int set_keys(struct model_credits *credits, const struct model_conversion *of, size_t begin)
{
    size_t count = credits->touches_count - begin;
    if (of->event_key.size != KEY_SIZE)
        return ERR_STATE;
    const struct credit_keys keys = {
        .conversion = (const uint8_t *)of->event_key.data,
        .touches = count ? credits->touches[begin].event_key : NULL,
        .stride = sizeof *credits->touches,
        .count = count,
    };
    int r = credits_set_keys(&credits->shares, &keys);
    return r < 0 ? r : credits_set_keys(&credits->taken, &keys);
}

struct giving {
    struct model_credits *credits;
    int (*found)(void *context, const struct model_touch_credit *credit);
    void *context;
};

static int give(const struct giving *giving, const struct fitted *fitted, size_t begin,
    const struct credits *shares)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < shares->count; i++) {
        const struct credit *credit = &shares->items[i];
        struct model_touch_credit row = {
            .model = fitted->model,
            .touch_index = CREDIT_UNATTRIBUTED,
            .channel = STR(MODEL_UNATTRIBUTED),
            .weight_ppb = credit->weight_ppb,
            .revenue_minor = credit->revenue_minor,
        };
        if (credit->touch_index >= 0) {
            size_t at = begin + (size_t)credit->touch_index;
            const struct stored_touch *touch = &giving->credits->touches[at];
            row.touch_index = (int64_t)at;
            row.touch_event_key = str_make(touch->event_key, KEY_SIZE);
            row.channel = giving->credits->names.channels[touch->channel];
        }
        r = giving->found(giving->context, &row);
    }
    return r;
}

/* before, taken: of a refund of `of`. */
static int give_all(const struct giving *giving, const struct model_conversion *of, int64_t before,
    int64_t taken, bool refund)
{
    struct model_credits *credits = giving->credits;
    int r = 0;
    for (size_t i = 0; r == 0 && i < credits->count; i++) {
        const struct fitted *fitted = &credits->items[i];
        if (!fitted->is_fitted || !sees(fitted, of))
            continue;
        size_t begin = begin_of(credits, fitted->model, of);
        r = set_keys(credits, of, begin);
        if (r == 0)
            r = share(credits, fitted, begin, of->revenue_minor);
        if (r == 0 && refund)
            r = credits_of_refund(&credits->taken, credits->shares.items, credits->shares.count,
                before, before + taken);
        if (r == 0)
            r = give(giving, fitted, begin, refund ? &credits->taken : &credits->shares);
    }
    return r;
}

int model_credits_of(struct model_credits *credits, const struct model_conversion *conversion,
    int (*found)(void *context, const struct model_touch_credit *credit), void *context)
{
    const struct giving giving = {credits, found, context};
    struct model_conversion of = *conversion;
    int64_t before = 0;
    bool refund = conversion->refund_of.size > 0;
    int r = read_touches(credits, conversion);
    if (r == 0 && refund)
        r = read_original(credits, conversion, &of, &before);
    if (r == 0)
        r = give_all(&giving, &of, before, refund ? -conversion->revenue_minor : 0, refund);
    sqlite3_reset(credits->original);
    return r;
}

/* ---- keeping ---- */

struct saving {
    struct bulk *put;
    const struct model_conversion *conversion;
    int64_t run_id, as_of;
};

static int put_row(void *context, const struct model_touch_credit *credit)
{
    struct saving *saving = context;
    const struct model_conversion *conversion = saving->conversion;
    const struct model *model = credit->model;
    struct bulk_cell *row;
    struct str person, conversion_id, event_key = {0}, currency;
    int r = bulk_row(saving->put, &row);
    if (r == 0)
        r = bulk_keep(saving->put, conversion->person, &person);
    if (r == 0)
        r = bulk_keep(saving->put, conversion->conversion_id, &conversion_id);
    if (r == 0 && credit->touch_event_key.size)
        r = bulk_keep(saving->put, credit->touch_event_key, &event_key);
    if (r == 0)
        r = bulk_keep(saving->put, conversion->currency, &currency);
    if (r < 0)
        return r;
    row[0] = bulk_blob(person);
    row[1] = bulk_text(conversion_id);
    row[2] = bulk_text(model->name);
    row[3] = bulk_integer(credit->touch_index);
    if (event_key.size)
        row[4] = bulk_blob(event_key);
    row[5] = bulk_text(credit->channel);
    row[6] = bulk_integer(credit->weight_ppb);
    row[7] = bulk_integer(credit->revenue_minor);
    row[8] = bulk_text_or_null(currency);
    row[9] = bulk_integer(saving->run_id);
    row[10] = bulk_text(str_make(model->version, strnlen(model->version, MODEL_VERSION_SIZE)));
    row[11] = bulk_integer(saving->as_of);
    return 0;
}

/* One look at the table, however many models there are. */
static int forget_rows(struct model_credits *credits)
{
    sqlite3_stmt *add = NULL;
    int r = database_run(credits->db,
        "CREATE TEMP TABLE IF NOT EXISTS model_anew (model TEXT, currency TEXT, "
        "PRIMARY KEY (model, currency)); DELETE FROM temp.model_anew");
    if (r == 0)
        r = database_prepare(
            credits->db, "INSERT OR IGNORE INTO temp.model_anew VALUES (?1, ?2)", &add);
    for (size_t i = 0; r == 0 && i < credits->count; i++) {
        bind_text(add, 1, credits->items[i].model->name);
        bind_text(add, 2, credits->items[i].currency);
        int code = sqlite3_step(add);
        sqlite3_reset(add);
        r = database_error(code);
    }
    sqlite3_finalize(add);
    return r < 0 ? r
                 : database_run(credits->db,
                       "DELETE FROM model_credit WHERE (model, coalesce(currency, '')) IN "
                       "(SELECT model, currency FROM temp.model_anew) "
                       "OR (model_version <> '' AND (model, coalesce(currency, '')) NOT IN "
                       "(SELECT model, currency FROM model_channel WHERE model_version <> ''))");
}

int model_credits_save(struct model_credits *credits, int64_t run_id, int64_t as_of)
{
    struct saving saving = {.run_id = run_id, .as_of = as_of};
    sqlite3_stmt *select = NULL;
    int r = forget_rows(credits);
    if (r == 0)
        r = bulk_open(&saving.put, credits->db,
            "INSERT OR REPLACE INTO model_credit "
            "SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 FROM bulk_rows(?1)",
            MODEL_CREDIT_COLUMNS);
    if (r == 0)
        r = database_prepare(credits->db, CONVERSIONS " ORDER BY person, conversion_id", &select);
    int code = SQLITE_DONE;
    while (r == 0 && credits->count && (code = sqlite3_step(select)) == SQLITE_ROW) {
        const struct model_conversion conversion = conversion_of(select);
        saving.conversion = &conversion;
        r = model_credits_of(credits, &conversion, put_row, &saving);
    }
    if (r == 0)
        r = database_error(code);
    if (r == 0)
        r = bulk_flush(saving.put);
    sqlite3_finalize(select);
    bulk_close(&saving.put);
    return r;
}
