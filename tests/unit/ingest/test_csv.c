#include "ingest/import/csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/error.h"

/* All rows of a text in one line: fields between <>, rows ended by ";", a bad one as
 * !column:why!bytes; */
static void render(struct str text, char delimiter, size_t step, struct buf *out)
{
    struct csv csv;
    CLEANUP(arena_free) struct arena arena = {0};
    assert_int_equal(csv_open(&csv, delimiter), 0);
    size_t at = 0;
    size_t end = step && step < text.size ? step : text.size;
    char *exact = NULL; /* text from `from` to `to`, so that the sanitizer sees a read beyond */
    size_t from = 0, to = 0;
    while (at < text.size) {
        struct csv_row row;
        if (to != end) {
            free(exact);
            exact = malloc(end - at + 1);
            assert_non_null(exact);
            memcpy(exact, text.data + at, end - at);
            from = at;
            to = end;
        }
        struct str given = str_make(exact + (at - from), end - at);
        int r = csv_read(&csv, given, end == text.size, &arena, &row);
        if (r == CSV_MORE) {
            assert_true(end < text.size);
            end = end + step < text.size ? end + step : text.size;
            continue;
        }
        assert_true(r == 0 || r == ERR_ROW);
        for (size_t i = 0; r == 0 && i < row.fields_count; i++)
            assert_int_equal(
                buf_appendf(out, "<%.*s>", (int)row.fields[i].size, row.fields[i].data), 0);
        if (r == ERR_ROW)
            assert_int_equal(buf_appendf(out, "!%zu:%s!%.*s", row.bad_column, row.why,
                                 (int)(row.bytes.size < 40 ? row.bytes.size : 40), row.bytes.data),
                0);
        at += row.size;
        if (row.open) { /* as a reader of files does */
            const char *line_end = memchr(text.data + at, '\n', text.size - at);
            row.lines += line_end != NULL;
            at = line_end ? (size_t)(line_end + 1 - text.data) : text.size;
        }
        assert_int_equal(buf_appendf(out, "%zu;", row.lines), 0);
        if (end < at)
            end = at;
        if (end == at && end < text.size)
            end = end + (step ? step : 1) < text.size ? end + (step ? step : 1) : text.size;
    }
    free(exact);
    csv_close(&csv);
}

/* The same rows wherever the text is cut. */
static void assert_rows(struct str text, char delimiter, const char *want)
{
    for (size_t step = 0; step < 12; step++) {
        CLEANUP(buf_free) struct buf out = {0};
        render(text, delimiter, step, &out);
        if (!str_equal(buf_str(&out), str_of(want)))
            fail_msg("step %zu: %.*s, want %s", step, (int)out.size, out.data, want);
    }
}

static void test_csv_read_rfc_4180(void **state)
{
    (void)state;
    assert_rows(STR("a,b\r\nc,d\r\n"), ',', "<a><b>1;<c><d>1;");
    assert_rows(STR("a,b\nc,d"), ',', "<a><b>1;<c><d>0;");
    assert_rows(STR("\"a,\"\"b\"\"\n\",\"\"\n,x\n"), ',', "<a,\"b\"\n><>2;<><x>1;");
    assert_rows(STR("\"\"\"\"\n"), ',', "<\">1;");
    assert_rows(STR("\n\r\nx\n"), ',', "<>1;<>1;<x>1;");
    assert_rows(STR("a\tb,c\n"), '\t', "<a><b,c>1;");
    assert_rows(STR("a,\n,\n"), ',', "<a><>1;<><>1;");
    assert_rows(STR("旅,\"路\"\n"), ',', "<旅><路>1;");
    assert_rows(STR("a\rb,c\n"), ',', "<a\rb><c>1;");
    assert_rows(STR("\"a\"\r\n\"b\""), ',', "<a>1;<b>0;");
    assert_rows(STR("a\r"), ',', "<a>0;");
}

