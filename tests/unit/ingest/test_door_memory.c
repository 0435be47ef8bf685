/* Every allocation on the way of a request and of a configuration fails once: a typed error,
 * nothing lost or half done, and the next attempt as if nothing had been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/collector/inflate.h"
#include "ingest/collector/protocol/ga4.h"
#include "ingest/collector/protocol/native.h"
#include "ingest/collector/protocol/segment.h"
#include "ingest/collector/protocol/snowplow.h"
#include "ingest/log/log.h"
#include "schemas/error.h"
#include "tests/unit/ingest/exchange_fixture.h"
#include "tests/unit/schemas/failing_alloc.h"

#define NTH_MAX 400

static const struct str native_body =
    STR_INIT("[{\"id\":\"1\",\"type\":\"order_completed\",\"ids\":{\"email\":\"Ａ@b.jp\",\"phone\":"
             "\"03-1234-5678\",\"cookie\":"
             "\"ｃ\"},\"order\":{\"order_id\":\"o\",\"revenue\":\"1\",\"currency\":\"JPY\","
             "\"items\":[{\"sku\":\"s\"}]},\"page\":"
             "{\"url\":\"https://X.jp/"
             "a?b\"},\"properties\":{\"b\":1,\"a\":[2]}},{\"id\":\"2\"},{\"id\":\"3\",\"type\":"
             "\"x\",\"ids\":"
             "{\"login\":\"u\",\"phone\":\"0120-444-444\"}}]");
static const struct str segment_body =
    STR_INIT("{\"batch\":[{\"type\":\"track\",\"messageId\":\"1\",\"userId\":7,\"event\":\"購入 "
             "完了\",\"properties\":{\"order_id\":1,"
             "\"revenue\":2.5,\"currency\":\"usd\",\"products\":[{\"sku\":\"s\",\"name\":\"n\"}]},"
             "\"context\":{\"os\":{\"name\":\"a\","
             "\"version\":\"b\"},\"device\":{\"id\":\"d\",\"model\":\"m\"},\"traits\":{\"email\":"
             "\"x@y\"},\"timezone\":\"z\"}},"
             "{\"type\":\"page\",\"messageId\":\"2\",\"userId\":\"u\",\"properties\":{\"url\":"
             "\"https://X.jp/\"}},5]}");

static const struct str snowplow_body = STR_INIT(
    "{\"schema\":\"iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4\",\"data\":[{"
    "\"eid\":\"1\",\"tv\":\"js-4\",\"p\":\"web\",\"duid\":\"d\",\"e\":\"ue\",\"vid\":3,"
    "\"url\":\"https://X.jp/\",\"new\":1.5,\"ue_pr\":\"{\\\"schema\\\":\\\""
    "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0\\\",\\\"data\\\":{"
    "\\\"schema\\\":\\\"iglu:com.acme/Wish List/jsonschema/1-0-0\\\",\\\"data\\\":{\\\"a\\\":1}}}"
    "\",\"cx\":\"eyJzY2hlbWEiOiJpZ2x1OmNvbS5zbm93cGxvd2FuYWx5dGljcy5zbm93cGxvdy9jb250ZXh0cy9qc29u"
    "c2NoZW1hLzEtMC0xIiwiZGF0YSI6W3sic2NoZW1hIjoiaWdsdTpjb20uc25vd3Bsb3dhbmFseXRpY3Muc25vd3Bsb3cuZW"
    "Nv"
    "bW1lcmNlL3VzZXIvanNvbnNjaGVtYS8xLTAtMCIsImRhdGEiOnsiaWQiOjcsImVtYWlsIjoiYUBiLmpwIn19XX0\"},5,"
    "{\"eid\":\"2\",\"tv\":\"js-4\",\"p\":\"web\",\"e\":\"tr\",\"tr_id\":\"o\",\"tr_tt\":0.1,"
    "\"tr_cu\":\"usd\"}]}");

static const struct str ga4_body = STR_INIT(
    "{\"client_id\":\"c.1\",\"user_id\":7,\"timestamp_micros\":\"1795139940000000\",\"user_data\":{"
    "\"sha256_email_address\":["
    "\"0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef\"],"
    "\"sha256_phone_number\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"},"
    "\"events\":[{\"name\":\"purchase\",\"params\":{\"transaction_id\":\"T\",\"currency\":\"usd\","
    "\"value\":1.5,\"items\":[{\"item_id\":\"s\"}],\"page_location\":\"https://X.jp/\",\"x\":1}},5,"
    "{\"name\":\"Any_thing\"}]}");

static char *run_once(
    struct exchange_fixture *fixture, exchange_fn handle, const char *call, struct str body)
{
    exchange_run(fixture, handle, call, body);
    CLEANUP(buf_free) struct buf all = {0};
    assert_int_equal(buf_appendf(&all, "%s\n", exchange_reply_text(fixture)), 0);
    assert_int_equal(buf_append_str(&all, str_of(exchange_events_text(fixture))), 0);
    assert_int_equal(buf_append_str(&all, str_of(exchange_rejected_text(fixture))), 0);
    return strndup(all.data, all.size);
}

/* Fails the 1st, 2nd, ... allocation of a handler until one run gets through. */
static void sweep(exchange_fn handle, const char *call, struct str body)
{
    struct exchange_fixture fixture;
    assert_int_equal(exchange_setup(&fixture, false), 0);
    char *want = run_once(&fixture, handle, call, body);
    size_t nth = 1;
    for (;; nth++) {
        struct exchange *exchange = &fixture.exchange;
        assert_true(nth < NTH_MAX);
        arena_free(&fixture.arena);
        buf_free(&exchange->reply);
        exchange->intake = (struct intake){0};
        failing_alloc_at(nth);
        int r = handle(exchange);
        bool happened = failing_alloc_happened();
        failing_alloc_at(0);
        if (!happened)
            break;
        assert_int_equal(r, ERR_NO_MEMORY);
    }
    assert_true(nth > 3);
    arena_free(&fixture.arena);
    char *got = run_once(&fixture, handle, call, body);
    assert_string_equal(got, want);
    free(got);
    free(want);
    exchange_teardown(&fixture);
}

