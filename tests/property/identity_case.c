/* Reads cases by schemas/json.h. */
#include "tests/property/identity_case.h"

#include "schemas/error.h"
#include "schemas/json.h"

static int read_identifier(struct json pair, struct arena *arena, struct identifier *out)
{
    struct json_iterator iterator;
    struct json name, value;
    struct str key;
    json_iterate(pair, &iterator);
    if (!json_next(&iterator, &key, &name) || !json_next(&iterator, &key, &value))
        return ERR_JSON;
    *out = (struct identifier){.authority = 0};
    int r = arena_dup(arena, json_text(name), &out->namespace);
    return r < 0 ? r : arena_dup(arena, json_text(value), &out->value);
}

static int node_of(const struct namespace_table *namespaces, const struct identifier *identifier,
    uint8_t node[KEY_SIZE])
{
    int rank = namespace_rank(namespaces, identifier->namespace);
    if (rank < 0)
        return rank;
    namespace_node_id(namespaces, rank, identifier->value, node);
    return 0;
}

static int read_limits(struct json json, struct identity_case *out)
{
    struct json up, down;
    if (!json_get(json, STR("up"), &up) || !json_get(json, STR("down"), &down))
        return ERR_JSON;
    out->namespaces = *namespace_table_default();
    for (size_t i = 0; i < out->namespaces.count; i++) {
        struct namespace_rule *rule = &out->namespaces.rules[i];
        rule->protected_max = str_equal(rule->name, STR("loyalty"));
        rule->generic_up_max = (int32_t)json_int(up);
        rule->generic_down_max = (int32_t)json_int(down);
    }
    return 0;
}

/* What the event is on a journey: nothing that persons depend on. */
static void set_journey(struct touchpoint *event, size_t number)
{
    static const struct str channels[] = {
        STR_INIT("Search"), STR_INIT("Display"), STR_INIT("Mail")};
    event->type = number % 4 == 3 ? STR("order_completed") : STR("page_viewed");
    if (number % 2 == 0)
        event->channel = channels[number / 2 % 3];
}

static int encode_event(
    struct arena *arena, struct identity_case *out, struct touchpoint *event, int64_t time)
{
    struct case_event *to = &out->events[out->events_count];
    struct node strongest;
    CLEANUP(buf_free) struct buf value = {0};
    put_be64(event->event_key, out->events_count);
    event->source = STR("spec");
    if (event->type.size == 0)
        set_journey(event, out->events_count);
    event->occurred_at = time;
    to->time = time;
    memcpy(to->key, event->event_key, KEY_SIZE);
    struct identifier *identifiers =
        arena_alloc(arena, event->identifiers_count * sizeof *identifiers);
    if (!identifiers)
        return ERR_NO_MEMORY;
    memcpy(identifiers, event->identifiers, event->identifiers_count * sizeof *identifiers);
    to->identifiers = identifiers;
    int r = namespace_strongest(
        &out->namespaces, event->identifiers, event->identifiers_count, arena, &strongest);
    if (r == 0)
        r = signature_of_event(&out->namespaces, event, arena, &to->signature);
    if (r == 0)
        r = touchpoint_encode(event, &value);
    if (r == 0)
        r = arena_dup(arena, str_make(strongest.id, KEY_SIZE), &to->record.key);
    if (r == 0)
        r = arena_dup(arena, buf_str(&value), &to->record.value);
    to->record.topic = TOPIC_EVENTS;
    return r;
}

static int read_event(
    struct json json, struct json places, struct arena *arena, struct identity_case *out)
{
    struct json id, time, ids, pair, place;
    struct json_iterator iterator;
    struct identifier identifiers[EVENT_IDENTIFIERS_MAX], root;
    struct touchpoint event;
    struct str key;
    if (out->events_count == CASE_EVENTS_MAX || !json_get(json, STR("id"), &id) ||
        !json_get(json, STR("time"), &time) || !json_get(json, STR("ids"), &ids) ||
        !json_get(places, json_text(id), &place))
        return ERR_JSON;
    touchpoint_init(&event);
    out->events[out->events_count] = (struct case_event){.kind = CASE_EVENT};
    event.event_id = json_text(id);
    event.identifiers = identifiers;
    json_iterate(ids, &iterator);
    while (json_next(&iterator, &key, &pair)) {
        int r = read_identifier(pair, arena, &identifiers[event.identifiers_count++]);
        if (r < 0)
            return r;
    }
    int r = read_identifier(place, arena, &root);
    if (r == 0)
        r = node_of(&out->namespaces, &root, out->events[out->events_count].place);
    if (r == 0)
        r = encode_event(arena, out, &event, json_int(time));
    out->events_count++;
    return r;
}

