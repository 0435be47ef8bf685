/*
 * Events go into a local driver with their line's number as key, the stages run to quiet, then the
 * tables are read. They know persons; a person is shown as the identifier that it is made from.
 */
#include "deploy/solve.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "enrich/identity/identify.h"
#include "enrich/identity/person.h"
#include "enrich/journey/journey.h"
#include "ingest/stream/local.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/nearest.h"
#include "schemas/person_of.avro.h"

#define APPEND_RECORDS 2000
#define READER "solve"
#define KEY_EVENT_TAIL 8 /* of an event key: the line's number */

static const uint8_t tenant_key[32] = "nobody sees these persons";

/* An identifier, and whom it belongs to. */
struct solved {
    uint8_t self[KEY_SIZE];   /* the person that it would be */
    uint8_t person[KEY_SIZE]; /* the person that it is */
    struct str namespace;
    struct str value;
};

struct placed {
    struct str id;
    size_t line; /* the last of an id counts */
    bool stands;
    uint8_t person[KEY_SIZE];
};

struct solver {
    const struct solve_options *options;
    struct solve_counts *counts;
    struct hmac_key hmac;
    struct json_parser *parser;
    struct arena keep;  /* ids, identifiers */
    struct arena batch; /* records that wait to be appended */
    struct append_record records[APPEND_RECORDS];
    size_t records_count;
    struct local *local;
    struct placed *events; /* by number */
    size_t events_count, events_room;
    struct solved *nodes;
    size_t nodes_count, nodes_room;
};

static int grow(void **items, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return 0;
    size_t more = *room ? *room * 2 : 1024;
    void *larger = realloc(*items, more * size);
    if (!larger)
        return ERR_NO_MEMORY;
    *items = larger;
    *room = more;
    return 0;
}

/* ---- reading lines ---- */

static int bad_line(struct solver *solver, int error, const char *text)
{
    (void)fprintf(solver->options->messages, "%s:%llu: %s: %s\n", solver->options->name,
        solver->counts->lines, error_name(error), text);
    solver->counts->bad++;
    return 0;
}

static int bad_namespace(struct solver *solver, struct str name)
{
    const struct namespace_table *table = solver->options->namespaces;
    struct str known[NAMESPACES_MAX];
    char text[256];
    for (size_t i = 0; i < table->count; i++)
        known[i] = table->rules[i].name;
    struct str near = nearest_name(name, known, table->count);
    int size = name.size < 64 ? (int)name.size : 64;
    if (near.size)
        (void)snprintf(text, sizeof text, "no namespace \"%.*s\" (did you mean \"%.*s\"?)", size,
            name.data, (int)near.size, near.data);
    else
        (void)snprintf(text, sizeof text, "no namespace \"%.*s\"", size, name.data);
    return bad_line(solver, ERR_NAMESPACE, text);
}

/* A pair of texts. */
static bool read_pair(struct json pair, struct identifier *out)
{
    struct json_iterator iterator;
    struct json name, value;
    struct str none;
    if (json_kind(pair) != JSON_ARRAY || json_count(pair) != 2)
        return false;
    json_iterate(pair, &iterator);
    if (!json_next(&iterator, &none, &name) || !json_next(&iterator, &none, &value) ||
        json_kind(name) != JSON_TEXT || json_kind(value) != JSON_TEXT)
        return false;
    *out = (struct identifier){.namespace = json_text(name), .value = json_text(value)};
    return true;
}

