/*
 * The identify stage alone, its rows in LMDB without fsync, its mail to timelines counted and
 * dropped: what an event of known identifiers costs, what a new link costs, what an identifier
 * takes.
 *
 *     bench_identity [PERSONS [EVENTS]]
 *
 * Persons are drawn as a shop sees them: some cookies each, a login for two in three, e-mail,
 * phone, orders; one event in two shows a cookie alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "enrich/identity/identify.h"
#include "schemas/identity_message.avro.h"
#include "tests/bench/union_find.h"
#include "tests/sim/sim.h"
#include "tests/sim/solo.h"

#define PERSONS_DEFAULT 100000
#define EVENTS_DEFAULT 500000
#define BATCH 20000
#define IDS_MAX 4
#define NAME_SIZE 48

struct drawn {
    struct identifier ids[IDS_MAX];
    char text[IDS_MAX][NAME_SIZE];
    size_t count;
};

struct log {
    struct append_record *records;
    size_t count;
    struct arena arena;
};

/* The stage, with the mail that it gets counted by kind. */
static struct stage identify;
static uint64_t kinds[IDENTITY_KIND_COUNT];

static int count_kind(void *instance, struct task *task, const struct record *record)
{
    if (record->topic == TOPIC_IDENTITY)
        kinds[record->value.data[0] / 2 % IDENTITY_KIND_COUNT]++; /* the enum, zigzag */
    return identify.process(instance, task, record);
}

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void require(int r, const char *what)
{
    if (r >= 0)
        return;
    (void)fprintf(stderr, "bench_identity: %s: %s\n", what, error_text(r));
    exit(1);
}

static void add(struct drawn *drawn, const char *namespace, uint64_t person, uint64_t which)
{
    char *text = drawn->text[drawn->count];
    uint64_t state = person * 31 + which;
    int size = snprintf(text, NAME_SIZE, "%s%016" PRIx64 "%08" PRIx64,
        namespace[0] == 'e' || namespace[0] == 'p' ? "k1:" : "", sim_random(&state), person);
    drawn->ids[drawn->count++] =
        (struct identifier){.namespace = str_of(namespace), .value = str_make(text, (size_t)size)};
}

static void draw(struct drawn *drawn, uint64_t *random, size_t persons)
{
    uint64_t person = sim_random(random) % persons, kind = sim_random(random) % 100;
    uint64_t cookie = sim_random(random) % (1 + person % 4);
    bool member = person % 3 != 0;
    drawn->count = 0;
    if (kind < 85)
        add(drawn, "cookie", person, 10 + cookie);
    if (kind >= 50 && member)
        add(drawn, "login", person, 1);
    if (kind >= 75)
        add(drawn, "email", person, 2);
    if (kind >= 92)
        add(drawn, "order", person, 100 + sim_random(random) % 4);
    if (drawn->count == 0)
        add(drawn, "phone", person, 3);
}

static void make_log(struct log *log, uint64_t seed, size_t persons, size_t events)
{
    struct drawn drawn;
    struct buf bytes = {0};
    struct node strongest;
    log->arena.size_max = (size_t)16 << 30;
    log->records = calloc(events, sizeof *log->records);
    log->count = events;
    for (size_t i = 0; i < events; i++) {
        struct touchpoint event;
        struct arena scratch = {0};
        touchpoint_init(&event);
        draw(&drawn, &seed, persons);
        event.event_id = STR("0192f3c1-7d3a-7b1e-9c1f-000000000000");
        event.source = STR("ec-web");
        event.type = STR("product_viewed");
        event.occurred_at = 1764000000000000 + (int64_t)i;
        event.identifiers = drawn.ids;
        event.identifiers_count = drawn.count;
        event.has_page = true;
        event.page = (struct page){.host = STR("www.example.co.jp"),
            .path = STR("/shop/category/women/shoes/detail/ABC-12345-6789"),
            .title = STR("ランニングシューズ 軽量 レディース | 公式オンラインストア"),
            .referrer_host = STR("www.google.com")};
        event.properties =
            STR("{\"category\":\"shoes\",\"price\":\"12980\",\"sku\":\"ABC-12345\"}");
        buf_clear(&bytes);
        require(namespace_strongest(
                    namespace_table_default(), drawn.ids, drawn.count, &scratch, &strongest),
            "strongest");
        put_be64(event.event_key, i);
        require(touchpoint_encode(&event, &bytes), "encode");
        struct append_record *record = &log->records[i];
        record->topic = TOPIC_EVENTS;
        require(arena_dup(&log->arena, str_make(strongest.id, KEY_SIZE), &record->key), "memory");
        require(arena_dup(&log->arena, buf_str(&bytes), &record->value), "memory");
        arena_free(&scratch);
    }
    buf_free(&bytes);
}

/* Seconds in process() and settle(); commits are the store's. */
static double run(struct solo *solo, const struct log *log, bool cold, double *commit_s)
{
    double spent = 0, begin;
    *commit_s = 0;
    for (size_t at = 0; at < log->count; at += BATCH) {
        begin = now_s();
        for (size_t i = at; i < log->count && i < at + BATCH; i++) {
            const struct record record = {.topic = TOPIC_EVENTS,
                .position = (int64_t)i,
                .key = log->records[i].key,
                .value = log->records[i].value};
            require(solo_process(solo, &record), "process");
        }
        spent += now_s() - begin;
        begin = now_s();
        require(solo_commit(solo), "commit");
        *commit_s += now_s() - begin;
        if (cold)
            solo_abort(solo);
    }
    return spent;
}

