/*
 * Algorithmic models as an operator configures them, and what each counts of a path.
 *
 * Source: ATTRIBUTION, "Algorithmic models".
 */
#pragma once

#include "enrich/attribution/counts.h"
#include "schemas/model_count.avro.h"

#define MODEL_VERSION_SIZE 16 /* hex digits */
#define MODEL_NAME_SIZE_MAX ((size_t)64)
#define MODELS_CONFIGURED_MAX ((size_t)32)

struct model {
    struct str name;
    enum model_kind kind;
    int order;         /* of markov: 1 to MARKOV_ORDER_MAX */
    bool ignore_nulls; /* of markov: paths that did not convert count for nothing */
    const struct str *conversion_types; /* none: all that the journey has */
    size_t conversion_types_count;
    int64_t lookback_micros; /* touches so long before a conversion; 0: the journey's */
    char version[MODEL_VERSION_SIZE];
};

/* The kind of that name, or MODEL_KIND_UNKNOWN. */
enum model_kind model_kind_of(struct str name);

/* Names of all kinds, for hints; count is MODEL_KINDS. */
#define MODEL_KINDS 7
const struct str *model_kind_names(void);

struct counts_shape model_shape(enum model_kind kind, int order);

/* Whether paths that did not convert count. shapley and shapley_ordered share out conversions
 * alone. */
bool model_counts_open(const struct model *model);

/* Whether conversions of that type count. */
bool model_counts_type(const struct model *model, struct str type);

/* Appends what the model says, one line: what its counts follow from. Errors: ERR_NO_MEMORY. */
MUST_CHECK int model_text(const struct model *model, struct buf *out);

/* Sets the version: a hash of that line and of what all paths follow from. Errors: ERR_NO_MEMORY.
 */
MUST_CHECK int model_set_version(struct model *model, struct str paths);
