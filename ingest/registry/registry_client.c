/* Requests and replies; how they travel is registry_http's. */
#include "ingest/registry/registry_client.h"

#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/json.h"

#define PATH_SIZE_MAX (3 * REGISTRY_SUBJECT_SIZE_MAX + 128)
#define NOT_FOUND_LEAST 40400 /* error codes of this API: the status and two digits */
#define NOT_FOUND_MOST 40499

struct registry_client {
    struct registry_http *http;
    struct json_parser *json;
    struct buf body;
    struct buf reply;
    long status;
    struct json document; /* of the reply */
};

int registry_client_new(const struct registry_config *config, struct registry_client **out)
{
    struct registry_client *client = calloc(1, sizeof *client);
    if (!client)
        return ERR_NO_MEMORY;
    int r = registry_http_new(config, &client->http);
    if (r == 0)
        r = json_parser_new(&client->json);
    if (r < 0) {
        registry_client_free(&client);
        return r;
    }
    *out = client;
    return 0;
}

void registry_client_free(struct registry_client **client)
{
    struct registry_client *gone = *client;
    if (!gone)
        return;
    registry_http_free(&gone->http);
    json_parser_free(&gone->json);
    buf_free(&gone->body);
    buf_free(&gone->reply);
    free(gone);
    *client = NULL;
}

/* ---- paths and bodies ---- */

/* "/HEAD/<subject escaped>TAIL". Source: RFC 3986, section 2.3. */
static int make_path(
    char path[PATH_SIZE_MAX], const char *head, struct str subject, const char *tail)
{
    static const char digits[] = "0123456789ABCDEF";
    if (subject.size == 0 || subject.size > REGISTRY_SUBJECT_SIZE_MAX)
        return ERR_TOO_LARGE;
    size_t at = (size_t)snprintf(path, PATH_SIZE_MAX, "%s", head);
    for (size_t i = 0; i < subject.size; i++) {
        unsigned char c = (unsigned char)subject.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            path[at++] = (char)c;
            continue;
        }
        path[at++] = '%';
        path[at++] = digits[c >> 4];
        path[at++] = digits[c & 15];
    }
    (void)snprintf(path + at, PATH_SIZE_MAX - at, "%s", tail);
    return 0;
}

static int schema_body(struct registry_client *client, struct str schema)
{
    buf_clear(&client->body);
    int r = buf_append_str(&client->body, STR("{\"schema\":"));
    if (r == 0)
        r = json_write_text(&client->body, schema);
    if (r == 0)
        r = buf_append_str(&client->body, STR(",\"schemaType\":\"AVRO\"}"));
    return r;
}

/* ---- replies ---- */

/* A text from outside, on one line, in ASCII. */
static void tell(char *why, const char *head, struct str text)
{
    int size = snprintf(
        why, REGISTRY_WHY_SIZE, "%s%.*s", head, (int)text.size, text.size ? text.data : "");
    for (int i = 0; i < size && i < REGISTRY_WHY_SIZE - 1; i++)
        if ((unsigned char)why[i] < 0x20 || (unsigned char)why[i] >= 0x7f)
            why[i] = (unsigned char)why[i] < 0x20 ? ' ' : '?';
}

static int malformed(char *why, const char *what)
{
    (void)snprintf(why, REGISTRY_WHY_SIZE, "not a reply of a schema registry: %s", what);
    return ERR_REPLY;
}

/* The error that a status of 4xx with its document means. */
static int refused(const struct registry_client *client, char *why)
{
    struct json code, message;
    bool has_code =
        json_get(client->document, STR("error_code"), &code) && json_kind(code) == JSON_INT;
    if (!has_code) {
        (void)snprintf(why, REGISTRY_WHY_SIZE,
            "not a reply of a schema registry: %ld without an error_code", client->status);
        return ERR_REPLY;
    }
    if (json_get(client->document, STR("message"), &message) && json_kind(message) == JSON_TEXT)
        tell(why, "", json_text(message));
    else
        (void)snprintf(why, REGISTRY_WHY_SIZE, "error %lld", (long long)json_int(code));
    bool names_missing = (json_int(code) >= NOT_FOUND_LEAST && json_int(code) <= NOT_FOUND_MOST);
    if (client->status == 404)
        return names_missing ? ERR_NOT_FOUND : ERR_REPLY;
    if (client->status == 409)
        return ERR_SCHEMA_INCOMPATIBLE;
    return client->status == 422 ? ERR_SCHEMA_VIOLATION : ERR_REPLY;
}

