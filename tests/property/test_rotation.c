/*
 * A rotation of the tenant key changes no person: random cases of identity whose e-mails and phones
 * are pseudonyms, some events under each of up to three keys, pairs told among them; under the
 * simulator they end where the meaning of the same events under the first key alone says.
 *
 *     property_rotation ordered|any|erase [--part] [--long] [SEED [COUNT]]
 *
 * ordered: pairs are told, with events of the older key, before events of the next, as doors do;
 * the case's own limits. any: everything in any order, limits out of reach (what is generic stays
 * so, though it was by a pair not told yet). erase: as ordered, one after the other, with persons
 * erased, and erasures lifted, on the way, against a run of the same without a rotation.
 * TABIJI_SEED likewise.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "enrich/identity/identify.h"
#include "enrich/identity/owner.h"
#include "enrich/identity/person.h"
#include "enrich/identity/suppression.h"
#include "enrich/journey/journey.h"
#include "ingest/rotation.h"
#include "schemas/error.h"
#include "schemas/identity_node.avro.h"
#include "schemas/person_of.avro.h"
#include "schemas/rejected.avro.h"
#include "schemas/stitched.avro.h"
#include "tests/property/draw.h"
#include "tests/property/meaning.h"
#include "tests/property/random.h"
#include "tests/property/web.h"
#include "tests/sim/sim.h"

#define CASES_DEFAULT 2000
#define CASES_LONG 100000
#define SKIPPED 77
#define KEYS_MAX 3
#define TIMES 9
#define LOG_MAX 1024
#define NAMES_MAX 256
#define LIMIT_FAR 1000
#define SIGNATURES_MAX 1024
#define SCHEDULES_MAX                                                                              \
    60 /* of a run without a rotation, before its erasures are taken to be certain */

enum mode { MODE_ORDERED, MODE_ANY, MODE_ERASE };
static enum mode mode;
static const char *const mode_names[] = {"ordered", "any", "erase"};

/* A pseudonym's node, and that of the first key. */
struct name {
    uint8_t node[KEY_SIZE];
    uint8_t first[KEY_SIZE];
    int key;
};

/* One record of the log, with the number of its phase. */
struct entry {
    struct append_record record;
    size_t event; /* index, or SIZE_MAX for a pair */
    int phase;
};

struct test {
    struct identity_case plain; /* everything under the first key */
    struct append_record rotated[CASE_EVENTS_MAX];
    int keys[CASE_EVENTS_MAX]; /* of each event */
    struct name names[NAMES_MAX];
    size_t names_count;
    struct entry log[LOG_MAX];
    size_t log_count;
    bool kept[CASE_EVENTS_MAX]; /* it is in the log */
    struct meaning meaning;
    struct arena *arena;
};

/* What stands at rest. */
struct run {
    const struct test *test;
    size_t seen[CASE_EVENTS_MAX];
    uint8_t place[CASE_EVENTS_MAX][KEY_SIZE];
    uint8_t forgotten[SIGNATURES_MAX][KEY_SIZE + SIGNATURE_SIZE];
    size_t forgotten_count;
    uint8_t suppressed[CASE_NODES_MAX][KEY_SIZE];
    size_t suppressed_count;
    uint8_t generic[CASE_NODES_MAX][KEY_SIZE];
    size_t generic_count;
    const char *wrong;
};

static const uint8_t tenant_key[32] = "a key of tests, not of tenants";
static struct hmac_key person_key;
static uint64_t newer_events, pairs_told, erased_events, apart, renamed_rows, by_schedule,
    by_schedule_rotated;

static void find(struct run *run, const char *wrong)
{
    if (!run->wrong)
        run->wrong = wrong;
}

/* ---- cases ---- */

static bool has_pseudonyms(struct str namespace)
{
    return str_equal(namespace, STR("email")) || str_equal(namespace, STR("phone"));
}

static struct identifier under_key(const struct identifier *plain, int key, struct arena *arena)
{
    struct identifier out = *plain;
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    char text[40];
    if (!has_pseudonyms(plain->namespace))
        return out;
    sha256_init(&hash);
    sha256_update(&hash, str_make(&key, sizeof key));
    sha256_update(&hash, plain->value);
    sha256_final(&hash, digest);
    (void)snprintf(text, sizeof text, "k%d:", key);
    hex_encode(digest, 16, text + 3);
    check(arena_dup(arena, str_make(text, 3 + 32), &out.value) == 0);
    return out;
}

