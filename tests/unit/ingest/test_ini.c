/* INI text: sections, continuations, exact line numbers of faults. */
#include "ingest/config/ini.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

/* Writes what was read as "[section] key=value@line" lines. */
static int collect(void *context, const struct ini_entry *entry)
{
    return buf_appendf(context, "[%.*s]%s%.*s=%.*s@%d\n", (int)entry->section.size,
        entry->section.data, entry->continuation ? "+" : "", (int)entry->key.size,
        entry->key.size ? entry->key.data : "", (int)entry->value.size,
        entry->value.size ? entry->value.data : "", entry->line);
}

static void assert_read(struct str text, const char *entries)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct ini_problem problem;
    assert_int_equal(ini_read(text, collect, &out, &problem), 0);
    assert_int_equal(buf_append(&out, "", 1), 0);
    assert_string_equal(out.data, entries);
}

static void assert_fault(struct str text, int line)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct ini_problem problem;
    assert_int_equal(ini_read(text, collect, &out, &problem), ERR_CONFIG);
    assert_int_equal(problem.line, line);
    assert_non_null(problem.text);
}

static void test_ini_read_good_text_gives_entries(void **state)
{
    assert_read(STR(""), "");
    assert_read(STR("a=1"), "[]a=1@1\n");
    assert_read(STR("\xef\xbb\xbf# c\r\n[ a b ]\r\nkey = v ; w \r\nempty=\n"),
        "[a b]=@2\n[a b]key=v ; w@3\n[a b]empty=@4\n");
    assert_read(STR("[s]\nk = 1\n   2\n\t# c\n\n 3\nx = = y"),
        "[s]=@1\n[s]k=1@2\n[s]+k=2@3\n[s]+k=3@6\n[s]x== y@7\n");
}

static void test_ini_read_faults_tell_their_line(void **state)
{
    assert_fault(STR("[a]\nkey\n"), 2);
    assert_fault(STR("[a\n"), 1);
    assert_fault(STR("["), 1);
    assert_fault(STR("a=1\n== 2"), 2);
    assert_fault(STR("=2"), 1);
    assert_fault(STR("  lost\n"), 1);
    assert_fault(STR("[s]\n  lost\n"), 2);
    assert_fault(STR("a = \0"), 1);
    assert_fault(STR("a = 1\nb = \xff\n"), 2);
}

static void test_ini_read_line_at_and_over_the_limit(void **state)
{
    char *text = malloc(INI_LINE_SIZE_MAX + 2);
    assert_non_null(text);
    memset(text, 'x', INI_LINE_SIZE_MAX + 2);
    text[1] = '=';
    text[INI_LINE_SIZE_MAX] = '\n';
    CLEANUP(buf_free) struct buf out = {0};
    struct ini_problem problem;
    assert_int_equal(ini_read(str_make(text, INI_LINE_SIZE_MAX + 1), collect, &out, &problem), 0);
    text[INI_LINE_SIZE_MAX] = 'x';
    assert_fault(str_make(text, INI_LINE_SIZE_MAX + 1), 1);
    free(text);
}

static int refuse(void *context, const struct ini_entry *entry)
{
    return entry->line == *(const int *)context ? ERR_VALUE : 0;
}

static void test_ini_read_error_of_the_callback_ends_reading(void **state)
{
    int line = 3;
    struct ini_problem problem;
    assert_int_equal(ini_read(STR("a=1\nb=2\nc=3\nbad"), refuse, &line, &problem), ERR_VALUE);
    assert_int_equal(problem.line, 3);
    assert_null(problem.text);
}

static void test_ini_load_absent_file_is_not_found(void **state)
{
    struct buf out = {0};
    assert_int_equal(ini_load("/nonexistent/x.ini", 100, &out), ERR_NOT_FOUND);
    assert_int_equal(ini_load("/", 100, &out), ERR_IO);
    assert_int_equal(ini_load("/proc/self/exe", 100, &out), ERR_TOO_LARGE);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ini_read_good_text_gives_entries),
        cmocka_unit_test(test_ini_read_faults_tell_their_line),
        cmocka_unit_test(test_ini_read_line_at_and_over_the_limit),
        cmocka_unit_test(test_ini_read_error_of_the_callback_ends_reading),
        cmocka_unit_test(test_ini_load_absent_file_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
