/*
 * Shopify's webhooks of orders and refunds. Source: Shopify, "Webhooks: delivery structure",
 * "REST Admin API: Order, Refund"; PROTOCOLS.
 */
#include <strings.h>

#include "ingest/collector/protocol/amount.h"
#include "ingest/collector/protocol/hook_kind.h"
#include "ingest/collector/protocol/hook_signature.h"
#include "schemas/error.h"
#include "schemas/money.h"
#include "schemas/time.h"

#define PROOF_HEADER "X-Shopify-Hmac-Sha256"
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define TOPIC_ORDERS "orders/"
#define TOPIC_REFUND "refunds/create"

static int believe(const struct exchange *exchange, const struct config_source *source,
    const struct exchange_pair *pairs, size_t pairs_count, int *refusal)
{
    *refusal = hook_refusal(exchange, source, exchange_header(exchange, PROOF_HEADER));
    return 0;
}

/* What the topics of orders are, when they happened, and of which side of the order they tell. */
static const struct order_topic {
    struct str name;
    struct str type;
    struct str time; /* of the order; where it has none: updated_at, created_at */
    enum order_facet facet;
    bool totals; /* the amounts are what this event is about */
} topics[] = {
    {STR_INIT("orders/create"), STR_INIT("order_completed"), STR_INIT("created_at"),
        ORDER_FACET_PLACED, true},
    {STR_INIT("orders/paid"), STR_INIT("order_paid"), STR_INIT("processed_at"), ORDER_FACET_PAID,
        true},
    {STR_INIT("orders/fulfilled"), STR_INIT("order_shipped"), STR_INIT("updated_at"),
        ORDER_FACET_SHIPPED, true},
    {STR_INIT("orders/cancelled"), STR_INIT("order_cancelled"), STR_INIT("cancelled_at"),
        ORDER_FACET_CANCELLED, false},
    {STR_INIT("orders/partially_fulfilled"), STR_INIT("order_partly_shipped"),
        STR_INIT("updated_at"), ORDER_FACET_UNKNOWN, false},
    {STR_INIT("orders/updated"), STR_INIT("order_updated"), STR_INIT("updated_at"),
        ORDER_FACET_UNKNOWN, false},
    {STR_INIT("orders/edited"), STR_INIT("order_updated"), STR_INIT("updated_at"),
        ORDER_FACET_UNKNOWN, false},
    {STR_INIT("orders/delete"), STR_INIT("order_deleted"), STR_INIT("updated_at"),
        ORDER_FACET_UNKNOWN, false},
};

/* The id by which Shopify knows an event, whatever copy of it this is, and the topic, for one act
 * may be told under several. Without headers: what it is of, and when that was changed last. */
static int read_id(struct hook_reader *reader, struct str topic)
{
    struct str id = exchange_header(reader->exchange, "X-Shopify-Event-Id");
    struct str changed = STR("");
    if (id.size == 0)
        id = exchange_header(reader->exchange, "X-Shopify-Webhook-Id");
    int r = 0;
    if (id.size == 0) {
        r = hook_text(reader, reader->item, STR("id"), &id);
        if (r == 0)
            r = hook_text(reader, reader->item, STR("updated_at"), &changed);
    }
    if (r < 0)
        return r;
    if (id.size == 0)
        return hook_fail(reader, ERR_EVENT_ID, STR("/id"),
            STR("header X-Shopify-Event-Id or X-Shopify-Webhook-Id, or \"id\""));
    const struct str pieces[] = {id, topic, changed};
    r = hook_join(reader, pieces, changed.size ? 3 : 2, &reader->event.event_id);
    if (r == 0 && reader->event.event_id.size > EVENT_ID_SIZE_MAX)
        r = hook_fail(reader, ERR_EVENT_ID, STR("/id"), STR("at most 100 bytes with its topic"));
    return r;
}

