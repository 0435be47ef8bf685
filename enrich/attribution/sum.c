/* Source: A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen,
 * 1974.
 */
#include "enrich/attribution/sum.h"

#include <math.h>

static void add(struct sum *sum, double term)
{
    double whole = sum->whole + term;
    if (fabs(sum->whole) >= fabs(term))
        sum->rest += (sum->whole - whole) + term;
    else
        sum->rest += (term - whole) + sum->whole;
    sum->whole = whole;
}

void sum_add(struct sum *sum, double term, double size)
{
    size = size > fabs(term) ? size : fabs(term);
    add(sum, term);
    sum->size += size;
    sum->noise += SUM_NOISE * size;
}

void sum_add_sum(struct sum *sum, const struct sum *other)
{
    add(sum, other->whole);
    sum->rest += other->rest;
    sum->size += other->size;
    sum->noise += other->noise;
}

struct sum sum_exact(double term, double rest)
{
    return (struct sum){term, rest, fabs(term), SUM_NOISE_EXACT * fabs(term)};
}

struct sum_part sum_part_of(double weight, struct sum_part all)
{
    double whole = weight / all.whole;
    double left = fma(-whole, all.whole, weight) - whole * all.rest;
    return (struct sum_part){whole, left / all.whole};
}

void sum_add_part(struct sum *sum, struct sum_part part, const struct sum *other)
{
    double product = part.whole * other->whole;
    add(sum, product);
    sum->rest += fma(part.whole, other->whole, -product) + part.whole * other->rest +
                 part.rest * other->whole;
    sum->size += fabs(part.whole) * other->size;
    sum->noise += fabs(part.whole) * other->noise;
}

double sum_value(const struct sum *sum)
{
    double value = sum->whole + sum->rest;
    return fabs(value) > sum->noise ? value : 0;
}
