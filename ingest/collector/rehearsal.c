/*
 * The request is run through its protocol as the server does it. What a protocol does not tell is
 * which events were duplicates and which their customers refused: where there are any, each event
 * is run once more alone, in the request cut down to it.
 *
 * A notification of a webhook gives no event, one, or several: there what is noted for who watches
 * tells the fates.
 *
 * Invariant: an event has one fate, so the counts of a run add up to its events.
 */
#include "ingest/collector/rehearsal.h"

#include <sys/random.h>

#include "ingest/collector/protocol/ga4.h"
#include "ingest/collector/protocol/hook.h"
#include "ingest/collector/protocol/hook_event.h"
#include "ingest/collector/protocol/native.h"
#include "ingest/collector/protocol/segment.h"
#include "ingest/collector/protocol/segment_message.h"
#include "ingest/collector/protocol/snowplow.h"
#include "ingest/collector/raw_json.h"
#include "ingest/import/mapping.h"
#include "schemas/error.h"

#define KEY "rehearsal"      /* of the only source there is */
#define EVENT_ID "rehearsal" /* that Shopify would have said in a header */
#define SNOWPLOW_LEAD                                                                              \
    "{\"schema\":\"iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4\",\"data\":["
#define SNOWPLOW_TAIL "]}"

static const struct {
    exchange_fn handle;
    const char *call; /* of a webhook: its kind */
    const char *list; /* member that holds the events; empty: the body is the list */
} protocols[REHEARSAL_PROTOCOLS] = {
    [REHEARSAL_NATIVE] = {native_handle, "events", ""},
    [REHEARSAL_SEGMENT] = {segment_handle, "batch", "batch"},
    [REHEARSAL_SNOWPLOW] = {snowplow_post_handle, "", "data"},
    [REHEARSAL_GA4] = {ga4_handle, "collect", "events"},
    [REHEARSAL_TWILIO] = {hook_handle, "twilio", ""},
    [REHEARSAL_CONNECT] = {hook_handle, "connect", ""},
    [REHEARSAL_GENESYS] = {hook_handle, "genesys", ""},
    [REHEARSAL_SHOPIFY] = {hook_handle, "shopify", ""},
    [REHEARSAL_GENERIC] = {hook_handle, "generic", ""},
};

/* One run of a body; its reply is the caller's to free. */
struct run {
    const struct rehearsal_config *config;
    struct sources *sources;
    struct json_parser *parser;
    struct arena *arena;
    struct str path;        /* of a webhook: "KIND/SOURCE" */
    struct mapping mapping; /* the source's, or one event of it; where the source has one */
    bool names_event;       /* a header says the id of the notification */
    struct notes notes;     /* of a webhook */
    struct exchange exchange;
};

int rehearsal_protocol_of(struct str name)
{
    static const struct {
        struct str name;
        enum rehearsal_protocol protocol;
    } known[] = {{STR_INIT("native"), REHEARSAL_NATIVE}, {STR_INIT("segment"), REHEARSAL_SEGMENT},
        {STR_INIT("rudder"), REHEARSAL_SEGMENT}, {STR_INIT("snowplow"), REHEARSAL_SNOWPLOW},
        {STR_INIT("ga4"), REHEARSAL_GA4}, {STR_INIT("twilio"), REHEARSAL_TWILIO},
        {STR_INIT("connect"), REHEARSAL_CONNECT}, {STR_INIT("genesys"), REHEARSAL_GENESYS},
        {STR_INIT("shopify"), REHEARSAL_SHOPIFY}, {STR_INIT("generic"), REHEARSAL_GENERIC}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_equal(name, known[i].name))
            return (int)known[i].protocol;
    return -1;
}

static void draw(uint8_t bytes[16])
{
    check(getrandom(bytes, 16, 0) == 16);
}

static bool is_hook(const struct run *run)
{
    return protocols[run->config->protocol].handle == hook_handle;
}

/* The source under a key of its own, so that what it may do is what is asked; open to senders of
 * webhooks, whose signatures are not in a file. Errors: ERR_NO_MEMORY. */
static int make_sources(struct run *run, struct metrics *metrics)
{
    struct config_source source = *run->config->source;
    struct sha256 hash;
    uint8_t(*keys)[SHA256_SIZE] = arena_alloc(run->arena, SHA256_SIZE);
    if (!keys)
        return ERR_NO_MEMORY;
    sha256_init(&hash);
    sha256_update(&hash, STR(KEY));
    sha256_final(&hash, keys[0]);
    source.keys = (const uint8_t(*)[SHA256_SIZE])keys;
    source.keys_count = 1;
    source.old_keys_count = 0;
    source.origins_count = 0;
    source.rate = 0;
    source.enabled = true;
    source.secrets_count = 0;
    source.replay_window_micros = 0;
    if (source.mapping) {
        run->mapping = *source.mapping;
        source.mapping = &run->mapping;
    }
    return sources_new(&source, 1, is_hook(run) ? source.name : STR(""), metrics, &run->sources);
}