static void read_time(struct hook_reader *reader, struct str key)
{
    const struct str keys[] = {key, STR("processed_at"), STR("updated_at"), STR("created_at")};
    struct str said = exchange_header(reader->exchange, "X-Shopify-Triggered-At");
    int64_t triggered = 0;
    int64_t micros = 0;
    for (size_t i = 0; micros == 0 && i < COUNT_OF(keys); i++)
        micros = hook_micros(reader->item, keys[i]);
    if (time_parse_local(said, 0, &triggered) < 0)
        triggered = 0;
    hook_occurred(reader, micros ? micros : triggered);
    reader->said_at = triggered;
}

/* ---- money ---- */

/* In which a set has an amount: the shop's, the visitor's. */
static const struct str moneys[] = {STR_INIT("shop_money"), STR_INIT("presentment_money")};

/* An amount stands plain, and in the shop's and the visitor's money in a set beside it. */
struct amount_name {
    struct str key;
    struct str set;
    struct str pointer; /* for messages */
};

#define AMOUNT(name)                                                                               \
    {                                                                                              \
        STR_INIT(name), STR_INIT(name "_set"), STR_INIT("/" name)                                  \
    }
#define AMOUNT_IN(name, list)                                                                      \
    {                                                                                              \
        STR_INIT(name), STR_INIT(name "_set"), STR_INIT("/" list)                                  \
    }

/* {shop_money: {amount, currency_code}}: what the shop's books say, whatever the visitor paid in.
 */
static bool shop_money(struct json object, struct str set_name, struct json *out)
{
    struct json set;
    return hook_object(object, set_name, &set) && hook_object(set, STR("shop_money"), out);
}

static int shop_currency(
    struct hook_reader *reader, struct json object, struct str set_name, struct str *out)
{
    struct json money;
    return shop_money(object, set_name, &money)
               ? hook_text(reader, money, STR("currency_code"), out)
               : 0;
}

/* The shop's money where the object says it, else what it names, else what was known before, which
 * stays. */
static int read_currency(struct hook_reader *reader, struct json object, struct str *out)
{
    static const struct str sets[] = {STR_INIT("total_price_set"),
        STR_INIT("current_total_price_set"), STR_INIT("subtotal_price_set"),
        STR_INIT("subtotal_set"), STR_INIT("amount_set")};
    struct str text = STR("");
    int r = 0;
    for (size_t i = 0; r == 0 && text.size == 0 && i < COUNT_OF(sets); i++)
        r = shop_currency(reader, object, sets[i], &text);
    if (r == 0 && text.size == 0)
        r = hook_text(reader, object, STR("currency"), &text);
    if (r == 0 && text.size == 0)
        return 0;
    if (r == 0)
        r = amount_currency(text, reader->arena, out);
    return r < 0 && r != ERR_NO_MEMORY ? hook_fail(reader, r, STR("/currency"), STR("")) : r;
}

/* What its source is said to sell in; empty when nobody has said it. */
static struct str configured_currency(const struct hook_reader *reader)
{
    const struct config_source *config = &reader->exchange->source->config;
    return config->currency_assumed ? STR("") : config->currency;
}

static bool is_in(struct json money, struct str currency)
{
    struct json code;
    return hook_get(money, STR("currency_code"), &code) && json_kind(code) == JSON_TEXT &&
           json_text(code).size == currency.size &&
           strncasecmp(json_text(code).data, currency.data, currency.size) == 0;
}

/* The amount of the set's money in this currency, else the plain one, which is the shop's. 1, or 0
 * when there is none. Errors: ERR_CURRENCY when the set has it in others alone. */
static int find_amount(
    struct json object, const struct amount_name *name, struct str currency, struct json *out)
{
    struct json set, money;
    bool other = false;
    for (size_t i = 0; hook_object(object, name->set, &set) && i < COUNT_OF(moneys); i++) {
        if (!hook_object(set, moneys[i], &money) || !hook_get(money, STR("amount"), out))
            continue;
        if (is_in(money, currency))
            return 1;
        other = other || currency.size;
    }
    bool found = hook_get(object, name->key, out) && json_kind(*out) != JSON_NULL;
    return other ? ERR_CURRENCY : found;
}

