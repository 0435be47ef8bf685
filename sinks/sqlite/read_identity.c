/* Questions about who is whom. */
#include "ingest/normalise/namespace.h"
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

int reader_node_id(const struct namespace_table *namespaces, const struct identifier *identifier,
    uint8_t node[KEY_SIZE])
{
    int rank = namespace_rank(namespaces, identifier->namespace);
    if (rank < 0)
        return rank;
    namespace_node_id(namespaces, rank, identifier->value, node);
    return 0;
}

#define NODE_COLUMNS "namespace, value, person, why, root, own, node "

/* The one row of the question, to which its parameters are bound. Finalizes it. */
static int one_node(sqlite3_stmt *select,
    int (*found)(void *context, const struct reader_node *node), void *context)
{
    struct reader_node row;
    int r, code = sqlite3_step(select);
    if (code == SQLITE_ROW) {
        row.namespace = column_text(select, 0);
        row.value = column_text(select, 1);
        row.why = column_text(select, 3);
        bool whole = copy_key(select, 2, row.person) && copy_key(select, 4, row.root) &&
                     copy_key(select, 5, row.own) && copy_key(select, 6, row.node);
        r = whole ? found(context, &row) : ERR_STATE;
    } else {
        r = code == SQLITE_DONE ? READER_ABSENT : database_error(code);
    }
    sqlite3_finalize(select);
    return r;
}

int reader_node(struct reader *reader, const uint8_t node[KEY_SIZE],
    int (*found)(void *context, const struct reader_node *node), void *context)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(
        reader->db, "SELECT " NODE_COLUMNS "FROM identifier WHERE node = ?1", &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(node, KEY_SIZE));
    return one_node(select, found, context);
}

int reader_any_node(struct reader *reader, int rank,
    int (*found)(void *context, const struct reader_node *node), void *context)
{
    const uint8_t from = (uint8_t)(2 * rank), to = (uint8_t)(from + 1);
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db,
        "SELECT " NODE_COLUMNS "FROM identifier WHERE node >= ?1 AND node < ?2 LIMIT 1", &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(&from, 1));
    bind_blob(select, 2, str_make(&to, 1));
    return one_node(select, found, context);
}

int reader_alias(struct reader *reader, const uint8_t alias[KEY_SIZE], uint8_t person[KEY_SIZE])
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(
        reader->db, "SELECT person FROM person_alias WHERE alias = ?1 LIMIT 1", &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(alias, KEY_SIZE));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        r = copy_key(select, 0, person) ? 0 : ERR_STATE;
    else
        r = code == SQLITE_DONE ? READER_ABSENT : database_error(code);
    sqlite3_finalize(select);
    return r;
}

#define LINK_COLUMNS                                                                               \
    "count(*), min(l.occurred_at), max(l.occurred_at), "                                           \
    "(SELECT e.event_id FROM event_link AS f JOIN event AS e ON e.event_key = f.event_key "        \
    "WHERE f.weaker = l.weaker AND f.stronger = l.stronger ORDER BY f.occurred_at, f.event_key "   \
    "LIMIT 1), "                                                                                   \
    "(SELECT e.event_id FROM event_link AS f JOIN event AS e ON e.event_key = f.event_key "        \
    "WHERE f.weaker = l.weaker AND f.stronger = l.stronger ORDER BY f.occurred_at DESC, "          \
    "f.event_key DESC LIMIT 1), l.weaker, l.stronger "

/* What was said of a pair last, in the order of evidence (enrich/identity/evidence.h): words
 * against it by an index of their own, words for it among the events that show the pair. */
#define OF_THE_PAIR                                                                                \
    "((e.detail ->> '$.evidence.a_namespace' = w.namespace "                                       \
    "AND e.detail ->> '$.evidence.a_value' = w.value "                                             \
    "AND e.detail ->> '$.evidence.b_namespace' = s.namespace "                                     \
    "AND e.detail ->> '$.evidence.b_value' = s.value) OR "                                         \
    "(e.detail ->> '$.evidence.b_namespace' = w.namespace "                                        \
    "AND e.detail ->> '$.evidence.b_value' = w.value "                                             \
    "AND e.detail ->> '$.evidence.a_namespace' = s.namespace "                                     \
    "AND e.detail ->> '$.evidence.a_value' = s.value)) "
