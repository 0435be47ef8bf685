/* Bodies of webhooks; the first byte chooses the kind, and of Shopify the topic. */
#include "ingest/collector/protocol/hook.h"
#include "ingest/import/mapping.h"
#include "tests/fuzz/exchange_check.h"
#include "tests/fuzz/replay.h"

static const struct str paths[] = {STR_INIT("twilio/dev"), STR_INIT("connect/dev"),
    STR_INIT("genesys/dev"), STR_INIT("shopify/dev"), STR_INIT("shopify/dev"),
    STR_INIT("generic/dev")};
#define PATHS (sizeof paths / sizeof *paths)

static const char mapping_text[] =
    "[file]\nname = m\nformat = ndjson\n[event call_started]\ntime = at\nids.phone = /from/0\n"
    "call.call_id = call.id\ncall.talk_ms = call.ms\n[event order_completed]\nwhen = sum > 0\n"
    "id = {n}-{call.id}\ntime = at\norder.order_id = n\norder.currency = \"JPY\"\norder.revenue = "
    "sum\nproperties = more\n";

static size_t chosen;

static struct str header_of(const void *context, const char *name)
{
    (void)context;
    if (strcmp(name, "X-Shopify-Topic") == 0)
        return chosen == 3 ? STR("orders/create") : STR("refunds/create");
    return STR("");
}

static const struct mapping *mapping_of(void)
{
    static struct mapping *mapping;
    CLEANUP(buf_free) struct buf message = {0};
    if (!mapping)
        check(mapping_parse("m.ini", str_of(mapping_text), &mapping, &message) == 0);
    return mapping;
}

static int handle(struct exchange *exchange)
{
    struct source *open = (struct source *)(uintptr_t)sources_open(exchange->sources);
    open->config.mapping = mapping_of();
    exchange->rest = paths[chosen];
    exchange->body_raw = exchange->body;
    exchange->header = header_of;
    return hook_handle(exchange);
}

static const char *const samples[] = {
    "0CallSid=CA1&CallStatus=completed&Direction=inbound&From=%2B81312345678&CallDuration=183&"
    "SequenceNumber=2&Timestamp=Fri%2C%2020%20Nov%202026%2001%3A59%3A00%20%2B0000",
    "0MessageSid=SM1&SmsStatus=received&From=%2B818012345678&Body=+STOP%0A",
    "0[{\"id\":\"EZ\",\"data\":{\"timestamp\":\"2026-11-20T01:59:30Z\",\"request\":{\"parameters\":"
    "{"
    "\"CallSid\":\"C\",\"CallStatus\":\"ringing\"}}}},7]",
    "1{\"id\":\"e\",\"time\":\"2026-11-20T01:59:59Z\",\"detail\":{\"ContactId\":\"c\","
    "\"initialContactId\":\"d\",\"channel\":\"VOICE\",\"eventType\":\"DISCONNECTED\",\"queueInfo\":"
    "{\"enqueueTimestamp\":\"2026-11-20T01:50:10Z\"},\"attributes\":{\"customer_id\":\"u\"}}}",
    "2{\"topicName\":\"v2.detail.events.conversation.{id}.customer.end\",\"eventBody\":{"
    "\"eventTime\":1795139940000,\"conversationId\":\"c\",\"ani\":\"tel:+81312345678;ext=1\","
    "\"interactingDurationMs\":9223372036854775807,\"attributes\":{\"_tabiji_cookie\":\"x\"}}}",
    "3{\"id\":9007199254740993,\"email\":\"a@example.jp\",\"currency\":\"JPY\",\"total_price\":"
    "\"12980\",\"created_at\":\"2026-11-20T10:59:00+09:00\",\"customer\":{\"id\":7},"
    "\"note_attributes\":[{\"name\":\"userId\",\"value\":\"u\"}],\"line_items\":[{\"sku\":\"S\","
    "\"price\":\"1.00\",\"quantity\":2}]}",
    "4{\"id\":5,\"order_id\":6,\"transactions\":[{\"kind\":\"refund\",\"amount\":\"1.50\","
    "\"currency\":\"USD\"}],\"refund_line_items\":[{\"quantity\":1,\"restock_type\":\"return\","
    "\"line_item\":{\"sku\":\"S\",\"price\":\"1.50\"}}]}",
    "5[{\"at\":\"2026-11-20T01:59:00Z\",\"from\":[\"03-1234-5678\"],\"call\":{\"id\":\"C\",\"ms\":"
    "5},\"sum\":12,\"n\":\"A\",\"more\":{\"b\":[1]}}]",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    chosen = data[0] % PATHS;
    exchange_check(handle, "", str_make(data + 1, size - 1));
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    return exchange_seed(samples, sizeof samples / sizeof *samples, seed, out);
}
