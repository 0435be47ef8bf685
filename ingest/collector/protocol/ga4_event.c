/* The mapping of an event, part by part. What has no place of its own stays in properties. */
#include "ingest/collector/protocol/ga4_event.h"

#include <strings.h>

#include "ingest/collector/protocol/amount.h"
#include "ingest/collector/protocol/page_address.h"
#include "ingest/collector/protocol/segment_names.h"
#include "ingest/collector/protocol/segment_object.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/time.h"

#define IDENTIFIERS_ROOM 16
#define HASH_DIGITS 64 /* of SHA-256 */
#define PSEUDONYM_BYTES 16
#define MICROS_DIGITS_MAX 18
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* An event while it is read. */
struct reader {
    const struct ga4_message *message;
    struct arena *arena;
    struct touchpoint *event;
    struct event_problem *problem;
    struct json params;
    bool has_params;
    bool app;
};

static int fail(struct reader *reader, int error, struct str pointer, struct str hint)
{
    if (error == ERR_NO_MEMORY)
        return error;
    *reader->problem = (struct event_problem){.error = error, .pointer = pointer, .hint = hint};
    return error;
}

static int param(struct reader *reader, struct str key, struct str *out)
{
    *out = STR("");
    return reader->has_params ? segment_text(reader->params, key, reader->arena, out) : 0;
}

/* ---- head ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A letter, then letters, digits and '_'. */
static bool is_name(struct str name)
{
    if (name.size == 0 || !is_letter(name.data[0]))
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (!is_letter(name.data[i]) && !(name.data[i] >= '0' && name.data[i] <= '9') &&
            name.data[i] != '_')
            return false;
    return true;
}

static int read_type(struct reader *reader)
{
    static const struct {
        struct str name;
        struct str type;
    } renamed[] = {
        {STR_INIT("page_view"), STR_INIT("page_viewed")},
        {STR_INIT("screen_view"), STR_INIT("screen_viewed")},
        {STR_INIT("first_open"), STR_INIT("app_installed")},
        {STR_INIT("login"), STR_INIT("signed_in")},
        {STR_INIT("sign_up"), STR_INIT("signed_up")},
        {STR_INIT("search"), STR_INIT("searched")},
        {STR_INIT("view_search_results"), STR_INIT("searched")},
        {STR_INIT("view_item"), STR_INIT("product_viewed")},
        {STR_INIT("view_item_list"), STR_INIT("product_list_viewed")},
        {STR_INIT("select_item"), STR_INIT("product_clicked")},
        {STR_INIT("add_to_cart"), STR_INIT("product_added")},
        {STR_INIT("remove_from_cart"), STR_INIT("product_removed")},
        {STR_INIT("view_cart"), STR_INIT("cart_viewed")},
        {STR_INIT("begin_checkout"), STR_INIT("checkout_started")},
        {STR_INIT("purchase"), STR_INIT("order_completed")},
        {STR_INIT("refund"), STR_INIT("order_refunded")},
        {STR_INIT("generate_lead"), STR_INIT("form_submitted")},
        {STR_INIT("form_submit"), STR_INIT("form_submitted")},
        {STR_INIT("view_promotion"), STR_INIT("promotion_viewed")},
        {STR_INIT("select_promotion"), STR_INIT("promotion_clicked")},
        {STR_INIT("ad_click"), STR_INIT("ad_clicked")},
    };
    struct str name;
    struct segment_name slug;
    int r = segment_text_strict(reader->message->event, STR("name"), reader->arena, &name);
    if (r == 0 && name.size == 0)
        r = ERR_MISSING_FIELD;
    else if (r == 0 && !is_name(name))
        r = ERR_EVENT_TYPE;
    if (r < 0)
        return fail(reader, r, STR("/events/name"), STR("a letter, then letters, digits and _"));
    for (size_t i = 0; i < COUNT_OF(renamed); i++)
        if (str_equal(renamed[i].name, name)) {
            reader->event->type = renamed[i].type;
            return 0;
        }
    r = segment_name_read(name, reader->arena, &slug);
    if (r == 0)
        reader->event->type = slug.type;
    return r;
}

