/*
 * Whether bytes that no door could read, or took, show an identifier: for payloads of `rejected`,
 * which are kept as they came, whatever protocol or file they are of.
 */
#pragma once

#include "ingest/normalise/identifier.h"

/* Whether a field of the payload, alone, is the value: what stands between quotes, commas,
 * semicolons, bars, tabs, line ends, brackets and braces, with escapes of JSON read, is made an
 * identifier of wanted->namespace as the door does, and compared. So any spelling of an e-mail or
 * phone is found, and its pseudonym; a value within a longer text is not, nor is one that was cut
 * in two. wanted: as identifier_normalise() makes it. Uses the arena as scratch. Errors:
 * ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int mention_find(const struct identifier_config *config, const struct identifier *wanted,
    struct str payload, struct arena *scratch, bool *found);
