/* Rows of touches in files: whatever is spilled, the answers are the same bytes. */
#include "deploy/attribute/spill.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "deploy/attribute/events.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define FILES_COUNT 24
#define MANY_ROWS 4200 /* at a row a run: 65 runs of the second level, one of the third */

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*state >> 33) % below;
}

/* Rows in any order, with few times so that there are ties; some convert, some have no channel,
 * some cannot be read. */
static char *make_file(uint64_t seed, size_t rows, size_t *size)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    assert_non_null(out);
    uint64_t customers = 1 + draw(&state, seed % 3 ? 20 : rows), hours = seed % 2 ? 40 : 4000;
    (void)fputs("customer_id,time,interaction,conversion,conversion_value,channel\n", out);
    for (size_t i = 0; i < rows; i++) {
        unsigned long long customer = draw(&state, customers), hour = draw(&state, hours);
        bool converted = draw(&state, 5) == 0;
        (void)fprintf(out, "c%llu,%llu,%s,%d,%llu.%02llu,", customer, 1700000000 + hour * 3600,
            draw(&state, 4) ? "view" : "form", converted,
            converted ? (unsigned long long)draw(&state, 1000000) : 0,
            (unsigned long long)draw(&state, 100));
        if (!converted || draw(&state, 3))
            (void)fprintf(out, "%c", (char)('A' + draw(&state, 6)));
        (void)fputs(draw(&state, 97) ? "\n" : ",ragged\n", out);
    }
    (void)fclose(out);
    return text;
}

static struct attribute_options make_options(uint64_t seed, size_t rows_max, FILE *messages)
{
    static const int models[] = {PATH_RULE_FIRST, PATH_RULE_LAST, PATH_RULE_LINEAR,
        PATH_RULE_TIME_DECAY, PATH_RULE_W_SHAPE, ATTRIBUTE_MARKOV, ATTRIBUTE_SHAPLEY};
    struct attribute_options options = {.separator = STR(">"),
        .rules = {.half_life_micros = 7.0 * (double)TIME_MICROS_PER_DAY, .custom = {1, 2, 1}},
        .direct = STR("F"),
        .lead = STR("form"),
        .order = 1,
        .reset = seed & 1,
        .lookback_none = seed >> 1 & 1,
        .lookback_micros = (int64_t)(1 + seed % 7) * TIME_MICROS_PER_DAY,
        .transform = (enum path_transform)((seed >> 2) % PATH_TRANSFORM_COUNT),
        .format = ATTRIBUTE_CSV,
        .rows_max = rows_max,
        .name = "-",
        .messages = messages,
        .models_count = sizeof models / sizeof *models};
    memcpy(options.models, models, sizeof models);
    return options;
}

/* All that is answered and said; *error is that of reading. */
static char *answer(uint64_t seed, const char *text, size_t size, size_t rows_max, int *error)
{
    char *said = NULL;
    size_t said_size;
    FILE *in = fmemopen((void *)(uintptr_t)text, size, "r");
    FILE *out = open_memstream(&said, &said_size);
    assert_true(in && out);
    struct attribute_options options = make_options(seed, rows_max, out);
    struct attribute_input input = {.options = &options};
    *error = attribute_read(&input, in);
    if (*error == 0)
        assert_int_equal(attribute_write(&input, out), 0);
    for (size_t i = 0; *error == 0 && i < input.set.paths_count; i++) /* and the order of paths */
        (void)fprintf(out, "%u %a %a\n", input.set.paths[i]->length, input.set.paths[i]->value,
            input.set.paths[i]->nulls);
    attribute_input_free(&input);
    (void)fclose(in);
    (void)fclose(out);
    return said;
}

static void test_read_spilled_rows_answers_are_the_same_bytes(void **state)
{
    static const size_t maxima[] = {4, 7, 100, 149, 150};
    (void)state;
    for (uint64_t seed = 0; seed < FILES_COUNT; seed++) {
        size_t size;
        int error;
        char *text = make_file(seed, seed % 6 == 5 ? 1 + seed : 150, &size);
        char *expected = answer(seed, text, size, 0, &error);
        assert_int_equal(error, 0);
        for (size_t i = 0; i < sizeof maxima / sizeof *maxima; i++) {
            char *spilled = answer(seed, text, size, maxima[i], &error);
            assert_int_equal(error, 0);
            assert_string_equal(spilled, expected);
            free(spilled);
        }
        free(expected);
        free(text);
    }
}

static void test_read_runs_of_several_levels_answers_are_the_same_bytes(void **state)
{
    size_t size;
    int error;
    (void)state;
    char *text = make_file(3, MANY_ROWS, &size);
    char *expected = answer(3, text, size, 0, &error), *spilled = answer(3, text, size, 1, &error);
    assert_int_equal(error, 0);
    assert_string_equal(spilled, expected);
    free(spilled);
    free(expected);
    free(text);
}

