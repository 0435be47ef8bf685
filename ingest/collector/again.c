/* See the header. Each way in reads its own payloads; the door judges as it always does. */
#include "ingest/collector/again.h"

#include <stdlib.h>

#include "ingest/collector/intake.h"
#include "ingest/collector/protocol/hook.h"
#include "ingest/collector/protocol/segment_message.h"
#include "ingest/collector/protocol/snowplow_event.h"
#include "ingest/import/row.h"
#include "schemas/error.h"
#include "schemas/rejected.avro.h"

#define ADAPTER_VERSION 1

struct again {
    struct again_config config;
    struct json_parser *parser;
    struct json_parser *inner[SNOWPLOW_PARSERS]; /* of JSON within a payload */
    struct import_options import;
    struct row_mapper mapper;
    bool mapper_open;
    struct row_output output;
    struct buf row; /* a payload with room behind it */
};

static struct str payload_text(void *context, size_t index)
{
    const struct again_rejection *rejection = context;
    return rejection->payload;
}

static int open_mapper(struct again *again)
{
    again->import =
        (struct import_options){.mapping = again->config.mapping, .door = again->config.door};
    again->mapper_open = true;
    return row_mapper_open(&again->mapper, &again->import);
}

int again_new(struct again **out, const struct again_config *config)
{
    struct again *again = calloc(1, sizeof *again);
    if (!again)
        return ERR_NO_MEMORY;
    again->config = *config;
    int r = json_parser_new(&again->parser);
    for (size_t i = 0; r == 0 && i < SNOWPLOW_PARSERS; i++)
        r = json_parser_new(&again->inner[i]);
    if (r == 0 && config->mapping && config->mapping->format != MAPPING_CSV)
        r = open_mapper(again);
    if (r < 0) {
        again_free(&again);
        return r;
    }
    *out = again;
    return 0;
}

void again_free(struct again **again)
{
    struct again *gone = *again;
    if (!gone)
        return;
    if (gone->mapper_open)
        row_mapper_close(&gone->mapper);
    row_output_free(&gone->output);
    json_parser_free(&gone->parser);
    for (size_t i = 0; i < SNOWPLOW_PARSERS; i++)
        json_parser_free(&gone->inner[i]);
    buf_free(&gone->row);
    free(gone);
    *again = NULL;
}

/* ---- marks ---- */

static int mark_settled(
    const struct again_rejection *rejection, struct arena *arena, struct append_record *out)
{
    struct rejection_key key = {.attempt = rejection->attempt, .settled = true};
    uint8_t bytes[REJECTION_KEY_SIZE_MAX];
    memcpy(key.rejected_key, rejection->rejected_key, KEY_SIZE);
    *out = (struct append_record){.topic = TOPIC_REJECTED, .value = STR("")};
    return arena_dup(arena, str_make(bytes, rejection_key_write(&key, bytes)), &out->key);
}

/* Gives a rejection that came out just now the next attempt. */
static int number(
    const struct again_rejection *rejection, struct arena *arena, struct append_record *record)
{
    struct rejection_key key;
    uint8_t bytes[REJECTION_KEY_SIZE_MAX];
    check(rejection_key_read(record->key, &key));
    key.attempt =
        rejection->attempt < REJECTION_ATTEMPT_MAX ? rejection->attempt + 1 : rejection->attempt;
    return arena_dup(arena, str_make(bytes, rejection_key_write(&key, bytes)), &record->key);
}

/* record: how it is refused now. */
static int judge_refused(const struct again_rejection *rejection,
    const struct append_record *record, struct arena *arena, struct again_taken *taken)
{
    taken->fate = AGAIN_REFUSED;
    if (memcmp(record->key.data, rejection->rejected_key, KEY_SIZE) == 0)
        return 0;
    taken->fate = AGAIN_REFUSED_OTHERWISE;
    taken->marks[0] = *record;
    int r = number(rejection, arena, &taken->marks[0]);
    if (r == 0)
        r = mark_settled(rejection, arena, &taken->marks[1]);
    taken->marks_count = r == 0 ? 2 : 0;
    return r;
}

int again_mark(const struct again_rejection *rejection, const struct event_problem *problem,
    struct arena *arena, struct again_taken *taken)
{
    struct append_record record;
    if (!problem) {
        taken->marks_count = 1;
        return mark_settled(rejection, arena, &taken->marks[0]);
    }
    const struct door_rejection now = {
        .source = rejection->source, .stage = rejection->stage, .payload = rejection->payload};
    int r = door_reject(&now, problem, rejection->received_at, arena, &record);
    taken->reason = str_of(error_name(problem->error));
    return r < 0 ? r : judge_refused(rejection, &record, arena, taken);
}

/* ---- requests ---- */

static int read_native(const struct again_rejection *rejection, struct json value,
    const struct config_source *source, struct arena *arena, struct touchpoint *event,
    struct event_problem *problem)
{
    int r = event_json_read(value, source && source->trusted_channel, arena, event, problem);
    if (r < 0)
        return r;
    event->source = rejection->source;
    event->protocol = PROTOCOL_NATIVE;
    event->adapter_version = ADAPTER_VERSION;
    return 0;
}

