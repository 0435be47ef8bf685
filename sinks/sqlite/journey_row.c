/*
 * Rows of session, conversion with its credits and path, person with its open path, identifier and
 * rejected: each result replaces all rows that stand for its key, or takes them away.
 */
#include "enrich/attribution/credit.h"
#include "enrich/attribution/rules.h"
#include "ingest/rejection.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/json.h"
#include "schemas/person_of.avro.h"
#include "schemas/profile.avro.h"
#include "schemas/rejected.avro.h"
#include "schemas/session.avro.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/writer.h"

/* A conversion id longer than this stands in the key as the start of its SHA-256. */
#define CONVERSION_ID_KEY_MAX 200
#define CONVERSION_ID_HASH_SIZE 16

#define UNATTRIBUTED STR("(unattributed)")
#define ARROW STR(" > ")
#define PATH_CONVERTING STR("converting")
#define PATH_OPEN STR("open")

/* ---- session ---- */

static int put_session(struct writer *writer, const struct session *session)
{
    sqlite3_stmt *put;
    int r = writer_statement(writer, STATEMENT_SESSION_PUT, &put);
    if (r < 0)
        return r;
    bind_blob(put, 1, str_make(session->person, KEY_SIZE));
    bind_blob(put, 2, str_make(session->session_key, KEY_SIZE));
    sqlite3_bind_int64(put, 3, session->started_at);
    sqlite3_bind_int64(put, 4, session->ended_at);
    sqlite3_bind_int64(put, 5, session->events);
    sqlite3_bind_int64(put, 6, session->page_views);
    bind_text_or_null(put, 7, session->channel);
    bind_text_or_null(put, 8, session->source);
    bind_text_or_null(put, 9, session->medium);
    bind_text_or_null(put, 10, session->campaign);
    bind_text_or_null(put, 11, session->landing_host);
    bind_text_or_null(put, 12, session->landing_path);
    bind_text_or_null(put, 13, session->device_kind);
    return writer_step(writer, put);
}

int writer_session(struct writer *writer, const struct result *result)
{
    struct session session;
    if (result->key.size != 2 * KEY_SIZE)
        return ERR_AVRO;
    if (result->tombstone) {
        sqlite3_stmt *delete;
        int r = writer_statement(writer, STATEMENT_SESSION_DELETE, &delete);
        if (r < 0)
            return r;
        bind_blob(delete, 1, str_make(result->key.data, KEY_SIZE));
        bind_blob(delete, 2, str_make(result->key.data + KEY_SIZE, KEY_SIZE));
        return writer_step(writer, delete);
    }
    int r = session_decode(&session, result->value, &writer->arena);
    if (r < 0)
        return r;
    if (memcmp(result->key.data, session.person, KEY_SIZE) != 0 ||
        memcmp(result->key.data + KEY_SIZE, session.session_key, KEY_SIZE) != 0)
        return ERR_AVRO;
    return put_session(writer, &session);
}

/* ---- conversion ---- */

/* A conversion's row as it stands. */
struct standing {
    int64_t hash;
    int64_t credit_first;
    int64_t credit_count;
};

/* 0 and *out, or STATE_ABSENT. */
static int find_conversion(
    struct writer *writer, struct str person, struct str conversion_id, struct standing *out)
{
    sqlite3_stmt *select;
    int r = writer_statement(writer, STATEMENT_CONVERSION_FIND, &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, person);
    bind_text(select, 2, conversion_id);
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        *out = (struct standing){sqlite3_column_int64(select, 0), sqlite3_column_int64(select, 1),
            sqlite3_column_int64(select, 2)};
    sqlite3_reset(select);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? STATE_ABSENT : database_error(code);
}

static int delete_path(
    struct writer *writer, struct str person, struct str kind, struct str path_key)
{
    sqlite3_stmt *delete;
    int r = writer_statement(writer, STATEMENT_PATH_DELETE, &delete);
    if (r < 0)
        return r;
    bind_blob(delete, 1, person);
    bind_text(delete, 2, kind);
    bind_text(delete, 3, path_key);
    return writer_step(writer, delete);
}

