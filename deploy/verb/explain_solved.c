#include "deploy/verb/explain_solved.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/model_credits.h"

struct kept {
    size_t place; /* of the model */
    struct credit credit;
};

struct explain_solved {
    struct attribute_options options;
    const char *path;
    sqlite3 *db;
    bool any; /* solved, for: */
    char currency[ATTRIBUTE_CURRENCY_SIZE];
    struct attribute_input input;
    struct attribute_stored *stored;
    struct model_credits *credits;
    struct kept *items; /* of the conversion at hand: by place, then touch */
    size_t count, room;
};

static void forget(struct explain_solved *solved)
{
    model_credits_close(&solved->credits);
    attribute_input_free(&solved->input);
    solved->any = false;
}

int explain_solved_open(struct explain_solved **out, const char *path,
    struct attribute_stored *stored, const struct attribute_options *options)
{
    struct explain_solved *solved = calloc(1, sizeof *solved);
    if (!solved)
        return ERR_NO_MEMORY;
    solved->options = *options;
    solved->options.currency_given = true;
    solved->stored = stored;
    solved->path = path;
    int r = database_open_reader(&solved->db, path);
    if (r < 0) {
        explain_solved_close(&solved);
        return r;
    }
    *out = solved;
    return 0;
}

void explain_solved_close(struct explain_solved **out)
{
    struct explain_solved *solved = *out;
    if (!solved)
        return;
    forget(solved);
    database_close(&solved->db);
    free(solved->items);
    free(solved);
    *out = NULL;
}

/* All models, over the journeys of that currency. */
static int solve(struct explain_solved *solved, struct str currency)
{
    forget(solved);
    if (currency.size >= sizeof solved->currency)
        return ERR_STATE;
    (void)snprintf(solved->currency, sizeof solved->currency, "%.*s", (int)currency.size,
        currency.size ? currency.data : "");
    solved->input.options = &solved->options;
    int r = attribute_read_database(&solved->input, solved->path, solved->currency);
    if (r == 0)
        r = attribute_stored_answer(solved->stored, &solved->input, solved->path, solved->currency);
    if (r == 0)
        r = model_credits_open(&solved->credits, solved->db, solved->stored->solved,
            solved->stored->solved_count, &solved->stored->answers);
    if (r == 0)
        attribute_tell_distances(&solved->options, solved->credits);
    solved->any = r == 0;
    return r;
}

static int keep(void *context, const struct model_touch_credit *credit)
{
    struct explain_solved *solved = context;
    size_t place = 0;
    while (!str_equal(str_of(solved->stored->wanted[place].name), credit->model->name))
        place++;
    if (solved->count == solved->room) {
        size_t room = solved->room ? solved->room * 2 : 64;
        struct kept *items = realloc(solved->items, room * sizeof *items);
        if (!items)
            return ERR_NO_MEMORY;
        solved->items = items;
        solved->room = room;
    }
    solved->items[solved->count++] = (struct kept){.place = place,
        .credit = {.touch_index = (int32_t)credit->touch_index,
            .weight_ppb = credit->weight_ppb,
            .revenue_minor = credit->revenue_minor}};
    return 0;
}

int explain_solved_conversion(
    struct explain_solved *solved, const struct reader_conversion *conversion)
{
    const struct model_conversion row = {
        .person = str_make(conversion->person, KEY_SIZE),
        .conversion_id = conversion->conversion_id,
        .refund_of = conversion->refund_of,
        .type = conversion->type,
        .currency = conversion->currency,
        .occurred_at = conversion->occurred_at,
        .revenue_minor = conversion->revenue_minor,
        .credit_first = conversion->credit_first,
        .credit_count = conversion->credit_count,
        .reset_from = conversion->reset_from,
        .event_key = str_make(conversion->event_key, KEY_SIZE),
    };
    int r = 0;
    solved->count = 0;
    if (!solved->any || !str_equal(str_of(solved->currency), conversion->currency))
        r = solve(solved, conversion->currency);
    return r < 0 ? r : model_credits_of(solved->credits, &row, keep, solved);
}

static int compare(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return (x->credit.touch_index > y->credit.touch_index) -
           (x->credit.touch_index < y->credit.touch_index);
}

const struct credit *explain_solved_get(
    const struct explain_solved *solved, size_t place, int64_t touch_index)
{
    const struct kept key = {place, {.touch_index = (int32_t)touch_index}};
    const struct kept *found =
        solved->count ? bsearch(&key, solved->items, solved->count, sizeof key, compare) : NULL;
    return found ? &found->credit : NULL;
}
