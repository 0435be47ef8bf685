/* JSON is exactly invertible: for random touchpoints x, read(write(x)) is x, byte for byte in Avro,
 * and what is written is canonical. */
#include "schemas/event_json.h"

#include <stdio.h>

#include "schemas/error.h"
#include "schemas/event_fields.h"
#include "schemas/hash.h"
#include "tests/property/random.h"

#define CASES 20000
#define TEXT_PIECES_MAX 6
#define DEPTH_MAX 5
#define MEMBERS_MAX 5

static struct random source;

static struct str pick(const struct str *of, size_t count)
{
    return of[random_below(&source, count)];
}

/* Any UTF-8 but U+0000, with what needs escapes. */
static struct str any_text(struct arena *arena)
{
    static const struct str pieces[] = {STR_INIT("a"), STR_INIT("Z9"), STR_INIT(" "),
        STR_INIT("\""), STR_INIT("\\"), STR_INIT("\n"), STR_INIT("\x01"), STR_INIT("\x1f"),
        STR_INIT("\x7f"), STR_INIT("/"), STR_INIT("旅路"), STR_INIT("é"), STR_INIT("😀"),
        STR_INIT("\xEF\xBF\xBF"), STR_INIT("';DROP"), STR_INIT("=cmd()"), STR_INIT("<b>&"),
        STR_INIT("~1"), STR_INIT("null")};
    char text[TEXT_PIECES_MAX * 8];
    size_t size = 0;
    for (size_t i = random_below(&source, TEXT_PIECES_MAX + 1); i > 0; i--) {
        struct str piece = pick(pieces, sizeof(pieces) / sizeof(pieces[0]));
        memcpy(text + size, piece.data, piece.size);
        size += piece.size;
    }
    struct str out = {NULL, 0};
    check(arena_dup(arena, str_make(text, size), &out) == 0);
    return out;
}

static int64_t any_integer(void)
{
    static const int64_t edges[] = {
        0, 1, -1, INT64_MAX, INT64_MIN, ((int64_t)1 << 53) + 1, INT32_MAX, INT32_MIN, 999, 1000};
    if (random_once_in(&source, 3))
        return edges[random_below(&source, sizeof(edges) / sizeof(edges[0]))];
    return (int64_t)random_next(&source) >> random_below(&source, 64);
}

static void append_number(struct buf *out)
{
    char number[JSON_DOUBLE_SIZE_MAX];
    double value;
    uint64_t bits = random_next(&source);
    memcpy(&value, &bits, sizeof(value));
    switch (random_below(&source, 3)) {
    case 0:
        check(json_write_int(out, any_integer()) == 0);
        break;
    case 1:
        check(buf_appendf(out, "%llu", (unsigned long long)(bits >> 1)) == 0);
        break;
    default:
        if (!__builtin_isfinite(value))
            value = 0.5;
        check(buf_append(out, number, json_format_double(value, number)) == 0);
        break;
    }
}

static void append_scalar(struct buf *out, struct arena *arena)
{
    static const struct str words[] = {STR_INIT("null"), STR_INIT("true"), STR_INIT("false"),
        STR_INIT("{}"), STR_INIT("[]"), STR_INIT("-0.0"), STR_INIT("1e300")};
    switch (random_below(&source, 3)) {
    case 0:
        check(json_write_text(out, any_text(arena)) == 0);
        break;
    case 1:
        append_number(out);
        break;
    default:
        check(buf_append_str(out, pick(words, sizeof(words) / sizeof(words[0]))) == 0);
        break;
    }
}

/* A JSON object, not canonical: containers open at random and close in the end. */
static void append_object(struct buf *out, struct arena *arena)
{
    char closers[DEPTH_MAX + 1];
    size_t depth = 0;
    bool first = true;
    check(buf_append(out, "{", 1) == 0);
    closers[depth++] = '}';
    for (size_t i = random_below(&source, DEPTH_MAX * MEMBERS_MAX); depth && i > 0; i--) {
        if (random_once_in(&source, 4)) {
            check(buf_append(out, &closers[--depth], 1) == 0);
            first = false;
            continue;
        }
        check(buf_append_str(out, first ? STR(" ") : STR(" ,\t")) == 0);
        if (closers[depth - 1] == '}') /* the counter keeps keys distinct */
            check(buf_appendf(out, "\"%c\\u00e9%zu\" : ", "zyxab"[i % 5], i) == 0);
        first = depth <= DEPTH_MAX - 1 && random_once_in(&source, 3);
        if (first) {
            closers[depth] = random_once_in(&source, 2) ? '}' : ']';
            check(buf_append(out, closers[depth] == '}' ? "{" : "[", 1) == 0);
            depth++;
        } else {
            append_scalar(out, arena);
        }
    }
    while (depth)
        check(buf_append(out, &closers[--depth], 1) == 0);
}

static struct str any_properties(struct json_parser *parser, struct arena *arena)
{
    CLEANUP(buf_free) struct buf loose = {0};
    CLEANUP(buf_free) struct buf canonical = {0};
    append_object(&loose, arena);
    struct json root;
    check(json_parse(parser, buf_str(&loose), &root) == 0);
    check(json_write_canonical(root, &canonical) == 0);
    struct str out = {NULL, 0};
    if (json_count(root)) /* an empty object is none */
        check(arena_dup(arena, buf_str(&canonical), &out) == 0);
    return out;
}

