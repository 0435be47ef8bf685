/* The tables. A new field: in the order of names; the unit test then says what the other numbers
 * must be. */
#include "schemas/event_fields.h"

#include "schemas/nearest.h"
#include "schemas/url.h"

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
    .size = sizeof(key) - 1, .text = key, .name = STR_INIT(key), .kind = EVENT_FIELD_##what,       \
    .offset = offsetof(struct type, member)
#define PLAIN(key, what)                                                                           \
    .size = sizeof(key) - 1, .text = key, .name = STR_INIT(key), .kind = EVENT_FIELD_##what
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
static const struct event_part part_campaign = {campaign_fields, 7, 0, 0, 0, 0xF88BB8A8724C81EC,
    {[13] = 0, [20] = 6, [30] = 1, [33] = 4, [41] = 5, [46] = 3, [62] = 2}};

static const struct event_field click_fields[] = {
    {TEXT(click, kind)},
    {TEXT(click, value)},
};
static const struct event_part part_click = {
    click_fields, 2, 1u << 0 | 1u << 1, 0, 0, 0xE220A8397B1DCDAF, {[27] = 0, [48] = 1}};

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
static const struct event_part part_page = {page_fields, 8, 0, 0, 0, 0x6E789E6AA1B965F4,
    {[4] = 7, [14] = 5, [20] = 1, [22] = 4, [27] = 3, [28] = 0, [54] = 2, [59] = 6}};

static const struct event_field device_fields[] = {
    {TEXT(device, app)},
    {TEXT(device, app_version)},
    {TEXT(device, browser)},
    {FIELD("kind", device, kind, ENUM), .names = &device_kind_names},
    {TEXT(device, locale)},
    {TEXT(device, os)},
    {TEXT(device, screen)},
};
static const struct event_part part_device = {device_fields, 7, 0, 0, 0, 0x6E789E6AA1B965F4,
    {[8] = 4, [18] = 2, [20] = 1, [38] = 0, [40] = 6, [48] = 3, [52] = 5}};

static const struct event_field geo_fields[] = {
    {TEXT(geo, city)},
    {TEXT(geo, country)},
    {TEXT(geo, region)},
};
static const struct event_part part_geo = {
    geo_fields, 3, 0, 0, 0, 0xE220A8397B1DCDAF, {[35] = 1, [46] = 2, [48] = 0}};

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
static const struct event_part part_order = {order_fields, 9, 0, 0, 0, 0x6E789E6AA1B965F4,
    {[0] = 8, [1] = 7, [6] = 1, [11] = 4, [15] = 3, [16] = 2, [32] = 5, [36] = 0, [44] = 6}};

static const struct event_field item_fields[] = {
    {TEXT(order_item, category)},
    {FIELD("price", order_item, price_minor, MONEY)},
    {FIELD("quantity", order_item, quantity, LONG), .standard = 1},
    {TEXT(order_item, sku)},
};
const struct event_part event_part_item = {
    item_fields, 4, 0, 1u << 2, 0, 0xE220A8397B1DCDAF, {[6] = 2, [21] = 3, [31] = 0, [50] = 1}};

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
static const struct event_part part_call = {call_fields, 9, 0, 0, 0, 0xE220A8397B1DCDAF,
    {[0] = 6, [15] = 3, [17] = 2, [21] = 1, [28] = 5, [31] = 7, [34] = 8, [47] = 0, [55] = 4}};

static const struct event_field store_fields[] = {
    {TEXT(store, area)},
    {TEXT(store, staff)},
    {TEXT(store, store_id)},
    {TEXT(store, terminal)},
};
static const struct event_part part_store = {
    store_fields, 4, 0, 0, 0, 0xE220A8397B1DCDAF, {[17] = 2, [24] = 0, [37] = 1, [51] = 3}};

static const struct event_field message_fields[] = {
    {FIELD("kind", message, kind, ENUM), .names = &message_kind_names},
    {TEXT(message, link)},
    {TEXT(message, message_id)},
    {TEXT(message, template)},
};
static const struct event_part part_message = {
    message_fields, 4, 0, 0, 0, 0xE220A8397B1DCDAF, {[27] = 0, [30] = 2, [38] = 3, [44] = 1}};

static const struct event_field evidence_fields[] = {
    {PLAIN("a", NODE_A)},
    {FIELD("authority", evidence, authority, INT), .trusted = true},
    {PLAIN("b", NODE_B)},
    {TEXT(evidence, reason)},
    {FIELD("sign", evidence, sign, INT), .standard = 1},
};
static const struct event_part part_evidence = {evidence_fields, 5, 1u << 0 | 1u << 2, 1u << 4,
    1u << 1, 0xE220A8397B1DCDAF, {[0] = 3, [19] = 0, [23] = 1, [30] = 4, [63] = 2}};

static const struct event_field client_fields[] = {
    {TEXT(client, address)},
    {TEXT(client, library)},
    {TEXT(client, user_agent)},
};
static const struct event_part part_client = {
    client_fields, 3, 0, 0, 0, 0xE220A8397B1DCDAF, {[8] = 0, [13] = 1, [59] = 2}};

static const struct event_field consent_fields[] = {
    {FIELD("ads", consent, ads, CHOICE)},
    {FIELD("analytics", consent, analytics, CHOICE)},
    {FIELD("personalisation", consent, personalisation, CHOICE)},
};
static const struct event_part part_consent = {
    consent_fields, 3, 0, 0, 0, 0xE220A8397B1DCDAF, {[16] = 0, [33] = 2, [53] = 1}};

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
const struct event_part event_part_touchpoint = {touchpoint_fields, 27, 1u << 26, 0,
    1u << 0 | 1u << 4 | 1u << 9 | 1u << 18 | 1u << 19 | 1u << 21 | 1u << 24, 0x282BE21753FD8812,
    {[0] = 14,
        [1] = 17,
        [2] = 24,
        [5] = 23,
        [10] = 22,
        [11] = 0,
        [13] = 1,
        [14] = 13,
        [16] = 15,
        [23] = 6,
        [25] = 7,
        [31] = 11,
        [33] = 26,
        [34] = 2,
        [37] = 5,
        [39] = 20,
        [41] = 25,
        [42] = 16,
        [44] = 21,
        [46] = 10,
        [49] = 18,
        [53] = 12,
        [55] = 19,
        [56] = 9,
        [59] = 3,
        [60] = 8,
        [61] = 4}};

const struct event_field *event_field_find(const struct event_part *part, struct str name)
{
    char padded[EVENT_FIELD_NAME_SIZE_MAX] = {0};
    if (name.size == 0 || name.size > sizeof(padded))
        return NULL;
    memcpy(padded, name.data, name.size);
    int index = event_field_index(part, str_make(padded, name.size));
    return index < 0 ? NULL : &part->fields[index];
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

int event_field_set_url(
    const struct event_field *field, struct str text, struct arena *arena, struct page *page)
{
    struct url url;
    int r = url_split(text, arena, &url);
    if (r < 0)
        return r;
    bool own = field->kind == EVENT_FIELD_URL;
    struct str *host = own ? &page->host : &page->referrer_host;
    struct str *path = own ? &page->path : &page->referrer_path;
    if (host->size == 0)
        *host = url.host;
    if (path->size == 0)
        *path = url.path;
    if (own && page->query.size == 0)
        page->query = url.query;
    return 0;
}
