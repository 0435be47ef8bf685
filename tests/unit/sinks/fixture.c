#include "tests/unit/sinks/fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "schemas/person_of.avro.h"
#include "schemas/profile.avro.h"
#include "ingest/rejection.h"
#include "schemas/rejected.avro.h"
#include "schemas/session.avro.h"

#define ANSWER_SIZE_MAX (1 << 20)

void list_free(struct list *list)
{
    arena_free(&list->arena);
    list->count = 0;
}

void list_add(struct list *list, enum topic topic, struct str key, const struct buf *value)
{
    struct result *result = &list->results[list->count++];
    check(list->count <= sizeof(list->results) / sizeof(list->results[0]));
    *result = (struct result){.topic = topic, .tombstone = !value};
    check(arena_dup(&list->arena, key, &result->key) == 0);
    if (value)
        check(arena_dup(&list->arena, buf_str(value), &result->value) == 0);
}

void fixture_person(uint8_t person, uint8_t out[KEY_SIZE])
{
    memset(out, person, KEY_SIZE);
}

/* Spread, so that the order of keys is not that of the numbers. */
void fixture_event_key(uint32_t event, uint8_t out[KEY_SIZE])
{
    uint64_t a = hash64(str_make(&event, sizeof(event)));
    memcpy(out, &a, sizeof(a));
    memset(out + sizeof(a), 0, sizeof(a));
    memcpy(out + sizeof(a), &event, sizeof(event));
}

static void timeline_key(const struct made_event *made, uint8_t key[48])
{
    fixture_person(made->person, key);
    put_be64_signed(key + 16, made->occurred_at);
    put_be64_signed(key + 24, 0);
    fixture_event_key(made->event, key + 32);
}

void list_touchpoint(
    struct list *list, const struct made_event *made, const struct touchpoint *event)
{
    struct stitched stitched;
    struct buf raw = {0};
    struct buf value = {0};
    uint8_t key[48];
    timeline_key(made, key);
    check(touchpoint_encode(event, &raw) == 0);
    stitched_init(&stitched);
    fixture_person(made->person, stitched.person);
    stitched.placement = made->placement;
    stitched.position = made->position;
    stitched.channel = str_of(made->channel);
    stitched.touch = made->channel ? TOUCH_KIND_CLICK : TOUCH_KIND_NONE;
    stitched.event = buf_str(&raw);
    check(stitched_encode(&stitched, &value) == 0);
    list_add(list, TOPIC_TOUCHPOINTS, str_make(key, sizeof(key)), &value);
    buf_free(&raw);
    buf_free(&value);
}

void list_event(struct list *list, const struct made_event *made)
{
    struct touchpoint event;
    struct identifier identifiers[] = {
        {STR("cookie"), STR("c-1"), 0}, {STR("install"), STR("i-1"), 0}};
    touchpoint_init(&event);
    fixture_event_key(made->event, event.event_key);
    event.event_id = STR("id");
    event.source = STR("ec-web");
    event.type = made->type ? str_of(made->type) : STR("page_viewed");
    event.time_quality = TIME_QUALITY_CLIENT;
    event.occurred_at = made->occurred_at;
    event.received_at = made->received_at;
    event.identifiers = identifiers;
    event.identifiers_count = 2;
    event.properties = made->properties;
    list_touchpoint(list, made, &event);
}

void list_event_gone(struct list *list, const struct made_event *made)
{
    uint8_t key[48];
    timeline_key(made, key);
    list_add(list, TOPIC_TOUCHPOINTS, str_make(key, sizeof(key)), NULL);
}

static struct str conversion_key(uint8_t person, const char *id, char key[512])
{
    struct str text = str_of(id);
    memset(key, person, KEY_SIZE);
    if (text.size > 200) {
        struct sha256 sha;
        uint8_t digest[32];
        sha256_init(&sha);
        sha256_update(&sha, text);
        sha256_final(&sha, digest);
        memcpy(key + KEY_SIZE, digest, 16);
        return str_make(key, KEY_SIZE + 16);
    }
    memcpy(key + KEY_SIZE, text.data, text.size);
    return str_make(key, KEY_SIZE + text.size);
}

/* Two thirds to one touch, the rest to the next: sums are exact. */
static size_t fill_credits(const struct made_conversion *made, struct credit *credits)
{
    size_t count = 0;
    bool refund = made->refund_of != NULL;
    for (int model = RULE_MODEL_FIRST; model < RULE_MODEL_CONFIGURED; model++) {
        struct credit *credit = &credits[count++];
        credit_init(credit);
        credit->model = (enum rule_model)model;
        credit->touch_index = made->channels_count ? model % (int32_t)made->channels_count : -1;
        credit->weight_ppb = refund ? 0 : 1000000000;
        credit->revenue_minor = made->revenue_minor;
        if (made->channels_count < 2)
            continue;
        credits[count] = *credit;
        credits[count].touch_index = (credit->touch_index + 1) % (int32_t)made->channels_count;
        credits[count].weight = 1;
        credit->weight = 2;
        credits[count].weight_ppb = refund ? 0 : 333333333;
        credits[count].revenue_minor = made->revenue_minor / 3;
        credit->weight_ppb -= credits[count].weight_ppb;
        credit->revenue_minor -= credits[count].revenue_minor;
        count++;
    }
    return count;
}