/* Returns 1 when all identifiers can be taken, 0 after saying what is wrong. */
static int read_ids(struct solver *solver, struct json ids, struct touchpoint *event)
{
    struct json_iterator iterator;
    struct json pair;
    struct str none;
    size_t count = json_kind(ids) == JSON_ARRAY ? json_count(ids) : 0;
    if (count == 0)
        return bad_line(solver, ERR_NO_IDENTIFIER, "\"ids\" is an array of [namespace, value]");
    if (count > EVENT_IDENTIFIERS_MAX)
        return bad_line(solver, ERR_TOO_MANY, "an event has at most 64 identifiers");
    json_iterate(ids, &iterator);
    while (json_next(&iterator, &none, &pair)) {
        struct identifier *identifier = &event->identifiers[event->identifiers_count++];
        if (!read_pair(pair, identifier))
            return bad_line(solver, ERR_FIELD_TYPE, "an identifier is [namespace, value], texts");
        if (namespace_rank(solver->options->namespaces, identifier->namespace) < 0)
            return bad_namespace(solver, identifier->namespace);
        if (identifier->value.size == 0)
            return bad_line(solver, ERR_EMPTY, "an identifier has at least one byte");
        if (identifier->value.size > IDENTIFIER_VALUE_SIZE_MAX)
            return bad_line(solver, ERR_TOO_LARGE, "an identifier has at most 256 bytes");
    }
    return 1;
}

static int flush(struct solver *solver)
{
    if (solver->records_count == 0)
        return 0;
    struct appender *appender = local_appender(solver->local);
    int r = appender->append(appender, solver->records, solver->records_count, NULL);
    solver->records_count = 0;
    arena_reset(&solver->batch);
    return r;
}

static int take_event(struct solver *solver, struct touchpoint *event, struct str id)
{
    struct node strongest;
    CLEANUP(buf_free) struct buf value = {0};
    int r = grow((void **)&solver->events, &solver->events_room, solver->events_count,
        sizeof *solver->events);
    if (r < 0)
        return r;
    struct placed *placed = &solver->events[solver->events_count];
    *placed = (struct placed){.line = solver->events_count};
    put_be64(event->event_key + KEY_SIZE - KEY_EVENT_TAIL, solver->events_count);
    struct append_record *record = &solver->records[solver->records_count];
    *record = (struct append_record){.topic = TOPIC_EVENTS};
    r = namespace_strongest(solver->options->namespaces, event->identifiers,
        event->identifiers_count, &solver->batch, &strongest);
    if (r == 0)
        r = touchpoint_encode(event, &value);
    if (r == 0)
        r = arena_dup(&solver->batch, buf_str(&value), &record->value);
    if (r == 0)
        r = arena_dup(&solver->batch, str_make(strongest.id, KEY_SIZE), &record->key);
    if (r == 0)
        r = arena_dup(&solver->keep, id, &placed->id);
    if (r < 0)
        return r;
    solver->events_count++;
    return ++solver->records_count == APPEND_RECORDS ? flush(solver) : 0;
}

static int read_line(struct solver *solver, struct str line)
{
    struct json root, id, time, ids;
    struct identifier identifiers[EVENT_IDENTIFIERS_MAX];
    struct touchpoint event;
    int r = json_parse(solver->parser, line, &root);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0)
        return bad_line(solver, r, error_text(r));
    if (json_kind(root) != JSON_OBJECT || !json_get(root, STR("id"), &id) ||
        !json_get(root, STR("ids"), &ids))
        return bad_line(solver, ERR_MISSING_FIELD, "a line is {\"id\", \"time\", \"ids\"}");
    if (json_kind(id) != JSON_TEXT)
        return bad_line(solver, ERR_FIELD_TYPE, "\"id\" is a text");
    touchpoint_init(&event);
    if (json_get(root, STR("time"), &time)) {
        if (json_kind(time) != JSON_INT)
            return bad_line(solver, ERR_FIELD_TYPE, "\"time\" is an integer");
        event.occurred_at = json_int(time);
    }
    event.source = STR("solve");
    event.event_id = STR("solve");
    event.type = STR("page_viewed");
    event.identifiers = identifiers;
    r = read_ids(solver, ids, &event);
    return r <= 0 ? r : take_event(solver, &event, json_text(id));
}

static int read_lines(struct solver *solver)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    int r = 0;
    while (r == 0 && (errno = 0, size = getline(&line, &room, solver->options->in)) >= 0) {
        solver->counts->lines++;
        size_t blank = strspn(line, " \t\r\n");
        if (blank < (size_t)size)
            r = read_line(solver, str_make(line, (size_t)size));
    }
    if (r == 0 && ferror(solver->options->in))
        r = ERR_IO;
    free(line);
    return r < 0 ? r : flush(solver);
}

/* ---- what the tables say ---- */

