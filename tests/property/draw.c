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
    static const char *const kinds[] = {"event", "evidence", "erasure"};
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
