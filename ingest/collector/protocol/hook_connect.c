/*
 * Amazon Connect's contact events and contact records, through EventBridge. The case of their keys
 * varies. Source: AWS, "Amazon Connect contact events", "Contact records data model"; PROTOCOLS.
 */
#include <strings.h>

#include "ingest/collector/protocol/hook_kind.h"
#include "ingest/collector/protocol/hook_signature.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define PROOF_HEADER "X-Api-Key"
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* EventBridge signs nothing: it sends a secret in a header that its connection names. A write key
 * of the source does as well. */
static int believe(const struct exchange *exchange, const struct config_source *source,
    const struct exchange_pair *pairs, size_t pairs_count, int *refusal)
{
    struct str header = source->signature_header;
    struct str secret = exchange_header(exchange, header.size ? header.data : PROOF_HEADER);
    struct str key = exchange->header_key;
    if (key.size && sources_find(exchange->sources, key, exchange->now_micros) == exchange->source)
        *refusal = HOOK_BELIEVED;
    else if (secret.size == 0 && key.size == 0)
        *refusal = source->secrets_count ? REFUSAL_UNSIGNED : REFUSAL_NO_SECRET;
    else
        *refusal = hook_is_secret(source, secret) ? HOOK_BELIEVED : REFUSAL_SIGNATURE;
    return 0;
}

/* A contact while it is read. */
struct contact {
    struct json detail;
    struct json queue;
    struct json agent;
    bool has_queue;
    bool has_agent;
    struct str event_type; /* empty: a contact record, which is written when all is over */
    struct str channel;
    struct str method;
    int64_t queued_at;
    int64_t answered_at;
    int64_t ended_at;
};

static bool is_word(struct str text, const char *word)
{
    return text.size == strlen(word) && strncasecmp(text.data, word, text.size) == 0;
}

static bool is_voice(const struct contact *contact)
{
    return contact->channel.size == 0 || is_word(contact->channel, "voice");
}

/* What stands behind the last '/': of an ARN, the id. */
static struct str id_of_arn(struct str arn)
{
    const char *slash = arn.size ? memrchr(arn.data, '/', arn.size) : NULL;
    return slash ? str_make(slash + 1, arn.size - (size_t)(slash + 1 - arn.data)) : arn;
}

static int read_ids(struct hook_reader *reader, struct contact *contact)
{
    struct call *call = &reader->event.call;
    struct str initial;
    call_init(call);
    contact->detail = reader->item;
    if (json_kind(reader->item) != JSON_OBJECT)
        return hook_fail(reader, ERR_FIELD_TYPE, STR(""), STR("an object"));
    (void)hook_object(reader->item, STR("detail"), &contact->detail);
    int r = hook_text(reader, reader->item, STR("id"), &reader->event.event_id);
    if (r == 0)
        r = hook_text(reader, contact->detail, STR("contactId"), &call->call_id);
    if (r == 0)
        r = hook_text(reader, contact->detail, STR("initialContactId"), &initial);
    if (r == 0)
        r = hook_text(reader, contact->detail, STR("eventType"), &contact->event_type);
    if (r == 0)
        r = hook_text(reader, contact->detail, STR("channel"), &contact->channel);
    if (r == 0)
        r = hook_text(reader, contact->detail, STR("initiationMethod"), &contact->method);
    if (r < 0)
        return r;
    if (reader->event.event_id.size == 0 || reader->event.event_id.size > EVENT_ID_SIZE_MAX)
        return hook_fail(reader, ERR_EVENT_ID, STR("/id"), STR("EventBridge's id of the event"));
    if (call->call_id.size == 0)
        return hook_fail(reader, ERR_MISSING_FIELD, STR("/detail/contactId"), STR(""));
    reader->event.has_call = true;
    if (initial.size && !str_equal(initial, call->call_id)) {
        call->parent_id = initial;
        hook_identify(reader, STR("case"), initial);
    }
    return 0;
}

/* Contact events say queueInfo and agentInfo, contact records queue and agent. */
static void read_parts(struct contact *contact)
{
    struct json detail = contact->detail;
    contact->has_queue = hook_object(detail, STR("queueInfo"), &contact->queue) ||
                         hook_object(detail, STR("queue"), &contact->queue);
    contact->has_agent = hook_object(detail, STR("agentInfo"), &contact->agent) ||
                         hook_object(detail, STR("agent"), &contact->agent);
    if (contact->has_queue)
        contact->queued_at = hook_micros(contact->queue, STR("enqueueTimestamp"));
    if (contact->has_agent)
        contact->answered_at = hook_micros(contact->agent, STR("connectedToAgentTimestamp"));
    contact->ended_at = hook_micros(detail, STR("disconnectTimestamp"));
}

/* Of calls, "API" is StartOutboundVoiceContact; of chats it is the customer. */
static bool is_outbound(const struct contact *contact)
{
    return is_word(contact->method, "outbound") || is_word(contact->method, "callback") ||
           is_word(contact->method, "external_outbound") ||
           (is_word(contact->method, "api") && is_voice(contact));
}

/* Who waited in a queue and never had an agent has given up; so has nobody whom we called. */
static bool is_abandoned(const struct contact *contact)
{
    return contact->has_queue && contact->answered_at == 0 && !is_outbound(contact);
}

