/*
 * The table of errors. Rows are tried from the top; the first that fits decides.
 *
 * Source: librdkafka's introduction, "Transactional producer"; KIP-98, KIP-360, KIP-447.
 */
#include "ingest/stream/kafka_error.h"

#include <stdio.h>

#define ON(operation) (1u << (operation))
#define ON_ANY (ON(KAFKA_OPERATIONS) - 1)
#define CODE_ANY RD_KAFKA_RESP_ERR__BEGIN

enum flag {
    FLAG_ANY,
    FLAG_FATAL,
    FLAG_ABORTABLE,
    FLAG_RETRIABLE,
};

static const struct rule {
    unsigned operations;
    enum flag flag;
    rd_kafka_resp_err_t code;
    enum kafka_action action;
    int error;
} rules[] = {
    /* Somebody else has the slot, or the coordinator gave this producer up while it slept. */
    {ON_ANY, FLAG_ANY, RD_KAFKA_RESP_ERR__FENCED, KAFKA_STOP, ERR_FENCED},
    {ON_ANY, FLAG_FATAL, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, KAFKA_STOP, ERR_FENCED},
    {ON_ANY, FLAG_FATAL, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, KAFKA_STOP, ERR_FENCED},

    /* Not allowed: no repetition mends it. */
    {ON_ANY, FLAG_ANY, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KAFKA_STOP,
        ERR_AUTH},
    {ON_ANY, FLAG_ANY, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, KAFKA_STOP, ERR_AUTH},
    {ON_ANY, FLAG_ANY, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, KAFKA_STOP, ERR_AUTH},
    {ON_ANY, FLAG_ANY, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, KAFKA_STOP, ERR_AUTH},
    {ON_ANY, FLAG_ANY, RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, KAFKA_STOP, ERR_UNSUPPORTED},
    {ON_ANY, FLAG_ANY, RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, KAFKA_STOP, ERR_UNSUPPORTED},

    /* An EndTxn that may still be on its way: repeated in the next transaction it would end that
     * one (the protocol before KIP-890 cannot tell). Only a new epoch is safe. */
    {ON(KAFKA_COMMIT) | ON(KAFKA_ABORT), FLAG_ANY, RD_KAFKA_RESP_ERR__TIMED_OUT, KAFKA_REPLACE,
        ERR_ABORT},
    {ON(KAFKA_COMMIT) | ON(KAFKA_ABORT), FLAG_ANY, RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
        KAFKA_REPLACE, ERR_ABORT},
    {ON(KAFKA_COMMIT) | ON(KAFKA_ABORT), FLAG_ANY, RD_KAFKA_RESP_ERR__TRANSPORT, KAFKA_REPLACE,
        ERR_ABORT},

    /* The producer is done for, its slot is not ("sequence desynchronization" before 2.3, say). */
    {ON_ANY, FLAG_FATAL, CODE_ANY, KAFKA_REPLACE, ERR_ABORT},

    {ON_ANY, FLAG_ABORTABLE, CODE_ANY, KAFKA_ROLL_BACK, ERR_ABORT},
    {ON(KAFKA_SEND_OFFSETS), FLAG_ANY, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, KAFKA_ROLL_BACK,
        ERR_ABORT},
    {ON(KAFKA_SEND_OFFSETS), FLAG_ANY, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, KAFKA_ROLL_BACK,
        ERR_ABORT},
    {ON(KAFKA_SEND_OFFSETS), FLAG_ANY, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, KAFKA_ROLL_BACK,
        ERR_ABORT},
    {ON(KAFKA_SEND_OFFSETS), FLAG_ANY, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, KAFKA_ROLL_BACK,
        ERR_ABORT},

    /* A record that no topic takes: the batch would fail again for ever. */
    {ON(KAFKA_PRODUCE), FLAG_ANY, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, KAFKA_STOP, ERR_TOO_LARGE},

    {ON_ANY, FLAG_RETRIABLE, CODE_ANY, KAFKA_REPEAT, ERR_AGAIN},
    {ON(KAFKA_PRODUCE), FLAG_ANY, RD_KAFKA_RESP_ERR__QUEUE_FULL, KAFKA_REPEAT, ERR_FULL},
    {ON(KAFKA_FLUSH), FLAG_ANY, RD_KAFKA_RESP_ERR__TIMED_OUT, KAFKA_REPEAT, ERR_AGAIN},

    /* Any other failed delivery fails the transaction. */
    {ON(KAFKA_PRODUCE) | ON(KAFKA_FLUSH), FLAG_ANY, CODE_ANY, KAFKA_ROLL_BACK, ERR_ABORT},

    {ON_ANY, FLAG_ANY, CODE_ANY, KAFKA_STOP, ERR_KAFKA},
};

static bool fits(const struct rule *rule, const struct kafka_fault *fault)
{
    if (!(rule->operations & ON(fault->operation)))
        return false;
    if (rule->code != CODE_ANY && rule->code != fault->code)
        return false;
    switch (rule->flag) {
    case FLAG_ANY:
        return true;
    case FLAG_FATAL:
        return fault->fatal;
    case FLAG_ABORTABLE:
        return fault->abortable;
    case FLAG_RETRIABLE:
        return fault->retriable;
    }
    return false;
}

enum kafka_action kafka_error_action(const struct kafka_fault *fault, int *error)
{
    check((unsigned)fault->operation < KAFKA_OPERATIONS);
    *error = 0;
    if (fault->code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return KAFKA_GO_ON;
    const struct rule *rule = rules;
    while (!fits(rule, fault))
        rule++; /* the last rule fits all */
    *error = rule->error;
    return rule->action;
}

enum kafka_action kafka_error_take(enum kafka_operation operation, rd_kafka_error_t *failure,
    int *error, char *text, size_t text_size)
{
    *error = 0;
    if (!failure)
        return KAFKA_GO_ON;
    struct kafka_fault fault = {
        .operation = operation,
        .code = rd_kafka_error_code(failure),
        .fatal = rd_kafka_error_is_fatal(failure),
        .abortable = rd_kafka_error_txn_requires_abort(failure),
        .retriable = rd_kafka_error_is_retriable(failure),
    };
    snprintf(
        text, text_size, "%s: %s", rd_kafka_err2name(fault.code), rd_kafka_error_string(failure));
    rd_kafka_error_destroy(failure);
    return kafka_error_action(&fault, error);
}

static const struct {
    rd_kafka_resp_err_t code;
    int error;
} plain[] = {
    {RD_KAFKA_RESP_ERR_NO_ERROR, 0},
    {RD_KAFKA_RESP_ERR__QUEUE_FULL, ERR_FULL},
    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR__TIMED_OUT, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR__TRANSPORT, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR__WAIT_COORD, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR__PURGE_QUEUE, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_NOT_COORDINATOR, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR__STATE, ERR_AGAIN},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ERR_TOO_LARGE},
    {RD_KAFKA_RESP_ERR__FENCED, ERR_FENCED},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, ERR_AUTH},
    {RD_KAFKA_RESP_ERR__SSL, ERR_AUTH},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, ERR_AUTH},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, ERR_AUTH},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ERR_AUTH},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, ERR_AUTH},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, ERR_AUTH},
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, ERR_AUTH},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, ERR_CONFIG},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, ERR_CONFIG},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ERR_CONFIG},
    {RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, ERR_STATE},
    {RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, ERR_STATE},
};

int kafka_error_of(rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (plain[i].code == code)
            return plain[i].error;
    return ERR_KAFKA;
}
