/* The table of routes. Source: PROTOCOLS. */
#include "ingest/collector/route.h"

#include "ingest/collector/protocol/native.h"
#include "ingest/collector/protocol/segment.h"

#define NATIVE(path, call)                                                                         \
    {                                                                                              \
        STR_INIT(path), STR_INIT(call), native_handle, PAGE_NONE, REPLY_NATIVE,                    \
            METRIC_PROTOCOL_NATIVE                                                                 \
    }
#define SEGMENT(path, call)                                                                        \
    {                                                                                              \
        STR_INIT(path), STR_INIT(call), segment_handle, PAGE_NONE, REPLY_SEGMENT,                  \
            METRIC_PROTOCOL_SEGMENT                                                                \
    }
#define PAGE(path, page)                                                                           \
    {                                                                                              \
        STR_INIT(path), STR_INIT(""), NULL, page, REPLY_NATIVE, METRIC_PROTOCOL_OTHER              \
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
    PAGE("/v1/lookup", PAGE_LOOKUP),
    PAGE("/healthz", PAGE_HEALTH),
    PAGE("/readyz", PAGE_READY),
    PAGE("/metrics", PAGE_METRICS),
    PAGE("/openapi.json", PAGE_OPENAPI),
};

const struct route *route_find(struct str path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (str_equal(routes[i].path, path))
            return &routes[i];
    return NULL;
}