static int take_person(struct solver *solver, const struct result *result)
{
    struct person_of row;
    struct arena arena = {0};
    if (result->key.size != KEY_SIZE)
        return 0; /* a count of what an erasure refused */
    int r = person_of_decode(&row, result->value, &arena);
    if (r == 0)
        r = grow((void **)&solver->nodes, &solver->nodes_room, solver->nodes_count,
            sizeof *solver->nodes);
    if (r < 0)
        return r;
    struct solved *node = &solver->nodes[solver->nodes_count];
    *node = (struct solved){0};
    memcpy(node->person, row.person, KEY_SIZE);
    person_id(&solver->hmac, row.node, node->self);
    r = arena_dup(&solver->keep, row.namespace, &node->namespace);
    if (r == 0)
        r = arena_dup(&solver->keep, row.value, &node->value);
    arena_free(&arena);
    solver->nodes_count += r == 0;
    return r;
}

/* A row of a timeline: its key begins with the person and ends with the event. */
static int take_place(struct solver *solver, const struct result *result)
{
    const char *key = result->key.data;
    size_t size = result->key.size;
    uint64_t line = get_be64((const uint8_t *)key + size - KEY_EVENT_TAIL);
    if (size < 2 * KEY_SIZE || line >= solver->events_count)
        return ERR_STATE;
    solver->events[line].stands = true;
    memcpy(solver->events[line].person, key, KEY_SIZE);
    return 0;
}

static int read_tables(struct solver *solver)
{
    struct result_source *source;
    struct result_batch batch;
    int r = local_results(solver->local, READER, NULL, 0, &source);
    if (r < 0)
        return r;
    while ((r = source->next(source, 0, &batch)) == 0 && batch.results_count) {
        for (size_t i = 0; r == 0 && i < batch.results_count; i++) {
            const struct result *result = &batch.results[i];
            if (result->tombstone)
                continue;
            if (result->topic == TOPIC_PERSONS)
                r = take_person(solver, result);
            else if (result->topic == TOPIC_TOUCHPOINTS)
                r = take_place(solver, result);
            else if (result->topic == TOPIC_REJECTED)
                r = ERR_INTERNAL; /* all that can be wrong with a line was looked at */
        }
        if (r < 0)
            break;
    }
    source->close(source);
    return r;
}

/* ---- answers ---- */

static int by_self(const void *a, const void *b)
{
    return memcmp(((const struct solved *)a)->self, ((const struct solved *)b)->self, KEY_SIZE);
}

static int by_name(const void *a, const void *b)
{
    const struct solved *x = *(const struct solved *const *)a,
                        *y = *(const struct solved *const *)b;
    int order = str_compare(x->namespace, y->namespace);
    return order ? order : str_compare(x->value, y->value);
}

static int by_id(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    int order = str_compare(x->id, y->id);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

static int write_pair(struct buf *out, const struct solved *node)
{
    int r = buf_append(out, "[", 1);
    if (r == 0)
        r = json_write_text(out, node->namespace);
    if (r == 0)
        r = buf_append(out, ", ", 2);
    if (r == 0)
        r = json_write_text(out, node->value);
    return r == 0 ? buf_append(out, "]", 1) : r;
}

/* Ends a line with the root that a person is made from; writes it. nodes are sorted by self. */
static int write_root(struct solver *solver, const uint8_t person[KEY_SIZE], struct buf *line)
{
    struct solved key;
    memcpy(key.self, person, KEY_SIZE);
    const struct solved *root =
        bsearch(&key, solver->nodes, solver->nodes_count, sizeof key, by_self);
    if (!root)
        return ERR_INTERNAL;
    int r = buf_append_str(line, STR(", \"root\": "));
    if (r == 0)
        r = write_pair(line, root);
    if (r == 0)
        r = buf_append(line, "}\n", 2);
    if (r == 0 && fwrite(line->data, 1, line->size, solver->options->out) != line->size)
        r = ERR_IO;
    buf_clear(line);
    return r;
}

static int write_roots(struct solver *solver)
{
    CLEANUP(buf_free) struct buf line = {0};
    size_t count = solver->nodes_count;
    struct solved **order = malloc((count + 1) * sizeof(struct solved *));
    if (!order)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        order[i] = &solver->nodes[i];
    qsort(order, count, sizeof *order, by_name);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = buf_append_str(&line, STR("{\"id\": "));
        if (r == 0)
            r = write_pair(&line, order[i]);
        if (r == 0)
            r = write_root(solver, order[i]->person, &line);
    }
    free(order);
    return r;
}

