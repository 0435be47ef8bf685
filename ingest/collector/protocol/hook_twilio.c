/*
 * Twilio's notifications of calls and messages, as forms, as JSON with the same names, or as
 * CloudEvents of its Event Streams. Source: Twilio, "Voice webhooks", "Messaging webhooks", "Event
 * Streams"; PROTOCOLS.
 */
#include <strings.h>

#include "ingest/collector/protocol/form.h"
#include "ingest/collector/protocol/hook_kind.h"
#include "ingest/collector/protocol/hook_signature.h"
#include "schemas/error.h"
#include "schemas/money.h"
#include "schemas/time.h"

#define PROOF_HEADER "X-Twilio-Signature"
#define MILLIS_PER_SECOND 1000
#define SECONDS_MAX INT64_C(1000000000)
#define DATE_TEXT_SIZE 32
#define SEQUENCE_OF_END 100 /* behind whatever else is told of that second */
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* ---- who sends ---- */

static int believe(const struct exchange *exchange, const struct config_source *source,
    const struct exchange_pair *pairs, size_t pairs_count, int *refusal)
{
    struct str signature = exchange_header(exchange, PROOF_HEADER);
    struct str hash = exchange_query(exchange, STR("bodySHA256"));
    struct hook_addresses addresses;
    bool signed_by = false;
    if (source->secrets_count == 0 || signature.size == 0) {
        *refusal = source->secrets_count ? REFUSAL_UNSIGNED : REFUSAL_NO_SECRET;
        return 0;
    }
    int r = hook_addresses_read(exchange, source, &addresses);
    if (r == 0 && hash.size) /* the address has the body's hash, and is signed alone */
        r = hook_signed_twilio(source, &addresses, NULL, 0, signature, &signed_by);
    else if (r == 0)
        r = hook_signed_twilio(source, &addresses, pairs, pairs_count, signature, &signed_by);
    bool covered = hash.size ? hook_is_sha256(exchange->body_raw, hash)
                             : pairs_count != 0 || exchange->body.size == 0;
    *refusal = signed_by && covered ? HOOK_BELIEVED : REFUSAL_SIGNATURE;
    return r;
}

/* ---- fields ---- */

/* A notification's names and values, of whatever form it came in. */
struct fields {
    const struct exchange_pair *pairs;
    size_t count;
};

static struct str field(const struct fields *fields, const char *name)
{
    return form_value(fields->pairs, fields->count, str_of(name));
}

static int add_members(struct hook_reader *reader, struct json object, struct fields *fields)
{
    struct exchange_pair *list =
        arena_alloc(reader->arena, (fields->count + json_count(object) + 1) * sizeof *list);
    struct json_iterator iterator;
    struct json value;
    struct str name;
    if (!list)
        return ERR_NO_MEMORY;
    if (fields->count)
        memcpy(list, fields->pairs, fields->count * sizeof *list);
    json_iterate(object, &iterator);
    while (json_next(&iterator, &name, &value)) {
        struct str text;
        int r = hook_text(reader, object, name, &text);
        if (r < 0)
            return r;
        list[fields->count++] = (struct exchange_pair){name, text};
    }
    fields->pairs = list;
    return 0;
}

/* Of a CloudEvent: the parameters of the request that Twilio would have made, then the data. */
static int read_fields(struct hook_reader *reader, struct fields *out)
{
    struct json data;
    struct json request;
    struct json parameters;
    *out = (struct fields){reader->pairs, reader->pairs_count};
    if (reader->is_form)
        return 0;
    if (json_kind(reader->item) != JSON_OBJECT)
        return hook_fail(reader, ERR_FIELD_TYPE, STR(""), STR("an object"));
    if (!hook_object(reader->item, STR("data"), &data))
        return add_members(reader, reader->item, out);
    int r = 0;
    if (hook_object(data, STR("request"), &request) &&
        hook_object(request, STR("parameters"), &parameters))
        r = add_members(reader, parameters, out);
    return r < 0 ? r : add_members(reader, data, out);
}

/* ---- times ---- */

