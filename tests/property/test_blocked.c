/*
 * P10: blocked values never become state. Events whose identifiers are half of them blocked values,
 * in any spelling, go through the door and the pipeline; then every byte of every table is looked
 * at: neither the values, nor their pseudonyms, nor the nodes that they would be stand anywhere.
 *
 *     property_blocked [--long] [SEED [COUNT]]
 *
 * A failing case is made as small as it fails, and printed. TABIJI_SEED likewise.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "enrich/identity/identify.h"
#include "enrich/journey/journey.h"
#include "ingest/door.h"
#include "schemas/error.h"
#include "tests/property/random.h"
#include "tests/sim/sim.h"

#define CASES_DEFAULT 2000
#define CASES_LONG 100000
#define BAD_MAX 3
#define EVENTS_MAX 16
#define IDS_MAX 4
#define TEXT_SIZE 64
#define NEEDLES_MAX 4096
#define WORD_SIZE_MIN 7 /* shorter ones stand in bytes of hashes by chance */
#define NOW ((int64_t)1790000000 * 1000000)

static const char *const words[] = {"null", "undefined", "NaN", "none", "0", "-1", "anonymous",
    "guest", "true", "false", "[object Object]", "unknown", "withheld", "非通知",
    "00000000-0000-0000-0000-000000000000", "blocked-by-us", "0120-444-444", "184"};
#define WORDS (sizeof words / sizeof *words)
static const struct str blocked_by_operator[] = {STR_INIT("blocked-by-us")};

struct spelled {
    int rank;
    char text[TEXT_SIZE];
    bool blocked;
};

struct raw_event {
    struct spelled ids[IDS_MAX];
    size_t ids_count;
    bool word; /* evidence of the first two */
};

struct raw_case {
    uint64_t seed;
    struct raw_event events[EVENTS_MAX];
    size_t count;
};

struct tally {
    uint64_t dropped, refused, stood, nodes;
};

/* ---- drawing ---- */

static void spell(struct random *random, const char *word, char out[TEXT_SIZE])
{
    static const struct {
        const char *before, *behind;
    } forms[] = {
        {"", ""}, {"", ""}, {" ", " "}, {"\t", ""}, {"\xe3\x80\x80", ""}, {"\"", "\""}, {"'", "'"}};
    bool ours = strncmp(word, "blocked", 7) == 0; /* is blocked as it is only */
    bool upper = random_once_in(random, 3) && !ours;
    size_t form = random_below(random, ours ? 5 : sizeof forms / sizeof *forms);
    int size = snprintf(out, TEXT_SIZE, "%s%s%s", forms[form].before, word, forms[form].behind);
    for (int i = 0; upper && i < size; i++)
        out[i] = (char)toupper((unsigned char)out[i]);
    if (strcmp(out, "0") == 0 && random_once_in(random, 2))
        (void)snprintf(out, TEXT_SIZE, "\xef\xbc\x90"); /* full width */
}

static void draw_id(struct random *random, struct spelled *out)
{
    const struct namespace_table *table = namespace_table_default();
    int phone = namespace_rank(table, STR("phone")), email = namespace_rank(table, STR("email"));
    out->rank = (int)random_below(random, table->count);
    out->blocked = random_once_in(random, 2);
    if (out->blocked) {
        size_t word = random_below(random, WORDS - 2);
        if (out->rank == phone && random_once_in(random, 2))
            word = WORDS - 1 - random_below(random, 2);
        spell(random, words[word], out->text);
    } else if (out->rank == phone) {
        (void)snprintf(out->text, TEXT_SIZE, "090-1234-567%zu", random_below(random, 3));
    } else if (out->rank == email) {
        (void)snprintf(out->text, TEXT_SIZE, "hana%zu@example.jp", random_below(random, 3));
    } else {
        (void)snprintf(out->text, TEXT_SIZE, "good-%zu", random_below(random, 3));
    }
}

static void draw_case(uint64_t seed, struct raw_case *out)
{
    struct random random = {seed};
    *out = (struct raw_case){.seed = seed, .count = 1 + random_below(&random, EVENTS_MAX)};
    for (size_t i = 0; i < out->count; i++) {
        struct raw_event *event = &out->events[i];
        event->ids_count = 1 + random_below(&random, IDS_MAX);
        event->word = event->ids_count > 1 && random_once_in(&random, 8);
        for (size_t k = 0; k < event->ids_count; k++)
            draw_id(&random, &event->ids[k]);
    }
}

/* ---- through the door ---- */

struct piped {
    struct door_config door;
    struct sim *sim;
    struct arena arena;
    struct str needles[NEEDLES_MAX]; /* what must not stand */
    size_t needles_count;
    uint8_t kept[EVENTS_MAX * IDS_MAX][KEY_SIZE]; /* nodes that must */
    bool kept_found[EVENTS_MAX * IDS_MAX];
    size_t kept_count;
    const char *wrong;
    const char *needle;
};

