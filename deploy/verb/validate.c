/*
 * `tabiji validate`: what the collector would make of a file, by its own protocols, tracking plan
 * and door; nothing is kept.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "deploy/render.h"
#include "deploy/settings.h"
#include "deploy/uuid.h"
#include "deploy/verb/verbs.h"
#include "enrich/identity/person.h"
#include "ingest/collector/rehearsal.h"
#include "ingest/config/ini.h"
#include "ingest/metrics/metrics.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/time.h"

#define SOURCE_DEFAULT "validate"
#define FILE_SIZE_MAX ((size_t)64 << 20)

static const char *const fates[] = {
    [REHEARSAL_ACCEPTED] = "accepted",
    [REHEARSAL_DUPLICATE] = "duplicate",
    [REHEARSAL_NO_CONSENT] = "no_consent",
    [REHEARSAL_REJECTED] = "rejected",
};
#define FATES (sizeof fates / sizeof *fates)

struct validating {
    struct verb_call *call;
    struct settings settings;
    struct hmac_key persons;
    struct config_source source;
    struct rehearsal_config config;
    size_t line;          /* of the request, from 1; 0: the file is one request */
    size_t counts[FATES]; /* events */
    size_t refused;       /* requests */
    size_t ignored;       /* notifications that give no event */
    struct buf out;
};

/* ---- what is printed ---- */

static int write_member(struct buf *out, const char *name, struct str text)
{
    if (text.size == 0)
        return 0;
    int r = buf_appendf(out, ",\"%s\":", name);
    return r < 0 ? r : json_write_text(out, text);
}

/* Of an accepted event: who it is of, and whose person that alone makes. */
struct shown {
    char time[TIME_TEXT_SIZE_MAX];
    char person[UUID_TEXT_SIZE];
    struct buf who;
};

/* The identifier of the strongest namespace, or NULL. */
static const struct identifier *strongest(
    const struct validating *validating, const struct touchpoint *event)
{
    const struct namespace_table *table = validating->settings.door.identifiers.namespaces;
    const struct identifier *found = NULL;
    int best = NAMESPACES_MAX;
    for (size_t i = 0; i < event->identifiers_count; i++) {
        int rank = namespace_rank(table, event->identifiers[i].namespace);
        if (rank >= 0 && rank < best) {
            best = rank;
            found = &event->identifiers[i];
        }
    }
    return found;
}

static int show_accepted(
    struct validating *validating, const struct rehearsed *event, struct shown *shown)
{
    uint8_t person[KEY_SIZE];
    const struct touchpoint *stored = &event->event;
    shown->time[time_format(stored->occurred_at, shown->time)] = '\0';
    person_id(&validating->persons, event->node, person);
    uuid_write(person, shown->person);
    const struct identifier *who = strongest(validating, stored);
    if (!who)
        return 0;
    return buf_appendf(&shown->who, "%.*s:%.*s", (int)who->namespace.size, who->namespace.data,
        (int)who->value.size, who->value.data);
}

static int write_problem(struct buf *out, const char *reason, const struct event_problem *problem)
{
    int r = write_member(out, "reason", str_of(reason));
    if (r == 0)
        r = write_member(out, "message", str_of(problem->error ? error_text(problem->error) : ""));
    if (r == 0)
        r = buf_append_str(out, STR(",\"pointer\":"));
    if (r == 0)
        r = json_write_text(out, problem->pointer);
    return r < 0 ? r : write_member(out, "hint", problem->hint);
}

static const char *warning_name(const struct event_problem *warning)
{
    return warning->error ? error_name(warning->error) : "identifier_dropped";
}

