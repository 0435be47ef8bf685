/*
 * Equal marginals are ambiguous where curves are S-shaped, so the sum of values is maximised by
 * branch and bound. A plan over a grid of money gives a first share, polished. Each node then puts
 * in place of each curve the least concave one above it: a chord from the lower bound to where it
 * touches the curve, and the curve from there on. Its best share is of one marginal, and bounds
 * what the node can reach; at most one line ends within its chord, and there the node splits.
 *
 * Polished is a share in which (1) all lines on their falling side and between their bounds have
 * one marginal, (2) at most one line is between its bounds on its rising side, since of two one
 * would better give all to the other, and (3) that one has the marginal of (1).
 */
#include "enrich/attribution/budget_share.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/error.h"

#define LOG_MARGINAL_MAX 800.0 /* beyond what a double holds */
#define LOG_MARGINAL_SLACK 1e-9
#define BISECTIONS 64
#define NEWTON_MAX 64
#define POLISH_MAX 32
#define DEPTH_MAX 256
#define NODES_MAX 20000 /* times lines */
#define ROUNDING 2e-15  /* of the total */
#define TOLERANCE 1e-10 /* of the value */

/* One line: the bounds of the node, and the chord over its rising side. */
struct part {
    double low, high;
    double touch; /* where the chord ends; low: there is none */
    double slope; /* logarithm of the chord's */
};

struct branch {
    size_t line;
    double low, high; /* before */
    double split;
    bool second;
};

struct search {
    const struct budget_line *lines;
    size_t count;
    double total;
    struct part *whole, *node; /* of the question, of the node */
    double *spend, *over, *best;
    double best_value;
    struct branch branches[DEPTH_MAX];
    size_t depth;
};

/* ---- one curve ---- */

/* Of the marginal, so that it neither overflows nor vanishes. */
static double log_marginal(const struct hill *hill, double x)
{
    if (hill->beta <= 0)
        return -INFINITY;
    if (x <= 0)
        return log(hill_marginal(hill, 0));
    double z = fabs(hill->alpha * log(x / hill->gamma));
    return log(hill->beta * hill->alpha) - z - 2 * log1p(exp(-z)) - log(x);
}

/*
 * The spend within [low, high], all of it on the falling side, with that marginal. In logarithms
 * the marginal is concave there, so that Newton's steps from above never pass the root.
 */
static double spend_at(const struct hill *hill, double low, double high, double wanted)
{
    if (low >= high || log_marginal(hill, low) <= wanted)
        return low;
    if (log_marginal(hill, high) >= wanted)
        return high;
    double u = log(high);
    for (int i = 0; i < NEWTON_MAX; i++) {
        double slope = -hill->alpha * tanh(hill->alpha * (u - log(hill->gamma)) / 2) - 1;
        double step = (wanted - log_marginal(hill, exp(u))) / slope;
        if (!(slope < 0) || !(step < 0))
            break;
        u += step;
        if (-step <= 1e-15 * fabs(u))
            break;
    }
    return fmin(fmax(exp(u), low), high);
}

static double falls_from(const struct budget_line *line, const struct part *part)
{
    return fmin(fmax(part->low, hill_inflection(&line->hill)), part->high);
}

/* Sets touch and slope for the bounds. */
static void draw_chord(const struct hill *hill, struct part *part)
{
    double from = fmax(part->low, hill_inflection(hill)), to = part->high;
    double base = hill_value(hill, part->low);
    part->touch = part->low;
    part->slope = INFINITY;
    if (from <= part->low || part->high <= part->low || hill->beta <= 0)
        return;
    for (int i = 0; i < BISECTIONS && from < to; i++) {
        double middle = from + (to - from) / 2;
        double chord = hill_value(hill, middle) - base;
        if (hill_marginal(hill, middle) * (middle - part->low) > chord)
            from = middle;
        else
            to = middle;
    }
    part->touch = to;
    part->slope = log((hill_value(hill, to) - base) / (to - part->low));
}

/* ---- one marginal ---- */

static double value_of(const struct search *search, const double *spend)
{
    double value = 0;
    for (size_t i = 0; i < search->count; i++)
        value += hill_value(&search->lines[i].hill, spend[i]);
    return value;
}