static void fill_ids(struct touchpoint *event, struct arena *arena)
{
    static const struct str namespaces[] = {
        STR_INIT("cookie"), STR_INIT("email"), STR_INIT("login"), STR_INIT("旅")}; /* sorted */
    size_t count = random_below(&source, 6);
    struct identifier *ids = arena_alloc(arena, count * sizeof(*ids));
    check(ids != NULL);
    size_t namespace = 0;
    for (size_t i = 0; i < count; i++) {
        namespace += random_below(&source, 4 - namespace);
        ids[i] = (struct identifier){namespaces[namespace], any_text(arena), 0};
        if (random_once_in(&source, 3))
            ids[i].authority = (int32_t)any_integer();
    }
    event->identifiers = ids;
    event->identifiers_count = count;
}

static void fill_value(const struct event_field *field, void *base, struct arena *arena)
{
    void *at = (char *)base + field->offset;
    uint8_t *key = at;
    switch (field->kind) {
    case EVENT_FIELD_TEXT:
        *(struct str *)at = any_text(arena);
        break;
    case EVENT_FIELD_BOOL:
        *(bool *)at = random_once_in(&source, 2);
        break;
    case EVENT_FIELD_INT:
        *(int32_t *)at = (int32_t)any_integer();
        break;
    case EVENT_FIELD_LONG:
    case EVENT_FIELD_MONEY:
    case EVENT_FIELD_MICROS:
        *(int64_t *)at = any_integer();
        break;
    case EVENT_FIELD_KEY:
        for (size_t i = 0; i < KEY_SIZE; i++)
            key[i] = (uint8_t)random_next(&source);
        break;
    case EVENT_FIELD_ENUM:
        *(unsigned *)at = (unsigned)random_below(&source, (size_t)field->names->count);
        break;
    case EVENT_FIELD_CHOICE:
        *(enum choice *)at = (enum choice)random_below(&source, CHOICE_COUNT);
        break;
    default: /* those that fill_event() sets */
        break;
    }
}

static void fill_part(const struct event_part *part, void *base, struct arena *arena)
{
    for (size_t i = 0; i < part->count; i++) {
        if (random_once_in(&source, 2))
            fill_value(&part->fields[i], base, arena);
    }
}

static void fill_order(struct order *order, struct arena *arena)
{
    static const struct str currencies[] = {
        STR_INIT("JPY"), STR_INIT("USD"), STR_INIT("BHD"), STR_INIT("CLF")};
    order->currency = pick(currencies, 4);
    order->items_count = random_below(&source, 4);
    order->items = arena_alloc(arena, order->items_count * sizeof(order->items[0]));
    check(order->items != NULL);
    for (size_t i = 0; i < order->items_count; i++) {
        order_item_init(&order->items[i]);
        fill_part(&event_part_item, &order->items[i], arena);
    }
}

static void fill_event(struct touchpoint *event, struct json_parser *parser, struct arena *arena)
{
    size_t types_count;
    const struct str *types = event_types(&types_count);
    touchpoint_init(event);
    for (size_t i = 0; i < event_part_touchpoint.count; i++) {
        const struct event_field *field = &event_part_touchpoint.fields[i];
        void *at = (char *)event + field->offset;
        if (random_once_in(&source, 2))
            continue;
        if (field->kind == EVENT_FIELD_PART)
            *(bool *)((char *)event + field->has) = true;
        if (field->kind == EVENT_FIELD_PART || field->kind == EVENT_FIELD_CONSENT)
            fill_part(field->part, at, arena);
        else
            fill_value(field, event, arena);
    }
    event->type = pick(types, types_count);
    if (random_once_in(&source, 2))
        event->event_id = STR("e-1");
    if (random_once_in(&source, 2))
        event->properties = any_properties(parser, arena);
    fill_ids(event, arena);
    if (event->has_order)
        fill_order(&event->order, arena);
    event->evidence.a_namespace = STR("login");
    event->evidence.a_value = any_text(arena);
    event->evidence.b_namespace = any_text(arena);
    event->evidence.b_value = any_text(arena);
}

static bool go_round(
    struct json_parser *parser, const struct touchpoint *event, struct arena *arena)
{
    CLEANUP(buf_free) struct buf avro = {0};
    CLEANUP(buf_free) struct buf avro_again = {0};
    CLEANUP(buf_free) struct buf text = {0};
    CLEANUP(buf_free) struct buf text_again = {0};
    check(touchpoint_encode(event, &avro) == 0);
    check(event_json_write(event, &text) == 0);
    struct json root;
    int r = json_parse(parser, buf_str(&text), &root);
    if (r == 0)
        r = json_write_canonical(root, &text_again);
    struct touchpoint read;
    struct event_problem problem = {0};
    if (r == 0)
        r = event_json_read(root, true, arena, &read, &problem);
    if (r == 0)
        r = touchpoint_encode(&read, &avro_again);
    bool same = r == 0 && str_equal(buf_str(&avro), buf_str(&avro_again)) &&
                str_equal(buf_str(&text), buf_str(&text_again));
    if (!same)
        printf("%s at %.*s\n%.*s\n%.*s\n", error_name(r), (int)problem.pointer.size,
            problem.pointer.data, (int)text.size, text.data, (int)text_again.size, text_again.data);
    return same;
}

int main(void)
{
    struct json_parser *parser;
    source = random_begin();
    check(json_parser_new(&parser) == 0);
    CLEANUP(arena_free) struct arena arena = {0};
    int good = 0;
    while (good < CASES) {
        struct touchpoint event;
        arena_reset(&arena);
        fill_event(&event, parser, &arena);
        if (!go_round(parser, &event, &arena))
            break;
        good++;
    }
    json_parser_free(&parser);
    printf("%d of %d events went round\n", good, CASES);
    return good == CASES ? 0 : 1;
}