/* All rows of a conversion that stands. */
static int remove_conversion(struct writer *writer, struct str person, struct str conversion_id,
    const struct standing *standing)
{
    sqlite3_stmt *delete;
    int r = writer_statement(writer, STATEMENT_CREDIT_DELETE, &delete);
    if (r < 0)
        return r;
    sqlite3_bind_int64(delete, 1, standing->credit_first);
    sqlite3_bind_int64(delete, 2, standing->credit_first + standing->credit_count);
    r = writer_step(writer, delete);
    if (r == 0)
        r = writer_statement(writer, STATEMENT_CONVERSION_DELETE, &delete);
    if (r < 0)
        return r;
    bind_blob(delete, 1, person);
    bind_text(delete, 2, conversion_id);
    r = writer_step(writer, delete);
    return r == 0 ? delete_path(writer, person, PATH_CONVERTING, conversion_id) : r;
}

/* The long id whose hash stands in a key: 0 and *id, copied to the arena, or STATE_ABSENT. */
static int find_long_id(struct writer *writer, struct str person, struct str hash, struct str *id)
{
    sqlite3_stmt *select;
    int r = writer_statement(writer, STATEMENT_CONVERSION_LONG, &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, person);
    sqlite3_bind_int(select, 2, CONVERSION_ID_KEY_MAX);
    int code;
    bool found = false;
    while (!found && (code = sqlite3_step(select)) == SQLITE_ROW) {
        uint8_t digest[32];
        struct sha256 sha;
        struct str text = column_text(select, 0);
        sha256_init(&sha);
        sha256_update(&sha, text);
        sha256_final(&sha, digest);
        found = memcmp(digest, hash.data, CONVERSION_ID_HASH_SIZE) == 0;
        r = found ? arena_dup(&writer->arena, text, id) : 0;
    }
    sqlite3_reset(select);
    if (found)
        return r;
    return code == SQLITE_DONE ? STATE_ABSENT : database_error(code);
}

static int bury_conversion(struct writer *writer, const struct result *result)
{
    struct str person = str_make(result->key.data, KEY_SIZE);
    struct str id = str_make(result->key.data + KEY_SIZE, result->key.size - KEY_SIZE);
    struct standing standing;
    int r = find_conversion(writer, person, id, &standing);
    if (r == STATE_ABSENT && id.size == CONVERSION_ID_HASH_SIZE) {
        r = find_long_id(writer, person, id, &id);
        if (r == 0)
            r = find_conversion(writer, person, id, &standing);
    }
    if (r != 0)
        return r < 0 ? r : 0;
    return remove_conversion(writer, person, id, &standing);
}

static void bind_conversion(sqlite3_stmt *insert, const struct conversion *conversion)
{
    size_t length = conversion->touches_count;
    bind_blob(insert, 1, str_make(conversion->person, KEY_SIZE));
    bind_text(insert, 2, conversion->conversion_id);
    bind_text(insert, 3, str_of(conversion_kind_name(conversion->kind)));
    bind_blob(insert, 4, str_make(conversion->event_key, KEY_SIZE));
    bind_text(insert, 5, conversion->type);
    bind_text_or_null(insert, 6, conversion->order_id);
    bind_text_or_null(insert, 7, conversion->refund_of);
    sqlite3_bind_int64(insert, 8, conversion->occurred_at);
    sqlite3_bind_int64(insert, 9, conversion->revenue_minor);
    bind_text_or_null(insert, 10, conversion->currency);
    sqlite3_bind_int64(insert, 11, (int64_t)length);
    if (length) {
        sqlite3_bind_int64(insert, 12, conversion->touches[0].touched_at);
        sqlite3_bind_int64(insert, 13, conversion->touches[length - 1].touched_at);
    }
    sqlite3_bind_int64(insert, 16, (int64_t)conversion->credits_count);
    sqlite3_bind_int(insert, 17, conversion->reset_from);
}

/* Returns 1 when the row was new, 0 when one stands already. Its credits come at credit_next. */
static int insert_conversion(
    struct writer *writer, const struct conversion *conversion, int64_t hash)
{
    sqlite3_stmt *insert;
    int r = writer_statement(writer, STATEMENT_CONVERSION_INSERT, &insert);
    if (r < 0)
        return r;
    bind_conversion(insert, conversion);
    sqlite3_bind_int64(insert, 14, hash);
    sqlite3_bind_int64(insert, 15, writer->credit_next);
    r = writer_step(writer, insert);
    return r < 0 ? r : sqlite3_changes64(writer->db) > 0;
}

