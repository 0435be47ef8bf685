/* Keys are wiped before their memory goes. */
#include "ingest/producer/settings.h"

#include <curl/curl.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "ingest/producer/error.h"
#include "ingest/producer/kafka.h"

#define ENDPOINT "/v1/events"
#define URL_SIZE_MAX 2048
#define OPTION_EVENTS_DEFAULT 100000
#define OPTION_BYTES_DEFAULT ((size_t)64 << 20)
#define OPTION_BLOCK_MS_DEFAULT 1000
#define BATCH_EVENTS_DEFAULT 1000
#define BATCH_EVENTS_MAX 2500 /* Source: PROTOCOLS, "Rules that hold for all" */
#define BATCH_BYTES_DEFAULT ((size_t)512 << 10)
#define BATCH_BYTES_MAX 1000000
/* An append to Kafka waits for brokers: it takes many events with it. */
#define KAFKA_BATCH_EVENTS 5000
#define KAFKA_BATCH_BYTES ((size_t)4 << 20)
#define LINGER_MS_DEFAULT 20
#define REQUESTS_DEFAULT 1
#define CONNECT_MS_DEFAULT 5000
#define REQUEST_MS_DEFAULT 30000
#define RETRY_MIN_MS_DEFAULT 100
#define RETRY_MAX_MS_DEFAULT 30000
#define SPOOL_BYTES_DEFAULT ((uint64_t)256 << 20)
#define SPOOL_BYTES_MIN ((uint64_t)64 << 10)
#define SPOOL_INTERVAL_MS_DEFAULT 1000
#define SPOOL_INTERVAL_MS_MAX 86400000
#define FLAGS_ALL                                                                                  \
    ((unsigned)(TABIJI_NO_CHECK | TABIJI_KEEP_ID | TABIJI_KEEP_TIME | TABIJI_TRUSTED |             \
                TABIJI_NO_GZIP | TABIJI_FAILURES | TABIJI_AS_IT_IS))

static int fail(struct tabiji_problem *problem, int error, const char *option, const char *hint)
{
    producer_problem_set(
        problem, error, str_of(tabiji_error_name(error)), str_of(option), str_of(hint));
    return error;
}

static int copy_text(
    char **out, const char *text, size_t text_size, const struct tabiji_allocator *memory)
{
    *out = producer_memory_get(memory, text_size + 1);
    if (!*out)
        return TABIJI_ERROR_NO_MEMORY;
    memcpy(*out, text, text_size);
    (*out)[text_size] = '\0';
    return TABIJI_OK;
}

static int copy_option(char **out, const char *text, const struct tabiji_allocator *memory)
{
    return text ? copy_text(out, text, strlen(text), memory) : TABIJI_OK;
}

