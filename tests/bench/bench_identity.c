/*
 * The identify stage alone, its rows in LMDB without fsync, its mail to timelines counted and
 * dropped: what an event of known identifiers costs, what a new link costs, what an identifier
 * takes.
 *
 *     bench_identity [PERSONS [EVENTS [PAIRS]]]
 *
 * A made-up town, as identity_quality.py has it: households of one to four share a tablet and a
 * telephone; people have a browser or two, change them as time goes by, sign in on some, now and
 * then on a friend's or a shop's kiosk; three in ten never sign in. Events are drawn anew for each
 * turn, so that memory is that of the stage and its rows. PAIRS: a file for the pairs of
 * identifiers that meet in an event, two 32-bit numbers each, of this machine's order: for other
 * peers (identity.py).
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
#define BATCH 250000 /* events a transaction, as the embedded driver has it (local.h) */
#define IDS_MAX 4
#define NAME_SIZE 48

struct drawn {
    struct identifier ids[IDS_MAX];
    char text[IDS_MAX][NAME_SIZE];
    size_t count;
};

/* Who lives with whom. */
struct town {
    size_t persons, events;
    uint32_t *first; /* of a person's household */
    uint8_t *size;   /* of it */
};

/* The next BATCH events, or fewer. */
struct batch {
    const struct town *town;
    uint64_t random;
    size_t at, count; /* of the first; so many */
    struct append_record records[BATCH];
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

/* CPU time: nothing here waits for a disk, and what else the machine does is not counted. */
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
    (void)fprintf(stderr, "bench_identity: %s: %s\n", what, error_text(r));
    exit(1);
}

static void town_make(struct town *town, size_t persons, size_t events)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 3, 4};
    uint64_t random = 7;
    *town = (struct town){.persons = persons, .events = events};
    town->first = malloc(persons * sizeof *town->first);
    town->size = malloc(persons);
    check(town->first && town->size);
    for (size_t person = 0; person < persons;) {
        size_t size = sizes[sim_random(&random) % sizeof sizes];
        if (size > persons - person)
            size = persons - person;
        for (size_t i = 0; i < size; i++) {
            town->first[person + i] = (uint32_t)person;
            town->size[person + i] = (uint8_t)size;
        }
        person += size;
    }
}

/* A value that looks like one: a random part, then what tells it from all others. */
static void add(struct drawn *drawn, const char *namespace, char kind, uint64_t whose)
{
    char *text = drawn->text[drawn->count];
    uint64_t state = whose * 131 + (uint64_t)kind;
    bool pseudonym = namespace[0] == 'e' || namespace[0] == 'p';
    int size = snprintf(text, NAME_SIZE, "%s%016" PRIx64 "%c%08" PRIx64, pseudonym ? "k1:" : "",
        sim_random(&state), kind, whose);
    drawn->ids[drawn->count++] =
        (struct identifier){.namespace = str_of(namespace), .value = str_make(text, (size_t)size)};
}

static bool chance(uint64_t *random, unsigned per_mille)
{
    return sim_random(random) % 1000 < per_mille;
}

/* A browser of the person's at this time: one or two at once, none to two of them changed. */
static void add_browser(
    struct drawn *drawn, uint64_t *random, const struct town *town, size_t person, size_t at)
{
    uint64_t habits = person * 2654435761u >> 7, devices = 1 + habits % 2,
             eras = 1 + habits / 2 % 3;
    uint64_t device = sim_random(random) % devices, era = at * eras / town->events;
    add(drawn, "cookie", 'c', person * 8 + device * 4 + era);
}

static void draw(struct drawn *drawn, uint64_t *random, const struct town *town, size_t at)
{
    size_t person = sim_random(random) % town->persons;
    unsigned kind = (unsigned)(sim_random(random) % 1000);
    bool member = person % 10 < 7, writes = person / 10 % 10 < 6;
    bool kiosk = kind >= 170 && kind < 180;
    drawn->count = 0;
    if (kind < 120 && town->size[person] > 1)
        add(drawn, "cookie", 't', town->first[person]);
    else if (kind >= 120 && kind < 170)
        add(drawn, "phone", 'p', town->first[person]);
    else if (kiosk)
        add(drawn, "cookie", 'k', sim_random(random) % (town->persons / 500 + 1));
    else if (kind >= 180 && kind < 185)
        add_browser(drawn, random, town, sim_random(random) % town->persons, at);
    else
        add_browser(drawn, random, town, person, at);
    if (member && (kiosk || chance(random, 400)))
        add(drawn, "login", 'u', person);
    if (writes && chance(random, 100))
        add(drawn, "email", 'm', person);
    if (drawn->count < IDS_MAX && chance(random, 50))
        add(drawn, "order", 'o', at);
}