#define WORD                                                                                       \
    "coalesce(e.detail ->> '$.evidence.authority', 0) AS authority, e.occurred_at AS said_at, "    \
    "e.event_key AS said_by, e.event_id AS said_id, "                                              \
    "coalesce(e.detail ->> '$.evidence.reason', '') AS reason "
/* Each end under all its pseudonyms: ?1 to ?8, ?9 to ?16 (READER_PSEUDONYMS_MAX). */
#define WEAKER "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
#define STRONGER "(?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) "
#define PARTED_SQL                                                                                 \
    "SELECT word, authority, said_at, said_id, reason FROM (SELECT -1 AS word, " WORD              \
    "FROM identifier AS w, identifier AS s, event AS e "                                           \
    "WHERE w.node IN " WEAKER "AND s.node IN " STRONGER "AND e.evidence < 0 AND " OF_THE_PAIR      \
    "UNION ALL SELECT 1 AS word, " WORD "FROM identifier AS w, identifier AS s, "                  \
    "event_link AS l JOIN event AS e ON e.event_key = l.event_key "                                \
    "WHERE w.node IN " WEAKER "AND s.node IN " STRONGER "AND l.weaker IN " WEAKER                  \
    "AND l.stronger IN " STRONGER "AND e.evidence > 0 "                                            \
    "AND " OF_THE_PAIR ") ORDER BY authority DESC, said_at DESC, said_by DESC LIMIT 1"

/* A node under all its pseudonyms. */
struct pseudonyms {
    uint8_t nodes[READER_PSEUDONYMS_MAX][KEY_SIZE];
    size_t count;
};

static void bind_pseudonyms(sqlite3_stmt *select, int first, const struct pseudonyms *pseudonyms)
{
    for (size_t i = 0; i < READER_PSEUDONYMS_MAX; i++) {
        if (i < pseudonyms->count)
            bind_blob(select, first + (int)i, str_make(pseudonyms->nodes[i], KEY_SIZE));
        else
            sqlite3_bind_null(select, first + (int)i);
    }
}

/* Links of one node as they are given. */
struct linking {
    struct reader *reader;
    struct pseudonyms own;
    sqlite3_stmt *parted;
};

/* Sets link->parted and link->word; its slices are valid until the statement is reset. */
static int read_word(struct linking *linking, struct reader_link *link)
{
    bool weaker = memcmp(link->weaker, linking->own.nodes[0], KEY_SIZE) == 0;
    struct pseudonyms other;
    int r = reader_pseudonyms(
        linking->reader, weaker ? link->stronger : link->weaker, other.nodes, &other.count);
    if (r < 0)
        return r;
    bind_pseudonyms(linking->parted, 1, weaker ? &linking->own : &other);
    bind_pseudonyms(linking->parted, 1 + READER_PSEUDONYMS_MAX, weaker ? &other : &linking->own);
    int code = sqlite3_step(linking->parted);
    if (code == SQLITE_ROW)
        link->word = (struct reader_word){
            .sign = sqlite3_column_int(linking->parted, 0),
            .authority = sqlite3_column_int64(linking->parted, 1),
            .said_at = sqlite3_column_int64(linking->parted, 2),
            .event_id = column_text(linking->parted, 3),
            .reason = column_text(linking->parted, 4),
        };
    link->parted = link->word.sign < 0;
    return database_error(code);
}

static int give_link(sqlite3_stmt *select, struct linking *linking,
    int (*found)(void *, const struct reader_link *), void *context)
{
    struct reader_link link = {
        .events = sqlite3_column_int64(select, 0),
        .first_at = sqlite3_column_int64(select, 1),
        .last_at = sqlite3_column_int64(select, 2),
        .first_id = column_text(select, 3),
        .last_id = column_text(select, 4),
    };
    link.rotation = link.first_id.size == 0;
    if (!copy_key(select, 5, link.weaker) || !copy_key(select, 6, link.stronger))
        return ERR_STATE;
    int r = read_word(linking, &link);
    if (r == 0)
        r = found(context, &link);
    sqlite3_reset(linking->parted);
    return r;
}

