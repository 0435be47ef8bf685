/*
 * A plan of small descriptors first (customer, episode, kind, time), sorted by time; the JSON of
 * one is written from the descriptor alone. Random numbers are hashes of (seed, customer, episode,
 * purpose), so any event can be written at any time.
 *
 * Invariant: what an event says of its episode (order id, product, campaign) depends on customer
 * and episode only, so an order, its pickup and its return agree.
 */
#include "deploy/generator.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "deploy/generator_text.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define MINUTE (60 * TIME_MICROS_PER_SECOND)
#define HOUR (60 * MINUTE)
#define EPISODE_EVENTS_MAX 16
#define CUSTOMER_EPISODES_MAX 8

struct plan {
    struct generator_event *events;
    size_t count;
    size_t max;
};

struct generator {
    struct generator_config config;
    struct plan plan;
};

/* splitmix64's mixing of a sum. Source: Steele, Lea, Flood, OOPSLA 2014. */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9;
    x ^= x >> 27;
    x *= 0x94d049bb133111eb;
    return x ^ x >> 31;
}

uint64_t generator_random(uint64_t seed, uint32_t customer, uint32_t episode, uint32_t purpose)
{
    uint64_t x = mix(seed * 0x9e3779b97f4a7c15 + customer);
    return mix(x + ((uint64_t)episode << 32 | purpose) * 0x9e3779b97f4a7c15);
}

void generator_config_default(struct generator_config *config)
{
    *config = (struct generator_config){
        .seed = 1,
        .events_max = 10000,
        .start_micros = 1794754800 * TIME_MICROS_PER_SECOND,
        .days = 7,
    };
}

/* One step of an episode: what happens, how long after the step before, and how likely (percent). A
 * step that does not happen ends the episode when `gate` is set. */
struct step {
    enum generator_kind kind;
    uint32_t delay_minutes_max;
    uint8_t percent;
    bool gate;
};

struct script {
    const char *name;
    uint8_t weight;
    struct step steps[EPISODE_EVENTS_MAX];
    size_t steps_count;
};

/* clang-format off */
#define STEPS(...) {__VA_ARGS__}, sizeof((struct step[]){__VA_ARGS__}) / sizeof(struct step)
static const struct script scripts[] = {
    {"browse", 30, STEPS({GENERATE_LANDING, 0, 100, true}, {GENERATE_PRODUCT, 4, 90, true},
        {GENERATE_PRODUCT, 6, 60, false}, {GENERATE_SEARCH, 3, 30, false}, {GENERATE_PRODUCT, 5, 50, false})},
    {"ad to order", 16, STEPS({GENERATE_IMPRESSION, 0, 70, false}, {GENERATE_AD_CLICK, 300, 90, true},
        {GENERATE_LANDING, 1, 100, true}, {GENERATE_PRODUCT, 5, 95, true}, {GENERATE_CART_ADD, 6, 55, true},
        {GENERATE_CHECKOUT, 8, 75, true}, {GENERATE_SIGN_IN, 2, 100, true}, {GENERATE_ORDER, 5, 85, true},
        {GENERATE_REFUND, 2600, 12, false})},
    {"e-mail", 12, STEPS({GENERATE_EMAIL_SENT, 0, 100, true}, {GENERATE_EMAIL_OPEN, 600, 45, true},
        {GENERATE_EMAIL_CLICK, 3, 50, true}, {GENERATE_LANDING, 1, 100, true}, {GENERATE_PRODUCT, 4, 90, true},
        {GENERATE_CART_ADD, 8, 40, true}, {GENERATE_SIGN_IN, 4, 100, true}, {GENERATE_ORDER, 6, 80, true})},
    {"LINE", 12, STEPS({GENERATE_LINE_SENT, 0, 100, true}, {GENERATE_LINE_CLICK, 240, 40, true},
        {GENERATE_APP_OPEN, 2, 70, true}, {GENERATE_SCREEN, 2, 100, true}, {GENERATE_SCREEN, 4, 70, false},
        {GENERATE_APP_ORDER, 9, 30, true}, {GENERATE_RETURN, 4000, 15, false})},
    {"push", 8, STEPS({GENERATE_PUSH_SENT, 0, 100, true}, {GENERATE_PUSH_CLICK, 90, 30, true},
        {GENERATE_APP_OPEN, 1, 100, true}, {GENERATE_SCREEN, 3, 100, true}, {GENERATE_APP_ORDER, 9, 25, true})},
    {"store", 14, STEPS({GENERATE_STORE_VISIT, 0, 40, false}, {GENERATE_STORE_PURCHASE, 40, 100, true},
        {GENERATE_STORE_RETURN, 4300, 6, false})},
    {"showroom", 6, STEPS({GENERATE_STORE_VISIT, 0, 100, true}, {GENERATE_QR_SCAN, 15, 80, true},
        {GENERATE_STAFF, 10, 40, false}, {GENERATE_LANDING, 1500, 75, true}, {GENERATE_SIGN_IN, 5, 100, true},
        {GENERATE_ORDER, 9, 70, true})},
    {"store pickup", 6, STEPS({GENERATE_LANDING, 0, 100, true}, {GENERATE_PRODUCT, 5, 100, true},
        {GENERATE_SIGN_IN, 3, 100, true}, {GENERATE_ORDER, 7, 90, true}, {GENERATE_PICKUP, 1800, 95, true},
        {GENERATE_RETURN, 3000, 14, false})},
    {"call", 6, STEPS({GENERATE_CALL_START, 0, 100, true}, {GENERATE_CALL_ANSWER, 4, 90, true},
        {GENERATE_CALL_END, 12, 100, true}, {GENERATE_CALL_ORDER, 1, 25, false})},
    {"register", 6, STEPS({GENERATE_LANDING, 0, 100, true}, {GENERATE_SIGN_UP, 10, 100, true},
        {GENERATE_IDENTIFIED, 1, 100, true})},
};
/* clang-format on */
#define SCRIPTS_COUNT (sizeof scripts / sizeof *scripts)

