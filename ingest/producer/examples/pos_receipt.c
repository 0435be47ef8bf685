/*
 * A till: a receipt with items, a return, and a receipt of the day when the line was down.
 *
 *     cc pos_receipt.c $(pkg-config --cflags --libs tabiji) -o pos_receipt
 *     ./pos_receipt https://collect.example.jp /etc/pos/write-key
 *     ./pos_receipt https://collect.example.jp /etc/pos/write-key /var/lib/pos/spool
 *
 * With a spool a receipt is on the disk before it is printed. On a day without a line all stay
 * there, through power cuts too, and the next start sends them first, in order.
 *
 * Each event's id is made of what the till knows: run again, or sent again after a power cut, a
 * receipt is the same receipt and counts once.
 */
#include <stdio.h>
#include <string.h>
#include <tabiji.h>

#define TERMINAL "shibuya-3"

struct line {
    const char *sku, *category, *price;
    int quantity;
};

struct receipt {
    const char *type, *number, *time, *loyalty, *total, *facet;
    const struct line *lines;
    size_t lines_count;
};

/* On the library's thread: what did not arrive is for the till's log. */
static void on_report(void *context, const struct tabiji_report *report)
{
    (void)context;
    if (report->kind == TABIJI_REPORT_SPOOL) {
        (void)fprintf(stderr, "%lu receipts: %s: %s\n", (unsigned long)report->events,
            report->problem.code, report->problem.hint);
        return;
    }
    (void)fprintf(stderr, "%s: %s %s %s\n", report->event_id, report->problem.code,
        report->problem.pointer, report->problem.hint);
}

/* The first error stays with the event, so that only sending is checked. */
static void describe(struct tabiji_event *event, const struct receipt *receipt)
{
    struct tabiji_order order = {0};
    struct tabiji_store store = {0};
    char id[64];
    size_t i;
    (void)snprintf(id, sizeof id, "%s/%s/%s", TERMINAL, receipt->number, receipt->type);
    order.size = sizeof order;
    order.order_id = receipt->number;
    order.currency = "JPY";
    order.revenue = receipt->total;
    order.facet = receipt->facet;
    store.size = sizeof store;
    store.store_id = "shibuya";
    store.terminal = TERMINAL;
    (void)tabiji_event_set_id(event, id);
    (void)tabiji_event_set_time(event, receipt->time);
    (void)tabiji_event_add_identifier(event, "receipt", receipt->number);
    if (receipt->loyalty)
        (void)tabiji_event_add_identifier(event, "loyalty", receipt->loyalty);
    (void)tabiji_event_set_order(event, &order);
    (void)tabiji_event_set_store(event, &store);
    for (i = 0; i < receipt->lines_count; i++) {
        struct tabiji_item item = {0};
        item.size = sizeof item;
        item.sku = receipt->lines[i].sku;
        item.category = receipt->lines[i].category;
        item.price = receipt->lines[i].price;
        item.quantity = receipt->lines[i].quantity;
        (void)tabiji_event_add_item(event, &item);
    }
}

static int send_receipt(
    struct tabiji_producer *producer, const struct receipt *receipt, int spooled)
{
    struct tabiji_problem problem = {0};
    struct tabiji_event *event = NULL;
    int r = tabiji_event_new(receipt->type, NULL, &event);
    problem.size = sizeof problem;
    if (r == TABIJI_OK) {
        describe(event, receipt);
        r = spooled ? tabiji_send_durable(producer, event, NULL, &problem)
                    : tabiji_send(producer, event, NULL, &problem);
    }
    if (r != TABIJI_OK)
        (void)fprintf(stderr, "%s: %s: %s %s %s\n", receipt->number, tabiji_error_text(r),
            problem.code, problem.pointer, problem.hint);
    tabiji_event_free(&event);
    return r;
}

int main(int argc, char **argv)
{
    static const struct line tea[] = {
        {"tea-50", "drink", "400", 2}, {"cup-white", "tableware", "480", 1}};
    static const struct receipt receipts[] = {
        {TABIJI_STORE_PURCHASE, "R-1001", "2026-11-20T10:15:00+09:00", "8800-1234", "1280", "paid",
            tea, 2},
        /* rung up while the line was down: it keeps the time that it had */
        {TABIJI_STORE_PURCHASE, "R-1002", "2026-11-19T18:40:00+09:00", NULL, "480", "paid", tea + 1,
            1},
        {TABIJI_ITEM_RETURNED, "R-1001", "2026-11-20T17:02:00+09:00", "8800-1234", "480",
            "returned", tea + 1, 1},
    };
    struct tabiji_options options = {0};
    struct tabiji_problem problem = {0};
    struct tabiji_producer *producer = NULL;
    size_t i;
    int failed = 0;
    options.size = sizeof options;
    options.flags = TABIJI_FAILURES;
    options.url = argc > 1 ? argv[1] : "http://127.0.0.1:8080";
    options.key_file = argc > 2 && argv[2][0] ? argv[2] : NULL;
    options.spool_dir = argc > 3 ? argv[3] : NULL;
    options.on_report = on_report;
    problem.size = sizeof problem;
    if (tabiji_producer_new(&options, &producer, &problem) != TABIJI_OK) {
        (void)fprintf(stderr, "%s: %s\n", problem.pointer, problem.hint);
        return 2;
    }
    for (i = 0; i < sizeof receipts / sizeof receipts[0]; i++)
        failed |= send_receipt(producer, &receipts[i], argc > 3) != TABIJI_OK;
    if (argc > 3) /* what does not go now goes later: no failure */
        (void)tabiji_producer_close(&producer, 1000);
    else
        failed |= tabiji_producer_close(&producer, 10000) != TABIJI_OK;
    return failed;
}
