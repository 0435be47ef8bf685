#include "tests/unit/ingest/exchange_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/event_json.h"
#include "schemas/hash.h"
#include "schemas/rejected.avro.h"

#define SOURCES 5

static const struct {
    const char *name;
    const char *key;
} named[SOURCES] = {{"ec-web", FIXTURE_KEY}, {"old", FIXTURE_DISABLED_KEY},
    {"mobile", FIXTURE_SEGMENT_KEY}, {"slow", FIXTURE_SLOW_KEY}, {"pos", FIXTURE_TRUSTED_KEY}};

/* Always the same. */
static void draw(uint8_t bytes[16])
{
    for (uint8_t i = 0; i < 16; i++)
        bytes[i] = (uint8_t)(i * 17);
}

int exchange_setup(struct exchange_fixture *fixture, bool open)
{
    static uint8_t keys[SOURCES][1][SHA256_SIZE];
    static const struct str origins[] = {STR_INIT("https://shop.example")};
    static const struct str app_ids[] = {STR_INIT(FIXTURE_APP_ID)};
    struct config_source config[SOURCES];
    *fixture = (struct exchange_fixture){0};
    for (size_t i = 0; i < SOURCES; i++) {
        struct sha256 hash;
        sha256_init(&hash);
        sha256_update(&hash, str_of(named[i].key));
        sha256_final(&hash, keys[i][0]);
        config[i] = (struct config_source){.name = str_of(named[i].name),
            .keys = (const uint8_t(*)[SHA256_SIZE])keys[i],
            .keys_count = 1,
            .protocols = SOURCE_PROTOCOL_ALL,
            .currency = STR("JPY"),
            .enabled = true};
    }
    config[1].enabled = false;
    config[2].protocols = SOURCE_PROTOCOL_SEGMENT;
    config[2].origins = origins;
    config[2].origins_count = 1;
    config[3].rate = 1;
    config[4].trusted_channel = true;
    config[4].app_ids = app_ids;
    config[4].app_ids_count = 1;
    door_config_default(&fixture->door);
    int r = metrics_new(&fixture->metrics);
    if (r == 0)
        r = sources_new(
            config, SOURCES, open ? STR("dev") : STR(""), fixture->metrics, &fixture->sources);
    if (r == 0)
        r = json_parser_new(&fixture->parser);
    fixture->exchange = (struct exchange){
        .header_key = open ? STR("") : STR(FIXTURE_KEY),
        .now_micros = FIXTURE_NOW,
        .events_max = 100,
        .sources = fixture->sources,
        .door = &fixture->door,
        .parser = fixture->parser,
        .arena = &fixture->arena,
        .draw = draw,
    };
    return r;
}

void exchange_teardown(struct exchange_fixture *fixture)
{
    buf_free(&fixture->exchange.reply);
    buf_free(&fixture->text);
    arena_free(&fixture->arena);
    json_parser_free(&fixture->parser);
    sources_free(&fixture->sources);
    metrics_free(&fixture->metrics);
}

void exchange_run(
    struct exchange_fixture *fixture, exchange_fn handle, const char *call, struct str body)
{
    struct exchange *exchange = &fixture->exchange;
    exchange->call = str_of(call);
    exchange->body = body;
    exchange->body_raw = body;
    exchange->refusal = 0;
    exchange->source = NULL;
    exchange->intake = (struct intake){0};
    exchange->status = 0;
    exchange->retry_after_seconds = 0;
    exchange->limited = 0;
    buf_clear(&exchange->reply);
    assert_int_equal(handle(exchange), 0);
}

static const char *terminated(struct buf *text)
{
    assert_int_equal(buf_append(text, "", 1), 0);
    return text->data;
}

const char *exchange_reply_text(struct exchange_fixture *fixture)
{
    buf_clear(&fixture->text);
    assert_int_equal(buf_append_str(&fixture->text, buf_str(&fixture->exchange.reply)), 0);
    return terminated(&fixture->text);
}

const char *exchange_events_text(struct exchange_fixture *fixture)
{
    const struct intake *intake = &fixture->exchange.intake;
    buf_clear(&fixture->text);
    for (size_t i = 0; i < intake->records_count; i++) {
        struct touchpoint event;
        if (intake->records[i].topic != TOPIC_EVENTS)
            continue;
        assert_int_equal(touchpoint_decode(&event, intake->records[i].value, &fixture->arena), 0);
        memset(event.event_key, 0, sizeof event.event_key);
        event.source = STR("");
        event.received_at = 0;
        event.protocol = PROTOCOL_UNKNOWN;
        event.adapter_version = 0;
        assert_int_equal(event_json_write(&event, &fixture->text), 0);
        assert_int_equal(buf_append(&fixture->text, "\n", 1), 0);
    }
    return terminated(&fixture->text);
}

const char *exchange_rejected_text(struct exchange_fixture *fixture)
{
    const struct intake *intake = &fixture->exchange.intake;
    buf_clear(&fixture->text);
    for (size_t i = 0; i < intake->records_count; i++) {
        struct rejected rejected;
        if (intake->records[i].topic != TOPIC_REJECTED)
            continue;
        assert_int_equal(rejected_decode(&rejected, intake->records[i].value, &fixture->arena), 0);
        assert_int_equal(buf_append_str(&fixture->text, rejected.reason), 0);
        assert_int_equal(buf_append(&fixture->text, " ", 1), 0);
        assert_int_equal(buf_append_str(&fixture->text, rejected.pointer), 0);
        assert_int_equal(buf_append(&fixture->text, " ", 1), 0);
        assert_int_equal(buf_append_str(&fixture->text, rejected.payload), 0);
        assert_int_equal(buf_append(&fixture->text, "\n", 1), 0);
    }
    return terminated(&fixture->text);
}
