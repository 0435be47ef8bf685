/*
 * libcurl's easy handle, reused, so that connections stay open. Redirects are not followed:
 * credentials go to configured addresses only.
 */
#include "ingest/registry/registry_http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <syslog.h>
#include <time.h>

#include "ingest/config/secret.h"
#include "ingest/metrics/metrics.h"
#include "schemas/error.h"

#define CONTENT_TYPE "application/vnd.schemaregistry.v1+json"
#define PAUSE_MS_FIRST 100
#define PAUSE_MS_MAX 5000
#define PAUSE_STEP_MS 20 /* between looks whether to stop */
#define URL_SIZE_MAX 8192

struct registry_http {
    const struct registry_config *config;
    CURL *curl;
    struct curl_slist *headers;
    char *basic;
    char *key_password;
    uint64_t stamp; /* of the files of credentials, as they were read; 0: not by us yet */
    size_t at;      /* the address that answered last */
    char problem[CURL_ERROR_SIZE];
};

/* ---- configuration ---- */

static bool has_credentials(struct str url)
{
    const char *begin = memmem(url.data, url.size, "://", 3);
    if (!begin)
        return false;
    begin += 3;
    for (const char *p = begin; p < url.data + url.size && *p != '/'; p++)
        if (*p == '@')
            return true;
    return false;
}

static int complain(char *problem, size_t size, const char *what, struct str text)
{
    (void)snprintf(problem, size, "%s%.*s", what, (int)text.size, text.data ? text.data : "");
    return ERR_CONFIG;
}

int registry_config_check(const struct registry_config *config, char *problem, size_t problem_size)
{
    const struct str none = {NULL, 0};
    if (config->urls_count == 0)
        return complain(problem, problem_size, "no url", none);
    if (config->urls_count > REGISTRY_URLS_MAX)
        return complain(problem, problem_size, "more than 16 urls", none);
    for (size_t i = 0; i < config->urls_count; i++) {
        struct str url = config->urls[i];
        if (has_credentials(url)) /* not repeated here: it is a secret */
            return complain(problem, problem_size,
                "a url holds a user's name or password: they belong into auth_file", none);
        if (!str_starts_with(url, STR("http://")) && !str_starts_with(url, STR("https://")))
            return complain(problem, problem_size, "url is neither http:// nor https://: ", url);
        if (memchr(url.data, '?', url.size) || memchr(url.data, '#', url.size))
            return complain(problem, problem_size, "url with a query or fragment: ", url);
    }
    if (config->basic.size && config->token.size)
        return complain(problem, problem_size, "auth_file and token_file exclude each other", none);
    if (config->basic.size && !memchr(config->basic.data, ':', config->basic.size))
        return complain(problem, problem_size, "auth_file does not hold USER:PASSWORD", none);
    if (config->key_file && !config->certificate_file)
        return complain(problem, problem_size, "key_file without certificate_file", none);
    return 0;
}

/* ---- opening ---- */

static void global_init(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static char *copy(struct str text)
{
    char *out = malloc(text.size + 1);
    if (!out)
        return NULL;
    memcpy(out, text.data ? text.data : "", text.size);
    out[text.size] = '\0';
    return out;
}

static int add_header(struct curl_slist **headers, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*headers, header);
    if (!longer)
        return ERR_NO_MEMORY;
    *headers = longer;
    return 0;
}

static int add_token(struct curl_slist **headers, struct str token)
{
    CLEANUP(secret_wipe) struct buf line = {0};
    int r = buf_appendf(&line, "Authorization: Bearer %.*s%c", (int)token.size, token.data, 0);
    return r < 0 ? r : add_header(headers, line.data);
}

/* The headers of all requests, in the place of those that were. */
static int set_headers(struct registry_http *http, struct str token)
{
    struct curl_slist *headers = NULL;
    int r = add_header(&headers, "Content-Type: " CONTENT_TYPE);
    if (r == 0)
        r = add_header(&headers, "Accept: " CONTENT_TYPE ", application/json");
    if (r == 0)
        r = add_header(&headers, "Expect:");
    if (r == 0 && token.size)
        r = add_token(&headers, token);
    if (r == 0 && curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers) != CURLE_OK)
        r = ERR_NO_MEMORY;
    if (r < 0) {
        curl_slist_free_all(headers);
        return r;
    }
    curl_slist_free_all(http->headers);
    http->headers = headers;
    return 0;
}

