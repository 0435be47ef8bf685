/* Verdicts. Invariant: accepted events are in `records`, each event key once in `seen`. */
#include "ingest/collector/intake.h"

#include "schemas/error.h"
#include "schemas/event.h"

#define SEEN_LOAD 2 /* places an event */

/* Adds one; the list doubles within the arena. */
static int add_verdict(struct intake *intake, struct verdicts *verdicts, size_t index,
    const struct event_problem *problem)
{
    if (verdicts->count == verdicts->capacity) {
        size_t capacity = verdicts->capacity ? verdicts->capacity * 2 : 4;
        struct verdict *list = arena_alloc(intake->arena, capacity * sizeof *list);
        if (!list)
            return ERR_NO_MEMORY;
        if (verdicts->count)
            memcpy(list, verdicts->list, verdicts->count * sizeof *list);
        verdicts->list = list;
        verdicts->capacity = capacity;
    }
    verdicts->list[verdicts->count++] = (struct verdict){.index = index, .problem = *problem};
    return 0;
}

int intake_reserve(struct intake *intake, size_t events)
{
    intake->records = arena_alloc(intake->arena, (events + 1) * sizeof *intake->records);
    if (!intake->records)
        return ERR_NO_MEMORY;
    intake->records_capacity = events + 1;
    if (events < 2)
        return 0;
    size_t capacity = 2;
    while (capacity < events * SEEN_LOAD)
        capacity *= 2;
    intake->seen = arena_alloc(intake->arena, capacity * sizeof *intake->seen);
    if (!intake->seen)
        return ERR_NO_MEMORY;
    memset(intake->seen, 0, capacity * sizeof *intake->seen);
    intake->seen_capacity = capacity;
    return 0;
}

int intake_records(const struct intake *intake, const struct append_record **records, size_t *count)
{
    const struct rotation_list *pairs = &intake->pairs;
    *records = intake->records;
    *count = intake->records_count;
    if (pairs->count == 0)
        return 0;
    struct append_record *all =
        arena_alloc(intake->arena, (pairs->count + intake->records_count) * sizeof *all);
    if (!all)
        return ERR_NO_MEMORY;
    memcpy(all, pairs->records, pairs->count * sizeof *all);
    memcpy(all + pairs->count, intake->records, intake->records_count * sizeof *all);
    *records = all;
    *count += pairs->count;
    return 0;
}

/* The event key stands first in an encoded touchpoint. */
static const char *key_of(const struct append_record *record)
{
    return record->value.data;
}

/* The accepted record with the same event key, or NULL; then *place is free for it. */
static const struct append_record *find_seen(
    const struct intake *intake, const char *key, size_t *place)
{
    uint64_t start;
    memcpy(&start, key, sizeof start); /* bytes of a SHA-256: spread already */
    size_t mask = intake->seen_capacity - 1;
    size_t at = (size_t)start & mask;
    while (intake->seen[at] && memcmp(key_of(intake->seen[at]), key, KEY_SIZE) != 0)
        at = (at + 1) & mask;
    *place = at;
    return intake->seen[at];
}

/* True (1) when both encoded events state the same facts; 0 otherwise; or an error. */
static int same_facts(struct intake *intake, struct str first, struct str second)
{
    uint64_t hashes[2];
    const struct str both[2] = {first, second};
    for (int i = 0; i < 2; i++) {
        struct touchpoint event;
        int r = touchpoint_decode(&event, both[i], intake->arena);
        if (r == 0)
            r = event_facts_hash(&event, &hashes[i]);
        if (r < 0)
            return r;
    }
    return hashes[0] == hashes[1];
}

/* Whether the same has been said of this element already, which several events may be read from:
 * it would be the same row of what is rejected, whose key they are of. */
static bool is_told(
    const struct verdicts *rejected, size_t index, const struct event_problem *problem)
{
    for (size_t i = rejected->count; i > 0 && rejected->list[i - 1].index == index; i--) {
        const struct event_problem *told = &rejected->list[i - 1].problem;
        if (told->error == problem->error && str_equal(told->pointer, problem->pointer))
            return true;
    }
    return false;
}

/* event: as far as it was read, or NULL. */
static int refuse(struct intake *intake, size_t index, const struct touchpoint *event,
    struct str event_id, const struct event_problem *problem, const struct intake_payload *payload)
{
    if (is_told(&intake->rejected, index, problem))
        return 0;
    int r = add_verdict(intake, &intake->rejected, index, problem);
    if (r < 0 || intake->dry_run)
        return r;
    const struct door_rejection rejection = {
        .source = intake->source,
        .stage = intake->stage,
        .payload = payload->text(payload->context, index),
        .event_id = event_id,
    };
    notes_reject(intake->notes, index, event, event_id, problem, rejection.payload);
    check(intake->records_count < intake->records_capacity);
    r = door_reject(&rejection, problem, intake->now_micros, intake->arena,
        &intake->records[intake->records_count]);
    if (r == 0)
        intake->records_count++;
    return r;
}