static bool has_part(CURLU *address, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(address, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

/* Whether libcurl finds a host and a port in it, and what goes behind it is its path's. */
static bool is_address(const char *url)
{
    CURLU *address = curl_url();
    bool is = address && !strstr(url, ":///") &&
              curl_url_set(address, CURLUPART_URL, url, 0) == CURLUE_OK &&
              has_part(address, CURLUPART_HOST) && !has_part(address, CURLUPART_QUERY) &&
              !has_part(address, CURLUPART_FRAGMENT);
    curl_url_cleanup(address);
    return is;
}

static bool is_proxy_scheme(const char *scheme)
{
    static const char *const schemes[] = {"http", "socks4", "socks4a", "socks5", "socks5h"};
    bool has_tls = curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_HTTPS_PROXY;
    bool is = has_tls && strcasecmp(scheme, "https") == 0;
    for (size_t i = 0; !is && i < sizeof schemes / sizeof schemes[0]; i++)
        is = strcasecmp(scheme, schemes[i]) == 0;
    return is;
}

/* Whether libcurl finds in it, as it will when it connects, a scheme that it has and a host. */
static bool is_proxy(const char *proxy)
{
    CURLU *address = curl_url();
    char *scheme = NULL;
    bool is = address && !strstr(proxy, ":///") &&
              curl_url_set(address, CURLUPART_URL, proxy,
                  CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) == CURLUE_OK &&
              curl_url_get(address, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              is_proxy_scheme(scheme) && has_part(address, CURLUPART_HOST);
    curl_free(scheme);
    curl_url_cleanup(address);
    return is;
}

/* Libcurl reads these when it connects: a name that is wrong would show as no connection. */
static int check_files(const struct tabiji_options *options, struct tabiji_problem *problem)
{
    const struct {
        const char *option, *path;
    } files[] = {{"ca_file", options->ca_file}, {"certificate_file", options->certificate_file},
        {"private_key_file", options->private_key_file}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i].path && access(files[i].path, R_OK) != 0)
            return fail(problem, TABIJI_ERROR_IO, files[i].option, "it cannot be opened");
    return TABIJI_OK;
}

/* The address without slashes at its end, and the endpoint behind it. */
static int set_url(struct producer_settings *settings, const char *url,
    const struct tabiji_allocator *memory, struct tabiji_problem *problem)
{
    char text[URL_SIZE_MAX];
    if (settings->kafka_config)
        return TABIJI_OK;
    if (!url)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "url", "where is the collector?");
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "url", "it begins with https:// or http://");
    size_t size = strlen(url);
    while (size && url[size - 1] == '/')
        size--;
    int wrote = snprintf(text, sizeof text, "%.*s" ENDPOINT, (int)size, url);
    if (size > URL_SIZE_MAX || wrote < 0 || (size_t)wrote >= sizeof text || strpbrk(url, " \r\n") ||
        !is_address(url))
        return fail(problem, TABIJI_ERROR_ARGUMENT, "url", "it is no address");
    return copy_option(&settings->url, text, memory);
}

static bool is_key(const char *key, size_t size)
{
    bool valid = size > 0 && size < PRODUCER_KEY_SIZE_MAX;
    for (size_t i = 0; valid && i < size; i++)
        valid = key[i] > ' ' && key[i] < 0x7f;
    return valid;
}

static void free_key(char **key, const struct tabiji_allocator *memory)
{
    if (*key)
        explicit_bzero(*key, strlen(*key));
    producer_memory_free(memory, *key);
    *key = NULL;
}

static int replace_key(struct producer_settings *settings, const char *key, size_t key_size,
    const struct tabiji_allocator *memory)
{
    char *copy = NULL;
    int r = copy_text(&copy, key, key_size, memory);
    if (r < 0)
        return r;
    free_key(&settings->key, memory);
    settings->key = copy;
    return TABIJI_OK;
}

/* The first line of the file. */
static int read_key(struct producer_settings *settings, const struct tabiji_allocator *memory,
    struct tabiji_problem *problem)
{
    char line[PRODUCER_KEY_SIZE_MAX + 2];
    FILE *file = fopen(settings->key_file, "re");
    if (!file)
        return fail(problem, TABIJI_ERROR_IO, "key_file", "it cannot be opened");
    (void)setvbuf(file, NULL, _IONBF, 0); /* no copy of the key stays in a buffer */
    bool read = fgets(line, sizeof line, file) != NULL;
    (void)fclose(file);
    size_t size = read ? strcspn(line, "\r\n") : 0;
    int r = TABIJI_OK;
    if (!is_key(line, size))
        r = fail(problem, TABIJI_ERROR_ARGUMENT, "key_file", "its first line is no write key");
    else
        r = replace_key(settings, line, size, memory);
    explicit_bzero(line, sizeof line);
    return r;
}

int producer_settings_renew_key(struct producer_settings *settings, const char *key,
    const struct tabiji_allocator *memory, struct tabiji_problem *problem)
{
    if (!key)
        return settings->key_file ? read_key(settings, memory, problem) : TABIJI_OK;
    if (!is_key(key, strlen(key)))
        return fail(problem, TABIJI_ERROR_ARGUMENT, "key", "it is no write key");
    return replace_key(settings, key, strlen(key), memory);
}

static int or_default(int value, int standard)
{
    return value > 0 ? value : standard;
}

