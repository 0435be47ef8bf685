/*
 * `tabiji repartition --partitions N`: a new generation of topics, with other partitions, from the
 * events of the old one. Growing a topic in place would send the keys of persons elsewhere than
 * their state is; so all is derived again beside it, and the old generation stays until it is told
 * to go.
 */
#include <stdio.h>

#include "deploy/replay.h"
#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"

#define KAFKA_TIMEOUT_MS 30000
#define PARTITIONS_MAX 10000

static void say_cut_over(const char *from, const char *into, long long partitions)
{
    (void)fprintf(stderr,
        "The topics of %s stay as they are. To go over to %s without losing an event:\n"
        " 1. work and sink with [stream] prefix = %s, group = %s, partitions = %lld, and with a\n"
        "    state directory and a database of their own, beside the old ones\n"
        " 2. collectors and imports, one after the other, with that prefix\n"
        " 3. the same repartition again, until it copies 0 records: what came to %s meanwhile\n"
        " 4. the old work and sink may end; tabiji repartition --drop %s --confirm\n",
        from, into, into, into, partitions, from, from);
}

static int drop(struct verb_call *call, struct settings *settings, const char *prefix)
{
    struct kafka_config kafka;
    int count = 0;
    int r = serve_kafka(settings, "", &kafka);
    if (r < 0)
        return verb_fail(call, r, "Kafka");
    if (strcmp(kafka.prefix, prefix) == 0)
        return verb_usage(call,
            "%s is [stream] prefix, which is in use by this configuration: name the old one, with "
            "the new one configured",
            prefix);
    if (!verb_switch(call, "--confirm")) {
        (void)fprintf(stderr, "nothing was deleted: --confirm deletes all topics of %s\n", prefix);
        return EXIT_USAGE;
    }
    char problem[CONFIG_PROBLEM_SIZE] = "";
    kafka.prefix = prefix;
    r = kafka_config_check(&kafka, problem, sizeof problem);
    if (r < 0)
        return verb_usage(call, "%s", problem);
    r = kafka_topics_delete(&kafka, KAFKA_TIMEOUT_MS, &count);
    if (r < 0)
        return verb_fail(call, r, "the topics of %s", prefix);
    if (call->json)
        (void)printf("{\"prefix\":\"%s\",\"deleted\":%d}\n", prefix, count);
    else
        (void)printf("%d topics of %s deleted\n", count, prefix);
    return count ? EXIT_OK : EXIT_NOT_FOUND;
}

static int repartition(struct verb_call *call, struct settings *settings)
{
    char made[KAFKA_TOPIC_SIZE_MAX];
    const char *from = config_path(call->config, OPTION_STREAM_PREFIX);
    const char *into = verb_value(call, "--into");
    long long partitions = 0, rate = 0;
    int r = verb_integer(call, "--partitions", 1, PARTITIONS_MAX, &partitions);
    if (r == 0)
        r = verb_integer(call, "--rate", 1, INT32_MAX, &rate);
    if (r)
        return r;
    if (partitions == 0)
        return verb_usage(call, "needs --partitions N, or --drop PREFIX");
    (void)snprintf(made, sizeof made, "%s-p%lld", from, partitions);
    const struct replay_topics wanted = {.prefix = into ? into : made,
        .partitions = partitions,
        .rate = rate,
        .partial = verb_switch(call, "--partial"),
        .dry_run = verb_switch(call, "--dry-run")};
    r = replay_into_topics(call, settings, &wanted);
    if (r == EXIT_OK && !call->json && !wanted.dry_run)
        say_cut_over(from, wanted.prefix, partitions);
    return r;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    const char *gone = verb_value(call, "--drop");
    if (!serve_wants_kafka(call))
        return EXIT_USAGE;
    int r = settings_open(&settings, call->config);
    if (r < 0)
        r = verb_fail(call, r, "configuration");
    else
        r = gone ? drop(call, &settings, gone) : repartition(call, &settings);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--partitions", "N", "partitions of the new topics", NULL, false},
    {"--into", "PREFIX", "prefix of the new topics (that of the old ones, \"-p\" and N)", NULL,
        false},
    {"--rate", "N", "at most so many events a second", NULL, false},
    {"--partial", NULL, "go on where the topics' retention has deleted events", NULL, false},
    {"--dry-run", NULL, "only say how much would be copied", NULL, false},
    {"--drop", "PREFIX", "delete the topics of an old generation", NULL, false},
    {"--confirm", NULL, "with --drop: do it", NULL, false},
};

const struct verb verb_repartition = {
    .name = "repartition",
    .summary = "a new generation of topics with more partitions, by replay",
    .arguments = "",
    .detail =
        "Copies the events and rejections of [stream] prefix to topics of another prefix with N "
        "partitions, which are\n"
        "made when they are missing. Workers of that prefix derive the same tables from them. The "
        "old topics stay, and\n"
        "what runs on them goes on. Cut off, or run again, it goes on where it was: so it also "
        "brings what came since.\n\n"
        "Going over, without losing an event:\n"
        " 1. repartition; then `work` and `sink` with the new prefix, another group, the new "
        "number "
        "of partitions, and a\n"
        "    state directory and database of their own, until their lag is 0\n"
        " 2. collectors and imports, one after the other, with the new prefix\n"
        " 3. repartition again, until it copies 0 records: what the last of them had sent to the "
        "old one\n"
        " 4. the old `work` and `sink` end; readers take the new database; repartition --drop "
        "OLD --confirm\n"
        "Between 2 and 3 the new tables may lack some seconds of events. Where retention has "
        "deleted events already\n"
        "it refuses, as their tables would be others: --partial does it all the same.",
    .examples = "  tabiji repartition --config tabiji.ini --partitions 16 --dry-run\n"
                "  tabiji repartition --config tabiji.ini --partitions 16 --rate 20000\n"
                "  tabiji repartition --config new.ini --drop tabiji --confirm",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};