int reader_links(struct reader *reader, const uint8_t node[KEY_SIZE],
    int (*found)(void *context, const struct reader_link *link), void *context)
{
    static const char *const questions[] = {
        "SELECT " LINK_COLUMNS "FROM event_link AS l WHERE l.weaker = ?1 GROUP BY l.stronger",
        "SELECT " LINK_COLUMNS "FROM event_link AS l WHERE l.stronger = ?1 GROUP BY l.weaker",
    };
    struct linking linking = {.reader = reader};
    int r = reader_pseudonyms(reader, node, linking.own.nodes, &linking.own.count);
    if (r == 0)
        r = database_prepare(reader->db, PARTED_SQL, &linking.parted);
    for (size_t i = 0; r == 0 && i < 2; i++) {
        sqlite3_stmt *select = NULL;
        r = database_prepare(reader->db, questions[i], &select);
        if (r < 0)
            break;
        bind_blob(select, 1, str_make(node, KEY_SIZE));
        int code;
        while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW)
            r = give_link(select, &linking, found, context);
        if (r == 0)
            r = database_error(code);
        sqlite3_finalize(select);
    }
    sqlite3_finalize(linking.parted);
    return r;
}

/* Of ids of one person the lowest is the strongest. */
#define CANDIDATES_SQL                                                                             \
    "WITH seen (other, event_key) AS ("                                                            \
    "SELECT stronger, event_key FROM event_link WHERE weaker = ?1 UNION ALL "                      \
    "SELECT weaker, event_key FROM event_link WHERE stronger = ?1), "                              \
    "candidate (person, events, first_at, last_at, beside) AS ("                                   \
    "SELECT e.person, count(DISTINCT s.event_key), min(e.occurred_at), max(e.occurred_at), "       \
    "min(i.node) FROM seen AS s JOIN event AS e ON e.event_key = s.event_key "                     \
    "LEFT JOIN identifier AS i ON i.node = s.other AND i.person = e.person GROUP BY e.person) "    \
    "SELECT c.events, c.first_at, c.last_at, b.namespace, b.value, c.person "                      \
    "FROM candidate AS c LEFT JOIN identifier AS b ON b.node = c.beside "                          \
    "ORDER BY c.last_at DESC, c.person LIMIT ?2"

int reader_candidates(struct reader *reader, const uint8_t node[KEY_SIZE], int64_t limit,
    int (*found)(void *context, const struct reader_candidate *candidate), void *context)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db, CANDIDATES_SQL, &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(node, KEY_SIZE));
    sqlite3_bind_int64(select, 2, limit);
    int code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(select)) == SQLITE_ROW) {
        struct reader_candidate candidate = {
            .events = sqlite3_column_int64(select, 0),
            .first_at = sqlite3_column_int64(select, 1),
            .last_at = sqlite3_column_int64(select, 2),
            .namespace = column_text(select, 3),
            .value = column_text(select, 4),
        };
        r = copy_key(select, 5, candidate.person) ? found(context, &candidate) : ERR_STATE;
    }
    if (r == 0)
        r = database_error(code);
    sqlite3_finalize(select);
    return r;
}

/* In a row of a rotation the newer pseudonym stands where the event's key does. Nothing else has
 * pseudonyms, and most nodes need not be searched for them. */
#define PSEUDONYMS_SQL                                                                             \
    "SELECT iif(weaker = ?1, stronger, weaker) FROM event_link "                                   \
    "WHERE (weaker = ?1 OR stronger = ?1) AND event_key IN (weaker, stronger) AND EXISTS "         \
    "(SELECT 1 FROM identifier WHERE node = ?1 AND namespace IN ('email', 'phone'))"

