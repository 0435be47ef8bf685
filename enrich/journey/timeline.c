/*
 * Every event has a seat: a row in `record` for (person, node, event_key), and normally its content
 * in a row of `timeline`. While a node dies and its events wander down their chains, one event may
 * reach the same person through two nodes before the first has let go of it.
 *
 * Invariants, at the end of a message:
 *  I1 of the seats of one (person, occurred_at, sequence, event_key) exactly one has the timeline's
 *     row (whose `node` is its node); the others hide their content in their record.
 *  I2 a person with a seat at another than a chain's first node is `mixed`, and stays so. Nobody
 *     else can have two seats of one event, so nobody else is looked after.
 *  I3 a pending event is a timeline's row that is not yet written.
 *  I4 no seat of (person, node) is of an epoch below that of its entry in `gone`, unless that says
 *     `back`.
 *  I5 the placement of a seat's content never falls while the seat is taken: what a sink has seen
 *     of an event, from whichever person, the last word outranks.
 *  I6 nor does it fall from one taking of the seat to the next. A farewell of at least its epoch
 *     emptied the seat, and a put above that one ended the farewell: that epoch stays in `gone`,
 *     as `back`, and a put below it takes it. (Such a put was under way since an earlier visit.)
 */
#include "enrich/journey/timeline.h"

#include "enrich/identity/message.h"
#include "enrich/journey/erasure.h"
#include "ingest/door.h"
#include "schemas/error.h"

#define STAGE_NAME "journey"
#define EPOCH_BITS 48
#define EPOCH_MASK (((int64_t)1 << EPOCH_BITS) - 1)
#define PENDING_SEARCH_MAX                                                                         \
    ((size_t)64) /* more pending events than this are written, then found                          \
                  */
#define EVENT_BYTES_MAX (4 * EVENT_SIZE_MAX) /* what steps have added included */
#define CHANNEL_BYTES_MAX ((size_t)1024)
#define CHUNK_EVENTS_MAX ((size_t)64)
#define CHUNK_BYTES_MAX ((size_t)256 << 10)

/* ---- rejected ---- */

int timeline_reject(struct task *task, const struct timeline_rejection *rejection)
{
    const struct event_problem problem = {.error = rejection->error, .pointer = rejection->pointer};
    const struct door_rejection what = {
        .source = rejection->source,
        .stage = STR(STAGE_NAME),
        .payload = rejection->payload,
        .event_id = rejection->event_id,
    };
    struct append_record record;
    int r = door_reject(&what, &problem, rejection->received_at, task->scratch, &record);
    return r < 0 ? r : outbox_send(task->outbox, TOPIC_REJECTED, record.key, record.value);
}

static int reject_bytes(struct timeline *timeline, int error, struct str payload)
{
    return timeline_reject(
        timeline->task, &(struct timeline_rejection){.error = error, .payload = payload});
}

/* The event that came later under a key that has other facts already. */
static int reject_conflict(struct timeline *timeline, const struct touchpoint *event)
{
    CLEANUP(buf_free) struct buf payload = {0};
    struct touchpoint facts;
    event_facts(event, &facts); /* the same bytes however often it comes */
    memcpy(facts.event_key, event->event_key, KEY_SIZE);
    int r = event_json_write(&facts, &payload);
    if (r < 0)
        return r;
    return timeline_reject(timeline->task, &(struct timeline_rejection){
                                               .error = ERR_ID_CONFLICT,
                                               .pointer = STR("/id"),
                                               .payload = buf_str(&payload),
                                               .source = event->source,
                                               .event_id = event->event_id,
                                               .received_at = event->received_at,
                                           });
}

/* ---- persons ---- */

