/*
 * Rows are sorted twice: by the hash of their customer's name, so that each gets the number of the
 * customer's first row, whatever the order of the file and without a table of all customers; then
 * by that number and time. The second order alone decides what comes out, not how much was spilled.
 */
#include "deploy/attribute/events.h"

#include <math.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* By customer, the first of each by file order. */
static int compare_customers(const void *a, const void *b)
{
    const struct touch_row *x = a, *y = b;
    int order = compare_numbers(x->customer[0], y->customer[0]);
    if (order == 0)
        order = compare_numbers(x->customer[1], y->customer[1]);
    return order ? order : compare_numbers(x->number, y->number);
}

/* By the customer's first row, then by time. */
static int compare_times(const void *a, const void *b)
{
    const struct touch_row *x = a, *y = b;
    int order = compare_numbers(x->customer[0], y->customer[0]);
    if (order == 0)
        order = (x->at > y->at) - (x->at < y->at);
    return order ? order : compare_numbers(x->number, y->number);
}

void touch_rows_init(struct touch_rows *rows, const struct attribute_options *options)
{
    spill_init(&rows->spill, options, compare_customers);
}

void touch_rows_free(struct touch_rows *rows)
{
    spill_free(&rows->spill);
}

int touch_rows_add(struct touch_rows *rows, struct str customer, const struct touch_row *row)
{
    struct touch_row named = *row;
    hash128(customer, named.customer);
    return spill_add(&rows->spill, &named);
}

/* ---- order ---- */

/* Where the first row of the customer of the row before is. */
struct naming {
    uint64_t hash[2];
    uint64_t first;
    bool begun;
};

static void name_first(struct naming *naming, struct touch_row *row)
{
    if (!naming->begun || memcmp(naming->hash, row->customer, sizeof naming->hash) != 0) {
        memcpy(naming->hash, row->customer, sizeof naming->hash);
        naming->first = row->number;
        naming->begun = true;
    }
    row->customer[0] = naming->first;
    row->customer[1] = 0;
}

/* Moves all rows to `out`, of which the order is compare_times(). */
static int order_rows(struct spill *rows, struct spill *out)
{
    struct naming naming = {0};
    const struct touch_row *row;
    int r = spill_sort(rows);
    if (r == 0 && !rows->spilled) { /* they stay where they are */
        for (size_t i = 0; i < rows->count; i++)
            name_first(&naming, &rows->items[i]);
        out->items = rows->items;
        out->count = rows->count;
        out->room = rows->room;
        rows->items = NULL;
        rows->count = rows->room = 0;
        return spill_sort(out);
    }
    while (r == 0 && (r = spill_next(rows, &row)) > 0) {
        struct touch_row named = *row;
        name_first(&naming, &named);
        r = spill_add(out, &named);
    }
    spill_free(rows); /* its files: no row needs to lie twice */
    return r < 0 ? r : spill_sort(out);
}

/* ---- journeys ---- */

/* Touches of one customer so far. */
struct journey {
    struct attribute_input *input;
    struct path_step *touches;
    size_t count, room;
    size_t from;     /* no path has touches before; up to `behind` */
    size_t behind;   /* the last conversion: where the open path begins */
    uint64_t number; /* of the last row */
};

/* Of a touch before the row: times may be as far apart as no int64_t is. */
static uint64_t age(const struct touch_row *row, const struct path_step *touch)
{
    return (uint64_t)row->at - (uint64_t)touch->at;
}

static int convert(struct journey *journey, const struct touch_row *row)
{
    const struct attribute_options *options = journey->input->options;
    const struct path_count one = {.conversions = 1,
        .value = row->value,
        .value_rest = row->value_rest,
        .value_noise = SUM_NOISE_EXACT * fabs(row->value)};
    const uint64_t lookback = (uint64_t)options->lookback_micros;
    size_t from = options->reset ? journey->behind : journey->from;
    if (!options->lookback_none)
        while (from < journey->count && age(row, &journey->touches[from]) > lookback)
            from++;
    int r = attribute_fits(journey->input, &one) ? 0 : ERR_TOO_LARGE;
    if (r == 0)
        r = attribute_path(journey->input, journey->touches + from, journey->count - from, &one);
    journey->from = from;
    journey->behind = journey->count;
    return attribute_name_total(journey->input, row->number, r);
}

static int make_room(struct journey *journey)
{
    if (journey->count < journey->room)
        return 0;
    if (journey->from && journey->from >= journey->room / 2) {
        journey->count -= journey->from;
        journey->behind -= journey->from;
        memmove(journey->touches, journey->touches + journey->from,
            journey->count * sizeof *journey->touches);
        journey->from = 0;
        return 0;
    }
    size_t room = journey->room ? journey->room * 2 : 64;
    struct path_step *more = realloc(journey->touches, room * sizeof *more);
    if (!more)
        return ERR_NO_MEMORY;
    journey->touches = more;
    journey->room = room;
    return 0;
}

static int take(struct journey *journey, const struct touch_row *row)
{
    int r = row->channel == EVENT_NO_CHANNEL ? 0 : make_room(journey);
    if (r < 0)
        return r;
    if (row->channel != EVENT_NO_CHANNEL)
        journey->touches[journey->count++] =
            (struct path_step){.at = row->at, .channel = row->channel, .flags = row->flags};
    journey->number = row->number;
    return row->converted ? convert(journey, row) : 0;
}

/* The path that did not convert; the next customer's begins. */
static int end(struct journey *journey)
{
    const struct path_count open = {.nulls = 1};
    int r = 0;
    if (journey->behind < journey->count)
        r = attribute_path(journey->input, journey->touches + journey->behind,
            journey->count - journey->behind, &open);
    journey->count = journey->from = journey->behind = 0;
    return attribute_name_total(journey->input, journey->number, r);
}

int touch_rows_credit(struct touch_rows *rows, struct attribute_input *input)
{
    struct journey journey = {.input = input};
    struct spill ordered;
    const struct touch_row *row;
    uint64_t customer = 0; /* no row's number */
    spill_init(&ordered, input->options, compare_times);
    int r = make_room(&journey);
    if (r == 0)
        r = order_rows(&rows->spill, &ordered);
    while (r == 0 && (r = spill_next(&ordered, &row)) > 0) {
        r = row->customer[0] == customer ? 0 : end(&journey);
        customer = row->customer[0];
        if (r == 0)
            r = take(&journey, row);
    }
    if (r == 0)
        r = end(&journey);
    spill_free(&ordered);
    free(journey.touches);
    return r;
}
