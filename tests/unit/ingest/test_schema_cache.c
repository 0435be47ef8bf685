/* What the cache asks, when, and what it makes of the replies. */
#include "ingest/registry/schema_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "schemas/person_of.avro.h"
#include "schemas/profile.avro.h"
#include "tests/unit/ingest/registry_server.h"

#define WAIT_MS 20000 /* how long a test that fails takes */
#define ABSENT_MS 1000
#define NOT_FOUND "{\"error_code\":40403,\"message\":\"Schema not found\"}"

struct fixture {
    struct registry_server server;
    struct registry_config config;
    struct schema_cache *cache;
    atomic_int_least64_t clock;
    char body[16384]; /* a reply with the schema of PersonOf */
};

static int64_t now_ms(void *context)
{
    struct fixture *fixture = context;
    return atomic_load(&fixture->clock);
}

static void schema_reply(struct fixture *fixture, const char *schema)
{
    char *out = fixture->body;
    out += sprintf(out, "{\"schema\":\"");
    for (const char *p = schema; *p; p++) {
        if (*p == '"' || *p == '\\')
            *out++ = '\\';
        *out++ = *p;
    }
    (void)sprintf(out, "\"}");
}

static struct fixture *begin(const struct registry_reply *replies, size_t count)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    registry_server_start(&fixture->server, replies, count);
    fixture->config = registry_server_config(&fixture->server);
    fixture->config.timeout_ms = 600000; /* what ends a request here is no timeout */
    const struct schema_cache_config config = {
        .registry = &fixture->config, .absent_ms = ABSENT_MS, .now_ms = now_ms, .context = fixture};
    assert_int_equal(schema_cache_open(&config, &fixture->cache), 0);
    schema_reply(fixture, person_of_schema);
    return fixture;
}

static void end(struct fixture *fixture)
{
    registry_server_release(&fixture->server);
    schema_cache_close(&fixture->cache);
    registry_server_stop(&fixture->server);
    free(fixture);
}

static int find(struct fixture *fixture, uint32_t id)
{
    const struct avro_plan *plan = NULL;
    int r = schema_cache_find(fixture->cache, id, &avro_type_person_of, &plan);
    assert_int_equal(plan != NULL, r == 0);
    return r;
}

static int await(struct fixture *fixture, uint32_t id)
{
    const struct avro_plan *plan = NULL;
    return schema_cache_wait(fixture->cache, id, &avro_type_person_of, WAIT_MS, &plan);
}

static void test_find_never_waits_and_asks_once(void **state)
{
    struct registry_reply reply = {200, NULL, 0, 0, true};
    struct fixture *fixture = begin(&reply, 1);
    reply.body = fixture->body;
    for (int i = 0; i < 1000; i++) /* while the reply is held back */
        assert_int_equal(find(fixture, 5), SCHEMA_CACHE_AWAITED);
    assert_int_equal(schema_cache_replies(fixture->cache), 0);
    registry_server_release(&fixture->server);
    assert_int_equal(await(fixture, 5), 0);
    assert_int_equal(schema_cache_replies(fixture->cache), 1);
    atomic_store(&fixture->clock, INT64_MAX / 2); /* for ever */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(find(fixture, 5), 0);
    assert_int_equal(registry_server_asked(&fixture->server), 1);
    end(fixture);
}

static void test_find_plan_reads_the_schema_as_the_record(void **state)
{
    struct registry_reply reply = {200, NULL, 0, 0, false};
    struct fixture *fixture = begin(&reply, 1);
    const struct avro_plan *plan = NULL, *again = NULL;
    reply.body = fixture->body;
    assert_int_equal(schema_cache_wait(fixture->cache, 5, &avro_type_person_of, WAIT_MS, &plan), 0);
    assert_true(avro_plan_is_plain(plan));
    assert_int_equal(schema_cache_find(fixture->cache, 5, &avro_type_person_of, &again), 0);
    assert_ptr_equal(plan, again);
    /* The same id as another record is another question. */
    assert_int_equal(schema_cache_wait(fixture->cache, 5, &avro_type_profile, WAIT_MS, &again),
        ERR_SCHEMA_INCOMPATIBLE);
    end(fixture);
}

static void test_find_absent_is_believed_for_a_while(void **state)
{
    struct registry_reply replies[] = {{404, NOT_FOUND, 1, 0, false}, {200, NULL, 0, 0, false}};
    struct fixture *fixture = begin(replies, 2);
    replies[1].body = fixture->body;
    assert_int_equal(await(fixture, 5), ERR_SCHEMA_UNKNOWN);
    atomic_store(&fixture->clock, ABSENT_MS - 1);
    assert_int_equal(find(fixture, 5), ERR_SCHEMA_UNKNOWN);
    assert_int_equal(registry_server_asked(&fixture->server), 1);
    atomic_store(&fixture->clock, ABSENT_MS);
    assert_int_equal(await(fixture, 5), 0);
    assert_int_equal(registry_server_asked(&fixture->server), 2);
    end(fixture);
}