static int load_gone(struct timeline *timeline, struct person *person)
{
    struct state_scan *scan;
    struct str key, value;
    int r =
        state_scan_begin(timeline->task->state, TABLE_GONE, str_make(person->id, KEY_SIZE), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        struct gone_node gone;
        if (key.size == SUPPRESSED_KEY_SIZE) {
            person->suppresses = true;
            continue;
        }
        r = gone_row_decode(&gone, key, value);
        if (r == 0 && memcmp(gone.node, gone_mixed, KEY_SIZE) == 0)
            person->mixed = true;
        else if (r == 0)
            r = person_gone_set(person, &gone);
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

int timeline_person(struct timeline *timeline, const uint8_t id[KEY_SIZE], struct person **out)
{
    bool made;
    int r = persons_get(timeline->persons, id, out, &made);
    return r < 0 || !made ? r : load_gone(timeline, *out);
}

/* ---- rows ---- */

static int delete_row(
    struct timeline *timeline, const struct person *person, const struct moment_place *place)
{
    uint8_t key[TIMELINE_KEY_SIZE];
    timeline_key(key, person->id, place);
    return state_delete(timeline->task->state, TABLE_TIMELINE, str_make(key, sizeof key));
}

static int put_row(struct timeline *timeline, const struct person *person,
    const struct moment_place *place, struct str stitched)
{
    uint8_t key[TIMELINE_KEY_SIZE];
    timeline_key(key, person->id, place);
    return state_put(timeline->task->state, TABLE_TIMELINE, str_make(key, sizeof key), stitched);
}

int timeline_flush(struct timeline *timeline, struct person *person)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < person->pending_count; i++) {
        const struct pending_event *event = person->pending[i];
        buf_clear(timeline->value);
        r = stitched_row_encode(person->id, event, timeline->value);
        if (r == 0)
            r = put_row(timeline, person, &event->moment.place, buf_str(timeline->value));
    }
    if (person->pending_count)
        person->broken = true;
    person_pending_clear(person);
    return r;
}

static int add_pending(
    struct timeline *timeline, struct person *person, const struct pending_event *event)
{
    int r = person_pending_add(person, event, timeline->batch);
    return r < 0 ? r : persons_mark(timeline->persons, person);
}

static int get_record(struct timeline *timeline, const struct person *person,
    const uint8_t node[KEY_SIZE], const uint8_t event_key[KEY_SIZE], struct record_row *out)
{
    uint8_t key[RECORD_KEY_SIZE];
    struct str value;
    record_key(key, person->id, node, event_key);
    int r = state_get(timeline->task->state, TABLE_RECORD, str_make(key, sizeof key), &value);
    return r ? r : record_row_decode(out, value);
}

static int put_record(struct timeline *timeline, const struct person *person,
    const uint8_t node[KEY_SIZE], const uint8_t event_key[KEY_SIZE], const struct record_row *row)
{
    uint8_t key[RECORD_KEY_SIZE];
    record_key(key, person->id, node, event_key);
    buf_clear(timeline->value);
    int r = record_row_encode(row, timeline->value);
    if (r < 0)
        return r;
    return state_put(
        timeline->task->state, TABLE_RECORD, str_make(key, sizeof key), buf_str(timeline->value));
}

/* The timeline's row of that place, as Stitched; when it is pending, pending events are written
 * first. Returns STATE_ABSENT when there is none. */
static int get_row(struct timeline *timeline, struct person *person,
    const struct moment_place *place, struct stitched *out)
{
    int r = person_pending_has(person, place) ? timeline_flush(timeline, person) : 0;
    if (r < 0)
        return r;
    uint8_t key[TIMELINE_KEY_SIZE];
    struct str value;
    timeline_key(key, person->id, place);
    r = state_get(timeline->task->state, TABLE_TIMELINE, str_make(key, sizeof key), &value);
    if (r == 0)
        r = stitched_decode(out, value, timeline->task->scratch);
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
}

static struct moment_place place_of(const struct record_row *row, const uint8_t event_key[KEY_SIZE])
{
    struct moment_place place = {.at = row->at, .sequence = row->sequence};
    memcpy(place.event_key, event_key, KEY_SIZE);
    return place;
}

/* ---- one event in two seats (I1, I2) ---- */

static int mark_mixed(struct timeline *timeline, struct person *person)
{
    if (person->mixed)
        return 0;
    uint8_t key[GONE_KEY_SIZE];
    gone_key(key, person->id, gone_mixed);
    person->mixed = true;
    return state_put(timeline->task->state, TABLE_GONE, str_make(key, sizeof key),
        str_make("\0\0\0\0\0\0\0", 8));
}

/* The lower position shows; of one message in two seats, the one further down its chain. */
static bool shows_before(int64_t position, int chain_index, const struct stitched *other)
{
    if (position != other->position)
        return position < other->position;
    return chain_index > (int)(other->placement >> EPOCH_BITS);
}

