/* The producer with a spool on the disk: away and back, kill -9, a disk that is full or damaged,
 * 401, forks, limits; each event once, and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ingest/producer/tabiji.h"
#include "tests/unit/ingest/producer_ledger.h"
#include "tests/unit/ingest/producer_server.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PATIENCE_MS 20000
#define NOBODY "http://127.0.0.1:1"
#define STATUS(code) .act = SERVER_STATUS, .status = (code)
#define SPOOL_BYTES_MIN 65536

struct fixture {
    char dir[64];
    char spool[96];
    struct tabiji_options options;
    struct tabiji_producer *producer;
    /* What the callback was told. */
    atomic_int delivered, rejected, stopped, odd;
    int last; /* number of the event that was delivered last: they rise */
    void *opaque;
    uint64_t kept, full, aged, damaged, cut;
};

static void on_spool(struct fixture *fixture, const struct tabiji_report *report)
{
    const struct {
        const char *code;
        uint64_t *counter;
    } codes[] = {{"kept", &fixture->kept}, {"spool_full", &fixture->full},
        {"spool_age", &fixture->aged}, {"spool_damaged", &fixture->damaged},
        {"spool_cut", &fixture->cut}};
    for (size_t i = 0; i < COUNT(codes); i++)
        if (strcmp(report->problem.code, codes[i].code) == 0) {
            *codes[i].counter += report->events;
            return;
        }
    fixture->odd++;
}

static void on_report(void *context, const struct tabiji_report *report)
{
    struct fixture *fixture = context;
    switch (report->kind) {
    case TABIJI_REPORT_DELIVERED: {
        int number = atoi(report->event_id + 2);
        fixture->odd += number <= fixture->last;
        fixture->last = number;
        fixture->opaque = report->opaque;
        fixture->delivered++;
        break;
    }
    case TABIJI_REPORT_REJECTED:
        fixture->rejected++;
        break;
    case TABIJI_REPORT_STOPPED:
        fixture->stopped++;
        break;
    case TABIJI_REPORT_SPOOL:
        on_spool(fixture, report);
        break;
    default:
        fixture->odd++;
    }
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture)
        return -1;
    (void)snprintf(fixture->dir, sizeof fixture->dir, "/tmp/tabiji-backlog-XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    (void)snprintf(fixture->spool, sizeof fixture->spool, "%s/spool", fixture->dir);
    fixture->options = (struct tabiji_options){.size = sizeof(struct tabiji_options),
        .url = NOBODY,
        .linger_ms = 1,
        .retry_min_ms = 1,
        .retry_max_ms = 20,
        .on_report = on_report,
        .report_context = fixture,
        .spool_dir = fixture->spool};
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[160];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", fixture->dir);
    int r = system(command);
    free(fixture);
    return r;
}

static void open_producer(struct fixture *fixture, const char *url)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    fixture->options.url = url;
    int r = tabiji_producer_new(&fixture->options, &fixture->producer, &problem);
    if (r != TABIJI_OK)
        fail_msg("%s: %s %s", tabiji_error_text(r), problem.pointer, problem.hint);
}

/* Sends "e-N"; its opaque pointer is the fixture. */
static int send_one(struct fixture *fixture, int number, bool durable)
{
    char json[200];
    int size = snprintf(json, sizeof json,
        "{\"id\":\"e-%d\",\"type\":\"page_viewed\",\"ids\":{\"login\":\"u-%d\"}}", number,
        number % 7);
    return (durable ? tabiji_send_json_durable : tabiji_send_json)(
        fixture->producer, json, (size_t)size, fixture, NULL);
}

static void send_events(struct fixture *fixture, int first, int last)
{
    for (int i = first; i <= last; i++)
        assert_int_equal(send_one(fixture, i, i % 10 == 0), TABIJI_OK);
}

static struct tabiji_statistics statistics_of(struct fixture *fixture)
{
    struct tabiji_statistics statistics = {.size = sizeof statistics};
    assert_int_equal(tabiji_producer_statistics(fixture->producer, &statistics), TABIJI_OK);
    return statistics;
}