/* Whole microseconds since 1970, as a number or a text; 0 when absent. */
static int read_micros(struct json object, int64_t *out)
{
    struct json value;
    int64_t micros = 0;
    *out = 0;
    if (!json_get(object, STR("timestamp_micros"), &value) || json_kind(value) == JSON_NULL)
        return 0;
    if (json_kind(value) == JSON_INT) {
        *out = json_int(value);
        return *out > 0 ? 0 : ERR_TIME;
    }
    struct str text = json_kind(value) == JSON_TEXT ? json_text(value) : STR("");
    if (text.size == 0 || text.size > MICROS_DIGITS_MAX)
        return ERR_TIME;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return ERR_TIME;
        micros = micros * 10 + (text.data[i] - '0');
    }
    *out = micros;
    return 0;
}

static int read_time(struct reader *reader)
{
    static const struct str hint = STR_INIT("microseconds since 1970");
    int64_t micros;
    int r = read_micros(reader->message->event, &micros);
    if (r < 0)
        return fail(reader, r, STR("/events/timestamp_micros"), hint);
    if (micros == 0)
        r = read_micros(reader->message->body, &micros);
    if (r < 0)
        return fail(reader, r, STR("/timestamp_micros"), hint);
    reader->event->occurred_at = micros;
    reader->event->time_quality = micros ? TIME_QUALITY_CLIENT : TIME_QUALITY_UNKNOWN;
    return 0;
}

bool ga4_is_told_apart(struct json body, struct json event)
{
    struct json value;
    struct json params;
    return json_get(event, STR("timestamp_micros"), &value) ||
           json_get(body, STR("timestamp_micros"), &value) ||
           (segment_object(event, STR("params"), &params) &&
               json_get(params, STR("transaction_id"), &value));
}

/* ---- identity ---- */

static void identify(struct reader *reader, struct str name, struct str value)
{
    struct touchpoint *event = reader->event;
    if (value.size && event->identifiers_count < IDENTIFIERS_ROOM)
        event->identifiers[event->identifiers_count++] =
            (struct identifier){.namespace = name, .value = value};
}

/* 64 hex digits, in small letters. */
static bool read_hash(struct json value, char out[HASH_DIGITS])
{
    if (json_kind(value) != JSON_TEXT || json_text(value).size != HASH_DIGITS)
        return false;
    for (size_t i = 0; i < HASH_DIGITS; i++) {
        char c = json_text(value).data[i];
        out[i] = c >= 'A' && c <= 'F' ? (char)(c + ('a' - 'A')) : c;
        if (!(out[i] >= '0' && out[i] <= '9') && !(out[i] >= 'a' && out[i] <= 'f'))
            return false;
    }
    return true;
}

/* Anybody can make such a hash of an address that he guesses, so it is not stored either: it goes
 * the way of an address, and is made a pseudonym at the door. */
static int take_email_hash(struct reader *reader, const char digits[HASH_DIGITS])
{
    static const char domain[] = "@sha256.invalid";
    char text[HASH_DIGITS + sizeof domain];
    struct str value;
    memcpy(text, digits, HASH_DIGITS);
    memcpy(text + HASH_DIGITS, domain, sizeof domain);
    int r = arena_dup(reader->arena, str_make(text, sizeof text - 1), &value);
    if (r == 0)
        identify(reader, STR("email"), value);
    return r;
}

/* The same of a phone number; no number looks like a hash, so the pseudonym is made here. */
static int take_phone_hash(struct reader *reader, const char digits[HASH_DIGITS])
{
    static const char hex[] = "0123456789abcdef";
    const struct identifier_config *config = reader->message->identifiers;
    uint8_t digest[SHA256_SIZE];
    size_t size = config->key_id.size;
    char *text = arena_alloc(reader->arena, size + 1 + 2 * PSEUDONYM_BYTES);
    if (!text)
        return ERR_NO_MEMORY;
    hmac_sha256_with(&config->phone_key, str_make(digits, HASH_DIGITS), digest);
    memcpy(text, config->key_id.data, size);
    text[size++] = ':';
    for (size_t i = 0; i < PSEUDONYM_BYTES; i++) {
        text[size++] = hex[digest[i] >> 4];
        text[size++] = hex[digest[i] & 0x0f];
    }
    identify(reader, STR("phone"), str_make(text, size));
    return 0;
}

