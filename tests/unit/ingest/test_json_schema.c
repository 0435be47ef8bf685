/* JSON Schema: what fits, where it does not, what a file may not say. */
#include "ingest/plan/json_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/error.h"

#define CASES(list) sizeof(list) / sizeof *(list)

struct fixture {
    struct arena arena;
    struct json_parser *parser;
    struct json_judge *judge;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.parser = NULL};
    *state = &fixture;
    int r = json_parser_new(&fixture.parser);
    return r < 0 ? r : json_judge_new(&fixture.judge);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    json_judge_free(&fixture->judge);
    json_judge_free(&fixture->judge); /* accepts NULL */
    json_parser_free(&fixture->parser);
    arena_free(&fixture->arena);
    return 0;
}

static struct json_schema *compile(struct fixture *fixture, const char *text)
{
    struct json_schema *schema = NULL;
    struct str why = STR("");
    if (json_schema_new(str_of(text), &fixture->arena, &why, &schema) < 0)
        fail_msg("%s: %.*s", text, (int)why.size, why.data);
    return schema;
}

static int judge(struct fixture *fixture, const struct json_schema *schema, const char *value,
    struct json_misfit *misfit)
{
    struct json parsed;
    if (json_parse(fixture->parser, str_of(value), &parsed) < 0)
        fail_msg("not JSON: %s", value);
    return json_schema_judge(schema, fixture->judge, parsed, &fixture->arena, misfit);
}

/* values: those that fit, then, behind NULL, those that do not, then NULL. */
struct rule {
    const char *schema;
    const char *values[14];
};

static void assert_rules(struct fixture *fixture, const struct rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct json_schema *schema = compile(fixture, rules[i].schema);
        struct json_misfit misfit;
        int wanted = 0;
        for (size_t k = 0; rules[i].values[k] || wanted == 0; k++) {
            const char *value = rules[i].values[k];
            if (!value) {
                wanted = JSON_MISFIT;
                continue;
            }
            if (judge(fixture, schema, value, &misfit) != wanted)
                fail_msg("%s: %s should %s: %.*s", rules[i].schema, value,
                    wanted ? "not fit" : "fit", (int)misfit.hint.size, misfit.hint.data);
        }
        json_schema_free(&schema);
    }
}

static void test_json_schema_judge_types_and_values(void **state)
{
    static const struct rule rules[] = {
        {"true", {"1", "null", NULL, NULL}},
        {"false", {NULL, "1", "null", NULL}},
        {"{}", {"[]", NULL, NULL}},
        {"{\"type\":\"integer\"}", {"1", "1.0", "-7", NULL, "1.5", "\"1\"", "true", "null", NULL}},
        {"{\"type\":[\"string\",\"null\"]}", {"\"\"", "null", NULL, "0", "false", "{}", NULL}},
        {"{\"type\":\"number\"}", {"1", "1.5", NULL, "\"1\"", NULL}},
        {"{\"type\":\"boolean\"}", {"true", "false", NULL, "0", "\"true\"", NULL}},
        {"{\"enum\":[1,\"a\",null,[1,{\"b\":2.0}]]}",
            {"1", "1.0", "\"a\"", "null", "[1,{\"b\":2}]", NULL, "2", "\"b\"", "false",
                "[1,{\"b\":3}]", "[1]", "[1,{\"b\":2},3]", NULL}},
        {"{\"const\":{\"a\":1,\"b\":false}}",
            {"{\"b\":false,\"a\":1}", NULL, "{\"a\":1}", "{\"a\":1,\"b\":0}",
                "{\"a\":1,\"b\":false,\"c\":1}", NULL}},
        {"{\"const\":9007199254740993}", {"9007199254740993", NULL, "9007199254740992", NULL}},
    };
    assert_rules(*state, rules, CASES(rules));
}

static void test_json_schema_judge_numbers(void **state)
{
    static const struct rule rules[] = {
        {"{\"minimum\":1.1,\"maximum\":3}", {"1.1", "3", "3.0", "\"0\"", NULL, "1", "3.5", NULL}},
        {"{\"exclusiveMinimum\":0,\"exclusiveMaximum\":10}",
            {"1", "9.9", NULL, "0", "0.0", "10", NULL}},
        {"{\"minimum\":9007199254740993}", {"9007199254740993", NULL, "9007199254740992", NULL}},
        {"{\"multipleOf\":2}", {"0", "-4", "4.0", "\"x\"", NULL, "3", "2.5", NULL}},
        {"{\"multipleOf\":0.01}", {"4.02", "19.99", "1", NULL, "4.021", NULL}},
        {"{\"multipleOf\":0.0001}", {"0.0075", NULL, "0.00751", NULL}},
    };
    assert_rules(*state, rules, CASES(rules));
}

