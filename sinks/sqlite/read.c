/*
 * One statement a question.
 */
#include "sinks/sqlite/read_private.h"

#include <stdlib.h>

#include "ingest/normalise/namespace.h"
#include "schemas/error.h"

int reader_open(struct reader **out, const char *path)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return ERR_NO_MEMORY;
    int r = database_open_reader(&reader->db, path);
    if (r < 0) {
        free(reader);
        return r;
    }
    *out = reader;
    return 0;
}

void reader_close(struct reader **reader)
{
    if (!*reader)
        return;
    database_close(&(*reader)->db);
    free(*reader);
    *reader = NULL;
}

static int64_t column_integer(sqlite3_stmt *row, int column)
{
    return sqlite3_column_int64(row, column);
}

/* A key column must be one; else the file was written by somebody else. */
static int column_key(sqlite3_stmt *row, int column, uint8_t out[KEY_SIZE])
{
    struct str bytes = column_text(row, column);
    if (bytes.size != KEY_SIZE)
        return ERR_STATE;
    memcpy(out, bytes.data, KEY_SIZE);
    return 0;
}

static struct str key_str(const uint8_t key[KEY_SIZE])
{
    return str_make(key, KEY_SIZE);
}

/* Steps a bound statement through its rows and finalises it. *count may be NULL. */
static int each(sqlite3_stmt *select, int (*row)(void *context, sqlite3_stmt *row), void *context,
    int64_t *count)
{
    int r = 0;
    int code = SQLITE_DONE;
    int64_t rows = 0;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        r = row(context, select);
        rows++;
    }
    sqlite3_finalize(select);
    if (count)
        *count = rows;
    return r ? r : database_error(code);
}

/* A caller's callback with its context, as the context of a row function. */
struct listener {
    union {
        int (*person)(void *, const struct reader_person *);
        int (*identity)(void *, const struct reader_identity *);
        int (*event)(void *, const struct reader_event *);
        int (*rejection)(void *, const struct reader_rejection *);
        int (*credit)(void *, const struct reader_credit *);
        int (*revenue)(void *, const struct reader_revenue *);
    } found;
    void *context;
};

/* ---- persons ---- */

/* Events of the person that carry the identifier: the person's timeline is all that is read. */
#define IDENTITY_SQL                                                                               \
    "SELECT i.namespace, i.value, i.person, i.why, count(e.event_row), "                           \
    "coalesce(min(e.occurred_at), 0), coalesce(max(e.occurred_at), 0) "                            \
    "FROM identifier AS i LEFT JOIN timeline AS t ON t.person = i.person "                         \
    "LEFT JOIN event AS e ON e.event_row = t.event_row AND EXISTS (SELECT 1 FROM "                 \
    "json_tree(e.identifiers) AS j WHERE j.atom = i.value AND (j.key = i.namespace OR "            \
    "j.path = '$.' || i.namespace OR j.path = '$.\"' || i.namespace || '\"')) "

static int identity_row(void *context, sqlite3_stmt *row)
{
    const struct listener *listener = context;
    struct reader_identity identity = {
        .namespace = column_text(row, 0),
        .value = column_text(row, 1),
        .why = column_text(row, 3),
        .events = column_integer(row, 4),
        .first_at = column_integer(row, 5),
        .last_at = column_integer(row, 6),
    };
    int r = column_key(row, 2, identity.person);
    return r < 0 ? r : listener->found.identity(listener->context, &identity);
}

/* The node of (namespace, value) begins with the namespace's rank, which belongs to the
 * configuration: all ranks are tried, so that a database can be read without it. */
static int find_node(
    struct reader *reader, struct str namespace, struct str value, uint8_t out[KEY_SIZE])
{
    uint8_t digest[32];
    uint8_t node[KEY_SIZE];
    struct sha256 hash;
    sqlite3_stmt *select = NULL;
    sha256_init(&hash);
    sha256_update(&hash, namespace);
    sha256_update(&hash, STR("\x1f"));
    sha256_update(&hash, value);
    sha256_final(&hash, digest);
    memcpy(node + 1, digest, KEY_SIZE - 1);
    int r = database_prepare(reader->db,
        "SELECT 1 FROM identifier WHERE node = ?1 AND namespace = ?2 AND value = ?3", &select);
    if (r < 0)
        return r;
    bind_text(select, 2, namespace);
    bind_text(select, 3, value);
    int code = SQLITE_DONE;
    for (int rank = 0; code == SQLITE_DONE && rank < NAMESPACES_MAX; rank++) {
        node[0] = (uint8_t)(2 * rank);
        bind_blob(select, 1, key_str(node));
        code = sqlite3_step(select);
        sqlite3_reset(select);
    }
    sqlite3_finalize(select);
    if (code == SQLITE_ROW)
        memcpy(out, node, KEY_SIZE);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? READER_ABSENT : database_error(code);
}