static void say_ids(
    const struct raw_event *from, struct identifier *identifiers, struct touchpoint *event)
{
    const struct namespace_rule *rules = namespace_table_default()->rules;
    event->identifiers = identifiers;
    event->identifiers_count = from->ids_count;
    for (size_t i = 0; i < from->ids_count; i++)
        identifiers[i] = (struct identifier){
            .namespace = rules[from->ids[i].rank].name, .value = str_of(from->ids[i].text)};
    if (!from->word)
        return;
    event->has_evidence = true;
    evidence_init(&event->evidence);
    event->evidence.a_namespace = identifiers[0].namespace;
    event->evidence.a_value = identifiers[0].value;
    event->evidence.b_namespace = identifiers[1].namespace;
    event->evidence.b_value = identifiers[1].value;
    event->evidence.sign = 1;
}

/* Whether the door may take it: an identifier is left, and no end of evidence is blocked. */
static bool may_pass(const struct raw_event *event)
{
    size_t good = 0;
    for (size_t i = 0; i < event->ids_count; i++)
        good += !event->ids[i].blocked;
    if (event->word && (event->ids[0].blocked || event->ids[1].blocked))
        return false;
    bool itself = event->word && event->ids[0].rank == event->ids[1].rank &&
                  strcmp(event->ids[0].text, event->ids[1].text) == 0;
    return good > 0 && !itself;
}

static void keep_nodes(struct piped *piped, const struct touchpoint *event)
{
    const struct namespace_table *table = namespace_table_default();
    for (size_t i = 0; i < event->identifiers_count; i++) {
        check(piped->kept_count < EVENTS_MAX * IDS_MAX);
        namespace_node_id(table, namespace_rank(table, event->identifiers[i].namespace),
            event->identifiers[i].value, piped->kept[piped->kept_count++]);
    }
}

static int pass(
    struct piped *piped, const struct raw_event *from, size_t number, struct tally *counts)
{
    struct identifier identifiers[IDS_MAX];
    struct touchpoint event;
    struct event_problem problem;
    struct append_record record;
    char id[TEXT_SIZE];
    (void)snprintf(id, sizeof id, "e%zu", number);
    touchpoint_init(&event);
    event.event_id = str_of(id);
    event.source = STR("web");
    event.type = from->word ? STR("identity_linked") : STR("page_viewed");
    say_ids(from, identifiers, &event);
    int r = door_accept(&piped->door, &event, NOW, &piped->arena, &record, &problem);
    if ((r == 0) != may_pass(from))
        piped->wrong = r == 0 ? "the door took what names nobody" : "the door refused a good event";
    counts->refused += r != 0;
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? 0 : r;
    counts->dropped += from->ids_count - event.identifiers_count;
    keep_nodes(piped, &event);
    return sim_append(piped->sim, &record);
}

/* ---- looking at every byte ---- */

static void need(struct piped *piped, struct str bytes)
{
    check(piped->needles_count < NEEDLES_MAX);
    check(arena_dup(&piped->arena, bytes, &piped->needles[piped->needles_count++]) == 0);
}

/* The node of a text in every namespace, the pseudonyms of it and their nodes. */
static void need_text(struct piped *piped, struct str text)
{
    const struct namespace_table *table = namespace_table_default();
    const struct hmac_key *keys[] = {
        &piped->door.identifiers.email_key, &piped->door.identifiers.phone_key};
    uint8_t node[KEY_SIZE], digest[SHA256_SIZE];
    char pseudonym[3 + KEY_SIZE * 2] = "k1:";
    for (size_t i = 0; i < table->count; i++) {
        namespace_node_id(table, (int)i, text, node);
        need(piped, str_make(node, KEY_SIZE));
    }
    for (size_t i = 0; i < 2; i++) {
        hmac_sha256_with(keys[i], text, digest);
        hex_encode(digest, KEY_SIZE, pseudonym + 3);
        need(piped, str_make(pseudonym, sizeof pseudonym));
        namespace_node_id(table, namespace_rank(table, i ? STR("phone") : STR("email")),
            str_make(pseudonym, sizeof pseudonym), node);
        need(piped, str_make(node, KEY_SIZE));
    }
}

static void need_all(struct piped *piped, const struct raw_case *given)
{
    for (size_t i = 0; i < WORDS; i++) {
        if (strlen(words[i]) >= WORD_SIZE_MIN)
            need(piped, str_of(words[i]));
        need_text(piped, str_of(words[i]));
    }
    need_text(piped, STR("+81120444444"));
    need(piped, STR("+81120444444"));
    for (size_t i = 0; i < given->count; i++)
        for (size_t k = 0; k < given->events[i].ids_count; k++)
            if (given->events[i].ids[k].blocked)
                need_text(piped, str_of(given->events[i].ids[k].text));
}

