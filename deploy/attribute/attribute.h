/*
 * Attribution of a file of paths or of touches, without a server and without state: what it reads,
 * which models it credits by, how it answers.
 */
#pragma once

#include <stdio.h>

#include "enrich/attribution/credit.h"
#include "enrich/attribution/path_rules.h"
#include "enrich/attribution/path_set.h"
#include "enrich/attribution/path_transform.h"
#include "sinks/sqlite/model_table.h"
#include "enrich/attribution/touch_fit.h"

#define ATTRIBUTE_MODELS_MAX 64
#define ATTRIBUTE_UNATTRIBUTED MODEL_UNATTRIBUTED

enum attribute_model {
    /* rules first, with the numbers of enum path_rule */
    ATTRIBUTE_PARTICIPATION = PATH_RULE_COUNT, /* does not sum */
    ATTRIBUTE_MARKOV,
    ATTRIBUTE_SHAPLEY,
    ATTRIBUTE_SHAPLEY_ORDERED,
    ATTRIBUTE_SHAPLEY_RATE,
    ATTRIBUTE_SHAPLEY_PATHS,
    ATTRIBUTE_SHAPLEY_PATHS_ORDERED,
    ATTRIBUTE_SHAO_LI,
    ATTRIBUTE_MODEL_COUNT,
};

/* Name as on the command line and in results; model numbers from 0. */
const char *attribute_model_name(int model);
/* The number of a name or of a usual other one ("U", "inverse-j", "last_click"): letter case, - _
 * and blanks do not count. -1: none. */
int attribute_model_from_name(struct str name);

/* What a column of the input is. */
enum attribute_column {
    COLUMN_PATH,
    COLUMN_CONVERSIONS,
    COLUMN_VALUE,
    COLUMN_NULL,
    COLUMN_CONVERTED, /* yes or no: of a path or of a touch */
    COLUMN_CUSTOMER,
    COLUMN_TIME,
    COLUMN_CHANNEL,
    COLUMN_TYPE,
    COLUMN_CURRENCY,
    COLUMN_LEAD, /* yes or no: of a touch, whether it is that milestone */
    COLUMN_OPPORTUNITY,
    COLUMN_COUNT,
};
const char *attribute_column_name(enum attribute_column column);

enum attribute_format {
    ATTRIBUTE_TABLE,
    ATTRIBUTE_CSV,
    ATTRIBUTE_JSON,
};

struct attribute_options {
    int models[ATTRIBUTE_MODELS_MAX];
    size_t models_count;
    const char *columns[COLUMN_COUNT];  /* names that the user gave; NULL: found by themselves */
    struct str separator;               /* between the channels of a path */
    bool separator_given, window_given; /* lookback or reset: told where they have no effect */
    struct path_rule_config rules;
    struct str direct; /* name of the channel that last_non_direct passes over */
    struct str lead;   /* types of touches that are milestones; empty: none */
    struct str opportunity;
    enum path_transform transform; /* of each path, before it is credited */
    int order;                     /* of markov; 0: chosen */
    bool ignore_nulls;
    bool lookback_none;
    int64_t lookback_micros;
    bool reset;       /* a journey ends at each conversion */
    size_t bootstrap; /* replicates; 0: none */
    uint64_t seed;
    size_t samples; /* of sampled Shapley values */
    bool transitions;
    bool orders;      /* how well each order tells journeys apart, instead of channels */
    bool loops;       /* with transitions: from a state to itself too */
    bool unconverted; /* a path's value counts also where it did not convert */
    bool paths;       /* weights of each path's touches, instead of channels */
    enum attribute_format format;
    bool currency_given; /* attribute_read_database(): also where it is "" */
    size_t rows_max;     /* of touches in memory; 0: SPILL_ROWS_MAX; tests have fewer */
    const char *name;    /* of the input, for messages */
    FILE *messages;
};

struct tally {
    struct sum conversions, value;
};

/* All that is known of an input. {0} is empty. */
struct attribute_input {
    const struct attribute_options *options;
    struct path_set set;
    struct path_set sources; /* channels of touches, where a transform gives them other names */
    struct tally *rules[PATH_RULE_COUNT + 1]; /* by model, then by channel */
    size_t rules_room;
    struct tally unattributed;
    double *weights;    /* of one path */
    uint32_t *channels; /* of one path */
    size_t path_room;
    struct path_step *touches; /* of the path that is being read */
    size_t touches_room;
    uint8_t *marks;          /* by channel: seen in this path */
    struct path_step *steps; /* of one path, transformed */
    uint32_t *times;
    uint32_t *places; /* by channel */
    size_t places_room;
    struct buf name;
    bool has_times;
    unsigned long long rows, bad;
};

