/* Source: ATTRIBUTION, "Touch". */
#include "enrich/journey/fold.h"

#include "schemas/error.h"

/* Of a store or call id; forging one changes only one's own touches. */
static uint64_t contact_id(struct str id)
{
    return id.size ? hash64(id) : 0;
}

/* The contact of that kind and id within JOURNEY_NEAR_MICROS before, or NULL; drops older ones. */
static struct near_contact *find_contact(
    struct fold *fold, enum touch_kind kind, struct str id, int64_t at)
{
    struct near_contact *found = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < fold->contacts_count; i++) {
        struct near_contact *contact = &fold->contacts[i];
        if ((uint64_t)at - (uint64_t)contact->last_at > JOURNEY_NEAR_MICROS)
            continue;
        fold->contacts[kept] = *contact;
        if (contact->kind == kind && contact->id == contact_id(id))
            found = &fold->contacts[kept];
        kept++;
    }
    fold->contacts_count = kept;
    return found;
}

static int remember_contact(struct fold *fold, enum touch_kind kind, struct str id, int64_t at)
{
    struct near_contact *contact = find_contact(fold, kind, id, at);
    if (!contact) {
        if (fold->contacts_count == fold->contacts_room) {
            void *more = array_grow(fold->contacts, &fold->contacts_room, sizeof *fold->contacts);
            if (!more)
                return ERR_NO_MEMORY;
            fold->contacts = more;
        }
        contact = &fold->contacts[fold->contacts_count++];
        *contact = (struct near_contact){.kind = kind, .id = contact_id(id)};
    }
    contact->last_at = at;
    return 0;
}

/* What the event is by its type alone. */
static enum touch_kind own_kind(const struct moment *moment)
{
    const struct moment_type *type = moment->type;
    if (type->touch == TOUCH_KIND_MESSAGE || type->touch == TOUCH_KIND_SCAN)
        return moment->direct_mail ? TOUCH_KIND_DIRECT_MAIL : type->touch;
    if (type->response_only && !moment->direct_mail)
        return TOUCH_KIND_NONE;
    return type->touch;
}

/* Events of one call are one touch; of a call that we made, none. */
static int call_touch(struct fold *fold, struct moment *moment)
{
    enum touch_kind kind = moment->type->touch;
    if (moment->outbound)
        return 0;
    if (!find_contact(fold, kind, moment->call_id, moment->place.at))
        moment->touch = kind;
    return remember_contact(fold, kind, moment->call_id, moment->place.at);
}

/* Sets the touch of a purchase in a store or an order in a call. */
static void implied_touch(struct fold *fold, struct moment *moment, struct str *implied_channel,
    const struct journey_config *config)
{
    int64_t at = moment->place.at;
    const struct moment_type *type = moment->type;
    if (type->implies_store && !find_contact(fold, TOUCH_KIND_STORE, moment->store_id, at)) {
        moment->touch = TOUCH_KIND_STORE;
        *implied_channel = moment->rule_channel.size ? moment->rule_channel : config->store_channel;
    } else if (type->conversion && !type->implies_store && moment->has_call &&
               type->class != EVENT_CLASS_CALL &&
               !find_contact(fold, TOUCH_KIND_CALL, moment->call_id, at)) {
        moment->touch = TOUCH_KIND_CALL;
        *implied_channel = config->call_channel;
    }
}

/* An order's channel says where it was made: that is no touch of its own. */
static bool may_declare(const struct moment *moment)
{
    const struct moment_type *type = moment->type;
    return moment->own_channel.size && !type->conversion && type->class != EVENT_CLASS_IDENTITY &&
           type->class != EVENT_CLASS_ORDER;
}

int fold_touch_of(struct folder *folder, struct fold *fold, struct moment *moment,
    bool session_begun, bool *before)
{
    struct str channel = moment->rule_channel;
    int r = 0;
    moment->touch = session_begun ? TOUCH_KIND_VISIT : TOUCH_KIND_NONE;
    *before = session_begun;
    if (moment->type->call) {
        r = call_touch(fold, moment);
    } else if (!session_begun) {
        moment->touch = own_kind(moment);
        if (moment->touch == TOUCH_KIND_NONE) {
            implied_touch(fold, moment, &channel, folder->config);
            *before = moment->touch != TOUCH_KIND_NONE;
        }
    }
    if (r == 0 && str_equal(moment->type->name, STR("store_visited")))
        r = remember_contact(fold, TOUCH_KIND_STORE, moment->store_id, moment->place.at);
    bool earns = moment->touch != TOUCH_KIND_NONE && moment->touch != TOUCH_KIND_IMPRESSION;
    if (!earns && may_declare(moment))
        moment->touch = TOUCH_KIND_DECLARED;
    moment->channel = moment->own_channel.size ? moment->own_channel : channel;
    return r;
}

/* Cuts a long text, not within a UTF-8 character. */
static int intern_cut(struct folder *folder, struct str text, uint32_t *number)
{
    if (text.size > TOUCH_TEXT_SIZE_MAX) {
        text.size = TOUCH_TEXT_SIZE_MAX;
        while (text.size && ((unsigned char)text.data[text.size] & 0xc0) == 0x80)
            text.size--;
    }
    return intern_add(folder->intern, text, number);
}

static int intern_texts(struct folder *folder, const struct moment *moment, struct fold_touch *out)
{
    int r = intern_cut(folder, moment->channel, &out->channel);
    if (r == 0)
        r = intern_cut(folder, moment->source, &out->source);
    if (r == 0)
        r = intern_cut(folder, moment->medium, &out->medium);
    if (r == 0)
        r = intern_cut(folder, moment->campaign, &out->campaign);
    if (r == 0)
        r = intern_cut(folder, moment->message, &out->message);
    return r;
}

/* Keeps the newest path_touches_max, moving them only once in a while. */
static void drop_oldest(struct fold *fold, size_t max)
{
    size_t dropped = fold->touches_count - max;
    memmove(fold->touches, fold->touches + dropped, max * sizeof *fold->touches);
    fold->touches_count = max;
    fold->open_from = fold->open_from > dropped ? fold->open_from - dropped : 0;
}

int fold_touch_add(struct folder *folder, struct fold *fold, const struct moment *moment)
{
    fold->touches_total++;
    if (moment->touch == TOUCH_KIND_IMPRESSION && !folder->config->impressions_earn_credit)
        return 0;
    if (fold->touches_count >= 2 * folder->config->path_touches_max)
        drop_oldest(fold, folder->config->path_touches_max);
    if (fold->touches_count == fold->touches_room) {
        void *more = array_grow(fold->touches, &fold->touches_room, sizeof *fold->touches);
        if (!more)
            return ERR_NO_MEMORY;
        fold->touches = more;
    }
    struct fold_touch *touch = &fold->touches[fold->touches_count];
    *touch = (struct fold_touch){.at = moment->place.at, .kind = moment->touch};
    memcpy(touch->event_key, moment->place.event_key, KEY_SIZE);
    int r = intern_texts(folder, moment, touch);
    fold->touches_count += r == 0;
    return r;
}
