/*
 * The JSON of one generated event, from its descriptor alone. For generator.c.
 */
#pragma once

#include "schemas/bytes.h"

enum generator_kind {
    GENERATE_LANDING,
    GENERATE_PRODUCT,
    GENERATE_SEARCH,
    GENERATE_CART_ADD,
    GENERATE_CHECKOUT,
    GENERATE_SIGN_IN,
    GENERATE_SIGN_UP,
    GENERATE_IDENTIFIED,
    GENERATE_ORDER,
    GENERATE_REFUND,
    GENERATE_RETURN,
    GENERATE_IMPRESSION,
    GENERATE_AD_CLICK,
    GENERATE_EMAIL_SENT,
    GENERATE_EMAIL_OPEN,
    GENERATE_EMAIL_CLICK,
    GENERATE_LINE_SENT,
    GENERATE_LINE_CLICK,
    GENERATE_PUSH_SENT,
    GENERATE_PUSH_CLICK,
    GENERATE_APP_OPEN,
    GENERATE_SCREEN,
    GENERATE_APP_ORDER,
    GENERATE_STORE_VISIT,
    GENERATE_STORE_PURCHASE,
    GENERATE_STORE_RETURN,
    GENERATE_QR_SCAN,
    GENERATE_STAFF,
    GENERATE_PICKUP,
    GENERATE_CALL_START,
    GENERATE_CALL_ANSWER,
    GENERATE_CALL_END,
    GENERATE_CALL_ORDER,
    GENERATE_KINDS,
};

struct generator_event {
    int64_t at; /* micros */
    uint32_t customer;
    uint16_t episode;
    uint8_t step;
    uint8_t kind; /* enum generator_kind */
};

/* A number that depends on nothing else; `purpose` tells draws of one episode apart. */
uint64_t generator_random(uint64_t seed, uint32_t customer, uint32_t episode, uint32_t purpose);

const char *generator_kind_source(enum generator_kind kind);

/* Appends the event as a native JSON object. Errors as buf_append(). */
MUST_CHECK int generator_text(uint64_t seed, const struct generator_event *event, struct buf *out);
