#include "enrich/identity/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ingest/stream/outbox.h"
#include "schemas/error.h"

/* Ids by class: rank * 2, + 1 for a set. */
#define LOGIN 0
#define LOYALTY 2
#define EMAIL 4
#define COOKIE 12
#define COOKIES 13
#define CLASSES (2 * 10) /* the default table's */

struct kept {
    struct outbox outbox;
    enum topic topic;
    uint8_t key[KEY_SIZE];
    struct buf value;
    int error;
};

static int keep(struct outbox *outbox, enum topic topic, struct str key, struct str value)
{
    struct kept *kept = (struct kept *)outbox;
    kept->topic = topic;
    memcpy(kept->key, key.data, KEY_SIZE);
    return kept->error ? kept->error : buf_append_str(&kept->value, value);
}

/* An event of login a, cookies b and c, e-mail d: its chain is a, d, {b, c}. */
static struct str make_event(struct buf *out)
{
    struct identifier ids[] = {{STR_INIT("cookie"), STR_INIT("b"), 0},
        {STR_INIT("login"), STR_INIT("a"), 0}, {STR_INIT("cookie"), STR_INIT("c"), 0},
        {STR_INIT("email"), STR_INIT("d"), 0}};
    struct touchpoint event;
    touchpoint_init(&event);
    event.identifiers = ids;
    event.identifiers_count = 4;
    assert_int_equal(touchpoint_encode(&event, out), 0);
    return buf_str(out);
}

static void pass_on(int32_t chain_index, struct arena *arena, struct identity_message *out)
{
    struct buf event = {0};
    struct kept kept = {.outbox = {keep}};
    struct travelling_event travelling = {.channel = STR("Email"), .position = 77};
    travelling.event = make_event(&event);
    travelling.chain_index = chain_index;
    memset(travelling.from, 9, KEY_SIZE);
    assert_int_equal(
        identity_message_pass_on(namespace_table_default(), &travelling, arena, &kept.outbox), 0);
    struct str bytes;
    assert_int_equal(arena_dup(arena, buf_str(&kept.value), &bytes), 0);
    assert_int_equal(identity_message_decode(out, bytes, arena), 0);
    assert_int_equal(kept.topic, TOPIC_IDENTITY);
    assert_memory_equal(kept.key, out->to, KEY_SIZE);
    assert_true(str_equal(out->event, travelling.event));
    assert_true(str_equal(out->channel, travelling.channel));
    assert_memory_equal(out->from, travelling.from, KEY_SIZE);
    assert_int_equal(out->position, 77);
    assert_true(identity_message_valid(namespace_table_default(), out));
    buf_free(&event);
    buf_free(&kept.value);
}

static void test_pass_on_within_chain_event_to_next(void **state)
{
    struct arena arena = {0};
    struct identity_message message;
    pass_on(0, &arena, &message);
    assert_int_equal(message.kind, IDENTITY_KIND_EVENT);
    assert_int_equal(message.chain_index, 1);
    assert_int_equal(message.to[0], EMAIL);
    pass_on(1, &arena, &message);
    assert_int_equal(message.kind, IDENTITY_KIND_EVENT);
    assert_int_equal(message.chain_index, 2);
    assert_int_equal(message.to[0], COOKIES);
    arena_free(&arena);
}

static void test_pass_on_behind_chain_stays_with_first(void **state)
{
    struct arena arena = {0};
    struct identity_message message;
    pass_on(2, &arena, &message);
    assert_int_equal(message.kind, IDENTITY_KIND_STAY);
    assert_int_equal(message.to[0], LOGIN);
    arena_free(&arena);
}

static void test_pass_on_bad_event_error(void **state)
{
    struct arena arena = {0};
    struct kept kept = {.outbox = {keep}};
    struct travelling_event travelling = {.event = STR("no event")};
    assert_int_equal(
        identity_message_pass_on(namespace_table_default(), &travelling, &arena, &kept.outbox),
        ERR_AVRO);
    struct buf event = {0};
    travelling.event = make_event(&event);
    kept.error = ERR_FULL;
    assert_int_equal(
        identity_message_pass_on(namespace_table_default(), &travelling, &arena, &kept.outbox),
        ERR_FULL);
    const struct namespace_table only_login = {.rules = {{STR_INIT("login"), 0, 0, 0}}, .count = 1};
    assert_int_equal(
        identity_message_pass_on(&only_login, &travelling, &arena, &kept.outbox), ERR_NAMESPACE);
    assert_int_equal(kept.value.size, 0);
    buf_free(&event);
    arena_free(&arena);
}

