/* The mapping of a message, part by part. What has no place of its own stays in properties. */
#include "ingest/collector/protocol/segment_message.h"

#include "ingest/collector/protocol/consent_words.h"
#include "ingest/collector/protocol/page_address.h"
#include "ingest/collector/protocol/segment_fields.h"
#include "ingest/collector/protocol/segment_names.h"
#include "ingest/collector/protocol/segment_object.h"
#include "ingest/collector/protocol/segment_order.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define IDENTIFIERS_ROOM 16
#define MICROS_PER_MILLISECOND 1000
#define SCREEN_SIZE_MAX 32
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static const struct {
    struct str name;
    struct str type; /* of a track: its event's name decides */
} calls[SEGMENT_CALL_COUNT] = {
    [SEGMENT_TRACK] = {STR_INIT("track"), STR_INIT("")},
    [SEGMENT_PAGE] = {STR_INIT("page"), STR_INIT("page_viewed")},
    [SEGMENT_SCREEN] = {STR_INIT("screen"), STR_INIT("screen_viewed")},
    [SEGMENT_IDENTIFY] = {STR_INIT("identify"), STR_INIT("identified")},
    [SEGMENT_GROUP] = {STR_INIT("group"), STR_INIT("group_joined")},
    [SEGMENT_ALIAS] = {STR_INIT("alias"), STR_INIT("aliased")},
    [SEGMENT_MERGE] = {STR_INIT("merge"), STR_INIT("aliased")},
};

/* A message while it is read. */
struct reader {
    const struct segment_message *message;
    struct arena *arena;
    struct touchpoint *event;
    struct event_problem *problem;
    struct segment_fields item;
    struct json context; /* the message's own */
    bool has_context;
    struct segment_fields context_fields;
    struct json outer; /* of the envelope */
    bool has_outer;
    struct segment_fields outer_fields;
    struct json properties;
    bool has_properties;
    struct json traits;
    bool has_traits;
    struct str anonymous_namespace;
    bool on_device;              /* the library runs with the customer, not on a server */
    struct segment_members rest; /* what becomes properties */
};

int segment_call_of(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(calls); i++)
        if (str_equal(calls[i].name, name))
            return (int)i;
    return -1;
}

static int fail(struct reader *reader, int error, struct str pointer, struct str hint)
{
    if (error == ERR_NO_MEMORY)
        return error;
    *reader->problem = (struct event_problem){.error = error, .pointer = pointer, .hint = hint};
    return error;
}

/* A member of the message as segment_text_strict(). */
static int item_text_strict(struct reader *reader, enum segment_field field, struct str *out)
{
    struct json value;
    *out = str_make(NULL, 0);
    return segment_fields_get(&reader->item, field, &value)
               ? segment_value_text(value, reader->arena, out)
               : 0;
}

/* A member of the message as segment_text(). */
static int item_text(struct reader *reader, enum segment_field field, struct str *out)
{
    int r = item_text_strict(reader, field, out);
    return r == ERR_FIELD_TYPE ? 0 : r;
}

/* A member of the message when it is an object. */
static bool item_object(const struct reader *reader, enum segment_field field, struct json *out)
{
    return segment_fields_get(&reader->item, field, out) && json_kind(*out) == JSON_OBJECT;
}

/* A member of the context: the message's own, else the envelope's. */
static bool context_get(const struct reader *reader, enum segment_field field, struct json *out)
{
    return (segment_fields_get(&reader->context_fields, field, out) &&
               json_kind(*out) != JSON_NULL) ||
           (segment_fields_get(&reader->outer_fields, field, out) && json_kind(*out) != JSON_NULL);
}

static bool context_object(const struct reader *reader, enum segment_field field, struct json *out)
{
    return context_get(reader, field, out) && json_kind(*out) == JSON_OBJECT;
}

static struct str context_text(const struct reader *reader, enum segment_field field)
{
    struct json value;
    if (context_get(reader, field, &value) && json_kind(value) == JSON_TEXT)
        return json_text(value);
    return str_make(NULL, 0);
}

/* ---- head ---- */

static int read_id(struct reader *reader)
{
    struct str *id = &reader->event->event_id;
    int r = item_text_strict(reader, SEGMENT_FIELD_MESSAGE_ID, id);
    if (r == 0 && id->size == 0)
        *id = reader->message->id;
    if (r == ERR_FIELD_TYPE || (r == 0 && (id->size == 0 || id->size > EVENT_ID_SIZE_MAX)))
        return fail(reader, ERR_EVENT_ID, STR("/messageId"), STR("1 to 100 bytes"));
    return r;
}