static int write_places(struct solver *solver)
{
    CLEANUP(buf_free) struct buf line = {0};
    size_t count = solver->events_count;
    if (count)
        qsort(solver->events, count, sizeof *solver->events, by_id);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct placed *event = &solver->events[i];
        if (i + 1 < count && str_equal(event->id, solver->events[i + 1].id))
            continue;
        if (!event->stands)
            return ERR_INTERNAL;
        r = buf_append_str(&line, STR("{\"event\": "));
        if (r == 0)
            r = json_write_text(&line, event->id);
        if (r == 0)
            r = write_root(solver, event->person, &line);
    }
    return r;
}

/* A reader may be told of a row more than once: each time it is the row as it stands. */
static void keep_once(struct solver *solver)
{
    size_t kept = 0;
    if (solver->nodes_count)
        qsort(solver->nodes, solver->nodes_count, sizeof *solver->nodes, by_self);
    for (size_t i = 0; i < solver->nodes_count; i++)
        if (kept == 0 || by_self(&solver->nodes[kept - 1], &solver->nodes[i]) != 0)
            solver->nodes[kept++] = solver->nodes[i];
    solver->nodes_count = kept;
}

static int answer(struct solver *solver)
{
    int r = read_tables(solver);
    if (r < 0)
        return r;
    keep_once(solver);
    return solver->options->places ? write_places(solver) : write_roots(solver);
}

/* ---- the driver ---- */

static int run(struct solver *solver, const char *dir)
{
    struct identify_config identify = {.namespaces = solver->options->namespaces};
    struct journey_config journey;
    struct stage stages[2];
    const struct local_options options = {.fsync_off = true};
    memcpy(identify.tenant_key, tenant_key, sizeof tenant_key);
    identify_stage(&stages[0], &identify);
    journey_config_default(&journey);
    journey.namespaces = solver->options->namespaces;
    journey_stage(&stages[1], &journey);
    int r = local_open(&solver->local, dir, &options);
    if (r < 0)
        return r;
    r = local_set_stages(solver->local, stages, solver->options->places ? 2 : 1);
    if (r == 0)
        r = read_lines(solver);
    while (r == 0)
        r = local_work(solver->local, 0);
    if (r == LOCAL_QUIET)
        r = answer(solver);
    local_close(&solver->local);
    return r;
}

static void remove_dir(const char *dir)
{
    static const char *const files[] = {
        "log/data.mdb", "log/lock.mdb", "log", "state/data.mdb", "state/lock.mdb", "state", "lock"};
    char path[4096];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)remove(path);
    }
    (void)rmdir(dir);
}

int solve(const struct solve_options *options, struct solve_counts *counts)
{
    char dir[4000];
    const char *parent = getenv("TMPDIR");
    *counts = (struct solve_counts){0};
    (void)snprintf(dir, sizeof dir, "%s/tabiji-solve-XXXXXX", parent && *parent ? parent : "/tmp");
    struct solver *solver = calloc(1, sizeof *solver);
    if (!solver)
        return ERR_NO_MEMORY;
    solver->options = options;
    solver->counts = counts;
    solver->keep.size_max = (size_t)1 << 40;
    hmac_key_init(&solver->hmac, str_make(tenant_key, sizeof tenant_key));
    int r = json_parser_new(&solver->parser);
    if (r == 0 && !mkdtemp(dir))
        r = errno == ENOSPC ? ERR_FULL : ERR_IO;
    else if (r == 0) {
        r = run(solver, dir);
        remove_dir(dir);
    }
    json_parser_free(&solver->parser);
    arena_free(&solver->keep);
    arena_free(&solver->batch);
    free(solver->events);
    free(solver->nodes);
    free(solver);
    return r;
}
