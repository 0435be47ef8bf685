/* The stage over a driver that counts look-ups and mail. */
#include "enrich/identity/message.h"
#include "enrich/identity/owner.h"
#include "enrich/identity/person.h"
#include "schemas/error.h"
#include "schemas/journey_message.avro.h"
#include "schemas/person_of.avro.h"
#include "schemas/rejected.avro.h"
#include "tests/unit/enrich/identity_fixture.h"
#include "tests/unit/schemas/failing_alloc.h"

#define IDS_MAX 8
#define TEXT_SIZE 32

/* "login:a cookie:b" */
static size_t parse(const char *text, struct identifier *ids)
{
    size_t count = 0;
    while (*text) {
        size_t name = strcspn(text, ":"), value = strcspn(text + name + 1, " ");
        ids[count++] = (struct identifier){
            .namespace = str_make(text, name), .value = str_make(text + name + 1, value)};
        text += name + 1 + value;
        text += *text == ' ';
    }
    return count;
}

static struct str encode(struct fixture *fixture, const char *identifiers)
{
    struct identifier ids[IDS_MAX];
    struct touchpoint event;
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str out;
    touchpoint_init(&event);
    event.event_id = STR("e-1");
    event.source = STR("ec-web");
    event.type = STR("page_viewed");
    event.received_at = 42;
    event.identifiers = ids;
    event.identifiers_count = parse(identifiers, ids);
    assert_int_equal(touchpoint_encode(&event, &bytes), 0);
    assert_int_equal(arena_dup(&fixture->arena, buf_str(&bytes), &out), 0);
    return out;
}

static void node_of(const char *identifier, uint8_t id[KEY_SIZE])
{
    struct identifier ids[IDS_MAX];
    struct arena arena = {0};
    struct node node;
    assert_int_equal(
        namespace_strongest(config.namespaces, ids, parse(identifier, ids), &arena, &node), 0);
    memcpy(id, node.id, KEY_SIZE);
    arena_free(&arena);
}

static int process(struct fixture *fixture, enum topic topic, const uint8_t *key, struct str value)
{
    const struct record record = {.topic = topic,
        .position = fixture->position++,
        .key = str_make(key, KEY_SIZE),
        .value = value};
    return solo_process(fixture->solo, &record);
}

static void event(struct fixture *fixture, const char *identifiers)
{
    uint8_t key[KEY_SIZE];
    node_of(identifiers, key);
    assert_int_equal(process(fixture, TOPIC_EVENTS, key, encode(fixture, identifiers)), 0);
}

/* An event in a batch of its own, by an instance without caches. */
static struct solo_counts alone(struct fixture *fixture, const char *identifiers)
{
    solo_abort(fixture->solo);
    struct solo_counts before = *solo_counts(fixture->solo), after;
    event(fixture, identifiers);
    assert_int_equal(solo_commit(fixture->solo), 0);
    after = *solo_counts(fixture->solo);
    after.gets -= before.gets;
    after.scans -= before.scans;
    for (size_t i = 0; i < TOPIC_COUNT; i++)
        after.mails[i] -= before.mails[i];
    return after;
}

static void person_row(struct fixture *fixture, const char *identifier, struct person_of *out)
{
    uint8_t id[KEY_SIZE];
    struct str value;
    node_of(identifier, id);
    assert_int_equal(solo_row(fixture->solo, TABLE_PERSON_OF, str_make(id, KEY_SIZE), &value), 0);
    assert_int_equal(arena_dup(&fixture->arena, value, &value), 0);
    assert_int_equal(person_of_decode(out, value, &fixture->arena), 0);
}

static void assert_person(
    struct fixture *fixture, const char *identifier, const char *root, const char *why)
{
    struct person_of row;
    struct hmac_key key;
    uint8_t id[KEY_SIZE], person[KEY_SIZE];
    node_of(root, id);
    hmac_key_init(&key, str_make(config.tenant_key, sizeof config.tenant_key));
    person_id(&key, id, person);
    person_row(fixture, identifier, &row);
    assert_memory_equal(row.person, person, KEY_SIZE);
    assert_true(str_equal(row.why, str_of(why)));
}

