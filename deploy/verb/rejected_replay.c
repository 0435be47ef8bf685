/*
 * Rejections through the door again: what is accepted now is appended under its own event id and
 * time, then the mark that its rejection is settled; what is refused for another reason stands with
 * that. Both are appended after each other, so a run that is cut off left nothing half done that
 * the same command does not do to the end: events are known by their ids, marks by their keys.
 */
#include "deploy/verb/rejected_replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "deploy/embedded.h"
#include "deploy/pace.h"
#include "deploy/progress.h"
#include "deploy/render.h"
#include "deploy/say.h"
#include "deploy/serve.h"
#include "deploy/verb/tables.h"
#include "ingest/collector/again.h"
#include "ingest/normalise/mention.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define KAFKA_TIMEOUT_MS 30000
#define CHUNK 256 /* rejections of one append; fewer where a rate asks for it */
#define CHUNKS_A_SECOND 10
#define RECORDS_EACH_MAX 64 /* of one rejection: its event or events, pairs of a rotation */
#define APPEND_RETRIES_MAX 240
#define RETRY_MS 250
#define OUTCOMES_MAX 256

/* What became of those of one stage and reason. */
struct outcome {
    struct str stage;
    struct str reason;
    struct str now;
    int64_t count;
};

struct replaying {
    struct verb_call *call;
    struct settings *settings;
    struct reader *reader;
    struct embedded *embedded;
    struct appender *kafka;
    struct kafka_config kafka_config;
    struct again *again;
    struct mapping *mapping;
    bool dry_run;
    bool forget;             /* mark them settled, whatever a door would say */
    const char *shows;       /* of those that show this alone; NULL: all that are selected */
    struct identifier shown; /* as it is read */
    int64_t forgotten;
    uint8_t (*keys)[KEY_SIZE];
    size_t keys_count;
    size_t keys_room;
    struct arena arena; /* of a chunk */
    struct append_record *events;
    struct append_record *marks;
    size_t events_count;
    size_t marks_count;
    struct again_rejection rejection;
    struct str reason;
    struct str pointer;
    struct outcome outcomes[OUTCOMES_MAX];
    size_t outcomes_count;
    int64_t fates[AGAIN_CANNOT + 1];
};

static const char *const fate_names[] = {
    "accepted", "refused by its customer", "as it was", "", "cannot be put again"};

static bool on_kafka(const struct verb_call *call)
{
    return str_equal(config_text(call->config, OPTION_STREAM_DRIVER), STR("kafka"));
}

/* ---- which ---- */

static int keep_key(struct replaying *replaying, const uint8_t key[KEY_SIZE])
{
    if (replaying->keys_count == replaying->keys_room) {
        size_t room = replaying->keys_room ? 2 * replaying->keys_room : 1024;
        void *keys = realloc(replaying->keys, room * KEY_SIZE);
        if (!keys)
            return ERR_NO_MEMORY;
        replaying->keys = keys;
        replaying->keys_room = room;
    }
    memcpy(replaying->keys[replaying->keys_count++], key, KEY_SIZE);
    return 0;
}

static int on_listed(void *context, const struct reader_rejection *rejection)
{
    return keep_key(context, rejection->rejected_key);
}

static int read_time(struct verb_call *call, const char *flag, int64_t *out)
{
    const char *text = verb_value(call, flag);
    if (!text || time_parse_local(str_of(text), 0, out) == 0)
        return 0;
    return verb_usage(call, "%s %s is no time: YYYY-MM-DD, or RFC 3339", flag, text);
}

/* Keys named, or those that the options select; oldest first, as they came. */
static int select_keys(struct replaying *replaying)
{
    struct verb_call *call = replaying->call;
    const char *id = verb_value(call, "--id");
    const char *reason = verb_value(call, "--reason");
    const char *source = verb_value(call, "--source");
    const char *stage = verb_value(call, "--stage");
    struct reader_rejections filter = {.event_id = str_of(id ? id : ""),
        .reason = str_of(reason ? reason : ""),
        .source = str_of(source ? source : ""),
        .stage = str_of(stage ? stage : "")};
    long long limit = 0;
    int r = read_time(call, "--from", &filter.from);
    if (r == 0)
        r = read_time(call, "--until", &filter.until);
    if (r == 0)
        r = verb_integer(call, "--limit", 0, INT32_MAX, &limit);
    for (size_t i = 1; r == 0 && i < call->arguments_count; i++) {
        uint8_t key[KEY_SIZE];
        if (!hex_decode(str_of(call->arguments[i]), key, KEY_SIZE))
            return verb_usage(call, "\"%s\" is no key of 32 hex digits", call->arguments[i]);
        r = keep_key(replaying, key);
    }
    if (r == 0 && call->arguments_count < 2)
        r = reader_rejected(replaying->reader, &filter, on_listed, replaying);
    if (r)
        return r < 0 ? verb_fail(call, r, "rejected") : r;
    for (size_t i = 0; i < replaying->keys_count / 2; i++) {
        uint8_t swap[KEY_SIZE];
        size_t other = replaying->keys_count - 1 - i;
        memcpy(swap, replaying->keys[i], KEY_SIZE);
        memcpy(replaying->keys[i], replaying->keys[other], KEY_SIZE);
        memcpy(replaying->keys[other], swap, KEY_SIZE);
    }
    if (limit && (size_t)limit < replaying->keys_count)
        replaying->keys_count = (size_t)limit;
    return 0;
}

