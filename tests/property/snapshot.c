/* Rows in one array; all memory in an arena. */
#include "tests/property/snapshot.h"

#include <stdio.h>

#include "enrich/identity/owner.h"
#include "schemas/conversion.avro.h"
#include "schemas/error.h"
#include "schemas/person_of.avro.h"
#include "schemas/profile.avro.h"
#include "schemas/session.avro.h"
#include "schemas/stitched.avro.h"

static const enum topic topics[] = {
    TOPIC_PERSONS, TOPIC_TOUCHPOINTS, TOPIC_SESSIONS, TOPIC_CONVERSIONS, TOPIC_PROFILES};
static const char *const differs[] = {"the rows of persons differ",
    "the rows of touchpoints differ", "the rows of sessions differ",
    "the rows of conversions differ", "the rows of profiles differ"};
#define TOPICS (sizeof topics / sizeof *topics)

struct taking {
    struct snapshot *out;
    enum topic topic;
};

/* The row without what tells of the arrival only, and whose it is. */
static int strip(struct snapshot *out, struct snapshot_row *row, struct str value)
{
    CLEANUP(buf_free) struct buf stripped = {0};
    struct person_of identifier;
    struct stitched event;
    struct session session;
    struct conversion conversion;
    struct profile profile;
    const uint8_t *person;
    int r;
    if (row->topic == TOPIC_PERSONS) {
        r = person_of_decode(&identifier, value, &out->arena);
        identifier.epoch = 0;
        person = identifier.person;
        r = r < 0 ? r : person_of_encode(&identifier, &stripped);
        value = buf_str(&stripped);
    } else if (row->topic == TOPIC_TOUCHPOINTS) {
        r = stitched_decode(&event, value, &out->arena);
        event.placement = event.position = 0;
        person = event.person;
        r = r < 0 ? r : stitched_encode(&event, &stripped);
        value = buf_str(&stripped);
    } else if (row->topic == TOPIC_SESSIONS) {
        r = session_decode(&session, value, &out->arena);
        person = session.person;
    } else if (row->topic == TOPIC_CONVERSIONS) {
        r = conversion_decode(&conversion, value, &out->arena);
        person = conversion.person;
    } else {
        r = profile_decode(&profile, value, &out->arena);
        person = profile.person;
    }
    if (r < 0)
        return r;
    memcpy(row->person, person, KEY_SIZE);
    return arena_dup(&out->arena, value, &row->value);
}

static int take_row(void *context, struct str key, struct str value)
{
    const struct taking *taking = context;
    struct snapshot *out = taking->out;
    if (taking->topic == TOPIC_PERSONS && key.size == OWNER_REFUSED_KEY_SIZE)
        return 0; /* what came after an erasure tells of no person */
    const struct snapshot_row *last = out->count ? &out->rows[out->count - 1] : NULL;
    if (last && last->topic == taking->topic && str_equal(last->key, key))
        return ERR_STATE;
    if (out->count == out->room) {
        size_t room = out->room ? out->room * 2 : 64;
        struct snapshot_row *more = arena_alloc(&out->arena, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        if (out->count)
            memcpy(more, out->rows, out->count * sizeof *more);
        out->rows = more;
        out->room = room;
    }
    struct snapshot_row *row = &out->rows[out->count++];
    *row = (struct snapshot_row){.topic = taking->topic};
    int r = arena_dup(&out->arena, key, &row->key);
    if (r == 0)
        r = strip(out, row, value);
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
}

int snapshot_take(struct sim *sim, struct snapshot *out)
{
    int r = 0;
    snapshot_free(out);
    for (size_t i = 0; r == 0 && i < TOPICS; i++) {
        struct taking taking = {out, topics[i]};
        r = sim_results(sim, topics[i], take_row, &taking);
    }
    return r;
}

void snapshot_free(struct snapshot *snapshot)
{
    arena_free(&snapshot->arena);
    *snapshot = (struct snapshot){.count = 0};
}

void snapshot_without(
    struct snapshot *snapshot, const uint8_t person[KEY_SIZE], const uint8_t node[KEY_SIZE])
{
    size_t kept = 0;
    for (size_t i = 0; i < snapshot->count; i++) {
        const struct snapshot_row *row = &snapshot->rows[i];
        bool is_its = memcmp(row->person, person, KEY_SIZE) == 0 ||
                      (row->topic == TOPIC_PERSONS && memcmp(row->key.data, node, KEY_SIZE) == 0);
        if (!is_its)
            snapshot->rows[kept++] = *row;
    }
    snapshot->count = kept;
}

/* By topic and key; a row that is behind the last of the other is before it. */
static int compare(const struct snapshot_row *a, const struct snapshot_row *b)
{
    if (!a || !b)
        return a ? -1 : 1;
    if (a->topic != b->topic)
        return a->topic < b->topic ? -1 : 1;
    return str_compare(a->key, b->key);
}

static void tell(const char *which, const struct snapshot_row *row)
{
    char key[512], value[1024];
    size_t size = row->value.size < sizeof value / 2 ? row->value.size : sizeof value / 2 - 1;
    check(row->key.size < sizeof key / 2);
    hex_encode(row->key.data, row->key.size, key);
    hex_encode(row->value.data, size, value);
    (void)fprintf(stderr, "  %s: %s %.*s\n    %.*s\n", which, topic_name(row->topic),
        (int)(2 * row->key.size), key, (int)(2 * size), value);
}

const char *snapshot_difference(const struct snapshot *a, const struct snapshot *b, bool tells)
{
    const char *found = NULL;
    for (size_t i = 0, k = 0; i < a->count || k < b->count;) {
        const struct snapshot_row *x = i < a->count ? &a->rows[i] : NULL;
        const struct snapshot_row *y = k < b->count ? &b->rows[k] : NULL;
        int order = compare(x, y);
        i += order <= 0;
        k += order >= 0;
        if (order == 0 && str_equal(x->value, y->value))
            continue;
        for (size_t t = 0; !found && t < TOPICS; t++)
            found = topics[t] == (order <= 0 ? x : y)->topic ? differs[t] : NULL;
        if (tells && order <= 0)
            tell("the first has", x);
        if (tells && order >= 0)
            tell("the second has", y);
    }
    return found;
}