static void node_of(const struct namespace_table *table, const struct identifier *identifier,
    uint8_t node[KEY_SIZE])
{
    namespace_node_id(table, namespace_rank(table, identifier->namespace), identifier->value, node);
}

static void keep_names(struct test *test, const struct identifier *plain)
{
    struct name name;
    struct identifier first = under_key(plain, 1, test->arena);
    node_of(&test->plain.namespaces, &first, name.first);
    for (name.key = 1; name.key <= KEYS_MAX && has_pseudonyms(plain->namespace); name.key++) {
        struct identifier other = under_key(plain, name.key, test->arena);
        node_of(&test->plain.namespaces, &other, name.node);
        for (size_t i = 0; i < test->names_count; i++)
            if (memcmp(test->names[i].node, name.node, KEY_SIZE) == 0)
                return;
        check(test->names_count < NAMES_MAX);
        test->names[test->names_count++] = name;
    }
}

/* The event under a key: its record, and, for the first key, what the meaning reads. */
static void encode(struct test *test, size_t index, int key, struct append_record *out)
{
    struct case_event *to = &test->plain.events[index];
    struct identifier *ids = arena_alloc(test->arena, EVENT_IDENTIFIERS_MAX * sizeof *ids);
    struct touchpoint event;
    struct node strongest;
    CLEANUP(buf_free) struct buf bytes = {0};
    check(ids && touchpoint_decode(&event, to->record.value, test->arena) == 0);
    for (size_t i = 0; i < event.identifiers_count; i++) {
        keep_names(test, &event.identifiers[i]);
        ids[i] = under_key(&event.identifiers[i], key, test->arena);
    }
    event.identifiers = ids;
    if (event.has_evidence) {
        struct identifier a = {event.evidence.a_namespace, event.evidence.a_value, 0};
        struct identifier b = {event.evidence.b_namespace, event.evidence.b_value, 0};
        keep_names(test, &a);
        keep_names(test, &b);
        event.evidence.a_value = under_key(&a, key, test->arena).value;
        event.evidence.b_value = under_key(&b, key, test->arena).value;
        a.value = event.evidence.a_value;
        b.value = event.evidence.b_value;
        if (key == 1) {
            uint8_t ends[2][KEY_SIZE];
            node_of(&test->plain.namespaces, &a, ends[0]);
            node_of(&test->plain.namespaces, &b, ends[1]);
            int first = memcmp(ends[0], ends[1], KEY_SIZE) < 0 ? 0 : 1;
            memcpy(to->strong, ends[first], KEY_SIZE);
            memcpy(to->weak, ends[1 - first], KEY_SIZE);
        }
    }
    check(namespace_strongest(
              &test->plain.namespaces, ids, event.identifiers_count, test->arena, &strongest) == 0);
    if (key == 1)
        check(
            signature_of_event(&test->plain.namespaces, &event, test->arena, &to->signature) == 0);
    out->topic = TOPIC_EVENTS;
    check(touchpoint_encode(&event, &bytes) == 0);
    check(arena_dup(test->arena, str_make(strongest.id, KEY_SIZE), &out->key) == 0);
    check(arena_dup(test->arena, buf_str(&bytes), &out->value) == 0);
}

static void add_entry(
    struct test *test, const struct append_record *record, size_t event, int phase)
{
    check(test->log_count < LOG_MAX);
    test->log[test->log_count++] = (struct entry){*record, event, phase};
}

/* Doors tell the pair of each value of an event that they see while its key is the older one. */
static void add_pairs(struct test *test, const struct append_record *plain, int key)
{
    struct identifier_config config = {.namespaces = &test->plain.namespaces};
    struct rotation_list list = {.count = 0};
    struct touchpoint event;
    check(touchpoint_decode(&event, plain->value, test->arena) == 0);
    config.next.since = key;
    for (size_t i = 0; i < event.identifiers_count; i++) {
        const struct identifier *id = &event.identifiers[i];
        struct identifier_pair pair = {id->namespace, under_key(id, key, test->arena).value,
            under_key(id, key + 1, test->arena).value};
        if (has_pseudonyms(id->namespace))
            check(rotation_add(&list, &config, &pair, NULL, test->arena) == 0);
    }
    for (size_t i = 0; i < list.count; i++)
        add_entry(test, &list.records[i], SIZE_MAX, key - 1);
    pairs_told += list.count;
}

