/* Bodies of Segment's calls; the first byte chooses which. */
#include "ingest/collector/protocol/segment.h"
#include "tests/fuzz/exchange_check.h"
#include "tests/fuzz/replay.h"

static const char *const calls[] = {
    "batch", "track", "page", "screen", "identify", "group", "alias", "merge"};
#define CALLS (sizeof calls / sizeof *calls)

/* Each begins with a character that chooses its call: '0' + n leaves n of eight. */
static const char *const samples[] = {
    "0{\"batch\":[{\"type\":\"track\",\"messageId\":\"m1\",\"userId\":7,\"event\":\"Order "
    "Completed\",\"properties\":{"
    "\"order_id\":\"o\",\"revenue\":25.10,\"currency\":\"USD\",\"products\":[{\"sku\":\"s\","
    "\"price\":0.1,\"quantity\":2}]},"
    "\"context\":{\"consent\":{\"categoryPreferences\":{\"Analytics\":true}}}},{\"type\":\"page\","
    "\"messageId\":\"m2\","
    "\"anonymousId\":\"a\",\"properties\":{\"url\":\"https://x.jp/"
    "\"}}],\"sentAt\":\"2026-11-20T09:00:10Z\",\"context\":"
    "{\"ip\":\"1.2.3.4\",\"traits\":{\"email\":\"a@b\"}}}",
    ("1{\"messageId\":\"m\",\"anonymousId\":\"a\",\"event\":\"購入\",\"timestamp\":\"2026-11-20T09:"
     "00:00Z\",\"sentAt\":1,"
     "\"properties\":{\"a\":[1,{\"b\":null}],\"z\":1e3},\"context\":{\"library\":{\"name\":"
     "\"analytics-kotlin\"},"
     "\"device\":{\"id\":\"d\",\"model\":\"m\"},\"os\":{\"name\":\"Android\",\"version\":\"14\"}}"
     "}"),
    "4{\"messageId\":\"m\",\"userId\":\"u\",\"traits\":{\"email\":\"X@Y.jp\",\"phone\":\"０3\"}}",
    "6{\"messageId\":\"m\",\"userId\":\"u\",\"previousId\":\"p\",\"anonymousId\":\"p\"}",
    "5{\"messageId\":\"m\",\"userId\":\"u\",\"groupId\":\"g\",\"traits\":{\"size\":3}}",
    ("7{\"messageId\":\"m\",\"userId\":\"u\",\"mergeProperties\":[{\"type\":\"email\",\"value\":"
     "\"a@b.jp\"},{\"type\":\"mobile\",\"value\":\"090-1234-5678\"}]}"),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    exchange_check(segment_handle, calls[data[0] % CALLS], str_make(data + 1, size - 1));
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    return exchange_seed(samples, sizeof samples / sizeof *samples, seed, out);
}
