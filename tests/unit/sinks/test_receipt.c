/* Receipts of erasures: begun once with what remains, found when open, brought to truth. */
#include "sinks/sqlite/receipt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"

static char directory[] = "/tmp/tabiji-receipt-XXXXXX";
static char path[128];
static const uint8_t person[KEY_SIZE] = "person-of-hana!";

static void tell(const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(database_open(&db, path, NULL), 0);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    database_close(&db);
}

static const char *ask(const char *sql)
{
    static char text[512];
    sqlite3 *db = NULL;
    sqlite3_stmt *select = NULL;
    assert_int_equal(database_open_reader(&db, path), 0);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &select, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(select), SQLITE_ROW);
    snprintf(text, sizeof text, "%s", (const char *)sqlite3_column_text(select, 0));
    sqlite3_finalize(select);
    database_close(&db);
    return text;
}

#define PERSON "CAST('person-of-hana!' || char(0) AS BLOB)"
#define EVENT(row, at, channel)                                                                    \
    "INSERT INTO event (event_row, event_key, person, occurred_at, sequence, type, source, "       \
    "event_id, channel, identifiers, detail, placement, position, received_at) VALUES (" #row      \
    ", x'0" #row "', " PERSON ", " #at ", 0, 't', 's', 'e', " channel ", '{}', '{}', 0, 0, 0);"    \
    "INSERT INTO timeline VALUES (" PERSON ", " #at ", 0, " #row ");"
#define TOUCH(row, at)                                                                             \
    "INSERT INTO touch VALUES (x'0" #row "', " PERSON ", " #at                                     \
    ", 'visit', 'Email', NULL, NULL, NULL, NULL);"
#define CONVERSION(row, at, kind, minor, currency)                                                 \
    "INSERT INTO conversion VALUES (" PERSON ", 'c" #row "', '" kind "', x'0" #row                 \
    "', 't', NULL, NULL, " #at ", " #minor ", " currency ", 0, NULL, NULL, 0, 0, 0, 0);"
#define IDENTIFIER(namespace, value)                                                               \
    "INSERT INTO identifier VALUES (CAST('" namespace "' AS BLOB), '" namespace "', '" value       \
                                                                                "', " PERSON       \
                                                                                ", 'self', "       \
                                                                                "x'00', x'00', "   \
                                                                                "0);"

static int make(void **state)
{
    (void)snprintf(directory, sizeof directory, "/tmp/tabiji-receipt-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(path, sizeof path, "%s/tabiji.db", directory);
    tell("SELECT 1");
    return 0;
}

static int remove_all(void **state)
{
    char name[160];
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void)unlink(name);
    }
    return rmdir(directory);
}

static struct receipt receipt_of(const char *id, const char *namespace, const char *value)
{
    const struct identifier identifier = {.namespace = str_of(namespace), .value = str_of(value)};
    struct receipt receipt = {.requested_at = 1000, .reason = STR("asked"), .left_over = 5};
    (void)snprintf(receipt.id, sizeof receipt.id, "%s", id);
    receipt_subject(&identifier, receipt.subject);
    receipt.before.counts[0] = 3;
    return receipt;
}

static void test_receipt_begin_twice_writes_once(void **state)
{
    /* 2026-10-31T23:59:59Z, 2026-11-01T00:00:00Z, and before 1970. */
    tell(EVENT(1, 1793491199000000, "'Direct'") EVENT(2, 1793491200000000, "NULL")
            EVENT(3, -1, "'Ads'") TOUCH(1, 1793491199000000) TOUCH(2, 1793491200000000)
                CONVERSION(1, 1793491199000000, "conversion", 1200, "'JPY'")
                    CONVERSION(2, 1793491200000000, "conversion", 100, "'USD'")
                        CONVERSION(3, -1, "refund", -300, "NULL"));
    struct receipt receipt = receipt_of("r1", "login", "hana");
    assert_int_equal(receipt_begin(path, &receipt, person, true), 0);
    static const char all[] = "SELECT group_concat(receipt_id || ' ' || month || ' ' || channel || "
                              "' ' || currency || ' ' "
                              "|| touches || ' ' || conversions || ' ' || net_revenue_minor, '; ') "
                              "FROM erasure_remainder";
    static const char wanted[] = "r1 1969-12 Ads  0 0 -300; r1 2026-10 Direct JPY 0 1 1200; "
                                 "r1 2026-10 Email  1 0 0; r1 2026-11  USD 0 1 100; "
                                 "r1 2026-11 Email  1 0 0";
    assert_string_equal(ask(all), wanted);
    receipt.before.counts[0] = 99;
    assert_int_equal(receipt_begin(path, &receipt, person, true), 0);
    assert_string_equal(ask(all), wanted);
    assert_string_equal(ask("SELECT events FROM erasure_receipt"), "3");
    struct receipt other = receipt_of("r2", "login", "hana");
    assert_int_equal(receipt_begin(path, &other, person, false), 0);
    assert_string_equal(ask(all), wanted);
    assert_int_equal(receipt_drop(path, "r1", true), 0);
    assert_string_equal(ask("SELECT count(*) FROM erasure_remainder"), "0");
    assert_string_equal(ask("SELECT group_concat(receipt_id) FROM erasure_receipt"), "r2");
}