/* Takes the row from the seat that has it, into that seat's record. */
static int hide(struct timeline *timeline, struct person *person, const struct moment_place *place,
    const struct stitched *shown)
{
    struct record_row row;
    CLEANUP(buf_free) struct buf content = {0};
    int r = get_record(timeline, person, shown->node, place->event_key, &row);
    if (r)
        return r < 0 ? r : ERR_STATE;
    r = stitched_encode(shown, &content);
    row.hidden = buf_str(&content);
    return r < 0 ? r : put_record(timeline, person, shown->node, place->event_key, &row);
}

/* A seat whose content is hidden. */
struct hidden_seat {
    struct hidden_seat *next;
    uint8_t node[KEY_SIZE];
    uint8_t event_key[KEY_SIZE];
    struct record_row row;
};

/* All of them; only a mixed person has any. */
static int list_hidden(
    struct timeline *timeline, const struct person *person, struct hidden_seat **out)
{
    struct state_scan *scan;
    struct str key, value;
    *out = NULL;
    if (!person->mixed)
        return 0;
    int r = state_scan_begin(
        timeline->task->state, TABLE_RECORD, str_make(person->id, KEY_SIZE), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        struct record_row row;
        r = key.size == RECORD_KEY_SIZE ? record_row_decode(&row, value) : ERR_STATE;
        if (r < 0)
            break;
        if (row.hidden.size == 0)
            continue;
        struct hidden_seat *seat = arena_alloc(timeline->task->scratch, sizeof *seat);
        if (!seat) {
            r = ERR_NO_MEMORY;
            break;
        }
        *seat = (struct hidden_seat){.next = *out, .row = row};
        memcpy(seat->node, key.data + KEY_SIZE, KEY_SIZE);
        memcpy(seat->event_key, key.data + 2 * KEY_SIZE, KEY_SIZE);
        *out = seat;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

/* The seat that had the row is no more: the first of the others gets it. */
static int show_next(struct timeline *timeline, struct person *person,
    const struct moment_place *place, struct hidden_seat *seats)
{
    struct hidden_seat *best = NULL;
    for (struct hidden_seat *s = seats; s; s = s->next) {
        struct moment_place other = place_of(&s->row, s->event_key);
        if (s->row.hidden.size == 0 || moment_place_compare(&other, place) != 0)
            continue;
        if (!best || s->row.position < best->row.position ||
            (s->row.position == best->row.position && s->row.chain_index > best->row.chain_index))
            best = s;
    }
    if (!best)
        return 0;
    int r = put_row(timeline, person, place, best->row.hidden);
    best->row.hidden = (struct str){0};
    return r < 0 ? r : put_record(timeline, person, best->node, best->event_key, &best->row);
}

/* ---- put ---- */

/* One event before its seat. */
struct arrival {
    struct person *person;
    const uint8_t *node;
    struct touchpoint event;
    struct pending_event pending;
    uint8_t chain_index;
};

static int hash_facts(const struct touchpoint *event, uint64_t *hash)
{
    int r = event_facts_hash(event, hash);
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
}

/* Compares with a stored event; *stored is decoded for the caller. */
static int same_facts(struct timeline *timeline, const struct arrival *arrival,
    const struct stitched *row, struct touchpoint *stored, bool *same)
{
    uint64_t ours, theirs;
    int r = touchpoint_decode(stored, row->event, timeline->task->scratch);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    r = hash_facts(&arrival->event, &ours);
    if (r == 0)
        r = hash_facts(stored, &theirs);
    *same = r == 0 && ours == theirs;
    return r;
}

static struct record_row seat_of(const struct arrival *arrival)
{
    const struct moment_place *place = &arrival->pending.moment.place;
    return (struct record_row){
        .at = place->at,
        .sequence = place->sequence,
        .position = arrival->pending.position,
        .chain_index = arrival->chain_index,
    };
}

/* A free seat of a mixed person: another seat may have the row. Returns 1 when this one shall have
 * it, 0 when it was hidden. */
static int compete(struct timeline *timeline, struct arrival *arrival, struct record_row *seat)
{
    struct person *person = arrival->person;
    struct stitched shown;
    struct touchpoint other;
    bool same;
    int r = get_row(timeline, person, &arrival->pending.moment.place, &shown);
    if (r == STATE_ABSENT)
        return 1;
    if (r == 0)
        r = same_facts(timeline, arrival, &shown, &other, &same);
    if (r < 0)
        return r;
    bool wins = shows_before(arrival->pending.position, arrival->chain_index, &shown);
    if (!same)
        r = reject_conflict(timeline, wins ? &other : &arrival->event);
    if (r < 0)
        return r;
    person->broken = true;
    r = persons_mark(timeline->persons, person);
    if (r < 0)
        return r;
    if (wins) {
        r = hide(timeline, person, &arrival->pending.moment.place, &shown);
        return r < 0 ? r : 1;
    }
    CLEANUP(buf_free) struct buf content = {0};
    r = stitched_row_encode(person->id, &arrival->pending, &content);
    seat->hidden = buf_str(&content);
    return r < 0 ? r
                 : put_record(timeline, person, arrival->node,
                       arrival->pending.moment.place.event_key, seat);
}

static int put_free_seat(
    struct timeline *timeline, const struct arrival *arrival, const struct record_row *seat)
{
    uint8_t key[RECORD_KEY_SIZE];
    record_key(key, arrival->person->id, arrival->node, arrival->pending.moment.place.event_key);
    buf_clear(timeline->value);
    int r = record_row_encode(seat, timeline->value);
    if (r < 0)
        return r;
    return state_put_new(
        timeline->task->state, TABLE_RECORD, str_make(key, sizeof key), buf_str(timeline->value));
}

static int take_seat(struct timeline *timeline, struct arrival *arrival)
{
    struct person *person = arrival->person;
    struct record_row seat = seat_of(arrival);
    int r = arrival->chain_index > 0 ? mark_mixed(timeline, person) : 0;
    if (r == 0 && person->mixed) {
        r = compete(timeline, arrival, &seat);
        if (r <= 0)
            return r;
        r = 0;
    }
    if (r == 0)
        r = put_free_seat(timeline, arrival, &seat);
    return r < 0 ? r : add_pending(timeline, person, &arrival->pending);
}

/* What a seat holds, shown or hidden. Valid until the batch ends. */
static int seated(struct timeline *timeline, struct person *person, const struct hidden_seat *seat,
    struct stitched *out)
{
    const struct moment_place place = place_of(&seat->row, seat->event_key);
    int r = seat->row.hidden.size ? stitched_decode(out, seat->row.hidden, timeline->task->scratch)
                                  : get_row(timeline, person, &place, out);
    if (r == 0 && memcmp(out->node, seat->node, KEY_SIZE) != 0)
        return ERR_STATE;
    return r > 0 || (r < 0 && error_class(r) == ERROR_CLASS_REJECT) ? ERR_STATE : r;
}

/* Empties a seat, whose content is no longer pending; another seat gets the row. */
static int leave_seat(struct timeline *timeline, struct person *person,
    const struct hidden_seat *seat, struct hidden_seat *hidden)
{
    const struct moment_place place = place_of(&seat->row, seat->event_key);
    uint8_t key[RECORD_KEY_SIZE];
    int r = 0;
    record_key(key, person->id, seat->node, seat->event_key);
    if (seat->row.hidden.size == 0) {
        r = delete_row(timeline, person, &place);
        if (r == 0)
            r = show_next(timeline, person, &place, hidden);
        person->broken = true;
    }
    if (r == 0)
        r = state_delete(timeline->task->state, TABLE_RECORD, str_make(key, sizeof key));
    return r < 0 ? r : persons_mark(timeline->persons, person);
}

/* A sink keeps the highest placement that it saw of an event, whoever showed it. A copy that comes
 * again by a longer way, or by an older one, must so raise what stands here, or not lower it; and
 * likewise of lifts. */
static int raise(struct timeline *timeline, const struct arrival *arrival,
    const struct hidden_seat *seat, struct stitched *standing)
{
    struct person *person = arrival->person;
    const struct pending_event *pending = &arrival->pending;
    const struct moment_place place = place_of(&seat->row, seat->event_key);
    CLEANUP(buf_free) struct buf content = {0};
    struct record_row row = seat->row;
    if (pending->placement <= standing->placement && pending->lifted_at <= standing->lifted_at)
        return 0;
    standing->placement = later_of(pending->placement, standing->placement);
    standing->lifted_at = later_of(pending->lifted_at, standing->lifted_at);
    int r = stitched_encode(standing, &content);
    if (r < 0)
        return r;
    if (row.hidden.size == 0)
        return put_row(timeline, person, &place, buf_str(&content));
    row.hidden = buf_str(&content);
    return put_record(timeline, person, seat->node, seat->event_key, &row);
}

/* The arrival comes before what is seated, and takes its seat. */
static int take_over(struct timeline *timeline, struct arrival *arrival,
    const struct hidden_seat *seat, struct stitched *standing)
{
    struct hidden_seat *hidden;
    struct pending_event *pending = &arrival->pending;
    pending->placement = later_of(pending->placement, standing->placement);
    pending->lifted_at = later_of(pending->lifted_at, standing->lifted_at);
    int r = timeline_flush(timeline, arrival->person);
    if (r == 0)
        r = list_hidden(timeline, arrival->person, &hidden);
    if (r == 0)
        r = leave_seat(timeline, arrival->person, seat, hidden);
    return r < 0 ? r : take_seat(timeline, arrival);
}

/* The event's key is seated here already. */
static int meet(struct timeline *timeline, struct arrival *arrival, const struct record_row *row)
{
    struct hidden_seat seat = {.row = *row};
    struct stitched standing;
    struct touchpoint other;
    bool same = true;
    bool later = arrival->pending.position >= row->position;
    memcpy(seat.node, arrival->node, KEY_SIZE);
    memcpy(seat.event_key, arrival->pending.moment.place.event_key, KEY_SIZE);
    int r = seated(timeline, arrival->person, &seat, &standing);
    if (r == 0 && arrival->pending.position != row->position)
        r = same_facts(timeline, arrival, &standing, &other, &same);
    if (r == 0 && !same)
        r = reject_conflict(timeline, later ? &arrival->event : &other);
    if (r < 0)
        return r;
    if (!later)
        return take_over(timeline, arrival, &seat, &standing);
    return raise(timeline, arrival, &seat, &standing);
}

static int put_event(struct timeline *timeline, struct person *person,
    const struct journey_message *message, const struct placed_event *placed, int64_t epoch)
{
    if (placed->chain_index < 0 || placed->chain_index > CHAIN_INDEX_STAY ||
        message->stay != (placed->chain_index == CHAIN_INDEX_STAY))
        return reject_bytes(timeline, ERR_VALUE, placed->event);
    if (placed->event.size > EVENT_BYTES_MAX || placed->channel.size > CHANNEL_BYTES_MAX)
        return reject_bytes(timeline, ERR_TOO_LARGE, placed->event);
    struct arrival arrival = {
        .person = person,
        .node = message->node,
        .pending = {.position = placed->position,
            .event = placed->event,
            .lifted_at = placed->lifted_at},
        .chain_index = (uint8_t)placed->chain_index,
    };
    int r = touchpoint_decode(&arrival.event, placed->event, timeline->task->scratch);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? reject_bytes(timeline, r, placed->event) : r;
    moment_read(
        &arrival.pending.moment, timeline->types, &arrival.event, message->node, placed->channel);
    arrival.pending.placement = (int64_t)placed->chain_index << EPOCH_BITS | epoch;
    struct record_row row;
    r = erasure_drops(timeline, person, message->node, &arrival.event, placed->lifted_at);
    if (r)
        return r < 0 ? r : 0;
    r = get_record(timeline, person, message->node, arrival.pending.moment.place.event_key, &row);
    if (r < 0)
        return r;
    return r == STATE_ABSENT ? take_seat(timeline, &arrival) : meet(timeline, &arrival, &row);
}

/* ---- gone ---- */

/* Events on their way to another person. */
struct chunk {
    const struct gone_node *gone;
    struct placed_event events[CHUNK_EVENTS_MAX];
    size_t count;
    size_t size;
};

static int send_chunk(struct timeline *timeline, struct chunk *chunk)
{
    if (chunk->count == 0)
        return 0;
    struct journey_message message;
    journey_message_init(&message);
    message.kind = JOURNEY_KIND_PUT;
    memcpy(message.person, chunk->gone->to, KEY_SIZE);
    memcpy(message.node, chunk->gone->node, KEY_SIZE);
    message.epoch = chunk->gone->epoch;
    message.events = chunk->events;
    message.events_count = chunk->count;
    chunk->count = chunk->size = 0;
    buf_clear(timeline->value);
    int r = journey_message_encode(&message, timeline->value);
    if (r < 0)
        return r;
    return outbox_send(timeline->task->outbox, TOPIC_JOURNEY, str_make(message.person, KEY_SIZE),
        buf_str(timeline->value));
}

/* Sends one event on: into the chunk, or to the next node of its chain. */
static int pass_on(struct timeline *timeline, struct chunk *chunk, const struct placed_event *event)
{
    if (chunk->gone->scattered) {
        struct travelling_event travelling = {
            .event = event->event,
            .channel = event->channel,
            .position = event->position,
            .chain_index = event->chain_index,
            .lifted_at = event->lifted_at,
        };
        memcpy(travelling.from, chunk->gone->node, KEY_SIZE);
        int r = identity_message_pass_on(timeline->config->namespaces, &travelling,
            timeline->task->scratch, timeline->task->outbox);
        return r < 0 && error_class(r) == ERROR_CLASS_REJECT
                   ? reject_bytes(timeline, r, event->event)
                   : r;
    }
    size_t size = event->event.size + event->channel.size;
    int r = 0;
    if (chunk->count == CHUNK_EVENTS_MAX || chunk->size + size > CHUNK_BYTES_MAX)
        r = send_chunk(timeline, chunk);
    chunk->events[chunk->count++] = *event;
    chunk->size += size;
    return r;
}

/* All events of the node leave their seats. Those that stay are not the owner's to move. */
static int empty_node(struct timeline *timeline, struct person *person, struct chunk *chunk)
{
    uint8_t prefix[GONE_KEY_SIZE];
    struct state_scan *scan;
    struct hidden_seat *hidden;
    struct str key, value;
    gone_key(prefix, person->id, chunk->gone->node);
    int r = list_hidden(timeline, person, &hidden);
    if (r == 0)
        r = state_scan_begin(
            timeline->task->state, TABLE_RECORD, str_make(prefix, sizeof prefix), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        struct hidden_seat seat = {.next = NULL};
        struct stitched content;
        r = key.size == RECORD_KEY_SIZE ? record_row_decode(&seat.row, value) : ERR_STATE;
        if (r == 0 && seat.row.chain_index == CHAIN_INDEX_STAY)
            continue;
        memcpy(seat.node, chunk->gone->node, KEY_SIZE);
        if (r == 0) {
            memcpy(seat.event_key, key.data + 2 * KEY_SIZE, KEY_SIZE);
            r = seated(timeline, person, &seat, &content);
        }
        if (r == 0 && (content.placement & EPOCH_MASK) > chunk->gone->epoch)
            continue; /* it came here by a decision after this one */
        if (r == 0)
            r = leave_seat(timeline, person, &seat, hidden);
        if (r == 0)
            r = pass_on(timeline, chunk,
                &(struct placed_event){
                    .position = content.position,
                    .chain_index = seat.row.chain_index,
                    .channel = stitched_rule_channel(&content),
                    .event = content.event,
                    .lifted_at = content.lifted_at,
                });
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

bool timeline_epoch_valid(int64_t epoch)
{
    return epoch >= 0 && epoch <= EPOCH_MASK;
}

int timeline_gone(struct timeline *timeline, const struct journey_message *message)
{
    struct person *person;
    struct gone_node gone = {.epoch = message->epoch, .scattered = !message->has_to};
    struct chunk chunk = {.gone = &gone};
    if (!timeline_epoch_valid(message->epoch) || message->stay || message->events_count ||
        (message->has_to && memcmp(message->to, message->person, KEY_SIZE) == 0))
        return ERR_VALUE;
    memcpy(gone.node, message->node, KEY_SIZE);
    if (message->has_to)
        memcpy(gone.to, message->to, KEY_SIZE);
    int r = timeline_person(timeline, message->person, &person);
    if (r == 0)
        r = person_gone_set(person, &gone);
    if (r == 0)
        r = gone_row_put(timeline->task->state, person->id, &gone);
    if (r == 0)
        r = timeline_flush(timeline, person);
    if (r == 0)
        r = empty_node(timeline, person, &chunk);
    if (r == 0)
        r = send_chunk(timeline, &chunk);
    return r < 0 ? r : erasure_gone(timeline, person, &gone);
}

/* ---- a message of put ---- */

/* What a suppressed signature, or node's mark, would drop is not carried past it. */
static int drops_passing(struct timeline *timeline, struct person *person,
    const uint8_t node[KEY_SIZE], const struct placed_event *placed)
{
    struct touchpoint event;
    if (!person->suppresses)
        return 0;
    int r = touchpoint_decode(&event, placed->event, timeline->task->scratch);
    if (r < 0) /* whoever seats it rejects it */
        return error_class(r) == ERROR_CLASS_REJECT ? 0 : r;
    return erasure_drops(timeline, person, node, &event, placed->lifted_at);
}

static int pass_all_on(struct timeline *timeline, struct person *person,
    const struct gone_node *gone, const struct journey_message *message)
{
    struct chunk chunk = {.gone = gone};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < message->events_count; i++) {
        r = drops_passing(timeline, person, message->node, &message->events[i]);
        if (r == 0)
            r = pass_on(timeline, &chunk, &message->events[i]);
    }
    return r < 0 ? r : send_chunk(timeline, &chunk);
}

/* The node came back with a higher epoch (I6). */
static int come_back(
    struct timeline *timeline, const struct person *person, struct gone_node *gone, int64_t epoch)
{
    gone->back = true;
    gone->scattered = false;
    gone->epoch = epoch;
    return gone_row_put(timeline->task->state, person->id, gone);
}

int timeline_admit(struct timeline *timeline, struct person *person,
    const struct journey_message *message, struct gone_node **gone)
{
    *gone = message->stay ? NULL : person_gone(person, message->node);
    if (!*gone || message->epoch == (*gone)->epoch ||
        ((*gone)->back && message->epoch < (*gone)->epoch))
        return 0;
    if (message->epoch < (*gone)->epoch)
        return 1;
    return come_back(timeline, person, *gone, message->epoch);
}

int timeline_put(struct timeline *timeline, const struct journey_message *message)
{
    struct person *person;
    struct gone_node *gone;
    if (!timeline_epoch_valid(message->epoch) || message->has_to)
        return ERR_VALUE;
    int r = timeline_person(timeline, message->person, &person);
    if (r == 0)
        r = timeline_admit(timeline, person, message, &gone);
    if (r == 1)
        return pass_all_on(timeline, person, gone, message);
    int64_t epoch = r == 0 && gone && gone->back ? gone->epoch : message->epoch;
    for (size_t i = 0; r == 0 && i < message->events_count; i++)
        r = put_event(timeline, person, message, &message->events[i], epoch);
    return r;
}

/* ---- seats that vanish ---- */

/* Seats of a person or node, hidden ones or those that show. */
static int list_seats(struct timeline *timeline, const struct person *person, const uint8_t *node,
    bool hidden, struct hidden_seat **out)
{
    uint8_t prefix[GONE_KEY_SIZE];
    struct state_scan *scan;
    struct str key, value;
    gone_key(prefix, person->id, node ? node : person->id);
    *out = NULL;
    int r = state_scan_begin(timeline->task->state, TABLE_RECORD,
        str_make(prefix, node ? GONE_KEY_SIZE : KEY_SIZE), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        struct record_row row;
        r = key.size == RECORD_KEY_SIZE ? record_row_decode(&row, value) : ERR_STATE;
        if (r == 0 && (row.hidden.size > 0) != hidden)
            continue;
        struct hidden_seat *seat =
            r == 0 ? arena_alloc(timeline->task->scratch, sizeof *seat) : NULL;
        if (!seat) {
            r = r < 0 ? r : ERR_NO_MEMORY;
            break;
        }
        *seat = (struct hidden_seat){.next = *out, .row = row};
        memcpy(seat->node, key.data + KEY_SIZE, KEY_SIZE);
        memcpy(seat->event_key, key.data + 2 * KEY_SIZE, KEY_SIZE);
        *out = seat;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

/* The event of a seat. */
static int read_seat(struct timeline *timeline, struct person *person,
    const struct hidden_seat *seat, struct seated_event *out)
{
    struct stitched content;
    int r = seated(timeline, person, seat, &content);
    if (r == 0)
        r = touchpoint_decode(&out->event, content.event, timeline->task->scratch);
    out->lifted_at = r == 0 ? content.lifted_at : 0;
    return r < 0 && error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
}

/* Hidden seats go first, so that none of them is shown in the place of another that goes too. */
int timeline_drop(struct timeline *timeline, struct person *person, const uint8_t *node,
    timeline_drops_fn *drops, void *context)
{
    int r = timeline_flush(timeline, person);
    for (int hidden = 1; r == 0 && hidden >= 0; hidden--) {
        struct hidden_seat *seats, *others;
        r = list_seats(timeline, person, node, hidden, &seats);
        if (r == 0)
            r = list_hidden(timeline, person, &others);
        for (; r == 0 && seats; seats = seats->next) {
            struct seated_event event;
            r = read_seat(timeline, person, seats, &event);
            if (r == 0)
                r = drops(context, seats->node, &event);
            if (r == 1)
                r = leave_seat(timeline, person, seats, others);
        }
    }
    return r;
}
