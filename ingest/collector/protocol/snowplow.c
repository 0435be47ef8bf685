/* Envelope, source, cookie, verdicts, replies. */
#include "ingest/collector/protocol/snowplow.h"

#include "ingest/collector/protocol/snowplow_event.h"
#include "ingest/collector/raw_json.h"
#include "schemas/error.h"

#define ADAPTER_VERSION 1
#define PAYLOAD_DATA "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-"
#define COOKIE_NAME "sp"
#define COOKIE_VALUE_SIZE_MAX 128
#define COOKIE_ATTRIBUTES "; Path=/; Secure; HttpOnly; SameSite=None; Max-Age="
#define COOKIE_AGE "31536000" /* 365 days */

/* A request while it is judged. */
struct batch {
    struct exchange *exchange;
    struct snowplow_message message;
    struct snowplow_fields fields; /* of the event that is read */
    struct raw_elements elements;  /* the events as they were sent; none of an image */
    struct str cookie;             /* what the client is to be known by; empty: as yet unknown */
    bool whole;                    /* all fields of it are */
    bool by_app;                   /* its application id alone says whose it is */
};

/* What is kept of a refused event: its text, or its fields where they came in the address, or have
 * JSON in them. */
static struct str text_of(void *context, size_t index)
{
    struct batch *batch = context;
    struct exchange *exchange = batch->exchange;
    struct str text = STR("");
    const struct str *values = batch->fields.values;
    bool inner = values[SNOWPLOW_UE_PR].size || values[SNOWPLOW_UE_PX].size ||
                 values[SNOWPLOW_CO].size || values[SNOWPLOW_CX].size;
    if (!batch->whole || (exchange->query_count == 0 && !inner))
        text = raw_element(&batch->elements, index);
    else if (snowplow_fields_text(
                 &batch->fields, batch->message.parsers[0], exchange->arena, &text) < 0)
        text = STR("{}"); /* out of memory: nothing will be kept */
    return text.size ? text : exchange->body;
}

/* What may stand in a cookie, and is no attempt at more. */
static bool is_cookie_value(struct str value)
{
    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!word && c != '-' && c != '_' && c != '.' && c != '~')
            return false;
    }
    return value.size != 0 && value.size <= COOKIE_VALUE_SIZE_MAX;
}

/* Makes the client known by its network user id; an anonymous one unknown. */
static int set_cookie(struct batch *batch)
{
    bool anonymous = batch->message.anonymous;
    CLEANUP(buf_free) struct buf text = {0};
    if (!anonymous && !is_cookie_value(batch->cookie))
        return 0;
    int r = buf_append_str(&text, STR(COOKIE_NAME "="));
    if (r == 0 && !anonymous)
        r = buf_append_str(&text, batch->cookie);
    if (r == 0)
        r = buf_append_str(&text, STR(COOKIE_ATTRIBUTES));
    if (r == 0)
        r = buf_append_str(&text, anonymous ? STR("0") : STR(COOKIE_AGE));
    return r < 0 ? r : exchange_add_header(batch->exchange, "Set-Cookie", buf_str(&text));
}

static int succeed(struct batch *batch)
{
    struct exchange *exchange = batch->exchange;
    int r = set_cookie(batch);
    if (r < 0)
        return r;
    if (exchange->get)
        return exchange_pixel(exchange);
    exchange->status = 200;
    exchange->media_type = "text/plain; charset=utf-8";
    buf_clear(&exchange->reply);
    return buf_append_str(&exchange->reply, STR("ok"));
}