/* An amount that may be absent. Without a currency it is none. */
static int read_amount(
    struct hook_reader *reader, struct json object, const struct amount_name *name, int64_t *minor)
{
    struct str currency = reader->event.order.currency;
    struct json value;
    int r = find_amount(object, name, currency, &value);
    if (r < 0)
        return hook_fail(reader, r, name->pointer, STR("it is in another currency"));
    if (r == 0)
        return 0;
    if (currency.size == 0)
        return hook_fail(reader, ERR_CURRENCY, STR("/currency"),
            STR("it names none: the source's \"currency\" may"));
    r = amount_read(value, currency, minor);
    return r < 0 ? hook_fail(reader, r, name->pointer, STR("")) : 0;
}

static int read_coupon(struct hook_reader *reader)
{
    struct json list, code;
    struct json_iterator iterator;
    struct str none;
    if (!hook_get(reader->item, STR("discount_codes"), &list) || json_kind(list) != JSON_ARRAY)
        return 0;
    json_iterate(list, &iterator);
    if (!json_next(&iterator, &none, &code))
        return 0;
    return hook_text(reader, code, STR("code"), &reader->event.order.coupon);
}

static int read_totals(struct hook_reader *reader)
{
    static const struct amount_name names[] = {AMOUNT("total_price"), AMOUNT("total_tax"),
        AMOUNT("total_discounts"), AMOUNT("total_shipping_price")};
    struct order *order = &reader->event.order;
    int64_t *const totals[] = {
        &order->revenue_minor, &order->tax_minor, &order->discount_minor, &order->shipping_minor};
    int r = 0;
    for (size_t i = 0; r == 0 && i < COUNT_OF(names); i++)
        r = read_amount(reader, reader->item, &names[i], totals[i]);
    return r < 0 ? r : read_coupon(reader);
}

/* ---- items ---- */

/* A whole number, as one or as a text; 1 when it is absent. */
static int read_quantity(struct hook_reader *reader, struct json object, int64_t *out)
{
    struct json value;
    if (!hook_get(object, STR("quantity"), &value) || json_kind(value) == JSON_NULL)
        return 0;
    int r = amount_read(value, STR("JPY"), out); /* whole: it has no digits */
    return r < 0 ? hook_fail(reader, r, STR("/line_items"), STR("\"quantity\"")) : 0;
}

/* line: a line of an order. */
static int read_goods(struct hook_reader *reader, struct json line, struct order_item *item)
{
    static const struct str keys[] = {
        STR_INIT("sku"), STR_INIT("variant_id"), STR_INIT("product_id"), STR_INIT("title")};
    if (json_kind(line) != JSON_OBJECT)
        return hook_fail(reader, ERR_FIELD_TYPE, STR("/line_items"), STR("objects"));
    int r = 0;
    for (size_t i = 0; r == 0 && item->sku.size == 0 && i < COUNT_OF(keys); i++)
        r = hook_text(reader, line, keys[i], &item->sku);
    return r < 0 ? r : hook_text(reader, line, STR("product_type"), &item->category);
}

static int read_item(struct hook_reader *reader, struct json line, struct order_item *item)
{
    static const struct amount_name price = AMOUNT_IN("price", "line_items");
    int r = read_goods(reader, line, item);
    if (r == 0)
        r = read_amount(reader, line, &price, &item->price_minor);
    return r < 0 ? r : read_quantity(reader, line, &item->quantity);
}

/* A line of a refund says how many of a line of the order went back; they have a price where money
 * did. */
static int read_returned(struct hook_reader *reader, struct json line, struct order_item *item)
{
    static const struct amount_name price = AMOUNT_IN("price", "refund_line_items");
    struct json of;
    if (json_kind(line) != JSON_OBJECT)
        return hook_fail(reader, ERR_FIELD_TYPE, STR("/refund_line_items"), STR("objects"));
    bool named = hook_object(line, STR("line_item"), &of);
    int r = named ? read_goods(reader, of, item) : 0;
    if (r == 0 && named && reader->event.order.revenue_minor)
        r = read_amount(reader, of, &price, &item->price_minor);
    return r < 0 ? r : read_quantity(reader, line, &item->quantity);
}

