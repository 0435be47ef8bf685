/* `tabiji lookup`: who is this, in any spelling of any identifier. */
#include "deploy/verb/lookup.h"

#include <stdio.h>
#include <stdlib.h>

#include "deploy/render.h"
#include "deploy/say.h"
#include "deploy/uuid.h"
#include "deploy/verb/generic.h"
#include "deploy/verb/tables.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

struct matches {
    struct settings *settings;
    struct reader *reader;
    struct lookup_match *items;
    size_t count;
};

static int add_match(void *context, const struct reader_identity *identity)
{
    struct matches *matches = context;
    struct arena *arena = &matches->settings->arena;
    if (matches->count == LOOKUP_PERSONS_MAX)
        return 0;
    struct lookup_match *match = &matches->items[matches->count];
    *match = (struct lookup_match){
        .events = identity->events, .first_at = identity->first_at, .last_at = identity->last_at};
    memcpy(match->person, identity->person, KEY_SIZE);
    int r = reader_node_id(matches->settings->door.identifiers.namespaces,
        &(struct identifier){.namespace = identity->namespace, .value = identity->value},
        match->node);
    if (r == 0)
        r = arena_dup(arena, identity->namespace, &match->namespace);
    if (r == 0)
        r = arena_dup(arena, identity->value, &match->value);
    if (r == 0)
        r = arena_dup(arena, identity->why, &match->why);
    matches->count += r == 0;
    return r;
}

/* What the value's pseudonyms of other keys match. */
static int add_pseudonym(void *context, const struct reader_node *node)
{
    struct matches *matches = context;
    return reader_lookup(matches->reader, node->namespace, node->value, add_match, matches);
}

static int add_pseudonyms(struct matches *matches, size_t first)
{
    uint8_t nodes[READER_PSEUDONYMS_MAX][KEY_SIZE];
    size_t count = 0;
    if (matches->count == first)
        return 0;
    int r = reader_pseudonyms(matches->reader, matches->items[first].node, nodes, &count);
    for (size_t i = 1; r >= 0 && i < count; i++)
        r = reader_node(matches->reader, nodes[i], add_pseudonym, matches);
    return r < 0 ? r : 0;
}

/* One identifier through the door's normalisation, then the table. */
static int look_up_with(struct matches *matches, const struct identifier_config *config,
    struct str namespace, struct str value)
{
    size_t first = matches->count;
    struct identifier identifier = {.namespace = namespace, .value = value};
    struct identifier_report report;
    struct touchpoint event;
    touchpoint_init(&event);
    event.identifiers = &identifier;
    event.identifiers_count = 1;
    int r = identifier_normalise(config, &matches->settings->arena, &event, &report);
    if (r == ERR_NO_IDENTIFIER)
        return 0;
    if (r < 0)
        return r;
    r = reader_lookup(matches->reader, event.identifiers[0].namespace, event.identifiers[0].value,
        add_match, matches);
    return r < 0 ? r : add_pseudonyms(matches, first);
}

/* Under the key in use; a value that is not known so, under the next one: another door may have
 * retired the old one already. */
static int look_up_one(struct matches *matches, struct str namespace, struct str value)
{
    struct identifier_config config = matches->settings->door.identifiers;
    size_t first = matches->count;
    config.blocked_count = 0; /* what the operator blocked may be known from before */
    int r = look_up_with(matches, &config, namespace, value);
    if (r < 0 || matches->count > first || !config.next.live)
        return r;
    identifier_config_follow(&config);
    return look_up_with(matches, &config, namespace, value);
}

static int keep_person(void *context, const struct reader_person *person)
{
    struct lookup_match *match = context;
    match->events = person->events;
    match->first_at = person->first_at;
    match->last_at = person->last_at;
    return 0;
}

int lookup_persons(struct settings *settings, struct reader *reader, struct str spelling,
    struct lookup_match matches[LOOKUP_PERSONS_MAX], size_t *count)
{
    struct matches found = {.settings = settings, .reader = reader, .items = matches};
    const struct namespace_table *table = settings->door.identifiers.namespaces;
    *count = 0;
    struct lookup_match direct = {.namespace = STR("person"), .why = STR("self")};
    if (uuid_read(spelling, direct.person)) {
        int r = reader_alias(reader, direct.person, direct.person); /* an old id */
        if (r >= 0)
            r = reader_get_person(reader, direct.person, keep_person, &direct);
        direct.value = spelling;
        matches[0] = direct;
        *count = r == 0;
        if (r <= 0)
            return r;
    } /* else it may be the value of an identifier */
    const char *colon = memchr(spelling.data, ':', spelling.size);
    if (colon) {
        struct str name = str_make(spelling.data, (size_t)(colon - spelling.data));
        if (namespace_rank(table, name) >= 0) {
            struct str value = str_make(colon + 1, spelling.size - name.size - 1);
            int r = look_up_one(&found, name, value);
            *count = found.count;
            return r;
        }
    }
    for (size_t rank = 0; rank < table->count; rank++) {
        int r = look_up_one(&found, table->rules[rank].name, spelling);
        if (r < 0 && error_class(r) != ERROR_CLASS_REJECT)
            return r;
    }
    *count = found.count;
    return 0;
}

