/*
 * Rows a second into tabiji.db, from results as the journey stage makes them.
 *
 *     bench_sqlite [events] [events a batch] [results a commit] [page size] [cache MiB]
 *
 * Events of about 1 kB of JSON, of one person to each eight events; a batch holds, beside its
 * events, the sessions, conversions with credits, profiles and identifiers that they change, in the
 * order of the tables' keys. Encoding is done before the clock starts for each batch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "schemas/conversion.avro.h"
#include "schemas/hash.h"
#include "schemas/person_of.avro.h"
#include "schemas/profile.avro.h"
#include "schemas/session.avro.h"
#include "schemas/stitched.avro.h"
#include "sinks/sqlite/sqlite_sink.h"

#define EVENTS_A_PERSON 8
#define EVENTS_A_SESSION 5
#define EVENTS_A_CONVERSION 33
#define PATH_TOUCHES 5
#define MODELS 8
#define START_MICROS 1780000000000000

struct slice {
    size_t key;
    size_t key_size;
    size_t value;
    size_t value_size;
    enum topic topic;
};

struct maker {
    struct buf bytes;
    struct slice *slices;
    size_t slices_count;
    struct result *results;
    struct buf event;
    uint64_t random;
    uint64_t made;
};

static void must(int r)
{
    if (r < 0) {
        fprintf(stderr, "error %d\n", r);
        exit(1);
    }
}

static uint64_t next_random(struct maker *maker)
{
    maker->random ^= maker->random << 13;
    maker->random ^= maker->random >> 7;
    maker->random ^= maker->random << 17;
    return maker->random;
}

/* 16 bytes that look like a hash of the number. */
static void key_of(uint64_t number, uint64_t kind, uint8_t out[KEY_SIZE])
{
    uint64_t seed[2] = {number, kind};
    uint64_t a = hash64(str_make(seed, sizeof(seed)));
    seed[0] = a;
    uint64_t b = hash64(str_make(seed, sizeof(seed)));
    memcpy(out, &a, sizeof(a));
    memcpy(out + sizeof(a), &b, sizeof(b));
}

static void begin(struct maker *maker, enum topic topic, struct str key)
{
    struct slice *slice = &maker->slices[maker->slices_count];
    *slice = (struct slice){.topic = topic, .key = maker->bytes.size, .key_size = key.size};
    must(buf_append_str(&maker->bytes, key));
    slice->value = maker->bytes.size;
}

static void end(struct maker *maker)
{
    struct slice *slice = &maker->slices[maker->slices_count++];
    slice->value_size = maker->bytes.size - slice->value;
}

static void fill_event(struct maker *maker, struct touchpoint *event, struct identifier *ids)
{
    static char cookie[] = "fb1d3c2a-9a0e-4a6b-8e53-0123456789ab";
    touchpoint_init(event);
    ids[0] = (struct identifier){STR("login"), STR("customer-00012345"), 0};
    ids[1] = (struct identifier){STR("cookie"), str_of(cookie), 0};
    event->identifiers = ids;
    event->identifiers_count = 1 + maker->made % 2;
    event->event_id = STR("0192f3c1-8c7a-7b3e-9f10-aabbccddeeff");
    event->source = STR("ec-web");
    event->protocol = PROTOCOL_NATIVE;
    event->type = maker->made % 3 ? STR("page_viewed") : STR("product_viewed");
    event->time_quality = TIME_QUALITY_CLIENT;
    event->consent = (struct consent){CHOICE_GRANTED, CHOICE_DENIED, CHOICE_GRANTED};
    event->has_page = true;
    event->page = (struct page){STR("www.example.co.jp"), STR("/products/outdoor/tent/12345678"),
        STR("\xe3\x83\x86\xe3\x83\xb3\xe3\x83\x88 2\xe4\xba\xba\xe7\x94\xa8"), STR("color=green"),
        STR("www.example.co.jp"), STR("/category/outdoor")};
    event->has_device = true;
    event->device = (struct device){DEVICE_KIND_MOBILE, STR("iOS 18.1"), STR("Mobile Safari 18"),
        STR(""), STR(""), STR("ja-JP"), STR("390x844")};
    event->has_geo = true;
    event->geo = (struct geo){STR("JP"), STR("13"), STR("Shibuya")};
    event->has_client = true;
    event->client = (struct client){
        STR("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15"),
        STR("203.0.113.0"), STR("tabiji-js 1.0")};
    event->properties = STR(
        "{\"cart_size\":3,\"experiment\":\"checkout-b\",\"price\":\"12980\",\"sku\":\"TENT-2P\"}");
}