static void add_words(struct test *test, struct random *random, enum case_kind kind)
{
    struct identity_case *given = &test->plain;
    size_t count = kind == CASE_ERASURE ? 1 + random_below(random, 2) : random_below(random, 6);
    for (size_t i = 0; i < count && given->events_count < CASE_EVENTS_MAX; i++) {
        struct case_word word = {
            .kind = kind,
            .a = random_below(random, given->roots_count),
            .b = random_below(random, given->roots_count),
            .time = (int64_t)random_below(random, TIMES + 1),
            .sign = random_once_in(random, 2) ? 1 : -1,
            .authority = random_once_in(random, 2) ? 0 : 100,
        };
        if (kind == CASE_ERASURE)
            word.b = word.a;
        if (kind == CASE_ERASURE || word.a != word.b)
            check(identity_case_add(given, &word, test->arena) == 0);
    }
}

/* Every value whose newer pseudonym some event bears is told of, by an event of its own where none
 * shows it before: else the two were two values. */
static void make_log(struct test *test, struct random *random)
{
    int keys = 2 + random_once_in(random, 3);
    for (size_t i = 0; i < test->plain.events_count; i++) {
        struct append_record plain = test->plain.events[i].record;
        test->keys[i] = 1 + (int)random_below(random, (size_t)keys);
        encode(test, i, 1, &test->rotated[i]);
        struct append_record first = test->rotated[i];
        encode(test, i, test->keys[i], &test->rotated[i]);
        newer_events += test->keys[i] > 1;
        add_entry(test, &test->rotated[i], i, test->keys[i] - 1);
        if (random_once_in(random, 3))
            add_entry(test, &test->rotated[i], i, test->keys[i] - 1);
        for (int key = 1; key < keys; key++)
            add_pairs(test, &plain, key);
        struct touchpoint event;
        check(touchpoint_decode(&event, plain.value, test->arena) == 0);
        if (event.has_evidence) {
            struct identifier ends[2] = {{event.evidence.a_namespace, event.evidence.a_value, 0},
                {event.evidence.b_namespace, event.evidence.b_value, 0}};
            event.identifiers = ends;
            event.identifiers_count = 2;
            CLEANUP(buf_free) struct buf bytes = {0};
            check(touchpoint_encode(&event, &bytes) == 0);
            plain.value = buf_str(&bytes);
            for (int key = 1; key < keys; key++)
                add_pairs(test, &plain, key);
        }
        test->plain.events[i].record = first;
    }
}

static void order_log(struct test *test, struct random *random)
{
    struct entry *log = test->log;
    for (size_t i = test->log_count; i > 1; i--) {
        size_t other = random_below(random, i);
        struct entry swap = log[i - 1];
        log[i - 1] = log[other];
        log[other] = swap;
    }
    for (size_t i = 1; mode != MODE_ANY && i < test->log_count; i++) { /* stable, by phase */
        struct entry entry = log[i];
        size_t at = i;
        for (; at > 0 && log[at - 1].phase > entry.phase; at--)
            log[at] = log[at - 1];
        log[at] = entry;
    }
}

/* ---- reading what stands ---- */

static int visit_stitched(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct stitched row;
    const uint8_t *bytes = (const uint8_t *)key.data;
    uint64_t index = get_be64(bytes + key.size - KEY_SIZE);
    if (stitched_decode(&row, value, &arena) < 0 || index >= run->test->plain.events_count ||
        memcmp(row.person, bytes, KEY_SIZE) != 0) {
        find(run, "a row of the timeline"); /* also that of a pair, whose key is a hash */
    } else {
        run->seen[index]++;
        memcpy(run->place[index], row.person, KEY_SIZE);
    }
    arena_free(&arena);
    return 0;
}

