/* `tabiji schema register|check|list`: this build's schemas and a schema registry. */
#include <stdio.h>
#include <stdlib.h>

#include "deploy/render.h"
#include "deploy/verb/verbs.h"
#include "ingest/registry/registry_configure.h"
#include "ingest/registry/subject.h"
#include "schemas/error.h"
#include "schemas/nearest.h"

#define SUBJECTS_CHOSEN_MAX 64

struct asking {
    struct verb_call *call;
    struct registry_config registry;
    struct registry_client *client; /* NULL: no registry is configured */
    struct subject own[TOPIC_COUNT];
    size_t own_count;
    struct str chosen[SUBJECTS_CHOSEN_MAX]; /* --subject; none: all */
    size_t chosen_count;
    struct render_table *table;
    struct arena arena;
    int worst; /* exit_code of what was found */
};

static bool is_chosen(const struct asking *asking, struct str name)
{
    for (size_t i = 0; i < asking->chosen_count; i++)
        if (str_equal(asking->chosen[i], name))
            return true;
    return asking->chosen_count == 0;
}

static const struct subject *own_subject(const struct asking *asking, struct str name)
{
    for (size_t i = 0; i < asking->own_count; i++)
        if (str_equal(str_of(asking->own[i].name), name))
            return &asking->own[i];
    return NULL;
}

static void add_id(struct render_table *table, const struct registry_version *version)
{
    if (version->version == 0) {
        render_nothing(table);
        render_nothing(table);
        return;
    }
    render_integer(table, version->version);
    render_integer(table, version->id);
}

static void add_text(struct render_table *table, const char *text)
{
    if (text[0])
        render_text(table, str_of(text));
    else
        render_nothing(table);
}

static int fail(const struct asking *asking, int error, const char *subject, const char *why)
{
    return verb_fail(asking->call, error, "%s%s%s", subject, why[0] ? ": " : "", why);
}

/* ---- check ---- */

static const char *const state_names[] = {
    [SUBJECT_REGISTERED] = "registered",
    [SUBJECT_COMPATIBLE] = "compatible",
    [SUBJECT_INCOMPATIBLE] = "incompatible",
    [SUBJECT_MISSING] = "missing",
};

static int worse(int a, int b)
{
    if (a == EXIT_OK || b == EXIT_FAILED)
        return b;
    return a;
}

static int check_subject(struct asking *asking, const struct subject *subject)
{
    struct subject_check found;
    char why[REGISTRY_WHY_SIZE];
    int r = subject_check(asking->client, subject, &found, why);
    if (r < 0)
        return fail(asking, r, subject->name, why);
    bool other_level = found.state != SUBJECT_MISSING && strcmp(found.level, SUBJECT_LEVEL) != 0;
    if (found.state == SUBJECT_INCOMPATIBLE || other_level)
        asking->worst = worse(asking->worst, EXIT_FAILED);
    if (found.state == SUBJECT_MISSING)
        asking->worst = worse(asking->worst, EXIT_NOT_FOUND);
    if (found.state != SUBJECT_INCOMPATIBLE)
        (void)snprintf(why, sizeof why, "%s",
            other_level ? "the level is not " SUBJECT_LEVEL ": tabiji schema register" : "");
    render_text(asking->table, str_of(subject->name));
    render_text(asking->table, str_of(subject->entry->name));
    render_text(asking->table, str_of(state_names[found.state]));
    add_id(asking->table, &found.found);
    add_text(asking->table, found.level);
    add_text(asking->table, why);
    return EXIT_OK;
}

static const struct render_column check_columns[] = {
    {"subject", "subject", RENDER_LEFT, 0},
    {"record", "record", RENDER_LEFT, 0},
    {"state", "state", RENDER_LEFT, 0},
    {"version", "version", RENDER_RIGHT, 0},
    {"id", "id", RENDER_RIGHT, 0},
    {"compatibility", "level", RENDER_LEFT, 0},
    {"reason", "reason", RENDER_LEFT, 0},
};

/* ---- register ---- */

