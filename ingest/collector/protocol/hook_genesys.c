/*
 * Genesys Cloud's events of conversations, as a webhook, a notification or EventBridge wraps them.
 * Source: Genesys, "Notification topics: v2.detail.events.conversation.{id}..."; PROTOCOLS.
 */
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "ingest/collector/protocol/hook_kind.h"
#include "ingest/collector/protocol/hook_signature.h"
#include "schemas/error.h"
#include "schemas/hash.h"

#define PROOF_HEADER "X-Hub-Signature-256"
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static int believe(const struct exchange *exchange, const struct config_source *source,
    const struct exchange_pair *pairs, size_t pairs_count, int *refusal)
{
    *refusal = hook_refusal(exchange, source, exchange_header(exchange, PROOF_HEADER));
    return 0;
}

/* A conversation's event while it is read. */
struct conversation {
    struct json body;  /* eventBody */
    struct str moment; /* "customer.start", the end of the topic */
    bool voice;
};

static bool is_word(struct str text, const char *word)
{
    return text.size == strlen(word) && strncasecmp(text.data, word, text.size) == 0;
}

static int64_t millis_of(struct json object, struct str key)
{
    struct json value;
    bool found = hook_get(object, key, &value) && json_kind(value) == JSON_INT;
    return found && json_int(value) > 0 ? json_int(value) : 0;
}

/* The last two words of a topic. */
static struct str moment_of(struct str topic)
{
    size_t begin = topic.size;
    for (int dots = 0; begin > 0; begin--)
        if (topic.data[begin - 1] == '.' && ++dots == 2)
            break;
    return str_make(topic.data + begin, topic.size - begin);
}

/* EventBridge's envelope holds the notification, the notification the event. */
static int unwrap(struct hook_reader *reader, struct conversation *out)
{
    struct json outer = reader->item;
    struct str topic;
    if (json_kind(outer) != JSON_OBJECT)
        return hook_fail(reader, ERR_FIELD_TYPE, STR(""), STR("an object"));
    int r = hook_text(reader, outer, STR("detail-type"), &topic);
    (void)hook_object(reader->item, STR("detail"), &outer);
    if (r == 0 && topic.size == 0)
        r = hook_text(reader, outer, STR("topicName"), &topic);
    if (r == 0 && topic.size == 0)
        r = hook_text(reader, outer, STR("topic"), &topic);
    out->body = outer;
    (void)hook_object(outer, STR("eventBody"), &out->body);
    if (r == 0 && topic.size == 0)
        r = hook_text(reader, out->body, STR("eventType"), &topic);
    out->moment = moment_of(topic);
    return r;
}

/* Who of the conversation it tells of, as 16 hex digits, for ids of two would leave no room beside
 * the conversation's; empty where it names nobody. */
static int read_whose(struct hook_reader *reader, struct json body, struct str *out)
{
    static const struct str keys[] = {STR_INIT("participantId"), STR_INIT("userId")};
    struct str pieces[COUNT_OF(keys)];
    struct str both;
    int r = 0;
    for (size_t i = 0; r == 0 && i < COUNT_OF(keys); i++)
        r = hook_text(reader, body, keys[i], &pieces[i]);
    *out = STR("");
    if (r < 0 || (pieces[0].size == 0 && pieces[1].size == 0))
        return r;
    r = hook_join(reader, pieces, COUNT_OF(keys), &both);
    if (r < 0)
        return r;
    uint64_t hash = hash64(both);
    char *text = arena_alloc(reader->arena, 2 * sizeof hash + 1);
    if (!text)
        return ERR_NO_MEMORY;
    int size = snprintf(text, 2 * sizeof hash + 1, "%016" PRIx64, hash);
    *out = str_make(text, (size_t)size);
    return 0;
}

/* Conversation and time; which moment and whose, for several may fall into one millisecond. */
static int read_id(struct hook_reader *reader, const struct conversation *conversation)
{
    struct call *call = &reader->event.call;
    struct str when, whose;
    call_init(call);
    int r = hook_text(reader, conversation->body, STR("conversationId"), &call->call_id);
    if (r == 0)
        r = hook_text(reader, conversation->body, STR("eventTime"), &when);
    if (r == 0)
        r = read_whose(reader, conversation->body, &whose);
    if (r < 0)
        return r;
    if (call->call_id.size == 0 || when.size == 0)
        return hook_fail(
            reader, ERR_EVENT_ID, STR("/eventBody"), STR("conversationId and eventTime"));
    reader->event.has_call = true;
    struct str pieces[4] = {call->call_id, when};
    size_t count = 2;
    if (conversation->moment.size)
        pieces[count++] = conversation->moment;
    if (whose.size)
        pieces[count++] = whose;
    hook_occurred(reader, hook_micros(conversation->body, STR("eventTime")));
    r = hook_join(reader, pieces, count, &reader->event.event_id);
    if (r == 0 && reader->event.occurred_at == 0)
        r = hook_fail(reader, ERR_TIME, STR("/eventBody/eventTime"),
            STR("milliseconds since 1970, or RFC 3339"));
    return r;
}

/* A call that was given up has an acd.end that says so, then a customer.end like any other's; each
 * is read alone. So that it does not count as abandoned and as ended, it has ended only where its
 * end says that somebody spoke; others' ends stay call_customer_end. Of an outgoing call nobody can
 * give up, and whom it called has ended it, spoken or not. */
