/*
 * `tabiji replay --from timelines`: makes what is derived from timelines anew, after a change of
 * [journey]. Events and persons stay as they are. A run that is cut off is begun again by the same
 * command; until it is whole, nothing else goes on with that directory.
 */
#include <stdio.h>

#include "deploy/embedded.h"
#include "deploy/verb/tables.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

static int replay(struct verb_call *call, struct settings *settings)
{
    struct embedded *embedded = NULL;
    if (!embedded_exists(settings))
        return tables_no_data(call, settings);
    settings->rederive = true;
    int r = embedded_open(settings, false, &embedded);
    if (r == 0)
        r = embedded_to_quiet(embedded, NULL, NULL);
    embedded_close(&embedded);
    if (r < 0)
        return verb_fail(call, r, "%s", config_path(settings->config, OPTION_DATA_DIR));
    (void)printf(call->json ? "{\"replayed\":true}\n" : "%s is as its settings say\n",
        config_path(settings->config, OPTION_DATA_DIR));
    return EXIT_OK;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    const char *from = verb_value(call, "--from");
    if (!from || strcmp(from, "timelines") != 0)
        return verb_usage(call, "needs --from timelines");
    int r = settings_open(&settings, call->config);
    r = r < 0 ? verb_fail(call, r, "configuration") : replay(call, &settings);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir", false},
    {"--from", "timelines", "what to begin from", NULL, false},
};

const struct verb verb_replay = {
    .name = "replay",
    .summary = "derive journeys anew after a change of their settings",
    .arguments = "",
    .detail =
        "Sessions, touches, conversions, paths and credits of every person are made again from "
        "its timeline, as\n"
        "[journey] says now. Events are not read again, persons stay. Cut off, it is begun "
        "again by the same command.\n"
        "The database shows the old tables until all of the new ones are there, then those: one "
        "transaction, for\n"
        "which it may grow to twice its size.",
    .examples = "  tabiji replay --from timelines --data shop --set journey.lookback_days=30",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};
