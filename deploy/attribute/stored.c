/* A conversion's touches are those of its linear credits, which every touch has one of. */
#include <stdlib.h>

#include "deploy/attribute/attribute.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "sinks/sqlite/database.h"

struct stored_touch {
    uint8_t event_key[KEY_SIZE];
    uint32_t channel;
};

struct attribute_stored {
    struct attribute_touches *touches;
    sqlite3_stmt *path;     /* touches of a conversion */
    sqlite3_stmt *original; /* of a refund: its order's revenue, and what was refunded before */
    struct stored_touch *items;
    uint32_t *channels;
    size_t count, room;
    bool touched;         /* there are touches; else the one row is unattributed */
    struct credits taken; /* of a refund */
};

int attribute_stored_open(
    struct attribute_stored **out, sqlite3 *db, struct attribute_touches *touches)
{
    struct attribute_stored *stored = calloc(1, sizeof *stored);
    if (!stored)
        return ERR_NO_MEMORY;
    stored->touches = touches;
    int r = database_prepare(db,
        "SELECT touch_index, touch_event_key, channel FROM attribution_credit "
        "WHERE credit_row >= ?1 AND credit_row < ?1 + ?2 AND model = 'linear' "
        "ORDER BY touch_index",
        &stored->path);
    if (r == 0)
        r = database_prepare(db,
            "SELECT o.revenue_minor, coalesce((SELECT -sum(r.revenue_minor) FROM conversion AS r "
            "WHERE r.person = ?1 AND r.kind = 'refund' AND r.refund_of = ?2 "
            "AND (r.occurred_at, r.conversion_id) < (?3, ?4)), 0) "
            "FROM conversion AS o WHERE o.person = ?1 AND o.conversion_id = ?2",
            &stored->original);
    if (r < 0) {
        attribute_stored_close(&stored);
        return r;
    }
    *out = stored;
    return 0;
}

void attribute_stored_close(struct attribute_stored **out)
{
    struct attribute_stored *stored = *out;
    if (!stored)
        return;
    sqlite3_finalize(stored->path);
    sqlite3_finalize(stored->original);
    credits_free(&stored->taken);
    free(stored->items);
    free(stored->channels);
    free(stored);
    *out = NULL;
}

static int grow(struct attribute_stored *stored)
{
    if (stored->count < stored->room)
        return 0;
    size_t room = stored->room ? stored->room * 2 : 64;
    struct stored_touch *items = realloc(stored->items, room * sizeof *items);
    if (!items)
        return ERR_NO_MEMORY;
    stored->items = items;
    uint32_t *channels = realloc(stored->channels, room * sizeof *channels);
    if (!channels)
        return ERR_NO_MEMORY;
    stored->channels = channels;
    stored->room = room;
    return 0;
}

static int take_touch(struct attribute_stored *stored)
{
    struct str key = column_text(stored->path, 1);
    if (sqlite3_column_int64(stored->path, 0) < 0)
        return 0;
    if (key.size != KEY_SIZE || sqlite3_column_int64(stored->path, 0) != (int64_t)stored->count)
        return ERR_STATE;
    int r = grow(stored);
    if (r < 0)
        return r;
    struct stored_touch *touch = &stored->items[stored->count];
    memcpy(touch->event_key, key.data, KEY_SIZE);
    r = path_set_channel(
        &stored->touches->input->set, column_text(stored->path, 2), &touch->channel);
    stored->channels[stored->count] = touch->channel;
    stored->count += r == 0;
    return r;
}

static int read_touches(
    struct attribute_stored *stored, const struct attribute_conversion *conversion)
{
    int code = SQLITE_DONE, r = 0;
    stored->count = 0;
    sqlite3_bind_int64(stored->path, 1, conversion->credit_first);
    sqlite3_bind_int64(stored->path, 2, conversion->credit_count);
    while (r == 0 && (code = sqlite3_step(stored->path)) == SQLITE_ROW)
        r = take_touch(stored);
    sqlite3_reset(stored->path);
    return r < 0 ? r : database_error(code);
}

/* What the order of a refund was worth, and how much of it was refunded before. */
static int read_original(struct attribute_stored *stored, const struct attribute_conversion *refund,
    int64_t *revenue, int64_t *before)
{
    bind_blob(stored->original, 1, refund->person);
    bind_text(stored->original, 2, refund->refund_of);
    sqlite3_bind_int64(stored->original, 3, refund->occurred_at);
    bind_text(stored->original, 4, refund->conversion_id);
    int code = sqlite3_step(stored->original);
    if (code == SQLITE_ROW) {
        *revenue = sqlite3_column_int64(stored->original, 0);
        *before = sqlite3_column_int64(stored->original, 1);
    }
    sqlite3_reset(stored->original);
    return code == SQLITE_DONE ? ERR_STATE : database_error(code);
}

static int credit(struct attribute_stored *stored, size_t place,
    const struct attribute_conversion *conversion, int64_t original, int64_t before,
    const struct credits **out)
{
    struct attribute_touches *touches = stored->touches;
    bool refund = conversion->refund_of.size > 0;
    int r = attribute_touches_credit(touches, place, stored->channels, stored->count,
        refund ? original : conversion->revenue_minor);
    *out = &touches->credits;
    if (r == 0 && refund) {
        r = credits_of_refund(&stored->taken, touches->credits.items, touches->credits.count,
            before, before - conversion->revenue_minor);
        *out = &stored->taken;
    }
    return r;
}

static int give(const struct attribute_stored *stored, size_t place, const struct credit *credit,
    int (*found)(void *context, const struct attribute_touch_credit *credit), void *context)
{
    struct attribute_touch_credit row = {
        .place = place,
        .touch_index = credit->touch_index,
        .channel = str_of(ATTRIBUTE_UNATTRIBUTED),
        .weight_ppb = credit->weight_ppb,
        .revenue_minor = credit->revenue_minor,
    };
    if (credit->touch_index >= 0) {
        const struct stored_touch *touch = &stored->items[credit->touch_index];
        row.touch_event_key = str_make(touch->event_key, KEY_SIZE);
        row.channel = stored->touches->input->set.channels[touch->channel];
    }
    return found(context, &row);
}

int attribute_stored_credits(struct attribute_stored *stored,
    const struct attribute_conversion *conversion,
    int (*found)(void *context, const struct attribute_touch_credit *credit), void *context)
{
    const struct attribute_options *options = stored->touches->input->options;
    int64_t original = 0, before = 0;
    int r = read_touches(stored, conversion);
    if (r == 0 && conversion->refund_of.size)
        r = read_original(stored, conversion, &original, &before);
    for (size_t i = 0; r == 0 && i < options->models_count; i++) {
        const struct credits *credits;
        if (options->models[i] <= ATTRIBUTE_PARTICIPATION)
            continue; /* the pipeline's own */
        r = credit(stored, i, conversion, original, before, &credits);
        for (size_t k = 0; r == 0 && k < credits->count; k++)
            r = give(stored, i, &credits->items[k], found, context);
    }
    return r;
}