/* "Tue, 31 Mar 2026 12:34:56 +0000" as "2026-03-31T12:34:56+00:00". Source: RFC 2822, 3.3. */
static bool read_mail_date(struct str text, int64_t *micros)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char copy[DATE_TEXT_SIZE + 1] = {0};
    char month_name[4] = "", sign = 0;
    unsigned day = 0, year = 0, hour = 0, minute = 0, second = 0, zone = 0;
    char out[DATE_TEXT_SIZE];
    if (text.size == 0 || text.size > DATE_TEXT_SIZE)
        return false;
    memcpy(copy, text.data, text.size);
    const char *comma = strchr(copy, ',');
    int found = sscanf(comma ? comma + 1 : copy, " %2u %3s %4u %2u:%2u:%2u %c%4u", &day, month_name,
        &year, &hour, &minute, &second, &sign, &zone);
    const char *month = strlen(month_name) == 3 ? strstr(months, month_name) : NULL;
    if (found != 8 || !month || (month - months) % 3 != 0 || (sign != '+' && sign != '-'))
        return false;
    int size = snprintf(out, sizeof out, "%04u-%02u-%02uT%02u:%02u:%02u%c%02u:%02u", year,
        (unsigned)(month - months) / 3 + 1, day, hour, minute, second, sign, zone / 100,
        zone % 100);
    return size > 0 && (size_t)size < sizeof out &&
           time_parse(str_make(out, (size_t)size), micros) == 0;
}

/* Without a time the door takes its own. */
static void read_time(struct hook_reader *reader, const struct fields *fields)
{
    struct str text = field(fields, "Timestamp");
    int64_t micros = 0;
    if (!read_mail_date(text, &micros) && time_parse_local(text, 0, &micros) < 0)
        return;
    hook_occurred(reader, micros);
}

/* ---- calls ---- */

static const struct {
    struct str status;
    struct str type;
} call_types[] = {
    {STR_INIT("queued"), STR_INIT("call_started")},
    {STR_INIT("initiated"), STR_INIT("call_started")},
    {STR_INIT("ringing"), STR_INIT("call_ringing")},
    {STR_INIT("in-progress"), STR_INIT("call_answered")},
    {STR_INIT("answered"), STR_INIT("call_answered")},
    {STR_INIT("completed"), STR_INIT("call_ended")},
    {STR_INIT("busy"), STR_INIT("call_abandoned")},
    {STR_INIT("no-answer"), STR_INIT("call_abandoned")},
    {STR_INIT("canceled"), STR_INIT("call_abandoned")},
    {STR_INIT("failed"), STR_INIT("call_abandoned")},
};

/* A whole number of seconds in milliseconds; 0 when it is none. */
static int64_t read_seconds(struct str text)
{
    int64_t seconds = 0;
    if (money_parse_exponent(text, 0, &seconds) < 0 || seconds < 0 || seconds > SECONDS_MAX)
        return 0;
    return seconds * MILLIS_PER_SECOND;
}

/* Ringing begins a call where nothing was told of it before: an incoming one, or the first of the
 * notifications that were asked for. An outgoing call that nobody took has ended: there was no
 * customer who gave up. */
static int set_call_type(struct hook_reader *reader, struct str status, struct str sequence)
{
    struct touchpoint *event = &reader->event;
    bool first = sequence.size == 0 || str_equal(sequence, STR("0"));
    for (size_t i = 0; i < COUNT_OF(call_types); i++)
        if (str_equal(call_types[i].status, status))
            event->type = call_types[i].type;
    if (str_equal(status, STR("ringing")) && first)
        event->type = STR("call_started");
    if (str_equal(event->type, STR("call_abandoned")) &&
        event->call.direction == CALL_DIRECTION_OUTBOUND)
        event->type = STR("call_ended");
    if (event->type.size)
        return 0;
    return hook_fail(reader, status.size ? ERR_VALUE : ERR_MISSING_FIELD, STR("/CallStatus"),
        STR("queued, initiated, ringing, in-progress, completed, busy, no-answer, canceled or "
            "failed"));
}

/* The customer is who calls, or is called. Of a leg that a call dials on (to an agent, mostly) only
 * the call before it tells. */
