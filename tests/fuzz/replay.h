/*
 * A fuzz target is one file with the two functions below. With -Dfuzz=true (clang) it is linked
 * with libFuzzer; always it is linked with replay.c too, which feeds it valid and damaged inputs
 * made from fixed seeds: the short, deterministic run of the normal test suite.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define FUZZ_INPUT_SIZE_MAX ((size_t)1 << 16)

/* Returns 0; stops the program by check() when the code under test misbehaves. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes an input that the code under test accepts; the same seed gives the same bytes. Returns its
 * size, at most FUZZ_INPUT_SIZE_MAX. */
size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX]);
