/* Source: A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen,
 * 1974.
 */
#include "enrich/attribution/sum.h"

#include <math.h>

void sum_add(struct sum *sum, double term, double size)
{
    double whole = sum->whole + term;
    if (fabs(sum->whole) >= fabs(term))
        sum->rest += (sum->whole - whole) + term;
    else
        sum->rest += (term - whole) + sum->whole;
    sum->whole = whole;
    sum->size += size > fabs(term) ? size : fabs(term);
}

void sum_add_sum(struct sum *sum, const struct sum *other)
{
    sum_add(sum, other->whole, other->size);
    sum->rest += other->rest;
}

void sum_add_part(struct sum *sum, double part, double term, double rest)
{
    double product = part * term;
    sum_add(sum, product, 0);
    sum->rest += fma(part, term, -product) + part * rest;
}

double sum_value(const struct sum *sum)
{
    double value = sum->whole + sum->rest;
    return fabs(value) > SUM_NOISE * sum->size ? value : 0;
}
