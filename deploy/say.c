#include "deploy/say.h"

#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "deploy/embedded.h"
#include "deploy/http_client.h"
#include "deploy/verb/tables.h"
#include "ingest/door.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/json.h"
#include "schemas/nearest.h"

#define ATTEMPTS 8
#define WRITE_KEY_SIZE_MAX 512
#define SOURCE "operator"
#define ADAPTER_VERSION 1
#define SPELLING_SHOWN_MAX 64
#define TEXT_OF(number) TEXT_OF_VALUE(number)
#define TEXT_OF_VALUE(number) #number

int say_event_id(char id[SAY_EVENT_ID_SIZE])
{
    uint8_t bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return ERR_IO;
    memcpy(id, "op-", 3);
    hex_encode(bytes, sizeof bytes, id + 3);
    id[3 + 2 * sizeof bytes] = 0;
    return 0;
}

static int read_identifier(const struct identifier_config *config, struct arena *arena,
    struct str spelling, struct identifier *out, struct identifier_report *report)
{
    const char *colon = spelling.size ? memchr(spelling.data, ':', spelling.size) : NULL;
    struct touchpoint event;
    *report = (struct identifier_report){0};
    if (!colon)
        return ERR_NAMESPACE;
    size_t name = (size_t)(colon - spelling.data);
    *out = (struct identifier){.namespace = str_make(spelling.data, name),
        .value = str_make(colon + 1, spelling.size - name - 1)};
    touchpoint_init(&event);
    event.identifiers = out;
    event.identifiers_count = 1;
    int r = identifier_normalise(config, arena, &event, report);
    if (r == 0)
        *out = event.identifiers[0];
    return r;
}

int say_identifier_report(struct settings *settings, struct str spelling, struct identifier *out,
    struct identifier_report *report)
{
    return read_identifier(&settings->door.identifiers, &settings->arena, spelling, out, report);
}

static int not_needed(void *context, const struct reader_node *node)
{
    (void)context;
    (void)node;
    return 0;
}

int say_identifier_known(
    struct settings *settings, struct reader *reader, struct str spelling, struct identifier *out)
{
    struct identifier_config config = settings->door.identifiers;
    struct identifier_report report;
    struct identifier known;
    uint8_t node[KEY_SIZE];
    int r = say_identifier(settings, spelling, out);
    if (r != ERR_NO_IDENTIFIER)
        return r;
    config.blocked_count = 0;
    r = read_identifier(&config, &settings->arena, spelling, &known, &report);
    if (r == 0)
        r = reader_node_id(config.namespaces, &known, node);
    if (r == 0)
        r = reader_node(reader, node, not_needed, NULL);
    if (r == 0)
        *out = known;
    return r == READER_ABSENT ? ERR_NO_IDENTIFIER : r;
}

const char *say_why_none(struct settings *settings, struct str spelling, int error)
{
    static const char *const fates[IDENTIFIER_FATES] = {
        [IDENTIFIER_KEPT] = "means nobody",
        [IDENTIFIER_BLOCKED] = "is blocked: values such as this one mean nobody",
        [IDENTIFIER_SHARED] = "is a service number, which means nobody",
        [IDENTIFIER_MALFORMED] = "is malformed, so it means nobody",
    };
    struct identifier_report report;
    struct identifier identifier;
    if (error == ERR_NO_IDENTIFIER)
        return say_identifier_report(settings, spelling, &identifier, &report) == error
                   ? fates[report.dropped_why]
                   : fates[IDENTIFIER_KEPT];
    if (error == ERR_VALUE)
        return "is too long: a value has at most " TEXT_OF(IDENTIFIER_VALUE_SIZE_MAX) " bytes";
    return error == ERR_UTF8 ? "is no UTF-8" : error_text(error);
}

int say_bad_identifier(
    const struct verb_call *call, struct settings *settings, const char *spelling, int error)
{
    const struct namespace_table *table = settings->door.identifiers.namespaces;
    struct str names[NAMESPACES_MAX];
    const char *colon = strchr(spelling, ':');
    if (error != ERR_NAMESPACE)
        return verb_usage(call, "%.*s%s %s", SPELLING_SHOWN_MAX, spelling,
            strlen(spelling) > SPELLING_SHOWN_MAX ? "..." : "",
            say_why_none(settings, str_of(spelling), error));
    if (!colon)
        return verb_usage(
            call, "%.*s has no namespace: name it namespace:value", SPELLING_SHOWN_MAX, spelling);
    for (size_t i = 0; i < table->count; i++)
        names[i] = table->rules[i].name;
    struct str name = str_make(spelling, (size_t)(colon - spelling));
    struct str near = nearest_name(name, names, table->count);
    return verb_usage(call, "there is no namespace \"%.*s\"%s%.*s%s", (int)name.size, name.data,
        near.size ? ": did you mean \"" : "", (int)near.size, near.size ? near.data : "",
        near.size ? "\"?" : "");
}