/* Errors: ERR_NO_MEMORY. */
static int make_path(struct run *run)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct str source = run->config->source->name;
    int r = buf_appendf(
        &text, "%s/%.*s", protocols[run->config->protocol].call, (int)source.size, source.data);
    return r < 0 ? r : arena_dup(run->arena, buf_str(&text), &run->path);
}

/* What Shopify says beside the notification. */
static struct str header_of(const void *context, const char *name)
{
    const struct run *run = context;
    if (run->config->protocol != REHEARSAL_SHOPIFY)
        return STR("");
    if (strcmp(name, "X-Shopify-Topic") == 0)
        return run->config->topic;
    return run->names_event && strcmp(name, "X-Shopify-Event-Id") == 0 ? STR(EVENT_ID) : STR("");
}

/* Whether a notification has no id of its own: Shopify names each event in a header, so that this
 * alone is no fault. */
static bool lacks_id(struct run *run, struct str body)
{
    struct json value, id;
    return json_parse(run->parser, body, &value) == 0 && json_kind(value) == JSON_OBJECT &&
           (!hook_get(value, STR("id"), &id) || json_kind(id) == JSON_NULL);
}

/* What Segment's path says: a batch, or the type of the message. Static. */
static struct str call_of(struct run *run, struct str body)
{
    static const char *const calls[] = {
        "track", "page", "screen", "identify", "group", "alias", "merge"};
    struct json value, type;
    struct str call = str_of(protocols[run->config->protocol].call);
    if (run->config->protocol != REHEARSAL_SEGMENT || json_parse(run->parser, body, &value) < 0 ||
        json_kind(value) != JSON_OBJECT || json_get(value, STR("batch"), &type) ||
        !json_get(value, STR("type"), &type) || json_kind(type) != JSON_TEXT)
        return call;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (segment_call_of(json_text(type)) == segment_call_of(str_of(calls[i])))
            call = str_of(calls[i]);
    return call;
}

static int run_body(struct run *run, struct str body)
{
    struct exchange *exchange = &run->exchange;
    buf_free(&exchange->reply);
    run->notes = (struct notes){.arena = run->arena};
    run->names_event = run->config->protocol == REHEARSAL_SHOPIFY && lacks_id(run, body);
    *exchange = (struct exchange){
        .rest = run->path,
        .header = header_of,
        .header_context = run,
        .notes = is_hook(run) ? &run->notes : NULL,
        .body = body,
        .body_raw = body,
        .header_key = STR(KEY),
        .draw = draw,
        .now_micros = run->config->now_micros,
        .monotonic_micros = 1,
        .events_max = run->config->events_max,
        .sources = run->sources,
        .door = run->config->door,
        .parser = run->parser,
        .arena = run->arena,
    };
    exchange->call = call_of(run, body);
    return protocols[run->config->protocol].handle(exchange);
}

/* ---- cutting ---- */

/* Event `index` of a native body that is several lines: the line. */
static struct str line_at(struct str body, size_t index)
{
    size_t found = 0;
    while (body.size) {
        const char *end = memchr(body.data, '\n', body.size);
        size_t size = end ? (size_t)(end - body.data) : body.size;
        struct str line = str_make(body.data, size);
        size_t taken = end ? size + 1 : size;
        body = str_make(body.data + taken, body.size - taken);
        if (str_trim(line).size && found++ == index)
            return line;
    }
    return STR("");
}

/* The list of events within the body; empty: the body is one event, or lines of them. */
static struct str list_of(const struct run *run, struct str body)
{
    const char *member = protocols[run->config->protocol].list;
    if (*member)
        return raw_member(body, str_of(member));
    while (body.size && char_is_blank(body.data[0]))
        body = str_make(body.data + 1, body.size - 1);
    return body.size && body.data[0] == '[' ? body : STR("");
}

/* The request, of `count` events, with that one. Errors: ERR_NO_MEMORY. */
static int cut(const struct run *run, struct str body, size_t count, size_t index, struct str *out)
{
    struct str list = list_of(run, body);
    if (list.size == 0) {
        *out = count > 1 ? line_at(body, index) : body;
        return 0;
    }
    CLEANUP(buf_free) struct buf text = {0};
    struct raw_elements elements = raw_elements_of(list);
    struct str element = raw_element(&elements, index);
    size_t before = (size_t)(list.data - body.data), behind = before + list.size;
    int r = buf_append(&text, body.data, before);
    if (r == 0)
        r = buf_append_str(&text, STR("["));
    if (r == 0)
        r = buf_append_str(&text, element);
    if (r == 0)
        r = buf_append_str(&text, STR("]"));
    if (r == 0)
        r = buf_append(&text, body.data + behind, body.size - behind);
    return r < 0 ? r : arena_dup(run->arena, buf_str(&text), out);
}

