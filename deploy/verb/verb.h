/*
 * What a subcommand is: one table an option, from which the parser, --help and the man page are
 * made.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "schemas/bytes.h"

/* Exit codes. Source: PRODUCT, "One program". */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2, /* also configuration */
    EXIT_NOT_FOUND = 4,
    EXIT_AUTH = 5,
    EXIT_PARTIAL = 6, /* done, but something went to rejected */
    EXIT_RETRYABLE = 7,
};

#define VERB_OPTIONS_MAX 32
#define VERB_ARGUMENTS_MAX 4096
#define VERB_EACH_MAX 1024

/* A flag. argument NULL: a switch. */
struct verb_option {
    const char *name;     /* "--data" */
    const char *argument; /* "DIR" */
    const char *doc;      /* one sentence without a full stop at its end */
    const char *config;   /* configuration key that the flag sets ("data.dir"), or NULL */
    bool list;            /* may be given again: the values are joined by commas */
    bool each;            /* may be given again: verb_each() has the values one by one */
};

struct verb;
struct config;
struct config_problem;

/* One value of a flag that may be given again. */
struct verb_each_value {
    const struct verb_option *option;
    const char *value;
};

/* A parsed command line. Values borrow argv. */
struct verb_call {
    const struct verb *verb;
    const char
        *values[VERB_OPTIONS_MAX]; /* by index of the verb's options; a switch that is on: "" */
    struct verb_each_value each[VERB_EACH_MAX]; /* in their order on the line */
    size_t each_count;
    const char *arguments[VERB_ARGUMENTS_MAX];
    size_t arguments_count;
    bool json;
    struct config *config;   /* loaded: defaults < file < environment < flags */
    const char *config_file; /* that file; NULL: none */
    const char *tried_path;  /* a file in whose place reconfigure() reads tried_text; or NULL */
    struct str tried_text;
    /* Loads it again, from the same file, environment and flags, beside the one above. Errors: as
     * config_load(). */
    int (*reconfigure)(struct verb_call *call, struct config **out, struct config_problem *problem);
};

struct verb {
    const char *name;      /* "rejected" */
    const char *summary;   /* one line */
    const char *arguments; /* "FILE..." or "" */
    const char *detail;    /* paragraphs for help and man page */
    const char *examples;  /* lines */
    const struct verb_option *options;
    size_t options_count;
    size_t arguments_min;
    size_t arguments_max;
    bool makes_sources; /* [collector] sources_file may be missing yet */
    /* Sets what the verb wants of the configuration, before it is made ready; may be NULL. */
    int (*configure)(struct verb_call *call, struct config_problem *problem);
    int (*run)(struct verb_call *call); /* returns an exit_code */
};

/* Value of a flag by name, or NULL when it was not given. */
const char *verb_value(const struct verb_call *call, const char *name);
bool verb_switch(const struct verb_call *call, const char *name);
/* All values of a flag that may be given again (`each`), in their order, to out[]. Returns how many
 * there are. */
size_t verb_each(const struct verb_call *call, const char *name, const char *out[VERB_EACH_MAX]);

/* Reads a flag that is an integer within [min, max]. 0 and *value (unchanged where the flag was not
 * given), or EXIT_USAGE after saying what is wrong. */
MUST_CHECK int verb_integer(
    const struct verb_call *call, const char *name, long long min, long long max, long long *value);

/* What follows prints "tabiji VERB: message" to standard error and, under --json, {"error":{"code",
 * "message"}} to standard output, so that a program finds JSON there whatever the end was. */

/* With a pointer to --help; code "usage". Returns EXIT_USAGE. */
int verb_usage(const struct verb_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Code "not_found". Returns EXIT_NOT_FOUND. */
int verb_not_found(const struct verb_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Any other. Returns exit_code. */
int verb_end(const struct verb_call *call, int exit_code, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Whether writing to standard output failed since who read it is gone, as in `tabiji ... | head`:
 * it has what it wanted. */
bool verb_output_closed(void);
/* "message: error text", by the error's name; returns the exit code that fits the error. When it is
 * that of verb_output_closed() nothing is said, and all is well. */
int verb_fail(const struct verb_call *call, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same; of ERR_IO and ERR_FULL it says what the system said, `reason` being errno or 0. */
int verb_fail_system(const struct verb_call *call, int error, int reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