static void test_json_schema_judge_text(void **state)
{
    static const struct rule rules[] = {
        {"{\"minLength\":2,\"maxLength\":3}",
            {"\"ab\"", "\"\xe6\x97\x85\xe8\xb7\xaf\"", "1", NULL, "\"a\"", "\"abcd\"",
                "\"\xf0\x9f\x8d\xa3\"", NULL}},
        {"{\"pattern\":\"^a+$\"}", {"\"aa\"", "7", NULL, "\"ab\"", "\"a\\n\"", "\"\"", NULL}},
        {"{\"pattern\":\"\\\\d{3}\"}",
            {"\"x123y\"", NULL, "\"12\"", "\"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x93\"", NULL}},
        {"{\"pattern\":\"^\\\\u65c5$\"}", {"\"\xe6\x97\x85\"", NULL, "\"u65c5\"", NULL}},
        {"{\"format\":\"date-time\"}",
            {"\"2026-11-20T10:15:00Z\"", "\"2026-11-20t10:15:00.123+09:00\"",
                "\"1998-12-31T23:59:60Z\"", "5", NULL, "\"2026-11-20\"", "\"2026-02-30T00:00:00Z\"",
                "\"2026-11-20T10:15:00\"", "\"2026-11-20T24:00:00Z\"", "\"2026-11-20T10:15:60Z\"",
                "\"2026-11-20T10:15:00.Z\"", NULL}},
        {"{\"format\":\"date\"}",
            {"\"2024-02-29\"", NULL, "\"2023-02-29\"", "\"2026-1-1\"", "\"2026-13-01\"", NULL}},
        {"{\"format\":\"email\"}", {"\"hana@example.jp\"", "\"a.b+c@x.y\"", "\"\\\"a b\\\"@x.y\"",
                                       NULL, "\"hana\"", "\"@x.y\"", "\"a@\"", "\".a@x.y\"",
                                       "\"a..b@x.y\"", "\"a b@x.y\"", "\"a@-x.y\"", NULL}},
        {"{\"format\":\"uuid\"}", {"\"0192f3c1-0000-7000-8000-00000000ABCD\"", NULL,
                                      "\"0192f3c1000070008000000000000000\"",
                                      "\"0192f3c1-0000-7000-8000-00000000000g\"", NULL}},
        {"{\"format\":\"ipv4\"}", {"\"192.0.2.1\"", NULL, "\"256.0.0.1\"", "\"1.2.3\"", NULL}},
        {"{\"format\":\"ipv6\"}", {"\"2001:db8::1\"", NULL, "\"1::2::3\"", "\"192.0.2.1\"", NULL}},
        {"{\"format\":\"uri\"}",
            {"\"https://a.jp/x?y=%20#z\"", "\"urn:a:b\"", NULL, "\"/x\"", "\"a b:c\"",
                "\"http://a b\"", "\"http://a/%zz\"", "\"http:\"", NULL}},
    };
    assert_rules(*state, rules, CASES(rules));
}

static void test_json_schema_judge_arrays(void **state)
{
    static const struct rule rules[] = {
        {"{\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":2}",
            {"[1]", "[1,2]", "{}", NULL, "[]", "[1,2,3]", "[1,\"a\"]", NULL}},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}",
            {"[]", "[\"a\"]", NULL, "[1]", "[\"a\",1]", NULL}},
        {"{\"uniqueItems\":true}", {"[1,2]", "[1,\"1\",true,[1]]", NULL, "[1,2,1.0]",
                                       "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]", NULL}},
        {"{\"contains\":{\"const\":5}}", {"[1,5]", NULL, "[]", "[1]", NULL}},
        {"{\"contains\":{\"const\":5},\"minContains\":2,\"maxContains\":3}",
            {"[5,5]", "[5,5,5,1]", NULL, "[5]", "[5,5,5,5]", NULL}},
        {"{\"contains\":{\"const\":5},\"minContains\":0}", {"[]", NULL, NULL}},
    };
    assert_rules(*state, rules, CASES(rules));
}

