/*
 * Rows of event, touch and timeline.
 *
 * A batch is written in two passes: event and touch in the order of event keys, then timeline in
 * the order of the results, which is that of persons. Each index then meets its keys sorted, so
 * neighbours land on the page that is at hand; measured, this halves what the indexes cost.
 *
 * Invariants:
 * 1. event has at most one row of an event key, timeline exactly one of each row of event, touch
 *    at most one.
 * 2. A row's placement never falls while the row stands; a tombstone takes the row only while it
 *    stands at the tombstone's person and place.
 */
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/stitched.avro.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/detail.h"
#include "sinks/sqlite/spend.h"
#include "sinks/sqlite/writer.h"

/* A row's key: person, occurred_at, sequence, event_key (TABLE_TIMELINE). */
#define KEY_PERSON 0
#define KEY_OCCURRED_AT 16
#define KEY_SEQUENCE 24
#define KEY_EVENT 32
#define KEY_WHOLE 48

/* Values are met in the order of event keys, so in no order of memory: each is asked for some
 * events ahead. */
#define AHEAD 4
#define AHEAD_BYTES_MAX 512
#define CACHE_LINE 64

/* So many results of one event are put in order; more are written as they come. */
#define GROUP_MAX 16

#define NOT_LISTED 0 /* no row of event has this number */

enum event_parameter {
    EVENT_PARAMETER_NONE,
#define X(symbol, column) EVENT_##symbol,
#include "sinks/sqlite/event_column.def"
#undef X
    EVENT_PARAMETER_ROW, /* of the update only */
};

struct place {
    uint64_t order; /* first bytes of the event key */
    size_t index;   /* of the result */
};

struct batch {
    const struct result *results;
    struct place *places;
    size_t places_count;
    int64_t *rows; /* by index of the result: row of event to list in timeline, or NOT_LISTED */
};

/* A row of event as it stands. */
struct standing {
    int64_t row;
    uint8_t person[KEY_SIZE];
    int64_t occurred_at;
    int64_t sequence;
    int64_t placement;
    struct str identifiers; /* in the arena */
    bool has_evidence;
    bool is_spend;
};

static const uint8_t *key_at(const struct result *result, size_t offset)
{
    return (const uint8_t *)result->key.data + offset;
}

static struct str key_blob(const struct result *result, size_t offset)
{
    return str_make(result->key.data + offset, KEY_SIZE);
}

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static int list_in_timeline(struct writer *writer, const struct result *result, int64_t row)
{
    struct bulk *bulk;
    struct bulk_cell *cells;
    int r = writer_bulk(writer, BULK_TIMELINE, &bulk);
    if (r == 0)
        r = bulk_row(bulk, &cells);
    if (r < 0)
        return r;
    cells[0] = bulk_blob(key_blob(result, KEY_PERSON));
    cells[1] = bulk_integer(get_be64_signed(key_at(result, KEY_OCCURRED_AT)));
    cells[2] = bulk_integer(get_be64_signed(key_at(result, KEY_SEQUENCE)));
    cells[3] = bulk_integer(row);
    return 0;
}

static int take_from_timeline(struct writer *writer, const struct standing *standing)
{
    sqlite3_stmt *delete;
    int r = writer_bulk_flush(writer, BULK_TIMELINE);
    if (r == 0)
        r = writer_statement(writer, STATEMENT_TIMELINE_DELETE, &delete);
    if (r < 0)
        return r;
    bind_blob(delete, 1, str_make(standing->person, KEY_SIZE));
    sqlite3_bind_int64(delete, 2, standing->occurred_at);
    sqlite3_bind_int64(delete, 3, standing->sequence);
    sqlite3_bind_int64(delete, 4, standing->row);
    return writer_step(writer, delete);
}

static bool is_spend(struct str type)
{
    return str_equal(type, STR(SPEND_TYPE));
}

/* The row of spend of an event's key is made from all reports of the key, or all others. */
static int settle_spend(struct writer *writer, int64_t row, bool with_it)
{
    sqlite3_stmt *clear, *settle;
    int r = writer_statement(writer, STATEMENT_SPEND_CLEAR, &clear);
    if (r < 0)
        return r;
    sqlite3_bind_int64(clear, 1, row);
    r = writer_step(writer, clear);
    if (r == 0)
        r = writer_statement(writer, STATEMENT_SPEND_SETTLE, &settle);
    if (r < 0)
        return r;
    sqlite3_bind_int64(settle, 1, row);
    sqlite3_bind_int(settle, 2, with_it);
    return writer_step(writer, settle);
}