static int flush(struct fixture *fixture)
{
    return tabiji_flush(fixture->producer, PATIENCE_MS);
}

static int close_producer(struct fixture *fixture)
{
    return tabiji_producer_close(&fixture->producer, 0);
}

/* Sends to the server what is there, which is `first` to `last`, once and in order. */
static void drain(struct fixture *fixture, struct producer_server *server, int first, int last)
{
    fixture->delivered = fixture->last = 0;
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(statistics_of(fixture).spool_events, 0);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    assert_int_equal(fixture->delivered, last - first + 1);
    assert_int_equal(fixture->last, last);
    assert_int_equal(fixture->odd, 0);
}

/* The first or the last of the spool's files. */
static const char *file_of(struct fixture *fixture, bool last)
{
    static char path[400];
    char best[256] = "";
    DIR *dir = opendir(fixture->spool);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *ending = strrchr(entry->d_name, '.');
        int order = strcmp(entry->d_name, best);
        if (ending && strcmp(ending, ".spool") == 0 && (!best[0] || (last ? order > 0 : order < 0)))
            (void)snprintf(best, sizeof best, "%s", entry->d_name);
    }
    (void)closedir(dir);
    assert_true(best[0]);
    (void)snprintf(path, sizeof path, "%s/%s", fixture->spool, best);
    return path;
}

/* ---- away and back ---- */

static void test_away_keeps_and_back_sends_once_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    fixture->options.batch_events_max = 30;
    open_producer(fixture, NOBODY);
    send_events(fixture, 1, 100);
    assert_int_equal(tabiji_flush(fixture->producer, 30), TABIJI_ERROR_TIMEOUT);
    struct tabiji_statistics statistics = statistics_of(fixture);
    assert_int_equal(statistics.events_taken, 100);
    assert_int_equal(statistics.spool_events, 100);
    assert_true(statistics.spool_bytes > 100 * 60);
    assert_true(statistics.queue_events <= 30);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    assert_int_equal(fixture->kept, 100);
    assert_int_equal(fixture->delivered, 0);

    /* what is new goes behind what an earlier producer left; pointers are of this one alone */
    open_producer(fixture, producer_server_url(server));
    send_events(fixture, 101, 150);
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(fixture->delivered, 150);
    assert_int_equal(fixture->last, 150);
    assert_ptr_equal(fixture->opaque, fixture);
    statistics = statistics_of(fixture);
    assert_int_equal(statistics.spool_events, 0);
    assert_int_equal(statistics.events_taken, 50);
    assert_int_equal(statistics.events_delivered, 150);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    assert_int_equal(fixture->odd, 0);
    assert_int_equal(fixture->kept, 100); /* nothing more is told */
    assert_int_equal(producer_server_ids(server), 150);
    assert_int_equal(producer_server_again(server), 0);
    drain(fixture, server, 1, 0); /* nothing is left */
    producer_server_stop(&server);
}

static void test_faults_lose_nothing_and_keep_the_order(void **state)
{
    static const struct producer_server_step steps[] = {{STATUS(503)}, {.act = SERVER_DROP},
        {.act = SERVER_HALF}, {STATUS(413)}, {.act = SERVER_TAKE}, {.act = SERVER_GARBAGE}};
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(steps, COUNT(steps));
    fixture->options.batch_events_max = 20;
    fixture->options.requests_max = 8;
    fixture->options.spool_sync = TABIJI_SPOOL_SYNC_NONE;
    open_producer(fixture, NOBODY); /* so that requests are full: one of one event is not halved */
    send_events(fixture, 1, 200);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(fixture->delivered, 200);
    assert_int_equal(fixture->odd, 0);
    assert_int_equal(producer_server_ids(server), 200);
    assert_int_equal(producer_server_batch_max(server), 20);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    producer_server_stop(&server);
}

static void test_opaque_of_an_earlier_producer_is_null(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    open_producer(fixture, NOBODY);
    send_events(fixture, 1, 1);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    fixture->opaque = fixture;
    drain(fixture, server, 1, 1);
    assert_null(fixture->opaque);
    producer_server_stop(&server);
}