/* Best spends of the node where money costs that marginal; returns their sum. */
static double relaxed_at(const struct search *search, double *spend, double wanted)
{
    double sum = 0;
    for (size_t i = 0; i < search->count; i++) {
        const struct part *part = &search->node[i];
        spend[i] = part->touch > part->low && wanted > part->slope
                       ? part->low
                       : spend_at(&search->lines[i].hill, part->touch, part->high, wanted);
        sum += spend[i];
    }
    return sum;
}

/* The node's best share of the concave curves into spend; returns what the node cannot pass. */
static double relax_node(struct search *search)
{
    double low = -LOG_MARGINAL_MAX, high = LOG_MARGINAL_MAX;
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = low + (high - low) / 2;
        if (relaxed_at(search, search->spend, middle) > search->total)
            low = middle;
        else
            high = middle;
    }
    (void)relaxed_at(search, search->over, low);
    double rest = search->total - relaxed_at(search, search->spend, high);
    double bound = value_of(search, search->spend) + (rest > 0 ? exp(high) * rest : 0);
    for (size_t i = 0; i < search->count && rest > 0; i++) {
        double more = fmin(rest, fmax(0, search->over[i] - search->spend[i]));
        search->spend[i] += more;
        rest -= more;
    }
    for (size_t i = 0; i < search->count && rest > 0; i++) {
        double more = fmin(rest, search->node[i].high - search->spend[i]);
        search->spend[i] += more;
        rest -= more;
    }
    return bound;
}

/* ---- polishing ---- */

/* Between its bounds and on its rising side. */
static bool is_rising(const struct search *search, const double *spend, size_t i)
{
    const struct part *part = &search->whole[i];
    return spend[i] > part->low && spend[i] < falls_from(&search->lines[i], part);
}

static bool is_falling(const struct search *search, const double *spend, size_t i)
{
    return spend[i] >= fmax(search->whole[i].low, hill_inflection(&search->lines[i].hill));
}

/* What lines that fall, without `pivot`, spend at one marginal; into *spend where it is given. */
static double falling_at(
    const struct search *search, const bool *falls, size_t pivot, double wanted, double *spend)
{
    double sum = 0;
    for (size_t i = 0; i < search->count; i++) {
        const struct budget_line *line = &search->lines[i];
        if (i == pivot || !falls[i])
            continue;
        double own = spend_at(
            &line->hill, falls_from(line, &search->whole[i]), search->whole[i].high, wanted);
        if (spend)
            spend[i] = own;
        sum += own;
    }
    return sum;
}

/* What the others leave to lines that fall. */
static double falling_money(
    const struct search *search, const double *spend, const bool *falls, size_t pivot)
{
    double money = search->total;
    for (size_t i = 0; i < search->count; i++)
        if (i == pivot || !falls[i])
            money -= spend[i];
    return money;
}

/* Gives lines that fall, without `pivot`, the marginal at which they spend what is left. */
static void equalise(const struct search *search, double *spend, const bool *falls, size_t pivot)
{
    double low = -LOG_MARGINAL_MAX, high = LOG_MARGINAL_MAX;
    double money = falling_money(search, spend, falls, pivot);
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = low + (high - low) / 2;
        if (falling_at(search, falls, pivot, middle, NULL) > money)
            low = middle;
        else
            high = middle;
    }
    (void)falling_at(search, falls, pivot, high, spend);
}

/* Moves money between two lines on their rising side until one is not any more. */
static void settle_pair(const struct search *search, double *spend, const size_t pair[2])
{
    double best[2] = {0}, best_value = -1;
    for (int to = 0; to < 2; to++) {
        size_t taker = pair[to], giver = pair[!to];
        double top = falls_from(&search->lines[taker], &search->whole[taker]);
        double bottom = search->whole[giver].low;
        double room = top - spend[taker], left = spend[giver] - bottom;
        double moved[2];
        moved[to] = room <= left ? top : spend[taker] + left;
        moved[!to] = room <= left ? spend[giver] - room : bottom;
        double value = hill_value(&search->lines[taker].hill, moved[to]) +
                       hill_value(&search->lines[giver].hill, moved[!to]);
        if (value > best_value) {
            best_value = value;
            memcpy(best, moved, sizeof best);
        }
    }
    spend[pair[0]] = best[0];
    spend[pair[1]] = best[1];
}

/* Above 0 where the pivot would better have more: at its marginal, others want less than there is
 * left. */
