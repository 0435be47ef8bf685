/*
 * The stateless steps, in their order: page and campaign, user agent, country, the address cut,
 * channel. Pure: the same event gives the same event and channel; what is kept between calls are
 * caches.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/touchpoint.avro.h"

#define STEPS_WHY_SIZE 256

struct steps_config {
    const char *channel_rules;    /* file; NULL or empty: the table that comes with the program */
    const char *agent_rules;      /* file as of uap-core; NULL or empty: none */
    const char *geo_database;     /* MaxMind file; NULL or empty: none */
    const struct str *query_keys; /* parameters of a page's address that stay; copied */
    size_t query_keys_count;
};

struct steps;

/* Reads the files. why (STEPS_WHY_SIZE bytes) gets an English reason with file and, where there is
 * one, line. Returns 0, or STEPS_WITHOUT_AGENT_RULES: there is no such file, browser and operating
 * system will not be told; why says so (a warning). Errors: ERR_CONFIG, ERR_NOT_FOUND (rules of
 * channels, database), ERR_IO, ERR_TOO_LARGE, ERR_NO_MEMORY. */
#define STEPS_WITHOUT_AGENT_RULES 1
MUST_CHECK int steps_open(struct steps **out, const struct steps_config *config, char *why);
/* Accepts NULL inside, leaves NULL. */
void steps_close(struct steps **steps);

/*
 * Completes *event in place and says its channel (valid as long as the steps; empty for what is
 * said of persons: links, unlinks, aliases, erasures). What the client said
 * stays; its address is cut always. `steps` is a struct steps, as void for identify_config's
 * enrich. New texts live in the arena. Errors: ERR_NO_MEMORY, *event is then half done. Threads:
 * any.
 */
MUST_CHECK int steps_apply(
    void *steps, struct touchpoint *event, struct arena *arena, struct str *channel);
