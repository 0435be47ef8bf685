/*
 * What a user agent text tells: browser, operating system, kind of device, and whether it is a
 * machine that visits by itself. Answers are cached by text.
 */
#pragma once

#include "enrich/step/agent_rules.h"
#include "schemas/touchpoint.avro.h"

struct agent_facts {
    struct str browser; /* family ("Mobile Safari"); empty: unknown */
    struct str os;      /* family ("iOS") */
    enum device_kind kind;
    bool bot;
};

struct agent;

/* rules_path: a file as of uap-core; empty or NULL: browser and os are never told.
 * Returns 0, or AGENT_WITHOUT_RULES: there is no such file, *out works without, why says so.
 * Errors: those of agent_rules_open() but ERR_NOT_FOUND, with why (AGENT_WHY_SIZE bytes). */
#define AGENT_WITHOUT_RULES 1
MUST_CHECK int agent_open(struct agent **out, const char *rules_path, char *why);
/* Accepts NULL inside, leaves NULL. */
void agent_close(struct agent **agent);

/* Pure: the same text gives the same facts. Texts live in the arena. Of the text the first
 * AGENT_SIZE_MAX bytes count. Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int agent_look(
    struct agent *agent, struct str text, struct arena *arena, struct agent_facts *out);