/* Judges the event whose fields are read. Errors: ERR_NO_MEMORY. */
static int take_fields(struct batch *batch, size_t index)
{
    struct exchange *exchange = batch->exchange;
    const struct intake_payload payload = {.text = text_of, .context = batch};
    struct touchpoint event = {0};
    struct event_problem problem = {0};
    struct str app_id = batch->fields.values[SNOWPLOW_AID];
    int r = 0;
    if (batch->cookie.size == 0)
        r = snowplow_network_user(&batch->message, &batch->cookie);
    if (r < 0)
        return r;
    if (batch->by_app && sources_find_app(exchange->sources, app_id) != exchange->source) {
        problem = (struct event_problem){.error = ERR_VALUE,
            .pointer = STR("/aid"),
            .hint = STR("events of one request have one source")};
        r = ERR_VALUE;
        event.event_id = batch->fields.values[SNOWPLOW_EID];
    } else {
        r = snowplow_read(&batch->message, &event, &problem);
    }
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0)
        return intake_reject(&exchange->intake, index, event.event_id, &problem, &payload);
    event.source = exchange->source->config.name;
    event.adapter_version = ADAPTER_VERSION;
    event.traceparent = exchange->traceparent;
    return intake_event(&exchange->intake, &event, index, &payload);
}

/* Reads one event of a body and judges it. Errors: ERR_NO_MEMORY. */
static int take_item(struct batch *batch, struct json item, size_t index)
{
    struct exchange *exchange = batch->exchange;
    const struct intake_payload payload = {.text = text_of, .context = batch};
    struct event_problem problem;
    int r = snowplow_fields_read(item, exchange->arena, &batch->fields, &problem);
    batch->whole = r == 0;
    if (r == ERR_FIELD_TYPE)
        return intake_reject(
            &exchange->intake, index, batch->fields.values[SNOWPLOW_EID], &problem, &payload);
    if (r == 0)
        r = snowplow_fields_merge(&batch->fields, exchange);
    return r < 0 ? r : take_fields(batch, index);
}

/* Finds the source. 0, EXCHANGE_ANSWERED or ERR_NO_MEMORY. */
static int authorise(struct batch *batch, struct str app_id)
{
    struct exchange *exchange = batch->exchange;
    struct str key = exchange->rest;
    batch->by_app = exchange->header_key.size == 0 && key.size == 0 &&
                    sources_find_app(exchange->sources, app_id) != NULL;
    return exchange_authorise_app(exchange, key, app_id, SOURCE_PROTOCOL_SNOWPLOW, REPLY_TRACKER);
}

/* Prepares for `events`, when the source is known. 0, EXCHANGE_ANSWERED or ERR_NO_MEMORY. */
static int begin(struct batch *batch, size_t events)
{
    struct exchange *exchange = batch->exchange;
    struct str cookie = exchange_cookie(exchange, STR(COOKIE_NAME));
    batch->message.fields = &batch->fields;
    batch->message.currency = exchange->source->config.currency;
    batch->message.now_micros = exchange->now_micros;
    batch->message.anonymous = exchange_header(exchange, "SP-Anonymous").size != 0;
    batch->message.browser = exchange->browser;
    batch->message.user_agent = exchange->user_agent;
    batch->message.address = exchange->address;
    batch->message.network_user = is_cookie_value(cookie) ? cookie : STR("");
    batch->message.secret = exchange->door->person_key;
    batch->message.arena = exchange->arena;
    return exchange_begin(exchange, STR("snowplow"), events, false, REPLY_TRACKER);
}

/* The first event's application id, or that of the address. */
static struct str app_id_of(const struct exchange *exchange, struct json events)
{
    struct json_iterator iterator;
    struct str key;
    struct json item;
    struct json value;
    struct str app_id = exchange_query(exchange, STR("aid"));
    json_iterate(events, &iterator);
    if (app_id.size == 0 && json_kind(events) == JSON_ARRAY && json_next(&iterator, &key, &item) &&
        json_get(item, STR("aid"), &value) && json_kind(value) == JSON_TEXT)
        app_id = json_text(value);
    return app_id;
}

static struct str whole_body(void *context, size_t index)
{
    const struct exchange *exchange = context;
    return exchange->body;
}

/* The body is no batch: it is kept, and its sender told. */
static int refuse_body(struct batch *batch, int error, struct str pointer)
{
    struct exchange *exchange = batch->exchange;
    const struct intake_payload payload = {.text = whole_body, .context = exchange};
    const struct event_problem problem = {.error = error,
        .pointer = pointer,
        .hint = STR("{\"schema\":\"" PAYLOAD_DATA "0-4\",\"data\":[...]}")};
    int r = begin(batch, 1);
    exchange->intake.stage = STR("snowplow_batch"); /* which is no event, to be read again */
    if (r == 0)
        r = intake_reject(&exchange->intake, 0, STR(""), &problem, &payload);
    return r != 0 ? r : exchange_fail(exchange, error, problem.hint, REPLY_TRACKER);
}

