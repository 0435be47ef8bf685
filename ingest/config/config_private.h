/*
 * What the files of this folder share; for no one else.
 */
#pragma once

#include "ingest/config/config.h"
#include "ingest/config/value.h"
#include "schemas/arena.h"

enum source_option_id {
#define X(id, ...) SOURCE_OPTION_##id,
#include "ingest/config/source.def"
#undef X
    SOURCE_OPTION_COUNT,
};

enum model_option_id {
#define X(id, ...) MODEL_OPTION_##id,
#include "ingest/config/model.def"
#undef X
    MODEL_OPTION_COUNT,
};

#define CONFIG_PAIRS_MAX 500    /* of one verbatim section */
#define CONFIG_KEY_SIZE_MAX 200 /* of a key in one */

/* A value and where it came from. */
struct setting {
    struct value value;
    struct str origin;
    struct str secret; /* content of its file; by config_finish() */
    int load;          /* number of the file that set it; 0: none */
};

/* A section that has a name: [source NAME], [model NAME]. */
struct named {
    struct str name;
    struct setting *settings; /* one an option of its kind */
    int load;                 /* number of the file that began it; 0: none */
};

enum named_kind {
    NAMED_SOURCE,
    NAMED_MODEL,
    NAMED_COUNT,
};

struct named_list {
    struct named *items[CONFIG_SOURCES_MAX];
    size_t count;
};

struct named_section {
    const char *word;
    const struct option *options;
    size_t options_count;
    size_t max; /* to CONFIG_SOURCES_MAX */
};
extern const struct named_section named_sections[NAMED_COUNT];

struct config {
    struct arena arena;
    struct setting settings[OPTION_COUNT];
    struct config_pair pairs[CONFIG_VERBATIM_COUNT][CONFIG_PAIRS_MAX];
    int pair_loads[CONFIG_VERBATIM_COUNT][CONFIG_PAIRS_MAX];
    size_t pairs_count[CONFIG_VERBATIM_COUNT];
    struct named_list named[NAMED_COUNT];
    struct config_source *ready; /* one a source; by config_finish() */
    struct config_model *models;
    size_t models_count;
    int loads;
    int sources_load;                             /* number of the file of sources; 0: none */
    struct mapping *mappings[CONFIG_SOURCES_MAX]; /* of sources; owned */
    size_t mappings_count;
};

extern const struct str config_verbatim_sections[CONFIG_VERBATIM_COUNT];

/* Reads a secret's file, as written or credential:NAME, into the arena. Errors: ERR_CONFIG,
 * ERR_NO_MEMORY. */
MUST_CHECK int config_read_secret(struct config *config, struct str place, struct str origin,
    struct str *secret, struct config_problem *problem);

/* The key that persons are made from, passwords and what senders sign with are read by their owner
 * alone. (Credentials of systemd are.) Errors: ERR_CONFIG. */
MUST_CHECK int config_check_private(
    struct str place, struct str origin, struct config_problem *problem);

/* What webhooks need of a source: secrets, header, address, mapping. Errors as config_finish(). */
MUST_CHECK int config_finish_hook(struct config *config, const struct named *source,
    struct config_source *out, struct config_problem *problem);

/* Formats the sentence; returns ERR_CONFIG. */
int config_complain(struct config_problem *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
