/* The tables. Add a field in the order of names, then to by_size and from: the unit test finds what
 * is off. */
#include "schemas/event_fields.h"

#include "schemas/nearest.h"

#define ENUM_NAMES(type, total)                                                                    \
    static const char *type##_text(int value)                                                      \
    {                                                                                              \
        return type##_name((enum type)value);                                                      \
    }                                                                                              \
    static const struct event_enum type##_names = {type##_text, type##_from_name, (total)}

ENUM_NAMES(protocol, PROTOCOL_COUNT);
ENUM_NAMES(time_quality, TIME_QUALITY_COUNT);
ENUM_NAMES(device_kind, DEVICE_KIND_COUNT);
ENUM_NAMES(order_facet, ORDER_FACET_COUNT);
ENUM_NAMES(call_direction, CALL_DIRECTION_COUNT);
ENUM_NAMES(message_kind, MESSAGE_KIND_COUNT);

#define FIELD(key, type, member, what)                                                             \
    .name = STR_INIT(key), .kind = EVENT_FIELD_##what, .offset = offsetof(struct type, member)
#define PLAIN(key, what) .name = STR_INIT(key), .kind = EVENT_FIELD_##what
#define PART(key)                                                                                  \
    FIELD(#key, touchpoint, key, PART), .has = offsetof(struct touchpoint, has_##key),             \
                                        .part = &part_##key
#define TEXT(type, member) FIELD(#member, type, member, TEXT)

static const struct event_field campaign_fields[] = {
    {TEXT(campaign, content)},
    {TEXT(campaign, id)},
    {TEXT(campaign, medium)},
    {TEXT(campaign, message)},
    {TEXT(campaign, name)},
    {TEXT(campaign, source)},
    {TEXT(campaign, term)},
};
static const uint8_t campaign_by_size[] = {1, 4, 6, 2, 5, 0, 3};
static const struct event_part part_campaign = {campaign_fields, 7, 0, 0, campaign_by_size,
    {0, 0, 0, 1, 1, 3, 3, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7}};

static const struct event_field click_fields[] = {
    {TEXT(click, kind)},
    {TEXT(click, value)},
};
static const uint8_t click_by_size[] = {0, 1};
static const struct event_part part_click = {click_fields, 2, 1u << 0 | 1u << 1, 0, click_by_size,
    {0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}};

static const struct event_field page_fields[] = {
    {TEXT(page, host)},
    {TEXT(page, path)},
    {TEXT(page, query)},
    {PLAIN("referrer", REFERRER)},
    {TEXT(page, referrer_host)},
    {TEXT(page, referrer_path)},
    {TEXT(page, title)},
    {PLAIN("url", URL)},
};
static const uint8_t page_by_size[] = {7, 0, 1, 2, 6, 3, 4, 5};
static const struct event_part part_page = {
    page_fields, 8, 0, 0, page_by_size, {0, 0, 0, 0, 1, 3, 5, 5, 5, 6, 6, 6, 6, 6, 8, 8, 8}};

static const struct event_field device_fields[] = {
    {TEXT(device, app)},
    {TEXT(device, app_version)},
    {TEXT(device, browser)},
    {FIELD("kind", device, kind, ENUM), .names = &device_kind_names},
    {TEXT(device, locale)},
    {TEXT(device, os)},
    {TEXT(device, screen)},
};
static const uint8_t device_by_size[] = {5, 0, 3, 4, 6, 2, 1};
static const struct event_part part_device = {
    device_fields, 7, 0, 0, device_by_size, {0, 0, 0, 1, 2, 3, 3, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7}};

static const struct event_field geo_fields[] = {
    {TEXT(geo, city)},
    {TEXT(geo, country)},
    {TEXT(geo, region)},
};
static const uint8_t geo_by_size[] = {0, 2, 1};
static const struct event_part part_geo = {
    geo_fields, 3, 0, 0, geo_by_size, {0, 0, 0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3}};

static const struct event_field order_fields[] = {
    {TEXT(order, coupon)},
    {TEXT(order, currency)},
    {FIELD("discount", order, discount_minor, MONEY)},
    {FIELD("facet", order, facet, ENUM), .names = &order_facet_names},
    {FIELD("items", order, items, ITEMS)},
    {TEXT(order, order_id)},
    {FIELD("revenue", order, revenue_minor, MONEY)},
    {FIELD("shipping", order, shipping_minor, MONEY)},
    {FIELD("tax", order, tax_minor, MONEY)},
};
static const uint8_t order_by_size[] = {8, 3, 4, 0, 6, 1, 2, 5, 7};
static const struct event_part part_order = {
    order_fields, 9, 0, 0, order_by_size, {0, 0, 0, 0, 1, 1, 3, 4, 5, 9, 9, 9, 9, 9, 9, 9, 9}};

static const struct event_field item_fields[] = {
    {TEXT(order_item, category)},
    {FIELD("price", order_item, price_minor, MONEY)},
    {FIELD("quantity", order_item, quantity, LONG), .standard = 1},
    {TEXT(order_item, sku)},
};
static const uint8_t item_by_size[] = {3, 1, 0, 2};
const struct event_part event_part_item = {
    item_fields, 4, 0, 1u << 2, item_by_size, {0, 0, 0, 0, 1, 1, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4}};

static const struct event_field call_fields[] = {
    {TEXT(call, agent)},
    {TEXT(call, call_id)},
    {FIELD("direction", call, direction, ENUM), .names = &call_direction_names},
    {TEXT(call, outcome)},
    {TEXT(call, parent_id)},
    {TEXT(call, queue)},
    {TEXT(call, reason)},
    {FIELD("talk_ms", call, talk_ms, LONG)},
    {FIELD("wait_ms", call, wait_ms, LONG)},
};
static const uint8_t call_by_size[] = {0, 5, 6, 1, 3, 7, 8, 2, 4};
static const struct event_part part_call = {
    call_fields, 9, 0, 0, call_by_size, {0, 0, 0, 0, 0, 0, 2, 3, 7, 7, 9, 9, 9, 9, 9, 9, 9}};

static const struct event_field store_fields[] = {
    {TEXT(store, area)},
    {TEXT(store, staff)},
    {TEXT(store, store_id)},
    {TEXT(store, terminal)},
};
static const uint8_t store_by_size[] = {0, 1, 2, 3};
static const struct event_part part_store = {
    store_fields, 4, 0, 0, store_by_size, {0, 0, 0, 0, 0, 1, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4}};

static const struct event_field message_fields[] = {
    {FIELD("kind", message, kind, ENUM), .names = &message_kind_names},
    {TEXT(message, link)},
    {TEXT(message, message_id)},
    {TEXT(message, template)},
};
static const uint8_t message_by_size[] = {0, 1, 3, 2};
static const struct event_part part_message = {
    message_fields, 4, 0, 0, message_by_size, {0, 0, 0, 0, 0, 2, 2, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4}};

static const struct event_field evidence_fields[] = {
    {PLAIN("a", NODE_A)},
    {FIELD("authority", evidence, authority, INT), .trusted = true},
    {PLAIN("b", NODE_B)},
    {TEXT(evidence, reason)},
    {FIELD("sign", evidence, sign, INT), .standard = 1},
};
static const uint8_t evidence_by_size[] = {0, 2, 4, 3, 1};
static const struct event_part part_evidence = {evidence_fields, 5, 1u << 0 | 1u << 2, 1u << 4,
    evidence_by_size, {0, 0, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5}};

static const struct event_field client_fields[] = {
    {TEXT(client, address)},
    {TEXT(client, library)},
    {TEXT(client, user_agent)},
};
static const uint8_t client_by_size[] = {0, 1, 2};
static const struct event_part part_client = {
    client_fields, 3, 0, 0, client_by_size, {0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 3, 3, 3, 3, 3, 3}};

static const struct event_field consent_fields[] = {
    {FIELD("ads", consent, ads, CHOICE)},
    {FIELD("analytics", consent, analytics, CHOICE)},
    {FIELD("personalisation", consent, personalisation, CHOICE)},
};
static const uint8_t consent_by_size[] = {0, 1, 2};
static const struct event_part part_consent = {
    consent_fields, 3, 0, 0, consent_by_size, {0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3}};

static const struct event_field touchpoint_fields[] = {
    {FIELD("adapter_version", touchpoint, adapter_version, INT), .trusted = true},
    {FIELD("bot", touchpoint, bot, BOOL)},
    {PART(call)},
    {PART(campaign)},
    {TEXT(touchpoint, channel), .trusted = true},
    {PART(click)},
    {PART(client)},
    {FIELD("consent", touchpoint, consent, CONSENT), .part = &part_consent},
    {PART(device)},
    {FIELD("event_key", touchpoint, event_key, KEY), .trusted = true},
    {PART(evidence)},
    {PART(geo)},
    {FIELD("id", touchpoint, event_id, EVENT_ID)},
    {FIELD("ids", touchpoint, identifiers, IDS)},
    {PART(message)},
    {PART(order)},
    {PART(page)},
    {FIELD("properties", touchpoint, properties, PROPERTIES)},
    {FIELD("protocol", touchpoint, protocol, ENUM), .trusted = true, .names = &protocol_names},
    {FIELD("received_at", touchpoint, received_at, MICROS), .trusted = true},
    {FIELD("sequence", touchpoint, sequence, LONG)},
    {TEXT(touchpoint, source), .trusted = true},
    {PART(store)},
    {FIELD("time", touchpoint, occurred_at, MICROS)},
    {FIELD("time_quality", touchpoint, time_quality, ENUM), .trusted = true,
        .names = &time_quality_names},
    {TEXT(touchpoint, traceparent)},
    {FIELD("type", touchpoint, type, TYPE)},
};
static const uint8_t touchpoint_by_size[] = {12, 1, 11, 13, 2, 16, 23, 26, 5, 15, 22, 6, 8, 21, 4,
    7, 14, 3, 10, 18, 20, 9, 17, 19, 25, 24, 0};
const struct event_part event_part_touchpoint = {touchpoint_fields, 27, 1u << 26, 0,
    touchpoint_by_size, {0, 0, 0, 1, 4, 8, 11, 14, 17, 21, 22, 23, 25, 26, 26, 26, 27}};

const struct event_field *event_field_find(const struct event_part *part, struct str name)
{
    if (name.size == 0 || name.size > EVENT_FIELD_NAME_SIZE_MAX)
        return NULL;
    for (size_t i = part->from[name.size]; i < part->from[name.size + 1]; i++) {
        const struct event_field *field = &part->fields[part->by_size[i]];
        if (field->name.data[0] == name.data[0] &&
            memcmp(field->name.data, name.data, name.size) == 0)
            return field;
    }
    return NULL;
}

struct str event_field_nearest(const struct event_part *part, bool trusted, struct str name)
{
    struct str names[EVENT_FIELDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < part->count; i++) {
        if (trusted || !part->fields[i].trusted)
            names[count++] = part->fields[i].name;
    }
    return nearest_name(name, names, count);
}
