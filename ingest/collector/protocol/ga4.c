/* Envelope, key, ids, replies. */
#include "ingest/collector/protocol/ga4.h"

#include "ingest/collector/protocol/ga4_event.h"
#include "ingest/collector/raw_json.h"
#include "schemas/error.h"
#include "schemas/hash.h"

#define ADAPTER_VERSION 1
#define EVENTS_MAX 25 /* Source: Google, "Limitations" */
#define ID_VERSION 8  /* a UUID of our own making. Source: RFC 9562, 5.8 */

/* How the text of an event is found again when it is refused. */
struct texts {
    struct str body;
    struct raw_elements elements;
};

static struct str text_of(void *context, size_t index)
{
    struct texts *texts = context;
    struct str text = raw_element(&texts->elements, index);
    return text.size ? text : texts->body;
}

static struct str whole(void *context, size_t index)
{
    const struct texts *texts = context;
    return texts->body;
}

/* ---- replies ---- */

static const char *code_of(int error)
{
    switch (error) {
    case ERR_MISSING_FIELD:
    case ERR_NO_IDENTIFIER:
    case ERR_EMPTY:
        return "VALUE_REQUIRED";
    case ERR_EVENT_TYPE:
        return "NAME_INVALID";
    case ERR_TOO_MANY:
        return "EXCEEDED_MAX_ENTITIES";
    case ERR_NUMBER_RANGE:
    case ERR_TOO_LARGE:
        return "VALUE_OUT_OF_BOUNDS";
    default:
        return "VALUE_INVALID";
    }
}

/* "/events/params/value" as events.params.value. */
static int write_path(struct str pointer, struct arena *arena, struct buf *out)
{
    if (pointer.size == 0)
        return buf_append_str(out, STR("\"\""));
    char *path = arena_alloc(arena, pointer.size);
    if (!path)
        return ERR_NO_MEMORY;
    for (size_t i = 1; i < pointer.size; i++)
        path[i - 1] = pointer.data[i] == '/' ? '.' : pointer.data[i];
    return json_write_text(out, str_make(path, pointer.size - 1));
}

static int write_verdict(struct exchange *exchange, const struct verdict *verdict, struct buf *out)
{
    CLEANUP(buf_free) struct buf description = {0};
    struct str hint = verdict->problem.hint;
    bool of_event = str_starts_with(verdict->problem.pointer, STR("/events/"));
    int r = of_event ? buf_appendf(&description, "Event at index: [%zu] ", verdict->index) : 0;
    if (r == 0)
        r = buf_append_str(&description, str_of(error_text(verdict->problem.error)));
    if (r == 0 && hint.size)
        r = buf_append_str(&description, STR(": "));
    if (r == 0)
        r = buf_append_str(&description, hint);
    if (r == 0)
        r = buf_append_str(out, STR("{\"fieldPath\":"));
    if (r == 0)
        r = write_path(verdict->problem.pointer, exchange->arena, out);
    if (r == 0)
        r = buf_append_str(out, STR(",\"description\":"));
    if (r == 0)
        r = json_write_text(out, buf_str(&description));
    return r < 0 ? r
                 : buf_appendf(out, ",\"validationCode\":\"%s\"}", code_of(verdict->problem.error));
}

static int reply(struct exchange *exchange)
{
    const struct verdicts *rejected = &exchange->intake.rejected;
    struct buf *out = &exchange->reply;
    buf_clear(out);
    if (!exchange->intake.dry_run) {
        exchange->status = 204;
        return 0;
    }
    exchange->status = 200;
    int r = buf_append_str(out, STR("{\"validationMessages\":["));
    for (size_t i = 0; r == 0 && i < rejected->count; i++) {
        if (i > 0)
            r = buf_append(out, ",", 1);
        if (r == 0)
            r = write_verdict(exchange, &rejected->list[i], out);
    }
    return r < 0 ? r : buf_append_str(out, STR("]}"));
}

/* ---- events ---- */

/* The same for the same body, unless nothing in it tells this event from one that is just like it.
 */
