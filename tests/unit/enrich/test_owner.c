/* Owners and their neighbours over a store that is empty but for what the test's batch wrote. */
#include "enrich/identity/owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "enrich/identity/edge.h"
#include "enrich/identity/suppression.h"
#include "ingest/stream/state_overlay.h"
#include "schemas/error.h"
#include "schemas/person_of.avro.h"

#define MANY 100

struct desk {
    struct state_backend backend;
    struct state *state;
    struct arena scratch;
    struct owners *owners;
};

static int absent(
    struct state_backend *backend, enum table table, struct str key, struct str *value)
{
    return STATE_ABSENT;
}

static int nothing_begin(
    struct state_backend *backend, enum table table, struct str from, void **cursor)
{
    *cursor = backend;
    return 0;
}

static int nothing_next(void *cursor, struct str *key, struct str *value)
{
    return STATE_ABSENT;
}

static void nothing_end(void *cursor)
{
}

static int setup(void **state)
{
    static struct desk desk;
    struct task task;
    desk = (struct desk){
        .backend = {.get = absent,
            .scan_begin = nothing_begin,
            .scan_next = nothing_next,
            .scan_end = nothing_end},
    };
    assert_int_equal(state_new(&desk.backend, &desk.state), 0);
    static const uint8_t key[32];
    assert_int_equal(owners_new(namespace_table_default(), key, &desk.owners), 0);
    task = (struct task){.state = desk.state, .scratch = &desk.scratch};
    owners_enter(desk.owners, &task);
    *state = &desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *desk = *state;
    owners_free(&desk->owners);
    state_free(&desk->state);
    arena_free(&desk->scratch);
    return 0;
}

/* A node of a rank of the default table. */
static const uint8_t *id_of(const char *namespace, unsigned number)
{
    static uint8_t ids[4][KEY_SIZE];
    static unsigned next;
    uint8_t *id = ids[next++ % 4];
    memset(id, 0, KEY_SIZE);
    id[0] = (uint8_t)(2 * namespace_rank(namespace_table_default(), str_of(namespace)));
    put_be64(id + 8, number);
    return id;
}

static struct owner *get(struct desk *desk, const uint8_t *id)
{
    struct owner *owner;
    assert_int_equal(owners_get(desk->owners, id, &owner), 0);
    return owner;
}

/* Writes all, forgets all. */
static void reload(struct desk *desk)
{
    assert_int_equal(owners_flush(desk->owners), 0);
    owners_forget(desk->owners);
}

static void put_edge(struct desk *desk, struct owner *owner, const uint8_t *other, int32_t links)
{
    struct edge edge;
    assert_int_equal(edge_get(desk->owners, owner, other, &edge), 0);
    edge.links = links;
    assert_int_equal(edge_put(desk->owners, owner, &edge), 0);
}

static void test_owners_get_unknown_identifier_is_itself(void **state)
{
    struct desk *desk = *state;
    uint8_t person[KEY_SIZE];
    struct owner *owner = get(desk, id_of("cookie", 1));
    owners_person(desk->owners, owner->id, person);
    assert_true(owner->exists);
    assert_false(owner->dirty);
    assert_memory_equal(owner->root, owner->id, KEY_SIZE);
    assert_memory_equal(owner->person, person, KEY_SIZE);
    uint8_t set[KEY_SIZE];
    memcpy(set, owner->id, KEY_SIZE);
    set[0]++;
    assert_false(get(desk, set)->exists);
}

static void test_owners_flush_then_get_equal(void **state)
{
    struct desk *desk = *state;
    uint8_t cookie[KEY_SIZE];
    memcpy(cookie, id_of("cookie", 1), KEY_SIZE);
    struct owner *owner = get(desk, cookie);
    owner->epoch = 5;
    owner->claim_number = 7;
    owner->flags = OWNER_SEATED | OWNER_SHARED;
    memcpy(owner->claim, id_of("login", 3), KEY_SIZE);
    memset(owner->person, 8, KEY_SIZE);
    put_edge(desk, owner, id_of("login", 3), 2);
    put_edge(desk, owner, id_of("order", 4), 1);
    assert_int_equal(owner_know(desk->owners, owner, (const uint8_t *)"SIGNATUR", 0), 0);
    owner_changed(desk->owners, owner);
    reload(desk);

    struct edge edge;
    owner = get(desk, cookie);
    assert_int_equal(owner->epoch, 5);
    assert_int_equal(owner->claim_number, 7);
    assert_int_equal(owner->flags, OWNER_SEATED | OWNER_SHARED);
    assert_memory_equal(owner->claim, id_of("login", 3), KEY_SIZE);
    assert_memory_equal(owner->root, id_of("login", 3), KEY_SIZE); /* not protected */
    assert_int_equal(owner->person[0], 8);
    assert_int_equal(owner->above.count, 1);
    assert_int_equal(owner->below.count, 1);
    assert_int_equal(edge_get(desk->owners, owner, id_of("login", 3), &edge), 0);
    assert_int_equal(edge.links, 2);
    assert_memory_equal(edge.root, edge.node, KEY_SIZE);
    assert_int_equal(owner_know(desk->owners, owner, (const uint8_t *)"SIGNATUR", 0), 1);
}