/* Where credits are appended; only this connection writes, so it is asked for once. */
static int know_credit_next(struct writer *writer)
{
    sqlite3_stmt *select;
    if (writer->credit_next)
        return 0;
    int r = writer_statement(writer, STATEMENT_CREDIT_LAST, &select);
    if (r < 0)
        return r;
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        writer->credit_next = sqlite3_column_int64(select, 0) + 1;
    sqlite3_reset(select);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? ERR_STATE : database_error(code);
}

/* The weights of the model's credits that begin at *at, which is then behind them. Errors:
 * ERR_VALUE. */
static int sum_weights(const struct conversion *conversion, size_t *at, uint64_t *sum)
{
    const struct credit *first = &conversion->credits[*at];
    for (*sum = 0; *at < conversion->credits_count; ++*at) {
        const struct credit *credit = &conversion->credits[*at];
        if (credit->model != first->model || !str_equal(credit->name, first->name))
            break;
        if (credit->weight < 0 || __builtin_add_overflow(*sum, (uint64_t)credit->weight, sum))
            return ERR_VALUE;
    }
    return 0;
}

static void set_rests(struct bulk_cell *row, const struct conversion *conversion,
    const struct credit *credit, uint64_t sum)
{
    uint64_t weight = (uint64_t)credit->weight;
    bool converts = conversion->kind != CONVERSION_KIND_REFUND;
    row[10] = bulk_real(
        sum && converts ? split_rest(CREDIT_WHOLE_PPB, weight, sum, credit->weight_ppb) : 0);
    row[11] = bulk_real(
        sum ? split_rest(conversion->revenue_minor, weight, sum, credit->revenue_minor) : 0);
}

static int insert_credits(struct writer *writer, const struct conversion *conversion)
{
    size_t end = 0;
    uint64_t weights = 0;
    struct bulk *bulk;
    int r = writer_bulk(writer, BULK_CREDIT, &bulk);
    if (r < 0)
        return r;
    for (size_t i = 0; i < conversion->credits_count; i++) {
        r = i == end ? sum_weights(conversion, &end, &weights) : 0;
        if (r < 0)
            return r;
        const struct credit *credit = &conversion->credits[i];
        const struct path_touch *touch =
            credit->touch_index < 0 ? NULL : &conversion->touches[credit->touch_index];
        struct bulk_cell *row;
        r = bulk_row(bulk, &row);
        if (r < 0)
            return r;
        row[0] = bulk_integer(writer->credit_next++);
        row[1] = bulk_blob(str_make(conversion->person, KEY_SIZE));
        row[2] = bulk_text(conversion->conversion_id);
        row[3] =
            bulk_text(credit->name.size ? credit->name : str_of(rule_model_name(credit->model)));
        row[4] = bulk_integer(credit->touch_index);
        if (touch)
            row[5] = bulk_blob(str_make(touch->event_key, KEY_SIZE));
        row[6] = bulk_text(touch ? touch->channel : UNATTRIBUTED);
        row[7] = bulk_integer(credit->weight_ppb);
        row[8] = bulk_integer(credit->revenue_minor);
        row[9] = bulk_text_or_null(conversion->currency);
        set_rests(row, conversion, credit, weights);
    }
    return bulk_flush(bulk);
}

/* A path as it is bound; channels stand in writer->text. */
struct path {
    struct str person;
    struct str kind;
    struct str path_key;
    size_t touches;
    bool converts;
    int64_t revenue_minor;
    struct str currency;
    int64_t started_at;
    int64_t ended_at;
    int64_t lead, opportunity; /* indexes of touches; negative: none */
    struct str milestones;     /* a letter a touch, or empty */
};

static int put_path(struct writer *writer, const struct path *path)
{
    sqlite3_stmt *put;
    int r = writer_statement(writer, STATEMENT_PATH_PUT, &put);
    if (r < 0)
        return r;
    bind_blob(put, 1, path->person);
    bind_text(put, 2, path->kind);
    bind_text(put, 3, path->path_key);
    bind_text(put, 4, buf_str(&writer->text));
    sqlite3_bind_int64(put, 5, (int64_t)path->touches);
    sqlite3_bind_int(put, 6, path->converts);
    sqlite3_bind_int64(put, 7, path->revenue_minor);
    bind_text_or_null(put, 8, path->currency);
    if (path->touches)
        sqlite3_bind_int64(put, 9, path->started_at);
    sqlite3_bind_int64(put, 10, path->ended_at);
    if (path->lead >= 0)
        sqlite3_bind_int64(put, 11, path->lead);
    if (path->opportunity >= 0)
        sqlite3_bind_int64(put, 12, path->opportunity);
    bind_text_or_null(put, 13, path->milestones);
    return writer_step(writer, put);
}