static int write_json(struct validating *validating, size_t index, const struct rehearsed *event)
{
    struct buf *out = &validating->out;
    CLEANUP(buf_free) struct buf warning = {0};
    struct shown shown = {.who = {0}};
    bool accepted = event->fate == REHEARSAL_ACCEPTED;
    int r = buf_appendf(
        out, "%s{\"index\":%zu,\"fate\":\"%s\"", out->size ? ",\n" : "", index, fates[event->fate]);
    if (r == 0 && validating->line)
        r = buf_appendf(out, ",\"line\":%zu", validating->line);
    if (r == 0 && accepted)
        r = show_accepted(validating, event, &shown);
    if (r == 0 && accepted)
        r = write_member(out, "type", event->event.type);
    if (r == 0 && accepted)
        r = write_member(out, "time", str_of(shown.time));
    if (r == 0 && accepted)
        r = write_member(out, "who", buf_str(&shown.who));
    if (r == 0 && accepted)
        r = write_member(out, "person", str_of(shown.person));
    if (r == 0 && accepted)
        r = write_member(out, "id", event->event.event_id);
    if (r == 0 && event->fate == REHEARSAL_REJECTED)
        r = write_problem(out, error_name(event->problem.error), &event->problem);
    if (r == 0 && event->warning.hint.size)
        r = write_problem(&warning, warning_name(&event->warning), &event->warning);
    if (r == 0 && warning.size)
        r = buf_appendf(out, ",\"warning\":{%.*s}", (int)warning.size - 1, warning.data + 1);
    buf_free(&shown.who);
    return r < 0 ? r : buf_append_str(out, STR("}"));
}

/* "at /page: is required". */
static int say_problem(struct buf *out, const char *reason, const struct event_problem *problem)
{
    int r = buf_append_str(out, str_of(reason));
    if (r == 0 && problem->pointer.size)
        r = buf_append_str(out, STR(" at "));
    if (r == 0 && problem->pointer.size)
        r = render_safe(out, problem->pointer);
    if (r == 0)
        r = buf_append_str(out, STR(": "));
    return r < 0 ? r
                 : render_safe(out,
                       problem->hint.size ? problem->hint : str_of(error_text(problem->error)));
}

static int say_accepted(struct validating *validating, const struct rehearsed *event)
{
    struct buf *out = &validating->out;
    struct shown shown = {.who = {0}};
    int r = show_accepted(validating, event, &shown);
    if (r == 0)
        r = buf_appendf(out, " %.*s at %s of ", (int)event->event.type.size, event->event.type.data,
            shown.time);
    if (r == 0)
        r = render_safe(out, buf_str(&shown.who));
    if (r == 0)
        r = buf_appendf(out, ", person %s, id ", shown.person);
    if (r == 0)
        r = render_safe(out, event->event.event_id);
    buf_free(&shown.who);
    return r;
}

static int write_line(struct validating *validating, size_t index, const struct rehearsed *event)
{
    struct buf *out = &validating->out;
    int r = validating->line ? buf_appendf(out, "line %zu, ", validating->line) : 0;
    if (r == 0)
        r = buf_appendf(out, "event %zu: %s", index, fates[event->fate]);
    if (r == 0 && event->fate == REHEARSAL_ACCEPTED)
        r = say_accepted(validating, event);
    if (r == 0 && event->fate == REHEARSAL_REJECTED)
        r = buf_append_str(out, STR(": "));
    if (r == 0 && event->fate == REHEARSAL_REJECTED)
        r = say_problem(out, error_name(event->problem.error), &event->problem);
    if (r == 0 && event->warning.hint.size)
        r = buf_append_str(out, STR("; warning: "));
    if (r == 0 && event->warning.hint.size)
        r = say_problem(out, warning_name(&event->warning), &event->warning);
    return r < 0 ? r : buf_append_str(out, STR("\n"));
}

/* A request that is refused as a whole has no events: its reply says why. */
static int write_refusal(struct validating *validating, const struct rehearsal *rehearsal)
{
    struct buf *out = &validating->out;
    int r;
    validating->refused++;
    if (validating->call->json) {
        r = buf_appendf(out, "%s{\"fate\":\"refused\",\"status\":%d", out->size ? ",\n" : "",
            rehearsal->status);
        if (r == 0 && validating->line)
            r = buf_appendf(out, ",\"line\":%zu", validating->line);
        if (r == 0 && rehearsal->reply.size)
            r = buf_appendf(
                out, ",\"reply\":%.*s", (int)rehearsal->reply.size, rehearsal->reply.data);
        return r < 0 ? r : buf_append_str(out, STR("}"));
    }
    r = validating->line ? buf_appendf(out, "line %zu: ", validating->line) : 0;
    if (r == 0)
        r = buf_appendf(out, "the request is answered %d: ", rehearsal->status);
    if (r == 0)
        r = render_safe(out, rehearsal->reply);
    return r < 0 ? r : buf_append_str(out, STR("\n"));
}

