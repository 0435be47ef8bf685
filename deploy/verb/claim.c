/* What it claimed is the root of its strongest neighbour whose link stands (IDENTITY, rule 4); all
 * of its kind that are of that person hold the places. */
#include "deploy/verb/claim.h"

#include "deploy/verb/generic.h"
#include "schemas/error.h"
#include "schemas/json.h"

struct claim {
    struct reader *reader;
    struct arena *arena;
    const uint8_t *node;
    struct str namespace; /* of the rejected one */
    uint8_t neighbour[KEY_SIZE];
    bool found;
    uint8_t person[KEY_SIZE];
    uint8_t root[KEY_SIZE];
    struct str root_namespace, root_value;
    struct buf *sentence;
    struct buf *more;
    size_t holders;
};

static int keep_strongest(void *context, const struct reader_link *link)
{
    struct claim *claim = context;
    struct str word;
    bool above = memcmp(link->weaker, claim->node, KEY_SIZE) == 0 &&
                 link->stronger[0] / 2 < claim->node[0] / 2; /* ranks; source: namespace.h */
    if (!above || link->rotation ||
        (claim->found && memcmp(link->stronger, claim->neighbour, KEY_SIZE) >= 0))
        return 0;
    int r = generic_link_word(claim->reader, link, &word);
    if (r < 0 || !str_equal(word, STR("stands")))
        return r;
    memcpy(claim->neighbour, link->stronger, KEY_SIZE);
    claim->found = true;
    return 0;
}

static int keep_namespace(void *context, const struct reader_node *node)
{
    struct claim *claim = context;
    return arena_dup(claim->arena, node->namespace, &claim->namespace);
}

static int keep_person(void *context, const struct reader_node *node)
{
    struct claim *claim = context;
    memcpy(claim->person, node->person, KEY_SIZE);
    memcpy(claim->root, node->root, KEY_SIZE);
    return 0;
}

static int keep_root(void *context, const struct reader_node *node)
{
    struct claim *claim = context;
    int r = arena_dup(claim->arena, node->namespace, &claim->root_namespace);
    return r < 0 ? r : arena_dup(claim->arena, node->value, &claim->root_value);
}

static int append_identifier(struct buf *out, struct str namespace, struct str value)
{
    int r = buf_append_str(out, STR("{\"namespace\":"));
    if (r == 0)
        r = json_write_text(out, namespace);
    if (r == 0)
        r = buf_append_str(out, STR(",\"value\":"));
    if (r == 0)
        r = json_write_text(out, value);
    return r == 0 ? buf_append(out, "}", 1) : r;
}

static int append_name(struct buf *out, struct str namespace, struct str value)
{
    return buf_appendf(
        out, "%.*s:%.*s", (int)namespace.size, namespace.data, (int)value.size, value.data);
}

static int add_holder(void *context, const struct reader_identity *identity)
{
    struct claim *claim = context;
    if (!str_equal(identity->namespace, claim->namespace))
        return 0;
    int r = buf_append_str(claim->sentence, claim->holders ? STR(", ") : STR(": "));
    if (r == 0)
        r = append_name(claim->sentence, identity->namespace, identity->value);
    if (r == 0 && claim->holders)
        r = buf_append(claim->more, ",", 1);
    claim->holders++;
    return r < 0 ? r : append_identifier(claim->more, identity->namespace, identity->value);
}

/* Whom it claimed. Returns 0, or READER_ABSENT: nothing shows it. */
static int find_claimed(struct claim *claim)
{
    int r = reader_node(claim->reader, claim->node, keep_namespace, claim);
    if (r == 0)
        r = reader_links(claim->reader, claim->node, keep_strongest, claim);
    if (r == 0 && !claim->found)
        return READER_ABSENT;
    if (r == 0)
        r = reader_node(claim->reader, claim->neighbour, keep_person, claim);
    return r ? r : reader_node(claim->reader, claim->root, keep_root, claim);
}

static int append_claimed(struct claim *claim, int32_t most)
{
    struct buf *sentence = claim->sentence, *more = claim->more;
    int r = buf_append_str(sentence, STR(" claimed "));
    if (r == 0)
        r = append_name(sentence, claim->root_namespace, claim->root_value);
    if (r == 0)
        r = buf_appendf(sentence,
            ", which has as many of %.*s as it may, %d ([identity] protected)",
            (int)claim->namespace.size, claim->namespace.data, (int)most);
    if (r == 0)
        r = buf_append_str(more, STR(",\"claimed\":"));
    if (r == 0)
        r = append_identifier(more, claim->root_namespace, claim->root_value);
    if (r == 0)
        r = buf_appendf(more, ",\"most\":%d,\"holders\":[", (int)most);
    if (r == 0)
        r = reader_identifiers(claim->reader, claim->person, add_holder, claim);
    if (r == 0)
        r = buf_append_str(sentence,
            STR("; of several claims the first by hash count, whichever event or word came first: "
                "to make room, tabiji unlink the one that holds the place and "));
    if (r == 0)
        r = append_name(sentence, claim->root_namespace, claim->root_value);
    return r < 0 ? r : buf_append(more, "]", 1);
}

int claim_rejected(struct settings *settings, struct reader *reader, const uint8_t node[KEY_SIZE],
    struct buf *sentence, struct buf *more)
{
    const struct namespace_table *table = settings->door.identifiers.namespaces;
    struct claim claim = {.reader = reader,
        .arena = &settings->arena,
        .node = node,
        .sentence = sentence,
        .more = more};
    size_t rank = node[0] / 2;
    int32_t most = rank < table->count ? table->rules[rank].protected_max : 0;
    int r = find_claimed(&claim);
    if (r == 0)
        return append_claimed(&claim, most);
    if (r == READER_ABSENT)
        r = buf_append_str(
            sentence, STR(" claimed a person that has as many of its kind as it may"));
    return r < 0 ? r : buf_appendf(more, ",\"claimed\":null,\"most\":%d,\"holders\":[]", (int)most);
}
