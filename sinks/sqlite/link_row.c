/*
 * Rows of event_link: which pairs of identifiers an event shows together. What tells who is whom
 * counts by these, so they are the evidence that answers refer to.
 */
#include "ingest/normalise/namespace.h"
#include "schemas/error.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/writer.h"

struct end {
    int rank;
    uint8_t node[KEY_SIZE];
};

static int put_link(struct writer *writer, const struct touchpoint *event, const struct end *weaker,
    const struct end *stronger)
{
    sqlite3_stmt *put;
    int r = writer_statement(writer, STATEMENT_LINK_PUT, &put);
    if (r < 0)
        return r;
    bind_blob(put, 1, str_make(weaker->node, KEY_SIZE));
    bind_blob(put, 2, str_make(stronger->node, KEY_SIZE));
    sqlite3_bind_int64(put, 3, event->occurred_at);
    bind_blob(put, 4, str_make(event->event_key, KEY_SIZE));
    return writer_step(writer, put);
}

/* False for a namespace that is not known here: such identifiers make no link. */
static bool find_end(const struct namespace_table *namespaces, struct str namespace,
    struct str value, struct end *out)
{
    out->rank = namespace_rank(namespaces, namespace);
    if (out->rank >= 0)
        namespace_node_id(namespaces, out->rank, value, out->node);
    return out->rank >= 0;
}

/* An operator's or a client's word: its pair, besides those of the identifiers that stand by. */
static int put_evidence(struct writer *writer, const struct touchpoint *event)
{
    struct end a, b;
    const struct evidence *evidence = &event->evidence;
    if (evidence->sign <= 0 ||
        !find_end(writer->namespaces, evidence->a_namespace, evidence->a_value, &a) ||
        !find_end(writer->namespaces, evidence->b_namespace, evidence->b_value, &b))
        return 0;
    bool swap = memcmp(a.node, b.node, KEY_SIZE) < 0; /* the stronger is the lower */
    return put_link(writer, event, swap ? &b : &a, swap ? &a : &b);
}

int writer_links(struct writer *writer, const struct touchpoint *event)
{
    struct end ends[EVENT_IDENTIFIERS_MAX];
    size_t count = 0;
    int r = 0;
    if (event->has_evidence)
        r = put_evidence(writer, event);
    if (r < 0 || event->identifiers_count < 2)
        return r;
    for (size_t i = 0; i < event->identifiers_count && count < EVENT_IDENTIFIERS_MAX; i++)
        count += find_end(writer->namespaces, event->identifiers[i].namespace,
            event->identifiers[i].value, &ends[count]);
    for (size_t i = 0; r == 0 && i < count; i++)
        for (size_t k = 0; r == 0 && k < count; k++)
            if (ends[i].rank > ends[k].rank)
                r = put_link(writer, event, &ends[i], &ends[k]);
    return r;
}

int writer_links_delete(struct writer *writer, struct str event_key)
{
    sqlite3_stmt *delete;
    int r = writer->links_indexed ? 0 : database_run(writer->db, WRITER_LINK_INDEX);
    if (r < 0)
        return r;
    writer->links_indexed = true;
    r = writer_statement(writer, STATEMENT_LINK_DELETE, &delete);
    if (r < 0)
        return r;
    bind_blob(delete, 1, event_key);
    return writer_step(writer, delete);
}
