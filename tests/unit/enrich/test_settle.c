/* The stage where two nodes are neighbours no more: nobody may go on believing an old root. */
#include "enrich/identity/settle.h"

#include "enrich/identity/evidence.h"
#include "enrich/identity/person.h"
#include "schemas/person_of.avro.h"
#include "tests/unit/enrich/identity_fixture.h"

static const struct identifier login_2 = {STR_INIT("login"), STR_INIT("2"), 0},
                               login_3 = {STR_INIT("login"), STR_INIT("3"), 0},
                               email = {STR_INIT("email"), STR_INIT("e"), 0},
                               device = {STR_INIT("device"), STR_INIT("d"), 0};

/* An event of some identifiers, the strongest first. */
static void event_of(struct touchpoint *event, struct identifier *identifiers, size_t count)
{
    touchpoint_init(event);
    event->event_id = STR("e-1");
    event->source = STR("ec-web");
    event->type = STR("page_viewed");
    event->identifiers = identifiers;
    event->identifiers_count = count;
}

static void send(struct fixture *fixture, const struct touchpoint *event)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    uint8_t key[KEY_SIZE];
    node_of_identifier(&event->identifiers[0], key);
    assert_int_equal(touchpoint_encode(event, &bytes), 0);
    process_record(fixture, TOPIC_EVENTS, str_make(key, KEY_SIZE), buf_str(&bytes));
}

static void retract_word(struct fixture *fixture, const struct touchpoint *event)
{
    struct evidence_message retract;
    CLEANUP(buf_free) struct buf bytes = {0};
    assert_int_equal(
        evidence_of_event(config.namespaces, event, IDENTITY_KIND_RETRACT, &retract), 0);
    memcpy(retract.message.from, retract.message.to, KEY_SIZE);
    assert_int_equal(identity_message_encode(&retract.message, &bytes), 0);
    process_record(
        fixture, TOPIC_IDENTITY, str_make(retract.message.to, KEY_SIZE), buf_str(&bytes));
}

static void assert_root(
    struct fixture *fixture, const struct identifier *identifier, const struct identifier *root)
{
    uint8_t id[KEY_SIZE], wanted[KEY_SIZE];
    struct str value;
    struct person_of row;
    node_of_identifier(identifier, id);
    node_of_identifier(root, wanted);
    assert_int_equal(solo_row(fixture->solo, TABLE_PERSON_OF, str_make(id, KEY_SIZE), &value), 0);
    assert_int_equal(person_of_decode(&row, value, &fixture->arena), 0);
    assert_memory_equal(row.has_root ? row.root : row.node, wanted, KEY_SIZE);
}

/* The e-mail belongs to login 3 while evidence parts it from the device; that is retracted, and
 * then the e-mail belongs to nobody. The device must not take it for login 3's when they meet. */
static void test_settle_parted_neighbour_believes_no_old_root(void **state)
{
    struct fixture *fixture = *state;
    struct touchpoint unlinked, event;
    event_of(&unlinked, (struct identifier[]){device}, 1);
    unlinked.type = STR("identity_unlinked");
    unlinked.has_evidence = true;
    evidence_init(&unlinked.evidence);
    unlinked.evidence.a_namespace = device.namespace;
    unlinked.evidence.a_value = device.value;
    unlinked.evidence.b_namespace = email.namespace;
    unlinked.evidence.b_value = email.value;
    unlinked.evidence.sign = -1;
    send(fixture, &unlinked);
    event_of(&event, (struct identifier[]){login_3, email}, 2);
    send(fixture, &event);
    assert_root(fixture, &email, &login_3);
    retract_word(fixture, &unlinked);
    event_of(&event, (struct identifier[]){login_2, email}, 2);
    send(fixture, &event);
    assert_root(fixture, &email, &email);
    event_of(&event, (struct identifier[]){login_2, email, device}, 3);
    send(fixture, &event);
    assert_root(fixture, &device, &login_2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_settle_parted_neighbour_believes_no_old_root, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
