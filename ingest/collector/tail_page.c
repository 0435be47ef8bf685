/* GET /v1/debug/events: a stream of server-sent events (tail.h) over libmicrohttpd. Source: HTML
 * Standard, 9.2 "Server-sent events". */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ingest/collector/collector_private.h"
#include "ingest/collector/http_check.h"
#include "ingest/collector/tail_item.h"
#include "schemas/error.h"
#include "schemas/event.h"

#define BLOCK_SIZE ((size_t)16 << 10)
#define HOST_SIZE_MAX 256
#define RETRY_SECONDS 2
#define LAST_ID "Last-Event-ID"
#define HINT_PARAMETERS "source, type, person, fate"
#define HINT_PERSON "?person=email:hana@example.jp"
#define HINT_FATES                                                                                 \
    "accepted, duplicate, no_consent, ignored, rejected, failed, refused, "                        \
    "stitched (of what came later)"

/* ---- filter ---- */

static bool is_fate(struct str text)
{
    static const struct str fates[] = {STR_INIT("accepted"), STR_INIT("duplicate"),
        STR_INIT("no_consent"), STR_INIT("rejected"), STR_INIT("failed"), STR_INIT("refused"),
        STR_INIT("stitched"), STR_INIT("ignored")};
    for (size_t i = 0; i < sizeof fates / sizeof *fates; i++)
        if (str_equal(text, fates[i]))
            return true;
    return false;
}

/* "namespace:value" as the door stores it. Errors: of identifier_normalise(). */
static int read_person(const struct exchange *exchange, struct str text, struct identifier *out)
{
    const char *colon = text.size ? memchr(text.data, ':', text.size) : NULL;
    struct identifier_report report;
    struct touchpoint event;
    if (!colon)
        return ERR_NAMESPACE;
    size_t name = (size_t)(colon - text.data);
    *out = (struct identifier){
        .namespace = str_make(text.data, name), .value = str_make(colon + 1, text.size - name - 1)};
    touchpoint_init(&event);
    event.identifiers = out;
    event.identifiers_count = 1;
    int r = identifier_normalise(&exchange->door->identifiers, exchange->arena, &event, &report);
    if (r == 0)
        *out = event.identifiers[0];
    return r;
}

/* A type with a slip in it would be waited for in vain; "=TYPE" is one all the same. 0, or the
 * exchange is answered. Errors: ERR_NO_MEMORY. */
static int read_type(struct exchange *exchange, struct str text, struct str *out)
{
    CLEANUP(buf_free) struct buf hint = {0};
    bool literal = text.size && text.data[0] == '=';
    struct str meant = literal ? STR("") : event_type_meant(text);
    *out = literal ? str_make(text.data + 1, text.size - 1) : text;
    if (meant.size == 0)
        return 0;
    int r = buf_appendf(&hint, "did you mean \"%.*s\"? \"=%.*s\" is a type of your own",
        (int)meant.size, meant.data, (int)text.size, text.data);
    return r < 0 ? r : exchange_fail(exchange, ERR_EVENT_TYPE, buf_str(&hint), REPLY_NATIVE);
}

/* 0, or the exchange is answered. Errors: ERR_NO_MEMORY. */
static int read_filter(struct exchange *exchange, struct tail_filter *filter)
{
    for (size_t i = 0; i < exchange->query_count; i++) {
        struct str name = exchange->query[i].name, value = exchange->query[i].value;
        int r = 0;
        if (str_equal(name, STR("source")) &&
            (value.size == 0 || sources_find_name(exchange->sources, value)))
            filter->source = value;
        else if (str_equal(name, STR("source")))
            r = exchange_refuse(exchange, 404, "source", "no source has this name", REPLY_NATIVE);
        else if (str_equal(name, STR("type")))
            r = read_type(exchange, value, &filter->type);
        else if (str_equal(name, STR("fate")) && (value.size == 0 || is_fate(value)))
            filter->fate = value;
        else if (str_equal(name, STR("fate")))
            r = exchange_fail(exchange, ERR_VALUE, STR(HINT_FATES), REPLY_NATIVE);
        else if (str_equal(name, STR("person")) && value.size)
            r = read_person(exchange, value, &filter->identifier);
        else if (!str_equal(name, STR("person")) && !str_equal(name, STR("writeKey")))
            r = exchange_fail(exchange, ERR_UNKNOWN_FIELD, STR(HINT_PARAMETERS), REPLY_NATIVE);
        if (r < 0 && r != ERR_NO_MEMORY)
            r = exchange_fail(exchange, r, STR(HINT_PERSON), REPLY_NATIVE);
        if (r != 0)
            return r;
    }
    return 0;
}

/* ---- stream ---- */

static void sleep_connection(void *connection)
{
    MHD_suspend_connection(connection);
}