static size_t size_or_default(size_t value, size_t standard)
{
    return value ? value : standard;
}

static int set_batches(struct producer_settings *settings, const struct tabiji_options *options,
    struct tabiji_problem *problem)
{
    bool kafka = options->kafka_config != NULL;
    if (options->batch_events_max > (kafka ? KAFKA_BATCH_EVENTS : BATCH_EVENTS_MAX))
        return fail(problem, TABIJI_ERROR_ARGUMENT, "batch_events_max",
            kafka ? "at most 5000" : "at most 2500");
    if (options->batch_bytes_max > (kafka ? KAFKA_BATCH_BYTES : BATCH_BYTES_MAX))
        return fail(problem, TABIJI_ERROR_ARGUMENT, "batch_bytes_max",
            kafka ? "at most 4194304" : "at most 1000000");
    settings->queue.batch_events_max = size_or_default(
        options->batch_events_max, kafka ? KAFKA_BATCH_EVENTS : BATCH_EVENTS_DEFAULT);
    settings->queue.batch_bytes_max =
        size_or_default(options->batch_bytes_max, kafka ? KAFKA_BATCH_BYTES : BATCH_BYTES_DEFAULT);
    return TABIJI_OK;
}

static int set_numbers(struct producer_settings *settings, const struct tabiji_options *options,
    struct tabiji_problem *problem)
{
    if (options->flags & ~FLAGS_ALL)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "flags", "bits of enum tabiji_flag");
    if (options->requests_max < 0 || options->requests_max > PRODUCER_REQUESTS_MAX)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "requests_max", "1 to 16");
    if ((unsigned)options->queue_policy > TABIJI_POLICY_DROP_OLDEST)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "queue_policy", "a TABIJI_POLICY_*");
    settings->queue = (struct producer_queue_limits){
        .events_max = size_or_default(options->queue_events_max, OPTION_EVENTS_DEFAULT),
        .bytes_max = size_or_default(options->queue_bytes_max, OPTION_BYTES_DEFAULT),
        .policy = options->queue_policy,
        .block_ms = options->queue_timeout_ms ? options->queue_timeout_ms : OPTION_BLOCK_MS_DEFAULT,
        .linger_ms = options->linger_ms < 0 ? 0 : or_default(options->linger_ms, LINGER_MS_DEFAULT),
    };
    settings->requests_max = (size_t)or_default(options->requests_max, REQUESTS_DEFAULT);
    settings->connect_timeout_ms = or_default(options->connect_timeout_ms, CONNECT_MS_DEFAULT);
    settings->request_timeout_ms = or_default(options->request_timeout_ms, REQUEST_MS_DEFAULT);
    settings->retry_min_ms = or_default(options->retry_min_ms, RETRY_MIN_MS_DEFAULT);
    settings->retry_max_ms = or_default(options->retry_max_ms, RETRY_MAX_MS_DEFAULT);
    if (settings->retry_max_ms < settings->retry_min_ms)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "retry_max_ms", "it is less than retry_min_ms");
    return set_batches(settings, options, problem);
}

static int set_spool(struct producer_settings *settings, const struct tabiji_options *options,
    struct tabiji_problem *problem)
{
    if (!options->spool_dir)
        return TABIJI_OK;
    if (!options->spool_dir[0])
        return fail(problem, TABIJI_ERROR_ARGUMENT, "spool_dir", "it is empty");
    if (options->spool_bytes_max && options->spool_bytes_max < SPOOL_BYTES_MIN)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "spool_bytes_max", "at least 65536");
    if (options->spool_age_max_ms < 0)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "spool_age_max_ms", "it is negative");
    if ((unsigned)options->spool_sync > TABIJI_SPOOL_SYNC_NONE)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "spool_sync", "a TABIJI_SPOOL_SYNC_*");
    if (options->spool_interval_ms < 0 || options->spool_interval_ms > SPOOL_INTERVAL_MS_MAX)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "spool_interval_ms", "1 to 86400000");
    settings->spool_bytes_max =
        options->spool_bytes_max ? options->spool_bytes_max : SPOOL_BYTES_DEFAULT;
    settings->spool_age_max_ms = options->spool_age_max_ms;
    settings->spool_sync = options->spool_sync;
    settings->spool_interval_ms = or_default(options->spool_interval_ms, SPOOL_INTERVAL_MS_DEFAULT);
    return TABIJI_OK;
}

