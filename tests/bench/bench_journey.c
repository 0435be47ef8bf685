/*
 * What journeys cost: credits a touch by path length; deriving a whole timeline, an event; the
 * stage over LMDB, an event, when events come in time order and when they come shuffled; what
 * keeping the counts of models adds to it, by the size of batches.
 *
 *     bench_journey [credits|timeline|stage|shuffled|models]
 *
 * Events are page views of about 800 bytes, every 8th begins a session, every 25th is an order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "enrich/journey/fold.h"
#include "enrich/journey/journey.h"
#include "schemas/error.h"
#include "schemas/journey_message.avro.h"
#include "tests/sim/solo.h"

#define MINUTE ((int64_t)60 * 1000000)
#define BATCH 20000
#define STAGE_EVENTS ((size_t)200000)
#define STAGE_PERSONS ((size_t)10000)
#define CACHE_BYTES ((size_t)64 << 20)
#define TEXT_SIZE 64
#define FILL_SIZE 380

static volatile uint64_t sink_value; /* keeps the compiler from leaving the work out */

/* CPU time: others on the machine do not count. */
static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void require(int r, const char *what)
{
    if (r >= 0)
        return;
    (void)fprintf(stderr, "bench_journey: %s: %s\n", what, error_name(r));
    exit(1);
}

/* ---- credits ---- */

static void bench_credits(size_t count)
{
    const struct rule_config config = rule_config_default();
    CLEANUP(credits_free) struct credits credits = {0};
    struct rule_touch *touches = calloc(count, sizeof *touches);
    const size_t laps = 2000000 / count;
    check(touches);
    for (size_t i = 0; i < count; i++)
        touches[i] = (struct rule_touch){(int64_t)i * 977 * MINUTE, i % 3 == 0};
    double begin = now_s();
    for (size_t lap = 0; lap < laps; lap++) {
        require(credits_of_conversion(&credits, &config, touches, count, 12980 + (int64_t)lap),
            "credits");
        sink_value += credits.count;
    }
    double ns = (now_s() - begin) * 1e9 / (double)(laps * count);
    printf("credits   path of %4zu touches: %6.1f ns a touch for all 8 models\n", count, ns);
    free(touches);
}

/* ---- events ---- */

static struct str encode_event(struct arena *arena, size_t person, size_t n, int64_t at)
{
    static char fill[FILL_SIZE];
    char id[TEXT_SIZE], login[TEXT_SIZE], order[TEXT_SIZE];
    struct touchpoint event;
    struct identifier identifier = {.namespace = STR("login")};
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str out;
    memset(fill, 'x', sizeof fill);
    (void)snprintf(id, sizeof id, "0192f3c1-7d4e-7a70-8000-%012zu", person * 1000 + n);
    (void)snprintf(login, sizeof login, "customer-%zu", person);
    (void)snprintf(order, sizeof order, "ORD-%zu-%zu", person, n);
    identifier.value = str_of(login);
    touchpoint_init(&event);
    put_be64(event.event_key, person * 0x9e3779b97f4a7c15 + n);
    event.event_id = str_of(id);
    event.source = STR("ec-web");
    event.type = n % 25 == 24 ? STR("order_completed") : STR("page_viewed");
    event.occurred_at = at;
    event.time_quality = TIME_QUALITY_CLIENT;
    event.identifiers = &identifier;
    event.identifiers_count = 1;
    event.has_campaign = n % 8 == 0;
    event.campaign = (struct campaign){
        .source = STR("google"), .medium = STR("cpc"), .name = STR("autumn_sale")};
    event.has_page = true;
    event.page = (struct page){.host = STR("www.example.co.jp"),
        .path = STR("/category/shoes/running/item-10293"),
        .title = STR("Running shoes | Example"),
        .referrer_host = STR("www.google.co.jp")};
    event.has_device = true;
    event.device = (struct device){
        .kind = DEVICE_KIND_MOBILE, .os = STR("iOS 17.5"), .browser = STR("Mobile Safari 17.5")};
    event.has_order = n % 25 == 24;
    event.order =
        (struct order){.order_id = str_of(order), .revenue_minor = 12980, .currency = STR("JPY")};
    event.properties = str_make(fill, sizeof fill);
    require(touchpoint_encode(&event, &bytes), "encode");
    require(arena_dup(arena, buf_str(&bytes), &out), "memory");
    return out;
}

/* The nth event of a person: eight to a visit, a visit a day. */
static int64_t time_of(size_t n)
{
    return (int64_t)(n / 8) * 1440 * MINUTE + (int64_t)(n % 8) * MINUTE;
}

/* ---- a whole timeline ---- */

static int count_row(void *context, const struct conversion *row)
{
    (void)context;
    sink_value += row->credits_count;
    return 0;
}

static int find_none(void *context, struct str key, struct conversion *out)
{
    (void)context;
    (void)key;
    (void)out;
    return ERR_STATE;
}