/* The only thing that was rejected since the last commit. */
static void assert_rejected(struct fixture *fixture, const char *reason, struct str payload)
{
    struct rejected row;
    size_t count, puts;
    const struct solo_sent *sent = solo_sent(fixture->solo, TOPIC_REJECTED, &count);
    assert_int_equal(count, 1);
    assert_int_equal(rejected_decode(&row, sent[0].value, &fixture->arena), 0);
    assert_memory_equal(sent[0].key.data, row.rejected_key, KEY_SIZE);
    assert_true(str_equal(row.reason, str_of(reason)));
    assert_true(str_equal(row.stage, STR("identify")));
    assert_true(str_equal(row.payload, payload));
    (void)solo_sent(fixture->solo, TOPIC_JOURNEY, &puts);
    assert_int_equal(puts, 0);
    solo_abort(fixture->solo);
}

/* ---- cost ---- */

static void test_process_known_identifiers_one_lookup_no_mail(void **state)
{
    struct fixture *fixture = *state;
    static const char *const events[] = {"cookie:c1", "login:l1", "login:l1 cookie:c1",
        "login:l1 email:e1 cookie:c1 order:o1", "cookie:c1 cookie:c2", "email:e9 cookie:c9"};
    size_t count = sizeof events / sizeof *events;
    for (size_t i = 0; i < count; i++)
        event(fixture, events[i]);
    assert_int_equal(solo_commit(fixture->solo), 0);
    for (size_t i = 0; i < count; i++) {
        struct solo_counts cost = alone(fixture, events[i]);
        assert_int_equal(cost.gets, 1);
        assert_int_equal(cost.scans, 0);
        assert_int_equal(cost.mails[TOPIC_IDENTITY], 0);
        assert_int_equal(cost.mails[TOPIC_JOURNEY], 1);
    }
}

static void test_process_known_identifiers_again_no_lookup(void **state)
{
    struct fixture *fixture = *state;
    event(fixture, "login:l1 cookie:c1");
    assert_int_equal(solo_commit(fixture->solo), 0);
    struct solo_counts before = *solo_counts(fixture->solo);
    event(fixture, "login:l1 cookie:c1");
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_int_equal(solo_counts(fixture->solo)->gets, before.gets);
    assert_int_equal(
        solo_counts(fixture->solo)->mails[TOPIC_IDENTITY], before.mails[TOPIC_IDENTITY]);
}

static void test_process_very_many_signatures_two_lookups_no_mail(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_SIZE];
    for (unsigned i = 0; i < 10 * OWNER_SIGNATURES_MAX; i++) {
        (void)snprintf(text, sizeof text, "login:l1 cookie:c%u", i);
        event(fixture, text);
    }
    assert_int_equal(solo_commit(fixture->solo), 0);
    struct solo_counts cost = alone(fixture, text);
    assert_int_equal(cost.gets, 2);
    assert_int_equal(cost.mails[TOPIC_IDENTITY], 0);
}

static void test_process_new_link_two_messages(void **state)
{
    struct fixture *fixture = *state;
    struct solo_counts cost = alone(fixture, "login:l1 cookie:c1");
    assert_int_equal(cost.mails[TOPIC_IDENTITY], 2); /* link, attach */
    assert_int_equal(cost.mails[TOPIC_JOURNEY], 1);  /* nothing was there to move */
    assert_person(fixture, "cookie:c1", "login:l1", "claim");
    assert_person(fixture, "login:l1", "login:l1", "self");
}

/* ---- what it means ---- */

static void test_process_claimed_cookie_moves_with_gone(void **state)
{
    struct fixture *fixture = *state;
    struct journey_message message;
    size_t count;
    uint8_t cookie[KEY_SIZE];
    event(fixture, "cookie:c1");
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_person(fixture, "cookie:c1", "cookie:c1", "self");
    event(fixture, "login:l1 cookie:c1");
    const struct solo_sent *sent = solo_sent(fixture->solo, TOPIC_JOURNEY, &count);
    assert_int_equal(count, 2); /* the put, and gone of the cookie's first event */
    assert_int_equal(journey_message_decode(&message, sent[1].value, &fixture->arena), 0);
    node_of("cookie:c1", cookie);
    assert_int_equal(message.kind, JOURNEY_KIND_GONE);
    assert_memory_equal(message.node, cookie, KEY_SIZE);
    assert_int_equal(message.epoch, 1);
    assert_true(message.has_to);
    assert_true(str_equal(sent[1].key, str_make(message.person, KEY_SIZE)));
    assert_true(str_equal(sent[0].key, str_make(message.to, KEY_SIZE)));
}

