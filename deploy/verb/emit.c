/* `tabiji emit`: NDJSON on standard input to a collector, in batches, again until it is accepted.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "deploy/http_client.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define BATCH_EVENTS_MAX 2500
#define BATCH_SIZE_MAX ((size_t)1000 << 10)
#define ATTEMPTS 8
#define KEY_FILE_SIZE_MAX 512

struct emit {
    struct verb_call *call;
    struct http_client *client;
    struct json_parser *parser;
    struct buf body;
    long long batch_events, lines, accepted, duplicates, rejected;
    long long batch_line; /* 1-based line of the batch's first event */
};

/* Prints what the collector said of each rejected event, with its line here. */
static void print_rejections(struct emit *emit, struct json reply)
{
    struct json list, item;
    struct str key;
    if (!json_get(reply, STR("rejected"), &list) || json_kind(list) != JSON_ARRAY)
        return;
    struct json_iterator at;
    json_iterate(list, &at);
    while (json_next(&at, &key, &item)) {
        struct json index, code, pointer, hint;
        emit->rejected++;
        if (!json_get(item, STR("index"), &index) || !json_get(item, STR("code"), &code))
            continue;
        struct str where = {0}, help = {0};
        if (json_get(item, STR("pointer"), &pointer))
            where = json_text(pointer);
        if (json_get(item, STR("hint"), &hint))
            help = json_text(hint);
        struct str reason = json_text(code);
        (void)fprintf(stderr, "line %lld: %.*s %.*s %.*s\n", emit->batch_line + json_int(index),
            (int)reason.size, reason.data, (int)where.size, where.data, (int)help.size, help.data);
    }
}

static int read_reply(struct emit *emit, long status, struct str text)
{
    struct json reply, value;
    if (status != 200) {
        (void)fprintf(stderr, "tabiji emit: the collector answered %ld: %.*s\n", status,
            (int)(text.size < 400 ? text.size : 400), text.data);
        return status == 401 || status == 403 ? EXIT_AUTH : EXIT_FAILED;
    }
    int r = json_parse(emit->parser, text, &reply);
    if (r < 0)
        return verb_fail(emit->call, r, "the collector's reply");
    if (json_get(reply, STR("accepted"), &value) && json_kind(value) == JSON_INT)
        emit->accepted += json_int(value);
    if (json_get(reply, STR("duplicates"), &value) && json_kind(value) == JSON_INT)
        emit->duplicates += json_int(value);
    print_rejections(emit, reply);
    return EXIT_OK;
}

static int send_batch(struct emit *emit)
{
    if (emit->batch_events == 0)
        return EXIT_OK;
    CLEANUP(buf_free) struct buf reply = {0};
    long status = 0;
    int r = http_client_post(emit->client, buf_str(&emit->body), ATTEMPTS, &status, &reply);
    if (r < 0)
        return verb_fail(emit->call, r, "lines from %lld were not accepted", emit->batch_line);
    r = read_reply(emit, status, buf_str(&reply));
    buf_clear(&emit->body);
    emit->batch_events = 0;
    return r;
}

static int send_lines(struct emit *emit, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int r = 0;
    while (r == 0 && (size = getline(&line, &room, in)) >= 0) {
        emit->lines++;
        if (size <= 1)
            continue;
        bool full = emit->batch_events == BATCH_EVENTS_MAX ||
                    emit->body.size + (size_t)size > BATCH_SIZE_MAX;
        if (full)
            r = send_batch(emit);
        if (r)
            break;
        if (emit->batch_events++ == 0)
            emit->batch_line = emit->lines;
        r = buf_append(&emit->body, line, (size_t)size);
        if (r == 0 && line[size - 1] != '\n')
            r = buf_append_str(&emit->body, STR("\n"));
        if (r < 0)
            r = verb_fail(emit->call, r, "line %lld", emit->lines);
    }
    free(line);
    return r ? r : send_batch(emit);
}

/* Reads a write key from the first line of a file, so that it never stands in argv. */
static int read_key(struct verb_call *call, const char *path, char key[KEY_FILE_SIZE_MAX])
{
    FILE *file = fopen(path, "re");
    if (!file || !fgets(key, KEY_FILE_SIZE_MAX, file)) {
        if (file)
            (void)fclose(file);
        return verb_usage(call, "cannot read a write key from %s", path);
    }
    (void)fclose(file);
    key[strcspn(key, "\r\n")] = 0;
    return 0;
}

static int run(struct verb_call *call)
{
    const char *url = verb_value(call, "--url");
    const char *key_file = verb_value(call, "--key-file");
    char key[KEY_FILE_SIZE_MAX] = "";
    int r = key_file ? read_key(call, key_file, key) : 0;
    if (r)
        return r;
    CLEANUP(buf_free) struct buf endpoint = {0};
    r = buf_appendf(&endpoint, "%s/v1/events%c", url ? url : "http://127.0.0.1:8080", 0);
    struct emit emit = {.call = call};
    if (r == 0)
        r = http_client_new(endpoint.data, key_file ? key : NULL, &emit.client);
    if (r == 0)
        r = json_parser_new(&emit.parser);
    if (r < 0)
        r = verb_fail(call, r, "cannot start");
    else
        r = send_lines(&emit, stdin);
    if (r == 0)
        (void)printf(
            call->json
                ? "{\"lines\":%lld,\"accepted\":%lld,\"duplicates\":%lld,\"rejected\":%lld}\n"
                : "%lld lines: %lld accepted, %lld duplicates, %lld rejected\n",
            emit.lines, emit.accepted, emit.duplicates, emit.rejected);
    http_client_free(&emit.client);
    json_parser_free(&emit.parser);
    buf_free(&emit.body);
    if (r == 0 && emit.rejected)
        r = EXIT_PARTIAL;
    return r;
}

static const struct verb_option options[] = {
    {"--url", "URL", "the collector (default http://127.0.0.1:8080)", NULL},
    {"--key-file", "FILE", "file whose first line is the write key", NULL},
};

const struct verb verb_emit = {
    .name = "emit",
    .summary = "send events from standard input to a collector",
    .arguments = "",
    .detail = "Reads native JSON events, one a line, and posts them to a collector in batches. "
              "What the collector\n"
              "rejects is told with its line and reason (exit 6); what it cannot take now is tried "
              "again.",
    .examples =
        "  tabiji generate --events 1000 | tabiji emit\n"
        "  tabiji emit --url https://collect.example.jp --key-file pos.key < receipts.ndjson",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};
