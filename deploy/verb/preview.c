/*
 * The word becomes an event as `tabiji unlink` makes it, runs through the stages and is forgotten.
 * An event that leaves one timeline and stands on another would move.
 */
#include "deploy/verb/preview.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "deploy/render.h"
#include "deploy/say.h"
#include "deploy/verb/tables.h"
#include "enrich/identity/evidence.h"
#include "enrich/identity/person.h"
#include "ingest/door.h"
#include "ingest/stream/local_preview.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/person_of.avro.h"
#include "schemas/stitched.avro.h"

#define LIMIT_DEFAULT 100
#define MICROS_PER_SECOND 1000000
#define SOURCE "operator"
#define EVENT_ID "preview"
#define ADAPTER_VERSION 1

/* An event's row that would go or come. */
struct place {
    uint8_t event_key[KEY_SIZE];
    uint8_t person[KEY_SIZE];
    bool comes;
    int64_t occurred_at;
    struct str type, source, event_id;
};

/* An identifier whose person would be another. */
struct turned {
    struct str namespace, value;
    uint8_t own[KEY_SIZE];
    uint8_t from[KEY_SIZE], to[KEY_SIZE];
};

struct preview {
    struct settings *settings;
    struct identifier ends[2];
    struct hmac_key persons;
    uint8_t word_key[KEY_SIZE]; /* of the event that the word is */
    struct arena keep;          /* of what the arrays hold */
    struct arena scratch;       /* of one row */
    struct place *places;
    size_t places_count, places_room;
    struct turned *turned;
    size_t turned_count, turned_room;
};

static int grow(void **items, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return 0;
    size_t more = *room ? *room * 2 : 256;
    void *larger = realloc(*items, more * size);
    if (!larger)
        return ERR_NO_MEMORY;
    *items = larger;
    *room = more;
    return 0;
}

/* ---- the word ---- */

static int make_word(struct preview *preview, bool link, struct append_record *out)
{
    struct touchpoint event;
    struct event_problem problem;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    touchpoint_init(&event);
    event.source = STR(SOURCE);
    event.event_id = STR(EVENT_ID);
    event.protocol = PROTOCOL_NATIVE;
    event.adapter_version = ADAPTER_VERSION;
    event.type = link ? STR("identity_linked") : STR("identity_unlinked");
    event.identifiers = &preview->ends[0];
    event.identifiers_count = 1;
    event.has_evidence = true;
    event.evidence = (struct evidence){
        .a_namespace = preview->ends[0].namespace,
        .a_value = preview->ends[0].value,
        .b_namespace = preview->ends[1].namespace,
        .b_value = preview->ends[1].value,
        .sign = link ? 1 : -1,
        .authority = EVIDENCE_AUTHORITY_OPERATOR,
        .reason = STR(EVENT_ID),
    };
    int64_t now_micros = (int64_t)now.tv_sec * MICROS_PER_SECOND + now.tv_nsec / 1000;
    int r = door_accept(
        &preview->settings->door, &event, now_micros, &preview->settings->arena, out, &problem);
    memcpy(preview->word_key, event.event_key, KEY_SIZE);
    return r;
}

/* ---- what it would change ---- */

static int keep_place(struct preview *preview, const struct local_change *change)
{
    struct stitched stitched;
    struct touchpoint event;
    struct str row = change->stands ? change->after : change->before;
    if (change->stood == change->stands)
        return 0; /* it stays where it is */
    int r = grow((void **)&preview->places, &preview->places_room, preview->places_count,
        sizeof *preview->places);
    if (r == 0)
        r = stitched_decode(&stitched, row, &preview->scratch);
    if (r == 0)
        r = touchpoint_decode(&event, stitched.event, &preview->scratch);
    if (r < 0)
        return r;
    struct place *place = &preview->places[preview->places_count];
    *place = (struct place){.comes = change->stands, .occurred_at = event.occurred_at};
    memcpy(place->event_key, event.event_key, KEY_SIZE);
    memcpy(place->person, stitched.person, KEY_SIZE);
    r = arena_dup(&preview->keep, event.type, &place->type);
    if (r == 0)
        r = arena_dup(&preview->keep, event.source, &place->source);
    if (r == 0)
        r = arena_dup(&preview->keep, event.event_id, &place->event_id);
    preview->places_count += r == 0;
    return r;
}