int say_identifier(struct settings *settings, struct str spelling, struct identifier *out)
{
    struct identifier_report report;
    return say_identifier_report(settings, spelling, out, &report);
}

int say_spelling(struct settings *settings, struct str spelling,
    const struct identifier *identifier, struct identifier *out)
{
    struct identifier read = {.namespace = identifier->namespace, .value = spelling};
    size_t name = read.namespace.size;
    struct identifier_report report;
    struct touchpoint event;
    *out = *identifier;
    if (!settings->door.identifiers.next.live)
        return 0;
    if (str_starts_with(spelling, read.namespace) && spelling.size > name &&
        spelling.data[name] == ':')
        read.value = str_make(spelling.data + name + 1, spelling.size - name - 1);
    const struct identifier raw = read;
    touchpoint_init(&event);
    event.identifiers = &read;
    event.identifiers_count = 1;
    int r = identifier_normalise(&settings->door.identifiers, &settings->arena, &event, &report);
    if (r == 0 && report.pairs_count && str_equal(event.identifiers[0].value, identifier->value))
        *out = raw;
    return r < 0 && error_class(r) != ERROR_CLASS_REJECT ? r : 0;
}

/* ---- into the log ---- */

/* The event, after what is to be told of a rotation of the key. */
static int append_out(
    struct settings *settings, const struct door_out *out, struct appender *appender)
{
    size_t count = out->pairs.count;
    struct append_record *records = arena_alloc(&settings->arena, (count + 1) * sizeof *records);
    if (!records)
        return ERR_NO_MEMORY;
    if (count)
        memcpy(records, out->pairs.records, count * sizeof *records);
    records[count] = out->record;
    int r = appender->append(appender, records, count + 1, NULL);
    if (r == 0)
        rotation_told(settings->door.told, &out->pairs);
    return r;
}

int say_append(struct settings *settings, struct str json, struct appender *appender)
{
    struct json_parser *parser;
    struct json value;
    struct touchpoint event;
    struct event_problem problem = {0};
    struct door_out out;
    struct timespec now;
    int r = json_parser_new(&parser);
    if (r < 0)
        return r;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    r = json_parse(parser, json, &value);
    if (r == 0)
        r = event_json_read(value, true, &settings->arena, &event, &problem);
    if (r == 0) {
        event.source = STR(SOURCE);
        event.protocol = PROTOCOL_NATIVE;
        event.adapter_version = ADAPTER_VERSION;
        if (event.has_evidence)
            event.evidence.authority = EVENT_AUTHORITY_OPERATOR;
        r = door_take(&settings->door, &event, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000,
            &settings->arena, &out, &problem);
    }
    if (r == 0)
        r = append_out(settings, &out, appender);
    else if (problem.hint.size)
        (void)fprintf(stderr, "%.*s: %.*s\n", (int)problem.pointer.size, problem.pointer.data,
            (int)problem.hint.size, problem.hint.data);
    json_parser_free(&parser);
    return r;
}

static int say_embedded(struct verb_call *call, struct settings *settings, struct saying *saying)
{
    struct embedded *embedded = NULL;
    int code = 0;
    saying->refused = true;
    if (!embedded_exists(settings))
        return tables_no_data(call, settings);
    int r = embedded_open(settings, false, &embedded);
    if (r == 0 && saying->ready) {
        r = embedded_to_quiet(embedded, NULL, NULL);
        code = r == 0 ? saying->ready(saying->context) : 0;
    }
    if (r == 0 && code == 0) {
        saying->refused = false;
        r = say_append(settings, saying->json, embedded_appender(embedded));
    }
    if (r == 0 && code == 0)
        r = embedded_to_quiet(embedded, NULL, NULL);
    embedded_close(&embedded);
    if (r == ERR_LOCKED)
        return verb_fail(call, r, "another process runs on this directory; give its --url");
    return r < 0 ? verb_fail(call, r, "the event was not taken") : code;
}

/* ---- through a collector ---- */