static void report(const char *what, const struct log *log, double spent, double commit,
    const struct solo_counts *before, const struct solo_counts *after)
{
    double events = (double)log->count;
    (void)printf(
        "%-28s %8.0f events/s  %6.0f ns/event  commit %5.0f ns/event  %.3f look-ups/event  "
        "%.3f identity mails/event\n",
        what, events / (spent + commit), spent / events * 1e9, commit / events * 1e9,
        (double)(after->gets - before->gets) / events,
        (double)(after->mails[TOPIC_IDENTITY] - before->mails[TOPIC_IDENTITY]) / events);
}

static size_t table(struct solo *solo, enum table table, size_t identifiers)
{
    size_t rows, bytes;
    require(solo_table_size(solo, table, &rows, &bytes), "table");
    (void)printf("  %-10s %9zu rows  %6.1f bytes/row  %6.1f bytes/identifier\n", table_name(table),
        rows, rows ? (double)bytes / (double)rows : 0, (double)bytes / (double)identifiers);
    return bytes;
}

/* The same records, decoded and joined by the peer; seconds. */
static double run_peer(const struct log *log, size_t identifiers)
{
    struct arena scratch = {0};
    double begin = now_s();
    struct union_find *sets = union_find_new(1024);
    check(sets);
    for (size_t i = 0; i < log->count; i++) {
        struct touchpoint event;
        require(touchpoint_decode(&event, log->records[i].value, &scratch), "decode");
        check(union_find_event(sets, event.identifiers, event.identifiers_count));
        arena_reset(&scratch);
    }
    double spent = now_s() - begin;
    check(union_find_identifiers(sets) == identifiers);
    (void)printf(
        "union-find in memory           %8.0f events/s  %6.0f ns/event  %.1f bytes/identifier\n",
        (double)log->count / spent, spent / (double)log->count * 1e9,
        (double)union_find_bytes(sets) / (double)identifiers);
    union_find_free(sets);
    arena_free(&scratch);
    return spent;
}

static void report_ratio(const struct log *log, size_t identifiers, double spent, double commit)
{
    struct rusage usage;
    double peer = run_peer(log, identifiers);
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("  %.0f identifiers/s; reducers %.1f x the union-find, with durable rows %.1f x "
                 "(goal 5); peak %ld MiB, the log's %.0f MiB in it\n",
        (double)identifiers / (spent + commit), spent / peer, (spent + commit) / peer,
        usage.ru_maxrss / 1024, (double)log->arena.size / (1 << 20));
}

int main(int argc, char **argv)
{
    size_t persons = argc > 1 ? strtoull(argv[1], NULL, 10) : PERSONS_DEFAULT;
    size_t events = argc > 2 ? strtoull(argv[2], NULL, 10) : EVENTS_DEFAULT;
    const struct identify_config config = {
        .namespaces = namespace_table_default(), .tenant_key = "a key of benchmarks"};
    struct log log = {0};
    struct stage stage;
    struct solo *solo;
    double commit;
    uint64_t mails;
    size_t identifiers, bytes;
    make_log(&log, 1, persons, events);
    identify_stage(&identify, &config);
    stage = identify;
    stage.process = count_kind;
    require(solo_new(&stage, &solo), "open");
    (void)printf(
        "%zu persons, %zu events, %ld cores\n", persons, events, sysconf(_SC_NPROCESSORS_ONLN));

    struct solo_counts before = *solo_counts(solo);
    double spent = run(solo, &log, false, &commit), new_commit = commit, new_spent = spent;
    struct solo_counts after = *solo_counts(solo);
    report("new and known", &log, spent, commit, &before, &after);
    mails = after.mails[TOPIC_IDENTITY];
    (void)printf("  %" PRIu64 " new links, %.2f messages each:", kinds[IDENTITY_KIND_ATTACH],
        (double)mails / (double)kinds[IDENTITY_KIND_ATTACH]);
    for (size_t i = 0; i < IDENTITY_KIND_COUNT; i++)
        if (kinds[i])
            (void)printf(" %s %" PRIu64, identity_kind_name((enum identity_kind)i), kinds[i]);
    (void)printf("\n");
    require(solo_table_size(solo, TABLE_PERSON_OF, &identifiers, &bytes), "table");

    before = after;
    spent = run(solo, &log, false, &commit);
    after = *solo_counts(solo);
    report("all known", &log, spent, commit, &before, &after);
    before = after;
    spent = run(solo, &log, true, &commit);
    after = *solo_counts(solo);
    report("all known, cold each batch", &log, spent, commit, &before, &after);

    size_t all = table(solo, TABLE_NODE, identifiers) + table(solo, TABLE_EDGE, identifiers) +
                 table(solo, TABLE_SIGNATURE, identifiers);
    (void)table(solo, TABLE_PERSON_OF, identifiers);
    (void)printf("state: %.1f bytes an identifier (without the published person_of)\n",
        (double)all / (double)identifiers);
    report_ratio(&log, identifiers, new_spent, new_commit);
    solo_free(&solo);
    free(log.records);
    arena_free(&log.arena);
    return 0;
}