/* An event that is built is given its id before it is on the disk. */
static void test_send_durable_gives_the_id_first(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    struct tabiji_event *event = NULL;
    fixture->options.on_report = NULL;
    open_producer(fixture, NOBODY);
    assert_int_equal(tabiji_event_new(TABIJI_STORE_VISITED, NULL, &event), TABIJI_OK);
    assert_int_equal(tabiji_event_add_identifier(event, "loyalty", "1"), TABIJI_OK);
    assert_int_equal(tabiji_send_durable(fixture->producer, event, NULL, NULL), TABIJI_OK);
    assert_int_equal(tabiji_send_durable(fixture->producer, event, NULL, NULL), TABIJI_OK);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(statistics_of(fixture).events_delivered, 2);
    assert_int_equal(producer_server_ids(server), 1);
    assert_true(producer_server_has(server, tabiji_event_id(event)));
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    tabiji_event_free(&event);
    producer_server_stop(&server);
}

static void test_send_durable_without_spool_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct tabiji_problem problem = {.size = sizeof problem};
    fixture->options.spool_dir = NULL;
    open_producer(fixture, NOBODY);
    assert_int_equal(tabiji_send_json_durable(fixture->producer, "{}", 2, NULL, &problem),
        TABIJI_ERROR_ARGUMENT);
    assert_string_equal(problem.pointer, "spool_dir");
    assert_int_equal(close_producer(fixture), TABIJI_OK);
}

/* ---- ends of processes ---- */

/* In a child: sends durably without an end, and says each number that is on the disk. */
static void send_until_killed(struct fixture *fixture, int said)
{
    if (tabiji_producer_new(&fixture->options, &fixture->producer, NULL) != TABIJI_OK)
        _exit(2);
    for (int i = 1; send_one(fixture, i, true) == TABIJI_OK; i++)
        if (write(said, &i, sizeof i) != (ssize_t)sizeof i)
            break;
    _exit(3);
}

static void test_kill_loses_nothing_that_was_acknowledged(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    int ends[2], number = 0, status = 0, said = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        send_until_killed(fixture, ends[1]);
    (void)close(ends[1]);
    while (number < 40 && read(ends[0], &number, sizeof number) == (ssize_t)sizeof number)
        said = number;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (read(ends[0], &number, sizeof number) == (ssize_t)sizeof number)
        said = number;
    (void)close(ends[0]);
    assert_true(said >= 40);
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    /* and at most the one that was being sent */
    assert_in_range(fixture->delivered, said, said + 1);
    assert_int_equal(fixture->last, fixture->delivered);
    assert_int_equal(fixture->odd, 0);
    assert_int_equal(producer_server_again(server), 0);
    assert_int_equal(fixture->damaged, 0);
    producer_server_stop(&server);
}

static int try_in_child(struct fixture *fixture)
{
    struct tabiji_producer *own = NULL;
    struct tabiji_statistics statistics = {.size = sizeof statistics};
    if (send_one(fixture, 1000, true) != TABIJI_ERROR_FORKED ||
        tabiji_flush(fixture->producer, 1000) != TABIJI_ERROR_FORKED ||
        tabiji_producer_statistics(fixture->producer, &statistics) != TABIJI_ERROR_FORKED)
        return 1;
    if (tabiji_producer_new(&fixture->options, &own, NULL) != TABIJI_ERROR_LOCKED)
        return 2;
    return tabiji_producer_close(&fixture->producer, 0) == TABIJI_ERROR_FORKED ? 0 : 3;
}

static void test_fork_leaves_all_to_the_parent(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    fixture->options.linger_ms = 60000;
    open_producer(fixture, producer_server_url(server));
    send_events(fixture, 1, 50);
    pid_t child = fork();
    if (child == 0)
        _exit(try_in_child(fixture));
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(fixture->delivered, 50);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    producer_server_stop(&server);
}