static int keep_turned(struct preview *preview, const struct local_change *change)
{
    struct person_of before, after;
    int r = person_of_decode(&before, change->before, &preview->scratch);
    if (r == 0)
        r = person_of_decode(&after, change->after, &preview->scratch);
    if (r == 0 && memcmp(before.person, after.person, KEY_SIZE) == 0)
        return 0;
    if (r == 0)
        r = grow((void **)&preview->turned, &preview->turned_room, preview->turned_count,
            sizeof *preview->turned);
    if (r < 0)
        return r;
    struct turned *turned = &preview->turned[preview->turned_count];
    person_id(&preview->persons, after.node, turned->own);
    memcpy(turned->from, before.person, KEY_SIZE);
    memcpy(turned->to, after.person, KEY_SIZE);
    r = arena_dup(&preview->keep, after.namespace, &turned->namespace);
    if (r == 0)
        r = arena_dup(&preview->keep, after.value, &turned->value);
    preview->turned_count += r == 0;
    return r;
}

static int on_change(void *context, const struct local_change *change)
{
    struct preview *preview = context;
    int r = 0;
    if (change->table == TABLE_TIMELINE)
        r = keep_place(preview, change);
    else if (change->table == TABLE_PERSON_OF && change->key.size == KEY_SIZE && change->stood &&
             change->stands)
        r = keep_turned(preview, change);
    arena_reset(&preview->scratch);
    return r;
}

/* ---- telling ---- */

static int by_event(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int order = (x->occurred_at > y->occurred_at) - (x->occurred_at < y->occurred_at);
    if (order == 0)
        order = memcmp(x->event_key, y->event_key, KEY_SIZE);
    return order ? order : x->comes - y->comes;
}

static void sort(struct preview *preview)
{
    if (preview->places_count)
        qsort(preview->places, preview->places_count, sizeof *preview->places, by_event);
}

/* places are sorted: what goes stands before what comes of the same event. */
static bool moves(const struct preview *preview, size_t i)
{
    const struct place *place = &preview->places[i];
    return i + 1 < preview->places_count && !place[0].comes && place[1].comes &&
           memcmp(place[0].event_key, place[1].event_key, KEY_SIZE) == 0;
}

/* Goes, and comes nowhere. */
static bool vanishes(const struct preview *preview, size_t i)
{
    const struct place *place = &preview->places[i];
    return !place->comes && !moves(preview, i);
}

static int render_events(
    const struct preview *preview, long long limit, bool json, struct render_table **out)
{
    static const struct render_column columns[] = {
        {"time", "time", RENDER_LEFT, 0},
        {"type", "type", RENDER_LEFT, 0},
        {"source", "source", RENDER_LEFT, 0},
        {"event_id", "event", RENDER_LEFT, 36},
        {"from", "from person", RENDER_LEFT, 0},
        {"to", "to person", RENDER_LEFT, 0},
    };
    long long shown = 0;
    int r = render_new(out, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; r == 0 && i < preview->places_count; i++) {
        const struct place *place = &preview->places[i];
        if (!moves(preview, i) || (!json && limit && shown == limit))
            continue;
        shown++;
        render_time(*out, place->occurred_at);
        render_text(*out, place->type);
        render_text(*out, place->source);
        render_text(*out, place->event_id);
        render_uuid(*out, place[0].person);
        render_uuid(*out, place[1].person);
    }
    return r;
}

static int render_turned(const struct preview *preview, struct render_table **out)
{
    static const struct render_column columns[] = {
        {"namespace", "namespace", RENDER_LEFT, 0},
        {"value", "value", RENDER_LEFT, 48},
        {"from", "from person", RENDER_LEFT, 0},
        {"to", "to person", RENDER_LEFT, 0},
        {"alone", "", RENDER_LEFT, 0},
    };
    int r = render_new(out, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; r == 0 && i < preview->turned_count; i++) {
        const struct turned *turned = &preview->turned[i];
        render_text(*out, turned->namespace);
        render_text(*out, turned->value);
        render_uuid(*out, turned->from);
        render_uuid(*out, turned->to);
        if (memcmp(turned->to, turned->own, KEY_SIZE) == 0)
            render_text(*out, STR("its own person"));
        else
            render_nothing(*out);
    }
    return r;
}