static void free_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static int set_basic(struct registry_http *http, struct str basic)
{
    if (!memchr(basic.data, ':', basic.size))
        return ERR_VALUE;
    char *text = copy(basic);
    if (!text)
        return ERR_NO_MEMORY;
    free_secret(http->basic);
    http->basic = text;
    bool set = curl_easy_setopt(http->curl, CURLOPT_USERPWD, text) == CURLE_OK &&
               curl_easy_setopt(http->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == CURLE_OK;
    return set ? 0 : ERR_NO_MEMORY;
}

static uint64_t look_at_files(const struct registry_config *config)
{
    return secret_stamp(config->basic_file) ^ secret_stamp(config->token_file);
}

/* What a file of credentials holds now is what is shown from here on. */
static int take_anew(
    struct registry_http *http, struct str place, int (*take)(struct registry_http *, struct str))
{
    CLEANUP(secret_wipe) struct buf secret = {0};
    if (place.size == 0)
        return 0;
    int r = secret_read(place, &secret);
    return r < 0 ? r : take(http, buf_str(&secret));
}

/* Credentials that were written anew since; those that cannot be read leave the old ones. */
static void refresh(struct registry_http *http)
{
    const struct registry_config *config = http->config;
    uint64_t stamp = look_at_files(config);
    if (stamp == http->stamp)
        return;
    bool again = http->stamp != 0;
    int r = take_anew(http, config->basic_file, set_basic);
    if (r == 0)
        r = take_anew(http, config->token_file, set_headers);
    if (r == 0)
        http->stamp = stamp;
    if (config->log && (again || r < 0))
        config->log(config->context, r < 0 ? LOG_WARNING : LOG_NOTICE, "registry_credentials",
            r < 0 ? error_text(r) : "the file has changed and was read anew");
}

static int on_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct registry_config *config = context;
    return config->stopping && config->stopping(config->context);
}

static size_t on_reply(char *data, size_t size, size_t count, void *context)
{
    struct buf *reply = context;
    return buf_append(reply, data, size * count) == 0 ? size * count : 0;
}

/* The first setting that libcurl does not take; what is NULL is not set. */
static bool set_text(CURL *curl, CURLoption option, const char *text)
{
    return !text || !*text || curl_easy_setopt(curl, option, text) == CURLE_OK;
}

static bool set_number(CURL *curl, CURLoption option, long number)
{
    return curl_easy_setopt(curl, option, number) == CURLE_OK;
}

static int set_up(struct registry_http *http)
{
    const struct registry_config *config = http->config;
    CURL *curl = http->curl;
    http->key_password = config->key_password.size ? copy(config->key_password) : NULL;
    if (config->key_password.size && !http->key_password)
        return ERR_NO_MEMORY;
    int r = set_headers(http, config->token);
    if (r == 0 && config->basic.size)
        r = set_basic(http, config->basic);
    if (r < 0)
        return r;
    bool set = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->problem) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_reply) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_XFERINFODATA, config) == CURLE_OK &&
               set_text(curl, CURLOPT_PROTOCOLS_STR, "http,https") &&
               set_text(curl, CURLOPT_ACCEPT_ENCODING, "identity") &&
               set_number(curl, CURLOPT_NOPROGRESS, 0) && set_number(curl, CURLOPT_NOSIGNAL, 1) &&
               set_number(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)config->timeout_ms) &&
               set_number(curl, CURLOPT_TIMEOUT_MS, (long)config->timeout_ms) &&
               set_text(curl, CURLOPT_CAINFO, config->ca_file) &&
               set_text(curl, CURLOPT_SSLCERT, config->certificate_file) &&
               set_text(curl, CURLOPT_SSLKEY, config->key_file) &&
               set_text(curl, CURLOPT_KEYPASSWD, http->key_password);
    return set ? 0 : ERR_NO_MEMORY;
}

int registry_http_new(const struct registry_config *config, struct registry_http **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    check(config->urls_count > 0 && config->urls_count <= REGISTRY_URLS_MAX);
    (void)pthread_once(&once, global_init);
    struct registry_http *http = calloc(1, sizeof *http);
    if (!http)
        return ERR_NO_MEMORY;
    http->config = config;
    http->curl = curl_easy_init();
    int r = http->curl ? set_up(http) : ERR_NO_MEMORY;
    if (r < 0) {
        registry_http_free(&http);
        return r;
    }
    *out = http;
    return 0;
}

void registry_http_free(struct registry_http **http)
{
    struct registry_http *gone = *http;
    if (!gone)
        return;
    if (gone->curl)
        curl_easy_cleanup(gone->curl);
    curl_slist_free_all(gone->headers);
    free_secret(gone->basic);
    free_secret(gone->key_password);
    free(gone);
    *http = NULL;
}

/* ---- requests ---- */

struct request {
    const char *method;
    const char *path;
    struct str body;
};

static bool stopping(const struct registry_config *config)
{
    return config->stopping && config->stopping(config->context);
}

/* What libcurl's code says of the next step: ERR_UNREACHABLE may be tried again. */
static int error_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NO_MEMORY;
    case CURLE_ABORTED_BY_CALLBACK:
        return ERR_AGAIN;
    case CURLE_WRITE_ERROR:
        return ERR_TOO_LARGE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return ERR_AUTH;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return ERR_CONFIG;
    default:
        return ERR_UNREACHABLE;
    }
}