static void make_event(struct maker *maker, const uint8_t person[KEY_SIZE], bool touch)
{
    struct touchpoint event;
    struct stitched stitched;
    struct identifier ids[2];
    uint8_t key[48];
    fill_event(maker, &event, ids);
    key_of(maker->made, 1, event.event_key);
    event.occurred_at = START_MICROS + (int64_t)maker->made * 1000;
    event.received_at = event.occurred_at;
    if (touch) {
        event.has_campaign = true;
        event.campaign.source = STR("google");
        event.campaign.medium = STR("cpc");
        event.campaign.name = STR("autumn-tents");
    }
    buf_clear(&maker->event);
    must(touchpoint_encode(&event, &maker->event));
    stitched_init(&stitched);
    memcpy(stitched.person, person, KEY_SIZE);
    stitched.placement = 1;
    stitched.position = (int64_t)maker->made;
    stitched.channel = touch ? STR("Paid Search") : STR("");
    stitched.has_session_key = true;
    key_of(maker->made / EVENTS_A_SESSION, 2, stitched.session_key);
    stitched.touch = touch ? TOUCH_KIND_VISIT : TOUCH_KIND_NONE;
    stitched.event = buf_str(&maker->event);
    memcpy(key, person, KEY_SIZE);
    put_be64_signed(key + 16, event.occurred_at);
    put_be64_signed(key + 24, event.sequence);
    memcpy(key + 32, event.event_key, KEY_SIZE);
    begin(maker, TOPIC_TOUCHPOINTS, str_make(key, sizeof(key)));
    must(stitched_encode(&stitched, &maker->bytes));
    end(maker);
    maker->made++;
}

static void make_session(struct maker *maker, const uint8_t person[KEY_SIZE], uint64_t number)
{
    struct session session;
    uint8_t key[2 * KEY_SIZE];
    session_init(&session);
    memcpy(session.person, person, KEY_SIZE);
    key_of(number, 2, session.session_key);
    session.started_at = START_MICROS + (int64_t)maker->made * 1000;
    session.ended_at = session.started_at + 60000000;
    session.events = EVENTS_A_SESSION;
    session.channel = STR("Paid Search");
    session.source = STR("google");
    session.medium = STR("cpc");
    session.landing_host = STR("www.example.co.jp");
    session.landing_path = STR("/products/outdoor/tent/12345678");
    session.device_kind = STR("mobile");
    memcpy(key, person, KEY_SIZE);
    memcpy(key + KEY_SIZE, session.session_key, KEY_SIZE);
    begin(maker, TOPIC_SESSIONS, str_make(key, sizeof(key)));
    must(session_encode(&session, &maker->bytes));
    end(maker);
}

static void make_conversion(struct maker *maker, const uint8_t person[KEY_SIZE], uint64_t number)
{
    struct conversion conversion;
    struct path_touch touches[PATH_TOUCHES];
    struct credit credits[MODELS * PATH_TOUCHES];
    char id[32];
    char key[64];
    conversion_init(&conversion);
    memcpy(conversion.person, person, KEY_SIZE);
    int id_size = snprintf(id, sizeof(id), "ORDER-%010llu", (unsigned long long)number);
    conversion.conversion_id = str_make(id, (size_t)id_size);
    conversion.kind = CONVERSION_KIND_CONVERSION;
    key_of(number, 3, conversion.event_key);
    conversion.type = STR("order_completed");
    conversion.order_id = conversion.conversion_id;
    conversion.occurred_at = START_MICROS + (int64_t)maker->made * 1000;
    conversion.revenue_minor = 12980;
    conversion.currency = STR("JPY");
    for (size_t i = 0; i < PATH_TOUCHES; i++) {
        path_touch_init(&touches[i]);
        key_of(number * PATH_TOUCHES + i, 4, touches[i].event_key);
        touches[i].touched_at = conversion.occurred_at - 1000000;
        touches[i].kind = STR("visit");
        touches[i].channel = i % 2 ? STR("Email") : STR("Paid Search");
    }
    conversion.touches = touches;
    conversion.touches_count = PATH_TOUCHES;
    for (size_t i = 0; i < MODELS * PATH_TOUCHES; i++) {
        enum rule_model model = (enum rule_model)(1 + i / PATH_TOUCHES);
        if (model <= RULE_MODEL_LAST_NON_DIRECT && i % PATH_TOUCHES)
            continue;
        credits[conversion.credits_count++] =
            (struct credit){model, (int32_t)(i % PATH_TOUCHES), 200000000, 2596};
    }
    conversion.credits = credits;
    memcpy(key, person, KEY_SIZE);
    memcpy(key + KEY_SIZE, id, (size_t)id_size);
    begin(maker, TOPIC_CONVERSIONS, str_make(key, KEY_SIZE + (size_t)id_size));
    must(conversion_encode(&conversion, &maker->bytes));
    end(maker);
}

