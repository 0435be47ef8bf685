/* Replies of errors, and who may send. */
#include "ingest/collector/exchange.h"

#include "schemas/error.h"
#include "schemas/json.h"

/* The smallest there is: 1 x 1, one colour of two, transparent. Source: GIF89a. */
static const char pixel[] = "GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff"
                            "\x21\xf9\x04\x01\0\0\0\0"
                            "\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";
_Static_assert(sizeof pixel - 1 == 43, "what trackers expect");

#define UUID_SIZE 36
#define MESSAGE_RATE "this source sends too much: come again after Retry-After"

struct str exchange_header(const struct exchange *exchange, const char *name)
{
    return exchange->header ? exchange->header(exchange->header_context, name) : STR("");
}

int exchange_parse(const struct exchange *exchange, struct json *out)
{
    struct str body = exchange->body;
    if (body.size && body.data + body.size == exchange->padding)
        return json_parse_padded_checked(exchange->parser, body, out);
    return json_parse(exchange->parser, body, out);
}

struct str exchange_query(const struct exchange *exchange, struct str name)
{
    for (size_t i = 0; i < exchange->query_count; i++)
        if (str_equal(exchange->query[i].name, name))
            return exchange->query[i].value;
    return STR("");
}

/* Cuts `*rest` at the next of these characters and returns what stood before it. */
static struct str cut(struct str *rest, char at)
{
    const char *end = rest->size ? memchr(rest->data, at, rest->size) : NULL;
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    struct str before = str_make(rest->data, size);
    size_t taken = end ? size + 1 : size;
    *rest = str_make(rest->data + taken, rest->size - taken);
    return before;
}

static struct str trim(struct str text)
{
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = str_make(text.data + 1, text.size - 1);
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

struct str exchange_cookie(const struct exchange *exchange, struct str name)
{
    struct str rest = exchange_header(exchange, "Cookie");
    while (rest.size) {
        struct str value = cut(&rest, ';');
        struct str found = trim(cut(&value, '='));
        value = trim(value);
        if (!str_equal(found, name))
            continue;
        bool quoted = value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"';
        return quoted ? str_make(value.data + 1, value.size - 2) : value;
    }
    return STR("");
}

int exchange_uuid(struct exchange *exchange, struct str *out)
{
    uint8_t bytes[16];
    exchange->draw(bytes);
    return exchange_uuid_write(exchange->arena, bytes, 4, out);
}

int exchange_uuid_write(
    struct arena *arena, const uint8_t random[16], unsigned version, struct str *out)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];
    char *text = arena_alloc(arena, UUID_SIZE);
    if (!text)
        return ERR_NO_MEMORY;
    memcpy(bytes, random, sizeof bytes);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | version << 4);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    size_t size = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[size++] = '-';
        text[size++] = digits[bytes[i] >> 4];
        text[size++] = digits[bytes[i] & 0x0f];
    }
    check(size == UUID_SIZE);
    *out = str_make(text, UUID_SIZE);
    return 0;
}

int exchange_add_header(struct exchange *exchange, const char *name, struct str value)
{
    if (exchange->headers_count == EXCHANGE_HEADERS_MAX)
        return ERR_TOO_MANY;
    for (size_t i = 0; i < value.size; i++)
        if ((unsigned char)value.data[i] < ' ' || value.data[i] == '\x7f')
            return ERR_VALUE;
    char *copy = arena_alloc(exchange->arena, value.size + 1);
    if (!copy)
        return ERR_NO_MEMORY;
    if (value.size)
        memcpy(copy, value.data, value.size);
    copy[value.size] = '\0';
    exchange->headers[exchange->headers_count++] =
        (struct exchange_pair){str_of(name), str_make(copy, value.size)};
    return 0;
}

int exchange_pixel(struct exchange *exchange)
{
    exchange->status = 200;
    exchange->media_type = "image/gif";
    buf_clear(&exchange->reply);
    return buf_append(&exchange->reply, pixel, sizeof pixel - 1);
}

int exchange_status(int error)
{
    switch (error) {
    case ERR_TOO_LARGE:
    case ERR_TOO_MANY:
        return 413;
    case ERR_ENCODING:
        return 415;
    case ERR_FULL:
    case ERR_AGAIN:
    case ERR_NO_MEMORY:
        return 503;
    default:
        return error_class(error) == ERROR_CLASS_REJECT ? 400 : 500;
    }
}

/* What a client of this form is told instead: one that repeats every other status for ever is told
 * 422. Source: PROTOCOLS, "Snowplow tracker protocol". */
static int status_for(int status, enum reply_form form)
{
    bool repeated = status == 404 || status == 405 || status == 413 || status == 415;
    return form == REPLY_TRACKER && repeated ? 422 : status;
}

