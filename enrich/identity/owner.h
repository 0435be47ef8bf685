/*
 * Nodes in memory: what the owner of a node keeps in one row of TABLE_NODE, and a cache of them.
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "ingest/stream/stream.h"
#include "schemas/identity_node.avro.h"

/* Signature hashes in the node's own row; further ones are rows of TABLE_SIGNATURE. (Tests build
 * with smaller limits, to be at them often.) */
#ifndef OWNER_SIGNATURES_MAX
#define OWNER_SIGNATURES_MAX 16
#endif
#define SIGNATURE_SIZE 8

/* A cache that is larger than this after a batch starts anew; a worker has one a partition. */
#ifndef OWNERS_SIZE_MAX
#define OWNERS_SIZE_MAX ((size_t)16 << 20)
#endif

/* Bits of IdentityNode.flags; they never change their meaning. */
enum owner_flag {
    OWNER_GENERIC = 1 << 0,        /* has more neighbours than its limit; for ever */
    OWNER_DEAD = 1 << 1,           /* all its members are generic: it seats no event any more */
    OWNER_SEATED = 1 << 2,         /* has put an event to a person */
    OWNER_NAMED = 1 << 3,          /* its identifier is known: a row of person_of has it */
    OWNER_ACCEPTED = 1 << 4,       /* the root accepted its claim (protected namespaces) */
    OWNER_SIGNATURE_ROWS = 1 << 5, /* TABLE_SIGNATURE has more */
    OWNER_SHARED = 1 << 6,         /* by several of the strongest rank: it belongs to none; of one
                                    * that follows: so it told */
    OWNER_ALONE = 1 << 7,          /* an event that has no other identifier was placed */
    OWNER_LOST = 1 << 8,           /* an erasure took something from it */
    OWNER_FORGETS = 1 << 9,        /* TABLE_SIGNATURE has forgotten ones */
    OWNER_SUPPRESSED = 1 << 10,    /* TABLE_SIGNATURE says since when */
    OWNER_PASSES = 1 << 11,        /* TABLE_SIGNATURE has newer pseudonyms of signatures */
    OWNER_OLDER = 1 << 12,         /* there are newer pseudonyms of its value; rotation.h */
    OWNER_NEWER = 1 << 13,         /* there is an older one, which it follows */
    OWNER_FOLLOWS = 1 << 14,       /* it has the root of an earlier member of its group; group.h */
    OWNER_REACHED = 1 << 15,       /* by an erasure that has yet to take; reach.h */
    OWNER_ERASED_DEAD = 1 << 16,   /* was so when it was suppressed: what stays with it goes */
    OWNER_COUNTS = 1 << 17,        /* TABLE_SIGNATURE counts what shows it, as it is generic */
    OWNER_WORDED = 1 << 18, /* generic, and words were said of it that it keeps no account of */
};

/* A neighbour; edge.h. */
struct edge;
struct edge_array {
    struct edge *edges;
    size_t count;
    size_t room;
};

struct owner {
    uint8_t id[KEY_SIZE];
    uint8_t person[KEY_SIZE];    /* where its events are, unless dead */
    uint8_t claim[KEY_SIZE];     /* itself for none */
    uint8_t root[KEY_SIZE];      /* as those below were told last */
    uint8_t candidate[KEY_SIZE]; /* as it told whom it follows; itself for none; group.h */
    uint8_t own[KEY_SIZE];       /* the person of itself as a root, once asked for: has_own */
    int64_t epoch;
    int64_t claim_number;
    unsigned flags;
    bool exists;     /* else nothing has been said to it yet */
    bool dirty;      /* its row is older */
    bool person_due; /* its row of person_of may be older */
    bool has_own;
    struct str value; /* its identifier, where this cache has seen it */
    char *signatures; /* OWNER_SIGNATURES_MAX hashes; NULL for none */
    size_t signatures_count;
    int64_t signature_rows;  /* known signatures that TABLE_SIGNATURE has */
    struct edge_array above; /* stronger neighbours, or members of the set */
    struct edge_array below;
    struct edge_rows *rows; /* what TABLE_EDGE has besides, by class */
    size_t rows_count;
    size_t rows_room;
    struct owner *next_dirty;
};

/* All owners of one task that are in memory. Not thread-safe. */
struct owners;