static void print_all(struct validating *validating)
{
    const size_t *counts = validating->counts;
    int size = (int)validating->out.size;
    const char *data = size ? validating->out.data : "";
    if (validating->call->json)
        (void)printf("{\"accepted\":%zu,\"duplicates\":%zu,\"no_consent\":%zu,\"rejected\":%zu,"
                     "\"refused\":%zu,\"ignored\":%zu,\"events\":[%.*s]}\n",
            counts[REHEARSAL_ACCEPTED], counts[REHEARSAL_DUPLICATE], counts[REHEARSAL_NO_CONSENT],
            counts[REHEARSAL_REJECTED], validating->refused, validating->ignored, size, data);
    else
        (void)printf("%.*s%zu accepted, %zu duplicates, %zu refused by their customers, %zu "
                     "rejected; %zu requests refused\n",
            size, data, counts[REHEARSAL_ACCEPTED], counts[REHEARSAL_DUPLICATE],
            counts[REHEARSAL_NO_CONSENT], counts[REHEARSAL_REJECTED], validating->refused);
    if (validating->ignored && !validating->call->json)
        (void)printf("%zu ignored: no `when` matches\n", validating->ignored);
}

/* ---- what is read ---- */

static int validate_request(struct validating *validating, struct str body)
{
    struct arena arena = {0};
    struct rehearsal rehearsal;
    int r = rehearse(&validating->config, body, &arena, &rehearsal);
    validating->ignored += r == 0 ? rehearsal.ignored : 0;
    if (r == 0 && rehearsal.status >= 400 && rehearsal.count == 0)
        r = write_refusal(validating, &rehearsal);
    for (size_t i = 0; r == 0 && i < rehearsal.count; i++) {
        validating->counts[rehearsal.list[i].fate]++;
        r = validating->call->json ? write_json(validating, i, &rehearsal.list[i])
                                   : write_line(validating, i, &rehearsal.list[i]);
    }
    arena_free(&arena);
    return r;
}

/* Whether a file is a request a line: not JSON as a whole, while its first line is, or several
 * forms, which have no line's end within. (The native protocol has lines itself.) */
static bool is_lines(const struct validating *validating, struct str text)
{
    struct json_parser *parser = NULL;
    struct json value;
    const char *end = memchr(text.data, '\n', text.size);
    if (validating->config.protocol == REHEARSAL_TWILIO && text.data[0] != '{' &&
        text.data[0] != '[')
        return end != NULL;
    bool lines = end && json_parser_new(&parser) == 0 && json_parse(parser, text, &value) < 0 &&
                 json_parse(parser, str_make(text.data, (size_t)(end - text.data)), &value) == 0;
    json_parser_free(&parser);
    return lines;
}

static int validate_text(struct validating *validating, struct str text)
{
    text = str_trim(text);
    if (validating->config.protocol == REHEARSAL_NATIVE || text.size == 0 ||
        !is_lines(validating, text))
        return validate_request(validating, text);
    int r = 0;
    while (r == 0 && text.size) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        struct str line = str_trim(str_make(text.data, size));
        size_t taken = end ? size + 1 : size;
        text = str_make(text.data + taken, text.size - taken);
        validating->line++;
        if (line.size)
            r = validate_request(validating, line);
    }
    return r;
}

/* ---- the verb ---- */

/* As whose events: a source of the configuration, or one without settings. */
static int choose_source(struct validating *validating)
{
    struct verb_call *call = validating->call;
    const char *name = verb_value(call, "--source");
    const struct config_source *found = name ? config_source(call->config, str_of(name)) : NULL;
    if (name && !found)
        return verb_not_found(call, "there is no source \"%s\": tabiji source list", name);
    validating->source = found ? *found
                               : (struct config_source){.name = STR(SOURCE_DEFAULT),
                                     .protocols = SOURCE_PROTOCOL_ALL,
                                     .currency = STR("USD"),
                                     .enabled = true};
    return 0;
}

/* What is not in the file, and without which nothing of it could be accepted. 0 or EXIT_USAGE. */
static int check_needs(const struct validating *validating)
{
    const struct verb_call *call = validating->call;
    enum rehearsal_protocol protocol = validating->config.protocol;
    bool shopify = protocol == REHEARSAL_SHOPIFY;
    if (shopify && validating->config.topic.size == 0)
        return verb_usage(call, "of shopify a header says what a notification is of: give --topic "
                                "orders/create, orders/paid, refunds/create, ...");
    if (!shopify && verb_value(call, "--topic"))
        return verb_usage(call, "--topic is of --protocol shopify");
    if (protocol == REHEARSAL_GENERIC && !verb_value(call, "--source"))
        return verb_usage(call, "generic is read by a source's mapping: give --source NAME of one "
                                "with mapping = FILE");
    return 0;
}