static int register_subject(struct asking *asking, const struct subject *subject)
{
    struct registry_version version = {.version = 0};
    char why[REGISTRY_WHY_SIZE];
    struct str name = str_of(subject->name), text = str_of(subject->entry->text);
    uint32_t id;
    int r = registry_lookup(asking->client, name, text, &version, why);
    bool there = r == 0;
    if (r == ERR_NOT_FOUND)
        r = subject_id(asking->client, subject, true, &id, why);
    if (r == 0 && !there)
        r = registry_lookup(asking->client, name, text, &version, why);
    if (r == 0)
        r = registry_set_level(asking->client, name, SUBJECT_LEVEL, why);
    bool refused = r == ERR_SCHEMA_INCOMPATIBLE || r == ERR_SCHEMA_VIOLATION;
    if (r < 0 && !refused)
        return fail(asking, r, subject->name, why);
    if (refused)
        asking->worst = EXIT_FAILED;
    render_text(asking->table, name);
    render_text(asking->table, str_of(subject->entry->name));
    render_text(asking->table, refused ? STR("refused")
                               : there ? STR("was there")
                                       : STR("registered"));
    add_id(asking->table, &version);
    add_text(asking->table, refused ? "" : SUBJECT_LEVEL);
    add_text(asking->table, refused ? why : "");
    return EXIT_OK;
}

/* ---- list ---- */

struct names {
    struct asking *asking;
    struct str *items;
    size_t count;
    size_t room;
};

static int keep_name(void *context, struct str name)
{
    struct names *names = context;
    if (!is_chosen(names->asking, name))
        return 0;
    if (names->count == names->room) {
        size_t room = names->room ? names->room * 2 : 64;
        struct str *items = realloc(names->items, room * sizeof *items);
        if (!items)
            return ERR_NO_MEMORY;
        names->items = items;
        names->room = room;
    }
    int r = arena_dup(&names->asking->arena, name, &names->items[names->count]);
    names->count += r == 0;
    return r;
}

static int by_name(const void *a, const void *b)
{
    const struct str *left = a, *right = b;
    size_t size = left->size < right->size ? left->size : right->size;
    int order = size ? memcmp(left->data, right->data, size) : 0;
    if (order == 0)
        order = left->size < right->size ? -1 : left->size > right->size;
    return order;
}

/* Whether the newest version is this build's schema, for a subject of ours. */
static int add_newest(struct asking *asking, const struct subject *own, int64_t newest)
{
    struct registry_version version = {.version = 0};
    char why[REGISTRY_WHY_SIZE];
    if (!own) {
        render_nothing(asking->table);
        render_nothing(asking->table);
        return EXIT_OK;
    }
    int r =
        registry_lookup(asking->client, str_of(own->name), str_of(own->entry->text), &version, why);
    if (r < 0 && r != ERR_NOT_FOUND)
        return fail(asking, r, own->name, why);
    render_text(asking->table, str_of(own->entry->name));
    render_text(
        asking->table, version.version == newest ? STR("this build's") : STR("another version"));
    return EXIT_OK;
}

static int list_subject(struct asking *asking, struct str name)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct registry_version version = {.version = 0};
    char level[REGISTRY_LEVEL_SIZE] = "", why[REGISTRY_WHY_SIZE];
    int r = registry_latest(asking->client, name, &version, &text, why);
    if (r == ERR_NOT_FOUND) /* gone since */
        return EXIT_OK;
    if (r == 0 || r == ERR_SCHEMA_INCOMPATIBLE)
        r = registry_level(asking->client, name, level, why);
    if (r < 0 && r != ERR_NOT_FOUND)
        return verb_fail(asking->call, r, "%.*s: %s", (int)name.size, name.data, why);
    render_text(asking->table, name);
    add_id(asking->table, &version);
    add_text(asking->table, level);
    return add_newest(asking, own_subject(asking, name), version.version);
}

static const struct render_column list_columns[] = {
    {"subject", "subject", RENDER_LEFT, 0},
    {"version", "version", RENDER_RIGHT, 0},
    {"id", "id", RENDER_RIGHT, 0},
    {"compatibility", "level", RENDER_LEFT, 0},
    {"record", "record", RENDER_LEFT, 0},
    {"newest", "newest", RENDER_LEFT, 0},
};

