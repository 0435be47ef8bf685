/*
 * Two ways to the same rows (see fold.h): append, and anew. Anew also knows which rows must be
 * there when it is done, and deletes the others.
 */
#include "enrich/journey/settle.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/profile.avro.h"
#include "schemas/session.avro.h"

#define WINDOW_STEPS 10 /* events drop out of a long timeline by this part of its maximum */

/* A key in a list. */
struct kept_key {
    struct kept_key *next;
    struct str key;
};

/* One run over one person. */
struct run {
    struct settle *settle;
    struct person *person;
    bool anew;
    struct kept_key *conversions; /* anew: keys that must stay */
    size_t conversions_count;
    struct kept_key *stood; /* anew: keys of all conversions that stood before */
};

/* An event of the run: a stored row, or a pending one. */
struct run_row {
    struct str key;
    struct str value;
    struct pending_event *pending; /* else NULL */
};

struct run_rows {
    struct run_row *items;
    size_t count;
    size_t room;
};

static struct state *state_of(const struct run *run)
{
    return run->settle->timeline->task->state;
}

/* Writes a row that follows from a new event alone: when appending there cannot be one yet. */
static int put_fresh(struct run *run, enum table table, struct str key)
{
    struct str value = buf_str(&run->settle->room->value);
    return run->anew ? state_put(state_of(run), table, key, value)
                     : state_put_new(state_of(run), table, key, value);
}

static int damaged(int error)
{
    return error < 0 && error_class(error) == ERROR_CLASS_REJECT ? ERR_STATE : error;
}

void settle_fini(struct settle_room *room)
{
    arena_free(&room->row);
    arena_free(&room->find);
    arena_free(&room->original);
    buf_free(&room->value);
}

/* ---- what the fold gives ---- */

static struct str conversion_row_key(
    const struct person *person, struct str key, uint8_t out[CONVERSION_ROW_KEY_SIZE_MAX])
{
    memcpy(out, person->id, KEY_SIZE);
    memcpy(out + KEY_SIZE, key.data, key.size);
    return str_make(out, KEY_SIZE + key.size);
}

static int keep_key(struct run *run, struct kept_key **list, struct str key)
{
    struct kept_key *kept = arena_alloc(run->settle->timeline->batch, sizeof *kept);
    if (!kept)
        return ERR_NO_MEMORY;
    kept->next = *list;
    *list = kept;
    return arena_dup(run->settle->timeline->batch, key, &kept->key);
}

static int keep_conversion(struct run *run, struct str key)
{
    run->conversions_count++;
    return keep_key(run, &run->conversions, key);
}

/* The row of that key, decoded into `arena`, which it resets. */
static int read_conversion(
    struct run *run, struct str id_key, struct arena *arena, struct conversion *out)
{
    uint8_t room[CONVERSION_ROW_KEY_SIZE_MAX];
    struct str value;
    int r = state_get(
        state_of(run), TABLE_CONVERSION, conversion_row_key(run->person, id_key, room), &value);
    if (r)
        return r == STATE_ABSENT ? ERR_STATE : r;
    arena_reset(arena);
    return damaged(conversion_decode(out, value, arena));
}

/* A refund counts where its conversion does. */
static int count_conversion(struct run *run, const struct conversion *row, int sign)
{
    struct conversion of;
    uint8_t digest[SHA256_SIZE];
    int r = 0;
    if (!run->settle->timeline->config->models_count)
        return 0;
    if (row->kind == CONVERSION_KIND_REFUND)
        r = read_conversion(
            run, conversion_key(row->refund_of, digest), &run->settle->room->original, &of);
    return r < 0 ? r
                 : model_counter_conversion(run->settle->models, row,
                       row->kind == CONVERSION_KIND_REFUND ? &of : row, sign);
}

static int put_conversion(void *context, const struct conversion *conversion)
{
    struct run *run = context;
    struct buf *value = &run->settle->room->value;
    struct conversion row = *conversion;
    uint8_t digest[SHA256_SIZE], room[CONVERSION_ROW_KEY_SIZE_MAX];
    struct str key =
        conversion_row_key(run->person, conversion_key(row.conversion_id, digest), room);
    memcpy(row.person, run->person->id, KEY_SIZE);
    buf_clear(value);
    int r = conversion_encode(&row, value);
    if (r == 0)
        r = put_fresh(run, TABLE_CONVERSION, key);
    if (r == 0)
        r = count_conversion(run, &row, 1);
    return r < 0 || !run->anew ? r : keep_conversion(run, key);
}

