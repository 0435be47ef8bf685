/*
 * What each kind of event says. A writer appends ,"key":value parts; the frame writes id, type,
 * time and identifiers. All names, addresses and numbers are invented; IP addresses are of the
 * documentation ranges (RFC 5737).
 */
#include "deploy/generator_text.h"

#include <inttypes.h>
#include <stdio.h>

#include "schemas/error.h"
#include "schemas/time.h"

enum purpose {
    PURPOSE_PRODUCT = 100,
    PURPOSE_CAMPAIGN,
    PURPOSE_AMOUNT,
    PURPOSE_STORE,
    PURPOSE_DEVICE,
    PURPOSE_KNOWN,
    PURPOSE_FAMILY,
    PURPOSE_PHONE,
    PURPOSE_EVENT = 1000, /* + step */
};

/* What a writer needs: its customer's and its episode's draws. */
struct scene {
    uint64_t seed;
    const struct generator_event *event;
    uint64_t random;   /* of this event alone */
    uint32_t cookie;   /* number of the browser; a family's tablet is the same for two customers */
    uint32_t product;  /* of the episode */
    uint32_t campaign; /* of the episode */
    uint32_t store;
    uint64_t price; /* yen */
    bool mobile;
};

typedef int write_fn(const struct scene *scene, struct buf *out);

static const char *const products[][3] = {
    {"A1001", "outer", "撥水マウンテンパーカー"},
    {"A1002", "outer", "軽量ダウンベスト"},
    {"B2001", "shoes", "防水スニーカー"},
    {"B2002", "shoes", "レザーローファー"},
    {"C3001", "kitchen", "鉄フライパン 26cm"},
    {"C3002", "kitchen", "電気ケトル 0.8L"},
    {"D4001", "bedding", "洗える羽毛布団"},
    {"D4002", "bedding", "低反発まくら"},
    {"E5001", "food", "新米コシヒカリ 5kg"},
    {"E5002", "food", "冬のギフト 詰め合わせ"},
    {"F6001", "beauty", "高保湿クリーム"},
    {"F6002", "beauty", "ヘアドライヤー"},
};
#define PRODUCTS_COUNT (sizeof products / sizeof *products)
#define SHELF_COUNT 6 /* makes a page view about 1.2 kB, as shops send */

/* How somebody comes to the shop: query of the landing page, and referrer. */
static const char *const arrivals[][2] = {
    {"utm_source=google&utm_medium=cpc&utm_campaign=winter_outer&utm_content=rsa_3&gclid="
     "EAIaIQobChMI",
        "https://www.google.com/"},
    {"", "https://search.yahoo.co.jp/search?p=%E3%83%80%E3%82%A6%E3%83%B3"},
    {"utm_source=yahoo&utm_medium=cpc&utm_campaign=brand_jp&yclid=YSS.1001044",
        "https://search.yahoo.co.jp/"},
    {"", "https://www.google.co.jp/"},
    {"utm_source=instagram&utm_medium=paid_social&utm_campaign=winter_reel&fbclid=IwAR2f",
        "https://l.instagram.com/"},
    {"", ""},
    {"utm_source=criteo&utm_medium=display&utm_campaign=retarget_cart", "https://news.example.jp/"},
    {"utm_source=a8&utm_medium=affiliate&utm_campaign=blog_2026w47",
        "https://blog.example.jp/w/12"},
    {"", "https://matome.example.jp/fashion/882"},
    {"", ""},
};
#define ARRIVALS_COUNT (sizeof arrivals / sizeof *arrivals)

#define AGENT_IPHONE                                                                               \
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "    \
    "Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
#define AGENT_ANDROID                                                                              \
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "             \
    "Chrome/131.0.0.0 Mobile Safari/537.36"
#define AGENT_WINDOWS                                                                              \
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "            \
    "Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0"
#define AGENT_MAC                                                                                  \
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "    \
    "Version/18.1 Safari/605.1.15"
static const char *const agents[] = {AGENT_IPHONE, AGENT_ANDROID, AGENT_WINDOWS, AGENT_MAC};

static const char *const stores[] = {"shibuya", "ikebukuro", "umeda", "tenjin", "sapporo"};

static uint64_t draw(const struct scene *scene, uint32_t purpose)
{
    return generator_random(scene->seed, scene->event->customer, scene->event->episode, purpose);
}

/* A draw that all episodes of the customer share. */
static uint64_t draw_customer(uint64_t seed, uint32_t customer, uint32_t purpose)
{
    return generator_random(seed, customer, 0, purpose);
}