static void identify_caller(struct hook_reader *reader, const struct fields *fields)
{
    struct call *call = &reader->event.call;
    struct str direction = field(fields, "Direction");
    if (str_starts_with(direction, STR("inbound")))
        call->direction = CALL_DIRECTION_INBOUND;
    else if (str_starts_with(direction, STR("outbound")))
        call->direction = CALL_DIRECTION_OUTBOUND;
    if (call->parent_id.size)
        hook_identify(reader, STR("case"), call->parent_id);
    else if (call->direction == CALL_DIRECTION_INBOUND)
        hook_identify_phone(reader, field(fields, "From"));
    else if (call->direction == CALL_DIRECTION_OUTBOUND)
        hook_identify_phone(reader, field(fields, "To"));
}

/* A call ends once, whoever tells: those whom the call itself was asked to tell get a sequence
 * number, others a number of their own, or none. */
static int set_call_id(
    struct hook_reader *reader, struct str call_sid, struct str status, struct str sequence)
{
    struct touchpoint *event = &reader->event;
    bool ends =
        str_equal(event->type, STR("call_ended")) || str_equal(event->type, STR("call_abandoned"));
    const struct str pieces[] = {call_sid, ends ? STR("ended") : sequence.size ? sequence : status};
    if (ends) {
        event->call.outcome = status;
        event->sequence = SEQUENCE_OF_END;
    } else if (money_parse_exponent(sequence, 0, &event->sequence) < 0) {
        event->sequence = 0;
    }
    return hook_join(reader, pieces, COUNT_OF(pieces), &event->event_id);
}

static int read_call(struct hook_reader *reader, const struct fields *fields, struct str call_sid)
{
    struct touchpoint *event = &reader->event;
    struct str status = field(fields, "CallStatus");
    struct str sequence = field(fields, "SequenceNumber");
    call_init(&event->call);
    event->has_call = true;
    event->call.call_id = call_sid;
    event->call.parent_id = field(fields, "ParentCallSid");
    event->call.wait_ms = read_seconds(field(fields, "QueueTime"));
    identify_caller(reader, fields);
    int r = set_call_type(reader, status, sequence);
    int joined = set_call_id(reader, call_sid, status, sequence);
    if (r < 0 || joined < 0)
        return r < 0 ? r : joined;
    if (str_equal(event->type, STR("call_ended")))
        event->call.talk_ms = read_seconds(field(fields, "CallDuration"));
    device_init(&event->device);
    event->has_device = true;
    event->device.kind = DEVICE_KIND_PHONE;
    r = hook_keep(reader, "answered_by", field(fields, "AnsweredBy"));
    return r < 0 ? r : hook_keep(reader, "sip_response_code", field(fields, "SipResponseCode"));
}

/* ---- messages ---- */

static const struct {
    struct str status;
    struct str type;
} message_types[] = {
    {STR_INIT("received"), STR_INIT("message_received")},
    {STR_INIT("receiving"), STR_INIT("message_received")},
    {STR_INIT("sent"), STR_INIT("message_sent")},
    {STR_INIT("delivered"), STR_INIT("message_delivered")},
    {STR_INIT("read"), STR_INIT("message_opened")},
    {STR_INIT("undelivered"), STR_INIT("message_failed")},
    {STR_INIT("failed"), STR_INIT("message_failed")},
    {STR_INIT("accepted"), STR_INIT("message_queued")},
    {STR_INIT("scheduled"), STR_INIT("message_queued")},
    {STR_INIT("queued"), STR_INIT("message_queued")},
    {STR_INIT("sending"), STR_INIT("message_queued")},
    {STR_INIT("canceled"), STR_INIT("message_cancelled")},
};

/* What a customer writes to get no more. Source: Twilio, "Twilio support for opt-out keywords". */
static bool says_stop(const struct fields *fields)
{
    static const char *const words[] = {
        "stop", "stopall", "unsubscribe", "cancel", "end", "quit", "optout", "revoke"};
    struct str text = field(fields, "Body");
    if (str_equal(field(fields, "OptOutType"), STR("STOP")))
        return true;
    while (text.size && text.data[text.size - 1] <= ' ')
        text.size--;
    while (text.size && text.data[0] == ' ')
        text = str_make(text.data + 1, text.size - 1);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (text.size == strlen(words[i]) && strncasecmp(text.data, words[i], text.size) == 0)
            return true;
    return false;
}

