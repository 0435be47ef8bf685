#include "ingest/import/mapping.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/import/mapper.h"
#include "schemas/error.h"

#define HEAD "[file]\nname = n\n"

static struct mapping *parse(const char *text)
{
    struct mapping *mapping = NULL;
    CLEANUP(buf_free) struct buf message = {0};
    int r = mapping_parse("m.ini", str_of(text), &mapping, &message);
    if (r < 0)
        fail_msg("%.*s", (int)message.size, message.data);
    return mapping;
}

static void test_mapping_parse_file_section(void **state)
{
    (void)state;
    struct mapping *mapping =
        parse("\xEF\xBB\xBF# c\r\n[file]\r\nname = n\r\nformat = csv\ndelimiter = tab\n"
              "encoding = Shift_JIS\ntime_zone = -03:30\ntime_format = epoch_ms\n"
              "grouping = ,\ncolumns = a, b ,c\nsource = s\n[event t]\ntime = b\n");
    assert_true(str_equal(mapping->name, STR("n")));
    assert_true(str_equal(mapping->source, STR("s")));
    assert_int_equal(mapping->format, MAPPING_CSV);
    assert_int_equal(mapping->delimiter, '\t');
    assert_int_equal(mapping->encoding, MAPPING_SHIFT_JIS);
    assert_int_equal(mapping->zone_seconds, -(3 * 3600 + 1800));
    assert_int_equal(mapping->time, MAPPING_TIME_EPOCH_MS);
    assert_int_equal(mapping->grouping, ',');
    assert_int_equal(mapping->header_count, 3);
    assert_true(str_equal(mapping->header[1], STR("b")));
    assert_int_equal(mapping->columns_count, 1);
    assert_int_equal(mapping->columns[0].line, 13);
    mapping_free(&mapping);
    assert_null(mapping);
    mapping_free(&mapping);
    mapping = parse("[file]\nname = n\ntime_zone = Asia/Tokyo\n[event t]\n");
    assert_int_equal(mapping->zone_seconds, 9 * 3600);
    assert_int_equal(mapping->delimiter, ',');
    assert_true(str_equal(mapping->source, STR("n")));
    mapping_free(&mapping);
    mapping = parse("[file]\nname = n\nformat = native\n");
    assert_int_equal(mapping->events_count, 0);
    mapping_free(&mapping);
}

