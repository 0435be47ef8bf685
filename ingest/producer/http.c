/* libcurl's multi interface: each slot is one request with its own easy handle, made once. The
 * connections are the multi handle's, and outlive requests. */
#include "ingest/producer/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <zlib.h>

#include "ingest/producer/http_reply.h"
#include "schemas/error.h"

#define REPLY_SIZE_MAX ((size_t)4 << 20)
#define GZIP_FROM 1024 /* bytes: below, it saves no packet */
#define GZIP_LEVEL 1
#define GZIP_WINDOW (15 + 16) /* deflate with gzip's head. Source: zlib.h, deflateInit2() */
#define GZIP_MEMORY 8
#define HEADER_SIZE_MAX (PRODUCER_KEY_SIZE_MAX + 64)

struct slot {
    CURL *curl;
    struct producer_batch *batch; /* NULL: free */
    struct producer_text body;    /* lines */
    struct producer_text gzip;
    struct buf reply;
    uint64_t sent;
};

struct http {
    struct producer_transport head; /* first */
    const struct producer_settings *settings;
    struct tabiji_allocator memory;
    CURLM *multi;
    struct curl_slist *plain_headers, *gzip_headers;
    struct json_parser *parser;
    struct arena arena;
    z_stream deflater;
    bool deflates;
    struct slot slots[PRODUCER_REQUESTS_MAX];
};

/* ---- headers, with the key ---- */

static void free_headers(struct curl_slist **list)
{
    for (struct curl_slist *at = *list; at; at = at->next)
        explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(*list);
    *list = NULL;
}

static int add_header(struct curl_slist **list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*list, header);
    if (!longer)
        return ERR_NO_MEMORY;
    *list = longer;
    return 0;
}

static int make_headers(struct str key, bool gzip, struct curl_slist **out)
{
    struct curl_slist *list = NULL;
    int r = add_header(&list, "Content-Type: application/x-ndjson");
    if (r == 0)
        r = add_header(&list, "Expect:"); /* none, as its answer would cost a round trip */
    if (r == 0 && gzip)
        r = add_header(&list, "Content-Encoding: gzip");
    if (r == 0 && key.size) {
        char line[HEADER_SIZE_MAX];
        (void)snprintf(line, sizeof line, "Authorization: Bearer %.*s", (int)key.size, key.data);
        r = add_header(&list, line);
        explicit_bzero(line, sizeof line);
    }
    if (r < 0)
        free_headers(&list);
    else
        *out = list;
    return r;
}

/* Requests under way keep the old lists until they end, so lists change only while there is none:
 * the sender sees to that. */
static int set_key(struct producer_transport *transport, struct str key)
{
    struct http *http = (struct http *)transport;
    struct curl_slist *plain = NULL, *gzip = NULL;
    int r = make_headers(key, false, &plain);
    if (r == 0)
        r = make_headers(key, true, &gzip);
    if (r < 0) {
        free_headers(&plain);
        return r;
    }
    free_headers(&http->plain_headers);
    free_headers(&http->gzip_headers);
    http->plain_headers = plain;
    http->gzip_headers = gzip;
    return 0;
}

/* ---- one request ---- */

static size_t on_reply(char *data, size_t size, size_t count, void *context)
{
    struct buf *reply = context;
    return buf_append(reply, data, size * count) == 0 ? size * count : 0;
}

/* A socket that a program started by the caller does not inherit. */
static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool set_files(CURL *curl, const struct producer_settings *settings)
{
    return (!settings->ca_file ||
               curl_easy_setopt(curl, CURLOPT_CAINFO, settings->ca_file) == CURLE_OK) &&
           (!settings->certificate_file ||
               curl_easy_setopt(curl, CURLOPT_SSLCERT, settings->certificate_file) == CURLE_OK) &&
           (!settings->private_key_file ||
               curl_easy_setopt(curl, CURLOPT_SSLKEY, settings->private_key_file) == CURLE_OK);
}

static bool set_limits(CURL *curl, const struct producer_settings *settings)
{
    return curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_timeout_ms) ==
               CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)settings->request_timeout_ms) ==
               CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket) == CURLE_OK;
}

