/*
 * The channel of an event by a table of rules: the first rule whose conditions all hold names it.
 * The table is an INI file; the one that comes with the program is deploy/config/channels.ini,
 * which also explains the form.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/touchpoint.avro.h"

#define CHANNEL_WHY_SIZE 256
#define CHANNEL_RULES_MAX 1000
#define CHANNEL_ITEMS_MAX 20000 /* of all rules together, sets counted wherever they are used */
#define CHANNEL_SETS_MAX 256
#define CHANNEL_FACT_SIZE_MAX 200 /* bytes of a fact that are compared: the first */

/* Where no rule holds. */
#define CHANNEL_UNASSIGNED "Unassigned"

/* What rules look at. X(symbol, key in the file) */
#define CHANNEL_FACT_LIST(X)                                                                       \
    X(CHANNEL_FACT_MEDIUM, "medium")                                                               \
    X(CHANNEL_FACT_SOURCE, "source")                                                               \
    X(CHANNEL_FACT_CAMPAIGN, "campaign") /* its name */                                            \
    X(CHANNEL_FACT_REFERRER, "referrer") /* host; empty where it is the page's own site */         \
    X(CHANNEL_FACT_CLICK, "click")       /* kind of click id */                                    \
    X(CHANNEL_FACT_TYPE, "type")         /* of the event */                                        \
    X(CHANNEL_FACT_MESSAGE, "message")   /* kind of message */

enum channel_fact {
#define X(symbol, key) symbol,
    CHANNEL_FACT_LIST(X)
#undef X
        CHANNEL_FACTS,
};

struct channel_facts {
    struct str facts[CHANNEL_FACTS];
};

/* Slices borrow from the event. Threads: any. */
void channel_facts_of(const struct touchpoint *event, struct channel_facts *out);

struct channel_rules;

/* path: a rule file; NULL or empty: the table that comes with the program. why (CHANNEL_WHY_SIZE
 * bytes) gets an English reason with file and line. Errors: ERR_CONFIG: not such a file;
 * ERR_NOT_FOUND, ERR_IO, ERR_TOO_LARGE, ERR_NO_MEMORY. */
MUST_CHECK int channel_rules_open(struct channel_rules **out, const char *path, char *why);
/* Accepts NULL inside, leaves NULL. */
void channel_rules_close(struct channel_rules **rules);

/* The channel's name, valid as long as the rules. Pure: the same facts give the same name. Threads:
 * any. */
struct str channel_of(struct channel_rules *rules, const struct channel_facts *facts);