/* A mapping file and what is said of it. */
static const char *const bad[][2] = {
    {"", "m.ini:1: [file] needs a name"},
    {"name = x\n", "m.ini:1: the file begins with [file], not with \"name\""},
    {"[file]\nnmae = x\n", "m.ini:2: unknown key \"nmae\", did you mean \"name\"?"},
    {"[fil]\n", "m.ini:1: unknown section \"fil\", did you mean \"file\"?"},
    {"[file x]\n", "m.ini:1: [file] has no name"},
    {"[file]\nname =\n", "m.ini:2: a name has 1 to 64 bytes, not \"\""},
    {"[file]\nformat = cvs\n", "m.ini:2: unknown value \"cvs\", did you mean \"csv\"?"},
    {"[file]\nencoding = UTF8\n", "m.ini:2: unknown value \"UTF8\", did you mean \"UTF-8\"?"},
    {"[file]\ntime_zone = Asia/Tokio\n", "m.ini:2: time_zone is UTC, Asia/Tokyo or an offset "
                                         "such as +09:00, not \"Asia/Tokio\""},
    {"[file]\ntime_zone = +24:00\n",
        "m.ini:2: time_zone is UTC, Asia/Tokyo or an offset such as +09:00, not \"+24:00\""},
    {"[file]\ngrouping = ,,\n", "m.ini:2: grouping is one character, not \",,\""},
    {"[file]\ncurrency = usd\n", "m.ini:2: a code of ISO 4217 in capitals is wanted, not \"usd\""},
    {HEAD, "m.ini:1: an [event NAME] is needed"},
    {HEAD "format = native\n[event t]\n",
        "m.ini:1: events of this format are read as they are: no [event]"},
    {HEAD "format = ndjson\nencoding = CP932\n[event t]\n",
        "m.ini:1: JSON is UTF-8: encoding is for csv only"},
    {HEAD "encoding = CP932\ndelimiter = |\n[event t]\n",
        "m.ini:1: | is half of some characters of this encoding, and no delimiter"},
    {HEAD "[event]\n", "m.ini:3: the section needs a name"},
    {HEAD "[event Order]\n",
        "m.ini:3: an event's name is a type, [a-z][a-z0-9_]{0,63}, not \"Order\""},
    {HEAD "[event t]\n[event t]\n", "m.ini:4: there is an event already named \"t\""},
    {HEAD "[event t]\noder.revenue = x\n",
        "m.ini:4: unknown field \"oder.revenue\", did you mean \"order.revenue\"?"},
    {HEAD "[event t]\nordr_id = x\n", "m.ini:4: unknown field \"ordr_id\""},
    {HEAD "[event t]\norder.items.skuu = x\n", "m.ini:4: unknown field \"order.items.skuu\""},
    {HEAD "[event t]\norder = x\n", "m.ini:4: unknown field \"order\""},
    {HEAD "[event t]\nevent_key = x\n", "m.ini:4: unknown field \"event_key\""},
    {HEAD "[event t]\nids. = x\n", "m.ini:4: unknown field \"ids.\""},
    {HEAD "[event t]\ntime = a\ntime = b\n", "m.ini:5: this event has already the field \"time\""},
    {HEAD "[event t]\nproperties = x\n",
        "m.ini:4: properties as a whole come from ndjson only, else one by one"},
    {HEAD "format = ndjson\n[event t]\nproperties = {x}{y}\n",
        "m.ini:5: properties as a whole are one path, not \"{x}{y}\""},
    {HEAD "format = ndjson\n[event t]\nproperties = \"{\"\n",
        "m.ini:5: properties as a whole are one path, not \"\"{\"\""},
    {HEAD "format = ndjson\n[event t]\nproperties = x\nproperties.a = y\n",
        "m.ini:6: this event has already the field \"properties.a\""},
    {HEAD "[event t]\ntime =\n",
        "m.ini:4: a value is wanted: a column, a \"constant\" or a {template}"},
    {HEAD "[event t]\nid = \"x\n", "m.ini:4: a constant ends with a quote, not so \"\"x\""},
    {HEAD "[event t]\nid = {a\n", "m.ini:4: a brace without its other half in \"{a\""},
    {HEAD "[event t]\nid = a}\n", "m.ini:4: a brace without its other half in \"a}\""},
    {HEAD "[event t]\nid = {}\n", "m.ini:4: a column has a name"},
    {HEAD "[event t]\nwhen = a b\n", "m.ini:4: a condition is column (= != < > <= >=) value, "
                                     "column empty or column notempty, not \"a b\""},
    {HEAD "[event t]\nwhen = a < x\n",
        "m.ini:4: a number is wanted for this comparison, not \"x\""},
    {HEAD "[event t]\nwhen = = 1\n", "m.ini:4: a column has a name"},
    {HEAD "[event t]\nchannel = a via chanels\n[map channels]\n",
        "m.ini:4: there is no map \"chanels\", did you mean \"channels\"?"},
    {HEAD "[event t]\n[map m]\na = 1\na = 2\n", "m.ini:6: the map has already a value for \"a\""},
    {HEAD "[event t]\n[map m]\n[map m]\n", "m.ini:5: there is a map already named \"m\""},
    {HEAD "[event t]\ntime = a\n  b\n",
        "m.ini:5: an indented line continues the line before it, which is not used here"},
};

static void test_mapping_parse_bad_file_names_line_and_nearest(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct mapping *mapping = NULL;
        CLEANUP(buf_free) struct buf message = {0};
        int r = mapping_parse("m.ini", str_of(bad[i][0]), &mapping, &message);
        assert_int_equal(r, ERR_CONFIG);
        assert_null(mapping);
        if (!str_equal(buf_str(&message), str_of(bad[i][1])))
            fail_msg("%.*s, want %s", (int)message.size, message.data, bad[i][1]);
    }
}

static void test_mapping_load_absent_file_says_so(void **state)
{
    (void)state;
    struct mapping *mapping = NULL;
    CLEANUP(buf_free) struct buf message = {0};
    assert_int_equal(mapping_load("/nonexistent/m.ini", &mapping, &message), ERR_NOT_FOUND);
    assert_true(str_starts_with(buf_str(&message), STR("/nonexistent/m.ini: ")));
}

/* Applies event 0 to values given in the order of the mapping's columns; the event as native JSON,
 * or "none", or "error at where: hint". */
static void assert_applied(const char *text, const char *const *values, const char *want)
{
    struct mapping *mapping = parse(text);
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(buf_free) struct buf out = {0};
    struct str columns[MAPPING_COLUMNS_MAX];
    for (size_t i = 0; i < mapping->columns_count; i++)
        columns[i] = str_of(values[i]);
    struct touchpoint event;
    struct event_problem problem = {0};
    int r = mapper_apply(mapping, 0, columns, &arena, &event, &problem);
    if (r == MAPPER_NONE)
        r = buf_append_str(&out, STR("none"));
    else if (r < 0)
        r = buf_appendf(&out, "%s at %.*s: %.*s", error_name(r), (int)problem.pointer.size,
            problem.pointer.data, (int)problem.hint.size, problem.hint.data);
    else
        r = event_json_write(&event, &out);
    assert_int_equal(r, 0);
    if (!str_equal(buf_str(&out), str_of(want)))
        fail_msg("%.*s, want %s", (int)out.size, out.data, want);
    mapping_free(&mapping);
}
#define VALUES(...) ((const char *const[]){__VA_ARGS__})
#define TAIL "\"protocol\":\"import\",\"source\":\"n\",\"type\":\"t\"}"

