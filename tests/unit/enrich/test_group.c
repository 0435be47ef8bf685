/* Groups: whoever is linked to whom first, and whatever the order of ids, what words connect within
 * a rank is one person; what it costs. */
#include "enrich/identity/group.h"

#include "enrich/identity/evidence.h"
#include "schemas/error.h"
#include "schemas/person_of.avro.h"
#include "tests/unit/enrich/identity_fixture.h"

#define TEXT_SIZE 32
#define LOGINS 4
#define HUB 100
#define MAILS_AMORTIZED 24 /* a word of a hub, in the mean */

/* "login:a" */
static struct identifier named(const char *text)
{
    const char *colon = strchr(text, ':');
    return (struct identifier){
        .namespace = str_make(text, (size_t)(colon - text)), .value = str_of(colon + 1)};
}

static void send(struct fixture *fixture, struct touchpoint *event)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    uint8_t key[KEY_SIZE];
    node_of_identifier(&event->identifiers[0], key);
    put_be64(event->event_key, (uint64_t)fixture->position);
    event->event_id = STR("e");
    event->source = STR("desk");
    assert_int_equal(touchpoint_encode(event, &bytes), 0);
    const struct record record = {.topic = TOPIC_EVENTS,
        .position = fixture->position++,
        .key = str_make(key, KEY_SIZE),
        .value = buf_str(&bytes)};
    assert_int_equal(solo_process(fixture->solo, &record), 0);
}

/* One after the other; said at the position's time, so that the last stands. */
static void say(struct fixture *fixture, const char *a, const char *b, int sign)
{
    struct identifier speaker = named("login:operator"), ends[] = {named(a), named(b)};
    struct touchpoint event;
    touchpoint_init(&event);
    event.type = STR("identity_linked");
    event.occurred_at = fixture->position;
    event.identifiers = &speaker;
    event.identifiers_count = 1;
    event.has_evidence = true;
    evidence_init(&event.evidence);
    event.evidence.a_namespace = ends[0].namespace;
    event.evidence.a_value = ends[0].value;
    event.evidence.b_namespace = ends[1].namespace;
    event.evidence.b_value = ends[1].value;
    event.evidence.sign = sign;
    event.evidence.authority = EVIDENCE_AUTHORITY_OPERATOR;
    send(fixture, &event);
}

/* The stronger first. */
static void see(struct fixture *fixture, const char *strong, const char *weak)
{
    struct identifier ids[] = {named(strong), named(weak)};
    struct touchpoint event;
    touchpoint_init(&event);
    event.type = STR("page_viewed");
    event.identifiers = ids;
    event.identifiers_count = 2;
    send(fixture, &event);
}

static void erase(struct fixture *fixture, const char *whom)
{
    struct identifier id = named(whom);
    struct touchpoint event;
    touchpoint_init(&event);
    event.type = STR("erasure_requested");
    event.occurred_at = 1000;
    event.identifiers = &id;
    event.identifiers_count = 1;
    send(fixture, &event);
}

/* False where nobody knows it. */
static bool row_of(struct fixture *fixture, const char *text, struct person_of *row)
{
    const struct identifier id = named(text);
    uint8_t node[KEY_SIZE];
    struct str value;
    node_of_identifier(&id, node);
    assert_int_equal(solo_commit(fixture->solo), 0);
    if (solo_row(fixture->solo, TABLE_PERSON_OF, str_make(node, KEY_SIZE), &value) != 0)
        return false;
    assert_int_equal(person_of_decode(row, value, &fixture->arena), 0);
    if (!row->has_root)
        memcpy(row->root, node, KEY_SIZE);
    return true;
}

static bool one(struct fixture *fixture, const char *a, const char *b)
{
    struct person_of row_a, row_b;
    assert_true(row_of(fixture, a, &row_a) && row_of(fixture, b, &row_b));
    return memcmp(row_a.person, row_b.person, KEY_SIZE) == 0;
}

static void assert_root(struct fixture *fixture, const char *text, const char *root)
{
    const struct identifier id = named(root);
    struct person_of row;
    uint8_t node[KEY_SIZE];
    node_of_identifier(&id, node);
    assert_true(row_of(fixture, text, &row));
    assert_memory_equal(row.root, node, KEY_SIZE);
}

/* Of some, sorts by id. */
static void sort(const char **texts, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t k = i; k > 0; k--) {
            const struct identifier a = named(texts[k - 1]), b = named(texts[k]);
            uint8_t node_a[KEY_SIZE], node_b[KEY_SIZE];
            node_of_identifier(&a, node_a);
            node_of_identifier(&b, node_b);
            if (memcmp(node_a, node_b, KEY_SIZE) < 0)
                break;
            const char *swap = texts[k];
            texts[k] = texts[k - 1];
            texts[k - 1] = swap;
        }
    }
}