/* 0 and *out, or STATE_ABSENT. */
static int find(struct writer *writer, const struct result *result, struct standing *out)
{
    sqlite3_stmt *select;
    int r = writer_statement(writer, STATEMENT_EVENT_FIND, &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, key_blob(result, KEY_EVENT));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW) {
        struct str person = column_text(select, 1);
        out->row = sqlite3_column_int64(select, 0);
        out->occurred_at = sqlite3_column_int64(select, 2);
        out->sequence = sqlite3_column_int64(select, 3);
        out->placement = sqlite3_column_int64(select, 4);
        out->has_evidence = sqlite3_column_type(select, 6) != SQLITE_NULL;
        out->is_spend = is_spend(column_text(select, 7));
        if (person.size == KEY_SIZE)
            memcpy(out->person, person.data, KEY_SIZE);
        else
            code = SQLITE_CORRUPT;
        r = arena_dup(&writer->arena, column_text(select, 5), &out->identifiers);
    }
    sqlite3_reset(select);
    if (r < 0)
        return r;
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? STATE_ABSENT : database_error(code);
}

static bool stands_at(const struct standing *standing, const struct result *result)
{
    return memcmp(standing->person, key_at(result, KEY_PERSON), KEY_SIZE) == 0 &&
           standing->occurred_at == get_be64_signed(key_at(result, KEY_OCCURRED_AT)) &&
           standing->sequence == get_be64_signed(key_at(result, KEY_SEQUENCE));
}

static void bind_campaign(sqlite3_stmt *put, const struct touchpoint *event)
{
    if (event->has_campaign) {
        bind_text_or_null(put, EVENT_CAMPAIGN_SOURCE, event->campaign.source);
        bind_text_or_null(put, EVENT_CAMPAIGN_MEDIUM, event->campaign.medium);
        bind_text_or_null(put, EVENT_CAMPAIGN_NAME, event->campaign.name);
        bind_text_or_null(put, EVENT_CAMPAIGN_MESSAGE, event->campaign.message);
    }
    if (event->has_page) {
        bind_text_or_null(put, EVENT_PAGE_HOST, event->page.host);
        bind_text_or_null(put, EVENT_PAGE_PATH, event->page.path);
        bind_text_or_null(put, EVENT_REFERRER_HOST, event->page.referrer_host);
    }
    if (event->has_device && event->device.kind != DEVICE_KIND_UNKNOWN)
        bind_text(put, EVENT_DEVICE_KIND, str_of(device_kind_name(event->device.kind)));
    if (event->has_geo)
        bind_text_or_null(put, EVENT_COUNTRY, event->geo.country);
}

static void bind_order(sqlite3_stmt *put, const struct order *order)
{
    bind_text_or_null(put, EVENT_ORDER_ID, order->order_id);
    if (order->facet != ORDER_FACET_UNKNOWN)
        bind_text(put, EVENT_ORDER_FACET, str_of(order_facet_name(order->facet)));
    if (order->currency.size || order->revenue_minor)
        sqlite3_bind_int64(put, EVENT_REVENUE_MINOR, order->revenue_minor);
    bind_text_or_null(put, EVENT_CURRENCY, order->currency);
}

static void bind_deeds(sqlite3_stmt *put, const struct touchpoint *event)
{
    if (event->has_order)
        bind_order(put, &event->order);
    if (event->has_call)
        bind_text_or_null(put, EVENT_CALL_ID, event->call.call_id);
    if (event->has_store)
        bind_text_or_null(put, EVENT_STORE_ID, event->store.store_id);
    if (event->has_message) {
        if (event->message.kind != MESSAGE_KIND_UNKNOWN)
            bind_text(put, EVENT_MESSAGE_KIND, str_of(message_kind_name(event->message.kind)));
        bind_text_or_null(put, EVENT_MESSAGE_ID, event->message.message_id);
    }
    if (event->bot)
        sqlite3_bind_int(put, EVENT_BOT, 1);
    bind_text_or_null(put, EVENT_PROPERTIES, event->properties);
}

/* Text is complete before any of it is bound: the buffer may move while it grows. */
static int bind_texts(struct writer *writer, sqlite3_stmt *put, const struct touchpoint *event)
{
    struct buf *text = &writer->text;
    buf_clear(text);
    int r = detail_write_identifiers(event, text);
    size_t detail = text->size;
    if (r == 0)
        r = detail_write(event, text);
    if (r < 0)
        return r;
    bind_text(put, EVENT_IDENTIFIERS, str_make(text->data, detail));
    bind_text(put, EVENT_DETAIL, str_make(text->data + detail, text->size - detail));
    return 0;
}

