/* The mapping of an event, part by part. What has no place of its own stays in properties. */
#include "ingest/collector/protocol/snowplow_event.h"

#include "ingest/collector/protocol/amount.h"
#include "ingest/collector/protocol/page_address.h"
#include "ingest/collector/protocol/segment_names.h"
#include "ingest/collector/protocol/snowplow_schema.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/time.h"

#define MILLISECONDS_DIGITS_MAX 15 /* of the year 33658 */
#define UUID_VERSION_OWN 8         /* Source: RFC 9562, 5.8 */
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static struct str field(const struct snowplow_reader *reader, enum snowplow_field which)
{
    return reader->message->fields->values[which];
}

int snowplow_fail(struct snowplow_reader *reader, int error, struct str pointer, struct str hint)
{
    if (error == ERR_NO_MEMORY)
        return error;
    *reader->problem = (struct event_problem){.error = error, .pointer = pointer, .hint = hint};
    return error;
}

static int fail_field(struct snowplow_reader *reader, int error, enum snowplow_field which)
{
    return snowplow_fail(reader, error, snowplow_field_pointer(which), STR(""));
}

/* ---- head ---- */

static int read_head(struct snowplow_reader *reader)
{
    static const enum snowplow_field required[] = {SNOWPLOW_TV, SNOWPLOW_P, SNOWPLOW_E};
    struct str id = field(reader, SNOWPLOW_EID);
    reader->event->event_id = id.size ? id : reader->message->id;
    size_t size = reader->event->event_id.size;
    if (size == 0 || size > EVENT_ID_SIZE_MAX)
        return snowplow_fail(reader, ERR_EVENT_ID, STR("/eid"), STR("a UUID"));
    for (size_t i = 0; i < COUNT_OF(required); i++)
        if (field(reader, required[i]).size == 0)
            return fail_field(reader, ERR_MISSING_FIELD, required[i]);
    reader->event->protocol = PROTOCOL_SNOWPLOW;
    reader->mobile = str_equal(field(reader, SNOWPLOW_P), STR("mob"));
    return 0;
}

/* Whole milliseconds since 1970. */
static bool read_milliseconds(struct str text, int64_t *micros)
{
    int64_t value = 0;
    if (text.size == 0 || text.size > MILLISECONDS_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (text.data[i] - '0');
    }
    *micros = value * TIME_MICROS_PER_MILLI;
    return true;
}

/* ttm as it is; else, of a device whose clock tells when it sent, how long ago that was; else the
 * door takes its own time. Source: PROTOCOLS, "Snowplow tracker protocol". */
static int read_time(struct snowplow_reader *reader)
{
    static const enum snowplow_field times[] = {SNOWPLOW_TTM, SNOWPLOW_DTM, SNOWPLOW_STM};
    struct touchpoint *event = reader->event;
    int64_t micros[COUNT_OF(times)] = {0};
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct str text = field(reader, times[i]);
        if (text.size && !read_milliseconds(text, &micros[i]))
            return snowplow_fail(
                reader, ERR_TIME, snowplow_field_pointer(times[i]), STR("milliseconds since 1970"));
    }
    if (field(reader, SNOWPLOW_TTM).size) {
        event->occurred_at = micros[0];
        event->time_quality = TIME_QUALITY_CLIENT;
    } else if (field(reader, SNOWPLOW_DTM).size && field(reader, SNOWPLOW_STM).size &&
               micros[1] < micros[2]) {
        event->occurred_at = reader->message->now_micros - (micros[2] - micros[1]);
        event->time_quality = TIME_QUALITY_CORRECTED;
    }
    return 0;
}

/* ---- identity ---- */

void snowplow_identify(struct snowplow_reader *reader, struct str name, struct str value)
{
    struct touchpoint *event = reader->event;
    bool full = event->identifiers_count == SNOWPLOW_IDENTIFIERS_ROOM;
    for (size_t i = 0; i < event->identifiers_count; i++)
        if (str_equal(event->identifiers[i].namespace, name) &&
            str_equal(event->identifiers[i].value, value))
            return;
    if (value.size && !full)
        event->identifiers[event->identifiers_count++] =
            (struct identifier){.namespace = name, .value = value};
}