static int read_type(struct reader *reader)
{
    struct touchpoint *event = reader->event;
    const struct segment_message *message = reader->message;
    event->type = calls[message->call].type;
    if (message->call != SEGMENT_TRACK)
        return 0;
    struct str text;
    int r = item_text_strict(reader, SEGMENT_FIELD_EVENT, &text);
    if (r < 0 || text.size == 0)
        return fail(reader, r < 0 ? r : ERR_MISSING_FIELD, STR("/event"), STR("the event's name"));
    struct segment_name name;
    r = segment_name_read(text, reader->arena, &name);
    if (r < 0)
        return r;
    event->type = name.type;
    if (name.message != MESSAGE_KIND_UNKNOWN) {
        event->has_message = true;
        message_init(&event->message);
        event->message.kind = name.message;
    }
    return name.exact
               ? 0
               : segment_members_add_text(&reader->rest, reader->arena, STR("event_name"), text);
}

/* 0, SEGMENT_TIME_ABSENT, or ERR_TIME. A time without offset is UTC. */
#define SEGMENT_TIME_ABSENT 1
static int time_of(struct json value, int64_t *micros)
{
    switch (json_kind(value)) {
    case JSON_NULL:
        return SEGMENT_TIME_ABSENT;
    case JSON_TEXT:
        return json_text(value).size ? time_parse_local(json_text(value), 0, micros)
                                     : SEGMENT_TIME_ABSENT;
    case JSON_INT:
        return __builtin_mul_overflow(json_int(value), MICROS_PER_MILLISECOND, micros) ? ERR_TIME
                                                                                       : 0;
    default:
        return ERR_TIME;
    }
}

static int item_time(const struct reader *reader, enum segment_field field, int64_t *micros)
{
    struct json value;
    return segment_fields_get(&reader->item, field, &value) ? time_of(value, micros)
                                                            : SEGMENT_TIME_ABSENT;
}

/* Whether `timestamp` is taken as it is: Rudder's servers do so, Segment's correct it like
 * originalTimestamp. Source: PROTOCOLS, "Segment and Rudder". */
static bool takes_verbatim(const struct reader *reader)
{
    enum config_event_time way = reader->message->event_time;
    return way == EVENT_TIME_VERBATIM ||
           (way == EVENT_TIME_USUAL && reader->event->protocol == PROTOCOL_RUDDER);
}

/* When something that was said to be at this time was by our clock, after how late the client says
 * that it sent it; false where it does not say. */
static bool correct(const struct reader *reader, int64_t said, int64_t *out)
{
    const struct segment_message *message = reader->message;
    int64_t sent = 0;
    int64_t late;
    int64_t corrected;
    struct json value;
    int absent = item_time(reader, SEGMENT_FIELD_SENT_AT, &sent);
    if (absent != 0 && message->has_envelope && json_get(message->envelope, STR("sentAt"), &value))
        absent = time_of(value, &sent);
    if (absent != 0 || __builtin_sub_overflow(sent, said, &late) ||
        __builtin_sub_overflow(message->now_micros, late, &corrected))
        return false;
    *out = corrected;
    return true;
}

/* Event time = received - (sentAt - originalTimestamp). Without sentAt the client's word stands,
 * without its word the door takes its own. */
static int read_times(struct reader *reader)
{
    struct touchpoint *event = reader->event;
    static const struct {
        enum segment_field field;
        struct str pointer;
    } times[] = {{SEGMENT_FIELD_ORIGINAL_TIMESTAMP, STR_INIT("/originalTimestamp")},
        {SEGMENT_FIELD_TIMESTAMP, STR_INIT("/timestamp")}};
    bool verbatim = takes_verbatim(reader);
    size_t first = verbatim ? 1 : 0; /* of the two, which is asked first */
    int r = SEGMENT_TIME_ABSENT;
    int64_t said = 0;
    size_t i = 0;
    for (; r == SEGMENT_TIME_ABSENT && i < COUNT_OF(times); i++) {
        r = item_time(reader, times[first ^ i].field, &said);
        if (r < 0)
            return fail(reader, r, times[first ^ i].pointer, STR("RFC 3339"));
    }
    if (r == SEGMENT_TIME_ABSENT)
        return 0;
    event->occurred_at = said;
    event->time_quality = TIME_QUALITY_CLIENT;
    bool as_it_is = verbatim && i == 1; /* timestamp was there */
    if (!as_it_is && correct(reader, said, &event->occurred_at))
        event->time_quality = TIME_QUALITY_CORRECTED;
    return 0;
}

