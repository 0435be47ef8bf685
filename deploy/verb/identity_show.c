/* One identifier with its links, or one person with its identifiers. */
#include "deploy/verb/identity_show.h"

#include <stdio.h>

#include "deploy/render.h"
#include "deploy/say.h"
#include "deploy/uuid.h"
#include "deploy/verb/generic.h"
#include "deploy/verb/tables.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define LIMIT_DEFAULT 100

/* ---- an identifier ---- */

/* The identifier that is asked about; text lives in the settings' arena. */
struct self {
    struct arena *arena;
    struct str namespace, value, why;
    uint8_t person[KEY_SIZE], own[KEY_SIZE], root[KEY_SIZE];
};

static int keep_self(void *context, const struct reader_node *node)
{
    struct self *self = context;
    memcpy(self->person, node->person, KEY_SIZE);
    memcpy(self->own, node->own, KEY_SIZE);
    memcpy(self->root, node->root, KEY_SIZE);
    int r = arena_dup(self->arena, node->namespace, &self->namespace);
    if (r == 0)
        r = arena_dup(self->arena, node->value, &self->value);
    return r < 0 ? r : arena_dup(self->arena, node->why, &self->why);
}

struct shown {
    struct reader *reader;
    struct render_table *table;
    const uint8_t *self;
    long long limit; /* links; 0: all */
    long long count;
    struct buf others; /* whom links were shown with, by key, while there are several pseudonyms */
    bool several;
};

/* Whether a link under another pseudonym has shown the same; remembers it. */
static int is_again(struct shown *shown, const uint8_t other[KEY_SIZE])
{
    struct buf *others = &shown->others;
    for (size_t i = 0; i < others->size; i += KEY_SIZE)
        if (memcmp(others->data + i, other, KEY_SIZE) == 0)
            return true;
    return buf_append(others, other, KEY_SIZE);
}

static int keep_sum(void *context, const struct reader_link *link)
{
    struct reader_link *sum = context;
    sum->events = link->events;
    sum->first_at = link->first_at;
    sum->last_at = link->last_at;
    return 0;
}

static int show_other(void *context, const struct reader_node *node)
{
    struct shown *shown = context;
    struct render_table *table = shown->table;
    render_text(table, node->namespace);
    render_text(table, node->value);
    render_text(table, node->why);
    render_uuid(table, node->person);
    return 0;
}

static int show_row(struct shown *shown, const struct reader_link *link)
{
    bool weaker = memcmp(link->weaker, shown->self, KEY_SIZE) == 0;
    struct str word = STR("");
    if (shown->count++ >= shown->limit && shown->limit)
        return 0;
    render_text(shown->table, link->rotation ? STR("rotation")
                              : weaker       ? STR("stronger")
                                             : STR("weaker"));
    int r = reader_node(shown->reader, weaker ? link->stronger : link->weaker, show_other, shown);
    if (r < 0)
        return r;
    for (int i = 0; r == READER_ABSENT && i < 4; i++)
        render_nothing(shown->table);
    if (link->rotation)
        render_nothing(shown->table);
    else
        render_integer(shown->table, link->events);
    render_time(shown->table, link->first_at);
    render_time(shown->table, link->last_at);
    r = generic_link_word(shown->reader, link, &word);
    render_text(shown->table, word);
    return r;
}

static int show_link(void *context, const struct reader_link *link)
{
    struct shown *shown = context;
    struct reader_link sum = *link;
    bool weaker = memcmp(link->weaker, shown->self, KEY_SIZE) == 0;
    int r = shown->several ? is_again(shown, weaker ? link->stronger : link->weaker) : 0;
    if (r)
        return r < 0 ? r : 0;
    if (shown->several && !link->rotation)
        r = reader_pair_sum(shown->reader, link->weaker, link->stronger, keep_sum, &sum);
    return r < 0 ? r : show_row(shown, &sum);
}

/* Of a value that has several pseudonyms, what events show under any of them. */
static int show_links(struct shown *shown)
{
    uint8_t nodes[READER_PSEUDONYMS_MAX][KEY_SIZE];
    size_t count = 0;
    int r = reader_pseudonyms(shown->reader, shown->self, nodes, &count);
    shown->several = count > 1;
    if (r == 0 && shown->several)
        r = is_again(shown, shown->self);
    for (size_t i = 0; r == 0 && i < count; i++) {
        shown->self = nodes[i];
        r = reader_links(shown->reader, nodes[i], show_link, shown);
    }
    buf_free(&shown->others);
    return r;
}

