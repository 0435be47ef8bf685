#include "enrich/identity/suppressed.h"

#include "enrich/identity/suppression.h"
#include "ingest/stream/row_schema.h"
#include "schemas/error.h"

#define AT_OF_SUPPRESSION 0 /* bytes before it; owner.c */
#define AT_OF_OLDER 8       /* rotation.c */

struct asking {
    struct state_backend *rows;
    const struct suppressed_question *question;
    struct arena arena;
};

/* The time in a row of the node. */
static int read_time(struct asking *asking, enum table table, struct str node, uint8_t mark,
    size_t before, int64_t *at)
{
    uint8_t key[KEY_SIZE + 1];
    struct str value;
    memcpy(key, node.data, KEY_SIZE);
    key[KEY_SIZE] = mark;
    int r = asking->rows->get(asking->rows, table, str_make(key, sizeof key), &value);
    if (r < 0)
        return r;
    if (r == STATE_ABSENT || value.size < before + 8)
        return ERR_STATE;
    *at = get_be64_signed((const uint8_t *)value.data + before);
    return 0;
}

/* Returns 1 where the node is suppressed, and its value has no pseudonym of the next key. */
static int is_alone(struct asking *asking, struct str node, struct str value)
{
    struct identity_node row;
    int64_t at, since = asking->question->active_since;
    arena_reset(&asking->arena);
    int r = identity_node_decode(&row, value, &asking->arena);
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : ERR_STATE;
    if (!(row.flags & OWNER_SUPPRESSED) || row.flags & OWNER_OLDER)
        return 0;
    if (row.flags & OWNER_NEWER) { /* of the key that would go, or of the next one */
        r = read_time(asking, TABLE_EDGE, node, ROW_OLDER_MARK, AT_OF_OLDER, &at);
        return r < 0 ? r : at == since;
    }
    r = read_time(asking, TABLE_SIGNATURE, node, OWNER_SUPPRESSION_MARK, AT_OF_SUPPRESSION, &at);
    return r < 0 ? r : at >= since; /* before: a retirement has forgotten it already */
}

static int count_rank(struct asking *asking, int rank, uint64_t *count)
{
    const char first = (char)(rank * 2); /* of nodes that are no sets; namespace.h */
    struct str key, value;
    void *cursor;
    int r = asking->rows->scan_begin(asking->rows, TABLE_NODE, str_make(&first, 1), &cursor);
    if (r < 0)
        return r;
    while ((r = asking->rows->scan_next(cursor, &key, &value)) == 0) {
        if (key.size != KEY_SIZE) {
            r = ERR_STATE;
            break;
        }
        if (key.data[0] != first)
            break;
        r = is_alone(asking, key, value);
        if (r < 0)
            break;
        *count += (uint64_t)r;
    }
    asking->rows->scan_end(cursor);
    return r < 0 ? r : 0;
}

int suppressed_alone(
    struct state_backend *rows, const struct suppressed_question *question, uint64_t *count)
{
    static const struct str pseudonymous[] = {STR_INIT("email"), STR_INIT("phone")};
    struct asking asking = {.rows = rows, .question = question};
    uint64_t found = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof pseudonymous / sizeof *pseudonymous; i++) {
        int rank = namespace_rank(question->namespaces, pseudonymous[i]);
        if (rank >= 0)
            r = count_rank(&asking, rank, &found);
    }
    arena_free(&asking.arena);
    if (r == 0)
        *count = found;
    return r;
}