static void test_json_schema_judge_objects(void **state)
{
    static const struct rule rules[] = {
        {"{\"properties\":{\"a\":{\"type\":\"string\"},\"b\":false},\"required\":[\"a\"]}",
            {"{\"a\":\"x\",\"c\":1}", "[]", NULL, "{}", "{\"a\":1}", "{\"a\":\"x\",\"b\":1}",
                NULL}},
        {"{\"properties\":{\"a\":true},\"patternProperties\":{\"^x-\":{\"type\":\"integer\"}},"
         "\"additionalProperties\":false}",
            {"{\"a\":1,\"x-y\":2}", "{}", NULL, "{\"b\":1}", "{\"x-y\":\"z\"}", NULL}},
        {"{\"additionalProperties\":{\"type\":\"integer\"}}",
            {"{\"a\":1}", NULL, "{\"a\":\"b\"}", NULL}},
        {"{\"propertyNames\":{\"maxLength\":3,\"pattern\":\"^[a-z]*$\"}}",
            {"{\"abc\":1,\"\":2}", NULL, "{\"abcd\":1}", "{\"A\":1}", NULL}},
        {"{\"minProperties\":1,\"maxProperties\":2}",
            {"{\"a\":1}", NULL, "{}", "{\"a\":1,\"b\":2,\"c\":3}", NULL}},
        {"{\"dependentRequired\":{\"card\":[\"bill\"]}}",
            {"{}", "{\"bill\":1}", "{\"card\":1,\"bill\":2}", NULL, "{\"card\":1}", NULL}},
        {"{\"dependentSchemas\":{\"card\":{\"properties\":{\"bill\":{\"type\":\"string\"}}}}}",
            {"{\"bill\":1}", NULL, "{\"card\":1,\"bill\":2}", NULL}},
    };
    assert_rules(*state, rules, CASES(rules));
}

static void test_json_schema_judge_combinations_and_references(void **state)
{
    static const struct rule rules[] = {
        {"{\"allOf\":[{\"minimum\":1},{\"maximum\":2}]}", {"1", NULL, "0", "3", NULL}},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5}]}", {"\"a\"", "5", NULL, "4", NULL}},
        {"{\"oneOf\":[{\"multipleOf\":2},{\"multipleOf\":3}]}", {"2", "3", NULL, "6", "5", NULL}},
        {"{\"not\":{\"required\":[\"a\"]}}", {"{}", NULL, "{\"a\":1}", NULL}},
        {"{\"not\":{\"not\":{\"type\":\"null\"}}}", {"null", NULL, "1", NULL}},
        {"{\"if\":{\"properties\":{\"c\":{\"const\":\"JPY\"}},\"required\":[\"c\"]},\"then\":{"
         "\"required\":[\"d\"]},\"else\":{\"required\":[\"e\"]}}",
            {"{\"c\":\"JPY\",\"d\":1}", "{\"e\":1}", NULL, "{\"c\":\"JPY\",\"e\":1}", "{\"d\":1}",
                NULL}},
        {"{\"then\":false,\"else\":false}", {"1", NULL, NULL}},
        {"{\"$ref\":\"#/$defs/a\",\"minimum\":3,\"$defs\":{\"a\":{\"type\":\"integer\"}}}",
            {"3", NULL, "2", "\"x\"", NULL}},
        {"{\"$ref\":\"#/$defs/a~1b%25%20~0c\",\"$defs\":{\"a/b% ~c\":{\"type\":\"null\"}}}",
            {"null", NULL, "1", NULL}},
        {"{\"properties\":{\"next\":{\"$ref\":\"#\"},\"v\":{\"type\":\"integer\"}},\"required\":["
         "\"v\"]}",
            {"{\"v\":1,\"next\":{\"v\":2}}", NULL, "{\"v\":1,\"next\":{}}", NULL}},
        {"{\"$schema\":\"http://json-schema.org/draft-07/"
         "schema#\",\"$id\":\"urn:x\",\"definitions\":{\"a\":{\"type\":\"null\"}},\"properties\":{"
         "\"x\":{\"$ref\":\"#/definitions/a\",\"title\":\"t\"}},\"x-owner\":\"crm\"}",
            {"{\"x\":null}", NULL, "{\"x\":1}", NULL}},
    };
    assert_rules(*state, rules, CASES(rules));
}

#define PLAN                                                                                       \
    "{\"type\":\"object\",\"required\":[\"properties\"],\"properties\":{\"properties\":{"          \
    "\"type\":\"object\",\"required\":[\"plan\"],\"additionalProperties\":false,\"properties\":{"  \
    "\"plan\":{\"enum\":[\"gold\",\"silver\"]},\"price\":{\"type\":[\"integer\",\"null\"],"        \
    "\"minimum\":1},\"sku\":{\"pattern\":\"^S-\"},\"a/b~c\":{\"const\":1},\"items\":{\"items\":{"  \
    "\"required\":[\"sku\"]}}}}}}"

