/*
 * What long-running verbs share: signals, the collector over any appender, Kafka's configuration.
 */
#pragma once

#include <pthread.h>

#include "deploy/settings.h"
#include "deploy/verb/verb.h"
#include "ingest/stream/kafka.h"

/* Blocks SIGTERM, SIGINT and SIGHUP in this thread and all that it starts; they are then waited
 * for. */
void serve_block_signals(void);

/* Waits for SIGTERM or SIGINT. SIGHUP reads the configuration again (reload.h); collector may be
 * NULL. ask (may be NULL) is asked some times a second; another answer than 0 ends the wait.
 * Returns 0 after a signal, or what ask said. */
int serve_wait(struct verb_call *call, struct settings *settings, struct collector *collector,
    int (*ask)(void *context), void *context);

/* Whether a blocked SIGTERM or SIGINT waits to be taken, or serve_wait() has taken it: what takes
 * long asks this. Threads: any. */
bool serve_stopping(void);

/* A collector over the appender, with the configuration's sources; collector_stop() ends it.
 * Errors: those of collector_start(). */
MUST_CHECK int serve_collector(
    struct settings *settings, struct appender *appender, struct collector **out);

/* Makes the settings' metrics, once. Errors: ERR_NO_MEMORY. */
MUST_CHECK int serve_measure(struct settings *settings);

/* Listens at [metrics] listen, where that is given, until settings_close(). ready: of
 * metrics_server_start(). Errors, said on standard error: those of metrics_server_start(). */
MUST_CHECK int serve_metrics(
    struct settings *settings, const char *(*ready)(void *context), void *context);

/* Kafka's configuration from [stream] and [kafka...]. Slices live in the settings' arena. suffix
 * names one of several workers of this process ("0"). With a schema registry it waits for that.
 * Errors: ERR_CONFIG (said on standard error), ERR_NO_MEMORY; those of schemas_open(). */
MUST_CHECK int serve_kafka(struct settings *settings, const char *suffix, struct kafka_config *out);

/* For a verb that only asks the cluster something: messages are kept, not logged (but at level
 * debug), and no schema registry is asked. Must not move while open. */
#define SERVE_WHY_SIZE 512
struct serve_ask {
    struct settings settings; /* log and arena, nothing else */
    struct kafka_config kafka;
    pthread_mutex_t lock;
    char why[SERVE_WHY_SIZE]; /* the last thing that went wrong */
    bool refused;             /* it is why the brokers refuse us */
};

/* Errors: ERR_CONFIG (said on standard error), ERR_NO_MEMORY; close it all the same. */
MUST_CHECK int serve_ask_open(struct serve_ask *ask, const struct config *config);
/* Says what went wrong; returns the exit code. */
int serve_ask_fail(struct verb_call *call, struct serve_ask *ask, int error);
void serve_ask_close(struct serve_ask *ask);

#define SERVE_KAFKA_TIMEOUT_MS 30000 /* for the first answer of brokers at a start */

/* Makes missing topics, unless [stream] create_topics = no. Errors: of kafka_topics_create(). */
MUST_CHECK int serve_topics(
    struct settings *settings, const struct kafka_config *kafka, int timeout_ms);

/* True when [stream] driver is kafka; else says that the verb needs it and how, and the caller
 * returns EXIT_USAGE. */
bool serve_wants_kafka(struct verb_call *call);