static void test_owners_get_protected_claim_rooted_when_accepted(void **state)
{
    struct desk *desk = *state;
    uint8_t card[KEY_SIZE];
    memcpy(card, id_of("loyalty", 1), KEY_SIZE);
    struct owner *owner = get(desk, card);
    memcpy(owner->claim, id_of("login", 3), KEY_SIZE);
    owner_changed(desk->owners, owner);
    reload(desk);
    owner = get(desk, card);
    assert_memory_equal(owner->root, card, KEY_SIZE);
    owner->flags |= OWNER_ACCEPTED;
    owner_changed(desk->owners, owner);
    reload(desk);
    assert_memory_equal(get(desk, card)->root, id_of("login", 3), KEY_SIZE);
}

static struct str node_row(struct desk *desk, const uint8_t *id)
{
    struct str value;
    assert_int_equal(state_get(desk->state, TABLE_NODE, str_make(id, KEY_SIZE), &value), 0);
    return value;
}

static void test_owners_get_damaged_row_state_error(void **state)
{
    struct desk *desk = *state;
    uint8_t cookie[KEY_SIZE];
    struct owner *out;
    memcpy(cookie, id_of("cookie", 1), KEY_SIZE);
    struct owner *owner = get(desk, cookie);
    for (unsigned i = 0; i < MANY; i++)
        put_edge(desk, owner, id_of("order", i), 1);
    assert_int_equal(owner_know(desk->owners, owner, (const uint8_t *)"SIGNATUR", 0), 0);
    reload(desk);
    struct str row = node_row(desk, cookie), key = str_make(cookie, KEY_SIZE);
    for (size_t size = 0; size < row.size; size++) {
        assert_int_equal(state_put(desk->state, TABLE_NODE, key, str_make(row.data, size)), 0);
        assert_int_equal(owners_get(desk->owners, cookie, &out), ERR_STATE);
        owners_forget(desk->owners);
    }
    for (size_t i = 0; i < row.size; i++) { /* any changed byte: read, or refused */
        char *damaged = arena_alloc(&desk->scratch, row.size);
        memcpy(damaged, row.data, row.size);
        damaged[i] = (char)(damaged[i] ^ 0x55);
        struct edge_list list;
        assert_int_equal(state_put(desk->state, TABLE_NODE, key, str_make(damaged, row.size)), 0);
        int r = owners_get(desk->owners, cookie, &out);
        if (r == 0)
            r = edges_below(desk->owners, out, &list);
        assert_true(r == 0 || r == ERR_STATE || r == ERR_NO_MEMORY);
        owners_forget(desk->owners);
    }
}

static void test_owners_flush_named_person_row_kept(void **state)
{
    struct desk *desk = *state;
    uint8_t cookie[KEY_SIZE];
    struct person_of row;
    struct str value;
    memcpy(cookie, id_of("cookie", 1), KEY_SIZE);
    struct owner *owner = get(desk, cookie);
    owner->person_due = true;
    owner_changed(desk->owners, owner);
    reload(desk); /* not named yet: no row */
    struct str key = str_make(cookie, KEY_SIZE);
    assert_int_equal(state_get(desk->state, TABLE_PERSON_OF, key, &value), STATE_ABSENT);
    assert_int_equal(owner_name(desk->owners, get(desk, cookie), STR("c-1")), 0);
    assert_int_equal(owner_name(desk->owners, get(desk, cookie), STR("other")), 0);
    reload(desk);
    owner = get(desk, cookie); /* the text is in no memory now */
    owner->flags |= OWNER_GENERIC | OWNER_DEAD;
    owner->epoch = 3;
    owner->person_due = true;
    owner_changed(desk->owners, owner);
    reload(desk);
    assert_int_equal(state_get(desk->state, TABLE_PERSON_OF, key, &value), 0);
    assert_int_equal(person_of_decode(&row, value, &desk->scratch), 0);
    assert_true(str_equal(row.namespace, STR("cookie")));
    assert_true(str_equal(row.value, STR("c-1")));
    assert_true(str_equal(row.why, STR("generic")));
    assert_int_equal(row.epoch, 3);
    assert_memory_equal(row.node, cookie, KEY_SIZE);
    uint8_t person[KEY_SIZE];
    owners_person(desk->owners, cookie, person);
    assert_memory_equal(row.person, person, KEY_SIZE);
}