static void test_json_schema_judge_says_where_and_the_nearest_name(void **state)
{
    static const struct {
        const char *value, *pointer, *hint;
    } cases[] = {
        {"[]", "", "is array, not object"},
        {"{}", "/properties", "is required"},
        {"{\"propertys\":{}}", "/properties", "is required: the nearest is \"propertys\""},
        {"{\"properties\":{\"plann\":\"gold\"}}", "/properties/plan",
            "is required: the nearest is \"plann\""},
        {"{\"properties\":{\"plan\":\"gold\",\"prise\":1}}", "/properties/prise",
            "is not in the schema: did you mean \"price\"?"},
        {"{\"properties\":{\"plan\":\"gold\",\"zzzzzz\":1}}", "/properties/zzzzzz",
            "is not in the schema"},
        {"{\"properties\":{\"plan\":\"Gold\"}}", "/properties/plan",
            "is none of \"gold\", \"silver\": did you mean \"gold\"?"},
        {"{\"properties\":{\"plan\":3}}", "/properties/plan", "is none of \"gold\", \"silver\""},
        {"{\"properties\":{\"plan\":\"gold\",\"price\":1.5}}", "/properties/price",
            "is number, not null or integer"},
        {"{\"properties\":{\"plan\":\"gold\",\"price\":0}}", "/properties/price", "is below 1"},
        {"{\"properties\":{\"plan\":\"gold\",\"sku\":\"secret\"}}", "/properties/sku",
            "does not match ^S-"},
        {"{\"properties\":{\"plan\":\"gold\",\"a/b~c\":2}}", "/properties/a~1b~0c", "is not 1"},
        {"{\"properties\":{\"plan\":\"gold\",\"items\":[{\"sku\":1},{\"SKU\":2}]}}",
            "/properties/items/1/sku", "is required: the nearest is \"SKU\""},
    };
    struct fixture *fixture = *state;
    struct json_schema *schema = compile(fixture, PLAN);
    for (size_t i = 0; i < CASES(cases); i++) {
        struct json_misfit misfit;
        assert_int_equal(judge(fixture, schema, cases[i].value, &misfit), JSON_MISFIT);
        if (!str_equal(misfit.pointer, str_of(cases[i].pointer)) ||
            !str_equal(misfit.hint, str_of(cases[i].hint)))
            fail_msg("%s: %.*s: %.*s", cases[i].value, (int)misfit.pointer.size,
                misfit.pointer.data, (int)misfit.hint.size, misfit.hint.data);
    }
    json_schema_free(&schema);
}