static void test_mapper_apply_every_target(void **state)
{
    (void)state;
    assert_applied(HEAD
        "time_zone = +09:00\n[event t]\ntime = at\nids.login = user\nids.cookie = c\n"
        "ids.login = user2\nchannel = \"Paid Search\"\nsequence = seq\n"
        "order.revenue = total\norder.currency = cur\norder.facet = \"placed\"\n"
        "order.items.sku = sku\norder.items.price = total\norder.items.quantity = seq\n"
        "page.url = url\nconsent.analytics = yes\nbot = no\n"
        "properties.z = sku\nproperties.a = {user}-{sku}{{}}\nproperties.none = empty\n"
        "store.store_id = empty\nid = {sku}.{user}\n",
        VALUES("2026-11-20 10:15:00", "u1", "k", "u2", "-3", "12.50", "USD", "S\"1",
            "https://A.example/b?c", "yes", "no", ""),
        "{\"channel\":\"Paid Search\",\"consent\":{\"analytics\":true},\"id\":\"S\\\"1.u1\","
        "\"ids\":{\"cookie\":\"k\",\"login\":[\"u1\",\"u2\"]},"
        "\"order\":{\"currency\":\"USD\",\"facet\":\"placed\",\"items\":[{\"price\":\"12.50\","
        "\"quantity\":-3,"
        "\"sku\":\"S\\\"1\"}],\"revenue\":\"12.50\"},"
        "\"page\":{\"host\":\"a.example\",\"path\":\"/b\",\"query\":\"c\"},"
        "\"properties\":{\"a\":\"u1-S\\\"1{}\",\"z\":\"S\\\"1\"},\"protocol\":\"import\","
        "\"sequence\":-3,"
        "\"source\":\"n\",\"time\":\"2026-11-20T01:15:00Z\",\"type\":\"t\"}");
}

static void test_mapper_apply_type_map_and_grouping(void **state)
{
    (void)state;
    static const char mapping[] = HEAD "grouping = ,\n[event t]\ntype = kind via kinds\n"
                                       "order.revenue = total\norder.currency = \"JPY\"\n"
                                       "[map kinds]\nA = order_completed\n* = page_viewed\n";
    assert_applied(mapping, VALUES("A", "1,234,567"),
        "{\"order\":{\"currency\":\"JPY\",\"revenue\":\"1234567\"},\"protocol\":\"import\","
        "\"source\":\"n\",\"type\":\"order_completed\"}");
    assert_applied(mapping, VALUES("zzz", ""),
        "{\"order\":{\"currency\":\"JPY\"},\"protocol\":\"import\",\"source\":\"n\","
        "\"type\":\"page_viewed\"}");
    assert_applied(HEAD "[event t]\nchannel = c via m\n[map m]\na = b\n", VALUES("x"),
        "bad_value at c via m: not in the map");
    assert_applied(HEAD "[event t]\nchannel = c via m\n[map m]\na = b\n", VALUES(""), "{" TAIL);
}

static void test_mapper_apply_conditions(void **state)
{
    (void)state;
    static const struct {
        const char *when;
        const char *value;
        bool holds;
    } rows[] = {
        {"a = 1", "1", true},
        {"a = 1", "1.0", false},
        {"a = \"\"", "", true},
        {"a = x y", "x y", true},
        {"a != 1", "2", true},
        {"a != 1", "1", false},
        {"a < 2", "1.5", true},
        {"a < 2", "2", false},
        {"a <= 2", "2", true},
        {"a >= 2", "1", false},
        {"a > -1", "0", true},
        {"a > 0", "", false},
        {"a empty", "", true},
        {"a empty", "x", false},
        {"a notempty", "x", true},
        {"a notempty", "", false},
        {"{a=b} = 1", "1", true},
        {"a b = 1", "1", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), HEAD "[event t]\nwhen = %s\n", rows[i].when);
        assert_applied(text, VALUES(rows[i].value), rows[i].holds ? "{" TAIL : "none");
    }
    assert_applied(HEAD "[event t]\nwhen = a > 1\nwhen = b = x\n", VALUES("2", "y"), "none");
    assert_applied(
        HEAD "[event t]\nwhen = a > 1\n", VALUES("two"), "bad_type at a: a number is wanted here");
}