/* How many events. */
struct sums {
    size_t moved;
    size_t erased;
};

static int write_json(const struct sums *sums, struct render_table *events,
    struct render_table *identifiers, bool link)
{
    (void)printf("{\"preview\":\"%s\",\"moved_events\":%zu,\"erased_events\":%zu,\"events\":",
        link ? "link" : "unlink", sums->moved, sums->erased);
    int r = render_write(events, true, stdout);
    (void)printf(",\"identifiers\":");
    if (r == 0)
        r = render_write(identifiers, true, stdout);
    (void)printf("}\n");
    return r;
}

static int write_text(const struct verb_call *call, const struct sums *sums,
    struct render_table *events, struct render_table *identifiers, const struct preview *preview)
{
    size_t moved = sums->moved;
    const char *what = strcmp(call->arguments[0], "preview-link") == 0 ? "linking" : "unlinking";
    int r = 0;
    if (sums->erased)
        (void)printf("%s %s and %s would ERASE %zu event%s, which would come to an identifier that "
                     "was erased\n",
            what, call->arguments[1], call->arguments[2], sums->erased,
            sums->erased == 1 ? "" : "s");
    if (preview->turned_count == 0 && moved == 0 && sums->erased)
        return 0;
    if (preview->turned_count == 0 && moved == 0) {
        (void)printf(
            "%s %s and %s would change nobody\n", what, call->arguments[1], call->arguments[2]);
        return 0;
    }
    (void)printf("%s %s and %s would move %zu event%s and %zu identifier%s (nothing was written)\n",
        what, call->arguments[1], call->arguments[2], moved, moved == 1 ? "" : "s",
        preview->turned_count, preview->turned_count == 1 ? "" : "s");
    if (preview->turned_count) {
        (void)printf("\n");
        r = render_write(identifiers, false, stdout);
    }
    if (r == 0 && moved) {
        (void)printf("\n");
        r = render_write(events, false, stdout);
    }
    return r;
}

static bool word_stands(const struct preview *preview)
{
    bool stands = false;
    for (size_t i = 0; i < preview->places_count; i++)
        stands |= memcmp(preview->places[i].event_key, preview->word_key, KEY_SIZE) == 0;
    return stands;
}

static int answer(struct verb_call *call, struct preview *preview, bool link)
{
    CLEANUP(render_free) struct render_table *events = NULL;
    CLEANUP(render_free) struct render_table *identifiers = NULL;
    long long limit = LIMIT_DEFAULT;
    struct sums sums = {.moved = 0};
    int r = verb_integer(call, "--limit", 0, INT32_MAX, &limit);
    if (r)
        return r;
    sort(preview);
    for (size_t i = 0; i < preview->places_count; i++) {
        sums.moved += moves(preview, i);
        sums.erased += vanishes(preview, i);
    }
    if (!word_stands(preview) && !sums.erased)
        return verb_end(call, EXIT_USAGE, "erased",
            "%s is of a person who was erased, and stays forgotten: nothing would come of the word",
            call->arguments[1]);
    r = render_events(preview, limit, call->json, &events);
    if (r == 0)
        r = render_turned(preview, &identifiers);
    if (r == 0)
        r = call->json ? write_json(&sums, events, identifiers, link)
                       : write_text(call, &sums, events, identifiers, preview);
    if (r == 0 && !call->json && limit && sums.moved > (size_t)limit)
        (void)printf("... and %zu more (--limit 0: all)\n", sums.moved - (size_t)limit);
    return r < 0 ? verb_fail(call, r, "preview") : EXIT_OK;
}

/* ---- the verb ---- */

static int no_more(void *context, const struct reader_node *node)
{
    (void)context;
    (void)node;
    return 0;
}

static int read_ends(struct verb_call *call, struct preview *preview)
{
    for (size_t i = 0; i < 2; i++) {
        const char *spelling = call->arguments[i + 1];
        int r = say_identifier(preview->settings, str_of(spelling), &preview->ends[i]);
        if (r < 0)
            return say_bad_identifier(call, preview->settings, spelling, r);
    }
    if (str_equal(preview->ends[0].namespace, preview->ends[1].namespace) &&
        str_equal(preview->ends[0].value, preview->ends[1].value))
        return verb_usage(call, "both are the same identifier");
    return 0;
}