static int list_subjects(struct asking *asking)
{
    struct names names = {.asking = asking};
    char why[REGISTRY_WHY_SIZE];
    int r = registry_subjects(asking->client, keep_name, &names, why);
    if (r < 0) {
        free(names.items);
        return fail(asking, r, "subjects", why);
    }
    if (names.count)
        qsort(names.items, names.count, sizeof *names.items, by_name);
    int code = EXIT_OK;
    for (size_t i = 0; i < names.count && code == EXIT_OK; i++)
        code = list_subject(asking, names.items[i]);
    if (code == EXIT_OK && asking->chosen_count > names.count) {
        (void)fprintf(stderr, "tabiji schema: the registry has %zu of %zu subjects\n", names.count,
            asking->chosen_count);
        asking->worst = EXIT_NOT_FOUND;
    }
    free(names.items);
    return code;
}

/* Without a registry: the ids of the file that the program was built with. */
static const struct render_column file_columns[] = {
    {"id", "id", RENDER_RIGHT, 0},
    {"record", "record", RENDER_LEFT, 0},
    {"fingerprint", "fingerprint", RENDER_LEFT, 0},
    {"written", "written", RENDER_LEFT, 0},
};

static int list_file(struct asking *asking)
{
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    (void)fprintf(stderr, "tabiji schema: no [registry] url: ids of this build\n");
    for (size_t i = 0; i < count; i++) {
        char hex[32];
        (void)snprintf(hex, sizeof hex, "%016llx", (unsigned long long)entries[i].fingerprint);
        render_integer(asking->table, entries[i].id);
        render_text(asking->table, str_of(entries[i].name));
        render_text(asking->table, str_of(hex));
        render_text(asking->table, entries[i].type ? STR("yes") : STR("read only"));
    }
    return EXIT_OK;
}

/* ---- the verbs ---- */

static int each_own(
    struct asking *asking, int (*fn)(struct asking *asking, const struct subject *subject))
{
    int code = EXIT_OK;
    for (size_t i = 0; i < asking->own_count && code == EXIT_OK; i++)
        if (is_chosen(asking, str_of(asking->own[i].name)))
            code = fn(asking, &asking->own[i]);
    return code;
}

static int run_register(struct asking *asking)
{
    return each_own(asking, register_subject);
}

static int run_check(struct asking *asking)
{
    return each_own(asking, check_subject);
}

static int run_list(struct asking *asking)
{
    return asking->client ? list_subjects(asking) : list_file(asking);
}

#define COLUMNS(columns) (columns), sizeof(columns) / sizeof *(columns)
static const struct {
    const char *name;
    int (*run)(struct asking *asking);
    bool own; /* --subject names one of ours; a registry is needed */
    const struct render_column *columns;
    size_t columns_count;
} verbs[] = {
    {"register", run_register, true, COLUMNS(check_columns)},
    {"check", run_check, true, COLUMNS(check_columns)},
    {"list", run_list, false, COLUMNS(list_columns)},
};

/* Splits --subject; of verbs on our own subjects each must be one of them. */
static int choose(struct asking *asking, bool own_only)
{
    struct str names[TOPIC_COUNT];
    struct str rest = str_of(verb_value(asking->call, "--subject"));
    for (size_t i = 0; i < asking->own_count; i++)
        names[i] = str_of(asking->own[i].name);
    while (rest.size) {
        const char *comma = memchr(rest.data, ',', rest.size);
        struct str name = str_make(rest.data, comma ? (size_t)(comma - rest.data) : rest.size);
        rest = str_make(
            rest.data + name.size + (comma != NULL), rest.size - name.size - (comma != NULL));
        if (asking->chosen_count == SUBJECTS_CHOSEN_MAX)
            return verb_usage(asking->call, "too many subjects");
        if (own_only && !own_subject(asking, name)) {
            struct str near = nearest_name(name, names, asking->own_count);
            return verb_usage(asking->call, "\"%.*s\" is no subject of this program%s%.*s%s",
                (int)name.size, name.data, near.size ? ": did you mean \"" : "", (int)near.size,
                near.size ? near.data : "", near.size ? "\"?" : "");
        }
        asking->chosen[asking->chosen_count++] = name;
    }
    return EXIT_OK;
}