int reader_pseudonyms(struct reader *reader, const uint8_t node[KEY_SIZE],
    uint8_t out[READER_PSEUDONYMS_MAX][KEY_SIZE], size_t *count)
{
    sqlite3_stmt *select = NULL;
    uint8_t other[KEY_SIZE];
    memcpy(out[0], node, KEY_SIZE);
    *count = 1;
    int r = database_prepare(reader->db, PSEUDONYMS_SQL, &select);
    for (size_t i = 0; r == 0 && i < *count; i++) {
        int code;
        bind_blob(select, 1, str_make(out[i], KEY_SIZE));
        while ((code = sqlite3_step(select)) == SQLITE_ROW && *count < READER_PSEUDONYMS_MAX) {
            bool known = !copy_key(select, 0, other);
            for (size_t k = 0; k < *count; k++)
                known |= memcmp(out[k], other, KEY_SIZE) == 0;
            if (!known)
                memcpy(out[(*count)++], other, KEY_SIZE);
        }
        r = database_error(code);
        sqlite3_reset(select);
    }
    sqlite3_finalize(select);
    return r;
}

/* Neighbours of the node under its pseudonyms (?1 to ?8), by an event's own identifiers; each under
 * the lower of two pseudonyms of one value. An event with a word counts when its identifiers name
 * both. */
#define NEIGHBOURS_SQL                                                                             \
    "WITH shown (other, own, event_key) AS ("                                                      \
    "SELECT stronger, weaker, event_key FROM event_link WHERE weaker IN " WEAKER                   \
    "UNION ALL SELECT weaker, stronger, event_key FROM event_link WHERE stronger IN " WEAKER       \
    "), neighbour (node) AS (SELECT DISTINCT s.other FROM shown AS s "                             \
    "WHERE s.event_key NOT IN (s.other, s.own) AND NOT EXISTS (SELECT 1 FROM event AS e, "         \
    "identifier AS o, identifier AS x WHERE e.event_key = s.event_key "                            \
    "AND e.evidence IS NOT NULL AND o.node = s.own AND x.node = s.other "                          \
    "AND NOT (instr(e.identifiers, json_quote(o.value)) > 0 "                                      \
    "AND instr(e.identifiers, json_quote(x.value)) > 0))) "                                        \
    "SELECT substr(node, 1, 1), count(*) FROM (SELECT DISTINCT min(n.node, coalesce((SELECT "      \
    "min(iif(r.weaker = n.node, r.stronger, r.weaker)) FROM event_link AS r "                      \
    "WHERE (r.weaker = n.node OR r.stronger = n.node) AND r.event_key IN (r.weaker, r.stronger) "  \
    "AND i.namespace IN ('email', 'phone')), n.node)) AS node "                                    \
    "FROM neighbour AS n LEFT JOIN identifier AS i ON i.node = n.node) GROUP BY 1"

int reader_neighbours(struct reader *reader, const uint8_t node[KEY_SIZE], int64_t *counts)
{
    struct pseudonyms own;
    sqlite3_stmt *select = NULL;
    memset(counts, 0, NAMESPACES_MAX * sizeof *counts);
    int r = reader_pseudonyms(reader, node, own.nodes, &own.count);
    if (r == 0)
        r = database_prepare(reader->db, NEIGHBOURS_SQL, &select);
    if (r < 0)
        return r;
    bind_pseudonyms(select, 1, &own);
    int code;
    while ((code = sqlite3_step(select)) == SQLITE_ROW) {
        struct str class = column_text(select, 0);
        size_t rank = class.size ? (uint8_t) class.data[0] / 2 : NAMESPACES_MAX;
        if (rank < NAMESPACES_MAX)
            counts[rank] += sqlite3_column_int64(select, 1);
    }
    sqlite3_finalize(select);
    return database_error(code);
}

/* Links that lead to one of several nodes. */
struct pair {
    struct pseudonyms others;
    bool found;
    int (*give)(void *context, const struct reader_link *link);
    void *context;
};

static int is_pair(void *context, const struct reader_link *link)
{
    struct pair *pair = context;
    bool leads = false;
    for (size_t i = 0; i < pair->others.count; i++)
        leads |= memcmp(link->weaker, pair->others.nodes[i], KEY_SIZE) == 0 ||
                 memcmp(link->stronger, pair->others.nodes[i], KEY_SIZE) == 0;
    pair->found |= leads;
    return leads && pair->give ? pair->give(pair->context, link) : 0;
}

