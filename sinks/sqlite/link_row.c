/*
 * Rows of event_link: which pairs of identifiers an event shows together. What tells who is whom
 * counts by these, so they are the evidence that answers refer to.
 */
#include <stdlib.h>

#include "ingest/normalise/namespace.h"
#include "schemas/error.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/writer.h"

struct link {
    uint8_t weaker[KEY_SIZE];
    uint8_t stronger[KEY_SIZE];
    int64_t occurred_at;
    uint8_t event_key[KEY_SIZE];
};

struct end {
    int rank;
    uint8_t node[KEY_SIZE];
};

static int put_link(struct writer *writer, const struct touchpoint *event, const struct end *weaker,
    const struct end *stronger)
{
    struct link link = {.occurred_at = event->occurred_at};
    memcpy(link.weaker, weaker->node, KEY_SIZE);
    memcpy(link.stronger, stronger->node, KEY_SIZE);
    memcpy(link.event_key, event->event_key, KEY_SIZE);
    return buf_append(&writer->links, &link, sizeof link);
}

/* As event_link's key has it, as far as it tells where a row stands. */
static int compare_links(const void *a, const void *b)
{
    const struct link *x = a;
    const struct link *y = b;
    int order = memcmp(x->weaker, y->weaker, 2 * KEY_SIZE); /* and stronger, which follows */
    return order ? order : (x->occurred_at > y->occurred_at) - (x->occurred_at < y->occurred_at);
}

int writer_links_flush(struct writer *writer)
{
    struct bulk *bulk;
    struct link *links = (struct link *)(void *)writer->links.data;
    size_t count = writer->links.size / sizeof *links;
    int r = count ? writer_bulk(writer, BULK_LINK, &bulk) : 0;
    if (r < 0 || !count)
        return r;
    qsort(links, count, sizeof *links, compare_links);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct bulk_cell *row;
        r = bulk_row(bulk, &row);
        if (r < 0)
            break;
        row[0] = bulk_blob(str_make(links[i].weaker, KEY_SIZE));
        row[1] = bulk_blob(str_make(links[i].stronger, KEY_SIZE));
        row[2] = bulk_integer(links[i].occurred_at);
        row[3] = bulk_blob(str_make(links[i].event_key, KEY_SIZE));
    }
    if (r == 0)
        r = bulk_flush(bulk);
    buf_clear(&writer->links);
    return r;
}

/* Events come in the order of their keys' first bytes, so those of this event are the last. */
static bool gathered(const struct writer *writer, struct str event_key)
{
    const struct buf *links = &writer->links;
    if (links->size < sizeof(struct link))
        return false;
    const struct link *last =
        (const struct link *)(const void *)(links->data + links->size - sizeof *last);
    return memcmp(last->event_key, event_key.data, KEY_ORDER_SIZE) == 0;
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
    if (gathered(writer, event_key))
        r = writer_links_flush(writer);
    if (r == 0)
        r = writer_statement(writer, STATEMENT_LINK_DELETE, &delete);
    if (r < 0)
        return r;
    bind_blob(delete, 1, event_key);
    return writer_step(writer, delete);
}