static int write_order_id(const struct scene *scene, struct buf *out)
{
    return buf_appendf(
        out, "\"W%07" PRIu32 "-%u\"", scene->event->customer, (unsigned)scene->event->episode);
}

static int write_client(const struct scene *scene, struct buf *out)
{
    size_t agent = scene->mobile ? scene->cookie % 2 : 2 + scene->cookie % 2;
    return buf_appendf(out,
        ",\"client\":{\"user_agent\":\"%s\",\"address\":\"198.51.100.%" PRIu32
        "\",\"library\":\"tabiji-web/0.1\"}",
        agents[agent], scene->cookie % 254 + 1);
}

/* A product that the page showed beside the one that it is about. */
static int write_shelf_item(const struct scene *scene, unsigned place, struct buf *out)
{
    const char *const *product = products[(scene->product + place * 5 + 1) % PRODUCTS_COUNT];
    return buf_appendf(out,
        "%s{\"sku\":\"%s\",\"category\":\"%s\",\"position\":%u,\"price\":\"%u\",\"list\":"
        "\"recommended\"}",
        place ? "," : "", product[0], product[1], place + 1, 1980 + place * 700);
}

static int write_page(const struct scene *scene, const char *path, const char *query,
    const char *referrer, struct buf *out)
{
    const char *const *product = products[scene->product];
    int r = buf_appendf(out,
        ",\"page\":{\"url\":\"https://shop.example.jp%s%s%s\",\"title\":\"%s | 旅路百貨店 "
        "公式オンラインストア\",\"referrer\":\"%s\"}",
        path, query[0] ? "?" : "", query, product[2], referrer);
    if (r < 0)
        return r;
    r = buf_appendf(out,
        ",\"properties\":{\"product\":{\"sku\":\"%s\",\"category\":\"%s\",\"name\":\"%s\","
        "\"price\":\"%" PRIu64 "\",\"stock\":\"%s\"},\"viewport\":\"%s\",\"experiment\":"
        "\"reco_%c\",\"scroll_depth\":%u,\"shelf\":[",
        product[0], product[1], product[2], scene->price,
        scene->random % 7 ? "in_stock" : "store_only", scene->mobile ? "390x844" : "1440x900",
        (char)('a' + scene->cookie % 3), (unsigned)(scene->random >> 8) % 101);
    for (unsigned i = 0; r == 0 && i < SHELF_COUNT; i++)
        r = write_shelf_item(scene, i, out);
    if (r == 0)
        r = buf_append_str(out, STR("]}"));
    return r < 0 ? r : write_client(scene, out);
}

static int write_landing(const struct scene *scene, struct buf *out)
{
    const char *const *arrival = arrivals[scene->campaign];
    return write_page(scene, "/", arrival[0], arrival[1], out);
}

static int write_product(const struct scene *scene, struct buf *out)
{
    char path[32];
    (void)snprintf(path, sizeof path, "/items/%s", products[scene->product][0]);
    return write_page(scene, path, "", "https://shop.example.jp/", out);
}

static int write_cart(const struct scene *scene, struct buf *out)
{
    return write_page(scene, "/cart", "", "https://shop.example.jp/items", out);
}

static int write_app(const struct scene *scene, struct buf *out)
{
    return buf_appendf(out,
        ",\"device\":{\"kind\":\"app\",\"os\":\"%s\",\"app\":\"tabiji-shop\",\"app_version\":"
        "\"5.%u.0\",\"locale\":\"ja-JP\"},\"properties\":{\"screen\":\"%s\",\"sku\":\"%s\"}",
        scene->cookie % 2 ? "iOS" : "Android", (unsigned)(scene->cookie % 4),
        scene->random % 3 ? "item" : "home", products[scene->product][0]);
}

/* An order's money and lines. `percent` of the goods are in it; facet may be NULL. */
static int write_order_part(
    const struct scene *scene, const char *facet, unsigned percent, struct buf *out)
{
    uint64_t quantity = 1 + draw(scene, PURPOSE_AMOUNT) % 2;
    uint64_t revenue = scene->price * quantity * percent / 100;
    int r = buf_append_str(out, STR(",\"order\":{\"order_id\":"));
    if (r == 0)
        r = write_order_id(scene, out);
    if (r == 0)
        r = buf_appendf(out,
            ",\"revenue\":\"%" PRIu64 "\",\"currency\":\"JPY\",\"tax\":\"%" PRIu64 "\"", revenue,
            revenue / 11);
    if (r == 0 && facet)
        r = buf_appendf(out, ",\"facet\":\"%s\"", facet);
    if (r < 0)
        return r;
    return buf_appendf(out,
        ",\"items\":[{\"sku\":\"%s\",\"category\":\"%s\",\"quantity\":%" PRIu64
        ",\"price\":\"%" PRIu64 "\"}]}",
        products[scene->product][0], products[scene->product][1], quantity, scene->price);
}

