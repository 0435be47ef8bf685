/*
 * Typed events of which the library holds to know that the collector takes them (proof.h) are taken
 * by the collector's own code without a word: random events of good and bad values. And most events
 * of good values are proven, else nobody would gain by it.
 *
 * usage: property_producer_proof [--part] [--long]
 */
#include "ingest/producer/event.h"
#include "ingest/producer/tabiji.h"
#include "schemas/bytes.h"
#include "schemas/event.h"
#include "tests/property/random.h"

#define CASES 100000
#define CASES_LONG 2000000
#define LONG_SIZE 400
#define PROVEN_SHARE 2 /* of events of good values: one in so many at least */

static struct random source;
static bool good; /* this event's values are */
static char long_text[LONG_SIZE + 1];

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PICK(array) ((array)[random_below(&source, COUNT(array))])

static const char *const bad_texts[] = {"", " ", "null", "NULL", "'guest'", "\"none\"",
    "「unknown」", "0", "-1", "[object Object]", "00000000-0000-0000-0000-000000000000", "非通知",
    "a b", " a", "a ", "旅路", "\xff", "\x01", "\t", "a\"b\\c", "03-1234-5678", "0120-444-444",
    "a@b.jp", "@", "k1:00112233445566778899aabbccddeeff", "１２３", "12980", "-5", "1.5", "1e5",
    "12,980", "999999999999999", "1000000000000001", "99999999999999999999", "JPY", "jpy", "XXX",
    "inbound", "placed", "mobile", long_text};

static const char *bad(void)
{
    size_t skip = random_once_in(&source, 8) ? random_below(&source, LONG_SIZE) : LONG_SIZE - 300;
    const char *text = PICK(bad_texts);
    return text == long_text ? text + skip : text;
}

/* One of the good ones, or now and then something else. */
static const char *value_of(const char *const *texts, size_t count)
{
    return !good && random_once_in(&source, 6) ? bad() : texts[random_below(&source, count)];
}

