/* Evidence at its limits: adversaries who say a hundred thousand things of one identifier. What one
 * identifier keeps and what one event costs stays the same for the last as for the first. */
#include "enrich/identity/evidence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "enrich/identity/identify.h"
#include "schemas/error.h"
#include "schemas/person_of.avro.h"
#include "schemas/rejected.avro.h"
#include "tests/sim/solo.h"

#define WORDS 100000
#define WORDS_FEWER 20000
#define TEXT_SIZE 32
#define COMMIT_EVERY 2000
#define MAILS_MAX 12 /* that one word may cause, once a limit is crossed */
#define ROW_SIZE_MAX 600

static struct identify_config config;
static struct stage stage;

struct fixture {
    struct solo *solo;
    int64_t position;
    uint64_t mails_most; /* that one event sent, behind the first few */
    uint64_t rejected;
    struct str payload; /* of the last that was rejected */
    struct arena arena;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.position = 0};
    config = (struct identify_config){
        .namespaces = namespace_table_default(), .tenant_key = "a key of tests"};
    identify_stage(&stage, &config);
    assert_int_equal(solo_new(&stage, &fixture.solo), 0);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    solo_free(&fixture->solo);
    arena_free(&fixture->arena);
    return 0;
}

static void node_of(const char *namespace, const char *value, uint8_t node[KEY_SIZE])
{
    namespace_node_id(config.namespaces, namespace_rank(config.namespaces, str_of(namespace)),
        str_of(value), node);
}

/* A word of two identifiers, "namespace" and value each, on the timeline of login:operator. */
struct word {
    const char *a[2];
    const char *b[2];
    int sign;
    int authority;
    int64_t time;
};

static void read_rejected(struct fixture *fixture)
{
    size_t count;
    const struct solo_sent *sent = solo_sent(fixture->solo, TOPIC_REJECTED, &count);
    for (size_t i = 0; i < count; i++) {
        struct rejected row;
        assert_int_equal(rejected_decode(&row, sent[i].value, &fixture->arena), 0);
        assert_true(str_equal(row.reason, STR("too_many")));
        assert_true(str_equal(row.pointer, STR("/evidence")));
        assert_true(str_equal(row.stage, STR("identify")));
        if (fixture->rejected++ == 0)
            assert_int_equal(arena_dup(&fixture->arena, row.payload, &fixture->payload), 0);
        assert_true(str_equal(row.payload, fixture->payload)); /* always the same row */
    }
}

static void say(struct fixture *fixture, const struct word *word)
{
    struct identifier operator= {.namespace = STR("login"), .value = STR("operator")};
    struct touchpoint event;
    CLEANUP(buf_free) struct buf bytes = {0};
    uint8_t key[KEY_SIZE];
    touchpoint_init(&event);
    put_be64(event.event_key, (uint64_t)fixture->position);
    event.event_id = STR("e");
    event.source = STR("desk");
    event.type = STR("identity_linked");
    event.occurred_at = word->time;
    event.identifiers = &operator;
    event.identifiers_count = 1;
    event.has_evidence = true;
    evidence_init(&event.evidence);
    event.evidence.a_namespace = str_of(word->a[0]);
    event.evidence.a_value = str_of(word->a[1]);
    event.evidence.b_namespace = str_of(word->b[0]);
    event.evidence.b_value = str_of(word->b[1]);
    event.evidence.sign = word->sign;
    event.evidence.authority = word->authority;
    assert_int_equal(touchpoint_encode(&event, &bytes), 0);
    node_of("login", "operator", key);
    const struct record record = {.topic = TOPIC_EVENTS,
        .position = fixture->position++,
        .key = str_make(key, KEY_SIZE),
        .value = buf_str(&bytes)};
    const struct solo_counts *counts = solo_counts(fixture->solo);
    uint64_t before = counts->mails[TOPIC_IDENTITY] + counts->mails[TOPIC_JOURNEY];
    assert_int_equal(solo_process(fixture->solo, &record), 0);
    uint64_t sent = counts->mails[TOPIC_IDENTITY] + counts->mails[TOPIC_JOURNEY] - before;
    if (sent > fixture->mails_most)
        fixture->mails_most = sent;
    if (fixture->position % COMMIT_EVERY == 0)
        assert_int_equal(solo_commit(fixture->solo), 0);
}

static size_t rows_of(struct fixture *fixture, enum table table)
{
    size_t rows, bytes;
    assert_int_equal(solo_table_size(fixture->solo, table, &rows, &bytes), 0);
    return rows;
}

static void assert_row_bounded(struct fixture *fixture, const char *namespace, const char *value)
{
    uint8_t node[KEY_SIZE];
    struct str row;
    node_of(namespace, value, node);
    assert_int_equal(solo_row(fixture->solo, TABLE_NODE, str_make(node, KEY_SIZE), &row), 0);
    assert_in_range(row.size, 1, ROW_SIZE_MAX);
}

static bool is_one_person(struct fixture *fixture, const char *const a[2], const char *const b[2])
{
    uint8_t node[KEY_SIZE], person[KEY_SIZE];
    struct person_of row;
    struct str value;
    node_of(a[0], a[1], node);
    if (solo_row(fixture->solo, TABLE_PERSON_OF, str_make(node, KEY_SIZE), &value) != 0)
        return false;
    assert_int_equal(person_of_decode(&row, value, &fixture->arena), 0);
    memcpy(person, row.person, KEY_SIZE);
    node_of(b[0], b[1], node);
    if (solo_row(fixture->solo, TABLE_PERSON_OF, str_make(node, KEY_SIZE), &value) != 0)
        return false;
    assert_int_equal(person_of_decode(&row, value, &fixture->arena), 0);
    return memcmp(row.person, person, KEY_SIZE) == 0;
}