static bool is_message_status(struct str text, struct str status)
{
    return text.size == status.size && strncasecmp(text.data, status.data, status.size) == 0;
}

/* "DELIVERED", as Event Streams write it, is "delivered", so that what both they and a callback
 * tell is one event. An Event Stream's "com.twilio.messaging.message.delivered" says it too. */
static struct str message_status(struct hook_reader *reader, const struct fields *fields)
{
    static const struct str streams[] = {STR_INIT("com.twilio.messaging.message."),
        STR_INIT("com.twilio.messaging.inbound-message.")};
    struct json type;
    struct str text = field(fields, "MessageStatus");
    if (text.size == 0)
        text = field(fields, "SmsStatus");
    if (text.size == 0 && !reader->is_form && hook_get(reader->item, STR("type"), &type) &&
        json_kind(type) == JSON_TEXT)
        for (size_t i = 0; i < COUNT_OF(streams); i++)
            if (str_starts_with(json_text(type), streams[i]))
                text = str_make(
                    json_text(type).data + streams[i].size, json_text(type).size - streams[i].size);
    for (size_t i = 0; i < COUNT_OF(message_types); i++)
        if (is_message_status(text, message_types[i].status))
            return message_types[i].status;
    if (text.size == 0 && field(fields, "NumMedia").size)
        return STR("received"); /* of an incoming one the status may be left out */
    return text;
}

static int set_message_type(
    struct hook_reader *reader, const struct fields *fields, struct str status, bool *incoming)
{
    struct touchpoint *event = &reader->event;
    for (size_t i = 0; i < COUNT_OF(message_types); i++)
        if (str_equal(message_types[i].status, status))
            event->type = message_types[i].type;
    if (event->type.size == 0)
        return hook_fail(reader, status.size ? ERR_VALUE : ERR_MISSING_FIELD, STR("/MessageStatus"),
            STR("received, sent, delivered, read, undelivered or failed"));
    *incoming = str_equal(event->type, STR("message_received"));
    if (*incoming && says_stop(fields))
        event->type = STR("message_unsubscribed");
    return 0;
}

/* What the message says is not kept. */
static int read_message(
    struct hook_reader *reader, const struct fields *fields, struct str message_sid)
{
    struct touchpoint *event = &reader->event;
    struct str status = message_status(reader, fields);
    bool incoming = false;
    const struct str pieces[] = {message_sid, status};
    int r = hook_join(reader, pieces, status.size ? 2 : 1, &event->event_id);
    if (r == 0)
        r = set_message_type(reader, fields, status, &incoming);
    if (r < 0)
        return r;
    struct str customer = field(fields, incoming ? "From" : "To");
    bool sms = !memchr(customer.data ? customer.data : "", ':', customer.size);
    message_init(&event->message);
    event->has_message = true;
    event->message.kind = sms ? MESSAGE_KIND_SMS : MESSAGE_KIND_UNKNOWN;
    event->message.message_id = message_sid;
    hook_identify_phone(reader, customer);
    r = hook_keep(reader, "error_code", field(fields, "ErrorCode"));
    if (r == 0 && !sms)
        r = hook_keep(reader, "channel_prefix", field(fields, "ChannelPrefix"));
    return r < 0 ? r : hook_keep(reader, "messaging_service", field(fields, "MessagingServiceSid"));
}

static int read(struct hook_reader *reader, size_t nth)
{
    struct fields fields;
    int r = read_fields(reader, &fields);
    if (r < 0)
        return r;
    read_time(reader, &fields);
    struct str message_sid = field(&fields, "MessageSid");
    if (message_sid.size == 0)
        message_sid = field(&fields, "SmsSid");
    if (message_sid.size)
        return read_message(reader, &fields, message_sid);
    struct str call_sid = field(&fields, "CallSid");
    if (call_sid.size)
        return read_call(reader, &fields, call_sid);
    return hook_fail(reader, ERR_EVENT_ID, STR("/CallSid"), STR("CallSid or MessageSid"));
}

const struct hook_kind hook_twilio = {.name = STR_INIT("twilio"),
    .forms = true,
    .believe = believe,
    .proof = HOOK_PROOF_FORM,
    .proof_header = PROOF_HEADER,
    .read = read};
