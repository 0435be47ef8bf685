/* Touchpoints from outside through all steps: the same event gives the same bytes, and they are an
 * event. */
#include "tests/fuzz/replay.h"

#include <stdlib.h>

#include "enrich/step/steps.h"
#include "tests/unit/schemas/record_random.h"

static const struct str keys[] = {STR_INIT("q"), STR_INIT("sku")};

/* Decodes, applies and encodes. Returns what touchpoint_decode() says. */
static int run(struct steps *steps, struct str bytes, struct arena *arena, struct buf *out)
{
    struct touchpoint event;
    struct str channel;
    int r = touchpoint_decode(&event, bytes, arena);
    if (r < 0)
        return r;
    r = steps_apply(steps, &event, arena, &channel);
    check(r == 0);
    check(channel.size > 0);
    r = buf_append_str(out, channel);
    check(r == 0);
    r = touchpoint_encode(&event, out);
    check(r == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct steps *steps;
    struct arena arena = {0};
    CLEANUP(buf_free) struct buf first = {0};
    CLEANUP(buf_free) struct buf second = {0};
    char why[STEPS_WHY_SIZE];
    if (!steps) {
        struct steps_config config = {.query_keys = keys,
            .query_keys_count = 2,
            .agent_rules = "/usr/share/uap-core/regexes.yaml"};
        int r = steps_open(&steps, &config, why);
        check(r >= 0);
    }
    struct str bytes = str_make(data, size);
    if (run(steps, bytes, &arena, &first) == 0) {
        int r = run(steps, bytes, &arena, &second);
        check(r == 0);
        check(str_equal(buf_str(&first), buf_str(&second)));
    }
    arena_free(&arena);
    return 0;
}

static struct str pick(struct random *random, const struct str *texts, size_t count)
{
    return texts[random_below(random, count)];
}

/* A random event with texts that steps look at. */
size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    static const struct str queries[] = {STR_INIT(""),
        STR_INIT("utm_source=a&utm_medium=%E3%81%82"), STR_INIT("gclid=1&q=2&&=&%"),
        STR_INIT("?sku=%zz#x&utm_id=")};
    static const struct str agents[] = {STR_INIT(""),
        STR_INIT("Mozilla/5.0 (iPhone; CPU iPhone OS 17_1"), STR_INIT("Googlebot/2.1"),
        STR_INIT("Android 14; Pixel 8) Chrome/119.0 Mobile Safari/537")};
    static const struct str addresses[] = {STR_INIT("203.0.113.7"), STR_INIT("2001:db8::7"),
        STR_INIT("::ffff:1.2.3.4"), STR_INIT("x")};
    static const struct str hosts[] = {STR_INIT("shop.example"),
        STR_INIT("https://Shop.example/a?q=1#b"), STR_INIT("www.google.com"), STR_INIT("://")};
    struct random random = {seed};
    struct arena arena = {0};
    struct touchpoint event;
    CLEANUP(buf_free) struct buf bytes = {0};
    do {
        bytes.size = 0;
        arena_reset(&arena);
        record_random(&avro_type_touchpoint, &event, &random, &arena);
        event.page.query = pick(&random, queries, 4);
        event.page.host = pick(&random, hosts, 4);
        event.page.referrer_host = pick(&random, hosts, 4);
        event.client.user_agent = pick(&random, agents, 4);
        event.client.address = pick(&random, addresses, 4);
        int r = touchpoint_encode(&event, &bytes);
        check(r == 0);
    } while (bytes.size > FUZZ_INPUT_SIZE_MAX / 2);
    memcpy(out, bytes.data, bytes.size);
    arena_free(&arena);
    return bytes.size;
}