static int read_items(struct hook_reader *reader, struct str key, struct str pointer,
    int (*read_one)(struct hook_reader *reader, struct json line, struct order_item *item))
{
    struct order *order = &reader->event.order;
    struct json_iterator iterator;
    struct json list, line;
    struct str none;
    if (!hook_get(reader->item, key, &list) || json_kind(list) == JSON_NULL)
        return 0;
    if (json_kind(list) != JSON_ARRAY)
        return hook_fail(reader, ERR_FIELD_TYPE, pointer, STR("an array"));
    if (json_count(list) > EVENT_ITEMS_MAX)
        return hook_fail(reader, ERR_TOO_MANY, pointer, STR(EVENT_ITEMS_HINT));
    order->items = arena_alloc(reader->arena, (json_count(list) + 1) * sizeof *order->items);
    if (!order->items)
        return ERR_NO_MEMORY;
    json_iterate(list, &iterator);
    while (json_next(&iterator, &none, &line)) {
        order_item_init(&order->items[order->items_count]);
        int r = read_one(reader, line, &order->items[order->items_count]);
        if (r < 0)
            return r;
        order->items_count++;
    }
    return 0;
}

/* ---- tests ---- */

static bool is_test(struct json object)
{
    struct json test;
    return hook_get(object, STR("test"), &test) && json_kind(test) == JSON_BOOL && json_bool(test);
}

/* Nobody has bought what a shop's owner tries his checkout with: it may not become revenue. */
static int check_real(struct hook_reader *reader)
{
    return is_test(reader->item)
               ? hook_fail(reader, ERR_VALUE, STR("/test"), STR("an order that is a test"))
               : 0;
}

/* ---- topics ---- */

static int contradict(struct hook_reader *reader, struct str pointer)
{
    return hook_fail(reader, ERR_VALUE, pointer, STR("the topic says otherwise"));
}

/* The signature is of the body alone, so that whoever has seen one could send it under another
 * topic. What the body says is believed: of a member that it lacks nothing is said, but that a
 * cancelled order was cancelled is. */
static int check_topic(struct hook_reader *reader, struct str topic)
{
    static const struct str paid[] = {
        STR_INIT("paid"), STR_INIT("partially_refunded"), STR_INIT("refunded")};
    struct json json;
    struct str text;
    if (hook_get(reader->item, STR("refund_line_items"), &json))
        return contradict(reader, STR("/refund_line_items"));
    if (str_equal(topic, STR("orders/cancelled"))) {
        int r = hook_text(reader, reader->item, STR("cancelled_at"), &text);
        return r == 0 && text.size == 0 ? contradict(reader, STR("/cancelled_at")) : r;
    }
    if (str_equal(topic, STR("orders/fulfilled")) &&
        hook_get(reader->item, STR("fulfillment_status"), &json) &&
        !(json_kind(json) == JSON_TEXT && str_equal(json_text(json), STR("fulfilled"))))
        return contradict(reader, STR("/fulfillment_status"));
    if (!str_equal(topic, STR("orders/paid")) ||
        !hook_get(reader->item, STR("financial_status"), &json))
        return 0;
    for (size_t i = 0; json_kind(json) == JSON_TEXT && i < COUNT_OF(paid); i++)
        if (str_equal(json_text(json), paid[i]))
            return 0;
    return contradict(reader, STR("/financial_status"));
}

/* A refund has none of what an order has. */
static int check_refund(struct hook_reader *reader)
{
    static const struct {
        struct str key;
        struct str pointer;
    } of_orders[] = {{STR_INIT("total_price"), STR_INIT("/total_price")},
        {STR_INIT("line_items"), STR_INIT("/line_items")},
        {STR_INIT("financial_status"), STR_INIT("/financial_status")}};
    struct json json;
    for (size_t i = 0; i < COUNT_OF(of_orders); i++)
        if (hook_get(reader->item, of_orders[i].key, &json))
            return contradict(reader, of_orders[i].pointer);
    return 0;
}

/* ---- who ---- */

