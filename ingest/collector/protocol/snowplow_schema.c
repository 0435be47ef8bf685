/* Known schemas have a line in a table; what is known of none is kept as it is. */
#include "ingest/collector/protocol/snowplow_schema.h"

#include <math.h>

#include "ingest/collector/protocol/consent_words.h"
#include "ingest/collector/protocol/segment_names.h"
#include "ingest/collector/protocol/snowplow_order.h"
#include "schemas/error.h"

#define SNOWPLOW "com.snowplowanalytics.snowplow"
#define MOBILE "com.snowplowanalytics.mobile"
#define ECOMMERCE SNOWPLOW ".ecommerce"
#define PARTS 4
#define MILLIS_PER_SECOND 1000
#define SECONDS_MAX 1e9
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static const struct str iglu_hint = STR_INIT("\"schema\": \"iglu:vendor/name/jsonschema/1-0-0\"");

/* What the address of a schema names. */
struct iglu {
    struct str text;
    struct str vendor;
    struct str name;
    struct str version;
};

static bool iglu_read(struct str text, struct iglu *out)
{
    static const struct str begin = STR_INIT("iglu:");
    struct str parts[PARTS];
    struct str rest = text;
    size_t count = 0;
    if (!str_starts_with(text, begin))
        return false;
    rest = str_make(text.data + begin.size, text.size - begin.size);
    for (;;) {
        const char *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
        size_t size = slash ? (size_t)(slash - rest.data) : rest.size;
        if (size == 0 || count == PARTS)
            return false;
        parts[count++] = str_make(rest.data, size);
        if (!slash)
            break;
        rest = str_make(rest.data + size + 1, rest.size - size - 1);
    }
    if (count != PARTS || !str_equal(parts[2], STR("jsonschema")))
        return false;
    *out = (struct iglu){text, parts[0], parts[1], parts[3]};
    return true;
}

/* Whether it is version 1 of this schema: later ones of the same number only add. */
static bool is_schema(const struct iglu *iglu, struct str vendor, struct str name)
{
    return str_equal(iglu->name, name) && str_equal(iglu->vendor, vendor) &&
           str_starts_with(iglu->version, STR("1-"));
}

/* {"schema": ..., "data": ...} */
static int read_described(struct snowplow_reader *reader, struct json value, struct str pointer,
    struct iglu *iglu, struct json *data)
{
    struct json schema;
    bool whole = json_kind(value) == JSON_OBJECT && json_get(value, STR("schema"), &schema) &&
                 json_kind(schema) == JSON_TEXT && json_get(value, STR("data"), data);
    if (!whole)
        return snowplow_fail(reader, ERR_SCHEMA_VIOLATION, pointer, iglu_hint);
    return iglu_read(json_text(schema), iglu)
               ? 0
               : snowplow_fail(reader, ERR_SCHEMA_UNKNOWN, pointer, iglu_hint);
}

/* Parses whichever of both fields is there, plain or as base64, and takes the wrapper of this name
 * off. *found tells whether one is. */
static int open_field(struct snowplow_reader *reader, const enum snowplow_field fields[2],
    struct json_parser *parser, struct json *out, bool *found)
{
    const struct snowplow_message *message = reader->message;
    bool plain = fields[0] == SNOWPLOW_UE_PR ? message->fields->values[SNOWPLOW_UE_PX].size == 0
                                             : message->fields->values[SNOWPLOW_CX].size == 0;
    enum snowplow_field which = plain ? fields[0] : fields[1];
    struct str pointer = snowplow_field_pointer(fields[0]); /* as which the JSON is kept */
    struct str text = message->fields->values[which];
    *found = text.size != 0;
    if (!*found)
        return 0;
    int r = snowplow_field_json(message->fields, which, reader->arena, &text);
    if (r < 0)
        return snowplow_fail(reader, r, snowplow_field_pointer(which), STR("base64"));
    struct json value;
    struct iglu iglu;
    r = json_parse(parser, text, &value);
    if (r < 0)
        return snowplow_fail(reader, r, pointer, STR("self-describing JSON"));
    r = read_described(reader, value, pointer, &iglu, out);
    bool event = fields[0] == SNOWPLOW_UE_PR;
    if (r == 0 && !is_schema(&iglu, STR(SNOWPLOW), event ? STR("unstruct_event") : STR("contexts")))
        r = snowplow_fail(reader, ERR_SCHEMA_UNKNOWN, pointer,
            event ? STR("iglu:" SNOWPLOW "/unstruct_event/jsonschema/1-0-0")
                  : STR("iglu:" SNOWPLOW "/contexts/jsonschema/1-0-0"));
    return r;
}

