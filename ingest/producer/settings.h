/*
 * The caller's options, checked, copied and with their defaults.
 */
#pragma once

#include "ingest/producer/queue.h"

#define PRODUCER_REQUESTS_MAX 16
#define PRODUCER_KEY_SIZE_MAX 512

struct producer_settings {
    unsigned flags;
    char *url; /* of the endpoint; NULL: to Kafka */
    char *kafka_config, *kafka_source;
    char *key; /* NULL: none */
    char *key_file;
    char *ca_file, *certificate_file, *private_key_file, *proxy;
    struct producer_queue_limits queue;
    size_t requests_max;
    int connect_timeout_ms, request_timeout_ms;
    int retry_min_ms, retry_max_ms;
    char *spool_dir; /* NULL: none */
    uint64_t spool_bytes_max;
    int64_t spool_age_max_ms, spool_interval_ms;
    enum tabiji_spool_sync spool_sync;
    tabiji_report_fn on_report;
    void *report_context;
    size_t reports_max;
};

/* Reads the key file where there is one. Returns TABIJI_OK or the library's errors, with *problem
 * set (may be NULL). *settings needs no producer_settings_fini() then. */
MUST_CHECK int producer_settings_init(struct producer_settings *settings,
    const struct tabiji_options *options, const struct tabiji_allocator *memory,
    struct tabiji_problem *problem);
void producer_settings_fini(
    struct producer_settings *settings, const struct tabiji_allocator *memory);

/* Puts another key in: `key`, or what key_file has now; without either nothing changes. Errors:
 * TABIJI_ERROR_ARGUMENT, TABIJI_ERROR_IO, TABIJI_ERROR_NO_MEMORY. */
MUST_CHECK int producer_settings_renew_key(struct producer_settings *settings, const char *key,
    const struct tabiji_allocator *memory, struct tabiji_problem *problem);