void list_conversion(struct list *list, const struct made_conversion *made)
{
    struct conversion conversion;
    struct path_touch touches[16];
    struct credit credits[2 * RULE_MODEL_CONFIGURED];
    struct buf value = {0};
    char key[512];
    check(made->channels_count <= 16);
    conversion_init(&conversion);
    fixture_person(made->person, conversion.person);
    conversion.conversion_id = str_of(made->id);
    conversion.kind = made->refund_of ? CONVERSION_KIND_REFUND : CONVERSION_KIND_CONVERSION;
    conversion.refund_of = str_of(made->refund_of);
    conversion.type = made->refund_of ? STR("order_refunded") : STR("order_completed");
    conversion.order_id = str_of(made->id);
    conversion.occurred_at = made->occurred_at;
    conversion.revenue_minor = made->revenue_minor;
    conversion.currency = str_of(made->currency);
    for (size_t i = 0; i < made->channels_count; i++) {
        path_touch_init(&touches[i]);
        fixture_event_key((uint32_t)(1000 + i), touches[i].event_key);
        touches[i].touched_at =
            made->occurred_at - (int64_t)(made->channels_count - i) * 86400000000;
        touches[i].kind = STR("click");
        touches[i].channel = str_of(made->channels[i]);
    }
    conversion.touches = touches;
    conversion.touches_count = made->channels_count;
    conversion.credits = credits;
    conversion.credits_count = fill_credits(made, credits);
    check(conversion_encode(&conversion, &value) == 0);
    list_add(list, TOPIC_CONVERSIONS, conversion_key(made->person, made->id, key), &value);
    buf_free(&value);
}

void list_conversion_gone(struct list *list, uint8_t person, const char *id)
{
    char key[512];
    list_add(list, TOPIC_CONVERSIONS, conversion_key(person, id, key), NULL);
}

void list_session(struct list *list, uint8_t person, uint8_t number, int64_t events)
{
    struct session session;
    struct buf value = {0};
    uint8_t key[2 * KEY_SIZE];
    session_init(&session);
    fixture_person(person, session.person);
    memset(session.session_key, number, KEY_SIZE);
    session.events = events;
    session.started_at = 1000000;
    session.ended_at = 61000000;
    session.channel = STR("Direct");
    fixture_person(person, key);
    memset(key + KEY_SIZE, number, KEY_SIZE);
    check(session_encode(&session, &value) == 0);
    list_add(list, TOPIC_SESSIONS, str_make(key, sizeof(key)), &value);
    buf_free(&value);
}

void list_session_gone(struct list *list, uint8_t person, uint8_t number)
{
    uint8_t key[2 * KEY_SIZE];
    fixture_person(person, key);
    memset(key + KEY_SIZE, number, KEY_SIZE);
    list_add(list, TOPIC_SESSIONS, str_make(key, sizeof(key)), NULL);
}

void list_profile(struct list *list, uint8_t person, int64_t events, const char *open_channel)
{
    struct profile profile;
    struct open_touch touches[2];
    struct revenue revenue = {STR("JPY"), 12980};
    struct buf value = {0};
    profile_init(&profile);
    fixture_person(person, profile.person);
    profile.first_at = 1000000;
    profile.last_at = 2000000;
    profile.events = events;
    profile.revenue = &revenue;
    profile.revenue_count = 1;
    for (size_t i = 0; open_channel && i < 2; i++) {
        open_touch_init(&touches[i]);
        touches[i].touched_at = 1000000 + (int64_t)i;
        touches[i].channel = str_of(open_channel);
    }
    profile.open_path = touches;
    profile.open_path_count = open_channel ? 2 : 0;
    check(profile_encode(&profile, &value) == 0);
    list_add(list, TOPIC_PROFILES, str_make(profile.person, KEY_SIZE), &value);
    buf_free(&value);
}