static void bench_timeline(size_t count)
{
    struct journey_config config;
    struct folder folder;
    struct fold fold = {0};
    const uint8_t node[KEY_SIZE] = {1};
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(arena_free) struct arena row = {0};
    struct str *events = calloc(count, sizeof *events);
    size_t laps = 400000 / count, bytes = 0;
    double stepping = 0;
    check(events);
    journey_config_default(&config);
    require(folder_init(&folder, &config), "folder");
    folder.output = (struct fold_output){NULL, count_row, find_none};
    for (size_t i = 0; i < count; i++) {
        events[i] = encode_event(&arena, 1, i, time_of(i));
        bytes += events[i].size;
    }
    double begin = now_s();
    for (size_t lap = 0; lap < laps; lap++) {
        fold_clear(&fold);
        folder_begin(&folder, &fold);
        for (size_t i = 0; i < count; i++) {
            struct touchpoint event;
            struct moment moment;
            arena_reset(&row);
            require(touchpoint_decode(&event, events[i], &row), "decode");
            moment_read(&moment, folder.types, &event, node, STR("Paid Search"));
            require(fold_step(&folder, &fold, &moment), "step");
        }
        sink_value += fold.touches_count;
    }
    stepping = (now_s() - begin) * 1e9 / (double)(laps * count);
    printf("timeline  of %4zu events of %zu bytes: %6.1f ns an event, decoding included\n", count,
        bytes / count, stepping);
    fold_free(&fold);
    folder_fini(&folder);
    free(events);
}

/* ---- the stage ---- */

struct input {
    struct str key;
    struct str value;
};

static void make_input(
    struct arena *arena, struct input *out, size_t person, size_t n, bool many_channels)
{
    static const struct str channels[] = {STR_INIT("Paid Search"), STR_INIT("Organic Search"),
        STR_INIT("Email"), STR_INIT("LINE"), STR_INIT("Display"), STR_INIT("Direct"),
        STR_INIT("Referral"), STR_INIT("Organic Social"), STR_INIT("Push"), STR_INIT("Affiliate")};
    size_t visit = (person + n / 8) * 2654435761 >> 7;
    struct placed_event placed = {.position = (int64_t)(n * STAGE_PERSONS + person),
        .channel = channels[many_channels ? visit % (sizeof channels / sizeof *channels) : 0],
        .event = encode_event(arena, person, n, time_of(n))};
    struct journey_message message;
    CLEANUP(buf_free) struct buf bytes = {0};
    uint8_t digest[32];
    struct sha256 hash;
    journey_message_init(&message);
    sha256_init(&hash);
    sha256_update(&hash, str_make(&person, sizeof person));
    sha256_final(&hash, digest);
    message.kind = JOURNEY_KIND_PUT;
    memcpy(message.person, digest, KEY_SIZE);
    memcpy(message.node, digest + KEY_SIZE, KEY_SIZE);
    message.events = &placed;
    message.events_count = 1;
    require(journey_message_encode(&message, &bytes), "message");
    require(arena_dup(arena, buf_str(&bytes), &out->value), "memory");
    require(arena_dup(arena, str_make(digest, KEY_SIZE), &out->key), "memory");
}

static void shuffle(struct input *inputs, size_t count)
{
    uint64_t random = 20261123;
    for (size_t i = count - 1; i > 0; i--) {
        random = random * 6364136223846793005 + 1442695040888963407;
        size_t k = (size_t)((random >> 33) % (i + 1));
        struct input kept = inputs[i];
        inputs[i] = inputs[k];
        inputs[k] = kept;
    }
}

static void bench_stage(const char *what, bool shuffled, size_t cache_bytes)
{
    struct journey_config config;
    struct stage stage;
    struct solo *solo;
    CLEANUP(arena_free) struct arena arena = {0};
    struct input *inputs = calloc(STAGE_EVENTS, sizeof *inputs);
    check(inputs);
    arena.size_max = (size_t)1 << 34;
    journey_config_default(&config);
    config.cache_bytes_max = cache_bytes;
    journey_stage(&stage, &config);
    for (size_t i = 0; i < STAGE_EVENTS; i++)
        make_input(&arena, &inputs[i], i % STAGE_PERSONS, i / STAGE_PERSONS, false);
    if (shuffled)
        shuffle(inputs, STAGE_EVENTS);
    require(solo_new(&stage, &solo), "solo");
    double process = 0, commit = 0;
    for (size_t i = 0; i < STAGE_EVENTS;) {
        double begin = now_s();
        for (size_t end = i + BATCH; i < end && i < STAGE_EVENTS; i++) {
            const struct record record = {
                .topic = TOPIC_JOURNEY, .key = inputs[i].key, .value = inputs[i].value};
            require(solo_process(solo, &record), "process");
        }
        double middle = now_s();
        require(solo_commit(solo), "commit");
        process += middle - begin;
        commit += now_s() - middle;
    }
    const double events = (double)STAGE_EVENTS;
    printf("stage     %-28s %6.0f CPU ns an event in process(), %6.0f in settle() and commit; "
           "%.0f events/s of CPU\n",
        what, process * 1e9 / events, commit * 1e9 / events, events / (process + commit));
    solo_free(&solo);
    free(inputs);
}

