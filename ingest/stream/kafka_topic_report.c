/*
 * See the header. The protocol's AlterConfigs (the only one that librdkafka 2.0 has) resets what a
 * request does not name, so that a request names what was set before, too.
 */
#include "ingest/stream/kafka_topic_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>

#include "ingest/stream/kafka_client.h"
#include "ingest/stream/kafka_error.h"
#include "ingest/stream/kafka_task.h"

#define TEXT_SIZE 256
#define IN_SYNC_USUAL 2 /* of three replicas and more: one may be away, and none is alone */
#define REPLICAS_FOR_USUAL 3

enum setting_kind {
    SET,
    LEAST,
};
static const struct {
    const char *name;
    enum setting_kind kind;
} settings[KAFKA_TOPIC_SETTINGS] = {
#define X(symbol, name, kind) {name, kind},
    KAFKA_TOPIC_SETTING_LIST(X)
#undef X
};

/* How a topic forgets. A published table keeps each row's newest value for ever: rows end by
 * tombstone, not by age. Source: ARCHITECTURE, "Topics". */
static const struct {
    const char *cleanup;
    const char *retention_ms;
} retention[TOPIC_COUNT] = {
    [TOPIC_EVENTS] = {"delete", "604800000"},
    [TOPIC_REJECTED] = {"delete", "2592000000"},
    [TOPIC_IDENTITY] = {"delete", "604800000"},
    [TOPIC_JOURNEY] = {"delete", "604800000"},
    [TOPIC_IDENTITY_STATE] = {"compact", "-1"},
    [TOPIC_JOURNEY_STATE] = {"compact", "-1"},
    [TOPIC_PERSONS] = {"compact", "-1"},
    [TOPIC_TOUCHPOINTS] = {"compact,delete", "-1"},
    [TOPIC_SESSIONS] = {"compact", "-1"},
    [TOPIC_CONVERSIONS] = {"compact", "-1"},
    [TOPIC_PROFILES] = {"compact", "-1"},
    [TOPIC_MODELS] = {"compact", "-1"},
};

const char *kafka_topic_setting_name(enum kafka_topic_setting setting)
{
    check((unsigned)setting < KAFKA_TOPIC_SETTINGS);
    return settings[setting].name;
}

void kafka_topic_wanted(const struct kafka_config *config, enum topic topic,
    enum kafka_topic_setting setting, char out[KAFKA_SETTING_SIZE_MAX])
{
    int in_sync = config->min_insync_replicas;
    switch (setting) {
    case KAFKA_TOPIC_CLEANUP:
        snprintf(out, KAFKA_SETTING_SIZE_MAX, "%s", retention[topic].cleanup);
        break;
    case KAFKA_TOPIC_RETENTION:
        snprintf(out, KAFKA_SETTING_SIZE_MAX, "%s", retention[topic].retention_ms);
        break;
    case KAFKA_TOPIC_TOMBSTONES:
        snprintf(out, KAFKA_SETTING_SIZE_MAX, "%s", KAFKA_TOMBSTONES_KEPT_MS);
        break;
    case KAFKA_TOPIC_VALUE_SIZE:
        snprintf(out, KAFKA_SETTING_SIZE_MAX, "%zu", KAFKA_VALUE_SIZE_MAX);
        break;
    case KAFKA_TOPIC_IN_SYNC:
        if (in_sync == 0 && config->replication_factor >= REPLICAS_FOR_USUAL)
            in_sync = IN_SYNC_USUAL;
        out[0] = '\0';
        if (in_sync > 0) /* else what the brokers have as their default, which may be stricter */
            snprintf(out, KAFKA_SETTING_SIZE_MAX, "%d", in_sync);
        break;
    case KAFKA_TOPIC_SETTINGS:
        check(false);
    }
}

int32_t kafka_topic_partitions_wanted(const struct kafka_config *config, enum topic topic)
{
    return kafka_topic_of_identity(topic) ? config->events_partitions : config->journey_partitions;
}

/* ---- comparing ---- */

static bool has_word(const char *list, const char *word, size_t size)
{
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == size && memcmp(at, word, size) == 0)
            return true;
    return false;
}

static bool has_words(const char *list, const char *words)
{
    for (const char *at = words; *at; at += strcspn(at, ","), at += *at == ',')
        if (!has_word(list, at, strcspn(at, ",")))
            return false;
    return true;
}

/* -1 is without limit. */
static bool at_least(const char *is, const char *wanted)
{
    long long number = strtoll(is, NULL, 10), least = strtoll(wanted, NULL, 10);
    return number < 0 || (least >= 0 && number >= least);
}

