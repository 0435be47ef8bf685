/* Draws by identity_case_add(). */
#include "tests/property/web.h"

#include <stdio.h>

#define MEMBERS_MIN 3
#define MEMBERS_MAX 9
#define TIMES 10
#define TEXT_SIZE 16

enum shape { SHAPE_CHAIN, SHAPE_CIRCLE, SHAPE_STAR, SHAPE_TREE, SHAPES };

static const struct str namespaces[] = {STR_INIT("login"), STR_INIT("loyalty"), STR_INIT("email"),
    STR_INIT("phone"), STR_INIT("cookie")};

struct web {
    struct identity_case *given;
    struct random *random;
    struct arena *arena;
    size_t members[MEMBERS_MAX]; /* indexes of identifiers, in drawn order */
    size_t count;
};

static int add_member(struct web *web, struct str namespace)
{
    char text[TEXT_SIZE];
    struct identifier identifier = {.namespace = namespace};
    int size = snprintf(text, sizeof text, "web %zu", web->count);
    int r = arena_dup(web->arena, str_make(text, (size_t)size), &identifier.value);
    if (r == 0)
        r = identity_case_name(web->given, &identifier);
    web->members[web->count++] = web->given->roots_count - 1;
    return r;
}

/* Some that the case has, and others. */
static int draw_members(struct web *web)
{
    struct str namespace =
        namespaces[random_below(web->random, sizeof namespaces / sizeof *namespaces)];
    size_t wanted = MEMBERS_MIN + random_below(web->random, MEMBERS_MAX - MEMBERS_MIN + 1);
    size_t known = web->given->roots_count;
    int r = 0;
    for (size_t i = 0; i < known && web->count < wanted; i++)
        if (str_equal(web->given->roots[i].identifier.namespace, namespace) &&
            random_once_in(web->random, 2))
            web->members[web->count++] = i;
    while (r == 0 && web->count < wanted)
        r = add_member(web, namespace);
    for (size_t i = web->count; i > 1; i--) {
        size_t other = random_below(web->random, i), swap = web->members[i - 1];
        web->members[i - 1] = web->members[other];
        web->members[other] = swap;
    }
    return r;
}

static int add_word(struct web *web, size_t a, size_t b, int sign)
{
    const struct case_word word = {
        .kind = CASE_EVIDENCE,
        .a = web->members[a],
        .b = web->members[b],
        .time = (int64_t)random_below(web->random, TIMES),
        .sign = sign,
        .authority = random_once_in(web->random, 2) ? 0 : 100,
    };
    return a == b ? 0 : identity_case_add(web->given, &word, web->arena);
}

static int link_members(struct web *web)
{
    enum shape shape = (enum shape)random_below(web->random, SHAPES);
    int r = 0;
    for (size_t i = 1; r == 0 && i < web->count; i++) {
        size_t to = shape == SHAPE_STAR ? 0 : i - 1;
        if (shape == SHAPE_TREE)
            to = random_below(web->random, i);
        r = add_word(web, i, to, 1);
    }
    return r == 0 && shape == SHAPE_CIRCLE ? add_word(web, 0, web->count - 1, 1) : r;
}

static int part_and_link(struct web *web)
{
    size_t words = random_below(web->random, 5);
    int r = 0;
    for (size_t i = 0; r == 0 && i < words; i++) {
        size_t a = random_below(web->random, web->count), b = random_below(web->random, web->count);
        if (random_once_in(web->random, 2)) /* neighbours of a chain are often linked */
            b = (a + 1) % web->count;
        r = add_word(web, a, b, random_once_in(web->random, 3) ? 1 : -1);
    }
    return r;
}

/* Not two pseudonyms of a kind: where their roots differ, a rotation may (rotation.h, "Limits"). */
static bool may_show(const struct web *web, size_t a, size_t b)
{
    const struct str one = web->given->roots[a].identifier.namespace;
    bool pseudonyms = str_equal(one, STR("email")) || str_equal(one, STR("phone"));
    return a != b && !(pseudonyms && str_equal(one, web->given->roots[b].identifier.namespace));
}

/* Members are seen with others, so that the group has something above it, and below. */
static int show_members(struct web *web)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < web->count; i++) {
        struct case_word event = {
            .kind = CASE_EVENT,
            .a = web->members[i],
            .b = random_below(web->random, web->given->roots_count),
            .time = (int64_t)random_below(web->random, TIMES),
        };
        if (may_show(web, event.a, event.b) && random_once_in(web->random, 2))
            r = identity_case_add(web->given, &event, web->arena);
    }
    return r;
}

int web_add(struct identity_case *out, struct random *random, struct arena *arena)
{
    struct web web = {.given = out, .random = random, .arena = arena};
    int r = draw_members(&web);
    if (r == 0)
        r = link_members(&web);
    if (r == 0)
        r = part_and_link(&web);
    return r == 0 ? show_members(&web) : r;
}