/* Whether both are known, and, to be parted, ever stood together. Returns 0 or an exit_code. */
static int check_ends(struct verb_call *call, struct preview *preview, bool link)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    uint8_t node[KEY_SIZE];
    int r = tables_open(call, preview->settings, &reader);
    if (r == 0)
        r = tables_fit(call, preview->settings, reader);
    if (r)
        return r;
    for (size_t i = 0; r == 0 && i < 2; i++) {
        r = reader_node_id(preview->settings->door.identifiers.namespaces, &preview->ends[i], node);
        if (r == 0)
            r = reader_node(reader, node, no_more, NULL);
        if (r == READER_ABSENT && !link)
            return tables_nobody(call, preview->settings, reader, call->arguments[i + 1]);
        if (r == READER_ABSENT) {
            tables_tell_new(call, call->arguments[i + 1]);
            r = 0;
        }
    }
    if (r == 0 && !link)
        r = reader_linked(reader, preview->settings->door.identifiers.namespaces, &preview->ends[0],
            &preview->ends[1]);
    if (r == READER_ABSENT)
        return verb_not_found(
            call, "nothing ever linked %s and %s", call->arguments[1], call->arguments[2]);
    return r < 0 ? verb_fail(call, r, "the tables") : 0;
}

/* Runs the word through the stages. */
static int foresee(struct preview *preview, bool link, struct buf *difference)
{
    struct settings *settings = preview->settings;
    struct append_record record;
    const struct local_preview how = {
        .dir = config_path(settings->config, OPTION_DATA_DIR),
        .stages = settings->stages,
        .stages_count = SETTINGS_STAGES,
        .changed = on_change,
        .context = preview,
        .difference = difference,
    };
    preview->keep.size_max = (size_t)1 << 36;
    hmac_key_init(&preview->persons,
        str_make(settings->identify.tenant_key, sizeof settings->identify.tenant_key));
    int r = make_word(preview, link, &record);
    return r < 0 ? r : local_preview(&how, &record);
}

static void release(struct preview *preview)
{
    free(preview->places);
    free(preview->turned);
    arena_free(&preview->keep);
    arena_free(&preview->scratch);
}

int preview_foresee(struct settings *settings, const struct identifier ends[2], bool link,
    struct preview_outcome *out)
{
    struct preview preview = {.settings = settings, .ends = {ends[0], ends[1]}};
    struct preview_outcome outcome = {.stands = false};
    int r = foresee(&preview, link, NULL);
    sort(&preview);
    for (size_t i = 0; i < preview.places_count; i++)
        outcome.lost += vanishes(&preview, i);
    outcome.stands = word_stands(&preview);
    release(&preview);
    if (r == 0)
        *out = outcome;
    return r;
}

static int run(struct verb_call *call, struct preview *preview, bool link)
{
    struct settings *settings = preview->settings;
    CLEANUP(buf_free) struct buf difference = {0};
    int r = read_ends(call, preview);
    if (r == 0)
        r = check_ends(call, preview, link);
    if (r)
        return r;
    r = foresee(preview, link, &difference);
    if (r == ERR_MEANING)
        settings_tell_difference(settings, buf_str(&difference));
    return r < 0 ? verb_fail(call, r, "%s", config_path(settings->config, OPTION_DATA_DIR))
                 : answer(call, preview, link);
}

int preview_run(struct verb_call *call, bool link)
{
    struct settings settings;
    struct preview preview = {.settings = &settings};
    if (call->arguments_count != 3)
        return verb_usage(call, "%s needs A and B, each namespace:value", call->arguments[0]);
    int r = settings_open(&settings, call->config);
    if (r < 0)
        r = verb_fail(call, r, "configuration");
    else if (str_equal(config_text(call->config, OPTION_STREAM_DRIVER), STR("kafka")))
        r = verb_usage(
            call, "%s reads a data directory: it knows the embedded mode only", call->arguments[0]);
    else
        r = run(call, &preview, link);
    release(&preview);
    settings_close(&settings);
    return r;
}
