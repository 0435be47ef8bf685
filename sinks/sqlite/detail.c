/*
 * Writes the rest of an event. A member opens with a comma unless the byte before it is a brace; a
 * group that stayed empty is taken back.
 */
#include "sinks/sqlite/detail.h"

#include "schemas/json.h"

/* Keeps the first error; later writes do nothing. */
struct object {
    struct buf *out;
    int error;
};

static void append(struct object *object, const char *text, size_t size)
{
    if (object->error == 0)
        object->error = buf_append(object->out, text, size);
}

/* name is the quoted name with its colon, so that one copy writes it. */
static void member(struct object *object, struct str name)
{
    if (object->error == 0 && object->out->data[object->out->size - 1] != '{')
        append(object, ",", 1);
    append(object, name.data, name.size);
}

static void text_member(struct object *object, struct str name, struct str value)
{
    if (!value.size)
        return;
    member(object, name);
    if (object->error == 0)
        object->error = json_write_text(object->out, value);
}

static void integer_member(struct object *object, struct str name, int64_t value)
{
    if (!value)
        return;
    member(object, name);
    if (object->error == 0)
        object->error = json_write_int(object->out, value);
}

/* Symbols of enums: plain words; number 0 is "unknown". */
static void symbol_member(struct object *object, struct str name, int number, const char *symbol)
{
    if (!number)
        return;
    member(object, name);
    append(object, "\"", 1);
    append(object, symbol, strlen(symbol));
    append(object, "\"", 1);
}

/* Returns what group_end() needs to take an empty group back. */
static size_t group_begin(struct object *object, struct str name)
{
    size_t before = object->out->size;
    member(object, name);
    append(object, "{", 1);
    return before;
}

static void group_end(struct object *object, size_t before)
{
    if (object->error < 0)
        return;
    if (object->out->data[object->out->size - 1] == '{')
        object->out->size = before;
    else
        append(object, "}", 1);
}

static void write_choice(struct object *object, struct str name, enum choice choice)
{
    if (choice == CHOICE_UNKNOWN)
        return;
    member(object, name);
    if (choice == CHOICE_GRANTED)
        append(object, "true", 4);
    else
        append(object, "false", 5);
}

static void write_consent(struct object *object, const struct consent *consent)
{
    size_t group = group_begin(object, STR("\"consent\":"));
    write_choice(object, STR("\"analytics\":"), consent->analytics);
    write_choice(object, STR("\"ads\":"), consent->ads);
    write_choice(object, STR("\"personalisation\":"), consent->personalisation);
    group_end(object, group);
}

static void write_campaign(struct object *object, const struct touchpoint *event)
{
    if (event->has_campaign) {
        size_t campaign = group_begin(object, STR("\"campaign\":"));
        text_member(object, STR("\"content\":"), event->campaign.content);
        text_member(object, STR("\"term\":"), event->campaign.term);
        text_member(object, STR("\"id\":"), event->campaign.id);
        group_end(object, campaign);
    }
    if (event->has_click) {
        size_t click = group_begin(object, STR("\"click\":"));
        text_member(object, STR("\"kind\":"), event->click.kind);
        text_member(object, STR("\"value\":"), event->click.value);
        group_end(object, click);
    }
}

static void write_page(struct object *object, const struct page *page)
{
    size_t group = group_begin(object, STR("\"page\":"));
    text_member(object, STR("\"title\":"), page->title);
    text_member(object, STR("\"query\":"), page->query);
    text_member(object, STR("\"referrer_path\":"), page->referrer_path);
    group_end(object, group);
}

static void write_device(struct object *object, const struct device *device)
{
    size_t group = group_begin(object, STR("\"device\":"));
    text_member(object, STR("\"os\":"), device->os);
    text_member(object, STR("\"browser\":"), device->browser);
    text_member(object, STR("\"app\":"), device->app);
    text_member(object, STR("\"app_version\":"), device->app_version);
    text_member(object, STR("\"locale\":"), device->locale);
    text_member(object, STR("\"screen\":"), device->screen);
    group_end(object, group);
}

static void write_place(struct object *object, const struct touchpoint *event)
{
    if (event->has_page)
        write_page(object, &event->page);
    if (event->has_device)
        write_device(object, &event->device);
    if (event->has_geo) {
        size_t geo = group_begin(object, STR("\"geo\":"));
        text_member(object, STR("\"region\":"), event->geo.region);
        text_member(object, STR("\"city\":"), event->geo.city);
        group_end(object, geo);
    }
    if (event->has_store) {
        size_t store = group_begin(object, STR("\"store\":"));
        text_member(object, STR("\"terminal\":"), event->store.terminal);
        text_member(object, STR("\"area\":"), event->store.area);
        text_member(object, STR("\"staff\":"), event->store.staff);
        group_end(object, store);
    }
}

