/*
 * Whether stored rows mean what the running settings mean. The text of a stage's settings lies with
 * its rows, one row a task, also in the changelog: so a restored copy is judged like a local one.
 */
#pragma once

#include "ingest/stream/state_overlay.h"
#include "ingest/stream/stream.h"

/* 0 when the state has the stage's meaning, or none yet. Errors: ERR_MEANING, and then what differs
 * is appended to *difference ("was ...; is ...", a pair a line; NULL: nobody asks); those of
 * state_get(). */
MUST_CHECK int meaning_check(
    struct state *state, const struct stage *stage, struct buf *difference);

/* The text itself, for who only looks; STATE_ABSENT: there is none yet. Errors: those of get(). */
MUST_CHECK int meaning_stored(struct state_backend *rows, enum table table, struct str *text);

/* Puts the stage's meaning, whatever stood there. Errors: those of state_put(). */
MUST_CHECK int meaning_put(struct state *state, const struct stage *stage);

/* Puts that the rows are on their way from one meaning to another: they are like no settings until
 * meaning_put(). Errors: those of state_put(). */
MUST_CHECK int meaning_leave(struct state *state, const struct stage *stage);

/* Puts the meaning where the state has none: before a batch's changes are taken. Errors: those of
 * state_get() and state_put(). */
MUST_CHECK int meaning_keep(struct state *state, const struct stage *stage);
