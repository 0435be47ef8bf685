/*
 * Avro of an older writer made Avro of this build, by a plan made once for each writer's schema.
 * What carries records between builds (frames, the log, tables) asks it where the writer's schema
 * is not the reader's; stages and sinks only ever see their own.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/schema_set.h"

struct translation;

/* One thread's. {0} is one without plans; translator_fini() ends it. */
struct translator {
    struct translation *translations; /* by index in the set of schemas */
    struct arena scratch;
    uint64_t translated; /* values, so far */
};

void translator_fini(struct translator *translator);

/* Appends the record in the present version's Avro. Errors: ERR_SCHEMA_UNKNOWN: this build has no
 * such record any more, or none that can be read from that version; those of avro_plan_decode()
 * and of encoding. *out may then have grown. */
MUST_CHECK int translator_append(struct translator *translator, const struct schema_entry *writer,
    struct str avro, struct buf *out);

/* The same by a plan that somebody else made, into an arena. type: the plan's. */
struct avro_plan;
MUST_CHECK int translator_plan(struct translator *translator, const struct avro_plan *plan,
    const struct avro_type *type, struct str avro, struct arena *arena, struct str *out);

/* The first into an arena, of a value whose Avro begins at `begin`; what is before stays. */
MUST_CHECK int translator_value(struct translator *translator, const struct schema_entry *writer,
    struct str value, size_t begin, struct arena *arena, struct str *out);