/* ---- the answer ---- */

/* A person that an identifier may mean, with what speaks for it. */
struct candidate {
    uint8_t person[KEY_SIZE];
    const struct lookup_match *match; /* the identifier; its own person where `seen` is false */
    bool seen;                        /* events there show it beside: */
    struct str namespace, value;
    int64_t events, first_at, last_at;
};

struct candidates {
    struct arena *arena;
    const struct lookup_match *match; /* whose are being read */
    struct candidate list[LOOKUP_PERSONS_MAX];
    size_t count;
    struct render_table *rows;
};

static struct candidate *find_candidate(
    struct candidates *candidates, const uint8_t person[KEY_SIZE])
{
    for (size_t i = 0; i < candidates->count; i++)
        if (memcmp(candidates->list[i].person, person, KEY_SIZE) == 0)
            return &candidates->list[i];
    return NULL;
}

static struct candidate *new_candidate(
    struct candidates *candidates, const uint8_t person[KEY_SIZE])
{
    if (candidates->count == LOOKUP_PERSONS_MAX)
        return NULL;
    struct candidate *candidate = &candidates->list[candidates->count++];
    *candidate = (struct candidate){.match = candidates->match};
    memcpy(candidate->person, person, KEY_SIZE);
    return candidate;
}

static int add_seen(void *context, const struct reader_candidate *seen)
{
    struct candidates *candidates = context;
    if (find_candidate(candidates, seen->person))
        return 0;
    struct candidate *candidate = new_candidate(candidates, seen->person);
    if (!candidate)
        return 0;
    candidate->seen = true;
    candidate->events = seen->events;
    candidate->first_at = seen->first_at;
    candidate->last_at = seen->last_at;
    int r = arena_dup(candidates->arena, seen->namespace, &candidate->namespace);
    return r < 0 ? r : arena_dup(candidates->arena, seen->value, &candidate->value);
}

/* Whose each identifier is, then who else it was seen with: a shared number is its own person, and
 * those who share it are candidates. */
static int find_candidates(struct candidates *candidates, struct reader *reader,
    const struct lookup_match *matches, size_t count)
{
    static const uint8_t no_node[KEY_SIZE];
    for (size_t i = 0; i < count; i++) {
        candidates->match = &matches[i];
        if (find_candidate(candidates, matches[i].person))
            continue;
        struct candidate *candidate = new_candidate(candidates, matches[i].person);
        if (!candidate)
            return 0;
        candidate->events = matches[i].events;
        candidate->first_at = matches[i].first_at;
        candidate->last_at = matches[i].last_at;
    }
    for (size_t i = 0; i < count; i++) {
        candidates->match = &matches[i];
        if (memcmp(matches[i].node, no_node, KEY_SIZE) == 0)
            continue;
        int r =
            reader_candidates(reader, matches[i].node, LOOKUP_PERSONS_MAX, add_seen, candidates);
        if (r < 0)
            return r;
    }
    return 0;
}

static void render_time_or_nothing(struct render_table *table, int64_t micros)
{
    if (micros)
        render_time(table, micros);
    else
        render_nothing(table);
}

static void render_identifier(struct render_table *table, struct str namespace, struct str value)
{
    CLEANUP(buf_free) struct buf text = {0};
    if (namespace.size == 0) {
        render_nothing(table);
        return;
    }
    int r = buf_append_str(&text, namespace);
    if (r == 0)
        r = buf_append(&text, ":", 1);
    if (r == 0)
        r = buf_append_str(&text, value);
    render_text(table, r == 0 ? buf_str(&text) : value);
}

static int add_row(void *context, const struct reader_identity *identity)
{
    struct candidates *candidates = context;
    struct render_table *table = candidates->rows;
    render_uuid(table, identity->person);
    render_text(table, identity->namespace);
    render_text(table, identity->value);
    render_text(table, identity->why);
    render_integer(table, identity->events);
    render_time_or_nothing(table, identity->first_at);
    render_time_or_nothing(table, identity->last_at);
    return 0;
}

