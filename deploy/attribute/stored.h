/*
 * Models of a database's journeys: those of the configuration that it is of by their names, solved
 * from what was counted of them; others by kind and flags, solved from its paths.
 */
#pragma once

#include "deploy/attribute/attribute.h"

struct attribute_wanted {
    const char *name;          /* that its rows bear */
    const struct model *model; /* of the configuration; NULL: by kind and flags */
    size_t place;              /* then its place in options->models */
};

struct attribute_stored {
    struct arena arena;
    struct model *models; /* of the configuration */
    size_t models_count;
    struct attribute_wanted wanted[ATTRIBUTE_MODELS_MAX];
    size_t wanted_count;
    struct model_answers counted;              /* of the configuration, all that could be solved */
    struct model_answers answers;              /* by model as wanted */
    struct model solved[ATTRIBUTE_MODELS_MAX]; /* those of the answers that are solved */
    size_t solved_count;
    int64_t events, until; /* when it was opened, as in model_answers */
};

/* Reads which models the file has; nothing is wanted yet. Errors: as database_open_reader(); *out
 * is to be closed all the same. */
MUST_CHECK int attribute_stored_open(struct attribute_stored *out, const char *path);
void attribute_stored_close(struct attribute_stored *stored);

/* The model of the configuration with that name, or NULL. */
const struct model *attribute_stored_model(const struct attribute_stored *stored, struct str name);

/* The first model by which the database's and these differ, by name or version; empty: none. */
struct str attribute_stored_differs(
    const struct attribute_stored *stored, const struct model *models, size_t count);

/* Answers what is wanted in that currency; input: its journeys, which outlive the answers, with the
 * models that are wanted by kind. Errors: ERR_CONFIG (named), as database_error(), ERR_NO_MEMORY.
 */
MUST_CHECK int attribute_stored_answer(struct attribute_stored *stored,
    struct attribute_input *input, const char *path, const char *currency);

/* Keeps the answers in model_channel as a run, and credits of conversions by solved ones in
 * model_credit; in one transaction. What weights of touches cannot meet is said on
 * options->messages. Errors: as the database's. */
MUST_CHECK int attribute_stored_save(const struct attribute_stored *stored,
    const struct attribute_options *options, const char *path);

/* The same for all models of the configuration and all currencies, from what the pipeline counted:
 * as the sink does. *out is freed by model_answers_free(). Errors: as the database's. */
MUST_CHECK int attribute_save_counted(
    const char *path, const struct attribute_options *options, struct model_answers *out);

/* Says where credits of touches are not those of channels. */
struct model_credits;
void attribute_tell_distances(
    const struct attribute_options *options, const struct model_credits *credits);