static void make_profile(struct maker *maker, const uint8_t person[KEY_SIZE])
{
    struct profile profile;
    struct open_touch touches[3];
    profile_init(&profile);
    memcpy(profile.person, person, KEY_SIZE);
    profile.first_at = START_MICROS;
    profile.last_at = START_MICROS + (int64_t)maker->made * 1000;
    profile.events = EVENTS_A_PERSON;
    for (size_t i = 0; i < 3; i++) {
        open_touch_init(&touches[i]);
        touches[i].touched_at = profile.last_at;
        touches[i].channel = STR("Paid Search");
    }
    profile.open_path = touches;
    profile.open_path_count = maker->made % 4;
    if (profile.open_path_count > 3)
        profile.open_path_count = 3;
    begin(maker, TOPIC_PROFILES, str_make(person, KEY_SIZE));
    must(profile_encode(&profile, &maker->bytes));
    end(maker);
}

static void make_identifier(struct maker *maker, const uint8_t person[KEY_SIZE], uint64_t number)
{
    struct person_of of;
    person_of_init(&of);
    key_of(number, 5, of.node);
    of.namespace = STR("cookie");
    of.value = STR("fb1d3c2a-9a0e-4a6b-8e53-0123456789ab");
    memcpy(of.person, person, KEY_SIZE);
    of.epoch = 1;
    of.why = STR("claim");
    begin(maker, TOPIC_PERSONS, str_make(of.node, KEY_SIZE));
    must(person_of_encode(&of, &maker->bytes));
    end(maker);
}

static int compare_results(const void *a, const void *b)
{
    const struct result *x = a;
    const struct result *y = b;
    if (x->topic != y->topic)
        return x->topic < y->topic ? -1 : 1;
    return str_compare(x->key, y->key);
}

