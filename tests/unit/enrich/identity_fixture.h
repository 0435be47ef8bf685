/*
 * The identify stage alone over a store in memory: what its tests begin with.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "enrich/identity/identify.h"
#include "tests/sim/solo.h"

static struct identify_config config;
static struct stage stage;

struct fixture {
    struct solo *solo;
    struct arena arena;
    int64_t position;
};

static inline int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.position = 0};
    config = (struct identify_config){
        .namespaces = namespace_table_default(), .tenant_key = "a key of tests"};
    identify_stage(&stage, &config);
    assert_int_equal(solo_new(&stage, &fixture.solo), 0);
    *state = &fixture;
    return 0;
}

/* With what the stage sends. */
static inline int setup_keep_sent(void **state)
{
    int r = setup(state);
    struct fixture *fixture = *state;
    solo_keep_sent(fixture->solo, true);
    return r;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;
    solo_free(&fixture->solo);
    arena_free(&fixture->arena);
    return 0;
}

static inline void node_of_identifier(const struct identifier *identifier, uint8_t id[KEY_SIZE])
{
    namespace_node_id(config.namespaces, namespace_rank(config.namespaces, identifier->namespace),
        identifier->value, id);
}

/* Gives the stage a record, in a batch of its own. */
static inline void process_record(
    struct fixture *fixture, enum topic topic, struct str key, struct str value)
{
    const struct record record = {
        .topic = topic, .position = fixture->position++, .key = key, .value = value};
    assert_int_equal(solo_process(fixture->solo, &record), 0);
    assert_int_equal(solo_commit(fixture->solo), 0);
}
