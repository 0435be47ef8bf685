/*
 * The subjects of our own topics: `<prefix>.<topic>.v1-value` (TopicName strategy), one record
 * each. Topics of unpublished tables carry several records and are read by nobody else: they have
 * none, and keep the ids of schemas/avro/ids.txt whether there is a registry or not.
 */
#pragma once

#include "ingest/registry/registry_client.h"
#include "ingest/stream/topic.h"
#include "schemas/schema_set.h"

#define SUBJECT_LEVEL "FULL" /* the compatibility that our subjects have */

struct subject {
    enum topic topic;
    char name[REGISTRY_SUBJECT_SIZE_MAX];
    const struct schema_entry *entry; /* what this build writes there */
};

/* Fills *out with the subject of a topic. False: it has none. Threads: any. */
bool subject_of(const char *prefix, enum topic topic, struct subject *out);

/*
 * The id that the registry has for this build's schema; registers it where it has none and `add`
 * says so, and then sets the subject's level to SUBJECT_LEVEL (before, where the subject is there:
 * so that nothing incompatible is added). Errors: ERR_NOT_FOUND: not registered, and not to be;
 * ERR_SCHEMA_INCOMPATIBLE, and those of registry_client.h, with `why`.
 */
MUST_CHECK int subject_id(struct registry_client *client, const struct subject *subject, bool add,
    uint32_t *id, char *why);

/* How this build's schema stands to what the registry has. */
enum subject_state {
    SUBJECT_REGISTERED,   /* it is there */
    SUBJECT_COMPATIBLE,   /* it would be taken */
    SUBJECT_INCOMPATIBLE, /* it would not: why has the reasons */
    SUBJECT_MISSING,      /* no such subject */
};
struct subject_check {
    enum subject_state state;
    struct registry_version found;   /* registered: this schema's; else the newest. {0}: missing */
    char level[REGISTRY_LEVEL_SIZE]; /* "": none is known */
};

/* Asks. A schema is incompatible when the registry says so by the subject's level, or when it and
 * the newest version cannot be read as each other's as far as this build can tell (it reads the
 * newest; servers of level NONE find all compatible). Errors: those of registry_client.h. */
MUST_CHECK int subject_check(struct registry_client *client, const struct subject *subject,
    struct subject_check *out, char *why);