/* One hash, or an array of them. What is none identifies nobody. */
static int take_hashes(struct reader *reader, struct json user, struct str key,
    int (*take)(struct reader *reader, const char digits[HASH_DIGITS]))
{
    char digits[HASH_DIGITS];
    struct json value;
    struct json_iterator iterator;
    struct str none;
    int r = 0;
    if (!json_get(user, key, &value))
        return 0;
    if (json_kind(value) != JSON_ARRAY)
        return read_hash(value, digits) ? take(reader, digits) : 0;
    json_iterate(value, &iterator);
    while (r == 0 && json_next(&iterator, &none, &value))
        if (read_hash(value, digits))
            r = take(reader, digits);
    return r;
}

static int read_identifiers(struct reader *reader)
{
    static const struct {
        struct str key;
        struct str pointer;
        struct str name;
    } ids[] = {{STR_INIT("user_id"), STR_INIT("/user_id"), STR_INIT("login")},
        {STR_INIT("client_id"), STR_INIT("/client_id"), STR_INIT("cookie")},
        {STR_INIT("app_instance_id"), STR_INIT("/app_instance_id"), STR_INIT("install")}};
    struct json body = reader->message->body;
    struct json user;
    struct str value;
    reader->event->identifiers =
        arena_alloc(reader->arena, IDENTIFIERS_ROOM * sizeof *reader->event->identifiers);
    if (!reader->event->identifiers)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        int r = segment_text_strict(body, ids[i].key, reader->arena, &value);
        if (r < 0)
            return fail(reader, r, ids[i].pointer, STR("a text"));
        identify(reader, ids[i].name, value);
        reader->app = value.size && str_equal(ids[i].name, STR("install"));
    }
    if (reader->event->identifiers_count == 0)
        return fail(reader, ERR_NO_IDENTIFIER, STR("/client_id"),
            STR("client_id, app_instance_id or user_id"));
    if (!segment_object(body, STR("user_data"), &user))
        return 0;
    int r = take_hashes(reader, user, STR("sha256_email_address"), take_email_hash);
    return r < 0 ? r : take_hashes(reader, user, STR("sha256_phone_number"), take_phone_hash);
}

/* ---- consent ---- */

static enum choice choice_of(struct json consent, struct str key)
{
    struct json value;
    if (!json_get(consent, key, &value) || json_kind(value) != JSON_TEXT)
        return CHOICE_UNKNOWN;
    struct str text = json_text(value);
    if (text.size == 7 && strncasecmp(text.data, "granted", 7) == 0)
        return CHOICE_GRANTED;
    return text.size == 6 && strncasecmp(text.data, "denied", 6) == 0 ? CHOICE_DENIED
                                                                      : CHOICE_UNKNOWN;
}

static void read_consent(struct reader *reader)
{
    struct json consent;
    struct consent *out = &reader->event->consent;
    if (!segment_object(reader->message->body, STR("consent"), &consent))
        return;
    enum choice storage = choice_of(consent, STR("ad_storage"));
    enum choice user_data = choice_of(consent, STR("ad_user_data"));
    out->analytics = choice_of(consent, STR("analytics_storage"));
    out->ads = storage == CHOICE_DENIED || user_data == CHOICE_UNKNOWN ? storage : user_data;
    out->personalisation = choice_of(consent, STR("ad_personalization"));
}

/* ---- parts ---- */

static int read_page(struct reader *reader)
{
    struct page *out = &reader->event->page;
    struct str address;
    struct str referrer;
    page_init(out);
    int r = param(reader, STR("page_location"), &address);
    if (r == 0)
        r = param(reader, STR("page_referrer"), &referrer);
    if (r == 0)
        r = param(reader, STR("page_title"), &out->title);
    if (r == 0)
        r = page_address_read(address, referrer, reader->arena, out);
    reader->event->has_page = r == 0 && (address.size || referrer.size || out->title.size);
    return r;
}

static int read_device(struct reader *reader)
{
    struct device *out = &reader->event->device;
    struct json device;
    int r = 0;
    device_init(out);
    out->kind = reader->app ? DEVICE_KIND_APP : DEVICE_KIND_UNKNOWN;
    if (segment_object(reader->message->body, STR("device"), &device)) {
        const struct {
            struct str key;
            struct str *text;
        } members[] = {{STR("operating_system"), &out->os}, {STR("browser"), &out->browser},
            {STR("language"), &out->locale}, {STR("screen_resolution"), &out->screen}};
        for (size_t i = 0; r == 0 && i < COUNT_OF(members); i++)
            r = segment_text(device, members[i].key, reader->arena, members[i].text);
    }
    reader->event->has_device = out->kind != DEVICE_KIND_UNKNOWN || out->os.size ||
                                out->browser.size || out->locale.size || out->screen.size;
    return r;
}

