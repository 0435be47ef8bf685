/* Bodies of POST /v1/events. */
#include "ingest/collector/protocol/native.h"
#include "tests/fuzz/exchange_check.h"
#include "tests/fuzz/replay.h"

static const char *const samples[] = {
    "{\"id\":\"e1\",\"type\":\"call_ended\",\"time\":\"2026-11-20T10:15:00.123+09:00\",\"ids\":{"
    "\"phone\":"
    "\"03-1234-5678\",\"case\":\"CA123\",\"login\":[\"u-77\"]},\"call\":{\"direction\":\"inbound\","
    "\"talk_ms\":1},"
    "\"consent\":{\"analytics\":true,\"ads\":false},\"properties\":{\"satisfaction\":5}}",
    "[{\"id\":\"e1\",\"type\":\"page_viewed\",\"ids\":{\"cookie\":[\"a\",\"b\"]},\"page\":{\"url\":"
    "\"https://x.jp/a?b#c\"}},"
    "{\"id\":\"e1\",\"type\":\"page_viewed\",\"ids\":{\"cookie\":[\"b\",\"a\"]}},7,{\"id\":\"e2\"},"
    "{\"id\":\"e3\",\"type\":\"x\",\"ids\":{\"email\":\"Ａ@b.jp\"},\"time\":1795139999000}]",
    "{\"id\":\"1\",\"type\":\"a\",\"ids\":{\"login\":\"u\"}}\n\n{\"id\":\"2\",\"type\":\"b\","
    "\"ids\":{\"phone\":\"非通知\"}}\r\n"
    "{\"id\":\"3\",\"type\":\"order_completed\",\"ids\":{\"login\":\"u\"},\"order\":{\"order_id\":"
    "\"o\",\"revenue\":\"12980\","
    "\"currency\":\"JPY\",\"items\":[{\"sku\":\"s\",\"price\":1}]}}\n",
    "[{\"id\":\"1\",\"type\":\"identity_linked\",\"ids\":{\"login\":\"a\"},\"evidence\":{\"a\":{"
    "\"email\":\"x@y\"},\"b\":"
    "{\"login\":\"a\"}}},{\"id\":\"2\",\"type\":\"a\",\"ids\":{\"cookie\":\"c\"},\"consent\":{"
    "\"analytics\":false}}]",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    exchange_check(native_handle, "events", str_make(data, size));
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    return exchange_seed(samples, sizeof samples / sizeof *samples, seed, out);
}