static int pull(const struct search *search, const double *spend, const bool *falls, size_t pivot)
{
    double own = log_marginal(&search->lines[pivot].hill, spend[pivot]);
    double others = falling_at(search, falls, pivot, own, NULL);
    double money = falling_money(search, spend, falls, pivot);
    return (others < money) - (others > money);
}

/* The amounts that the pivot can have, the lines that fall giving and taking. */
static void pivot_range(const struct search *search, const double *spend, const bool *falls,
    size_t pivot, double range[2])
{
    double least = search->total, most = search->total;
    for (size_t i = 0; i < search->count; i++)
        if (i != pivot) {
            const struct part *part = &search->whole[i];
            most -= falls[i] ? falls_from(&search->lines[i], part) : spend[i];
            least -= falls[i] ? part->high : spend[i];
        }
    range[0] = fmin(fmax(search->whole[pivot].low, least), spend[pivot]);
    range[1] = fmax(fmin(search->whole[pivot].high, most), spend[pivot]);
}

/* Moves one line until its marginal is that of the lines that fall, or it is at an end. */
static void climb(const struct search *search, double *spend, const bool *falls, size_t pivot)
{
    double range[2], step = 1e-9 * search->total, from = spend[pivot], to = from;
    pivot_range(search, spend, falls, pivot, range);
    int way = pull(search, spend, falls, pivot);
    while (way != 0) {
        to = fmin(fmax(from + way * step, range[0]), range[1]);
        spend[pivot] = to;
        if (pull(search, spend, falls, pivot) * way < 0)
            break;
        from = to;
        if (to == range[0] || to == range[1])
            break;
        step *= 2;
    }
    for (int i = 0; i < BISECTIONS && from != to; i++) {
        spend[pivot] = from + (to - from) / 2;
        if (pull(search, spend, falls, pivot) * way > 0)
            from = spend[pivot];
        else
            to = spend[pivot];
    }
    spend[pivot] = from;
    equalise(search, spend, falls, pivot);
}

/* The largest spend between bounds, which a rounding changes least; the count of lines if none. */
static size_t largest_between(const struct search *search, const double *spend)
{
    size_t largest = search->count;
    for (size_t i = 0; i < search->count; i++) {
        const struct part *part = &search->whole[i];
        bool between = spend[i] > part->low && spend[i] < part->high;
        if (between && (largest == search->count || spend[i] > spend[largest]))
            largest = i;
    }
    return largest;
}

/* Gives a line what it may take of the rest; returns what is left. */
static double give(const struct part *part, double *spend, double rest)
{
    double given = fmin(fmax(*spend + rest, part->low), part->high);
    double left = rest - (given - *spend);
    *spend = given;
    return left;
}

/* Hands over what rounding left: to the largest between bounds, and to anyone what is more. */
static void settle_rest(const struct search *search, double *spend)
{
    for (int round = 0; round < 4; round++) {
        double rest = search->total;
        size_t largest = largest_between(search, spend);
        for (size_t i = 0; i < search->count; i++)
            rest -= spend[i];
        if (largest < search->count)
            rest = give(&search->whole[largest], &spend[largest], rest);
        for (size_t i = 0; i < search->count && fabs(rest) > ROUNDING * search->total; i++)
            rest = give(&search->whole[i], &spend[i], rest);
    }
}

/* What rounding holds off a bound is at it. */
static void snap(const struct search *search, double *spend)
{
    double slack = ROUNDING * search->total;
    for (size_t i = 0; i < search->count; i++) {
        const struct part *part = &search->whole[i];
        if (spend[i] <= part->low + slack)
            spend[i] = part->low;
        else if (spend[i] >= part->high - slack)
            spend[i] = part->high;
    }
}

/* Settles lines that rise in pairs; returns the one that is left, or the count of lines. */
static size_t settle_rising(const struct search *search, double *spend)
{
    size_t pivot = search->count;
    for (size_t i = 0; i < search->count; i++)
        while (is_rising(search, spend, i)) {
            if (pivot == search->count || pivot == i) {
                pivot = i;
                break;
            }
            settle_pair(search, spend, (const size_t[2]){pivot, i});
            if (!is_rising(search, spend, pivot))
                pivot = search->count;
        }
    return pivot;
}

/* Whether one line's last unit would earn more as another's next: pair gets both, giver first. A
 * marginal that is endless at 0 counts as it is a little above. */
