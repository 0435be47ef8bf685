/* `tabiji tail`: a collector's live view, followed over lost connections. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "deploy/verb/tail_show.h"
#include "deploy/verb/verbs.h"
#include "ingest/config/config.h"
#include "schemas/error.h"
#include "schemas/event.h"

#define CONNECT_TIMEOUT_MS 3000L
#define SILENCE_MAX_S 35L /* the collector says something every 3 s */
#define LINE_SIZE_MAX ((size_t)1 << 20)
#define REPLY_SIZE_MAX ((size_t)4 << 10) /* of an error that is shown */
#define KEY_FILE_SIZE_MAX 512
#define ID_SIZE_MAX 64
#define PAUSE_MS_FIRST 200
#define PAUSE_MS_MAX 5000
#define STATUS_OK 200L
#define STATUS_CROWDED 503L

struct tail {
    struct verb_call *call;
    struct tail_show show;
    CURL *curl;
    struct buf url;   /* NUL-terminated */
    struct buf line;  /* of the stream, as far as it has come */
    struct buf data;  /* of the server-sent event that is being read */
    struct buf reply; /* of an error */
    char name[16];    /* of the event that is being read */
    char read_id[ID_SIZE_MAX + 1], last_id[ID_SIZE_MAX + 1];
    char key[KEY_FILE_SIZE_MAX];
    long long events, events_max; /* max 0: no end */
    bool connected;               /* the stream has begun, of this connection */
    bool ever;                    /* of any */
    bool crowded;                 /* it was said that too many watch */
    int error;
};

/* ---- the stream. Source: HTML Standard, 9.2.6 "Interpreting an event stream" ---- */

static void copy_text(char *out, size_t size, struct str text)
{
    (void)snprintf(out, size, "%.*s", (int)text.size, text.size ? text.data : "");
}

static int end_event(struct tail *tail)
{
    bool event = false;
    int r = 0;
    if (tail->data.size)
        r = tail_show_item(&tail->show, str_of(tail->name), buf_str(&tail->data), &event);
    if (tail->data.size && tail->read_id[0])
        memcpy(tail->last_id, tail->read_id, sizeof tail->last_id);
    tail->events += event;
    buf_clear(&tail->data);
    tail->name[0] = tail->read_id[0] = '\0';
    return r;
}

static int take_line(struct tail *tail, struct str line)
{
    static const struct str fields[] = {STR_INIT("data: "), STR_INIT("event: "), STR_INIT("id: ")};
    if (line.size == 0)
        return end_event(tail);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!str_starts_with(line, fields[i]))
            continue;
        struct str value = str_make(line.data + fields[i].size, line.size - fields[i].size);
        if (i == 0)
            return buf_append_str(&tail->data, value);
        if (i == 1)
            copy_text(tail->name, sizeof tail->name, value);
        else
            copy_text(tail->read_id, sizeof tail->read_id, value);
    }
    return 0;
}

static bool is_done(const struct tail *tail)
{
    return (tail->events_max && tail->events >= tail->events_max) || ferror(tail->show.out);
}

static size_t on_data(char *data, size_t size, size_t count, void *context)
{
    struct tail *tail = context;
    struct str rest = str_make(data, size * count);
    long status = 0;
    (void)curl_easy_getinfo(tail->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != STATUS_OK) {
        if (tail->reply.size + rest.size <= REPLY_SIZE_MAX)
            tail->error = buf_append_str(&tail->reply, rest);
        return tail->error ? 0 : rest.size;
    }
    if (!tail->connected && tail->ever)
        (void)fputs("tabiji tail: connected again\n", stderr);
    tail->connected = tail->ever = true;
    while (rest.size && tail->error == 0 && !is_done(tail)) {
        const char *end = memchr(rest.data, '\n', rest.size);
        size_t part = end ? (size_t)(end - rest.data) : rest.size;
        tail->error = tail->line.size + part > LINE_SIZE_MAX
                          ? ERR_TOO_LARGE
                          : buf_append(&tail->line, rest.data, part);
        if (end && tail->error == 0) {
            tail->error = take_line(tail, buf_str(&tail->line));
            buf_clear(&tail->line);
        }
        part += end != NULL;
        rest = str_make(rest.data + part, rest.size - part);
    }
    return tail->error || is_done(tail) ? 0 : size * count;
}

/* ---- connections ---- */

static int add_line(struct curl_slist **list, const char *name, const char *value)
{
    CLEANUP(buf_free) struct buf line = {0};
    int r = buf_appendf(&line, "%s: %s%c", name, value, 0);
    struct curl_slist *longer = r == 0 ? curl_slist_append(*list, line.data) : NULL;
    if (!longer)
        return ERR_NO_MEMORY;
    *list = longer;
    return 0;
}