/* Sends, parses. Returns 0 when the status is 200 and the reply is JSON of that kind. */
static int ask(struct registry_client *client, const char *method, const char *path,
    struct str body, enum json_kind kind, char *why)
{
    int r = registry_http_request(
        client->http, method, path, body, &client->status, &client->reply, why);
    if (r < 0)
        return r;
    r = json_parse(client->json, buf_str(&client->reply), &client->document);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0) {
        (void)snprintf(why, REGISTRY_WHY_SIZE, "not a reply of a schema registry: %ld, %s",
            client->status, error_text(r));
        return ERR_REPLY;
    }
    if (client->status != 200)
        return refused(client, why);
    if (json_kind(client->document) != kind)
        return malformed(why, "JSON of another shape");
    return 0;
}

static int take_number(
    const struct registry_client *client, struct str name, int64_t max, int64_t *out, char *why)
{
    struct json number;
    if (!json_get(client->document, name, &number) || json_kind(number) != JSON_INT ||
        json_int(number) < 0 || json_int(number) > max)
        return malformed(why, "id or version is missing, or no number");
    *out = json_int(number);
    return 0;
}

static int take_version(
    const struct registry_client *client, struct registry_version *out, char *why)
{
    int64_t id, version;
    int r = take_number(client, STR("id"), INT32_MAX, &id, why);
    if (r == 0)
        r = take_number(client, STR("version"), INT32_MAX, &version, why);
    if (r == 0)
        *out = (struct registry_version){.id = (uint32_t)id, .version = version};
    return r;
}

/* Avro's is the one type that needs no name. */
static int take_schema(const struct registry_client *client, struct buf *out, char *why)
{
    struct json type, schema, references;
    if (!json_get(client->document, STR("schema"), &schema) || json_kind(schema) != JSON_TEXT)
        return malformed(why, "schema is missing, or no text");
    if (json_get(client->document, STR("schemaType"), &type) && json_kind(type) == JSON_TEXT &&
        !str_equal(json_text(type), STR("AVRO"))) {
        tell(why, "not Avro but ", json_text(type));
        return ERR_SCHEMA_INCOMPATIBLE;
    }
    if (json_get(client->document, STR("references"), &references) && json_count(references)) {
        (void)snprintf(why, REGISTRY_WHY_SIZE, "refers to schemas of other subjects");
        return ERR_SCHEMA_INCOMPATIBLE;
    }
    return buf_append_str(out, json_text(schema));
}

/* ---- the API ---- */

int registry_register(
    struct registry_client *client, struct str subject, struct str schema, uint32_t *id, char *why)
{
    char path[PATH_SIZE_MAX];
    int64_t number;
    why[0] = '\0';
    int r = make_path(path, "/subjects/", subject, "/versions");
    if (r == 0)
        r = schema_body(client, schema);
    if (r == 0)
        r = ask(client, "POST", path, buf_str(&client->body), JSON_OBJECT, why);
    if (r == 0)
        r = take_number(client, STR("id"), INT32_MAX, &number, why);
    if (r == 0)
        *id = (uint32_t)number;
    return r;
}

int registry_lookup(struct registry_client *client, struct str subject, struct str schema,
    struct registry_version *out, char *why)
{
    char path[PATH_SIZE_MAX];
    why[0] = '\0';
    int r = make_path(path, "/subjects/", subject, "");
    if (r == 0)
        r = schema_body(client, schema);
    if (r == 0)
        r = ask(client, "POST", path, buf_str(&client->body), JSON_OBJECT, why);
    return r < 0 ? r : take_version(client, out, why);
}

int registry_by_id(struct registry_client *client, uint32_t id, struct buf *schema, char *why)
{
    char path[PATH_SIZE_MAX];
    why[0] = '\0';
    (void)snprintf(path, sizeof path, "/schemas/ids/%u", id);
    int r = ask(client, "GET", path, str_make(NULL, 0), JSON_OBJECT, why);
    return r < 0 ? r : take_schema(client, schema, why);
}

int registry_latest(struct registry_client *client, struct str subject,
    struct registry_version *out, struct buf *schema, char *why)
{
    char path[PATH_SIZE_MAX];
    struct registry_version version;
    why[0] = '\0';
    int r = make_path(path, "/subjects/", subject, "/versions/latest");
    if (r == 0)
        r = ask(client, "GET", path, str_make(NULL, 0), JSON_OBJECT, why);
    if (r == 0)
        r = take_version(client, &version, why);
    if (r < 0)
        return r;
    *out = version;
    return take_schema(client, schema, why);
}