static void test_second_producer_of_the_directory_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct tabiji_producer *second = NULL;
    struct tabiji_problem problem = {.size = sizeof problem};
    open_producer(fixture, NOBODY);
    assert_int_equal(
        tabiji_producer_new(&fixture->options, &second, &problem), TABIJI_ERROR_LOCKED);
    assert_null(second);
    assert_string_equal(problem.code, "locked");
    assert_string_equal(problem.pointer, "spool_dir");
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    open_producer(fixture, NOBODY);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
}

static void test_unauthorised_keeps_the_spool(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    producer_server_want_key(server, "new");
    fixture->options.key = "old";
    open_producer(fixture, producer_server_url(server));
    send_events(fixture, 1, 10);
    assert_int_equal(flush(fixture), TABIJI_ERROR_UNAUTHORISED);
    send_events(fixture, 11, 20);
    assert_int_equal(tabiji_flush(fixture->producer, 20), TABIJI_ERROR_UNAUTHORISED);
    assert_int_equal(fixture->stopped, 1);
    assert_int_equal(statistics_of(fixture).spool_events, 20);
    assert_int_equal(
        tabiji_producer_close(&fixture->producer, PATIENCE_MS), TABIJI_ERROR_UNAUTHORISED);
    assert_int_equal(fixture->kept, 20);
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(flush(fixture), TABIJI_ERROR_UNAUTHORISED);
    assert_int_equal(tabiji_producer_resume(fixture->producer, "new"), TABIJI_OK);
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(fixture->delivered, 20);
    assert_int_equal(fixture->odd, 0);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    producer_server_stop(&server);
}

/* As of a web server that has TLS on its port: the collector never saw the event. */
static void test_page_that_refuses_leaves_the_spool_as_it_is(void **state)
{
    static const struct producer_server_step steps[] = {
        {.act = SERVER_GARBAGE, .status = 400}, {.act = SERVER_GARBAGE, .status = 422}};
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(steps, 2);
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(send_one(fixture, 1, false), TABIJI_OK);
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(fixture->rejected, 0);
    assert_int_equal(fixture->delivered, 1);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    producer_server_stop(&server);
}

/* ---- limits ---- */

/* Sends from 1 on until one is refused; returns the last that was not. */
static int fill(struct fixture *fixture, bool durable)
{
    int number = 1;
    int r = TABIJI_OK;
    while (number < 5000 && (r = send_one(fixture, number, durable)) == TABIJI_OK)
        number++;
    assert_int_equal(r, TABIJI_ERROR_QUEUE_FULL);
    return number - 1;
}

static void test_full_spool_refuses_the_newest_and_keeps_the_rest(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    fixture->options.spool_bytes_max = SPOOL_BYTES_MIN;
    fixture->options.queue_policy = TABIJI_POLICY_DROP_NEWEST;
    fixture->options.spool_sync = TABIJI_SPOOL_SYNC_NONE;
    open_producer(fixture, NOBODY);
    int last = fill(fixture, false);
    assert_in_range(last, 200, 1000);
    struct tabiji_statistics statistics = statistics_of(fixture);
    assert_true(statistics.spool_bytes <= SPOOL_BYTES_MIN);
    assert_int_equal(statistics.events_dropped, 1);
    assert_int_equal(statistics.events_taken, last);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    fixture->options.queue_policy = TABIJI_POLICY_BLOCK; /* waits as long as it is told */
    fixture->options.queue_timeout_ms = 120;
    open_producer(fixture, NOBODY);
    assert_int_equal(send_one(fixture, last + 1, false), TABIJI_ERROR_QUEUE_FULL);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    fixture->options.queue_timeout_ms = -1; /* until the server has made room */
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(send_one(fixture, last + 1, false), TABIJI_OK);
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(fixture->delivered, last + 1);
    assert_int_equal(fixture->odd, 0);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    producer_server_stop(&server);
}

/* Sends from within the report of the first event. */
static void call_back(void *context, const struct tabiji_report *report)
{
    struct fixture *fixture = context;
    if (report->kind == TABIJI_REPORT_DELIVERED && fixture->delivered++ == 0)
        fixture->rejected = send_one(fixture, 99999, false);
}