/* Whose id nobody can use is told so, when it is alone. */
static int check_alone(struct batch *batch, size_t events)
{
    const struct verdicts *rejected = &batch->exchange->intake.rejected;
    if (events != 1 || rejected->count == 0 || rejected->list[0].problem.error != ERR_EVENT_ID)
        return 0;
    return exchange_fail(
        batch->exchange, ERR_EVENT_ID, STR("\"eid\": 1 to 100 bytes"), REPLY_TRACKER);
}

static int take_batch(struct batch *batch, struct json body)
{
    struct exchange *exchange = batch->exchange;
    struct json schema;
    struct json events;
    struct json item;
    struct str key;
    struct json_iterator iterator;
    size_t index = 0;
    bool listed = json_get(body, STR("data"), &events);
    int r = authorise(
        batch, listed ? app_id_of(exchange, events) : exchange_query(exchange, STR("aid")));
    if (r != 0)
        return r;
    if (!json_get(body, STR("schema"), &schema) || json_kind(schema) != JSON_TEXT ||
        !str_starts_with(json_text(schema), STR(PAYLOAD_DATA)))
        return refuse_body(batch, ERR_SCHEMA_UNKNOWN, STR("/schema"));
    if (!listed || json_kind(events) != JSON_ARRAY)
        return refuse_body(batch, ERR_SCHEMA_VIOLATION, STR("/data"));
    batch->elements = raw_elements_of_member(exchange->body, STR("data"));
    r = begin(batch, json_count(events));
    json_iterate(events, &iterator);
    while (r == 0 && json_next(&iterator, &key, &item))
        r = take_item(batch, item, index++);
    return r != 0 ? r : check_alone(batch, index);
}

static int take_body(struct batch *batch)
{
    struct exchange *exchange = batch->exchange;
    struct json body;
    int error = exchange_parse(exchange, &body);
    if (error == ERR_NO_MEMORY)
        return error;
    if (error < 0) {
        /* Nobody is asked for a key before it could be read whose the body is. */
        bool named = exchange->header_key.size || exchange->rest.size;
        int r = named ? authorise(batch, STR("")) : 0;
        return r != 0 ? r : exchange_fail(exchange, error, STR(""), REPLY_TRACKER);
    }
    return take_batch(batch, body);
}

/* The fields are those of the address. */
static int take_address(struct batch *batch)
{
    struct exchange *exchange = batch->exchange;
    int r = authorise(batch, exchange_query(exchange, STR("aid")));
    if (r == 0)
        r = begin(batch, 1);
    if (r == 0)
        r = exchange_uuid(exchange, &batch->message.id);
    if (r == 0)
        r = snowplow_fields_merge(&batch->fields, exchange);
    batch->whole = true;
    if (r == 0)
        r = take_fields(batch, 0);
    return r != 0 ? r : check_alone(batch, 1);
}

static int handle(struct exchange *exchange, int (*take)(struct batch *batch))
{
    struct batch batch = {.exchange = exchange};
    struct json_parser **parsers = batch.message.parsers;
    int r = 0;
    for (size_t i = 0; r == 0 && i < SNOWPLOW_PARSERS; i++)
        r = json_parser_new(&parsers[i]);
    if (r == 0)
        r = take(&batch);
    if (r == 0)
        r = succeed(&batch);
    for (size_t i = 0; i < SNOWPLOW_PARSERS; i++)
        json_parser_free(&parsers[i]);
    return r < 0 ? r : 0;
}

int snowplow_post_handle(struct exchange *exchange)
{
    return handle(exchange, take_body);
}

int snowplow_pixel_handle(struct exchange *exchange)
{
    return handle(exchange, take_address);
}

int snowplow_unknown_handle(struct exchange *exchange)
{
    int r =
        exchange_refuse(exchange, 404, "not_found", "there is nothing at this path", REPLY_TRACKER);
    return r < 0 ? r : 0;
}