/* ---- one ---- */

static int keep_rejection(void *context, const struct reader_rejection *from)
{
    struct replaying *replaying = context;
    struct again_rejection *to = &replaying->rejection;
    struct arena *arena = &replaying->arena;
    *to = (struct again_rejection){.received_at = from->received_at};
    memcpy(to->rejected_key, from->rejected_key, KEY_SIZE);
    int r = arena_dup(arena, from->source, &to->source);
    if (r == 0)
        r = arena_dup(arena, from->stage, &to->stage);
    if (r == 0)
        r = arena_dup(arena, from->event_id, &to->event_id);
    if (r == 0)
        r = arena_dup(arena, from->payload, &to->payload);
    if (r == 0)
        r = arena_dup(arena, from->pointer, &replaying->pointer);
    return r < 0 ? r : arena_dup(arena, from->reason, &replaying->reason);
}

/* Of which topic a worker has refused a record; TOPIC_COUNT: no worker has refused it. */
static enum topic refused_of(const struct replaying *replaying)
{
    static const enum topic read[] = {TOPIC_EVENTS, TOPIC_IDENTITY, TOPIC_JOURNEY};
    if (replaying->kafka && str_equal(replaying->rejection.stage, STR("kafka")))
        for (size_t i = 0; i < sizeof read / sizeof *read; i++)
            if (str_equal(replaying->rejection.source, str_of(topic_name(read[i]))))
                return read[i];
    return TOPIC_COUNT;
}

/* An event that came in past the door, or mail between stages, that a worker refused. */
static int take_kafka(struct replaying *replaying, enum topic topic, struct again_taken *taken)
{
    struct append_record *record = arena_alloc(&replaying->arena, sizeof *record);
    if (!record)
        return ERR_NO_MEMORY;
    const struct kafka_mail mail = {
        .topic = topic, .pointer = replaying->pointer, .framed = replaying->rejection.payload};
    int r = topic == TOPIC_EVENTS ? kafka_event_take(&replaying->kafka_config,
                                        replaying->settings->door.identifiers.namespaces,
                                        mail.framed, KAFKA_TIMEOUT_MS, &replaying->arena, record)
                                  : kafka_mail_take(&replaying->kafka_config, &mail,
                                        KAFKA_TIMEOUT_MS, &replaying->arena, record);
    *taken = (struct again_taken){.fate = AGAIN_ACCEPTED};
    if (r < 0 && error_class(r) != ERROR_CLASS_REJECT)
        return r;
    if (r < 0) {
        const struct event_problem problem = {.error = r};
        return again_mark(&replaying->rejection, &problem, &replaying->arena, taken);
    }
    /* What mail leads to is refused, if so, as another record. */
    record->attempt = topic == TOPIC_EVENTS ? replaying->rejection.attempt + 1 : 0;
    taken->events = record;
    taken->events_count = 1;
    return again_mark(&replaying->rejection, NULL, &replaying->arena, taken);
}

static int count_outcome(struct replaying *replaying, const struct again_taken *taken)
{
    struct str now =
        taken->fate == AGAIN_REFUSED_OTHERWISE ? taken->reason : str_of(fate_names[taken->fate]);
    replaying->fates[taken->fate]++;
    for (size_t i = 0; i < replaying->outcomes_count; i++) {
        struct outcome *outcome = &replaying->outcomes[i];
        if (str_equal(outcome->stage, replaying->rejection.stage) &&
            str_equal(outcome->reason, replaying->reason) && str_equal(outcome->now, now)) {
            outcome->count++;
            return 0;
        }
    }
    if (replaying->outcomes_count == OUTCOMES_MAX)
        return 0;
    struct outcome *outcome = &replaying->outcomes[replaying->outcomes_count++];
    struct arena *arena = &replaying->settings->arena;
    outcome->count = 1;
    int r = arena_dup(arena, replaying->rejection.stage, &outcome->stage);
    if (r == 0)
        r = arena_dup(arena, replaying->reason, &outcome->reason);
    return r < 0 ? r : arena_dup(arena, now, &outcome->now);
}

