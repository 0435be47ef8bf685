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

/* Up to three lifts of erasures, and events that occur behind them. Errors: those of
 * identity_case_add(). */
MUST_CHECK int draw_case_lifts(
    struct identity_case *given, struct random *random, struct arena *arena);

/* Erasures and lifts come one by one, in any order, each when all rests; the events before, between
 * and behind them. */
void draw_case_turns(struct identity_case *given, struct random *random);

/* Whether a lift is no later than the event. */
bool draw_is_lifted(const struct identity_case *given, const struct case_event *event);

/* How many there are. */
size_t draw_phases_count(const struct identity_case *given);

/* Whether it names the node. */
bool draw_shows(const struct case_event *event, const uint8_t node[KEY_SIZE]);

/* Events that hang together with what is to be erased, over any identifiers. */
void draw_reach_of_erasures(const struct identity_case *given, bool *reached);

/* To stderr: its limits, then a line an event. */
void draw_case_print(const struct identity_case *given);
