#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "enrich/attribution/path_transform.h"
#include "tests/property/random.h"

#define LENGTH_MAX 40
#define CHANNELS 6
#define CASES 2000

/* A touch a letter, a second apart; a capital is a lead. */
static size_t write_path(const char *text, struct path_step *out)
{
    size_t count = strlen(text);
    for (size_t i = 0; i < count; i++)
        out[i] = (struct path_step){.at = (int64_t)i,
            .channel = (uint32_t)((text[i] | 32) - 'a'),
            .flags = text[i] < 'a' ? PATH_STEP_LEAD : 0};
    return count;
}

static void assert_transformed(
    enum path_transform transform, const char *text, const char *wanted, const char *at)
{
    struct path_step touches[LENGTH_MAX];
    uint32_t places[CHANNELS] = {0}, times[LENGTH_MAX];
    size_t count =
        path_transform_apply(transform, touches, write_path(text, touches), places, times);
    assert_int_equal(count, strlen(wanted));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(touches[i].channel, (wanted[i] | 32) - 'a');
        assert_int_equal(touches[i].flags, wanted[i] < 'a' ? PATH_STEP_LEAD : 0);
        assert_int_equal(touches[i].at, at[i] - '0');
    }
}

static void test_path_transform_apply_none_keeps_all(void **state)
{
    assert_transformed(PATH_TRANSFORM_NONE, "dabbcdcc", "dabbcdcc", "01234567");
}

static void test_path_transform_apply_exposure_keeps_the_last_of_a_row(void **state)
{
    assert_transformed(PATH_TRANSFORM_EXPOSURE, "dabbcdcc", "dabcdc", "013457");
    assert_transformed(PATH_TRANSFORM_EXPOSURE, "aBba", "aBa", "023");
    assert_transformed(PATH_TRANSFORM_EXPOSURE, "", "", "");
}

static void test_path_transform_apply_unique_keeps_the_last_of_each(void **state)
{
    assert_transformed(PATH_TRANSFORM_UNIQUE, "dabbcdcc", "abdc", "1357");
    assert_transformed(PATH_TRANSFORM_UNIQUE, "Aba", "bA", "12");
}

static void test_path_transform_apply_first_keeps_the_first_of_each(void **state)
{
    assert_transformed(PATH_TRANSFORM_FIRST, "dabbcdcc", "dabc", "0124");
    assert_transformed(PATH_TRANSFORM_FIRST, "abA", "Ab", "01");
}

static void test_path_transform_apply_frequency_counts(void **state)
{
    struct path_step touches[LENGTH_MAX];
    uint32_t places[CHANNELS] = {0}, times[LENGTH_MAX];
    const uint32_t wanted[] = {2, 1, 2, 3};
    assert_transformed(PATH_TRANSFORM_FREQUENCY, "dabbcdcc", "dabc", "0124");
    size_t count = path_transform_apply(
        PATH_TRANSFORM_FREQUENCY, touches, write_path("dabbcdcc", touches), places, times);
    assert_int_equal(count, 4);
    assert_memory_equal(times, wanted, sizeof wanted);
}

/* Whatever the path: places are 0 again, times stay in order, the counts are those of all touches.
 */
static void test_path_transform_apply_random_paths_lose_nothing(void **state)
{
    struct random random = random_begin();
    for (int i = 0; i < CASES; i++) {
        struct path_step touches[LENGTH_MAX];
        uint32_t places[CHANNELS] = {0}, times[LENGTH_MAX], met = 0;
        const uint32_t none[CHANNELS] = {0};
        size_t length = random_below(&random, LENGTH_MAX);
        for (size_t k = 0; k < length; k++)
            touches[k] = (struct path_step){
                .at = (int64_t)k, .channel = (uint32_t)random_below(&random, CHANNELS)};
        int how = (int)random_below(&random, PATH_TRANSFORM_COUNT);
        size_t count =
            path_transform_apply((enum path_transform)how, touches, length, places, times);
        assert_true(count <= length && (count > 0) == (length > 0));
        assert_memory_equal(places, none, sizeof none);
        for (size_t k = 1; k < count; k++)
            assert_true(touches[k - 1].at < touches[k].at);
        for (size_t k = 0; how >= PATH_TRANSFORM_UNIQUE && k < count; k++)
            met += how == PATH_TRANSFORM_UNIQUE ? 0 : times[k];
        if (how == PATH_TRANSFORM_FIRST || how == PATH_TRANSFORM_FREQUENCY)
            assert_int_equal(met, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_transform_apply_none_keeps_all),
        cmocka_unit_test(test_path_transform_apply_exposure_keeps_the_last_of_a_row),
        cmocka_unit_test(test_path_transform_apply_unique_keeps_the_last_of_each),
        cmocka_unit_test(test_path_transform_apply_first_keeps_the_first_of_each),
        cmocka_unit_test(test_path_transform_apply_frequency_counts),
        cmocka_unit_test(test_path_transform_apply_random_paths_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