static void test_receipt_unfinished_finds_the_first_that_is_open(void **state)
{
    struct arena arena = {0};
    struct receipt receipt = receipt_of("r1", "login", "hana"), found;
    assert_int_equal(receipt_unfinished(path, receipt.subject, &arena, &found), READER_ABSENT);
    assert_int_equal(receipt_begin(path, &receipt, person, false), 0);
    assert_int_equal(receipt_unfinished(path, receipt.subject, &arena, &found), 0);
    assert_string_equal(found.id, "r1");
    assert_true(str_equal(found.reason, STR("asked")));
    assert_int_equal(found.before.counts[0], 3);
    assert_int_equal(found.left_over, 5);
    found.left_over = 0;
    assert_int_equal(receipt_end(path, &found), 0);
    assert_int_equal(receipt_unfinished(path, receipt.subject, &arena, &found), READER_ABSENT);
    arena_free(&arena);
}

static size_t settle(struct receipt_open *open)
{
    struct arena arena = {0};
    size_t count = 0;
    assert_int_equal(receipts_settle(path, false, &arena, open, &count), 0);
    if (count)
        assert_true(str_equal(open->identifier.value, STR("hana")));
    arena_free(&arena);
    return count;
}

static void test_receipts_settle_says_what_the_tables_say(void **state)
{
    struct receipt_open *open = calloc(RECEIPTS_OPEN_MAX, sizeof *open);
    struct receipt receipt = receipt_of("r1", "login", "hana");
    assert_non_null(open);
    assert_int_equal(settle(open), 0);
    tell(EVENT(1, 5, "NULL") IDENTIFIER("login", "hana") IDENTIFIER("cookie", "other"));
    assert_int_equal(receipt_begin(path, &receipt, person, false), 0);
    assert_int_equal(settle(open), 1);
    assert_int_equal(open->receipt.left_over, 3); /* an event and two identifiers */
    assert_string_equal(ask("SELECT left_over FROM erasure_receipt"), "3");
    tell("DELETE FROM identifier WHERE namespace = 'cookie'; DELETE FROM timeline");
    tell("UPDATE identifier SET person = zeroblob(16)"); /* another's by now */
    assert_int_equal(settle(open), 0);
    assert_string_equal(ask("SELECT left_over FROM erasure_receipt"), "0");
    assert_string_equal(ask("SELECT of_others || ' ' || identifiers_gone FROM erasure_receipt"),
        "1 1"); /* the login is another's */
    assert_string_equal(ask("SELECT count(*) FROM erasure_identifier"), "0");
    free(open);
}

/* A device that was asked for by a weaker identifier, which is gone, lives on. */
static void test_receipts_settle_device_of_an_identifier_that_is_gone_lives_on(void **state)
{
    struct receipt_open *open = calloc(RECEIPTS_OPEN_MAX, sizeof *open);
    struct receipt receipt = receipt_of("r1", "order", "hana");
    assert_non_null(open);
    tell(EVENT(1, 1000, "NULL") IDENTIFIER("device", "d") "UPDATE identifier SET root = node");
    assert_int_equal(receipt_begin(path, &receipt, person, false), 0);
    assert_int_equal(settle(open), 0);
    free(open);
}

