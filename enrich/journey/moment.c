/* A small hash table of types, fixed once made. */
#include "enrich/journey/moment.h"

#include <stdlib.h>

#include "schemas/error.h"

#define VISITOR_MARK 0xff
#define SLOTS ((size_t)1024) /* power of two, far more than types */
#define SESSION_TIMEOUT_DEFAULT ((int64_t)30 * 60 * 1000000)
#define DAY_MICROS ((int64_t)86400 * 1000000)
#define LOOKBACK_DAYS_DEFAULT 90
#define PATH_TOUCHES_DEFAULT ((size_t)1000)
#define TIMELINE_EVENTS_DEFAULT 100000
#define CACHE_BYTES_DEFAULT ((size_t)64 << 20) /* a worker has one a partition */

static const struct str conversion_types_default[] = {
    STR_INIT("order_completed"), STR_INIT("store_purchase")};

void journey_config_default(struct journey_config *config)
{
    *config = (struct journey_config){
        .namespaces = namespace_table_default(),
        .session_timeout_micros = SESSION_TIMEOUT_DEFAULT,
        .lookback_micros = LOOKBACK_DAYS_DEFAULT * DAY_MICROS,
        .lookback_impression_micros = DAY_MICROS,
        .rules = rule_config_default(),
        .conversion_types = conversion_types_default,
        .conversion_types_count =
            sizeof conversion_types_default / sizeof *conversion_types_default,
        .path_touches_max = PATH_TOUCHES_DEFAULT,
        .timeline_events_max = TIMELINE_EVENTS_DEFAULT,
        .direct_channel = STR("Direct"),
        .store_channel = STR("Store"),
        .call_channel = STR("Call Center"),
        .cache_bytes_max = CACHE_BYTES_DEFAULT,
    };
}

/* ---- types ---- */

struct moment_types {
    struct moment_type slots[SLOTS];
    size_t count;
};

static const struct moment_type other_type;

/* Source: ATTRIBUTION, "Touch" and "Refund". */
static const struct moment_type rules[] = {
    {STR_INIT("page_viewed"), .page_view = true},
    {STR_INIT("screen_viewed"), .page_view = true},
    {STR_INIT("ad_clicked"), .touch = TOUCH_KIND_CLICK},
    {STR_INIT("ad_impression"), .touch = TOUCH_KIND_IMPRESSION},
    {STR_INIT("message_opened"), .touch = TOUCH_KIND_MESSAGE},
    {STR_INIT("message_clicked"), .touch = TOUCH_KIND_MESSAGE},
    {STR_INIT("call_started"), .touch = TOUCH_KIND_CALL, .call = true},
    {STR_INIT("call_answered"), .touch = TOUCH_KIND_CALL, .call = true},
    {STR_INIT("call_ended"), .touch = TOUCH_KIND_CALL, .call = true},
    {STR_INIT("call_abandoned"), .touch = TOUCH_KIND_CALL, .call = true},
    {STR_INIT("chat_started"), .touch = TOUCH_KIND_CHAT, .call = true},
    {STR_INIT("chat_ended"), .touch = TOUCH_KIND_CHAT, .call = true},
    {STR_INIT("store_visited"), .touch = TOUCH_KIND_STORE},
    {STR_INIT("staff_consulted"), .touch = TOUCH_KIND_STORE},
    {STR_INIT("qr_scanned"), .touch = TOUCH_KIND_SCAN},
    {STR_INIT("coupon_redeemed"), .touch = TOUCH_KIND_DIRECT_MAIL, .response_only = true},
    {STR_INIT("store_purchase"), .implies_store = true},
    {STR_INIT("order_cancelled"), .refund = REFUND_CANCEL},
    {STR_INIT("order_refunded"), .refund = REFUND_AMOUNT},
    {STR_INIT("item_returned"), .refund = REFUND_ITEMS},
};

static struct moment_type *slot_of(struct moment_types *types, struct str name)
{
    size_t at = (size_t)hash64(name) & (SLOTS - 1);
    while (types->slots[at].name.size && !str_equal(types->slots[at].name, name))
        at = (at + 1) & (SLOTS - 1);
    return &types->slots[at];
}

static struct moment_type *add(struct moment_types *types, struct str name)
{
    struct moment_type *type = slot_of(types, name);
    if (type->name.size == 0) {
        check(++types->count < SLOTS / 2);
        *type = (struct moment_type){.name = name, .class = event_type_class(name)};
    }
    return type;
}