/* ---- identity ---- */

static bool contains(struct str text, const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i + size <= text.size; i++)
        if (strncasecmp(text.data + i, word, size) == 0)
            return true;
    return false;
}

static bool is_in(struct str text, const struct str *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(list[i], text))
            return true;
    return false;
}

/* Whose library it is, and where it runs. Rudder's for servers are named like Segment's, but say a
 * channel, as all of Rudder's do. An app's anonymousId belongs to its installation. */
static void read_library(struct reader *reader)
{
    static const struct str apps[] = {STR_INIT("analytics-ios"), STR_INIT("analytics-swift"),
        STR_INIT("analytics-android"), STR_INIT("analytics-kotlin"),
        STR_INIT("analytics-react-native"), STR_INIT("@segment/analytics-react-native"),
        STR_INIT("analytics_flutter"), STR_INIT("analytics-flutter")};
    static const struct str pages[] = {
        STR_INIT("analytics.js"), STR_INIT("@segment/analytics-next"), STR_INIT("npm:next")};
    struct json library;
    struct json value;
    struct str name = str_make(NULL, 0);
    if (context_object(reader, SEGMENT_FIELD_LIBRARY, &library) &&
        json_get(library, STR("name"), &value) && json_kind(value) == JSON_TEXT)
        name = json_text(value);
    struct str channel = str_make(NULL, 0);
    if (segment_fields_get(&reader->item, SEGMENT_FIELD_CHANNEL, &value) &&
        json_kind(value) == JSON_TEXT)
        channel = json_text(value);
    bool named = contains(name, "rudder");
    bool rudder = named || channel.size || reader->message->call == SEGMENT_MERGE;
    bool app = is_in(name, apps, COUNT_OF(apps)) || (named && str_equal(channel, STR("mobile")));
    bool page = is_in(name, pages, COUNT_OF(pages)) || (named && str_equal(channel, STR("web")));
    reader->event->protocol = rudder ? PROTOCOL_RUDDER : PROTOCOL_SEGMENT;
    reader->anonymous_namespace = app ? STR("install") : STR("cookie");
    reader->on_device = reader->message->browser || app || page;
}

static void add_identifier(struct reader *reader, struct str name, struct str value)
{
    struct touchpoint *event = reader->event;
    if (value.size == 0)
        return;
    check(event->identifiers_count < IDENTIFIERS_ROOM);
    event->identifiers[event->identifiers_count++] =
        (struct identifier){.namespace = name, .value = value};
}

/* Adds the member as an identifier. */
static int take_identifier(
    struct reader *reader, struct json object, struct str key, struct str name)
{
    struct str value;
    int r = segment_text(object, key, reader->arena, &value);
    if (r == 0)
        add_identifier(reader, name, value);
    return r;
}

static int take_traits(struct reader *reader, struct json traits, bool has_login)
{
    int r = take_identifier(reader, traits, STR("email"), STR("email"));
    if (r == 0)
        r = take_identifier(reader, traits, STR("phone"), STR("phone"));
    if (r == 0)
        r = take_identifier(reader, traits, STR("loyalty_id"), STR("loyalty"));
    if (r == 0 && !has_login)
        r = take_identifier(reader, traits, STR("id"), STR("login"));
    return r;
}

static int read_identifiers(struct reader *reader)
{
    struct json object;
    struct str login;
    struct str anonymous;
    int r = item_text_strict(reader, SEGMENT_FIELD_USER_ID, &login);
    if (r < 0)
        return fail(reader, r, STR("/userId"), STR("a text"));
    r = item_text_strict(reader, SEGMENT_FIELD_ANONYMOUS_ID, &anonymous);
    if (r < 0)
        return fail(reader, r, STR("/anonymousId"), STR("a text"));
    add_identifier(reader, STR("login"), login);
    add_identifier(reader, reader->anonymous_namespace, anonymous);
    if (reader->has_traits && reader->message->call != SEGMENT_GROUP)
        r = take_traits(reader, reader->traits, login.size != 0);
    if (r == 0 && context_object(reader, SEGMENT_FIELD_TRAITS, &object))
        r = take_traits(reader, object, login.size != 0 || reader->has_traits);
    if (r == 0 && context_object(reader, SEGMENT_FIELD_DEVICE, &object)) {
        r = take_identifier(reader, object, STR("id"), STR("device"));
        if (r == 0)
            r = take_identifier(reader, object, STR("advertisingId"), STR("device"));
    }
    return r;
}

