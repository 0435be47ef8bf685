/* Our subjects: their names, and how they come to the registry. */
#include "ingest/registry/subject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/unit/ingest/registry_server.h"

#define ABSENT                                                                                     \
    {                                                                                              \
        404, "{\"error_code\":40403,\"message\":\"none\"}", 1, 0, false                            \
    }
#define FOUND                                                                                      \
    {                                                                                              \
        200, "{\"subject\":\"s\",\"version\":2,\"id\":12,\"schema\":\"\\\"int\\\"\"}", 1, 0, false \
    }
#define REFUSED                                                                                    \
    {                                                                                              \
        409, "{\"error_code\":409,\"message\":\"field x\"}", 1, 0, false                           \
    }
#define REGISTERED                                                                                 \
    {                                                                                              \
        200, "{\"id\":13}", 1, 0, false                                                            \
    }
#define LEVEL_SET                                                                                  \
    {                                                                                              \
        200, "{\"compatibility\":\"FULL\"}", 1, 0, false                                           \
    }
#define LEVEL(level)                                                                               \
    {                                                                                              \
        200, "{\"compatibilityLevel\":\"" level "\"}", 1, 0, false                                 \
    }
#define ANSWER(truth)                                                                              \
    {                                                                                              \
        200, "{\"is_compatible\":" truth "}", 1, 0, false                                          \
    }

struct fixture {
    struct registry_server server;
    struct registry_config config;
    struct registry_client *client;
    struct subject subject;
    char why[REGISTRY_WHY_SIZE];
};

static struct fixture *begin(const struct registry_reply *replies, size_t count)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    registry_server_start(&fixture->server, replies, count);
    fixture->config = registry_server_config(&fixture->server);
    assert_int_equal(registry_client_new(&fixture->config, &fixture->client), 0);
    assert_true(subject_of("t", TOPIC_EVENTS, &fixture->subject));
    return fixture;
}

/* methods: of all requests, in order ("POST GET"). */
static void end(struct fixture *fixture, const char *methods)
{
    char got[512] = "";
    size_t count = registry_server_asked(&fixture->server);
    for (size_t i = 0; i < count; i++)
        (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "",
            fixture->server.requests[i].method);
    assert_string_equal(got, methods);
    registry_client_free(&fixture->client);
    registry_server_stop(&fixture->server);
    free(fixture);
}

static int get_id(struct fixture *fixture, bool add, uint32_t *id)
{
    return subject_id(fixture->client, &fixture->subject, add, id, fixture->why);
}

#define BEGIN(replies) begin(replies, sizeof(replies) / sizeof *(replies))

static void test_of_topics_with_one_record_only(void **state)
{
    struct subject subject;
    size_t count = 0;
    for (int t = 0; t < TOPIC_COUNT; t++)
        count += subject_of("shop", (enum topic)t, &subject);
    assert_int_equal(count, TOPIC_COUNT - 2);
    assert_false(subject_of("shop", TOPIC_IDENTITY_STATE, &subject));
    assert_false(subject_of("shop", TOPIC_JOURNEY_STATE, &subject));
    assert_true(subject_of("shop", TOPIC_TOUCHPOINTS, &subject));
    assert_string_equal(subject.name, "shop.touchpoints.v1-value");
    assert_string_equal(subject.entry->name, "stitched");
}

static void test_id_that_is_there_is_looked_up(void **state)
{
    static const struct registry_reply replies[] = {FOUND};
    struct fixture *fixture = BEGIN(replies);
    uint32_t id = 0;
    assert_int_equal(get_id(fixture, true, &id), 0);
    assert_int_equal(id, 12);
    end(fixture, "POST");
}

static void test_id_is_not_registered_unasked(void **state)
{
    static const struct registry_reply replies[] = {ABSENT};
    struct fixture *fixture = BEGIN(replies);
    uint32_t id = 0;
    assert_int_equal(get_id(fixture, false, &id), ERR_NOT_FOUND);
    end(fixture, "POST");
}

static void test_id_of_a_new_subject_is_registered_then_its_level_set(void **state)
{
    static const struct registry_reply replies[] = {ABSENT, ABSENT, REGISTERED, LEVEL_SET};
    struct fixture *fixture = BEGIN(replies);
    uint32_t id = 0;
    assert_int_equal(get_id(fixture, true, &id), 0);
    assert_int_equal(id, 13);
    end(fixture, "POST GET POST PUT");
}

