/*
 * What each property of IDENTITY.md looks at: judges of a random world under one schedule. Each
 * runs the pipeline, and says what is wrong, or NULL.
 */
#pragma once

#include "schemas/person_of.avro.h"
#include "tests/property/world.h"

/* P3: a batch that a crash threw away does the same again; all state is that of a run without. */
world_judge_fn judge_p3;
/* P4: at most one login, at most k protected values a person, of each group (of what words link)
 * one counted; and each group is one person. */
world_judge_fn judge_p4;
/* P5: each event in one timeline; events, conversions and revenue conserved whenever all rests. */
world_judge_fn judge_p5;
/* P6: after an erasure all tables are those of a build without what it took. Where all rested
 * before each (rest), what that is comes from the meaning of the events alone (departed.h); else,
 * from what stands: what an erasure takes of events that are under way is a matter of how far they
 * have come. Generic marks stay: a world in which one is left that the other build has not is not
 * compared. */
world_judge_fn judge_p6;
world_judge_fn judge_p6_rest;
/* P7: what is published of an identifier never has a lower epoch, of an event at a person never a
 * lower placement; what stands outranks all that others were shown. */
world_judge_fn judge_p7;
/* P8: linked, unlinked and linked again by words, and these erased; parted by a second login, and
 * that erased: all tables as before. */
world_judge_fn judge_p8_words;
world_judge_fn judge_p8_events;
/* P9: the published aliases lead from every person that ever was to one that is; never round. */
world_judge_fn judge_p9;
/* P11: whenever all rests, all tables are those of a build from scratch. */
world_judge_fn judge_p11;
/* Holds not: what the shrinking is tried on. */
world_judge_fn judge_no;

#define PERSONS_MAX 64 /* identifiers of a world */

/* Rows of person_of at rest. */
struct identifiers {
    struct person_of rows[PERSONS_MAX];
    size_t count;
    struct arena arena;
    bool damaged;
};

/* Replaces what it was. Errors: ERR_STATE for a damaged row, ERR_NO_MEMORY. */
MUST_CHECK int identifiers_read(struct sim *sim, struct identifiers *out);

/* The row, or NULL. */
const struct person_of *identifiers_find(
    const struct identifiers *identifiers, const uint8_t node[KEY_SIZE]);

/* The text of an error, else `wrong`. */
const char *judge_error(int r, const char *wrong);
