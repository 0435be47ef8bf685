/*
 * The builder. Each part's members lie in a text of their own, as JSON; the event is put together
 * when it is asked for.
 *
 * 1. `failure` is the first error of a setter; it stays, and is what the event is refused with.
 * 2. `line` is the whole event while `whole` is true; whatever changes the event makes it false.
 */
#include "ingest/producer/event.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "ingest/producer/error.h"
#include "ingest/producer/proof.h"
#include "ingest/producer/room.h"
#include "schemas/error.h"

#define POINTER_SIZE_MAX 64
#define INTEGER_TEXT_SIZE 24
#define MILLIS_PER_SECOND 1000
#define NANOS_PER_MILLI 1000000
#define LINE_OVERHEAD 512 /* names and marks of all parts but namespaces */

enum part {
    PART_CALL,
    PART_CAMPAIGN,
    PART_CLICK,
    PART_CONSENT,
    PART_DEVICE,
    PART_EVIDENCE,
    PART_GEO,
    PART_MESSAGE,
    PART_ORDER,
    PART_PAGE,
    PART_STORE,
    PARTS,
};

static const struct str part_names[PARTS] = {
    [PART_CALL] = STR_INIT("call"),
    [PART_CAMPAIGN] = STR_INIT("campaign"),
    [PART_CLICK] = STR_INIT("click"),
    [PART_CONSENT] = STR_INIT("consent"),
    [PART_DEVICE] = STR_INIT("device"),
    [PART_EVIDENCE] = STR_INIT("evidence"),
    [PART_GEO] = STR_INIT("geo"),
    [PART_MESSAGE] = STR_INIT("message"),
    [PART_ORDER] = STR_INIT("order"),
    [PART_PAGE] = STR_INIT("page"),
    [PART_STORE] = STR_INIT("store"),
};

/* An identifier's namespace and value, quoted, in the text `ids`. */
struct pair {
    uint32_t name_at, name_size, value_at, value_size;
};

struct tabiji_event {
    struct tabiji_allocator memory; /* of `room` first */
    int failure;
    char failure_pointer[POINTER_SIZE_MAX];
    bool whole;
    struct producer_text type; /* quoted, as all values */
    struct producer_text id;   /* as it is */
    struct producer_text time;
    struct producer_text sequence;
    struct producer_text ids;
    size_t pairs_count;
    struct producer_text parts[PARTS];
    bool said[PARTS];
    struct producer_text items;
    size_t items_count;
    struct producer_text properties;
    bool raw; /* JSON of the caller's is in them, which may have several lines */
    struct producer_text line;
    struct producer_proof proof;
    /* all below: not cleared */
    struct pair pairs[EVENT_IDENTIFIERS_MAX];
    struct producer_room room;
};

_Static_assert(PRODUCER_TEXT_SIZE_MAX < UINT32_MAX, "places in a text are 32 bits");

/* ---- what setters share ---- */

/* Keeps the first error, with "/part/member" or "/part". Returns the library's error. */
static int keep(struct tabiji_event *event, int error, const char *part, const char *member)
{
    event->whole = false;
    if (error == 0)
        return TABIJI_OK;
    if (event->failure == 0) {
        event->failure = error;
        (void)snprintf(event->failure_pointer, sizeof event->failure_pointer, "/%s%s%s", part,
            member ? "/" : "", member ? member : "");
    }
    return producer_error_of(error);
}

static int add(struct tabiji_event *event, struct producer_text *text, struct str bytes)
{
    return producer_text_add(&event->memory, text, bytes);
}

static int quote(struct tabiji_event *event, struct producer_text *text, const char *value)
{
    return producer_text_quote(&event->memory, text, str_of(value));
}

static struct str integer_text(int64_t value, char digits[INTEGER_TEXT_SIZE])
{
    char *at = digits + INTEGER_TEXT_SIZE;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0)
        *--at = '-';
    return str_make(at, (size_t)(digits + INTEGER_TEXT_SIZE - at));
}

static int add_integer(struct tabiji_event *event, struct producer_text *text, int64_t value)
{
    char digits[INTEGER_TEXT_SIZE];
    return add(event, text, integer_text(value, digits));
}