/* alias: previousId and userId are one person, by explicit word. Of one that names itself nothing
 * follows: analytics-next fills previousId anew when it sends an alias again, by then with the new
 * id. */
static int read_alias(struct reader *reader)
{
    if (reader->message->call != SEGMENT_ALIAS)
        return 0;
    struct str previous;
    struct str anonymous;
    struct str login;
    int r = item_text_strict(reader, SEGMENT_FIELD_PREVIOUS_ID, &previous);
    if (r == 0)
        r = item_text(reader, SEGMENT_FIELD_ANONYMOUS_ID, &anonymous);
    if (r == 0)
        r = item_text(reader, SEGMENT_FIELD_USER_ID, &login);
    if (r < 0 || previous.size == 0 || login.size == 0)
        return fail(reader, r < 0 ? r : ERR_MISSING_FIELD,
            login.size ? STR("/previousId") : STR("/userId"),
            STR("alias needs previousId and userId"));
    if (str_equal(previous, login))
        return 0;
    struct evidence *evidence = &reader->event->evidence;
    evidence_init(evidence);
    evidence->a_namespace =
        str_equal(previous, anonymous) ? reader->anonymous_namespace : STR("login");
    evidence->a_value = previous;
    evidence->b_namespace = STR("login");
    evidence->b_value = login;
    evidence->reason = STR("alias");
    reader->event->has_evidence = true;
    return 0;
}

/* Names that Rudder's customers give to what identifies: the namespace that each is here. Names of
 * namespaces stand for themselves. */
static struct str merge_namespace(const struct reader *reader, struct str type)
{
    static const struct {
        struct str type;
        struct str name;
    } known[] = {{STR_INIT("user_id"), STR_INIT("login")}, {STR_INIT("userId"), STR_INIT("login")},
        {STR_INIT("mobile"), STR_INIT("phone")}, {STR_INIT("device_id"), STR_INIT("device")},
        {STR_INIT("deviceId"), STR_INIT("device")}, {STR_INIT("loyalty_id"), STR_INIT("loyalty")}};
    if (str_equal(type, STR("anonymous_id")) || str_equal(type, STR("anonymousId")))
        return reader->anonymous_namespace;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_equal(known[i].type, type))
            return known[i].name;
    return type;
}

/* One end: {"type": "email", "value": "a@b"}. */
static int read_merge_end(
    struct reader *reader, struct json end, struct str *namespace, struct str *value)
{
    struct str type;
    if (json_kind(end) != JSON_OBJECT)
        return ERR_FIELD_TYPE;
    int r = segment_text_strict(end, STR("type"), reader->arena, &type);
    if (r == 0)
        r = segment_text_strict(end, STR("value"), reader->arena, value);
    if (r == 0 && (type.size == 0 || value->size == 0))
        r = ERR_MISSING_FIELD;
    if (r == 0)
        *namespace = merge_namespace(reader, type);
    return r;
}

/* merge: both mergeProperties are one person, by explicit word; userId or anonymousId says whose
 * timeline shows it. Source: RudderStack, "Event spec: merge". */
static int read_merge(struct reader *reader)
{
    static const struct str hint =
        STR_INIT("merge needs two of {\"type\":\"email\",\"value\":\"a@example.jp\"}");
    struct json pair, a, b;
    struct json_iterator iterator;
    struct str none;
    if (reader->message->call != SEGMENT_MERGE)
        return 0;
    if (!segment_fields_get(&reader->item, SEGMENT_FIELD_MERGE_PROPERTIES, &pair))
        return fail(reader, ERR_MISSING_FIELD, STR("/mergeProperties"), hint);
    if (json_kind(pair) != JSON_ARRAY)
        return fail(reader, ERR_FIELD_TYPE, STR("/mergeProperties"), hint);
    if (json_count(pair) != 2)
        return fail(reader, json_count(pair) > 2 ? ERR_TOO_MANY : ERR_MISSING_FIELD,
            STR("/mergeProperties"), hint);
    json_iterate(pair, &iterator);
    (void)json_next(&iterator, &none, &a);
    (void)json_next(&iterator, &none, &b);
    struct evidence *evidence = &reader->event->evidence;
    evidence_init(evidence);
    int r = read_merge_end(reader, a, &evidence->a_namespace, &evidence->a_value);
    if (r < 0)
        return fail(reader, r, STR("/mergeProperties/0"), hint);
    r = read_merge_end(reader, b, &evidence->b_namespace, &evidence->b_value);
    if (r < 0)
        return fail(reader, r, STR("/mergeProperties/1"), hint);
    evidence->reason = STR("merge");
    reader->event->has_evidence = true;
    return 0;
}

