/* Filters. */
#include "ingest/collector/tail_slot.h"

#include "schemas/error.h"

#define TEXTS 5

/* Where the parts of a filter are. */
static void parts_of(struct tail_filter *filter, struct str *parts[TEXTS])
{
    parts[0] = &filter->source;
    parts[1] = &filter->type;
    parts[2] = &filter->fate;
    parts[3] = &filter->identifier.namespace;
    parts[4] = &filter->identifier.value;
}

int slot_take(struct tail_slot *slot, const struct tail_filter *filter)
{
    struct buf texts = {0};
    struct tail_filter copy = *filter;
    struct str *parts[TEXTS];
    int r = 0;
    parts_of(&copy, parts);
    for (size_t i = 0; r == 0 && i < TEXTS; i++)
        r = buf_append_str(&texts, *parts[i]);
    if (r < 0) {
        buf_free(&texts);
        return r;
    }
    size_t at = 0;
    for (size_t i = 0; i < TEXTS; i++) {
        *parts[i] = str_make(texts.data ? texts.data + at : NULL, parts[i]->size);
        at += parts[i]->size;
    }
    *slot = (struct tail_slot){.filter = copy, .texts = texts, .budget = TAIL_SECOND_MAX};
    return 0;
}

void slot_free(struct tail_slot *slot)
{
    buf_free(&slot->texts);
    *slot = (struct tail_slot){0};
}

bool slot_filter_is(const struct tail_slot *slot, const struct tail_filter *filter)
{
    struct tail_filter ours = slot->filter, other = *filter;
    struct str *a[TEXTS], *b[TEXTS];
    parts_of(&ours, a);
    parts_of(&other, b);
    for (size_t i = 0; i < TEXTS; i++)
        if (!str_equal(*a[i], *b[i]))
            return false;
    return true;
}

static bool fits(struct str wanted, struct str text)
{
    return wanted.size == 0 || str_equal(wanted, text);
}

bool slot_wants(const struct tail_slot *slot, const struct tail_facts *facts)
{
    const struct identifier *wanted = &slot->filter.identifier;
    if (!fits(slot->filter.source, facts->source) || !fits(slot->filter.type, facts->type))
        return false;
    if (wanted->namespace.size == 0)
        return true;
    for (size_t i = 0; i < facts->identifiers_count; i++)
        if (str_equal(wanted->namespace, facts->identifiers[i].namespace) &&
            str_equal(wanted->value, facts->identifiers[i].value))
            return true;
    return false;
}

bool slot_wants_fate(const struct tail_slot *slot, struct str fate)
{
    return fits(slot->filter.fate, fate);
}

const char *slot_fate_name(enum tail_fate fate)
{
    static const char *const names[] = {
        [TAIL_FATE_UNKNOWN] = "unknown",
        [TAIL_FATE_STITCHED] = "stitched",
        [TAIL_FATE_DUPLICATE] = "duplicate",
        [TAIL_FATE_REJECTED] = "rejected",
    };
    return names[fate];
}
