/*
 * Configuration turned into what each room takes. Built once, before threads start; then only read.
 */
#pragma once

#include "enrich/identity/identify.h"
#include "enrich/journey/journey.h"
#include "enrich/step/steps.h"
#include "ingest/collector/collector.h"
#include "ingest/config/config.h"
#include "ingest/door.h"
#include "ingest/registry/registry_http.h"

struct fates;
struct metrics_server;
struct reloaded;
struct schema_cache;

#define SETTINGS_STAGES 2

struct settings {
    const struct config *config;
    struct log log;
    struct metrics *metrics; /* of serve.h; NULL: nothing is measured */
    struct metrics_server *server;
    struct reloaded *reloaded; /* of reload.h: the configuration that was read last */
    struct appender *spool;    /* of the collector, while it runs; NULL: none */
    struct fates *fates;       /* likewise, of the live view; NULL: none */
    struct arena arena;        /* what the parts below borrow */
    struct door_config door;
    struct steps *steps;
    struct identify_config identify;
    struct journey_config journey;
    struct model models[MODELS_CONFIGURED_MAX]; /* those of journey */
    struct stage stages[SETTINGS_STAGES];
    struct buf meanings[SETTINGS_STAGES];
    struct registry_config registry; /* of schemas.h */
    struct schema_cache *schemas;    /* NULL: ids of the file */
    bool (*stopping)(void);          /* ends waiting for the registry; may be NULL */
    bool rederive; /* stored rows of another meaning are made anew, where they can */
};

/* Reads rule files and makes everything ready. config outlives the settings, which must not move.
 * What is wrong is said on standard error. Errors: ERR_CONFIG, ERR_IO, ERR_NO_MEMORY; the settings
 * are then to be closed all the same. */
MUST_CHECK int settings_open(struct settings *settings, const struct config *config);
void settings_close(struct settings *settings);

/* Reads the tracking plan, where there is one, for what judges events. What is wrong is said on
 * standard error. Errors: ERR_CONFIG, ERR_NO_MEMORY. */
MUST_CHECK int settings_open_plan(struct settings *settings);

/* Appends what the meaning of stored identity state begins with: the table of namespaces, and the
 * hash that the key of person ids is told by. Errors: ERR_NO_MEMORY. */
MUST_CHECK int settings_identity_text(const struct namespace_table *namespaces,
    const uint8_t person_key[TENANT_KEY_SIZE], struct buf *out);

/* Says on standard error what to do about a data directory whose state is damaged, or older than
 * its tables (ERR_STATE). */
void settings_tell_damage(const struct settings *settings);

/* Says on standard error what of the configuration is not as the stored state was built with
 * (ERR_MEANING), and what to do. */
void settings_tell_difference(const struct settings *settings, struct str difference);

/* Says on standard error that another build wrote the data directory, with what this one does not
 * know (ERR_NEWER; why: of local_options), and what to do. */
void settings_tell_newer(const struct settings *settings, const char *why);

/* DIR/tabiji.db, or what [sink.sqlite] path says. In the arena, with NUL. */
MUST_CHECK int settings_database(struct settings *settings, const char **path);
