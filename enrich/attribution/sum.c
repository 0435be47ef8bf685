/* Source: A. Neumaier, Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen, 1974.
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

double sum_value(const struct sum *sum)
{
    double value = sum->whole + sum->rest;
    return fabs(value) > SUM_NOISE * sum->size ? value : 0;
}