/* True when nobody is meant: 00000000-0000-0000-0000-000000000000. */
static bool is_nobody(struct str id)
{
    for (size_t i = 0; i < id.size; i++)
        if (id.data[i] != '0' && id.data[i] != '-')
            return false;
    return true;
}

static struct str said_network_user(const struct snowplow_message *message)
{
    const struct str said[] = {message->fields->values[SNOWPLOW_TNUID],
        message->fields->values[SNOWPLOW_NUID], message->network_user};
    for (size_t i = 0; !message->anonymous && i < COUNT_OF(said); i++)
        if (!is_nobody(said[i]))
            return said[i];
    return STR("");
}

/* An id for a visitor who has none: of the first of what the event says of him. */
static int make_visitor(const struct snowplow_message *message, struct str *out)
{
    const struct str said[] = {message->fields->values[SNOWPLOW_DUID],
        message->fields->values[SNOWPLOW_SID], message->fields->values[SNOWPLOW_EID], message->id};
    struct str seed = STR("");
    for (size_t i = 0; seed.size == 0 && i < COUNT_OF(said); i++)
        seed = said[i];
    struct sha256 hash;
    uint8_t digest[SHA256_SIZE];
    sha256_init(&hash);
    sha256_update_sized(&hash, STR("snowplow visitor"));
    sha256_update_sized(&hash, str_make(message->secret, TENANT_KEY_SIZE));
    sha256_update_sized(&hash, seed);
    sha256_final(&hash, digest);
    return exchange_uuid_write(message->arena, digest, UUID_VERSION_OWN, out);
}

int snowplow_network_user(const struct snowplow_message *message, struct str *out)
{
    *out = said_network_user(message);
    return out->size || message->anonymous ? 0 : make_visitor(message, out);
}

static int read_identifiers(struct snowplow_reader *reader)
{
    struct touchpoint *event = reader->event;
    struct str network_user;
    int r = snowplow_network_user(reader->message, &network_user);
    event->identifiers =
        arena_alloc(reader->arena, SNOWPLOW_IDENTIFIERS_ROOM * sizeof *event->identifiers);
    if (r < 0 || !event->identifiers)
        return ERR_NO_MEMORY;
    struct str duid = field(reader, SNOWPLOW_DUID);
    snowplow_identify(reader, STR("login"), field(reader, SNOWPLOW_UID));
    snowplow_identify(reader, STR("cookie"), duid);
    /* A new one without a browser behind it would be a new cookie of the login each time. */
    if (duid.size || said_network_user(reader->message).size)
        snowplow_identify(reader, STR("cookie"), network_user);
    return 0;
}

/* Who says nothing of himself is a visitor of his own, for a session where there is one. */
static int read_stranger(struct snowplow_reader *reader)
{
    struct str visitor;
    if (reader->event->identifiers_count)
        return 0;
    int r = make_visitor(reader->message, &visitor);
    if (r == 0)
        snowplow_identify(reader, STR("cookie"), visitor);
    return r;
}

/* ---- parts ---- */

static int read_page(struct snowplow_reader *reader)
{
    struct str address = field(reader, SNOWPLOW_URL);
    struct str referrer = field(reader, SNOWPLOW_REFR);
    struct page *out = &reader->event->page;
    page_init(out);
    out->title = field(reader, SNOWPLOW_PAGE);
    reader->event->has_page = address.size || referrer.size || out->title.size;
    return page_address_read(address, referrer, reader->arena, out);
}

static void read_device(struct snowplow_reader *reader)
{
    struct device *out = &reader->event->device;
    device_init(out);
    if (reader->mobile)
        out->kind = DEVICE_KIND_APP;
    else if (str_equal(field(reader, SNOWPLOW_P), STR("tv")))
        out->kind = DEVICE_KIND_TV;
    out->locale = field(reader, SNOWPLOW_LANG);
    out->screen = field(reader, SNOWPLOW_RES);
    reader->event->has_device =
        out->kind != DEVICE_KIND_UNKNOWN || out->locale.size || out->screen.size;
}

