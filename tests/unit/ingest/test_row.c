#include "ingest/import/row.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "tests/unit/ingest/fake_log.h"

#define PLAIN "[file]\nname = n\nformat = native\n"
#define OPERATOR PLAIN "operator = yes\n"
#define HEAD "{\"id\":\"1\",\"time\":\"2026-03-01T00:00:00Z\",\"ids\":{\"login\":\"a\"},\"type\":\""
#define EVIDENCE ",\"evidence\":{\"a\":{\"login\":\"a\"},\"b\":{\"login\":\"b\"}"
#define LINKED HEAD "identity_linked\"" EVIDENCE
#define UNLINKED HEAD "identity_unlinked\"" EVIDENCE ",\"sign\":-1"

/* Takes one row of a file f.ndjson, at line 7, into the log. */
static void take(const char *mapping_text, const char *row, struct fake_log *log)
{
    char bytes[1024] = {0}; /* with padding behind */
    struct mapping *mapping = NULL;
    struct door_config door;
    struct row_mapper mapper;
    struct row_output output = {0};
    CLEANUP(buf_free) struct buf message = {0};
    door_config_default(&door);
    assert_int_equal(mapping_parse("m.ini", str_of(mapping_text), &mapping, &message), 0);
    const struct import_options options = {
        .mapping = mapping, .door = &door, .appender = &log->appender, .now_micros = NOW};
    assert_int_equal(row_mapper_open(&mapper, &options), 0);
    mapper.path = "f.ndjson";
    assert_true(strlen(row) + JSON_INPUT_PADDING < sizeof bytes);
    memcpy(bytes, row, strlen(row));
    const struct csv_row csv = {.bytes = str_make(bytes, strlen(row))};
    assert_int_equal(row_mapper_take(&mapper, &csv, 0, 7, false, &output), 0);
    assert_int_equal(output.records_count, 1);
    assert_int_equal(output.count.rejected + output.count.events, 1);
    assert_int_equal(
        log->appender.append(&log->appender, output.records, output.records_count, NULL), 0);
    row_output_free(&output);
    row_mapper_close(&mapper);
    mapping_free(&mapping);
}

static void assert_refused(const char *mapping, const char *row, const char *how)
{
    struct fake_log log;
    CLEANUP(buf_free) struct buf wanted = {0};
    fake_open(&log);
    take(mapping, row, &log);
    assert_int_equal(buf_appendf(&wanted, "%s (f.ndjson:7) %s", how, row), 0);
    if (!str_equal(buf_str(&wanted), buf_str(&log.last_rejected)))
        fail_msg("%.*s\n%.*s", (int)wanted.size, wanted.data, (int)log.all.size, log.all.data);
    fake_close(&log);
}

/* part: of the event as it is kept; NULL: any. */
static void assert_taken(const char *mapping, const char *row, const char *part)
{
    struct fake_log log;
    fake_open(&log);
    take(mapping, row, &log);
    if (log.last_rejected.size)
        fail_msg("%.*s", (int)log.last_rejected.size, log.last_rejected.data);
    if (part && !memmem(log.last_event.data, log.last_event.size, part, strlen(part)))
        fail_msg("%.*s", (int)log.last_event.size, log.last_event.data);
    fake_close(&log);
}

static void test_row_mapper_take_operators_word_without_the_right_is_refused(void **state)
{
    static const char how[] =
        "bad_value at /type: an operator's word: tabiji link A B --reason TEXT, "
        "tabiji unlink, or a mapping with operator = yes";
    (void)state;
    assert_refused(PLAIN, LINKED ",\"reason\":\"same\"}}", how);
    assert_refused(PLAIN, UNLINKED ",\"reason\":\"two\"}}", how);
    assert_refused(PLAIN, LINKED ",\"authority\":1,\"reason\":\"same\"}}", how);
    assert_refused(PLAIN, HEAD "identity_linked\"}", how);
    /* Evidence against a link is an operator's, whatever its type. */
    assert_refused(PLAIN, HEAD "aliased\"" EVIDENCE ",\"sign\":-1,\"reason\":\"x\"}}", how);
    assert_refused("[file]\nname = n\nformat = ndjson\n[event identity_linked]\ntime = time\n"
                   "ids.login = ids.login\n",
        HEAD "x\"}", how);
}

static void test_row_mapper_take_operators_word_with_the_right_wants_a_reason(void **state)
{
    (void)state;
    assert_taken(OPERATOR, LINKED ",\"reason\":\"same\"}}", "\"authority\":1");
    assert_taken(OPERATOR, UNLINKED ",\"reason\":\"two\"}}", "\"authority\":1");
    assert_refused(
        OPERATOR, LINKED "}}", "missing_field at /evidence/reason: an operator's word says why");
    assert_refused(OPERATOR, HEAD "identity_unlinked\"}",
        "missing_field at /evidence/reason: an operator's word says why");
}

static void test_row_mapper_take_clients_alias_has_no_authority(void **state)
{
    struct fake_log log;
    (void)state;
    fake_open(&log);
    take(PLAIN, HEAD "aliased\"" EVIDENCE ",\"authority\":1}}", &log);
    assert_null(memmem(log.last_event.data, log.last_event.size, "authority", 9));
    assert_non_null(memmem(log.last_event.data, log.last_event.size, "evidence", 8));
    fake_close(&log);
}

static void test_row_mapper_take_erasure_is_for_the_verb(void **state)
{
    const char *how = "bad_value at /type: not by a file: tabiji erase ID --confirm, which "
                      "leaves a receipt";
    (void)state;
    assert_refused(PLAIN, HEAD "erasure_requested\"}", how);
    assert_refused(OPERATOR, HEAD "erasure_requested\"}", how);
    how = "bad_value at /type: not by a file: tabiji erase ID --lift, for each identifier by its "
          "name";
    assert_refused(PLAIN, HEAD "erasure_lifted\"}", how);
    assert_refused(OPERATOR, HEAD "erasure_lifted\"}", how);
}

static void test_row_mapper_take_spend_is_nobodys(void **state)
{
    (void)state;
    assert_taken(PLAIN,
        "{\"id\":\"1\",\"type\":\"spend_reported\",\"time\":\"2026-03-01T00:00:00Z\",\"channel\":"
        "\"LINE\",\"ids\":{\"case\":\"spend:LINE\"},\"order\":{\"revenue\":\"5\",\"currency\":"
        "\"JPY\"}}",
        NULL);
}

static void test_mapping_parse_operator_is_yes_or_no(void **state)
{
    struct mapping *mapping = NULL;
    CLEANUP(buf_free) struct buf message = {0};
    (void)state;
    assert_int_equal(
        mapping_parse("m.ini", STR(PLAIN "operator = oui\n"), &mapping, &message), ERR_CONFIG);
    assert_true(str_starts_with(buf_str(&message), STR("m.ini:4: unknown value \"oui\"")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_mapper_take_operators_word_without_the_right_is_refused),
        cmocka_unit_test(test_row_mapper_take_operators_word_with_the_right_wants_a_reason),
        cmocka_unit_test(test_row_mapper_take_clients_alias_has_no_authority),
        cmocka_unit_test(test_row_mapper_take_erasure_is_for_the_verb),
        cmocka_unit_test(test_row_mapper_take_spend_is_nobodys),
        cmocka_unit_test(test_mapping_parse_operator_is_yes_or_no),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