static int copy_options(struct producer_settings *settings, const struct tabiji_options *options,
    const struct tabiji_allocator *memory)
{
    int r = copy_option(&settings->key_file, options->key_file, memory);
    if (r == TABIJI_OK)
        r = copy_option(&settings->ca_file, options->ca_file, memory);
    if (r == TABIJI_OK)
        r = copy_option(&settings->certificate_file, options->certificate_file, memory);
    if (r == TABIJI_OK)
        r = copy_option(&settings->private_key_file, options->private_key_file, memory);
    if (r == TABIJI_OK)
        r = copy_option(&settings->proxy, options->proxy, memory);
    if (r == TABIJI_OK)
        r = copy_option(&settings->kafka_config, options->kafka_config, memory);
    if (r == TABIJI_OK)
        r = copy_option(&settings->kafka_source, options->kafka_source, memory);
    if (r == TABIJI_OK)
        r = copy_option(&settings->spool_dir, options->spool_dir, memory);
    return r;
}

/* Either a collector, perhaps through a proxy, or Kafka. */
static int check_target(const struct tabiji_options *options, struct tabiji_problem *problem)
{
    if (options->kafka_config && (options->url || options->key || options->key_file))
        return fail(problem, TABIJI_ERROR_ARGUMENT, "kafka_config", "either it or url and a key");
    if (options->proxy && options->proxy[0] && !is_proxy(options->proxy))
        return fail(problem, TABIJI_ERROR_ARGUMENT, "proxy",
            "http://, https://, socks4://, socks4a://, socks5:// or socks5h:// and a host");
    if (!options->kafka_config != !options->kafka_source)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "kafka_source",
            "kafka_config and the name of a [source] of it go together");
    return TABIJI_OK;
}

int producer_settings_init(struct producer_settings *settings, const struct tabiji_options *options,
    const struct tabiji_allocator *memory, struct tabiji_problem *problem)
{
    *settings = (struct producer_settings){
        .flags = options->flags,
        .on_report = options->on_report,
        .report_context = options->report_context,
        .reports_max = options->reports_max,
    };
    if (options->key && options->key_file)
        return fail(problem, TABIJI_ERROR_ARGUMENT, "key", "either key or key_file");
    int r = set_numbers(settings, options, problem);
    if (r == TABIJI_OK)
        r = check_target(options, problem);
    if (r == TABIJI_OK)
        r = set_spool(settings, options, problem);
    if (r == TABIJI_OK)
        r = check_files(options, problem);
    if (r == TABIJI_OK)
        r = copy_options(settings, options, memory);
    if (r == TABIJI_OK)
        r = set_url(settings, options->url, memory, problem);
    if (settings->kafka_config)
        settings->requests_max = PRODUCER_KAFKA_BATCHES; /* that one thread begins, in order */
    if (settings->spool_dir)
        settings->requests_max = 1; /* a spool gives one after the other */
    if (r == TABIJI_OK)
        r = producer_settings_renew_key(settings, options->key, memory, problem);
    if (r == TABIJI_ERROR_NO_MEMORY)
        (void)fail(problem, r, "", "");
    if (r < 0)
        producer_settings_fini(settings, memory);
    return r;
}

void producer_settings_fini(
    struct producer_settings *settings, const struct tabiji_allocator *memory)
{
    char **const texts[] = {&settings->url, &settings->key_file, &settings->ca_file,
        &settings->certificate_file, &settings->private_key_file, &settings->proxy,
        &settings->kafka_config, &settings->kafka_source, &settings->spool_dir};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        producer_memory_free(memory, *texts[i]);
        *texts[i] = NULL;
    }
    free_key(&settings->key, memory);
}
