/*
 * The generated codec against avro-c, in one process and one run: records/s and MB/s of encode and
 * decode of realistic touchpoints (web page views of a shop: some 50 leaf fields, about 700 bytes).
 *
 * avro-c is used as it is meant to be: one generic value, memory reader and writer, all reused; its
 * encode starts from values that are already filled. Ours starts from filled structs, and decodes
 * into an arena that is reset each time. Rounds of both alternate and the best round of each
 * counts, so that a busy machine hurts neither more.
 */
#include <avro.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "schemas/touchpoint.avro.h"

#define RECORDS ((size_t)64) /* different ones, in turn */
#define ROUNDS 7
#define LAPS_OURS 6000 /* of all records, a round */
#define LAPS_AVRO 400
#define ENCODED_SIZE_MAX 4096
#define NAME_SIZE_MAX 64
#define RATIO_GOAL 10.0

struct sample {
    struct touchpoint event;
    struct identifier identifiers[3];
    char text[8][NAME_SIZE_MAX];
    struct buf bytes;
    avro_value_t value;
};

struct figures {
    double ours;
    double avro_c;
};

static struct sample samples[RECORDS];
static volatile uint64_t sink; /* keeps the compiler from leaving the work out */

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void require(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench_codec: %s: %s\n", what, avro_strerror());
    exit(1);
}

static struct str text_of(struct sample *sample, size_t slot, const char *format, size_t i)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* formats are the literals below */
    int size = snprintf(sample->text[slot], NAME_SIZE_MAX, format, i * 7919 % 100003);
#pragma GCC diagnostic pop
    return str_make(sample->text[slot], (size_t)size);
}

static void fill_parts(struct sample *s, size_t i)
{
    struct touchpoint *e = &s->event;
    e->has_campaign = i % 4 != 0;
    e->campaign = (struct campaign){.source = STR("google"),
        .medium = STR("cpc"),
        .name = text_of(s, 3, "autumn_sale_%zu", i),
        .content = STR("banner_a"),
        .term = STR("running shoes")};
    e->has_click = e->has_campaign;
    e->click = (struct click){
        STR("gclid"), STR("EAIaIQobChMI9tKx5vDlgQMVkM4WBR2kVgJNEAAYASAAEgKq3fD_BwE")};
    e->has_page = true;
    e->page = (struct page){.host = STR("www.example.co.jp"),
        .path = text_of(s, 4, "/products/shoes/running/%zu", i),
        .title = STR("\xe3\x83\xa9\xe3\x83\xb3\xe3\x83\x8b\xe3\x83\xb3\xe3\x82\xb0 | Example Shop"),
        .query = STR("color=blue"),
        .referrer_host = STR("www.google.co.jp"),
        .referrer_path = STR("/")};
    e->has_device = true;
    e->device = (struct device){.kind = DEVICE_KIND_MOBILE,
        .os = STR("iOS"),
        .browser = STR("Mobile Safari"),
        .locale = STR("ja-JP"),
        .screen = STR("390x844")};
    e->has_geo = true;
    e->geo = (struct geo){.country = STR("JP"), .region = STR("13"), .city = STR("Shibuya")};
    e->has_client = true;
    e->client = (struct client){
        .user_agent =
            STR("Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 "
                "(KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1"),
        .address = STR("203.0.113.0"),
        .library = STR("tabiji-js/0.1.0")};
}

static void fill(struct sample *s, size_t i)
{
    struct touchpoint *e = &s->event;
    touchpoint_init(e);
    for (size_t k = 0; k < sizeof(e->event_key); k++)
        e->event_key[k] = (uint8_t)(i * 31 + k * 17);
    e->event_id = text_of(s, 0, "0192f3c1-7b1e-7c3a-9d55-0000000%05zu", i);
    e->source = STR("ec-web");
    e->protocol = PROTOCOL_NATIVE;
    e->adapter_version = 1;
    e->type = i % 2 ? STR("page_viewed") : STR("product_viewed");
    e->occurred_at = 1795000000000000 + (int64_t)i * 1234567;
    e->received_at = e->occurred_at + 812345;
    e->time_quality = TIME_QUALITY_CLIENT;
    e->sequence = (int64_t)i;
    s->identifiers[0] =
        (struct identifier){STR("cookie"), text_of(s, 1, "GA1.1.1234567890.17000%05zu", i), 0};
    s->identifiers[1] = (struct identifier){STR("login"), text_of(s, 2, "u-%zu", i), 50};
    s->identifiers[2] =
        (struct identifier){STR("email"), STR("k1:5d41402abc4b2a76b9719d911017c592"), 40};
    e->identifiers = s->identifiers;
    e->identifiers_count = 1 + i % 3;
    e->consent = (struct consent){CHOICE_GRANTED, CHOICE_GRANTED, CHOICE_UNKNOWN};
    fill_parts(s, i);
    e->properties = STR("{\"ab_test\":\"b\",\"list\":\"recommended\",\"position\":4}");
    e->traceparent = STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
}

