/*
 * Native JSON of about 1 kB to an Avro touchpoint, against the bare simdjson parse of the same text
 * in the same run. Rounds of all alternate and the best round of each counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "schemas/event_json.h"

#define EVENTS ((size_t)64) /* different ones, in turn */
#ifndef LAPS
#define LAPS 40 /* of all events, a round: short, so that some are undisturbed */
#endif
#ifndef ROUNDS
#define ROUNDS 500
#endif
#define RATIO_GOAL 3.0

int bench_simdjson_parse(const char *text, size_t size);

enum stage {
    STAGE_BARE,
    STAGE_PARSE,
    STAGE_READ,
    STAGE_AVRO,
    STAGE_COUNT,
};

static const char *const stage_names[] = {
    "simdjson, bare", "json_parse (checks all)", "JSON to touchpoint", "JSON to Avro"};

static struct buf texts[EVENTS];
static volatile size_t sink; /* keeps the compiler from leaving the work out */

static double now_s(void)
{
    struct timespec t; /* the processor's time: what other programs take is none of it */
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void write_event(struct buf *out, size_t i)
{
    check(
        buf_appendf(out,
            "{\"id\":\"0192f3c1-7b1e-7c3a-9d55-%012zu\",\"type\":\"%s\","
            "\"time\":\"2026-11-%02zuT10:15:%02zu.%03zu+09:00\","
            "\"ids\":{\"cookie\":\"c-%08zu\",\"login\":\"u-%zu\"},"
            "\"consent\":{\"analytics\":true,\"ads\":%s,\"personalisation\":true},"
            "\"page\":{\"url\":\"https://www.example.co.jp/products/shoes/running/%zu?color=blue\","
            "\"title\":\"ランニングシューズ %zu | Example Shop\","
            "\"referrer\":\"https://www.google.co.jp/search?q=shoes\"},",
            i * 7919, i % 2 ? "page_viewed" : "product_viewed", 1 + i % 28, i % 60, i * 37 % 1000,
            i * 104729, i * 31, i % 3 ? "true" : "false", i, i) == 0);
    if (i % 4)
        check(buf_appendf(out,
                  "\"campaign\":{\"source\":\"google\",\"medium\":\"cpc\",\"name\":\"autumn_%zu\","
                  "\"content\":\"banner_a\",\"term\":\"running shoes\"},"
                  "\"click\":{\"kind\":\"gclid\",\"value\":\"EAIaIQobChMI9tKx5vDlgQMVkM4WBR2kV%"
                  "zu\"},",
                  i % 9, i) == 0);
    else
        check(buf_appendf(out,
                  "\"order\":{\"order_id\":\"A-%zu\",\"revenue\":\"%zu\",\"currency\":\"JPY\","
                  "\"items\":[{\"sku\":\"S-1\",\"quantity\":1,\"price\":\"9800\"},"
                  "{\"sku\":\"S-2\",\"quantity\":2,\"price\":\"1590\"}]},",
                  i, 12980 + i) == 0);
    check(buf_appendf(out,
              "\"client\":{\"user_agent\":\"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) "
              "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1\"},"
              "\"properties\":{\"variant\":\"b\",\"stock\":%zu,\"price\":9800,\"wished\":false,"
              "\"tags\":[\"sale\",\"new\",\"men\"],\"depth\":0.75}}",
              i) == 0);
    check(buf_reserve(out, JSON_INPUT_PADDING) == 0);
}

static double measure(enum stage stage, struct json_parser *parser)
{
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(buf_free) struct buf avro = {0};
    struct json root = {0};
    struct touchpoint event;
    struct event_problem problem;
    double begin = now_s();
    for (size_t n = 0; n < LAPS * EVENTS; n++) {
        const struct buf *text = &texts[n % EVENTS];
        if (stage == STAGE_BARE) {
            check(bench_simdjson_parse(text->data, text->size));
            continue;
        }
        if (stage == STAGE_PARSE)
            check(json_parse(parser, buf_str(text), &root) == 0);
        else
            check(json_parse_padded(parser, buf_str(text), &root) == 0);
        arena_reset(&arena);
        if (stage >= STAGE_READ)
            check(event_json_read(root, false, &arena, &event, &problem) == 0);
        buf_clear(&avro);
        if (stage >= STAGE_AVRO)
            check(touchpoint_encode(&event, &avro) == 0);
        sink = avro.size;
    }
    return (now_s() - begin) / (double)(LAPS * EVENTS);
}

int main(int argc, char **argv)
{
    int only = argc > 1 ? atoi(argv[1]) : STAGE_COUNT;
    struct json_parser *parser;
    check(json_parser_new(&parser) == 0);
    size_t size = 0;
    for (size_t i = 0; i < EVENTS; i++) {
        write_event(&texts[i], i);
        size += texts[i].size;
    }
    double best[STAGE_COUNT] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        for (int stage = 0; stage < STAGE_COUNT; stage++) {
            if (only < STAGE_COUNT && only != stage)
                continue;
            double seconds = measure((enum stage)stage, parser);
            if (round == 0 || seconds < best[stage])
                best[stage] = seconds;
        }
    }
    printf("event_json: %ld cores online, one used; %zu bytes an event\n",
        sysconf(_SC_NPROCESSORS_ONLN), size / EVENTS);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        printf("  %-28s %8.0f ns  %6.2f M/s  %5.2f x\n", stage_names[stage], best[stage] * 1e9,
            1e-6 / best[stage], best[stage] / best[STAGE_BARE]);
    printf("  ratio %.2f, goal at most %.1f\n", best[STAGE_AVRO] / best[STAGE_BARE], RATIO_GOAL);
    for (size_t i = 0; i < EVENTS; i++)
        buf_free(&texts[i]);
    json_parser_free(&parser);
    return 0;
}
