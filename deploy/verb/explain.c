/*
 * `tabiji explain A B`: why two identifiers are one person, or why they are not.
 *
 * The way is the shortest over links whose identifiers are all of the one person; where the two are
 * not one person, the shortest over any links tells where it breaks.
 */
#include <stdio.h>
#include <stdlib.h>

#include "deploy/render.h"
#include "deploy/say.h"
#include "deploy/verb/explain_credit.h"
#include "deploy/verb/tables.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define NODES_SEEN_MAX 20000
#define NO_NODE SIZE_MAX

/* A node that the search has met, and the link that led to it. */
struct met {
    uint8_t node[KEY_SIZE];
    size_t from; /* index; NO_NODE: the start */
    int64_t events, first_at, last_at;
    struct str first_id, last_id;
    struct str namespace, value, why;
    uint8_t person[KEY_SIZE];
    bool known;
    bool parted;   /* from where it was met, by a word */
    bool rotation; /* from where it was met: another pseudonym of the same value */
};

struct search {
    struct reader *reader;
    struct arena *arena;
    struct met *items;
    size_t count;
    size_t at;             /* whose links are being read */
    const uint8_t *within; /* only identifiers of this person; NULL: of any */
};

struct kept {
    struct search *search;
    struct met *met;
};

static int keep(void *context, const struct reader_node *node)
{
    struct kept *kept = context;
    struct arena *arena = kept->search->arena;
    struct met *met = kept->met;
    memcpy(met->person, node->person, KEY_SIZE);
    met->known = true;
    int r = arena_dup(arena, node->namespace, &met->namespace);
    if (r == 0)
        r = arena_dup(arena, node->value, &met->value);
    return r < 0 ? r : arena_dup(arena, node->why, &met->why);
}

static int add(struct search *search, const uint8_t node[KEY_SIZE], const struct reader_link *link)
{
    for (size_t i = 0; i < search->count; i++)
        if (memcmp(search->items[i].node, node, KEY_SIZE) == 0)
            return 0;
    if (search->count == NODES_SEEN_MAX)
        return ERR_TOO_MANY;
    struct met *met = &search->items[search->count];
    *met = (struct met){.from = link ? search->at : NO_NODE};
    memcpy(met->node, node, KEY_SIZE);
    struct kept kept = {search, met};
    int r = reader_node(search->reader, node, keep, &kept);
    if (r < 0)
        return r;
    if (search->within && link &&
        (!met->known || memcmp(met->person, search->within, KEY_SIZE) != 0))
        return 0;
    if (link) {
        met->events = link->events;
        met->first_at = link->first_at;
        met->last_at = link->last_at;
        met->parted = link->parted;
        met->rotation = link->rotation;
        r = arena_dup(search->arena, link->first_id, &met->first_id);
        if (r == 0)
            r = arena_dup(search->arena, link->last_id, &met->last_id);
    }
    search->count += r >= 0;
    return r < 0 ? r : 0;
}

static int on_link(void *context, const struct reader_link *link)
{
    struct search *search = context;
    const uint8_t *self = search->items[search->at].node;
    bool weaker = memcmp(link->weaker, self, KEY_SIZE) == 0;
    if (search->within && link->parted)
        return 0; /* it does not make them one */
    return add(search, weaker ? link->stronger : link->weaker, link);
}

/* Breadth first from a; *end: index of b, or NO_NODE. */
static int find_way(struct search *search, const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE],
    const uint8_t *within, size_t *end)
{
    search->count = 0;
    search->within = within;
    *end = NO_NODE;
    int r = add(search, a, NULL);
    for (search->at = 0; r == 0 && search->at < search->count; search->at++) {
        if (memcmp(search->items[search->at].node, b, KEY_SIZE) == 0) {
            *end = search->at;
            return 0;
        }
        r = reader_links(search->reader, search->items[search->at].node, on_link, search);
    }
    return r == ERR_TOO_MANY ? 0 : r;
}

/* ---- answers ---- */

static void show_step(struct render_table *table, const struct met *met, bool first)
{
    render_text(table, met->namespace.size ? met->namespace : STR("?"));
    render_text(table, met->value);
    render_text(table, met->why);
    render_uuid(table, met->person);
    if (first) {
        for (int i = 0; i < 5; i++)
            render_nothing(table);
        return;
    }
    if (met->rotation) {
        render_nothing(table);
        render_time(table, met->first_at);
        render_text(table, STR("key rotation"));
        render_nothing(table);
        render_nothing(table);
        return;
    }
    render_integer(table, met->events);
    render_time(table, met->first_at);
    render_text(table, met->first_id);
    render_time(table, met->last_at);
    render_text(table, met->last_id);
}

/* The way, from a to b: each line's link leads to it from the line before. */
static int show_way(const struct verb_call *call, const struct search *search, size_t end)
{
    static const struct render_column columns[] = {
        {"namespace", "namespace", RENDER_LEFT, 0},
        {"value", "value", RENDER_LEFT, 40},
        {"why", "why", RENDER_LEFT, 0},
        {"person", "person", RENDER_LEFT, 0},
        {"events", "events together", RENDER_RIGHT, 0},
        {"first_at", "first", RENDER_LEFT, 0},
        {"first_event", "event", RENDER_LEFT, 20},
        {"last_at", "last", RENDER_LEFT, 0},
        {"last_event", "event", RENDER_LEFT, 20},
    };
    struct render_table *table = NULL;
    size_t steps[256], count = 0;
    for (size_t at = end; at != NO_NODE && count < 256; at = search->items[at].from)
        steps[count++] = at;
    int r = render_new(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = count; r == 0 && i > 0; i--)
        show_step(table, &search->items[steps[i - 1]], i == count);
    if (r == 0)
        r = render_write(table, call->json, stdout);
    render_free(&table);
    return r;
}