/* ---- who is one ---- */

/* The words of a chain over logins in the order of `way`, said from either end. */
static void judge_chain(const size_t way[LOGINS], bool backwards)
{
    void *state;
    const char *logins[] = {"login:w", "login:x", "login:y", "login:z"};
    assert_int_equal(setup(&state), 0);
    struct fixture *fixture = state;
    sort(logins, LOGINS);
    for (size_t i = 0; i + 1 < LOGINS; i++) {
        size_t at = backwards ? LOGINS - 2 - i : i;
        say(fixture, logins[way[at]], logins[way[at + 1]], 1);
    }
    for (size_t i = 0; i < LOGINS; i++)
        assert_root(fixture, logins[i], logins[0]);
    say(fixture, logins[way[1]], logins[way[2]], -1); /* in the middle */
    assert_true(one(fixture, logins[way[0]], logins[way[1]]));
    assert_true(one(fixture, logins[way[2]], logins[way[3]]));
    assert_false(one(fixture, logins[way[1]], logins[way[2]]));
    say(fixture, logins[way[0]], logins[way[3]], 1); /* round the other way */
    for (size_t i = 0; i < LOGINS; i++)
        assert_root(fixture, logins[i], logins[0]);
    assert_int_equal(teardown(&state), 0);
}

static void test_settle_chain_of_four_logins_in_any_order_one_person(void **state)
{
    size_t chains = 0;
    (void)state;
    for (size_t number = 0; number < (size_t)LOGINS * LOGINS * LOGINS * LOGINS; number++) {
        size_t way[LOGINS], rest = number;
        unsigned seen = 0;
        for (size_t i = 0; i < LOGINS; i++, rest /= LOGINS) {
            way[i] = rest % LOGINS;
            seen |= 1U << way[i];
        }
        if (seen != (1U << LOGINS) - 1)
            continue;
        judge_chain(way, false);
        judge_chain(way, true);
        chains += 2;
    }
    assert_int_equal(chains, 48);
}

/* Whichever of them was seen with the login, and if a word parts the ends. */
static void test_settle_emails_and_login_of_any_member_one_person(void **state)
{
    struct fixture *fixture = *state;
    for (size_t owner = 0; owner < 3; owner++) {
        char texts[4][TEXT_SIZE];
        const char *emails[3];
        for (size_t i = 0; i < 3; i++) {
            (void)snprintf(texts[i], TEXT_SIZE, "email:%zu-%zu", owner, i);
            emails[i] = texts[i];
        }
        (void)snprintf(texts[3], TEXT_SIZE, "login:%zu", owner);
        sort(emails, 3);
        say(fixture, emails[2], emails[0], 1);
        say(fixture, emails[2], emails[1], 1);
        say(fixture, emails[0], emails[1], -1);
        assert_root(fixture, emails[2], emails[0]);
        see(fixture, texts[3], emails[owner]);
        for (size_t i = 0; i < 3; i++)
            assert_root(fixture, emails[i], texts[3]);
        say(fixture, texts[3], emails[(owner + 1) % 3], -1); /* it is, over its group */
        assert_root(fixture, emails[(owner + 1) % 3], texts[3]);
    }
}

static void test_settle_emails_of_two_logins_shared_as_one(void **state)
{
    struct fixture *fixture = *state;
    const char *emails[] = {"email:a", "email:b", "email:c"};
    struct person_of row;
    sort(emails, 3);
    see(fixture, "login:1", emails[1]);
    see(fixture, "login:2", emails[2]);
    say(fixture, emails[1], emails[0], 1);
    assert_root(fixture, emails[0], "login:1");
    say(fixture, emails[2], emails[0], 1);
    for (size_t i = 0; i < 3; i++)
        assert_root(fixture, emails[i], emails[0]);
    assert_true(row_of(fixture, emails[0], &row));
    assert_true(str_equal(row.why, STR("shared")));
    assert_true(row_of(fixture, emails[2], &row));
    assert_true(str_equal(row.why, STR("linked")));
    say(fixture, "login:1", "login:2", 1); /* the logins are one: so are all */
    for (size_t i = 0; i < 3; i++)
        assert_true(one(fixture, emails[i], "login:1"));
    say(fixture, "login:1", "login:2", -1);
    say(fixture, emails[2], emails[0], -1);
    assert_root(fixture, emails[0], "login:1");
    assert_root(fixture, emails[1], "login:1");
    assert_root(fixture, emails[2], "login:2");
}