static void test_native_every_allocation_failing_is_an_error(void **state)
{
    sweep(native_handle, "events", native_body);
}

static void test_segment_every_allocation_failing_is_an_error(void **state)
{
    sweep(segment_handle, "batch", segment_body);
}

static void test_snowplow_every_allocation_failing_is_an_error(void **state)
{
    sweep(snowplow_post_handle, "", snowplow_body);
}

static void test_ga4_every_allocation_failing_is_an_error(void **state)
{
    sweep(ga4_handle, "collect", ga4_body);
    sweep(ga4_handle, "debug", ga4_body);
}

static int configure(const char *text)
{
    CLEANUP(config_free) struct config *config = NULL;
    CLEANUP(arena_free) struct arena arena = {0};
    struct config_problem problem;
    struct door_config door;
    int r = config_new(&config);
    if (r == 0)
        r = config_load_text(config, "t", str_of(text), &problem);
    if (r == 0)
        r = config_set(config, "kafka.a.b", "1", "--set", &problem);
    if (r == 0)
        r = config_finish(config, &problem);
    if (r == 0)
        r = door_configure(config, &arena, &door, &problem);
    return r;
}

static void test_config_every_allocation_failing_is_an_error(void **state)
{
    static const char text[] =
        "[data]\ndir = x\n[identity]\nblocked = 03-1234-5678,\n  テスト\n[source a]\nrate = 1\n"
        "[kafka]\nb = 1\n  2\n";
    bool failed = false;
    for (size_t nth = 1; nth < NTH_MAX; nth++) {
        failing_alloc_at(nth);
        int r = configure(text);
        bool happened = failing_alloc_happened();
        failing_alloc_at(0);
        if (!happened) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, ERR_NO_MEMORY);
        failed = true;
    }
    assert_true(failed);
}

static void test_metrics_every_allocation_failing_is_an_error(void **state)
{
    for (size_t nth = 1; nth < NTH_MAX; nth++) {
        struct metrics *metrics = NULL;
        failing_alloc_at(nth);
        int r = metrics_new(&metrics);
        bool happened = failing_alloc_happened();
        failing_alloc_at(0);
        assert_int_equal(r, happened ? ERR_NO_MEMORY : 0);
        metrics_free(&metrics);
        if (!happened)
            return;
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_native_every_allocation_failing_is_an_error),
        cmocka_unit_test(test_segment_every_allocation_failing_is_an_error),
        cmocka_unit_test(test_snowplow_every_allocation_failing_is_an_error),
        cmocka_unit_test(test_ga4_every_allocation_failing_is_an_error),
        cmocka_unit_test(test_config_every_allocation_failing_is_an_error),
        cmocka_unit_test(test_metrics_every_allocation_failing_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