/* One login, always another cookie: the login is the stronger end, who says nothing and must keep
 * count all the same. */
static void test_evidence_of_many_cookies_one_login_bounded(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_SIZE];
    const struct word trusted = {{"login", "bot"}, {"cookie", "trusted"}, 1, 100, 0};
    say(fixture, &trusted);
    for (int i = 0; i < WORDS; i++) {
        (void)snprintf(text, sizeof text, "c%d", i);
        const struct word word = {{"login", "bot"}, {"cookie", text}, 1, 0, i};
        say(fixture, &word);
    }
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_in_range(fixture->mails_most, 2, MAILS_MAX);
    /* one word at each cookie; at the login the last words and the neighbours that they make */
    assert_in_range(rows_of(fixture, TABLE_EDGE), WORDS, WORDS + 1 + 2 * EVIDENCE_MAX);
    assert_row_bounded(fixture, "login", "bot");
    assert_row_bounded(fixture, "cookie", "c0");
    static const char *const login[] = {"login", "bot"}, *const first[] = {"cookie", "c0"},
                             *const last[] = {"cookie", "c99999"},
                             *const by_operator[] = {"cookie", "trusted"};
    assert_true(is_one_person(fixture, login, last));
    assert_false(is_one_person(fixture, login, first));
    assert_true(is_one_person(fixture, login, by_operator)); /* no client drives that out */
}

/* One cookie, always another login: the cookie is the weaker end, who says what stands. */
static void test_evidence_of_many_logins_one_cookie_bounded(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_SIZE];
    for (int i = 0; i < WORDS_FEWER; i++) {
        (void)snprintf(text, sizeof text, "l%d", i);
        const struct word word = {{"login", text}, {"cookie", "kiosk"}, 1, 0, i};
        say(fixture, &word);
    }
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_in_range(fixture->mails_most, 2, MAILS_MAX);
    assert_in_range(rows_of(fixture, TABLE_EDGE), WORDS_FEWER, WORDS_FEWER + 2 * EVIDENCE_MAX);
    assert_row_bounded(fixture, "cookie", "kiosk");
    static const char *const cookie[] = {"cookie", "kiosk"}, *const last[] = {"login", "l19999"};
    assert_false(is_one_person(fixture, cookie, last)); /* it is shared */
}

/* Two identifiers, linked and unlinked in turn. */
static void test_evidence_of_one_pair_over_and_over_bounded(void **state)
{
    struct fixture *fixture = *state;
    static const char *const login[] = {"login", "a"}, *const cookie[] = {"cookie", "b"};
    for (int i = 0; i < WORDS_FEWER; i++) {
        const struct word word = {{"login", "a"}, {"cookie", "b"}, i % 2 ? 1 : -1, 0, i};
        say(fixture, &word);
    }
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_in_range(fixture->mails_most, 2, MAILS_MAX);
    assert_int_equal(rows_of(fixture, TABLE_EDGE), 2 * EVIDENCE_PAIR_MAX);
    assert_true(is_one_person(fixture, login, cookie));
    const struct word parted = {{"login", "a"}, {"cookie", "b"}, -1, 0, WORDS_FEWER};
    say(fixture, &parted);
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_false(is_one_person(fixture, login, cookie));
    assert_int_equal(rows_of(fixture, TABLE_EDGE), 2 * EVIDENCE_PAIR_MAX);
}

/* One that is over the limit is told of, always in the same words; one at it is not. */
static void test_evidence_over_the_limit_is_told_in_one_row(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_SIZE];
    uint8_t node[KEY_SIZE];
    char hex[2 * KEY_SIZE + 1] = "", payload[128];
    solo_keep_sent(fixture->solo, true);
    for (int i = 0; i < EVIDENCE_MAX; i++) {
        (void)snprintf(text, sizeof text, "c%d", i);
        const struct word word = {{"login", "bot"}, {"cookie", text}, 1, 0, i};
        say(fixture, &word);
    }
    read_rejected(fixture);
    assert_int_equal(fixture->rejected, 0);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof text, "more%d", i);
        const struct word word = {{"login", "bot"}, {"cookie", text}, 1, 0, -1 - i};
        say(fixture, &word);
    }
    read_rejected(fixture);
    assert_int_equal(fixture->rejected, 3);
    node_of("login", "bot", node);
    hex_encode(node, KEY_SIZE, hex);
    (void)snprintf(payload, sizeof payload, "{\"node\":\"%.32s\",\"kept\":%d}", hex, EVIDENCE_MAX);
    assert_true(str_equal(fixture->payload, str_of(payload)));
    assert_int_equal(solo_commit(fixture->solo), 0);
    static const char *const login[] = {"login", "bot"}, *const older[] = {"cookie", "more0"},
                             *const kept[] = {"cookie", "c0"};
    assert_false(is_one_person(fixture, login, older));
    assert_true(is_one_person(fixture, login, kept));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_evidence_of_many_cookies_one_login_bounded),
        TEST(test_evidence_of_many_logins_one_cookie_bounded),
        TEST(test_evidence_of_one_pair_over_and_over_bounded),
        TEST(test_evidence_over_the_limit_is_told_in_one_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