/* The order's own address and number, else the customer's, and what the shop's pages have noted of
 * the visitor: {name: "anonymous_id", value}. */
static int identify(struct hook_reader *reader)
{
    static const struct {
        struct str key;
        struct str name;
    } contacts[] = {{STR_INIT("email"), STR_INIT("email")}, {STR_INIT("phone"), STR_INIT("phone")}};
    struct json customer, list, note;
    struct json_iterator iterator;
    struct str id, name, value, none;
    bool known = hook_object(reader->item, STR("customer"), &customer);
    int r = known ? hook_text(reader, customer, STR("id"), &id) : 0;
    if (r == 0 && known)
        hook_identify(reader, STR("login"), id);
    for (size_t i = 0; r == 0 && i < COUNT_OF(contacts); i++) {
        r = hook_text(reader, reader->item, contacts[i].key, &value);
        if (r == 0 && value.size == 0 && known)
            r = hook_text(reader, customer, contacts[i].key, &value);
        if (r == 0)
            hook_identify(reader, contacts[i].name, value);
    }
    if (r < 0 || !hook_get(reader->item, STR("note_attributes"), &list) ||
        json_kind(list) != JSON_ARRAY)
        return r;
    json_iterate(list, &iterator);
    while (r == 0 && json_next(&iterator, &none, &note)) {
        r = hook_text(reader, note, STR("name"), &name);
        if (r == 0)
            r = hook_text(reader, note, STR("value"), &value);
        if (r == 0)
            hook_identify_named(reader, name, value, false);
    }
    return r;
}

/* A till of the shop's point of sale. */
static int read_store(struct hook_reader *reader, struct str source_name)
{
    struct store *store = &reader->event.store;
    if (!str_equal(source_name, STR("pos")))
        return 0;
    store_init(store);
    reader->event.has_store = true;
    return hook_text(reader, reader->item, STR("location_id"), &store->store_id);
}

/* ---- orders ---- */

static int read_order(struct hook_reader *reader, const struct order_topic *topic)
{
    struct order *order = &reader->event.order;
    struct str text;
    reader->event.type = topic->type;
    order->facet = topic->facet;
    int r = hook_text(reader, reader->item, STR("id"), &order->order_id);
    if (r == 0 && order->order_id.size == 0)
        r = hook_fail(reader, ERR_MISSING_FIELD, STR("/id"), STR(""));
    order->currency = configured_currency(reader);
    if (r == 0)
        r = read_currency(reader, reader->item, &order->currency);
    if (r == 0 && topic->totals)
        r = read_totals(reader);
    if (r == 0)
        r = read_items(reader, STR("line_items"), STR("/line_items"), read_item);
    if (r == 0)
        r = identify(reader);
    if (r == 0)
        r = hook_text(reader, reader->item, STR("source_name"), &text);
    if (r == 0)
        r = read_store(reader, text);
    if (r == 0)
        r = hook_keep(reader, "source_name", text);
    if (r == 0)
        r = hook_text(reader, reader->item, STR("name"), &text);
    if (r == 0)
        r = hook_keep(reader, "order_name", text);
    if (r == 0)
        r = hook_text(reader, reader->item, STR("cancel_reason"), &text);
    return r < 0 ? r : hook_keep(reader, "cancel_reason", text);
}

/* ---- refunds ---- */

/* What a refund's transactions gave back. */
struct refunded {
    struct str currency; /* empty before the first */
    int64_t minor;
    bool exchanged; /* each of them says what it is in the shop's books, too */
    struct str books_currency;
    int64_t books_minor;
};

static int add_minor(struct hook_reader *reader, int64_t minor, struct str pointer, int64_t *sum)
{
    return __builtin_add_overflow(*sum, minor, sum)
               ? hook_fail(reader, ERR_NUMBER_RANGE, pointer, STR(""))
               : 0;
}

static int one_currency(struct hook_reader *reader, struct str own, struct str *currency)
{
    if (currency->size && !str_equal(*currency, own))
        return hook_fail(reader, ERR_CURRENCY, STR("/transactions"), STR("two currencies"));
    *currency = own;
    return 0;
}

