/*
 * What a database says of spend and of what it earned, and the budget that follows.
 *
 * Amounts are in major units of one currency, a period (day, week from Monday, month). A period in
 * which the data begins or ends is not whole, and tells nothing of what a period's spend earns.
 */
#pragma once

#include <stdio.h>

#include "enrich/attribution/budget_share.h"
#include "schemas/arena.h"

#define BUDGET_CURRENCY_SIZE 4
#define BUDGET_DAY_SIZE 11 /* YYYY-MM-DD */
#define BUDGET_WISHES_MAX ((size_t)BUDGET_CHANNELS_MAX)

/* "at least", "at most" of a channel's budget; or what an experiment found of it. */
struct budget_wish {
    struct str channel;
    double amount;       /* of an experiment: value that was caused, over its days */
    struct str from, to; /* of an experiment: days, YYYY-MM-DD, both counted */
};

struct budget_wishes {
    struct budget_wish items[BUDGET_WISHES_MAX];
    size_t count;
};

#define BUDGET_REASON_SIZE 512

struct budget_options {
    const char *model;
    const char *period;   /* "day", "week", "month" */
    const char *currency; /* "": that of all spend */
    double total;         /* a period; negative: what is spent now */
    struct budget_wishes low, high, experiments;
    char *reason; /* room for BUDGET_REASON_SIZE; gets what cannot be, and why */
};

struct budget_row {
    struct str channel;
    size_t periods;    /* with spend, whole; those cut off only where there are no others */
    size_t cut;        /* left out: spend or events begin or end within them */
    double spend;      /* mean of those periods */
    double largest;    /* spend of one of them: what lies beyond is guessed */
    double attributed; /* mean, as the model credits */
    double factor;     /* of calibration: caused / attributed in the experiment; else 1 */
    bool fitted;       /* else held at its spend: too few periods for a curve */
    struct hill hill;  /* of attributed times factor */
    double rms;
    double low, high, budget;
    bool beyond_seen; /* the budget is more than largest: where the curve is a guess */
};

struct budget {
    struct arena arena;
    char currency[BUDGET_CURRENCY_SIZE];
    double minor_per_major;
    char first_day[BUDGET_DAY_SIZE], last_day[BUDGET_DAY_SIZE]; /* of both spend and events */
    struct budget_row *rows;
    size_t count;
    double total;
};

/*
 * Reads, calibrates, fits and shares out. What cannot be is said in options->reason, where
 * the error alone does not say it.
 * Errors: ERR_EMPTY (no spend), ERR_TOO_FEW (no channel has periods enough for a curve),
 * ERR_CURRENCY (spend in several currencies and none chosen, or none in the one that is credited),
 * ERR_VALUE (an experiment in whose days nothing is attributed), ERR_NUMBER_RANGE (total outside
 * the bounds), ERR_CONFIG (no such model or channel); as database_open_reader().
 * Threads: any, one budget each.
 */
MUST_CHECK int budget_make(
    struct budget *budget, const char *database, const struct budget_options *options);
void budget_free(struct budget *budget);

/* Replaces the rows of the model and currency in table budget. Errors as database_open(). */
MUST_CHECK int budget_save(
    const struct budget *budget, const char *database, const struct budget_options *options);