void list_count(struct list *list, const struct made_count *made)
{
    struct model_count count;
    struct str names[2][8];
    struct buf value = {0}, text = {0};
    uint64_t hash[2];
    uint8_t key[32] = {0};
    model_count_init(&count);
    count.model = str_of(made->model);
    count.version = STR("0123456789abcdef");
    count.kind = made->kind;
    count.partition = made->partition;
    count.outcome = made->currency ? PATH_OUTCOME_CONVERTING : PATH_OUTCOME_OPEN;
    count.currency = str_of(made->currency);
    count.from = names[0];
    count.to = names[1];
    for (; made->from[count.from_count]; count.from_count++)
        names[0][count.from_count] = str_make(made->from + count.from_count, 1);
    for (; made->to[count.to_count]; count.to_count++)
        names[1][count.to_count] = str_make(made->to + count.to_count, 1);
    count.paths = made->paths;
    count.revenue_minor = made->revenue_minor;
    check(buf_appendf(&text, "%s %s %s %s", made->model, made->currency ? made->currency : "open",
              made->from, made->to) == 0);
    hash128(buf_str(&text), hash);
    key[15] = (uint8_t)made->partition;
    memcpy(key + 16, hash, sizeof(hash));
    check(model_count_encode(&count, &value) == 0);
    list_add(list, TOPIC_MODELS, str_make(key, sizeof(key)), made->paths ? &value : NULL);
    buf_free(&value);
    buf_free(&text);
}

void list_profile_gone(struct list *list, uint8_t person)
{
    uint8_t key[KEY_SIZE];
    fixture_person(person, key);
    list_add(list, TOPIC_PROFILES, str_make(key, sizeof(key)), NULL);
}

void list_identifier(
    struct list *list, const char *namespace, const char *value, uint8_t person, int64_t epoch)
{
    struct person_of of;
    struct buf bytes = {0};
    person_of_init(&of);
    of.node[0] = 12; /* rank 6, no set */
    struct sha256 sha;
    uint8_t digest[32];
    sha256_init(&sha);
    sha256_update(&sha, str_of(namespace));
    sha256_update(&sha, STR("\x1f"));
    sha256_update(&sha, str_of(value));
    sha256_final(&sha, digest);
    memcpy(of.node + 1, digest, KEY_SIZE - 1);
    of.namespace = str_of(namespace);
    of.value = str_of(value);
    fixture_person(person, of.person);
    of.epoch = epoch;
    of.why = STR("claim");
    check(person_of_encode(&of, &bytes) == 0);
    list_add(list, TOPIC_PERSONS, str_make(of.node, KEY_SIZE), &bytes);
    buf_free(&bytes);
}

static void put_rejection(
    struct list *list, const struct rejection_key *key, const char *reason, struct str payload)
{
    struct rejected rejected;
    struct buf value = {0};
    uint8_t bytes[REJECTION_KEY_SIZE_MAX];
    struct str row_key = str_make(bytes, rejection_key_write(key, bytes));
    if (key->settled) {
        list_add(list, TOPIC_REJECTED, row_key, &value);
        return;
    }
    rejected_init(&rejected);
    memcpy(rejected.rejected_key, key->rejected_key, KEY_SIZE);
    rejected.source = STR("ec-web");
    rejected.stage = STR("native");
    rejected.reason = str_of(reason);
    rejected.payload = payload;
    rejected.received_at = 1780000000000000 + key->rejected_key[0];
    check(rejected_encode(&rejected, &value) == 0);
    list_add(list, TOPIC_REJECTED, row_key, &value);
    buf_free(&value);
}

void list_rejected(struct list *list, uint8_t key, const char *reason, struct str payload)
{
    struct rejection_key whole = {.attempt = 0};
    memset(whole.rejected_key, key, KEY_SIZE);
    put_rejection(list, &whole, reason, payload);
}

void list_again(struct list *list, uint8_t key, const char *reason, uint32_t attempt, bool settled)
{
    struct rejection_key whole = {.attempt = attempt, .settled = settled};
    memset(whole.rejected_key, key, KEY_SIZE);
    put_rejection(list, &whole, reason, STR("{"));
}

void apply_list(struct sink *sink, const struct list *list, int64_t next)
{
    struct result_position position = {.topic = "local", .next = next};
    struct result_batch batch = {list->results, list->count, &position, 1};
    check(sink->apply(sink, &batch) == 0);
    check(sink->commit(sink) == 0);
}

void scratch_begin(struct scratch *scratch)
{
    snprintf(scratch->dir, sizeof(scratch->dir), "/tmp/tabiji_sinks_XXXXXX");
    check(mkdtemp(scratch->dir));
    snprintf(scratch->database, sizeof(scratch->database), "%s/tabiji.db", scratch->dir);
}

void scratch_end(struct scratch *scratch)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", scratch->database, endings[i]);
        unlink(path);
    }
    rmdir(scratch->dir);
}

const char *ask(const char *database, const char *sql)
{
    static char answer[ANSWER_SIZE_MAX];
    sqlite3 *db = NULL;
    sqlite3_stmt *select = NULL;
    check(sqlite3_open_v2(database, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &select, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
        abort();
    }
    int code = sqlite3_step(select);
    check(code == SQLITE_ROW || code == SQLITE_DONE);
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(select, 0) : "";
    snprintf(answer, sizeof(answer), "%s", text ? text : "NULL");
    sqlite3_finalize(select);
    sqlite3_close(db);
    return answer;
}
