/* One kept-alive connection a source, each with its own key. The keys are public: the demo listens
 * on loopback. */
#include "deploy/demo.h"

#include <stdio.h>

#include "deploy/http_client.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/json.h"

#define SOURCES_MAX 8
#define BATCH_EVENTS_MAX 200
#define ATTEMPTS 8
#define HTTP_OK 200

struct sender {
    const char *name;
    struct http_client *client;
    struct buf body;
    int64_t events;
};

struct senders {
    struct sender senders[SOURCES_MAX];
    size_t count;
    struct json_parser *parser;
    struct demo_counts counts;
};

static int demo_key(const char *source, char *out, size_t size)
{
    int written = snprintf(out, size, "demo-key-of-%s", source);
    return written > 0 && (size_t)written < size ? 0 : ERR_TOO_LARGE;
}

int demo_configure(struct config *config, struct config_problem *problem)
{
    size_t count;
    const char *const *sources = generator_sources(&count);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        char key[64], name[96], hex[65] = "";
        uint8_t digest[32];
        struct sha256 hash;
        r = demo_key(sources[i], key, sizeof key);
        sha256_init(&hash);
        sha256_update(&hash, str_of(key));
        sha256_final(&hash, digest);
        hex_encode(digest, sizeof digest, hex);
        (void)snprintf(name, sizeof name, "source.%s.key_sha256", sources[i]);
        if (r == 0)
            r = config_set(config, name, hex, "demo", problem);
    }
    return r;
}

static int open_senders(struct senders *senders, int port)
{
    size_t count;
    const char *const *sources = generator_sources(&count);
    check(count <= SOURCES_MAX);
    int r = json_parser_new(&senders->parser);
    for (size_t i = 0; r == 0 && i < count; i++) {
        char url[64], key[64];
        struct sender *sender = &senders->senders[senders->count++];
        sender->name = sources[i];
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/events", port);
        r = demo_key(sources[i], key, sizeof key);
        if (r == 0)
            r = http_client_new(url, key, &sender->client);
    }
    return r;
}

static void close_senders(struct senders *senders)
{
    for (size_t i = 0; i < senders->count; i++) {
        http_client_free(&senders->senders[i].client);
        buf_free(&senders->senders[i].body);
    }
    json_parser_free(&senders->parser);
}

static int64_t member(struct json object, struct str name)
{
    struct json value;
    bool found = json_get(object, name, &value) && json_kind(value) == JSON_INT;
    return found ? json_int(value) : 0;
}

static int post(struct senders *senders, struct sender *sender)
{
    CLEANUP(buf_free) struct buf reply = {0};
    struct json value, rejected;
    long status = 0;
    if (sender->events == 0)
        return 0;
    int r = http_client_post(sender->client, buf_str(&sender->body), ATTEMPTS, &status, &reply);
    if (r == 0 && status != HTTP_OK)
        r = ERR_IO;
    if (r == 0)
        r = json_parse(senders->parser, buf_str(&reply), &value);
    if (r < 0)
        return r;
    senders->counts.accepted += member(value, STR("accepted"));
    senders->counts.duplicates += member(value, STR("duplicates"));
    if (json_get(value, STR("rejected"), &rejected) && json_kind(rejected) == JSON_ARRAY)
        senders->counts.rejected += (int64_t)json_count(rejected);
    buf_clear(&sender->body);
    sender->events = 0;
    return 0;
}

static int add(struct senders *senders, const struct generator *generator, size_t index)
{
    const char *source = generator_source(generator, index);
    size_t at = 0;
    while (strcmp(senders->senders[at].name, source) != 0)
        at++;
    struct sender *sender = &senders->senders[at];
    int r = generator_write(generator, index, &sender->body);
    if (r == 0)
        r = buf_append_str(&sender->body, STR("\n"));
    if (r < 0)
        return r;
    return ++sender->events < BATCH_EVENTS_MAX ? 0 : post(senders, sender);
}

int demo_send(const struct generator *generator, int port, demo_sent_fn *on_sent, void *context,
    struct demo_counts *counts)
{
    struct senders senders = {.count = 0};
    size_t events = generator_count(generator);
    int r = open_senders(&senders, port);
    for (size_t i = 0; r == 0 && i < events; i++) {
        r = add(&senders, generator, i);
        if (on_sent)
            on_sent(context, (int64_t)i + 1);
    }
    for (size_t i = 0; r == 0 && i < senders.count; i++)
        r = post(&senders, &senders.senders[i]);
    close_senders(&senders);
    if (r == 0)
        *counts = senders.counts;
    return r;
}
