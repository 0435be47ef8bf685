/*
 * Random cases that can be had again: every property test prints TABIJI_SEED=n, and takes it from
 * the environment when it stands there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct random {
    uint64_t state;
};

/* From TABIJI_SEED, else from the system; prints it. */
static inline struct random random_begin(void)
{
    struct random random;
    const char *wanted = getenv("TABIJI_SEED");
    if (wanted)
        random.state = strtoull(wanted, NULL, 10);
    else if (getrandom(&random.state, sizeof(random.state), 0) != (ssize_t)sizeof(random.state))
        abort();
    printf("TABIJI_SEED=%llu\n", (unsigned long long)random.state);
    (void)fflush(stdout);
    return random;
}

/* Whether the long campaign is wanted: by TABIJI_LONG=1 (tests/run.sh --long), or by --long at *at,
 * which is then passed over. */
static inline bool random_long(int argc, char **argv, int *at)
{
    const char *wanted = getenv("TABIJI_LONG");
    bool here = argc > *at && strcmp(argv[*at], "--long") == 0;
    *at += here;
    return here || (wanted && strcmp(wanted, "1") == 0);
}

/* How many cases: `normal`, or `longer` for the long campaign; by --part at *at, which is then
 * passed over, a part of each: how sanitizers run them, which are there for the code and are slow.
 */
#define RANDOM_PART 300
#define RANDOM_PART_LONG 2000
static inline unsigned long long random_count(
    int argc, char **argv, int *at, unsigned long long normal, unsigned long long longer)
{
    bool part = argc > *at && strcmp(argv[*at], "--part") == 0;
    *at += part;
    unsigned long long most = random_long(argc, argv, at) ? RANDOM_PART_LONG : RANDOM_PART;
    unsigned long long count = most == RANDOM_PART_LONG ? longer : normal;
    return part && count > most ? most : count;
}

/* splitmix64 */
static inline uint64_t random_next(struct random *random)
{
    uint64_t z = (random->state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

/* 0 .. below - 1 */
static inline size_t random_below(struct random *random, size_t below)
{
    return (size_t)(random_next(random) % below);
}

/* True once in `times`. */
static inline int random_once_in(struct random *random, size_t times)
{
    return random_below(random, times) == 0;
}