static int validate(struct validating *validating)
{
    struct verb_call *call = validating->call;
    const char *path = call->arguments[0];
    CLEANUP(buf_free) struct buf text = {0};
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    errno = 0;
    int r = ini_load(strcmp(path, "-") == 0 ? "/dev/stdin" : path, FILE_SIZE_MAX, &text);
    if (r < 0)
        return r == ERR_NOT_FOUND ? verb_not_found(call, "%s: %s", path, strerror(ENOENT))
                                  : verb_fail_system(call, r, errno, "%s", path);
    validating->config.source = &validating->source;
    validating->config.door = &validating->settings.door;
    validating->config.events_max =
        (size_t)config_int(call->config, OPTION_COLLECTOR_BATCH_EVENTS_MAX);
    validating->config.now_micros = (int64_t)now.tv_sec * TIME_MICROS_PER_SECOND;
    hmac_key_init(
        &validating->persons, str_make(validating->settings.door.person_key, TENANT_KEY_SIZE));
    r = validate_text(validating, buf_str(&text));
    if (r < 0)
        return verb_fail(call, r, "%s", path);
    print_all(validating);
    return validating->counts[REHEARSAL_REJECTED] || validating->refused ? EXIT_PARTIAL : EXIT_OK;
}

static int run(struct verb_call *call)
{
    struct validating validating = {.call = call};
    const char *name = verb_value(call, "--protocol");
    int protocol = rehearsal_protocol_of(str_of(name ? name : "native"));
    if (protocol < 0)
        return verb_usage(call,
            "knows native, segment, rudder, snowplow, ga4, twilio, connect, genesys, shopify and "
            "generic, not \"%s\"",
            name);
    const char *topic = verb_value(call, "--topic");
    validating.config.protocol = (enum rehearsal_protocol)protocol;
    validating.config.topic = str_of(topic ? topic : "");
    int r = check_needs(&validating);
    if (r == 0)
        r = choose_source(&validating);
    if (r != 0)
        return r;
    r = settings_open(&validating.settings, call->config);
    if (r == 0)
        r = settings_open_plan(&validating.settings);
    r = r < 0 ? verb_fail(call, r, "configuration") : validate(&validating);
    settings_close(&validating.settings);
    buf_free(&validating.out);
    return r;
}

static const struct verb_option options[] = {
    {"--protocol", "NAME",
        "native (default), segment, rudder, snowplow, ga4; of webhooks twilio, connect, genesys, "
        "shopify or generic",
        NULL},
    {"--source", "NAME", "as a source of the configuration, with its settings and tracking plan",
        NULL},
    {"--sources", "FILE", "more sources, as tabiji source writes them", "collector.sources_file"},
    {"--topic", "TOPIC", "of shopify: what the header X-Shopify-Topic would say, orders/create",
        NULL},
};

const struct verb verb_validate = {
    .name = "validate",
    .summary = "say what the collector would make of the events in a file",
    .arguments = "FILE",
    .detail =
        "Reads a request's body as a client sends it (for segment also single messages, for "
        "snowplow the fields of one\n"
        "event; of webhooks a notification or an array of them, for twilio also a form), or one a "
        "line, by the collector's\n"
        "own protocols, tracking plan and limits, and keeps nothing. Of each event: accepted, with "
        "type, time, its strongest\n"
        "identifier and the person that this alone makes; rejected, with reason, JSON pointer and "
        "the nearest known name; a\n"
        "duplicate within the request; or refused by its customer. Exit 6 when one is rejected, or "
        "a request would be\n"
        "refused. Without --source there are no settings of a source. Who sent a notification and "
        "how old it is are not\n"
        "judged; generic needs a source, for its mapping; of shopify the id is made of the "
        "notification, as where no header\n"
        "names one. - is standard input.",
    .examples = "  tabiji validate event.json\n"
                "  tabiji validate batch.json --protocol segment --source shop-web --config "
                "tabiji.ini\n"
                "  tabiji validate - --protocol ga4 --json < purchase.json\n"
                "  tabiji validate order.json --protocol shopify --topic orders/create",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