static void write_items(struct object *object, const struct order *order)
{
    member(object, STR("\"items\":"));
    append(object, "[", 1);
    for (size_t i = 0; i < order->items_count; i++) {
        const struct order_item *item = &order->items[i];
        append(object, i ? ",{" : "{", i ? 2 : 1);
        text_member(object, STR("\"sku\":"), item->sku);
        text_member(object, STR("\"category\":"), item->category);
        integer_member(object, STR("\"quantity\":"), item->quantity);
        integer_member(object, STR("\"price_minor\":"), item->price_minor);
        append(object, "}", 1);
    }
    append(object, "]", 1);
}

static void write_order(struct object *object, const struct order *order)
{
    size_t group = group_begin(object, STR("\"order\":"));
    integer_member(object, STR("\"tax_minor\":"), order->tax_minor);
    integer_member(object, STR("\"shipping_minor\":"), order->shipping_minor);
    integer_member(object, STR("\"discount_minor\":"), order->discount_minor);
    text_member(object, STR("\"coupon\":"), order->coupon);
    if (order->items_count)
        write_items(object, order);
    group_end(object, group);
}

static void write_call(struct object *object, const struct call *call)
{
    size_t group = group_begin(object, STR("\"call\":"));
    text_member(object, STR("\"parent_id\":"), call->parent_id);
    symbol_member(
        object, STR("\"direction\":"), (int)call->direction, call_direction_name(call->direction));
    text_member(object, STR("\"queue\":"), call->queue);
    text_member(object, STR("\"reason\":"), call->reason);
    text_member(object, STR("\"outcome\":"), call->outcome);
    integer_member(object, STR("\"wait_ms\":"), call->wait_ms);
    integer_member(object, STR("\"talk_ms\":"), call->talk_ms);
    text_member(object, STR("\"agent\":"), call->agent);
    group_end(object, group);
}

static void write_evidence(struct object *object, const struct evidence *evidence)
{
    size_t group = group_begin(object, STR("\"evidence\":"));
    text_member(object, STR("\"a_namespace\":"), evidence->a_namespace);
    text_member(object, STR("\"a_value\":"), evidence->a_value);
    text_member(object, STR("\"b_namespace\":"), evidence->b_namespace);
    text_member(object, STR("\"b_value\":"), evidence->b_value);
    integer_member(object, STR("\"sign\":"), evidence->sign);
    integer_member(object, STR("\"authority\":"), evidence->authority);
    text_member(object, STR("\"reason\":"), evidence->reason);
    group_end(object, group);
}

static void write_deeds(struct object *object, const struct touchpoint *event)
{
    if (event->has_order)
        write_order(object, &event->order);
    if (event->has_call)
        write_call(object, &event->call);
    if (event->has_message) {
        size_t message = group_begin(object, STR("\"message\":"));
        text_member(object, STR("\"template\":"), event->message.template);
        text_member(object, STR("\"link\":"), event->message.link);
        group_end(object, message);
    }
    if (event->has_evidence)
        write_evidence(object, &event->evidence);
}

int detail_write(const struct touchpoint *event, struct buf *out)
{
    struct object object = {out, 0};
    size_t before = out->size;
    append(&object, "{", 1);
    write_consent(&object, &event->consent);
    write_campaign(&object, event);
    write_place(&object, event);
    write_deeds(&object, event);
    append(&object, "}", 1);
    if (object.error < 0)
        out->size = before;
    return object.error;
}

/* Identifiers of one namespace stand together: the first writes them all. */
static void write_namespace(struct object *object, const struct touchpoint *event, size_t first)
{
    struct str namespace = event->identifiers[first].namespace;
    size_t count = 0;
    for (size_t i = first; i < event->identifiers_count; i++)
        count += str_equal(event->identifiers[i].namespace, namespace);
    if (object->error == 0 && object->out->data[object->out->size - 1] != '{')
        append(object, ",", 1);
    if (object->error == 0)
        object->error = json_write_text(object->out, namespace);
    append(object, count > 1 ? ":[" : ":", count > 1 ? 2 : 1);
    for (size_t i = first, written = 0; object->error == 0 && i < event->identifiers_count; i++) {
        if (!str_equal(event->identifiers[i].namespace, namespace))
            continue;
        if (written++)
            append(object, ",", 1);
        if (object->error == 0)
            object->error = json_write_text(object->out, event->identifiers[i].value);
    }
    if (count > 1)
        append(object, "]", 1);
}

int detail_write_identifiers(const struct touchpoint *event, struct buf *out)
{
    struct object object = {out, 0};
    size_t before = out->size;
    append(&object, "{", 1);
    for (size_t i = 0; i < event->identifiers_count; i++) {
        bool first = true;
        for (size_t j = 0; first && j < i; j++)
            first = !str_equal(event->identifiers[j].namespace, event->identifiers[i].namespace);
        if (first)
            write_namespace(&object, event, i);
    }
    append(&object, "}", 1);
    if (object.error < 0)
        out->size = before;
    return object.error;
}