int reader_lookup(struct reader *reader, struct str namespace, struct str value,
    int (*found)(void *context, const struct reader_identity *identity), void *context)
{
    uint8_t node[KEY_SIZE];
    struct listener listener = {.found.identity = found, .context = context};
    sqlite3_stmt *select = NULL;
    int r = find_node(reader, namespace, value, node);
    if (r == 0)
        r = database_prepare(reader->db, IDENTITY_SQL "WHERE i.node = ?1 GROUP BY i.node", &select);
    if (r != 0)
        return r;
    bind_blob(select, 1, key_str(node));
    return each(select, identity_row, &listener, NULL);
}

int reader_identifiers(struct reader *reader, const uint8_t person[KEY_SIZE],
    int (*found)(void *context, const struct reader_identity *identity), void *context)
{
    struct listener listener = {.found.identity = found, .context = context};
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        IDENTITY_SQL "WHERE i.person = ?1 GROUP BY i.node ORDER BY i.namespace, i.value", &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, key_str(person));
    return each(select, identity_row, &listener, NULL);
}

static int person_row(void *context, sqlite3_stmt *row)
{
    const struct listener *listener = context;
    struct reader_person person = {
        .first_at = column_integer(row, 1),
        .last_at = column_integer(row, 2),
        .events = column_integer(row, 3),
        .sessions = column_integer(row, 4),
        .touches = column_integer(row, 5),
        .conversions = column_integer(row, 6),
        .refunds = column_integer(row, 7),
        .truncated = column_integer(row, 8) != 0,
        .net_revenue = column_text(row, 9),
    };
    int r = column_key(row, 0, person.person);
    return r < 0 ? r : listener->found.person(listener->context, &person);
}

int reader_get_person(struct reader *reader, const uint8_t person[KEY_SIZE],
    int (*found)(void *context, const struct reader_person *person), void *context)
{
    struct listener listener = {.found.person = found, .context = context};
    sqlite3_stmt *select = NULL;
    int64_t rows;
    int r = database_prepare(reader->db,
        "SELECT person, first_at, last_at, events, sessions, touches, conversions, refunds, "
        "truncated, net_revenue_by_currency FROM person WHERE person = ?1",
        &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, key_str(person));
    r = each(select, person_row, &listener, &rows);
    return r == 0 && rows == 0 ? READER_ABSENT : r;
}

static int key_row(void *context, sqlite3_stmt *row)
{
    return column_key(row, 0, context);
}

int reader_telling_person(struct reader *reader, uint8_t person[KEY_SIZE])
{
    sqlite3_stmt *select = NULL;
    int64_t rows;
    int r = database_prepare(reader->db,
        "SELECT p.person FROM person AS p JOIN (SELECT person, count(DISTINCT channel) AS channels "
        "FROM touch GROUP BY person) AS t USING (person) "
        "ORDER BY p.conversions > 0 DESC, t.channels DESC, p.events DESC, p.person LIMIT 1",
        &select);
    if (r < 0)
        return r;
    r = each(select, key_row, person, &rows);
    return r == 0 && rows == 0 ? READER_ABSENT : r;
}

/* ---- timeline ---- */

#define TIMELINE_SQL                                                                               \
    "SELECT e.occurred_at, e.sequence, e.event_key, e.type, e.source, e.event_id, e.channel, "     \
    "e.touch, e.session_key, e.page_path, e.campaign_name, e.order_id, e.order_facet, "            \
    "e.store_id, e.call_id, e.message_kind, e.device_kind, e.detail, e.revenue_minor, "            \
    "e.currency, c.kind, c.conversion_id, c.revenue_minor, c.currency, c.path_length, "            \
    "c.refund_of, o.occurred_at, (SELECT group_concat(value, ', ') "                               \
    "FROM json_each(e.properties, '$.\"$malformed\"')) "                                           \
    "FROM timeline AS t JOIN event AS e ON e.event_row = t.event_row "                             \
    "LEFT JOIN conversion AS c ON c.person = t.person AND c.event_key = e.event_key "              \
    "LEFT JOIN conversion AS o ON o.person = c.person AND o.conversion_id = c.refund_of "          \
    "WHERE t.person = ?1 "