int moment_types_new(const struct journey_config *config, struct moment_types **out)
{
    if (config->conversion_types_count > JOURNEY_CONVERSION_TYPES_MAX ||
        config->lead_types_count > JOURNEY_CONVERSION_TYPES_MAX ||
        config->opportunity_types_count > JOURNEY_CONVERSION_TYPES_MAX)
        return ERR_TOO_MANY;
    struct moment_types *types = calloc(1, sizeof *types);
    if (!types)
        return ERR_NO_MEMORY;
    size_t count;
    const struct str *canonical = event_types(&count);
    for (size_t i = 0; i < count; i++)
        (void)add(types, canonical[i]);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct moment_type *type = add(types, rules[i].name);
        enum event_class class = type->class;
        *type = rules[i];
        type->class = class;
    }
    for (size_t i = 0; i < config->conversion_types_count; i++)
        if (config->conversion_types[i].size)
            add(types, config->conversion_types[i])->conversion = true;
    for (size_t i = 0; i < config->lead_types_count; i++)
        add(types, config->lead_types[i])->milestones |= RULE_TOUCH_LEAD;
    for (size_t i = 0; i < config->opportunity_types_count; i++)
        add(types, config->opportunity_types[i])->milestones |= RULE_TOUCH_OPPORTUNITY;
    *out = types;
    return 0;
}

void moment_types_free(struct moment_types **types)
{
    free(*types);
    *types = NULL;
}

const struct moment_type *moment_types_find(const struct moment_types *types, struct str name)
{
    size_t at = (size_t)hash64(name) & (SLOTS - 1);
    for (; types->slots[at].name.size; at = (at + 1) & (SLOTS - 1))
        if (str_equal(types->slots[at].name, name))
            return &types->slots[at];
    return &other_type;
}

/* ---- moments ---- */

int moment_place_compare(const struct moment_place *a, const struct moment_place *b)
{
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    return memcmp(a->event_key, b->event_key, KEY_SIZE);
}

static int64_t items_minor(const struct order *order)
{
    int64_t sum = 0;
    for (size_t i = 0; i < order->items_count; i++) {
        const struct order_item *item = &order->items[i];
        int64_t price;
        if (__builtin_mul_overflow(item->quantity, item->price_minor, &price) ||
            price == INT64_MIN || __builtin_add_overflow(sum, price < 0 ? -price : price, &sum))
            return INT64_MAX;
    }
    return sum;
}

static void read_parts(struct moment *out, const struct touchpoint *event)
{
    if (event->has_campaign) {
        out->source = event->campaign.source;
        out->medium = event->campaign.medium;
        out->campaign = event->campaign.name;
        out->message = event->campaign.message;
    }
    if (event->has_click) {
        out->click_kind = event->click.kind;
        out->click_value = event->click.value;
    }
    if (event->has_page) {
        out->landing_host = event->page.host;
        out->landing_path = event->page.path;
    }
    if (event->has_device && event->device.kind != DEVICE_KIND_UNKNOWN)
        out->device_kind = str_of(device_kind_name(event->device.kind));
    if (event->has_order) {
        out->order_id = event->order.order_id;
        out->currency = event->order.currency;
        out->revenue_minor = event->order.revenue_minor;
        if (out->type->refund != REFUND_NONE)
            out->items_minor = items_minor(&event->order);
    }
    if (event->has_call) {
        out->call_id = event->call.parent_id.size ? event->call.parent_id : event->call.call_id;
        out->outbound = event->call.direction == CALL_DIRECTION_OUTBOUND;
    }
    if (event->has_store)
        out->store_id = event->store.store_id;
}

/* A key that no node has: nodes begin with twice their rank. A hash that somebody could forge: only
 * one person's own visits then run together. */
static void set_visitor(struct moment *out, const struct touchpoint *event)
{
    static const struct str names[] = {STR_INIT("install"), STR_INIT("device"), STR_INIT("cookie")};
    memcpy(out->visitor, out->node, KEY_SIZE);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        const struct identifier *first = NULL;
        for (size_t i = 0; i < event->identifiers_count; i++) {
            const struct identifier *identifier = &event->identifiers[i];
            if (str_equal(identifier->namespace, names[n]) &&
                (!first || str_compare(identifier->value, first->value) < 0))
                first = identifier;
        }
        if (!first)
            continue;
        memset(out->visitor, VISITOR_MARK, KEY_SIZE);
        out->visitor[1] = (uint8_t)n;
        put_be64(out->visitor + 8, hash64(first->value));
        return;
    }
}

void moment_read(struct moment *out, const struct moment_types *types,
    const struct touchpoint *event, const uint8_t node[KEY_SIZE], struct str rule_channel)
{
    *out = (struct moment){
        .place = {.at = event->occurred_at, .sequence = event->sequence},
        .type = moment_types_find(types, event->type),
        .type_name = event->type,
        .event_id = event->event_id,
        .own_channel = event->channel,
        .rule_channel = rule_channel,
        .channel = event->channel.size ? event->channel : rule_channel,
        .has_call = event->has_call,
        .direct_mail = event->has_message && event->message.kind == MESSAGE_KIND_DIRECT_MAIL,
    };
    memcpy(out->place.event_key, event->event_key, KEY_SIZE);
    memcpy(out->node, node, KEY_SIZE);
    set_visitor(out, event);
    read_parts(out, event);
}