static void test_csv_read_bad_row_is_told_and_reading_goes_on(void **state)
{
    (void)state;
    assert_rows(
        STR("a,5\" pipe,c\nd,e\n"), ',', "!2:a quote stands within a field!a,5\" pipe,c1;<d><e>1;");
    assert_rows(STR("\"a\"b,c\r\nd\n"), ',', "!1:a quote stands within a field!\"a\"b,c1;<d>1;");
    assert_rows(STR("a,\"b\nc\nd"), ',', "!2:a quoted field does not end!a,\"b1;<c>1;<d>0;");
    assert_rows(STR("\"a\"\rb\nc\n"), ',', "!1:a quote stands within a field!\"a\"\rb1;<c>1;");
    assert_rows(STR("\""), ',', "!1:a quoted field does not end!\"0;");
}

static void fill(struct buf *out, char c, size_t count)
{
    assert_int_equal(buf_reserve(out, count), 0);
    memset(out->data + out->size, c, count);
    out->size += count;
}

/* A row at and over the limit, cut anywhere around it. */
static void test_csv_read_row_size_limit(void **state)
{
    (void)state;
    for (size_t over = 0; over <= 1; over++) {
        CLEANUP(buf_free) struct buf text = {0};
        fill(&text, 'x', CSV_ROW_SIZE_MAX + over);
        assert_int_equal(buf_appendf(&text, "\r\ny\n"), 0);
        CLEANUP(buf_free) struct buf want = {0};
        if (over) {
            assert_int_equal(buf_appendf(&want, "!0:the row is too long!"), 0);
            fill(&want, 'x', 40);
        } else {
            assert_int_equal(buf_append(&want, "<", 1), 0);
            fill(&want, 'x', CSV_ROW_SIZE_MAX);
            assert_int_equal(buf_append(&want, ">", 1), 0);
        }
        assert_int_equal(buf_appendf(&want, "1;<y>1;"), 0);
        for (size_t step = CSV_ROW_SIZE_MAX - 2; step < CSV_ROW_SIZE_MAX + 5; step++) {
            CLEANUP(buf_free) struct buf out = {0};
            render(buf_str(&text), ',', step, &out);
            assert_true(str_equal(buf_str(&out), buf_str(&want)));
        }
    }
}

static void test_csv_read_quote_that_never_closes_costs_one_line(void **state)
{
    (void)state;
    CLEANUP(buf_free) struct buf text = {0};
    assert_int_equal(buf_appendf(&text, "\"open\n"), 0);
    for (int i = 0; i < 60000; i++)
        assert_int_equal(buf_appendf(&text, "r%05d\n", i), 0);
    for (size_t step = 100000; step < 500000; step += 90000) {
        CLEANUP(buf_free) struct buf out = {0};
        render(buf_str(&text), ',', step, &out);
        assert_true(str_starts_with(
            buf_str(&out), STR("!1:a quoted field does not end!\"open1;<r00000>1;<r00001>1;")));
        assert_true(str_equal(str_make(out.data + out.size - 10, 10), STR("<r59999>1;")));
    }
}

static void test_csv_read_too_many_columns(void **state)
{
    (void)state;
    CLEANUP(buf_free) struct buf text = {0};
    CLEANUP(buf_free) struct buf out = {0};
    fill(&text, ',', CSV_FIELDS_MAX);
    assert_int_equal(buf_appendf(&text, "\nx\n"), 0);
    render(buf_str(&text), ',', 0, &out);
    assert_true(str_starts_with(buf_str(&out), STR("!4096:too many columns!")));
    assert_true(str_equal(str_make(out.data + out.size - 5, 5), STR("<x>1;")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv_read_rfc_4180),
        cmocka_unit_test(test_csv_read_bad_row_is_told_and_reading_goes_on),
        cmocka_unit_test(test_csv_read_row_size_limit),
        cmocka_unit_test(test_csv_read_quote_that_never_closes_costs_one_line),
        cmocka_unit_test(test_csv_read_too_many_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
