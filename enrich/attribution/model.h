/*
 * Models as an operator configures them: algorithmic ones and what each counts of a path, and rules
 * besides those that are always credited by.
 *
 * Source: ATTRIBUTION, "Rule models", "Algorithmic models".
 */
#pragma once

#include "enrich/attribution/counts.h"
#include "enrich/attribution/rules.h"
#include "schemas/model_count.avro.h"

#define MODEL_VERSION_SIZE 16 /* hex digits */
#define MODEL_NAME_SIZE_MAX ((size_t)64)
#define MODELS_CONFIGURED_MAX ((size_t)40)

struct model {
    struct str name;
    enum model_kind kind;      /* unknown: a rule */
    enum rule_model rule;      /* of a rule; else unknown */
    struct rule_config config; /* of a rule */
    int order;                 /* of markov: 1 to MARKOV_ORDER_MAX; 0: chosen when it is solved */
    bool ignore_nulls;         /* of markov: paths that did not convert count for nothing */
    const struct str *conversion_types; /* none: all that the journey has */
    size_t conversion_types_count;
    int64_t lookback_micros; /* touches so long before a conversion; 0: the journey's */
    bool reset;              /* no touches before the person's conversion before */
    size_t bootstrap;        /* of one that is solved: replicates of its intervals; 0: none */
    uint64_t seed;           /* of those, and of sampled values */
    char version[MODEL_VERSION_SIZE];
};

/* Of what the rows of a conversion tell: its time, Conversion.reset_from, and the times of its
 * touches, each `stride` bytes behind the other. */
struct model_path {
    int64_t at;
    size_t reset_from;
    const int64_t *touched_at;
    size_t stride;
    size_t count;
};

/* The index of the first touch that the model sees; count: none. */
size_t model_path_begin(const struct model *model, const struct model_path *path);

static inline bool model_is_rule(const struct model *model)
{
    return model->kind == MODEL_KIND_UNKNOWN;
}

/* The name of what it is, a rule or not. */
const char *model_kind_text(const struct model *model);

/* The kind of that name, or MODEL_KIND_UNKNOWN. */
enum model_kind model_kind_of(struct str name);

/* Names of all kinds, for hints; count is MODEL_KINDS. */
#define MODEL_KINDS 7
const struct str *model_kind_names(void);

/* order: 0 counts as 1. */
struct counts_shape model_shape(enum model_kind kind, int order);

/* Whether paths that did not convert count. shapley and shapley_ordered share out conversions
 * alone. */
bool model_counts_open(const struct model *model);

/* Whether conversions of that type count. */
bool model_counts_type(const struct model *model, struct str type);

/* Appends what the model says, one line: what its counts or credits follow from. Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int model_text(const struct model *model, struct buf *out);

/* Sets the version: a hash of that line and of what all paths follow from. Errors: ERR_NO_MEMORY.
 */
MUST_CHECK int model_set_version(struct model *model, struct str paths);