/* Whether the tracker runs with the customer: then the request's address is his. */
static bool is_on_device(const struct snowplow_reader *reader)
{
    static const struct str servers[] = {STR_INIT("py-"), STR_INIT("node-"), STR_INIT("java-"),
        STR_INIT("php-"), STR_INIT("rb-"), STR_INIT("ruby-"), STR_INIT("golang-"), STR_INIT("go-"),
        STR_INIT("scala-"), STR_INIT("rust-"), STR_INIT(".net-"), STR_INIT("net-"),
        STR_INIT("lua-"), STR_INIT("perl-")};
    if (reader->message->browser)
        return true;
    if (str_equal(field(reader, SNOWPLOW_P), STR("srv")))
        return false;
    for (size_t i = 0; i < COUNT_OF(servers); i++)
        if (str_starts_with(field(reader, SNOWPLOW_TV), servers[i]))
            return false;
    return true;
}

static void read_client(struct snowplow_reader *reader)
{
    const struct snowplow_message *message = reader->message;
    struct client *out = &reader->event->client;
    client_init(out);
    bool on_device = is_on_device(reader);
    out->library = field(reader, SNOWPLOW_TV);
    out->user_agent = field(reader, SNOWPLOW_UA);
    if (out->user_agent.size == 0 && on_device)
        out->user_agent = message->user_agent;
    if (!message->anonymous)
        out->address = field(reader, SNOWPLOW_IP);
    if (out->address.size == 0 && on_device && !message->anonymous)
        out->address = message->address;
    reader->event->has_client = true;
}

/* ---- what it is ---- */

static int read_structured(struct snowplow_reader *reader)
{
    static const enum snowplow_field required[] = {SNOWPLOW_SE_CA, SNOWPLOW_SE_AC};
    struct segment_name name;
    for (size_t i = 0; i < COUNT_OF(required); i++)
        if (field(reader, required[i]).size == 0)
            return fail_field(reader, ERR_MISSING_FIELD, required[i]);
    int r = segment_name_read(field(reader, SNOWPLOW_SE_AC), reader->arena, &name);
    if (r == 0)
        reader->event->type = name.type;
    return r;
}

/* An amount that may be absent. */
static int read_money(
    struct snowplow_reader *reader, enum snowplow_field which, struct str currency, int64_t *minor)
{
    struct str text = field(reader, which);
    int r = text.size ? amount_read_number(text, currency, minor) : 0;
    return r < 0 ? fail_field(reader, r, which) : 0;
}

static int begin_order(struct snowplow_reader *reader, enum snowplow_field id,
    enum snowplow_field currency, struct str type)
{
    struct order *order = &reader->event->order;
    struct str code = field(reader, currency);
    order_init(order);
    reader->event->type = type;
    reader->event->has_order = true;
    order->order_id = field(reader, id);
    order->currency = reader->message->currency;
    if (order->order_id.size == 0)
        return fail_field(reader, ERR_MISSING_FIELD, id);
    int r = code.size ? amount_currency(code, reader->arena, &order->currency) : 0;
    return r < 0 ? fail_field(reader, r, currency) : 0;
}

static int read_transaction(struct snowplow_reader *reader)
{
    struct order *order = &reader->event->order;
    int r = begin_order(reader, SNOWPLOW_TR_ID, SNOWPLOW_TR_CU, STR("order_completed"));
    if (r < 0)
        return r;
    order->facet = ORDER_FACET_PLACED;
    if (field(reader, SNOWPLOW_TR_TT).size == 0)
        return fail_field(reader, ERR_MISSING_FIELD, SNOWPLOW_TR_TT);
    r = read_money(reader, SNOWPLOW_TR_TT, order->currency, &order->revenue_minor);
    if (r == 0)
        r = read_money(reader, SNOWPLOW_TR_TX, order->currency, &order->tax_minor);
    if (r == 0)
        r = read_money(reader, SNOWPLOW_TR_SH, order->currency, &order->shipping_minor);
    return r;
}

