/* What an erased identifier keeps: its row of person_of, as long as something shows it. */
#include "enrich/identity/erasure.h"

#include "schemas/identity_message.avro.h"
#include "schemas/person_of.avro.h"
#include "tests/unit/enrich/identity_fixture.h"

#define TEXT_SIZE 32
#define AT 100     /* of the erasure, behind all events */
#define LOGINS 4   /* more than an e-mail may have */
#define ALONE NULL /* the e-mail, without a login */

static const struct identifier email = {STR_INIT("email"), STR_INIT("shared"), 0};

static void mail(struct fixture *fixture, const struct identity_message *message)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    assert_int_equal(identity_message_encode(message, &bytes), 0);
    process_record(fixture, TOPIC_IDENTITY, str_make(message->to, KEY_SIZE), buf_str(&bytes));
}

/* What an event of the e-mail and the login shows, the stronger first. Returns how many. */
static size_t shown(const char *login, struct identifier out[2])
{
    size_t count = 0;
    if (login)
        out[count++] = (struct identifier){STR("login"), str_of(login), 0};
    out[count++] = email;
    return count;
}

static void see(struct fixture *fixture, const char *login)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    struct identifier identifiers[2];
    struct touchpoint event;
    uint8_t key[KEY_SIZE];
    touchpoint_init(&event);
    event.event_id = STR("e");
    event.source = STR("s");
    event.type = STR("page_viewed");
    event.identifiers_count = shown(login, identifiers);
    event.identifiers = identifiers;
    put_be64(event.event_key, (uint64_t)fixture->position);
    node_of_identifier(&identifiers[0], key);
    assert_int_equal(touchpoint_encode(&event, &bytes), 0);
    process_record(fixture, TOPIC_EVENTS, str_make(key, KEY_SIZE), buf_str(&bytes));
}

/* As a timeline says it of an event that it took. */
static void forget(struct fixture *fixture, const char *login)
{
    struct identifier identifiers[2];
    struct link_end links[2] = {{.value = {0}}, {.value = {0}}};
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_FORGET;
    message.has_person = true;
    message.at = AT;
    message.links_count = shown(login, identifiers);
    message.links = links;
    for (size_t i = 0; i < message.links_count; i++)
        node_of_identifier(&identifiers[i], links[i].node);
    memcpy(message.to, links[0].node, KEY_SIZE);
    memcpy(message.from, links[0].node, KEY_SIZE);
    mail(fixture, &message);
}

/* As the root of the person says it to an identifier that had that person when it was asked for. */
static void suppress(struct fixture *fixture)
{
    struct identity_message message;
    identity_message_init(&message);
    message.kind = IDENTITY_KIND_SUPPRESS;
    message.has_person = true;
    message.at = AT;
    node_of_identifier(&email, message.to);
    node_of_identifier(&email, message.from);
    mail(fixture, &message);
}

/* PersonOf.why of the e-mail; empty where nobody knows it. */
static struct str known(struct fixture *fixture)
{
    struct person_of row;
    uint8_t node[KEY_SIZE];
    struct str value;
    node_of_identifier(&email, node);
    if (solo_row(fixture->solo, TABLE_PERSON_OF, str_make(node, KEY_SIZE), &value) != 0)
        return (struct str){0};
    assert_int_equal(person_of_decode(&row, value, &fixture->arena), 0);
    assert_true(str_equal(row.value, email.value));
    return row.why;
}

/* Shown alone, and by so many logins that it is generic, and these are erased with it. */
static void erase_logins_of_a_generic_one(struct fixture *fixture, bool alone)
{
    char logins[LOGINS][TEXT_SIZE];
    if (alone)
        see(fixture, ALONE);
    for (size_t i = 0; i < LOGINS; i++) {
        (void)snprintf(logins[i], TEXT_SIZE, "%zu", i);
        see(fixture, logins[i]);
    }
    assert_true(str_equal(known(fixture), STR("generic")));
    suppress(fixture);
    assert_true(str_equal(known(fixture), STR("generic")));
    for (size_t i = 0; i < LOGINS; i++)
        forget(fixture, logins[i]);
}

/* Its own event stays with it, and is of no login: it is known until that event is taken, too. */
static void test_suppress_generic_with_an_event_of_its_own_known(void **state)
{
    struct fixture *fixture = *state;
    erase_logins_of_a_generic_one(fixture, true);
    assert_true(str_equal(known(fixture), STR("generic")));
    forget(fixture, ALONE);
    assert_int_equal(known(fixture).size, 0);
}

static void test_suppress_generic_that_nothing_shows_not_known(void **state)
{
    struct fixture *fixture = *state;
    erase_logins_of_a_generic_one(fixture, false);
    assert_int_equal(known(fixture).size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_suppress_generic_with_an_event_of_its_own_known, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_suppress_generic_that_nothing_shows_not_known, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