/* ---- parts ---- */

static int read_page(struct reader *reader)
{
    struct json page;
    bool of_call = reader->message->call == SEGMENT_PAGE && reader->has_properties;
    if (of_call)
        page = reader->properties;
    else if (!context_object(reader, SEGMENT_FIELD_PAGE, &page))
        return 0;
    struct str address;
    struct str referrer;
    struct page *out = &reader->event->page;
    page_init(out);
    int r = segment_text(page, STR("url"), reader->arena, &address);
    if (r == 0)
        r = segment_text(page, STR("referrer"), reader->arena, &referrer);
    if (r == 0)
        r = segment_text(page, STR("title"), reader->arena, &out->title);
    if (r == 0)
        r = page_address_read(address, referrer, reader->arena, out);
    if (r < 0)
        return r;
    if (address.size == 0)
        r = segment_text(page, STR("path"), reader->arena, &out->path);
    reader->event->has_page = address.size || referrer.size || out->title.size || out->path.size;
    return r;
}

static int read_campaign(struct reader *reader)
{
    struct json object;
    if (!context_object(reader, SEGMENT_FIELD_CAMPAIGN, &object))
        return 0;
    struct campaign *out = &reader->event->campaign;
    campaign_init(out);
    const struct {
        struct str key;
        struct str *text;
    } members[] = {{STR("source"), &out->source}, {STR("medium"), &out->medium},
        {STR("name"), &out->name}, {STR("content"), &out->content}, {STR("term"), &out->term},
        {STR("id"), &out->id}};
    for (size_t i = 0; i < COUNT_OF(members); i++) {
        int r = segment_text(object, members[i].key, reader->arena, members[i].text);
        if (r < 0)
            return r;
        if (members[i].text->size)
            reader->event->has_campaign = true;
    }
    return 0;
}

/* "iOS 17.1": two texts of an object and a blank between. */
static int join_texts(struct reader *reader, struct json object, struct str first,
    struct str second, const char *between, struct str *out)
{
    struct str a;
    struct str b;
    int r = segment_text(object, first, reader->arena, &a);
    if (r == 0)
        r = segment_text(object, second, reader->arena, &b);
    if (r < 0)
        return r;
    if (a.size == 0 || b.size == 0) {
        *out = a.size ? a : b;
        return 0;
    }
    char *text = arena_alloc(reader->arena, a.size + b.size + 1);
    if (!text)
        return ERR_NO_MEMORY;
    memcpy(text, a.data, a.size);
    text[a.size] = *between;
    memcpy(text + a.size + 1, b.data, b.size);
    *out = str_make(text, a.size + b.size + 1);
    return 0;
}

static int read_device(struct reader *reader)
{
    struct device *out = &reader->event->device;
    struct json object;
    int r = 0;
    device_init(out);
    if (str_equal(reader->anonymous_namespace, STR("install")))
        out->kind = DEVICE_KIND_APP;
    out->locale = context_text(reader, SEGMENT_FIELD_LOCALE);
    if (context_object(reader, SEGMENT_FIELD_OS, &object))
        r = join_texts(reader, object, STR("name"), STR("version"), " ", &out->os);
    if (r == 0 && context_object(reader, SEGMENT_FIELD_SCREEN, &object))
        r = join_texts(reader, object, STR("width"), STR("height"), "x", &out->screen);
    if (r == 0 && context_object(reader, SEGMENT_FIELD_APP, &object)) {
        r = segment_text(object, STR("name"), reader->arena, &out->app);
        if (r == 0)
            r = segment_text(object, STR("version"), reader->arena, &out->app_version);
    }
    reader->event->has_device = out->kind != DEVICE_KIND_UNKNOWN || out->locale.size ||
                                out->os.size || out->screen.size || out->app.size ||
                                out->app_version.size;
    return r;
}