static int set_type(struct hook_reader *reader, const struct contact *contact)
{
    struct touchpoint *event = &reader->event;
    bool voice = is_voice(contact);
    bool chat = is_word(contact->channel, "chat");
    bool over = contact->event_type.size == 0 || is_word(contact->event_type, "disconnected");
    if (is_word(contact->event_type, "initiated"))
        event->type = voice ? STR("call_started") : chat ? STR("chat_started") : STR("");
    else if (is_word(contact->event_type, "connected_to_agent"))
        event->type = voice ? STR("call_answered") : chat ? STR("chat_answered") : STR("");
    else if (over && voice)
        event->type = is_abandoned(contact) ? STR("call_abandoned") : STR("call_ended");
    else if (over && chat)
        event->type = STR("chat_ended");
    if (event->type.size)
        return 0;
    struct str word = contact->event_type.size ? contact->event_type : STR("recorded");
    return hook_slug(reader, voice ? STR("call_") : STR("contact_"), word, &event->type);
}

/* When what is told happened; else when EventBridge was told. */
static void set_time(struct hook_reader *reader, const struct contact *contact)
{
    int64_t told = hook_micros(reader->item, STR("time"));
    int64_t when = told;
    if (is_word(contact->event_type, "initiated"))
        when = hook_micros(contact->detail, STR("initiationTimestamp"));
    else if (is_word(contact->event_type, "connected_to_agent"))
        when = contact->answered_at;
    else if (is_word(contact->event_type, "queued"))
        when = contact->queued_at;
    else if (contact->event_type.size == 0 || is_word(contact->event_type, "disconnected"))
        when = contact->ended_at;
    hook_occurred(reader, when ? when : told);
    if (told)
        reader->said_at = told; /* of a replay, not of a long call */
}

static int64_t millis_between(int64_t from, int64_t to)
{
    int64_t micros;
    if (from == 0 || to <= from || __builtin_sub_overflow(to, from, &micros))
        return 0;
    return micros / TIME_MICROS_PER_MILLI;
}

static int read_call(struct hook_reader *reader, const struct contact *contact)
{
    struct call *call = &reader->event.call;
    struct str queue, agent;
    int r = hook_text(reader, contact->detail, STR("disconnectReason"), &call->outcome);
    if (r == 0 && contact->has_queue)
        r = hook_text(reader, contact->queue, STR("name"), &call->queue);
    if (r == 0 && contact->has_queue)
        r = hook_text(reader, contact->queue, STR("queueArn"), &queue);
    if (r == 0 && contact->has_queue && queue.size == 0)
        r = hook_text(reader, contact->queue, STR("arn"), &queue);
    if (r == 0 && contact->has_agent)
        r = hook_text(reader, contact->agent, STR("agentArn"), &agent);
    if (r == 0 && contact->has_agent && agent.size == 0)
        r = hook_text(reader, contact->agent, STR("arn"), &agent);
    if (r < 0)
        return r;
    if (call->queue.size == 0 && contact->has_queue)
        call->queue = id_of_arn(queue);
    if (contact->has_agent)
        call->agent = id_of_arn(agent);
    if (contact->method.size)
        call->direction = is_outbound(contact) ? CALL_DIRECTION_OUTBOUND : CALL_DIRECTION_INBOUND;
    call->talk_ms = millis_between(contact->answered_at, contact->ended_at);
    call->wait_ms = millis_between(
        contact->queued_at, contact->answered_at ? contact->answered_at : contact->ended_at);
    return hook_keep(reader, "initiation_method", contact->method);
}

/* The customer's number, and what the contact flow has found out. */
static int identify(struct hook_reader *reader, const struct contact *contact)
{
    static const struct str lists[] = {
        STR_INIT("attributes"), STR_INIT("contactAttributes"), STR_INIT("tags")};
    struct json part, value;
    struct json_iterator iterator;
    struct str address, name;
    if (hook_object(contact->detail, STR("customerEndpoint"), &part)) {
        int r = hook_text(reader, part, STR("address"), &address);
        if (r < 0)
            return r;
        hook_identify_phone(reader, address);
    }
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        if (!hook_object(contact->detail, lists[i], &part))
            continue;
        json_iterate(part, &iterator);
        while (json_next(&iterator, &name, &value))
            if (json_kind(value) == JSON_TEXT)
                hook_identify_named(reader, name, json_text(value), true);
    }
    return 0;
}

static int read(struct hook_reader *reader, size_t nth)
{
    struct contact contact = {0};
    int r = read_ids(reader, &contact);
    if (r < 0)
        return r;
    read_parts(&contact);
    set_time(reader, &contact);
    r = set_type(reader, &contact);
    if (r == 0)
        r = read_call(reader, &contact);
    if (r == 0)
        r = identify(reader, &contact);
    if (r == 0 && is_voice(&contact)) {
        device_init(&reader->event.device);
        reader->event.has_device = true;
        reader->event.device.kind = DEVICE_KIND_PHONE;
    }
    return r;
}

const struct hook_kind hook_connect = {.name = STR_INIT("connect"),
    .believe = believe,
    .proof = HOOK_PROOF_SECRET,
    .proof_header = PROOF_HEADER,
    .names_header = true,
    .read = read};
