/* Replies of errors, and who may send. */
#include "ingest/collector/exchange.h"

#include "schemas/error.h"
#include "schemas/json.h"

#define MESSAGE_RATE "this source sends too much: come again after Retry-After"

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
    exchange->status = exchange_status(error);
    if (exchange->status == 503)
        exchange->retry_after_seconds = 1;
    return write_error(exchange, str_of(error_name(error)), str_of(error_text(error)), hint, form);
}

int exchange_refuse(struct exchange *exchange, int status, const char *code, const char *message,
    enum reply_form form)
{
    exchange->status = status;
    return write_error(exchange, str_of(code), str_of(message), STR(""), form);
}

int exchange_authorise(
    struct exchange *exchange, struct str body_key, unsigned protocol, enum reply_form form)
{
    struct str key = exchange->header_key.size ? exchange->header_key : body_key;
    const struct source *source =
        key.size ? sources_find(exchange->sources, key) : sources_open(exchange->sources);
    /* Segment's own clients name a write key that nobody has made; on a laptop that is no reason to
     * turn them away. */
    if (!source && form == REPLY_SEGMENT)
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
    return exchange_refuse(exchange, 429, "rate", MESSAGE_RATE, form);
}
