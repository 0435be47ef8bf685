/*
 * Sums of amounts that may cancel: what corrections leave of them, without the noise that rounding
 * leaves where they leave nothing. Each term is carried with what it was rounded by, and the sum
 * with how far off it may be.
 */
#pragma once

/* {0} is the sum of nothing. */
struct sum {
    double whole;
    double rest;  /* what `whole` was rounded by */
    double size;  /* the terms added up without their signs */
    double noise; /* below this nothing is known */
};

/* Of a term: a part of its size. A decimal one that is a double has no more digits than the first;
 * one whose rest is known has as many as two doubles, less what a million of them lose. */
#define SUM_NOISE 0x1p-50
#define SUM_NOISE_EXACT 0x1p-75

/* Adds a term. size: of the terms that it is a sum of itself; less than |term| means |term|. */
void sum_add(struct sum *sum, double term, double size);

/* Adds another sum, with what it was rounded by. */
void sum_add_sum(struct sum *sum, const struct sum *other);

/* The term whose exact value is term + rest, |rest| being below the digits of |term|. */
struct sum sum_exact(double term, double rest);

/* A part of 1, or what parts are of, in two doubles. */
struct sum_part {
    double whole, rest;
};
/* weight / all, which is over 0. */
struct sum_part sum_part_of(double weight, struct sum_part all);
/* Adds that part of another sum. */
void sum_add_part(struct sum *sum, struct sum_part part, const struct sum *other);

/* What the terms come to, rounded once; 0 where it is not over their noise. Whole numbers of a size
 * up to 1 / SUM_NOISE are exact, exact terms (sum_exact()) up to 1 / SUM_NOISE_EXACT. */
double sum_value(const struct sum *sum);
