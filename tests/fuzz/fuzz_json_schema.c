/* A schema, a line end, a value: the schema is refused with a sentence, or the value is judged the
 * same twice, and where it does not fit, a pointer and a hint say so. */
#include "ingest/plan/json_schema.h"
#include "schemas/error.h"
#include "tests/fuzz/exchange_check.h"
#include "tests/fuzz/replay.h"

static const char *const samples[] = {
    "{\"type\":[\"object\",\"null\"],\"required\":[\"a\"],\"properties\":{\"a\":{\"enum\":[1,\"b\","
    "{\"c\":[2.5]}]},\"d\":{\"pattern\":\"^(x+)+$\",\"minLength\":2}},\"additionalProperties\":"
    "false}\n{\"a\":{\"c\":[2.5]},\"d\":\"xxxx!\",\"aa\":1}",
    "{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"anyOf\":[{\"type\":\"array\",\"items\":{\"$ref\":"
    "\"#/$defs/n\"},\"uniqueItems\":true},{\"type\":\"integer\",\"multipleOf\":2}]}}}\n"
    "[2,[4,[6,7]],[4,[6,7]]]",
    "{\"oneOf\":[{\"format\":\"date-time\"},{\"format\":\"email\"}],\"not\":{\"const\":null},"
    "\"if\":{\"maxLength\":5},\"then\":false,\"else\":{\"propertyNames\":{\"maxLength\":1}}}\n"
    "\"2026-11-20T10:15:00Z\"",
    "{\"patternProperties\":{\"^a\":{\"minimum\":1,\"exclusiveMaximum\":9.5}},\"contains\":{"
    "\"const\":1},\"minContains\":2,\"dependentRequired\":{\"a\":[\"b\"]},\"dependentSchemas\":{"
    "\"b\":true},\"minProperties\":1,\"prefixItems\":[true]}\n{\"a\":5,\"b\":[1,1]}",
};

static struct json_parser *parser;
static struct json_judge *judge;

static int judge_once(const struct json_schema *schema, struct str text, struct arena *arena,
    struct json_misfit *misfit)
{
    struct json value;
    int r = json_parse(parser, text, &value);
    return r < 0 ? r : json_schema_judge(schema, judge, value, arena, misfit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(json_schema_free) struct json_schema *schema = NULL;
    struct json_misfit first = {.hint = STR("")}, second = {.hint = STR("")};
    struct str why = STR("");
    const char *end = size ? memchr(data, '\n', size) : NULL;
    struct str text = str_make(data, end ? (size_t)(end - (const char *)data) : size);
    struct str value = end ? str_make(end + 1, size - text.size - 1) : STR("");
    if (!parser)
        check(json_parser_new(&parser) == 0 && json_judge_new(&judge) == 0);
    int r = json_schema_new(text, &arena, &why, &schema);
    if (r < 0) {
        check(r == ERR_CONFIG && str_starts_with(why, STR("#")));
        return 0;
    }
    r = judge_once(schema, value, &arena, &first);
    check(judge_once(schema, value, &arena, &second) == r);
    check(r != JSON_MISFIT || (first.hint.size && json_utf8_valid(first.hint)));
    check(r != JSON_MISFIT || first.pointer.size == 0 || first.pointer.data[0] == '/');
    if (r >= 0)
        check(str_equal(first.hint, second.hint) && str_equal(first.pointer, second.pointer));
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    return exchange_seed(samples, sizeof samples / sizeof *samples, seed, out);
}