static const struct script *pick_script(uint64_t random)
{
    uint32_t total = 0;
    for (size_t i = 0; i < SCRIPTS_COUNT; i++)
        total += scripts[i].weight;
    uint32_t at = (uint32_t)(random % total);
    size_t i = 0;
    while (at >= scripts[i].weight)
        at -= scripts[i++].weight;
    return &scripts[i];
}

/* Start of an episode: a day, then an hour of waking life with peaks at lunch and in the evening.
 */
static int64_t pick_start(const struct generator_config *config, uint64_t random)
{
    static const uint8_t hours[] = {7, 8, 9, 10, 11, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20,
        20, 20, 21, 21, 21, 22, 23};
    int64_t day = (int64_t)(random % (uint32_t)config->days);
    int64_t hour = hours[(random >> 16) % sizeof hours];
    int64_t within = (int64_t)((random >> 24) % (uint64_t)HOUR);
    return config->start_micros + day * TIME_MICROS_PER_DAY + hour * HOUR + within;
}

static void plan_episode(
    const struct generator_config *config, uint32_t customer, uint32_t episode, struct plan *plan)
{
    const struct script *script = pick_script(generator_random(config->seed, customer, episode, 1));
    int64_t at = pick_start(config, generator_random(config->seed, customer, episode, 2));
    for (size_t i = 0; i < script->steps_count && plan->count < plan->max; i++) {
        const struct step *step = &script->steps[i];
        uint64_t random = generator_random(config->seed, customer, episode, 16 + (uint32_t)i);
        if (random % 100 >= step->percent) {
            if (step->gate)
                return;
            continue;
        }
        uint64_t delay_max = (uint64_t)step->delay_minutes_max * (uint64_t)MINUTE;
        at +=
            (int64_t)((random >> 8) % (delay_max + (uint64_t)TIME_MICROS_PER_SECOND)) / 1000 * 1000;
        plan->events[plan->count++] = (struct generator_event){
            .at = at,
            .customer = customer,
            .episode = (uint16_t)episode,
            .step = (uint8_t)i,
            .kind = (uint8_t)step->kind,
        };
    }
}

static int compare_events(const void *a, const void *b)
{
    const struct generator_event *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->customer != y->customer)
        return x->customer < y->customer ? -1 : 1;
    return (x->episode > y->episode || (x->episode == y->episode && x->step > y->step)) ? 1 : -1;
}

int generator_new(const struct generator_config *config, struct generator **out)
{
    if (config->events_max == 0 || config->days <= 0)
        return ERR_VALUE;
    struct generator *generator = calloc(1, sizeof *generator);
    if (!generator)
        return ERR_NO_MEMORY;
    generator->config = *config;
    struct plan *plan = &generator->plan;
    plan->max = config->events_max;
    plan->events = calloc(plan->max, sizeof *plan->events);
    if (!plan->events) {
        generator_free(&generator);
        return ERR_NO_MEMORY;
    }
    size_t customers_max = config->customers_max ? config->customers_max : UINT32_MAX;
    for (size_t customer = 0; customer < customers_max && plan->count < plan->max; customer++) {
        uint32_t episodes =
            1 + (uint32_t)(generator_random(config->seed, (uint32_t)customer, 0, 3) %
                           CUSTOMER_EPISODES_MAX);
        for (uint32_t episode = 1; episode <= episodes; episode++)
            plan_episode(config, (uint32_t)customer, episode, plan);
    }
    qsort(plan->events, plan->count, sizeof *plan->events, compare_events);
    *out = generator;
    return 0;
}

void generator_free(struct generator **generator)
{
    if (*generator)
        free((*generator)->plan.events);
    free(*generator);
    *generator = NULL;
}

size_t generator_count(const struct generator *generator)
{
    return generator->plan.count;
}

const char *generator_source(const struct generator *generator, size_t index)
{
    check(index < generator->plan.count);
    return generator_kind_source((enum generator_kind)generator->plan.events[index].kind);
}

int generator_write(const struct generator *generator, size_t index, struct buf *out)
{
    check(index < generator->plan.count);
    return generator_text(generator->config.seed, &generator->plan.events[index], out);
}

const char *const *generator_sources(size_t *count)
{
    static const char *const sources[] = {"ec-web", "app", "pos", "call-centre", "crm"};
    *count = sizeof sources / sizeof *sources;
    return sources;
}
