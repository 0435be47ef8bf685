/* See the header. */
#include "deploy/schemas.h"

#include <stdio.h>
#include <time.h>

#include "ingest/registry/registry_configure.h"
#include "ingest/registry/schema_cache.h"
#include "ingest/registry/subject.h"
#include "schemas/error.h"

#define LEVEL_ERROR 3 /* of syslog(3) */
#define LEVEL_WARNING 4
#define LEVEL_INFO 6

static void log_registry(void *context, int level, const char *event, const char *text)
{
    const struct settings *settings = context;
    enum log_level ours = level <= LEVEL_ERROR     ? LOG_LEVEL_ERROR
                          : level <= LEVEL_WARNING ? LOG_LEVEL_WARNING
                          : level <= LEVEL_INFO    ? LOG_LEVEL_INFO
                                                   : LOG_LEVEL_DEBUG;
    log_write(&settings->log, ours, "registry", LOG_TEXT("what", event), LOG_TEXT("text", text));
}

static bool is_stopping(void *context)
{
    const struct settings *settings = context;
    return settings->stopping && settings->stopping();
}

/* One subject's id, however long it takes. */
static int find_id(struct settings *settings, struct registry_client *client,
    const struct subject *subject, uint32_t *id)
{
    bool add = config_bool(settings->config, OPTION_REGISTRY_AUTO_REGISTER);
    char why[REGISTRY_WHY_SIZE];
    int r;
    do {
        r = subject_id(client, subject, add, id, why);
    } while (r == ERR_UNREACHABLE && !is_stopping(settings)); /* each try has its pauses */
    if (r == 0 || r == ERR_AGAIN || is_stopping(settings))
        return r == ERR_UNREACHABLE ? ERR_AGAIN : r;
    (void)fprintf(stderr, "tabiji: schema registry, subject %s: %s%s\n", subject->name,
        why[0] ? why : error_text(r),
        r == ERR_NOT_FOUND ? ": tabiji schema register, or [registry] auto_register = yes" : "");
    return r;
}

static int find_ids(
    struct settings *settings, struct registry_client *client, struct kafka_config *out)
{
    for (int t = 0; t < TOPIC_COUNT; t++) {
        struct subject subject;
        if (!subject_of(out->prefix, (enum topic)t, &subject))
            continue;
        int r = find_id(settings, client, &subject, &out->schema_ids[t]);
        if (r < 0)
            return r;
        r = schema_cache_put(settings->schemas, out->schema_ids[t], subject.entry->type,
            str_of(subject.entry->text));
        if (r < 0)
            return r;
    }
    return 0;
}

int schemas_open(struct settings *settings, struct kafka_config *out)
{
    struct config_problem problem = {.text = ""};
    int r = registry_configure(settings->config, &settings->registry, &problem);
    if (r == REGISTRY_NONE)
        return 0;
    if (r < 0) {
        (void)fprintf(stderr, "tabiji: %s\n", problem.text);
        return r;
    }
    struct registry_client *client = NULL;
    const struct schema_cache_config cache = {
        .registry = &settings->registry, .absent_ms = SCHEMA_CACHE_ABSENT_MS};
    settings->stopping = out->stopping;
    settings->registry.stopping = is_stopping;
    settings->registry.log = log_registry;
    settings->registry.context = settings;
    r = registry_client_new(&settings->registry, &client);
    if (r == 0)
        r = schema_cache_open(&cache, &settings->schemas);
    if (r == 0)
        r = find_ids(settings, client, out);
    registry_client_free(&client);
    if (r < 0)
        schemas_close(settings);
    else
        out->schemas = settings->schemas;
    return r;
}

void schemas_close(struct settings *settings)
{
    schema_cache_close(&settings->schemas);
}
