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
    .text = key, .name = STR_INIT(key), .kind = EVENT_FIELD_##what,                                \
    .offset = offsetof(struct type, member)
#define PLAIN(key, what) .text = key, .name = STR_INIT(key), .kind = EVENT_FIELD_##what
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
static const struct event_part part_campaign = {campaign_fields, 7, 0, 0, 0x6E789E6AA1B965F4,
    {[5] = 6, [6] = 1, [18] = 2, [20] = 7, [26] = 5, [43] = 3, [51] = 4}};

static const struct event_field click_fields[] = {
    {TEXT(click, kind)},
    {TEXT(click, value)},
};
static const struct event_part part_click = {
    click_fields, 2, 1u << 0 | 1u << 1, 0, 0xE220A8397B1DCDAF, {[11] = 1, [53] = 2}};

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
static const struct event_part part_page = {page_fields, 8, 0, 0, 0x6E789E6AA1B965F4,
    {[7] = 5, [12] = 6, [16] = 7, [21] = 8, [24] = 1, [30] = 3, [55] = 2, [56] = 4}};

static const struct event_field device_fields[] = {
    {TEXT(device, app)},
    {TEXT(device, app_version)},
    {TEXT(device, browser)},
    {FIELD("kind", device, kind, ENUM), .names = &device_kind_names},
    {TEXT(device, locale)},
    {TEXT(device, os)},
    {TEXT(device, screen)},
};
static const struct event_part part_device = {device_fields, 7, 0, 0, 0x06C45D188009454F,
    {[0] = 3, [2] = 4, [7] = 5, [12] = 6, [18] = 1, [19] = 2, [48] = 7}};

static const struct event_field geo_fields[] = {
    {TEXT(geo, city)},
    {TEXT(geo, country)},
    {TEXT(geo, region)},
};
static const struct event_part part_geo = {
    geo_fields, 3, 0, 0, 0xE220A8397B1DCDAF, {[21] = 3, [41] = 2, [49] = 1}};

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
static const struct event_part part_order = {order_fields, 9, 0, 0, 0x6E789E6AA1B965F4,
    {[20] = 9, [21] = 7, [28] = 1, [30] = 8, [31] = 4, [35] = 2, [43] = 5, [45] = 3, [61] = 6}};

static const struct event_field item_fields[] = {
    {TEXT(order_item, category)},
    {FIELD("price", order_item, price_minor, MONEY)},
    {FIELD("quantity", order_item, quantity, LONG), .standard = 1},
    {TEXT(order_item, sku)},
};
const struct event_part event_part_item = {
    item_fields, 4, 0, 1u << 2, 0xE220A8397B1DCDAF, {[11] = 3, [35] = 1, [44] = 2, [48] = 4}};

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
static const struct event_part part_call = {call_fields, 9, 0, 0, 0x06C45D188009454F,
    {[13] = 2, [19] = 6, [21] = 4, [27] = 7, [35] = 3, [39] = 9, [40] = 5, [48] = 8, [62] = 1}};

static const struct event_field store_fields[] = {
    {TEXT(store, area)},
    {TEXT(store, staff)},
    {TEXT(store, store_id)},
    {TEXT(store, terminal)},
};
static const struct event_part part_store = {
    store_fields, 4, 0, 0, 0xE220A8397B1DCDAF, {[21] = 3, [31] = 2, [55] = 4, [58] = 1}};

static const struct event_field message_fields[] = {
    {FIELD("kind", message, kind, ENUM), .names = &message_kind_names},
    {TEXT(message, link)},
    {TEXT(message, message_id)},
    {TEXT(message, template)},
};
static const struct event_part part_message = {
    message_fields, 4, 0, 0, 0xE220A8397B1DCDAF, {[11] = 1, [39] = 3, [40] = 2, [42] = 4}};

static const struct event_field evidence_fields[] = {
    {PLAIN("a", NODE_A)},
    {FIELD("authority", evidence, authority, INT), .trusted = true},
    {PLAIN("b", NODE_B)},
    {TEXT(evidence, reason)},
    {FIELD("sign", evidence, sign, INT), .standard = 1},
};
static const struct event_part part_evidence = {evidence_fields, 5, 1u << 0 | 1u << 2, 1u << 4,
    0xE220A8397B1DCDAF, {[28] = 3, [36] = 1, [40] = 4, [57] = 5, [61] = 2}};

static const struct event_field client_fields[] = {
    {TEXT(client, address)},
    {TEXT(client, library)},
    {TEXT(client, user_agent)},
};
static const struct event_part part_client = {
    client_fields, 3, 0, 0, 0xE220A8397B1DCDAF, {[7] = 2, [18] = 1, [20] = 3}};

static const struct event_field consent_fields[] = {
    {FIELD("ads", consent, ads, CHOICE)},
    {FIELD("analytics", consent, analytics, CHOICE)},
    {FIELD("personalisation", consent, personalisation, CHOICE)},
};
static const struct event_part part_consent = {
    consent_fields, 3, 0, 0, 0xE220A8397B1DCDAF, {[4] = 3, [38] = 2, [42] = 1}};

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
    0x44ADDD817DB8B4DF,
    {[1] = 26,
        [4] = 12,
        [6] = 8,
        [9] = 16,
        [11] = 7,
        [12] = 10,
        [13] = 17,
        [15] = 22,
        [18] = 23,
        [23] = 27,
        [25] = 14,
        [28] = 21,
        [34] = 4,
        [37] = 3,
        [39] = 13,
        [44] = 15,
        [45] = 11,
        [46] = 6,
        [47] = 9,
        [49] = 19,
        [51] = 25,
        [52] = 1,
        [53] = 5,
        [54] = 2,
        [57] = 20,
        [58] = 24,
        [61] = 18}};

/* What event_field_find() keeps of 16 bytes, by the size of a name. */
#define WORDS(n)                                                                                   \
    {                                                                                              \
        (n) >= 8 ? UINT64_MAX : ((uint64_t)1 << 8 * ((n) % 8)) - 1,                                \
            (n) <= 8    ? 0                                                                        \
            : (n) == 16 ? UINT64_MAX                                                               \
                        : ((uint64_t)1 << 8 * ((n) % 8)) - 1                                       \
    }
const uint64_t event_field_masks[EVENT_FIELD_NAME_SIZE_MAX + 1][2] = {WORDS(0), WORDS(1), WORDS(2),
    WORDS(3), WORDS(4), WORDS(5), WORDS(6), WORDS(7), WORDS(8), WORDS(9), WORDS(10), WORDS(11),
    WORDS(12), WORDS(13), WORDS(14), WORDS(15), WORDS(16)};

const struct event_field *event_field_find(const struct event_part *part, struct str name)
{
    char padded[EVENT_FIELD_NAME_SIZE_MAX] = {0};
    if (name.size == 0 || name.size > sizeof(padded))
        return NULL;
    memcpy(padded, name.data, name.size);
    return event_field_find_padded(part, str_make(padded, name.size));
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