/* Settles one that shows the identifier. Its value is appended by the caller. */
static int take_forgotten(struct replaying *replaying, struct again_taken *taken)
{
    CLEANUP(arena_free) struct arena scratch = {0};
    bool found = true;
    int r = replaying->shows
                ? mention_find(&replaying->settings->door.identifiers, &replaying->shown,
                      replaying->rejection.payload, &scratch, &found)
                : 0;
    *taken = (struct again_taken){.fate = AGAIN_ACCEPTED};
    if (r < 0 || !found)
        return r;
    replaying->forgotten++;
    return again_mark(&replaying->rejection, NULL, &replaying->arena, taken);
}

/* Judges one and keeps what is to be appended. Returns READER_ABSENT for a key that is not there.
 */
static int take_one(struct replaying *replaying, const uint8_t key[KEY_SIZE])
{
    struct again_taken taken;
    int r = reader_get_rejection(replaying->reader, key, keep_rejection, replaying);
    if (r)
        return r;
    r = reader_rejection_attempt(replaying->reader, key, &replaying->rejection.attempt);
    if (r < 0)
        return r;
    enum topic topic = refused_of(replaying);
    if (replaying->forget)
        r = take_forgotten(replaying, &taken);
    else if (topic < TOPIC_COUNT)
        r = take_kafka(replaying, topic, &taken);
    else
        r = again_take(replaying->again, &replaying->rejection, &replaying->arena, &taken);
    if (r == 0 && !replaying->forget)
        r = count_outcome(replaying, &taken);
    if (r < 0)
        return r;
    check(taken.events_count <= RECORDS_EACH_MAX);
    for (size_t i = 0; i < taken.events_count; i++)
        replaying->events[replaying->events_count++] = taken.events[i];
    for (size_t i = 0; i < taken.marks_count; i++)
        replaying->marks[replaying->marks_count++] = taken.marks[i];
    return 0;
}

/* ---- all ---- */

static int append(struct replaying *replaying, const struct append_record *records, size_t count)
{
    struct appender *appender =
        replaying->kafka ? replaying->kafka : embedded_appender(replaying->embedded);
    int r = 0;
    for (int tries = 0; count && tries < APPEND_RETRIES_MAX; tries++) {
        const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
        r = appender->append(appender, records, count, NULL);
        if (r == 0 || error_class(r) != ERROR_CLASS_RETRY)
            return r;
        (void)nanosleep(&pause, NULL);
    }
    return r;
}

/* The marks follow when the events are durable: what is settled never is less than what is kept. */
static int append_chunk(struct replaying *replaying)
{
    int r = 0;
    if (!replaying->dry_run)
        r = append(replaying, replaying->events, replaying->events_count);
    if (r == 0 && !replaying->dry_run)
        r = append(replaying, replaying->marks, replaying->marks_count);
    replaying->events_count = replaying->marks_count = 0;
    arena_reset(&replaying->arena);
    return r;
}

static int replay_keys(struct replaying *replaying, int64_t rate)
{
    struct progress progress;
    struct pace pace;
    size_t chunk = CHUNK;
    int r = 0;
    if (rate && rate / CHUNKS_A_SECOND < CHUNK)
        chunk = rate < CHUNKS_A_SECOND ? 1 : (size_t)(rate / CHUNKS_A_SECOND);
    replaying->events = calloc(chunk * RECORDS_EACH_MAX, sizeof *replaying->events);
    replaying->marks = calloc(chunk * 2, sizeof *replaying->marks);
    if (!replaying->events || !replaying->marks)
        return ERR_NO_MEMORY;
    pace_begin(&pace, rate);
    progress_begin(&progress, "rejected", (int64_t)replaying->keys_count);
    for (size_t i = 0; r >= 0 && i < replaying->keys_count; i += chunk) {
        size_t end = i + chunk < replaying->keys_count ? i + chunk : replaying->keys_count;
        for (size_t k = i; r >= 0 && k < end; k++)
            r = take_one(replaying, replaying->keys[k]);
        if (r >= 0)
            r = append_chunk(replaying);
        progress_at(&progress, (int64_t)end / CHUNK * CHUNK);
        pace_after(&pace, (int64_t)(end - i));
    }
    progress_end(&progress);
    return r < 0 ? r : 0;
}