static bool is_restless(const struct search *search, const double *spend, size_t pair[2])
{
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < search->count; i++) {
        double at = fmax(spend[i], 1e-12 * search->total);
        double marginal = log_marginal(&search->lines[i].hill, at);
        if (spend[i] > search->whole[i].low && marginal < least) {
            least = marginal;
            pair[0] = i;
        }
        if (spend[i] < search->whole[i].high && marginal > most) {
            most = marginal;
            pair[1] = i;
        }
    }
    return most > least + LOG_MARGINAL_SLACK;
}

static void polish(const struct search *search, double *spend)
{
    bool falls[BUDGET_CHANNELS_MAX];
    for (int round = 0; round < POLISH_MAX; round++) {
        size_t pair[2], pivot;
        snap(search, spend);
        pivot = settle_rising(search, spend);
        for (size_t i = 0; i < search->count; i++)
            falls[i] = is_falling(search, spend, i);
        if (pivot < search->count)
            climb(search, spend, falls, pivot);
        else
            equalise(search, spend, falls, search->count);
        if (!is_restless(search, spend, pair))
            break;
        if (falls[pair[0]] || falls[pair[1]]) {
            size_t moved = falls[pair[0]] && !falls[pair[1]] ? pair[1] : pair[0];
            falls[moved] = false;
            climb(search, spend, falls, moved);
        } else {
            settle_pair(search, spend, pair);
        }
    }
    snap(search, spend);
    settle_rest(search, spend);
}

/* ---- plan ---- */

/* The best of each amount of money over the lines so far, in steps above the lower bounds. */
struct plan {
    double step;
    double *best; /* BUDGET_STEPS + 1, of the lines so far */
    double *next;
    uint16_t *choice; /* steps of line i where s are left: [i * (BUDGET_STEPS + 1) + s] */
};

static void plan_line(struct plan *plan, const struct budget_line *line, uint16_t *choice)
{
    double value[BUDGET_STEPS + 1];
    int most = BUDGET_STEPS;
    if ((line->high - line->low) / plan->step < BUDGET_STEPS)
        most = (int)floor((line->high - line->low) / plan->step + 1e-9);
    for (int k = 0; k <= most; k++)
        value[k] = hill_value(&line->hill, line->low + k * plan->step);
    for (int s = 0; s <= BUDGET_STEPS; s++) {
        int chosen = 0;
        for (int k = 1; k <= s && k <= most; k++)
            if (plan->best[s - k] + value[k] > plan->best[s - chosen] + value[chosen])
                chosen = k;
        plan->next[s] = plan->best[s - chosen] + value[chosen];
        choice[s] = (uint16_t)chosen;
    }
    double *swap = plan->best;
    plan->best = plan->next;
    plan->next = swap;
}

static void plan_all(struct plan *plan, struct search *search)
{
    for (size_t i = 0; i < search->count; i++)
        plan_line(plan, &search->lines[i], plan->choice + i * (BUDGET_STEPS + 1));
    int left = BUDGET_STEPS;
    for (size_t i = search->count; i-- > 0;) {
        int steps = plan->choice[i * (BUDGET_STEPS + 1) + (size_t)left];
        search->best[i] = fmin(search->lines[i].low + steps * plan->step, search->whole[i].high);
        left -= steps;
    }
}

/* The first share: the best of the grid, polished. */
static int begin(struct search *search)
{
    double free_money = search->total;
    for (size_t i = 0; i < search->count; i++)
        free_money -= search->lines[i].low;
    struct plan plan = {.step = fmax(0, free_money) / BUDGET_STEPS};
    double *numbers = calloc(2 * (BUDGET_STEPS + 1), sizeof *numbers);
    plan.choice = calloc(search->count * (BUDGET_STEPS + 1), sizeof *plan.choice);
    int r = numbers && plan.choice ? 0 : ERR_NO_MEMORY;
    if (r == 0) {
        plan.best = numbers;
        plan.next = numbers + BUDGET_STEPS + 1;
        for (size_t i = 0; i < search->count; i++)
            search->best[i] = search->whole[i].low;
        if (plan.step > 0)
            plan_all(&plan, search);
        settle_rest(search, search->best);
        polish(search, search->best);
        search->best_value = value_of(search, search->best);
    }
    free(plan.choice);
    free(numbers);
    return r;
}

/* ---- branch and bound ---- */

