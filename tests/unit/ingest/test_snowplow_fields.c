/* The fields of Snowplow's trackers, as they are kept of what is refused; routes. */
#include "ingest/collector/protocol/snowplow_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/collector/protocol/snowplow.h"
#include "ingest/collector/route.h"
#include "ingest/normalise/mention.h"
#include "schemas/error.h"
#include "tests/unit/ingest/exchange_fixture.h"

/* Reads an event and writes it as it is kept. */
static struct str keep(struct exchange_fixture *fixture, const char *event)
{
    struct snowplow_fields fields;
    struct event_problem problem;
    struct json json;
    struct json_parser *parser = NULL;
    struct str text;
    assert_int_equal(json_parse(fixture->parser, str_of(event), &json), 0);
    assert_int_equal(snowplow_fields_read(json, &fixture->arena, &fields, &problem), 0);
    assert_int_equal(json_parser_new(&parser), 0);
    assert_int_equal(snowplow_fields_text(&fields, parser, &fixture->arena, &text), 0);
    json_parser_free(&parser);
    return text;
}

static void assert_kept(struct exchange_fixture *fixture, const char *event, const char *wanted)
{
    struct str text = keep(fixture, event);
    if (!str_equal(text, str_of(wanted)))
        fail_msg("%.*s is not %s", (int)text.size, text.data, wanted);
    text = keep(fixture, wanted);
    if (!str_equal(text, str_of(wanted)))
        fail_msg("again: %.*s is not %s", (int)text.size, text.data, wanted);
}

static void test_snowplow_fields_keep_inner_json_open(void **state)
{
    struct exchange_fixture *fixture = *state;
    assert_kept(fixture,
        "{\"e\":\"ue\",\"vid\":3,\"new\":\"x\",\"ue_pr\":\"{\\\"b\\\":1,\\\"a\\\":2}\"}",
        "{\"e\":\"ue\",\"vid\":\"3\",\"ue_pr\":{\"a\":2,\"b\":1},\"new\":\"x\"}");
    assert_kept(fixture, "{\"ue_px\":\"eyJhIjoxfQ\",\"cx\":\"eyJhIjoyfQ==\"}",
        "{\"ue_pr\":{\"a\":1},\"co\":{\"a\":2}}");
    /* What is none, or of which there are two, stays. */
    assert_kept(fixture, "{\"ue_pr\":\"{\",\"cx\":\"*\"}", "{\"ue_pr\":\"{\",\"cx\":\"*\"}");
    assert_kept(fixture, "{\"co\":\"7\"}", "{\"co\":\"7\"}");
    assert_kept(
        fixture, "{\"co\":\"{}\",\"cx\":\"eyJhIjoyfQ==\"}", "{\"co\":{},\"cx\":\"eyJhIjoyfQ==\"}");
}

/* Erasing looks for identifiers in what was refused: base64 may not hide them. */
static void test_snowplow_refused_event_shows_its_identifiers(void **state)
{
    struct exchange_fixture *fixture = *state;
    struct touchpoint event;
    struct identifier mail = {.namespace = STR("email"), .value = STR("a@b.jp")};
    struct identifier_report report;
    bool found = false;
    touchpoint_init(&event);
    event.identifiers = &mail;
    event.identifiers_count = 1;
    assert_int_equal(
        identifier_normalise(&fixture->door.identifiers, &fixture->arena, &event, &report), 0);
    struct str kept =
        keep(fixture, "{\"cx\":\"eyJlbWFpbCI6IkFAQi5qcCJ9\"}"); /* {"email":"A@B.jp"} */
    assert_int_equal(mention_find(&fixture->door.identifiers, &event.identifiers[0], kept,
                         &fixture->arena, &found),
        0);
    assert_true(found);
}

/* ---- routes ---- */

static void assert_route(const char *path, unsigned methods, exchange_fn handle, const char *rest)
{
    struct str left;
    const struct route *route = route_find(str_of(path), &left);
    assert_non_null(route);
    assert_int_equal(route->methods, methods);
    assert_ptr_equal(route->handle, handle);
    assert_int_equal(route->form, REPLY_TRACKER);
    assert_int_equal(route->protocol, METRIC_PROTOCOL_SNOWPLOW);
    assert_true(str_equal(left, str_of(rest)));
}

static void test_snowplow_routes(void **state)
{
    (void)state;
    assert_route("/i", ROUTE_GET, snowplow_pixel_handle, "");
    assert_route("/ice.png", ROUTE_GET, snowplow_pixel_handle, "");
    assert_route("/com.snowplowanalytics.snowplow/tp2", ROUTE_POST, snowplow_post_handle, "");
    assert_route("/com.snowplowanalytics.snowplow/tp2/K", ROUTE_POST, snowplow_post_handle, "K");
    assert_route("/com.snowplowanalytics.snowplow/tp1", ROUTE_GET | ROUTE_POST,
        snowplow_unknown_handle, "tp1");
    struct str rest;
    assert_null(route_find(STR("/r/tp2"), &rest));
    assert_int_equal(route_find(STR("/health"), &rest)->page, PAGE_HEALTH);
    assert_int_equal(route_find(STR("/sink-health"), &rest)->page, PAGE_READY);
    assert_int_equal(route_find(STR("/robots.txt"), &rest)->page, PAGE_ROBOTS);
}

/* Trackers repeat what they are told by 404. */
static void test_snowplow_unknown_path_is_422(void **state)
{
    struct exchange_fixture *fixture = *state;
    exchange_run(fixture, snowplow_unknown_handle, "", STR(""));
    assert_int_equal(fixture->exchange.status, 422);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_snowplow_fields_keep_inner_json_open, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_snowplow_refused_event_shows_its_identifiers, setup, teardown),
        cmocka_unit_test(test_snowplow_routes),
        cmocka_unit_test_setup_teardown(test_snowplow_unknown_path_is_422, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