static void wake_connection(void *connection)
{
    MHD_resume_connection(connection);
}

/* The server's address as the viewer knows it, which stands in commands: what an event's own
 * sender called it might lead a key astray. */
static void write_base(const struct exchange *exchange, int port, char base[TAIL_BASE_SIZE_MAX])
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_[]";
    struct str host = exchange_header(exchange, "Host");
    bool secure = str_equal(exchange_header(exchange, "X-Forwarded-Proto"), STR("https"));
    bool sound = host.size != 0 && host.size < HOST_SIZE_MAX;
    for (size_t i = 0; sound && i < host.size; i++)
        sound = host.data[i] != '\0' && strchr(letters, host.data[i]) != NULL;
    if (sound)
        (void)snprintf(base, TAIL_BASE_SIZE_MAX, "%s://%.*s", secure ? "https" : "http",
            (int)host.size, host.data);
    else
        (void)snprintf(base, TAIL_BASE_SIZE_MAX, "http://127.0.0.1:%d", port);
}

int tail_page_open(struct collector *collector, struct exchange *exchange,
    struct MHD_Connection *connection, struct tail_viewer **out)
{
    struct tail_viewing viewing = {
        .last_id = exchange_header(exchange, LAST_ID),
        .sleep = sleep_connection,
        .wake = wake_connection,
        .context = connection,
    };
    char base[TAIL_BASE_SIZE_MAX];
    int r = read_filter(exchange, &viewing.filter);
    if (r != 0)
        return r < 0 ? r : 0;
    write_base(exchange, collector->port, base);
    viewing.base = str_of(base);
    r = tail_open(collector->tail, &viewing, out);
    if (r == ERR_FULL) {
        r = exchange_refuse(
            exchange, 503, "viewers", "too many watch already: sixteen may", REPLY_NATIVE);
        exchange->retry_after_seconds = RETRY_SECONDS;
    } else if (r == 0) {
        exchange->status = 200;
        exchange->media_type = "text/event-stream";
        r = exchange_add_header(exchange, "X-Accel-Buffering", STR("no"));
    }
    return r < 0 ? r : 0;
}

static ssize_t on_read(void *viewer, uint64_t at, char *out, size_t size)
{
    (void)at;
    ssize_t count = tail_read(viewer, out, size);
    return count == TAIL_ENDED ? (ssize_t)MHD_CONTENT_READER_END_OF_STREAM : count;
}

static void on_closed(void *context)
{
    struct tail_viewer *viewer = context;
    tail_close(&viewer);
}

struct MHD_Response *tail_page_response(struct tail_viewer *viewer)
{
    return MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_read, viewer, on_closed);
}

/* ---- what is shown ---- */

/* What later stages make of what was accepted is asked for by text that ends. */
static void put_event(struct collector *collector, const struct exchange *exchange,
    const struct note *note, const struct tail_facts *facts, const struct tail_pick *pick)
{
    CLEANUP(buf_free) struct buf text = {0};
    CLEANUP(buf_free) struct buf names = {0};
    struct tail_question question = {.received_at = exchange->intake.now_micros};
    if (pick->shown && tail_item_write(exchange, note, facts, &text) < 0)
        return;
    bool followed = note->fate == NOTE_ACCEPTED && str_equal(facts->fate, STR("accepted"));
    if (followed && buf_appendf(&names, "%.*s%c%.*s%c", (int)facts->source.size, facts->source.data,
                        0, (int)note->event_id.size, note->event_id.data, 0) < 0)
        return;
    memcpy(question.event_key, note->event_key, KEY_SIZE);
    question.source = names.data;
    question.event_id = followed ? names.data + facts->source.size + 1 : NULL;
    tail_put(collector->tail, pick, buf_str(&text), followed ? &question : NULL);
}

void tail_page_show(
    struct collector *collector, const struct exchange *exchange, enum metric_protocol protocol)
{
#define X(id, name) name,
    static const char *const protocols[] = {METRIC_PROTOCOL_LIST(X)};
#undef X
    const struct notes *notes = exchange->notes;
    struct tail_facts facts;
    struct tail_pick pick;
    if (exchange->intake.dry_run)
        return;
    for (size_t i = 0; notes && i < notes->count; i++) {
        tail_item_facts(exchange, &notes->list[i], exchange->status >= 500, &facts);
        if (tail_pick(collector->tail, &facts, &pick))
            put_event(collector, exchange, &notes->list[i], &facts, &pick);
    }
    if ((notes && notes->count) || exchange->status < 400)
        return;
    CLEANUP(buf_free) struct buf text = {0};
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    tail_item_refused_facts(exchange, &facts);
    if (tail_pick(collector->tail, &facts, &pick) &&
        tail_item_refused(exchange, protocols[protocol],
            (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, &text) == 0)
        tail_put(collector->tail, &pick, buf_str(&text), NULL);
}
