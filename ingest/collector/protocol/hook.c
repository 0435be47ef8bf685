/* Path, source, sender, body; then each notification to its kind. */
#include "ingest/collector/protocol/hook.h"

#include "ingest/collector/protocol/form.h"
#include "ingest/collector/protocol/hook_kind.h"
#include "ingest/collector/protocol/hook_signature.h"
#include "ingest/collector/protocol/native.h"
#include "ingest/collector/raw_json.h"
#include "schemas/error.h"

#define ADAPTER_VERSION 1
#define TWIML_EMPTY "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>"
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* A request while it is judged. */
struct hook {
    struct exchange *exchange;
    const struct hook_kind *kind;
    const struct exchange_pair *pairs; /* of a form */
    size_t pairs_count;
    bool is_form;
    bool is_array;
    bool gives;                   /* the notification gives an event, or its refusal */
    struct raw_elements elements; /* of an array */
};

static const struct hook_kind *kind_of(struct str name)
{
    static const struct hook_kind *const kinds[] = {
        &hook_twilio, &hook_connect, &hook_genesys, &hook_shopify, &hook_generic};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_equal(kinds[i]->name, name))
            return kinds[i];
    return NULL;
}

/* What is kept of a refused notification; a form as JSON, for it hides what it says from who
 * looks for a person in it. */
static struct str text_of(void *context, size_t index)
{
    struct hook *hook = context;
    struct str text = STR("");
    if (hook->is_form &&
        form_write_json(hook->pairs, hook->pairs_count, hook->exchange->arena, &text) < 0)
        text = STR("{}"); /* out of memory: nothing will be kept */
    if (hook->is_array)
        text = raw_element(&hook->elements, index);
    return text.size ? text : hook->exchange->body;
}

/* ---- who sends ---- */

static int refuse(struct exchange *exchange, int refusal)
{
    static const struct {
        int status;
        const char *code;
        const char *message;
    } answers[METRIC_REFUSAL_COUNT] = {
        [REFUSAL_NO_SECRET] = {401, "no_secret",
            "this source has no secret_file by which its webhooks could be told"},
        [REFUSAL_UNSIGNED] = {401, "unsigned", "the header of the signature or secret is missing"},
        [REFUSAL_SIGNATURE] = {401, "signature", "the signature or secret is not this source's"},
        [REFUSAL_STALE] = {403, "stale", "its time is outside this source's replay_window"},
    };
    exchange->refusal = refusal + 1;
    exchange->intake = (struct intake){0};
    return exchange_refuse(exchange, answers[refusal].status, answers[refusal].code,
        answers[refusal].message, REPLY_NATIVE);
}

/* The source that the path names. 0, EXCHANGE_ANSWERED or ERR_NO_MEMORY. */
static int find_source(struct exchange *exchange, struct str name)
{
    const struct source *source = sources_find_name(exchange->sources, name);
    if (!source)
        return exchange_refuse(
            exchange, 401, "unauthorized", "no source has this name", REPLY_NATIVE);
    exchange->source = source;
    if (!source->config.enabled)
        return exchange_refuse(exchange, 403, "disabled", "this source is disabled", REPLY_NATIVE);
    if (!(source->config.protocols & SOURCE_PROTOCOL_WEBHOOK))
        return exchange_refuse(
            exchange, 403, "protocol", "this source may not use this protocol", REPLY_NATIVE);
    return 0;
}

/* The open source is for a laptop: whoever reaches it may send. */
static int check_sender(struct hook *hook)
{
    struct exchange *exchange = hook->exchange;
    const struct config_source *config = &exchange->source->config;
    int refusal = HOOK_BELIEVED;
    bool open = exchange->source == sources_open(exchange->sources) && config->secrets_count == 0;
    int r =
        open ? 0 : hook->kind->believe(exchange, config, hook->pairs, hook->pairs_count, &refusal);
    if (r < 0 || refusal == HOOK_BELIEVED)
        return r;
    return refuse(exchange, refusal);
}

static bool is_stale(const struct exchange *exchange, int64_t said_at)
{
    int64_t window = exchange->source->config.replay_window_micros;
    int64_t age;
    if (window == 0 || said_at == 0)
        return false;
    if (__builtin_sub_overflow(exchange->now_micros, said_at, &age))
        return true;
    return age > window || age < -window;
}

/* ---- notifications ---- */

