/*
 * What the later stages of the embedded mode made of an event, as the tables tell: for the live
 * view of its collector (ingest/collector/tail.h).
 */
#pragma once

#include "deploy/embedded.h"
#include "ingest/collector/tail.h"

struct fates;

/* embedded outlives it. Errors: ERR_NO_MEMORY. */
MUST_CHECK int fates_new(struct embedded *embedded, struct fates **out);
/* Accepts NULL inside, leaves NULL. */
void fates_free(struct fates **fates);

/* A collector_later_fn; context: struct fates. An event whose row shows when it was received is
 * stitched; one whose row was received at another time was there before: a duplicate, once the
 * tables have seen this copy too and nobody has refused it. */
MUST_CHECK int fates_later(
    void *context, const struct tail_question *questions, size_t count, struct tail_later *answers);