static void test_callback_finds_a_full_spool_at_once(void **state)
{
    /* the callback runs after the assignment */
    static const struct producer_server_step steps[] = {{.act = SERVER_SLOW, .ms = 200}};
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(steps, 1);
    fixture->options.spool_bytes_max = SPOOL_BYTES_MIN;
    fixture->options.queue_timeout_ms = 1;
    open_producer(fixture, NOBODY);
    int last = fill(fixture, false);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    fixture->delivered = 0;
    fixture->options.queue_timeout_ms = -1;
    fixture->options.on_report = call_back;
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(fixture->rejected, TABIJI_ERROR_QUEUE_FULL);
    assert_int_equal(fixture->delivered, last);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    producer_server_stop(&server);
}

static void test_full_spool_drops_the_oldest_and_tells(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    fixture->options.spool_bytes_max = SPOOL_BYTES_MIN;
    fixture->options.queue_policy = TABIJI_POLICY_DROP_OLDEST;
    open_producer(fixture, NOBODY);
    send_events(fixture, 1, 2000);
    struct tabiji_statistics statistics = statistics_of(fixture);
    assert_true(statistics.spool_dropped_full > 0);
    assert_int_equal(statistics.events_dropped, statistics.spool_dropped_full);
    assert_int_equal(statistics.spool_events + statistics.spool_dropped_full, 2000);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    assert_int_equal(fixture->full, statistics.spool_dropped_full);
    drain(fixture, server, 1 + (int)statistics.spool_dropped_full, 2000);
    producer_server_stop(&server);
}

/* The disk has no room: a file may have so many bytes. */
static void test_full_disk_is_typed_and_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 6000;
    (void)signal(SIGXFSZ, SIG_IGN);
    fixture->options.queue_policy = TABIJI_POLICY_DROP_NEWEST;
    open_producer(fixture, NOBODY);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int last = fill(fixture, true);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_DFL);
    assert_in_range(last, 20, 100);
    assert_int_equal(statistics_of(fixture).spool_events, last);
    send_events(fixture, last + 1, last + 10); /* there is room again */
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    drain(fixture, server, 1, last + 10);
    assert_int_equal(fixture->damaged + fixture->cut, 0);
    producer_server_stop(&server);
}

/* ---- damage ---- */

static void test_torn_end_is_cut_and_told(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    struct stat file;
    open_producer(fixture, NOBODY);
    send_events(fixture, 1, 20);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    assert_int_equal(stat(file_of(fixture, true), &file), 0);
    assert_int_equal(truncate(file_of(fixture, true), file.st_size - 5), 0);
    drain(fixture, server, 1, 19);
    assert_int_equal(fixture->cut, 1);
    assert_int_equal(fixture->damaged, 0);
    producer_server_stop(&server);
}

static void test_damaged_event_is_told_and_the_others_arrive(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    open_producer(fixture, NOBODY);
    send_events(fixture, 1, 20);
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    int fd = open(file_of(fixture, false), O_RDWR);
    struct stat file;
    char byte;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &file), 0);
    assert_int_equal(pread(fd, &byte, 1, file.st_size / 2), 1);
    byte ^= 0x20;
    assert_int_equal(pwrite(fd, &byte, 1, file.st_size / 2), 1);
    (void)close(fd);
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(statistics_of(fixture).spool_lost, 1);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    assert_int_equal(fixture->delivered, 19);
    assert_int_equal(fixture->odd, 0);
    assert_int_equal(fixture->damaged, 1);
    producer_server_stop(&server);
}

/* While the disk does not give them nothing is lost, and statistics say why nothing goes. */
static void test_unreadable_spool_is_told_and_read_later(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    char path[400], aside[120];
    fixture->options.linger_ms = 60000;
    open_producer(fixture, producer_server_url(server));
    send_events(fixture, 1, 5);
    (void)snprintf(path, sizeof path, "%s", file_of(fixture, true));
    (void)snprintf(aside, sizeof aside, "%s/aside", fixture->dir);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink("aside", path), 0); /* which it does not follow */
    assert_int_equal(tabiji_flush(fixture->producer, 50), TABIJI_ERROR_TIMEOUT);
    assert_string_equal(statistics_of(fixture).last_failure, "the spool cannot be read");
    assert_int_equal(statistics_of(fixture).spool_events, 5);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_string_equal(statistics_of(fixture).last_failure, "");
    assert_int_equal(fixture->delivered, 5);
    assert_int_equal(fixture->odd, 0);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    producer_server_stop(&server);
}