/* Reads event nth of the notification that the reader has. As hook_kind.read(). */
static int read_event(const struct hook_kind *kind, struct hook_reader *reader, size_t nth)
{
    struct exchange *exchange = reader->exchange;
    struct touchpoint *event = &reader->event;
    reader->arena = exchange->arena;
    touchpoint_init(event);
    event->identifiers =
        arena_alloc(exchange->arena, HOOK_IDENTIFIERS_MAX * sizeof *event->identifiers);
    if (!event->identifiers)
        return ERR_NO_MEMORY;
    int r = kind->read(reader, nth);
    if (r == 0 && reader->properties.count)
        r = segment_members_write(&reader->properties, exchange->arena, &event->properties);
    if (r < 0 && reader->problem.error == 0)
        reader->problem.error = r;
    event->source = exchange->source->config.name;
    event->protocol = PROTOCOL_WEBHOOK;
    event->adapter_version = ADAPTER_VERSION;
    event->traceparent = exchange->traceparent;
    return r;
}

/* Reads and judges event nth of a notification. 0, EXCHANGE_ANSWERED or ERR_NO_MEMORY. */
static int take_event(struct hook *hook, struct json item, size_t index, size_t nth)
{
    struct exchange *exchange = hook->exchange;
    const struct intake_payload payload = {.text = text_of, .context = hook};
    struct hook_reader reader = {.exchange = exchange,
        .item = item,
        .is_form = hook->is_form,
        .pairs = hook->pairs,
        .pairs_count = hook->pairs_count};
    int r = read_event(hook->kind, &reader, nth);
    if (r == ERR_NO_MEMORY || r == HOOK_NONE)
        return r == HOOK_NONE ? 0 : r;
    hook->gives = true;
    if (is_stale(exchange, reader.said_at))
        return refuse(exchange, REFUSAL_STALE);
    if (r < 0)
        return intake_reject(
            &exchange->intake, index, reader.event.event_id, &reader.problem, &payload);
    return intake_event(&exchange->intake, &reader.event, index, &payload);
}

static size_t events_max(const struct hook *hook)
{
    const struct config_source *source = &hook->exchange->source->config;
    return hook->kind->events_max ? hook->kind->events_max(source) : 1;
}

static int take(struct hook *hook, struct json item, size_t index)
{
    const struct intake_payload payload = {.text = text_of, .context = hook};
    int r = 0;
    hook->gives = false;
    for (size_t nth = 0; r == 0 && nth < events_max(hook); nth++)
        r = take_event(hook, item, index, nth);
    if (r == 0 && !hook->gives) {
        struct touchpoint none;
        touchpoint_init(&none);
        none.protocol = PROTOCOL_WEBHOOK;
        intake_ignore(&hook->exchange->intake, &none, index, &payload);
    }
    return r;
}

/* Room for `count` notifications, which count against the rate. As exchange_begin(). */
static int begin(struct hook *hook, size_t count)
{
    struct exchange *exchange = hook->exchange;
    if (count > exchange->events_max)
        return exchange_fail(
            exchange, ERR_TOO_MANY, STR("send the events in smaller batches"), REPLY_NATIVE);
    exchange_prepare(exchange, hook->kind->name, false);
    int r = exchange_check_rate(exchange, count, REPLY_NATIVE);
    return r != 0 ? r : intake_reserve(&exchange->intake, count * events_max(hook));
}

static int answer(struct hook *hook)
{
    struct exchange *exchange = hook->exchange;
    const struct verdicts *rejected = &exchange->intake.rejected;
    if (!hook->is_array && rejected->count && rejected->list[0].problem.error == ERR_EVENT_ID)
        return exchange_fail(exchange, ERR_EVENT_ID, rejected->list[0].problem.hint, REPLY_NATIVE);
    if (!hook->kind->forms)
        return native_reply(exchange);
    exchange->status = 200;
    exchange->media_type = "text/xml; charset=utf-8";
    buf_clear(&exchange->reply);
    return buf_append_str(&exchange->reply, STR(TWIML_EMPTY));
}

static int take_array(struct hook *hook, struct json array)
{
    struct json_iterator iterator;
    struct json item;
    struct str key;
    size_t index = 0;
    int r = begin(hook, json_count(array));
    if (r != 0)
        return r;
    hook->is_array = true;
    hook->elements = raw_elements_of(hook->exchange->body);
    json_iterate(array, &iterator);
    while (r == 0 && json_next(&iterator, &key, &item))
        r = take(hook, item, index++);
    return r != 0 ? r : answer(hook);
}

static int take_single(struct hook *hook, struct json item)
{
    int r = begin(hook, 1);
    if (r == 0)
        r = take(hook, item, 0);
    return r != 0 ? r : answer(hook);
}

static int take_json(struct hook *hook)
{
    struct exchange *exchange = hook->exchange;
    struct json body;
    int r = exchange_parse(exchange, &body);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0)
        return exchange_fail(exchange, r, STR("JSON"), REPLY_NATIVE);
    if (json_kind(body) == JSON_ARRAY)
        return take_array(hook, body);
    if (json_kind(body) == JSON_OBJECT)
        return take_single(hook, body);
    return exchange_fail(exchange, ERR_FIELD_TYPE, STR("an object, or an array"), REPLY_NATIVE);
}

