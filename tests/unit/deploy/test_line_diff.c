/* Lines that two texts do not share. */
#include "deploy/line_diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_diff(const char *old, const char *new, size_t context, const char *wanted)
{
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(line_diff(str_of(old), str_of(new), context, &out), 0);
    if (!str_equal(buf_str(&out), str_of(wanted)))
        fail_msg("got\n%.*s\nwanted\n%s", (int)out.size, out.data, wanted);
}

static void test_line_diff_shows_what_differs(void **state)
{
    (void)state;
    assert_diff("a\nb\n", "a\nb\n", 1, "");
    assert_diff("", "", 1, "");
    assert_diff("", "a\nb\n", 1, "+a\n+b\n");
    assert_diff("a\nb\n", "", 1, "-a\n-b\n");
    assert_diff("a\nb\nc\n", "a\nx\nc\n", 0, "-b\n+x\n");
    assert_diff("a\nb\nc\n", "a\nx\nc\n", 1, " a\n-b\n+x\n c\n");
    assert_diff("a\nb\nc\nd\n", "b\nd\ne\n", 0, "-a\n...\n-c\n...\n+e\n");
    assert_diff("a\na\na\n", "a\na\n", 0, "-a\n");
    assert_diff("1\n2\n3\n4\n5\n6\n7\n", "1\nx\n3\n4\n5\ny\n7\n", 1,
        " 1\n-2\n+x\n 3\n...\n 5\n-6\n+y\n 7\n");
}

static void append_lines(struct buf *out, uint32_t *seed, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *seed = *seed * 1103515245 + 12345;
        assert_int_equal(buf_appendf(out, "%u\n", (unsigned)(*seed >> 16) % 4), 0);
    }
}

/* Taking "-" out of the old and putting "+" in gives the new, whatever the texts. */
static void test_line_diff_leads_from_one_to_the_other(void **state)
{
    uint32_t seed = 7;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct buf texts[2] = {{0}, {0}}, sides[2] = {{0}, {0}};
        CLEANUP(buf_free) struct buf diff = {0};
        append_lines(&texts[0], &seed, (size_t)round % 9);
        append_lines(&texts[1], &seed, (size_t)round % 7);
        assert_int_equal(line_diff(buf_str(&texts[0]), buf_str(&texts[1]), 100, &diff), 0);
        for (size_t at = 0; at < diff.size; at += 3) { /* lines of one digit and a mark */
            char mark = diff.data[at];
            for (int side = 0; side < 2; side++)
                if (mark == ' ' || mark == "-+"[side])
                    assert_int_equal(buf_append(&sides[side], diff.data + at + 1, 2), 0);
        }
        bool same = str_equal(buf_str(&texts[0]), buf_str(&texts[1]));
        for (int side = 0; side < 2; side++) {
            assert_true(same || str_equal(buf_str(&sides[side]), buf_str(&texts[side])));
            buf_free(&texts[side]);
            buf_free(&sides[side]);
        }
    }
}

static void test_line_diff_of_too_many_lines_is_not_matched(void **state)
{
    CLEANUP(buf_free) struct buf old = {0};
    CLEANUP(buf_free) struct buf new = {0};
    CLEANUP(buf_free) struct buf out = {0};
    (void)state;
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(buf_appendf(&old, "old %d\n", i), 0);
        assert_int_equal(buf_appendf(&new, "new %d\n", i), 0);
    }
    assert_int_equal(line_diff(buf_str(&old), buf_str(&new), 1, &out), 0);
    assert_int_equal(out.size, old.size + new.size + 6000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_diff_shows_what_differs),
        cmocka_unit_test(test_line_diff_leads_from_one_to_the_other),
        cmocka_unit_test(test_line_diff_of_too_many_lines_is_not_matched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