static void test_owner_know_more_than_inline_all_known(void **state)
{
    struct desk *desk = *state;
    uint8_t login[KEY_SIZE], signature[SIGNATURE_SIZE];
    memcpy(login, id_of("login", 1), KEY_SIZE);
    for (int turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < MANY; i++) {
            put_be64(signature, i);
            assert_int_equal(owner_know(desk->owners, get(desk, login), signature, 0), turn);
        }
        reload(desk);
    }
    put_be64(signature, MANY);
    assert_int_equal(owner_know(desk->owners, get(desk, login), signature, 0), 0);
}

static void test_edges_more_than_inline_found_listed_counted(void **state)
{
    struct desk *desk = *state;
    uint8_t phone[KEY_SIZE];
    struct edge_list list;
    struct edge edge;
    memcpy(phone, id_of("phone", 1), KEY_SIZE);
    for (unsigned i = 0; i < MANY; i++) {
        put_edge(desk, get(desk, phone), id_of("login", i), 1);
        put_edge(desk, get(desk, phone), id_of("cookie", i), 1);
        reload(desk);
    }
    struct owner *owner = get(desk, phone);
    assert_int_equal(owner->above.count, EDGES_ABOVE_MAX);
    assert_int_equal(owner->below.count, EDGES_BELOW_MAX);
    assert_int_equal(edges_linked(owner, id_of("login", 0)[0]), MANY);
    assert_int_equal(edges_linked(owner, id_of("email", 0)[0]), 0);
    assert_int_equal(edges_above(desk->owners, owner, &list), 0);
    assert_int_equal(list.count, MANY);
    assert_int_equal(edges_below(desk->owners, owner, &list), 0);
    assert_int_equal(list.count, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(edge_get(desk->owners, owner, id_of("login", i), &edge), 0);
        assert_int_equal(edge.links, 1);
    }
    assert_true(node_row(desk, phone).size < 1000); /* however many */
}

static void test_edge_put_says_nothing_deleted(void **state)
{
    struct desk *desk = *state;
    struct edge_list list;
    uint8_t phone[KEY_SIZE];
    memcpy(phone, id_of("phone", 1), KEY_SIZE);
    struct owner *owner = get(desk, phone);
    for (unsigned i = 0; i < MANY; i++)
        put_edge(desk, owner, id_of("cookie", i), 1);
    for (unsigned i = 0; i < MANY; i += 2)
        put_edge(desk, owner, id_of("cookie", i), 0);
    put_edge(desk, owner, id_of("cookie", MANY), 0); /* was never there */
    reload(desk);
    owner = get(desk, phone);
    assert_int_equal(edges_linked(owner, id_of("cookie", 0)[0]), MANY / 2);
    assert_int_equal(edges_below(desk->owners, owner, &list), 0);
    assert_int_equal(list.count, MANY / 2);
    assert_int_equal(edges_drop_below(desk->owners, owner), 0);
    reload(desk);
    owner = get(desk, phone);
    assert_int_equal(owner->rows_count, 0);
    assert_int_equal(edges_below(desk->owners, owner, &list), 0);
    assert_int_equal(list.count, 0);
}

static void test_claims_first_in_id_order(void **state)
{
    struct desk *desk = *state;
    struct claim claims[3], claim = {.number = 4};
    struct owner *root = get(desk, id_of("login", 1));
    size_t count = 3;
    int class = id_of("loyalty", 0)[0];
    for (unsigned i = 5; i > 0; i--) {
        memcpy(claim.claimant, id_of("loyalty", i), KEY_SIZE);
        assert_int_equal(claim_put(desk->owners, root, &claim), 0);
    }
    assert_int_equal(claim_delete(desk->owners, root, id_of("loyalty", 2)), 0);
    assert_int_equal(claims_first(desk->owners, root, class, claims, &count), 0);
    assert_int_equal(count, 3);
    assert_memory_equal(claims[0].claimant, id_of("loyalty", 1), KEY_SIZE);
    assert_memory_equal(claims[1].claimant, id_of("loyalty", 3), KEY_SIZE);
    assert_int_equal(claims[2].number, 4);
    assert_int_equal(claim_get(desk->owners, root, id_of("loyalty", 2), &claim), STATE_ABSENT);
    count = 3;
    assert_int_equal(claims_first(desk->owners, root, class + 2, claims, &count), 0);
    assert_int_equal(count, 0);
}

