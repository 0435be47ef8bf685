/*
 * From simdjson's first stage (where tokens begin) to its tape, for the documents that are most:
 * a container without a backslash, with short numbers. What it does not take, simdjson's own second
 * stage takes or names an error of; so nothing is accepted here that simdjson would refuse.
 */
#pragma once

#include "schemas/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What stage 1 has found in a text that is UTF-8, whose strings end and hold no control characters:
 * the place of each of { } [ ] : , outside strings, and of the first byte of each string, number or
 * word. JSON_INPUT_PADDING bytes behind the text can be read. */
struct json_tokens {
    const char *text;
    const uint32_t *places;
    size_t count;
};

/* Writes the json_tape of a document without a backslash; texts are where they stand in the
 * document. words has the room that simdjson gives a document of that size. Returns false when it
 * is not one of those taken here: what was written then means nothing. Threads: any. */
bool json_tape_build(const struct json_tokens *tokens, uint64_t *words);

/* Makes a json_tape of simdjson's own, whose texts are offsets of a size and the text behind it. */
void json_tape_convert(uint64_t *words, const char *strings);

#ifdef __cplusplus
}
#endif
