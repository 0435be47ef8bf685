/* libcurl easy handle, reused. Redirects are not followed; only http and https are spoken. */
#include "deploy/http_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "schemas/error.h"

#define REPLY_SIZE_MAX ((size_t)4 << 20)
#define CONNECT_TIMEOUT_MS 3000L
#define TIMEOUT_MS 30000L
#define PAUSE_MS_FIRST 100
#define PAUSE_MS_MAX 5000

struct http_client {
    CURL *curl;
    struct curl_slist *headers;
};

static size_t on_reply(char *data, size_t size, size_t count, void *context)
{
    struct buf *reply = context;
    return buf_append(reply, data, size * count) == 0 ? size * count : 0;
}

static int add_header(struct http_client *client, const char *header)
{
    struct curl_slist *longer = curl_slist_append(client->headers, header);
    if (!longer)
        return ERR_NO_MEMORY;
    client->headers = longer;
    return 0;
}

static int set_up(struct http_client *client, const char *url, const char *key)
{
    int r = add_header(client, "Content-Type: application/x-ndjson");
    if (r == 0)
        r = add_header(client, "Expect:");
    if (r == 0 && key) {
        CLEANUP(buf_free) struct buf line = {0};
        r = buf_appendf(&line, "Authorization: Bearer %s%c", key, 0);
        if (r == 0)
            r = add_header(client, line.data);
    }
    if (r < 0)
        return r;
    bool set =
        curl_easy_setopt(client->curl, CURLOPT_URL, url) == CURLE_OK &&
        curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, client->headers) == CURLE_OK &&
        curl_easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
        curl_easy_setopt(client->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK &&
        curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS) == CURLE_OK &&
        curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
        curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_reply) == CURLE_OK;
    return set ? 0 : ERR_NO_MEMORY;
}

int http_client_new(const char *url, const char *key, struct http_client **out)
{
    struct http_client *client = calloc(1, sizeof *client);
    if (!client)
        return ERR_NO_MEMORY;
    client->curl = curl_easy_init();
    int r = client->curl ? set_up(client, url, key) : ERR_NO_MEMORY;
    if (r < 0) {
        http_client_free(&client);
        return r;
    }
    *out = client;
    return 0;
}

void http_client_free(struct http_client **client)
{
    if (*client) {
        curl_slist_free_all((*client)->headers);
        if ((*client)->curl)
            curl_easy_cleanup((*client)->curl);
    }
    free(*client);
    *client = NULL;
}

static void pause_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

/* One try: 0 and the status, ERR_AGAIN or ERR_IO. */
static int try_once(struct http_client *client, long *status, struct buf *reply)
{
    (void)curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, reply);
    CURLcode code = curl_easy_perform(client->curl);
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
        code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_WRITE_ERROR)
        return ERR_IO;
    if (code != CURLE_OK)
        return ERR_AGAIN;
    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, status);
    return *status == 429 || *status >= 500 ? ERR_AGAIN : 0;
}

static int try_often(struct http_client *client, int attempts, long *status, struct buf *reply)
{
    size_t before = reply->size;
    if (!reply->size_max)
        reply->size_max = REPLY_SIZE_MAX;
    long pause = PAUSE_MS_FIRST;
    int r = ERR_AGAIN;
    for (int i = 0; i < attempts; i++) {
        reply->size = before;
        r = try_once(client, status, reply);
        if (r != ERR_AGAIN)
            return r;
        if (i + 1 == attempts)
            break;
        curl_off_t after = 0;
        (void)curl_easy_getinfo(client->curl, CURLINFO_RETRY_AFTER, &after);
        pause_ms(after > 0 ? (long)after * 1000 : pause);
        pause = pause * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : pause * 2;
    }
    return r;
}

int http_client_get(struct http_client *client, int attempts, long *status, struct buf *reply)
{
    (void)curl_easy_setopt(client->curl, CURLOPT_HTTPGET, 1L);
    return try_often(client, attempts, status, reply);
}

int http_client_post(
    struct http_client *client, struct str body, int attempts, long *status, struct buf *reply)
{
    (void)curl_easy_setopt(client->curl, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(client->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    (void)curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body.data);
    return try_often(client, attempts, status, reply);
}
