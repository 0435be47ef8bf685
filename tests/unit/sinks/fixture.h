/*
 * Results made by hand, a scratch directory, and questions to a database.
 */
#pragma once

#include "ingest/stream/stream.h"
#include "enrich/attribution/rules.h"
#include "schemas/hash.h"
#include "schemas/model_count.avro.h"
#include "schemas/stitched.avro.h"
#include "sinks/sink.h"

/* A list of results that owns its bytes. {0} is empty. */
struct list {
    struct arena arena;
    struct result results[8192];
    size_t count;
};
void list_free(struct list *list);
void list_add(struct list *list, enum topic topic, struct str key, const struct buf *value);

/* An event on a timeline. Keys are one byte repeated; 0 fields get a plain default. */
struct made_event {
    uint8_t person;
    uint32_t event;
    int64_t occurred_at;
    int64_t placement;
    const char *channel; /* not NULL: a touch */
    const char *type;
    struct str properties;
    int64_t received_at;
    int64_t position;
};
void list_event(struct list *list, const struct made_event *made);
void list_event_gone(struct list *list, const struct made_event *made);
/* A whole touchpoint of one's own. */
void list_touchpoint(
    struct list *list, const struct made_event *made, const struct touchpoint *event);

/* A conversion with touches of the given channels and credits of every model: each model gives all
 * to the touch whose index is the model's number modulo the path. */
struct made_conversion {
    uint8_t person;
    const char *id;
    int64_t occurred_at;
    int64_t revenue_minor;
    const char *currency;
    const char *const *channels;
    size_t channels_count;
    const char *refund_of; /* not NULL: a refund */
};
void list_conversion(struct list *list, const struct made_conversion *made);
void list_conversion_gone(struct list *list, uint8_t person, const char *id);

void list_session(struct list *list, uint8_t person, uint8_t session, int64_t events);
void list_session_gone(struct list *list, uint8_t person, uint8_t session);
void list_profile(struct list *list, uint8_t person, int64_t events, const char *open_channel);
void list_profile_gone(struct list *list, uint8_t person);
void list_identifier(
    struct list *list, const char *namespace, const char *value, uint8_t person, int64_t epoch);
void list_rejected(struct list *list, uint8_t key, const char *reason, struct str payload);
/* The same of what was put in again, or that it is settled. */
void list_again(struct list *list, uint8_t key, const char *reason, uint32_t attempt, bool settled);

/* What a partition counts; each letter of from and to is a channel. 0 paths: nothing any more. */
struct made_count {
    const char *model;
    enum model_kind kind;
    int32_t partition;
    const char *currency; /* NULL: of paths that did not convert */
    const char *from;
    const char *to;
    int64_t paths;
    int64_t revenue_minor;
};
void list_count(struct list *list, const struct made_count *made);

void fixture_event_key(uint32_t event, uint8_t out[KEY_SIZE]);
void fixture_person(uint8_t person, uint8_t out[KEY_SIZE]);

/* Applies and commits as one batch; the position of "local" is set to next. */
void apply_list(struct sink *sink, const struct list *list, int64_t next);

/* A directory that goes with scratch_end(); path of tabiji.db in it. */
struct scratch {
    char dir[64];
    char database[96];
};
void scratch_begin(struct scratch *scratch);
void scratch_end(struct scratch *scratch);

/* First column of the first row of a query, as text ("NULL" for NULL, "" for no row). Owned by the
 * fixture until the next call. */
const char *ask(const char *database, const char *sql);