int reader_pair_links(struct reader *reader, const struct namespace_table *namespaces,
    const struct identifier ends[2], int (*found)(void *context, const struct reader_link *link),
    void *context)
{
    struct pair pair = {.give = found, .context = context};
    struct pseudonyms own;
    uint8_t nodes[2][KEY_SIZE];
    int r = 0;
    for (size_t i = 0; r == 0 && i < 2; i++)
        r = reader_node_id(namespaces, &ends[i], nodes[i]);
    if (r == 0)
        r = reader_pseudonyms(reader, nodes[0], own.nodes, &own.count);
    if (r == 0)
        r = reader_pseudonyms(reader, nodes[1], pair.others.nodes, &pair.others.count);
    for (size_t i = 0; r == 0 && i < own.count; i++)
        r = reader_links(reader, own.nodes[i], is_pair, &pair);
    return r ? r : pair.found ? 0 : READER_ABSENT;
}

/* Rows of a rotation are no events: their key is a node. */
#define PAIR_SUM_SQL                                                                               \
    "WITH shown AS (SELECT DISTINCT l.event_key AS event_key, l.occurred_at AS occurred_at "       \
    "FROM event_link AS l WHERE ((l.weaker IN " WEAKER "AND l.stronger IN " STRONGER               \
    ") OR (l.weaker IN " STRONGER "AND l.stronger IN " WEAKER                                      \
    ")) AND l.event_key NOT IN (l.weaker, l.stronger)) "                                           \
    "SELECT count(*), min(occurred_at), max(occurred_at), "                                        \
    "(SELECT e.event_id FROM shown AS f JOIN event AS e ON e.event_key = f.event_key "             \
    "ORDER BY f.occurred_at, f.event_key LIMIT 1), "                                               \
    "(SELECT e.event_id FROM shown AS f JOIN event AS e ON e.event_key = f.event_key "             \
    "ORDER BY f.occurred_at DESC, f.event_key DESC LIMIT 1) FROM shown"

int reader_pair_sum(struct reader *reader, const uint8_t a[KEY_SIZE], const uint8_t b[KEY_SIZE],
    int (*found)(void *context, const struct reader_link *link), void *context)
{
    struct pseudonyms ends[2];
    sqlite3_stmt *select = NULL;
    int r = reader_pseudonyms(reader, a, ends[0].nodes, &ends[0].count);
    if (r == 0)
        r = reader_pseudonyms(reader, b, ends[1].nodes, &ends[1].count);
    if (r == 0)
        r = database_prepare(reader->db, PAIR_SUM_SQL, &select);
    if (r < 0)
        return r;
    bind_pseudonyms(select, 1, &ends[0]);
    bind_pseudonyms(select, 1 + READER_PSEUDONYMS_MAX, &ends[1]);
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW && sqlite3_column_int64(select, 0) > 0) {
        const struct reader_link link = {
            .events = sqlite3_column_int64(select, 0),
            .first_at = sqlite3_column_int64(select, 1),
            .last_at = sqlite3_column_int64(select, 2),
            .first_id = column_text(select, 3),
            .last_id = column_text(select, 4),
        };
        r = found(context, &link);
    } else {
        r = code == SQLITE_ROW ? READER_ABSENT : database_error(code);
    }
    sqlite3_finalize(select);
    return r;
}

int reader_linked(struct reader *reader, const struct namespace_table *namespaces,
    const struct identifier *a, const struct identifier *b)
{
    const struct identifier ends[2] = {*a, *b};
    return reader_pair_links(reader, namespaces, ends, NULL, NULL);
}

int reader_count(struct reader *reader, const uint8_t person[KEY_SIZE], struct reader_counts *out)
{
    static const char question[] =
        "SELECT (SELECT count(*) FROM timeline WHERE person = ?1), "
        "(SELECT count(*) FROM touch AS t JOIN event AS e ON e.event_key = t.event_key "
        "JOIN timeline AS l ON l.event_row = e.event_row WHERE l.person = ?1), "
        "(SELECT count(*) FROM session WHERE person = ?1), "
        "(SELECT count(*) FROM conversion WHERE person = ?1), "
        "(SELECT coalesce(sum(credit_count), 0) FROM conversion WHERE person = ?1), "
        "(SELECT count(*) FROM path WHERE person = ?1), "
        "(SELECT count(*) FROM identifier WHERE person = ?1)";
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db, question, &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(person, KEY_SIZE));
    int code = sqlite3_step(select);
    for (int i = 0; code == SQLITE_ROW && i < READER_COUNTS; i++)
        out->counts[i] = sqlite3_column_int64(select, i);
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}

