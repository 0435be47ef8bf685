/* The ring of the live view, as its viewers read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/collector/tail.h"
#include "ingest/collector/tail_slot.h"
#include "schemas/error.h"

struct fixture {
    struct metrics *metrics;
    struct tail *tail;
    _Atomic int asleep;
};

static void on_sleep(void *context)
{
    ((struct fixture *)context)->asleep++;
}

static void on_wake(void *context)
{
    ((struct fixture *)context)->asleep--;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    assert_int_equal(metrics_new(&fixture->metrics), 0);
    assert_int_equal(tail_start(NULL, NULL, fixture->metrics, &fixture->tail), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    tail_end(fixture->tail);
    tail_stop(&fixture->tail);
    metrics_free(&fixture->metrics);
    free(fixture);
    return 0;
}

static int open_viewer(struct fixture *fixture, struct tail_filter filter, struct str last_id,
    struct tail_viewer **out)
{
    const struct tail_viewing viewing = {.filter = filter,
        .last_id = last_id,
        .base = STR("http://here"),
        .sleep = on_sleep,
        .wake = on_wake,
        .context = fixture};
    return tail_open(fixture->tail, &viewing, out);
}

/* All that there is to read, `size` bytes at a time. */
static void read_all(struct tail_viewer *viewer, size_t size, struct buf *out)
{
    char chunk[65536];
    ssize_t count;
    buf_clear(out);
    while ((count = tail_read(viewer, chunk, size)) > 0)
        assert_int_equal(buf_append(out, chunk, (size_t)count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(buf_append(out, "", 1), 0);
}

/* Shows an event of the source to whoever wants it. */
static bool put(struct fixture *fixture, const char *source, const char *text)
{
    const struct tail_facts facts = {
        .source = str_of(source), .type = STR("page_viewed"), .fate = STR("accepted")};
    struct tail_pick pick;
    if (!tail_pick(fixture->tail, &facts, &pick))
        return false;
    tail_put(fixture->tail, &pick, str_of(text), NULL);
    return true;
}

static void test_tail_is_not_watched_by_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct tail_viewer *viewer = NULL;
    assert_false(tail_watched(fixture->tail));
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &viewer), 0);
    assert_true(tail_watched(fixture->tail));
    tail_close(&viewer);
    assert_null(viewer);
    assert_true(tail_watched(fixture->tail)); /* it may come back */
    tail_close(&viewer);
}

static void test_tail_gives_each_what_it_wants(void **state)
{
    struct fixture *fixture = *state;
    struct tail_viewer *all = NULL, *some = NULL;
    CLEANUP(buf_free) struct buf text = {0};
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &all), 0);
    assert_int_equal(
        open_viewer(fixture, (struct tail_filter){.source = STR("pos")}, STR(""), &some), 0);
    assert_true(put(fixture, "web", "data: 1 \x01/v1"));
    assert_true(put(fixture, "pos", "data: 2"));
    read_all(all, 3, &text); /* by pieces smaller than anything */
    const char *first = strstr(text.data, "\ndata: 1 http://here/v1\n\n");
    assert_non_null(first);
    assert_non_null(strstr(first, "\ndata: 2\n\n"));
    assert_true(str_starts_with(buf_str(&text), STR("retry: ")));
    read_all(some, 65536, &text);
    assert_null(strstr(text.data, "data: 1"));
    assert_non_null(strstr(text.data, "data: 2"));
    tail_close(&all);
    tail_close(&some);
}

static long sum_of_missed(const char *text)
{
    long sum = 0;
    for (; (text = strstr(text, "{\"missed\":")); text++)
        sum += strtol(text + strlen("{\"missed\":"), NULL, 10);
    return sum;
}

#define MANY (3 * TAIL_ENTRIES_MAX)

static void test_tail_counts_what_falls_out_of_the_ring(void **state)
{
    struct fixture *fixture = *state;
    struct tail_viewer *viewer = NULL;
    const struct tail_pick pick = {.shown = 1, .followed = 1};
    CLEANUP(buf_free) struct buf text = {0};
    long shown = 0;
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &viewer), 0);
    for (int i = 0; i < MANY; i++)
        tail_put(fixture->tail, &pick, STR("data: item"), NULL);
    read_all(viewer, 4096, &text);
    for (const char *at = text.data; (at = strstr(at, "data: item")); at++)
        shown++;
    assert_int_equal(shown, TAIL_ENTRIES_MAX);
    assert_int_equal(sum_of_missed(text.data), MANY - TAIL_ENTRIES_MAX);
    tail_close(&viewer);
}

static void test_tail_memory_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct tail_viewer *viewer = NULL;
    const struct tail_pick pick = {.shown = 1, .followed = 1};
    const size_t size = (size_t)100 << 10;
    const long items = 200; /* 20 MB */
    CLEANUP(buf_free) struct buf item = {0};
    CLEANUP(buf_free) struct buf text = {0};
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &viewer), 0);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(buf_append(&item, "x", 1), 0);
    for (long i = 0; i < items; i++)
        tail_put(fixture->tail, &pick, buf_str(&item), NULL);
    read_all(viewer, 65536, &text);
    assert_true(text.size < TAIL_BYTES_MAX + size);
    assert_true(text.size > TAIL_BYTES_MAX / 2);
    assert_int_equal(sum_of_missed(text.data), items - (long)(TAIL_BYTES_MAX / size));
    tail_close(&viewer);
}

