/* Each check is the collector's own, or narrower. */
#include "ingest/producer/proof.h"

#include "ingest/door.h"
#include "schemas/event_fields.h"
#include "schemas/hash.h"
#include "schemas/money.h"
#include "schemas/time.h"

#define EXPONENT_UNKNOWN (-1)
#define PARTS_IDENTIFIERS 2 /* an order's and a call's */

static void claim(struct producer_proof *proof, bool holds)
{
    proof->lost |= !holds;
}

void producer_proof_type(struct producer_proof *proof, struct str type)
{
    *proof = (struct producer_proof){.exponent = EXPONENT_UNKNOWN};
    claim(proof, event_type_valid(type) && !str_equal(type, STR(ROTATION_EVENT_TYPE)));
    enum event_class kind = event_type_class(type);
    claim(proof, kind != EVENT_CLASS_IDENTITY && kind != EVENT_CLASS_LEDGER);
}

void producer_proof_time(struct producer_proof *proof, int64_t epoch_ms)
{
    int64_t micros;
    claim(proof, !__builtin_mul_overflow(epoch_ms, TIME_MICROS_PER_MILLI, &micros));
}

void producer_proof_time_text(struct producer_proof *proof, struct str rfc3339)
{
    int64_t micros;
    claim(proof, time_parse(rfc3339, &micros) == 0);
}

/* Whether a value is kept as it is, as an identifier of a namespace that has no form of its own. */
static bool is_kept(struct str value)
{
    static const struct identifier_config standard;
    bool plain = value.size > 0 && value.size <= IDENTIFIER_VALUE_SIZE_MAX;
    for (size_t i = 0; plain && i < value.size; i++)
        plain = value.data[i] > ' ' && value.data[i] <= '~';
    return plain && !identifier_blocked(&standard, value);
}

void producer_proof_identifier(
    struct producer_proof *proof, size_t before, struct str name, struct str value)
{
    claim(proof, before + PARTS_IDENTIFIERS < EVENT_IDENTIFIERS_MAX);
    bool has_form = str_equal(name, STR("email")) || str_equal(name, STR("phone"));
    claim(proof, !has_form && namespace_rank(namespace_table_default(), name) >= 0);
    claim(proof, is_kept(value));
}

static void claim_money(struct producer_proof *proof, struct str value, bool revenue)
{
    int64_t minor = 0;
    bool known = proof->exponent >= 0;
    claim(proof, known && money_parse_exponent(value, proof->exponent, &minor) == 0);
    claim(proof, !revenue || (minor >= -ORDER_MINOR_MAX && minor <= ORDER_MINOR_MAX));
}

void producer_proof_member(struct producer_proof *proof, enum producer_claim what, struct str value)
{
    switch (what) {
    case CLAIM_TEXT:
        break;
    case CLAIM_IDENTIFIER:
        claim(proof, is_kept(value));
        break;
    case CLAIM_CURRENCY:
        proof->exponent = money_exponent(value);
        claim(proof, proof->exponent >= 0);
        break;
    case CLAIM_PRICE:
        proof->priced = true;
        claim_money(proof, value, false);
        break;
    case CLAIM_MONEY:
    case CLAIM_REVENUE:
        claim_money(proof, value, what == CLAIM_REVENUE);
        break;
    case CLAIM_FACET:
        claim(proof, order_facet_from_name(value) >= 0);
        break;
    case CLAIM_DIRECTION:
        claim(proof, call_direction_from_name(value) >= 0);
        break;
    case CLAIM_DEVICE:
        claim(proof, device_kind_from_name(value) >= 0);
        break;
    case CLAIM_MESSAGE:
        claim(proof, message_kind_from_name(value) >= 0);
        break;
    }
}

int producer_proof_order_begin(struct producer_proof *proof)
{
    int begun = proof->exponent;
    proof->exponent = EXPONENT_UNKNOWN;
    return begun;
}

void producer_proof_order_end(struct producer_proof *proof, int begun)
{
    claim(proof, !proof->priced || proof->exponent == begun);
}

void producer_proof_property(struct producer_proof *proof, struct str name)
{
    uint64_t hash = hash64(name);
    for (size_t i = 0; i < proof->names_count; i++)
        claim(proof, proof->names[i] != hash);
    claim(proof, proof->names_count < PROOF_NAMES_MAX);
    if (proof->names_count < PROOF_NAMES_MAX)
        proof->names[proof->names_count++] = hash;
}
