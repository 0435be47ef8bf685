/* Envelope, key, verdicts, exact replies. */
#include "ingest/collector/protocol/segment.h"

#include "ingest/collector/protocol/segment_message.h"
#include "ingest/collector/protocol/segment_pixel.h"
#include "ingest/collector/raw_json.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define ADAPTER_VERSION 1
#define REPLY_SUCCESS "{\"success\":true}" /* clients compare it; see PROTOCOLS */

/* How the text of a message is found again when it is refused. */
struct texts {
    struct str body;
    struct raw_elements elements;
    bool batch;
};

static struct str text_of(void *context, size_t index)
{
    struct texts *texts = context;
    struct str text = texts->batch ? raw_element(&texts->elements, index) : texts->body;
    return text.size ? text : texts->body;
}

static int succeed(struct exchange *exchange)
{
    exchange->status = 200;
    buf_clear(&exchange->reply);
    return buf_append_str(&exchange->reply, STR(REPLY_SUCCESS));
}

static struct str member_text(struct json object, struct str key)
{
    struct json value;
    if (json_get(object, key, &value) && json_kind(value) == JSON_TEXT)
        return json_text(value);
    return str_make(NULL, 0);
}

/* What remembers the message while it may be sent again, and whether it names a login. 0: nothing
 * does, it has no anonymousId or nothing is remembered. */
static uint64_t mark_of(
    const struct exchange *exchange, struct json item, struct str event_id, bool *has_login)
{
    struct json login;
    struct str anonymous = member_text(item, STR("anonymousId"));
    *has_login = json_get(item, STR("userId"), &login) && json_kind(login) != JSON_NULL;
    return exchange->recent && anonymous.size
               ? recent_mark(exchange->recent, exchange->source->config.name, event_id, anonymous)
               : 0;
}

/* Judges an event that was read. analytics-next fills in, when it sends an event again, the login
 * of by then, and of an alias a previousId that is by then the new one: such a copy of what lately
 * came as it was meant says nothing new. Errors: ERR_NO_MEMORY. */
static int judge(struct exchange *exchange, const struct segment_message *message,
    struct touchpoint *event, size_t index, const struct intake_payload *payload)
{
    struct intake *intake = &exchange->intake;
    bool has_login = false;
    bool alias = message->call == SEGMENT_ALIAS;
    size_t accepted = intake->accepted;
    uint64_t mark = mark_of(exchange, message->item, event->event_id, &has_login);
    bool filled_in = alias ? !event->has_evidence : has_login;
    if (mark && filled_in && recent_has(exchange->recent, mark)) {
        intake->duplicates++;
        intake_note(intake, NOTE_DUPLICATE, event, index, payload);
        return 0;
    }
    int r = intake_event(intake, event, index, payload);
    if (r == 0 && mark && !filled_in && intake->accepted > accepted)
        exchange->marks[exchange->marks_count++] = mark;
    return r;
}

/* Reads one message and judges it. Errors: ERR_NO_MEMORY. */
static int take_message(struct exchange *exchange, struct segment_message *message, int call,
    size_t index, struct texts *texts)
{
    const struct intake_payload payload = {.text = text_of, .context = texts};
    struct touchpoint event = {0};
    struct event_problem problem = {.pointer = STR("/type"),
        .hint = STR("track, page, screen, identify, group, alias or merge")};
    int r = 0;
    message->call = call < 0 ? SEGMENT_TRACK : (enum segment_call)call;
    if (json_kind(message->item) != JSON_OBJECT)
        r = problem.error = ERR_FIELD_TYPE;
    else if (call < 0)
        r = problem.error = ERR_EVENT_TYPE;
    else
        r = segment_read(message, &event, &problem);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0 && exchange->notes) /* of Rudder's the stage does not say it */
        exchange->notes->protocol = segment_protocol(message);
    if (r < 0)
        return intake_reject(&exchange->intake, index, event.event_id, &problem, &payload);
    event.source = exchange->source->config.name;
    event.adapter_version = ADAPTER_VERSION;
    event.traceparent = exchange->traceparent;
    return judge(exchange, message, &event, index, &payload);
}

/* Prepares for `events`. 0, EXCHANGE_ANSWERED or ERR_NO_MEMORY. */
static int begin(struct exchange *exchange, size_t events)
{
    int r = exchange_begin(exchange, STR("segment"), events, false, REPLY_SEGMENT);
    if (r != 0)
        return r;
    exchange->marks_count = 0;
    exchange->marks = arena_alloc(exchange->arena, (events + 1) * sizeof *exchange->marks);
    return exchange->marks ? 0 : ERR_NO_MEMORY;
}