static int write_order(const struct scene *scene, struct buf *out)
{
    int r = write_order_part(scene, "placed", 100, out);
    return r < 0 ? r : write_client(scene, out);
}

static int write_app_order(const struct scene *scene, struct buf *out)
{
    int r = write_order_part(scene, "placed", 100, out);
    if (r < 0)
        return r;
    return buf_append_str(out, STR(",\"device\":{\"kind\":\"app\",\"app\":\"tabiji-shop\"}"));
}

static int write_refund(const struct scene *scene, struct buf *out)
{
    return write_order_part(scene, "returned", draw(scene, PURPOSE_KNOWN) % 3 ? 100 : 50, out);
}

static int write_store(const struct scene *scene, struct buf *out)
{
    return buf_appendf(out, ",\"store\":{\"store_id\":\"%s\",\"terminal\":\"pos-%u\"}",
        stores[scene->store], (unsigned)(scene->random % 6) + 1);
}

static int write_store_purchase(const struct scene *scene, struct buf *out)
{
    int r = write_order_part(scene, NULL, 100, out);
    return r < 0 ? r : write_store(scene, out);
}

static int write_store_refund(const struct scene *scene, struct buf *out)
{
    int r = write_refund(scene, out);
    return r < 0 ? r : write_store(scene, out);
}

static int write_pickup(const struct scene *scene, struct buf *out)
{
    int r = write_order_part(scene, "picked_up", 100, out);
    return r < 0 ? r : write_store(scene, out);
}

static int write_ad(const struct scene *scene, struct buf *out)
{
    static const char *const networks[][2] = {{"google", "cpc"}, {"yahoo", "display"},
        {"instagram", "paid_social"}, {"criteo", "display"}};
    const char *const *network = networks[scene->campaign % 4];
    return buf_appendf(out,
        ",\"campaign\":{\"source\":\"%s\",\"medium\":\"%s\",\"name\":\"winter_outer\",\"content\":"
        "\"banner_%u\",\"message\":\"冬の新作 最大20%%オフ\"}",
        network[0], network[1], (unsigned)(scene->campaign % 5));
}

/* A message of `kind`; its campaign is the newsletter of the week. */
static int write_message(const struct scene *scene, const char *kind, struct buf *out)
{
    int r = buf_appendf(out,
        ",\"message\":{\"kind\":\"%s\",\"message_id\":\"m-%" PRIu32 "-%u\",\"template\":"
        "\"2026w47\"},\"campaign\":{\"source\":\"crm\",\"medium\":\"%s\",\"name\":\"2026w47_%s\","
        "\"message\":\"冬の新作 最大20%%オフ\"}",
        kind, scene->event->customer, (unsigned)scene->event->episode, kind,
        products[scene->product][1]);
    return r;
}

static int write_email(const struct scene *scene, struct buf *out)
{
    return write_message(scene, "email", out);
}

static int write_line(const struct scene *scene, struct buf *out)
{
    return write_message(scene, "line", out);
}

static int write_push(const struct scene *scene, struct buf *out)
{
    return write_message(scene, "push", out);
}

static int write_call(const struct scene *scene, struct buf *out)
{
    static const char *const reasons[] = {"stock", "delivery", "return", "size"};
    return buf_appendf(out,
        ",\"call\":{\"call_id\":\"CA%07" PRIu32 "%02u\",\"direction\":\"inbound\",\"queue\":"
        "\"orders\",\"reason\":\"%s\",\"wait_ms\":%u,\"talk_ms\":%u,\"outcome\":\"resolved\"}",
        scene->event->customer, (unsigned)scene->event->episode, reasons[scene->campaign % 4],
        (unsigned)(scene->random % 90000), (unsigned)(scene->random >> 20) % 600000);
}

static int write_call_order(const struct scene *scene, struct buf *out)
{
    int r = write_call(scene, out);
    return r < 0 ? r : write_order_part(scene, "placed", 100, out);
}