static int visit_rejected(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct rejected row;
    if (rejected_decode(&row, value, &arena) == 0)
        (void)fprintf(stderr, "rejected: %.*s\n", (int)row.reason.size, row.reason.data);
    arena_free(&arena);
    find(run, "something was rejected");
    return 0;
}

static int visit_signature(void *context, struct str key, struct str value)
{
    struct run *run = context;
    if (key.size == KEY_SIZE + SIGNATURE_SIZE && value.size) {
        check(run->forgotten_count < SIGNATURES_MAX);
        memcpy(run->forgotten[run->forgotten_count++], key.data, key.size);
    } else if (key.size == KEY_SIZE + 1 && key.data[KEY_SIZE] == OWNER_SUPPRESSION_MARK &&
               get_be64_signed((const uint8_t *)value.data) != SUPPRESSION_NEVER) {
        check(run->suppressed_count < CASE_NODES_MAX);
        memcpy(run->suppressed[run->suppressed_count++], key.data, KEY_SIZE);
    }
    return 0;
}

static int visit_node(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct identity_node row;
    if (identity_node_decode(&row, value, &arena) < 0)
        find(run, "a row of node");
    else if (row.flags & OWNER_GENERIC && run->generic_count < CASE_NODES_MAX)
        memcpy(run->generic[run->generic_count++], key.data, KEY_SIZE);
    arena_free(&arena);
    return 0;
}

static const struct name *name_of(const struct test *test, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < test->names_count; i++)
        if (memcmp(test->names[i].node, node, KEY_SIZE) == 0)
            return &test->names[i];
    return NULL;
}

/* Each pseudonym is its value's person, and a newer one says whose. */
static int visit_person(void *context, struct str key, struct str value)
{
    struct run *run = context;
    struct arena arena = {0};
    struct person_of row;
    uint8_t person[KEY_SIZE];
    if (key.size == OWNER_REFUSED_KEY_SIZE)
        return 0; /* what came after an erasure */
    int r = person_of_decode(&row, value, &arena);
    const struct name *name = r < 0 ? NULL : name_of(run->test, row.node);
    const struct name *older = r < 0 ? NULL : name_of(run->test, row.older);
    const struct meaning *meaning = &run->test->meaning;
    size_t node = r < 0 ? SIZE_MAX : meaning_find(meaning, name ? name->first : row.node);
    if (r < 0 || !str_equal(key, str_make(row.node, KEY_SIZE))) {
        find(run, "a row of person_of");
    } else if (node != SIZE_MAX) {
        person_id(&person_key, meaning->nodes[meaning->root[node]], person);
        if (memcmp(person, row.person, KEY_SIZE) != 0)
            find(run, "person of an identifier");
        bool newer = name && name->key > 1;
        renamed_rows += newer;
        if (newer != str_equal(row.why, STR("rotated")) || newer != row.has_older)
            find(run, "why");
        if (newer && (!older || older->key != name->key - 1 ||
                         memcmp(older->first, name->first, KEY_SIZE) != 0))
            find(run, "older pseudonym");
    }
    arena_free(&arena);
    return 0;
}

/* ---- running ---- */

static int feed(const struct test *test, struct sim *sim, struct random *random, bool rotated)
{
    int phase = 0;
    for (size_t i = 0; i < test->log_count; i++) {
        const struct entry *entry = &test->log[i];
        bool pair = entry->event == SIZE_MAX;
        if (pair && !rotated)
            continue;
        bool quiet = mode == MODE_ERASE || (mode == MODE_ORDERED && entry->phase != phase);
        int r = quiet ? sim_run(sim, SIZE_MAX) : 0;
        phase = entry->phase;
        if (r == 0)
            r = sim_append(
                sim, rotated || pair ? &entry->record : &test->plain.events[entry->event].record);
        if (r == 0 && random_once_in(random, 2))
            r = sim_run(sim, random_below(random, 24));
        if (r < 0)
            return r;
    }
    return sim_run(sim, SIZE_MAX);
}

static int read_all(struct run *run, struct sim *sim)
{
    int r = sim_results(sim, TOPIC_REJECTED, visit_rejected, run);
    if (r == 0)
        r = sim_table(sim, TABLE_TIMELINE, visit_stitched, run);
    if (r == 0)
        r = sim_table(sim, TABLE_SIGNATURE, visit_signature, run);
    if (r == 0)
        r = sim_table(sim, TABLE_NODE, visit_node, run);
    if (r == 0 && mode != MODE_ERASE)
        r = sim_results(sim, TOPIC_PERSONS, visit_person, run);
    return r;
}