/* {currency_exchange_adjustment: {final_amount, currency}}: in the shop's money, below zero as it
 * went out. */
static int add_books(struct hook_reader *reader, struct json transaction, struct refunded *refunded)
{
    static const struct amount_name name = {
        STR_INIT("final_amount"), STR_INIT("final_amount_set"), STR_INIT("/transactions")};
    struct order *order = &reader->event.order;
    struct json adjustment, value;
    struct str own = STR("");
    int64_t minor = 0;
    refunded->exchanged =
        refunded->exchanged &&
        hook_object(transaction, STR("currency_exchange_adjustment"), &adjustment) &&
        find_amount(adjustment, &name, STR(""), &value) == 1;
    if (!refunded->exchanged)
        return 0;
    int r = read_currency(reader, adjustment, &own);
    if (r == 0)
        r = one_currency(reader, own, &refunded->books_currency);
    order->currency = own;
    if (r == 0)
        r = read_amount(reader, adjustment, &name, &minor);
    if (r == 0 && minor < 0 && __builtin_sub_overflow(0, minor, &minor))
        r = hook_fail(reader, ERR_NUMBER_RANGE, name.pointer, STR(""));
    return r < 0 ? r : add_minor(reader, minor, name.pointer, &refunded->books_minor);
}

/* Adds what one transaction gave back, which one that waits, failed or is a test did not. */
static int add_transaction(
    struct hook_reader *reader, struct json transaction, struct refunded *refunded)
{
    static const struct amount_name name = AMOUNT_IN("amount", "transactions");
    struct str kind, status;
    struct str known = reader->event.order.currency;
    struct str own = refunded->currency.size ? refunded->currency : known;
    int64_t minor = 0;
    int r = hook_text(reader, transaction, STR("kind"), &kind);
    if (r == 0)
        r = hook_text(reader, transaction, STR("status"), &status);
    if (r < 0)
        return r;
    if (is_test(transaction) || (kind.size && !str_equal(kind, STR("refund"))) ||
        (status.size && !str_equal(status, STR("success"))))
        return 0;
    r = read_currency(reader, transaction, &own);
    if (r == 0)
        r = one_currency(reader, own, &refunded->currency);
    if (r < 0)
        return r;
    reader->event.order.currency = own;
    r = read_amount(reader, transaction, &name, &minor);
    if (r == 0)
        r = add_minor(reader, minor, name.pointer, &refunded->minor);
    if (r == 0)
        r = add_books(reader, transaction, refunded);
    reader->event.order.currency = own;
    return r;
}

/* What a refund is made of, in the shop's money and in the visitor's. */
struct refund_parts {
    struct str currencies[2]; /* the shop's, the visitor's; empty before the first */
    int64_t minor[2];
    bool whole; /* every amount is said in both */
};

/* sign: -1 of what was kept back, or is of the other sign there. */
static int add_part(struct hook_reader *reader, struct json object, const struct amount_name *name,
    int sign, struct refund_parts *parts)
{
    struct json set, money, amount;
    bool said = hook_object(object, name->set, &set);
    for (size_t i = 0; parts->whole && i < COUNT_OF(moneys); i++) {
        struct str text, currency = STR("");
        int64_t minor = 0;
        parts->whole =
            said && hook_object(set, moneys[i], &money) && hook_get(money, STR("amount"), &amount);
        int r = parts->whole ? hook_text(reader, money, STR("currency_code"), &text) : 0;
        if (r == 0 && parts->whole)
            r = amount_currency(text, reader->arena, &currency);
        if (r == 0 && parts->whole)
            r = amount_read(amount, currency, &minor);
        if (r == ERR_NO_MEMORY)
            return r;
        parts->whole =
            parts->whole && r == 0 &&
            (parts->currencies[i].size == 0 || str_equal(parts->currencies[i], currency)) &&
            !__builtin_mul_overflow(minor, sign, &minor) &&
            !__builtin_add_overflow(parts->minor[i], minor, &parts->minor[i]);
        parts->currencies[i] = currency;
    }
    return 0;
}

