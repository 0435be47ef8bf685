/*
 * Findings of `tabiji doctor`, for its parts.
 */
#pragma once

#include "deploy/verb/verb.h"

enum verdict {
    VERDICT_OK,
    VERDICT_WARNING,
    VERDICT_FAILURE,
};

struct doctor {
    struct verb_call *call;
    struct buf json;
    int worst;
    int count;
};

/* One finding; `advice` says what to do, NULL when nothing is. */
void doctor_tell(struct doctor *doctor, enum verdict verdict, const char *name, const char *advice,
    const char *format, ...) __attribute__((format(printf, 5, 6)));

/* All about Kafka: brokers, versions, topics, what this user may do, lag, transactions, the
 * worker's state directory. */
void doctor_kafka(struct doctor *doctor);
