/* Health, metrics, the API's description. */
#include "ingest/collector/collector_private.h"
#include "ingest/collector/openapi.h"
#include "schemas/error.h"

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define TEXT_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define APPLICATION_JSON "application/json"

/* Ready: events sent now would be taken. */
static int write_ready(struct collector *collector, struct buf *out, int *status)
{
    const struct collector_config *config = &collector->config;
    const char *why = NULL;
    bool ready = true;
    if (atomic_load(&collector->stopping))
        why = "stopping\n";
    else if (atomic_load(&collector->failure))
        why = "the log cannot be written\n";
    else if (atomic_load(&collector->buffered_bytes) >= (int64_t)config->buffered_bytes_max)
        why = "too many requests in memory\n";
    *status = why ? 503 : 200;
    if (!why && config->condition)
        why = config->condition(config->condition_context, &ready);
    if (!ready)
        *status = 503;
    return buf_append_str(out, why ? str_of(why) : STR("ok\n"));
}

int page_write(struct collector *collector, enum route_page page, struct buf *out,
    const char **media_type, int *status)
{
    *media_type = TEXT_PLAIN;
    *status = 200;
    switch (page) {
    case PAGE_READY:
        return write_ready(collector, out, status);
    case PAGE_METRICS:
        *media_type = TEXT_METRICS;
        metrics_set(collector->config.metrics, METRIC_COLLECTOR_BUFFERED_BYTES, 0, 0,
            atomic_load(&collector->buffered_bytes));
        metrics_set_process(collector->config.metrics);
        return metrics_write(collector->config.metrics, out);
    case PAGE_ROBOTS:
        return buf_append_str(out, STR("User-agent: *\nDisallow: /\n"));
    case PAGE_OPENAPI:
        *media_type = APPLICATION_JSON;
        return buf_append(out, openapi_json, openapi_json_size);
    case PAGE_HEALTH:
    case PAGE_LOOKUP: /* of an exchange: request.c */
    case PAGE_TAIL:
    case PAGE_NONE:
        break;
    }
    return buf_append_str(out, STR("ok\n"));
}