/* Lines and their tax, less adjustments, whose sign is the other one. Source: Shopify, "Refund:
 * order_adjustments". */
static int read_parts(struct hook_reader *reader, struct refund_parts *parts)
{
    static const struct {
        struct str list;
        struct amount_name names[2];
        int sign;
    } lists[] = {
        {STR_INIT("refund_line_items"), {AMOUNT("subtotal"), AMOUNT("total_tax")}, 1},
        {STR_INIT("order_adjustments"), {AMOUNT("amount"), AMOUNT("tax_amount")}, -1},
    };
    struct json_iterator iterator;
    struct json list, element;
    struct str none;
    *parts = (struct refund_parts){.whole = true};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        if (!hook_get(reader->item, lists[i].list, &list) || json_kind(list) != JSON_ARRAY)
            continue;
        json_iterate(list, &iterator);
        while (json_next(&iterator, &none, &element))
            for (size_t k = 0; k < COUNT_OF(lists[i].names); k++) {
                int r = add_part(reader, element, &lists[i].names[k], lists[i].sign, parts);
                if (r < 0)
                    return r;
            }
    }
    return 0;
}

/* Transactions are in what the visitor paid in, orders in the shop's money, from which a refund in
 * another would never be taken. Where the parts that it is made of are together what it gave back,
 * they say what that was in the order, at its rate; else its exchange does, at the refund's. Where
 * nothing does it stays what it is. */
static int in_shop_money(struct hook_reader *reader, const struct refunded *refunded)
{
    struct order *order = &reader->event.order;
    struct refund_parts parts;
    order->revenue_minor = refunded->minor;
    if (refunded->currency.size == 0)
        return 0;
    int r = read_parts(reader, &parts);
    if (r < 0)
        return r;
    if (parts.whole && str_equal(parts.currencies[1], refunded->currency) &&
        parts.minor[1] == refunded->minor) {
        order->currency = parts.currencies[0];
        order->revenue_minor = parts.minor[0];
    } else if (refunded->exchanged) {
        order->currency = refunded->books_currency;
        order->revenue_minor = refunded->books_minor;
    }
    return 0;
}

/* What its lines are worth, where it says nothing of transactions. */
static int add_line(struct hook_reader *reader, struct json line)
{
    static const struct amount_name names[] = {
        AMOUNT_IN("subtotal", "refund_line_items"), AMOUNT_IN("total_tax", "refund_line_items")};
    struct order *order = &reader->event.order;
    int r = read_currency(reader, line, &order->currency);
    for (size_t i = 0; r == 0 && i < COUNT_OF(names); i++) {
        int64_t minor = 0;
        r = read_amount(reader, line, &names[i], &minor);
        if (r == 0)
            r = add_minor(reader, minor, names[i].pointer, &order->revenue_minor);
    }
    return r;
}

static int read_refunded(struct hook_reader *reader)
{
    struct json list, element;
    struct json_iterator iterator;
    struct str none;
    struct refunded refunded = {.exchanged = true};
    int r = 0;
    bool transactions =
        hook_get(reader->item, STR("transactions"), &list) && json_kind(list) == JSON_ARRAY;
    if (!transactions &&
        (!hook_get(reader->item, STR("refund_line_items"), &list) || json_kind(list) != JSON_ARRAY))
        return 0;
    json_iterate(list, &iterator);
    while (r == 0 && json_next(&iterator, &none, &element))
        r = transactions ? add_transaction(reader, element, &refunded) : add_line(reader, element);
    return r == 0 && transactions ? in_shop_money(reader, &refunded) : r;
}

/* Whether goods came back with it. */
static int is_return(struct hook_reader *reader, bool *out)
{
    struct json list, line;
    struct json_iterator iterator;
    struct str none, restock;
    *out = false;
    if (!hook_get(reader->item, STR("refund_line_items"), &list) || json_kind(list) != JSON_ARRAY)
        return 0;
    json_iterate(list, &iterator);
    while (json_next(&iterator, &none, &line)) {
        int r = hook_text(reader, line, STR("restock_type"), &restock);
        if (r < 0)
            return r;
        *out = *out || str_equal(restock, STR("return"));
    }
    return 0;
}

