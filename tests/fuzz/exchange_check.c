#include "tests/fuzz/exchange_check.h"

#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/rejected.avro.h"

#define NOW INT64_C(1795140000000000)
#define EVENTS_MAX 2500
#define CHANGES_MAX 4

static struct metrics *metrics;
static struct sources *sources;
static struct json_parser *parser;
static struct door_config door;

static void draw(uint8_t bytes[16])
{
    memset(bytes, 7, 16);
}

static void set_up(void)
{
    if (sources)
        return;
    check(metrics_new(&metrics) == 0);
    check(sources_new(NULL, 0, STR("dev"), metrics, &sources) == 0);
    check(json_parser_new(&parser) == 0);
    door_config_default(&door);
}

/* A stored event decodes; taken through the door once more it is the same bytes. */
static void check_event(const struct append_record *record, struct arena *arena)
{
    struct touchpoint event;
    struct append_record again;
    struct event_problem problem;
    check(record->value.size <= EVENT_SIZE_MAX);
    check(touchpoint_decode(&event, record->value, arena) == 0);
    check(door_accept(&door, &event, NOW, arena, &again, &problem) == 0);
    check(str_equal(again.key, record->key));
    check(str_equal(again.value, record->value));
}

static void check_rejected(const struct append_record *record, struct str body, struct arena *arena)
{
    struct rejected rejected;
    check(rejected_decode(&rejected, record->value, arena) == 0);
    check(rejected.reason.size != 0);
    check(rejected.payload.size != 0);
    struct json fields;
    check(memmem(body.data, body.size, rejected.payload.data, rejected.payload.size) != NULL ||
          json_parse(parser, rejected.payload, &fields) == 0);
}

static void check_reply(const struct exchange *exchange)
{
    struct json reply;
    struct json list;
    int status = exchange->status;
    const struct intake *intake = &exchange->intake;
    check(status == 200 || status == 204 || status == 400 || status == 413 || status == 422);
    check(intake->accepted + intake->rejected.count >= intake->records_count);
    if (exchange->media_type || status == 204)
        return; /* all is well; nothing is told of events */
    check(json_parse(parser, buf_str(&exchange->reply), &reply) == 0);
    check(json_kind(reply) == JSON_OBJECT);
    if (json_get(reply, STR("rejected"), &list))
        check(json_count(list) == intake->rejected.count);
}

void exchange_check(exchange_fn handle, const char *call, struct str body)
{
    CLEANUP(arena_free) struct arena arena = {0};
    set_up();
    struct exchange exchange = {
        .call = str_of(call),
        .body = body,
        .body_lines = body.size % 3 == 0,
        .browser = body.size % 2 == 0,
        .user_agent = STR("UA"),
        .address = STR("192.0.2.1"),
        .now_micros = NOW,
        .events_max = EVENTS_MAX,
        .sources = sources,
        .door = &door,
        .parser = parser,
        .arena = &arena,
        .draw = draw,
    };
    check(handle(&exchange) == 0);
    for (size_t i = 0; i < exchange.intake.records_count; i++) {
        const struct append_record *record = &exchange.intake.records[i];
        if (record->topic == TOPIC_EVENTS)
            check_event(record, &arena);
        else
            check_rejected(record, body, &arena);
    }
    check_reply(&exchange);
    buf_free(&exchange.reply);
}

size_t exchange_seed(const char *const *samples, size_t count, uint64_t seed, uint8_t *out)
{
    static const char meaningful[] = "\"\\{}[]:,0-9eE.+ntfu\xff\n ";
    struct str sample = str_of(samples[seed % count]);
    memcpy(out, sample.data, sample.size);
    uint64_t state = seed * 0x9E3779B97F4A7C15ULL;
    for (uint64_t changes = seed / 8 % CHANGES_MAX; changes; changes--) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        out[(state >> 33) % sample.size] =
            (uint8_t)meaningful[(state >> 20) % (sizeof meaningful - 1)];
    }
    return sample.size;
}
