/*
 * What to do about an error of librdkafka: one table, so that it can be read and tested whole.
 */
#pragma once

#include <librdkafka/rdkafka.h>

#include "schemas/bytes.h"
#include "schemas/error.h"

/* What was asked of the transactional producer. */
enum kafka_operation {
    KAFKA_INIT,
    KAFKA_BEGIN,
    KAFKA_PRODUCE, /* and its delivery reports */
    KAFKA_FLUSH,
    KAFKA_SEND_OFFSETS,
    KAFKA_COMMIT,
    KAFKA_ABORT,
    KAFKA_OPERATIONS,
};

enum kafka_action {
    KAFKA_GO_ON,     /* no error */
    KAFKA_REPEAT,    /* the same call with the same arguments, until its deadline */
    KAFKA_ROLL_BACK, /* abort the transaction, drop local writes, rewind */
    KAFKA_REPLACE,   /* destroy the producer and make another; nobody knows what became of the
                        transaction */
    KAFKA_STOP,      /* another worker took over, or it is not allowed */
};

struct kafka_fault {
    enum kafka_operation operation;
    rd_kafka_resp_err_t code;
    bool fatal;
    bool abortable;
    bool retriable;
};

/* Pure. *error gets the ERR_* to return if the action does not mend it (0 for KAFKA_GO_ON).
 * Threads: any. */
enum kafka_action kafka_error_action(const struct kafka_fault *fault, int *error);

/* The same for an error object, which is destroyed (NULL: KAFKA_GO_ON). `text` gets a sentence.
 * Threads: any. */
enum kafka_action kafka_error_take(enum kafka_operation operation, rd_kafka_error_t *failure,
    int *error, char *text, size_t text_size);

/* The ERR_* for a code outside of transactions (metadata, admin, delivery to doors). Threads: any.
 */
int kafka_error_of(rd_kafka_resp_err_t code);