static int error_of_status(long status)
{
    if (status == 401 || status == 403)
        return ERR_AUTH;
    return status == 408 || status == 429 || status >= 500 ? ERR_UNREACHABLE : 0;
}

static int set_request(struct registry_http *http, const struct request *request, const char *url)
{
    CURL *curl = http->curl;
    bool set = set_text(curl, CURLOPT_URL, url);
    if (set && request->body.size) {
        set = set_number(curl, CURLOPT_POST, 1) &&
              curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size) ==
                  CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body.data) == CURLE_OK;
    } else if (set) {
        set = set_number(curl, CURLOPT_HTTPGET, 1);
    }
    return set && set_text(curl, CURLOPT_CUSTOMREQUEST, request->method) ? 0 : ERR_NO_MEMORY;
}

/* One address, once. */
static int try_address(struct registry_http *http, const struct request *request, long *status,
    struct buf *reply, char *why)
{
    struct str base = http->config->urls[http->at];
    char url[URL_SIZE_MAX];
    while (base.size && base.data[base.size - 1] == '/')
        base.size--;
    int size = snprintf(url, sizeof url, "%.*s%s", (int)base.size, base.data, request->path);
    if (size < 0 || (size_t)size >= sizeof url)
        return ERR_CONFIG;
    int r = set_request(http, request, url);
    if (r < 0)
        return r;
    buf_clear(reply);
    reply->size_max = REGISTRY_REPLY_SIZE_MAX;
    http->problem[0] = '\0';
    (void)curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, reply);
    CURLcode code = curl_easy_perform(http->curl);
    r = error_of(code);
    if (r < 0) {
        (void)snprintf(why, REGISTRY_WHY_SIZE, "%.*s: %s", (int)base.size, base.data,
            r == ERR_TOO_LARGE ? "the reply is too large"
            : http->problem[0] ? http->problem
                               : curl_easy_strerror(code));
        return r;
    }
    (void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, status);
    r = error_of_status(*status);
    if (r < 0)
        (void)snprintf(
            why, REGISTRY_WHY_SIZE, "%.*s answers %ld", (int)base.size, base.data, *status);
    return r;
}

/* Half of the pause to all of it, at random, so that many clients do not come back at once. */
static int64_t jitter(int64_t pause)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return pause;
    return pause / 2 + (int64_t)(random % (uint32_t)(pause / 2 + 1));
}

static int pause_ms(const struct registry_config *config, int64_t ms)
{
    const struct timespec step = {.tv_nsec = PAUSE_STEP_MS * 1000000L};
    for (int64_t waited = 0; waited < ms; waited += PAUSE_STEP_MS) {
        if (stopping(config))
            return ERR_AGAIN;
        (void)nanosleep(&step, NULL);
    }
    return stopping(config) ? ERR_AGAIN : 0;
}

/* Every address, from the one that answered last. */
static int try_all(struct registry_http *http, const struct request *request, long *status,
    struct buf *reply, char *why)
{
    const struct registry_config *config = http->config;
    int r = ERR_UNREACHABLE;
    refresh(http);
    for (size_t i = 0; i < config->urls_count && r == ERR_UNREACHABLE; i++) {
        if (i > 0)
            http->at = (http->at + 1) % config->urls_count;
        r = try_address(http, request, status, reply, why);
        if (r == ERR_UNREACHABLE && config->log)
            config->log(config->context, LOG_WARNING, "registry_unreachable", why);
    }
    return r;
}

static void count(const struct registry_config *config, int r)
{
    enum metric_request outcome = r == 0                 ? REQUEST_ANSWERED
                                  : r == ERR_UNREACHABLE ? REQUEST_UNREACHABLE
                                  : r == ERR_AUTH        ? REQUEST_REFUSED
                                                         : REQUEST_FAILED;
    if (config->metrics)
        metrics_add(config->metrics, METRIC_REGISTRY_REQUESTS, (int)outcome, 0, 1);
}

int registry_http_request(struct registry_http *http, const char *method, const char *path,
    struct str body, long *status, struct buf *reply, char *why)
{
    const struct request request = {.method = method, .path = path, .body = body};
    const struct registry_config *config = http->config;
    int64_t pause = PAUSE_MS_FIRST;
    int r = ERR_UNREACHABLE;
    why[0] = '\0';
    for (int i = 0; i < config->attempts && r == ERR_UNREACHABLE; i++) {
        if (i > 0) {
            int stopped = pause_ms(config, jitter(pause));
            if (stopped < 0)
                return stopped;
            pause = pause * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : pause * 2;
            http->at = (http->at + 1) % config->urls_count;
        }
        r = try_all(http, &request, status, reply, why);
        count(config, r);
    }
    return r;
}
