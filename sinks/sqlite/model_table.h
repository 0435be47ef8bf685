/*
 * Algorithmic models of a database: solved from what was counted (model_transition, all
 * partitions), kept in model_channel, a version a run.
 */
#pragma once

#include <sqlite3.h>

#include "enrich/attribution/model_solve.h"

/* Runs that model_channel keeps; those of `tabiji attribute --model` stay besides. */
#define MODEL_RUNS_KEPT 100

#define MODEL_UNATTRIBUTED "(unattributed)"

/* Slices are of the answers' arena. */
struct model_answer {
    struct str model;
    enum model_kind kind; /* unknown: a rule model, as the model says */
    struct str version;   /* empty: not solved from counts */
    struct str currency;
    struct str channel;
    struct model_credit credit; /* value is net of refunds */
    int64_t revenue_minor;      /* the value in whole units: model_answers_round() */
    int order;                  /* of markov, by which it was solved; else 0 */
    struct str note;            /* what is to be known of it; empty: nothing */
};

/* A model that could not be solved; the others are. */
struct model_failure {
    struct str model;
    struct str currency;
    int error; /* ERR_TOO_LARGE (too many channels or paths), ERR_STATE (only half of a change is
                * there yet), ERR_VALUE */
};

/* {0} is empty. */
struct model_answers {
    struct arena arena;
    struct model_answer
        *items; /* by model, then currency, then channel in the order of its counts */
    size_t count, room;
    struct model_failure *failures;
    size_t failures_count, failures_room;
    int64_t events; /* of persons, that they are of at least */
    int64_t until;  /* the latest of them; 0: none */
};
void model_answers_free(struct model_answers *answers);
MUST_CHECK int model_answers_add(struct model_answers *answers, const struct model_answer *answer);

/* Sets revenue_minor of the answers from `from` on, which are one model's of one currency, so that
 * they sum to `total`: largest remainder, of equal ones the first. Those of a model that does not
 * sum to it are rounded each. Errors: ERR_NO_MEMORY. */
MUST_CHECK int model_answers_round(
    struct model_answers *answers, size_t from, double minor_per_major, int64_t total);

/* Sets events and until to those of now: before anything is read that answers come from. Errors: as
 * database_error(). */
MUST_CHECK int model_answers_mark(struct model_answers *answers, sqlite3 *db);

/* Marks, then reads, in the transaction that is open, or each table for itself. Errors:
 * ERR_NO_MEMORY, ERR_STATE (a row that is none), as database_error(). */
MUST_CHECK int model_table_solve(sqlite3 *db, struct model_answers *out);

/* Adds a run in the transaction that is open, and forgets old ones, and models of earlier runs that
 * count nothing any more. as_of: the clock's microseconds; *run_id: the run's number. Errors: as
 * database_error(). */
MUST_CHECK int model_table_save(
    sqlite3 *db, const struct model_answers *answers, int64_t as_of, int64_t *run_id);
