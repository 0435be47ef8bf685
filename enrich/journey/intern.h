/*
 * Texts that come again and again (channels, campaigns, currencies), each kept once and named by a
 * number.
 */
#pragma once

#include "schemas/arena.h"

struct intern;
/* Errors: ERR_NO_MEMORY. Threads: one each. */
MUST_CHECK int intern_new(struct intern **out);
void intern_free(struct intern **intern);

/* The number of a text; the empty one is 0. Errors: ERR_NO_MEMORY. */
MUST_CHECK int intern_add(struct intern *intern, struct str text, uint32_t *number);

/* The text of a number that intern_add() gave; valid until intern_clear(). */
struct str intern_text(const struct intern *intern, uint32_t number);

/* Bytes held. */
size_t intern_size(const struct intern *intern);

/* Forgets all numbers. */
void intern_clear(struct intern *intern);
