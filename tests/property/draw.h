/*
 * What a case of the specification is given besides: operators' words, erasures, and when they
 * come.
 */
#pragma once

#include "tests/property/identity_case.h"
#include "tests/property/random.h"

/* Adds one or two erasures, or up to eight pieces of evidence, of any identifiers of the case.
 * Errors: those of identity_case_add(). */
MUST_CHECK int draw_case_words(
    struct identity_case *given, struct random *random, enum case_kind kind, struct arena *arena);

/* Each erasure comes when all rests; a quarter of the events come late, behind these. */
void draw_case_phases(struct identity_case *given, struct random *random);

/* How many there are. */
size_t draw_phases_count(const struct identity_case *given);

/* To stderr: its limits, then a line an event. */
void draw_case_print(const struct identity_case *given);