/* Fills samples; values of avro-c come from our bytes, and must give the same bytes back. */
static size_t prepare(avro_value_iface_t *iface)
{
    size_t total = 0;
    char again[ENCODED_SIZE_MAX] = {0};
    for (size_t i = 0; i < RECORDS; i++) {
        struct sample *s = &samples[i];
        fill(s, i);
        require(touchpoint_encode(&s->event, &s->bytes) == 0, "encode");
        require(avro_generic_value_new(iface, &s->value) == 0, "value");
        avro_reader_t reader = avro_reader_memory(s->bytes.data, (int64_t)s->bytes.size);
        require(avro_value_read(reader, &s->value) == 0, "avro-c reads our bytes");
        avro_reader_free(reader);
        avro_writer_t writer = avro_writer_memory(again, sizeof(again));
        require(avro_value_write(writer, &s->value) == 0, "avro-c writes");
        require(avro_writer_tell(writer) == (int64_t)s->bytes.size &&
                    memcmp(again, s->bytes.data, s->bytes.size) == 0,
            "the bytes are the same");
        avro_writer_free(writer);
        total += s->bytes.size;
    }
    return total;
}

static double encode_ours(void)
{
    CLEANUP(buf_free) struct buf out = {0};
    double begin = now_s();
    for (size_t lap = 0; lap < LAPS_OURS; lap++)
        for (size_t i = 0; i < RECORDS; i++) {
            buf_clear(&out);
            require(touchpoint_encode(&samples[i].event, &out) == 0, "encode");
            sink += (uint8_t)out.data[out.size - 1];
        }
    return (double)(LAPS_OURS * RECORDS) / (now_s() - begin);
}

static double encode_avro(void)
{
    char out[ENCODED_SIZE_MAX] = {0};
    avro_writer_t writer = avro_writer_memory(out, sizeof(out));
    double begin = now_s();
    for (size_t lap = 0; lap < LAPS_AVRO; lap++)
        for (size_t i = 0; i < RECORDS; i++) {
            avro_writer_reset(writer);
            require(avro_value_write(writer, &samples[i].value) == 0, "avro-c writes");
            sink += (uint8_t)out[0];
        }
    double rate = (double)(LAPS_AVRO * RECORDS) / (now_s() - begin);
    avro_writer_free(writer);
    return rate;
}

static double decode_ours(void)
{
    struct touchpoint event;
    struct arena arena = {0};
    double begin = now_s();
    for (size_t lap = 0; lap < LAPS_OURS; lap++)
        for (size_t i = 0; i < RECORDS; i++) {
            arena_reset(&arena);
            require(touchpoint_decode(&event, buf_str(&samples[i].bytes), &arena) == 0, "decode");
            sink += event.client.address.size;
        }
    double rate = (double)(LAPS_OURS * RECORDS) / (now_s() - begin);
    arena_free(&arena);
    return rate;
}

static double decode_avro(avro_value_iface_t *iface)
{
    avro_value_t value;
    require(avro_generic_value_new(iface, &value) == 0, "value");
    avro_reader_t reader = avro_reader_memory(samples[0].bytes.data, 0);
    double begin = now_s();
    for (size_t lap = 0; lap < LAPS_AVRO; lap++)
        for (size_t i = 0; i < RECORDS; i++) {
            avro_reader_memory_set_source(
                reader, samples[i].bytes.data, (int64_t)samples[i].bytes.size);
            require(avro_value_read(reader, &value) == 0, "avro-c reads");
            sink += 1;
        }
    double rate = (double)(LAPS_AVRO * RECORDS) / (now_s() - begin);
    avro_reader_free(reader);
    avro_value_decref(&value);
    return rate;
}

static double best(double a, double b)
{
    return a > b ? a : b;
}

static void print(const char *what, struct figures f, double size)
{
    printf("%s: tabiji %.2f M records/s (%.0f MB/s), avro-c %.3f M records/s (%.0f MB/s), ratio "
           "%.1f\n",
        what, f.ours / 1e6, f.ours * size / 1e6, f.avro_c / 1e6, f.avro_c * size / 1e6,
        f.ours / f.avro_c);
}

int main(void)
{
    avro_schema_t schema;
    require(
        avro_schema_from_json_length(touchpoint_schema, strlen(touchpoint_schema), &schema) == 0,
        "schema");
    avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
    double size = (double)prepare(iface) / (double)RECORDS;
    struct figures encode = {0}, decode = {0};
    for (int round = 0; round < ROUNDS; round++) {
        encode.ours = best(encode.ours, encode_ours());
        encode.avro_c = best(encode.avro_c, encode_avro());
        decode.ours = best(decode.ours, decode_ours());
        decode.avro_c = best(decode.avro_c, decode_avro(iface));
    }
    printf("codec, one thread of %ld cores, touchpoints of %.0f bytes\n",
        sysconf(_SC_NPROCESSORS_ONLN), size);
    print("encode", encode, size);
    print("decode", decode, size);
    for (size_t i = 0; i < RECORDS; i++) {
        avro_value_decref(&samples[i].value);
        buf_free(&samples[i].bytes);
    }
    avro_value_iface_decref(iface);
    avro_schema_decref(schema);
    bool reached =
        encode.ours >= RATIO_GOAL * encode.avro_c && decode.ours >= RATIO_GOAL * decode.avro_c;
    printf("goal of %.0f times avro-c both ways: %s\n", RATIO_GOAL, reached ? "reached" : "MISSED");
    return 0;
}
