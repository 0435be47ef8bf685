/*
 * librdkafka's mock cluster for unit tests of the Kafka driver: brokers within the process, on
 * loopback. It stores no transactions and knows no admin requests; those need the real broker
 * (tests/e2e).
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ingest/stream/kafka.h"
#include "ingest/stream/kafka_client.h"
#include "schemas/error.h"

#define MOCK_PARTITIONS 4 /* what the mock gives topics that it makes by itself */
#define MOCK_PROPERTIES_MAX 8

struct kafka_mock {
    rd_kafka_t *owner;
    rd_kafka_mock_cluster_t *cluster;
    struct kafka_property properties[MOCK_PROPERTIES_MAX];
    struct kafka_config config;
    char directory[64];
    int logged;     /* lines at warning or worse */
    char last[512]; /* the last of them */
};

static inline void kafka_mock_log(void *context, int level, const char *event, const char *text)
{
    struct kafka_mock *mock = context;
    if (level > 4)
        return;
    mock->logged++;
    snprintf(mock->last, sizeof mock->last, "%s: %s", event, text);
}

static inline void kafka_mock_property(struct kafka_mock *mock, const char *name, const char *value)
{
    check(mock->config.properties_count < MOCK_PROPERTIES_MAX);
    mock->properties[mock->config.properties_count++] =
        (struct kafka_property){KAFKA_SCOPE_ALL, name, value, NULL};
}

/* Has the cluster make all topics, by asking about them; making each by a call takes long. */
static inline void kafka_mock_topics(struct kafka_mock *mock)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topics[TOPIC_COUNT];
    for (int i = 0; i < TOPIC_COUNT; i++) {
        char name[KAFKA_TOPIC_SIZE_MAX];
        kafka_topic_name(&mock->config, (enum topic)i, name);
        topics[i] = rd_kafka_topic_new(mock->owner, name, NULL);
    }
    check(!rd_kafka_metadata(mock->owner, 0, NULL, &metadata, KAFKA_ANSWER_MS));
    rd_kafka_metadata_destroy(metadata);
    for (int i = 0; i < TOPIC_COUNT; i++)
        rd_kafka_topic_destroy(topics[i]);
}

/* A cluster of one broker with all topics; a directory for files. */
static inline void kafka_mock_start(struct kafka_mock *mock)
{
    char text[256];
    *mock = (struct kafka_mock){.directory = "/tmp/tabiji-kafka-XXXXXX"};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    check(rd_kafka_conf_set(conf, "log_level", "0", text, sizeof text) == RD_KAFKA_CONF_OK);
    mock->owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    check(mock->owner && mkdtemp(mock->directory));
    mock->cluster = rd_kafka_mock_cluster_new(mock->owner, 1);
    const char *bootstrap = rd_kafka_mock_cluster_bootstraps(mock->cluster);
    check(rd_kafka_brokers_add(mock->owner, bootstrap) == 1);
    kafka_config_default(&mock->config);
    mock->config.properties = mock->properties;
    mock->config.state_dir = mock->directory;
    mock->config.log = kafka_mock_log;
    mock->config.log_context = mock;
    kafka_mock_property(mock, "bootstrap.servers", bootstrap);
    kafka_mock_topics(mock);
}

static inline void kafka_mock_stop(struct kafka_mock *mock)
{
    char command[128];
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->owner);
    snprintf(command, sizeof command, "rm -rf %s", mock->directory);
    check(system(command) == 0);
}