/* Half of a person's events come in one batch, with what follows from them. */
static size_t make_batch(struct maker *maker, uint64_t events, uint64_t persons)
{
    uint8_t person[KEY_SIZE];
    maker->bytes.size = 0;
    maker->slices_count = 0;
    for (uint64_t done = 0; done < events; done += EVENTS_A_PERSON / 2) {
        uint64_t number = next_random(maker) % persons;
        key_of(number, 0, person);
        for (int i = 0; i < EVENTS_A_PERSON / 2; i++) {
            make_event(maker, person, maker->made % EVENTS_A_SESSION == 0);
            if (maker->made % EVENTS_A_SESSION == 0)
                make_session(maker, person, maker->made);
            if (maker->made % EVENTS_A_CONVERSION == 0)
                make_conversion(maker, person, maker->made);
        }
        make_profile(maker, person);
        make_identifier(maker, person, maker->made);
    }
    for (size_t i = 0; i < maker->slices_count; i++) {
        const struct slice *slice = &maker->slices[i];
        maker->results[i] = (struct result){.topic = slice->topic,
            .key = str_make(maker->bytes.data + slice->key, slice->key_size),
            .value = str_make(maker->bytes.data + slice->value, slice->value_size)};
    }
    qsort(maker->results, maker->slices_count, sizeof(*maker->results), compare_results);
    return maker->slices_count;
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

struct cost {
    uint64_t results;
    double seconds;
};

/* One kind of result after the other, in one transaction, to see what each costs. */
static void apply_by_topic(
    struct sink *sink, const struct result_batch *batch, struct cost costs[TOPIC_COUNT])
{
    size_t at = 0;
    while (at < batch->results_count) {
        struct result_batch part = *batch;
        enum topic topic = batch->results[at].topic;
        part.results = &batch->results[at];
        part.results_count = 0;
        while (at < batch->results_count && batch->results[at].topic == topic) {
            part.results_count++;
            at++;
        }
        double before = seconds(CLOCK_MONOTONIC);
        must(sink->apply(sink, &part));
        costs[topic].seconds += seconds(CLOCK_MONOTONIC) - before;
        costs[topic].results += part.results_count;
    }
}

static uint64_t argument(int argc, char **argv, int at, uint64_t otherwise)
{
    return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    uint64_t events = argument(argc, argv, 1, 1000000);
    uint64_t events_batch = argument(argc, argv, 2, 20000);
    uint64_t results_commit = argument(argc, argv, 3, 100000);
    struct database_options options = {.page_size = (int)argument(argc, argv, 4, 0),
        .cache_kib = (int)argument(argc, argv, 5, 0) << 10};
    char dir[] = "/tmp/bench_sqlite_XXXXXX";
    char path[64];
    char command[128];
    struct maker maker = {.random = 88172645463325252u, .bytes = {.size_max = (size_t)8 << 30}};
    struct sink *sink;
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof(path), "%s/tabiji.db", dir);
    maker.slices = malloc(events_batch * 4 * sizeof(*maker.slices));
    maker.results = malloc(events_batch * 4 * sizeof(*maker.results));
    must(sqlite_sink_open(&sink, path, &options));
    double wall = 0;
    double cpu = 0;
    double commits = 0;
    struct cost costs[TOPIC_COUNT] = {0};
    uint64_t rows = 0;
    uint64_t pending = 0;
    while (maker.made < events) {
        struct result_position position = {.topic = "local", .next = (int64_t)maker.made};
        struct result_batch batch = {
            .results = maker.results, .positions = &position, .positions_count = 1};
        batch.results_count = make_batch(&maker, events_batch, events / EVENTS_A_PERSON);
        rows += batch.results_count;
        pending += batch.results_count;
        double wall_before = seconds(CLOCK_MONOTONIC);
        double cpu_before = seconds(CLOCK_PROCESS_CPUTIME_ID);
        apply_by_topic(sink, &batch, costs);
        double commit_before = seconds(CLOCK_MONOTONIC);
        if (pending >= results_commit || maker.made >= events) {
            must(sink->commit(sink));
            pending = 0;
        }
        commits += seconds(CLOCK_MONOTONIC) - commit_before;
        wall += seconds(CLOCK_MONOTONIC) - wall_before;
        cpu += seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
    }
    double wall_before = seconds(CLOCK_MONOTONIC);
    must(sink->sync(sink));
    must(sink->settle(sink));
    double after = seconds(CLOCK_MONOTONIC) - wall_before;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    sink->close(sink);
    printf(
        "%llu events, %llu results: apply and commit %.2f s (cpu %.2f), sync and checkpoint %.2f s:"
        " %.0f events/s, %.0f results/s, peak %ld MiB, cores %ld\n",
        (unsigned long long)maker.made, (unsigned long long)rows, wall, cpu, after,
        (double)maker.made / (wall + after), (double)rows / (wall + after), usage.ru_maxrss / 1024,
        sysconf(_SC_NPROCESSORS_ONLN));
    for (int i = 0; i < TOPIC_COUNT; i++)
        if (costs[i].results)
            printf("  %-12s %8llu results %6.2f s %6.2f us each\n", topic_name((enum topic)i),
                (unsigned long long)costs[i].results, costs[i].seconds,
                costs[i].seconds * 1e6 / (double)costs[i].results);
    printf("  %-12s %31.2f s\n", "commit", commits);
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    free(maker.slices);
    free(maker.results);
    buf_free(&maker.bytes);
    buf_free(&maker.event);
    return getenv("BENCH_KEEP") || system(command) == 0 ? 0 : 1;
}