/* A comma where something stands before, then "name": */
static int add_name(struct tabiji_event *event, struct producer_text *text, struct str name)
{
    int r = text->size ? add(event, text, STR(",")) : 0;
    if (r == 0)
        r = producer_text_quote(&event->memory, text, name);
    return r == 0 ? add(event, text, STR(":")) : r;
}

/* The same for a name that the library itself gives, behind a brace too. */
static int add_known(struct tabiji_event *event, struct producer_text *text, struct str name)
{
    int r = producer_text_reserve(&event->memory, text, name.size + 4);
    if (r < 0)
        return r;
    char *at = text->data + text->size;
    if (text->size && at[-1] != '{')
        *at++ = ',';
    *at++ = '"';
    memcpy(at, name.data, name.size);
    at += name.size;
    memcpy(at, "\":", 3);
    text->size = (size_t)(at + 2 - text->data);
    return 0;
}

/* ---- structures by tables ---- */

enum member_kind {
    MEMBER_TEXT,
    MEMBER_INT, /* int64_t, 0 is not said */
    MEMBER_CHOICE,
};

struct member {
    struct str name;
    size_t offset;
    enum member_kind kind;
    enum producer_claim claim; /* of a text */
};

struct table {
    const struct member *members;
    size_t count;
};

#define TEXT_AS(type, key, member, claim)                                                          \
    {                                                                                              \
        STR_INIT(key), offsetof(struct tabiji_##type, member), MEMBER_TEXT, CLAIM_##claim          \
    }
#define TEXT(type, member) TEXT_AS(type, #member, member, TEXT)
#define CLAIMED(type, member, claim) TEXT_AS(type, #member, member, claim)
#define INT(type, member)                                                                          \
    {                                                                                              \
        STR_INIT(#member), offsetof(struct tabiji_##type, member), MEMBER_INT                      \
    }
#define CHOICE(type, member)                                                                       \
    {                                                                                              \
        STR_INIT(#member), offsetof(struct tabiji_##type, member), MEMBER_CHOICE                   \
    }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct member order_members[] = {CLAIMED(order, order_id, IDENTIFIER),
    CLAIMED(order, currency, CURRENCY), CLAIMED(order, revenue, REVENUE),
    CLAIMED(order, tax, MONEY), CLAIMED(order, shipping, MONEY), CLAIMED(order, discount, MONEY),
    TEXT(order, coupon), CLAIMED(order, facet, FACET)};
static const struct table order_table = {order_members, COUNT(order_members)};
static const struct member item_members[] = {
    TEXT(item, sku), TEXT(item, category), CLAIMED(item, price, PRICE), INT(item, quantity)};
static const struct table item_table = {item_members, COUNT(item_members)};
static const struct member call_members[] = {CLAIMED(call, call_id, IDENTIFIER),
    TEXT(call, parent_id), CLAIMED(call, direction, DIRECTION), TEXT(call, queue),
    TEXT(call, reason), TEXT(call, outcome), TEXT(call, agent), INT(call, wait_ms),
    INT(call, talk_ms)};
static const struct table call_table = {call_members, COUNT(call_members)};
static const struct member store_members[] = {
    TEXT(store, store_id), TEXT(store, terminal), TEXT(store, area), TEXT(store, staff)};
static const struct table store_table = {store_members, COUNT(store_members)};
static const struct member message_members[] = {CLAIMED(message, kind, MESSAGE),
    TEXT(message, message_id), TEXT_AS(message, "template", template_name, TEXT),
    TEXT(message, link)};
static const struct table message_table = {message_members, COUNT(message_members)};
static const struct member page_members[] = {
    TEXT(page, url), TEXT(page, referrer), TEXT(page, title)};
static const struct table page_table = {page_members, COUNT(page_members)};
static const struct member campaign_members[] = {TEXT(campaign, source), TEXT(campaign, medium),
    TEXT(campaign, name), TEXT(campaign, content), TEXT(campaign, term), TEXT(campaign, id),
    TEXT(campaign, message)};
static const struct table campaign_table = {campaign_members, COUNT(campaign_members)};
static const struct member device_members[] = {CLAIMED(device, kind, DEVICE), TEXT(device, os),
    TEXT(device, browser), TEXT(device, app), TEXT(device, app_version), TEXT(device, locale),
    TEXT(device, screen)};
static const struct table device_table = {device_members, COUNT(device_members)};
static const struct member geo_members[] = {TEXT(geo, country), TEXT(geo, region), TEXT(geo, city)};
static const struct table geo_table = {geo_members, COUNT(geo_members)};
static const struct member consent_members[] = {
    CHOICE(consent, analytics), CHOICE(consent, ads), CHOICE(consent, personalisation)};
static const struct table consent_table = {consent_members, COUNT(consent_members)};

static size_t member_size(enum member_kind kind)
{
    if (kind == MEMBER_TEXT)
        return sizeof(const char *);
    return kind == MEMBER_INT ? sizeof(int64_t) : sizeof(enum tabiji_choice);
}

/* One member, where it is said. */
static int add_member(struct tabiji_event *event, struct producer_text *text,
    const struct member *member, const char *value)
{
    if (member->kind == MEMBER_TEXT) {
        const char *said;
        memcpy(&said, value, sizeof said);
        if (!said)
            return 0;
        if (member->claim != CLAIM_TEXT)
            producer_proof_member(&event->proof, member->claim, str_of(said));
        int r = add_known(event, text, member->name);
        return r == 0 ? quote(event, text, said) : r;
    }
    if (member->kind == MEMBER_INT) {
        int64_t said;
        memcpy(&said, value, sizeof said);
        if (said == 0)
            return 0;
        int r = add_known(event, text, member->name);
        return r == 0 ? add_integer(event, text, said) : r;
    }
    enum tabiji_choice said;
    memcpy(&said, value, sizeof said);
    if (said == TABIJI_CHOICE_UNSAID)
        return 0;
    if (said != TABIJI_CHOICE_GRANTED && said != TABIJI_CHOICE_DENIED)
        return ERR_VALUE;
    int r = add_known(event, text, member->name);
    return r == 0 ? add(event, text, said == TABIJI_CHOICE_GRANTED ? STR("true") : STR("false"))
                  : r;
}

/* What a caller's structure says; its first member is its size. *wrong is the member that failed.
 */
static int add_members(struct tabiji_event *event, struct producer_text *text,
    const struct table *table, const void *from, const char **wrong)
{
    size_t size;
    memcpy(&size, from, sizeof size);
    size_t before = text->size;
    for (size_t i = 0; i < table->count; i++) {
        const struct member *member = &table->members[i];
        if (member->offset + member_size(member->kind) > size)
            continue;
        int r = add_member(event, text, member, (const char *)from + member->offset);
        if (r < 0) {
            text->size = before;
            *wrong = member->name.data;
            return r;
        }
    }
    return 0;
}

static int set_part(
    struct tabiji_event *event, enum part part, const struct table *table, const void *from)
{
    const char *wrong = NULL;
    if (!event || !from)
        return TABIJI_ERROR_ARGUMENT;
    event->parts[part].size = 0;
    event->said[part] = true;
    int r = add_members(event, &event->parts[part], table, from, &wrong);
    return keep(event, r, part_names[part].data, wrong);
}

/* ---- the whole ---- */

static int add_member_text(
    struct tabiji_event *event, struct str name, const struct producer_text *value)
{
    if (value->size == 0)
        return 0;
    int r = add_known(event, &event->line, name);
    return r == 0 ? add(event, &event->line, producer_text_str(value)) : r;
}

static struct str pair_name(const struct tabiji_event *event, size_t i)
{
    return str_make(event->ids.data + event->pairs[i].name_at, event->pairs[i].name_size);
}

static bool named_before(const struct tabiji_event *event, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_equal(pair_name(event, k), pair_name(event, i)))
            return true;
    return false;
}

/* ,"login":["a","b"] with all values of the namespace of pair `first`. */
static int add_namespace(struct tabiji_event *event, size_t first, bool comma)
{
    struct producer_text *line = &event->line;
    int r = comma ? add(event, line, STR(",")) : 0;
    if (r == 0)
        r = add(event, line, pair_name(event, first));
    if (r == 0)
        r = add(event, line, STR(":["));
    for (size_t i = first; r == 0 && i < event->pairs_count; i++) {
        if (!str_equal(pair_name(event, i), pair_name(event, first)))
            continue;
        if (i > first)
            r = add(event, line, STR(","));
        if (r == 0)
            r = add(event, line,
                str_make(event->ids.data + event->pairs[i].value_at, event->pairs[i].value_size));
    }
    return r == 0 ? add(event, line, STR("]")) : r;
}

static int add_ids(struct tabiji_event *event)
{
    int r = add(event, &event->line, STR(",\"ids\":{"));
    for (size_t i = 0; r == 0 && i < event->pairs_count; i++)
        if (!named_before(event, i))
            r = add_namespace(event, i, i > 0);
    return r == 0 ? add(event, &event->line, STR("}")) : r;
}

static int add_items(struct tabiji_event *event)
{
    struct producer_text *line = &event->line;
    int r = event->parts[PART_ORDER].size ? add(event, line, STR(",")) : 0;
    if (r == 0)
        r = add(event, line, STR("\"items\":["));
    if (r == 0)
        r = add(event, line, producer_text_str(&event->items));
    return r == 0 ? add(event, line, STR("]")) : r;
}

static int add_part(struct tabiji_event *event, enum part part)
{
    bool items = part == PART_ORDER && event->items_count > 0;
    if (!event->said[part] && !items)
        return 0;
    int r = add_known(event, &event->line, part_names[part]);
    if (r == 0)
        r = add(event, &event->line, STR("{"));
    if (r == 0)
        r = add(event, &event->line, producer_text_str(&event->parts[part]));
    if (r == 0 && items)
        r = add_items(event);
    return r == 0 ? add(event, &event->line, STR("}")) : r;
}

/* {"type":...,"id":... */
static int add_head(struct tabiji_event *event)
{
    int r = add(event, &event->line, STR("{\"type\":"));
    if (r == 0)
        r = add(event, &event->line, producer_text_str(&event->type));
    if (r == 0 && event->id.size) {
        r = add_known(event, &event->line, STR("id"));
        if (r == 0)
            r = quote(event, &event->line, event->id.data);
    }
    if (r == 0)
        r = add_member_text(event, STR("time"), &event->time);
    return r == 0 ? add_member_text(event, STR("sequence"), &event->sequence) : r;
}

/* At most: each identifier may have its namespace, quoted as it is, to itself. */
static int reserve_line(struct tabiji_event *event)
{
    size_t size = LINE_OVERHEAD + event->type.size + event->id.size + event->time.size +
                  event->sequence.size + event->ids.size + event->items.size +
                  event->properties.size + event->pairs_count * 4;
    for (enum part part = 0; part < PARTS; part++)
        size += event->parts[part].size;
    event->line.size = 0;
    return producer_text_reserve(&event->memory, &event->line, size);
}

static int put_together(struct tabiji_event *event)
{
    int r = reserve_line(event);
    if (r == 0)
        r = add_head(event);
    if (r == 0)
        r = add_ids(event);
    for (enum part part = 0; r == 0 && part < PARTS; part++)
        r = add_part(event, part);
    if (r == 0 && event->properties.size) {
        r = add_known(event, &event->line, STR("properties"));
        if (r == 0)
            r = add(event, &event->line, STR("{"));
        if (r == 0)
            r = add(event, &event->line, producer_text_str(&event->properties));
        if (r == 0)
            r = add(event, &event->line, STR("}"));
    }
    return r == 0 ? add(event, &event->line, STR("}")) : r;
}

/* Lines are long, and few have such bytes: memchr() is many times faster than a loop. */
static void replace(char *json, size_t json_size, char byte)
{
    char *end = json + json_size;
    while (json < end && (json = memchr(json, byte, (size_t)(end - json))) != NULL)
        *json++ = ' ';
}

bool producer_event_proven(const struct tabiji_event *event)
{
    return event->pairs_count > 0 && producer_proof_holds(&event->proof, event->line.size);
}

void producer_line_join(char *json, size_t json_size)
{
    replace(json, json_size, '\n');
    replace(json, json_size, '\r');
}

int producer_event_line(struct tabiji_event *event, struct str *line, struct event_problem *problem)
{
    *problem = (struct event_problem){
        .error = event->failure, .pointer = str_of(event->failure_pointer), .hint = STR("")};
    if (event->failure)
        return event->failure;
    int r = event->whole ? 0 : put_together(event);
    if (r < 0) {
        *problem = (struct event_problem){.error = r, .pointer = STR(""), .hint = STR("")};
        return r;
    }
    if (!event->whole && event->raw)
        producer_line_join(event->line.data, event->line.size);
    event->whole = true;
    *line = producer_text_str(&event->line);
    return 0;
}

/* ---- public ---- */

int tabiji_event_new(
    const char *type, const struct tabiji_allocator *allocator, struct tabiji_event **out)
{
    struct tabiji_allocator memory;
    struct timespec now;
    if (!type || !out || !producer_memory_init(&memory, allocator))
        return TABIJI_ERROR_ARGUMENT;
    struct tabiji_event *event = producer_memory_get(&memory, sizeof *event);
    if (!event)
        return TABIJI_ERROR_NO_MEMORY;
    memset(event, 0, offsetof(struct tabiji_event, pairs));
    producer_room_init(&event->room, &memory, &event->memory);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int r = quote(event, &event->type, type);
    producer_proof_type(&event->proof, str_of(type));
    if (r == 0)
        r = add_integer(event, &event->time,
            (int64_t)now.tv_sec * MILLIS_PER_SECOND + now.tv_nsec / NANOS_PER_MILLI);
    if (r == ERR_NO_MEMORY) {
        tabiji_event_free(&event);
        return TABIJI_ERROR_NO_MEMORY;
    }
    (void)keep(event, r, "type", NULL);
    *out = event;
    return TABIJI_OK;
}

void tabiji_event_free(struct tabiji_event **event)
{
    if (!event || !*event)
        return;
    struct tabiji_allocator memory = (*event)->memory, outer = (*event)->room.outer;
    struct producer_text *const texts[] = {&(*event)->type, &(*event)->id, &(*event)->time,
        &(*event)->sequence, &(*event)->ids, &(*event)->items, &(*event)->properties,
        &(*event)->line};
    for (size_t i = 0; i < COUNT(texts); i++)
        producer_text_free(&memory, texts[i]);
    for (size_t i = 0; i < PARTS; i++)
        producer_text_free(&memory, &(*event)->parts[i]);
    producer_memory_free(&outer, *event);
    *event = NULL;
}

int tabiji_event_set_id(struct tabiji_event *event, const char *id)
{
    if (!event || !id)
        return TABIJI_ERROR_ARGUMENT;
    event->id.size = 0;
    bool fits = *id && strlen(id) <= EVENT_ID_SIZE_MAX;
    return keep(event, fits ? add(event, &event->id, str_of(id)) : ERR_EVENT_ID, "id", NULL);
}

const char *tabiji_event_id(const struct tabiji_event *event)
{
    return event && event->id.size ? event->id.data : "";
}

int tabiji_event_set_time_ms(struct tabiji_event *event, int64_t epoch_ms)
{
    if (!event)
        return TABIJI_ERROR_ARGUMENT;
    event->time.size = 0;
    producer_proof_time(&event->proof, epoch_ms);
    return keep(event, add_integer(event, &event->time, epoch_ms), "time", NULL);
}

int tabiji_event_set_time(struct tabiji_event *event, const char *rfc3339)
{
    if (!event || !rfc3339)
        return TABIJI_ERROR_ARGUMENT;
    event->time.size = 0;
    producer_proof_time_text(&event->proof, str_of(rfc3339));
    return keep(event, quote(event, &event->time, rfc3339), "time", NULL);
}

int tabiji_event_set_sequence(struct tabiji_event *event, int64_t sequence)
{
    if (!event)
        return TABIJI_ERROR_ARGUMENT;
    event->sequence.size = 0;
    return keep(event, add_integer(event, &event->sequence, sequence), "sequence", NULL);
}

int tabiji_event_add_identifier(struct tabiji_event *event, const char *name, const char *value)
{
    if (!event || !name || !value)
        return TABIJI_ERROR_ARGUMENT;
    if (event->pairs_count == EVENT_IDENTIFIERS_MAX)
        return keep(event, ERR_TOO_MANY, "ids", NULL);
    struct pair pair = {.name_at = (uint32_t)event->ids.size};
    producer_proof_identifier(&event->proof, event->pairs_count, str_of(name), str_of(value));
    int r = quote(event, &event->ids, name);
    pair.value_at = (uint32_t)event->ids.size;
    pair.name_size = pair.value_at - pair.name_at;
    if (r == 0)
        r = quote(event, &event->ids, value);
    pair.value_size = (uint32_t)event->ids.size - pair.value_at;
    if (r == 0)
        event->pairs[event->pairs_count++] = pair;
    return keep(event, r, "ids", NULL);
}

int tabiji_event_set_order(struct tabiji_event *event, const struct tabiji_order *order)
{
    if (!event || !order)
        return TABIJI_ERROR_ARGUMENT;
    int begun = producer_proof_order_begin(&event->proof);
    int r = set_part(event, PART_ORDER, &order_table, order);
    producer_proof_order_end(&event->proof, begun);
    return r;
}

int tabiji_event_add_item(struct tabiji_event *event, const struct tabiji_item *item)
{
    const char *wrong = NULL;
    if (!event || !item)
        return TABIJI_ERROR_ARGUMENT;
    if (event->items_count == EVENT_ITEMS_MAX)
        return keep(event, ERR_TOO_MANY, "order", "items");
    size_t before = event->items.size;
    int r = event->items_count ? add(event, &event->items, STR(",")) : 0;
    if (r == 0)
        r = add(event, &event->items, STR("{"));
    if (r == 0)
        r = add_members(event, &event->items, &item_table, item, &wrong);
    if (r == 0)
        r = add(event, &event->items, STR("}"));
    if (r == 0)
        event->items_count++;
    else
        event->items.size = before;
    return keep(event, r, "order/items", wrong);
}

int tabiji_event_set_call(struct tabiji_event *event, const struct tabiji_call *call)
{
    return set_part(event, PART_CALL, &call_table, call);
}

int tabiji_event_set_store(struct tabiji_event *event, const struct tabiji_store *store)
{
    return set_part(event, PART_STORE, &store_table, store);
}

int tabiji_event_set_message(struct tabiji_event *event, const struct tabiji_message *message)
{
    return set_part(event, PART_MESSAGE, &message_table, message);
}

int tabiji_event_set_page(struct tabiji_event *event, const struct tabiji_page *page)
{
    return set_part(event, PART_PAGE, &page_table, page);
}

int tabiji_event_set_campaign(struct tabiji_event *event, const struct tabiji_campaign *campaign)
{
    return set_part(event, PART_CAMPAIGN, &campaign_table, campaign);
}

int tabiji_event_set_device(struct tabiji_event *event, const struct tabiji_device *device)
{
    return set_part(event, PART_DEVICE, &device_table, device);
}

int tabiji_event_set_geo(struct tabiji_event *event, const struct tabiji_geo *geo)
{
    return set_part(event, PART_GEO, &geo_table, geo);
}

int tabiji_event_set_consent(struct tabiji_event *event, const struct tabiji_consent *consent)
{
    return set_part(event, PART_CONSENT, &consent_table, consent);
}

int tabiji_event_set_click(struct tabiji_event *event, const char *kind, const char *value)
{
    if (!event || !kind || !value)
        return TABIJI_ERROR_ARGUMENT;
    struct producer_text *part = &event->parts[PART_CLICK];
    part->size = 0;
    event->said[PART_CLICK] = true;
    int r = add_known(event, part, STR("kind"));
    if (r == 0)
        r = quote(event, part, kind);
    if (r == 0)
        r = add_known(event, part, STR("value"));
    if (r == 0)
        r = quote(event, part, value);
    return keep(event, r, "click", NULL);
}

/* "a":{"login":"u-77"} */
static int add_node(struct tabiji_event *event, struct str end, const char *name, const char *value)
{
    struct producer_text *part = &event->parts[PART_EVIDENCE];
    int r = add_known(event, part, end);
    if (r == 0)
        r = add(event, part, STR("{"));
    if (r == 0)
        r = quote(event, part, name);
    if (r == 0)
        r = add(event, part, STR(":"));
    if (r == 0)
        r = quote(event, part, value);
    return r == 0 ? add(event, part, STR("}")) : r;
}

int tabiji_event_set_link(struct tabiji_event *event, const struct tabiji_link *link)
{
    struct tabiji_link known = {0};
    if (!event || !link)
        return TABIJI_ERROR_ARGUMENT;
    /* A caller that was built with an older header has fewer members, with a newer one more. */
    memcpy(&known, link, link->size < sizeof known ? link->size : sizeof known);
    if (!known.a_name || !known.a_value || !known.b_name || !known.b_value)
        return TABIJI_ERROR_ARGUMENT;
    struct producer_text *part = &event->parts[PART_EVIDENCE];
    part->size = 0;
    event->proof.lost = true;
    event->said[PART_EVIDENCE] = true;
    int r = add_node(event, STR("a"), known.a_name, known.a_value);
    if (r == 0)
        r = add_node(event, STR("b"), known.b_name, known.b_value);
    if (r == 0 && known.reason) {
        r = add_known(event, part, STR("reason"));
        if (r == 0)
            r = quote(event, part, known.reason);
    }
    if (r == 0 && known.apart)
        r = add(event, part, STR(",\"sign\":-1"));
    return keep(event, r, "evidence", NULL);
}

/* Adds a property; its value is JSON, or a text to be quoted. */
static int add_property(struct tabiji_event *event, const char *name, struct str value, bool quoted)
{
    if (!event || !name)
        return TABIJI_ERROR_ARGUMENT;
    struct producer_text *text = &event->properties;
    size_t before = text->size;
    producer_proof_property(&event->proof, str_of(name));
    int r = add_name(event, text, str_of(name));
    if (r == 0)
        r = quoted ? producer_text_quote(&event->memory, text, value) : add(event, text, value);
    if (r < 0)
        text->size = before;
    return keep(event, r, "properties", r == ERR_UTF8 ? NULL : name);
}

int tabiji_event_add_text(struct tabiji_event *event, const char *name, const char *value)
{
    return value ? add_property(event, name, str_of(value), true) : TABIJI_ERROR_ARGUMENT;
}

int tabiji_event_add_int(struct tabiji_event *event, const char *name, int64_t value)
{
    char digits[INTEGER_TEXT_SIZE];
    return add_property(event, name, integer_text(value, digits), false);
}

int tabiji_event_add_double(struct tabiji_event *event, const char *name, double value)
{
    char text[JSON_DOUBLE_SIZE_MAX];
    if (event && !isfinite(value))
        return keep(event, ERR_NUMBER_RANGE, "properties", NULL);
    if (event)
        event->proof.lost = true;
    return add_property(event, name, str_make(text, json_format_double(value, text)), false);
}

int tabiji_event_add_bool(struct tabiji_event *event, const char *name, int value)
{
    return add_property(event, name, value ? STR("true") : STR("false"), false);
}

/* How many brackets are open behind this one; -1: it closes one that is not of the value. */
static int64_t depth_behind(int64_t depth, char c)
{
    if (c == '{' || c == '[')
        return depth + 1;
    return c == '}' || c == ']' ? depth - 1 : depth;
}

/* Whether JSON, if it is any, is one value: nothing in it ends or follows it. The rest of JSON is
 * judged with the whole event. */
static bool is_one_value(const char *json)
{
    bool quoted = false, any = false;
    int64_t depth = 0;
    for (const char *at = json; *at && depth >= 0; at++) {
        any = any || !strchr(" \t\r\n", *at);
        if (quoted && *at == '\\' && at[1])
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (!quoted && depth == 0 && (*at == ',' || *at == ':'))
            return false;
        else if (!quoted)
            depth = depth_behind(depth, *at);
    }
    return any && !quoted && depth == 0;
}

int tabiji_event_add_json(struct tabiji_event *event, const char *name, const char *json)
{
    if (!event || !name || !json)
        return TABIJI_ERROR_ARGUMENT;
    if (!is_one_value(json))
        return keep(event, ERR_JSON, "properties", name);
    event->raw = event->proof.lost = true;
    return add_property(event, name, str_of(json), false);
}

int tabiji_event_json(struct tabiji_event *event, const char **json, size_t *json_size)
{
    struct event_problem problem;
    struct str line;
    if (!event || !json || !json_size)
        return TABIJI_ERROR_ARGUMENT;
    int r = producer_event_line(event, &line, &problem);
    if (r < 0)
        return producer_error_of(r);
    *json = line.data;
    *json_size = line.size;
    return TABIJI_OK;
}
