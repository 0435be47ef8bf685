/* Questions about one conversion. */
#include "schemas/error.h"
#include "sinks/sqlite/read_private.h"

static bool copy_key(sqlite3_stmt *select, int column, uint8_t out[KEY_SIZE])
{
    struct str bytes = column_text(select, column);
    if (bytes.size != KEY_SIZE)
        return false;
    memcpy(out, bytes.data, KEY_SIZE);
    return true;
}

static int give_conversion(sqlite3_stmt *select,
    int (*found)(void *context, const struct reader_conversion *conversion), void *context)
{
    struct reader_conversion row = {
        .conversion_id = column_text(select, 1),
        .kind = column_text(select, 2),
        .type = column_text(select, 3),
        .order_id = column_text(select, 4),
        .refund_of = column_text(select, 5),
        .occurred_at = sqlite3_column_int64(select, 6),
        .revenue_minor = sqlite3_column_int64(select, 7),
        .currency = column_text(select, 8),
        .path_length = sqlite3_column_int64(select, 9),
        .credit_first = sqlite3_column_int64(select, 10),
        .credit_count = sqlite3_column_int64(select, 11),
        .event_id = column_text(select, 12),
        .reset_from = sqlite3_column_int64(select, 13),
        .lead = sqlite3_column_int64(select, 14),
        .opportunity = sqlite3_column_int64(select, 15),
    };
    return copy_key(select, 0, row.person) && copy_key(select, 16, row.event_key)
               ? found(context, &row)
               : ERR_STATE;
}

int reader_conversions(struct reader *reader, struct str name,
    int (*found)(void *context, const struct reader_conversion *conversion), void *context)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        "SELECT c.person, c.conversion_id, c.kind, c.type, c.order_id, c.refund_of, c.occurred_at, "
        "c.revenue_minor, c.currency, c.path_length, c.credit_first, c.credit_count, e.event_id, "
        "c.reset_from, coalesce(p.lead_index, -1), coalesce(p.opportunity_index, -1), c.event_key "
        "FROM conversion AS c LEFT JOIN event AS e ON e.event_key = c.event_key "
        "LEFT JOIN path AS p ON p.person = c.person AND p.kind = 'converting' "
        "AND p.path_key = coalesce(c.refund_of, c.conversion_id) "
        "WHERE c.conversion_id = ?1 OR c.order_id = ?1 OR e.event_id = ?1 "
        "ORDER BY c.occurred_at, c.person, c.conversion_id",
        &select);
    if (r < 0)
        return r;
    bind_text(select, 1, name);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW)
        r = give_conversion(select, found, context);
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(select);
    return r;
}

int reader_touch_credits(struct reader *reader, const struct reader_conversion *conversion,
    int (*found)(void *context, const struct reader_touch_credit *credit), void *context)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        "SELECT a.touch_index, a.channel, a.model, a.weight_ppb, a.credited_revenue_minor, "
        "coalesce(e.occurred_at, 0), e.event_id, e.type, e.source, e.campaign_name "
        "FROM attribution_credit AS a LEFT JOIN event AS e ON e.event_key = a.touch_event_key "
        "WHERE a.credit_row >= ?1 AND a.credit_row < ?1 + ?2 ORDER BY a.touch_index, a.credit_row",
        &select);
    if (r < 0)
        return r;
    sqlite3_bind_int64(select, 1, conversion->credit_first);
    sqlite3_bind_int64(select, 2, conversion->credit_count);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        const struct reader_touch_credit row = {
            .touch_index = sqlite3_column_int64(select, 0),
            .channel = column_text(select, 1),
            .model = column_text(select, 2),
            .weight_ppb = sqlite3_column_int64(select, 3),
            .revenue_minor = sqlite3_column_int64(select, 4),
            .touched_at = sqlite3_column_int64(select, 5),
            .event_id = column_text(select, 6),
            .type = column_text(select, 7),
            .source = column_text(select, 8),
            .campaign = column_text(select, 9),
        };
        r = found(context, &row);
    }
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(select);
    return r;
}