/* ---- counts of models ---- */

struct model_cost {
    double ns, gets, scans, changes; /* an event */
    size_t rows, bytes;              /* of counts */
};

static struct model_cost run_models(const struct input *inputs, size_t events, size_t batch,
    const struct model *models, size_t models_count)
{
    struct journey_config config;
    struct stage stage;
    struct solo *solo;
    struct model_cost cost = {0};
    journey_config_default(&config);
    config.models = models;
    config.models_count = models_count;
    journey_stage(&stage, &config);
    require(solo_new(&stage, &solo), "solo");
    double begin = now_s();
    for (size_t i = 0; i < events;) {
        for (size_t end = i + batch; i < end && i < events; i++) {
            const struct record record = {
                .topic = TOPIC_JOURNEY, .key = inputs[i].key, .value = inputs[i].value};
            require(solo_process(solo, &record), "process");
        }
        require(solo_commit(solo), "commit");
    }
    const double all = (double)events;
    cost.ns = (now_s() - begin) * 1e9 / all;
    cost.gets = (double)solo_counts(solo)->gets / all;
    cost.scans = (double)solo_counts(solo)->scans / all;
    cost.changes = (double)solo_counts(solo)->changes / all;
    require(solo_table_size(solo, TABLE_MODEL_COUNT, &cost.rows, &cost.bytes), "table");
    solo_free(&solo);
    return cost;
}

/* Beside the stage without models, on the same events. */
static void bench_models(void)
{
    static const struct model models[] = {
        {.name = STR_INIT("markov"), .kind = MODEL_KIND_MARKOV, .order = 1},
        {.name = STR_INIT("shapley"), .kind = MODEL_KIND_SHAPLEY, .order = 1},
        {.name = STR_INIT("third"), .kind = MODEL_KIND_MARKOV, .order = 3},
        {.name = STR_INIT("rate"), .kind = MODEL_KIND_SHAPLEY_RATE, .order = 1},
    };
    static const struct {
        const char *what;
        bool shuffled;
        size_t batch, events, models;
    } runs[] = {
        {"default, batches of 1", false, 1, 20000, 2},
        {"default, batches of 100", false, 100, 200000, 2},
        {"default, batches of 20,000", false, BATCH, 200000, 2},
        {"default, shuffled", true, BATCH, 200000, 2},
        {"4 models, batches of 100", false, 100, 200000, 4},
        {"4 models, batches of 20,000", false, BATCH, 200000, 4},
    };
    CLEANUP(arena_free) struct arena arena = {.size_max = (size_t)1 << 34};
    struct input *inputs = calloc(STAGE_EVENTS, sizeof *inputs);
    struct input *mixed = calloc(STAGE_EVENTS, sizeof *mixed);
    check(inputs && mixed);
    for (size_t i = 0; i < STAGE_EVENTS; i++)
        make_input(&arena, &inputs[i], i % STAGE_PERSONS, i / STAGE_PERSONS, true);
    memcpy(mixed, inputs, STAGE_EVENTS * sizeof *mixed);
    shuffle(mixed, STAGE_EVENTS);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        const struct input *given = runs[i].shuffled ? mixed : inputs;
        struct model_cost without = run_models(given, runs[i].events, runs[i].batch, NULL, 0);
        struct model_cost with =
            run_models(given, runs[i].events, runs[i].batch, models, runs[i].models);
        printf("models    %-28s look-ups %.3f -> %.3f, scans %.3f -> %.3f, rows written %.3f -> "
               "%.3f an event; CPU %.0f -> %.0f ns (x %.3f); %zu counts of %zu bytes\n",
            runs[i].what, without.gets, with.gets, without.scans, with.scans, without.changes,
            with.changes, without.ns, with.ns, with.ns / without.ns, with.rows, with.bytes);
    }
    free(inputs);
    free(mixed);
}

/* With an argument: that part alone. models only so: a stage with and one without, again and
 * again. */
int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : NULL;
    printf("cores %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
    for (size_t count = 4; (!only || strcmp(only, "credits") == 0) && count <= 100; count *= 5)
        bench_credits(count);
    for (size_t count = 10; (!only || strcmp(only, "timeline") == 0) && count <= 1000; count *= 10)
        bench_timeline(count);
    if (!only || strcmp(only, "stage") == 0)
        bench_stage("in time order:", false, CACHE_BYTES);
    if (!only)
        bench_stage("in time order, no cache:", false, 0);
    if (!only || strcmp(only, "shuffled") == 0)
        bench_stage("shuffled:", true, CACHE_BYTES);
    if (only && strcmp(only, "models") == 0)
        bench_models();
    return 0;
}