static int write_traits(const struct scene *scene, struct buf *out)
{
    return buf_appendf(out, ",\"properties\":{\"plan\":\"%s\",\"newsletter\":%s}",
        scene->random % 5 ? "standard" : "gold", scene->random % 2 ? "true" : "false");
}

/* Which identifiers an event carries. */
enum {
    WITH_COOKIE = 1,
    WITH_LOGIN = 2,
    WITH_EMAIL = 4,
    WITH_PHONE = 8,
    WITH_INSTALL = 16,
    WITH_LOYALTY = 32,
    WITH_NOTHING_ELSE = 64, /* only the order or the call tells */
};

static const struct {
    const char *type;
    const char *source;
    unsigned identifiers;
    write_fn *write;
} kinds[GENERATE_KINDS] = {
    [GENERATE_LANDING] = {"page_viewed", "ec-web", WITH_COOKIE, write_landing},
    [GENERATE_PRODUCT] = {"product_viewed", "ec-web", WITH_COOKIE, write_product},
    [GENERATE_SEARCH] = {"searched", "ec-web", WITH_COOKIE, write_product},
    [GENERATE_CART_ADD] = {"product_added", "ec-web", WITH_COOKIE, write_cart},
    [GENERATE_CHECKOUT] = {"checkout_started", "ec-web", WITH_COOKIE, write_cart},
    [GENERATE_SIGN_IN] = {"signed_in", "ec-web", WITH_COOKIE | WITH_LOGIN, write_cart},
    [GENERATE_SIGN_UP] = {"signed_up", "ec-web", WITH_COOKIE | WITH_LOGIN | WITH_EMAIL, write_cart},
    [GENERATE_IDENTIFIED] = {"identified", "crm",
        WITH_LOGIN | WITH_EMAIL | WITH_PHONE | WITH_LOYALTY, write_traits},
    [GENERATE_ORDER] = {"order_completed", "ec-web", WITH_COOKIE | WITH_LOGIN, write_order},
    [GENERATE_REFUND] = {"order_refunded", "crm", WITH_NOTHING_ELSE, write_refund},
    [GENERATE_RETURN] = {"item_returned", "pos", WITH_NOTHING_ELSE, write_store_refund},
    [GENERATE_IMPRESSION] = {"ad_impression", "crm", WITH_COOKIE, write_ad},
    [GENERATE_AD_CLICK] = {"ad_clicked", "crm", WITH_COOKIE, write_ad},
    [GENERATE_EMAIL_SENT] = {"message_sent", "crm", WITH_LOGIN | WITH_EMAIL, write_email},
    [GENERATE_EMAIL_OPEN] = {"message_opened", "crm", WITH_EMAIL, write_email},
    [GENERATE_EMAIL_CLICK] = {"message_clicked", "crm", WITH_EMAIL | WITH_COOKIE, write_email},
    [GENERATE_LINE_SENT] = {"message_sent", "crm", WITH_LOGIN | WITH_LOYALTY, write_line},
    [GENERATE_LINE_CLICK] = {"message_clicked", "crm", WITH_LOYALTY, write_line},
    [GENERATE_PUSH_SENT] = {"message_sent", "app", WITH_INSTALL | WITH_LOGIN, write_push},
    [GENERATE_PUSH_CLICK] = {"message_clicked", "app", WITH_INSTALL, write_push},
    [GENERATE_APP_OPEN] = {"app_opened", "app", WITH_INSTALL | WITH_LOGIN, write_app},
    [GENERATE_SCREEN] = {"screen_viewed", "app", WITH_INSTALL, write_app},
    [GENERATE_APP_ORDER] = {"order_completed", "app", WITH_INSTALL | WITH_LOGIN, write_app_order},
    [GENERATE_STORE_VISIT] = {"store_visited", "pos", WITH_LOYALTY, write_store},
    [GENERATE_STORE_PURCHASE] = {"store_purchase", "pos", WITH_LOYALTY, write_store_purchase},
    [GENERATE_STORE_RETURN] = {"item_returned", "pos", WITH_LOYALTY, write_store_refund},
    [GENERATE_QR_SCAN] = {"qr_scanned", "app", WITH_INSTALL | WITH_COOKIE, write_store},
    [GENERATE_STAFF] = {"staff_consulted", "pos", WITH_LOYALTY, write_store},
    [GENERATE_PICKUP] = {"order_picked_up", "pos", WITH_NOTHING_ELSE, write_pickup},
    [GENERATE_CALL_START] = {"call_started", "call-centre", WITH_PHONE, write_call},
    [GENERATE_CALL_ANSWER] = {"call_answered", "call-centre", WITH_PHONE, write_call},
    [GENERATE_CALL_END] = {"call_ended", "call-centre", WITH_PHONE, write_call},
    [GENERATE_CALL_ORDER] = {"order_completed", "call-centre", WITH_PHONE | WITH_LOGIN,
        write_call_order},
};

