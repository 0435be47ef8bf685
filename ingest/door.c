/* The last check before the log. Nothing passes that a later stage could not decode. */
#include "ingest/door.h"

#include <stdio.h>

#include "ingest/malformed.h"
#include "ingest/plan/plan.h"
#include "ingest/rejection.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/nearest.h"
#include "schemas/rejected.avro.h"
#include "schemas/time.h"

#define SOURCE_SIZE_MAX 64
#define FUTURE_MAX_DEFAULT TIME_MICROS_PER_DAY
#define PAST_MIN_DEFAULT (INT64_C(946684800) * TIME_MICROS_PER_SECOND) /* 2000-01-01T00:00:00Z */
#define POINTER_SIZE_MAX 96
/* How the identifier of spend begins: nobody, so that it joins no customer's timeline. */
#define SPEND_IDENTIFIER "spend:"
/* Room for whatever an encoder reserves beyond what it writes. */
#define ENCODE_SLACK ((size_t)32 << 10)

static bool has_nul(struct str text)
{
    return text.size != 0 && memchr(text.data, '\0', text.size) != NULL;
}

/* Canonical JSON writes U+0000 as an escape: in properties it is looked for in that form. */
static bool has_nul_escape(struct str json)
{
    /* Most have no escape at all, which is seen much faster than that they have not this one. */
    const char *at = json.size ? memchr(json.data, '\\', json.size) : NULL;
    size_t left = at ? json.size - (size_t)(at - json.data) : 0;
    while (left >= 6) {
        const char *found = memmem(at, left, "\\u0000", 6);
        if (!found)
            return false;
        size_t slashes = 0;
        while (found - slashes > json.data && found[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return true;
        left -= (size_t)(found + 1 - at);
        at = found + 1;
    }
    return false;
}

static int fail(struct event_problem *problem, int error, struct str pointer, struct str hint)
{
    *problem = (struct event_problem){.error = error, .pointer = pointer, .hint = hint};
    return error;
}

/* A field's value as text. */
static struct str text_at(const void *record, const struct avro_field *field)
{
    return *(const struct str *)(const void *)((const char *)record + field->offset);
}

/* The first of a record's own texts that holds U+0000, or NULL. */
static const struct avro_field *nul_text(const struct avro_type *type, const void *record)
{
    for (size_t i = 0; i < type->fields_count; i++)
        if (type->fields[i].type->kind == AVRO_KIND_STRING &&
            has_nul(text_at(record, &type->fields[i])))
            return &type->fields[i];
    return NULL;
}

/* The first of a record's arrays in which a text holds U+0000, or NULL. */
static const struct avro_field *nul_array(const struct avro_type *type, const void *record)
{
    const char *base = record;
    for (size_t i = 0; i < type->fields_count; i++) {
        const struct avro_field *field = &type->fields[i];
        if (field->type->kind != AVRO_KIND_ARRAY)
            continue;
        const struct avro_type *item = field->type->items;
        size_t count = *(const size_t *)(const void *)(base + field->count_offset);
        const char *items = *(const char *const *)(const void *)(base + field->offset);
        for (size_t k = 0; k < count; k++)
            if (nul_text(item, items + k * item->size))
                return field;
    }
    return NULL;
}

/* Of a record's texts and arrays. */
static const struct avro_field *nul_field(const struct avro_type *type, const void *record)
{
    const struct avro_field *found = nul_text(type, record);
    return found ? found : nul_array(type, record);
}

/* "/part/member" by the names of native JSON; without a part "/member". */
static int fail_nul(const struct avro_field *part, const struct avro_field *field,
    struct arena *arena, struct event_problem *problem)
{
    const char *name = field->name;
    if (!part && strcmp(name, "event_id") == 0)
        name = "id";
    else if (!part && strcmp(name, "identifiers") == 0)
        name = "ids";
    char *text = arena_alloc(arena, POINTER_SIZE_MAX);
    if (!text)
        return ERR_NO_MEMORY;
    int size =
        snprintf(text, POINTER_SIZE_MAX, "%s%s/%s", part ? "/" : "", part ? part->name : "", name);
    check(size > 0 && (size_t)size < POINTER_SIZE_MAX);
    return fail(problem, ERR_NUL_IN_TEXT, str_make(text, (size_t)size), STR(""));
}

/* Refuses U+0000, which PostgreSQL and C cannot hold, wherever it stands: in a text of the event,
 * of its parts, or of their arrays (deeper there is nothing). */
static int check_texts(
    const struct touchpoint *event, struct arena *arena, struct event_problem *problem)
{
    const struct avro_type *type = &avro_type_touchpoint;
    const char *base = (const char *)event;
    const struct avro_field *found = nul_field(type, event);
    if (found)
        return fail_nul(NULL, found, arena, problem);
    for (size_t i = 0; i < type->fields_count; i++) {
        const struct avro_field *part = &type->fields[i];
        bool absent = part->nullable && !*(const bool *)(base + part->has_offset);
        if (part->type->kind != AVRO_KIND_RECORD || absent)
            continue;
        found = nul_field(part->type, base + part->offset);
        if (found)
            return fail_nul(part, found, arena, problem);
    }
    if (has_nul_escape(event->properties))
        return fail(problem, ERR_NUL_IN_TEXT, STR("/properties"), STR(""));
    return 0;
}

static int check_head(const struct touchpoint *event, struct event_problem *problem)
{
    if (event->event_id.size == 0 || event->event_id.size > EVENT_ID_SIZE_MAX)
        return fail(problem, ERR_EVENT_ID, STR("/id"), STR(""));
    if (event->source.size == 0 || event->source.size > SOURCE_SIZE_MAX)
        return fail(problem, ERR_VALUE, STR("/source"), STR("1 to 64 bytes"));
    if (!event_type_valid(event->type))
        return fail(problem, ERR_EVENT_TYPE, STR("/type"),
            STR("a canonical type, or [a-z][a-z0-9_]{0,63}"));
    if (str_equal(event->type, STR(ROTATION_EVENT_TYPE)))
        return fail(problem, ERR_EVENT_TYPE, STR("/type"), STR("only the door itself says this"));
    return 0;
}

static int check_amount(const struct touchpoint *event, struct event_problem *problem)
{
    int64_t minor = event->has_order ? event->order.revenue_minor : 0;
    if (minor >= -ORDER_MINOR_MAX && minor <= ORDER_MINOR_MAX)
        return 0;
    return fail(problem, ERR_NUMBER_RANGE, STR("/order/revenue"),
        STR("an order is at most 10^15 in minor units"));
}

/* Spend says for which channel, how much and in what; it stands apart from all customers. */
static int check_spend(const struct touchpoint *event, struct event_problem *problem)
{
    if (event_type_class(event->type) != EVENT_CLASS_LEDGER)
        return 0;
    if (event->channel.size == 0)
        return fail(problem, ERR_MISSING_FIELD, STR("/channel"), STR("spend is for a channel"));
    if (!event->has_order || event->order.currency.size == 0)
        return fail(problem, ERR_MISSING_FIELD, STR("/order/revenue"),
            STR("spend needs an amount and a currency"));
    if (event->order.revenue_minor < 0)
        return fail(problem, ERR_VALUE, STR("/order/revenue"),
            STR("spend is not negative; a corrected row replaces its day"));
    if (event->time_quality == TIME_QUALITY_UNKNOWN)
        return fail(problem, ERR_MISSING_FIELD, STR("/time"), STR("spend is for a day"));
    struct str start = STR(SPEND_IDENTIFIER);
    bool apart = event->identifiers_count == 1 &&
                 str_equal(event->identifiers[0].namespace, STR("case")) &&
                 event->identifiers[0].value.size > start.size &&
                 memcmp(event->identifiers[0].value.data, start.data, start.size) == 0;
    return apart ? 0
                 : fail(problem, ERR_VALUE, STR("/ids"),
                       STR("spend has one identifier: case \"" SPEND_IDENTIFIER "CHANNEL\""));
}

/* An absurd time is clamped where a protocol's rule gave it, else kept as the client's word,
 * marked. Source: PROTOCOLS, "Segment and Rudder"; RELIABILITY, "Bad input". */
static void judge_time(const struct door_config *config, struct touchpoint *event, int64_t now)
{
    event->received_at = now;
    if (event->time_quality == TIME_QUALITY_UNKNOWN) {
        event->occurred_at = now;
        event->time_quality = TIME_QUALITY_SERVER;
        return;
    }
    int64_t latest = now + config->future_max_micros;
    bool early = event->occurred_at < config->past_min_micros;
    if (!early && event->occurred_at <= latest)
        return;
    bool clamps = event->protocol == PROTOCOL_SEGMENT || event->protocol == PROTOCOL_RUDDER;
    if (event->time_quality == TIME_QUALITY_CORRECTED ||
        (event->time_quality == TIME_QUALITY_CLIENT && clamps)) {
        event->occurred_at = early ? config->past_min_micros : latest;
        event->time_quality = TIME_QUALITY_CLAMPED;
    } else if (event->time_quality == TIME_QUALITY_CLIENT) {
        event->time_quality = TIME_QUALITY_SUSPECT;
    }
}

/* An operator's word of the future would stand until then, whatever operators say meanwhile; and
 * what a lift lets in no erasure takes that is before the lift: one of the future could not be
 * lifted until then. */
static int check_word(
    const struct door_config *config, const struct touchpoint *event, struct event_problem *problem)
{
    bool word = (event->has_evidence && event->evidence.authority >= EVENT_AUTHORITY_OPERATOR) ||
                str_equal(event->type, STR("erasure_lifted")) ||
                str_equal(event->type, STR("erasure_requested"));
    if (!word || event->occurred_at <= event->received_at + config->future_max_micros)
        return 0;
    return fail(problem, ERR_TIME, STR("/time"),
        STR("an operator's word lies in the future: it would stand until then, whatever is said"));
}

/* "/ids/<namespace>" in the arena; "/ids" when memory is short. */
static struct str ids_pointer(struct str name, struct arena *arena)
{
    char *text = name.size <= POINTER_SIZE_MAX ? arena_alloc(arena, name.size + 5) : NULL;
    if (!text)
        return STR("/ids");
    memcpy(text, "/ids/", 5);
    if (name.size)
        memcpy(text + 5, name.data, name.size);
    return str_make(text, name.size + 5);
}

static struct str dropped_hint(enum identifier_fate why)
{
    switch (why) {
    case IDENTIFIER_BLOCKED:
        return STR("dropped: a value that identifies nobody");
    case IDENTIFIER_SHARED:
        return STR("dropped: a service number, shared by many");
    default:
        return STR("dropped: malformed");
    }
}

static struct str namespace_hint(const struct door_config *config, struct str name)
{
    const struct namespace_table *table = config->identifiers.namespaces;
    struct str names[NAMESPACES_MAX];
    for (size_t i = 0; i < table->count; i++)
        names[i] = table->rules[i].name;
    return nearest_name(name, names, table->count);
}

/* Normalises identifiers and says in *problem what was wrong or dropped. */
static int settle_identifiers(const struct door_config *config, struct touchpoint *event,
    struct arena *arena, struct door_out *out, struct event_problem *problem)
{
    struct identifier_report report;
    const struct identifier_config *identifiers = &config->identifiers;
    struct identifier_config unblocked;
    if (str_equal(event->type, STR("erasure_requested")) ||
        str_equal(event->type, STR("erasure_lifted"))) {
        unblocked = config->identifiers;
        unblocked.blocked_count = 0; /* the operator's list may be younger than what is known */
        identifiers = &unblocked;
    }
    int r = identifier_normalise(identifiers, arena, event, &report);
    struct str pointer = STR("/ids");
    struct str hint = STR("");
    if (r < 0 && report.failed_index < event->identifiers_count) {
        struct str name = event->identifiers[report.failed_index].namespace;
        pointer = ids_pointer(name, arena);
        if (r == ERR_NAMESPACE)
            hint = namespace_hint(config, name);
        else if (r == ERR_VALUE)
            hint = STR("too long: a value has at most 256 bytes");
    } else if (r < 0 && r != ERR_NO_IDENTIFIER && event->has_evidence) {
        pointer = STR("/evidence");
        if (r == ERR_VALUE)
            hint = STR("two different identifiers, neither of them blocked or malformed");
    } else if (report.dropped_count) {
        pointer = ids_pointer(report.dropped_namespace, arena);
        hint = dropped_hint(report.dropped_why);
    }
    if (r == ERR_TOO_MANY)
        hint = STR(EVENT_IDENTIFIERS_HINT);
    if (r < 0)
        return fail(problem, r, pointer, hint);
    *problem = (struct event_problem){0};
    if (report.dropped_count)
        *problem = (struct event_problem){.pointer = pointer, .hint = hint};
    if (report.dropped_count)
        r = malformed_mark(&event->properties, report.drops, report.dropped_count, arena);
    for (size_t i = 0; r == 0 && i < report.pairs_count; i++)
        r = rotation_add(&out->pairs, &config->identifiers, &report.pairs[i], config->told, arena);
    out->drops = report.drops;
    out->drops_count = report.dropped_count;
    return r;
}

/* Encodes into the arena without a copy. */
static int encode_event(const struct touchpoint *event, struct arena *arena, struct str *out)
{
    size_t room = EVENT_SIZE_MAX + ENCODE_SLACK;
    struct buf bytes = {.data = arena_alloc(arena, room), .capacity = room, .size_max = room};
    if (!bytes.data)
        return ERR_NO_MEMORY;
    int r = touchpoint_encode(event, &bytes);
    if (r == 0 && bytes.size > EVENT_SIZE_MAX)
        r = ERR_TOO_LARGE;
    arena_trim(arena, bytes.data, room, r == 0 ? bytes.size : 0);
    if (r == 0)
        *out = buf_str(&bytes);
    return r;
}

static int seal(const struct door_config *config, struct touchpoint *event, struct arena *arena,
    struct append_record *out)
{
    struct node first;
    int r = namespace_strongest(config->identifiers.namespaces, event->identifiers,
        event->identifiers_count, arena, &first);
    if (r < 0)
        return r;
    namespace_event_key(&first, event);
    struct append_record record = {.topic = TOPIC_EVENTS};
    r = arena_dup(arena, str_make(first.id, KEY_SIZE), &record.key);
    if (r == 0)
        r = encode_event(event, arena, &record.value);
    if (r == 0)
        *out = record;
    return r;
}

/* All but the record. */
static int settle(const struct door_config *config, struct touchpoint *event, bool nul_free,
    int64_t now_micros, struct arena *arena, struct door_out *out, struct event_problem *problem)
{
    int r = check_head(event, problem);
    if (r == 0 && !nul_free)
        r = check_texts(event, arena, problem);
    if (r == 0)
        r = check_amount(event, problem);
    if (r == 0)
        r = check_spend(event, problem);
    if (r == 0)
        r = settle_identifiers(config, event, arena, out, problem);
    if (r < 0)
        return r;
    judge_time(config, event, now_micros);
    return check_word(config, event, problem);
}

int door_accept(const struct door_config *config, struct touchpoint *event, int64_t now_micros,
    struct arena *arena, struct append_record *out, struct event_problem *problem)
{
    struct door_out taken;
    int r = door_take(config, event, now_micros, arena, &taken, problem);
    if (r == 0)
        *out = taken.record;
    return r;
}

int door_take(const struct door_config *config, struct touchpoint *event, int64_t now_micros,
    struct arena *arena, struct door_out *out, struct event_problem *problem)
{
    struct door_out taken = {.drops = NULL};
    int r = settle(config, event, false, now_micros, arena, &taken, problem);
    if (r < 0)
        return r;
    r = seal(config, event, arena, &taken.record);
    if (r < 0)
        return fail(problem, r, STR(""), STR(""));
    *out = taken;
    return 0;
}

int door_judge(const struct door_config *config, struct touchpoint *event,
    const struct door_known *known, int64_t now_micros, struct arena *arena,
    struct event_problem *problem)
{
    struct door_out taken = {.drops = NULL};
    struct str bytes;
    int r = settle(config, event, known->nul_free, now_micros, arena, &taken, problem);
    if (r < 0 || (known->json_size && known->json_size <= EVENT_SMALL_JSON_SIZE_MAX))
        return r;
    r = encode_event(event, arena, &bytes); /* how large it is */
    return r < 0 ? fail(problem, r, STR(""), STR("")) : 0;
}

int door_plan(const struct door_config *config, enum config_plan mode,
    const struct touchpoint *event, struct arena *arena, struct event_problem *problem)
{
    if (mode == PLAN_USUAL)
        mode = config->plan_mode;
    if (!config->plan || mode == PLAN_OFF)
        return 0;
    int r = plan_judge(config->plan, event, arena, problem);
    if (r != PLAN_MISFIT)
        return r;
    return mode == PLAN_WARN ? DOOR_WARNED : problem->error;
}

bool door_refused_by_customer(const struct touchpoint *event)
{
    bool about_consent = str_equal(event->type, STR("consent_changed")) ||
                         str_equal(event->type, STR("erasure_requested")) ||
                         str_equal(event->type, STR("erasure_lifted")) ||
                         str_equal(event->type, STR("erasure_requested"));
    return event->consent.analytics == CHOICE_DENIED && !about_consent;
}

/* Identity of a rejection. Source: rejected.avsc, rejected_key. */
static void rejected_key(struct rejected *rejected)
{
    uint8_t digest[32];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update_sized(&hash, rejected->source);
    sha256_update_sized(&hash, rejected->stage);
    sha256_update_sized(&hash, rejected->reason);
    sha256_update_sized(&hash, rejected->pointer);
    sha256_update_sized(&hash, rejected->payload);
    sha256_final(&hash, digest);
    memcpy(rejected->rejected_key, digest, KEY_SIZE);
}

int door_reject(const struct door_rejection *rejection, const struct event_problem *problem,
    int64_t now_micros, struct arena *arena, struct append_record *out)
{
    struct rejected rejected;
    rejected_init(&rejected);
    rejected.source = rejection->source;
    rejected.stage = rejection->stage;
    rejected.reason = str_of(error_name(problem->error));
    rejected.pointer = problem->pointer;
    rejected.hint = problem->hint;
    rejected.payload = rejection->payload;
    rejected.event_id = rejection->event_id;
    rejected.file = rejection->file;
    rejected.line = rejection->line;
    rejected.received_at = now_micros;
    rejected_key(&rejected);
    if (rejected.payload.size > REJECTED_PAYLOAD_SIZE_MAX) {
        rejected.payload.size = REJECTED_PAYLOAD_SIZE_MAX;
        rejected.hint = STR("payload cut at 900 kB");
    }
    CLEANUP(buf_free) struct buf bytes = {0};
    struct append_record record = {.topic = TOPIC_REJECTED};
    struct rejection_key key = {.attempt = rejection->attempt};
    uint8_t key_bytes[REJECTION_KEY_SIZE_MAX];
    memcpy(key.rejected_key, rejected.rejected_key, KEY_SIZE);
    int r = rejected_encode(&rejected, &bytes);
    if (r == 0)
        r = arena_dup(
            arena, str_make(key_bytes, rejection_key_write(&key, key_bytes)), &record.key);
    if (r == 0)
        r = arena_dup(arena, buf_str(&bytes), &record.value);
    if (r < 0)
        return r;
    *out = record;
    return 0;
}

void door_config_default(struct door_config *config)
{
    *config = (struct door_config){
        .future_max_micros = FUTURE_MAX_DEFAULT,
        .past_min_micros = PAST_MIN_DEFAULT,
    };
    identifier_config_default(&config->identifiers);
    memcpy(config->person_key, IDENTIFIER_PUBLIC_KEY, TENANT_KEY_SIZE);
}