static int append_channel(struct buf *text, size_t index, struct str channel)
{
    int r = index ? buf_append_str(text, ARROW) : 0;
    return r == 0 ? buf_append_str(text, channel) : r;
}

static int64_t first_with(const struct conversion *conversion, int32_t milestone)
{
    for (size_t i = 0; i < conversion->touches_count; i++)
        if (conversion->touches[i].milestones & milestone)
            return (int64_t)i;
    return -1;
}

/* A letter a touch, where any is a milestone. */
static int spell_milestones(
    struct writer *writer, const struct conversion *conversion, struct str *out)
{
    uint32_t any = 0;
    *out = (struct str){0};
    for (size_t i = 0; i < conversion->touches_count; i++)
        any |= (uint32_t)conversion->touches[i].milestones;
    if (!(any & (RULE_TOUCH_LEAD | RULE_TOUCH_OPPORTUNITY)))
        return 0;
    char *letters = arena_alloc(&writer->arena, conversion->touches_count);
    if (!letters)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < conversion->touches_count; i++) {
        uint32_t milestones = (uint32_t)conversion->touches[i].milestones;
        bool lead = milestones & RULE_TOUCH_LEAD;
        bool opportunity = milestones & RULE_TOUCH_OPPORTUNITY;
        letters[i] = lead && opportunity ? 'B' : lead ? 'L' : opportunity ? 'O' : '-';
    }
    *out = str_make(letters, conversion->touches_count);
    return 0;
}

static int put_converting_path(struct writer *writer, const struct conversion *conversion)
{
    struct str milestones;
    int r = spell_milestones(writer, conversion, &milestones);
    buf_clear(&writer->text);
    for (size_t i = 0; r == 0 && i < conversion->touches_count; i++)
        r = append_channel(&writer->text, i, conversion->touches[i].channel);
    if (r < 0)
        return r;
    struct path path = {
        .person = str_make(conversion->person, KEY_SIZE),
        .kind = PATH_CONVERTING,
        .path_key = conversion->conversion_id,
        .touches = conversion->touches_count,
        .converts = true,
        .revenue_minor = conversion->revenue_minor,
        .currency = conversion->currency,
        .started_at = conversion->touches_count ? conversion->touches[0].touched_at : 0,
        .ended_at = conversion->occurred_at,
        .lead = first_with(conversion, RULE_TOUCH_LEAD),
        .opportunity = first_with(conversion, RULE_TOUCH_OPPORTUNITY),
        .milestones = milestones,
    };
    return put_path(writer, &path);
}

static int put_conversion(struct writer *writer, const struct conversion *conversion, int64_t hash)
{
    struct str person = str_make(conversion->person, KEY_SIZE);
    struct standing standing;
    int r = writer_currency(writer, conversion->currency);
    if (r == 0)
        r = know_credit_next(writer);
    if (r == 0)
        r = insert_conversion(writer, conversion, hash);
    if (r == 0) {
        r = find_conversion(writer, person, conversion->conversion_id, &standing);
        if (r != 0 || standing.hash == hash)
            return r > 0 ? ERR_STATE : r;
        r = remove_conversion(writer, person, conversion->conversion_id, &standing);
        if (r == 0)
            r = insert_conversion(writer, conversion, hash);
    }
    if (r < 0)
        return r;
    r = insert_credits(writer, conversion);
    if (r == 0 && conversion->kind != CONVERSION_KIND_REFUND)
        r = put_converting_path(writer, conversion);
    return r;
}

/* Holds what insert_credits() takes for granted, and that key and value speak of one row. */
static int check_conversion(const struct result *result, const struct conversion *conversion)
{
    struct str id = str_make(result->key.data + KEY_SIZE, result->key.size - KEY_SIZE);
    if (memcmp(result->key.data, conversion->person, KEY_SIZE) != 0)
        return ERR_AVRO;
    if (conversion->conversion_id.size <= CONVERSION_ID_KEY_MAX &&
        !str_equal(id, conversion->conversion_id))
        return ERR_AVRO;
    for (size_t i = 0; i < conversion->credits_count; i++) {
        int32_t index = conversion->credits[i].touch_index;
        if (index < -1 || (index >= 0 && (size_t)index >= conversion->touches_count))
            return ERR_VALUE;
    }
    uint64_t sum;
    int r = 0;
    for (size_t at = 0; r == 0 && at < conversion->credits_count;)
        r = sum_weights(conversion, &at, &sum);
    return r;
}