static void test_json_schema_new_refuses_what_it_does_not_know(void **state)
{
    static const struct {
        const char *schema, *why;
    } cases[] = {
        {"", "#: nothing there"},
        {"{", "#: not JSON"},
        {"[]", "#: a schema is an object, true or false"},
        {"{\"properties\":{\"a\":{\"minLenght\":3}}}",
            "#/properties/a: unsupported keyword \"minLenght\": did you mean \"minLength\"?"},
        {"{\"unevaluatedProperties\":false}", "#: unsupported keyword \"unevaluatedProperties\""},
        {"{\"dependencies\":{}}", "#: unsupported keyword \"dependencies\""},
        {"{\"items\":[{}]}", "#/items: a schema is an object, true or false"},
        {"{\"$dynamicRef\":\"#a\"}", "#: unsupported keyword \"$dynamicRef\""},
        {"{\"type\":\"text\"}", "#/type: a type is null, boolean"},
        {"{\"type\":[]}", "#/type: names no type"},
        {"{\"type\":7}", "#/type: "},
        {"{\"enum\":[]}", "#/enum: is not an array of values"},
        {"{\"minimum\":\"1\"}", "#/minimum: is not a number"},
        {"{\"multipleOf\":0}", "#/multipleOf: is not above zero"},
        {"{\"maxLength\":-1}", "#/maxLength: is below zero"},
        {"{\"maxLength\":1.5}", "#/maxLength: is not a whole number"},
        {"{\"uniqueItems\":1}", "#/uniqueItems: is neither true nor false"},
        {"{\"pattern\":\"(\"}", "#/pattern: bad expression at 1: missing closing parenthesis"},
        {"{\"patternProperties\":{\"[\":{}}}", "#/patternProperties/[: bad expression"},
        {"{\"format\":\"hostname\"}", "#/format: unsupported format \"hostname\""},
        {"{\"required\":\"a\"}", "#/required: is not an array of names"},
        {"{\"required\":[1]}", "#/required: is not an array of names"},
        {"{\"dependentRequired\":{\"a\":\"b\"}}", "#/dependentRequired: is not an array of names"},
        {"{\"allOf\":[]}", "#/allOf: is not an array of schemas"},
        {"{\"properties\":[]}", "#/properties: is not an object of schemas"},
        {"{\"properties\":{\"a/b\":1}}", "#/properties/a~1b: a schema is an object"},
        {"{\"$ref\":\"other.json\"}", "#/$ref: a $ref stays within its file"},
        {"{\"$ref\":\"#/$defs/none\"}", "#: $ref \"#/$defs/none\" refers to no schema"},
        {"{\"$ref\":\"#\"}", "#: $ref refers to itself"},
        {"{\"properties\":{\"a\":{\"$id\":\"x\"}}}", "#/properties/a/$id: only the whole file"},
        {"{\"$schema\":\"http://json-schema.org/draft-04/schema#\"}", "#: is none of the drafts"},
        {"{\"$schema\":\"http://json-schema.org/draft-07/"
         "schema#\",\"properties\":{\"a\":{\"$ref\":\"#\",\"minimum\":1}}}",
            "#/properties/a: draft-07 passes over"},
        {"{\"type\":\"object\",\"type\":\"array\"}", "#: not JSON"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < CASES(cases); i++) {
        struct json_schema *schema = NULL;
        struct str why = STR("");
        assert_int_equal(
            json_schema_new(str_of(cases[i].schema), &fixture->arena, &why, &schema), ERR_CONFIG);
        if (!str_starts_with(why, str_of(cases[i].why)))
            fail_msg("%s: %.*s", cases[i].schema, (int)why.size, why.data);
        assert_null(schema);
    }
}

/* Nothing that is sent can take long, or take the stack; what cannot be judged does not fit. */
static void test_json_schema_judge_is_bounded(void **state)
{
    static const struct {
        const char *schema, *value, *hint;
    } cases[] = {
        {"{\"$defs\":{\"a\":{\"anyOf\":[{\"allOf\":[{\"$ref\":\"#/$defs/a\"}]},{\"$ref\":\"#/$defs/"
         "a\"}]}},\"$ref\":\"#/$defs/a\"}",
            "1", "the schema goes too deep"},
        {"{\"not\":{\"allOf\":[{\"$ref\":\"#\"}]}}", "1", "the schema goes too deep"},
        {"{\"pattern\":\"^(a+)+$\"}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"",
            "an expression of the schema takes too many steps"},
        {"{\"not\":{\"pattern\":\"^(a+)+$\"}}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"",
            "an expression of the schema takes too many steps"},
    };
    struct fixture *fixture = *state;
    struct json_misfit misfit;
    for (size_t i = 0; i < CASES(cases); i++) {
        struct json_schema *schema = compile(fixture, cases[i].schema);
        assert_int_equal(judge(fixture, schema, cases[i].value, &misfit), JSON_MISFIT);
        if (!str_starts_with(misfit.hint, str_of(cases[i].hint)))
            fail_msg("%s: %.*s", cases[i].schema, (int)misfit.hint.size, misfit.hint.data);
        json_schema_free(&schema);
    }
    CLEANUP(buf_free) struct buf array = {0};
    for (int i = 0; i < 2000; i++)
        assert_int_equal(buf_appendf(&array, "%s%d", i ? "," : "[", i), 0);
    assert_int_equal(buf_append(&array, "]", 2), 0);
    struct json_schema *schema = compile(fixture, "{\"uniqueItems\":true}");
    assert_int_equal(judge(fixture, schema, array.data, &misfit), JSON_MISFIT);
    assert_true(str_starts_with(misfit.hint, STR("the schema takes too many steps")));
    assert_int_equal(judge(fixture, schema, "[1,2]", &misfit), 0); /* the next one begins anew */
    json_schema_free(&schema);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_json_schema_judge_types_and_values),
        CASE(test_json_schema_judge_numbers),
        CASE(test_json_schema_judge_text),
        CASE(test_json_schema_judge_arrays),
        CASE(test_json_schema_judge_objects),
        CASE(test_json_schema_judge_combinations_and_references),
        CASE(test_json_schema_judge_says_where_and_the_nearest_name),
        CASE(test_json_schema_new_refuses_what_it_does_not_know),
        CASE(test_json_schema_judge_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