/* A message with ids of these classes; links to the `other` class. */
static bool valid(enum identity_kind kind, int to, int from, int other)
{
    struct identity_message message;
    struct link_end links[2];
    identity_message_init(&message);
    memset(links, 0, sizeof links);
    message.kind = kind;
    message.to[0] = (uint8_t)to;
    message.from[0] = (uint8_t)from;
    if (kind == IDENTITY_KIND_LINK) {
        message.links = links;
        message.links_count = 2;
        links[0].node[0] = links[1].node[0] = (uint8_t)other;
        links[1].node[1] = 1;
    } else {
        message.has_other = other >= 0;
        message.other[0] = (uint8_t)other;
    }
    return identity_message_valid(namespace_table_default(), &message);
}

static void test_valid_kinds_that_owners_send_true(void **state)
{
    assert_true(valid(IDENTITY_KIND_EVENT, EMAIL, LOGIN, -1));
    assert_true(valid(IDENTITY_KIND_STAY, LOGIN, COOKIE, -1));
    assert_true(valid(IDENTITY_KIND_LINK, COOKIE, LOGIN, EMAIL));
    assert_true(valid(IDENTITY_KIND_LINK, COOKIES, LOGIN, COOKIE));
    assert_true(valid(IDENTITY_KIND_ATTACH, LOGIN, COOKIE, -1));
    assert_true(valid(IDENTITY_KIND_ATTACH, COOKIE, COOKIES, -1));
    assert_true(valid(IDENTITY_KIND_DETACH, LOGIN, COOKIE, -1));
    assert_true(valid(IDENTITY_KIND_ERASE, LOGIN, COOKIE, -1));
    assert_true(valid(IDENTITY_KIND_GENERIC, COOKIES, COOKIE, -1));
    assert_true(valid(IDENTITY_KIND_BRIDGE, LOGIN, COOKIE, EMAIL));
    assert_true(valid(IDENTITY_KIND_ROOT, COOKIE, EMAIL, LOGIN));
    assert_true(valid(IDENTITY_KIND_ROOT, COOKIE, EMAIL, EMAIL));
    assert_true(valid(IDENTITY_KIND_CLAIM, LOGIN, LOYALTY, -1));
    assert_true(valid(IDENTITY_KIND_VERDICT, LOYALTY, LOGIN, -1));
}

static void test_valid_what_no_owner_sends_false(void **state)
{
    assert_false(valid(IDENTITY_KIND_UNKNOWN, EMAIL, LOGIN, -1));
    assert_false(valid(IDENTITY_KIND_UNLINK, COOKIE, LOGIN, EMAIL)); /* no links, no person */
    assert_false(valid(IDENTITY_KIND_DETACH, COOKIE, LOGIN, -1));
    assert_false(valid(IDENTITY_KIND_FORGET, LOGIN, LOGIN, -1));
    assert_false(valid(IDENTITY_KIND_SUPPRESS, LOGIN, LOGIN, -1));
    assert_false(valid(IDENTITY_KIND_ERASE, COOKIES, COOKIE, -1));
    assert_false(valid((enum identity_kind)99, LOGIN, COOKIE, -1));
    assert_false(valid(IDENTITY_KIND_LINK, EMAIL, LOGIN, COOKIE)); /* weaker */
    assert_false(valid(IDENTITY_KIND_LINK, EMAIL, LOGIN, EMAIL));
    assert_false(valid(IDENTITY_KIND_LINK, COOKIES, LOGIN, EMAIL)); /* no member */
    assert_false(valid(IDENTITY_KIND_ATTACH, COOKIE, LOGIN, -1));
    assert_false(valid(IDENTITY_KIND_ATTACH, COOKIES, COOKIES + 1, -1));
    assert_false(valid(IDENTITY_KIND_GENERIC, LOGIN, COOKIE, -1));
    assert_false(valid(IDENTITY_KIND_BRIDGE, LOGIN, COOKIE, LOGIN)); /* one rank */
    assert_false(valid(IDENTITY_KIND_BRIDGE, LOGIN, COOKIE, -1));
    assert_false(valid(IDENTITY_KIND_ROOT, COOKIE, EMAIL, COOKIE)); /* weaker than its node */
    assert_false(valid(IDENTITY_KIND_ROOT, COOKIE, EMAIL, -1));
    assert_false(valid(IDENTITY_KIND_CLAIM, LOGIN, EMAIL, -1)); /* not protected */
    assert_false(valid(IDENTITY_KIND_VERDICT, LOGIN, LOYALTY, -1));
    assert_false(valid(IDENTITY_KIND_EVENT, CLASSES, LOGIN, -1)); /* no such namespace */
    assert_false(valid(IDENTITY_KIND_EVENT, LOGIN, CLASSES, -1));
    assert_false(valid(IDENTITY_KIND_ROOT, COOKIE, EMAIL, CLASSES));
}

