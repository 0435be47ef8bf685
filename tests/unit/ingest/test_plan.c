/* A tracking plan: its files, what they say of events, other files while events are judged. */
#include "ingest/plan/plan.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingest/door.h"
#include "schemas/error.h"

#define PATHS_MAX 16

struct fixture {
    struct arena arena;
    char dir[40];
    char paths[PATHS_MAX][120]; /* of what was made, in order */
    size_t count;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.dir = "/tmp/test_plan_XXXXXX"};
    *state = &fixture;
    return mkdtemp(fixture.dir) ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    while (fixture->count)
        (void)remove(fixture->paths[--fixture->count]);
    arena_free(&fixture->arena);
    return rmdir(fixture->dir);
}

static const char *path_of(struct fixture *fixture, const char *name)
{
    char *path = fixture->paths[fixture->count++];
    (void)snprintf(path, sizeof fixture->paths[0], "%s/%s", fixture->dir, name);
    return path;
}

static void make_dir(struct fixture *fixture, const char *name)
{
    assert_int_equal(mkdir(path_of(fixture, name), 0700), 0);
}

static void write_file(struct fixture *fixture, const char *name, const char *text)
{
    FILE *file = fopen(path_of(fixture, name), "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct plan *load(struct fixture *fixture)
{
    CLEANUP(buf_free) struct buf message = {0};
    struct plan_files *files = NULL;
    struct plan *plan = NULL;
    if (plan_files_load(fixture->dir, &files, &message) < 0)
        fail_msg("%.*s", (int)message.size, message.data);
    assert_int_equal(plan_new(&files, &plan), 0);
    assert_null(files);
    return plan;
}

/* An event of a type, from a source, as a collector has it before the door. */
static struct touchpoint event_of(const char *source, const char *type, const char *properties)
{
    static struct identifier identifiers[] = {
        {.namespace = STR_INIT("cookie"), .value = STR_INIT("c-1")}};
    struct touchpoint event;
    touchpoint_init(&event);
    event.event_id = STR("e-1");
    event.source = str_of(source);
    event.type = str_of(type);
    event.protocol = PROTOCOL_SEGMENT;
    event.adapter_version = 7;
    event.occurred_at = 1;
    event.time_quality = TIME_QUALITY_CORRECTED;
    event.traceparent = STR("00-1");
    event.has_client = true;
    event.client.address = STR("192.0.2.1");
    event.identifiers = identifiers;
    event.identifiers_count = 1;
    event.properties = str_of(properties);
    return event;
}

static void assert_judged(struct fixture *fixture, struct plan *plan,
    const struct touchpoint *event, const char *pointer, const char *hint)
{
    struct event_problem problem = {.error = 0};
    int r = plan_judge(plan, event, &fixture->arena, &problem);
    assert_int_equal(r, pointer ? PLAN_MISFIT : 0);
    if (!pointer)
        return;
    assert_int_equal(problem.error, ERR_SCHEMA_VIOLATION);
    if (!str_equal(problem.pointer, str_of(pointer)) || !str_equal(problem.hint, str_of(hint)))
        fail_msg("%.*s: %.*s", (int)problem.pointer.size, problem.pointer.data,
            (int)problem.hint.size, problem.hint.data);
}

static void test_plan_judge_by_source_and_type(void **state)
{
    struct fixture *fixture = *state;
    make_dir(fixture, "web");
    make_dir(fixture, PLAN_ANY);
    write_file(fixture, "README.md", "notes");
    write_file(fixture, "web/signed_up.json",
        "{\"properties\":{\"properties\":{\"properties\":{\"plan\":true},"
        "\"additionalProperties\":false}}}");
    write_file(fixture, PLAN_ANY "/signed_up.json", "false");
    write_file(fixture, PLAN_ANY "/custom_thing.json", "{\"required\":[\"page\"]}");
    struct plan *plan = load(fixture);
    struct touchpoint event = event_of("web", "signed_up", "{\"plan\":1}");
    assert_judged(fixture, plan, &event, NULL, NULL);
    event.properties = STR("{\"plann\":1}");
    assert_judged(
        fixture, plan, &event, "/properties/plann", "is not in the schema: did you mean \"plan\"?");
    event.source = STR("app");
    assert_judged(fixture, plan, &event, "", "nothing may be here");
    event.type = STR("custom_thing");
    assert_judged(fixture, plan, &event, "/page", "is required");
    event.type = STR("searched");
    assert_judged(fixture, plan, &event, NULL, NULL); /* of which nothing is said */
    plan_free(&plan);
    plan_free(&plan); /* accepts NULL */
}

/* A schema that allows what a sender can say and nothing else takes what came by any protocol. */
static void test_plan_judge_sees_what_was_sent(void **state)
{
    struct fixture *fixture = *state;
    make_dir(fixture, "web");
    write_file(fixture, "web/signed_up.json",
        "{\"properties\":{\"id\":{\"const\":\"e-1\"},\"type\":true,\"time\":{\"format\":"
        "\"date-time\"},\"ids\":{\"const\":{\"cookie\":\"c-1\"}},\"properties\":true},"
        "\"additionalProperties\":false,\"required\":[\"time\"]}");
    struct plan *plan = load(fixture);
    struct touchpoint event = event_of("web", "signed_up", "{}");
    assert_judged(fixture, plan, &event, NULL, NULL);
    event.occurred_at = 0;
    event.time_quality = TIME_QUALITY_UNKNOWN;
    assert_judged(fixture, plan, &event, "/time", "is required");
    plan_free(&plan);
}

static void test_plan_files_load_names_what_is_wrong(void **state)
{
    static const struct {
        const char *name, *text, *says;
    } cases[] = {
        {"web/signed_up.json", "{\"typ\":\"object\"}",
            "/web/signed_up.json: #: unsupported keyword \"typ\": did you mean \"type\"?"},
        {"web/signed_up.json", "", "/web/signed_up.json: #: nothing there"},
        {"web/signed_up.json", "{\"a\"", "/web/signed_up.json: #: not JSON"},
        {"web/Signed Up.json", "{}", "/web/Signed Up.json: is not named by an event type"},
        {"web/signed_up.yaml", "{}", "/web/signed_up.yaml: is not named by an event type"},
        {"signed_up.json", "{}", "/signed_up.json: is no directory named by a source"},
    };
    struct fixture *fixture = *state;
    make_dir(fixture, "web");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP(buf_free) struct buf message = {0};
        struct plan_files *files = NULL;
        write_file(fixture, cases[i].name, cases[i].text);
        assert_int_equal(plan_files_load(fixture->dir, &files, &message), ERR_CONFIG);
        assert_null(files);
        assert_int_equal(buf_append(&message, "", 1), 0);
        if (!strstr(message.data, cases[i].says))
            fail_msg("%s", message.data);
        assert_int_equal(remove(fixture->paths[--fixture->count]), 0);
    }
    CLEANUP(buf_free) struct buf message = {0};
    struct plan_files *files = NULL;
    make_dir(fixture, "Web");
    assert_int_equal(plan_files_load(fixture->dir, &files, &message), ERR_CONFIG);
    buf_clear(&message);
    assert_int_equal(plan_files_load("/nowhere/plan", &files, &message), ERR_CONFIG);
    assert_int_equal(buf_append(&message, "", 1), 0);
    assert_string_equal(message.data, "/nowhere/plan: No such file or directory");
}

static void test_door_plan_by_mode(void **state)
{
    static const struct {
        enum config_plan source, usual;
        int result;
    } cases[] = {
        {PLAN_USUAL, PLAN_USUAL, ERR_SCHEMA_VIOLATION},
        {PLAN_USUAL, PLAN_STRICT, ERR_SCHEMA_VIOLATION},
        {PLAN_USUAL, PLAN_WARN, DOOR_WARNED},
        {PLAN_USUAL, PLAN_OFF, 0},
        {PLAN_STRICT, PLAN_OFF, ERR_SCHEMA_VIOLATION},
        {PLAN_WARN, PLAN_STRICT, DOOR_WARNED},
        {PLAN_OFF, PLAN_STRICT, 0},
    };
    struct fixture *fixture = *state;
    make_dir(fixture, "web");
    write_file(fixture, "web/signed_up.json", "false");
    struct plan *plan = load(fixture);
    struct touchpoint event = event_of("web", "signed_up", "{}");
    struct door_config door = {.plan = plan};
    struct event_problem problem;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        door.plan_mode = cases[i].usual;
        assert_int_equal(
            door_plan(&door, cases[i].source, &event, &fixture->arena, &problem), cases[i].result);
    }
    door.plan = NULL;
    assert_int_equal(door_plan(&door, PLAN_STRICT, &event, &fixture->arena, &problem), 0);
    plan_free(&plan);
}