static bool setting_fits(enum kafka_topic_setting setting, const char *is, const char *wanted)
{
    if (!wanted[0])
        return true;
    if (settings[setting].kind == LEAST)
        return at_least(is, wanted);
    return has_words(is, wanted) && has_words(wanted, is);
}

/* ---- asking ---- */

static void take_metadata(
    const struct rd_kafka_metadata_topic *topic, struct kafka_topic_report *out)
{
    out->partitions = topic->partition_cnt;
    for (int i = 0; i < topic->partition_cnt; i++) {
        const struct rd_kafka_metadata_partition *partition = &topic->partitions[i];
        if (i == 0 || partition->replica_cnt < out->replicas)
            out->replicas = partition->replica_cnt;
        if (i == 0 || partition->isr_cnt < out->in_sync)
            out->in_sync = partition->isr_cnt;
        out->leaderless += partition->leader < 0;
    }
}

static int ask_counts(
    struct kafka_client *client, int timeout_ms, struct kafka_topic_report out[TOPIC_COUNT])
{
    const struct rd_kafka_metadata *metadata;
    int r = kafka_metadata_get(client, timeout_ms, &metadata);
    if (r < 0)
        return r;
    for (int i = 0; i < metadata->topic_cnt; i++) {
        int topic = kafka_topic_of(client->config, metadata->topics[i].topic);
        if (topic >= 0 && !metadata->topics[i].err)
            take_metadata(&metadata->topics[i], &out[topic]);
    }
    rd_kafka_metadata_destroy(metadata);
    return 0;
}

/* Waits for the one event of an admin request, which ends by itself within its timeout. Returns 0
 * with *out, or the request's error, logged. */
static int await_event(struct kafka_client *client, rd_kafka_queue_t *queue, rd_kafka_event_t **out)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, -1);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code) {
        kafka_log(
            client->config, LOG_ERR, "kafka_topics", "%s", rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
        return kafka_error_of(code);
    }
    *out = event;
    return 0;
}

static rd_kafka_AdminOptions_t *options_new(
    struct kafka_client *client, rd_kafka_admin_op_t operation, int timeout_ms)
{
    char text[TEXT_SIZE];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client->rk, operation);
    check(!rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text));
    return options;
}

static int describe(struct kafka_client *client, int timeout_ms, rd_kafka_event_t **out)
{
    rd_kafka_ConfigResource_t *wanted[TOPIC_COUNT];
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_AdminOptions_t *options =
        options_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
    for (int i = 0; i < TOPIC_COUNT; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        kafka_topic_name(client->config, (enum topic)i, name);
        wanted[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    }
    rd_kafka_DescribeConfigs(client->rk, wanted, TOPIC_COUNT, options, queue);
    int r = await_event(client, queue, out);
    rd_kafka_ConfigResource_destroy_array(wanted, TOPIC_COUNT);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return r;
}

static void take_settings(
    const rd_kafka_ConfigResource_t *resource, struct kafka_topic_report *report)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++)
        for (int s = 0; s < KAFKA_TOPIC_SETTINGS; s++) {
            const char *value = rd_kafka_ConfigEntry_value(entries[i]);
            if (!value || strcmp(rd_kafka_ConfigEntry_name(entries[i]), settings[s].name) != 0)
                continue;
            snprintf(report->is[s], KAFKA_SETTING_SIZE_MAX, "%s", value);
            report->wrong[s] =
                !setting_fits((enum kafka_topic_setting)s, report->is[s], report->wanted[s]);
        }
}

static void take_described(struct kafka_client *client, const rd_kafka_event_t *event,
    struct kafka_topic_report out[TOPIC_COUNT])
{
    size_t count;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)(uintptr_t)event), &count);
    for (size_t i = 0; i < count; i++) {
        int topic = kafka_topic_of(client->config, rd_kafka_ConfigResource_name(resources[i]));
        rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[i]);
        if (topic < 0)
            continue;
        out[topic].denied = kafka_error_of(code) == ERR_AUTH;
        if (!code)
            take_settings(resources[i], &out[topic]);
    }
}

static void set_wanted(
    const struct kafka_config *config, enum topic topic, struct kafka_topic_report *report)
{
    *report = (struct kafka_topic_report){.replicas_wanted = config->replication_factor,
        .partitions_wanted = kafka_topic_partitions_wanted(config, topic)};
    kafka_topic_name(config, topic, report->name);
    for (int s = 0; s < KAFKA_TOPIC_SETTINGS; s++)
        kafka_topic_wanted(config, topic, (enum kafka_topic_setting)s, report->wanted[s]);
}