static double enough(const struct search *search)
{
    return search->best_value * (1 + TOLERANCE);
}

/* Keeps the node's share where it is better; true where a split might find a better one still. */
static bool examine(struct search *search, size_t *line, double *split)
{
    double bound = relax_node(search), gap = 0;
    if (bound <= enough(search))
        return false;
    for (size_t i = 0; i < search->count; i++) {
        const struct part *part = &search->node[i];
        const struct hill *hill = &search->lines[i].hill;
        double x = search->spend[i];
        if (x <= part->low || x >= part->touch)
            continue;
        double chord = hill_value(hill, part->low) + exp(part->slope) * (x - part->low);
        if (chord - hill_value(hill, x) > gap) {
            gap = chord - hill_value(hill, x);
            *line = i;
        }
    }
    *split = search->spend[*line];
    if (value_of(search, search->spend) > search->best_value) {
        polish(search, search->spend);
        search->best_value = value_of(search, search->spend);
        memcpy(search->best, search->spend, search->count * sizeof *search->best);
    }
    return gap > 0 && search->depth < DEPTH_MAX && bound > enough(search);
}

static void set_bounds(struct search *search, size_t line, double low, double high)
{
    search->node[line].low = low;
    search->node[line].high = high;
    draw_chord(&search->lines[line].hill, &search->node[line]);
}

/* To the next node that is open; false where there is none. */
static bool go_back(struct search *search)
{
    while (search->depth > 0) {
        struct branch *branch = &search->branches[search->depth - 1];
        if (!branch->second) {
            branch->second = true;
            set_bounds(search, branch->line, branch->low, branch->split);
            return true;
        }
        set_bounds(search, branch->line, branch->low, branch->high);
        search->depth--;
    }
    return false;
}

static void run(struct search *search)
{
    size_t nodes_max = NODES_MAX / search->count;
    for (size_t nodes = 0; nodes < nodes_max; nodes++) {
        size_t line = 0;
        double split;
        if (examine(search, &line, &split)) {
            const struct part *part = &search->node[line];
            search->branches[search->depth++] =
                (struct branch){line, part->low, part->high, split, false};
            set_bounds(search, line, split, part->high);
        } else if (!go_back(search)) {
            return;
        }
    }
}

/* ---- */

static int check_lines(const struct budget_line *lines, size_t count, double total)
{
    double low = 0, high = 0;
    if (count == 0)
        return ERR_EMPTY;
    if (count > BUDGET_CHANNELS_MAX)
        return ERR_TOO_MANY;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(lines[i].low) || lines[i].low < 0 || !(lines[i].high >= lines[i].low))
            return ERR_VALUE;
        low += lines[i].low;
        high += lines[i].high;
    }
    if (!isfinite(total) || total < 0)
        return ERR_VALUE;
    double slack = 1e-9 * fmax(1, total);
    return total < low - slack || total > high + slack ? ERR_NUMBER_RANGE : 0;
}

/* Bounds that no share can pass, and chords between them. */
static void draw_lines(struct search *search)
{
    double free_money = search->total;
    for (size_t i = 0; i < search->count; i++)
        free_money -= search->lines[i].low;
    for (size_t i = 0; i < search->count; i++) {
        const struct budget_line *line = &search->lines[i];
        search->whole[i].low = line->low;
        search->whole[i].high = fmin(line->high, line->low + fmax(0, free_money));
        draw_chord(&line->hill, &search->whole[i]);
    }
    memcpy(search->node, search->whole, search->count * sizeof *search->node);
}

int budget_share(struct budget_line *lines, size_t count, double total)
{
    int r = check_lines(lines, count, total);
    if (r < 0)
        return r;
    struct search search = {.lines = lines, .count = count, .total = total};
    double *numbers = calloc(3 * count, sizeof *numbers);
    search.whole = calloc(2 * count, sizeof *search.whole);
    r = numbers && search.whole ? 0 : ERR_NO_MEMORY;
    if (r == 0) {
        search.node = search.whole + count;
        search.spend = numbers;
        search.over = numbers + count;
        search.best = numbers + 2 * count;
        draw_lines(&search);
        r = begin(&search);
    }
    if (r == 0) {
        run(&search);
        for (size_t i = 0; i < count; i++)
            lines[i].spend = search.best[i];
    }
    free(search.whole);
    free(numbers);
    return r;
}