int writer_conversion(struct writer *writer, const struct result *result)
{
    struct conversion conversion;
    if (result->key.size <= KEY_SIZE)
        return ERR_AVRO;
    if (result->tombstone)
        return bury_conversion(writer, result);
    int r = conversion_decode(&conversion, result->value, &writer->arena);
    if (r == 0)
        r = check_conversion(result, &conversion);
    return r == 0 ? put_conversion(writer, &conversion, (int64_t)hash64(result->value)) : r;
}

/* ---- profile: person and open path ---- */

static int write_revenue(struct buf *text, const struct profile *profile)
{
    int r = buf_append(text, "{", 1);
    for (size_t i = 0; r == 0 && i < profile->revenue_count; i++) {
        if (i)
            r = buf_append(text, ",", 1);
        if (r == 0)
            r = json_write_text(text, profile->revenue[i].currency);
        if (r == 0)
            r = buf_append(text, ":", 1);
        if (r == 0)
            r = json_write_int(text, profile->revenue[i].net_minor);
    }
    return r == 0 ? buf_append(text, "}", 1) : r;
}

static int put_person(struct writer *writer, const struct profile *profile)
{
    sqlite3_stmt *put;
    buf_clear(&writer->text);
    int r = write_revenue(&writer->text, profile);
    for (size_t i = 0; r == 0 && i < profile->revenue_count; i++)
        r = writer_currency(writer, profile->revenue[i].currency);
    if (r == 0)
        r = writer_statement(writer, STATEMENT_PERSON_PUT, &put);
    if (r < 0)
        return r;
    bind_blob(put, 1, str_make(profile->person, KEY_SIZE));
    sqlite3_bind_int64(put, 2, profile->first_at);
    sqlite3_bind_int64(put, 3, profile->last_at);
    sqlite3_bind_int64(put, 4, profile->events);
    sqlite3_bind_int64(put, 5, profile->sessions);
    sqlite3_bind_int64(put, 6, profile->touches);
    sqlite3_bind_int64(put, 7, profile->conversions);
    sqlite3_bind_int64(put, 8, profile->refunds);
    sqlite3_bind_int(put, 9, profile->truncated);
    if (profile->revenue_count == 1) {
        sqlite3_bind_int64(put, 10, profile->revenue[0].net_minor);
        bind_text_or_null(put, 11, profile->revenue[0].currency);
    }
    bind_text(put, 12, buf_str(&writer->text));
    return writer_step(writer, put);
}

static int put_open_path(struct writer *writer, const struct profile *profile)
{
    struct str person = str_make(profile->person, KEY_SIZE);
    size_t count = profile->open_path_count;
    int r = 0;
    if (!count)
        return delete_path(writer, person, PATH_OPEN, STR(""));
    buf_clear(&writer->text);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = append_channel(&writer->text, i, profile->open_path[i].channel);
    if (r < 0)
        return r;
    struct path path = {
        .person = person,
        .kind = PATH_OPEN,
        .path_key = STR(""),
        .touches = count,
        .started_at = profile->open_path[0].touched_at,
        .ended_at = profile->open_path[count - 1].touched_at,
        .lead = -1,
        .opportunity = -1,
    };
    return put_path(writer, &path);
}

int writer_profile(struct writer *writer, const struct result *result)
{
    struct profile profile;
    if (result->key.size != KEY_SIZE)
        return ERR_AVRO;
    if (result->tombstone) {
        sqlite3_stmt *delete;
        int r = writer_statement(writer, STATEMENT_PERSON_DELETE, &delete);
        if (r < 0)
            return r;
        bind_blob(delete, 1, result->key);
        r = writer_step(writer, delete);
        return r == 0 ? delete_path(writer, result->key, PATH_OPEN, STR("")) : r;
    }
    int r = profile_decode(&profile, result->value, &writer->arena);
    if (r == 0 && memcmp(result->key.data, profile.person, KEY_SIZE) != 0)
        r = ERR_AVRO;
    if (r == 0)
        r = put_person(writer, &profile);
    return r == 0 ? put_open_path(writer, &profile) : r;
}

