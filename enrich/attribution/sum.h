/*
 * Sums of amounts that may cancel: what corrections leave of them, without the noise that rounding
 * leaves where they leave nothing.
 */
#pragma once

/* {0} is the sum of nothing. */
struct sum {
    double whole;
    double rest; /* what `whole` was rounded by */
    double size; /* the terms added up without their signs */
};

/* Adds a term. size: of the terms that it is a sum of itself; less than |term| means |term|. */
void sum_add(struct sum *sum, double term, double size);

/* Adds another sum, with what it was rounded by. */
void sum_add_sum(struct sum *sum, const struct sum *other);

/* Adds part * (term + rest), |rest| being below the digits of |term|. */
void sum_add_part(struct sum *sum, double part, double term, double rest);

/* What the terms come to, rounded once; 0 where it is below SUM_NOISE of their size, for a decimal
 * term has no more digits than that as a double. Whole numbers of a size up to 1 / SUM_NOISE are
 * exact. */
#define SUM_NOISE 0x1p-50
double sum_value(const struct sum *sum);