/* The first character that is no blank tells. */
static bool looks_like_json(struct str body)
{
    for (size_t i = 0; i < body.size; i++)
        if (body.data[i] > ' ')
            return body.data[i] == '{' || body.data[i] == '[';
    return false;
}

/* A form is read before its sender is known, for the signature is over its pairs. */
static int read_form(struct hook *hook)
{
    struct exchange *exchange = hook->exchange;
    hook->is_form = hook->kind->forms && !looks_like_json(exchange->body);
    if (!hook->is_form)
        return 0;
    int r = form_read(exchange->body, exchange->arena, &hook->pairs, &hook->pairs_count);
    return r < 0 && r != ERR_NO_MEMORY ? exchange_fail(exchange, r, STR(""), REPLY_NATIVE) : r;
}

static int handle(struct hook *hook, struct str name)
{
    struct exchange *exchange = hook->exchange;
    int r = find_source(exchange, name);
    if (r == 0)
        r = read_form(hook);
    if (r == 0)
        r = check_sender(hook);
    if (r != 0)
        return r;
    if (exchange->body.size == 0 || (hook->is_form && hook->pairs_count == 0))
        return exchange_fail(exchange, ERR_EMPTY, STR("a notification"), REPLY_NATIVE);
    struct json none = {0};
    return hook->is_form ? take_single(hook, none) : take_json(hook);
}

int hook_handle(struct exchange *exchange)
{
    struct str rest = exchange->rest;
    const char *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
    size_t size = slash ? (size_t)(slash - rest.data) : 0;
    struct hook hook = {.exchange = exchange, .kind = kind_of(str_make(rest.data, size))};
    int r = hook.kind ? handle(&hook, str_make(slash + 1, rest.size - size - 1))
                      : exchange_refuse(exchange, 404, "not_found",
                            "webhooks are at /hooks/KIND/SOURCE; kinds are twilio, connect, "
                            "genesys, shopify and generic",
                            REPLY_NATIVE);
    return r < 0 ? r : 0;
}

/* "<kind>/<source>" of the path. */
static const struct hook_kind *kind_of_path(const struct exchange *exchange)
{
    struct str rest = exchange->rest;
    const char *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
    return slash ? kind_of(str_make(rest.data, (size_t)(slash - rest.data))) : NULL;
}

enum hook_proof hook_proof(const struct exchange *exchange, struct str *header)
{
    bool hook = str_starts_with(exchange->target, STR("/hooks/"));
    const struct hook_kind *kind = hook ? kind_of_path(exchange) : NULL;
    if (!kind || !exchange->source || exchange->source->config.secrets_count == 0 ||
        exchange->header_key.size)
        return HOOK_PROOF_NONE;
    struct str named = exchange->source->config.signature_header;
    *header = named.size && kind->names_header ? named : str_of(kind->proof_header);
    return kind->proof;
}

int hook_proof_pairs(const struct exchange *exchange, struct buf *out)
{
    const struct exchange_pair *pairs = NULL;
    size_t count = 0;
    if (looks_like_json(exchange->body))
        return 0;
    int r = form_read(exchange->body, exchange->arena, &pairs, &count);
    return r < 0 ? r : hook_write_pairs(pairs, count, out);
}

size_t hook_again_max(struct str stage, struct str event_id, const struct config_source *source)
{
    const struct hook_kind *kind = kind_of(stage);
    if (!kind || (kind->again_header && kind->again_header(event_id, kind->again_needs).size == 0))
        return 0;
    return kind->events_max ? kind->events_max(source) : 1;
}

/* A request of old, of whose headers an event id is left. */
struct remembered {
    const struct hook_kind *kind;
    struct str event_id;
};

static struct str remembered_header(const void *context, const char *name)
{
    const struct remembered *remembered = context;
    return remembered->kind->again_header(remembered->event_id, name);
}

int hook_again(struct exchange *exchange, struct str event_id, struct json item, size_t nth,
    struct touchpoint *out, struct event_problem *problem)
{
    const struct remembered remembered = {kind_of(exchange->call), event_id};
    struct hook_reader reader = {.exchange = exchange, .item = item};
    if (remembered.kind->again_header) {
        exchange->header = remembered_header;
        exchange->header_context = &remembered;
    }
    int r = read_event(remembered.kind, &reader, nth);
    exchange->header = NULL;
    exchange->header_context = NULL;
    *out = reader.event;
    *problem = reader.problem;
    return r;
}