static void test_receipts_settle_device_lives_on(void **state)
{
    struct receipt_open *open = calloc(RECEIPTS_OPEN_MAX, sizeof *open);
    struct receipt cookie = receipt_of("r1", "cookie", "hana");
    struct receipt login = receipt_of("r2", "login", "hana");
    assert_non_null(open);
    tell(EVENT(1, 999, "NULL") EVENT(2, 1000, "NULL") IDENTIFIER("cookie", "hana")
            IDENTIFIER("login", "hana"));
    assert_int_equal(receipt_begin(path, &cookie, person, false), 0);
    assert_int_equal(receipt_begin(path, &login, person, false), 0);
    assert_int_equal(settle(open), 2);
    tell("DELETE FROM timeline WHERE occurred_at = 999");
    assert_int_equal(settle(open), 1); /* a login's later events are its person's too */
    assert_string_equal(open->receipt.id, "r2");
    free(open);
}

#define OTHER(row, identifiers, evidence, detail)                                                  \
    "INSERT INTO event (event_row, event_key, person, occurred_at, sequence, type, source, "       \
    "event_id, channel, identifiers, evidence, detail, placement, position, received_at) VALUES "  \
    "(" #row ", x'0" #row "', x'ff', 1, 0, 't', 's', 'e', NULL, '" identifiers "', " evidence      \
    ", '" detail "', 0, 0, 0);"

/* What is in the tables for others alone is not left over, once the request was followed. */
static void test_receipts_settle_of_others_finished_when_followed(void **state)
{
    struct receipt_open *open = calloc(RECEIPTS_OPEN_MAX, sizeof *open);
    struct receipt receipt = receipt_of("r1", "phone", "hana");
    struct arena arena = {0};
    size_t count = 7;
    assert_non_null(open);
    tell(EVENT(1, 5, "NULL") IDENTIFIER("phone", "hana") IDENTIFIER("cookie", "c")
            IDENTIFIER("order", "o"));
    tell(OTHER(2, "{\"phone\":[\"x\",\"hana\"],\"login\":\"u\"}", "NULL", "{}")
            OTHER(3, "{\"login\":\"u\"}", "-1",
                "{\"evidence\":{\"a_namespace\":\"login\",\"a_value\":\"u\","
                "\"b_namespace\":\"cookie\",\"b_value\":\"c\"}}")
                OTHER(4, "{\"phone\":\"o\"}", "NULL", "{}")); /* another namespace */
    assert_int_equal(receipt_begin(path, &receipt, person, false), 0);
    assert_int_equal(receipts_settle(path, true, &arena, open, &count), 0);
    assert_string_equal(ask("SELECT left_over FROM erasure_receipt"), "4"); /* an event stands */
    tell("DELETE FROM timeline; DELETE FROM event WHERE event_row = 1");
    assert_int_equal(settle(open), 1); /* perhaps it was not asked for */
    assert_int_equal(receipts_settle(path, true, &arena, open, &count), 0);
    assert_int_equal(count, 1);
    assert_string_equal(
        ask("SELECT left_over || ' ' || of_others || ' ' || asked FROM erasure_receipt"), "1 2 0");
    tell("DELETE FROM identifier WHERE namespace = 'order'");
    assert_int_equal(receipts_settle(path, true, &arena, open, &count), 0);
    assert_int_equal(count, 0);
    assert_string_equal(ask("SELECT left_over || ' ' || of_others FROM erasure_receipt"), "0 2");
    arena_free(&arena);
    free(open);
}

static void test_receipts_settle_no_database_has_none(void **state)
{
    struct arena arena = {0};
    struct receipt_open open;
    size_t count = 7;
    assert_int_equal(receipts_settle("/nonexistent/tabiji.db", true, &arena, &open, &count), 0);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_receipt_begin_twice_writes_once, make, remove_all),
        cmocka_unit_test_setup_teardown(
            test_receipt_unfinished_finds_the_first_that_is_open, make, remove_all),
        cmocka_unit_test_setup_teardown(
            test_receipts_settle_says_what_the_tables_say, make, remove_all),
        cmocka_unit_test_setup_teardown(
            test_receipts_settle_device_of_an_identifier_that_is_gone_lives_on, make, remove_all),
        cmocka_unit_test_setup_teardown(test_receipts_settle_device_lives_on, make, remove_all),
        cmocka_unit_test_setup_teardown(
            test_receipts_settle_of_others_finished_when_followed, make, remove_all),
        cmocka_unit_test(test_receipts_settle_no_database_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
