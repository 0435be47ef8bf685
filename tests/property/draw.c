/* No state. */
#include "tests/property/draw.h"

#include <stdio.h>

#define TIMES 9

int draw_case_words(
    struct identity_case *given, struct random *random, enum case_kind kind, struct arena *arena)
{
    size_t count = kind == CASE_ERASURE ? 1 + random_below(random, 2) : 1 + random_below(random, 8);
    for (size_t i = 0; i < count && given->events_count < CASE_EVENTS_MAX; i++) {
        struct case_word word = {
            .kind = kind,
            .a = random_below(random, given->roots_count),
            .time = (int64_t)random_below(random, TIMES + 1),
            .sign = random_once_in(random, 2) ? 1 : -1,
            .authority = random_once_in(random, 2) ? 0 : 100,
        };
        word.b = kind == CASE_ERASURE ? word.a : random_below(random, given->roots_count);
        if (kind == CASE_EVIDENCE && word.a == word.b)
            continue;
        int r = identity_case_add(given, &word, arena);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Copies of events that show the identifier, which occurred behind all others. */
static int add_late_events(struct identity_case *given, struct random *random,
    const uint8_t node[KEY_SIZE], struct arena *arena)
{
    size_t shown[CASE_EVENTS_MAX], count = 0, add = random_below(random, 4);
    for (size_t i = 0; i < given->events_count; i++)
        if (given->events[i].kind == CASE_EVENT && draw_shows(&given->events[i], node))
            shown[count++] = i;
    int r = 0;
    for (size_t i = 0; r == 0 && count && i < add && given->events_count < CASE_EVENTS_MAX; i++) {
        struct case_event late = given->events[shown[random_below(random, count)]];
        late.time = TIMES + 1;
        r = identity_case_copy(given, &late, SIZE_MAX, arena);
    }
    return r;
}

/* Mostly of identifiers that are asked for. */
int draw_case_lifts(struct identity_case *given, struct random *random, struct arena *arena)
{
    size_t asked[CASE_EVENTS_MAX], asked_count = 0, count = 1 + random_below(random, 3);
    for (size_t i = 0; i < given->events_count; i++)
        for (size_t k = 0; given->events[i].kind == CASE_ERASURE && k < given->roots_count; k++)
            if (memcmp(given->roots[k].node, given->events[i].signature.members[0], KEY_SIZE) == 0)
                asked[asked_count++] = k;
    for (size_t i = 0; i < count && given->events_count < CASE_EVENTS_MAX; i++) {
        bool any = asked_count == 0 || random_once_in(random, 3);
        struct case_word word = {
            .kind = CASE_LIFT,
            .a = any ? random_below(random, given->roots_count)
                     : asked[random_below(random, asked_count)],
            .time = (int64_t)random_below(random, TIMES + 1),
        };
        word.b = word.a;
        int r = identity_case_add(given, &word, arena);
        if (r == 0)
            r = add_late_events(given, random, given->roots[word.a].node, arena);
        if (r < 0)
            return r;
    }
    return 0;
}

void draw_case_turns(struct identity_case *given, struct random *random)
{
    size_t words[CASE_EVENTS_MAX], count = 0;
    for (size_t i = 0; i < given->events_count; i++)
        if (given->events[i].kind == CASE_ERASURE || given->events[i].kind == CASE_LIFT)
            words[count++] = i;
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below(random, i), swap = words[i - 1];
        words[i - 1] = words[other];
        words[other] = swap;
    }
    for (size_t i = 0; i < given->events_count; i++)
        given->events[i].phase = given->events[i].time > TIMES
                                     ? 2 * (count - random_below(random, 2) * count / 2)
                                 : random_once_in(random, 2) ? 0
                                                             : 2 * random_below(random, count + 1);
    for (size_t i = 0; i < count; i++)
        given->events[words[i]].phase = 2 * i + 1;
}

bool draw_is_lifted(const struct identity_case *given, const struct case_event *event)
{
    for (size_t i = 0; i < given->events_count; i++)
        if (given->events[i].kind == CASE_LIFT && given->events[i].time <= event->time)
            return true;
    return false;
}

void draw_case_phases(struct identity_case *given, struct random *random)
{
    size_t phase = 0;
    for (size_t i = 0; i < given->events_count; i++)
        if (given->events[i].kind == CASE_ERASURE)
            given->events[i].phase = ++phase;
    for (size_t i = 0; i < given->events_count; i++)
        if (given->events[i].kind != CASE_ERASURE && random_once_in(random, 4))
            given->events[i].phase = 1 + phase;
}

size_t draw_phases_count(const struct identity_case *given)
{
    size_t last = 0;
    for (size_t i = 0; i < given->events_count; i++)
        last = given->events[i].phase > last ? given->events[i].phase : last;
    return last + 1;
}

void draw_case_print(const struct identity_case *given)
{
    static const char *const kinds[] = {"event", "evidence", "erasure", "lift"};
    const struct namespace_rule *rule = &given->namespaces.rules[0];
    (void)fprintf(stderr, "  up %d, down %d\n", rule->generic_up_max, rule->generic_down_max);
    for (size_t i = 0; i < given->events_count; i++) {
        const struct case_event *event = &given->events[i];
        (void)fprintf(stderr, "  %s time %lld sign %d authority %d:", kinds[event->kind],
            (long long)event->time, event->sign, event->authority);
        if (draw_phases_count(given) > 1)
            (void)fprintf(stderr, " phase %zu", event->phase);
        for (size_t k = 0; k < event->signature.count; k++)
            (void)fprintf(stderr, " %.*s=%.*s", (int)event->identifiers[k].namespace.size,
                event->identifiers[k].namespace.data, (int)event->identifiers[k].value.size,
                event->identifiers[k].value.data);
        const uint8_t *ends[] = {event->weak, event->strong};
        for (size_t end = 0; event->kind == CASE_EVIDENCE && end < 2; end++)
            for (size_t k = 0; k < given->roots_count; k++)
                if (memcmp(given->roots[k].node, ends[end], KEY_SIZE) == 0)
                    (void)fprintf(stderr, " | %.*s=%.*s",
                        (int)given->roots[k].identifier.namespace.size,
                        given->roots[k].identifier.namespace.data,
                        (int)given->roots[k].identifier.value.size,
                        given->roots[k].identifier.value.data);
        (void)fprintf(stderr, "\n");
    }
}

bool draw_shows(const struct case_event *event, const uint8_t node[KEY_SIZE])
{
    for (size_t i = 0; i < event->signature.count; i++)
        if (memcmp(event->signature.members[i], node, KEY_SIZE) == 0)
            return true;
    return event->kind == CASE_EVIDENCE &&
           (memcmp(event->weak, node, KEY_SIZE) == 0 || memcmp(event->strong, node, KEY_SIZE) == 0);
}

static bool share(const struct case_event *a, const struct case_event *b)
{
    for (size_t i = 0; i < b->signature.count; i++)
        if (draw_shows(a, b->signature.members[i]))
            return true;
    return b->kind == CASE_EVIDENCE && (draw_shows(a, b->weak) || draw_shows(a, b->strong));
}

void draw_reach_of_erasures(const struct identity_case *given, bool *reached)
{
    bool more = true;
    for (size_t i = 0; i < given->events_count; i++)
        reached[i] = given->events[i].kind == CASE_ERASURE;
    while (more) {
        more = false;
        for (size_t i = 0; i < given->events_count; i++)
            for (size_t k = 0; reached[i] && k < given->events_count; k++)
                if (!reached[k] && share(&given->events[i], &given->events[k]))
                    reached[k] = more = true;
    }
}
