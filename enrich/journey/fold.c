/* The order of the parts: a session first (it may make a touch), a touch that stands before its
 * event, the conversion or refund, a touch that is the event. */
#include "enrich/journey/fold.h"

#include <stdlib.h>

#include "schemas/error.h"

#define ARRAY_MIN ((size_t)4)

void *array_grow(void *items, size_t *room, size_t item_size)
{
    size_t wanted = *room ? *room * 2 : ARRAY_MIN;
    void *more = realloc(items, wanted * item_size);
    if (more)
        *room = wanted;
    return more;
}

#define POSITION_PART_MAX 1000

static bool position_valid(const struct rule_position *parts)
{
    return parts->first <= POSITION_PART_MAX && parts->middle <= POSITION_PART_MAX &&
           parts->last <= POSITION_PART_MAX;
}

bool journey_credits_fit(const struct journey_config *config)
{
    size_t sharing = 0, credits = 0;
    for (int m = RULE_MODEL_UNKNOWN + 1; m < RULE_MODEL_CONFIGURED; m++)
        rule_shares((enum rule_model)m) ? sharing++ : credits++;
    for (size_t i = 0; i < config->models_count; i++)
        if (model_is_rule(&config->models[i]))
            rule_shares(config->models[i].rule) ? sharing++ : credits++;
    return config->path_touches_max * sharing + credits <= RULE_CREDITS_MAX;
}

static bool valid(const struct journey_config *config)
{
    return config->path_touches_max >= 1 && config->path_touches_max <= RULE_TOUCHES_MAX &&
           config->timeline_events_max >= 1 &&
           config->timeline_events_max <= JOURNEY_TIMELINE_EVENTS_LIMIT &&
           config->rules.half_life_micros >= 1 && position_valid(&config->rules.position) &&
           position_valid(&config->rules.j_shape) && position_valid(&config->rules.inverse_j) &&
           config->session_timeout_micros >= 1 && config->lookback_micros >= 0 &&
           config->lookback_impression_micros >= 0 &&
           config->conversion_types_count <= JOURNEY_CONVERSION_TYPES_MAX &&
           config->models_count <= MODELS_CONFIGURED_MAX && journey_credits_fit(config);
}

int folder_init(struct folder *folder, const struct journey_config *config)
{
    *folder = (struct folder){.config = config};
    if (!valid(config))
        return ERR_CONFIG;
    int r = moment_types_new(config, &folder->types);
    if (r == 0)
        r = intern_new(&folder->intern);
    if (r < 0)
        folder_fini(folder);
    return r;
}

void folder_fini(struct folder *folder)
{
    moment_types_free(&folder->types);
    intern_free(&folder->intern);
    credits_free(&folder->credits);
    free(folder->rows);
    free(folder->path);
    free(folder->rule_path);
    buf_free(&folder->id);
    *folder = (struct folder){.rows_count = 0};
}

void folder_begin(struct folder *folder, struct fold *fold)
{
    folder->rows_count = 0;
    for (size_t i = 0; i < fold->sessions_count; i++)
        fold->sessions[i].row = FOLD_NO_ROW;
}

void fold_free(struct fold *fold)
{
    free(fold->sessions);
    free(fold->contacts);
    free(fold->touches);
    free(fold->orders);
    free(fold->orders_slots);
    buf_free(&fold->ids);
    free(fold->waiting);
    free(fold->revenue);
    *fold = (struct fold){.events = 0};
}

void fold_clear(struct fold *fold)
{
    struct fold kept = *fold;
    free(fold->orders_slots);
    buf_clear(&kept.ids);
    *fold = (struct fold){
        .sessions = kept.sessions,
        .sessions_room = kept.sessions_room,
        .contacts = kept.contacts,
        .contacts_room = kept.contacts_room,
        .touches = kept.touches,
        .touches_room = kept.touches_room,
        .orders = kept.orders,
        .orders_room = kept.orders_room,
        .ids = kept.ids,
        .waiting = kept.waiting,
        .waiting_room = kept.waiting_room,
        .revenue = kept.revenue,
        .revenue_room = kept.revenue_room,
    };
}

size_t fold_size(const struct fold *fold)
{
    return fold->sessions_room * sizeof *fold->sessions +
           fold->contacts_room * sizeof *fold->contacts +
           fold->touches_room * sizeof *fold->touches + fold->orders_room * sizeof *fold->orders +
           fold->orders_slots_size * sizeof *fold->orders_slots + fold->ids.capacity +
           fold->waiting_room * sizeof *fold->waiting + fold->revenue_room * sizeof *fold->revenue;
}

int fold_step(struct folder *folder, struct fold *fold, struct moment *moment)
{
    bool begun = false, before = false;
    int r = 0;
    moment->has_session = false;
    if (moment->type->class == EVENT_CLASS_LEDGER) {
        /* Stands on the timeline of its own identifier, which is nobody: no profile, no touch. */
        moment->touch = TOUCH_KIND_NONE;
        moment->channel = moment->own_channel;
        return 0;
    }
    if (moment->type->class == EVENT_CLASS_WEB)
        r = fold_session(folder, fold, moment, &begun);
    if (r == 0)
        r = fold_touch_of(folder, fold, moment, begun, &before);
    if (r == 0 && before)
        r = fold_touch_add(folder, fold, moment);
    if (r == 0 && moment->type->conversion)
        r = fold_conversion(folder, fold, moment);
    else if (r == 0 && moment->type->refund != REFUND_NONE)
        r = fold_take_back(folder, fold, moment);
    if (r == 0 && !before && moment->touch != TOUCH_KIND_NONE)
        r = fold_touch_add(folder, fold, moment);
    if (r == 0 && moment->type->milestones && fold->touches_count)
        fold->touches[fold->touches_count - 1].milestones |= moment->type->milestones;
    fold->events++;
    fold->last = moment->place;
    return r;
}