static void test_id_of_a_subject_that_is_there_level_comes_first(void **state)
{
    static const struct registry_reply replies[] = {ABSENT, FOUND, LEVEL_SET, REGISTERED};
    struct fixture *fixture = BEGIN(replies);
    uint32_t id = 0;
    assert_int_equal(get_id(fixture, true, &id), 0);
    end(fixture, "POST GET PUT POST");
}

static void test_id_refused_tells_the_servers_reason(void **state)
{
    static const struct registry_reply replies[] = {ABSENT, FOUND, LEVEL_SET, REFUSED, ABSENT};
    struct fixture *fixture = BEGIN(replies);
    uint32_t id = 0;
    assert_int_equal(get_id(fixture, true, &id), ERR_SCHEMA_INCOMPATIBLE);
    assert_string_equal(fixture->why, "field x");
    end(fixture, "POST GET PUT POST POST");
}

/* Workers that start together: 409 for who comes second, to the schema or to the level. */
static void test_id_registered_by_another_meanwhile_is_taken(void **state)
{
    static const struct registry_reply replies[] = {
        ABSENT, ABSENT, REFUSED, FOUND, REFUSED, LEVEL("FULL")};
    struct fixture *fixture = BEGIN(replies);
    uint32_t id = 0;
    assert_int_equal(get_id(fixture, true, &id), 0);
    assert_int_equal(id, 12);
    end(fixture, "POST GET POST POST PUT GET");
}

static void test_id_level_that_cannot_be_set_is_an_error(void **state)
{
    static const struct registry_reply replies[] = {ABSENT, FOUND, REFUSED, LEVEL("NONE")};
    struct fixture *fixture = BEGIN(replies);
    uint32_t id = 0;
    assert_int_equal(get_id(fixture, true, &id), ERR_REPLY);
    assert_string_equal(fixture->why, "field x");
    end(fixture, "POST GET PUT GET");
}

static void check_case(const struct registry_reply *replies, size_t count,
    enum subject_state wanted, const char *level, const char *why, const char *methods)
{
    struct fixture *fixture = begin(replies, count);
    struct subject_check found;
    assert_int_equal(subject_check(fixture->client, &fixture->subject, &found, fixture->why), 0);
    assert_int_equal(found.state, wanted);
    assert_string_equal(found.level, level);
    if (!strstr(fixture->why, why))
        fail_msg("\"%s\" is not in \"%s\"", why, fixture->why);
    end(fixture, methods);
}

static void test_check_each_state(void **state)
{
    const struct registry_reply registered[] = {FOUND, LEVEL("BACKWARD")};
    const struct registry_reply missing[] = {ABSENT, ABSENT};
    const struct registry_reply said_no[] = {ABSENT, FOUND,
        {200, "{\"is_compatible\":false,\"messages\":[\"because\"]}", 1, 0, false}, LEVEL("FULL")};
    /* A server of level NONE says yes to everything; an int is no touchpoint. */
    const struct registry_reply unreadable[] = {ABSENT, FOUND, ANSWER("true"), LEVEL("NONE")};
    const struct registry_reply foreign[] = {ABSENT,
        {200, "{\"version\":1,\"id\":1,\"schema\":\"s\",\"schemaType\":\"JSON\"}", 1, 0, false},
        LEVEL("FULL")};
    check_case(registered, 2, SUBJECT_REGISTERED, "BACKWARD", "", "POST GET");
    check_case(missing, 2, SUBJECT_MISSING, "", "", "POST GET");
    check_case(said_no, 4, SUBJECT_INCOMPATIBLE, "FULL", "because", "POST GET POST GET");
    check_case(unreadable, 4, SUBJECT_INCOMPATIBLE, "NONE", "cannot be read", "POST GET POST GET");
    check_case(foreign, 3, SUBJECT_INCOMPATIBLE, "FULL", "not Avro but JSON", "POST GET GET");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_topics_with_one_record_only),
        cmocka_unit_test(test_id_that_is_there_is_looked_up),
        cmocka_unit_test(test_id_is_not_registered_unasked),
        cmocka_unit_test(test_id_of_a_new_subject_is_registered_then_its_level_set),
        cmocka_unit_test(test_id_of_a_subject_that_is_there_level_comes_first),
        cmocka_unit_test(test_id_refused_tells_the_servers_reason),
        cmocka_unit_test(test_id_registered_by_another_meanwhile_is_taken),
        cmocka_unit_test(test_id_level_that_cannot_be_set_is_an_error),
        cmocka_unit_test(test_check_each_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
