/* No state. */
#include "enrich/identity/signature.h"

#include "enrich/identity/edge.h"
#include "schemas/error.h"

int signature_of_event(const struct namespace_table *namespaces, const struct touchpoint *event,
    struct arena *arena, struct signature *out)
{
    struct node chain[NODES_MAX];
    size_t count;
    int r = namespace_chain(
        namespaces, event->identifiers, event->identifiers_count, arena, chain, &count);
    if (r < 0)
        return r;
    out->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct node *node = &chain[i];
        for (size_t k = 0; k < node->members_count; k++)
            namespace_node_id(namespaces, node_rank(node->id), node->members[k]->value,
                out->members[out->count++]);
    }
    return 0;
}

/* Identifiers, ascending. */
static bool valid(const struct signature *signature)
{
    for (size_t i = 0; i < signature->count; i++) {
        if (node_is_set(signature->members[i]) ||
            node_rank(signature->members[i]) >= NAMESPACES_MAX)
            return false;
        if (i && memcmp(signature->members[i - 1], signature->members[i], KEY_SIZE) >= 0)
            return false;
    }
    return signature->count > 0;
}

bool signature_of_links(const struct link_end *links, size_t count, struct signature *out)
{
    if (count > EVENT_IDENTIFIERS_MAX)
        return false;
    out->count = count;
    for (size_t i = 0; i < count; i++)
        memcpy(out->members[i], links[i].node, KEY_SIZE);
    return valid(out);
}

bool signature_of_bytes(struct str bytes, struct signature *out)
{
    if (bytes.size == 0 || bytes.size % KEY_SIZE || bytes.size > sizeof out->members)
        return false;
    out->count = bytes.size / KEY_SIZE;
    memcpy(out->members, bytes.data, bytes.size);
    return valid(out);
}

struct str signature_bytes(const struct signature *signature)
{
    return str_make(signature->members, signature->count * KEY_SIZE);
}

/* The id of several members as one node. Source: namespace.h. */
static void set_id(const uint8_t (*members)[KEY_SIZE], size_t count, uint8_t id[KEY_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    for (size_t i = 0; i < count; i++)
        sha256_update(&hash, str_make(members[i], KEY_SIZE));
    sha256_final(&hash, digest);
    id[0] = (uint8_t)(members[0][0] + 1);
    memcpy(id + 1, digest, KEY_SIZE - 1);
}

size_t signature_chain(const struct signature *signature, struct signature_node chain[NODES_MAX])
{
    size_t nodes = 0;
    for (size_t i = 0; i < signature->count; nodes++) {
        const uint8_t(*first)[KEY_SIZE] = signature->members + i;
        struct signature_node *node = &chain[nodes];
        *node = (struct signature_node){.first = i};
        while (i < signature->count && signature->members[i][0] == (*first)[0])
            i++;
        node->count = i - node->first;
        memcpy(node->id, *first, KEY_SIZE);
        if (node->count > 1)
            set_id(first, node->count, node->id);
    }
    return nodes;
}

void signature_digest(const struct signature *signature, uint8_t digest[SHA256_SIZE])
{
    struct signature_node chain[NODES_MAX];
    size_t count = signature_chain(signature, chain);
    struct sha256 hash;
    sha256_init(&hash);
    for (size_t i = 0; i < count; i++)
        sha256_update(&hash, str_make(chain[i].id, KEY_SIZE));
    sha256_final(&hash, digest);
}

void signature_chain_digest(const struct node *chain, size_t count, uint8_t digest[SHA256_SIZE])
{
    struct sha256 hash;
    sha256_init(&hash);
    for (size_t i = 0; i < count; i++)
        sha256_update(&hash, str_make(chain[i].id, KEY_SIZE));
    sha256_final(&hash, digest);
}