static int read_links(struct shown *shown, struct render_table **out)
{
    static const struct render_column columns[] = {
        {"side", "side", RENDER_LEFT, 0},
        {"namespace", "namespace", RENDER_LEFT, 0},
        {"value", "value", RENDER_LEFT, 40},
        {"why", "why", RENDER_LEFT, 0},
        {"person", "person", RENDER_LEFT, 0},
        {"events", "events together", RENDER_RIGHT, 0},
        {"first_at", "first", RENDER_LEFT, 0},
        {"last_at", "last", RENDER_LEFT, 0},
        {"link", "link", RENDER_LEFT, 0},
    };
    int r = render_new(out, columns, sizeof columns / sizeof *columns);
    shown->table = *out;
    return r < 0 ? r : show_links(shown);
}

/* What both forms say. */
struct facts {
    struct self self;
    struct self root;
    bool has_root; /* false: the root is a set, or nothing shows it any more */
    struct generic_excess excesses[NAMESPACES_MAX];
    size_t excesses_count;
};

static int read_facts(const struct settings *settings, struct reader *reader,
    const uint8_t node[KEY_SIZE], struct facts *facts)
{
    int r = reader_node(reader, node, keep_self, &facts->self);
    if (r)
        return r;
    r = reader_node(reader, facts->self.root, keep_self, &facts->root);
    facts->has_root = r == 0;
    if (r >= 0 && str_equal(facts->self.why, STR("generic")))
        r = generic_excesses(settings, reader, node, facts->excesses, &facts->excesses_count);
    return r < 0 ? r : 0;
}

static int write_text(const struct facts *facts, struct render_table *links)
{
    const struct self *self = &facts->self, *root = &facts->root;
    char person[UUID_TEXT_SIZE], own[UUID_TEXT_SIZE];
    CLEANUP(buf_free) struct buf generic = {0};
    int r = 0;
    uuid_write(self->person, person);
    uuid_write(self->own, own);
    if (str_equal(self->why, STR("generic")))
        r = generic_text(facts->excesses, facts->excesses_count, &generic);
    if (r < 0)
        return r;
    (void)printf("%.*s:%.*s\n  person %s (%.*s%s%.*s)\n", (int)self->namespace.size,
        self->namespace.data, (int)self->value.size, self->value.data, person, (int)self->why.size,
        self->why.data, generic.size ? ": " : "", (int)generic.size,
        generic.size ? generic.data : "");
    if (facts->has_root)
        (void)printf("  root %.*s:%.*s\n", (int)root->namespace.size, root->namespace.data,
            (int)root->value.size, root->value.data);
    (void)printf("  by itself %s\n\n", own);
    return render_write(links, false, stdout);
}

static int append_member(struct buf *out, const char *lead, struct str value)
{
    int r = buf_append_str(out, str_of(lead));
    return r == 0 ? json_write_text(out, value) : r;
}

static int write_json(const struct facts *facts, struct render_table *links)
{
    const struct self *self = &facts->self;
    char person[UUID_TEXT_SIZE], own[UUID_TEXT_SIZE];
    CLEANUP(buf_free) struct buf out = {0};
    uuid_write(self->person, person);
    uuid_write(self->own, own);
    int r = append_member(&out, "{\"identifier\":{\"namespace\":", self->namespace);
    if (r == 0)
        r = append_member(&out, ",\"value\":", self->value);
    if (r == 0)
        r = append_member(&out, ",\"why\":", self->why);
    if (r == 0)
        r = buf_appendf(&out, ",\"person\":\"%s\",\"own\":\"%s\",\"root\":", person, own);
    if (r == 0 && facts->has_root) {
        r = append_member(&out, "{\"namespace\":", facts->root.namespace);
        if (r == 0)
            r = append_member(&out, ",\"value\":", facts->root.value);
    }
    if (r == 0)
        r = buf_append_str(
            &out, facts->has_root ? STR("},\"exceeded\":") : STR("null,\"exceeded\":"));
    if (r == 0)
        r = generic_json(facts->excesses, facts->excesses_count, &out);
    if (r < 0)
        return r;
    (void)printf("%.*s},\"links\":", (int)out.size, out.data);
    r = render_write(links, true, stdout);
    (void)printf("}\n");
    return r;
}