/* ---- events ---- */

static int violate(struct snowplow_reader *reader, struct str hint)
{
    return snowplow_fail(reader, ERR_SCHEMA_VIOLATION, STR("/ue_pr/data/data"), hint);
}

static struct str text_member(struct json object, struct str key)
{
    struct json value;
    if (json_get(object, key, &value) && json_kind(value) == JSON_TEXT)
        return json_text(value);
    return STR("");
}

static int read_action(struct snowplow_reader *reader, struct json data)
{
    static const struct {
        struct str action;
        struct str type;
    } actions[] = {
        {STR_INIT("add_to_cart"), STR_INIT("product_added")},
        {STR_INIT("remove_from_cart"), STR_INIT("product_removed")},
        {STR_INIT("product_view"), STR_INIT("product_viewed")},
        {STR_INIT("list_view"), STR_INIT("product_list_viewed")},
        {STR_INIT("list_click"), STR_INIT("product_clicked")},
        {STR_INIT("checkout_step"), STR_INIT("checkout_step")},
        {STR_INIT("promo_view"), STR_INIT("promotion_viewed")},
        {STR_INIT("promo_click"), STR_INIT("promotion_clicked")},
        {STR_INIT("transaction"), STR_INIT("order_completed")},
        {STR_INIT("refund"), STR_INIT("order_refunded")},
        {STR_INIT("trns_error"), STR_INIT("transaction_error")},
    };
    struct str action = text_member(data, STR("type"));
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (str_equal(actions[i].action, action)) {
            reader->event->type = actions[i].type;
            reader->ecommerce = true;
            return 0;
        }
    return violate(reader, STR("\"type\": \"transaction\", \"product_view\", ..."));
}

static void set_consent(struct snowplow_reader *reader, enum choice choice)
{
    reader->event->consent = (struct consent){choice, choice, choice};
}

/* An absent scope is a no. */
static int read_preferences(struct snowplow_reader *reader, struct json data)
{
    struct str kind = text_member(data, STR("eventType"));
    struct json scopes;
    struct json_iterator iterator;
    struct str key;
    struct json scope;
    reader->event->type = STR("consent_changed");
    if (str_equal(kind, STR("allow_all"))) {
        set_consent(reader, CHOICE_GRANTED);
    } else if (str_equal(kind, STR("deny_all")) || str_equal(kind, STR("withdrawn")) ||
               str_equal(kind, STR("expired"))) {
        set_consent(reader, CHOICE_DENIED);
    } else if (str_equal(kind, STR("allow_selected")) || str_equal(kind, STR("implicit_consent"))) {
        if (!json_get(data, STR("consentScopes"), &scopes) || json_kind(scopes) != JSON_ARRAY)
            return violate(reader, STR("\"consentScopes\": [\"analytics\"]"));
        set_consent(reader, CHOICE_DENIED);
        json_iterate(scopes, &iterator);
        while (json_next(&iterator, &key, &scope))
            if (json_kind(scope) == JSON_TEXT)
                consent_grant(json_text(scope), &reader->event->consent);
    } else if (!str_equal(kind, STR("pending"))) {
        return violate(reader, STR("\"eventType\": \"allow_all\", \"allow_selected\", ..."));
    }
    return 0;
}

/* Which purposes a document is about it does not say; withdrawing all is withdrawing each. */
static int read_withdrawal(struct snowplow_reader *reader, struct json data)
{
    struct json all;
    reader->event->type = STR("consent_changed");
    if (json_get(data, STR("all"), &all) && json_kind(all) == JSON_BOOL && json_bool(all))
        set_consent(reader, CHOICE_DENIED);
    return 0;
}

static int64_t read_seconds(struct json data, struct str key)
{
    struct json value;
    double seconds = 0;
    if (json_get(data, key, &value) && json_kind(value) == JSON_INT)
        seconds = (double)json_int(value);
    else if (json_get(data, key, &value) && json_kind(value) == JSON_DOUBLE)
        seconds = json_double(value);
    return seconds > 0 && seconds < SECONDS_MAX ? (int64_t)llround(seconds * MILLIS_PER_SECOND) : 0;
}

