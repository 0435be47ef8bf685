/*
 * Markov models of a file of paths, solved in this process: bench_attribute FILE prints for each
 * order the best CPU time of some solvings, paths read already.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "deploy/attribute/attribute.h"
#include "enrich/attribution/markov.h"

#define ORDERS 4
#define TIMES 30

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
    attribute_input_free(&input);
    if (in)
        (void)fclose(in);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
