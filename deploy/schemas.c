/* See the header. */
#include "deploy/schemas.h"

#include <stdio.h>

#include "ingest/registry/registry_configure.h"
#include "ingest/registry/schema_cache.h"
#include "ingest/registry/subject_file.h"
#include "schemas/error.h"

#define PATH_SIZE 4096
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

struct asking {
    struct settings *settings;
    struct registry_client *client;
    char path[PATH_SIZE]; /* of the file of ids */
    struct subject subjects[TOPIC_COUNT];
    uint32_t ids[TOPIC_COUNT]; /* beside subjects */
    size_t count;
};

/* Once all. What is wrong is said, but that nobody answers. */
static int ask_ids(struct asking *asking)
{
    bool add = config_bool(asking->settings->config, OPTION_REGISTRY_AUTO_REGISTER);
    for (size_t i = 0; i < asking->count; i++) {
        char why[REGISTRY_WHY_SIZE];
        int r = subject_id(asking->client, &asking->subjects[i], add, &asking->ids[i], why);
        if (r == 0)
            continue;
        if (r != ERR_UNREACHABLE && r != ERR_AGAIN)
            (void)fprintf(stderr, "tabiji: schema registry, subject %s: %s%s\n",
                asking->subjects[i].name, why[0] ? why : error_text(r),
                r == ERR_NOT_FOUND ? ": tabiji schema register, or [registry] auto_register = yes"
                                   : "");
        return r;
    }
    return 0;
}

/* Not to be able to keep them costs nothing now. */
static void keep_ids(struct asking *asking, const char *dir)
{
    struct settings *settings = asking->settings;
    int r = kafka_make_dir(dir);
    if (r == 0)
        r = subject_file_save(
            asking->path, &settings->registry, asking->subjects, asking->count, asking->ids);
    if (r < 0)
        log_write(&settings->log, LOG_LEVEL_WARNING, "registry", LOG_TEXT("what", "ids_not_kept"),
            LOG_TEXT("file", asking->path), LOG_ERROR(r));
}

/* From the registry, however long it takes; or from the file, when it does not answer. */
static int get_ids(struct asking *asking, const char *dir)
{
    struct settings *settings = asking->settings;
    for (;;) {
        int r = ask_ids(asking);
        if (r == 0)
            keep_ids(asking, dir);
        if (r != ERR_UNREACHABLE)
            return r;
        r = subject_file_load(
            asking->path, &settings->registry, asking->subjects, asking->count, asking->ids);
        if (r == 0)
            log_write(&settings->log, LOG_LEVEL_WARNING, "registry",
                LOG_TEXT("what", "ids_remembered"), LOG_TEXT("file", asking->path));
        if (r != SUBJECT_FILE_NONE)
            return r;
        if (is_stopping(settings))
            return ERR_AGAIN;
    }
}

static int find_ids(
    struct settings *settings, struct registry_client *client, struct kafka_config *out)
{
    struct asking asking = {.settings = settings, .client = client};
    int size =
        snprintf(asking.path, sizeof asking.path, "%s/schema-ids-%s", out->state_dir, out->prefix);
    if (size < 0 || (size_t)size >= sizeof asking.path)
        return ERR_CONFIG;
    for (int t = 0; t < TOPIC_COUNT; t++)
        asking.count += subject_of(out->prefix, (enum topic)t, &asking.subjects[asking.count]);
    int r = get_ids(&asking, out->state_dir);
    for (size_t i = 0; r == 0 && i < asking.count; i++) {
        const struct subject *subject = &asking.subjects[i];
        out->schema_ids[subject->topic] = asking.ids[i];
        r = schema_cache_put(
            settings->schemas, asking.ids[i], subject->entry->type, str_of(subject->entry->text));
    }
    return r;
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
    settings->registry.metrics = settings->metrics;
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