/* Appends ,"key":"text". */
static int write_member(struct buf *out, const char *lead, struct str text)
{
    int r = buf_append_str(out, str_of(lead));
    return r < 0 ? r : json_write_text(out, text);
}

static int write_error(struct exchange *exchange, struct str code, struct str message,
    struct str hint, enum reply_form form)
{
    struct buf *out = &exchange->reply;
    exchange->media_type = NULL;
    exchange->headers_count = 0;
    buf_clear(out);
    int r = write_member(
        out, form == REPLY_SEGMENT ? "{\"success\":false,\"code\":" : "{\"code\":", code);
    if (r == 0)
        r = write_member(out, ",\"message\":", message);
    if (r == 0 && hint.size)
        r = write_member(out, ",\"hint\":", hint);
    if (r == 0)
        r = buf_append_str(out, STR("}"));
    return r < 0 ? r : EXCHANGE_ANSWERED;
}

int exchange_fail(struct exchange *exchange, int error, struct str hint, enum reply_form form)
{
    exchange->status = status_for(exchange_status(error), form);
    if (exchange->status == 503)
        exchange->retry_after_seconds = 1;
    return write_error(exchange, str_of(error_name(error)), str_of(error_text(error)), hint, form);
}

int exchange_refuse(struct exchange *exchange, int status, const char *code, const char *message,
    enum reply_form form)
{
    exchange->status = status_for(status, form);
    return write_error(exchange, str_of(code), str_of(message), STR(""), form);
}

int exchange_authorise(
    struct exchange *exchange, struct str body_key, unsigned protocol, enum reply_form form)
{
    return exchange_authorise_app(exchange, body_key, STR(""), protocol, form);
}

int exchange_authorise_app(struct exchange *exchange, struct str key, struct str app_id,
    unsigned protocol, enum reply_form form)
{
    if (exchange->header_key.size)
        key = exchange->header_key;
    const struct source *source = key.size
                                      ? sources_find(exchange->sources, key, exchange->now_micros)
                                      : sources_find_app(exchange->sources, app_id);
    if (!source && key.size == 0)
        source = sources_open(exchange->sources);
    /* Clients of Segment and GA4 always name a key, one that nobody has made; on a laptop that is
     * no reason to turn them away. */
    if (!source && (form == REPLY_SEGMENT || protocol == SOURCE_PROTOCOL_GA4))
        source = sources_open(exchange->sources);
    if (!source)
        return exchange_refuse(exchange, 401, "unauthorized",
            key.size ? "no source has this write key" : "a write key is missing", form);
    exchange->source = source;
    if (!source->config.enabled)
        return exchange_refuse(exchange, 403, "disabled", "this source is disabled", form);
    if (!(source->config.protocols & protocol))
        return exchange_refuse(
            exchange, 403, "protocol", "this source may not use this protocol", form);
    if (!source_allows_origin(source, exchange->origin))
        return exchange_refuse(
            exchange, 403, "origin", "this source may not be used from this web origin", form);
    return 0;
}

int exchange_check_rate(struct exchange *exchange, size_t events, enum reply_form form)
{
    int seconds =
        source_take(exchange->sources, exchange->source, events, exchange->monotonic_micros);
    if (seconds == 0)
        return 0;
    exchange->retry_after_seconds = seconds;
    exchange->limited = events;
    return exchange_refuse(exchange, 429, "rate", MESSAGE_RATE, form);
}

void exchange_prepare(struct exchange *exchange, struct str stage, bool dry_run)
{
    exchange->intake = (struct intake){
        .door = exchange->door,
        .arena = exchange->arena,
        .source = exchange->source->config.name,
        .stage = stage,
        .is_operator = exchange->source->config.is_operator,
        .refuses_evidence = exchange->source->config.refuses_evidence,
        .plan = exchange->source->config.plan,
        .now_micros = exchange->now_micros,
        .dry_run = dry_run,
        .notes = exchange->notes,
    };
    if (exchange->notes) /* of other protocols an event does not stand by itself */
        exchange->notes->payloads =
            str_equal(stage, STR("native")) || (str_equal(stage, STR("segment")) && !exchange->get);
}

int exchange_begin(
    struct exchange *exchange, struct str stage, size_t events, bool dry_run, enum reply_form form)
{
    if (events > exchange->events_max)
        return exchange_fail(
            exchange, ERR_TOO_MANY, STR("send the events in smaller batches"), form);
    exchange_prepare(exchange, stage, dry_run);
    int r = dry_run ? 0 : exchange_check_rate(exchange, events, form);
    return r != 0 ? r : intake_reserve(&exchange->intake, events);
}
