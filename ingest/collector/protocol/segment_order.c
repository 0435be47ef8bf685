/* See the header. */
#include "ingest/collector/protocol/segment_order.h"

#include <stdio.h>

#include "ingest/collector/protocol/amount.h"
#include "ingest/collector/protocol/segment_object.h"
#include "schemas/error.h"
#include "schemas/event.h"
#include "schemas/money.h"

static const struct {
    struct str type;
    enum order_facet facet;
} facets[] = {
    {STR_INIT("order_completed"), ORDER_FACET_PLACED},
    {STR_INIT("order_paid"), ORDER_FACET_PAID},
    {STR_INIT("order_shipped"), ORDER_FACET_SHIPPED},
    {STR_INIT("order_picked_up"), ORDER_FACET_PICKED_UP},
    {STR_INIT("order_cancelled"), ORDER_FACET_CANCELLED},
    {STR_INIT("item_returned"), ORDER_FACET_RETURNED},
};

static int fail(struct event_problem *problem, int error, struct str pointer)
{
    *problem = (struct event_problem){.error = error, .pointer = pointer, .hint = STR("")};
    return error;
}

/* Reads an amount that may be absent. *found tells. */
static int read_member(
    struct json object, struct str key, struct str currency, int64_t *minor, bool *found)
{
    struct json value;
    *found = json_get(object, key, &value) && json_kind(value) != JSON_NULL;
    return *found ? amount_read(value, currency, minor) : 0;
}

static void take_key(struct segment_order_keys *taken, struct str name)
{
    check(taken->count < SEGMENT_ORDER_KEYS_MAX);
    taken->names[taken->count++] = name;
}

/* What the order brought in: the first of these that is there. */
static int read_revenue(struct json properties, struct order *order,
    struct segment_order_keys *taken, struct event_problem *problem)
{
    static const struct {
        struct str key;
        struct str pointer;
    } names[] = {{STR_INIT("revenue"), STR_INIT("/properties/revenue")},
        {STR_INIT("total"), STR_INIT("/properties/total")},
        {STR_INIT("value"), STR_INIT("/properties/value")}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool found = false;
        int r =
            read_member(properties, names[i].key, order->currency, &order->revenue_minor, &found);
        if (r < 0)
            return fail(problem, r, names[i].pointer);
        if (found) {
            take_key(taken, names[i].key);
            return 0;
        }
    }
    return 0;
}

static int read_extras(struct json properties, struct order *order,
    struct segment_order_keys *taken, struct event_problem *problem)
{
    const struct {
        struct str key;
        struct str pointer;
        int64_t *minor;
    } names[] = {{STR("tax"), STR("/properties/tax"), &order->tax_minor},
        {STR("shipping"), STR("/properties/shipping"), &order->shipping_minor},
        {STR("discount"), STR("/properties/discount"), &order->discount_minor}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool found = false;
        int r = read_member(properties, names[i].key, order->currency, names[i].minor, &found);
        if (r < 0)
            return fail(problem, r, names[i].pointer);
        if (found)
            take_key(taken, names[i].key);
    }
    return 0;
}

static int read_currency(struct json properties, struct str standard, struct arena *arena,
    struct order *order, struct segment_order_keys *taken, struct event_problem *problem)
{
    struct str text;
    int r = segment_text_strict(properties, STR("currency"), arena, &text);
    if (r == 0 && text.size == 0) {
        order->currency = standard;
        return 0;
    }
    if (r == 0)
        r = amount_currency(text, arena, &order->currency);
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : fail(problem, r, STR("/properties/currency"));
    take_key(taken, STR("currency"));
    return 0;
}

/* Whole numbers, also as 2.0 and "2". */
static int read_quantity(struct json product, int64_t *quantity)
{
    struct json value;
    if (!json_get(product, STR("quantity"), &value) || json_kind(value) == JSON_NULL)
        return 0;
    if (json_kind(value) == JSON_INT) {
        *quantity = json_int(value);
        return 0;
    }
    /* A currency without digits reads whole numbers alone. */
    return amount_read(value, STR("JPY"), quantity);
}

/* What is known of an item beside itself. */
struct item_reading {
    bool more;          /* a product says more than an item holds */
    const char *member; /* that is read; of an error: whose it is, "" for the product itself */
};