const char *generator_kind_source(enum generator_kind kind)
{
    check((unsigned)kind < GENERATE_KINDS);
    return kinds[kind].source;
}

static int write_identifiers(const struct scene *scene, unsigned with, struct buf *out)
{
    uint32_t customer = scene->event->customer;
    int r = 0;
    if (with & WITH_NOTHING_ELSE) {
        r = buf_append_str(out, STR("\"order\":"));
        return r < 0 ? r : write_order_id(scene, out);
    }
    const char *comma = "";
    if (r == 0 && with & WITH_COOKIE) {
        r = buf_appendf(out, "\"cookie\":\"c-%07" PRIu32 "\"", scene->cookie);
        comma = ",";
    }
    if (r == 0 && with & WITH_LOGIN) {
        r = buf_appendf(out, "%s\"login\":\"u-%07" PRIu32 "\"", comma, customer);
        comma = ",";
    }
    if (r == 0 && with & WITH_EMAIL) {
        r = buf_appendf(
            out, "%s\"email\":\"Customer%07" PRIu32 "@mail.example.jp\"", comma, customer);
        comma = ",";
    }
    if (r == 0 && with & WITH_PHONE) {
        uint64_t number = draw_customer(scene->seed, customer, PURPOSE_PHONE) % 10000000;
        r = buf_appendf(out, "%s\"phone\":\"090-1%03u-%04u\"", comma, (unsigned)(number / 10000),
            (unsigned)(number % 10000));
        comma = ",";
    }
    if (r == 0 && with & WITH_INSTALL) {
        r = buf_appendf(out, "%s\"install\":\"i-%07" PRIu32 "\"", comma, customer);
        comma = ",";
    }
    if (r == 0 && with & WITH_LOYALTY)
        r = buf_appendf(out, "%s\"loyalty\":\"29%011" PRIu32 "\"", comma, customer);
    return r;
}

static void set_scene(struct scene *scene)
{
    const struct generator_event *event = scene->event;
    scene->random = draw(scene, PURPOSE_EVENT + event->step);
    scene->product = (uint32_t)(draw(scene, PURPOSE_PRODUCT) % PRODUCTS_COUNT);
    scene->campaign = (uint32_t)(draw(scene, PURPOSE_CAMPAIGN) % ARRIVALS_COUNT);
    scene->store = (uint32_t)(draw(scene, PURPOSE_STORE) % (sizeof stores / sizeof *stores));
    scene->price = 1980 + draw(scene, PURPOSE_AMOUNT) / 7 % 180 * 100;
    /* One customer in 25 shares the tablet of the customer before; half have a second browser. */
    uint32_t owner = event->customer;
    if (owner % 25 == 24 && draw_customer(scene->seed, owner, PURPOSE_FAMILY) % 2)
        owner--;
    bool second = draw(scene, PURPOSE_DEVICE) % 4 == 0;
    scene->cookie = owner * 2 + second;
    scene->mobile = !second;
}

int generator_text(uint64_t seed, const struct generator_event *event, struct buf *out)
{
    check(event->kind < GENERATE_KINDS);
    struct scene scene = {.seed = seed, .event = event};
    set_scene(&scene);
    char at[TIME_TEXT_SIZE_MAX];
    time_format(event->at, at);
    uint64_t id =
        generator_random(seed, event->customer, event->episode, PURPOSE_EVENT * 2 + event->step);
    int r = buf_appendf(out,
        "{\"id\":\"%016" PRIx64 "-%07" PRIu32 "\",\"type\":\"%s\",\"time\":\"%s\",\"ids\":{", id,
        event->customer, kinds[event->kind].type, at);
    if (r == 0)
        r = write_identifiers(&scene, kinds[event->kind].identifiers, out);
    if (r == 0)
        r = buf_appendf(out,
            "},\"consent\":{\"analytics\":true,\"ads\":true},\"traceparent\":\"00-%016" PRIx64
            "%016" PRIx64 "-%016" PRIx64 "-01\"",
            id, scene.random, scene.random ^ id);
    if (r == 0)
        r = kinds[event->kind].write(&scene, out);
    return r < 0 ? r : buf_append_str(out, STR("}"));
}
