/* Bodies of GA4's Measurement Protocol; the first byte chooses the call. */
#include "ingest/collector/protocol/ga4.h"
#include "tests/fuzz/exchange_check.h"
#include "tests/fuzz/replay.h"

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"

static const char *const calls[] = {"collect", "debug"};

static const char *const samples[] = {
    "0{\"client_id\":\"1.2\",\"user_id\":7,\"timestamp_micros\":\"1795139940000000\",\"user_data\":"
    "{\"sha256_email_address\":[\"" HASH "\"],\"sha256_phone_number\":\"" HASH
    "\"},\"consent\":{\"ad_user_data\":\"GRANTED\"},\"events\":[{\"name\":\"purchase\","
    "\"params\":{\"transaction_id\":\"T\",\"value\":25.10,\"currency\":\"USD\",\"tax\":\"1\","
    "\"items\":[{\"item_id\":\"s\",\"price\":0.1,\"quantity\":2}]}}]}",
    "0{\"app_instance_id\":\"i\",\"device\":{\"language\":\"ja\"},\"events\":[{\"name\":"
    "\"screen_view\",\"timestamp_micros\":1795139940000000,\"params\":{\"a\":[1,{}]}},{\"name\":"
    "\"_x\"},7]}",
    "1{\"client_id\":\"c\",\"events\":[{\"name\":\"refund\",\"params\":{\"items\":[{\"price\":"
    "9007199254740993,\"quantity\":1024}]}},{\"name\":\"page_view\",\"params\":{\"page_location\":"
    "\"https://x.jp/?a\"}}]}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    exchange_check(ga4_handle, calls[data[0] % 2], str_make(data + 1, size - 1));
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    return exchange_seed(samples, sizeof samples / sizeof *samples, seed, out);
}
