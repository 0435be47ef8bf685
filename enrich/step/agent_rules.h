/*
 * The user agent rules of the ua-parser project: lists of regular expressions in YAML; of each list
 * the first that matches says what it is. Debian's package uap-core has the file. Source:
 * ua-parser/uap-core, docs/specification.md.
 */
#pragma once

#include "schemas/arena.h"

#define AGENT_RULES_SIZE_MAX ((size_t)8 << 20) /* of the file */
#define AGENT_RULES_MAX 20000                  /* of one list */
#define AGENT_RULE_FIELDS 5
#define AGENT_WHY_SIZE 256

/* The bytes of a user agent that are looked at: what follows is advertisement or attack. */
#define AGENT_SIZE_MAX 1024

enum agent_list {
    AGENT_LIST_BROWSER, /* family, major, minor, patch */
    AGENT_LIST_OS,      /* family, major, minor, patch, patch_minor */
    AGENT_LIST_DEVICE,  /* family, brand, model */
    AGENT_LISTS,
};

struct agent_match {
    struct str fields[AGENT_RULE_FIELDS]; /* empty where the rule says nothing */
};

struct agent_rules;

/* Reads and compiles the file. why gets an English reason with file and line (AGENT_WHY_SIZE
 * bytes). Errors: ERR_NOT_FOUND: no such file; ERR_CONFIG: not such YAML, or an expression is bad;
 * ERR_IO, ERR_TOO_LARGE, ERR_NO_MEMORY. */
MUST_CHECK int agent_rules_open(struct agent_rules **out, const char *path, char *why);
/* Accepts NULL inside, leaves NULL. */
void agent_rules_close(struct agent_rules **rules);

/* What the list says of an agent; texts live in the arena. An expression that needs too much work
 * on this text counts as not matching, always at the same point. One thread at a time. Returns 0,
 * or AGENT_RULES_NONE: no rule matches, *out unchanged. Errors: ERR_NO_MEMORY. */
#define AGENT_RULES_NONE 1
MUST_CHECK int agent_rules_match(struct agent_rules *rules, enum agent_list list, struct str agent,
    struct arena *arena, struct agent_match *out);
