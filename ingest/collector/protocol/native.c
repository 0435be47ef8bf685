/* Native JSON: one object, an array, or a line each. */
#include "ingest/collector/protocol/native.h"

#include "ingest/collector/raw_json.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/json.h"

#define ADAPTER_VERSION 1

/* How the texts of events are found again when one is refused. */
struct texts {
    struct str whole;             /* a single object, or the line at hand */
    struct raw_elements elements; /* of an array */
    bool array;
};

static struct str text_of(void *context, size_t index)
{
    struct texts *texts = context;
    return texts->array ? raw_element(&texts->elements, index) : texts->whole;
}

/* What HTTP knows of the client, where the event says nothing itself. */
static void add_client(const struct exchange *exchange, struct touchpoint *event)
{
    if (event->traceparent.size == 0)
        event->traceparent = exchange->traceparent;
    if (!exchange->browser || event->has_client)
        return;
    event->has_client = true;
    event->client.user_agent = exchange->user_agent;
    event->client.address = exchange->address;
}

/* The id of an event that cannot be read otherwise, for those who look for it. */
static struct str id_of(struct json value)
{
    struct json id;
    if (!json_get(value, STR("id"), &id) || json_kind(id) != JSON_TEXT ||
        json_text(id).size > EVENT_ID_SIZE_MAX)
        return STR("");
    return json_text(id);
}

/* Reads and judges one event. Errors: ERR_NO_MEMORY. */
static int take_event(
    struct exchange *exchange, struct json value, size_t index, struct texts *texts)
{
    const struct intake_payload payload = {.text = text_of, .context = texts};
    struct touchpoint event;
    struct event_problem problem;
    int r = event_json_read(
        value, exchange->source->config.trusted_channel, exchange->arena, &event, &problem);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0)
        return intake_reject(&exchange->intake, index, id_of(value), &problem, &payload);
    event.source = exchange->source->config.name;
    event.protocol = PROTOCOL_NATIVE;
    event.adapter_version = ADAPTER_VERSION;
    add_client(exchange, &event);
    return intake_event(&exchange->intake, &event, index, &payload);
}

static int write_verdicts(struct buf *out, const char *lead, const struct verdicts *verdicts)
{
    int r = buf_append_str(out, str_of(lead));
    for (size_t i = 0; r == 0 && i < verdicts->count; i++) {
        const struct verdict *verdict = &verdicts->list[i];
        r = buf_appendf(out, "%s{\"index\":%zu,\"code\":\"%s\",\"pointer\":", i ? "," : "",
            verdict->index,
            verdict->problem.error ? error_name(verdict->problem.error) : "identifier_dropped");
        if (r == 0)
            r = json_write_text(out, verdict->problem.pointer);
        if (r == 0)
            r = buf_append_str(out, STR(",\"hint\":"));
        if (r == 0)
            r = json_write_text(out, verdict->problem.hint);
        if (r == 0)
            r = buf_append_str(out, STR("}"));
    }
    return r < 0 ? r : buf_append_str(out, STR("]"));
}

int native_reply(struct exchange *exchange)
{
    const struct intake *intake = &exchange->intake;
    struct buf *out = &exchange->reply;
    buf_clear(out);
    int r = buf_appendf(
        out, "{\"accepted\":%zu,\"duplicates\":%zu", intake->accepted, intake->duplicates);
    if (r == 0)
        r = write_verdicts(out, ",\"rejected\":[", &intake->rejected);
    if (r == 0 && intake->no_consent)
        r = buf_appendf(out, ",\"no_consent\":%zu", intake->no_consent);
    if (r == 0 && intake->ignored)
        r = buf_appendf(out, ",\"ignored\":%zu", intake->ignored);
    if (r == 0 && intake->warnings.count)
        r = write_verdicts(out, ",\"warnings\":[", &intake->warnings);
    if (r == 0)
        r = buf_append_str(out, STR("}"));
    exchange->status = 200;
    return r;
}

/* A single event without a usable id is the request's fault. Source: RELIABILITY, "Bad input". */
static int answer_single(struct exchange *exchange)
{
    const struct verdicts *rejected = &exchange->intake.rejected;
    if (exchange->body_lines || rejected->count == 0 ||
        rejected->list[0].problem.error != ERR_EVENT_ID)
        return native_reply(exchange);
    int r = exchange_fail(
        exchange, ERR_EVENT_ID, STR("\"id\": 1 to 100 bytes, yours, unique"), REPLY_NATIVE);
    return r < 0 ? r : 0;
}