static int make_id(
    struct exchange *exchange, struct json body, struct json event, size_t index, struct str *out)
{
    uint8_t digest[SHA256_SIZE];
    uint8_t place[8];
    struct sha256 hash;
    if (json_kind(event) != JSON_OBJECT || !ga4_is_told_apart(body, event))
        return exchange_uuid(exchange, out);
    put_be64(place, index);
    sha256_init(&hash);
    sha256_update_sized(&hash, exchange->body);
    sha256_update(&hash, str_make(place, sizeof place));
    sha256_final(&hash, digest);
    return exchange_uuid_write(exchange->arena, digest, ID_VERSION, out);
}

/* Judges one event. Errors: ERR_NO_MEMORY. */
static int take_event(
    struct exchange *exchange, struct ga4_message *message, size_t index, struct texts *texts)
{
    const struct intake_payload payload = {.text = text_of, .context = texts};
    struct touchpoint event = {0};
    struct event_problem problem = {0};
    int r = make_id(exchange, message->body, message->event, index, &message->id);
    if (r == 0)
        r = ga4_read(message, &event, &problem);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0)
        return intake_reject(&exchange->intake, index, message->id, &problem, &payload);
    event.source = exchange->source->config.name;
    event.adapter_version = ADAPTER_VERSION;
    event.traceparent = exchange->traceparent;
    return intake_event(&exchange->intake, &event, index, &payload);
}

static int refuse_body(
    struct exchange *exchange, struct texts *texts, int error, struct str pointer, struct str hint)
{
    const struct intake_payload payload = {.text = whole, .context = texts};
    const struct event_problem problem = {.error = error, .pointer = pointer, .hint = hint};
    return intake_reject(&exchange->intake, 0, STR(""), &problem, &payload);
}

static int take_events(struct exchange *exchange, struct json body, struct texts *texts)
{
    struct ga4_message message = {
        .body = body,
        .currency = exchange->source->config.currency,
        .browser = exchange->browser,
        .user_agent = exchange->user_agent,
        .address = exchange->address,
        .identifiers = &exchange->door->identifiers,
        .arena = exchange->arena,
    };
    struct json events;
    struct json_iterator iterator;
    struct str key;
    size_t index = 0;
    if (json_kind(body) != JSON_OBJECT)
        return refuse_body(exchange, texts, ERR_FIELD_TYPE, STR(""), STR("an object"));
    if (!json_get(body, STR("events"), &events))
        return refuse_body(exchange, texts, ERR_MISSING_FIELD, STR("/events"), STR(""));
    if (json_kind(events) != JSON_ARRAY)
        return refuse_body(exchange, texts, ERR_FIELD_TYPE, STR("/events"), STR("an array"));
    if (json_count(events) > EVENTS_MAX)
        return refuse_body(exchange, texts, ERR_TOO_MANY, STR("/events"), STR("at most 25"));
    texts->elements = raw_elements_of_member(exchange->body, STR("events"));
    int r = 0;
    json_iterate(events, &iterator);
    while (r == 0 && json_next(&iterator, &key, &message.event))
        r = take_event(exchange, &message, index++, texts);
    return r;
}

int ga4_handle(struct exchange *exchange)
{
    struct texts texts = {.body = exchange->body};
    struct json body;
    struct json events;
    size_t count = 1;
    int error = exchange_parse(exchange, &body);
    if (error == ERR_NO_MEMORY)
        return error;
    if (error == 0 && json_get(body, STR("events"), &events) && json_count(events) > 1)
        count = json_count(events);
    struct str secret = exchange_query(exchange, STR("api_secret"));
    if (secret.size) /* its own; a proxy on the way may say an Authorization of its kind */
        exchange->header_key = secret;
    int r = exchange_authorise(exchange, STR(""), SOURCE_PROTOCOL_GA4, REPLY_NATIVE);
    if (r != 0)
        return r < 0 ? r : 0;
    exchange_prepare(exchange, STR("ga4"), str_equal(exchange->call, STR("debug")));
    if (!exchange->intake.dry_run)
        r = exchange_check_rate(exchange, count, REPLY_NATIVE);
    if (r != 0)
        return r < 0 ? r : 0;
    r = intake_reserve(&exchange->intake, count);
    if (r == 0 && error == ERR_EMPTY && !exchange->intake.dry_run)
        return reply(exchange); /* there is nothing to keep */
    if (r == 0 && error < 0)
        r = refuse_body(exchange, &texts, error, STR(""), STR("JSON"));
    else if (r == 0)
        r = take_events(exchange, body, &texts);
    return r < 0 ? r : reply(exchange);
}