static int show_node(struct verb_call *call, struct settings *settings, struct reader *reader,
    const uint8_t node[KEY_SIZE])
{
    CLEANUP(render_free) struct render_table *links = NULL;
    struct facts facts = {.self.arena = &settings->arena, .root.arena = &settings->arena};
    struct shown shown = {.reader = reader, .self = node, .limit = call->json ? 0 : LIMIT_DEFAULT};
    int r = verb_integer(call, "--limit", 0, INT32_MAX, &shown.limit);
    if (r)
        return r;
    r = read_facts(settings, reader, node, &facts);
    if (r == READER_ABSENT)
        return tables_nobody(call, settings, reader, call->arguments[1]);
    if (r == 0)
        r = read_links(&shown, &links);
    long long more = shown.limit && shown.count > shown.limit ? shown.count - shown.limit : 0;
    if (r == 0)
        r = call->json ? write_json(&facts, links) : write_text(&facts, links);
    if (r == 0 && more && call->json)
        (void)fprintf(stderr, "tabiji identity: %lld more links are not shown\n", more);
    else if (r == 0 && more)
        (void)printf("... and %lld more (--limit 0: all)\n", more);
    return r < 0 ? verb_fail(call, r, "%s", call->arguments[1]) : EXIT_OK;
}

/* ---- a person ---- */

struct rows {
    struct render_table *table;
    size_t count;
};

static int add_identifier(void *context, const struct reader_identity *identity)
{
    struct rows *rows = context;
    rows->count++;
    render_text(rows->table, identity->namespace);
    render_text(rows->table, identity->value);
    render_text(rows->table, identity->why);
    render_integer(rows->table, identity->events);
    for (int i = 0; i < 2; i++) {
        int64_t at = i ? identity->last_at : identity->first_at;
        if (at)
            render_time(rows->table, at);
        else
            render_nothing(rows->table);
    }
    return 0;
}

static int write_person(
    const struct verb_call *call, const uint8_t person[KEY_SIZE], struct render_table *table)
{
    char uuid[UUID_TEXT_SIZE], asked[UUID_TEXT_SIZE];
    uint8_t old[KEY_SIZE];
    uuid_write(person, uuid);
    check(uuid_read(str_of(call->arguments[1]), old));
    uuid_write(old, asked);
    if (call->json)
        (void)printf("{\"person\":\"%s\",\"asked\":\"%s\",\"identifiers\":", uuid, asked);
    else
        (void)printf("person %s%s%s%s\n\n", uuid, strcmp(uuid, asked) ? " (once " : "",
            strcmp(uuid, asked) ? asked : "", strcmp(uuid, asked) ? ")" : "");
    int r = render_write(table, call->json, stdout);
    if (call->json)
        (void)printf("}\n");
    return r;
}

static int show_person(struct verb_call *call, struct reader *reader, uint8_t person[KEY_SIZE])
{
    static const struct render_column columns[] = {
        {"namespace", "namespace", RENDER_LEFT, 0},
        {"value", "value", RENDER_LEFT, 48},
        {"why", "why", RENDER_LEFT, 0},
        {"events", "events", RENDER_RIGHT, 0},
        {"first_at", "first", RENDER_LEFT, 0},
        {"last_at", "last", RENDER_LEFT, 0},
    };
    CLEANUP(render_free) struct render_table *table = NULL;
    struct rows rows = {.count = 0};
    int r = reader_alias(reader, person, person);
    if (r >= 0)
        r = render_new(&table, columns, sizeof columns / sizeof *columns);
    rows.table = table;
    if (r == 0)
        r = reader_identifiers(reader, person, add_identifier, &rows);
    if (r == 0 && rows.count == 0)
        return verb_not_found(call, "there is no person %s", call->arguments[1]);
    if (r == 0)
        r = write_person(call, person, table);
    return r < 0 ? verb_fail(call, r, "%s", call->arguments[1]) : EXIT_OK;
}

/* ---- which of the two ---- */

static int show(struct verb_call *call, struct settings *settings)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    struct str spelling = str_of(call->arguments[1]);
    struct identifier identifier;
    uint8_t key[KEY_SIZE];
    bool person = uuid_read(spelling, key);
    int r = tables_open(call, settings, &reader);
    if (r)
        return r;
    r = person ? 0 : say_identifier_known(settings, reader, spelling, &identifier);
    if (r == ERR_NO_IDENTIFIER)
        return verb_not_found(
            call, "%s %s", call->arguments[1], say_why_none(settings, spelling, r));
    if (r == 0 && !person)
        r = reader_node_id(settings->door.identifiers.namespaces, &identifier, key);
    if (r < 0)
        return say_bad_identifier(call, settings, call->arguments[1], r);
    return person ? show_person(call, reader, key) : show_node(call, settings, reader, key);
}

int identity_show(struct verb_call *call)
{
    struct settings settings;
    if (call->arguments_count != 2)
        return verb_usage(call, "show needs one identifier, namespace:value, or a person's id");
    int r = settings_open(&settings, call->config);
    r = r < 0 ? verb_fail(call, r, "configuration") : show(call, &settings);
    settings_close(&settings);
    return r;
}