static void test_find_incompatible_is_remembered(void **state)
{
    static const char *const bodies[] = {
        "{\"schema\":\"{\\\"type\\\":\\\"string\\\"}\"}",
        "{\"schema\":\"no schema\"}",
        "{\"schema\":\"syntax\",\"schemaType\":\"PROTOBUF\"}",
        ("{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"PersonOf\\\","
         "\\\"fields\\\":[]}\"}"),
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        const struct registry_reply reply = {200, bodies[i], 0, 0, false};
        struct fixture *fixture = begin(&reply, 1);
        assert_int_equal(await(fixture, 5), ERR_SCHEMA_INCOMPATIBLE);
        atomic_store(&fixture->clock, INT64_MAX / 2);
        assert_int_equal(find(fixture, 5), ERR_SCHEMA_INCOMPATIBLE);
        assert_int_equal(registry_server_asked(&fixture->server), 1);
        end(fixture);
    }
}

/* What is no reply of a registry decides nothing about an id: it is asked again. */
static void test_find_waits_through_failures(void **state)
{
    struct registry_reply replies[] = {{503, "", 1, 0, false}, {401, "", 1, 0, false},
        {404, "<html>", 1, 0, false}, {200, "{", 1, 0, false}, {200, NULL, 0, 0, false}};
    struct fixture *fixture = begin(replies, 5);
    replies[4].body = fixture->body;
    assert_int_equal(await(fixture, 5), 0);
    assert_int_equal(registry_server_asked(&fixture->server), 5);
    end(fixture);
}

static void test_find_others_are_answered_while_one_fails(void **state)
{
    struct registry_reply replies[] = {{500, "", 1, 0, false}, {200, NULL, 0, 0, false}};
    struct fixture *fixture = begin(replies, 2);
    replies[1].body = fixture->body;
    assert_int_equal(find(fixture, 5), SCHEMA_CACHE_AWAITED);
    assert_int_equal(find(fixture, 6), SCHEMA_CACHE_AWAITED);
    assert_int_equal(await(fixture, 6), 0);
    assert_int_equal(await(fixture, 5), 0);
    end(fixture);
}

static void test_put_is_not_asked(void **state)
{
    const struct registry_reply reply = {500, "", 0, 0, false};
    struct fixture *fixture = begin(&reply, 1);
    assert_int_equal(
        schema_cache_put(fixture->cache, 5, &avro_type_person_of, str_of(person_of_schema)), 0);
    assert_int_equal(find(fixture, 5), 0);
    assert_int_equal(
        schema_cache_put(fixture->cache, 6, &avro_type_person_of, str_of(profile_schema)),
        ERR_SCHEMA_INCOMPATIBLE);
    assert_int_equal(registry_server_asked(&fixture->server), 0);
    end(fixture);
}

static void test_find_is_bounded(void **state)
{
    const struct registry_reply reply = {500, "", 0, 0, false};
    struct fixture *fixture = begin(&reply, 1);
    for (uint32_t id = 0; id < SCHEMA_CACHE_ENTRIES_MAX; id++)
        assert_int_equal(find(fixture, id), SCHEMA_CACHE_AWAITED);
    assert_int_equal(find(fixture, SCHEMA_CACHE_ENTRIES_MAX), ERR_FULL);
    end(fixture);
}

/* Ends without the reply that is under way. */
static void test_close_ends_a_request(void **state)
{
    const struct registry_reply reply = {200, "{}", 0, 0, true};
    struct fixture *fixture = begin(&reply, 1);
    assert_int_equal(find(fixture, 5), SCHEMA_CACHE_AWAITED);
    pthread_mutex_lock(&fixture->server.mutex);
    while (fixture->server.requests_count == 0)
        pthread_cond_wait(&fixture->server.changed, &fixture->server.mutex);
    pthread_mutex_unlock(&fixture->server.mutex);
    schema_cache_close(&fixture->cache);
    assert_null(fixture->cache);
    registry_server_stop(&fixture->server);
    free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_never_waits_and_asks_once),
        cmocka_unit_test(test_find_plan_reads_the_schema_as_the_record),
        cmocka_unit_test(test_find_absent_is_believed_for_a_while),
        cmocka_unit_test(test_find_incompatible_is_remembered),
        cmocka_unit_test(test_find_waits_through_failures),
        cmocka_unit_test(test_find_others_are_answered_while_one_fails),
        cmocka_unit_test(test_put_is_not_asked),
        cmocka_unit_test(test_find_is_bounded),
        cmocka_unit_test(test_close_ends_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