static int bind_event(struct writer *writer, sqlite3_stmt *put, const struct stitched *stitched,
    const struct touchpoint *event)
{
    bind_blob(put, EVENT_KEY, str_make(event->event_key, KEY_SIZE));
    bind_blob(put, EVENT_PERSON, str_make(stitched->person, KEY_SIZE));
    sqlite3_bind_int64(put, EVENT_OCCURRED_AT, event->occurred_at);
    sqlite3_bind_int64(put, EVENT_SEQUENCE, event->sequence);
    bind_text(put, EVENT_TYPE, event->type);
    bind_text(put, EVENT_SOURCE, event->source);
    bind_text(put, EVENT_ID, event->event_id);
    bind_text_or_null(put, EVENT_CHANNEL, stitched->channel);
    if (stitched->has_session_key)
        bind_blob(put, EVENT_SESSION_KEY, str_make(stitched->session_key, KEY_SIZE));
    if (stitched->touch != TOUCH_KIND_NONE)
        bind_text(put, EVENT_TOUCH, str_of(touch_kind_name(stitched->touch)));
    if (event->has_evidence)
        sqlite3_bind_int(
            put, EVENT_EVIDENCE, (event->evidence.sign > 0) - (event->evidence.sign < 0));
    if (event->time_quality != TIME_QUALITY_CLIENT)
        bind_text(put, EVENT_TIME_QUALITY, str_of(time_quality_name(event->time_quality)));
    bind_campaign(put, event);
    bind_deeds(put, event);
    sqlite3_bind_int64(put, EVENT_PLACEMENT, stitched->placement);
    sqlite3_bind_int64(put, EVENT_POSITION, stitched->position);
    sqlite3_bind_int64(put, EVENT_RECEIVED_AT, event->received_at);
    return bind_texts(writer, put, event);
}

/* Gathered until the batch ends: text stands in the result, which stays as long. */
static int put_touch(struct writer *writer, const struct result *result,
    const struct stitched *stitched, const struct touchpoint *event)
{
    struct bulk *bulk;
    struct bulk_cell *row;
    int r = writer_bulk(writer, BULK_TOUCH, &bulk);
    if (r == 0)
        r = bulk_row(bulk, &row);
    if (r < 0)
        return r;
    row[0] = bulk_blob(key_blob(result, KEY_EVENT));
    row[1] = bulk_blob(key_blob(result, KEY_PERSON));
    row[2] = bulk_integer(event->occurred_at);
    row[3] = bulk_text(str_of(touch_kind_name(stitched->touch)));
    row[4] = bulk_text(stitched->channel);
    if (event->has_campaign) {
        row[5] = bulk_text_or_null(event->campaign.source);
        row[6] = bulk_text_or_null(event->campaign.medium);
        row[7] = bulk_text_or_null(event->campaign.name);
        row[8] = bulk_text_or_null(event->campaign.message);
    }
    return 0;
}

/* Whether the event's touch may be gathered: then it is the last, or shares its order with it. */
static bool touch_gathered(const struct writer *writer, const struct result *result)
{
    const struct bulk *bulk = writer->bulks[BULK_TOUCH];
    const struct bulk_cell *last = bulk ? bulk_last(bulk) : NULL;
    return last && memcmp(last->data, key_at(result, KEY_EVENT), KEY_ORDER_SIZE) == 0;
}

static int delete_touch(struct writer *writer, const struct result *result)
{
    sqlite3_stmt *delete;
    int r = touch_gathered(writer, result) ? writer_bulk_flush(writer, BULK_TOUCH) : 0;
    if (r == 0)
        r = writer_statement(writer, STATEMENT_TOUCH_DELETE, &delete);
    if (r < 0)
        return r;
    bind_blob(delete, 1, key_blob(result, KEY_EVENT));
    return writer_step(writer, delete);
}

/* Links follow from identifiers, evidence and time alone, which nearly always stay as they are. */
static int put_links_anew(
    struct writer *writer, const struct standing *standing, const struct touchpoint *event)
{
    buf_clear(&writer->text);
    int r = detail_write_identifiers(event, &writer->text);
    if (r < 0)
        return r;
    if (standing->occurred_at == event->occurred_at && !standing->has_evidence &&
        !event->has_evidence && str_equal(standing->identifiers, buf_str(&writer->text)))
        return 0;
    r = writer_links_delete(writer, str_make(event->event_key, KEY_SIZE));
    return r < 0 ? r : writer_links(writer, event);
}