static int read_client(struct reader *reader)
{
    struct client *out = &reader->event->client;
    struct json library;
    int r = 0;
    client_init(out);
    out->user_agent = context_text(reader, SEGMENT_FIELD_USER_AGENT);
    out->address = context_text(reader, SEGMENT_FIELD_IP);
    if (context_object(reader, SEGMENT_FIELD_LIBRARY, &library))
        r = join_texts(reader, library, STR("name"), STR("version"), "/", &out->library);
    if (reader->on_device && out->user_agent.size == 0)
        out->user_agent = reader->message->user_agent;
    if (reader->on_device && out->address.size == 0)
        out->address = reader->message->address;
    reader->event->has_client = out->user_agent.size || out->address.size || out->library.size;
    return r;
}

/* ---- consent ---- */

/* An absent category is a no. Source: PROTOCOLS, "Segment and Rudder". */
static void read_consent(struct reader *reader)
{
    struct json consent;
    struct json categories;
    if (!context_object(reader, SEGMENT_FIELD_CONSENT, &consent) ||
        !segment_object(consent, STR("categoryPreferences"), &categories))
        return;
    struct consent *out = &reader->event->consent;
    *out = (struct consent){CHOICE_DENIED, CHOICE_DENIED, CHOICE_DENIED};
    struct json_iterator iterator;
    struct str key;
    struct json value;
    json_iterate(categories, &iterator);
    while (json_next(&iterator, &key, &value)) {
        if (json_kind(value) != JSON_BOOL || !json_bool(value))
            continue;
        consent_grant(key, out);
    }
}

/* ---- the rest ---- */

/* What the message's own context says, as far as it has no place of its own. */
static int keep_own(struct reader *reader, struct segment_members *left)
{
    if (!reader->has_context || segment_field_placed(reader->context_fields.lowest))
        return 0;
    struct json_iterator iterator;
    struct segment_member member = {0};
    int r = segment_members_reserve(left, reader->arena, json_count(reader->context));
    json_iterate(reader->context, &iterator);
    while (r == 0 && json_next(&iterator, &member.key, &member.value))
        if (!segment_field_placed(segment_field_of(member.key)))
            left->list[left->count++] = member;
    return r;
}

/* What the envelope's context says and the message's own does not. */
static int keep_outer(struct reader *reader, struct segment_members *left)
{
    if (!reader->has_outer || segment_field_placed(reader->outer_fields.lowest))
        return 0;
    struct json_iterator iterator;
    struct str key;
    struct json value;
    int r = 0;
    json_iterate(reader->outer, &iterator);
    while (r == 0 && json_next(&iterator, &key, &value))
        if (!segment_field_placed(segment_field_of(key)))
            r = segment_members_add(left, reader->arena, key, STR(""), value);
    return r;
}

/* What is left of the context goes into properties as "context". */
static int keep_context(struct reader *reader)
{
    static const struct str device_taken[] = {
        STR_INIT("id"), STR_INIT("advertisingId"), STR_INIT("token")};
    struct segment_members left = {0};
    struct segment_members device = {0};
    struct json object;
    struct str text;
    int r = 0;
    if (context_object(reader, SEGMENT_FIELD_DEVICE, &object))
        r = segment_members_add_all(
            &device, reader->arena, object, device_taken, COUNT_OF(device_taken));
    if (r == 0)
        r = segment_members_write(&device, reader->arena, &text);
    if (r == 0 && text.size)
        r = segment_members_add(&left, reader->arena, STR("device"), text, (struct json){0});
    if (r == 0)
        r = keep_own(reader, &left);
    if (r == 0)
        r = keep_outer(reader, &left);
    if (r == 0)
        r = segment_members_write(&left, reader->arena, &text);
    if (r == 0 && text.size)
        r = segment_members_add(
            &reader->rest, reader->arena, STR("context"), text, (struct json){0});
    return r;
}