/* Within a group: of one rank, by ids. */
static bool group_valid(enum identity_kind kind, struct identity_message *message)
{
    message->kind = kind;
    return identity_message_valid(namespace_table_default(), message);
}

static void test_valid_messages_of_a_group(void **state)
{
    struct identity_message message;
    identity_message_init(&message);
    message.has_other = true;
    message.to[0] = message.from[0] = message.other[0] = EMAIL;
    message.to[1] = 1;
    message.other[1] = 2;
    message.from[1] = 3;
    assert_true(group_valid(IDENTITY_KIND_BRIDGE, &message));     /* a join */
    assert_false(group_valid(IDENTITY_KIND_CANDIDATE, &message)); /* of its own rank */
    message.other[1] = 1;
    assert_false(group_valid(IDENTITY_KIND_BRIDGE, &message)); /* with itself */
    message.other[1] = 4;
    assert_false(group_valid(IDENTITY_KIND_BRIDGE, &message)); /* to a later one */
    message.other[1] = 2;
    message.from[0] = COOKIE;
    assert_false(group_valid(IDENTITY_KIND_BRIDGE, &message)); /* by another rank */
    assert_false(group_valid(IDENTITY_KIND_CANDIDATE, &message));
    message.from[0] = EMAIL;
    message.other[0] = LOGIN;
    assert_true(group_valid(IDENTITY_KIND_CANDIDATE, &message));
    message.has_other = false;
    assert_true(group_valid(IDENTITY_KIND_CANDIDATE, &message)); /* none */
    message.from[1] = 0;
    assert_false(group_valid(IDENTITY_KIND_CANDIDATE, &message)); /* from an earlier one */
    message.from[0] = message.to[0] = EMAIL + 1;
    message.from[1] = 3;
    assert_false(group_valid(IDENTITY_KIND_CANDIDATE, &message)); /* of sets */
    (void)state;
}

static void test_valid_link_to_set_unordered_false(void **state)
{
    struct identity_message message;
    struct link_end links[2];
    identity_message_init(&message);
    memset(links, 0, sizeof links);
    message.kind = IDENTITY_KIND_LINK;
    message.to[0] = COOKIES;
    message.links = links;
    message.links_count = 2;
    links[0].node[0] = links[1].node[0] = COOKIE;
    links[1].node[1] = 1;
    assert_true(identity_message_valid(namespace_table_default(), &message));
    links[0].node[1] = 1; /* twice the same */
    assert_false(identity_message_valid(namespace_table_default(), &message));
    links[0].node[1] = 2;
    assert_false(identity_message_valid(namespace_table_default(), &message));
    message.links_count = 1;
    assert_false(identity_message_valid(namespace_table_default(), &message));
    message.to[0] = COOKIE + 2;
    message.links_count = 0;
    assert_false(identity_message_valid(namespace_table_default(), &message));
}

/* Who is reached by an erasure is an identifier, and is told whose. */
static void test_valid_reach_of_nobody_false(void **state)
{
    static const enum identity_kind kinds[] = {
        IDENTITY_KIND_REACH, IDENTITY_KIND_REACHED, IDENTITY_KIND_GO};
    struct identity_message message;
    identity_message_init(&message);
    message.to[0] = COOKIE;
    message.from[0] = LOGIN;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        message.kind = kinds[i];
        message.has_person = true;
        message.to[0] = COOKIE;
        assert_true(identity_message_valid(namespace_table_default(), &message));
        message.to[0] = COOKIES;
        assert_false(identity_message_valid(namespace_table_default(), &message));
        message.to[0] = COOKIE;
        message.has_person = false;
        assert_false(identity_message_valid(namespace_table_default(), &message));
    }
    message.kind = IDENTITY_KIND_ERASE; /* of a person: by whom it was asked for */
    message.has_person = true;
    assert_false(identity_message_valid(namespace_table_default(), &message));
    message.has_other = true;
    assert_true(identity_message_valid(namespace_table_default(), &message));
}