/* The persons, when there are several. */
static int show_candidates(const struct candidates *candidates, bool json, FILE *out)
{
    static const struct render_column columns[] = {
        {"person", "person", RENDER_LEFT, 0},
        {"because", "because", RENDER_LEFT, 0},
        {"beside", "beside", RENDER_LEFT, 48},
        {"events", "events", RENDER_RIGHT, 0},
        {"first_at", "first", RENDER_LEFT, 0},
        {"last_at", "last", RENDER_LEFT, 0},
    };
    CLEANUP(render_free) struct render_table *table = NULL;
    int r = render_new(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; r == 0 && i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->list[i];
        render_uuid(table, candidate->person);
        render_text(table, candidate->seen ? STR("seen") : candidate->match->why);
        render_identifier(table, candidate->namespace, candidate->value);
        render_integer(table, candidate->events);
        render_time_or_nothing(table, candidate->first_at);
        render_time_or_nothing(table, candidate->last_at);
    }
    return r < 0 ? r : render_write(table, json, out);
}

static int read_rows(struct candidates *candidates, struct reader *reader)
{
    static const struct render_column columns[] = {
        {"person", "person", RENDER_LEFT, 0},
        {"namespace", "namespace", RENDER_LEFT, 0},
        {"value", "value", RENDER_LEFT, 48},
        {"why", "why", RENDER_LEFT, 0},
        {"events", "events", RENDER_RIGHT, 0},
        {"first_at", "first", RENDER_LEFT, 0},
        {"last_at", "last", RENDER_LEFT, 0},
    };
    int r = render_new(&candidates->rows, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; r == 0 && i < candidates->count; i++)
        r = reader_identifiers(reader, candidates->list[i].person, add_row, candidates);
    return r;
}

/* All identifiers of every person that matched: the evidence. */
static int show(struct verb_call *call, struct settings *settings, struct reader *reader,
    const struct lookup_match *matches, size_t count)
{
    struct candidates candidates = {.arena = &settings->arena};
    bool list = verb_switch(call, "--candidates");
    int r = find_candidates(&candidates, reader, matches, count);
    if (r < 0)
        return r;
    if (call->json && list)
        return show_candidates(&candidates, true, stdout);
    if (!call->json && (list || candidates.count > 1)) {
        (void)printf("%zu candidate%s:\n", candidates.count, candidates.count == 1 ? "" : "s");
        r = show_candidates(&candidates, false, stdout);
    }
    if (r == 0 && !list) {
        if (!call->json && candidates.count > 1)
            (void)printf("\n");
        r = read_rows(&candidates, reader);
        if (r == 0)
            r = render_write(candidates.rows, call->json, stdout);
    }
    render_free(&candidates.rows);
    return r;
}

/* ---- over HTTP ---- */

static int write_answer(struct settings *settings, struct reader *reader,
    const struct lookup_match *matches, size_t count, FILE *out)
{
    struct candidates candidates = {.arena = &settings->arena};
    (void)fputs("{\"candidates\":", out);
    int r = find_candidates(&candidates, reader, matches, count);
    if (r == 0)
        r = show_candidates(&candidates, true, out);
    (void)fputs(",\"identifiers\":", out);
    if (r == 0)
        r = read_rows(&candidates, reader);
    if (r == 0)
        r = render_write(candidates.rows, true, out);
    (void)fputs("}\n", out);
    render_free(&candidates.rows);
    return r;
}

static int append_answer(struct settings *settings, struct reader *reader,
    const struct lookup_match *matches, size_t count, struct buf *reply)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return ERR_NO_MEMORY;
    int r = write_answer(settings, reader, matches, count, out);
    if (fclose(out) != 0 && r == 0)
        r = ERR_NO_MEMORY;
    if (r == 0)
        r = buf_append(reply, text, size);
    free(text);
    return r;
}

struct pair {
    struct reader *reader;
    struct render_table *table;
};

static int add_link(void *context, const struct reader_link *link)
{
    const struct pair *pair = context;
    struct render_table *table = pair->table;
    struct str word = STR("");
    int r = generic_link_word(pair->reader, link, &word);
    if (r < 0)
        return r;
    render_integer(table, link->events);
    render_time(table, link->first_at);
    render_time(table, link->last_at);
    render_text(table, word);
    return 0;
}

static int append_links(struct render_table *table, bool linked, struct buf *reply)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return ERR_NO_MEMORY;
    (void)fprintf(out, "{\"linked\":%s,\"links\":", linked ? "true" : "false");
    int r = render_write(table, true, out);
    (void)fputs("}\n", out);
    if (fclose(out) != 0 && r == 0)
        r = ERR_NO_MEMORY;
    if (r == 0)
        r = buf_append(reply, text, size);
    free(text);
    return r;
}