static void run_case(struct run *run, const struct test *test, uint64_t seed, bool rotated)
{
    static const int32_t partitions[] = {1, 3, 8};
    static const size_t batches[] = {1, 4, 16};
    struct random random = {seed};
    struct identify_config config = {.namespaces = &test->plain.namespaces};
    struct journey_config journey;
    struct stage stages[2];
    struct sim *sim;
    *run = (struct run){.test = test};
    memcpy(config.tenant_key, tenant_key, sizeof tenant_key);
    const struct sim_config sim_config = {
        .seed = random_next(&random),
        .partitions = partitions[random_below(&random, 3)],
        .crash_percent = random_once_in(&random, 2) ? 20 : 0,
        .batch_max = batches[random_below(&random, 3)],
    };
    identify_stage(&stages[0], &config);
    journey_config_default(&journey);
    journey.namespaces = &test->plain.namespaces;
    journey_stage(&stages[1], &journey);
    int r = sim_new(&sim_config, stages, 2, &sim);
    if (r < 0) {
        find(run, error_text(r));
        return;
    }
    r = feed(test, sim, &random, rotated);
    if (r == 0)
        r = read_all(run, sim);
    if (r < 0)
        find(run, error_text(r));
    sim_free(&sim);
}

/* ---- judging ---- */

static void check_meaning(struct run *run)
{
    const struct test *test = run->test;
    uint8_t person[KEY_SIZE];
    for (size_t i = 0; i < test->plain.events_count; i++) {
        if (!test->kept[i])
            continue;
        size_t root = meaning_place(&test->meaning, &test->plain.events[i].signature);
        person_id(&person_key, test->meaning.nodes[root], person);
        if (run->seen[i] != 1)
            find(run, "an event stands not once");
        else if (memcmp(run->place[i], person, KEY_SIZE) != 0)
            find(run, "place");
    }
}

static bool among(const uint8_t (*nodes)[KEY_SIZE], size_t count, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(nodes[i], node, KEY_SIZE) == 0)
            return true;
    return false;
}

/* The limit that rotation.h names: without a rotation the event is kept away by its signature, and
 * by that alone. */
static bool by_signature_alone(const struct run *plain, const struct case_event *event)
{
    uint8_t digest[SHA256_SIZE];
    struct signature_node chain[NODES_MAX];
    (void)signature_chain(&event->signature, chain);
    signature_digest(&event->signature, digest);
    if (among((const uint8_t(*)[KEY_SIZE])plain->suppressed, plain->suppressed_count,
            event->signature.members[0]))
        return false;
    for (size_t i = 0; i < plain->forgotten_count; i++)
        if (memcmp(plain->forgotten[i], chain[0].id, KEY_SIZE) == 0 &&
            memcmp(plain->forgotten[i] + KEY_SIZE, digest, SIGNATURE_SIZE) == 0)
            return true;
    return false;
}

/* The same events stand, with the same persons, as without a rotation; but for cases at that limit.
 */
static void check_same(struct run *run, const struct run *plain)
{
    const struct test *test = run->test;
    bool limit = false;
    for (size_t i = 0; i < test->plain.events_count; i++)
        limit |= test->kept[i] && test->keys[i] > 1 && !plain->seen[i] &&
                 by_signature_alone(plain, &test->plain.events[i]);
    for (size_t i = 0; i < test->plain.events_count && !limit; i++) {
        erased_events += test->plain.events[i].kind == CASE_EVENT && !plain->seen[i];
        if (run->seen[i] != plain->seen[i])
            find(run, run->seen[i] ? "an event stands that an erasure took"
                                   : "an event is gone that no erasure took");
    }
    apart += limit;
    for (size_t i = 0; i < test->plain.events_count && !limit; i++)
        if (run->seen[i] && memcmp(run->place[i], plain->place[i], KEY_SIZE) != 0)
            find(run, "another person than without a rotation");
    for (size_t i = 0; i < test->names_count && !limit; i++) {
        const struct name *name = &test->names[i];
        if (among((const uint8_t(*)[KEY_SIZE])plain->suppressed, plain->suppressed_count,
                name->first) &&
            name->key <= 2 &&
            !among((const uint8_t(*)[KEY_SIZE])run->suppressed, run->suppressed_count, name->node))
            find(run, "an erased value's pseudonym is not suppressed");
    }
}

