/*
 * Webs of words: chains, circles, stars and trees of identifiers of one rank that words link, some
 * that part them again, and events that show members with others. Added to a case of identity.
 */
#pragma once

#include "tests/property/identity_case.h"
#include "tests/property/random.h"

/* Adds one; identifiers that the case does not have among them. Errors: ERR_NO_MEMORY. */
MUST_CHECK int web_add(struct identity_case *out, struct random *random, struct arena *arena);