static int read_item(struct json product, struct str currency, struct arena *arena,
    struct order_item *item, struct item_reading *reading)
{
    static const struct str known[] = {STR_INIT("sku"), STR_INIT("product_id"),
        STR_INIT("category"), STR_INIT("quantity"), STR_INIT("price")};
    reading->member = "";
    if (json_kind(product) != JSON_OBJECT)
        return ERR_FIELD_TYPE;
    order_item_init(item);
    struct str product_id;
    bool found = false;
    reading->member = "/sku";
    int r = segment_text_strict(product, STR("sku"), arena, &item->sku);
    if (r < 0)
        return r;
    reading->member = "/product_id";
    r = segment_text_strict(product, STR("product_id"), arena, &product_id);
    if (r < 0)
        return r;
    reading->member = "/category";
    r = segment_text(product, STR("category"), arena, &item->category);
    if (r < 0)
        return r;
    reading->member = "/quantity";
    r = read_quantity(product, &item->quantity);
    if (r < 0)
        return r;
    reading->member = "/price";
    r = read_member(product, STR("price"), currency, &item->price_minor, &found);
    if (r < 0)
        return r;
    size_t held = 0;
    struct json value;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        held += json_get(product, known[i], &value) ? 1 : 0;
    if (held < json_count(product) || (item->sku.size && product_id.size))
        reading->more = true;
    if (item->sku.size == 0)
        item->sku = product_id;
    return 0;
}

/* Says which product was wrong, and what of it. Returns error, or ERR_NO_MEMORY. */
static int fail_item(
    struct arena *arena, struct event_problem *problem, int error, size_t index, const char *member)
{
    char text[64];
    struct str pointer;
    if (error == ERR_NO_MEMORY)
        return error;
    (void)snprintf(text, sizeof text, "/properties/products/%zu%s", index, member);
    int r = arena_dup(arena, str_of(text), &pointer);
    return r < 0 ? r : fail(problem, error, pointer);
}

static int read_items(struct json properties, struct arena *arena, struct order *order,
    struct segment_order_keys *taken, struct event_problem *problem)
{
    struct json products;
    if (!json_get(properties, STR("products"), &products) || json_kind(products) == JSON_NULL)
        return 0;
    size_t count = json_count(products);
    if (json_kind(products) != JSON_ARRAY)
        return fail(problem, ERR_FIELD_TYPE, STR("/properties/products"));
    if (count > EVENT_ITEMS_MAX)
        return fail(problem, ERR_TOO_MANY, STR("/properties/products"));
    struct order_item *items = arena_alloc(arena, (count + 1) * sizeof *items);
    if (!items)
        return ERR_NO_MEMORY;
    struct json_iterator iterator;
    struct str key;
    struct json product;
    struct item_reading reading = {0};
    json_iterate(products, &iterator);
    for (size_t i = 0; json_next(&iterator, &key, &product); i++) {
        int r = read_item(product, order->currency, arena, &items[i], &reading);
        if (r < 0)
            return fail_item(arena, problem, r, i, reading.member);
    }
    order->items = items;
    order->items_count = count;
    if (!reading.more)
        take_key(taken, STR("products"));
    return 0;
}

static int read_texts(struct json properties, struct arena *arena, struct touchpoint *event,
    struct segment_order_keys *taken, struct event_problem *problem)
{
    struct order *order = &event->order;
    int r = segment_text_strict(properties, STR("order_id"), arena, &order->order_id);
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : fail(problem, r, STR("/properties/order_id"));
    r = segment_text(properties, STR("coupon"), arena, &order->coupon);
    if (r < 0)
        return r;
    if (order->order_id.size)
        take_key(taken, STR("order_id"));
    if (order->coupon.size)
        take_key(taken, STR("coupon"));
    for (size_t i = 0; i < sizeof facets / sizeof *facets; i++)
        if (str_equal(facets[i].type, event->type))
            order->facet = facets[i].facet;
    return 0;
}

int segment_order_read(struct json properties, struct str currency, struct arena *arena,
    struct touchpoint *event, struct segment_order_keys *taken, struct event_problem *problem)
{
    struct json value;
    *taken = (struct segment_order_keys){0};
    bool named = json_get(properties, STR("order_id"), &value) && json_kind(value) != JSON_NULL;
    if (!named && event_type_class(event->type) != EVENT_CLASS_ORDER)
        return 0;
    struct order *order = &event->order;
    order_init(order);
    int r = read_texts(properties, arena, event, taken, problem);
    if (r == 0)
        r = read_currency(properties, currency, arena, order, taken, problem);
    if (r == 0)
        r = read_revenue(properties, order, taken, problem);
    if (r == 0)
        r = read_extras(properties, order, taken, problem);
    if (r == 0)
        r = read_items(properties, arena, order, taken, problem);
    if (r == 0)
        event->has_order = true;
    return r;
}
