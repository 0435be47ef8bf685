/* See the header. */
#include "ingest/stream/kafka_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "ingest/stream/kafka_client.h"
#include "ingest/stream/kafka_error.h"

#define VERSION_SETTING "inter.broker.protocol.version"
#define TEXT_SIZE 256
#define PATH_SIZE 4096

static void take_version(const rd_kafka_ConfigResource_t *broker, struct kafka_cluster_report *out)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(broker, &count);
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (value && strcmp(rd_kafka_ConfigEntry_name(entries[i]), VERSION_SETTING) == 0)
            snprintf(out->version, sizeof out->version, "%s", value);
    }
}

/* A broker that does not tell, or not us, is no failure. */
static void ask_version(
    struct kafka_client *client, int32_t broker, int timeout_ms, struct kafka_cluster_report *out)
{
    char name[TEXT_SIZE];
    snprintf(name, sizeof name, "%d", broker);
    rd_kafka_ConfigResource_t *wanted = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    check(!rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, name, sizeof name));
    rd_kafka_DescribeConfigs(client->rk, &wanted, 1, options, queue);
    /* The request ends by itself within its timeout; the event always comes. */
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, -1);
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    size_t count = 0;
    const rd_kafka_ConfigResource_t **brokers =
        result ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
    for (size_t i = 0; i < count; i++)
        take_version(brokers[i], out);
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(wanted);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
}

int kafka_cluster_report(
    const struct kafka_config *config, int timeout_ms, struct kafka_cluster_report *out)
{
    struct kafka_client client;
    const struct rd_kafka_metadata *metadata;
    *out = (struct kafka_cluster_report){.brokers = 0};
    snprintf(out->library, sizeof out->library, "%s", rd_kafka_version_str());
    int r = kafka_client_open(&client, config, KAFKA_ROLE_ADMIN, NULL);
    if (r < 0)
        return r;
    r = kafka_metadata_get(&client, timeout_ms, &metadata);
    if (r == 0) {
        out->brokers = metadata->broker_cnt;
        if (metadata->broker_cnt > 0)
            ask_version(&client, metadata->brokers[0].id, timeout_ms, out);
        rd_kafka_metadata_destroy(metadata);
    }
    kafka_client_close(&client);
    return r;
}

/* The process that holds the file's lock, or 0. Source: proc_locks(5). */
static int holder_of(const char *path)
{
    char line[TEXT_SIZE], wanted[TEXT_SIZE];
    struct stat status;
    int pid = 0, found = 0;
    FILE *locks = fopen("/proc/locks", "re");
    if (!locks || stat(path, &status) != 0) {
        if (locks)
            fclose(locks);
        return 0;
    }
    snprintf(wanted, sizeof wanted, " %02x:%02x:%lu ", major(status.st_dev), minor(status.st_dev),
        (unsigned long)status.st_ino);
    while (!found && fgets(line, sizeof line, locks))
        if (strstr(line, wanted) && strstr(line, "FLOCK") &&
            sscanf(line, "%*s %*s %*s %*s %d", &pid) == 1)
            found = pid;
    fclose(locks);
    return found;
}

enum kafka_slot_owner kafka_slot_look(
    const struct kafka_config *config, char *path, size_t size, int *pid)
{
    char lock[PATH_SIZE];
    struct stat status;
    snprintf(path, size, "%s/%s", config->state_dir, config->slot);
    int written = snprintf(lock, sizeof lock, "%s/lock", path);
    if (written < 0 || (size_t)written >= sizeof lock || stat(path, &status) != 0)
        return errno == EACCES ? KAFKA_SLOT_FOREIGN : KAFKA_SLOT_NONE;
    if (status.st_uid != geteuid() || access(path, R_OK | W_OK | X_OK) != 0)
        return KAFKA_SLOT_FOREIGN;
    *pid = holder_of(lock);
    return *pid ? KAFKA_SLOT_RUNNING : KAFKA_SLOT_FREE;
}
