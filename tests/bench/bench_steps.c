/*
 * The stateless steps on page views as a shop sends them: events/s with warm caches (as in a
 * stream, where user agents and campaigns repeat), and what one user agent that was never seen
 * costs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "enrich/step/agent.h"
#include "enrich/step/steps.h"

#define AGENT_RULES "/usr/share/uap-core/regexes.yaml"
#define EVENTS 64 /* different ones, in turn */
#define LAPS 20000
#define NEW_AGENTS 5000
#define ROUNDS 5
#define TEXT_SIZE 160

static volatile size_t sink;

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void require(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench_steps: %s\n", what);
    exit(1);
}

static struct str printed(char out[TEXT_SIZE], const char *before, size_t i, const char *after)
{
    int size = snprintf(out, TEXT_SIZE, "%s%zu%s", before, i, after);
    require(size > 0 && size < TEXT_SIZE, "text");
    return str_make(out, (size_t)size);
}

static void fill(struct touchpoint *event, size_t i, char texts[2][TEXT_SIZE])
{
    touchpoint_init(event);
    event->type = STR("page_viewed");
    event->has_page = true;
    event->page.host = STR("www.shop.example");
    event->page.path = STR("/products/shoes/running");
    event->page.referrer_host = i % 2 ? STR("www.google.co.jp") : STR("search.yahoo.co.jp");
    if (i % 4 == 0)
        event->page.query = printed(texts[0], "utm_source=google&utm_medium=cpc&utm_campaign=sale_",
            i, "&gclid=EAIaIQ&q=a");
    event->has_client = true;
    event->client.address = STR("203.0.113.77");
    event->client.user_agent = printed(texts[1],
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
        i, ".0.0.0 Mobile Safari/537.36");
}

static double warm(struct steps *steps)
{
    static struct touchpoint events[EVENTS];
    static char texts[EVENTS][2][TEXT_SIZE];
    struct arena arena = {0};
    for (size_t i = 0; i < EVENTS; i++)
        fill(&events[i], i, texts[i]);
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = now_s();
        for (size_t lap = 0; lap < LAPS; lap++)
            for (size_t i = 0; i < EVENTS; i++) {
                struct touchpoint event = events[i];
                struct str channel;
                arena_reset(&arena);
                require(steps_apply(steps, &event, &arena, &channel) == 0, "steps");
                sink += channel.size;
            }
        double rate = (double)(LAPS * EVENTS) / (now_s() - begin);
        best = rate > best ? rate : best;
    }
    arena_free(&arena);
    return best;
}

static double cold(struct steps *steps)
{
    char texts[2][TEXT_SIZE];
    struct arena arena = {0};
    double begin = now_s();
    for (size_t i = 0; i < NEW_AGENTS; i++) {
        struct touchpoint event;
        struct str channel;
        arena_reset(&arena);
        fill(&event, 1000 + i, texts);
        require(steps_apply(steps, &event, &arena, &channel) == 0, "steps");
        sink += channel.size;
    }
    double seconds = (now_s() - begin) / NEW_AGENTS;
    arena_free(&arena);
    return seconds;
}

int main(void)
{
    char why[STEPS_WHY_SIZE];
    struct steps *steps = NULL;
    struct str keys[] = {STR("q"), STR("query"), STR("search"), STR("keyword"), STR("category")};
    struct steps_config config = {
        .agent_rules = AGENT_RULES, .query_keys = keys, .query_keys_count = 5};
    double begin = now_s();
    int r = steps_open(&steps, &config, why);
    double open_s = now_s() - begin;
    if (r == STEPS_WITHOUT_AGENT_RULES)
        printf("without user agent rules: %s\n", why);
    require(r >= 0, why);
    printf("steps, one thread of %ld cores: open %.0f ms\n", sysconf(_SC_NPROCESSORS_ONLN),
        open_s * 1e3);
    printf("warm: %.2f M events/s\n", warm(steps) / 1e6);
    printf("a user agent never seen: %.0f us\n", cold(steps) * 1e6);
    steps_close(&steps);
    return 0;
}