/* ---- fates ---- */

static void take_verdicts(const struct verdicts *verdicts, bool rejected, struct rehearsal *out)
{
    for (size_t i = 0; i < verdicts->count; i++) {
        const struct verdict *verdict = &verdicts->list[i];
        if (verdict->index >= out->count)
            continue;
        struct rehearsed *event = &out->list[verdict->index];
        if (rejected) {
            event->fate = REHEARSAL_REJECTED;
            event->problem = verdict->problem;
        } else if (event->warning.hint.size == 0) {
            event->warning = verdict->problem;
        }
    }
}

/* Tells duplicates from what customers refused; both are neither rejected nor kept. A duplicate
 * comes after the event that it repeats. Errors: ERR_NO_MEMORY. */
static int find_kept(struct run *run, struct str body, struct rehearsal *out)
{
    size_t count = 0;
    uint8_t(*seen)[KEY_SIZE] = arena_alloc(run->arena, (out->count + 1) * KEY_SIZE);
    if (!seen)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < out->count; i++) {
        struct str single;
        if (out->list[i].fate == REHEARSAL_REJECTED)
            continue;
        int r = cut(run, body, out->count, i, &single);
        if (r == 0)
            r = run_body(run, single);
        if (r < 0)
            return r;
        const struct intake *intake = &run->exchange.intake;
        if (intake->no_consent)
            out->list[i].fate = REHEARSAL_NO_CONSENT;
        if (intake->accepted == 0)
            continue;
        const char *key = intake->records[0].value.data; /* stands first in a touchpoint */
        for (size_t k = 0; k < count; k++)
            if (memcmp(seen[k], key, KEY_SIZE) == 0)
                out->list[i].fate = REHEARSAL_DUPLICATE;
        memcpy(seen[count++], key, KEY_SIZE);
    }
    return 0;
}

