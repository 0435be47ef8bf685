/* A producer with a spool, killed at every call to the disk that it makes, by whichever of its
 * threads: what was told to be taken arrives, by the next producer of the directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingest/producer/tabiji.h"
#include "tests/unit/ingest/disk_model.h"
#include "tests/unit/ingest/producer_server.h"

#define EVENTS_MAX 32
#define CALLS_MAX 400
#define CALLS_MIN 20 /* it is more than the opening */
#define PATIENCE_MS 20000
#define LIVES 2
#define FIRST 4  /* events before the first flush of a life */
#define SECOND 6 /* and behind it, which the close may leave there */

/* Shared with the child. */
struct told {
    int sent;              /* events that were given, taken or not */
    int taken[EVENTS_MAX]; /* 1: the call said so */
};

struct fixture {
    char dir[64];
    char spool[96];
    struct told *told;
    size_t again; /* events that servers got more than once */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture)
        return -1;
    (void)snprintf(fixture->dir, sizeof fixture->dir, "/tmp/tabiji-kill-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    fixture->told = mmap(
        NULL, sizeof *fixture->told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *state = fixture;
    return fixture->told == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[160];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", fixture->dir);
    (void)munmap(fixture->told, sizeof *fixture->told);
    free(fixture);
    return system(command);
}

static int open_producer(
    const struct fixture *fixture, const char *url, struct tabiji_producer **out)
{
    const struct tabiji_options options = {.size = sizeof options,
        .url = url,
        .linger_ms = -1,
        .retry_min_ms = 1,
        .retry_max_ms = 20,
        .spool_interval_ms = 5,
        .spool_dir = fixture->spool};
    return tabiji_producer_new(&options, out, NULL);
}

static bool send_some(const struct fixture *fixture, struct tabiji_producer *producer, int count)
{
    struct told *told = fixture->told;
    for (int i = 0; i < count; i++) {
        char json[160];
        int size = snprintf(json, sizeof json,
            "{\"id\":\"e-%d\",\"type\":\"page_viewed\",\"ids\":{\"login\":\"u-1\"}}", told->sent);
        int number = told->sent++;
        int r = (number % 2 ? tabiji_send_json_durable : tabiji_send_json)(
            producer, json, (size_t)size, NULL, NULL);
        if (r != TABIJI_OK)
            return false;
        told->taken[number] = 1;
    }
    return true;
}

/* In a child. */
static bool work(const struct fixture *fixture, const char *url)
{
    for (int life = 0; life < LIVES; life++) {
        struct tabiji_producer *producer = NULL;
        if (open_producer(fixture, url, &producer) != TABIJI_OK ||
            !send_some(fixture, producer, FIRST) ||
            tabiji_flush(producer, PATIENCE_MS) != TABIJI_OK ||
            !send_some(fixture, producer, SECOND))
            return false;
        (void)tabiji_producer_close(&producer, 0);
    }
    return true;
}

/* Whether the child was killed. */
static bool run_child(
    const struct fixture *fixture, const char *url, long nth, enum disk_fault fault)
{
    int status = 0;
    disk_watch(fixture->spool);
    pid_t pid = fork();
    if (pid == 0) {
        disk_plan(DISK_ANY, nth, 1, fault, 0);
        _exit(work(fixture, url) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    disk_watch(NULL);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : status == 0);
    return WIFSIGNALED(status);
}

/* What was taken is at the server, and nothing else. */
static void check_told(struct fixture *fixture, struct producer_server *server)
{
    struct tabiji_producer *producer = NULL;
    size_t there = 0;
    assert_int_equal(open_producer(fixture, producer_server_url(server), &producer), TABIJI_OK);
    assert_int_equal(tabiji_flush(producer, PATIENCE_MS), TABIJI_OK);
    struct tabiji_statistics left = {.size = sizeof left};
    assert_int_equal(tabiji_producer_statistics(producer, &left), TABIJI_OK);
    assert_int_equal(left.spool_events + left.spool_lost, 0);
    assert_int_equal(tabiji_producer_close(&producer, 0), TABIJI_OK);
    for (int i = 0; i < fixture->told->sent; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "e-%d", i);
        there += producer_server_has(server, id);
        if (fixture->told->taken[i] && !producer_server_has(server, id))
            fail_msg("%s was taken, and is lost", id);
    }
    assert_int_equal(producer_server_ids(server), there);
    fixture->again += producer_server_again(server);
}

static void kill_everywhere(struct fixture *fixture, enum disk_fault fault)
{
    long nth = 1;
    for (bool killed = true; killed; nth++) {
        assert_true(nth < CALLS_MAX);
        struct producer_server *server = producer_server_start(NULL, 0);
        assert_non_null(server);
        memset(fixture->told, 0, sizeof *fixture->told);
        (void)snprintf(
            fixture->spool, sizeof fixture->spool, "%s/%d-%ld", fixture->dir, (int)fault, nth);
        killed = run_child(fixture, producer_server_url(server), nth, fault);
        assert_true(killed || fixture->told->sent == LIVES * (FIRST + SECOND));
        check_told(fixture, server);
        producer_server_stop(&server);
    }
    assert_true(nth > CALLS_MIN);
}

static void test_killed_at_any_call_all_that_was_taken_arrives(void **state)
{
    struct fixture *fixture = *state;
    kill_everywhere(fixture, DISK_KILL_BEFORE);
    kill_everywhere(fixture, DISK_KILL_MIDWAY);
    assert_true(fixture->again > 0); /* also between an answer and the note of it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_killed_at_any_call_all_that_was_taken_arrives, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