int registry_subjects(struct registry_client *client,
    int (*visit)(void *context, struct str subject), void *context, char *why)
{
    struct json_iterator iterator;
    struct str key;
    struct json name;
    why[0] = '\0';
    int r = ask(client, "GET", "/subjects", str_make(NULL, 0), JSON_ARRAY, why);
    if (r < 0)
        return r;
    if (json_count(client->document) > REGISTRY_SUBJECTS_MAX)
        return ERR_TOO_MANY;
    json_iterate(client->document, &iterator);
    while (r == 0 && json_next(&iterator, &key, &name))
        r = json_kind(name) == JSON_TEXT ? visit(context, json_text(name))
                                         : malformed(why, "a subject is no text");
    return r;
}

/* The reasons of a refusal, behind each other. */
static void tell_reasons(const struct registry_client *client, char *why)
{
    struct json messages, message;
    struct json_iterator iterator;
    struct str key;
    size_t at = 0;
    if (!json_get(client->document, STR("messages"), &messages) ||
        json_kind(messages) != JSON_ARRAY)
        return;
    json_iterate(messages, &iterator);
    while (json_next(&iterator, &key, &message) && at + 1 < REGISTRY_WHY_SIZE) {
        char one[REGISTRY_WHY_SIZE] = "";
        if (json_kind(message) != JSON_TEXT)
            continue;
        tell(one, at ? "; " : "", json_text(message));
        int size = snprintf(why + at, REGISTRY_WHY_SIZE - at, "%s", one);
        at += size > 0 ? (size_t)size : 0;
    }
}

int registry_compatible(struct registry_client *client, struct str subject, struct str schema,
    bool *compatible, char *why)
{
    char path[PATH_SIZE_MAX];
    struct json truth;
    why[0] = '\0';
    int r = make_path(path, "/compatibility/subjects/", subject, "/versions/latest?verbose=true");
    if (r == 0)
        r = schema_body(client, schema);
    if (r == 0)
        r = ask(client, "POST", path, buf_str(&client->body), JSON_OBJECT, why);
    if (r < 0)
        return r;
    if (!json_get(client->document, STR("is_compatible"), &truth) || json_kind(truth) != JSON_BOOL)
        return malformed(why, "is_compatible is missing");
    *compatible = json_bool(truth);
    if (!*compatible)
        tell_reasons(client, why);
    return 0;
}

int registry_level(
    struct registry_client *client, struct str subject, char level[REGISTRY_LEVEL_SIZE], char *why)
{
    char path[PATH_SIZE_MAX];
    struct json text;
    why[0] = '\0';
    int r = make_path(path, "/config/", subject, "?defaultToGlobal=true");
    if (r == 0)
        r = ask(client, "GET", path, str_make(NULL, 0), JSON_OBJECT, why);
    /* A server that does not know the parameter says 404 for a subject without a level. */
    if (r == ERR_NOT_FOUND)
        r = ask(client, "GET", "/config", str_make(NULL, 0), JSON_OBJECT, why);
    if (r < 0)
        return r;
    if (!json_get(client->document, STR("compatibilityLevel"), &text) ||
        json_kind(text) != JSON_TEXT || json_text(text).size >= REGISTRY_LEVEL_SIZE)
        return malformed(why, "compatibilityLevel is missing");
    char told[REGISTRY_WHY_SIZE];
    tell(told, "", json_text(text));
    (void)snprintf(level, REGISTRY_LEVEL_SIZE, "%.31s", told);
    return 0;
}

int registry_set_level(
    struct registry_client *client, struct str subject, const char *level, char *why)
{
    char path[PATH_SIZE_MAX];
    why[0] = '\0';
    int r = make_path(path, "/config/", subject, "");
    buf_clear(&client->body);
    if (r == 0)
        r = buf_appendf(&client->body, "{\"compatibility\":\"%s\"}", level);
    if (r == 0)
        r = ask(client, "PUT", path, buf_str(&client->body), JSON_OBJECT, why);
    if (r != ERR_SCHEMA_INCOMPATIBLE)
        return r;
    char found[REGISTRY_LEVEL_SIZE], level_why[REGISTRY_WHY_SIZE];
    r = registry_level(client, subject, found, level_why);
    if (r == 0 && strcmp(found, level) == 0) {
        why[0] = '\0';
        return 0;
    }
    return r < 0 ? r : ERR_REPLY;
}
