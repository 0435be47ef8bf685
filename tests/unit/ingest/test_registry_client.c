/* The registry's client before a server that says what the test wants. */
#include "ingest/registry/registry_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/unit/ingest/registry_server.h"

#define TYPE "application/vnd.schemaregistry.v1+json"
#define SUBJECT STR("tabiji.events.v1-value")
#define SCHEMA STR("{\"type\":\"string\"}")

struct fixture {
    struct registry_server server;
    struct registry_config config;
    struct registry_client *client;
    char why[REGISTRY_WHY_SIZE];
};

static void open_with(struct fixture *fixture, const struct registry_reply *replies, size_t count)
{
    registry_server_start(&fixture->server, replies, count);
    fixture->config = registry_server_config(&fixture->server);
    assert_int_equal(registry_client_new(&fixture->config, &fixture->client), 0);
}

static void close_all(struct fixture *fixture)
{
    registry_client_free(&fixture->client);
    registry_server_stop(&fixture->server);
}

static int register_schema(struct fixture *fixture, uint32_t *id)
{
    return registry_register(fixture->client, SUBJECT, SCHEMA, id, fixture->why);
}

static void test_register_sends_escaped_schema_and_takes_id(void **state)
{
    static const struct registry_reply replies[] = {{200, "{\"id\":7}", 0, 0, false}};
    struct fixture fixture;
    uint32_t id = 0;
    open_with(&fixture, replies, 1);
    assert_int_equal(
        registry_register(fixture.client, STR("a/b c\xe6\x97\x85-value"), SCHEMA, &id, fixture.why),
        0);
    assert_int_equal(id, 7);
    const struct registry_server_request *request = &fixture.server.requests[0];
    assert_string_equal(request->method, "POST");
    assert_string_equal(request->path, "/api/subjects/a%2Fb%20c%E6%97%85-value/versions");
    assert_string_equal(request->type, TYPE);
    assert_string_equal(request->authorization, "");
    assert_string_equal(
        request->body, "{\"schema\":\"{\\\"type\\\":\\\"string\\\"}\",\"schemaType\":\"AVRO\"}");
    close_all(&fixture);
}