/* Another schedule of the rotated run ends as the plain one did. */
static bool agrees_once(const struct run *plain, uint64_t seed)
{
    static struct run run;
    for (uint64_t other = 1; other <= SCHEDULES_MAX; other++) {
        run_case(&run, plain->test, seed + SCHEDULES_MAX + other, true);
        if (!run.wrong)
            check_same(&run, plain);
        if (!run.wrong)
            return true;
    }
    return false;
}

/* What an erasure takes depends, without a rotation too, on when it reaches the timeline. So the
 * run is compared with several; where these differ among themselves, no more is asked. The same
 * where schedules of the rotated run do: links that are taken back go a step more. */
static const char *judge_erasure(const struct run *run, uint64_t seed)
{
    static struct run plain, before, judged;
    for (uint64_t other = 1; other <= SCHEDULES_MAX; other++) {
        before = plain;
        run_case(&plain, run->test, seed + other, false);
        if (plain.wrong)
            return plain.wrong;
        if (other > 1 && memcmp(before.seen, plain.seen, sizeof plain.seen) != 0) {
            by_schedule++;
            return NULL;
        }
        judged = *run;
        check_same(&judged, &plain);
        if (!judged.wrong)
            return NULL;
    }
    bool agrees = agrees_once(&plain, seed);
    by_schedule_rotated += agrees;
    return agrees ? NULL : judged.wrong;
}

static const char *judge(struct test *test, uint64_t seed)
{
    static struct run run;
    memset(test->kept, false, sizeof test->kept);
    for (size_t i = 0; i < test->log_count; i++)
        if (test->log[i].event != SIZE_MAX)
            test->kept[test->log[i].event] = true;
    if (mode != MODE_ERASE)
        meaning_solve(&test->meaning, &test->plain, test->kept, NULL, 0);
    run_case(&run, test, seed, true);
    if (run.wrong)
        return run.wrong;
    if (mode != MODE_ERASE) {
        check_meaning(&run);
        return run.wrong;
    }
    return judge_erasure(&run, seed);
}

/* ---- cases ---- */

static void print_log(const struct test *test)
{
    for (size_t i = 0; i < test->log_count; i++) {
        CLEANUP(arena_free) struct arena arena = {0};
        struct touchpoint event;
        check(touchpoint_decode(&event, test->log[i].record.value, &arena) == 0);
        (void)fprintf(
            stderr, "  %d %.*s", test->log[i].phase, (int)event.type.size, event.type.data);
        for (size_t k = 0; k < event.identifiers_count; k++)
            (void)fprintf(stderr, " %.*s=%.*s", (int)event.identifiers[k].namespace.size,
                event.identifiers[k].namespace.data,
                event.identifiers[k].value.size > 7 ? 7 : (int)event.identifiers[k].value.size,
                event.identifiers[k].value.data);
        if (event.has_evidence)
            (void)fprintf(stderr, " | %.7s %.7s %d", event.evidence.a_value.data,
                event.evidence.b_value.data, event.evidence.sign);
        (void)fprintf(stderr, "\n");
    }
}

static const char *judge_log(struct test *test, struct entry *log, size_t count, uint64_t seed)
{
    memcpy(test->log, log, count * sizeof *log);
    test->log_count = count;
    return judge(test, seed);
}

/* Leaves out entries, but pairs, as long as it fails. */
static void shrink(struct test *test, const char *wrong, uint64_t seed)
{
    static struct entry least[LOG_MAX], part[LOG_MAX];
    size_t count = test->log_count;
    memcpy(least, test->log, count * sizeof *least);
    for (size_t size = count / 2; size > 0; size /= 2)
        for (size_t i = 0; i < count;) {
            size_t left = 0;
            for (size_t k = 0; k < count; k++)
                if (k < i || k >= i + size || least[k].event == SIZE_MAX)
                    part[left++] = least[k];
            const char *found = left < count ? judge_log(test, part, left, seed) : NULL;
            if (found && strcmp(found, wrong) == 0) {
                memcpy(least, part, left * sizeof *part);
                count = left;
            } else {
                i += size;
            }
        }
    memcpy(test->log, least, count * sizeof *least);
    test->log_count = count;
    print_log(test);
}