static void read_call_campaign(struct snowplow_reader *reader, struct json data)
{
    struct campaign *campaign = &reader->event->campaign;
    struct str gclid = text_member(data, STR("gclid"));
    campaign_init(campaign);
    campaign->source = text_member(data, STR("utm_source"));
    campaign->medium = text_member(data, STR("utm_medium"));
    campaign->name = text_member(data, STR("utm_campaign"));
    campaign->content = text_member(data, STR("utm_content"));
    campaign->term = text_member(data, STR("utm_term"));
    reader->event->has_campaign = campaign->source.size || campaign->medium.size ||
                                  campaign->name.size || campaign->content.size ||
                                  campaign->term.size;
    reader->event->has_click = gclid.size != 0;
    reader->event->click = (struct click){.kind = STR("gclid"), .value = gclid};
}

/* CallRail: a call that has come to its end. */
static int read_call(struct snowplow_reader *reader, struct json data)
{
    struct call *call = &reader->event->call;
    struct json answered;
    bool missed = json_get(data, STR("answered"), &answered) && json_kind(answered) == JSON_BOOL &&
                  !json_bool(answered);
    struct str phone = text_member(data, STR("customer_phone_number"));
    call_init(call);
    int r = segment_text(data, STR("id"), reader->arena, &call->call_id);
    if (r < 0)
        return r;
    if (call->call_id.size == 0)
        return violate(reader, STR("\"id\" of the call"));
    reader->event->type = missed ? STR("call_abandoned") : STR("call_ended");
    reader->event->has_call = true;
    call->direction = CALL_DIRECTION_INBOUND;
    call->outcome = missed ? STR("missed") : STR("answered");
    if (!missed)
        call->talk_ms = read_seconds(data, STR("duration"));
    snowplow_identify(
        reader, STR("phone"), phone.size ? phone : text_member(data, STR("callernum")));
    read_call_campaign(reader, data);
    return 0;
}

static const struct {
    struct str vendor;
    struct str name;
    struct str type; /* or else: */
    int (*read)(struct snowplow_reader *reader, struct json data);
} events[] = {
    {STR_INIT(ECOMMERCE), STR_INIT("snowplow_ecommerce_action"), STR_INIT(""), read_action},
    {STR_INIT(SNOWPLOW), STR_INIT("consent_preferences"), STR_INIT(""), read_preferences},
    {STR_INIT(SNOWPLOW), STR_INIT("consent_withdrawn"), STR_INIT(""), read_withdrawal},
    {STR_INIT(SNOWPLOW), STR_INIT("consent_granted"), STR_INIT("consent_changed"), NULL},
    {STR_INIT("com.callrail"), STR_INIT("call_complete"), STR_INIT(""), read_call},
    {STR_INIT(SNOWPLOW), STR_INIT("site_search"), STR_INIT("searched"), NULL},
    {STR_INIT(SNOWPLOW), STR_INIT("screen_view"), STR_INIT("screen_viewed"), NULL},
    {STR_INIT(MOBILE), STR_INIT("screen_view"), STR_INIT("screen_viewed"), NULL},
    {STR_INIT(SNOWPLOW), STR_INIT("add_to_cart"), STR_INIT("product_added"), NULL},
    {STR_INIT(SNOWPLOW), STR_INIT("remove_from_cart"), STR_INIT("product_removed"), NULL},
    {STR_INIT(SNOWPLOW), STR_INIT("submit_form"), STR_INIT("form_submitted"), NULL},
    {STR_INIT(SNOWPLOW), STR_INIT("ad_impression"), STR_INIT("ad_impression"), NULL},
    {STR_INIT(SNOWPLOW), STR_INIT("ad_click"), STR_INIT("ad_clicked"), NULL},
    {STR_INIT(MOBILE), STR_INIT("application_install"), STR_INIT("app_installed"), NULL},
    {STR_INIT(SNOWPLOW), STR_INIT("application_foreground"), STR_INIT("app_opened"), NULL},
};

static int read_type(struct snowplow_reader *reader, const struct iglu *iglu, struct json data)
{
    struct segment_name name;
    for (size_t i = 0; i < COUNT_OF(events); i++) {
        if (!is_schema(iglu, events[i].vendor, events[i].name))
            continue;
        reader->event->type = events[i].type;
        return events[i].read ? events[i].read(reader, data) : 0;
    }
    int r = segment_name_read(iglu->name, reader->arena, &name);
    if (r == 0)
        reader->event->type = name.type;
    return r;
}