/* The last lift that is no later than the event, and no earlier than the last erasure. */
static void test_owner_lift_in_any_order_with_erasures(void **state)
{
    struct desk *desk = *state;
    struct owner *owner = get(desk, id_of("login", 1));
    struct suppression found;
    static const uint8_t person[KEY_SIZE] = {1};
    assert_int_equal(owner_lift(desk->owners, owner, 0), 0); /* nor of a time before 1970 */
    assert_int_equal(owner_lift(desk->owners, owner, 40), 1);
    assert_int_equal(owner_suppression(desk->owners, owner, &found), STATE_ABSENT);
    assert_int_equal(owner_suppress(desk->owners, owner, person, 20), 1);
    assert_int_equal(owner_lift(desk->owners, owner, 10), 1);
    assert_int_equal(owner_lift(desk->owners, owner, 30), 1);
    assert_int_equal(owner_lift(desk->owners, owner, 30), 0);
    assert_int_equal(owner_suppression(desk->owners, owner, &found), 0);
    assert_int_equal(found.lifts_count, 3);
    assert_int_equal(suppression_lift(&found, 9), 0);
    assert_int_equal(suppression_lift(&found, 29), 0); /* 10 was before the erasure */
    assert_int_equal(suppression_lift(&found, 30), 30);
    assert_int_equal(suppression_lift(&found, 39), 30);
    assert_int_equal(suppression_lift(&found, 99), 40);
    assert_int_equal(owner_suppress(desk->owners, owner, person, 35), 1);
    assert_int_equal(owner_suppression(desk->owners, owner, &found), 0);
    assert_int_equal(suppression_lift(&found, 39), 0);
    assert_int_equal(suppression_lift(&found, 40), 40);
}

static void test_owner_lift_keeps_the_latest(void **state)
{
    struct desk *desk = *state;
    struct owner *owner = get(desk, id_of("login", 1));
    struct suppression found;
    static const uint8_t person[KEY_SIZE] = {1};
    assert_int_equal(owner_suppress(desk->owners, owner, person, 1), 1);
    for (int64_t at = SUPPRESSION_LIFTS_MAX + 1; at > 1; at--)
        assert_int_equal(owner_lift(desk->owners, owner, 10 * at), 1);
    assert_int_equal(owner_lift(desk->owners, owner, 10), 0);
    assert_int_equal(owner_lift(desk->owners, owner, 35), 1);
    assert_int_equal(owner_suppression(desk->owners, owner, &found), 0);
    assert_int_equal(found.lifts_count, SUPPRESSION_LIFTS_MAX);
    assert_int_equal(found.lifts[0], 30);
    assert_int_equal(found.lifts[1], 35);
    assert_int_equal(found.lifts[2], 40);
}

/* Forgotten, let in by a lift, forgotten by an older erasure, which says nothing, and a later one.
 */
static void test_owner_know_again_by_a_lift(void **state)
{
    struct desk *desk = *state;
    const uint8_t *signature = (const uint8_t *)"SIGNATUR";
    struct owner *owner = get(desk, id_of("login", 1));
    assert_int_equal(owner_know(desk->owners, owner, signature, 0), SIGNATURE_NEW);
    assert_int_equal(owner_forget(desk->owners, owner, signature, 20), SIGNATURE_KNOWN);
    assert_int_equal(owner->signature_rows, 0);
    assert_int_equal(owner_know(desk->owners, owner, signature, 0), SIGNATURE_FORGOTTEN);
    assert_int_equal(owner_know(desk->owners, owner, signature, 19), SIGNATURE_FORGOTTEN);
    assert_int_equal(owner_know(desk->owners, owner, signature, 30), SIGNATURE_NEW);
    assert_int_equal(owner->signature_rows, 1);
    assert_int_equal(owner_know(desk->owners, owner, signature, 25), SIGNATURE_KNOWN);
    assert_int_equal(owner_know(desk->owners, owner, signature, 0), SIGNATURE_FORGOTTEN);
    assert_int_equal(owner_forget(desk->owners, owner, signature, 30), SIGNATURE_STAYS);
    assert_int_equal(owner_know(desk->owners, owner, signature, 25), SIGNATURE_FORGOTTEN);
    assert_int_equal(owner_forget(desk->owners, owner, signature, 31), SIGNATURE_KNOWN);
    assert_int_equal(owner->signature_rows, 0);
    assert_int_equal(owner_know(desk->owners, owner, signature, 30), SIGNATURE_FORGOTTEN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_owners_get_unknown_identifier_is_itself),
        TEST(test_owners_flush_then_get_equal),
        TEST(test_owners_get_protected_claim_rooted_when_accepted),
        TEST(test_owners_get_damaged_row_state_error),
        TEST(test_owners_flush_named_person_row_kept),
        TEST(test_owner_know_more_than_inline_all_known),
        TEST(test_owner_lift_in_any_order_with_erasures),
        TEST(test_owner_lift_keeps_the_latest),
        TEST(test_owner_know_again_by_a_lift),
        TEST(test_edges_more_than_inline_found_listed_counted),
        TEST(test_edge_put_says_nothing_deleted),
        TEST(test_claims_first_in_id_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
