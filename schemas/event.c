#include "schemas/event.h"

#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/nearest.h"

#define SLIP_EDITS_MAX 2

#define WEB EVENT_CLASS_WEB
#define AD EVENT_CLASS_AD
#define MESSAGE EVENT_CLASS_MESSAGE
#define CALL EVENT_CLASS_CALL
#define STORE EVENT_CLASS_STORE
#define ORDER EVENT_CLASS_ORDER
#define IDENTITY EVENT_CLASS_IDENTITY
#define LEDGER EVENT_CLASS_LEDGER

/* X(type, class), sorted by type. */
#define TYPES(X)                                                                                   \
    X(ad_clicked, AD)                                                                              \
    X(ad_impression, AD)                                                                           \
    X(aliased, IDENTITY)                                                                           \
    X(app_installed, WEB)                                                                          \
    X(app_opened, WEB)                                                                             \
    X(call_abandoned, CALL)                                                                        \
    X(call_answered, CALL)                                                                         \
    X(call_ended, CALL)                                                                            \
    X(call_started, CALL)                                                                          \
    X(cart_viewed, WEB)                                                                            \
    X(chat_ended, CALL)                                                                            \
    X(chat_started, CALL)                                                                          \
    X(checkout_started, WEB)                                                                       \
    X(consent_changed, IDENTITY)                                                                   \
    X(coupon_redeemed, STORE)                                                                      \
    X(erasure_lifted, IDENTITY)                                                                    \
    X(erasure_requested, IDENTITY)                                                                 \
    X(form_submitted, WEB)                                                                         \
    X(identified, IDENTITY)                                                                        \
    X(identity_linked, IDENTITY)                                                                   \
    X(identity_unlinked, IDENTITY)                                                                 \
    X(item_returned, ORDER)                                                                        \
    X(message_clicked, MESSAGE)                                                                    \
    X(message_delivered, MESSAGE)                                                                  \
    X(message_opened, MESSAGE)                                                                     \
    X(message_sent, MESSAGE)                                                                       \
    X(message_unsubscribed, MESSAGE)                                                               \
    X(order_cancelled, ORDER)                                                                      \
    X(order_completed, ORDER)                                                                      \
    X(order_paid, ORDER)                                                                           \
    X(order_picked_up, ORDER)                                                                      \
    X(order_refunded, ORDER)                                                                       \
    X(order_shipped, ORDER)                                                                        \
    X(page_viewed, WEB)                                                                            \
    X(product_added, WEB)                                                                          \
    X(product_list_viewed, WEB)                                                                    \
    X(product_removed, WEB)                                                                        \
    X(product_viewed, WEB)                                                                         \
    X(qr_scanned, STORE)                                                                           \
    X(review_posted, WEB)                                                                          \
    X(screen_viewed, WEB)                                                                          \
    X(searched, WEB)                                                                               \
    X(signed_in, WEB)                                                                              \
    X(signed_up, WEB)                                                                              \
    X(spend_reported, LEDGER)                                                                      \
    X(staff_consulted, STORE)                                                                      \
    X(stock_checked, STORE)                                                                        \
    X(store_purchase, STORE)                                                                       \
    X(store_visited, STORE)                                                                        \
    X(ticket_closed, CALL)                                                                         \
    X(ticket_opened, CALL)

static const struct str types[] = {
#define X(type, class) STR_INIT(#type),
    TYPES(X)
#undef X
};

static const enum event_class classes[] = {
#define X(type, class) class,
    TYPES(X)
#undef X
};

#define TYPES_COUNT (sizeof(types) / sizeof(types[0]))

/* Characters of a type behind its first. */
static const bool type_letters[UINT8_MAX + 1] = {
    ['a' ... 'z'] = true, ['0' ... '9'] = true, ['_'] = true};

bool event_type_valid(struct str type)
{
    if (type.size == 0 || type.size > EVENT_TYPE_SIZE_MAX)
        return false;
    bool valid = type.data[0] >= 'a' && type.data[0] <= 'z';
    for (size_t i = 1; i < type.size; i++)
        valid &= type_letters[(uint8_t)type.data[i]];
    return valid;
}

enum event_class event_type_class(struct str type)
{
    size_t low = 0;
    size_t high = TYPES_COUNT;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(type, types[middle]);
        if (order == 0)
            return classes[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return EVENT_CLASS_CUSTOM;
}

bool event_is_operators(const struct touchpoint *event)
{
    return str_equal(event->type, STR("erasure_lifted")) ||
           str_equal(event->type, STR("erasure_requested")) ||
           str_equal(event->type, STR("identity_linked")) ||
           str_equal(event->type, STR("identity_unlinked")) ||
           event_type_class(event->type) == EVENT_CLASS_LEDGER ||
           (event->has_evidence && event->evidence.sign < 0);
}

const struct str *event_types(size_t *count)
{
    *count = TYPES_COUNT;
    return types;
}

struct str event_type_meant(struct str type)
{
    struct str meant = nearest_within(type, types, TYPES_COUNT, SLIP_EDITS_MAX);
    return str_equal(meant, type) ? str_make(NULL, 0) : meant;
}

static int hash_encoded(const struct touchpoint *facts, struct buf *bytes, uint64_t *hash)
{
    int r = touchpoint_encode(facts, bytes);
    if (r == 0)
        *hash = hash64(buf_str(bytes));
    return r;
}

void event_facts(const struct touchpoint *event, struct touchpoint *out)
{
    *out = *event;
    memset(out->event_key, 0, sizeof(out->event_key));
    out->received_at = 0;
    if (event->time_quality == TIME_QUALITY_CORRECTED ||
        event->time_quality == TIME_QUALITY_SERVER || event->time_quality == TIME_QUALITY_CLAMPED)
        out->occurred_at = 0;
    out->time_quality = TIME_QUALITY_UNKNOWN;
    out->adapter_version = 0;
    out->has_client = false;
    out->traceparent = str_make(NULL, 0);
}

int event_facts_hash(const struct touchpoint *event, uint64_t *hash)
{
    struct touchpoint facts;
    event_facts(event, &facts);

    /* Within the limit nothing is allocated and nothing can fail. */
    char stack[EVENT_SIZE_MAX];
    struct buf near = {.data = stack, .capacity = sizeof(stack), .size_max = sizeof(stack)};
    int r = hash_encoded(&facts, &near, hash);
    if (r != ERR_TOO_LARGE)
        return r;
    CLEANUP(buf_free) struct buf far = {0};
    return hash_encoded(&facts, &far, hash);
}