static void test_process_put_says_all(void **state)
{
    struct fixture *fixture = *state;
    struct journey_message message;
    size_t count;
    uint8_t login[KEY_SIZE];
    fixture->position = 33;
    event(fixture, "login:l1 cookie:c1");
    const struct solo_sent *sent = solo_sent(fixture->solo, TOPIC_JOURNEY, &count);
    assert_int_equal(count, 1);
    assert_int_equal(journey_message_decode(&message, sent[0].value, &fixture->arena), 0);
    node_of("login:l1", login);
    assert_int_equal(message.kind, JOURNEY_KIND_PUT);
    assert_memory_equal(message.node, login, KEY_SIZE);
    assert_false(message.stay);
    assert_int_equal(message.epoch, 0);
    assert_int_equal(message.events_count, 1);
    assert_int_equal(message.events[0].position, 33);
    assert_int_equal(message.events[0].chain_index, 0);
    assert_true(str_equal(message.events[0].event, encode(fixture, "login:l1 cookie:c1")));
}

static void test_process_shared_cookie_belongs_to_none(void **state)
{
    struct fixture *fixture = *state;
    event(fixture, "login:l1 cookie:c1");
    event(fixture, "login:l2 cookie:c1");
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_person(fixture, "cookie:c1", "cookie:c1", "shared");
}

static void test_process_second_card_rejected_claim(void **state)
{
    struct fixture *fixture = *state;
    struct person_of a, b;
    event(fixture, "login:l1 loyalty:a");
    event(fixture, "login:l1 loyalty:b");
    assert_int_equal(solo_commit(fixture->solo), 0);
    person_row(fixture, "loyalty:a", &a);
    person_row(fixture, "loyalty:b", &b);
    bool first = memcmp(a.node, b.node, KEY_SIZE) < 0;
    assert_person(
        fixture, "loyalty:a", first ? "login:l1" : "loyalty:a", first ? "claim" : "rejected");
    assert_person(
        fixture, "loyalty:b", first ? "loyalty:b" : "login:l1", first ? "rejected" : "claim");
}

/* ---- hubs ---- */

/* Most mail that one event caused, and the sum, since the counts given. */
struct mail {
    uint64_t most;
    uint64_t sum;
};

static void event_counted(struct fixture *fixture, const char *identifiers, struct mail *mail)
{
    const struct solo_counts *counts = solo_counts(fixture->solo);
    uint64_t before = counts->mails[TOPIC_IDENTITY] + counts->mails[TOPIC_JOURNEY];
    event(fixture, identifiers);
    uint64_t sent = counts->mails[TOPIC_IDENTITY] + counts->mails[TOPIC_JOURNEY] - before;
    mail->most = sent > mail->most ? sent : mail->most;
    mail->sum += sent;
    if (fixture->position % 10000 == 0)
        assert_int_equal(solo_commit(fixture->solo), 0);
    arena_reset(&fixture->arena);
}

static void test_process_cookie_of_many_logins_bounded(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_SIZE];
    struct str row;
    size_t rows, bytes;
    uint8_t cookie[KEY_SIZE];
    struct solo_counts before = {.gets = 0};
    struct mail mail = {0};
    for (unsigned i = 0; i < 10000; i++) {
        (void)snprintf(text, sizeof text, "login:l%u cookie:kiosk", i);
        event_counted(fixture, text, &mail);
        if (i == 5000)
            before = *solo_counts(fixture->solo);
    }
    uint64_t mails = solo_counts(fixture->solo)->mails[TOPIC_IDENTITY];
    assert_int_equal(mails - before.mails[TOPIC_IDENTITY], 2 * 4999); /* link, attach */
    assert_in_range(mail.most, 3, 8); /* also of the one that crosses */
    assert_int_equal(solo_commit(fixture->solo), 0);
    node_of("cookie:kiosk", cookie);
    assert_int_equal(solo_row(fixture->solo, TABLE_NODE, str_make(cookie, KEY_SIZE), &row), 0);
    assert_true(row.size < 300);
    assert_person(fixture, "cookie:kiosk", "cookie:kiosk", "generic");
    assert_person(fixture, "login:l7", "login:l7", "self");
    assert_int_equal(solo_table_size(fixture->solo, TABLE_EDGE, &rows, &bytes), 0);
    assert_int_equal(rows, 0);
}