static int read_segment(const struct again_rejection *rejection, struct json value,
    const struct config_source *source, struct arena *arena, struct touchpoint *event,
    struct event_problem *problem)
{
    struct json type;
    struct segment_message message = {.item = value,
        .currency = source ? source->currency : STR(""),
        .event_time = source ? source->event_time : EVENT_TIME_USUAL,
        .now_micros = rejection->received_at,
        .arena = arena};
    *problem = (struct event_problem){.error = ERR_EVENT_TYPE,
        .pointer = STR("/type"),
        .hint = STR("track, page, screen, identify, group, alias or merge")};
    if (json_kind(value) != JSON_OBJECT)
        return problem->error = ERR_FIELD_TYPE;
    int call = -1;
    if (json_get(value, STR("type"), &type) && json_kind(type) == JSON_TEXT)
        call = segment_call_of(json_text(type));
    else if (json_get(value, STR("event"), &type)) /* of a call whose path said the type */
        call = SEGMENT_TRACK;
    if (call < 0)
        return problem->error;
    message.call = (enum segment_call)call;
    int r = segment_read(&message, event, problem);
    if (r < 0)
        return r;
    event->source = rejection->source;
    event->adapter_version = ADAPTER_VERSION;
    return 0;
}

static int read_snowplow(struct again *again, const struct again_rejection *rejection,
    struct json value, struct arena *arena, struct touchpoint *event, struct event_problem *problem)
{
    const struct config_source *source = config_source(again->config.config, rejection->source);
    struct snowplow_fields fields;
    struct snowplow_message message = {.fields = &fields,
        .currency = source ? source->currency : STR(""),
        .now_micros = rejection->received_at,
        .secret = again->config.door->person_key,
        .arena = arena};
    memcpy(message.parsers, again->inner, sizeof again->inner);
    int r = snowplow_fields_read(value, arena, &fields, problem);
    if (r == 0)
        r = snowplow_read(&message, event, problem);
    if (r < 0)
        return r;
    event->source = rejection->source;
    event->adapter_version = ADAPTER_VERSION;
    return 0;
}

/* The way that the stage's name says. */
static int read_payload(struct again *again, const struct again_rejection *rejection,
    struct arena *arena, struct touchpoint *event, struct event_problem *problem)
{
    const struct config_source *source = config_source(again->config.config, rejection->source);
    struct json value;
    *problem = (struct event_problem){0};
    int r = json_parse(again->parser, rejection->payload, &value);
    if (r < 0) {
        problem->error = r;
        return r;
    }
    if (str_equal(rejection->stage, STR("snowplow")))
        return read_snowplow(again, rejection, value, arena, event, problem);
    return str_equal(rejection->stage, STR("native"))
               ? read_native(rejection, value, source, arena, event, problem)
               : read_segment(rejection, value, source, arena, event, problem);
}

static int take_request(struct again *again, const struct again_rejection *rejection,
    struct arena *arena, struct again_taken *out)
{
    const struct config_source *source = config_source(again->config.config, rejection->source);
    struct again_rejection lent = *rejection;
    const struct intake_payload payload = {.text = payload_text, .context = &lent};
    struct intake intake = {.door = again->config.door,
        .arena = arena,
        .source = rejection->source,
        .stage = rejection->stage,
        .is_operator = source && source->is_operator,
        .refuses_evidence = source && source->refuses_evidence,
        .plan = source ? source->plan : PLAN_USUAL,
        .now_micros = rejection->received_at};
    struct touchpoint event = {0};
    struct event_problem problem;
    int r = intake_reserve(&intake, 1);
    if (r < 0)
        return r;
    r = read_payload(again, rejection, arena, &event, &problem);
    if (r == ERR_NO_MEMORY)
        return r;
    r = r < 0 ? intake_reject(&intake, 0, event.event_id, &problem, &payload)
              : intake_event(&intake, &event, 0, &payload);
    if (r < 0)
        return r;
    if (intake.rejected.count) {
        out->reason = str_of(error_name(intake.rejected.list[0].problem.error));
        return judge_refused(rejection, &intake.records[0], arena, out);
    }
    out->fate = intake.accepted ? AGAIN_ACCEPTED : AGAIN_NO_CONSENT;
    r = intake_records(&intake, &out->events, &out->events_count);
    return r < 0 ? r : again_mark(rejection, NULL, arena, out);
}

/* ---- webhooks ---- */

/* Reads and judges all events that the notification gives. Errors: ERR_NO_MEMORY. */
static int take_notification(
    struct exchange *exchange, struct json item, size_t count, struct again_rejection *rejection)
{
    const struct intake_payload payload = {.text = payload_text, .context = rejection};
    struct touchpoint event;
    struct event_problem problem;
    int r = 0;
    for (size_t nth = 0; r == 0 && nth < count; nth++) {
        r = hook_again(exchange, rejection->event_id, item, nth, &event, &problem);
        if (r == ERR_NO_MEMORY)
            return r;
        if (r == HOOK_AGAIN_NONE)
            r = 0;
        else
            r = r < 0 ? intake_reject(&exchange->intake, 0, event.event_id, &problem, &payload)
                      : intake_event(&exchange->intake, &event, 0, &payload);
    }
    return r;
}

