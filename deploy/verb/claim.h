/*
 * A claim of a protected namespace that was rejected: whom the identifier claimed, and which others
 * hold the places there.
 */
#pragma once

#include "deploy/settings.h"
#include "sinks/sqlite/read.h"

/* Of an identifier that the tables call rejected: appends to sentence, behind its name, " claimed
 * login:u-1, which has 1 of loyalty ...: loyalty:B; ...", with what to do; to more
 * ,"claimed":{"namespace":..,"value":..},"most":1,"holders":[{"namespace":..,"value":..}]. Where
 * the tables do not show whom it claimed (other settings, a part of them erased), claimed is null
 * and there are no holders. Errors: ERR_NO_MEMORY, of the reader. */
MUST_CHECK int claim_rejected(struct settings *settings, struct reader *reader,
    const uint8_t node[KEY_SIZE], struct buf *sentence, struct buf *more);
