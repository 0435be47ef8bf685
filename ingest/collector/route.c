/* The table of routes. Source: PROTOCOLS. */
#include "ingest/collector/route.h"

#include "ingest/collector/protocol/ga4.h"
#include "ingest/collector/protocol/hook.h"
#include "ingest/collector/protocol/native.h"
#include "ingest/collector/protocol/segment.h"
#include "ingest/collector/protocol/segment_settings.h"
#include "ingest/collector/protocol/snowplow.h"

/* A line of the table: how, where, for whom. */
#define EVENTS(methods, path, prefix, call, handle, form, protocol)                                \
    {                                                                                              \
        STR_INIT(path), prefix, methods, STR_INIT(call), handle, PAGE_NONE, form, protocol         \
    }
#define NATIVE(path, call)                                                                         \
    EVENTS(ROUTE_POST, path, false, call, native_handle, REPLY_NATIVE, METRIC_PROTOCOL_NATIVE)
#define SEGMENT(path, call)                                                                        \
    EVENTS(ROUTE_POST, path, false, call, segment_handle, REPLY_SEGMENT, METRIC_PROTOCOL_SEGMENT)
/* Segment's and Rudder's that are read. */
#define SEGMENT_GET(path, prefix, handle)                                                          \
    EVENTS(ROUTE_GET, path, prefix, "", handle, REPLY_SEGMENT, METRIC_PROTOCOL_SEGMENT)
#define SNOWPLOW(methods, path, prefix, handle)                                                    \
    EVENTS(methods, path, prefix, "", handle, REPLY_TRACKER, METRIC_PROTOCOL_SNOWPLOW)
#define SNOWPLOW_VENDOR "/com.snowplowanalytics.snowplow/"
#define GA4(path, call)                                                                            \
    EVENTS(ROUTE_POST, path, false, call, ga4_handle, REPLY_NATIVE, METRIC_PROTOCOL_GA4)
#define HOOK(path, prefix)                                                                         \
    EVENTS(ROUTE_POST, path, prefix, "", hook_handle, REPLY_NATIVE, METRIC_PROTOCOL_WEBHOOK)
#define PAGE(path, page)                                                                           \
    {                                                                                              \
        STR_INIT(path), false, ROUTE_GET, STR_INIT(""), NULL, page, REPLY_NATIVE,                  \
            METRIC_PROTOCOL_OTHER                                                                  \
    }

static const struct route routes[] = {
    NATIVE("/v1/events", "events"),
    NATIVE("/v1/events/validate", "validate"),
    SEGMENT("/v1/track", "track"),
    SEGMENT("/v1/t", "track"),
    SEGMENT("/v1/page", "page"),
    SEGMENT("/v1/p", "page"),
    SEGMENT("/v1/screen", "screen"),
    SEGMENT("/v1/s", "screen"),
    SEGMENT("/v1/identify", "identify"),
    SEGMENT("/v1/i", "identify"),
    SEGMENT("/v1/group", "group"),
    SEGMENT("/v1/g", "group"),
    SEGMENT("/v1/alias", "alias"),
    SEGMENT("/v1/a", "alias"),
    SEGMENT("/v1/merge", "merge"),
    SEGMENT("/v1/batch", "batch"),
    SEGMENT("/v1/b", "batch"),
    SEGMENT("/v1/import", "batch"),
    SEGMENT("/v1/import/", "batch"),
    SEGMENT("/beacon/v1/batch", "batch"),
    SEGMENT("/v1/m", "metrics"),
    SEGMENT_GET("/pixel/v1/", true, segment_pixel_handle),
    SEGMENT_GET("/v1/pixel/", true, segment_pixel_handle),
    SEGMENT_GET("/v1/projects/", true, segment_settings_handle),
    SEGMENT_GET("/sourceConfig", false, segment_source_config_handle),
    SEGMENT_GET("/sourceConfig/", false, segment_source_config_handle),
    SNOWPLOW(ROUTE_GET, "/i", false, snowplow_pixel_handle),
    SNOWPLOW(ROUTE_GET, "/ice.png", false, snowplow_pixel_handle),
    SNOWPLOW(ROUTE_POST, SNOWPLOW_VENDOR "tp2", false, snowplow_post_handle),
    SNOWPLOW(ROUTE_POST, SNOWPLOW_VENDOR "tp2/", true, snowplow_post_handle),
    SNOWPLOW(ROUTE_GET | ROUTE_POST, SNOWPLOW_VENDOR, true, snowplow_unknown_handle),
    GA4("/mp/collect", "collect"),
    GA4("/debug/mp/collect", "debug"),
    HOOK("/hooks/", true),
    PAGE("/v1/lookup", PAGE_LOOKUP),
    PAGE("/v1/debug/events", PAGE_TAIL),
    PAGE("/healthz", PAGE_HEALTH),
    PAGE("/readyz", PAGE_READY),
    PAGE("/health", PAGE_HEALTH),
    PAGE("/sink-health", PAGE_READY),
    PAGE("/robots.txt", PAGE_ROBOTS),
    PAGE("/metrics", PAGE_METRICS),
    PAGE("/openapi.json", PAGE_OPENAPI),
};

/* True when the path goes on behind the route's. */
static bool is_below(struct str path, const struct route *route)
{
    return route->prefix && path.size > route->path.size && str_starts_with(path, route->path);
}

const struct route *route_find(struct str path, struct str *rest)
{
    const struct route *found = NULL;
    *rest = STR("");
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *route = &routes[i];
        if (!route->prefix && str_equal(route->path, path))
            return route;
        if (is_below(path, route) && (!found || route->path.size > found->path.size))
            found = route;
    }
    if (found)
        *rest = str_make(path.data + found->path.size, path.size - found->path.size);
    return found;
}