/* Members of the message that name the page, the group. */
static int keep_names(struct reader *reader)
{
    static const struct {
        enum segment_field field;
        struct str name;
    } names[] = {{SEGMENT_FIELD_NAME, STR_INIT("name")},
        {SEGMENT_FIELD_CATEGORY, STR_INIT("category")},
        {SEGMENT_FIELD_GROUP_ID, STR_INIT("groupId")}};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct str text;
        int r = item_text(reader, names[i].field, &text);
        if (r == 0)
            r = segment_members_add_text(&reader->rest, reader->arena, names[i].name, text);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Properties (or traits) but for what went into a part of its own. */
static int keep_properties(struct reader *reader, const struct segment_order_keys *order)
{
    static const struct str page_taken[] = {STR_INIT("url"), STR_INIT("referrer"),
        STR_INIT("title"), STR_INIT("path"), STR_INIT("search")};
    static const struct str traits_taken[] = {
        STR_INIT("email"), STR_INIT("phone"), STR_INIT("loyalty_id")};
    int r = 0;
    if (reader->has_properties) {
        bool page = reader->message->call == SEGMENT_PAGE;
        r = segment_members_add_all(&reader->rest, reader->arena, reader->properties,
            page ? page_taken : order->names, page ? COUNT_OF(page_taken) : order->count);
    }
    if (r == 0 && reader->has_traits && !reader->has_properties)
        r = segment_members_add_all(
            &reader->rest, reader->arena, reader->traits, traits_taken, COUNT_OF(traits_taken));
    if (r == 0)
        r = keep_names(reader);
    if (r == 0)
        r = keep_context(reader);
    if (r == 0)
        r = segment_members_write(&reader->rest, reader->arena, &reader->event->properties);
    return r == ERR_TOO_LARGE ? fail(reader, r, STR("/properties"), STR("")) : r;
}

/* PHP writes an object without members so. */
static bool is_empty_array(struct json value)
{
    return json_kind(value) == JSON_ARRAY && json_count(value) == 0;
}

static void open_item(struct reader *reader)
{
    const struct segment_message *message = reader->message;
    segment_fields_read(message->item, &reader->item);
    reader->has_context = item_object(reader, SEGMENT_FIELD_CONTEXT, &reader->context);
    if (reader->has_context)
        segment_fields_read(reader->context, &reader->context_fields);
    reader->has_outer =
        message->has_envelope && segment_object(message->envelope, STR("context"), &reader->outer);
    if (reader->has_outer)
        segment_fields_read(reader->outer, &reader->outer_fields);
}

static int open_objects(struct reader *reader)
{
    reader->has_properties = item_object(reader, SEGMENT_FIELD_PROPERTIES, &reader->properties);
    reader->has_traits = item_object(reader, SEGMENT_FIELD_TRAITS, &reader->traits);
    struct json value;
    if (!reader->has_properties &&
        segment_fields_get(&reader->item, SEGMENT_FIELD_PROPERTIES, &value) &&
        json_kind(value) != JSON_NULL && !is_empty_array(value))
        return fail(reader, ERR_FIELD_TYPE, STR("/properties"), STR("an object"));
    reader->event->identifiers =
        arena_alloc(reader->arena, IDENTIFIERS_ROOM * sizeof *reader->event->identifiers);
    return reader->event->identifiers ? 0 : ERR_NO_MEMORY;
}

int segment_read(
    const struct segment_message *message, struct touchpoint *out, struct event_problem *problem)
{
    struct reader reader = {
        .message = message, .arena = message->arena, .event = out, .problem = problem};
    struct segment_order_keys order = {0};
    touchpoint_init(out);
    open_item(&reader);
    int r = read_id(&reader);
    if (r == 0)
        r = open_objects(&reader);
    if (r == 0)
        r = read_type(&reader);
    if (r < 0)
        return r;
    read_library(&reader);
    r = read_times(&reader);
    if (r < 0)
        return r;
    read_consent(&reader);
    r = read_identifiers(&reader);
    if (r == 0)
        r = read_alias(&reader);
    if (r == 0)
        r = read_merge(&reader);
    if (r == 0)
        r = read_page(&reader);
    if (r == 0)
        r = read_campaign(&reader);
    if (r == 0)
        r = read_device(&reader);
    if (r == 0)
        r = read_client(&reader);
    if (r == 0 && reader.has_properties && message->call == SEGMENT_TRACK)
        r = segment_order_read(
            reader.properties, message->currency, reader.arena, out, &order, problem);
    if (r == 0)
        r = keep_properties(&reader, &order);
    return r;
}

enum protocol segment_protocol(const struct segment_message *message)
{
    struct touchpoint event;
    struct reader reader = {.message = message, .event = &event};
    touchpoint_init(&event);
    open_item(&reader);
    read_library(&reader);
    return event.protocol;
}