/* Prepares for `events`. 0, EXCHANGE_ANSWERED or ERR_NO_MEMORY. */
static int begin(struct exchange *exchange, size_t events)
{
    bool dry_run = str_equal(exchange->call, STR("validate"));
    return exchange_begin(exchange, STR("native"), events, dry_run, REPLY_NATIVE);
}

static int take_array(struct exchange *exchange, struct json array)
{
    int r = begin(exchange, json_count(array));
    if (r != 0)
        return r;
    struct texts texts = {.elements = raw_elements_of(exchange->body), .array = true};
    struct json_iterator iterator;
    struct str key;
    struct json value;
    size_t index = 0;
    json_iterate(array, &iterator);
    while (r == 0 && json_next(&iterator, &key, &value))
        r = take_event(exchange, value, index++, &texts);
    return r < 0 ? r : native_reply(exchange);
}

static int take_single(struct exchange *exchange, struct json value)
{
    int r = begin(exchange, 1);
    if (r != 0)
        return r;
    struct texts texts = {.whole = str_trim(exchange->body)};
    r = take_event(exchange, value, 0, &texts);
    return r < 0 ? r : answer_single(exchange);
}

/* The next line that is not blank; false at the end. */
static bool next_line(struct str *rest, struct str *line)
{
    while (rest->size) {
        const char *end = memchr(rest->data, '\n', rest->size);
        size_t size = end ? (size_t)(end - rest->data) : rest->size;
        size_t taken = end ? size + 1 : size;
        *line = str_trim(str_make(rest->data, size));
        *rest = str_make(rest->data + taken, rest->size - taken);
        if (line->size)
            return true;
    }
    return false;
}

static size_t count_lines(struct str text)
{
    struct str line;
    size_t count = 0;
    while (next_line(&text, &line))
        count++;
    return count;
}

static int take_lines(struct exchange *exchange)
{
    int r = begin(exchange, count_lines(exchange->body));
    if (r != 0)
        return r;
    struct str rest = exchange->body;
    struct texts texts = {0};
    size_t index = 0;
    for (; r == 0 && next_line(&rest, &texts.whole); index++) {
        const struct intake_payload payload = {.text = text_of, .context = &texts};
        struct json value;
        struct event_problem problem = {.error = json_parse(exchange->parser, texts.whole, &value)};
        if (problem.error == ERR_NO_MEMORY)
            r = problem.error;
        else if (problem.error < 0)
            r = intake_reject(&exchange->intake, index, STR(""), &problem, &payload);
        else
            r = take_event(exchange, value, index, &texts);
    }
    return r < 0 ? r : native_reply(exchange);
}

/* NDJSON when the Content-Type says so, or when the first of several lines is a whole object. (One
 * object over several lines is none: its first line ends too early.) */
static bool is_lines(const struct exchange *exchange)
{
    if (exchange->body_lines)
        return true;
    struct str rest = exchange->body;
    struct str line;
    struct json value;
    if (!next_line(&rest, &line) || line.data[0] != '{' || str_trim(rest).size == 0)
        return false;
    return line.data[line.size - 1] == '}' && json_parse(exchange->parser, line, &value) == 0;
}

int native_handle(struct exchange *exchange)
{
    int r = exchange_authorise(exchange, STR(""), SOURCE_PROTOCOL_NATIVE, REPLY_NATIVE);
    if (r != 0)
        return r < 0 ? r : 0;
    if (str_trim(exchange->body).size == 0)
        r = exchange_fail(
            exchange, ERR_EMPTY, STR("an event, an array of them, or a line each"), REPLY_NATIVE);
    else if (is_lines(exchange))
        r = take_lines(exchange);
    else {
        struct json value;
        r = exchange_parse(exchange, &value);
        if (r == ERR_NO_MEMORY)
            return r;
        if (r < 0)
            r = exchange_fail(exchange, r, STR(""), REPLY_NATIVE);
        else if (json_kind(value) == JSON_ARRAY)
            r = take_array(exchange, value);
        else if (json_kind(value) == JSON_OBJECT)
            r = take_single(exchange, value);
        else
            r = exchange_fail(exchange, ERR_FIELD_TYPE,
                STR("an event, an array of them, or a line each"), REPLY_NATIVE);
    }
    return r < 0 ? r : 0;
}