/* Paths by hand: customers in the order of their first rows, ties as in the file. */
static void test_read_spilled_rows_ties_keep_the_order_of_the_file(void **state)
{
    static const char text[] = "customer,time,channel,converted,value\n"
                               "z,20,B,0,\ny,10,C,1,5\nz,10,A,0,\nz,20,A,1,7\nz,20,C,0,\n";
    static const uint32_t first[] = {2, 0, 2}; /* A > B > A: numbers are by the file */
    (void)state;
    for (size_t rows_max = 0; rows_max < 7; rows_max++) {
        struct attribute_options options = make_options(0, rows_max, stderr);
        struct attribute_input input = {.options = &options};
        FILE *in = fmemopen((void *)(uintptr_t)text, sizeof text - 1, "r");
        assert_int_equal(attribute_read(&input, in), 0);
        assert_int_equal(input.set.paths_count, 2);
        const struct path *one = input.set.paths[0], *two = input.set.paths[1];
        assert_int_equal(one->length, 3);
        assert_memory_equal(one->channels, first, sizeof first);
        assert_true(one->conversions == 1 && one->value == 7 && one->nulls == 0);
        assert_int_equal(two->length, 1);
        assert_int_equal(two->channels[0], 1);
        assert_true(two->conversions == 1 && two->value == 5 && two->nulls == 1);
        attribute_input_free(&input);
        (void)fclose(in);
    }
}

static int by_number(const void *a, const void *b)
{
    const struct touch_row *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static void test_next_rows_of_any_order_come_sorted_once(void **state)
{
    (void)state;
    for (size_t rows_max = 1; rows_max <= 300; rows_max += 23) {
        struct attribute_options options = make_options(0, rows_max, stderr);
        struct spill spill;
        const struct touch_row *row;
        spill_init(&spill, &options, by_number);
        for (uint64_t i = 0; i < 257; i++) {
            struct touch_row added = {.number = i * 101 % 257, .channel = (uint32_t)i};
            assert_int_equal(spill_add(&spill, &added), 0);
            assert_true(spill.count <= rows_max && spill.room <= rows_max);
        }
        assert_int_equal(spill.spilled, rows_max < 257);
        assert_int_equal(spill_sort(&spill), 0);
        for (uint64_t i = 0; i < 257; i++) {
            assert_int_equal(spill_next(&spill, &row), 1);
            assert_int_equal(row->number, i);
            assert_int_equal((uint64_t)row->channel * 101 % 257, i);
        }
        assert_int_equal(spill_next(&spill, &row), 0);
        assert_int_equal(spill_next(&spill, &row), 0);
        spill_free(&spill);
    }
}

static void test_read_no_directory_for_runs_is_named(void **state)
{
    size_t size;
    int error;
    (void)state;
    char *text = make_file(1, 100, &size), *before = getenv("TMPDIR");
    before = before ? strdup(before) : NULL;
    assert_int_equal(setenv("TMPDIR", "/nowhere/at all", 1), 0);
    char *said = answer(1, text, size, 10, &error);
    assert_int_equal(error, ERR_IO);
    assert_non_null(strstr(said,
        "-: over 10 rows are sorted in files in /nowhere/at all: cannot make one: No such file"));
    free(said);
    said = answer(1, text, size, 0, &error);
    assert_int_equal(error, 0);
    free(said);
    assert_int_equal(before ? setenv("TMPDIR", before, 1) : unsetenv("TMPDIR"), 0);
    free(before);
    free(text);
}

/* A limit on the size of files stands for a full disk. */
static void test_read_no_space_for_runs_is_named(void **state)
{
    struct rlimit before, limit;
    size_t size;
    int error;
    (void)state;
    char *text = make_file(1, 100, &size);
    int free_before = open("/dev/null", O_RDONLY);
    (void)close(free_before);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 1000, .rlim_max = before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    char *said = answer(1, text, size, 40, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(error, ERR_FULL);
    assert_non_null(strstr(said, "cannot write: File too large; TMPDIR names another directory"));
    free(said);
    free(text);
    int after = open("/dev/null", O_RDONLY); /* no run is left open */
    assert_int_equal(after, free_before);
    (void)close(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_spilled_rows_answers_are_the_same_bytes),
        cmocka_unit_test(test_read_runs_of_several_levels_answers_are_the_same_bytes),
        cmocka_unit_test(test_read_spilled_rows_ties_keep_the_order_of_the_file),
        cmocka_unit_test(test_next_rows_of_any_order_come_sorted_once),
        cmocka_unit_test(test_read_no_directory_for_runs_is_named),
        cmocka_unit_test(test_read_no_space_for_runs_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
