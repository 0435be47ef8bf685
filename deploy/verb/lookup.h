/*
 * Finding persons by an identifier as people spell it. Shared by lookup and timeline.
 */
#pragma once

#include "deploy/settings.h"
#include "sinks/sqlite/read.h"

#define LOOKUP_PERSONS_MAX 32

struct lookup_match {
    struct str namespace; /* in the settings' arena, as value and why */
    struct str value;
    struct str why;
    uint8_t person[KEY_SIZE];
    uint8_t node[KEY_SIZE]; /* of the identifier; zero for a person's id */
    int64_t events;
    int64_t first_at;
    int64_t last_at;
};

/*
 * Reads "namespace:value", a person's UUID (with or without dashes), or a bare value, which is
 * tried in every namespace. The value is normalised and made a pseudonym as at the door. *count 0:
 * nobody has it. Errors: ERR_NAMESPACE and ERR_VALUE for a spelling that can be no identifier,
 * those of the reader.
 */
MUST_CHECK int lookup_persons(struct settings *settings, struct reader *reader, struct str spelling,
    struct lookup_match matches[LOOKUP_PERSONS_MAX], size_t *count);

/*
 * Answers GET /v1/lookup?id=SPELLING: {"candidates":[...],"identifiers":[...]}, rows as `tabiji
 * lookup --json` has them; 200, or 404 when nobody is known by it. With &with=B (both then
 * namespace:value) whether anything ever linked the two: {"linked":true,"links":[{"events",
 * "first_at","last_at","link":"stands", "dead" (one of them is generic) or "parted"}]}, 200; 404
 * when nothing did. context: the settings, read only. A collector_lookup_fn.
 */
MUST_CHECK int lookup_answer(
    void *context, const struct collector_question *question, struct buf *reply, int *status);