static const char timeline_up[] =
    TIMELINE_SQL "AND (?2 IS NULL OR (t.occurred_at >= ?2 AND (t.occurred_at, t.sequence, "
                 "e.event_key) > (?2, ?3, ?4))) ORDER BY t.occurred_at, t.sequence, e.event_key "
                 "LIMIT ?5";
static const char timeline_down[] =
    TIMELINE_SQL "AND (?2 IS NULL OR (t.occurred_at <= ?2 AND (t.occurred_at, t.sequence, "
                 "e.event_key) < (?2, ?3, ?4))) ORDER BY t.occurred_at DESC, t.sequence DESC, "
                 "e.event_key DESC LIMIT ?5";

static int event_row(void *context, sqlite3_stmt *row)
{
    const struct listener *listener = context;
    struct reader_event event = {
        .place.occurred_at = column_integer(row, 0),
        .place.sequence = column_integer(row, 1),
        .type = column_text(row, 3),
        .source = column_text(row, 4),
        .event_id = column_text(row, 5),
        .channel = column_text(row, 6),
        .touch = column_text(row, 7),
        .session_key = column_text(row, 8),
        .page_path = column_text(row, 9),
        .campaign = column_text(row, 10),
        .order_id = column_text(row, 11),
        .order_facet = column_text(row, 12),
        .store_id = column_text(row, 13),
        .call_id = column_text(row, 14),
        .message_kind = column_text(row, 15),
        .device_kind = column_text(row, 16),
        .detail = column_text(row, 17),
        .has_revenue = sqlite3_column_type(row, 18) != SQLITE_NULL,
        .revenue_minor = column_integer(row, 18),
        .currency = column_text(row, 19),
        .conversion_kind = column_text(row, 20),
        .conversion_id = column_text(row, 21),
        .conversion_minor = column_integer(row, 22),
        .conversion_currency = column_text(row, 23),
        .path_length = column_integer(row, 24),
        .refund_of = column_text(row, 25),
        .refunded_at = column_integer(row, 26),
        .malformed = column_text(row, 27),
    };
    int r = column_key(row, 2, event.place.event_key);
    return r < 0 ? r : listener->found.event(listener->context, &event);
}

int reader_timeline(struct reader *reader, const uint8_t person[KEY_SIZE],
    const struct reader_page *page, int (*found)(void *context, const struct reader_event *event),
    void *context)
{
    struct listener listener = {.found.event = found, .context = context};
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db, page->newest_first ? timeline_down : timeline_up, &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, key_str(person));
    if (page->after) {
        sqlite3_bind_int64(select, 2, page->after->occurred_at);
        sqlite3_bind_int64(select, 3, page->after->sequence);
        bind_blob(select, 4, key_str(page->after->event_key));
    }
    sqlite3_bind_int64(select, 5, page->limit ? page->limit : -1);
    return each(select, event_row, &listener, NULL);
}

/* ---- rejected ---- */

#define REJECTED_SQL                                                                               \
    "SELECT rejected_key, source, stage, reason, pointer, hint, event_id, file, line, "            \
    "received_at, length(payload)"

static int rejection_row(void *context, sqlite3_stmt *row)
{
    const struct listener *listener = context;
    struct reader_rejection rejection = {
        .source = column_text(row, 1),
        .stage = column_text(row, 2),
        .reason = column_text(row, 3),
        .pointer = column_text(row, 4),
        .hint = column_text(row, 5),
        .event_id = column_text(row, 6),
        .file = column_text(row, 7),
        .line = column_integer(row, 8),
        .received_at = column_integer(row, 9),
        .payload_size = column_integer(row, 10),
    };
    if (sqlite3_column_count(row) > 11)
        rejection.payload = column_text(row, 11);
    int r = column_key(row, 0, rejection.rejected_key);
    return r < 0 ? r : listener->found.rejection(listener->context, &rejection);
}

int reader_rejected(struct reader *reader, const struct reader_rejections *filter,
    int (*found)(void *context, const struct reader_rejection *rejection), void *context)
{
    struct listener listener = {.found.rejection = found, .context = context};
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        REJECTED_SQL
        " FROM rejected WHERE (?1 = '' OR reason = ?1) AND (?2 = '' OR source = ?2) "
        "AND (?3 = '' OR stage = ?3) AND (?5 = '' OR event_id = ?5) AND (?6 = 0 OR received_at "
        ">= ?6) AND (?7 = 0 OR received_at < ?7) ORDER BY received_at DESC, "
        "rejected_key LIMIT ?4",
        &select);
    if (r < 0)
        return r;
    bind_text(select, 1, filter->reason);
    bind_text(select, 2, filter->source);
    bind_text(select, 3, filter->stage);
    sqlite3_bind_int64(select, 4, filter->limit ? filter->limit : -1);
    bind_text(select, 5, filter->event_id);
    sqlite3_bind_int64(select, 6, filter->from);
    sqlite3_bind_int64(select, 7, filter->until);
    return each(select, rejection_row, &listener, NULL);
}

