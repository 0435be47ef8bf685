/* Settings are the same for all, but for key and address. */
#include "ingest/collector/protocol/segment_settings.h"

#include "schemas/error.h"
#include "schemas/json.h"

#define SETTINGS "/settings"
/* Rudder's clients read when a configuration was changed, and nothing else of it. */
#define UNCHANGED "\"2026-01-01T00:00:00.000Z\""

static bool begins_with(struct str text, const char *beginning)
{
    return str_starts_with(text, str_of(beginning));
}

static bool is_loopback(struct str host)
{
    return begins_with(host, "localhost") || begins_with(host, "127.") ||
           begins_with(host, "[::1]");
}

/* How the client has reached the host, as far as it can be told: a proxy's word, or a page that
 * was loaded by https, which browsers let ask nothing else but this machine. */
static const char *scheme_of(const struct exchange *exchange, struct str host)
{
    struct str said = exchange_header(exchange, "X-Forwarded-Proto");
    if (said.size)
        return str_equal(said, STR("https")) ? "https" : "http";
    return begins_with(exchange->origin, "https://") && !is_loopback(host) ? "https" : "http";
}

/* Appends plain pieces and such that are quoted, in turn. */
static int write_pieces(struct buf *out, const struct str *pieces, size_t count)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = i % 2 ? json_write_text(out, pieces[i]) : buf_append_str(out, pieces[i]);
    return r;
}

static int write_settings(struct exchange *exchange, struct str key)
{
    struct str host = exchange_header(exchange, "Host");
    CLEANUP(buf_free) struct buf api = {0};
    int r = buf_append_str(&api, host);
    if (r == 0)
        r = buf_append_str(&api, STR("/v1"));
    if (r < 0)
        return r;
    const struct str pieces[] = {
        STR("{\"integrations\":{\"Segment.io\":{\"apiKey\":"),
        key,
        STR(",\"apiHost\":"),
        buf_str(&api),
        STR(",\"protocol\":"),
        str_of(scheme_of(exchange, host)),
        STR(",\"unbundledIntegrations\":[],\"addBundledMetadata\":true,"
            "\"maybeBundledConfigIds\":{}}},\"plan\":{\"track\":{\"__default\":{\"enabled\":true,"
            "\"integrations\":{}}},\"identify\":{\"__default\":{\"enabled\":true}},"
            "\"group\":{\"__default\":{\"enabled\":true}}},\"edgeFunction\":{},"
            "\"analyticsNextEnabled\":true,\"middlewareSettings\":{},\"enabledMiddleware\":{},"
            "\"metrics\":{\"sampleRate\":0},\"legacyVideoPluginsEnabled\":false,"
            "\"remotePlugins\":[]}"),
    };
    buf_clear(&exchange->reply);
    exchange->status = 200;
    return write_pieces(&exchange->reply, pieces, sizeof pieces / sizeof *pieces);
}

int segment_settings_handle(struct exchange *exchange)
{
    struct str key = exchange->rest;
    size_t ending = sizeof SETTINGS - 1;
    bool known = key.size > ending && memcmp(key.data + key.size - ending, SETTINGS, ending) == 0;
    if (known)
        key.size -= ending;
    if (!known || memchr(key.data, '/', key.size)) {
        int r = exchange_refuse(
            exchange, 404, "not_found", "there is nothing at this path", REPLY_SEGMENT);
        return r < 0 ? r : 0;
    }
    int r = exchange_authorise(exchange, key, SOURCE_PROTOCOL_SEGMENT, REPLY_SEGMENT);
    if (r == 0)
        r = write_settings(exchange, key);
    return r < 0 ? r : 0;
}

int segment_source_config_handle(struct exchange *exchange)
{
    int r = exchange_authorise(exchange, STR(""), SOURCE_PROTOCOL_SEGMENT, REPLY_SEGMENT);
    if (r != 0)
        return r < 0 ? r : 0;
    struct str name = exchange->source->config.name;
    const struct str pieces[] = {
        STR("{\"isHosted\":false,\"source\":{\"id\":"),
        name,
        STR(",\"name\":"),
        name,
        STR(",\"writeKey\":"),
        exchange->header_key,
        STR(",\"workspaceId\":\"tabiji\",\"enabled\":true,\"updatedAt\":" UNCHANGED
            ",\"config\":{\"statsCollection\":{\"errors\":{\"enabled\":false},"
            "\"metrics\":{\"enabled\":false}}},\"dataplanes\":{},\"connections\":[],"
            "\"destinations\":[]},\"updatedAt\":" UNCHANGED "}"),
    };
    buf_clear(&exchange->reply);
    exchange->status = 200;
    r = write_pieces(&exchange->reply, pieces, sizeof pieces / sizeof *pieces);
    return r < 0 ? r : 0;
}