static int update_row(struct writer *writer, const struct stitched *stitched,
    const struct touchpoint *event, const struct standing *standing)
{
    sqlite3_stmt *put;
    int r = standing->is_spend ? settle_spend(writer, standing->row, false) : 0;
    if (r == 0)
        r = writer_statement(writer, STATEMENT_EVENT_UPDATE, &put);
    if (r == 0)
        r = bind_event(writer, put, stitched, event);
    if (r < 0)
        return r;
    sqlite3_bind_int64(put, EVENT_PARAMETER_ROW, standing->row);
    r = writer_step(writer, put);
    return r == 0 && is_spend(event->type) ? settle_spend(writer, standing->row, true) : r;
}

/* The event is there already: it changed, moved, or this is old news. */
static int update(struct writer *writer, const struct result *result,
    const struct stitched *stitched, const struct touchpoint *event, int64_t *row)
{
    struct standing standing;
    int r = find(writer, result, &standing);
    if (r != 0)
        return r < 0 ? r : ERR_STATE; /* the insert has just met it */
    if (stitched->placement < standing.placement)
        return 0;
    r = update_row(writer, stitched, event, &standing);
    if (r == 0 && !stands_at(&standing, result)) {
        r = take_from_timeline(writer, &standing);
        *row = standing.row;
    }
    if (r == 0)
        r = put_links_anew(writer, &standing, event);
    if (r < 0)
        return r;
    return stitched->touch == TOUCH_KIND_NONE ? delete_touch(writer, result)
                                              : put_touch(writer, result, stitched, event);
}

static int upsert(struct writer *writer, const struct result *result,
    const struct stitched *stitched, const struct touchpoint *event, int64_t *row)
{
    sqlite3_stmt *insert;
    int r = event->has_order ? writer_currency(writer, event->order.currency) : 0;
    if (r == 0)
        r = writer_statement(writer, STATEMENT_EVENT_INSERT, &insert);
    if (r == 0)
        r = bind_event(writer, insert, stitched, event);
    if (r == 0)
        r = writer_step(writer, insert);
    if (r < 0)
        return r;
    if (sqlite3_changes64(writer->db) == 0)
        return update(writer, result, stitched, event, row);
    *row = sqlite3_last_insert_rowid(writer->db);
    r = writer_links(writer, event);
    if (r == 0 && is_spend(event->type))
        r = settle_spend(writer, *row, true);
    if (r < 0)
        return r;
    return stitched->touch == TOUCH_KIND_NONE ? 0 : put_touch(writer, result, stitched, event);
}

static int remove_event(struct writer *writer, const struct result *result)
{
    struct standing standing;
    int r = find(writer, result, &standing);
    if (r != 0)
        return r < 0 ? r : 0;
    if (!stands_at(&standing, result))
        return 0;
    sqlite3_stmt *delete;
    r = standing.is_spend ? settle_spend(writer, standing.row, false) : 0;
    if (r == 0)
        r = writer_statement(writer, STATEMENT_EVENT_DELETE, &delete);
    if (r < 0)
        return r;
    sqlite3_bind_int64(delete, 1, standing.row);
    r = writer_step(writer, delete);
    if (r == 0)
        r = take_from_timeline(writer, &standing);
    if (r == 0)
        r = writer_links_delete(writer, key_blob(result, KEY_EVENT));
    return r == 0 ? delete_touch(writer, result) : r;
}

/* Decodes, and holds that key and value speak of one row. Errors: REJECT class. */
static int read(struct writer *writer, const struct result *result, struct stitched *stitched,
    struct touchpoint *event)
{
    int r = stitched_decode(stitched, result->value, &writer->arena);
    if (r == 0)
        r = touchpoint_decode(event, stitched->event, &writer->arena);
    if (r < 0)
        return r;
    bool same = memcmp(key_at(result, KEY_PERSON), stitched->person, KEY_SIZE) == 0 &&
                memcmp(key_at(result, KEY_EVENT), event->event_key, KEY_SIZE) == 0 &&
                get_be64_signed(key_at(result, KEY_OCCURRED_AT)) == event->occurred_at &&
                get_be64_signed(key_at(result, KEY_SEQUENCE)) == event->sequence;
    return same ? 0 : ERR_AVRO;
}

static int apply_one(struct writer *writer, const struct result *result, int64_t *row)
{
    struct stitched stitched;
    struct touchpoint event;
    arena_reset(&writer->arena);
    int r = result->tombstone ? 0 : read(writer, result, &stitched, &event);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? writer_set_aside(writer, result, r) : r;
    r = result->tombstone ? remove_event(writer, result)
                          : upsert(writer, result, &stitched, &event, row);
    return r == 0 ? writer_take_back(writer, result) : r;
}

