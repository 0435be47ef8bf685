/* `tabiji config dump`: the configuration in force. */
#include "ingest/config/config.h"

#include <stdio.h>

#include "deploy/verb/verbs.h"
#include "schemas/json.h"

struct dump {
    struct buf out;
    bool first;
};

static int add_entry(void *context, const struct config_entry *entry)
{
    struct dump *dump = context;
    const struct {
        const char *name;
        struct str value;
    } parts[] = {
        {"section", entry->section},
        {"key", entry->key},
        {"value", entry->value},
        {"origin", entry->origin},
    };
    int r = buf_append_str(&dump->out, dump->first ? STR("[{") : STR(",\n{"));
    dump->first = false;
    for (size_t i = 0; r == 0 && i < sizeof parts / sizeof *parts; i++) {
        r = buf_appendf(&dump->out, "%s\"%s\":", i ? "," : "", parts[i].name);
        if (r == 0)
            r = json_write_text(&dump->out, parts[i].value);
    }
    return r < 0 ? r : buf_append_str(&dump->out, STR("}"));
}

static int run(struct verb_call *call)
{
    if (strcmp(call->arguments[0], "dump") != 0)
        return verb_usage(call, "knows \"dump\", not \"%s\"", call->arguments[0]);
    int r;
    if (call->json) {
        struct dump dump = {.first = true};
        r = config_visit(call->config, add_entry, &dump);
        if (r == 0)
            (void)printf("%.*s]\n", (int)dump.out.size, dump.out.data);
        buf_free(&dump.out);
    } else {
        r = config_dump(
            call->config, verb_switch(call, "--origin"), verb_switch(call, "--doc"), stdout);
    }
    return r < 0 ? verb_fail(call, r, "cannot print the configuration") : EXIT_OK;
}

static const struct verb_option options[] = {
    {"--origin", NULL, "say of each value where it came from", NULL},
    {"--doc", NULL, "say of each key what it means", NULL},
};

const struct verb verb_config = {
    .name = "config",
    .summary = "print the configuration in force",
    .arguments = "dump",
    .detail = "Prints every value as it would be used, as INI that can be read back. Values come "
              "from defaults,\n"
              "then the file, then the environment (TABIJI_SECTION_KEY), then flags. Secrets are "
              "never shown.",
    .examples = "  tabiji config dump --origin\n"
                "  TABIJI_COLLECTOR_LISTEN=127.0.0.1:9000 tabiji config dump --json",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
