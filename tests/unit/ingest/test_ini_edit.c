/* Changes of INI text that leave all else as it stands. */
#include "ingest/config/ini_edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/config/ini.h"
#include "schemas/error.h"

#define SECTION STR("source a")

static void assert_text(const struct buf *got, const char *wanted)
{
    if (!str_equal(buf_str(got), str_of(wanted)))
        fail_msg("got\n%.*s\nwanted\n%s", (int)got->size, got->data, wanted);
}

static void assert_set(const char *text, const char *key, const char *value, const char *wanted)
{
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(ini_edit_set(str_of(text), SECTION, str_of(key), str_of(value), &out), 0);
    assert_text(&out, wanted);
}

static void assert_removed(const char *text, const char *key, const char *wanted)
{
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(ini_edit_remove(str_of(text), SECTION, str_of(key), &out), 0);
    assert_text(&out, wanted);
}

static void test_ini_edit_set_replaces_a_value_in_its_place(void **state)
{
    (void)state;
    assert_set("# head\n[source a]\n; of a\nrate = 5 \nburst=1\n\n[source b]\nrate = 7\n", "rate",
        "9", "# head\n[source a]\n; of a\nrate = 9\nburst=1\n\n[source b]\nrate = 7\n");
    assert_set("[source b]\nrate = 7\n[source a]\nrate=1", "rate", "9",
        "[source b]\nrate = 7\n[source a]\nrate = 9\n");
    assert_set("\xef\xbb\xbf[source a]\r\nrate = 1\r\nburst = 2\r\n", "rate", "",
        "\xef\xbb\xbf[source a]\r\nrate =\r\nburst = 2\r\n");
}

static void test_ini_edit_set_replaces_continuation_lines(void **state)
{
    (void)state;
    assert_set("[source a]\norigins = x\n  y\n# why z\n\tz\n\nrate = 1\n", "origins", "w",
        "[source a]\norigins = w\n# why z\n\nrate = 1\n");
}

static void test_ini_edit_set_adds_behind_the_last_value(void **state)
{
    (void)state;
    assert_set("[source a]\nrate = 5\n  \n# of b\n[source b]\n", "enabled", "no",
        "[source a]\nrate = 5\nenabled = no\n  \n# of b\n[source b]\n");
    assert_set("[source a]\norigins = x\n  y\n\n[log]\n", "rate", "1",
        "[source a]\norigins = x\n  y\nrate = 1\n\n[log]\n");
    assert_set("[ source a ]", "rate", "1", "[ source a ]\nrate = 1\n");
    /* The same section again, with other keys. */
    assert_set("[source a]\nrate = 1\n[log]\n[source a]\nburst = 2\n", "enabled", "no",
        "[source a]\nrate = 1\nenabled = no\n[log]\n[source a]\nburst = 2\n");
    assert_set("[source a]\nrate = 1\n[log]\n[source a]\nburst = 2\n", "burst", "3",
        "[source a]\nrate = 1\n[log]\n[source a]\nburst = 3\n");
}

static void test_ini_edit_remove(void **state)
{
    (void)state;
    assert_removed("[source a]\nrate = 5\norigins = x\n y\n# c\n z\n[log]\n", "origins",
        "[source a]\nrate = 5\n# c\n[log]\n");
    assert_removed("[source a]\nrate = 5\n", "burst", "[source a]\nrate = 5\n");
    assert_removed(
        "[source b]\nrate = 5\n[source a]\nrate = 6", "rate", "[source b]\nrate = 5\n[source a]\n");
}

static void test_ini_edit_begin(void **state)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", "[source a]\n"},
        {"[log]\nlevel = info", "[log]\nlevel = info\n\n[source a]\n"},
        {"# sources\r\n", "# sources\r\n\r\n[source a]\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP(buf_free) struct buf out = {0};
        assert_false(ini_edit_has(str_of(cases[i].text), SECTION));
        assert_int_equal(ini_edit_begin(str_of(cases[i].text), SECTION, &out), 0);
        assert_text(&out, cases[i].wanted);
        assert_true(ini_edit_has(buf_str(&out), SECTION));
    }
}

static void test_ini_edit_absent_section_is_an_error(void **state)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct str text = STR("# [source a]\n [source a]\n[source ab]\n");
    (void)state;
    assert_int_equal(ini_edit_set(text, SECTION, STR("rate"), STR("1"), &out), ERR_NOT_FOUND);
    assert_int_equal(ini_edit_remove(text, SECTION, STR("rate"), &out), ERR_NOT_FOUND);
    assert_int_equal(out.size, 0);
}

/* ---- any text ---- */

/* What a reader has of a text: every value but that of source a's rate, and that one. */
struct reading {
    struct buf others;
    struct buf rate;
};

static int read_entry(void *context, const struct ini_entry *entry)
{
    struct reading *reading = context;
    bool rate = str_equal(entry->section, SECTION) && str_equal(entry->key, STR("rate"));
    struct buf *out = rate ? &reading->rate : &reading->others;
    return buf_appendf(out, "%.*s/%.*s=%.*s\n", (int)entry->section.size, entry->section.data,
        (int)entry->key.size, entry->key.data, (int)entry->value.size, entry->value.data);
}

/* Random lines: what is read of them is the same after a change, but for the value changed. */
static void test_ini_edit_changes_what_it_says_alone(void **state)
{
    static const char *const lines[] = {"[source a]\n", "[source b]\n", "[log]\n", "rate = 5\n",
        "rate=\n", "  more\n", "\tmore, and more\n", "# rate = 7\n", ";x\n", "\n", "   \n",
        "burst = 1\n", "rate = 1\r\n", "[ source a ]\n"};
    uint32_t seed = 1;
    size_t changed = 0;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        CLEANUP(buf_free) struct buf text = {0};
        CLEANUP(buf_free) struct buf out = {0};
        struct reading before = {.others = {0}}, after = {.others = {0}};
        struct ini_problem problem;
        for (int i = 0; i < 8; i++) {
            seed = seed * 1103515245 + 12345;
            size_t which = (seed >> 16) % (sizeof lines / sizeof *lines);
            assert_int_equal(buf_append_str(&text, str_of(lines[which])), 0);
        }
        bool readable = ini_read(buf_str(&text), read_entry, &before, &problem) == 0;
        if (readable && ini_edit_set(buf_str(&text), SECTION, STR("rate"), STR("9"), &out) == 0) {
            assert_int_equal(ini_read(buf_str(&out), read_entry, &after, &problem), 0);
            if (!str_equal(buf_str(&before.others), buf_str(&after.others)))
                fail_msg("%.*s\nbecame\n%.*s", (int)text.size, text.data, (int)out.size, out.data);
            assert_non_null(memmem(after.rate.data, after.rate.size, "source a/rate=9\n", 16));
            changed++;
        }
        buf_free(&before.others);
        buf_free(&before.rate);
        buf_free(&after.others);
        buf_free(&after.rate);
    }
    assert_true(changed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ini_edit_set_replaces_a_value_in_its_place),
        cmocka_unit_test(test_ini_edit_set_replaces_continuation_lines),
        cmocka_unit_test(test_ini_edit_set_adds_behind_the_last_value),
        cmocka_unit_test(test_ini_edit_remove),
        cmocka_unit_test(test_ini_edit_begin),
        cmocka_unit_test(test_ini_edit_absent_section_is_an_error),
        cmocka_unit_test(test_ini_edit_changes_what_it_says_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
