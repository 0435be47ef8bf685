/* Ranks, chains and keys. The expected bytes were computed with Python's hashlib from the header.
 */
#include "ingest/normalise/namespace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/error.h"

static struct identifier id_of(const char *name, const char *value)
{
    return (struct identifier){.namespace = str_of(name), .value = str_of(value)};
}

static void assert_hex(const uint8_t *bytes, const char *hex)
{
    char text[2 * KEY_SIZE + 1] = {0};
    hex_encode(bytes, KEY_SIZE, text);
    assert_string_equal(text, hex);
}

static void test_namespace_rank_known_names_in_order(void **state)
{
    const struct namespace_table *table = namespace_table_default();
    static const char *const names[] = {"login", "loyalty", "email", "phone", "install", "device",
        "cookie", "order", "receipt", "case"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(namespace_rank(table, str_of(names[i])), i);
    assert_int_equal(namespace_rank(table, STR("session")), ERR_NAMESPACE);
    assert_int_equal(namespace_rank(table, STR("")), ERR_NAMESPACE);
}

static void test_namespace_chain_mixed_identifiers_strongest_first(void **state)
{
    struct arena arena = {0};
    struct node chain[NODES_MAX];
    size_t count = 0;
    const struct identifier ids[] = {id_of("cookie", "c1"), id_of("login", "u-77"),
        id_of("cookie", "c2"), id_of("cookie", "c1")};
    assert_int_equal(namespace_chain(namespace_table_default(), ids, 4, &arena, chain, &count), 0);
    assert_int_equal(count, 2);
    assert_hex(chain[0].id, "00097b13c542a7329f3cd3ebf3e2b2f6");
    assert_int_equal(chain[0].members_count, 1);
    assert_hex(chain[1].id, "0d29511118025faa0762164b0cc7cc93");
    assert_int_equal(chain[1].members_count, 2);
    assert_true(str_equal(chain[1].members[0]->value, STR("c2")));
    assert_true(str_equal(chain[1].members[1]->value, STR("c1")));
    arena_free(&arena);
}

static void test_namespace_strongest_any_set_equals_first_of_chain(void **state)
{
    struct arena arena = {0};
    const struct identifier ids[] = {id_of("order", "o1"), id_of("device", "d2"),
        id_of("cookie", "c2"), id_of("device", "d1"), id_of("device", "d2")};
    for (size_t size = 1; size <= 5; size++) {
        struct node chain[NODES_MAX];
        struct node first;
        size_t count = 0;
        assert_int_equal(
            namespace_chain(namespace_table_default(), ids, size, &arena, chain, &count), 0);
        assert_int_equal(
            namespace_strongest(namespace_table_default(), ids, size, &arena, &first), 0);
        assert_memory_equal(first.id, chain[0].id, KEY_SIZE);
        assert_int_equal(first.members_count, chain[0].members_count);
    }
    arena_free(&arena);
}

static void test_namespace_chain_bad_input_gives_typed_error(void **state)
{
    struct arena arena = {0};
    struct node chain[NODES_MAX];
    struct node first;
    size_t count = 0;
    const struct namespace_table *table = namespace_table_default();
    const struct identifier bad[] = {id_of("login", "u"), id_of("fax", "1")};
    assert_int_equal(namespace_chain(table, bad, 2, &arena, chain, &count), ERR_NAMESPACE);
    assert_int_equal(namespace_strongest(table, bad, 2, &arena, &first), ERR_NAMESPACE);
    assert_int_equal(namespace_chain(table, bad, 0, &arena, chain, &count), ERR_NO_IDENTIFIER);
    assert_int_equal(namespace_strongest(table, bad, 0, &arena, &first), ERR_NO_IDENTIFIER);
    struct identifier many[EVENT_IDENTIFIERS_MAX + 1];
    for (size_t i = 0; i <= EVENT_IDENTIFIERS_MAX; i++)
        many[i] = id_of("cookie", "c");
    assert_int_equal(namespace_chain(table, many, EVENT_IDENTIFIERS_MAX + 1, &arena, chain, &count),
        ERR_TOO_MANY);
    arena_free(&arena);
}

static void test_namespace_event_key_order_of_identifiers_does_not_matter(void **state)
{
    struct arena arena = {0};
    struct touchpoint event;
    touchpoint_init(&event);
    event.source = STR("web");
    event.event_id = STR("e1");
    struct node node;
    const struct identifier one[] = {id_of("login", "u-77"), id_of("cookie", "c1")};
    assert_int_equal(namespace_strongest(namespace_table_default(), one, 2, &arena, &node), 0);
    namespace_event_key(&node, &event);
    assert_hex(event.event_key, "7f91d7e9bc6f5051e2bdf8de193822f1");
    const struct identifier set[] = {id_of("cookie", "c1"), id_of("cookie", "c2")};
    const struct identifier swapped[] = {set[1], set[0]};
    assert_int_equal(namespace_strongest(namespace_table_default(), set, 2, &arena, &node), 0);
    namespace_event_key(&node, &event);
    assert_hex(event.event_key, "cbed781e3c32365995f9584ec675a464");
    assert_int_equal(namespace_strongest(namespace_table_default(), swapped, 2, &arena, &node), 0);
    namespace_event_key(&node, &event);
    assert_hex(event.event_key, "cbed781e3c32365995f9584ec675a464");
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_namespace_rank_known_names_in_order),
        cmocka_unit_test(test_namespace_chain_mixed_identifiers_strongest_first),
        cmocka_unit_test(test_namespace_strongest_any_set_equals_first_of_chain),
        cmocka_unit_test(test_namespace_chain_bad_input_gives_typed_error),
        cmocka_unit_test(test_namespace_event_key_order_of_identifiers_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