/* What each status and document means, and what is said of it. */
static void test_register_each_status_has_its_error(void **state)
{
    static const struct {
        struct registry_reply reply;
        int error;
        const char *why;
    } cases[] = {
        {{409, "{\"error_code\":409,\"message\":\"incompatible:\\nfield x\"}", 0, 0, false},
            ERR_SCHEMA_INCOMPATIBLE, "incompatible: field x"},
        {{422, "{\"error_code\":42201,\"message\":\"no schema\"}", 0, 0, false},
            ERR_SCHEMA_VIOLATION, "no schema"},
        {{401, "{\"error_code\":401,\"message\":\"who?\"}", 0, 0, false}, ERR_AUTH, "answers 401"},
        {{403, "<html>", 0, 0, false}, ERR_AUTH, "answers 403"},
        {{404, "{\"error_code\":40401,\"message\":\"no subject\"}", 0, 0, false}, ERR_NOT_FOUND,
            "no subject"},
        {{404, "<html>not here</html>", 0, 0, false}, ERR_REPLY, "404"},
        {{404, "{\"error_code\":404,\"message\":\"HTTP 404\"}", 0, 0, false}, ERR_REPLY,
            "HTTP 404"},
        {{404, "{}", 0, 0, false}, ERR_REPLY, "404 without an error_code"},
        {{302, "{\"error_code\":1}", 0, 0, false}, ERR_REPLY, "error 1"},
        {{400, "{\"error_code\":400,\"message\":\"\\u65c5\"}", 0, 0, false}, ERR_REPLY, "???"},
        {{500, "{}", 0, 0, false}, ERR_UNREACHABLE, "answers 500"},
        {{503, "", 0, 0, false}, ERR_UNREACHABLE, "answers 503"},
        {{429, "", 0, 0, false}, ERR_UNREACHABLE, "answers 429"},
        {{200, "", 0, 0, false}, ERR_REPLY, "not a reply"},
        {{200, "{\"id\":", 0, 0, false}, ERR_REPLY, "not a reply"},
        {{200, "[]", 0, 0, false}, ERR_REPLY, "another shape"},
        {{200, "{\"id\":\"7\"}", 0, 0, false}, ERR_REPLY, "no number"},
        {{200, "{\"id\":-1}", 0, 0, false}, ERR_REPLY, "no number"},
        {{200, "{\"id\":2147483648}", 0, 0, false}, ERR_REPLY, "no number"},
        {{200, "{\"id\":7}", 0, REGISTRY_REPLY_SIZE_MAX, false}, ERR_TOO_LARGE, "too large"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture fixture;
        uint32_t id = 99;
        open_with(&fixture, &cases[i].reply, 1);
        int r = register_schema(&fixture, &id);
        if (r != cases[i].error || !strstr(fixture.why, cases[i].why))
            fail_msg("case %zu: %d, %s", i, r, fixture.why);
        assert_int_equal(id, 99);
        close_all(&fixture);
    }
}

static void test_lookup_and_latest_take_version_and_text(void **state)
{
    static const struct registry_reply replies[] = {{200,
        "{\"subject\":\"s\",\"version\":3,\"id\":12,\"schema\":\"{\\\"type\\\":\\\"string\\\"}"
        "\"}",
        0, 0, false}};
    struct fixture fixture;
    struct registry_version version;
    CLEANUP(buf_free) struct buf text = {0};
    open_with(&fixture, replies, 1);
    assert_int_equal(registry_lookup(fixture.client, SUBJECT, SCHEMA, &version, fixture.why), 0);
    assert_int_equal(version.id, 12);
    assert_int_equal(version.version, 3);
    version.id = 0;
    assert_int_equal(registry_latest(fixture.client, SUBJECT, &version, &text, fixture.why), 0);
    assert_int_equal(version.id, 12);
    assert_true(str_equal(buf_str(&text), SCHEMA));
    assert_string_equal(fixture.server.requests[0].path, "/api/subjects/tabiji.events.v1-value");
    assert_string_equal(fixture.server.requests[1].method, "GET");
    assert_string_equal(
        fixture.server.requests[1].path, "/api/subjects/tabiji.events.v1-value/versions/latest");
    close_all(&fixture);
}

static void test_by_id_refuses_what_is_not_avro_alone(void **state)
{
    static const struct registry_reply replies[] = {
        {200, "{\"schema\":\"\\\"int\\\"\"}", 1, 0, false},
        {200, "{\"schema\":\"\\\"int\\\"\",\"schemaType\":\"AVRO\",\"references\":[]}", 1, 0,
            false},
        {200, "{\"schema\":\"syntax\",\"schemaType\":\"PROTOBUF\"}", 1, 0, false},
        {200, "{\"schema\":\"\\\"a.B\\\"\",\"references\":[{\"name\":\"a.B\"}]}", 1, 0, false},
        {200, "{\"schema\":5}", 1, 0, false},
        {404, "{\"error_code\":40403,\"message\":\"Schema 5 not found.\"}", 1, 0, false},
    };
    static const int wanted[] = {
        0, 0, ERR_SCHEMA_INCOMPATIBLE, ERR_SCHEMA_INCOMPATIBLE, ERR_REPLY, ERR_NOT_FOUND};
    struct fixture fixture;
    open_with(&fixture, replies, 6);
    for (size_t i = 0; i < 6; i++) {
        CLEANUP(buf_free) struct buf text = {0};
        assert_int_equal(registry_by_id(fixture.client, 5, &text, fixture.why), wanted[i]);
        assert_int_equal(text.size, i < 2 ? 5 : 0);
    }
    assert_string_equal(fixture.server.requests[0].path, "/api/schemas/ids/5");
    close_all(&fixture);
}

static int count_subject(void *context, struct str subject)
{
    int *count = context;
    *count += subject.size == 1 ? 1 : 100;
    return 0;
}

static void test_subjects_are_visited(void **state)
{
    static const struct registry_reply replies[] = {
        {200, "[\"a\",\"b\"]", 1, 0, false}, {200, "[1]", 0, 0, false}};
    struct fixture fixture;
    int count = 0;
    open_with(&fixture, replies, 2);
    assert_int_equal(registry_subjects(fixture.client, count_subject, &count, fixture.why), 0);
    assert_int_equal(count, 2);
    assert_int_equal(
        registry_subjects(fixture.client, count_subject, &count, fixture.why), ERR_REPLY);
    close_all(&fixture);
}

static void test_compatible_gives_the_reasons_of_the_server(void **state)
{
    static const struct registry_reply replies[] = {
        {200, "{\"is_compatible\":true}", 1, 0, false},
        {200, "{\"is_compatible\":false,\"messages\":[\"field a\",\"field b\"]}", 1, 0, false},
        {200, "{\"is_compatible\":false}", 1, 0, false},
        {200, "{\"is_compatible\":1}", 1, 0, false},
    };
    struct fixture fixture;
    bool compatible = false;
    open_with(&fixture, replies, 4);
    assert_int_equal(
        registry_compatible(fixture.client, SUBJECT, SCHEMA, &compatible, fixture.why), 0);
    assert_true(compatible);
    assert_int_equal(
        registry_compatible(fixture.client, SUBJECT, SCHEMA, &compatible, fixture.why), 0);
    assert_false(compatible);
    assert_string_equal(fixture.why, "field a; field b");
    assert_int_equal(
        registry_compatible(fixture.client, SUBJECT, SCHEMA, &compatible, fixture.why), 0);
    assert_string_equal(fixture.why, "");
    assert_int_equal(
        registry_compatible(fixture.client, SUBJECT, SCHEMA, &compatible, fixture.why), ERR_REPLY);
    assert_string_equal(fixture.server.requests[0].path,
        "/api/compatibility/subjects/tabiji.events.v1-value/versions/latest?verbose=true");
    close_all(&fixture);
}

static void test_level_is_the_subjects_or_the_servers(void **state)
{
    static const struct registry_reply replies[] = {
        {200, "{\"compatibilityLevel\":\"FULL\"}", 1, 0, false},
        {404, "{\"error_code\":40408,\"message\":\"none\"}", 1, 0, false},
        {200, "{\"compatibilityLevel\":\"BACKWARD\"}", 1, 0, false},
        {200, "{\"compatibility\":\"FULL\"}", 1, 0, false},
    };
    struct fixture fixture;
    char level[REGISTRY_LEVEL_SIZE];
    open_with(&fixture, replies, 4);
    assert_int_equal(registry_level(fixture.client, SUBJECT, level, fixture.why), 0);
    assert_string_equal(level, "FULL");
    assert_int_equal(registry_level(fixture.client, SUBJECT, level, fixture.why), 0);
    assert_string_equal(level, "BACKWARD");
    assert_string_equal(fixture.server.requests[2].path, "/api/config");
    assert_int_equal(registry_set_level(fixture.client, SUBJECT, "FULL", fixture.why), 0);
    assert_string_equal(fixture.server.requests[3].method, "PUT");
    assert_string_equal(fixture.server.requests[3].body, "{\"compatibility\":\"FULL\"}");
    assert_string_equal(fixture.server.requests[3].path, "/api/config/tabiji.events.v1-value");
    close_all(&fixture);
}

/* ---- credentials, addresses, time ---- */

static void keep_log(void *context, int level, const char *event, const char *text)
{
    struct buf *log = context;
    check(buf_appendf(log, "%s %s\n", event, text) == 0);
}

static void test_request_shows_credentials_and_logs_none(void **state)
{
    static const struct registry_reply replies[] = {
        {500, "", 1, 0, false}, {200, "{\"id\":7}", 0, 0, false}};
    static const char *const wanted[] = {"Basic dTpz", "Bearer abc.def"};
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture;
        CLEANUP(buf_free) struct buf log = {0};
        uint32_t id;
        registry_server_start(&fixture.server, replies, 2);
        fixture.config = registry_server_config(&fixture.server);
        fixture.config.basic = i == 0 ? STR("u:s") : STR("");
        fixture.config.token = i == 1 ? STR("abc.def") : STR("");
        fixture.config.attempts = 2;
        fixture.config.log = keep_log;
        fixture.config.context = &log;
        assert_int_equal(registry_client_new(&fixture.config, &fixture.client), 0);
        assert_int_equal(register_schema(&fixture, &id), 0);
        assert_string_equal(fixture.server.requests[0].authorization, wanted[i]);
        assert_string_equal(fixture.server.requests[1].authorization, wanted[i]);
        assert_int_equal(buf_append(&log, "", 1), 0);
        assert_non_null(strstr(log.data, "registry_unreachable"));
        assert_null(strstr(log.data, "u:s"));
        assert_null(strstr(log.data, "abc"));
        close_all(&fixture);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_request_shows_the_credentials_that_the_file_has_now(void **state)
{
    static const struct registry_reply replies[] = {{200, "{\"id\":7}", 0, 0, false},
        {200, "{\"id\":7}", 0, 0, false}, {200, "{\"id\":7}", 0, 0, false},
        {200, "{\"id\":7}", 0, 0, false}};
    static const char *const wanted[2][4] = {
        {"Basic dTpz", "Basic dTp0dQ==", "Basic dTp0dQ==", "Basic dTp0dQ=="},
        {"Bearer u:s", "Bearer u:tu", "Bearer u:tu", "Bearer u:tu"}};
    char path[] = "/tmp/tabiji-credentials-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture;
        CLEANUP(buf_free) struct buf log = {0};
        uint32_t id;
        write_file(path, "u:s\n");
        registry_server_start(&fixture.server, replies, 4);
        fixture.config = registry_server_config(&fixture.server);
        *(i == 0 ? &fixture.config.basic : &fixture.config.token) = STR("u:s");
        *(i == 0 ? &fixture.config.basic_file : &fixture.config.token_file) = str_of(path);
        fixture.config.log = keep_log;
        fixture.config.context = &log;
        assert_int_equal(registry_client_new(&fixture.config, &fixture.client), 0);
        assert_int_equal(register_schema(&fixture, &id), 0);
        assert_int_equal(log.size, 0);
        write_file(path, "u:tu\n");
        assert_int_equal(register_schema(&fixture, &id), 0);
        write_file(path, ""); /* in the midst of being written */
        assert_int_equal(register_schema(&fixture, &id), 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(register_schema(&fixture, &id), 0);
        for (size_t k = 0; k < 4; k++)
            assert_string_equal(fixture.server.requests[k].authorization, wanted[i][k]);
        assert_int_equal(buf_append(&log, "", 1), 0);
        assert_non_null(strstr(log.data, "registry_credentials the file has changed"));
        assert_non_null(strstr(log.data, "registry_credentials nothing there"));
        assert_null(strstr(log.data, "u:"));
        close_all(&fixture);
    }
}

static void test_request_passes_over_addresses_that_fail(void **state)
{
    static const struct registry_reply broken[] = {{503, "", 0, 0, false}};
    static const struct registry_reply sound[] = {{200, "{\"id\":7}", 0, 0, false}};
    struct registry_server servers[2];
    uint32_t id;
    registry_server_start(&servers[0], broken, 1);
    registry_server_start(&servers[1], sound, 1);
    struct str urls[] = {STR_INIT("http://127.0.0.1:1"), servers[0].url_text, servers[1].url_text};
    struct registry_config config = registry_server_config(&servers[0]);
    config.urls = urls;
    config.urls_count = 3;
    struct registry_client *client;
    char why[REGISTRY_WHY_SIZE];
    assert_int_equal(registry_client_new(&config, &client), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(registry_register(client, SUBJECT, SCHEMA, &id, why), 0);
    assert_int_equal(registry_server_asked(&servers[0]), 1); /* who answered is asked first */
    assert_int_equal(registry_server_asked(&servers[1]), 3);
    registry_client_free(&client);
    registry_server_stop(&servers[0]);
    registry_server_stop(&servers[1]);
}

static void test_request_gives_up_after_the_rounds(void **state)
{
    static const struct registry_reply replies[] = {{500, "", 0, 0, false}};
    struct fixture fixture;
    uint32_t id;
    open_with(&fixture, replies, 1);
    fixture.config.attempts = 3;
    assert_int_equal(register_schema(&fixture, &id), ERR_UNREACHABLE);
    assert_int_equal(registry_server_asked(&fixture.server), 3);
    close_all(&fixture);
}

static void test_request_slow_reply_is_unreachable(void **state)
{
    static const struct registry_reply replies[] = {{200, "{\"id\":7}", 0, 0, true}};
    struct fixture fixture;
    uint32_t id;
    registry_server_start(&fixture.server, replies, 1);
    fixture.config = registry_server_config(&fixture.server);
    fixture.config.timeout_ms = 100;
    assert_int_equal(registry_client_new(&fixture.config, &fixture.client), 0);
    assert_int_equal(register_schema(&fixture, &id), ERR_UNREACHABLE);
    close_all(&fixture);
}

static bool stop_at_once(void *context)
{
    return true;
}

static void test_request_ends_when_told_to_stop(void **state)
{
    static const struct registry_reply replies[] = {{200, "{\"id\":7}", 0, 0, true}};
    struct fixture fixture;
    uint32_t id;
    registry_server_start(&fixture.server, replies, 1);
    fixture.config = registry_server_config(&fixture.server);
    fixture.config.timeout_ms = 60000;
    fixture.config.stopping = stop_at_once;
    assert_int_equal(registry_client_new(&fixture.config, &fixture.client), 0);
    assert_int_equal(register_schema(&fixture, &id), ERR_AGAIN);
    close_all(&fixture);
}

static void test_config_check_says_what_is_wrong(void **state)
{
    static const struct {
        const char *url;
        const char *basic;
        const char *token;
        const char *key_file;
        const char *problem;
    } cases[] = {
        {"http://h:8081", "", "", NULL, NULL},
        {"https://h/a@b", "u:p:q", "", NULL, NULL},
        {"http://me:secret@h", "", "", NULL, "auth_file"},
        {"ftp://h", "", "", NULL, "neither"},
        {"http://h?x=1", "", "", NULL, "query"},
        {"http://h", "nopassword", "", NULL, "USER:PASSWORD"},
        {"http://h", "u:p", "t", NULL, "exclude"},
        {"http://h", "", "", "key.pem", "certificate_file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char problem[256] = "";
        struct str url = str_of(cases[i].url);
        const struct registry_config config = {.urls = &url,
            .urls_count = 1,
            .basic = str_of(cases[i].basic),
            .token = str_of(cases[i].token),
            .key_file = cases[i].key_file};
        int r = registry_config_check(&config, problem, sizeof problem);
        assert_int_equal(r, cases[i].problem ? ERR_CONFIG : 0);
        if (cases[i].problem)
            assert_non_null(strstr(problem, cases[i].problem));
        assert_null(strstr(problem, "secret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_register_sends_escaped_schema_and_takes_id),
        cmocka_unit_test(test_register_each_status_has_its_error),
        cmocka_unit_test(test_lookup_and_latest_take_version_and_text),
        cmocka_unit_test(test_by_id_refuses_what_is_not_avro_alone),
        cmocka_unit_test(test_subjects_are_visited),
        cmocka_unit_test(test_compatible_gives_the_reasons_of_the_server),
        cmocka_unit_test(test_level_is_the_subjects_or_the_servers),
        cmocka_unit_test(test_request_shows_credentials_and_logs_none),
        cmocka_unit_test(test_request_shows_the_credentials_that_the_file_has_now),
        cmocka_unit_test(test_request_passes_over_addresses_that_fail),
        cmocka_unit_test(test_request_gives_up_after_the_rounds),
        cmocka_unit_test(test_request_slow_reply_is_unreachable),
        cmocka_unit_test(test_request_ends_when_told_to_stop),
        cmocka_unit_test(test_config_check_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