int snowplow_read_event(struct snowplow_reader *reader)
{
    static const enum snowplow_field fields[2] = {SNOWPLOW_UE_PR, SNOWPLOW_UE_PX};
    /* Who called is an identifier, and kept as no other than that. */
    static const struct str personal[] = {STR_INIT("customer_phone_number"), STR_INIT("callernum")};
    struct json described;
    struct json data;
    struct iglu iglu;
    bool found = false;
    int r = open_field(reader, fields, reader->message->parsers[0], &described, &found);
    if (r == 0 && !found)
        r = snowplow_fail(reader, ERR_MISSING_FIELD, STR("/ue_pr"), STR("or /ue_px"));
    if (r == 0)
        r = read_described(reader, described, STR("/ue_pr/data"), &iglu, &data);
    if (r == 0 && json_kind(data) != JSON_OBJECT)
        r = violate(reader, STR("an object"));
    if (r == 0)
        r = read_type(reader, &iglu, data);
    if (r == 0)
        r = segment_members_add_all(&reader->rest, reader->arena, data, personal,
            reader->event->has_call ? COUNT_OF(personal) : 0);
    return r < 0 ? r
                 : segment_members_add_text(&reader->rest, reader->arena, STR("schema"), iglu.text);
}

/* ---- entities ---- */

static int identify_by(
    struct snowplow_reader *reader, struct json data, struct str key, struct str name)
{
    struct str value;
    int r = segment_text(data, key, reader->arena, &value);
    if (r == 0)
        snowplow_identify(reader, name, value);
    return r;
}

static int take_session(struct snowplow_reader *reader, struct json data)
{
    struct json index;
    if (json_get(data, STR("eventIndex"), &index) && json_kind(index) == JSON_INT)
        reader->event->sequence = json_int(index);
    if (reader->message->anonymous)
        return 0;
    return identify_by(
        reader, data, STR("userId"), reader->mobile ? STR("install") : STR("cookie"));
}

static int take_user(struct snowplow_reader *reader, struct json data)
{
    struct json guest;
    bool is_guest = json_get(data, STR("is_guest"), &guest) && json_kind(guest) == JSON_BOOL &&
                    json_bool(guest);
    int r = is_guest ? 0 : identify_by(reader, data, STR("id"), STR("login"));
    return r < 0 ? r : identify_by(reader, data, STR("email"), STR("email"));
}

static int take_mobile(struct snowplow_reader *reader, struct json data)
{
    int r = identify_by(reader, data, STR("appleIdfa"), STR("device"));
    if (r == 0)
        r = identify_by(reader, data, STR("androidIdfa"), STR("device"));
    if (r == 0)
        r = segment_text(data, STR("osType"), reader->arena, &reader->event->device.os);
    if (reader->event->device.os.size)
        reader->event->has_device = true;
    return r;
}

static int take_application(struct snowplow_reader *reader, struct json data)
{
    int r = segment_text(data, STR("version"), reader->arena, &reader->event->device.app_version);
    if (reader->event->device.app_version.size)
        reader->event->has_device = true;
    return r;
}

static int take_transaction(struct snowplow_reader *reader, struct json data)
{
    return reader->ecommerce ? snowplow_order_transaction(reader, data) : 0;
}

static int take_refund(struct snowplow_reader *reader, struct json data)
{
    return reader->ecommerce ? snowplow_order_refund(reader, data) : 0;
}

static int take_step(struct snowplow_reader *reader, struct json data)
{
    struct json step;
    bool first =
        json_get(data, STR("step"), &step) && json_kind(step) == JSON_INT && json_int(step) == 1;
    if (first && str_equal(reader->event->type, STR("checkout_step")))
        reader->event->type = STR("checkout_started");
    return 0;
}

static const struct {
    struct str vendor;
    struct str name;
    int (*take)(struct snowplow_reader *reader, struct json data);
} entities[] = {
    {STR_INIT(SNOWPLOW), STR_INIT("client_session"), take_session},
    {STR_INIT(SNOWPLOW), STR_INIT("mobile_context"), take_mobile},
    {STR_INIT(MOBILE), STR_INIT("application"), take_application},
    {STR_INIT(ECOMMERCE), STR_INIT("user"), take_user},
    {STR_INIT(ECOMMERCE), STR_INIT("transaction"), take_transaction},
    {STR_INIT(ECOMMERCE), STR_INIT("refund"), take_refund},
    {STR_INIT(ECOMMERCE), STR_INIT("checkout_step"), take_step},
};

