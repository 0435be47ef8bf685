/* Addresses of images: lines "name=value" are parameters. */
#include "ingest/collector/protocol/segment_pixel.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "tests/fuzz/replay.h"

#define PARAMETERS_MAX 64

static const char *const samples[] = {
    "a.b=1\na.c=2\na-b=3\naa=4\nwriteKey=k",
    "properties.order_id=7\nproperties.products.0=x\nuserId=u\nproperties.z.y.x=1\nproperties.z=2",
    "messageId=m\n.=1\n..=2\n.a=3\na.=4\ntype=page",
    "data=eyJ1c2VySWQiOiJ1In0=\na=1",
    "data=e_J- +/=",
};

static struct json_parser *parser;

/* Members that are no objects. */
static size_t count_texts(struct json json)
{
    struct json_iterator open[JSON_DEPTH_MAX];
    size_t depth = 0;
    size_t count = 0;
    struct str key;
    struct json value;
    json_iterate(json, &open[depth++]);
    while (depth) {
        if (!json_next(&open[depth - 1], &key, &value)) {
            depth--;
        } else if (json_kind(value) == JSON_OBJECT) {
            check(depth < JSON_DEPTH_MAX);
            json_iterate(value, &open[depth++]);
        } else {
            check(json_kind(value) == JSON_TEXT);
            count++;
        }
    }
    return count;
}

/* How many members the JSON should have: those that are said, and call and id. */
static size_t count_wanted(const struct exchange *exchange)
{
    size_t count = 2;
    for (size_t i = 0; i < exchange->query_count; i++) {
        struct str name = exchange->query[i].name;
        bool given = str_equal(name, STR("messageId")) || str_equal(name, STR("type"));
        if (!given && !str_equal(name, STR("writeKey")))
            count++;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_free) struct arena arena = {0};
    struct exchange_pair query[PARAMETERS_MAX];
    struct exchange exchange = {.query = query, .arena = &arena, .rest = STR("track")};
    struct str rest = str_make(data, size);
    if (!json_utf8_valid(rest)) /* such a query is refused before */
        return 0;
    if (!parser)
        check(json_parser_new(&parser) == 0);
    while (rest.size && exchange.query_count < PARAMETERS_MAX) {
        const char *end = memchr(rest.data, '\n', rest.size);
        struct str line = str_make(rest.data, end ? (size_t)(end - rest.data) : rest.size);
        const char *is = line.size ? memchr(line.data, '=', line.size) : NULL;
        size_t name_size = is ? (size_t)(is - line.data) : line.size;
        size_t value_at = is ? name_size + 1 : name_size;
        query[exchange.query_count++] = (struct exchange_pair){
            str_make(line.data, name_size), str_make(line.data + value_at, line.size - value_at)};
        size_t taken = end ? line.size + 1 : line.size;
        rest = str_make(rest.data + taken, rest.size - taken);
    }
    struct str text;
    struct json json;
    int r = segment_pixel_text(&exchange, STR("id"), &text);
    if (r < 0) {
        check(r == ERR_VALUE);
        return 0;
    }
    r = json_parse(parser, text, &json);
    if (exchange_query(&exchange, STR("data")).size)
        return 0; /* whatever was sent */
    /* It is JSON, but for names that stand twice, once as a text and once as an object, too deep.
     */
    check(r == 0 || r == ERR_JSON || r == ERR_DEPTH || r == ERR_KEYS);
    if (r == 0)
        check(count_texts(json) == count_wanted(&exchange));
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    static const char meaningful[] = "..==\n\nab0.\x7f";
    struct str sample = str_of(samples[seed % (sizeof samples / sizeof *samples)]);
    memcpy(out, sample.data, sample.size);
    uint64_t state = seed * 0x9E3779B97F4A7C15ULL;
    for (uint64_t changes = seed / 8 % 6; changes; changes--) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        out[(state >> 33) % sample.size] =
            (uint8_t)meaningful[(state >> 20) % (sizeof meaningful - 1)];
    }
    return sample.size;
}