/* All that it gives is taken, or nothing. */
static int judge_notification(const struct again_rejection *rejection, const struct intake *intake,
    struct arena *arena, struct again_taken *out)
{
    for (size_t i = 0; i < intake->records_count; i++)
        if (intake->records[i].topic == TOPIC_REJECTED) {
            out->reason = str_of(error_name(intake->rejected.list[0].problem.error));
            return judge_refused(rejection, &intake->records[i], arena, out);
        }
    out->fate = intake->accepted ? AGAIN_ACCEPTED : AGAIN_NO_CONSENT;
    int r = intake_records(intake, &out->events, &out->events_count);
    return r < 0 ? r : again_mark(rejection, NULL, arena, out);
}

static int take_hook(struct again *again, const struct again_rejection *rejection,
    struct arena *arena, struct again_taken *out)
{
    const struct config_source *known = config_source(again->config.config, rejection->source);
    struct source source = {
        .config = {.name = rejection->source, .currency = STR("USD"), .currency_assumed = true}};
    if (known)
        source.config = *known;
    size_t count = hook_again_max(rejection->stage, rejection->event_id, &source.config);
    struct again_rejection lent = *rejection;
    struct exchange exchange = {.call = rejection->stage,
        .source = &source,
        .door = again->config.door,
        .arena = arena,
        .now_micros = rejection->received_at};
    struct json item;
    exchange_prepare(&exchange, rejection->stage, false);
    int r = intake_reserve(&exchange.intake, count);
    if (r == 0)
        r = json_parse(again->parser, rejection->payload, &item);
    if (r < 0 && r != ERR_NO_MEMORY)
        return 0; /* what was no JSON is none now */
    if (r == 0)
        r = take_notification(&exchange, item, count, &lent);
    return r < 0 ? r : judge_notification(rejection, &exchange.intake, arena, out);
}

/* ---- rows of files ---- */

static int copy_records(struct again *again, struct arena *arena, struct again_taken *out)
{
    const struct row_output *output = &again->output;
    struct append_record *records =
        arena_alloc(arena, (output->records_count + 1) * sizeof *records);
    if (!records)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < output->records_count; i++) {
        records[i] = (struct append_record){.topic = output->records[i].topic};
        int r = arena_dup(arena, output->records[i].key, &records[i].key);
        if (r == 0)
            r = arena_dup(arena, output->records[i].value, &records[i].value);
        if (r < 0)
            return r;
    }
    out->events = records;
    out->events_count = output->records_count;
    return 0;
}

static int take_row(struct again *again, const struct again_rejection *rejection,
    struct arena *arena, struct again_taken *out)
{
    static const char padding[JSON_INPUT_PADDING];
    buf_clear(&again->row);
    int r = buf_append_str(&again->row, rejection->payload);
    if (r == 0)
        r = buf_append(&again->row, padding, sizeof padding);
    if (r < 0)
        return r;
    const struct csv_row row = {.bytes = str_make(again->row.data, rejection->payload.size)};
    again->import.now_micros = rejection->received_at;
    row_output_reset(&again->output);
    r = row_mapper_take(&again->mapper, &row, 0, 0, false, &again->output);
    if (r == 0)
        r = copy_records(again, arena, out);
    if (r < 0)
        return r;
    if (again->output.count.rejected) {
        struct rejected now;
        out->events_count = 0;
        r = rejected_decode(&now, out->events[0].value, arena);
        out->reason = now.reason;
        return r < 0 ? r : judge_refused(rejection, &out->events[0], arena, out);
    }
    out->fate = again->output.count.events ? AGAIN_ACCEPTED : AGAIN_NO_CONSENT;
    return again_mark(rejection, NULL, arena, out);
}

int again_take(struct again *again, const struct again_rejection *rejection, struct arena *arena,
    struct again_taken *out)
{
    bool request = str_equal(rejection->stage, STR("native")) ||
                   str_equal(rejection->stage, STR("segment")) ||
                   str_equal(rejection->stage, STR("snowplow"));
    bool row = again->mapper_open && str_equal(rejection->stage, STR("import")) &&
               str_equal(rejection->source, again->config.mapping->source);
    *out = (struct again_taken){.fate = AGAIN_CANNOT};
    if (rejection->payload.size >= REJECTED_PAYLOAD_SIZE_MAX)
        return 0;
    if (request)
        return take_request(again, rejection, arena, out);
    const struct config_source none = {.enabled = false};
    if (hook_again_max(rejection->stage, rejection->event_id, &none))
        return take_hook(again, rejection, arena, out);
    return row ? take_row(again, rejection, arena, out) : 0;
}