static int read_root(struct json json, struct arena *arena, struct identity_case *out)
{
    struct json id, root;
    struct case_root *to = &out->roots[out->roots_count];
    struct identifier of;
    if (out->roots_count == CASE_NODES_MAX || !json_get(json, STR("id"), &id) ||
        !json_get(json, STR("root"), &root))
        return ERR_JSON;
    int r = read_identifier(id, arena, &to->identifier);
    if (r == 0)
        r = read_identifier(root, arena, &of);
    if (r == 0)
        r = node_of(&out->namespaces, &to->identifier, to->node);
    if (r == 0)
        r = node_of(&out->namespaces, &of, to->root);
    out->roots_count++;
    return r;
}

static int read_case(struct json json, struct arena *arena, struct identity_case *out)
{
    struct json seed, events, roots, places, item;
    struct json_iterator iterator;
    struct str key;
    if (!json_get(json, STR("seed"), &seed) || !json_get(json, STR("events"), &events) ||
        !json_get(json, STR("roots"), &roots) || !json_get(json, STR("places"), &places))
        return ERR_JSON;
    out->seed = json_int(seed);
    int r = read_limits(json, out);
    json_iterate(events, &iterator);
    while (r == 0 && json_next(&iterator, &key, &item))
        r = read_event(item, places, arena, out);
    json_iterate(roots, &iterator);
    while (r == 0 && json_next(&iterator, &key, &item))
        r = read_root(item, arena, out);
    return r;
}

int identity_case_read(struct str line, struct arena *arena, struct identity_case *out)
{
    struct json_parser *parser;
    struct json json;
    int r = json_parser_new(&parser);
    if (r < 0)
        return r;
    out->events_count = out->roots_count = 0;
    r = json_parse(parser, line, &json);
    if (r == 0)
        r = read_case(json, arena, out);
    json_parser_free(&parser);
    return r;
}

int identity_case_name(struct identity_case *out, const struct identifier *identifier)
{
    struct case_root *to = &out->roots[out->roots_count];
    check(out->roots_count < CASE_NODES_MAX);
    *to = (struct case_root){.identifier = *identifier};
    int r = node_of(&out->namespaces, identifier, to->node);
    memcpy(to->root, to->node, KEY_SIZE);
    out->roots_count += r == 0;
    return r;
}

int identity_case_add(struct identity_case *out, const struct case_word *word, struct arena *arena)
{
    struct case_event *to = &out->events[out->events_count];
    const struct case_root *a = &out->roots[word->a], *b = &out->roots[word->b];
    struct identifier shown[] = {a->identifier, b->identifier};
    struct touchpoint event;
    check(out->events_count < CASE_EVENTS_MAX);
    bool a_first = memcmp(a->node, b->node, KEY_SIZE) < 0;
    *to = (struct case_event){.kind = word->kind, .sign = word->sign, .authority = word->authority};
    memcpy(to->strong, a_first ? a->node : b->node, KEY_SIZE);
    memcpy(to->weak, a_first ? b->node : a->node, KEY_SIZE);
    touchpoint_init(&event);
    event.event_id = STR("word");
    event.identifiers = shown;
    event.identifiers_count = word->kind == CASE_EVENT ? 2 : 1;
    if (word->kind == CASE_ERASURE)
        event.type = STR("erasure_requested");
    if (word->kind == CASE_LIFT)
        event.type = STR("erasure_lifted");
    if (word->kind == CASE_EVIDENCE) {
        event.type = word->sign > 0 ? STR("identity_linked") : STR("identity_unlinked");
        event.has_evidence = true;
        event.evidence = (struct evidence){
            .a_namespace = a->identifier.namespace,
            .a_value = a->identifier.value,
            .b_namespace = b->identifier.namespace,
            .b_value = b->identifier.value,
            .sign = word->sign,
            .authority = word->authority,
        };
    }
    int r = encode_event(arena, out, &event, word->time);
    out->events_count++;
    return r;
}

int identity_case_copy(
    struct identity_case *out, const struct case_event *event, size_t leave, struct arena *arena)
{
    struct identifier left[EVENT_IDENTIFIERS_MAX];
    struct touchpoint copy;
    check(out->events_count < CASE_EVENTS_MAX);
    out->events[out->events_count] = *event;
    int r = touchpoint_decode(&copy, event->record.value, arena);
    if (r < 0)
        return r;
    size_t count = 0;
    for (size_t i = 0; i < copy.identifiers_count; i++)
        if (i != leave)
            left[count++] = copy.identifiers[i];
    copy.identifiers = left;
    copy.identifiers_count = count;
    r = encode_event(arena, out, &copy, event->time);
    out->events_count++;
    return r;
}