static void test_process_login_of_many_cookies_small_rows(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_SIZE];
    struct str row;
    size_t rows, bytes;
    uint8_t login[KEY_SIZE];
    node_of("login:l1", login);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text, "login:l1 cookie:c%u", i);
        event(fixture, text);
    }
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_int_equal(solo_row(fixture->solo, TABLE_NODE, str_make(login, KEY_SIZE), &row), 0);
    assert_true(row.size < 500);
    assert_int_equal(solo_table_size(fixture->solo, TABLE_EDGE, &rows, &bytes), 0);
    assert_in_range(rows, 900, 1000);
    assert_person(fixture, "cookie:c7", "login:l1", "claim");

    event(fixture, "login:l1 cookie:one-too-many");
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_person(fixture, "cookie:c7", "cookie:c7", "self");
    assert_person(fixture, "login:l1", "login:l1", "generic");
    assert_int_equal(solo_table_size(fixture->solo, TABLE_EDGE, &rows, &bytes), 0);
    assert_int_equal(rows, 0);
}

/* Rows and bytes of all tables of identity. */
static size_t state_bytes(struct fixture *fixture)
{
    static const enum table tables[] = {TABLE_NODE, TABLE_EDGE, TABLE_SIGNATURE, TABLE_PERSON_OF};
    size_t sum = 0;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        size_t rows, bytes;
        assert_int_equal(solo_table_size(fixture->solo, tables[i], &rows, &bytes), 0);
        sum += bytes;
    }
    return sum;
}

/* Once over its limit a login forgets who its cookies are; each is a person of its own. */
static void test_process_login_of_hundred_thousand_cookies_bounded(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_SIZE];
    struct str row;
    size_t rows, bytes;
    uint8_t login[KEY_SIZE];
    struct mail first = {0}, later = {0};
    solo_keep_sent(fixture->solo, false);
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(text, sizeof text, "login:bot cookie:c%u", i);
        event_counted(fixture, text, i < 1001 ? &first : &later);
    }
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_in_range(first.most, 1001, 4 * 1001); /* the one that crosses the limit tells all */
    assert_in_range(later.most, 1, 8);
    assert_in_range(later.sum, 1, 6 * 98999 + 8); /* the same for the last as for the first */
    node_of("login:bot", login);
    assert_int_equal(solo_row(fixture->solo, TABLE_NODE, str_make(login, KEY_SIZE), &row), 0);
    assert_true(row.size < 500);
    assert_int_equal(solo_table_size(fixture->solo, TABLE_EDGE, &rows, &bytes), 0);
    assert_int_equal(rows, 0);
    assert_true(state_bytes(fixture) < (size_t)250 * 100001);
    assert_person(fixture, "login:bot", "login:bot", "generic");
    assert_person(fixture, "cookie:c0", "cookie:c0", "self");
    assert_person(fixture, "cookie:c99999", "cookie:c99999", "self");
}

/* Households in a ring: each shares a tablet at home, and a telephone with its neighbours. Nobody
 * may swallow anybody, and nobody's cost may grow with the ring. */