/* The accepted events in order are the records in order. Errors: ERR_NO_MEMORY. */
static int take_records(struct run *run, const struct intake *intake, struct rehearsal *out)
{
    size_t at = 0;
    for (size_t i = 0; i < intake->records_count; i++) {
        const struct append_record *record = &intake->records[i];
        if (record->topic != TOPIC_EVENTS)
            continue;
        while (at < out->count && out->list[at].fate != REHEARSAL_ACCEPTED)
            at++;
        if (at == out->count)
            return ERR_INTERNAL;
        memcpy(out->list[at].node, record->key.data, KEY_SIZE);
        int r = touchpoint_decode(&out->list[at++].event, record->value, run->arena);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Leaves out what gives no event, which is counted alone. */
static struct notes without_ignored(struct notes notes)
{
    size_t count = 0;
    for (size_t i = 0; i < notes.count; i++)
        if (notes.list[i].fate != NOTE_IGNORED)
            notes.list[count++] = notes.list[i];
    notes.count = count;
    return notes;
}

/* Whether what was noted of an event that was read alone stands among out's from `first` to `at`
 * already: the same reason at the same pointer is told once a notification. */
static bool is_told(const struct note *note, size_t first, size_t at, const struct rehearsal *out)
{
    for (size_t i = first; note->fate == NOTE_REJECTED && i < at; i++)
        if (out->list[i].fate == REHEARSAL_REJECTED &&
            out->list[i].problem.error == note->problem.error &&
            str_equal(out->list[i].problem.pointer, note->problem.pointer))
            return true;
    return false;
}

/* The first warning of each event of notification `index`, the first of which is out's at `at`:
 * each is read once more alone. A warning says which notification it is of, not which event.
 * Errors: ERR_NO_MEMORY. */
static int find_warnings(
    struct run *run, struct str body, size_t index, size_t at, struct rehearsal *out)
{
    const struct mapping mapping = run->mapping;
    size_t events = run->config->protocol == REHEARSAL_GENERIC ? mapping.events_count : 1;
    const size_t first = at;
    struct str single;
    int r = cut(run, body, 1, index, &single);
    for (size_t nth = 0; r == 0 && nth < events; nth++) {
        if (mapping.events_count) {
            run->mapping.events = &mapping.events[nth];
            run->mapping.events_count = 1;
        }
        r = run_body(run, single);
        const struct intake *intake = &run->exchange.intake;
        const struct notes notes = without_ignored(run->notes);
        if (r == 0 && notes.count && at < out->count && !is_told(notes.list, first, at, out)) {
            bool kept = out->list[at].fate == REHEARSAL_ACCEPTED;
            if (kept && intake->warnings.count)
                out->list[at].warning = intake->warnings.list[0].problem;
            at++;
        }
    }
    run->mapping = mapping;
    return r;
}

/* What was noted of each event, in order. Errors: ERR_NO_MEMORY. */
static int take_notes(
    struct run *run, const struct intake *whole, struct str body, struct rehearsal *out)
{
    static const enum rehearsal_fate fates[] = {
        [NOTE_ACCEPTED] = REHEARSAL_ACCEPTED,
        [NOTE_DUPLICATE] = REHEARSAL_DUPLICATE,
        [NOTE_NO_CONSENT] = REHEARSAL_NO_CONSENT,
        [NOTE_REJECTED] = REHEARSAL_REJECTED,
    };
    const struct notes notes = without_ignored(run->notes); /* live in the arena */
    if (notes.count != out->count)
        return ERR_NO_MEMORY; /* what does not fit is not noted */
    for (size_t i = 0; i < notes.count; i++) {
        out->list[i].fate = fates[notes.list[i].fate];
        out->list[i].problem = notes.list[i].problem;
    }
    int r = 0;
    for (size_t i = 0, warned = 0; r == 0 && i < whole->warnings.count; i++) {
        size_t index = whole->warnings.list[i].index;
        while (warned < notes.count && notes.list[warned].index < index)
            warned++;
        if (i == 0 || index != whole->warnings.list[i - 1].index)
            r = find_warnings(run, body, index, warned, out);
    }
    return r;
}

static int read_fates(struct run *run, struct str body, struct rehearsal *out)
{
    const struct intake whole = run->exchange.intake; /* lives in the arena */
    out->count = whole.accepted + whole.duplicates + whole.no_consent + whole.rejected.count;
    out->list = arena_alloc(run->arena, (out->count + 1) * sizeof *out->list);
    if (!out->list)
        return ERR_NO_MEMORY;
    memset(out->list, 0, out->count * sizeof *out->list);
    int r;
    if (is_hook(run)) {
        r = take_notes(run, &whole, body, out);
        return r < 0 ? r : take_records(run, &whole, out);
    }
    take_verdicts(&whole.rejected, true, out);
    take_verdicts(&whole.warnings, false, out);
    r = whole.duplicates || whole.no_consent ? find_kept(run, body, out) : 0;
    return r < 0 ? r : take_records(run, &whole, out);
}

/* One event's fields become a payload of trackers. Errors: ERR_NO_MEMORY. */
static int wrap(struct run *run, struct str *body)
{
    struct json value, member;
    CLEANUP(buf_free) struct buf text = {0};
    if (run->config->protocol != REHEARSAL_SNOWPLOW || json_parse(run->parser, *body, &value) < 0 ||
        json_kind(value) != JSON_OBJECT || json_get(value, STR("schema"), &member) ||
        json_get(value, STR("data"), &member))
        return 0;
    int r = buf_append_str(&text, STR(SNOWPLOW_LEAD));
    if (r == 0)
        r = buf_append_str(&text, *body);
    if (r == 0)
        r = buf_append_str(&text, STR(SNOWPLOW_TAIL));
    return r < 0 ? r : arena_dup(run->arena, buf_str(&text), body);
}

static int rehearse_with(struct run *run, struct str body, struct rehearsal *out)
{
    int r = wrap(run, &body);
    if (r == 0)
        r = run_body(run, body);
    if (r < 0)
        return r;
    out->status = run->exchange.status;
    out->ignored = run->exchange.intake.ignored;
    if (out->status >= 400)
        r = arena_dup(run->arena, buf_str(&run->exchange.reply), &out->reply);
    return r < 0 ? r : read_fates(run, body, out);
}

int rehearse(const struct rehearsal_config *config, struct str body, struct arena *arena,
    struct rehearsal *out)
{
    CLEANUP(metrics_free) struct metrics *metrics = NULL;
    struct run run = {.config = config, .arena = arena};
    *out = (struct rehearsal){.reply = STR("")};
    int r = metrics_new(&metrics);
    if (r == 0)
        r = make_sources(&run, metrics);
    if (r == 0)
        r = make_path(&run);
    if (r == 0)
        r = json_parser_new(&run.parser);
    if (r == 0)
        r = rehearse_with(&run, body, out);
    buf_free(&run.exchange.reply);
    json_parser_free(&run.parser);
    sources_free(&run.sources);
    return r;
}