static CURLcode perform(struct tail *tail, struct curl_slist *headers)
{
    CURL *curl = tail->curl;
    bool set = curl_easy_setopt(curl, CURLOPT_URL, tail->url.data) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_MAX_S) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEDATA, tail) == CURLE_OK;
    return set ? curl_easy_perform(curl) : CURLE_OUT_OF_MEMORY;
}

/* Watches until the connection ends. *why: in words, static. Returns the HTTP status; 0: none. */
static long watch_once(struct tail *tail, const char **why, CURLcode *code)
{
    struct curl_slist *headers = NULL;
    long status = 0;
    CLEANUP(buf_free) struct buf bearer = {0};
    buf_clear(&tail->line);
    buf_clear(&tail->data);
    buf_clear(&tail->reply);
    tail->name[0] = tail->read_id[0] = '\0';
    tail->connected = false;
    int r = add_line(&headers, "Accept", "text/event-stream");
    if (r == 0 && tail->last_id[0])
        r = add_line(&headers, "Last-Event-ID", tail->last_id);
    if (r == 0 && tail->key[0])
        r = buf_appendf(&bearer, "Bearer %s%c", tail->key, 0);
    if (r == 0 && tail->key[0])
        r = add_line(&headers, "Authorization", bearer.data);
    *code = r == 0 ? perform(tail, headers) : CURLE_OUT_OF_MEMORY;
    *why = *code == CURLE_OK ? "it ended" : curl_easy_strerror(*code);
    (void)curl_easy_getinfo(tail->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    return status;
}

/* Whether the reply is an error of this code. */
static bool reply_says(const struct tail *tail, const char *code)
{
    CLEANUP(buf_free) struct buf member = {0};
    return buf_appendf(&member, "\"code\":\"%s\"", code) == 0 && tail->reply.size &&
           memmem(tail->reply.data, tail->reply.size, member.data, member.size);
}

static int refused(struct tail *tail, long status)
{
    struct verb_call *call = tail->call;
    int size = (int)(tail->reply.size < 400 ? tail->reply.size : 400);
    const char *text = size ? tail->reply.data : "";
    if (status == 401 || status == 403)
        return verb_end(
            call, EXIT_AUTH, "auth", "the collector answered %ld: %.*s", status, size, text);
    if (status == 400)
        return verb_usage(call, "the collector answered 400: %.*s", size, text);
    if (status == 404 && reply_says(tail, "source"))
        return verb_not_found(
            call, "there is no source \"%s\": tabiji source list", verb_value(call, "--source"));
    if (status == 429 || status >= 500)
        return verb_end(
            call, EXIT_RETRYABLE, "again", "the collector answered %ld: %.*s", status, size, text);
    return verb_end(
        call, EXIT_FAILED, "answer", "the collector answered %ld: %.*s", status, size, text);
}

static void pause_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

/* Waits as long as the collector says when all its places are taken. */
static bool wait_for_place(struct tail *tail, long status)
{
    curl_off_t seconds = 0;
    if (status != STATUS_CROWDED || !reply_says(tail, "viewers"))
        return false;
    if (!tail->crowded)
        (void)fputs("tabiji tail: too many watch already, waiting for one to leave\n", stderr);
    tail->crowded = true;
    (void)curl_easy_getinfo(tail->curl, CURLINFO_RETRY_AFTER, &seconds);
    pause_ms(seconds < 1 ? 1000 : seconds * 1000 > PAUSE_MS_MAX ? PAUSE_MS_MAX : seconds * 1000);
    return true;
}

static int watch(struct tail *tail)
{
    long pause = PAUSE_MS_FIRST;
    for (;;) {
        const char *why;
        CURLcode code;
        long status = watch_once(tail, &why, &code);
        if (tail->error)
            return verb_fail(tail->call, tail->error, "the stream");
        if (is_done(tail))
            return EXIT_OK;
        if (wait_for_place(tail, status))
            continue;
        bool later = status == 0 || status == STATUS_OK || status == 429 || status >= 500;
        if (!later || (!tail->ever && status != 0))
            return refused(tail, status);
        if (!tail->ever)
            return verb_end(
                tail->call, EXIT_RETRYABLE, "again", "cannot reach the collector: %s", why);
        if (tail->connected) {
            (void)fprintf(stderr, "tabiji tail: the connection is lost (%s), trying again\n", why);
            pause = PAUSE_MS_FIRST;
        }
        pause_ms(pause);
        pause = pause * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : pause * 2;
    }
}

/* ---- start ---- */

static int read_key(struct tail *tail, const char *path)
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(tail->key, sizeof tail->key, file);
    if (file)
        (void)fclose(file);
    if (!read)
        return verb_usage(tail->call, "cannot read a key from %s", path);
    tail->key[strcspn(tail->key, "\r\n")] = '\0';
    return 0;
}