static void ask_ahead(const struct batch *batch, size_t at)
{
    if (at >= batch->places_count)
        return;
    struct str value = batch->results[batch->places[at].index].value;
    for (size_t i = 0; i < value.size && i < AHEAD_BYTES_MAX; i += CACHE_LINE)
        __builtin_prefetch(value.data + i);
}

/* Whether what was written last, of the same event, must be listed before this result is. */
static bool meets(const struct batch *batch, size_t before, const struct result *result)
{
    const struct result *written = &batch->results[before];
    return batch->rows[before] != NOT_LISTED &&
           (!result->tombstone || str_equal(written->key, result->key));
}

static int write_events(struct writer *writer, struct batch *batch)
{
    size_t last = 0; /* result of the event at hand that was written last as a value */
    for (size_t i = 0; i < batch->places_count; i++) {
        const struct place *place = &batch->places[i];
        const struct result *result = &batch->results[place->index];
        ask_ahead(batch, i + AHEAD);
        /* Two results of one event: what the first left for the second pass must stand before. */
        bool again = i > 0 && batch->places[i - 1].order == place->order;
        if (again && meets(batch, last, result)) {
            int r = list_in_timeline(writer, &batch->results[last], batch->rows[last]);
            if (r < 0)
                return r;
            batch->rows[last] = NOT_LISTED;
        }
        int r = apply_one(writer, result, &batch->rows[place->index]);
        if (r < 0)
            return r;
        if (!again || !result->tombstone)
            last = place->index;
    }
    return 0;
}

static bool comes_again(const struct batch *batch, size_t at, size_t end)
{
    struct str key = batch->results[batch->places[at].index].key;
    for (size_t i = at + 1; i < end; i++)
        if (str_equal(batch->results[batch->places[i].index].key, key))
            return true;
    return false;
}

/* Results of one event: a tombstone waits for the values of its other places, which then find the
 * row and move it with its links, instead of making both anew. Of one place the order stays. */
static void delay_tombstones(struct batch *batch, size_t begin, size_t end)
{
    struct place late[GROUP_MAX];
    size_t late_count = 0, kept = begin;
    if (end - begin < 2 || end - begin > GROUP_MAX)
        return;
    for (size_t i = begin; i < end; i++) {
        struct place place = batch->places[i];
        if (batch->results[place.index].tombstone && !comes_again(batch, i, end))
            late[late_count++] = place;
        else
            batch->places[kept++] = place;
    }
    memcpy(batch->places + kept, late, late_count * sizeof *late);
}

static void order_groups(struct batch *batch)
{
    size_t begin = 0;
    for (size_t i = 1; i <= batch->places_count; i++) {
        if (i < batch->places_count && batch->places[i].order == batch->places[begin].order)
            continue;
        delay_tombstones(batch, begin, i);
        begin = i;
    }
}

/* Places of the touchpoints, ordered by event key; of one key as order_groups() has them. */
static int arrange(
    struct writer *writer, const struct result *results, size_t count, struct batch *batch)
{
    struct buf *scratch = &writer->scratch;
    size_t places_size = count * sizeof(struct place);
    size_t rows_size = count * sizeof(int64_t);
    buf_clear(scratch);
    int r = buf_reserve(scratch, places_size + rows_size);
    if (r < 0)
        return r;
    *batch = (struct batch){.results = results,
        .places = (struct place *)(void *)scratch->data,
        .rows = (int64_t *)(void *)(scratch->data + places_size)};
    memset(batch->rows, 0, rows_size);
    for (size_t i = 0; i < count; i++) {
        if (results[i].topic != TOPIC_TOUCHPOINTS)
            continue;
        if (results[i].key.size != KEY_WHOLE) {
            r = writer_set_aside(writer, &results[i], ERR_AVRO);
            if (r < 0)
                return r;
            continue;
        }
        batch->places[batch->places_count++] =
            (struct place){get_be64(key_at(&results[i], KEY_EVENT)), i};
    }
    qsort(batch->places, batch->places_count, sizeof(struct place), compare_places);
    order_groups(batch);
    return 0;
}

int writer_touchpoints(struct writer *writer, const struct result *results, size_t count)
{
    struct batch batch;
    int r = count ? arrange(writer, results, count, &batch) : 0;
    if (r < 0 || !count)
        return r;
    r = write_events(writer, &batch);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (batch.rows[i] != NOT_LISTED)
            r = list_in_timeline(writer, &results[i], batch.rows[i]);
    if (r == 0)
        r = writer_bulk_flush(writer, BULK_TIMELINE);
    if (r == 0)
        r = writer_bulk_flush(writer, BULK_TOUCH);
    return r == 0 ? writer_links_flush(writer) : r;
}