static void test_old_events_are_dropped_and_told(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    open_producer(fixture, NOBODY);
    send_events(fixture, 1, 5);
    while (statistics_of(fixture).spool_oldest_ms < 20)
        ;
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    fixture->options.spool_age_max_ms = 10;
    open_producer(fixture, producer_server_url(server));
    assert_int_equal(flush(fixture), TABIJI_OK);
    assert_int_equal(statistics_of(fixture).spool_dropped_age, 5);
    assert_int_equal(statistics_of(fixture).events_dropped, 5);
    assert_int_equal(close_producer(fixture), TABIJI_OK);
    assert_int_equal(fixture->aged, 5);
    assert_int_equal(producer_server_ids(server), 0);
    producer_server_stop(&server);
}

/* ---- memory ---- */

static void test_each_allocation_fails_once_and_the_rest_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct producer_server *server = producer_server_start(NULL, 0);
    struct ledger ledger = {.left = -1};
    const struct tabiji_allocator allocator = {.allocate = ledger_allocate,
        .resize = ledger_resize,
        .release = ledger_release,
        .context = &ledger};
    fixture->options.allocator = &allocator;
    fixture->options.spool_sync = TABIJI_SPOOL_SYNC_NONE;
    fixture->options.url = producer_server_url(server);
    size_t taken = 0;
    int refused = 0, number = 1;
    for (int nth = 0; nth < 60; nth++) {
        ledger.left = nth;
        int r = tabiji_producer_new(&fixture->options, &fixture->producer, NULL);
        assert_true(r == TABIJI_OK || r == TABIJI_ERROR_NO_MEMORY);
        refused += r != TABIJI_OK;
        for (int i = 0; r == TABIJI_OK && i < 6; i++) {
            int sent = send_one(fixture, number++, false);
            assert_true(sent == TABIJI_OK || sent == TABIJI_ERROR_NO_MEMORY);
            taken += sent == TABIJI_OK;
            refused += sent != TABIJI_OK;
        }
        if (r == TABIJI_OK) {
            assert_int_equal(flush(fixture), TABIJI_OK);
            assert_int_equal(close_producer(fixture), TABIJI_OK);
        }
        assert_int_equal(ledger.live, 0);
    }
    assert_true(refused >= 10);
    assert_int_equal(fixture->delivered, taken);
    assert_int_equal(fixture->odd, 0);
    assert_int_equal(producer_server_ids(server), taken);
    assert_int_equal(producer_server_again(server), 0);
    producer_server_stop(&server);
}

/* ---- options ---- */

static void test_options_that_are_shorter_have_no_spool(void **state)
{
    struct fixture *fixture = *state;
    struct {
        struct tabiji_statistics statistics;
    } got;
    fixture->options.size = offsetof(struct tabiji_options, spool_dir);
    open_producer(fixture, NOBODY);
    assert_int_equal(access(fixture->spool, F_OK), -1);
    assert_int_equal(send_one(fixture, 1, false), TABIJI_OK);
    assert_int_equal(send_one(fixture, 1, true), TABIJI_ERROR_ARGUMENT);
    memset(&got, 0x5a, sizeof got);
    got.statistics.size = offsetof(struct tabiji_statistics, spool_events);
    assert_int_equal(tabiji_producer_statistics(fixture->producer, &got.statistics), TABIJI_OK);
    assert_int_equal(got.statistics.events_taken, 1);
    assert_int_equal(got.statistics.spool_events, 0x5a5a5a5a5a5a5a5a);
    fixture->options.on_report = NULL;
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
    fixture->odd = 0;
}