int intake_reject(struct intake *intake, size_t index, struct str event_id,
    const struct event_problem *problem, const struct intake_payload *payload)
{
    return refuse(intake, index, NULL, event_id, problem, payload);
}

void intake_note(struct intake *intake, enum note_fate fate, const struct touchpoint *event,
    size_t index, const struct intake_payload *payload)
{
    struct notes *notes = intake->notes;
    if (notes)
        notes_add(notes, fate, index, event,
            notes->payloads ? payload->text(payload->context, index) : STR(""));
}

void intake_ignore(struct intake *intake, const struct touchpoint *event, size_t index,
    const struct intake_payload *payload)
{
    intake->ignored++;
    intake_note(intake, NOTE_IGNORED, event, index, payload);
}

/* One event's record, and the event where it was read. */
struct taken {
    const struct touchpoint *event; /* NULL: only where there are no notes */
    struct str event_id;
    const struct append_record *record;
};

/* Takes an accepted record in, unless the request has had it. */
static int take(struct intake *intake, const struct taken *taken, size_t index,
    const struct intake_payload *payload)
{
    const struct append_record *record = taken->record;
    size_t place = 0;
    const struct append_record *seen = NULL;
    if (intake->seen_capacity)
        seen = find_seen(intake, key_of(record), &place);
    if (seen) {
        int same = same_facts(intake, seen->value, record->value);
        if (same < 0)
            return same;
        if (same) {
            intake->duplicates++;
            intake_note(intake, NOTE_DUPLICATE, taken->event, index, payload);
            return 0;
        }
        const struct event_problem problem = {
            .error = ERR_ID_CONFLICT, .pointer = STR("/id"), .hint = STR("")};
        return refuse(intake, index, taken->event, taken->event_id, &problem, payload);
    }
    check(intake->records_count < intake->records_capacity);
    struct append_record *kept = &intake->records[intake->records_count++];
    *kept = *record;
    if (intake->seen_capacity)
        intake->seen[place] = kept;
    intake->accepted++;
    intake_note(intake, NOTE_ACCEPTED, taken->event, index, payload);
    return 0;
}

int intake_record(struct intake *intake, const struct append_record *record, struct str event_id,
    size_t index, const struct intake_payload *payload)
{
    const struct taken taken = {.event_id = event_id, .record = record};
    check(!intake->notes);
    return take(intake, &taken, index, payload);
}

/* What the tracking plan says. Errors: ERR_SCHEMA_VIOLATION with *problem; ERR_NO_MEMORY. */
static int judge_plan(struct intake *intake, const struct touchpoint *event, size_t index,
    struct event_problem *problem)
{
    if (!intake->door->plan)
        return 0;
    int r = door_plan(intake->door, intake->plan, event, intake->arena, problem);
    if (r != DOOR_WARNED)
        return r;
    intake->planless++;
    return add_verdict(intake, &intake->warnings, index, problem);
}

int intake_event(struct intake *intake, struct touchpoint *event, size_t index,
    const struct intake_payload *payload)
{
    struct door_out out;
    struct event_problem problem;
    if (door_refused_by_customer(event)) {
        intake->no_consent++;
        struct touchpoint counted = *event; /* of whom is nobody's business */
        counted.identifiers_count = 0;
        notes_add(intake->notes, NOTE_NO_CONSENT, index, &counted, STR(""));
        return 0;
    }
    if (event_is_operators(event) && !intake->is_operator) {
        problem = (struct event_problem){.error = ERR_VALUE,
            .pointer = STR("/type"),
            .hint = STR("only a source with operator = yes may say this")};
        return refuse(intake, index, event, event->event_id, &problem, payload);
    }
    if (event->has_evidence && intake->refuses_evidence && !intake->is_operator) {
        problem = (struct event_problem){.error = ERR_VALUE,
            .pointer = STR("/evidence"),
            .hint = STR("a source with evidence = no may not say that two identifiers are one")};
        return refuse(intake, index, event, event->event_id, &problem, payload);
    }
    if (event->has_evidence)
        event->evidence.authority = intake->is_operator ? EVENT_AUTHORITY_OPERATOR : 0;
    int r = judge_plan(intake, event, index, &problem);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r == 0)
        r = door_take(intake->door, event, intake->now_micros, intake->arena, &out, &problem);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0)
        return refuse(intake, index, event, event->event_id, &problem, payload);
    r = rotation_add_list(&intake->pairs, &out.pairs, intake->arena);
    if (r < 0)
        return r;
    if (problem.hint.size) {
        r = add_verdict(intake, &intake->warnings, index, &problem);
        if (r < 0)
            return r;
    }
    const struct taken taken = {.event = event, .event_id = event->event_id, .record = &out.record};
    return take(intake, &taken, index, payload);
}
