/*
 * Invented touchpoints of a Japanese omnichannel retailer: web shop, app, LINE, e-mail, ads,
 * stores, call centre, store pickup, returns, families that share a tablet. Everything follows from
 * the seed.
 */
#pragma once

#include "schemas/bytes.h"

struct generator_config {
    uint64_t seed;
    size_t events_max;    /* exactly so many, unless the customers end first */
    size_t customers_max; /* 0: as many as the events need */
    int64_t start_micros; /* start of the period */
    int32_t days;         /* its length */
};

/* Seed 1, 10,000 events, a week from 2026-11-16T00:00:00+09:00. */
void generator_config_default(struct generator_config *config);

struct generator;

/* Plans all events (about 32 bytes each) and sorts them by time. Errors: ERR_NO_MEMORY, ERR_VALUE
 * (no events or days). Threads: after this, all functions but free may be called from any. */
MUST_CHECK int generator_new(const struct generator_config *config, struct generator **out);
void generator_free(struct generator **generator);

size_t generator_count(const struct generator *generator);

/* Name of the source that sends event i: ec-web, app, pos, call-centre or crm. Static. */
const char *generator_source(const struct generator *generator, size_t index);

/* The names that generator_source() can return; *count is set. */
const char *const *generator_sources(size_t *count);

/* Appends event i as one native JSON object without a newline. Errors as buf_append(). */
MUST_CHECK int generator_write(const struct generator *generator, size_t index, struct buf *out);