static void test_process_ring_of_households_stays_apart(void **state)
{
    struct fixture *fixture = *state;
    enum { HOUSEHOLDS = 2000 };
    char text[2 * TEXT_SIZE], root[TEXT_SIZE];
    struct mail mail = {0};
    solo_keep_sent(fixture->solo, false);
    for (unsigned i = 0; i < HOUSEHOLDS; i++) {
        unsigned next = (i + 1) % HOUSEHOLDS;
        (void)snprintf(text, sizeof text, "login:a%u device:home%u", i, i);
        event_counted(fixture, text, &mail);
        (void)snprintf(text, sizeof text, "login:b%u device:home%u", i, i);
        event_counted(fixture, text, &mail);
        (void)snprintf(text, sizeof text, "login:a%u phone:p%u", i, i);
        event_counted(fixture, text, &mail);
        (void)snprintf(text, sizeof text, "login:a%u phone:p%u", next, i);
        event_counted(fixture, text, &mail);
        (void)snprintf(text, sizeof text, "login:a%u cookie:k%u", i, i);
        event_counted(fixture, text, &mail);
    }
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_in_range(mail.most, 1, 12);
    assert_true(state_bytes(fixture) < (size_t)400 * 5 * HOUSEHOLDS);
    for (unsigned i = 0; i < HOUSEHOLDS; i += 97) {
        (void)snprintf(text, sizeof text, "login:a%u", i);
        assert_person(fixture, text, text, "self");
        (void)snprintf(root, sizeof root, "cookie:k%u", i);
        assert_person(fixture, root, text, "claim");
        (void)snprintf(text, sizeof text, "phone:p%u", i);
        assert_person(fixture, text, text, "shared");
        (void)snprintf(text, sizeof text, "device:home%u", i);
        assert_person(fixture, text, text, "shared");
        arena_reset(&fixture->arena);
    }
}

/* A phone that more and more logins give: theirs, nobody's, generic; the logins stay who they are.
 */
static void test_process_logins_that_share_a_phone_never_merge(void **state)
{
    struct fixture *fixture = *state;
    char text[TEXT_SIZE], login[TEXT_SIZE];
    static const char *const why[] = {"claim", "shared", "shared", "shared", "shared", "generic"};
    for (unsigned i = 0; i < 6; i++) {
        (void)snprintf(text, sizeof text, "login:l%u phone:desk", i);
        event(fixture, text);
        assert_int_equal(solo_commit(fixture->solo), 0);
        assert_person(fixture, "phone:desk", i ? "phone:desk" : "login:l0", why[i]);
        for (unsigned k = 0; k <= i; k++) {
            (void)snprintf(login, sizeof login, "login:l%u", k);
            assert_person(fixture, login, login, "self");
        }
    }
    struct mail mail = {0};
    struct str row;
    uint8_t phone[KEY_SIZE];
    size_t rows, bytes;
    for (unsigned i = 6; i < 10000; i++) {
        (void)snprintf(text, sizeof text, "login:l%u phone:desk", i);
        event_counted(fixture, text, &mail);
    }
    assert_in_range(mail.most, 3, 4); /* link, attach, put */
    assert_int_equal(solo_commit(fixture->solo), 0);
    node_of("phone:desk", phone);
    assert_int_equal(solo_row(fixture->solo, TABLE_NODE, str_make(phone, KEY_SIZE), &row), 0);
    assert_in_range(row.size, 1, 500);
    assert_int_equal(solo_table_size(fixture->solo, TABLE_EDGE, &rows, &bytes), 0);
    assert_int_equal(rows, 0);
    assert_person(fixture, "login:l9999", "login:l9999", "self");
}

/* ---- bad input ---- */

static void reject_event(
    struct fixture *fixture, const char *identifiers, const char *reason, const char *keyed_as)
{
    uint8_t key[KEY_SIZE];
    struct str bytes = encode(fixture, identifiers);
    node_of(keyed_as, key);
    assert_int_equal(process(fixture, TOPIC_EVENTS, key, bytes), 0);
    assert_rejected(fixture, reason, bytes);
}

static void test_process_bad_event_rejected(void **state)
{
    struct fixture *fixture = *state;
    static char huge[IDENTIFIER_VALUE_SIZE_MAX + 16];
    uint8_t key[KEY_SIZE] = {0};
    assert_int_equal(process(fixture, TOPIC_EVENTS, key, STR("no event")), 0);
    assert_rejected(fixture, "bad_avro", STR("no event"));
    assert_int_equal(process(fixture, TOPIC_EVENTS, key, STR("")), 0);
    assert_rejected(fixture, "bad_avro", STR(""));
    reject_event(fixture, "login:l1 planet:mars", "unknown_namespace", "login:l1");
    reject_event(fixture, "login:l1 cookie:", "bad_value", "login:l1");
    reject_event(fixture, "", "no_identifier", "login:l1");
    memset(huge, 'x', sizeof huge - 1);
    memcpy(huge, "login:", 6);
    reject_event(fixture, huge, "bad_value", "login:l1");
}