/* ---- identifier ---- */

/* A pair of a key rotation: like one that an event shows, but the newer pseudonym stands for the
 * event. */
static int put_rotation(struct writer *writer, const struct person_of *of)
{
    sqlite3_stmt *put;
    bool newer_first = memcmp(of->node, of->older, KEY_SIZE) < 0;
    int r = of->has_older ? writer_statement(writer, STATEMENT_LINK_PUT, &put) : 0;
    if (r < 0 || !of->has_older)
        return r;
    bind_blob(put, 1, str_make(newer_first ? of->older : of->node, KEY_SIZE));
    bind_blob(put, 2, str_make(newer_first ? of->node : of->older, KEY_SIZE));
    sqlite3_bind_int64(put, 3, of->rotated_at);
    bind_blob(put, 4, str_make(of->node, KEY_SIZE));
    return writer_step(writer, put);
}

/* How many events the node had refused as far as the table knows. */
static int find_refused(struct writer *writer, const uint8_t node[KEY_SIZE], int64_t *out)
{
    sqlite3_stmt *find;
    int r = writer_statement(writer, STATEMENT_REFUSED_FIND, &find);
    if (r < 0)
        return r;
    bind_blob(find, 1, str_make(node, KEY_SIZE));
    int code = sqlite3_step(find);
    *out = code == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    return database_error(code);
}

static int put_suppressed(struct writer *writer, const struct person_of *of)
{
    sqlite3_stmt *put;
    int r = writer_statement(writer, STATEMENT_SUPPRESSED_PUT, &put);
    if (r < 0)
        return r;
    bind_blob(put, 1, str_make(of->node, KEY_SIZE));
    bind_text(put, 2, of->namespace);
    sqlite3_bind_int64(put, 3, of->erased_at);
    sqlite3_bind_int64(put, 4, of->lifted_at);
    return writer_step(writer, put);
}

/* Not of an identifier: since when a node is suppressed, and how many events it has refused. */
static int put_refused(struct writer *writer, const struct result *result)
{
    struct person_of of;
    sqlite3_stmt *put;
    int64_t before = 0;
    if (result->tombstone)
        return ERR_AVRO; /* no such count ends */
    int r = person_of_decode(&of, result->value, &writer->arena);
    if (r == 0 && of.has_erased_at)
        r = put_suppressed(writer, &of);
    if (r < 0 || of.epoch == 0)
        return r;
    r = find_refused(writer, of.node, &before);
    if (r == 0)
        r = writer_statement(writer, STATEMENT_REFUSED_PUT, &put);
    if (r < 0)
        return r;
    *writer->refused_count += of.epoch > before ? (uint64_t)(of.epoch - before) : 0;
    bind_blob(put, 1, str_make(of.node, KEY_SIZE));
    bind_text(put, 2, of.namespace);
    sqlite3_bind_int64(put, 3, of.epoch);
    return writer_step(writer, put);
}

int writer_identifier(struct writer *writer, const struct result *result)
{
    struct person_of of;
    sqlite3_stmt *statement;
    if (result->key.size == KEY_SIZE + 1)
        return put_refused(writer, result);
    if (result->key.size != KEY_SIZE)
        return ERR_AVRO;
    if (result->tombstone) {
        int r = writer_links_delete(writer, result->key);
        if (r == 0)
            r = writer_statement(writer, STATEMENT_IDENTIFIER_DELETE, &statement);
        if (r < 0)
            return r;
        bind_blob(statement, 1, result->key);
        return writer_step(writer, statement);
    }
    int r = person_of_decode(&of, result->value, &writer->arena);
    if (r == 0 && memcmp(result->key.data, of.node, KEY_SIZE) != 0)
        r = ERR_AVRO;
    if (r == 0)
        r = put_rotation(writer, &of);
    if (r == 0)
        r = writer_statement(writer, STATEMENT_IDENTIFIER_PUT, &statement);
    if (r < 0)
        return r;
    bind_blob(statement, 1, result->key);
    bind_text(statement, 2, of.namespace);
    bind_text(statement, 3, of.value);
    bind_blob(statement, 4, str_make(of.person, KEY_SIZE));
    bind_text(statement, 5, of.why);
    bind_blob(statement, 6, of.has_root ? str_make(of.root, KEY_SIZE) : result->key);
    bind_blob(statement, 7, str_make(of.has_own ? of.own : of.person, KEY_SIZE));
    sqlite3_bind_int64(statement, 8, of.epoch);
    return writer_step(writer, statement);
}