/* It names no customer: the order tells whose it is. Money that went back is order_refunded, goods
 * that came back are item_returned; a refund of nothing is a return whose goods have no price and
 * need no currency, for a refund without an amount would be one of all. */
static int read_refund(struct hook_reader *reader)
{
    struct order *order = &reader->event.order;
    bool returned = false;
    int r = hook_text(reader, reader->item, STR("order_id"), &order->order_id);
    if (r == 0 && order->order_id.size == 0)
        r = hook_fail(reader, ERR_MISSING_FIELD, STR("/order_id"), STR(""));
    order->currency = configured_currency(reader);
    if (r == 0)
        r = read_currency(reader, reader->item, &order->currency);
    if (r == 0)
        r = read_refunded(reader);
    if (r == 0)
        r = is_return(reader, &returned);
    if (r == 0)
        r = read_items(reader, STR("refund_line_items"), STR("/refund_line_items"), read_returned);
    if (r < 0)
        return r;
    returned = returned || order->revenue_minor == 0;
    reader->event.type = returned ? STR("item_returned") : STR("order_refunded");
    order->facet = returned ? ORDER_FACET_RETURNED : ORDER_FACET_UNKNOWN;
    return 0;
}

static int read(struct hook_reader *reader, size_t nth)
{
    static const struct str pointer = STR_INIT("X-Shopify-Topic");
    struct str name = exchange_header(reader->exchange, "X-Shopify-Topic");
    const struct order_topic *topic = NULL;
    for (size_t i = 0; i < COUNT_OF(topics); i++)
        if (str_equal(topics[i].name, name))
            topic = &topics[i];
    bool refund = str_equal(name, STR(TOPIC_REFUND));
    if (json_kind(reader->item) != JSON_OBJECT)
        return hook_fail(reader, ERR_FIELD_TYPE, STR(""), STR("an object"));
    int r = read_id(reader, name);
    if (r < 0)
        return r;
    if (!refund && !topic)
        return hook_fail(reader, name.size ? ERR_VALUE : ERR_MISSING_FIELD, pointer,
            STR("orders/create, paid, fulfilled, cancelled, updated, ... or refunds/create"));
    read_time(reader, refund ? STR("processed_at") : topic->time);
    order_init(&reader->event.order);
    reader->event.has_order = true;
    r = check_real(reader);
    if (r == 0)
        r = refund ? check_refund(reader) : check_topic(reader, name);
    if (r < 0)
        return r;
    return refund ? read_refund(reader) : read_order(reader, topic);
}

/* Splits an id that read_id() has joined. The topic is empty where there is none; the id where the
 * notification itself has it. */
static void split_id(struct str event_id, struct str *id, struct str *topic)
{
    *id = *topic = STR("");
    for (size_t at = event_id.size; topic->size == 0 && at-- > 1;) {
        struct str rest = str_make(event_id.data + at, event_id.size - at);
        if (event_id.data[at - 1] != '-')
            continue;
        for (size_t i = 0; i <= COUNT_OF(topics); i++) {
            struct str name = i < COUNT_OF(topics) ? topics[i].name : STR(TOPIC_REFUND);
            if (!str_starts_with(rest, name) ||
                (rest.size > name.size && rest.data[name.size] != '-'))
                continue;
            *topic = name;
            if (rest.size == name.size)
                *id = str_make(event_id.data, at - 1);
        }
    }
}

static struct str again_header(struct str event_id, const char *name)
{
    struct str id, topic;
    split_id(event_id, &id, &topic);
    if (strcmp(name, "X-Shopify-Topic") == 0)
        return topic;
    return strcmp(name, "X-Shopify-Event-Id") == 0 ? id : STR("");
}

const struct hook_kind hook_shopify = {.name = STR_INIT("shopify"),
    .believe = believe,
    .proof = HOOK_PROOF_BODY,
    .proof_header = PROOF_HEADER,
    .read = read,
    .again_header = again_header,
    .again_needs = "X-Shopify-Topic"};
