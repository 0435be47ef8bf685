/* Bodies of Snowplow's trackers. The first byte chooses what the rest is: a batch, or the JSON of a
 * self-describing event or of its entities, within one. */
#include "ingest/collector/protocol/snowplow.h"
#include "schemas/json.h"
#include "tests/fuzz/exchange_check.h"
#include "tests/fuzz/replay.h"

#define IGLU "iglu:com.snowplowanalytics.snowplow"
#define BATCH "{\"schema\":\"" IGLU "/payload_data/jsonschema/1-0-4\",\"data\":["
#define EVENT "{\"eid\":\"1\",\"tv\":\"js-4\",\"p\":\"web\",\"duid\":\"d\",\"e\":"

/* What is around the rest; its text is quoted there. */
static const struct {
    const char *before;
    const char *behind;
} wrappings[] = {
    {"", ""},
    {BATCH EVENT "\"ue\",\"ue_pr\":", "}]}"},
    {BATCH EVENT "\"ue\",\"ue_pr\":\"{\\\"schema\\\":\\\"" IGLU
                 "/unstruct_event/jsonschema/1-0-0\\\",\\\"data\\\":{\\\"schema\\\":\\\"" IGLU
                 ".ecommerce/snowplow_ecommerce_action/jsonschema/1-0-2\\\",\\\"data\\\":{"
                 "\\\"type\\\":\\\"transaction\\\"}}}\",\"co\":",
        "}]}"},
    {BATCH EVENT "\"ti\",\"ti_id\":\"o\",\"ti_sk\":\"s\",\"co\":", "}]}"},
};
#define WRAPPINGS (sizeof wrappings / sizeof *wrappings)

/* '0' + n leaves n of four. */
static const char *const samples[] = {
    "0" BATCH EVENT "\"pv\",\"url\":\"https://x.jp/?a\",\"refr\":\"/\",\"dtm\":\"1\",\"stm\":\"2\","
    "\"nuid\":7,\"uid\":\"u\"}," EVENT
    "\"tr\",\"tr_id\":\"o\",\"tr_tt\":25.10,\"tr_cu\":\"usd\",\"tr_tx\":\"0.1\"}]}",
    ("0" BATCH EVENT
     "\"se\",\"se_ca\":\"c\",\"se_ac\":\"購入\",\"se_va\":1e3,\"ttm\":\"4000000000000\"},"
     "" EVENT "\"ti\",\"ti_id\":\"o\",\"ti_sk\":\"s\",\"ti_pr\":\"1.50\",\"ti_qu\":2}]}"),
    "0" BATCH EVENT "\"ue\",\"ue_px\":\"eyJzY2hlbWEiOiJpZ2x1OmNvbS5zbm93cGxvd2FuYWx5dGljcy5zbm93cG"
    "xvdy91bnN0cnVjdF9ldmVudC9qc29uc2NoZW1hLzEtMC0wIiwiZGF0YSI6eyJzY2hlbWEiOiJpZ2x1"
    "OmEvYi9qc29uc2NoZW1hLzEtMC0wIiwiZGF0YSI6eyJ0IjoiPDw_Pz8-PiJ9fX0\"}]}",
    "1{\"schema\":\"" IGLU "/unstruct_event/jsonschema/1-0-0\",\"data\":{\"schema\":\"iglu:com."
    "callrail/call_complete/jsonschema/1-0-2\",\"data\":{\"id\":\"c\",\"answered\":true,"
    "\"duration\":83.5,\"callernum\":\"03-1234-5678\",\"gclid\":\"g\",\"utm_source\":\"s\"}}}",
    "1{\"schema\":\"" IGLU "/unstruct_event/jsonschema/1-0-0\",\"data\":{\"schema\":\"" IGLU
    "/consent_preferences/jsonschema/1-0-0\",\"data\":{\"eventType\":\"allow_selected\","
    "\"consentScopes\":[\"analytics\",7]}}}",
    "2{\"schema\":\"" IGLU "/contexts/jsonschema/1-0-1\",\"data\":[{\"schema\":\"" IGLU
    ".ecommerce/transaction/jsonschema/1-0-0\",\"data\":{\"transaction_id\":\"t\",\"revenue\":9.5,"
    "\"currency\":\"USD\",\"tax\":1}},{\"schema\":\"" IGLU
    ".ecommerce/product/jsonschema/1-0-0\",\"data\":{\"id\":\"s\",\"price\":0.1,\"quantity\":2}},"
    "{\"schema\":\"" IGLU ".ecommerce/user/jsonschema/1-0-0\",\"data\":{\"id\":1,\"email\":\"a@b\","
    "\"x\":[]}},{\"schema\":\"" IGLU
    "/client_session/jsonschema/1-0-2\",\"data\":{\"userId\":\"d\",\"eventIndex\":3}}]}",
    "3{\"schema\":\"" IGLU "/contexts/jsonschema/1-0-1\",\"data\":[{\"schema\":\"" IGLU
    ".ecommerce/product/jsonschema/1-0-0\",\"data\":{\"id\":\"s\",\"price\":1}}]}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_free) struct buf body = {0};
    if (size == 0)
        return 0;
    size_t which = data[0] % WRAPPINGS;
    struct str rest = str_make(data + 1, size - 1);
    if (which > 0 && !json_utf8_valid(rest)) /* cannot be quoted; a batch may be anything */
        return 0;
    check(buf_append_str(&body, str_of(wrappings[which].before)) == 0);
    check((which ? json_write_text(&body, rest) : buf_append_str(&body, rest)) == 0);
    check(buf_append_str(&body, str_of(wrappings[which].behind)) == 0);
    exchange_check(snowplow_post_handle, "", buf_str(&body));
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    return exchange_seed(samples, sizeof samples / sizeof *samples, seed, out);
}