/* Evidence of login:l1 and another identifier. */
static struct str encode_evidence(struct fixture *fixture, const char *other, const char *value)
{
    struct touchpoint event;
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str out, plain = encode(fixture, "login:l1");
    assert_int_equal(touchpoint_decode(&event, plain, &fixture->arena), 0);
    event.type = STR("identity_linked");
    event.has_evidence = true;
    evidence_init(&event.evidence);
    event.evidence.a_namespace = STR("login");
    event.evidence.a_value = STR("l1");
    event.evidence.b_namespace = str_of(other);
    event.evidence.b_value = str_of(value);
    assert_int_equal(touchpoint_encode(&event, &bytes), 0);
    assert_int_equal(arena_dup(&fixture->arena, buf_str(&bytes), &out), 0);
    return out;
}

static void test_process_bad_evidence_rejected(void **state)
{
    static const char *const bad[][3] = {
        {"login", "l1", "bad_value"}, /* with itself */
        {"login", "", "bad_value"},
        {"planet", "mars", "unknown_namespace"},
    };
    struct fixture *fixture = *state;
    uint8_t key[KEY_SIZE];
    node_of("login:l1", key);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct str bytes = encode_evidence(fixture, bad[i][0], bad[i][1]);
        assert_int_equal(process(fixture, TOPIC_EVENTS, key, bytes), 0);
        assert_rejected(fixture, bad[i][2], bytes);
    }
    assert_int_equal(
        process(fixture, TOPIC_EVENTS, key, encode_evidence(fixture, "login", "l2")), 0);
    assert_int_equal(solo_commit(fixture->solo), 0);
    struct person_of one, other;
    person_row(fixture, "login:l1", &one);
    person_row(fixture, "login:l2", &other);
    assert_memory_equal(one.person, other.person, KEY_SIZE);
    assert_true(one.has_root != other.has_root); /* the one is the other's root */
}

static void test_process_too_many_identifiers_rejected(void **state)
{
    struct fixture *fixture = *state;
    struct identifier ids[EVENT_IDENTIFIERS_MAX + 1];
    char text[EVENT_IDENTIFIERS_MAX + 1][TEXT_SIZE];
    uint8_t key[KEY_SIZE] = {0};
    CLEANUP(buf_free) struct buf bytes = {0};
    struct touchpoint event;
    touchpoint_init(&event);
    for (size_t i = 0; i <= EVENT_IDENTIFIERS_MAX; i++) {
        (void)snprintf(text[i], TEXT_SIZE, "c%zu", i);
        ids[i] = (struct identifier){.namespace = STR("cookie"), .value = str_of(text[i])};
    }
    event.identifiers = ids;
    event.identifiers_count = EVENT_IDENTIFIERS_MAX + 1;
    assert_int_equal(touchpoint_encode(&event, &bytes), 0);
    assert_int_equal(process(fixture, TOPIC_EVENTS, key, buf_str(&bytes)), 0);
    assert_rejected(fixture, "too_many", buf_str(&bytes));
    event.identifiers_count--; /* as many as may be: one set */
    buf_clear(&bytes);
    assert_int_equal(touchpoint_encode(&event, &bytes), 0);
    assert_int_equal(process(fixture, TOPIC_EVENTS, key, buf_str(&bytes)), 0);
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_person(fixture, "cookie:c63", "cookie:c63", "self");
    assert_int_equal(solo_counts(fixture->solo)->mails[TOPIC_IDENTITY], 1 + EVENT_IDENTIFIERS_MAX);
}

static void test_process_event_truncated_at_every_length_rejected(void **state)
{
    struct fixture *fixture = *state;
    uint8_t key[KEY_SIZE];
    struct str bytes = encode(fixture, "login:l1 cookie:c1");
    node_of("login:l1", key);
    for (size_t size = 0; size < bytes.size; size++) {
        struct str cut = str_make(bytes.data, size);
        assert_int_equal(process(fixture, TOPIC_EVENTS, key, cut), 0);
        assert_rejected(fixture, "bad_avro", cut);
    }
}