static void make_record(
    struct batch *batch, const struct drawn *drawn, size_t at, struct append_record *record)
{
    struct node strongest;
    struct arena scratch = {0};
    struct buf bytes = {0};
    struct touchpoint event;
    touchpoint_init(&event);
    event.event_id = STR("0192f3c1-7d3a-7b1e-9c1f-000000000000");
    event.source = STR("ec-web");
    event.type = STR("product_viewed");
    event.occurred_at = 1764000000000000 + (int64_t)at;
    event.identifiers = (struct identifier *)(uintptr_t)drawn->ids;
    event.identifiers_count = drawn->count;
    event.has_page = true;
    event.page = (struct page){.host = STR("www.example.co.jp"),
        .path = STR("/shop/category/women/shoes/detail/ABC-12345-6789"),
        .title = STR("ランニングシューズ 軽量 レディース | 公式オンラインストア"),
        .referrer_host = STR("www.google.com")};
    event.properties = STR("{\"category\":\"shoes\",\"price\":\"12980\",\"sku\":\"ABC-12345\"}");
    require(namespace_strongest(
                namespace_table_default(), drawn->ids, drawn->count, &scratch, &strongest),
        "strongest");
    put_be64(event.event_key, at);
    require(touchpoint_encode(&event, &bytes), "encode");
    record->topic = TOPIC_EVENTS;
    require(arena_dup(&batch->arena, str_make(strongest.id, KEY_SIZE), &record->key), "memory");
    require(arena_dup(&batch->arena, buf_str(&bytes), &record->value), "memory");
    arena_free(&scratch);
    buf_free(&bytes);
}

static void batch_begin(struct batch *batch, const struct town *town)
{
    batch->town = town;
    batch->random = 1;
    batch->at = batch->count = 0;
}

/* False at the end. */
static bool batch_next(struct batch *batch)
{
    struct drawn drawn;
    batch->at += batch->count;
    batch->count = batch->town->events - batch->at;
    if (batch->count > BATCH)
        batch->count = BATCH;
    arena_reset(&batch->arena);
    for (size_t i = 0; i < batch->count; i++) {
        draw(&drawn, &batch->random, batch->town, batch->at + i);
        make_record(batch, &drawn, batch->at + i, &batch->records[i]);
    }
    return batch->count > 0;
}