/* An item comes as an event of its own, with an id of its own; it names its order. */
static int read_transaction_item(struct snowplow_reader *reader)
{
    struct order *order = &reader->event->order;
    int r = begin_order(reader, SNOWPLOW_TI_ID, SNOWPLOW_TI_CU, STR("transaction_item"));
    if (r < 0)
        return r;
    struct order_item *item = arena_alloc(reader->arena, sizeof *item);
    if (!item)
        return ERR_NO_MEMORY;
    order_item_init(item);
    item->sku = field(reader, SNOWPLOW_TI_SK);
    item->category = field(reader, SNOWPLOW_TI_CA);
    if (item->sku.size == 0)
        return fail_field(reader, ERR_MISSING_FIELD, SNOWPLOW_TI_SK);
    r = read_money(reader, SNOWPLOW_TI_PR, order->currency, &item->price_minor);
    if (r == 0) /* whole numbers: of a currency without digits */
        r = read_money(reader, SNOWPLOW_TI_QU, STR("JPY"), &item->quantity);
    order->items = item;
    order->items_count = 1;
    return r;
}

static int read_page_view(struct snowplow_reader *reader)
{
    reader->event->type = STR("page_viewed");
    return 0;
}

static int read_page_ping(struct snowplow_reader *reader)
{
    reader->event->type = STR("page_pinged");
    return 0;
}

static int read_kind(struct snowplow_reader *reader)
{
    static const struct {
        struct str e;
        int (*read)(struct snowplow_reader *reader);
    } kinds[] = {
        {STR_INIT("pv"), read_page_view},
        {STR_INIT("pp"), read_page_ping},
        {STR_INIT("se"), read_structured},
        {STR_INIT("ue"), snowplow_read_event},
        {STR_INIT("tr"), read_transaction},
        {STR_INIT("ti"), read_transaction_item},
    };
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_equal(kinds[i].e, field(reader, SNOWPLOW_E)))
            return kinds[i].read(reader);
    return snowplow_fail(reader, ERR_EVENT_TYPE, STR("/e"), STR("pv, pp, se, ue, tr or ti"));
}

/* ---- the rest ---- */

static int add_fields(
    struct snowplow_reader *reader, enum snowplow_keep keep, struct segment_members *out)
{
    int r = 0;
    for (int i = 0; r == 0 && i < SNOWPLOW_FIELD_COUNT; i++) {
        enum snowplow_field which = (enum snowplow_field)i;
        if (snowplow_field_keep(which) == keep)
            r = segment_members_add_text(
                out, reader->arena, snowplow_field_name(which), field(reader, which));
    }
    return r;
}

static int keep_fields(struct snowplow_reader *reader)
{
    const struct snowplow_fields *fields = reader->message->fields;
    struct segment_members tracker = {0};
    struct str text;
    int r = add_fields(reader, SNOWPLOW_KEEP_EVENT, &reader->rest);
    if (r == 0)
        r = add_fields(reader, SNOWPLOW_KEEP_TRACKER, &tracker);
    for (size_t i = 0; r == 0 && i < fields->others_count; i++)
        r = segment_members_add_text(
            &tracker, reader->arena, fields->others[i].name, fields->others[i].value);
    if (r == 0)
        r = segment_members_write(&tracker, reader->arena, &text);
    if (r == 0 && text.size)
        r = segment_members_add(
            &reader->rest, reader->arena, STR("tracker"), text, (struct json){0});
    if (r == 0)
        r = segment_members_write(&reader->rest, reader->arena, &reader->event->properties);
    return r == ERR_TOO_LARGE ? snowplow_fail(reader, r, STR(""), STR("32 kB an event")) : r;
}

int snowplow_read(
    const struct snowplow_message *message, struct touchpoint *out, struct event_problem *problem)
{
    static int (*const steps[])(struct snowplow_reader *) = {read_head, read_time, read_identifiers,
        read_page, read_kind, snowplow_read_entities, read_stranger, keep_fields};
    struct snowplow_reader reader = {
        .message = message, .arena = message->arena, .event = out, .problem = problem};
    touchpoint_init(out);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        if (steps[i] == read_kind) { /* entities may say more of both */
            read_device(&reader);
            read_client(&reader);
        }
        int r = steps[i](&reader);
        if (r < 0)
            return r;
    }
    return 0;
}
