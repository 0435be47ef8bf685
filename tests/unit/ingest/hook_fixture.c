#include "tests/unit/ingest/hook_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/collector/protocol/hook.h"
#include "schemas/hash.h"
#include "schemas/time.h"

static struct str header_of(const void *context, const char *name)
{
    const struct hook_fixture *fixture = context;
    for (size_t i = 0; i < fixture->headers_count; i++)
        if (str_equal(fixture->headers[i].name, str_of(name)))
            return fixture->headers[i].value;
    return STR("");
}

int hook_setup(void **state)
{
    static struct hook_fixture fixture;
    fixture = (struct hook_fixture){0};
    *state = &fixture;
    int r = exchange_setup(&fixture.base, true);
    fixture.base.exchange.header = header_of;
    fixture.base.exchange.header_context = &fixture;
    return r;
}

int hook_teardown(void **state)
{
    struct hook_fixture *fixture = *state;
    sources_free(&fixture->signed_sources);
    exchange_teardown(&fixture->base);
    return 0;
}

void hook_use_signed(
    struct hook_fixture *fixture, const struct mapping *mapping, const char *header)
{
    static const struct str secrets[] = {STR_INIT(HOOK_NEW_SECRET), STR_INIT(HOOK_OLD_SECRET)};
    static uint8_t keys[1][SHA256_SIZE];
    struct config_source config[5];
    static const char *const names[] = {"shop", "keyed", "bare", "off", "native"};
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, STR(HOOK_KEY));
    sha256_final(&hash, keys[0]);
    for (size_t i = 0; i < 5; i++)
        config[i] = (struct config_source){.name = str_of(names[i]),
            .protocols = SOURCE_PROTOCOL_ALL,
            .currency = STR("JPY"),
            .enabled = true,
            .secrets = i == 0 ? secrets : NULL,
            .secrets_count = i == 0 ? 2 : 0,
            .signature_header = str_of(header),
            .replay_window_micros = 3600 * TIME_MICROS_PER_SECOND,
            .mapping = mapping};
    config[1].keys = (const uint8_t(*)[SHA256_SIZE])keys;
    config[1].keys_count = 1;
    config[3].enabled = false;
    config[4].protocols = SOURCE_PROTOCOL_NATIVE;
    assert_int_equal(
        sources_new(config, 5, STR(""), fixture->base.metrics, &fixture->signed_sources), 0);
    fixture->base.exchange.sources = fixture->signed_sources;
}

void hook_header(struct hook_fixture *fixture, const char *name, const char *value)
{
    size_t at = 0;
    while (at < fixture->headers_count && !str_equal(fixture->headers[at].name, str_of(name)))
        at++;
    assert_true(at < sizeof fixture->headers / sizeof *fixture->headers);
    fixture->headers[at] = (struct exchange_pair){str_of(name), str_of(value)};
    fixture->headers_count += at == fixture->headers_count;
}

int hook_send(struct hook_fixture *fixture, const char *path, const char *body)
{
    fixture->base.exchange.rest = str_of(path);
    fixture->base.exchange.media_type = NULL;
    exchange_run(&fixture->base, hook_handle, "", str_of(body));
    return fixture->base.exchange.status;
}

const char *hook_stored(struct hook_fixture *fixture, const char *path, const char *body)
{
    int status = hook_send(fixture, path, body);
    if (status != 200 || fixture->base.exchange.intake.rejected.count)
        fail_msg("%d %s %s", status, exchange_reply_text(&fixture->base),
            exchange_rejected_text(&fixture->base));
    return exchange_events_text(&fixture->base);
}

void hook_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("%s\nis not in\n%s", part, text);
}
