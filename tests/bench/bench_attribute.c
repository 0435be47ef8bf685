/*
 * Models of a file of paths in this process, paths read already. bench_attribute FILE prints for
 * each order of markov the best CPU time of some solvings: "ORDER MS STATES"; then for each counted
 * model "correction MODEL US MS": what an event costs that adds a touch to a journey, whose old
 * path is taken back and whose new one is added to the counts, and what counting all paths anew
 * takes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "deploy/attribute/attribute.h"
#include "enrich/attribution/counts.h"
#include "enrich/attribution/markov.h"

#define ORDERS 4
#define TIMES 30
#define CORRECTION_TIMES 3

static double now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int solve(struct attribute_input *input, int order)
{
    const struct markov_options options = {.order = order};
    double best = 1e9;
    size_t states = 0;
    for (int i = 0; i < TIMES; i++) {
        struct markov markov;
        double started = now_ms();
        int r = markov_solve(&input->set, &options, &markov);
        double took = now_ms() - started;
        if (r < 0)
            return r;
        states = markov.states;
        best = took < best ? took : best;
        markov_free(&markov);
    }
    (void)printf("%d %.3f %zu\n", order, best, states);
    return 0;
}

static int count_path(struct counts *counts, const struct counts_shape *shape,
    const struct path *path, size_t length, size_t skip, int64_t paths)
{
    return counts_add(counts, shape, (struct counts_label){0, 0},
        (struct counts_path){path->channels, length}, skip, (struct counts_amount){paths, 0});
}

/* Every journey grows touch by touch. */
static int grow(struct counts *counts, const struct counts_shape *shape, const struct path *path,
    size_t *events)
{
    int r = 0;
    for (size_t length = 1; r == 0 && length <= path->length; length++, ++*events) {
        struct counts_path was = {path->channels, length - 1}, is = {path->channels, length};
        size_t skip = counts_shared(shape, was, is);
        if (length > 1)
            r = count_path(counts, shape, path, length - 1, skip, -1);
        if (r == 0)
            r = count_path(counts, shape, path, length, skip, 1);
    }
    return r;
}

static int correct(const struct path_set *set, const struct counts_shape *shape, const char *name)
{
    double event_us = 1e9, anew_ms = 1e9;
    int r = 0;
    for (int k = 0; r == 0 && k < CORRECTION_TIMES; k++) {
        struct counts counts = {0}, anew = {0};
        size_t events = 0;
        double started = now_ms();
        for (size_t i = 0; r == 0 && i < set->paths_count; i++)
            r = grow(&counts, shape, set->paths[i], &events);
        double grown = now_ms();
        for (size_t i = 0; r == 0 && i < set->paths_count; i++)
            r = count_path(&anew, shape, set->paths[i], set->paths[i]->length, 0, 1);
        double counted = now_ms();
        double us = (grown - started) * 1e3 / (double)(events ? events : 1);
        event_us = us < event_us ? us : event_us;
        anew_ms = counted - grown < anew_ms ? counted - grown : anew_ms;
        counts_free(&counts);
        counts_free(&anew);
    }
    if (r == 0)
        (void)printf("correction %s %.3f %.3f\n", name, event_us, anew_ms);
    return r;
}

static int correct_all(const struct path_set *set)
{
    static const struct {
        const char *name;
        struct counts_shape shape;
    } counted[] = {
        {"markov-order-1", {COUNTS_TRANSITIONS, 1}},
        {"markov-order-4", {COUNTS_TRANSITIONS, 4}},
        {"shapley", {COUNTS_SETS, 1}},
        {"shapley_paths_ordered", {COUNTS_SEQUENCES, 1}},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof counted / sizeof *counted; i++)
        r = correct(set, &counted[i].shape, counted[i].name);
    return r;
}

int main(int argc, char **argv)
{
    const struct attribute_options options = {.separator = STR(">"),
        .name = argc > 1 ? argv[1] : "-",
        .messages = stderr,
        .rules = {.custom = {1, 1, 1}}};
    struct attribute_input input = {.options = &options};
    FILE *in = argc > 1 ? fopen(argv[1], "r") : stdin;
    int r = in ? attribute_read(&input, in) : -1;
    for (int order = 1; r == 0 && order <= ORDERS; order++)
        r = solve(&input, order);
    if (r == 0)
        r = correct_all(&input.set);
    attribute_input_free(&input);
    if (in)
        (void)fclose(in);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