static void test_tail_beyond_a_second_is_counted(void **state)
{
    struct fixture *fixture = *state;
    struct tail_viewer *viewer = NULL;
    CLEANUP(buf_free) struct buf text = {0};
    long shown = 0;
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &viewer), 0);
    for (int i = 0; i < 100 * TAIL_SECOND_MAX; i++)
        shown += put(fixture, "web", "data: item");
    read_all(viewer, 65536, &text);
    assert_in_range(shown, TAIL_SECOND_MAX, 50 * TAIL_SECOND_MAX);
    assert_int_equal(shown + sum_of_missed(text.data), 100 * TAIL_SECOND_MAX);
    tail_close(&viewer);
}

static void test_tail_goes_on_behind_the_last_id(void **state)
{
    struct fixture *fixture = *state;
    struct tail_viewer *viewer = NULL, *again = NULL, *other = NULL;
    CLEANUP(buf_free) struct buf text = {0};
    char id[TAIL_ID_SIZE_MAX] = "", chunk[16];
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &viewer), 0);
    assert_true(put(fixture, "web", "data: 1"));
    assert_true(put(fixture, "web", "data: 2"));
    read_all(viewer, 65536, &text);
    assert_int_equal(sscanf(strstr(text.data, "id: "), "id: %60s", id), 1);
    /* A connection that is dead, though nobody knows yet, gives way. */
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, str_of(id), &again), 0);
    assert_int_equal(tail_read(viewer, chunk, sizeof chunk), TAIL_ENDED);
    tail_close(&viewer);
    assert_true(put(fixture, "web", "data: 3"));
    read_all(again, 65536, &text);
    assert_null(strstr(text.data, "data: 1"));
    assert_non_null(strstr(text.data, "data: 2"));
    assert_non_null(strstr(text.data, "data: 3"));
    assert_null(strstr(text.data, "missed"));
    tail_close(&again);
    /* Who asks for other things begins anew, and is told. */
    assert_int_equal(
        open_viewer(fixture, (struct tail_filter){.type = STR("x")}, str_of(id), &other), 0);
    read_all(other, 65536, &text);
    assert_non_null(strstr(text.data, "\"at_least\":true"));
    tail_close(&other);
}

static void test_tail_has_so_many_places(void **state)
{
    struct fixture *fixture = *state;
    struct tail_viewer *viewers[TAIL_VIEWERS_MAX] = {0}, *more = NULL;
    for (size_t i = 0; i < TAIL_VIEWERS_MAX; i++)
        assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &viewers[i]), 0);
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &more), ERR_FULL);
    tail_close(&viewers[3]); /* waited for, unless somebody else wants the place */
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &more), 0);
    tail_close(&more);
    for (size_t i = 0; i < TAIL_VIEWERS_MAX; i++)
        tail_close(&viewers[i]);
}

static void test_tail_at_its_end_wakes_all_and_takes_none(void **state)
{
    struct fixture *fixture = *state;
    struct tail_viewer *viewer = NULL, *late = NULL;
    CLEANUP(buf_free) struct buf text = {0};
    char chunk[16];
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &viewer), 0);
    read_all(viewer, 65536, &text);
    assert_int_equal(fixture->asleep, 1);
    tail_end(fixture->tail);
    assert_int_equal(fixture->asleep, 0);
    assert_int_equal(tail_read(viewer, chunk, sizeof chunk), TAIL_ENDED);
    assert_int_equal(open_viewer(fixture, (struct tail_filter){0}, STR(""), &late), ERR_AGAIN);
    tail_close(&viewer);
}

static void test_tail_slot_filters(void **state)
{
    struct tail_slot slot = {0};
    struct identifier identifiers[] = {{.namespace = STR("cookie"), .value = STR("c")},
        {.namespace = STR("login"), .value = STR("u")}};
    struct tail_facts facts = {.source = STR("web"),
        .type = STR("x"),
        .fate = STR("rejected"),
        .identifiers = identifiers,
        .identifiers_count = 2};
    struct tail_filter filter = {.source = STR("web"),
        .type = STR("x"),
        .fate = STR("rejected"),
        .identifier = {.namespace = STR("login"), .value = STR("u")}};
    (void)state;
    assert_int_equal(slot_take(&slot, &filter), 0);
    assert_true(slot_wants(&slot, &facts));
    assert_true(slot_wants_fate(&slot, STR("rejected")));
    assert_false(slot_wants_fate(&slot, STR("accepted")));
    assert_true(slot_filter_is(&slot, &filter));
    filter.type = STR("y");
    assert_false(slot_filter_is(&slot, &filter));
    facts.identifiers_count = 1;
    assert_false(slot_wants(&slot, &facts));
    facts.identifiers_count = 2;
    facts.source = STR("we");
    assert_false(slot_wants(&slot, &facts));
    slot_free(&slot);
    assert_int_equal(slot_take(&slot, &(struct tail_filter){0}), 0);
    assert_true(slot_wants(&slot, &facts));
    assert_true(slot_wants_fate(&slot, STR("")));
    slot_free(&slot);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_tail_is_not_watched_by_nobody),
        CASE(test_tail_gives_each_what_it_wants),
        CASE(test_tail_counts_what_falls_out_of_the_ring),
        CASE(test_tail_memory_is_bounded),
        CASE(test_tail_beyond_a_second_is_counted),
        CASE(test_tail_goes_on_behind_the_last_id),
        CASE(test_tail_has_so_many_places),
        CASE(test_tail_at_its_end_wakes_all_and_takes_none),
        cmocka_unit_test(test_tail_slot_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
