/* An action has one transaction or refund, and any number of products. */
#include "ingest/collector/protocol/snowplow_order.h"

#include "ingest/collector/protocol/amount.h"
#include "schemas/error.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

struct amount {
    struct str key;
    struct str pointer;
    int64_t *minor;
    bool required;
};

static int read_amounts(
    struct snowplow_reader *reader, struct json data, const struct amount *amounts, size_t count)
{
    struct json value;
    for (size_t i = 0; i < count; i++) {
        bool found = json_get(data, amounts[i].key, &value) && json_kind(value) != JSON_NULL;
        int r = found ? amount_read(value, reader->event->order.currency, amounts[i].minor) : 0;
        if (!found && amounts[i].required)
            r = ERR_SCHEMA_VIOLATION;
        if (r < 0)
            return snowplow_fail(reader, r, amounts[i].pointer, STR(""));
    }
    return 0;
}

/* Begins the order with what both kinds of entity have. */
static int begin(struct snowplow_reader *reader, struct json data, struct str pointer)
{
    struct order *order = &reader->event->order;
    struct str code;
    if (reader->event->has_order)
        return snowplow_fail(reader, ERR_SCHEMA_VIOLATION, pointer, STR("there is one already"));
    order_init(order);
    order->currency = reader->message->currency;
    reader->event->has_order = true;
    int r = segment_text_strict(data, STR("transaction_id"), reader->arena, &order->order_id);
    if (r == ERR_FIELD_TYPE || (r == 0 && order->order_id.size == 0))
        return snowplow_fail(reader, ERR_SCHEMA_VIOLATION, pointer, STR("\"transaction_id\""));
    if (r == 0)
        r = segment_text_strict(data, STR("currency"), reader->arena, &code);
    if (r == 0 && code.size)
        r = amount_currency(code, reader->arena, &order->currency);
    return r < 0 ? snowplow_fail(reader, r, pointer, STR("\"currency\"")) : 0;
}

int snowplow_order_transaction(struct snowplow_reader *reader, struct json data)
{
    struct order *order = &reader->event->order;
    if (!str_equal(reader->event->type, STR("order_completed")))
        return 0;
    int r = begin(reader, data, STR("/co/transaction"));
    if (r < 0)
        return r;
    const struct amount amounts[] = {
        {STR("revenue"), STR("/co/transaction/revenue"), &order->revenue_minor, true},
        {STR("tax"), STR("/co/transaction/tax"), &order->tax_minor, false},
        {STR("shipping"), STR("/co/transaction/shipping"), &order->shipping_minor, false},
        {STR("discount_amount"), STR("/co/transaction/discount_amount"), &order->discount_minor,
            false},
    };
    order->facet = ORDER_FACET_PLACED;
    r = read_amounts(reader, data, amounts, COUNT_OF(amounts));
    return r < 0 ? r : segment_text(data, STR("discount_code"), reader->arena, &order->coupon);
}

int snowplow_order_refund(struct snowplow_reader *reader, struct json data)
{
    struct order *order = &reader->event->order;
    if (!str_equal(reader->event->type, STR("order_refunded")))
        return 0;
    int r = begin(reader, data, STR("/co/refund"));
    const struct amount amounts[] = {
        {STR("refund_amount"), STR("/co/refund/refund_amount"), &order->revenue_minor, true}};
    return r < 0 ? r : read_amounts(reader, data, amounts, COUNT_OF(amounts));
}

/* The price counts where it is in the order's currency; it is kept with the entity anyway. */
static int read_price(struct snowplow_reader *reader, struct json data, int64_t *minor)
{
    const struct amount amounts[] = {{STR("price"), STR("/co/product/price"), minor, false}};
    struct str code;
    struct str currency = STR("");
    int r = segment_text(data, STR("currency"), reader->arena, &code);
    if (r == 0 && code.size)
        r = amount_currency(code, reader->arena, &currency);
    if (r < 0)
        return snowplow_fail(reader, r, STR("/co/product/currency"), STR(""));
    if (currency.size && !str_equal(currency, reader->event->order.currency))
        return 0;
    return read_amounts(reader, data, amounts, COUNT_OF(amounts));
}

int snowplow_order_product(struct snowplow_reader *reader, struct json data, size_t most)
{
    struct order *order = &reader->event->order;
    struct json quantity;
    if (json_kind(data) != JSON_OBJECT)
        return snowplow_fail(reader, ERR_SCHEMA_VIOLATION, STR("/co/product"), STR("an object"));
    if (order->items_count == EVENT_ITEMS_MAX)
        return snowplow_fail(reader, ERR_TOO_MANY, STR("/co/product"), STR(""));
    if (order->items_count == 0) {
        size_t room = most < EVENT_ITEMS_MAX ? most : EVENT_ITEMS_MAX;
        reader->items = arena_alloc(reader->arena, room * sizeof *reader->items);
        if (!reader->items)
            return ERR_NO_MEMORY;
        order->items = reader->items;
    }
    struct order_item *item = &reader->items[order->items_count++];
    order_item_init(item);
    int r = segment_text(data, STR("id"), reader->arena, &item->sku);
    if (r == 0)
        r = segment_text(data, STR("category"), reader->arena, &item->category);
    if (r == 0)
        r = read_price(reader, data, &item->price_minor);
    if (r == 0 && json_get(data, STR("quantity"), &quantity) && json_kind(quantity) == JSON_INT)
        item->quantity = json_int(quantity);
    return r;
}
