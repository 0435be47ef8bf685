/*
 * A person's journey so far: the fold over that person's events in timeline order.
 *
 * Everything that journeys derive comes out of fold_step(), event by event. So a fold that has seen
 * a timeline may be kept and go on when later events are appended: the rows are the same as those
 * of a new fold over all, since it is the same function over the same sequence.
 *
 * struct fold is a person's; struct folder is what all folds of a stage share.
 */
#pragma once

#include "enrich/attribution/credit.h"
#include "enrich/journey/intern.h"
#include "enrich/journey/moment.h"

/* A session that may still go on. */
struct open_session {
    uint8_t visitor[KEY_SIZE];
    uint8_t session_key[KEY_SIZE];
    int64_t started_at;
    int64_t last_at;
    int64_t events;
    int64_t page_views;
    uint64_t campaign; /* hash of (source, medium, campaign, click); 0: none */
    uint32_t row;      /* into the folder's session rows of this run; NO_ROW */
};
#define FOLD_NO_ROW UINT32_MAX

/* A visit or call so near that it may make a later event imply none. */
struct near_contact {
    enum touch_kind kind;
    uint64_t id; /* hash of the store's or call's id */
    int64_t last_at;
};

/* A touch that may earn credit. Texts are numbers of the folder's intern. */
struct fold_touch {
    int64_t at;
    uint8_t event_key[KEY_SIZE];
    uint32_t channel;
    uint32_t source;
    uint32_t medium;
    uint32_t campaign;
    uint32_t message;
    enum touch_kind kind;
    uint32_t milestones; /* RULE_TOUCH_... */
};

/* An order id, or the event id of a conversion without one. Keys (conversion_key()) of the id, and
 * of the conversion's id where that is another, are in fold->ids. */
struct fold_order {
    uint64_t hash;
    uint32_t id_offset;
    uint32_t row_offset;
    uint16_t id_size;
    uint16_t row_size;
    bool is_order;
    bool converted;
    bool suffixed; /* its conversion id is the id, '#' and its event key, since the id was taken */
    uint32_t currency;
    int64_t revenue_minor;
    int64_t refunded_minor;
    uint32_t waiting_first; /* index + 1 of the first refund that waits for it; 0: none */
    uint32_t waiting_last;
};

/* A refund, which may come before its order. */
struct fold_refund {
    int64_t at;
    uint8_t event_key[KEY_SIZE];
    int64_t amount; /* FOLD_ALL_LEFT */
    uint32_t type;
    uint32_t currency;
    uint32_t next; /* index + 1 of the next that waits for the same order */
};
#define FOLD_ALL_LEFT (-1)

__extension__ typedef __int128 fold_sum;
struct fold_revenue {
    uint32_t currency;
    fold_sum net_minor;
};

struct fold {
    int64_t events;           /* stepped through */
    struct moment_place last; /* of the last one */
    int64_t sessions_total;
    int64_t touches_total;
    int64_t conversions_total;
    int64_t refunds_total;

    struct open_session *sessions;
    size_t sessions_count, sessions_room;
    struct near_contact *contacts;
    size_t contacts_count, contacts_room;
    struct fold_touch *touches; /* the newest; to 2 * path_touches_max */
    size_t touches_count, touches_room;
    size_t open_from; /* the first touch behind the last conversion */
    struct fold_order *orders;
    size_t orders_count, orders_room;
    uint32_t *orders_slots; /* index + 1; a hash table once there are many */
    size_t orders_slots_size;
    struct buf ids;
    struct fold_refund *waiting;
    size_t waiting_count, waiting_room;
    struct fold_revenue *revenue;
    size_t revenue_count, revenue_room;
};

/* A session's row as one run leaves it. Texts are set where `begun`, that is, when the session
 * began in this run; else its stored row has them. */
struct session_row {
    bool begun;
    uint8_t session_key[KEY_SIZE];
    int64_t started_at;
    int64_t ended_at;
    int64_t events;
    int64_t page_views;
    struct str channel, source, medium, campaign, landing_host, landing_path, device_kind;
};

/* Where conversions go, and where a refund finds what it takes from. */
struct fold_output {
    void *context;
    /* A row, complete but for its person; slices are valid during the call. */
    int (*conversion)(void *context, const struct conversion *row);
    /* The row with that conversion_key(), which conversion() was given before, in this run or an
     * earlier one. Slices are valid until the next call. */
    int (*find)(void *context, struct str key, struct conversion *out);
};

/* What stands for a conversion's id in keys of rows: the id itself, or, over
 * CONVERSION_KEY_SIZE_MAX bytes, the first 16 bytes of its SHA-256, put into `room`. */
#define CONVERSION_KEY_SIZE_MAX ((size_t)200)
struct str conversion_key(struct str conversion_id, uint8_t room[SHA256_SIZE]);

/* Texts of a touch longer than this are cut in paths (the event keeps them whole), so that the
 * longest path fits a row. */
#define TOUCH_TEXT_SIZE_MAX ((size_t)256)

struct folder {
    const struct journey_config *config;
    struct moment_types *types;
    struct intern *intern;
    struct fold_output output;

    /* Of this run. */
    struct session_row *rows;
    size_t rows_count, rows_room;

    /* Memory used again and again. */
    struct credits credits;
    struct path_touch *path;
    struct rule_touch *rule_path;
    size_t path_room;
    struct buf id;
};

/* config outlives the folder. Errors: ERR_NO_MEMORY, ERR_CONFIG for values out of their ranges. */
MUST_CHECK int folder_init(struct folder *folder, const struct journey_config *config);
void folder_fini(struct folder *folder);

/* Begins a run: no session rows yet. Only this run's fold may be stepped until the next. */
void folder_begin(struct folder *folder, struct fold *fold);

/* {0} is the fold of nothing. Frees, and leaves that. */
void fold_free(struct fold *fold);
/* The same, but keeps the memory. */
void fold_clear(struct fold *fold);

/* Steps through the next event, which comes after all before; fills what `moment` says it finds.
 * Errors: ERR_NO_MEMORY, those of the output; the fold is then unusable. */
MUST_CHECK int fold_step(struct folder *folder, struct fold *fold, struct moment *moment);

/* Bytes that the fold holds. */
size_t fold_size(const struct fold *fold);

/* ---- parts of fold_step(), each with a file ---- */

/* session.c: web and app events make sessions. *begun: this event began one. */
MUST_CHECK int fold_session(
    struct folder *folder, struct fold *fold, struct moment *moment, bool *begun);

/* touch.c: what the event is as a touch. *before: it stands before its own event, so that the
 * event's own conversion sees it. */
MUST_CHECK int fold_touch_of(struct folder *folder, struct fold *fold, struct moment *moment,
    bool session_begun, bool *before);
/* touch.c: keeps it, when it can earn credit. */
MUST_CHECK int fold_touch_add(
    struct folder *folder, struct fold *fold, const struct moment *moment);

/* conversion.c */
MUST_CHECK int fold_conversion(
    struct folder *folder, struct fold *fold, const struct moment *moment);
MUST_CHECK int fold_take_back(
    struct folder *folder, struct fold *fold, const struct moment *moment);

/* Doubles an array. NULL when out of memory; the old one is then as before. */
void *array_grow(void *items, size_t *room, size_t item_size);