static void test_mapper_apply_bad_value_names_its_column(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"time = at", "yesterday", "bad_time at at: "},
        {"time = at", "2026-02-30 00:00:00", "bad_time at at: "},
        {"sequence = n", "1.5", "bad_type at n: an integer is wanted here"},
        {"sequence = n", "99999999999999999999", "num_range at n: "},
        {"device.kind = {x}", "mobil", "bad_value at {x}: did you mean \"mobile\"?"},
        {"bot = b", "maybe", "bad_value at b: true or false"},
        {"order.revenue = r", "5", "missing_field at order.currency: money needs its currency"},
        {"order.currency = c", "usd",
            "bad_currency at c: a code of ISO 4217 in capitals, such as JPY"},
        {"order.currency = \"JPY\"\norder.revenue = r", "1.5", "money_precision at r: "},
        {"order.currency = \"JPY\"\norder.revenue = r", "1,000", "bad_money at r: "},
        {"order.revenue = r\norder.currency = \"USD\"", "1e3", "bad_money at r: "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[256];
        (void)snprintf(text, sizeof(text), HEAD "[event t]\n%s\n", rows[i][0]);
        assert_applied(text, VALUES(rows[i][1]), rows[i][2]);
    }
}

static void test_mapper_apply_properties_as_a_whole(void **state)
{
    (void)state;
    static const char mapping[] = HEAD "format = ndjson\n[event t]\nproperties = p\n";
    assert_applied(mapping, VALUES("{\"a\":{\"b\":1}}"),
        "{\"properties\":{\"a\":{\"b\":1}},\"protocol\":\"import\",\"source\":\"n\",\"type\":"
        "\"t\"}");
    assert_applied(mapping, VALUES("{}"), "{" TAIL);
    assert_applied(mapping, VALUES(""), "{" TAIL);
}

static void test_mapper_apply_epochs(void **state)
{
    (void)state;
    assert_applied(HEAD "time_format = epoch_s\n[event t]\ntime = at\n", VALUES("1795137300"),
        "{\"protocol\":\"import\",\"source\":\"n\",\"time\":\"2026-11-20T01:15:00Z\",\"type\":"
        "\"t\"}");
    assert_applied(HEAD "time_format = epoch_ms\n[event t]\ntime = at\n", VALUES("1795137300001"),
        "{\"protocol\":\"import\",\"source\":\"n\",\"time\":\"2026-11-20T01:15:00.001Z\",\"type\":"
        "\"t\"}");
    assert_applied(HEAD "time_format = epoch_s\n[event t]\ntime = at\n",
        VALUES("9223372036854775807"), "bad_time at at: ");
}

static void test_mapper_apply_events_of_a_row_stand_in_their_order(void **state)
{
    (void)state;
    struct mapping *mapping = parse(HEAD "[event a]\n[event b]\n");
    CLEANUP(arena_free) struct arena arena = {0};
    struct touchpoint event;
    struct event_problem problem;
    assert_int_equal(mapper_apply(mapping, 1, NULL, &arena, &event, &problem), 0);
    assert_int_equal(event.sequence, 1);
    assert_true(str_equal(event.type, STR("b")));
    mapping_free(&mapping);
}

static void test_mapper_column_of_a_pointer(void **state)
{
    (void)state;
    struct mapping *mapping =
        parse(HEAD "[event t]\nids.login = {a}\norder.currency = b\ntime = c\n");
    assert_true(str_equal(mapper_column(mapping, 0, STR("/ids/login")), STR("{a}")));
    assert_true(str_equal(mapper_column(mapping, 0, STR("/order/currency")), STR("b")));
    assert_true(str_equal(mapper_column(mapping, 0, STR("/time")), STR("c")));
    assert_true(str_equal(mapper_column(mapping, 0, STR("/ids")), STR("/ids")));
    assert_int_equal(mapper_column(mapping, 0, STR("")).size, 0);
    mapping_free(&mapping);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapping_parse_file_section),
        cmocka_unit_test(test_mapping_parse_bad_file_names_line_and_nearest),
        cmocka_unit_test(test_mapping_load_absent_file_says_so),
        cmocka_unit_test(test_mapper_apply_every_target),
        cmocka_unit_test(test_mapper_apply_type_map_and_grouping),
        cmocka_unit_test(test_mapper_apply_conditions),
        cmocka_unit_test(test_mapper_apply_bad_value_names_its_column),
        cmocka_unit_test(test_mapper_apply_properties_as_a_whole),
        cmocka_unit_test(test_mapper_apply_epochs),
        cmocka_unit_test(test_mapper_apply_events_of_a_row_stand_in_their_order),
        cmocka_unit_test(test_mapper_column_of_a_pointer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
