/* JSON to event to Avro to event to JSON: whatever is accepted comes back the same, whatever is not
 * says why. */
#include "tests/fuzz/replay.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/event_json.h"

#define CHANGES_MAX 4

static const char *const samples[] = {
    "{\"id\":\"0192f3c1-a\",\"type\":\"call_ended\",\"time\":\"2026-11-20T10:15:00.123+09:00\","
    "\"ids\":"
    "{\"phone\":\"03-1234-5678\",\"case\":\"CA123\",\"login\":[\"u-77\"]},\"call\":{\"direction\":"
    "\"inbound\",\"queue\":\"returns\",\"talk_ms\":183000,\"outcome\":\"resolved\"},\"consent\":"
    "{\"analytics\":true,\"ads\":false},\"properties\":{\"satisfaction\":5}}",
    "{\"type\":\"order_completed\",\"time\":1795137300123,\"ids\":{\"login\":\"u\\u65c5\","
    "\"cookie\":["
    "\"a\",\"b\"]},\"order\":{\"order_id\":\"A-1\",\"revenue\":\"12980.50\",\"currency\":\"USD\","
    "\"tax\":-3,\"facet\":\"placed\",\"items\":[{\"sku\":\"S\",\"quantity\":2,\"price\":\"10.00\"},"
    "{}]},"
    "\"page\":{\"url\":\"https://u@Shop.example:8443/a?b=c#d\",\"referrer\":\"//x/"
    "\"},\"properties\":"
    "{\"n\":[9007199254740993,1e-7,-0.0,9223372036854775807,null,true],\"o\":{\"b\":{},\"a\":[]}}"
    "}",
    "{\"adapter_version\":2,\"bot\":true,\"campaign\":{\"message\":\"m\"},\"channel\":\"Paid "
    "Search\","
    "\"click\":{\"kind\":\"gclid\",\"value\":\"\"},\"client\":{\"user_agent\":\"UA\"},\"device\":"
    "{\"kind\":\"tablet\"},\"event_key\":\"000102030405060708090a0b0c0d0e0f\",\"evidence\":{\"a\":"
    "{\"login\":\"a\"},\"authority\":3,\"b\":{\"cookie\":\"z\"},\"sign\":-1},\"geo\":{\"country\":"
    "\"JP\"},"
    "\"ids\":{\"login\":[\"b\",{\"authority\":4,\"value\":\"c\"}]},\"message\":{\"kind\":\"line\"},"
    "\"protocol\":\"import\",\"received_at\":1,\"sequence\":-3,\"store\":{\"store_id\":\"S\"},"
    "\"time\":-62167219200001,\"time_quality\":\"suspect\",\"type\":\"touch\"} ",
};

/* JSON of an event that reading has yielded, read again: the same Avro bytes. */
static void read_again(struct json_parser *parser, struct str text, struct str want)
{
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(buf_free) struct buf avro = {0};
    struct json root;
    struct touchpoint event;
    struct event_problem problem;
    check(json_parse(parser, text, &root) == 0);
    check(event_json_read(root, true, &arena, &event, &problem) == 0);
    check(touchpoint_encode(&event, &avro) == 0);
    check(str_equal(buf_str(&avro), want));
}

static void go_round(struct json_parser *parser, const struct touchpoint *event)
{
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(buf_free) struct buf avro = {0};
    CLEANUP(buf_free) struct buf text = {0};
    CLEANUP(buf_free) struct buf text_again = {0};
    struct touchpoint decoded;
    check(touchpoint_encode(event, &avro) == 0);
    check(touchpoint_decode(&decoded, buf_str(&avro), &arena) == 0);
    check(event_json_write(event, &text) == 0);
    check(event_json_write(&decoded, &text_again) == 0);
    check(str_equal(buf_str(&text), buf_str(&text_again)));
    read_again(parser, buf_str(&text), buf_str(&avro));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_parser *parser;
    if (!parser && json_parser_new(&parser) < 0)
        return 0;
    struct json root;
    int r = json_parse(parser, str_make(data, size), &root);
    check(r == 0 || error_class(r) == ERROR_CLASS_REJECT);
    if (r < 0)
        return 0;
    CLEANUP(arena_free) struct arena arena = {0};
    struct touchpoint event;
    struct event_problem problem = {0};
    r = event_json_read(root, size % 2, &arena, &event, &problem);
    check(r == 0 || (error_class(r) == ERROR_CLASS_REJECT && problem.error == r));
    if (r == 0)
        go_round(parser, &event);
    return 0;
}

/* A sample, with some characters changed to ones that mean something. */
size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    static const char meaningful[] = "\"\\{}[]:,0-9eE.+ntfu\xff\n ";
    struct str sample = str_of(samples[seed % (sizeof(samples) / sizeof(samples[0]))]);
    memcpy(out, sample.data, sample.size);
    uint64_t state = seed * 0x9E3779B97F4A7C15ULL;
    for (uint64_t changes = seed / 8 % CHANGES_MAX; changes; changes--) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        out[(state >> 33) % sample.size] =
            (uint8_t)meaningful[(state >> 20) % (sizeof(meaningful) - 1)];
    }
    return sample.size;
}