int kafka_topics_report(
    const struct kafka_config *config, int timeout_ms, struct kafka_topic_report out[TOPIC_COUNT])
{
    struct kafka_client client;
    rd_kafka_event_t *event = NULL;
    for (int i = 0; i < TOPIC_COUNT; i++)
        set_wanted(config, (enum topic)i, &out[i]);
    int r = kafka_client_open(&client, config, KAFKA_ROLE_ADMIN, NULL);
    if (r < 0)
        return r;
    r = ask_counts(&client, timeout_ms, out);
    if (r == 0)
        r = describe(&client, timeout_ms, &event);
    if (r == 0) {
        take_described(&client, event, out);
        rd_kafka_event_destroy(event);
    }
    kafka_client_close(&client);
    return r;
}

/* ---- setting ---- */

static bool any_wrong(const struct kafka_topic_report *report)
{
    bool any = false;
    for (int s = 0; s < KAFKA_TOPIC_SETTINGS; s++)
        any |= report->wrong[s];
    return any;
}

static bool is_wrong(const struct kafka_topic_report *report, const char *name)
{
    for (int s = 0; s < KAFKA_TOPIC_SETTINGS; s++)
        if (report->wrong[s] && strcmp(name, settings[s].name) == 0)
            return true;
    return false;
}

/* The topic's own settings as they are but for those that are to be others; each name once. */
static rd_kafka_ConfigResource_t *alteration(
    const rd_kafka_ConfigResource_t *is, const struct kafka_topic_report *report)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(is, &count);
    rd_kafka_ConfigResource_t *wanted =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, report->name);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_ConfigEntry_name(entries[i]);
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        bool own =
            rd_kafka_ConfigEntry_source(entries[i]) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
        if (own && value && !is_wrong(report, name))
            (void)rd_kafka_ConfigResource_set_config(wanted, name, value);
    }
    for (int s = 0; s < KAFKA_TOPIC_SETTINGS; s++)
        if (report->wrong[s])
            (void)rd_kafka_ConfigResource_set_config(wanted, settings[s].name, report->wanted[s]);
    return wanted;
}

static int alter_result(struct kafka_client *client, const rd_kafka_event_t *event)
{
    size_t count;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_AlterConfigs_result_resources(
        rd_kafka_event_AlterConfigs_result((rd_kafka_event_t *)(uintptr_t)event), &count);
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[i]);
        if (!code)
            continue;
        const char *why = rd_kafka_ConfigResource_error_string(resources[i]);
        kafka_log(client->config, LOG_ERR, "kafka_topics", "%s: %s",
            rd_kafka_ConfigResource_name(resources[i]), why ? why : rd_kafka_err2str(code));
        r = kafka_error_of(code);
    }
    return r;
}

static int alter(struct kafka_client *client, int timeout_ms, const rd_kafka_event_t *described,
    const struct kafka_topic_report reports[TOPIC_COUNT])
{
    rd_kafka_ConfigResource_t *wanted[TOPIC_COUNT];
    size_t wanted_count = 0, count;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)(uintptr_t)described), &count);
    for (size_t i = 0; i < count; i++) {
        int topic = kafka_topic_of(client->config, rd_kafka_ConfigResource_name(resources[i]));
        if (topic >= 0 && !rd_kafka_ConfigResource_error(resources[i]) &&
            any_wrong(&reports[topic]))
            wanted[wanted_count++] = alteration(resources[i], &reports[topic]);
    }
    if (wanted_count == 0)
        return 0;
    rd_kafka_event_t *event = NULL;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_AdminOptions_t *options =
        options_new(client, RD_KAFKA_ADMIN_OP_ALTERCONFIGS, timeout_ms);
    rd_kafka_AlterConfigs(client->rk, wanted, wanted_count, options, queue);
    int r = await_event(client, queue, &event);
    if (r == 0) {
        r = alter_result(client, event);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_ConfigResource_destroy_array(wanted, wanted_count);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return r;
}

int kafka_topics_set(const struct kafka_config *config, int timeout_ms,
    const struct kafka_topic_report reports[TOPIC_COUNT])
{
    struct kafka_client client;
    rd_kafka_event_t *event = NULL;
    int r = kafka_client_open(&client, config, KAFKA_ROLE_ADMIN, NULL);
    if (r < 0)
        return r;
    r = describe(&client, timeout_ms, &event);
    if (r == 0) {
        r = alter(&client, timeout_ms, event, reports);
        rd_kafka_event_destroy(event);
    }
    kafka_client_close(&client);
    return r;
}