/* namespaces is borrowed, tenant_key copied. Errors: ERR_NO_MEMORY. */
MUST_CHECK int owners_new(
    const struct namespace_table *namespaces, const uint8_t tenant_key[32], struct owners **out);
/* After a batch no more than this is kept; more than OWNERS_SIZE_MAX is not anyway. 0: so much. */
void owners_cache_max(struct owners *owners, size_t bytes);
void owners_free(struct owners **owners);

/* What the following calls, also those of edge.h, may touch. */
void owners_enter(struct owners *owners, struct task *task);
struct state *owners_state(struct owners *owners);
struct arena *owners_scratch(struct owners *owners);
const struct namespace_table *owners_namespaces(const struct owners *owners);
/* Memory that lives as long as the owners. */
struct arena *owners_arena(struct owners *owners);
/* An empty buffer for one row at a time. */
struct buf *owners_buffer(struct owners *owners);

/* The owner of a node, from memory or, with one look-up, from its row; an identifier's that has
 * none is made, a set's has `exists` false and is for owner_make_set(). *out is valid until
 * owners_forget() or owners_flush(). Errors: ERR_STATE (damaged row), ERR_NO_MEMORY, those of
 * state_get(). */
MUST_CHECK int owners_get(struct owners *owners, const uint8_t id[KEY_SIZE], struct owner **out);

/* Makes a set exist; its members are ids in ascending order, at least two. */
MUST_CHECK int owner_make_set(
    struct owners *owners, struct owner *owner, const uint8_t (*members)[KEY_SIZE], size_t count);

/* Says which identifier it is; later calls change nothing. Errors: ERR_NO_MEMORY. */
MUST_CHECK int owner_name(struct owners *owners, struct owner *owner, struct str value);

/* To be called for each change, before or after it. */
void owner_changed(struct owners *owners, struct owner *owner);

/* An erasure took something from it: it may have vanished. */
void owner_lost(struct owners *owners, struct owner *owner);

/* The person of a root: a keyed hash of it, kept with the root's owner where that is in memory. */
void owners_person(
    const struct owners *owners, const uint8_t root[KEY_SIZE], uint8_t person[KEY_SIZE]);

/* The person that events of generic identifiers stay with: of their first node's first member; a
 * newer pseudonym's is that of what it follows. */
void owner_stay_person(const struct owners *owners, const struct owner *owner,
    const uint8_t member[KEY_SIZE], uint8_t person[KEY_SIZE]);

/* What owner_know() and owner_forget() found. */
enum {
    SIGNATURE_NEW = 0,
    SIGNATURE_KNOWN = 1,
    SIGNATURE_FORGOTTEN = 2,
    SIGNATURE_STAYS = 3,
};

/* Remembers a new signature (8 bytes of its hash). lifted_at: the lift under which its event comes,
 * or 0; it lets in what was forgotten up to then, as if new. Returns what it was. Errors: those of
 * state. */
MUST_CHECK int owner_know(
    struct owners *owners, struct owner *owner, const uint8_t *signature, int64_t lifted_at);

/* Forgets the signature, by an erasure of that time. Returns what it was; SIGNATURE_STAYS where a
 * lift of that time or later has let it in again. Errors: those of state. */
MUST_CHECK int owner_forget(
    struct owners *owners, struct owner *owner, const uint8_t *signature, int64_t at);

/* A generic node keeps no more neighbours: how often others show it, so that it knows when none
 * does. begin: how often when it becomes generic; a node that was so in the state of an older build
 * has no count. add does nothing where there is none. Errors: those of state. */
MUST_CHECK int owner_count_begin(struct owners *owners, struct owner *owner, int64_t count);
MUST_CHECK int owner_count_add(struct owners *owners, struct owner *owner, int64_t add);

/* Key of a row of TABLE_PERSON_OF that says since when a node is suppressed, and lifted, and how
 * many events it has refused for that; suppression.h. */
#define OWNER_REFUSED_KEY_SIZE (KEY_SIZE + 1)

/* Writes what changed: rows of TABLE_NODE and TABLE_PERSON_OF. An identifier that erasures have
 * left nothing of has no row of person_of. May empty the cache. */
MUST_CHECK int owners_flush(struct owners *owners);

/* Drops all from memory, written or not. */
void owners_forget(struct owners *owners);