static int read_client(struct reader *reader)
{
    const struct ga4_message *message = reader->message;
    struct client *out = &reader->event->client;
    client_init(out);
    int r = segment_text(message->body, STR("user_agent"), reader->arena, &out->user_agent);
    if (r == 0)
        r = segment_text(message->body, STR("ip_override"), reader->arena, &out->address);
    if (out->user_agent.size == 0 && message->browser)
        out->user_agent = message->user_agent;
    if (out->address.size == 0 && message->browser)
        out->address = message->address;
    reader->event->has_client = out->user_agent.size || out->address.size;
    return r;
}

static int read_campaign(struct reader *reader)
{
    struct campaign *out = &reader->event->campaign;
    const struct {
        struct str key;
        struct str *text;
    } members[] = {{STR("source"), &out->source}, {STR("medium"), &out->medium},
        {STR("campaign"), &out->name}, {STR("content"), &out->content}, {STR("term"), &out->term},
        {STR("campaign_id"), &out->id}};
    if (!str_equal(reader->event->type, STR("campaign_details")))
        return 0;
    campaign_init(out);
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        int r = param(reader, members[i].key, members[i].text);
        if (r < 0)
            return r;
        reader->event->has_campaign = reader->event->has_campaign || members[i].text->size;
    }
    return 0;
}

/* ---- order ---- */

/* An amount that may be absent. */
static int read_amount(
    struct reader *reader, struct json object, struct str key, struct str pointer, int64_t *minor)
{
    struct json value;
    bool found = json_get(object, key, &value) && json_kind(value) != JSON_NULL;
    int r = found ? amount_read(value, reader->event->order.currency, minor) : 0;
    return r < 0 ? fail(reader, r, pointer, STR("")) : 0;
}

static int read_item(struct reader *reader, struct json json, struct order_item *item)
{
    static const struct str pointer = STR_INIT("/events/params/items");
    struct json quantity;
    struct str name;
    if (json_kind(json) != JSON_OBJECT)
        return fail(reader, ERR_FIELD_TYPE, pointer, STR("objects"));
    order_item_init(item);
    int r = segment_text(json, STR("item_id"), reader->arena, &item->sku);
    if (r == 0)
        r = segment_text(json, STR("item_name"), reader->arena, &name);
    if (r == 0)
        r = segment_text(json, STR("item_category"), reader->arena, &item->category);
    if (r == 0)
        r = read_amount(reader, json, STR("price"), pointer, &item->price_minor);
    if (r < 0)
        return r;
    if (item->sku.size == 0)
        item->sku = name;
    if (json_get(json, STR("quantity"), &quantity) && json_kind(quantity) != JSON_NULL)
        r = amount_read(quantity, STR("JPY"), &item->quantity); /* whole: it has no digits */
    return r < 0 ? fail(reader, r, pointer, STR("\"quantity\"")) : 0;
}

static int read_items(struct reader *reader)
{
    static const struct str pointer = STR_INIT("/events/params/items");
    struct order *order = &reader->event->order;
    struct json_iterator iterator;
    struct json list;
    struct str key;
    struct json json;
    if (!json_get(reader->params, STR("items"), &list) || json_kind(list) == JSON_NULL)
        return 0;
    size_t count = json_count(list);
    if (json_kind(list) != JSON_ARRAY || count > EVENT_ITEMS_MAX)
        return fail(reader, json_kind(list) != JSON_ARRAY ? ERR_FIELD_TYPE : ERR_TOO_MANY, pointer,
            STR(""));
    struct order_item *items = arena_alloc(reader->arena, (count + 1) * sizeof *items);
    if (!items)
        return ERR_NO_MEMORY;
    json_iterate(list, &iterator);
    for (size_t i = 0; json_next(&iterator, &key, &json); i++) {
        int r = read_item(reader, json, &items[i]);
        if (r < 0)
            return r;
    }
    order->items = items;
    order->items_count = count;
    return 0;
}

/* Without a value the items say it. */
static int add_up(struct reader *reader)
{
    struct order *order = &reader->event->order;
    struct json value;
    if (json_get(reader->params, STR("value"), &value) && json_kind(value) != JSON_NULL)
        return 0;
    for (size_t i = 0; i < order->items_count; i++) {
        int64_t price;
        if (__builtin_mul_overflow(order->items[i].price_minor, order->items[i].quantity, &price) ||
            __builtin_add_overflow(order->revenue_minor, price, &order->revenue_minor))
            return fail(reader, ERR_NUMBER_RANGE, STR("/events/params/items"), STR(""));
    }
    return 0;
}