static int find_conversion(void *context, struct str id_key, struct conversion *out)
{
    struct run *run = context;
    return read_conversion(run, id_key, &run->settle->room->find, out);
}

/* ---- sessions ---- */

static void session_row_key(
    uint8_t out[2 * KEY_SIZE], const struct person *person, const uint8_t session_key[KEY_SIZE])
{
    memcpy(out, person->id, KEY_SIZE);
    memcpy(out + KEY_SIZE, session_key, KEY_SIZE);
}

static int put_session(struct run *run, const struct session_row *row)
{
    struct settle_room *room = run->settle->room;
    struct session session;
    uint8_t key[2 * KEY_SIZE];
    session_row_key(key, run->person, row->session_key);
    session_init(&session);
    if (row->begun) {
        memcpy(session.person, run->person->id, KEY_SIZE);
        memcpy(session.session_key, row->session_key, KEY_SIZE);
        session.started_at = row->started_at;
        session.channel = row->channel;
        session.source = row->source;
        session.medium = row->medium;
        session.campaign = row->campaign;
        session.landing_host = row->landing_host;
        session.landing_path = row->landing_path;
        session.device_kind = row->device_kind;
    } else {
        struct str value;
        int r = state_get(state_of(run), TABLE_SESSION, str_make(key, sizeof key), &value);
        if (r)
            return r == STATE_ABSENT ? ERR_STATE : r;
        arena_reset(&room->row);
        r = damaged(session_decode(&session, value, &room->row));
        if (r < 0)
            return r;
    }
    session.ended_at = row->ended_at;
    session.events = row->events;
    session.page_views = row->page_views;
    buf_clear(&room->value);
    int r = session_encode(&session, &room->value);
    if (r == 0 && row->begun)
        return put_fresh(run, TABLE_SESSION, str_make(key, sizeof key));
    return r < 0 ? r
                 : state_put(state_of(run), TABLE_SESSION, str_make(key, sizeof key),
                       buf_str(&room->value));
}

static int put_sessions(struct run *run)
{
    const struct folder *folder = run->settle->folder;
    int r = 0;
    for (size_t i = 0; r == 0 && i < folder->rows_count; i++)
        r = put_session(run, &folder->rows[i]);
    return r;
}

/* ---- events ---- */

static int put_event(struct run *run, const struct pending_event *event)
{
    struct buf *value = &run->settle->room->value;
    uint8_t key[TIMELINE_KEY_SIZE];
    timeline_key(key, run->person->id, &event->moment.place);
    buf_clear(value);
    int r = stitched_row_encode(run->person->id, event, value);
    return r < 0 ? r : put_fresh(run, TABLE_TIMELINE, str_make(key, sizeof key));
}

static int step_pending(struct run *run, struct pending_event *event)
{
    int r = fold_step(run->settle->folder, &run->person->fold, &event->moment);
    return r < 0 ? r : put_event(run, event);
}

/* True when the stored row says already what the fold found. */
static bool up_to_date(const struct stitched *row, const struct moment *moment)
{
    bool implied = !moment->own_channel.size && !str_equal(moment->channel, moment->rule_channel);
    return row->touch == moment->touch && row->has_session_key == moment->has_session &&
           (!moment->has_session || memcmp(row->session_key, moment->session_key, KEY_SIZE) == 0) &&
           str_equal(row->channel, moment->channel) && row->has_rule_channel == implied &&
           (!implied || str_equal(row->rule_channel, moment->rule_channel));
}

/* A stored event: steps through it, or, `outside` of what journeys look at, takes back what they
 * once said of it. */
static int step_stored(struct run *run, struct str value, bool outside)
{
    struct settle *settle = run->settle;
    struct stitched row;
    struct touchpoint event;
    arena_reset(&settle->room->row);
    int r = stitched_decode(&row, value, &settle->room->row);
    if (r == 0)
        r = touchpoint_decode(&event, row.event, &settle->room->row);
    if (r < 0)
        return damaged(r);
    struct pending_event stored = {.position = row.position,
        .placement = row.placement,
        .lifted_at = row.lifted_at,
        .event = row.event};
    moment_read(
        &stored.moment, settle->timeline->types, &event, row.node, stitched_rule_channel(&row));
    if (!outside)
        r = fold_step(settle->folder, &run->person->fold, &stored.moment);
    return r < 0 || up_to_date(&row, &stored.moment) ? r : put_event(run, &stored);
}