/* Messages of erasure name the signature whose node they are for. */
static void test_valid_signature_of_another_node_false(void **state)
{
    struct identity_message message;
    struct link_end links[2];
    identity_message_init(&message);
    memset(links, 0, sizeof links);
    message.kind = IDENTITY_KIND_FORGET;
    message.has_person = true;
    message.links = links;
    message.links_count = 2;
    links[0].node[0] = LOGIN;
    links[1].node[0] = COOKIE;
    message.to[0] = LOGIN;
    assert_true(identity_message_valid(namespace_table_default(), &message));
    message.to[0] = COOKIE;
    assert_false(identity_message_valid(namespace_table_default(), &message));
    message.kind = IDENTITY_KIND_SUPPRESS;
    message.chain_index = 1;
    assert_true(identity_message_valid(namespace_table_default(), &message));
    message.chain_index = 2;
    assert_false(identity_message_valid(namespace_table_default(), &message));
    message.chain_index = -1;
    assert_false(identity_message_valid(namespace_table_default(), &message));
    message.chain_index = 1;
    links[0].node[0] = EMAIL + 100; /* not in id order */
    assert_false(identity_message_valid(namespace_table_default(), &message));
    links[0].node[0] = LOGIN + 1; /* a set is no identifier */
    assert_false(identity_message_valid(namespace_table_default(), &message));
}

/* A pass is at one of the newer pseudonyms that it names, an event's at last at whom it is about; a
 * rotation is told by its older node. */
static void test_valid_rotation_at_another_node_false(void **state)
{
    struct identity_message message;
    struct link_end links[2];
    identity_message_init(&message);
    memset(links, 0, sizeof links);
    message.kind = IDENTITY_KIND_PASS_LINK;
    message.links = links;
    message.links_count = 2;
    links[0].node[0] = LOGIN;
    links[1].node[0] = EMAIL;
    message.newer = STR("\x01");
    message.to[0] = EMAIL;
    const struct namespace_table *table = namespace_table_default();
    assert_true(identity_message_valid(table, &message));
    message.kind = IDENTITY_KIND_PASS_UNLINK;
    assert_true(identity_message_valid(table, &message));
    message.kind = IDENTITY_KIND_PASS_EVIDENCE;
    assert_false(identity_message_valid(table, &message)); /* of no event */
    message.has_event_key = true;
    assert_true(identity_message_valid(table, &message));
    message.chain_index = 1;
    assert_false(identity_message_valid(table, &message));
    message.chain_index = -1;
    assert_false(identity_message_valid(table, &message));
    message.chain_index = 0;
    message.newer = STR("\x02");
    assert_false(identity_message_valid(table, &message));
    message.newer = STR("\x00");
    assert_false(identity_message_valid(table, &message)); /* that is the login */
    message.newer = STR("\x01");
    links[0].node[0] = LOGIN + 1; /* a set */
    assert_false(identity_message_valid(table, &message));
    links[0].node[0] = CLASSES;
    assert_false(identity_message_valid(table, &message));
    links[0].node[0] = LOGIN;
    message.kind = IDENTITY_KIND_PASS_EVENT;
    assert_false(identity_message_valid(table, &message)); /* nobody asks */
    message.has_other = true;
    message.other[0] = EMAIL;
    assert_false(identity_message_valid(table, &message)); /* a first node asks nothing */
    message.number = 1;
    assert_true(identity_message_valid(table, &message));
    message.chain_index = 1; /* behind the newer ones: at the last end */
    assert_true(identity_message_valid(table, &message));
    message.chain_index = 2;
    assert_false(identity_message_valid(table, &message));
    message.chain_index = 1;
    message.to[0] = LOGIN;
    assert_false(identity_message_valid(table, &message));
    message.to[0] = EMAIL;
    message.kind = IDENTITY_KIND_EVENT;
    assert_true(identity_message_valid(table, &message));
    message.chain_index = 0;
    assert_false(identity_message_valid(table, &message)); /* an answer to a first node */
    message.number = 0;
    message.kind = IDENTITY_KIND_ROTATE;
    message.links_count = 1;
    message.has_other = true;
    links[0].node[0] = message.from[0] = EMAIL;
    assert_true(identity_message_valid(table, &message));
    links[0].node[1] = 1; /* says another than sends it */
    assert_false(identity_message_valid(table, &message));
    links[0].node[1] = 0;
    message.to[0] = COOKIE;
    assert_false(identity_message_valid(table, &message));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pass_on_within_chain_event_to_next),
        cmocka_unit_test(test_pass_on_behind_chain_stays_with_first),
        cmocka_unit_test(test_pass_on_bad_event_error),
        cmocka_unit_test(test_valid_kinds_that_owners_send_true),
        cmocka_unit_test(test_valid_what_no_owner_sends_false),
        cmocka_unit_test(test_valid_messages_of_a_group),
        cmocka_unit_test(test_valid_link_to_set_unordered_false),
        cmocka_unit_test(test_valid_reach_of_nobody_false),
        cmocka_unit_test(test_valid_signature_of_another_node_false),
        cmocka_unit_test(test_valid_rotation_at_another_node_false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