static void test_process_key_of_other_node_by_mail(void **state)
{
    struct fixture *fixture = *state;
    uint8_t key[KEY_SIZE];
    size_t puts;
    node_of("cookie:c1", key); /* as a producer with another table would have it */
    assert_int_equal(process(fixture, TOPIC_EVENTS, key, encode(fixture, "login:l1 cookie:c1")), 0);
    (void)solo_sent(fixture->solo, TOPIC_JOURNEY, &puts);
    assert_int_equal(puts, 1);
    assert_int_equal(solo_commit(fixture->solo), 0);
    assert_int_equal(solo_counts(fixture->solo)->mails[TOPIC_IDENTITY], 3);
    assert_person(fixture, "cookie:c1", "login:l1", "claim");
}

static struct str encode_mail(struct fixture *fixture, const struct identity_message *message)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    struct str out;
    assert_int_equal(identity_message_encode(message, &bytes), 0);
    assert_int_equal(arena_dup(&fixture->arena, buf_str(&bytes), &out), 0);
    return out;
}

static void reject_mail(struct fixture *fixture, const struct identity_message *message)
{
    struct str bytes = encode_mail(fixture, message);
    assert_int_equal(process(fixture, TOPIC_IDENTITY, message->to, bytes), 0);
    assert_rejected(fixture, "bad_value", bytes);
}

static void test_process_mail_nobody_sends_rejected(void **state)
{
    struct fixture *fixture = *state;
    struct identity_message message;
    uint8_t other_key[KEY_SIZE] = {1};
    identity_message_init(&message);
    node_of("login:l1", message.to);
    node_of("cookie:c1", message.from);
    static const enum identity_kind kinds[] = {IDENTITY_KIND_UNKNOWN, IDENTITY_KIND_UNLINK,
        IDENTITY_KIND_DETACH, IDENTITY_KIND_FORGET, IDENTITY_KIND_SUPPRESS};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        message.kind = kinds[i];
        reject_mail(fixture, &message);
    }
    message.kind = IDENTITY_KIND_ATTACH; /* good, but under another key */
    struct str bytes = encode_mail(fixture, &message);
    assert_int_equal(process(fixture, TOPIC_IDENTITY, other_key, bytes), 0);
    assert_rejected(fixture, "bad_value", bytes);

    message.kind = IDENTITY_KIND_EVENT; /* to a node that is not at that place of its chain */
    message.event = encode(fixture, "login:l1 cookie:c1");
    message.chain_index = 1;
    reject_mail(fixture, &message);
    message.chain_index = 7;
    reject_mail(fixture, &message);

    message.kind = IDENTITY_KIND_BRIDGE; /* off, that was never on */
    message.has_other = true;
    node_of("email:e1", message.other);
    reject_mail(fixture, &message);

    message.kind = IDENTITY_KIND_GENERIC; /* to a set that nobody has made */
    node_of("cookie:c1 cookie:c2", message.to);
    reject_mail(fixture, &message);
}

static void test_process_mail_damaged_anywhere_never_fails(void **state)
{
    struct fixture *fixture = *state;
    struct identity_message message;
    struct link_end links[2];
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_LINK;
    node_of("cookie:c1", message.to);
    node_of("login:l1", message.from);
    message.value = STR("c1");
    message.links = links;
    message.links_count = 2;
    memset(links, 0, sizeof links);
    node_of("login:l1", links[0].node);
    node_of("email:e1", links[1].node);
    struct str bytes = encode_mail(fixture, &message);
    for (size_t size = 0; size < bytes.size; size++) {
        struct str cut = str_make(bytes.data, size);
        assert_int_equal(process(fixture, TOPIC_IDENTITY, message.to, cut), 0);
        assert_rejected(fixture, "bad_avro", cut);
    }
    for (size_t i = 0; i < 8 * bytes.size; i++) {
        char *damaged = arena_alloc(&fixture->arena, bytes.size);
        memcpy(damaged, bytes.data, bytes.size);
        damaged[i / 8] = (char)(damaged[i / 8] ^ (1 << i % 8));
        struct str value = str_make(damaged, bytes.size);
        assert_int_equal(process(fixture, TOPIC_IDENTITY, message.to, value), 0);
        solo_abort(fixture->solo);
    }
}

