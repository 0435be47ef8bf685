/*
 * A tracking plan: which events a source may send, and what of them. Files of JSON Schema
 * (json_schema.h) by source and event type, written by the users:
 *
 *     DIR/shop-web/order_completed.json
 *     DIR/_any/page_viewed.json            of sources that have no such file themselves
 *
 * What is judged is the event as it came through its protocol: native JSON (event_json.h), whatever
 * the sender spoke, without what the pipeline sets (source, protocol, client, traceparent, ...);
 * identifiers as they were sent, amounts as decimal text. Types without a file may come.
 */
#pragma once

#include "ingest/config/config.h"
#include "schemas/arena.h"
#include "schemas/event_json.h"

#define PLAN_FILES_MAX 10000
#define PLAN_ANY "_any"

/* The files as they were read. */
struct plan_files;
/* Reads all files of a directory; names that begin with a point, and README.md, are passed over.
 * Errors: ERR_CONFIG with "FILE: what is wrong" appended to *message, also for names that are no
 * source's or type's; ERR_NO_MEMORY. */
MUST_CHECK int plan_files_load(const char *dir, struct plan_files **out, struct buf *message);
/* Accepts NULL inside, leaves NULL. */
void plan_files_free(struct plan_files **files);

/* Files that may be replaced while events are judged. */
struct plan;
/* Takes the files, on success. Errors: ERR_NO_MEMORY. */
MUST_CHECK int plan_new(struct plan_files **take_files, struct plan **out);
void plan_free(struct plan **plan);
/* Other files from now on; takes them. Threads: any. */
void plan_replace(struct plan *plan, struct plan_files **take_files);

/* Judges an event by the file of its source and type. 0: it fits, or there is no such file;
 * PLAN_MISFIT: *problem is ERR_SCHEMA_VIOLATION with the place and a hint, in the arena. Errors:
 * ERR_NO_MEMORY. Threads: any. */
#define PLAN_MISFIT 1
MUST_CHECK int plan_judge(struct plan *plan, const struct touchpoint *event, struct arena *arena,
    struct event_problem *problem);
