/*
 * Random records of any generated struct, by its description; and the same record as avro-c's
 * generic value, field by field and by name: the oracle of the codec.
 */
#pragma once

#include <avro.h>

#include "schemas/avro_type.h"

/* splitmix64. Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators. */
struct random {
    uint64_t state;
};

uint64_t random_next(struct random *random);
/* 0 to count - 1. */
size_t random_below(struct random *random, size_t count);
/* TABIJI_SEED of the environment, else a fixed one; printed, so that a failure can be repeated. */
struct random random_seeded(void);

/* Fills *out with a random record; texts, arrays and encoded parts live in the arena. Texts are
 * bytes of any value. */
void record_random(
    const struct avro_type *type, void *out, struct random *random, struct arena *arena);

/* Every field equal, doubles by their bits. */
bool record_equal(const struct avro_type *type, const void *a, const void *b);

/* Sets avro-c's value of the same schema. Returns 0, else what avro-c said. */
int record_to_avro(const struct avro_type *type, const void *record, avro_value_t *out);
