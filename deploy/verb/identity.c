/* `tabiji identity show ID`, `tabiji identity solve FILE`: who is whom, and why. */
#include <errno.h>
#include <stdio.h>

#include "deploy/solve.h"
#include "deploy/verb/identity_show.h"
#include "deploy/verb/preview.h"
#include "deploy/verb/verbs.h"
#include "ingest/door.h"
#include "schemas/error.h"

/* Limits of the executable specification. Source: identity_spec.py, solve(). */
#define UP_DEFAULT 5
#define DOWN_DEFAULT 1000
#define LIMIT_MAX 1000000000

static void set_limits(struct namespace_table *table, long long up, long long down)
{
    for (size_t i = 0; i < table->count; i++) {
        struct namespace_rule *rule = &table->rules[i];
        rule->protected_max = str_equal(rule->name, STR("loyalty"));
        rule->generic_up_max = (int32_t)up;
        rule->generic_down_max = (int32_t)down;
    }
}

/* What [identity] says; in the arena. Returns 0, or an exit_code after saying what is wrong. */
static int read_configured(
    struct verb_call *call, struct arena *arena, const struct namespace_table **out)
{
    struct config_problem problem = {.text = ""};
    if (verb_value(call, "--up") || verb_value(call, "--down"))
        return verb_usage(call, "--configured takes the limits of [identity]: no --up, no --down");
    int r = door_configure_namespaces(call->config, arena, out, &problem);
    if (r == ERR_CONFIG)
        return verb_end(call, EXIT_USAGE, error_name(r), "identity: %s", problem.text);
    return r < 0 ? verb_fail(call, r, "configuration") : 0;
}

/* Those of the specification, with the limits of the call. Returns as above. */
static int read_limits(struct verb_call *call, struct namespace_table *out)
{
    long long up = UP_DEFAULT, down = DOWN_DEFAULT;
    int r = verb_integer(call, "--up", 1, LIMIT_MAX, &up);
    if (r == 0)
        r = verb_integer(call, "--down", 1, LIMIT_MAX, &down);
    *out = *namespace_table_default();
    set_limits(out, up, down);
    return r;
}

static int solve_file(struct verb_call *call, FILE *in, const char *name)
{
    CLEANUP(arena_free) struct arena arena = {0};
    struct namespace_table limited;
    const struct namespace_table *namespaces = &limited;
    struct solve_counts counts;
    int r = verb_switch(call, "--configured") ? read_configured(call, &arena, &namespaces)
                                              : read_limits(call, &limited);
    if (r)
        return r;
    const struct solve_options options = {
        .namespaces = namespaces,
        .places = verb_switch(call, "--places"),
        .in = in,
        .name = name,
        .out = stdout,
        .messages = stderr,
    };
    r = solve(&options, &counts);
    if (r < 0)
        return verb_fail(call, r, "%s", name);
    if (counts.bad)
        (void)fprintf(stderr, "tabiji identity: %llu of %llu lines could not be read\n", counts.bad,
            counts.lines);
    return counts.bad ? EXIT_PARTIAL : EXIT_OK;
}

static int run_solve(struct verb_call *call)
{
    if (call->arguments_count != 2)
        return verb_usage(call, "solve needs one FILE (- for standard input)");
    const char *name = call->arguments[1];
    if (strcmp(name, "-") == 0)
        return solve_file(call, stdin, "-");
    FILE *in = fopen(name, "r");
    if (!in) {
        bool absent = errno == ENOENT;
        return verb_end(call, absent ? EXIT_NOT_FOUND : EXIT_FAILED,
            error_name(absent ? ERR_NOT_FOUND : ERR_IO), "%s: %s", name, strerror(errno));
    }
    int r = solve_file(call, in, name);
    (void)fclose(in);
    return r;
}

static int run(struct verb_call *call)
{
    const char *what = call->arguments[0];
    if (strcmp(what, "solve") == 0)
        return run_solve(call);
    if (strcmp(what, "show") == 0)
        return identity_show(call);
    if (strcmp(what, "preview-unlink") == 0 || strcmp(what, "preview-link") == 0)
        return preview_run(call, strcmp(what, "preview-link") == 0);
    return verb_usage(call, "knows show, solve, preview-link and preview-unlink, not \"%s\"", what);
}

static const struct verb_option options[] = {
    {"--data", "DIR", "show, preview-*: data directory", "data.dir", false},
    {"--database", "FILE", "show, preview-*: SQLite file", "sink.sqlite.path", false},
    {"--up", "N", "solve: most distinct neighbours of one stronger namespace (5)", NULL},
    {"--down", "N", "solve: most distinct neighbours of one weaker namespace (1000)", NULL},
    {"--configured", NULL,
        "solve: the namespaces, protected counts and limits of [identity], instead of --up and "
        "--down",
        NULL},
    {"--places", NULL, "solve: whom each event belongs to, instead of each identifier", NULL},
    {"--limit", "N",
        "show, preview-*: most links or events shown (default 100; 0: all, as under --json)", NULL,
        false},
};

const struct verb verb_identity = {
    .name = "identity",
    .summary = "who an identifier is, who is whom in a file, what linking would change",
    .arguments = "show ID|PERSON | solve FILE | preview-link A B | preview-unlink A B",
    .detail =
        "show prints whose an identifier (namespace:value) is, why, its root, and what it was seen "
        "with: how often,\n"
        "first and last; of a person's id (old ones resolve) its identifiers. --json: "
        "{\"identifier\", \"links\"}, or\n"
        "{\"person\", \"asked\", \"identifiers\"}.\n"
        "solve reads lines {\"id\": TEXT, \"time\": INTEGER, \"ids\": [[NAMESPACE, VALUE], ...]} "
        "and prints the root of\n"
        "every identifier, found by the pipeline's own reducers: what would identity say about my "
        "data. Values\n"
        "count as they stand, blocked ones too. A line that cannot be read is named and left out "
        "(exit 6).\n"
        "preview-unlink says which events and identifiers would go to another person if A and B "
        "(namespace:value)\n"
        "were said not to be one person; preview-link, if they were; and which events would be "
        "erased. Nothing is\n"
        "written, and what runs on the data directory may go on. Exit 4: nobody is known by one of "
        "them, or nothing ever\n"
        "linked them (preview-unlink).",
    .examples = "  tabiji identity show --data shop email:hana@example.jp\n"
                "  tabiji identity preview-unlink --data shop login:u-1 cookie:c-9\n"
                "  tabiji identity solve events.ndjson\n"
                "  tabiji identity solve --places --up 3 events.ndjson\n"
                "  tabiji identity solve --configured --set 'identity.generic_up=5, phone 2' "
                "events.ndjson",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 4,
    .run = run,
};
