/*
 * What makes an identifier generic: of which namespaces it has more neighbours than its limit; and
 * what a link counts by that.
 */
#pragma once

#include "deploy/settings.h"
#include "sinks/sqlite/read.h"

/* A namespace of which an identifier was seen with too many. */
struct generic_excess {
    struct str namespace; /* of the neighbours; borrowed of the settings */
    int64_t count;        /* distinct ones that the tables show */
    int64_t limit;
    bool up; /* the limit is generic_up's: the neighbours are stronger */
};

/* All such namespaces, strongest first; *count 0: none does any more (what showed it was erased; a
 * generic identifier stays so). out has room for NAMESPACES_MAX. Errors: as reader_neighbours(). */
MUST_CHECK int generic_excesses(const struct settings *settings, struct reader *reader,
    const uint8_t node[KEY_SIZE], struct generic_excess *out, size_t *count);

/* Appends "it was seen with 6 of login, more than 5 (identity.generic_up)"; several by "and".
 * Errors: ERR_NO_MEMORY. */
MUST_CHECK int generic_text(const struct generic_excess *excesses, size_t count, struct buf *out);

/* Appends [{"namespace":"login","count":6,"limit":5,"setting":"identity.generic_up"}]. Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int generic_json(const struct generic_excess *excesses, size_t count, struct buf *out);

/* Appends the persons whose events show the node beside other identifiers, the latest first, each
 * with the strongest of those: lines for people, with a sentence before them where there are any,
 * or [{"namespace":..,"value":..,"person":..,"events":..}] (namespace and value null: none of the
 * person's own). Of more than GENERIC_PERSONS_MAX lines the rest is counted; JSON has all. Errors:
 * ERR_NO_MEMORY, as reader_candidates(). */
#define GENERIC_PERSONS_MAX 100
MUST_CHECK int generic_persons(
    struct reader *reader, const uint8_t node[KEY_SIZE], bool json, struct buf *out);

/* What the link counts: "parted" (by a word), "dead" (one of the two is generic, under whatever
 * pseudonym), else "stands". *out is static. Errors: as reader_node(). */
MUST_CHECK int generic_link_word(
    struct reader *reader, const struct reader_link *link, struct str *out);