static int run_line(struct str line, struct arena *arena)
{
    static struct test test;
    test.names_count = test.log_count = 0;
    test.arena = arena;
    int r = identity_case_read(line, arena, &test.plain);
    if (r < 0)
        return 1;
    struct random random = {(uint64_t)test.plain.seed * 4 + (uint64_t)mode};
    for (size_t i = 0; mode == MODE_ANY && i < test.plain.namespaces.count; i++)
        test.plain.namespaces.rules[i].generic_up_max =
            test.plain.namespaces.rules[i].generic_down_max = LIMIT_FAR;
    if (mode != MODE_ERASE && random_once_in(&random, 2))
        add_words(&test, &random, CASE_EVIDENCE);
    if (mode != MODE_ERASE && random_once_in(&random, 3))
        check(web_add(&test.plain, &random, arena) == 0);
    if (mode == MODE_ERASE)
        add_words(&test, &random, CASE_ERASURE);
    if (mode == MODE_ERASE && random_once_in(&random, 2))
        check(draw_case_lifts(&test.plain, &random, arena) == 0);
    make_log(&test, &random);
    order_log(&test, &random);
    uint64_t seed = random_next(&random);
    const char *wrong = judge(&test, seed);
    if (!wrong)
        return 0;
    (void)fprintf(stderr, "seed %lld: %s; up %d, down %d\n", (long long)test.plain.seed, wrong,
        test.plain.namespaces.rules[0].generic_up_max,
        test.plain.namespaces.rules[0].generic_down_max);
    shrink(&test, wrong, seed);
    return 1;
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("TABIJI_SEED"), *shared = getenv("TABIJI_SHARED");
    unsigned long long seed = wanted ? strtoull(wanted, NULL, 10) : 0, count = CASES_DEFAULT;
    struct arena arena = {0};
    char command[4096], spec[1024], *line = NULL;
    size_t room = 0, lines = 0;
    ssize_t size;
    int at = 2, bad = 0;
    for (size_t i = 0; argc > 1 && i < sizeof mode_names / sizeof *mode_names; i++)
        if (strcmp(argv[1], mode_names[i]) == 0)
            mode = (enum mode)i;
    count = random_count(argc, argv, &at, count, CASES_LONG);
    seed = argc > at ? strtoull(argv[at++], NULL, 10) : seed;
    count = argc > at ? strtoull(argv[at], NULL, 10) : count;
    (void)snprintf(spec, sizeof spec, "%s/spec/identity_spec.py", shared ? shared : "");
    if (access(spec, R_OK) != 0) {
        (void)printf("skipped: no cases (TABIJI_SHARED)\n");
        return SKIPPED;
    }
    hmac_key_init(&person_key, str_make(tenant_key, sizeof tenant_key));
    (void)snprintf(command, sizeof command, "python3 '%s' cases %llu %llu", spec, seed, count);
    (void)printf("%s, TABIJI_SEED=%llu, %llu cases\n", mode_names[mode], seed, count);
    (void)fflush(stdout);
    FILE *cases = popen(command, "r");
    while (cases && bad < 3 && (size = getline(&line, &room, cases)) > 0) {
        bad += run_line(str_make(line, (size_t)size), &arena);
        arena_reset(&arena);
        lines++;
    }
    free(line);
    arena_free(&arena);
    int failed = cases ? pclose(cases) : 1;
    (void)printf(
        "%d of %zu cases differ; %llu pairs, %llu events of newer keys, %llu rows of newer "
        "pseudonyms, %llu events erased, %llu cases at the signatures' limit, %llu and "
        "%llu by the schedule\n",
        bad, lines, (unsigned long long)pairs_told, (unsigned long long)newer_events,
        (unsigned long long)renamed_rows, (unsigned long long)erased_events,
        (unsigned long long)apart, (unsigned long long)by_schedule,
        (unsigned long long)by_schedule_rotated);
    return bad > 0 || failed || lines != count;
}