static int take_entity(struct snowplow_reader *reader, const struct iglu *iglu, struct json data)
{
    for (size_t i = 0; i < COUNT_OF(entities); i++)
        if (is_schema(iglu, entities[i].vendor, entities[i].name))
            return json_kind(data) == JSON_OBJECT ? entities[i].take(reader, data)
                                                  : snowplow_fail(reader, ERR_SCHEMA_VIOLATION,
                                                        STR("/co/data"), STR("an object"));
    return 0;
}

/* Appends {"data":...,"schema":"..."}; a user without what identifies. */
static int keep_entity(
    struct snowplow_reader *reader, const struct iglu *iglu, struct json data, struct buf *out)
{
    static const struct str personal[] = {STR_INIT("id"), STR_INIT("email")};
    struct segment_members left = {0};
    struct str text = STR("");
    bool user = is_schema(iglu, STR(ECOMMERCE), STR("user"));
    int r = user ? segment_members_add_all(&left, reader->arena, data, personal, COUNT_OF(personal))
                 : 0;
    if (r == 0 && user)
        r = segment_members_write(&left, reader->arena, &text);
    if (r == 0)
        r = buf_append_str(out, out->size ? STR(",{\"data\":") : STR("[{\"data\":"));
    if (r == 0)
        r = !user ? json_write_canonical(data, out)
                  : buf_append_str(out, text.size ? text : STR("{}"));
    if (r == 0)
        r = buf_append_str(out, STR(",\"schema\":"));
    if (r == 0)
        r = json_write_text(out, iglu->text);
    return r < 0 ? r : buf_append(out, "}", 1);
}

/* Takes every entity in; then, when what they are priced in is known, the products. */
static int take_entities(struct snowplow_reader *reader, struct json list, struct buf *kept)
{
    struct json_iterator iterator;
    struct str key;
    struct json entity;
    struct json data;
    struct iglu iglu;
    int r = 0;
    json_iterate(list, &iterator);
    while (r == 0 && json_next(&iterator, &key, &entity)) {
        r = read_described(reader, entity, STR("/co/data"), &iglu, &data);
        if (r == 0)
            r = take_entity(reader, &iglu, data);
        if (r == 0)
            r = keep_entity(reader, &iglu, data, kept);
    }
    json_iterate(list, &iterator);
    bool sale = reader->ecommerce && reader->event->has_order;
    while (r == 0 && sale && json_next(&iterator, &key, &entity)) {
        r = read_described(reader, entity, STR("/co/data"), &iglu, &data);
        if (r == 0 && is_schema(&iglu, STR(ECOMMERCE), STR("product")))
            r = snowplow_order_product(reader, data, json_count(list));
    }
    return r;
}

int snowplow_read_entities(struct snowplow_reader *reader)
{
    static const enum snowplow_field fields[2] = {SNOWPLOW_CO, SNOWPLOW_CX};
    CLEANUP(buf_free) struct buf kept = {0};
    struct json list;
    struct str text;
    bool found = false;
    int r = open_field(reader, fields, reader->message->parsers[1], &list, &found);
    if (r == 0 && found && json_kind(list) != JSON_ARRAY)
        r = snowplow_fail(reader, ERR_SCHEMA_VIOLATION, STR("/co/data"), STR("an array"));
    if (r == 0 && found)
        r = take_entities(reader, list, &kept);
    if (r == 0 && kept.size)
        r = buf_append(&kept, "]", 1);
    if (r == 0 && kept.size)
        r = arena_dup(reader->arena, buf_str(&kept), &text);
    if (r == 0 && kept.size)
        r = segment_members_add(
            &reader->rest, reader->arena, STR("contexts"), text, (struct json){0});
    bool sale = event_type_class(reader->event->type) == EVENT_CLASS_ORDER;
    if (r == 0 && reader->ecommerce && sale && !reader->event->has_order)
        r = snowplow_fail(reader, ERR_SCHEMA_VIOLATION, STR("/co"),
            STR("the transaction or refund entity is missing"));
    return r;
}