int reader_rejection_attempt(struct reader *reader, const uint8_t key[KEY_SIZE], uint32_t *attempt)
{
    sqlite3_stmt *select = NULL;
    int64_t found = 0;
    int r = database_prepare(
        reader->db, "SELECT attempt FROM sink_rejection WHERE rejected_key = ?1", &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, key_str(key));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        found = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    *attempt = (uint32_t)found;
    return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : database_error(code);
}

int reader_get_rejection(struct reader *reader, const uint8_t key[KEY_SIZE],
    int (*found)(void *context, const struct reader_rejection *rejection), void *context)
{
    struct listener listener = {.found.rejection = found, .context = context};
    sqlite3_stmt *select = NULL;
    int64_t rows;
    int r = database_prepare(
        reader->db, REJECTED_SQL ", payload FROM rejected WHERE rejected_key = ?1", &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, key_str(key));
    r = each(select, rejection_row, &listener, &rows);
    return r == 0 && rows == 0 ? READER_ABSENT : r;
}

/* ---- sums ---- */

static int credit_row(void *context, sqlite3_stmt *row)
{
    const struct listener *listener = context;
    struct reader_credit credit = {
        .model = column_text(row, 0),
        .channel = column_text(row, 1),
        .currency = column_text(row, 2),
        .weight_ppb = column_integer(row, 3),
        .revenue_minor = column_integer(row, 4),
    };
    return listener->found.credit(listener->context, &credit);
}

#define CREDITED_MINOR DATABASE_SUM_MINOR("credited_revenue_minor")

int reader_channels(struct reader *reader,
    int (*found)(void *context, const struct reader_credit *credit), void *context)
{
    struct listener listener = {.found.credit = found, .context = context};
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        "SELECT model, channel, currency, sum(weight_ppb), " CREDITED_MINOR
        " FROM attribution_credit GROUP BY currency, channel, model",
        &select);
    return r < 0 ? r : each(select, credit_row, &listener, NULL);
}

static int totals_row(void *context, sqlite3_stmt *row)
{
    *(struct reader_totals *)context = (struct reader_totals){
        .events = column_integer(row, 0),
        .touches = column_integer(row, 1),
        .persons = column_integer(row, 2),
        .identifiers = column_integer(row, 3),
        .sessions = column_integer(row, 4),
        .conversions = column_integer(row, 5),
        .refunds = column_integer(row, 6),
        .unattributed = column_integer(row, 7),
        .open_paths = column_integer(row, 8),
        .rejected = column_integer(row, 9),
        .set_aside = column_integer(row, 10),
    };
    return 0;
}

int reader_get_totals(struct reader *reader, struct reader_totals *out)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        "SELECT (SELECT count(*) FROM timeline), (SELECT count(*) FROM touch), "
        "(SELECT count(*) FROM person), (SELECT count(*) FROM identifier), "
        "(SELECT count(*) FROM session), count(*) FILTER (WHERE kind <> 'refund'), "
        "count(*) FILTER (WHERE kind = 'refund'), "
        "count(*) FILTER (WHERE kind <> 'refund' AND path_length = 0), "
        "(SELECT count(*) FROM path WHERE kind = 'open'), (SELECT count(*) FROM rejected), "
        "(SELECT count(*) FROM sink_rejected) FROM conversion",
        &select);
    return r < 0 ? r : each(select, totals_row, out, NULL);
}

static int revenue_row(void *context, sqlite3_stmt *row)
{
    const struct listener *listener = context;
    struct reader_revenue revenue = {
        .currency = column_text(row, 0),
        .gross_minor = column_integer(row, 1),
        .refunded_minor = column_integer(row, 2),
    };
    return listener->found.revenue(listener->context, &revenue);
}

#define GROSS_MINOR DATABASE_SUM_MINOR("(revenue_minor * (kind <> 'refund'))")
#define REFUNDED_MINOR DATABASE_SUM_MINOR("(revenue_minor * (kind = 'refund'))")

int reader_revenue(struct reader *reader,
    int (*found)(void *context, const struct reader_revenue *revenue), void *context)
{
    struct listener listener = {.found.revenue = found, .context = context};
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        "SELECT currency, " GROSS_MINOR ", " REFUNDED_MINOR " FROM conversion GROUP BY currency",
        &select);
    return r < 0 ? r : each(select, revenue_row, &listener, NULL);
}