static int write_url(struct tail *tail)
{
    static const char *const filters[] = {"source", "type", "person", "fate"};
    const char *url = verb_value(tail->call, "--url");
    const char *listen = config_path(tail->call->config, OPTION_COLLECTOR_LISTEN);
    int r =
        buf_appendf(&tail->url, "%s%s/v1/debug/events", url ? "" : "http://", url ? url : listen);
    for (size_t i = 0; r == 0 && i < sizeof filters / sizeof *filters; i++) {
        char option[16];
        (void)snprintf(option, sizeof option, "--%s", filters[i]);
        const char *value = verb_value(tail->call, option);
        char *escaped = value ? curl_easy_escape(tail->curl, value, 0) : NULL;
        if (value)
            r = escaped ? buf_appendf(&tail->url, "%c%s=%s",
                              memchr(tail->url.data, '?', tail->url.size) ? '&' : '?', filters[i],
                              escaped)
                        : ERR_NO_MEMORY;
        curl_free(escaped);
    }
    return r == 0 ? buf_append(&tail->url, "", 1) : r;
}

/* What would be waited for in vain is told before. */
static int check_type(struct tail *tail)
{
    const char *type = verb_value(tail->call, "--type");
    struct str text = type ? str_of(type) : STR("");
    struct str meant = event_type_meant(text);
    if (text.size == 0 || text.data[0] == '=')
        return 0;
    if (meant.size)
        return verb_not_found(tail->call,
            "there is no type \"%s\", did you mean \"%.*s\"? --type =%s watches a type of your own",
            type, (int)meant.size, meant.data, type);
    if (event_type_class(text) == EVENT_CLASS_CUSTOM)
        (void)fprintf(stderr,
            "tabiji tail: \"%s\" is none of tabiji's own types: waiting for one of yours\n", type);
    return 0;
}

static int start(struct tail *tail)
{
    const char *key_file = verb_value(tail->call, "--key-file");
    int code = verb_integer(tail->call, "--count", 1, 1000000000, &tail->events_max);
    if (code == 0)
        code = check_type(tail);
    if (code == 0 && key_file)
        code = read_key(tail, key_file);
    if (code)
        return code;
    tail->curl = curl_easy_init();
    int r = tail->curl ? json_parser_new(&tail->show.parser) : ERR_NO_MEMORY;
    if (r == 0)
        r = write_url(tail);
    return r < 0 ? verb_fail(tail->call, r, "cannot start") : watch(tail);
}

static int run(struct verb_call *call)
{
    static struct tail tail;
    bool plain = call->json || !isatty(STDOUT_FILENO) || getenv("NO_COLOR");
    tail = (struct tail){.call = call,
        .show = {.out = stdout,
            .json = call->json,
            .colour = !plain,
            .curl = verb_switch(call, "--curl")}};
    int code = start(&tail);
    json_parser_free(&tail.show.parser);
    if (tail.curl)
        curl_easy_cleanup(tail.curl);
    buf_free(&tail.url);
    buf_free(&tail.line);
    buf_free(&tail.data);
    buf_free(&tail.reply);
    return code;
}

static const struct verb_option options[] = {
    {"--url", "URL", "the collector; else [collector] listen of the configuration", NULL, false},
    {"--key-file", "FILE", "file whose first line is the key of a source with operator = yes", NULL,
        false},
    {"--source", "NAME", "events of this source alone", NULL, false},
    {"--type", "TYPE", "events of this type alone; =TYPE: whatever it is like", NULL, false},
    {"--person", "IDENTIFIER", "events that carry namespace:value, in any spelling", NULL, false},
    {"--fate", "FATE",
        "accepted, duplicate, no_consent, ignored (a webhook that no `when` is about), rejected, "
        "failed (not durable), refused (whole requests), or stitched",
        NULL, false},
    {"--curl", NULL, "print of every event the command that sends it again", NULL, false},
    {"--count", "N", "end after so many events", NULL, false},
};

const struct verb verb_tail = {
    .name = "tail",
    .summary = "watch events as they come in, and what becomes of them",
    .arguments = "",
    .detail =
        "Shows what a running collector (collect or run) takes and refuses, within a second: when, "
        "source, protocol, type,\n"
        "id, identifiers as they are stored, and the fate: refused ones with reason, JSON pointer, "
        "nearest field, and a curl\n"
        "command that sends the same again (its key is $WRITE_KEY; a webhook is signed by\n"
        "the secret in the file $SECRET_FILE). Of `tabiji run` also what came "
        "of it in the tables:\n"
        "stitched to which person, duplicate of an event that was there before, or rejected later. "
        "A lost connection is made\n"
        "again and goes on where it was, or says that something may be missing. The collector is "
        "never slowed: of more than\n"
        "500 events a second, or than the viewer reads, the rest is counted and told. Sixteen "
        "may "
        "watch at once; a further one waits. Exit 4: no source has that name, or a type is "
        "misspelt.",
    .examples =
        "  tabiji source add viewer --sources sources.ini operator=yes > operator.key\n"
        "  tabiji tail --key-file operator.key --source ec-web --fate rejected\n"
        "  tabiji tail --key-file operator.key --person email:hana@example.jp --json | jq .fate",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};