static bool holds(struct str bytes, struct str needle)
{
    return bytes.size >= needle.size && memmem(bytes.data, bytes.size, needle.data, needle.size);
}

static int look(void *context, struct str key, struct str value)
{
    struct piped *piped = context;
    for (size_t i = 0; i < piped->needles_count; i++)
        if (holds(key, piped->needles[i]) || holds(value, piped->needles[i]))
            piped->wrong = "a blocked value is state";
    for (size_t i = 0; i < piped->kept_count; i++)
        piped->kept_found[i] |= holds(key, str_make(piped->kept[i], KEY_SIZE));
    return 0;
}

static const char *judge(const struct raw_case *given, int32_t partitions, struct tally *counts)
{
    static struct piped piped;
    struct identify_config identify = {
        .namespaces = namespace_table_default(), .tenant_key = "a key of tests"};
    struct journey_config journey;
    struct stage stages[2];
    const struct sim_config config = {
        .seed = given->seed, .partitions = partitions, .crash_percent = 10, .batch_max = 8};
    piped = (struct piped){.wrong = NULL};
    door_config_default(&piped.door);
    piped.door.identifiers.blocked = blocked_by_operator;
    piped.door.identifiers.blocked_count = 1;
    journey_config_default(&journey);
    identify_stage(&stages[0], &identify);
    journey_stage(&stages[1], &journey);
    int r = sim_new(&config, stages, 2, &piped.sim);
    for (size_t i = 0; r == 0 && i < given->count; i++)
        r = pass(&piped, &given->events[i], i, counts);
    if (r == 0)
        r = sim_run(piped.sim, SIZE_MAX);
    need_all(&piped, given);
    for (int table = 0; r == 0 && table < TABLE_COUNT; table++)
        r = sim_table(piped.sim, (enum table)table, look, &piped);
    for (size_t i = 0; r == 0 && i < piped.kept_count; i++) {
        counts->stood++;
        if (!piped.kept_found[i])
            piped.wrong = "a good value is not found";
    }
    counts->nodes += piped.needles_count;
    sim_free(&piped.sim);
    arena_free(&piped.arena);
    return r < 0 ? error_text(r) : piped.wrong;
}

/* ---- a failing case ---- */

static void print_case(const struct raw_case *given)
{
    for (size_t i = 0; i < given->count; i++) {
        const struct raw_event *event = &given->events[i];
        (void)fprintf(stderr, event->word ? "  word:" : "  event:");
        for (size_t k = 0; k < event->ids_count; k++) {
            const struct str name = namespace_table_default()->rules[event->ids[k].rank].name;
            (void)fprintf(stderr, " %.*s=<%s>", (int)name.size, name.data, event->ids[k].text);
        }
        (void)fprintf(stderr, "\n");
    }
}

static void shrink(struct raw_case *given, int32_t partitions, const char *wrong)
{
    struct tally counts = {0};
    for (size_t i = 0; i < given->count;) {
        struct raw_case part = *given;
        memmove(&part.events[i], &part.events[i + 1], (--part.count - i) * sizeof *part.events);
        const char *found = judge(&part, partitions, &counts);
        if (found && strcmp(found, wrong) == 0)
            *given = part;
        else
            i++;
    }
}

static int run_case(uint64_t seed, struct tally *counts)
{
    static const int32_t partitions[] = {1, 3, 8};
    static struct raw_case given;
    draw_case(seed, &given);
    for (size_t i = 0; i < 3; i++) {
        const char *wrong = judge(&given, partitions[i], counts);
        if (!wrong)
            continue;
        (void)fprintf(stderr, "seed %llu, %d partitions: %s\n", (unsigned long long)seed,
            partitions[i], wrong);
        shrink(&given, partitions[i], wrong);
        print_case(&given);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *wanted = getenv("TABIJI_SEED");
    unsigned long long seed = wanted ? strtoull(wanted, NULL, 10) : 0, count = CASES_DEFAULT;
    struct tally counts = {0};
    int at = 1, bad = 0;
    count = random_count(argc, argv, &at, count, CASES_LONG);
    seed = argc > at ? strtoull(argv[at++], NULL, 10) : seed;
    count = argc > at ? strtoull(argv[at], NULL, 10) : count;
    (void)printf("P10, TABIJI_SEED=%llu, %llu cases on 1, 3 and 8 partitions\n", seed, count);
    (void)fflush(stdout);
    for (unsigned long long i = 0; bad < BAD_MAX && i < count; i++)
        bad += run_case(seed + i, &counts);
    (void)printf(
        "%d cases differ; %llu blocked values dropped, %llu events refused, %llu good values "
        "found, %llu things looked for\n",
        bad, (unsigned long long)counts.dropped, (unsigned long long)counts.refused,
        (unsigned long long)counts.stood, (unsigned long long)counts.nodes);
    return bad > 0 || counts.dropped == 0 || counts.refused == 0 || counts.stood == 0;
}