#define VALUE(...)                                                                                 \
    value_of((const char *const[]){__VA_ARGS__},                                                   \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* The same, or not said at all. */
#define MAYBE(...) (random_once_in(&source, 2) ? NULL : VALUE(__VA_ARGS__))

static const char *text(void)
{
    return MAYBE("a", "旅路", "new coat", "R-17", "x/y?z=1", "\"quoted\"");
}

static void set_order(struct tabiji_event *event)
{
    const struct tabiji_order order = {.size = sizeof order,
        .order_id = MAYBE("R-1", "2026-000017", "o:7"),
        .currency = good || !random_once_in(&source, 8) ? VALUE("JPY", "USD", "BHD") : NULL,
        .revenue = MAYBE("12980", "0", "-7"),
        .tax = MAYBE("1180", "5"),
        .shipping = MAYBE("500"),
        .discount = MAYBE("10"),
        .coupon = text(),
        .facet = MAYBE("placed", "paid", "returned")};
    (void)tabiji_event_set_order(event, &order);
}

static void add_item(struct tabiji_event *event)
{
    const struct tabiji_item item = {.size = sizeof item,
        .sku = text(),
        .category = text(),
        .price = good ? MAYBE("12980", "3") : MAYBE("12980", "3.25"),
        .quantity = (int64_t)random_below(&source, 3)};
    (void)tabiji_event_add_item(event, &item);
}

static void set_call(struct tabiji_event *event)
{
    const struct tabiji_call call = {.size = sizeof call,
        .call_id = MAYBE("c-1", "7f3a"),
        .parent_id = text(),
        .direction = MAYBE("inbound", "outbound"),
        .queue = text(),
        .reason = text(),
        .outcome = text(),
        .agent = text(),
        .wait_ms = (int64_t)random_below(&source, 90000),
        .talk_ms = -(int64_t)random_below(&source, 3)};
    (void)tabiji_event_set_call(event, &call);
}

static void set_part(struct tabiji_event *event)
{
    const struct tabiji_store store = {.size = sizeof store, .store_id = text(), .staff = text()};
    const struct tabiji_message message = {.size = sizeof message,
        .kind = MAYBE("email", "line", "push"),
        .message_id = text(),
        .template_name = text()};
    const struct tabiji_page page = {.size = sizeof page,
        .url = MAYBE("https://shop.example.jp/a?b=c", "/a"),
        .referrer = text()};
    const struct tabiji_campaign campaign = {
        .size = sizeof campaign, .source = text(), .medium = text()};
    const struct tabiji_device device = {
        .size = sizeof device, .kind = MAYBE("mobile", "desktop"), .os = text()};
    const struct tabiji_geo geo = {.size = sizeof geo, .country = MAYBE("JP")};
    const struct tabiji_consent consent = {
        .size = sizeof consent, .analytics = (enum tabiji_choice)random_below(&source, 3)};
    switch (random_below(&source, 8)) {
    case 0:
        (void)tabiji_event_set_store(event, &store);
        break;
    case 1:
        (void)tabiji_event_set_message(event, &message);
        break;
    case 2:
        (void)tabiji_event_set_page(event, &page);
        break;
    case 3:
        (void)tabiji_event_set_campaign(event, &campaign);
        break;
    case 4:
        (void)tabiji_event_set_device(event, &device);
        break;
    case 5:
        (void)tabiji_event_set_geo(event, &geo);
        break;
    case 6:
        (void)tabiji_event_set_consent(event, &consent);
        break;
    default:
        (void)tabiji_event_set_click(event, VALUE("gclid", "yclid"), VALUE("Cj0K", "x"));
        break;
    }
}

static void set_link(struct tabiji_event *event)
{
    const struct tabiji_link link = {.size = sizeof link,
        .a_name = "login",
        .a_value = VALUE("u-1", "u-2"),
        .b_name = "loyalty",
        .b_value = VALUE("m-1")};
    (void)tabiji_event_set_link(event, &link);
}

static void set_time(struct tabiji_event *event)
{
    static const int64_t edges[] = {0, 1795139999000, INT64_MAX, INT64_MIN, 9223372036854775};
    if (random_once_in(&source, 2))
        (void)tabiji_event_set_time_ms(event, good ? edges[1] : PICK(edges));
    else
        (void)tabiji_event_set_time(
            event, VALUE("2026-11-20T10:15:00.123+09:00", "2026-11-20T01:15:00Z"));
}

static void add_property(struct tabiji_event *event, size_t i)
{
    char name[16];
    (void)snprintf(name, sizeof name, "p%zu", good ? i : random_below(&source, 12));
    static const double numbers[] = {0.5, 1e300, 5e-324, -0.0, 1e15};
    switch (random_below(&source, good ? 3 : 5)) {
    case 0:
        (void)tabiji_event_add_int(event, name, (int64_t)random_next(&source));
        break;
    case 1:
        (void)tabiji_event_add_bool(event, good ? name : VALUE("given", "x y"), 1);
        break;
    case 2:
        (void)tabiji_event_add_text(event, name, good ? "c-7" : bad());
        break;
    case 3:
        (void)tabiji_event_add_double(event, name, PICK(numbers));
        break;
    default:
        (void)tabiji_event_add_json(
            event, name, VALUE("{\"a\":1}", "[1,2]", "{\"a\":1,\"a\":2}", "1e400"));
        break;
    }
}

static void add_identifiers(struct tabiji_event *event)
{
    static const char *const names[] = {
        "login", "cookie", "device", "loyalty", "phone", "email", "cokie", "order"};
    bool many = !good && random_once_in(&source, 20);
    size_t count = many ? EVENT_IDENTIFIERS_MAX - 4 + random_below(&source, 5)
                        : good + random_below(&source, 3);
    for (size_t i = 0; i < count; i++) {
        char value[16];
        (void)snprintf(value, sizeof value, "v-%zu", i);
        if (many)
            (void)tabiji_event_add_identifier(event, "cookie", value);
        else
            (void)tabiji_event_add_identifier(
                event, names[random_below(&source, good ? 4 : COUNT(names))], VALUE("u-77", value));
    }
}

static struct tabiji_event *draw(void)
{
    static const char *const types[] = {TABIJI_ORDER_COMPLETED, TABIJI_PAGE_VIEWED,
        TABIJI_CALL_ENDED, "coffee_served", TABIJI_IDENTIFIED, TABIJI_SPEND_REPORTED,
        TABIJI_IDENTITY_LINKED, TABIJI_ERASURE_REQUESTED, "identifier_rotated", "Page", ""};
    struct tabiji_event *event = NULL;
    good = random_once_in(&source, 2);
    check(tabiji_event_new(types[random_below(&source, good ? 4 : COUNT(types))], NULL, &event) ==
          TABIJI_OK);
    add_identifiers(event);
    if (random_once_in(&source, 2))
        set_order(event);
    for (size_t i = random_below(&source, 3); i > 0; i--)
        add_item(event);
    if (!good && random_once_in(&source, 3))
        set_order(event);
    if (random_once_in(&source, 4))
        set_call(event);
    for (size_t i = random_below(&source, 3); i > 0; i--)
        set_part(event);
    if (!good && random_once_in(&source, 8))
        set_link(event);
    if (random_once_in(&source, 3))
        set_time(event);
    size_t properties = random_below(&source, random_once_in(&source, 20) ? 40 : 4);
    for (size_t i = 0; i < properties; i++)
        add_property(event, i);
    return event;
}

static void judge(unsigned long long seed, size_t proven_of[2], size_t taken_of[2])
{
    struct tabiji_problem problem = {.size = sizeof problem};
    struct event_problem wrong;
    struct str line;
    source.state = seed;
    struct tabiji_event *event = draw();
    int r = tabiji_event_check(event, &problem);
    bool taken = r == TABIJI_OK && problem.code[0] == '\0';
    bool proven = producer_event_line(event, &line, &wrong) == 0 && producer_event_proven(event);
    if (proven && !taken) {
        printf("case %llu is proven, but: %s %s %s\n%.*s\n", seed, problem.code, problem.pointer,
            problem.hint, (int)line.size, line.data);
        exit(1);
    }
    taken_of[good] += taken;
    proven_of[good] += proven;
    tabiji_event_free(&event);
}

int main(int argc, char **argv)
{
    int at = 1;
    unsigned long long cases = random_count(argc, argv, &at, CASES, CASES_LONG);
    size_t proven[2] = {0}, taken[2] = {0};
    struct random seeds = random_begin();
    memset(long_text, 'x', LONG_SIZE);
    for (unsigned long long i = 0; i < cases; i++)
        judge(i == 0 ? seeds.state : random_next(&seeds), proven, taken);
    printf("%llu events; of good values %zu are taken, %zu proven; of others %zu and %zu\n", cases,
        taken[1], proven[1], taken[0], proven[0]);
    return proven[1] * PROVEN_SHARE >= taken[1] && taken[1] > cases / 8 && taken[0] > 0 ? 0 : 1;
}