static bool set_up(struct http *http, struct slot *slot)
{
    CURL *curl = slot->curl;
    const char *proxy = http->settings->proxy ? http->settings->proxy : "";
    return curl_easy_setopt(curl, CURLOPT_URL, http->settings->url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, proxy) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "libtabiji/" TABIJI_VERSION) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_reply) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, &slot->reply) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PRIVATE, slot) == CURLE_OK &&
           set_files(curl, http->settings) && set_limits(curl, http->settings);
}

static int compose(struct http *http, struct slot *slot, const struct producer_batch *batch)
{
    slot->body.size = 0;
    int r = producer_text_reserve(&http->memory, &slot->body, batch->bytes);
    for (const struct producer_entry *entry = batch->first; r == 0 && entry; entry = entry->next) {
        r = producer_text_add(&http->memory, &slot->body, producer_entry_json(entry));
        if (r == 0)
            r = producer_text_add(&http->memory, &slot->body, STR("\n"));
    }
    return r;
}

static int compress_body(struct http *http, struct slot *slot)
{
    z_stream *z = &http->deflater;
    if (deflateReset(z) != Z_OK)
        return ERR_NO_MEMORY;
    slot->gzip.size = 0;
    size_t room = deflateBound(z, slot->body.size);
    int r = producer_text_reserve(&http->memory, &slot->gzip, room);
    if (r < 0)
        return r;
    z->next_in = (Bytef *)slot->body.data;
    z->avail_in = (uInt)slot->body.size;
    z->next_out = (Bytef *)slot->gzip.data;
    z->avail_out = (uInt)room;
    if (deflate(z, Z_FINISH) != Z_STREAM_END)
        return ERR_INTERNAL;
    slot->gzip.size = room - z->avail_out;
    return 0;
}

static struct slot *free_slot(struct http *http)
{
    for (size_t i = 0; i < http->settings->requests_max; i++)
        if (!http->slots[i].batch)
            return &http->slots[i];
    return NULL;
}

static int start(struct producer_transport *transport, struct producer_batch *batch)
{
    struct http *http = (struct http *)transport;
    struct slot *slot = free_slot(http);
    if (!slot)
        return ERR_FULL;
    int r = compose(http, slot, batch);
    bool gzip =
        r == 0 && http->deflates && slot->body.size >= GZIP_FROM && compress_body(http, slot) == 0;
    if (r < 0)
        return r;
    const struct producer_text *body = gzip ? &slot->gzip : &slot->body;
    buf_clear(&slot->reply);
    slot->sent = body->size;
    bool set = curl_easy_setopt(slot->curl, CURLOPT_HTTPHEADER,
                   gzip ? http->gzip_headers : http->plain_headers) == CURLE_OK &&
               curl_easy_setopt(slot->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size) ==
                   CURLE_OK &&
               curl_easy_setopt(slot->curl, CURLOPT_POSTFIELDS, body->data) == CURLE_OK &&
               curl_multi_add_handle(http->multi, slot->curl) == CURLM_OK;
    if (!set)
        return ERR_NO_MEMORY;
    slot->batch = batch;
    return 0;
}

/* ---- its end ---- */

/* A slot keeps its buffers for the next request. */
static void give_back(struct http *http, struct slot *slot)
{
    (void)curl_multi_remove_handle(http->multi, slot->curl);
    slot->batch = NULL;
}

static void finish(struct http *http, struct slot *slot, CURLcode code)
{
    struct producer_outcome outcome = {.kind = PRODUCER_AGAIN, .code = STR("unreachable")};
    struct producer_batch *batch = slot->batch;
    curl_off_t after = 0;
    long status = 0;
    arena_reset(&http->arena);
    (void)curl_easy_getinfo(slot->curl, CURLINFO_RETRY_AFTER, &after);
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(slot->curl, CURLINFO_RESPONSE_CODE, &status);
        const struct producer_http_reply answer = {(int)status, buf_str(&slot->reply)};
        producer_http_reply_read(http->parser, &http->arena, batch, &answer, &outcome);
        outcome.retry_after_ms = after > 0 ? (int64_t)after * 1000 : 0;
    } else {
        outcome.hint = str_of(curl_easy_strerror(code));
    }
    outcome.body_size = slot->sent;
    give_back(http, slot);
    http->head.done(http->head.done_context, batch, &outcome);
}