/* What of a way keeps its ends apart. */
static void name_break(const struct verb_call *call, const struct search *search, size_t end)
{
    FILE *out = call->json ? stderr : stdout;
    for (size_t at = end; at != NO_NODE; at = search->items[at].from) {
        const struct met *met = &search->items[at];
        const char *reason = NULL;
        if (met->parted) {
            const struct met *from = &search->items[met->from];
            (void)fprintf(out, "%.*s:%.*s and %.*s:%.*s were unlinked by an operator\n",
                (int)from->namespace.size, from->namespace.data, (int)from->value.size,
                from->value.data, (int)met->namespace.size, met->namespace.data,
                (int)met->value.size, met->value.data);
        }
        if (str_equal(met->why, STR("generic")))
            reason = "is generic: too many others bear it, so it links nobody";
        else if (str_equal(met->why, STR("shared")))
            reason = "is shared by persons of equal strength, so it belongs to neither";
        else if (str_equal(met->why, STR("rejected")))
            reason = "claimed a person that has another of its kind already";
        if (reason)
            (void)fprintf(out, "%.*s:%.*s %s\n", (int)met->namespace.size, met->namespace.data,
                (int)met->value.size, met->value.data, reason);
    }
}

static int answer(struct verb_call *call, struct search *search, const uint8_t ends[2][KEY_SIZE])
{
    struct met own[2] = {{.known = false}, {.known = false}};
    size_t end;
    for (size_t i = 0; i < 2; i++) {
        struct kept kept = {search, &own[i]};
        int r = reader_node(search->reader, ends[i], keep, &kept);
        if (r < 0)
            return verb_fail(call, r, "%s", call->arguments[i]);
        if (r == READER_ABSENT) {
            (void)fprintf(
                stderr, "tabiji explain: nobody is known by \"%s\"\n", call->arguments[i]);
            return EXIT_NOT_FOUND;
        }
    }
    bool one = memcmp(own[0].person, own[1].person, KEY_SIZE) == 0;
    int r = find_way(search, ends[0], ends[1], one ? own[0].person : NULL, &end);
    if (r == 0 && one && end == NO_NODE) /* over a set of several, or an identifier of another */
        r = find_way(search, ends[0], ends[1], NULL, &end);
    if (r < 0)
        return verb_fail(call, r, "explain");
    if (!call->json)
        (void)printf(one ? "one person, by these links:\n" : "not one person%s\n",
            end == NO_NODE ? ": no event leads from one to the other"
                           : "; the links between them:");
    r = end == NO_NODE ? (call->json ? (void)puts("[]"), 0 : 0) : show_way(call, search, end);
    if (r == 0 && !one && end != NO_NODE)
        name_break(call, search, end);
    return r < 0 ? verb_fail(call, r, "explain") : EXIT_OK;
}

static int explain(struct verb_call *call, struct settings *settings)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    uint8_t ends[2][KEY_SIZE];
    for (size_t i = 0; i < 2; i++) {
        struct identifier identifier;
        int r = say_identifier(settings, str_of(call->arguments[i]), &identifier);
        if (r == ERR_NO_IDENTIFIER) {
            (void)printf(
                "%s is blocked: values such as this one mean nobody\n", call->arguments[i]);
            return EXIT_NOT_FOUND;
        }
        if (r == 0)
            r = reader_node_id(settings->door.identifiers.namespaces, &identifier, ends[i]);
        if (r < 0)
            return verb_usage(call, "%s: %s (namespace:value)", call->arguments[i], error_text(r));
    }
    int r = tables_open(call, settings, &reader);
    if (r)
        return r;
    struct search search = {.reader = reader, .arena = &settings->arena};
    search.items = calloc(NODES_SEEN_MAX, sizeof *search.items);
    r = search.items ? answer(call, &search, ends) : verb_fail(call, ERR_NO_MEMORY, "explain");
    free(search.items);
    return r;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    int r = settings_open(&settings, call->config);
    if (r < 0)
        r = verb_fail(call, r, "configuration");
    else if (strcmp(call->arguments[0], "credit") == 0)
        r = explain_credit(call, &settings);
    else
        r = explain(call, &settings);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir", false},
    {"--database", "FILE", "SQLite file", "sink.sqlite.path", false},
    {"--model", "NAME",
        "credit: models that are solved, by kind or by name; several: again, or in commas "
        "(those of the configuration)",
        NULL, true},
    {"--order", "K", "credit: order of markov, 1 to 6 (1)", NULL, false},
};

const struct verb verb_explain = {
    .name = "explain",
    .summary = "why two identifiers are one person, or not; where a conversion's credit went",
    .arguments = "A B | credit CONVERSION",
    .detail = "A and B are namespace:value. Prints the links that lead from A to B, each with the "
              "first and last event\n"
              "that shows both and how many do; where the two are not one person, what keeps them "
              "apart: generic,\n"
              "shared, a rejected claim, or no link at all. \"key rotation\" links two pseudonyms "
              "of one value. Exit 4 when nobody is known by one of "
              "them.\n"
              "credit: the touches before a conversion (or refund), named by its conversion, order "
              "or event id, with "
              "what each\n"
              "rule model gives each of them, and models that are solved over all journeys as they "
              "stand; and the sums.",
    .examples = "  tabiji explain --data shop cookie:c-1 email:hana@example.jp\n"
                "  tabiji explain --data shop credit W0000742-2",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 2,
    .arguments_max = 2,
    .run = run,
};
