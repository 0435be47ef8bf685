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

#define CONFIG_PAIRS_MAX 500    /* of one verbatim section */
#define CONFIG_KEY_SIZE_MAX 200 /* of a key in one */

/* A value and where it came from. */
struct setting {
    struct value value;
    struct str origin;
    struct str secret; /* content of its file; by config_finish() */
    int load;          /* number of the file that set it; 0: none */
};

struct source {
    struct str name;
    struct setting settings[SOURCE_OPTION_COUNT];
};

struct config {
    struct arena arena;
    struct setting settings[OPTION_COUNT];
    struct config_pair pairs[CONFIG_VERBATIM_COUNT][CONFIG_PAIRS_MAX];
    int pair_loads[CONFIG_VERBATIM_COUNT][CONFIG_PAIRS_MAX];
    size_t pairs_count[CONFIG_VERBATIM_COUNT];
    struct source *sources[CONFIG_SOURCES_MAX];
    size_t sources_count;
    struct config_source *ready; /* sources_count of them; by config_finish() */
    int loads;
};

extern const struct option source_options[SOURCE_OPTION_COUNT];
extern const struct str config_verbatim_sections[CONFIG_VERBATIM_COUNT];

/* Formats the sentence; returns ERR_CONFIG. */
int config_complain(struct config_problem *problem, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