/* ---- the whole timeline ---- */

static int add_row(struct run *run, struct run_rows *rows, const struct run_row *row)
{
    if (rows->count == rows->room) {
        size_t room = rows->room ? rows->room * 2 : 16;
        struct run_row *more = arena_alloc(run->settle->timeline->batch, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        if (rows->count)
            memcpy(more, rows->items, rows->count * sizeof *more);
        rows->items = more;
        rows->room = room;
    }
    rows->items[rows->count++] = *row;
    return 0;
}

/* Adds pending events that come before `key` (empty: all), and steps over a stored row that one of
 * them takes the place of. */
static int add_pending_before(
    struct run *run, struct run_rows *rows, size_t *at, struct str key, bool *replaced)
{
    int r = 0;
    *replaced = false;
    for (; r == 0 && !*replaced && *at < run->person->pending_count; (*at)++) {
        struct pending_event *event = run->person->pending[*at];
        uint8_t own[TIMELINE_KEY_SIZE];
        timeline_key(own, run->person->id, &event->moment.place);
        int order = key.size ? str_compare(str_make(own, sizeof own), key) : -1;
        if (order > 0)
            break;
        *replaced = order == 0;
        r = add_row(run, rows, &(struct run_row){.pending = event});
    }
    return r;
}

static int collect_rows(struct run *run, struct run_rows *rows)
{
    struct state_scan *scan;
    struct str key, value;
    size_t at = 0;
    bool replaced;
    int r =
        state_scan_begin(state_of(run), TABLE_TIMELINE, str_make(run->person->id, KEY_SIZE), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        r = add_pending_before(run, rows, &at, key, &replaced);
        if (r == 0 && !replaced)
            r = add_row(run, rows, &(struct run_row){.key = key, .value = value});
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : add_pending_before(run, rows, &at, (struct str){0}, &replaced);
}

/* How many of the oldest events journeys do not look at. */
static int64_t skipped_of(const struct journey_config *config, int64_t events)
{
    int64_t max = config->timeline_events_max;
    int64_t step = max > WINDOW_STEPS ? max / WINDOW_STEPS : 1;
    return events <= max ? 0 : (events - max + step - 1) / step * step;
}

static int64_t time_of(const struct run_row *row)
{
    return row->pending ? row->pending->moment.place.at
                        : get_be64_signed((const uint8_t *)row->key.data + KEY_SIZE);
}

static int step_all(struct run *run, const struct run_rows *rows)
{
    struct person *person = run->person;
    int r = 0;
    person->skipped = skipped_of(run->settle->timeline->config, (int64_t)rows->count);
    person->first_at = rows->count ? time_of(&rows->items[0]) : 0;
    for (size_t i = 0; r == 0 && i < rows->count; i++) {
        const struct run_row *row = &rows->items[i];
        bool outside = (int64_t)i < person->skipped;
        if (!row->pending)
            r = step_stored(run, row->value, outside);
        else if (outside)
            r = put_event(run, row->pending);
        else
            r = step_pending(run, row->pending);
    }
    return r;
}

/* ---- rows that vanished ---- */

static int compare_keys(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

/* Deletes the person's rows of a table whose keys are not among `keys` (which are sorted here). */
static int delete_others(struct run *run, enum table table, struct str *keys, size_t count)
{
    struct state_scan *scan;
    struct str key, value;
    if (count)
        qsort(keys, count, sizeof *keys, compare_keys);
    int r = state_scan_begin(state_of(run), table, str_make(run->person->id, KEY_SIZE), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        if (count && bsearch(&key, keys, count, sizeof *keys, compare_keys))
            continue;
        r = state_delete(state_of(run), table, key);
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

static int delete_other_sessions(struct run *run)
{
    const struct folder *folder = run->settle->folder;
    struct arena *arena = run->settle->timeline->batch;
    size_t count = folder->rows_count;
    struct str *keys = arena_alloc(arena, (count + 1) * sizeof *keys);
    uint8_t *bytes = arena_alloc(arena, (count + 1) * 2 * KEY_SIZE);
    if (!keys || !bytes)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        session_row_key(bytes + i * 2 * KEY_SIZE, run->person, folder->rows[i].session_key);
        keys[i] = str_make(bytes + i * 2 * KEY_SIZE, 2 * KEY_SIZE);
    }
    return delete_others(run, TABLE_SESSION, keys, count);
}

/* What stood before the run: its conversions' keys, and what models counted of them and of the open
 * path. */
static int take_standing(struct run *run, struct str profile_row)
{
    struct settle_room *room = run->settle->room;
    bool counted = run->settle->timeline->config->models_count && !run->person->uncounted;
    struct state_scan *scan;
    struct profile profile;
    struct str key, value;
    arena_reset(&room->row);
    int r = counted ? damaged(profile_decode(&profile, profile_row, &room->row)) : 0;
    if (r == 0 && counted)
        r = model_counter_before_stored(run->settle->models, &profile);
    if (r == 0)
        r = state_scan_begin(
            state_of(run), TABLE_CONVERSION, str_make(run->person->id, KEY_SIZE), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        struct conversion conversion;
        arena_reset(&room->row);
        r = keep_key(run, &run->stood, key);
        if (r == 0 && counted)
            r = damaged(conversion_decode(&conversion, value, &room->row));
        if (r == 0 && counted)
            r = count_conversion(run, &conversion, -1);
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}

static int delete_other_conversions(struct run *run)
{
    size_t count = 0;
    int r = 0;
    struct str *keys =
        arena_alloc(run->settle->timeline->batch, (run->conversions_count + 1) * sizeof *keys);
    if (!keys)
        return ERR_NO_MEMORY;
    for (const struct kept_key *kept = run->conversions; kept; kept = kept->next)
        keys[count++] = kept->key;
    if (count)
        qsort(keys, count, sizeof *keys, compare_keys);
    for (const struct kept_key *stood = run->stood; r == 0 && stood; stood = stood->next)
        if (!count || !bsearch(&stood->key, keys, count, sizeof *keys, compare_keys))
            r = state_delete(state_of(run), TABLE_CONVERSION, stood->key);
    return r;
}

/* ---- the profile ---- */

/* Sums that no row can hold are left out, and said so. */
static int reject_sum(struct run *run, struct str currency)
{
    struct buf *payload = &run->settle->room->value;
    char hex[2 * KEY_SIZE];
    hex_encode(run->person->id, KEY_SIZE, hex);
    buf_clear(payload);
    int r = buf_appendf(payload, "{\"currency\":\"%.*s\",\"person\":\"%.*s\"}", (int)currency.size,
        currency.data ? currency.data : "", (int)sizeof hex, hex);
    if (r < 0)
        return r;
    return timeline_reject(run->settle->timeline->task, &(struct timeline_rejection){
                                                            .error = ERR_NUMBER_RANGE,
                                                            .pointer = STR("/revenue"),
                                                            .payload = buf_str(payload),
                                                        });
}

static int fill_revenue(struct run *run, struct profile *profile)
{
    const struct fold *fold = &run->person->fold;
    const struct intern *intern = run->settle->folder->intern;
    profile->revenue = arena_alloc(
        run->settle->timeline->batch, (fold->revenue_count + 1) * sizeof *profile->revenue);
    if (!profile->revenue)
        return ERR_NO_MEMORY;
    int r = 0;
    for (size_t i = 0; r == 0 && i < fold->revenue_count; i++) {
        const struct fold_revenue *sum = &fold->revenue[i];
        if (sum->net_minor > INT64_MAX || sum->net_minor < INT64_MIN)
            r = reject_sum(run, intern_text(intern, sum->currency));
        else
            profile->revenue[profile->revenue_count++] =
                (struct revenue){intern_text(intern, sum->currency), (int64_t)sum->net_minor};
    }
    return r;
}

/* Touches behind the last conversion, of which the newest count. */
static const struct fold_touch *open_touches(const struct run *run, size_t *count)
{
    const struct fold *fold = &run->person->fold;
    size_t max = run->settle->timeline->config->path_touches_max;
    size_t from = fold->open_from;
    if (fold->touches_count - from > max)
        from = fold->touches_count - max;
    *count = fold->touches_count - from;
    return *count ? fold->touches + from : NULL;
}

static int fill_open_path(struct run *run, struct profile *profile)
{
    size_t count;
    const struct fold_touch *touches = open_touches(run, &count);
    profile->open_path =
        arena_alloc(run->settle->timeline->batch, (count + 1) * sizeof *profile->open_path);
    if (!profile->open_path)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const struct fold_touch *touch = &touches[i];
        struct open_touch *row = &profile->open_path[i];
        *row = (struct open_touch){
            .touched_at = touch->at,
            .channel = intern_text(run->settle->folder->intern, touch->channel),
        };
        memcpy(row->event_key, touch->event_key, KEY_SIZE);
    }
    profile->open_path_count = count;
    return 0;
}

static int put_profile(struct run *run)
{
    const struct person *person = run->person;
    const struct fold *fold = &person->fold;
    struct str key = str_make(person->id, KEY_SIZE);
    if (fold->events == 0)
        return state_delete(state_of(run), TABLE_PROFILE, key);
    struct profile profile;
    profile_init(&profile);
    memcpy(profile.person, person->id, KEY_SIZE);
    profile.first_at = person->first_at;
    profile.last_at = fold->last.at;
    profile.events = person->skipped + fold->events;
    profile.sessions = fold->sessions_total;
    profile.touches = fold->touches_total;
    profile.conversions = fold->conversions_total;
    profile.refunds = fold->refunds_total;
    profile.truncated = person->skipped > 0;
    int r = fill_revenue(run, &profile);
    if (r == 0)
        r = fill_open_path(run, &profile);
    buf_clear(&run->settle->room->value);
    if (r == 0)
        r = profile_encode(&profile, &run->settle->room->value);
    return r < 0 ? r
                 : state_put(state_of(run), TABLE_PROFILE, key, buf_str(&run->settle->room->value));
}

static int count_open_path(struct run *run)
{
    size_t count;
    const struct fold_touch *touches = open_touches(run, &count);
    return model_counter_after(run->settle->models, touches, count);
}

/* ---- a person ---- */

static int compare_pending(const void *a, const void *b)
{
    const struct pending_event *const *x = a, *const *y = b;
    return moment_place_compare(&(*x)->moment.place, &(*y)->moment.place);
}

/* Pending events are sorted. */
static bool may_append(const struct settle *settle, const struct person *person)
{
    if (!person->folded || person->broken || person->fold.events == 0)
        return false;
    if (person->pending_count &&
        moment_place_compare(&person->fold.last, &person->pending[0]->moment.place) >= 0)
        return false;
    int64_t events = person->skipped + person->fold.events + (int64_t)person->pending_count;
    return skipped_of(settle->timeline->config, events) == person->skipped;
}

static int append(struct run *run)
{
    struct person *person = run->person;
    size_t count;
    const struct fold_touch *touches = open_touches(run, &count);
    int r = model_counter_before(run->settle->models, touches, count);
    for (size_t i = 0; r == 0 && i < person->pending_count; i++)
        r = step_pending(run, person->pending[i]);
    return r < 0 ? r : put_sessions(run);
}

/* What was derived before has a profile; without one there is nothing to delete. */
static int derive_anew(struct run *run)
{
    struct run_rows rows = {.count = 0};
    struct str profile;
    int known =
        state_get(state_of(run), TABLE_PROFILE, str_make(run->person->id, KEY_SIZE), &profile);
    if (known < 0)
        return known;
    fold_clear(&run->person->fold);
    int r = known == STATE_ABSENT ? 0 : take_standing(run, profile);
    if (r == 0)
        r = collect_rows(run, &rows);
    if (r == 0)
        r = step_all(run, &rows);
    if (r == 0)
        r = put_sessions(run);
    if (r == 0 && known != STATE_ABSENT)
        r = delete_other_sessions(run);
    if (r == 0 && known != STATE_ABSENT)
        r = delete_other_conversions(run);
    return r;
}

int settle_person(struct settle *settle, struct person *person)
{
    struct run run = {.settle = settle, .person = person};
    settle->folder->output = (struct fold_output){
        .context = &run, .conversion = put_conversion, .find = find_conversion};
    folder_begin(settle->folder, &person->fold);
    if (person->pending_count > 1)
        qsort(person->pending, person->pending_count, sizeof *person->pending, compare_pending);
    run.anew = !may_append(settle, person);
    person->folded = false;
    int r = run.anew ? derive_anew(&run) : append(&run);
    if (r == 0)
        r = put_profile(&run);
    if (r == 0)
        r = count_open_path(&run);
    if (r < 0)
        return r;
    person->folded = true;
    person->uncounted = false;
    person->broken = false;
    person_pending_clear(person);
    return 0;
}
