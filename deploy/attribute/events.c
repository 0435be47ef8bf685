#include "deploy/attribute/events.h"

#include <math.h>
#include <stdlib.h>

#include "schemas/error.h"

int touch_rows_add(struct touch_rows *rows, const struct touch_row *row)
{
    if (rows->count == rows->room) {
        size_t room = rows->room ? rows->room * 2 : 1024;
        struct touch_row *more = realloc(rows->items, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        rows->items = more;
        rows->room = room;
    }
    rows->items[rows->count++] = *row;
    return 0;
}

static int compare(const void *a, const void *b)
{
    const struct touch_row *x = a, *y = b;
    if (x->customer != y->customer)
        return x->customer < y->customer ? -1 : 1;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* Touches of one customer so far. */
struct journey {
    struct attribute_input *input;
    struct path_step *touches;
    size_t count;
    size_t behind; /* the last conversion: where the open path begins */
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
    size_t from = options->reset ? journey->behind : 0;
    if (!options->lookback_none)
        while (from < journey->count && age(row, &journey->touches[from]) > lookback)
            from++;
    int r = attribute_fits(journey->input, &one) ? 0 : ERR_TOO_LARGE;
    if (r == 0)
        r = attribute_path(journey->input, journey->touches + from, journey->count - from, &one);
    journey->behind = journey->count;
    return attribute_name_total(journey->input, row->number, r);
}

static int credit_customer(struct journey *journey, const struct touch_row *rows, size_t count)
{
    int r = 0;
    journey->count = journey->behind = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (rows[i].channel != EVENT_NO_CHANNEL)
            journey->touches[journey->count++] = (struct path_step){
                .at = rows[i].at, .channel = rows[i].channel, .flags = rows[i].flags};
        if (rows[i].converted)
            r = convert(journey, &rows[i]);
    }
    const struct path_count open = {.nulls = 1};
    if (r == 0 && journey->behind < journey->count)
        r = attribute_path(journey->input, journey->touches + journey->behind,
            journey->count - journey->behind, &open);
    return attribute_name_total(journey->input, rows[count - 1].number, r);
}

int touch_rows_credit(struct touch_rows *rows, struct attribute_input *input)
{
    struct journey journey = {.input = input};
    size_t most = 0;
    if (rows->count)
        qsort(rows->items, rows->count, sizeof *rows->items, compare);
    for (size_t i = 0, begin = 0; i < rows->count; i++) {
        begin = rows->items[i].customer != rows->items[begin].customer ? i : begin;
        most = i + 1 - begin > most ? i + 1 - begin : most;
    }
    journey.touches = malloc((most + 1) * sizeof *journey.touches);
    int r = journey.touches ? 0 : ERR_NO_MEMORY;
    for (size_t i = 0, end; r == 0 && i < rows->count; i = end) {
        for (end = i + 1; end < rows->count; end++)
            if (rows->items[end].customer != rows->items[i].customer)
                break;
        r = credit_customer(&journey, &rows->items[i], end - i);
    }
    free(journey.touches);
    return r;
}