static bool says_answered(const struct conversation *conversation, struct str outcome, bool lost)
{
    return !lost && (is_word(outcome, "answered") ||
                        millis_of(conversation->body, STR("interactingDurationMs")) > 0);
}

static int set_type(struct hook_reader *reader, struct conversation *conversation)
{
    static const struct {
        const char *moment;
        struct str call;
        struct str chat;
    } types[] = {
        {"customer.start", STR_INIT("call_started"), STR_INIT("chat_started")},
        {"user.start", STR_INIT("call_answered"), STR_INIT("chat_answered")},
        {"customer.end", STR_INIT("call_ended"), STR_INIT("chat_ended")},
    };
    struct touchpoint *event = &reader->event;
    bool outbound = event->call.direction == CALL_DIRECTION_OUTBOUND;
    struct str media;
    struct str outcome;
    int r = hook_text(reader, conversation->body, STR("mediaType"), &media);
    if (r == 0)
        r = hook_text(reader, conversation->body, STR("acdOutcome"), &outcome);
    if (r == 0 && outcome.size == 0)
        r = hook_text(reader, conversation->body, STR("outcome"), &outcome);
    if (r < 0)
        return r;
    conversation->voice = media.size == 0 || is_word(media, "voice") || is_word(media, "callback");
    bool chat = is_word(media, "chat") || is_word(media, "webchat") || is_word(media, "message");
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (is_word(conversation->moment, types[i].moment) && (conversation->voice || chat))
            event->type = conversation->voice ? types[i].call : types[i].chat;
    bool lost = outcome.size >= 7 && strncasecmp(outcome.data, "abandon", 7) == 0;
    if (str_equal(event->type, STR("call_ended")) && !outbound &&
        !says_answered(conversation, outcome, lost))
        event->type = STR("call_customer_end");
    if (str_equal(event->type, STR("call_answered")) && outbound)
        event->type = STR("call_user_start"); /* who calls, not whom he calls */
    if (conversation->voice && lost && !outbound && is_word(conversation->moment, "acd.end"))
        event->type = STR("call_abandoned");
    if (event->type.size == 0 && conversation->moment.size == 0)
        return hook_fail(reader, ERR_EVENT_TYPE, STR("/topicName"),
            STR("v2.detail.events.conversation.{id}.customer.start, ..."));
    if (event->type.size == 0)
        return hook_slug(reader, conversation->voice ? STR("call_") : STR("conversation_"),
            conversation->moment, &event->type);
    return 0;
}

/* The customer is who calls, or is called. */
static int identify(struct hook_reader *reader, const struct conversation *conversation)
{
    struct call *call = &reader->event.call;
    struct json attributes;
    struct json value;
    struct json_iterator iterator;
    struct str direction, ani, dnis, name;
    int r = hook_text(reader, conversation->body, STR("direction"), &direction);
    if (r == 0)
        r = hook_text(reader, conversation->body, STR("ani"), &ani);
    if (r == 0)
        r = hook_text(reader, conversation->body, STR("dnis"), &dnis);
    if (r < 0)
        return r;
    if (is_word(direction, "inbound"))
        call->direction = CALL_DIRECTION_INBOUND;
    else if (is_word(direction, "outbound"))
        call->direction = CALL_DIRECTION_OUTBOUND;
    hook_identify_phone(reader, call->direction == CALL_DIRECTION_OUTBOUND ? dnis : ani);
    if (!hook_object(conversation->body, STR("attributes"), &attributes))
        return 0;
    json_iterate(attributes, &iterator);
    while (json_next(&iterator, &name, &value))
        if (json_kind(value) == JSON_TEXT)
            hook_identify_named(reader, name, json_text(value), true);
    return 0;
}

static int read(struct hook_reader *reader, size_t nth)
{
    struct conversation conversation = {0};
    struct call *call = &reader->event.call;
    int r = unwrap(reader, &conversation);
    if (r == 0)
        r = read_id(reader, &conversation);
    if (r == 0)
        r = identify(reader, &conversation);
    if (r == 0)
        r = set_type(reader, &conversation);
    const struct {
        struct str key;
        struct str *text;
    } texts[] = {{STR("queueId"), &call->queue}, {STR("userId"), &call->agent},
        {STR("disconnectType"), &call->outcome}, {STR("wrapupCode"), &call->reason}};
    for (size_t i = 0; r == 0 && i < COUNT_OF(texts); i++)
        r = hook_text(reader, conversation.body, texts[i].key, texts[i].text);
    if (r < 0)
        return r;
    call->talk_ms = millis_of(conversation.body, STR("interactingDurationMs"));
    if (str_equal(reader->event.type, STR("call_abandoned")))
        call->wait_ms = millis_of(conversation.body, STR("connectedDurationMs"));
    if (conversation.voice) {
        device_init(&reader->event.device);
        reader->event.has_device = true;
        reader->event.device.kind = DEVICE_KIND_PHONE;
    }
    return 0;
}

const struct hook_kind hook_genesys = {.name = STR_INIT("genesys"),
    .believe = believe,
    .proof = HOOK_PROOF_BODY,
    .proof_header = PROOF_HEADER,
    .read = read};