/* Reads all of `in`. Rows that cannot be read are named on options->messages and counted. Returns
 * 0, or an error after naming it there: ERR_CONFIG (a column is missing, a model does not fit the
 * input), ERR_TOO_LARGE (totals), ERR_FULL and ERR_TOO_MANY (of rows in temporary files: spill.h),
 * ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK int attribute_read(struct attribute_input *input, FILE *in);
void attribute_input_free(struct attribute_input *input);

/* The number of a channel as touches have it, and its name. For readers. Errors: ERR_NO_MEMORY. */
MUST_CHECK int attribute_channel(struct attribute_input *input, struct str name, uint32_t *out);
struct str attribute_channel_name(const struct attribute_input *input, uint32_t channel);

/* Credits one path: touches in time order, count may be 0. For readers. Errors: as path_set_add().
 */
MUST_CHECK int attribute_path(struct attribute_input *input, const struct path_step *touches,
    size_t count, const struct path_count *counted);

/* Whether last_non_direct passes over a channel of touches: the user's name, or "direct" in any
 * case. */
bool attribute_is_direct(const struct attribute_options *options, struct str channel);

/* Whether values too stay exact with these, as a file's must: sizes to PATH_SET_TOTAL_MAX in all.
 */
bool attribute_fits(const struct attribute_input *input, const struct path_count *counted);
/* Returns the error of attribute_path(), after naming what the row at `line` is too much for. */
int attribute_name_total(const struct attribute_input *input, unsigned long long line, int error);

/* Names what is wrong with the row at `line`. */
void attribute_bad_row(struct attribute_input *input, unsigned long long line, int error,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A row of results. NaN: does not apply. */
struct attribute_answer {
    struct str channel;
    const char *model;
    double conversions, value;
    double effect, value_effect;
    double low, high;
    bool unattributed; /* of no channel; else shown by attribute_channel_shown() */
};

/* Solves; the rows stand by model as asked for, then by channel in the order of the input, then
 * what is unattributed where there is any, and are freed by the caller with free(). Errors:
 * ERR_CONFIG (named), ERR_NO_MEMORY. */
MUST_CHECK int attribute_solve(
    struct attribute_input *input, struct attribute_answer **out, size_t *count);

/* ---- down to the touch (touches.c) ---- */

/* Credits of paths by options->models: rules by position, and solved models by touch_fit.h. {0} is
 * empty; end with attribute_touches_free(). */
struct attribute_touches {
    struct attribute_input *input;
    struct touch_fit fits[ATTRIBUTE_MODELS_MAX]; /* by place in options->models; of rules {0} */
    struct touch_room room;
    struct credits credits; /* the result; its model means nothing */
    uint64_t *weights;
    double *parts; /* by touch: of a path's conversions, unrounded */
    struct path_step *steps;
    size_t length_max;
};

/* Solves. What a model's weights cannot meet of its credits is said on options->messages. Errors:
 * ERR_CONFIG (named: a model that needs more than a path's channels, or does not sum), and those of
 * attribute_solve(). The input must outlive `out`, which is freed after an error too. */
MUST_CHECK int attribute_touches_solve(
    struct attribute_input *input, struct attribute_touches *out);
/* Credits of a path by the model at that place, for one conversion of `revenue`, until the next
 * call in touches->credits: only touches that have some. channels: numbers in input->set. count 0:
 * unattributed. Errors: ERR_TOO_MANY over SPLIT_COUNT_MAX touches, ERR_NO_MEMORY. */
MUST_CHECK int attribute_touches_credit(struct attribute_touches *touches, size_t place,
    const uint32_t *channels, size_t count, int64_t revenue);
void attribute_touches_free(struct attribute_touches *touches);

/* Solves, and writes each converting path's touches with their weights. Errors as
 * attribute_write(). (paths.c) */
MUST_CHECK int attribute_write_paths(struct attribute_input *input, FILE *out);

/* ---- the journeys of a database instead of a file (store.c) ---- */

/* Reads its paths, distinct ones with their counts; open ones did not convert. currency: of the
 * conversions that count, "" where they have but one, which is then written there. Errors:
 * ERR_CONFIG (named: several currencies), as attribute_read() and the database's. */
#define ATTRIBUTE_CURRENCY_SIZE 8
MUST_CHECK int attribute_read_database(
    struct attribute_input *input, const char *path, char currency[ATTRIBUTE_CURRENCY_SIZE]);

/* Refuses a currency that no conversion has where others have some. Errors: ERR_CONFIG (named on
 * options->messages), and the database's. */
MUST_CHECK int attribute_check_currency(
    const struct attribute_options *options, const char *path, const char *currency);

/* A channel's name in answers: one that is called as what is unattributed gets a backslash before
 * it. */
struct str attribute_channel_shown(struct str channel);

/* Writes rows. Errors: ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK int attribute_write_answers(
    enum attribute_format format, const struct attribute_answer *answers, size_t count, FILE *out);

/* Solves and writes. Errors: ERR_CONFIG (named), ERR_TOO_LARGE, ERR_IO, ERR_NO_MEMORY. */
MUST_CHECK int attribute_write(struct attribute_input *input, FILE *out);