static struct segment_message message_of(const struct exchange *exchange)
{
    return (struct segment_message){
        .currency = exchange->source->config.currency,
        .event_time = exchange->source->config.event_time,
        .now_micros = exchange->now_micros,
        .browser = exchange->browser,
        .user_agent = exchange->user_agent,
        .address = exchange->address,
        .arena = exchange->arena,
    };
}

static int take_batch(struct exchange *exchange, struct json body)
{
    struct json batch;
    if (!json_get(body, STR("batch"), &batch) || json_kind(batch) != JSON_ARRAY)
        return exchange_fail(exchange, ERR_FIELD_TYPE, STR("{\"batch\":[...]}"), REPLY_SEGMENT);
    int r = begin(exchange, json_count(batch));
    if (r != 0)
        return r;
    struct texts texts = {.body = exchange->body,
        .elements = raw_elements_of_member(exchange->body, STR("batch")),
        .batch = true};
    struct segment_message message = message_of(exchange);
    message.envelope = body;
    message.has_envelope = true;
    struct json_iterator iterator;
    struct str key;
    size_t index = 0;
    json_iterate(batch, &iterator);
    while (r == 0 && json_next(&iterator, &key, &message.item)) {
        int call = segment_call_of(member_text(message.item, STR("type")));
        r = take_message(exchange, &message, call, index++, &texts);
    }
    return r < 0 ? r : succeed(exchange);
}

/* Judges one message whose call the address has named. 0: judged; EXCHANGE_ANSWERED: refused. */
static int take_single(struct exchange *exchange, struct segment_message *message, struct str call)
{
    int r = begin(exchange, 1);
    if (r != 0)
        return r;
    struct texts texts = {.body = exchange->body};
    r = take_message(exchange, message, segment_call_of(call), 0, &texts);
    if (r < 0)
        return r;
    const struct verdicts *rejected = &exchange->intake.rejected;
    if (rejected->count && rejected->list[0].problem.error == ERR_EVENT_ID)
        return exchange_fail(
            exchange, ERR_EVENT_ID, STR("\"messageId\": 1 to 100 bytes"), REPLY_SEGMENT);
    return 0;
}

/* Parses exchange->body, an object, and checks who sends it. */
static int open_body(struct exchange *exchange, struct json *body)
{
    int error = exchange_parse(exchange, body);
    if (error == ERR_NO_MEMORY)
        return error;
    if (error == 0 && json_kind(*body) != JSON_OBJECT)
        error = ERR_FIELD_TYPE;
    struct str key = error == 0 ? member_text(*body, STR("writeKey")) : STR("");
    int r = exchange_authorise(exchange, key, SOURCE_PROTOCOL_SEGMENT, REPLY_SEGMENT);
    if (r == 0 && error < 0)
        r = exchange_fail(exchange, error, STR(""), REPLY_SEGMENT);
    return r;
}

int segment_handle(struct exchange *exchange)
{
    /* Clients' own metrics: nobody's journey. */
    if (str_equal(exchange->call, STR("metrics")))
        return succeed(exchange);
    struct json body;
    int r = open_body(exchange, &body);
    if (r == 0 && str_equal(exchange->call, STR("batch")))
        r = take_batch(exchange, body);
    else if (r == 0) {
        struct segment_message message = message_of(exchange);
        message.item = body;
        r = take_single(exchange, &message, exchange->call);
        if (r == 0)
            r = succeed(exchange);
    }
    return r < 0 ? r : 0;
}

int segment_pixel_handle(struct exchange *exchange)
{
    struct json body;
    struct str id;
    int r = exchange_uuid(exchange, &id);
    if (r == 0 && segment_call_of(exchange->rest) < 0)
        r = exchange_refuse(
            exchange, 404, "not_found", "there is nothing at this path", REPLY_SEGMENT);
    if (r == 0)
        r = segment_pixel_text(exchange, id, &exchange->body);
    if (r == ERR_VALUE)
        r = exchange_fail(exchange, r, STR("data: base64 of a message"), REPLY_SEGMENT);
    if (r == 0)
        r = open_body(exchange, &body);
    if (r == 0 && !exchange->head) {
        struct segment_message message = message_of(exchange);
        message.item = body;
        message.id = id;
        message.browser = true; /* who shows the image is the customer's own program */
        r = take_single(exchange, &message, exchange->rest);
    }
    if (r == 0)
        r = exchange_pixel(exchange);
    return r < 0 ? r : 0;
}