/* An event names the identifier i, or its word does. */
#define NAMES_SQL                                                                                  \
    "((instr(e.identifiers, json_quote(i.value)) > 0 AND EXISTS (SELECT 1 FROM "                   \
    "json_each(e.identifiers) AS n WHERE n.key = i.namespace AND (n.value = i.value OR "           \
    "(n.type = 'array' AND instr(n.value, json_quote(i.value)) > 0)))) OR "                        \
    "(e.evidence IS NOT NULL AND ((e.detail ->> '$.evidence.a_namespace' = i.namespace AND "       \
    "e.detail ->> '$.evidence.a_value' = i.value) OR (e.detail ->> '$.evidence.b_namespace' = "    \
    "i.namespace AND e.detail ->> '$.evidence.b_value' = i.value))))"

int reader_count_of_others(struct reader *reader, const uint8_t person[KEY_SIZE], int64_t *out)
{
    static const char question[] =
        "SELECT count(*) FROM identifier AS i WHERE i.person = ?1 AND NOT EXISTS "
        "(SELECT 1 FROM timeline WHERE person = ?1) AND EXISTS "
        "(SELECT 1 FROM event AS e WHERE " NAMES_SQL ")";
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db, question, &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(person, KEY_SIZE));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}

int reader_count_beside(struct reader *reader, const uint8_t node[KEY_SIZE],
    const uint8_t person[KEY_SIZE], int64_t *out)
{
    static const char question[] =
        "SELECT count(*) FROM (SELECT event_key FROM event_link WHERE weaker = ?1 UNION "
        "SELECT event_key FROM event_link WHERE stronger = ?1) AS l "
        "JOIN event AS e ON e.event_key = l.event_key WHERE e.person <> ?2";
    sqlite3_stmt *select = NULL;
    int r = database_prepare(reader->db, question, &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(node, KEY_SIZE));
    bind_blob(select, 2, str_make(person, KEY_SIZE));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}

/* Whether the file, which may be of an older build, has the table. */
static int has_table(struct reader *reader, const char *name)
{
    sqlite3_stmt *select = NULL;
    int r = database_prepare(
        reader->db, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", &select);
    if (r < 0)
        return r;
    bind_text(select, 1, str_of(name));
    int code = sqlite3_step(select);
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 1 : database_error(code);
}

int reader_suppression(
    struct reader *reader, const uint8_t node[KEY_SIZE], struct reader_suppression *out)
{
    sqlite3_stmt *select = NULL;
    int r = has_table(reader, "erasure_suppressed");
    if (r <= 0)
        return r < 0 ? r : READER_ABSENT;
    r = database_prepare(reader->db,
        "SELECT erased_at, coalesce(lifted_at, 0) FROM erasure_suppressed WHERE node = ?1",
        &select);
    if (r < 0)
        return r;
    bind_blob(select, 1, str_make(node, KEY_SIZE));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW) {
        out->erased_at = sqlite3_column_int64(select, 0);
        out->lifted_at = sqlite3_column_int64(select, 1);
    }
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? READER_ABSENT : database_error(code);
}

int reader_refused(struct reader *reader, const uint8_t *node, int64_t *out)
{
    static const char question[] =
        "SELECT coalesce(sum(events), 0) FROM erasure_refused WHERE ?1 IS NULL OR node = ?1";
    sqlite3_stmt *select = NULL;
    *out = 0;
    int r = has_table(reader, "erasure_refused");
    if (r <= 0)
        return r;
    r = database_prepare(reader->db, question, &select);
    if (r < 0)
        return r;
    if (node)
        bind_blob(select, 1, str_make(node, KEY_SIZE));
    int code = sqlite3_step(select);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(select, 0);
    sqlite3_finalize(select);
    return code == SQLITE_ROW ? 0 : database_error(code);
}