static int print_json(const struct replaying *replaying)
{
    CLEANUP(buf_free) struct buf text = {0};
    const int64_t *fates = replaying->fates;
    int r = buf_appendf(&text,
        "{\"dry_run\":%s,\"accepted\":%lld,\"no_consent\":%lld,\"refused\":%lld,"
        "\"refused_otherwise\":%lld,\"left\":%lld,\"outcomes\":[",
        replaying->dry_run ? "true" : "false", (long long)fates[AGAIN_ACCEPTED],
        (long long)fates[AGAIN_NO_CONSENT], (long long)fates[AGAIN_REFUSED],
        (long long)fates[AGAIN_REFUSED_OTHERWISE], (long long)fates[AGAIN_CANNOT]);
    for (size_t i = 0; r == 0 && i < replaying->outcomes_count; i++) {
        const struct outcome *outcome = &replaying->outcomes[i];
        r = buf_append_str(&text, str_of(i ? ",{\"stage\":" : "{\"stage\":"));
        if (r == 0)
            r = json_write_text(&text, outcome->stage);
        if (r == 0)
            r = buf_append_str(&text, STR(",\"reason\":"));
        if (r == 0)
            r = json_write_text(&text, outcome->reason);
        if (r == 0)
            r = buf_append_str(&text, STR(",\"now\":"));
        if (r == 0)
            r = json_write_text(&text, outcome->now);
        if (r == 0)
            r = buf_appendf(&text, ",\"count\":%lld}", (long long)outcome->count);
    }
    if (r == 0)
        (void)printf("%.*s]}\n", (int)text.size, text.data);
    return r;
}

static int print_text(const struct replaying *replaying)
{
    static const struct render_column columns[] = {
        {"stage", "stage", RENDER_LEFT, 0},
        {"reason", "was refused for", RENDER_LEFT, 0},
        {"now", "is now", RENDER_LEFT, 0},
        {"count", "rejections", RENDER_RIGHT, 0},
    };
    const int64_t *fates = replaying->fates;
    CLEANUP(render_free) struct render_table *table = NULL;
    int r = render_new(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; r == 0 && i < replaying->outcomes_count; i++) {
        render_text(table, replaying->outcomes[i].stage);
        render_text(table, replaying->outcomes[i].reason);
        render_text(table, replaying->outcomes[i].now);
        render_integer(table, replaying->outcomes[i].count);
    }
    if (r == 0 && replaying->outcomes_count)
        r = render_write(table, false, stdout);
    if (r == 0)
        (void)printf("%s%lld accepted, %lld refused by their customers, %lld refused again (%lld "
                     "for another reason), %lld left\n",
            replaying->dry_run ? "nothing was changed; it would be: " : "",
            (long long)fates[AGAIN_ACCEPTED], (long long)fates[AGAIN_NO_CONSENT],
            (long long)(fates[AGAIN_REFUSED] + fates[AGAIN_REFUSED_OTHERWISE]),
            (long long)fates[AGAIN_REFUSED_OTHERWISE], (long long)fates[AGAIN_CANNOT]);
    return r;
}

static int print_forgotten(const struct replaying *replaying)
{
    const char *shows = replaying->shows ? " that show it" : "";
    if (replaying->call->json)
        (void)printf("{\"dry_run\":%s,\"forgotten\":%lld}\n", replaying->dry_run ? "true" : "false",
            (long long)replaying->forgotten);
    else if (replaying->dry_run)
        (void)printf("nothing was changed; %lld rejections%s would leave `rejected`\n",
            (long long)replaying->forgotten, shows);
    else
        (void)printf(
            "%lld rejections%s have left `rejected`\n", (long long)replaying->forgotten, shows);
    return EXIT_OK;
}

static int open_log(struct replaying *replaying)
{
    struct verb_call *call = replaying->call;
    const char *dir = config_path(call->config, OPTION_DATA_DIR);
    int r;
    if (on_kafka(call)) {
        r = serve_kafka(replaying->settings, "", &replaying->kafka_config);
        if (r == 0)
            r = kafka_appender_open(&replaying->kafka_config, KAFKA_TIMEOUT_MS, &replaying->kafka);
        return r < 0 ? verb_fail(call, r, "Kafka") : 0;
    }
    r = embedded_open(replaying->settings, false, &replaying->embedded);
    if (r == 0) /* what was appended last stands in the tables */
        r = embedded_to_quiet(replaying->embedded, NULL, NULL);
    if (r == ERR_LOCKED)
        (void)fprintf(stderr, "tabiji rejected: stop what runs there, or wait for its end\n");
    return r < 0 ? verb_fail_system(call, r, errno, "data directory %s", dir) : 0;
}