static void assert_refused(struct fixture *fixture, int error, const char *option)
{
    struct tabiji_problem problem = {.size = sizeof problem};
    assert_int_equal(tabiji_producer_new(&fixture->options, &fixture->producer, &problem), error);
    assert_string_equal(problem.pointer, option);
    assert_true(problem.hint[0] != '\0');
    fixture->options.spool_dir = fixture->spool;
    fixture->options.spool_bytes_max = 0;
    fixture->options.spool_age_max_ms = 0;
    fixture->options.spool_interval_ms = 0;
    fixture->options.spool_sync = TABIJI_SPOOL_SYNC_INTERVAL;
}

static void test_options_that_are_wrong_are_named(void **state)
{
    struct fixture *fixture = *state;
    struct tabiji_options *options = &fixture->options;
    options->spool_dir = "";
    assert_refused(fixture, TABIJI_ERROR_ARGUMENT, "spool_dir");
    options->spool_dir = "/nowhere/at/all";
    assert_refused(fixture, TABIJI_ERROR_ARGUMENT, "spool_dir");
    options->spool_dir = "/dev/null";
    assert_refused(fixture, TABIJI_ERROR_ARGUMENT, "spool_dir");
    options->spool_bytes_max = SPOOL_BYTES_MIN - 1;
    assert_refused(fixture, TABIJI_ERROR_ARGUMENT, "spool_bytes_max");
    options->spool_age_max_ms = -1;
    assert_refused(fixture, TABIJI_ERROR_ARGUMENT, "spool_age_max_ms");
    options->spool_interval_ms = -1;
    assert_refused(fixture, TABIJI_ERROR_ARGUMENT, "spool_interval_ms");
    options->spool_sync = (enum tabiji_spool_sync)3;
    assert_refused(fixture, TABIJI_ERROR_ARGUMENT, "spool_sync");
}

/* An event that the spool never takes is invalid, not one to wait for. */
static void test_event_larger_than_the_spool_takes_is_invalid(void **state)
{
    struct fixture *fixture = *state;
    static char json[SPOOL_BYTES_MIN];
    struct tabiji_problem problem = {.size = sizeof problem};
    fixture->options.spool_bytes_max = SPOOL_BYTES_MIN;
    fixture->options.flags = TABIJI_AS_IT_IS;
    open_producer(fixture, NOBODY);
    memset(json, 'x', sizeof json);
    assert_int_equal(
        tabiji_send_json(fixture->producer, json, SPOOL_BYTES_MIN / 4, NULL, NULL), TABIJI_OK);
    assert_int_equal(
        tabiji_send_json(fixture->producer, json, SPOOL_BYTES_MIN / 4 + 1, NULL, &problem),
        TABIJI_ERROR_INVALID);
    assert_string_equal(problem.code, "too_large");
    assert_int_equal(close_producer(fixture), TABIJI_ERROR_TIMEOUT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_away_keeps_and_back_sends_once_in_order),
        TEST(test_faults_lose_nothing_and_keep_the_order),
        TEST(test_opaque_of_an_earlier_producer_is_null),
        TEST(test_send_durable_gives_the_id_first),
        TEST(test_send_durable_without_spool_is_refused),
        TEST(test_kill_loses_nothing_that_was_acknowledged),
        TEST(test_fork_leaves_all_to_the_parent),
        TEST(test_second_producer_of_the_directory_is_refused),
        TEST(test_unauthorised_keeps_the_spool),
        TEST(test_page_that_refuses_leaves_the_spool_as_it_is),
        TEST(test_full_spool_refuses_the_newest_and_keeps_the_rest),
        TEST(test_callback_finds_a_full_spool_at_once),
        TEST(test_full_spool_drops_the_oldest_and_tells),
        TEST(test_full_disk_is_typed_and_loses_nothing),
        TEST(test_torn_end_is_cut_and_told),
        TEST(test_damaged_event_is_told_and_the_others_arrive),
        TEST(test_unreadable_spool_is_told_and_read_later),
        TEST(test_old_events_are_dropped_and_told),
        TEST(test_each_allocation_fails_once_and_the_rest_goes_on),
        TEST(test_options_that_are_shorter_have_no_spool),
        TEST(test_options_that_are_wrong_are_named),
        TEST(test_event_larger_than_the_spool_takes_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