static int open_registry(struct asking *asking, bool needed)
{
    struct config_problem problem = {.text = ""};
    int r = registry_configure(asking->call->config, &asking->registry, &problem);
    if (r == REGISTRY_NONE)
        return needed ? verb_usage(asking->call, "needs [registry] url (--registry URL)") : EXIT_OK;
    if (r < 0) {
        (void)fprintf(stderr, "tabiji schema: %s\n", problem.text);
        return EXIT_USAGE;
    }
    r = registry_client_new(&asking->registry, &asking->client);
    return r < 0 ? verb_fail(asking->call, r, "cannot start") : EXIT_OK;
}

static int run_verb(struct asking *asking, size_t verb)
{
    const char *prefix = config_path(asking->call->config, OPTION_STREAM_PREFIX);
    for (int t = 0; t < TOPIC_COUNT; t++)
        asking->own_count += subject_of(prefix, (enum topic)t, &asking->own[asking->own_count]);
    int code = choose(asking, verbs[verb].own);
    if (code == EXIT_OK)
        code = open_registry(asking, verbs[verb].own);
    if (code != EXIT_OK)
        return code;
    bool file = !asking->client;
    int r = render_new(&asking->table, file ? file_columns : verbs[verb].columns,
        file ? sizeof file_columns / sizeof *file_columns : verbs[verb].columns_count);
    if (r < 0)
        return verb_fail(asking->call, r, "%s", verbs[verb].name);
    code = verbs[verb].run(asking);
    if (code != EXIT_OK)
        return code;
    r = render_write(asking->table, asking->call->json, stdout);
    return r < 0 ? verb_fail(asking->call, r, "%s", verbs[verb].name) : asking->worst;
}

static int run(struct verb_call *call)
{
    static struct asking asking; /* too large for a small stack */
    size_t count = sizeof verbs / sizeof *verbs, verb = 0;
    while (verb < count && strcmp(verbs[verb].name, call->arguments[0]) != 0)
        verb++;
    if (verb == count)
        return verb_usage(call, "knows register, check and list, not \"%s\"", call->arguments[0]);
    asking = (struct asking){.call = call};
    int code = run_verb(&asking, verb);
    registry_client_free(&asking.client);
    render_free(&asking.table);
    arena_free(&asking.arena);
    return code;
}

static const struct verb_option options[] = {
    {"--subject", "NAME", "only this subject; may be given again", NULL, true},
    {"--registry", "URL", "address of the registry", "registry.url", false},
};

const struct verb verb_schema = {
    .name = "schema",
    .summary = "register and check this build's schemas at a schema registry",
    .arguments = "register | check | list",
    .detail =
        "The subjects of this program are PREFIX.TOPIC.v1-value, one for each topic that others "
        "may read.\n"
        "register adds this build's schemas to them and sets their compatibility to FULL; what "
        "runs over Kafka does\n"
        "the same at its start, unless [registry] auto_register = no.\n"
        "check asks, and changes nothing, whether the registry has this build's schemas or would "
        "take them: exit 0 when\n"
        "all are registered or compatible and their level is FULL, 1 when one is not, 4 when a "
        "subject is missing.\n"
        "list shows all subjects of the registry with their newest version; without a registry the "
        "ids that this build\n"
        "was made with. Exit 4: a subject of --subject is not there.\n"
        "Credentials, certificates, timeouts: [registry] (tabiji config dump --doc). Exit 5: the "
        "registry refuses them, or\n"
        "is not trusted. Exit 7: it does not answer.",
    .examples = "  tabiji schema check --registry https://registry.example.jp --json\n"
                "  tabiji schema register --config tabiji.ini --subject tabiji.events.v1-value\n"
                "  tabiji schema list --registry http://127.0.0.1:8081",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