static int read_order(struct reader *reader)
{
    struct order *order = &reader->event->order;
    struct str code;
    if (!reader->has_params || event_type_class(reader->event->type) != EVENT_CLASS_ORDER)
        return 0;
    order_init(order);
    reader->event->has_order = true;
    order->currency = reader->message->currency;
    if (str_equal(reader->event->type, STR("order_completed")))
        order->facet = ORDER_FACET_PLACED;
    int r =
        segment_text_strict(reader->params, STR("transaction_id"), reader->arena, &order->order_id);
    if (r < 0)
        return fail(reader, r, STR("/events/params/transaction_id"), STR("a text"));
    r = segment_text_strict(reader->params, STR("currency"), reader->arena, &code);
    if (r == 0 && code.size)
        r = amount_currency(code, reader->arena, &order->currency);
    if (r < 0)
        return fail(reader, r, STR("/events/params/currency"), STR("ISO 4217"));
    const struct {
        struct str key;
        struct str pointer;
        int64_t *minor;
    } amounts[] = {{STR("value"), STR("/events/params/value"), &order->revenue_minor},
        {STR("tax"), STR("/events/params/tax"), &order->tax_minor},
        {STR("shipping"), STR("/events/params/shipping"), &order->shipping_minor}};
    for (size_t i = 0; r == 0 && i < COUNT_OF(amounts); i++)
        r = read_amount(
            reader, reader->params, amounts[i].key, amounts[i].pointer, amounts[i].minor);
    if (r == 0)
        r = segment_text(reader->params, STR("coupon"), reader->arena, &order->coupon);
    if (r == 0)
        r = read_items(reader);
    return r < 0 ? r : add_up(reader);
}

/* ---- the rest ---- */

/* Parameters but for what went into a part of its own; items say more than an order holds. */
static int keep_params(struct reader *reader)
{
    static const struct str taken[] = {STR_INIT("page_location"), STR_INIT("page_referrer"),
        STR_INIT("page_title"), STR_INIT("transaction_id"), STR_INIT("currency"), STR_INIT("value"),
        STR_INIT("tax"), STR_INIT("shipping"), STR_INIT("coupon")};
    static const struct str of_body[] = {
        STR_INIT("user_properties"), STR_INIT("user_location"), STR_INIT("non_personalized_ads")};
    struct segment_members rest = {0};
    size_t pages = 3; /* of taken; others are of orders */
    struct json value;
    int r = 0;
    if (reader->has_params)
        r = segment_members_add_all(&rest, reader->arena, reader->params, taken,
            reader->event->has_order ? COUNT_OF(taken) : pages);
    for (size_t i = 0; r == 0 && i < COUNT_OF(of_body); i++)
        if (json_get(reader->message->body, of_body[i], &value))
            r = segment_members_add(&rest, reader->arena, of_body[i], STR(""), value);
    if (r == 0)
        r = segment_members_write(&rest, reader->arena, &reader->event->properties);
    return r == ERR_TOO_LARGE ? fail(reader, r, STR("/events/params"), STR("32 kB an event")) : r;
}

int ga4_read(
    const struct ga4_message *message, struct touchpoint *out, struct event_problem *problem)
{
    static int (*const steps[])(struct reader *) = {read_type, read_time, read_identifiers,
        read_page, read_device, read_client, read_campaign, read_order, keep_params};
    struct reader reader = {
        .message = message, .arena = message->arena, .event = out, .problem = problem};
    struct json params;
    touchpoint_init(out);
    out->event_id = message->id;
    out->protocol = PROTOCOL_GA4;
    if (json_kind(message->event) != JSON_OBJECT)
        return fail(&reader, ERR_FIELD_TYPE, STR("/events"), STR("objects"));
    reader.has_params = segment_object(message->event, STR("params"), &reader.params);
    if (!reader.has_params && json_get(message->event, STR("params"), &params) &&
        json_kind(params) != JSON_NULL)
        return fail(&reader, ERR_FIELD_TYPE, STR("/events/params"), STR("an object"));
    read_consent(&reader);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        int r = steps[i](&reader);
        if (r < 0)
            return r;
    }
    return 0;
}