/* A login has one loyalty card; of one that words made of several, as many. */
static void test_settle_cards_of_a_group_one_claimant(void **state)
{
    struct fixture *fixture = *state;
    const char *cards[] = {"loyalty:a", "loyalty:b", "loyalty:c"};
    struct person_of row;
    sort(cards, 3);
    for (size_t i = 0; i < 3; i++)
        see(fixture, "login:1", cards[i]);
    assert_root(fixture, cards[0], "login:1");
    assert_root(fixture, cards[1], cards[1]);
    assert_root(fixture, cards[2], cards[2]);
    say(fixture, cards[0], cards[2], 1);
    assert_root(fixture, cards[1], cards[1]);
    assert_root(fixture, cards[2], "login:1");
    say(fixture, cards[0], cards[2], -1);
    assert_true(row_of(fixture, cards[2], &row));
    assert_true(str_equal(row.why, STR("rejected")));
    assert_root(fixture, cards[2], cards[2]);
}

/* The first member is the login's by the last only: an erasure of either takes both. */
static void test_erase_reaches_all_of_a_group(void **state)
{
    struct fixture *fixture = *state;
    for (size_t whom = 0; whom < 4; whom++) {
        char texts[4][TEXT_SIZE];
        const char *emails[3];
        struct person_of row;
        for (size_t i = 0; i < 3; i++) {
            (void)snprintf(texts[i], TEXT_SIZE, "email:%zu-%zu", whom, i);
            emails[i] = texts[i];
        }
        (void)snprintf(texts[3], TEXT_SIZE, "login:%zu", whom);
        sort(emails, 3);
        see(fixture, texts[3], emails[2]);
        say(fixture, emails[2], emails[0], 1);
        say(fixture, emails[2], emails[1], 1);
        erase(fixture, whom < 3 ? emails[whom] : texts[3]);
        for (size_t i = 0; i < 3; i++) {
            uint8_t key[KEY_SIZE + 1] = {0};
            const struct identifier id = named(emails[i]);
            struct str mark;
            node_of_identifier(&id, key);
            assert_int_equal(solo_commit(fixture->solo), 0);
            assert_int_equal(
                solo_row(fixture->solo, TABLE_SIGNATURE, str_make(key, sizeof key), &mark), 0);
        }
        assert_true(row_of(fixture, emails[0], &row)); /* until the words, too, are erased */
    }
}

/* ---- what it costs ---- */

static uint64_t mails(const struct fixture *fixture)
{
    const struct solo_counts *counts = solo_counts(fixture->solo);
    return counts->mails[TOPIC_IDENTITY] + counts->mails[TOPIC_JOURNEY];
}

/* Logins without anything above them: as ever, what is said to both ends, and to the earlier one
 * that the two are linked. */
static void test_say_of_two_logins_three_mails(void **state)
{
    struct fixture *fixture = *state;
    say(fixture, "login:a", "login:b", 1);
    assert_int_equal(mails(fixture), 3 + 1 /* the event's put */);
}

static void judge_hub(struct fixture *fixture, size_t hub_place)
{
    char texts[HUB][TEXT_SIZE];
    const char *logins[HUB];
    for (size_t i = 0; i < HUB; i++) {
        (void)snprintf(texts[i], TEXT_SIZE, "login:%zu-%zu", hub_place, i);
        logins[i] = texts[i];
    }
    sort(logins, HUB);
    const char *hub = logins[hub_place];
    uint64_t before = mails(fixture);
    for (size_t i = 0; i < HUB; i++)
        if (strcmp(texts[i], hub) != 0) /* as they come, which is not in id order */
            say(fixture, hub, texts[i], 1);
    assert_in_range(mails(fixture) - before, 1, (uint64_t)HUB * MAILS_AMORTIZED);
    for (size_t i = 0; i < HUB; i++)
        assert_root(fixture, logins[i], logins[0]);
    before = mails(fixture);
    say(fixture, hub, logins[HUB / 2], -1);
    assert_in_range(mails(fixture) - before, 1, MAILS_AMORTIZED);
    assert_false(one(fixture, hub, logins[HUB / 2]));
}

static void test_say_of_a_hub_few_mails_a_word(void **state)
{
    judge_hub(*state, HUB - 1); /* joins all others */
    judge_hub(*state, HUB / 3);
    judge_hub(*state, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settle_chain_of_four_logins_in_any_order_one_person),
        TEST(test_settle_emails_and_login_of_any_member_one_person),
        TEST(test_settle_emails_of_two_logins_shared_as_one),
        TEST(test_settle_cards_of_a_group_one_claimant),
        TEST(test_erase_reaches_all_of_a_group),
        TEST(test_say_of_two_logins_three_mails),
        TEST(test_say_of_a_hub_few_mails_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