/* ---- rejected ---- */

static int put_rejected(struct writer *writer, const struct rejected *rejected)
{
    sqlite3_stmt *put;
    int r = writer_statement(writer, STATEMENT_REJECTED_PUT, &put);
    if (r < 0)
        return r;
    bind_blob(put, 1, str_make(rejected->rejected_key, KEY_SIZE));
    bind_text(put, 2, rejected->source);
    bind_text(put, 3, rejected->stage);
    bind_text(put, 4, rejected->reason);
    bind_text_or_null(put, 5, rejected->pointer);
    bind_text_or_null(put, 6, rejected->hint);
    bind_blob(put, 7, rejected->payload);
    bind_text_or_null(put, 8, rejected->event_id);
    bind_text_or_null(put, 9, rejected->file);
    if (rejected->line)
        sqlite3_bind_int64(put, 10, rejected->line);
    sqlite3_bind_int64(put, 11, rejected->received_at);
    return writer_step(writer, put);
}

/* What came of a key so far, other than one rejection of attempt 0. Source: rejection.h. */
struct again {
    int64_t attempt; /* the highest that was refused */
    int64_t settled; /* attempts below this are */
};

static int get_again(struct writer *writer, struct str key, struct again *out)
{
    sqlite3_stmt *get;
    *out = (struct again){0};
    int r = writer_statement(writer, STATEMENT_REJECTION_GET, &get);
    if (r < 0)
        return r;
    bind_blob(get, 1, key);
    int code = sqlite3_step(get);
    if (code == SQLITE_ROW)
        *out = (struct again){sqlite3_column_int64(get, 0), sqlite3_column_int64(get, 1)};
    sqlite3_reset(get);
    return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : database_error(code);
}

static int put_again(struct writer *writer, struct str key, const struct again *again)
{
    sqlite3_stmt *put;
    int r = writer_statement(writer, STATEMENT_REJECTION_PUT, &put);
    if (r < 0)
        return r;
    bind_blob(put, 1, key);
    sqlite3_bind_int64(put, 2, again->attempt);
    sqlite3_bind_int64(put, 3, again->settled);
    return writer_step(writer, put);
}

static int delete_rejected(struct writer *writer, struct str key)
{
    sqlite3_stmt *delete;
    int r = writer_statement(writer, STATEMENT_REJECTED_DELETE, &delete);
    if (r < 0)
        return r;
    bind_blob(delete, 1, key);
    return writer_step(writer, delete);
}

static int settle_rejected(struct writer *writer, struct str key, int64_t attempt)
{
    struct again again;
    int r = get_again(writer, key, &again);
    if (r < 0 || again.settled > attempt)
        return r;
    again.settled = attempt + 1;
    r = put_again(writer, key, &again);
    return r == 0 && again.attempt < again.settled ? delete_rejected(writer, key) : r;
}

static int add_rejected(struct writer *writer, const struct rejected *rejected, int64_t attempt)
{
    struct str key = str_make(rejected->rejected_key, KEY_SIZE);
    struct again again;
    int r = get_again(writer, key, &again);
    if (r < 0 || attempt < again.attempt || attempt < again.settled)
        return r;
    if (attempt > again.attempt) {
        again.attempt = attempt;
        r = put_again(writer, key, &again);
    }
    return r < 0 ? r : put_rejected(writer, rejected);
}

int writer_rejected(struct writer *writer, const struct result *result)
{
    struct rejected rejected;
    struct rejection_key key;
    if (!rejection_key_read(result->key, &key))
        return ERR_AVRO;
    struct str bare = str_make(result->key.data, KEY_SIZE);
    if (key.settled)
        return settle_rejected(writer, bare, key.attempt);
    if (result->tombstone)
        return delete_rejected(writer, bare);
    int r = rejected_decode(&rejected, result->value, &writer->arena);
    if (r == 0 && memcmp(key.rejected_key, rejected.rejected_key, KEY_SIZE) != 0)
        r = ERR_AVRO;
    return r == 0 ? add_rejected(writer, &rejected, key.attempt) : r;
}