/* Seconds in process() and settle(); commits are the store's. */
static double run(
    struct solo *solo, struct batch *batch, const struct town *town, bool cold, double *commit_s)
{
    double spent = 0, begin;
    *commit_s = 0;
    batch_begin(batch, town);
    while (batch_next(batch)) {
        begin = now_s();
        for (size_t i = 0; i < batch->count; i++) {
            const struct record record = {.topic = TOPIC_EVENTS,
                .position = (int64_t)(batch->at + i),
                .key = batch->records[i].key,
                .value = batch->records[i].value};
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

static void report(const char *what, const struct town *town, double spent, double commit,
    const struct solo_counts *before, const struct solo_counts *after)
{
    double events = (double)town->events;
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

/* ---- peers ---- */

/* The same records, decoded and joined by the peer; seconds. */
static double run_peer(
    struct union_find *sets, struct batch *batch, const struct town *town, size_t identifiers)
{
    struct arena scratch = {0};
    double spent = 0;
    batch_begin(batch, town);
    while (batch_next(batch)) {
        double begin = now_s();
        for (size_t i = 0; i < batch->count; i++) {
            struct touchpoint event;
            require(touchpoint_decode(&event, batch->records[i].value, &scratch), "decode");
            check(union_find_event(sets, event.identifiers, event.identifiers_count));
            arena_reset(&scratch);
        }
        spent += now_s() - begin;
    }
    check(union_find_identifiers(sets) == identifiers);
    double events = (double)town->events;
    (void)printf(
        "union-find in memory         %8.0f events/s  %6.0f ns/event  %.1f bytes/identifier\n",
        events / spent, spent / events * 1e9, (double)union_find_bytes(sets) / (double)identifiers);
    arena_free(&scratch);
    return spent;
}

/* Pairs as numbers, in *out (free it); how many. */
static size_t make_pairs(struct union_find *sets, const struct town *town, uint32_t (**out)[2])
{
    size_t count = 0, room = 1024;
    uint64_t random = 1;
    struct drawn drawn;
    *out = malloc(room * sizeof **out);
    for (size_t at = 0; at < town->events; at++) {
        draw(&drawn, &random, town, at);
        for (size_t i = 1; i < drawn.count; i++) {
            if (count == room)
                *out = realloc(*out, (room *= 2) * sizeof **out);
            check(*out);
            (*out)[count][0] = union_find_index(sets, &drawn.ids[0]);
            (*out)[count++][1] = union_find_index(sets, &drawn.ids[i]);
        }
    }
    return count;
}

static uint32_t root_of(uint32_t *parents, uint32_t node)
{
    while (parents[node] != node)
        node = parents[node] = parents[parents[node]];
    return node;
}

/* The least that there is to do: numbers joined, nothing decoded, nothing looked up. */
static void run_numbers(struct union_find *sets, const struct town *town, const char *path)
{
    uint32_t(*pairs)[2];
    size_t count = make_pairs(sets, town, &pairs), identifiers = union_find_identifiers(sets);
    size_t components = identifiers;
    double begin = now_s();
    uint32_t *parents = malloc(identifiers * sizeof *parents);
    check(parents);
    for (size_t i = 0; i < identifiers; i++)
        parents[i] = (uint32_t)i;
    for (size_t i = 0; i < count; i++) {
        uint32_t a = root_of(parents, pairs[i][0]), b = root_of(parents, pairs[i][1]);
        parents[b] = a;
        components -= a != b;
    }
    double spent = now_s() - begin;
    (void)printf("pairs as numbers: %zu pairs, %zu identifiers, %zu components, union-find in C "
                 "%.1f ms\n",
        count, identifiers, components, spent * 1e3);
    FILE *file = path ? fopen(path, "wbe") : NULL;
    bool written = !path || (file && fwrite(pairs, sizeof *pairs, count, file) == count);
    written &= !file || fclose(file) == 0;
    require(written ? 0 : ERR_IO, "the file of pairs");
    free(parents);
    free(pairs);
}

/* Anonymous memory now, MiB; 0 where the system does not say. */
static long anonymous_mib(void)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %ld", &kib) == 1)
            break;
    if (file)
        (void)fclose(file);
    return kib / 1024;
}

static void report_new(const struct solo_counts *after)
{
    (void)printf("  %" PRIu64 " new links, %.2f messages each:", kinds[IDENTITY_KIND_ATTACH],
        (double)after->mails[TOPIC_IDENTITY] / (double)kinds[IDENTITY_KIND_ATTACH]);
    for (size_t i = 0; i < IDENTITY_KIND_COUNT; i++)
        if (kinds[i])
            (void)printf(" %s %" PRIu64, identity_kind_name((enum identity_kind)i), kinds[i]);
    (void)printf("\n");
}

/* Rows of the state, and what they are in bytes an identifier. */
static size_t report_state(struct solo *solo)
{
    size_t identifiers, bytes;
    require(solo_table_size(solo, TABLE_PERSON_OF, &identifiers, &bytes), "table");
    size_t all = table(solo, TABLE_NODE, identifiers) + table(solo, TABLE_EDGE, identifiers) +
                 table(solo, TABLE_SIGNATURE, identifiers);
    (void)table(solo, TABLE_PERSON_OF, identifiers);
    (void)printf("state: %.1f bytes an identifier (goal 150; without the published person_of)\n",
        (double)all / (double)identifiers);
    return identifiers;
}

static void turn(
    struct solo *solo, const char *what, struct batch *batch, const struct town *town, bool cold)
{
    double commit;
    struct solo_counts before = *solo_counts(solo);
    double spent = run(solo, batch, town, cold, &commit);
    struct solo_counts after = *solo_counts(solo);
    report(what, town, spent, commit, &before, &after);
}

int main(int argc, char **argv)
{
    static struct batch batch;
    const struct identify_config config = {
        .namespaces = namespace_table_default(), .tenant_key = "a key of benchmarks"};
    struct town town;
    struct stage stage;
    struct solo *solo;
    struct rusage usage;
    double commit;
    town_make(&town, argc > 1 ? strtoull(argv[1], NULL, 10) : PERSONS_DEFAULT,
        argc > 2 ? strtoull(argv[2], NULL, 10) : EVENTS_DEFAULT);
    batch.arena.size_max = (size_t)1 << 30;
    identify_stage(&identify, &config);
    stage = identify;
    stage.process = count_kind;
    require(solo_new(&stage, &solo), "open");
    (void)printf("%zu persons, %zu events, %ld cores; times are CPU\n", town.persons, town.events,
        sysconf(_SC_NPROCESSORS_ONLN));

    struct solo_counts before = *solo_counts(solo);
    double spent = run(solo, &batch, &town, false, &commit);
    struct solo_counts after = *solo_counts(solo);
    report("new and known", &town, spent, commit, &before, &after);
    report_new(&after);
    (void)getrusage(RUSAGE_SELF, &usage);
    long anonymous = anonymous_mib();
    turn(solo, "all known", &batch, &town, false);
    turn(solo, "all known, cold each batch", &batch, &town, true);
    size_t identifiers = report_state(solo);
    solo_free(&solo);

    struct union_find *sets = union_find_new(1024);
    check(sets);
    double peer = run_peer(sets, &batch, &town, identifiers);
    (void)printf("  %.0f identifiers/s; reducers %.1f x the union-find, with durable rows %.1f x "
                 "(goal 5); peak %ld MiB with mapped rows, %ld MiB of the process's own\n",
        (double)identifiers / (spent + commit), spent / peer, (spent + commit) / peer,
        usage.ru_maxrss / 1024, anonymous);
    run_numbers(sets, &town, argc > 3 ? argv[3] : NULL);
    union_find_free(sets);
    arena_free(&batch.arena);
    free(town.first);
    free(town.size);
    return 0;
}
