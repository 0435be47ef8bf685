/*
 * The command line: finds the verb, reads its flags in any order, writes help and the man page.
 */
#pragma once

#include <stdio.h>

#include "deploy/verb/verb.h"

/* Flags that every verb takes; their values stand behind those of the verb. */
#define COMMAND_GLOBALS 6
extern const struct verb_option command_globals[COMMAND_GLOBALS];

/* A parsed line before configuration is loaded. */
struct command {
    struct verb_call call;                /* first: whoever has it finds the command */
    const char *globals[COMMAND_GLOBALS]; /* by index of command_globals; --set: the last one */
    const char *sets[64];                 /* every --set section.key=value */
    size_t sets_count;
    char lists[4096]; /* values of flags that were given again */
    size_t lists_size;
    bool help;
};

/* Parses argv (argv[0] is the program). `verbs` is the closed list. Returns 0 with *out, or an
 * exit_code after saying on `err` what is wrong, with the nearest known name. Threads: any. */
MUST_CHECK int command_parse(const struct verb *const *verbs, size_t verbs_count, int argc,
    char *const *argv, struct command *out, FILE *err);

/* Prints {"error":{"code":..,"message":..}} to standard output: the end of a call, for programs. */
void command_error_json(struct str code, struct str message);

/* Value of a global flag ("--config"), or NULL. */
const char *command_global(const struct command *command, const char *name);

/* Writes the overview, the help of one verb, or the whole manual as roff (tabiji.1). */
void command_help(const struct verb *const *verbs, size_t verbs_count, FILE *out);
void command_help_verb(const struct verb *verb, FILE *out);
void command_manual(const struct verb *const *verbs, size_t verbs_count, FILE *out);