static int read_end(
    struct settings *settings, struct reader *reader, struct str spelling, struct identifier *out)
{
    return reader ? say_identifier_known(settings, reader, spelling, out)
                  : say_identifier(settings, spelling, out);
}

/* What links the two. */
static int answer_pair(struct settings *settings, struct reader *reader,
    const struct collector_question *question, struct buf *reply, int *status)
{
    static const struct render_column columns[] = {
        {"events", "events", RENDER_RIGHT, 0},
        {"first_at", "first", RENDER_LEFT, 0},
        {"last_at", "last", RENDER_LEFT, 0},
        {"link", "link", RENDER_LEFT, 0},
    };
    CLEANUP(render_free) struct render_table *table = NULL;
    struct identifier ends[2];
    int r = read_end(settings, reader, question->id, &ends[0]);
    if (r == 0)
        r = read_end(settings, reader, question->with, &ends[1]);
    if (r == 0)
        r = render_new(&table, columns, sizeof columns / sizeof *columns);
    if (r < 0)
        return r;
    struct pair pair = {reader, table};
    if (reader)
        r = reader_pair_links(reader, settings->door.identifiers.namespaces, ends, add_link, &pair);
    if (r < 0)
        return r;
    bool linked = reader && r == 0;
    *status = linked ? 200 : 404;
    return append_links(table, linked, reply);
}

static int answer_persons(struct settings *settings, struct reader *reader,
    const struct collector_question *question, struct buf *reply, int *status)
{
    struct lookup_match matches[LOOKUP_PERSONS_MAX];
    size_t count = 0;
    int r = reader ? lookup_persons(settings, reader, question->id, matches, &count) : 0;
    if (r == 0 && count)
        r = append_answer(settings, reader, matches, count, reply);
    else if (r == 0)
        r = buf_append_str(reply, STR("{\"candidates\":[],\"identifiers\":[]}\n"));
    if (r == 0)
        *status = count ? 200 : 404;
    return r;
}

int lookup_answer(
    void *context, const struct collector_question *question, struct buf *reply, int *status)
{
    /* Read by all requests, but for the arena: each has its own. */
    struct settings settings = *(const struct settings *)context;
    CLEANUP(reader_close) struct reader *reader = NULL;
    const char *path = "";
    settings.arena = (struct arena){0};
    int r = settings_database(&settings, &path);
    if (r == 0)
        r = reader_open(&reader, path);
    if (r == ERR_NOT_FOUND) /* no tables yet: nobody is known */
        r = 0;
    if (r == 0 && question->with.size)
        r = answer_pair(&settings, reader, question, reply, status);
    else if (r == 0)
        r = answer_persons(&settings, reader, question, reply, status);
    arena_free(&settings.arena);
    return r;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    CLEANUP(reader_close) struct reader *reader = NULL;
    struct lookup_match matches[LOOKUP_PERSONS_MAX];
    size_t count = 0;
    int r = settings_open(&settings, call->config);
    r = r < 0 ? verb_fail(call, r, "configuration") : tables_open(call, &settings, &reader);
    if (r == 0)
        r = lookup_persons(&settings, reader, str_of(call->arguments[0]), matches, &count);
    if (r == 0 && count)
        r = show(call, &settings, reader, matches, count);
    if (r == ERR_VALUE || r == ERR_UTF8) {
        r = say_bad_identifier(call, &settings, call->arguments[0], r);
    } else if (r < 0) {
        r = verb_fail(call, r, "%s", call->arguments[0]);
    } else if (r == 0 && count == 0) {
        r = tables_nobody(call, &settings, reader, call->arguments[0]);
    }
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir"},
    {"--database", "FILE", "SQLite file", "sink.sqlite.path", false},
    {"--candidates", NULL, "the persons alone, with what speaks for each", NULL, false},
};

const struct verb verb_lookup = {
    .name = "lookup",
    .summary = "find the person behind an identifier",
    .arguments = "IDENTIFIER",
    .detail = "IDENTIFIER is namespace:value (email:Hana@example.jp), a person's id, or a bare "
              "value that is tried in\n"
              "every namespace. E-mail and phone are compared by pseudonym, in any spelling, of "
              "either live key. "
              "Prints every identifier\n"
              "of each person found, and why it belongs there. Of a number that several share, all "
              "who were seen with it\n"
              "are candidates: the one that it belongs to first, then the latest, each with the "
              "events that show both.\n"
              "Old person ids resolve. Exit 4 when nobody is known by it.",
    .examples = "  tabiji lookup --data shop cookie:c-1\n"
                "  tabiji lookup --data shop 090-1234-5678 --candidates --json",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