static int read_key(const char *path, char key[WRITE_KEY_SIZE_MAX])
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(key, WRITE_KEY_SIZE_MAX, file);
    if (file)
        (void)fclose(file);
    key[read ? strcspn(key, "\r\n") : 0] = 0;
    return read ? 0 : ERR_IO;
}

static int complain(struct verb_call *call, long status, struct str reply)
{
    bool refused = status == 401 || status == 403;
    return verb_end(call, refused ? EXIT_AUTH : EXIT_FAILED,
        error_name(refused ? ERR_AUTH : ERR_IO), "the collector answered %ld: %.*s", status,
        (int)(reply.size < 400 ? reply.size : 400), reply.size ? reply.data : "");
}

static int judge(struct verb_call *call, long status, struct str reply)
{
    if (status == 200 && memmem(reply.data, reply.size, "\"accepted\":1", 12))
        return EXIT_OK;
    return complain(call, status, reply);
}

/* Of --url with the path, by the key of --key-file. Returns 0 or an exit_code. */
static int open_client(struct verb_call *call, struct str path, struct http_client **out)
{
    const char *key_file = verb_value(call, "--key-file");
    char key[WRITE_KEY_SIZE_MAX] = "";
    CLEANUP(buf_free) struct buf endpoint = {0};
    if (key_file && read_key(key_file, key) < 0)
        return verb_usage(call, "cannot read a write key from %s", key_file);
    int r =
        buf_appendf(&endpoint, "%s%.*s%c", verb_value(call, "--url"), (int)path.size, path.data, 0);
    if (r == 0)
        r = http_client_new(endpoint.data, key_file ? key : NULL, out);
    return r < 0 ? verb_fail(call, r, "%s", verb_value(call, "--url")) : 0;
}

static int say_http(struct verb_call *call, struct saying *saying)
{
    CLEANUP(buf_free) struct buf reply = {0};
    struct http_client *client = NULL;
    long status = 0;
    saying->refused = true;
    int r = open_client(call, STR("/v1/events"), &client);
    if (r == 0 && saying->ready)
        r = saying->ready(saying->context);
    if (r) {
        http_client_free(&client);
        return r;
    }
    r = http_client_post(client, saying->json, ATTEMPTS, &status, &reply);
    http_client_free(&client);
    saying->refused = r == 0 && status >= 400 && status < 500;
    return r < 0 ? verb_fail(call, r, "%s", verb_value(call, "--url"))
                 : judge(call, status, buf_str(&reply));
}

/* Source: RFC 3986, 2.3. */
static int append_escaped(struct buf *out, const char *text)
{
    int r = 0;
    for (; r == 0 && *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        r = plain ? buf_append(out, text, 1) : buf_appendf(out, "%%%02X", c);
    }
    return r;
}

static bool says(const struct buf *reply, struct str what)
{
    return reply->size && memmem(reply->data, reply->size, what.data, what.size);
}

int say_ask_linked(struct verb_call *call, const char *a, const char *b)
{
    CLEANUP(buf_free) struct buf path = {0};
    CLEANUP(buf_free) struct buf reply = {0};
    struct http_client *client = NULL;
    long status = 0;
    int r = buf_append_str(&path, STR("/v1/lookup?id="));
    if (r == 0)
        r = append_escaped(&path, a);
    if (r == 0)
        r = buf_append_str(&path, STR("&with="));
    if (r == 0)
        r = append_escaped(&path, b);
    if (r < 0)
        return verb_fail(call, r, "the question");
    r = open_client(call, buf_str(&path), &client);
    if (r)
        return r;
    r = http_client_get(client, ATTEMPTS, &status, &reply);
    http_client_free(&client);
    if (r < 0)
        return verb_fail(call, r, "%s", verb_value(call, "--url"));
    if (status == 200 && says(&reply, STR("\"linked\":true")))
        return 0;
    if (status == 404 && says(&reply, STR("\"linked\":false")))
        return SAY_NEVER;
    return status == 404 || status == 200 ? SAY_UNANSWERED
                                          : complain(call, status, buf_str(&reply));
}

int say_when_ready(struct verb_call *call, struct settings *settings, struct saying *saying)
{
    if (verb_value(call, "--url"))
        return say_http(call, saying);
    saying->refused = true;
    if (str_equal(config_text(settings->config, OPTION_STREAM_DRIVER), STR("kafka")))
        return verb_usage(call, "with Kafka the event goes through a collector: give its --url");
    return say_embedded(call, settings, saying);
}

int say_event(struct verb_call *call, struct settings *settings, struct str json)
{
    struct saying saying = {.json = json};
    return say_when_ready(call, settings, &saying);
}