/* ---- threads ---- */

#define ROUNDS 2000

static void *keep_judging(void *context)
{
    struct plan *plan = context;
    const struct touchpoint event = event_of("web", "signed_up", "{}");
    struct arena arena = {0};
    for (int i = 0; i < ROUNDS; i++) {
        struct event_problem problem;
        check(plan_judge(plan, &event, &arena, &problem) == PLAN_MISFIT);
        arena_reset(&arena);
    }
    arena_free(&arena);
    return NULL;
}

static void test_plan_replace_while_events_are_judged(void **state)
{
    struct fixture *fixture = *state;
    make_dir(fixture, "web");
    write_file(fixture, "web/signed_up.json", "{\"required\":[\"page\"]}");
    struct plan *plan = load(fixture);
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, keep_judging, plan), 0);
    for (int i = 0; i < 100; i++) {
        CLEANUP(buf_free) struct buf message = {0};
        struct plan_files *files = NULL;
        assert_int_equal(plan_files_load(fixture->dir, &files, &message), 0);
        plan_replace(plan, &files);
        assert_null(files);
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    plan_free(&plan);
}

/* The plan that comes with the program is one. */
static void test_plan_files_load_reads_the_shipped_example(void **state)
{
    CLEANUP(buf_free) struct buf message = {0};
    CLEANUP(plan_files_free) struct plan_files *files = NULL;
    char path[500];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/deploy/config/schemas", getenv("TABIJI_SOURCE_ROOT"));
    if (plan_files_load(path, &files, &message) < 0)
        fail_msg("%.*s", (int)message.size, message.data);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_plan_judge_by_source_and_type),
        CASE(test_plan_judge_sees_what_was_sent),
        CASE(test_plan_files_load_names_what_is_wrong),
        CASE(test_door_plan_by_mode),
        CASE(test_plan_replace_while_events_are_judged),
        cmocka_unit_test(test_plan_files_load_reads_the_shipped_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