/* ---- enrichment ---- */

static int enrich(void *context, struct touchpoint *event, struct arena *arena, struct str *channel)
{
    const int *error = context;
    event->bot = true;
    *channel = STR("Paid Search");
    return *error;
}

static void test_process_enriched_event_and_channel_sent(void **state)
{
    struct fixture *fixture = *state;
    struct journey_message message;
    struct touchpoint sent_event;
    size_t count;
    int error = 0;
    config.enrich = enrich;
    config.enrich_context = &error;
    event(fixture, "login:l1");
    const struct solo_sent *sent = solo_sent(fixture->solo, TOPIC_JOURNEY, &count);
    assert_int_equal(count, 1);
    assert_int_equal(journey_message_decode(&message, sent[0].value, &fixture->arena), 0);
    assert_true(str_equal(message.events[0].channel, STR("Paid Search")));
    assert_int_equal(touchpoint_decode(&sent_event, message.events[0].event, &fixture->arena), 0);
    assert_true(sent_event.bot);
    assert_true(str_equal(sent_event.event_id, STR("e-1")));
}

static void test_process_enrichment_refuses_rejected(void **state)
{
    struct fixture *fixture = *state;
    uint8_t key[KEY_SIZE];
    int error = ERR_SCHEMA_VIOLATION;
    config.enrich = enrich;
    config.enrich_context = &error;
    reject_event(fixture, "login:l1", "schema_violation", "login:l1");
    error = ERR_IO; /* not the event's fault */
    node_of("login:l1", key);
    assert_int_equal(process(fixture, TOPIC_EVENTS, key, encode(fixture, "login:l1")), ERR_IO);
}

/* ---- failing memory ---- */

static void test_process_every_allocation_failing_batch_again(void **state)
{
    struct fixture *fixture = *state;
    uint8_t key[KEY_SIZE];
    const char *identifiers = "login:l1 email:e1 cookie:c1 cookie:c2 order:o1";
    bool happened = true;
    size_t nth;
    node_of("login:l1", key);
    for (nth = 1; happened; nth++) {
        struct str bytes = encode(fixture, identifiers);
        failing_alloc_at(nth);
        int r = process(fixture, TOPIC_EVENTS, key, bytes);
        if (r == 0)
            r = solo_commit(fixture->solo);
        happened = failing_alloc_happened();
        failing_alloc_at(0);
        assert_int_equal(r, happened ? ERR_NO_MEMORY : 0);
        assert_int_equal(process(fixture, TOPIC_EVENTS, key, bytes), 0); /* the same instance */
        assert_int_equal(solo_commit(fixture->solo), 0);
        assert_person(fixture, "order:o1", "login:l1", "claim");
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup_keep_sent(state), 0);
    }
    assert_in_range(nth, 10, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_keep_sent, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_process_known_identifiers_one_lookup_no_mail),
        TEST(test_process_known_identifiers_again_no_lookup),
        TEST(test_process_very_many_signatures_two_lookups_no_mail),
        TEST(test_process_new_link_two_messages),
        TEST(test_process_claimed_cookie_moves_with_gone),
        TEST(test_process_put_says_all),
        TEST(test_process_shared_cookie_belongs_to_none),
        TEST(test_process_second_card_rejected_claim),
        TEST(test_process_cookie_of_many_logins_bounded),
        TEST(test_process_login_of_many_cookies_small_rows),
        TEST(test_process_login_of_hundred_thousand_cookies_bounded),
        TEST(test_process_ring_of_households_stays_apart),
        TEST(test_process_logins_that_share_a_phone_never_merge),
        TEST(test_process_bad_event_rejected),
        TEST(test_process_bad_evidence_rejected),
        TEST(test_process_too_many_identifiers_rejected),
        TEST(test_process_event_truncated_at_every_length_rejected),
        TEST(test_process_key_of_other_node_by_mail),
        TEST(test_process_mail_nobody_sends_rejected),
        TEST(test_process_mail_damaged_anywhere_never_fails),
        TEST(test_process_enriched_event_and_channel_sent),
        TEST(test_process_enrichment_refuses_rejected),
        TEST(test_process_every_allocation_failing_batch_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