/* Ends all that are over; whether there was one. */
static bool finish_all(struct http *http)
{
    const CURLMsg *message;
    int left;
    bool any = false;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        void *slot = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot) == CURLE_OK && slot)
            finish(http, slot, code);
        any = true;
    }
    return any;
}

static void work(struct producer_transport *transport, int timeout_ms)
{
    struct http *http = (struct http *)transport;
    int running;
    (void)curl_multi_perform(http->multi, &running);
    if (finish_all(http))
        return;
    (void)curl_multi_poll(http->multi, NULL, 0, timeout_ms, NULL);
    (void)curl_multi_perform(http->multi, &running);
    (void)finish_all(http);
}

static void wake(struct producer_transport *transport)
{
    (void)curl_multi_wakeup(((struct http *)transport)->multi);
}

/* ---- life ---- */

static void close_http(struct producer_transport **transport)
{
    struct http *http = (struct http *)*transport;
    if (!http)
        return;
    for (size_t i = 0; i < PRODUCER_REQUESTS_MAX; i++) {
        struct slot *slot = &http->slots[i];
        if (slot->batch)
            give_back(http, slot);
        if (slot->curl)
            curl_easy_cleanup(slot->curl);
        producer_text_free(&http->memory, &slot->body);
        producer_text_free(&http->memory, &slot->gzip);
        buf_free(&slot->reply);
    }
    if (http->multi)
        (void)curl_multi_cleanup(http->multi);
    free_headers(&http->plain_headers);
    free_headers(&http->gzip_headers);
    if (http->deflates)
        (void)deflateEnd(&http->deflater);
    json_parser_free(&http->parser);
    arena_free(&http->arena);
    curl_global_cleanup();
    struct tabiji_allocator memory = http->memory;
    producer_memory_free(&memory, http);
    *transport = NULL;
}

static const struct producer_transport_ops ops = {
    .start = start,
    .work = work,
    .wake = wake,
    .set_key = set_key,
    .close = close_http,
};

static int open_slots(struct http *http)
{
    http->multi = curl_multi_init();
    if (!http->multi)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < http->settings->requests_max; i++) {
        struct slot *slot = &http->slots[i];
        slot->reply.size_max = REPLY_SIZE_MAX;
        slot->curl = curl_easy_init();
        if (!slot->curl)
            return ERR_NO_MEMORY;
        if (!set_up(http, slot))
            return ERR_CONFIG;
    }
    return 0;
}

static int open_http(struct http *http)
{
    const struct producer_settings *settings = http->settings;
    int r = open_slots(http);
    if (r == 0)
        r = json_parser_new(&http->parser);
    if (r == 0 && !(settings->flags & TABIJI_NO_GZIP)) {
        http->deflates = deflateInit2(&http->deflater, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW,
                             GZIP_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
        r = http->deflates ? 0 : ERR_NO_MEMORY;
    }
    return r == 0 ? set_key(&http->head, str_of(settings->key)) : r;
}

int producer_http_new(const struct producer_settings *settings,
    const struct tabiji_allocator *memory, producer_done_fn done, void *done_context,
    struct producer_transport **out)
{
    struct http *http = producer_memory_zero(memory, sizeof *http);
    if (!http)
        return ERR_NO_MEMORY;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        producer_memory_free(memory, http);
        return ERR_NO_MEMORY;
    }
    http->head =
        (struct producer_transport){.ops = &ops, .done = done, .done_context = done_context};
    http->settings = settings;
    http->memory = *memory;
    int r = open_http(http);
    struct producer_transport *transport = &http->head;
    if (r < 0)
        close_http(&transport);
    else
        *out = transport;
    return r;
}
