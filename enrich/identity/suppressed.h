/*
 * What a retirement of a tenant key would bring back: e-mails and phones that are suppressed
 * (erasure.h) under a pseudonym of that key alone, because the next key's was never told beside it
 * (rotation.h). Under the next key such a value begins anew, as somebody unknown.
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "ingest/stream/state_overlay.h"

#define SUPPRESSED_ALWAYS INT64_MIN

struct suppressed_question {
    const struct namespace_table *namespaces;
    int64_t active_since; /* when the key that would go was made; SUPPRESSED_ALWAYS: the first */
};

/* Counts them among committed rows of the identity stage. What was erased while an earlier rotation
 * ran, and not seen in it, is counted too: nothing tells under which key it stands. Errors:
 * ERR_STATE, ERR_NO_MEMORY, those of the backend. */
MUST_CHECK int suppressed_alone(
    struct state_backend *rows, const struct suppressed_question *question, uint64_t *count);
