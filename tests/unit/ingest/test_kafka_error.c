/* The table of what to do about librdkafka's errors. */
#include "ingest/stream/kafka_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_rule(struct kafka_fault fault, enum kafka_action action, int error)
{
    int got = 1;
    assert_int_equal(kafka_error_action(&fault, &got), action);
    assert_int_equal(got, error);
}

static void test_action_no_error_goes_on(void **state)
{
    for (int i = 0; i < KAFKA_OPERATIONS; i++)
        assert_rule((struct kafka_fault){.operation = (enum kafka_operation)i}, KAFKA_GO_ON, 0);
}

static void test_action_fenced_stops_whatever_was_asked(void **state)
{
    for (int i = 0; i < KAFKA_OPERATIONS; i++) {
        enum kafka_operation operation = (enum kafka_operation)i;
        assert_rule((struct kafka_fault){operation, RD_KAFKA_RESP_ERR__FENCED, .fatal = true},
            KAFKA_STOP, ERR_FENCED);
        assert_rule((struct kafka_fault){operation, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
                        .fatal = true},
            KAFKA_STOP, ERR_FENCED);
    }
}

static void test_action_not_authorised_stops_also_when_retriable(void **state)
{
    assert_rule((struct kafka_fault){KAFKA_INIT,
                    RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, .fatal = true},
        KAFKA_STOP, ERR_AUTH);
    assert_rule(
        (struct kafka_fault){KAFKA_SEND_OFFSETS, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            .abortable = true, .retriable = true},
        KAFKA_STOP, ERR_AUTH);
}

static void test_action_lost_end_of_transaction_replaces_the_producer(void **state)
{
    static const rd_kafka_resp_err_t codes[] = {RD_KAFKA_RESP_ERR__TIMED_OUT,
        RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, RD_KAFKA_RESP_ERR__TRANSPORT};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_rule((struct kafka_fault){KAFKA_COMMIT, codes[i], .retriable = true}, KAFKA_REPLACE,
            ERR_ABORT);
        assert_rule((struct kafka_fault){KAFKA_ABORT, codes[i], .retriable = true}, KAFKA_REPLACE,
            ERR_ABORT);
        assert_rule((struct kafka_fault){KAFKA_SEND_OFFSETS, codes[i], .retriable = true},
            KAFKA_REPEAT, ERR_AGAIN);
    }
}

static void test_action_fatal_otherwise_replaces_the_producer(void **state)
{
    assert_rule((struct kafka_fault){KAFKA_BEGIN, RD_KAFKA_RESP_ERR__INCONSISTENT, .fatal = true},
        KAFKA_REPLACE, ERR_ABORT);
    assert_rule((struct kafka_fault){KAFKA_PRODUCE, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
                    .fatal = true},
        KAFKA_REPLACE, ERR_ABORT);
}

static void test_action_left_group_rolls_back(void **state)
{
    static const rd_kafka_resp_err_t codes[] = {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
        RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_rule((struct kafka_fault){KAFKA_SEND_OFFSETS, codes[i]}, KAFKA_ROLL_BACK, ERR_ABORT);
        assert_rule((struct kafka_fault){KAFKA_COMMIT, codes[i], .abortable = true},
            KAFKA_ROLL_BACK, ERR_ABORT);
    }
}

static void test_action_coordinator_moves_repeats(void **state)
{
    static const rd_kafka_resp_err_t codes[] = {RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        assert_rule((struct kafka_fault){KAFKA_COMMIT, codes[i], .retriable = true}, KAFKA_REPEAT,
            ERR_AGAIN);
}

static void test_action_failed_delivery_rolls_back_but_too_large_stops(void **state)
{
    assert_rule((struct kafka_fault){KAFKA_PRODUCE, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT},
        KAFKA_ROLL_BACK, ERR_ABORT);
    assert_rule(
        (struct kafka_fault){KAFKA_PRODUCE, RD_KAFKA_RESP_ERR__QUEUE_FULL}, KAFKA_REPEAT, ERR_FULL);
    assert_rule((struct kafka_fault){KAFKA_PRODUCE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE},
        KAFKA_STOP, ERR_TOO_LARGE);
}

static void test_action_no_flag_stops(void **state)
{
    assert_rule(
        (struct kafka_fault){KAFKA_COMMIT, RD_KAFKA_RESP_ERR__STATE}, KAFKA_STOP, ERR_KAFKA);
    assert_rule((struct kafka_fault){KAFKA_SEND_OFFSETS, RD_KAFKA_RESP_ERR__INVALID_ARG},
        KAFKA_STOP, ERR_KAFKA);
}

static void test_take_error_object_names_it(void **state)
{
    char text[128] = "";
    int error = 0;
    rd_kafka_error_t *failure =
        rd_kafka_error_new(RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, "said %s", "so");
    assert_int_equal(
        kafka_error_take(KAFKA_COMMIT, failure, &error, text, sizeof text), KAFKA_STOP);
    assert_int_equal(error, ERR_KAFKA);
    assert_string_equal(text, "INVALID_TXN_STATE: said so");
    assert_int_equal(kafka_error_take(KAFKA_COMMIT, NULL, &error, text, sizeof text), KAFKA_GO_ON);
    assert_int_equal(error, 0);
}

static void test_of_codes_outside_transactions_are_typed(void **state)
{
    assert_int_equal(kafka_error_of(RD_KAFKA_RESP_ERR_NO_ERROR), 0);
    assert_int_equal(kafka_error_of(RD_KAFKA_RESP_ERR__MSG_TIMED_OUT), ERR_AGAIN);
    assert_int_equal(kafka_error_of(RD_KAFKA_RESP_ERR__QUEUE_FULL), ERR_FULL);
    assert_int_equal(kafka_error_of(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), ERR_TOO_LARGE);
    assert_int_equal(kafka_error_of(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), ERR_CONFIG);
    assert_int_equal(kafka_error_of(RD_KAFKA_RESP_ERR_INVALID_RECORD), ERR_KAFKA);
    assert_int_equal(kafka_error_of(RD_KAFKA_RESP_ERR__SSL), ERR_AUTH);
    assert_int_equal(kafka_error_of(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), ERR_AUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_action_no_error_goes_on),
        cmocka_unit_test(test_action_fenced_stops_whatever_was_asked),
        cmocka_unit_test(test_action_not_authorised_stops_also_when_retriable),
        cmocka_unit_test(test_action_lost_end_of_transaction_replaces_the_producer),
        cmocka_unit_test(test_action_fatal_otherwise_replaces_the_producer),
        cmocka_unit_test(test_action_left_group_rolls_back),
        cmocka_unit_test(test_action_coordinator_moves_repeats),
        cmocka_unit_test(test_action_failed_delivery_rolls_back_but_too_large_stops),
        cmocka_unit_test(test_action_no_flag_stops),
        cmocka_unit_test(test_take_error_object_names_it),
        cmocka_unit_test(test_of_codes_outside_transactions_are_typed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