static int open_again(struct replaying *replaying)
{
    CLEANUP(buf_free) struct buf message = {0};
    const char *path = verb_value(replaying->call, "--mapping");
    int r = path ? mapping_load(path, &replaying->mapping, &message) : 0;
    if (message.size)
        (void)fprintf(stderr, "tabiji rejected: %.*s\n", (int)message.size, message.data);
    if (r < 0)
        return verb_usage(replaying->call, "cannot use %s", path);
    const struct again_config config = {.config = replaying->settings->config,
        .door = &replaying->settings->door,
        .mapping = replaying->mapping};
    r = settings_open_plan(replaying->settings);
    if (r == 0)
        r = again_new(&replaying->again, &config);
    return r < 0 ? verb_fail(replaying->call, r, "rejected") : 0;
}

static int replay(struct replaying *replaying)
{
    struct verb_call *call = replaying->call;
    long long rate = 0;
    int r = verb_integer(call, "--rate", 1, INT32_MAX, &rate);
    if (r == 0)
        r = open_log(replaying);
    if (r == 0)
        r = tables_open(call, replaying->settings, &replaying->reader);
    if (r == 0 && !replaying->forget)
        r = open_again(replaying);
    if (r == 0)
        r = select_keys(replaying);
    if (r)
        return r;
    r = replay_keys(replaying, rate);
    if (r == 0 && replaying->embedded)
        r = embedded_to_quiet(replaying->embedded, NULL, NULL);
    if (r < 0)
        return verb_fail(call, r, "cut off: the same command goes on");
    if (replaying->forget)
        return print_forgotten(replaying);
    r = call->json ? print_json(replaying) : print_text(replaying);
    if (r < 0)
        return verb_fail(call, r, "rejected");
    const int64_t *fates = replaying->fates;
    if (call->arguments_count > 1 && replaying->outcomes_count == 0)
        return EXIT_NOT_FOUND;
    return fates[AGAIN_REFUSED] + fates[AGAIN_REFUSED_OTHERWISE] + fates[AGAIN_CANNOT]
               ? EXIT_PARTIAL
               : EXIT_OK;
}

/* Reads what is to be forgotten. Returns 0, or an exit_code after saying what is wrong. */
static int read_forget(struct replaying *replaying)
{
    static const char *const selecting[] = {"--reason", "--source", "--stage", "--id", "--until"};
    struct verb_call *call = replaying->call;
    bool any = call->arguments_count > 1;
    replaying->shows = verb_value(call, "--shows");
    for (size_t i = 0; i < sizeof selecting / sizeof *selecting; i++)
        any |= verb_value(call, selecting[i]) != NULL;
    if (!any && !replaying->shows)
        return verb_usage(call, "forget needs --shows ID, keys, or flags that select");
    struct settings *settings = replaying->settings;
    settings->door.identifiers.blocked_count = 0; /* the list may be younger than a payload */
    int r = replaying->shows ? say_identifier(settings, str_of(replaying->shows), &replaying->shown)
                             : 0;
    if (r < 0)
        return say_bad_identifier(call, settings, replaying->shows, r);
    if (!replaying->dry_run && !verb_switch(call, "--confirm"))
        return verb_end(call, EXIT_USAGE, "unconfirmed",
            "rejections would be forgotten, with their payloads; nothing was done: --confirm does "
            "it, --dry-run counts");
    return 0;
}

int rejected_replay(struct verb_call *call, struct settings *settings, bool forget)
{
    struct replaying *replaying = calloc(1, sizeof *replaying);
    if (!replaying)
        return verb_fail(call, ERR_NO_MEMORY, "rejected");
    replaying->call = call;
    replaying->settings = settings;
    replaying->dry_run = verb_switch(call, "--dry-run");
    replaying->forget = forget;
    int r = forget ? read_forget(replaying) : 0;
    if (r == 0)
        r = replay(replaying);
    reader_close(&replaying->reader);
    again_free(&replaying->again);
    mapping_free(&replaying->mapping);
    embedded_close(&replaying->embedded);
    kafka_appender_close(&replaying->kafka);
    arena_free(&replaying->arena);
    free(replaying->events);
    free(replaying->marks);
    free(replaying->keys);
    free(replaying);
    return r;
}
