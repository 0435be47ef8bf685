/* reader_channels() gives rows by currency, channel, model; they are turned into one row a channel.
 */
#include "deploy/report.h"

#include <inttypes.h>

#include "deploy/render.h"
#include "enrich/attribution/rules.h"
#include "schemas/error.h"
#include "schemas/money.h"

struct pivot {
    struct render_table *table;
    struct buf channel; /* of the row that is being gathered */
    struct buf currency;
    int64_t revenue[RULE_MODEL_CONFIGURED];
    bool seen[RULE_MODEL_CONFIGURED];
    bool open;
};

static void end_row(struct pivot *pivot)
{
    if (!pivot->open)
        return;
    render_text(pivot->table, buf_str(&pivot->channel));
    render_text(pivot->table, buf_str(&pivot->currency));
    for (int model = 1; model < RULE_MODEL_CONFIGURED; model++) {
        if (pivot->seen[model])
            render_money(pivot->table, pivot->revenue[model], buf_str(&pivot->currency));
        else
            render_nothing(pivot->table);
        pivot->seen[model] = false;
    }
    pivot->open = false;
}

static int add_credit(void *context, const struct reader_credit *credit)
{
    struct pivot *pivot = context;
    int model = rule_model_from_name(credit->model);
    bool same = pivot->open && str_equal(buf_str(&pivot->channel), credit->channel) &&
                str_equal(buf_str(&pivot->currency), credit->currency);
    if (!same)
        end_row(pivot);
    buf_clear(&pivot->channel);
    buf_clear(&pivot->currency);
    int r = buf_append_str(&pivot->channel, credit->channel);
    if (r == 0)
        r = buf_append_str(&pivot->currency, credit->currency);
    pivot->open = true;
    if (model > 0 && model < RULE_MODEL_CONFIGURED) {
        pivot->revenue[model] = credit->revenue_minor;
        pivot->seen[model] = true;
    }
    return r;
}

int report_channels(struct reader *reader, bool json, FILE *out)
{
    struct render_column columns[RULE_MODEL_CONFIGURED + 1] = {
        {"channel", "channel", RENDER_LEFT, 0}, {"currency", "", RENDER_LEFT, 0}};
    for (int model = 1; model < RULE_MODEL_CONFIGURED; model++) {
        const char *name = rule_model_name((enum rule_model)model);
        columns[model + 1] = (struct render_column){name, name, RENDER_RIGHT, 0};
    }
    struct pivot pivot = {.table = NULL};
    int r = render_new(&pivot.table, columns, RULE_MODEL_CONFIGURED + 1);
    if (r == 0)
        r = reader_channels(reader, add_credit, &pivot);
    if (r == 0) {
        end_row(&pivot);
        r = render_write(pivot.table, json, out);
    }
    render_free(&pivot.table);
    buf_free(&pivot.channel);
    buf_free(&pivot.currency);
    return r;
}

static int print_revenue(void *context, const struct reader_revenue *revenue)
{
    FILE *out = context;
    char gross[MONEY_TEXT_SIZE_MAX], refunded[MONEY_TEXT_SIZE_MAX];
    (void)money_format(revenue->gross_minor, revenue->currency, gross);
    (void)money_format(revenue->refunded_minor, revenue->currency, refunded);
    (void)fprintf(out, "revenue %s %.*s, returns and refunds %s\n", gross,
        (int)revenue->currency.size, revenue->currency.data, refunded);
    return 0;
}

int report_totals(struct reader *reader, FILE *out)
{
    struct reader_totals totals;
    int r = reader_get_totals(reader, &totals);
    if (r < 0)
        return r;
    (void)fprintf(out,
        "%" PRId64 " events of %" PRId64 " persons (%" PRId64 " identifiers), %" PRId64
        " sessions, %" PRId64 " touches, %" PRId64 " conversions (%" PRId64
        " without a touch), %" PRId64 " refunds, %" PRId64 " rejected\n",
        totals.events, totals.persons, totals.identifiers, totals.sessions, totals.touches,
        totals.conversions, totals.unattributed, totals.refunds, totals.rejected);
    return reader_revenue(reader, print_revenue, out);
}
