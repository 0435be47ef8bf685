/*
 * libtabiji: what a till, a telephone exchange or an application server links to send customers'
 * events to a tabiji collector.
 *
 *     struct tabiji_options options = {0};
 *     struct tabiji_producer *producer;
 *     struct tabiji_event *event;
 *
 *     options.size = sizeof options;
 *     options.url = "https://collect.example.jp";
 *     options.key_file = "/etc/pos/write-key";
 *     if (tabiji_producer_new(&options, &producer, NULL) == TABIJI_OK) {
 *         if (tabiji_event_new(TABIJI_STORE_PURCHASE, NULL, &event) == TABIJI_OK) {
 *             tabiji_event_add_identifier(event, "loyalty", "8800-1234");
 *             tabiji_send(producer, event, NULL, NULL);
 *             tabiji_event_free(&event);
 *         }
 *         tabiji_producer_close(&producer, 5000);
 *     }
 *
 * What holds of every function:
 * - It never aborts, installs no signal handler and raises no signal in the caller's threads, reads
 *   no variable of the environment, keeps nothing outside of its handles, writes to no stream. What
 *   it links has a few of its own, of which two matter: OPENSSL_CONF, and SSLKEYLOGFILE, a file to
 *   which libcurl writes the secrets of TLS.
 * - It blocks only where it takes a time, and no longer than that.
 * - It returns TABIJI_OK or a negative TABIJI_ERROR_*; results are written on success only. Passing
 *   NULL where it is not allowed is TABIJI_ERROR_ARGUMENT.
 * - Texts are UTF-8 that ends in NUL, copied before the call returns.
 * - Structures whose first member is `size` grow in later releases: set size to sizeof the
 *   structure, and the rest to zero, which is each member's default.
 * - A producer may be used by any number of threads at once; an event by one at a time.
 * - In a child process after fork() a producer of the parent is dead: every call says
 *   TABIJI_ERROR_FORKED and sends nothing. (close() then only forgets the handle.)
 *
 * C99 and later, C++.
 */
#ifndef TABIJI_H
#define TABIJI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TABIJI_API __attribute__((visibility("default")))
#else
#define TABIJI_API
#endif

/* ---- errors ---- */

/* Numbers never change. */
enum tabiji_error {
    TABIJI_OK = 0,
    TABIJI_ERROR_NO_MEMORY = -1,
    TABIJI_ERROR_ARGUMENT = -2,     /* of the call or an option; the problem says which */
    TABIJI_ERROR_INVALID = -3,      /* the collector would refuse the event; the problem says why */
    TABIJI_ERROR_QUEUE_FULL = -4,   /* the event was not taken, and is counted as dropped */
    TABIJI_ERROR_TIMEOUT = -5,      /* not all was done in the time given */
    TABIJI_ERROR_UNAUTHORISED = -6, /* the collector refuses the key: tabiji_producer_resume() */
    TABIJI_ERROR_FORKED = -7,       /* the producer belongs to the parent process */
    TABIJI_ERROR_CLOSED = -8,       /* the producer takes no more events */
    TABIJI_ERROR_CALLBACK = -9,     /* not to be called from a report callback */
    TABIJI_ERROR_IO = -10,          /* a file cannot be read or written, or a thread not started */
    TABIJI_ERROR_REJECTED = -11,    /* of a report: the collector refused the event */
    TABIJI_ERROR_DISCARDED = -12,   /* of a report: the event was given up before it was sent */
    TABIJI_ERROR_LOCKED = -13 /* another producer, of any process, has the spool's directory */
};

/* "queue_full": stable, never NULL; "unknown" for a number that is none. Threads: any. */
TABIJI_API const char *tabiji_error_name(int error);
/* An English sentence, never NULL. Threads: any. */
TABIJI_API const char *tabiji_error_text(int error);
/* "0.1.0". */
TABIJI_API const char *tabiji_version(void);

/* What is wrong with an event, in the collector's words. */
struct tabiji_problem {
    size_t size;
    int error;         /* TABIJI_ERROR_*; TABIJI_OK where there is only a warning, or nothing */
    char code[32];     /* "unknown_field"; of a warning "identifier_dropped"; "" for none */
    char pointer[160]; /* JSON pointer (RFC 6901) into the event: "/order/currency" */
    char hint[256];    /* "did you mean \"order\"?" */
};

/* ---- memory ---- */

/*
 * Where events, queues, batches and reports live. libcurl, zlib's window, the JSON parser and what
 * one call needs while it runs use malloc().
 */
struct tabiji_allocator {
    void *(*allocate)(void *context, size_t size);             /* NULL: no memory */
    void *(*resize)(void *context, void *memory, size_t size); /* as realloc(), memory not NULL */
    void (*release)(void *context, void *memory);              /* memory not NULL */
    void *context;
};

/* ---- events ---- */

struct tabiji_event;

/* Canonical types. Any other name of [a-z][a-z0-9_]{0,63} is a custom event. */
#define TABIJI_PAGE_VIEWED "page_viewed"
#define TABIJI_SCREEN_VIEWED "screen_viewed"
#define TABIJI_APP_OPENED "app_opened"
#define TABIJI_APP_INSTALLED "app_installed"
#define TABIJI_SEARCHED "searched"
#define TABIJI_PRODUCT_VIEWED "product_viewed"
#define TABIJI_PRODUCT_LIST_VIEWED "product_list_viewed"
#define TABIJI_PRODUCT_ADDED "product_added"
#define TABIJI_PRODUCT_REMOVED "product_removed"
#define TABIJI_CART_VIEWED "cart_viewed"
#define TABIJI_CHECKOUT_STARTED "checkout_started"
#define TABIJI_SIGNED_UP "signed_up"
#define TABIJI_SIGNED_IN "signed_in"
#define TABIJI_FORM_SUBMITTED "form_submitted"
#define TABIJI_REVIEW_POSTED "review_posted"
#define TABIJI_AD_IMPRESSION "ad_impression"
#define TABIJI_AD_CLICKED "ad_clicked"
#define TABIJI_MESSAGE_SENT "message_sent"
#define TABIJI_MESSAGE_DELIVERED "message_delivered"
#define TABIJI_MESSAGE_OPENED "message_opened"
#define TABIJI_MESSAGE_CLICKED "message_clicked"
#define TABIJI_MESSAGE_UNSUBSCRIBED "message_unsubscribed"
#define TABIJI_CALL_STARTED "call_started"
#define TABIJI_CALL_ANSWERED "call_answered"
#define TABIJI_CALL_ENDED "call_ended"
#define TABIJI_CALL_ABANDONED "call_abandoned"
#define TABIJI_CHAT_STARTED "chat_started"
#define TABIJI_CHAT_ENDED "chat_ended"
#define TABIJI_TICKET_OPENED "ticket_opened"
#define TABIJI_TICKET_CLOSED "ticket_closed"
#define TABIJI_STORE_VISITED "store_visited"
#define TABIJI_STORE_PURCHASE "store_purchase"
#define TABIJI_STOCK_CHECKED "stock_checked"
#define TABIJI_STAFF_CONSULTED "staff_consulted"
#define TABIJI_QR_SCANNED "qr_scanned"
#define TABIJI_COUPON_REDEEMED "coupon_redeemed"
#define TABIJI_ORDER_COMPLETED "order_completed"
#define TABIJI_ORDER_PAID "order_paid"
#define TABIJI_ORDER_SHIPPED "order_shipped"
#define TABIJI_ORDER_PICKED_UP "order_picked_up"
#define TABIJI_ORDER_CANCELLED "order_cancelled"
#define TABIJI_ORDER_REFUNDED "order_refunded"
#define TABIJI_ITEM_RETURNED "item_returned"
#define TABIJI_IDENTIFIED "identified"
#define TABIJI_ALIASED "aliased"
#define TABIJI_IDENTITY_LINKED "identity_linked"
#define TABIJI_IDENTITY_UNLINKED "identity_unlinked"
#define TABIJI_CONSENT_CHANGED "consent_changed"
#define TABIJI_ERASURE_REQUESTED "erasure_requested"
/* Of operators' keys only. */
#define TABIJI_ERASURE_LIFTED "erasure_lifted"
#define TABIJI_SPEND_REPORTED "spend_reported"

/*
 * Begins an event that happens now (tabiji_event_set_time_ms() says otherwise). The allocator is
 * borrowed until the event is freed; NULL: malloc(). Of the functions below that add to an event
 * the first error stays with it, and sending or checking it returns that: so they need not be
 * checked one by one. Errors: TABIJI_ERROR_NO_MEMORY, TABIJI_ERROR_ARGUMENT.
 */
TABIJI_API int tabiji_event_new(
    const char *type, const struct tabiji_allocator *allocator, struct tabiji_event **out);
/* Accepts NULL inside, leaves NULL. */
TABIJI_API void tabiji_event_free(struct tabiji_event **event);

/* An id of one's own, 1 to 100 bytes: sent again with all else as it was, the time too, it is the
 * same event; with anything else it is refused (id_conflict). Without, tabiji_send() makes a UUID
 * (version 7), which stays the event's. */
TABIJI_API int tabiji_event_set_id(struct tabiji_event *event, const char *id);
/* "" while it has none. Valid until it is set or the event freed. */
TABIJI_API const char *tabiji_event_id(const struct tabiji_event *event);

/* When it happened: milliseconds since 1970-01-01T00:00Z, or RFC 3339 with offset. */
TABIJI_API int tabiji_event_set_time_ms(struct tabiji_event *event, int64_t epoch_ms);
TABIJI_API int tabiji_event_set_time(struct tabiji_event *event, const char *rfc3339);
/* Breaks ties of time within one source. */
TABIJI_API int tabiji_event_set_sequence(struct tabiji_event *event, int64_t sequence);

/* Who: at least one. Namespaces: login loyalty email phone install device cookie order receipt
 * case, and what the collector's configuration adds (tabiji_options.namespaces). E-mail addresses
 * and telephone numbers as they are: the collector makes them pseudonyms. */
TABIJI_API int tabiji_event_add_identifier(
    struct tabiji_event *event, const char *name, const char *value);

/* Of the structures below a member that is NULL or zero is not said; setting one again replaces it.
 * Money is a decimal text in major units ("12980", "19.99"). */
struct tabiji_order {
    size_t size;
    const char *order_id;
    const char *currency; /* ISO 4217: "JPY" */
    const char *revenue;
    const char *tax;
    const char *shipping;
    const char *discount;
    const char *coupon;
    const char *facet; /* placed paid shipped picked_up returned cancelled */
};
TABIJI_API int tabiji_event_set_order(struct tabiji_event *event, const struct tabiji_order *order);

struct tabiji_item {
    size_t size;
    const char *sku;
    const char *category;
    const char *price;
    int64_t quantity; /* 0: one */
};
/* At most 500, in their order. */
TABIJI_API int tabiji_event_add_item(struct tabiji_event *event, const struct tabiji_item *item);

struct tabiji_call {
    size_t size;
    const char *call_id;
    const char *parent_id; /* the call that was transferred */
    const char *direction; /* inbound outbound */
    const char *queue;
    const char *reason;
    const char *outcome;
    const char *agent; /* a pseudonym */
    int64_t wait_ms;
    int64_t talk_ms;
};
TABIJI_API int tabiji_event_set_call(struct tabiji_event *event, const struct tabiji_call *call);

struct tabiji_store {
    size_t size;
    const char *store_id;
    const char *terminal;
    const char *area;
    const char *staff;
};
TABIJI_API int tabiji_event_set_store(struct tabiji_event *event, const struct tabiji_store *store);

struct tabiji_message {
    size_t size;
    const char *kind; /* email push sms line direct_mail web_push in_app */
    const char *message_id;
    const char *template_name;
    const char *link;
};
TABIJI_API int tabiji_event_set_message(
    struct tabiji_event *event, const struct tabiji_message *message);

struct tabiji_page {
    size_t size;
    const char *url; /* split into host, path and query */
    const char *referrer;
    const char *title;
};
TABIJI_API int tabiji_event_set_page(struct tabiji_event *event, const struct tabiji_page *page);

struct tabiji_campaign {
    size_t size;
    const char *source; /* utm_source, and so on */
    const char *medium;
    const char *name;
    const char *content;
    const char *term;
    const char *id;
    const char *message;
};
TABIJI_API int tabiji_event_set_campaign(
    struct tabiji_event *event, const struct tabiji_campaign *campaign);

struct tabiji_device {
    size_t size;
    const char *kind; /* desktop mobile tablet app tv pos phone kiosk other */
    const char *os;
    const char *browser;
    const char *app;
    const char *app_version;
    const char *locale;
    const char *screen;
};
TABIJI_API int tabiji_event_set_device(
    struct tabiji_event *event, const struct tabiji_device *device);

struct tabiji_geo {
    size_t size;
    const char *country;
    const char *region;
    const char *city;
};
TABIJI_API int tabiji_event_set_geo(struct tabiji_event *event, const struct tabiji_geo *geo);

/* gclid, yclid, fbclid, ldtag, ttclid, msclkid, ... and its value. */
TABIJI_API int tabiji_event_set_click(
    struct tabiji_event *event, const char *kind, const char *value);

/* What the customer allows. */
enum tabiji_choice {
    TABIJI_CHOICE_UNSAID = 0,
    TABIJI_CHOICE_GRANTED = 1,
    TABIJI_CHOICE_DENIED = 2
};
struct tabiji_consent {
    size_t size;
    enum tabiji_choice analytics;
    enum tabiji_choice ads;
    enum tabiji_choice personalisation;
};
TABIJI_API int tabiji_event_set_consent(
    struct tabiji_event *event, const struct tabiji_consent *consent);

/* That two identifiers are one customer's (type TABIJI_ALIASED or any other). */
struct tabiji_link {
    size_t size;
    const char *a_name;
    const char *a_value;
    const char *b_name;
    const char *b_value;
    const char *reason;
    int apart; /* not 0: that they are two customers' (of operators' keys only) */
};
TABIJI_API int tabiji_event_set_link(struct tabiji_event *event, const struct tabiji_link *link);

/* Anything else, each name once. A double must be finite, and may need at most 17 digits. json: one
 * value of JSON, which says nothing beyond its property. */
TABIJI_API int tabiji_event_add_text(
    struct tabiji_event *event, const char *name, const char *value);
TABIJI_API int tabiji_event_add_int(struct tabiji_event *event, const char *name, int64_t value);
TABIJI_API int tabiji_event_add_double(struct tabiji_event *event, const char *name, double value);
TABIJI_API int tabiji_event_add_bool(struct tabiji_event *event, const char *name, int value);
TABIJI_API int tabiji_event_add_json(
    struct tabiji_event *event, const char *name, const char *json);

/*
 * Judges an event by the code that the collector judges it with, in its standard configuration.
 * problem may be NULL. TABIJI_OK with problem->code not "": it is taken, with a warning (an
 * identifier that identifies nobody is left out). Errors: TABIJI_ERROR_INVALID,
 * TABIJI_ERROR_NO_MEMORY, TABIJI_ERROR_ARGUMENT.
 */
TABIJI_API int tabiji_event_check(struct tabiji_event *event, struct tabiji_problem *problem);
/* The same for an event as JSON, of `json_size` bytes. */
TABIJI_API int tabiji_json_check(
    const char *json, size_t json_size, struct tabiji_problem *problem);

/* The event as one line of native JSON, with its NUL; size without that. Owned by the event, valid
 * until the next call with it. */
TABIJI_API int tabiji_event_json(struct tabiji_event *event, const char **json, size_t *json_size);

/* ---- producer ---- */

struct tabiji_producer;

/* What a full queue does with one more event. */
enum tabiji_policy {
    TABIJI_POLICY_BLOCK = 0,       /* waits queue_timeout_ms for room, then is "drop newest" */
    TABIJI_POLICY_DROP_NEWEST = 1, /* tabiji_send() says TABIJI_ERROR_QUEUE_FULL */
    /* The oldest that is not in a request goes, and is reported; while 1,024 such reports wait for
     * the producer's thread, only counted: in events_dropped and reports_lost. */
    TABIJI_POLICY_DROP_OLDEST = 2
};

/* Bits of tabiji_options.flags; others are refused. */
enum tabiji_flag {
    TABIJI_NO_CHECK = 1,  /* events are not judged before they are queued */
    TABIJI_KEEP_ID = 2,   /* JSON without "id" is given none: it is invalid */
    TABIJI_KEEP_TIME = 4, /* JSON without "time" is given none: the collector takes its own */
    TABIJI_TRUSTED = 8,   /* the key's source may say what only trusted sources may */
    TABIJI_NO_GZIP = 16,  /* bodies go as they are */
    TABIJI_FAILURES = 32, /* only events that were not delivered are reported */
    /* JSON goes as it is, and is not even parsed: the collector judges it, and keeps what it
     * rejects. Reports then have no event_id. */
    TABIJI_AS_IT_IS = 64
};

/* When what is in the spool is synchronised to the disk: what survives a loss of power. What was
 * sent survives the end of the process, by kill -9 too, under each. */
enum tabiji_spool_sync {
    TABIJI_SPOOL_SYNC_INTERVAL = 0, /* spool_interval_ms after it was sent */
    TABIJI_SPOOL_SYNC_EVERY = 1,    /* each tabiji_send() is a tabiji_send_durable() */
    TABIJI_SPOOL_SYNC_NONE = 2      /* when the system likes */
};

struct tabiji_report;
typedef void (*tabiji_report_fn)(void *context, const struct tabiji_report *report);

struct tabiji_options {
    size_t size;
    unsigned flags;

    const char *url;      /* of the collector: "https://collect.example.jp" */
    const char *key;      /* write key; or */
    const char *key_file; /* a file whose first line it is */
    /* TLS 1.2 or later; the server is always verified. NULL: the system's authorities. */
    const char *ca_file;          /* PEM */
    const char *certificate_file; /* of this client, PEM */
    const char *private_key_file;
    /* NULL: none, whatever the environment says; else a host with, before it, http:// (also when
     * there is none), https://, socks4://, socks4a://, socks5:// or socks5h://. */
    const char *proxy;

    /* The queue, with what is in requests. */
    size_t queue_events_max; /* 100,000 */
    size_t queue_bytes_max;  /* 64 MiB */
    enum tabiji_policy queue_policy;
    int queue_timeout_ms; /* of TABIJI_POLICY_BLOCK: 0: 1,000; negative: as long as it takes */

    /* A request goes when it has so many events or bytes, or its first event is so old. */
    size_t batch_events_max; /* 1,000; at most 2,500; to Kafka 5,000 */
    size_t batch_bytes_max;  /* 512 KiB; at most 1,000,000; to Kafka 4 MiB */
    int linger_ms;           /* 0: 20; negative: none */
    int requests_max;        /* at once: 0: one, so that events arrive in their order; at most 16 */

    int connect_timeout_ms; /* 5,000 */
    int request_timeout_ms; /* 30,000 */
    /* Pauses before a request is tried again: by decorrelated jitter between these, but never less
     * than what the collector asks for by Retry-After. There is no last try. */
    int retry_min_ms; /* 100 */
    int retry_max_ms; /* 30,000 */

    /* Each event's end. on_report is called on the producer's thread, and may call tabiji_send(),
     * which there never waits for room (the queue still has the event that is reported), but not
     * flush or close. Without it, reports_max reports are kept for tabiji_report_next();
     * more are lost, and counted. */
    tabiji_report_fn on_report;
    void *report_context;
    size_t reports_max;

    const char *namespaces; /* of identifiers that the collector's configuration adds: "card crm" */
    const struct tabiji_allocator *allocator; /* copied; threads: any */

    /* Instead of url and a key: directly to Kafka, as the collector does, by its configuration file
     * ([stream] prefix, [kafka], [identity] and the tenant keys; no schema registry) and as its
     * [source NAME]: its namespaces are known besides. Brokers that refuse are tried again, as are
     * those that are away, with the password and certificates that the files then have. Closing may
     * take 15 s more than it is given, while brokers are silent. */
    const char *kafka_config;
    const char *kafka_source;

    /* A directory (made, mode 0700, where only its parent is there) for events that wait, in the
     * place of the queue in memory: with it every event is written there before tabiji_send()
     * returns, and leaves it when the collector has answered for it. So what a process leaves, or
     * has in a request when it is killed, is sent by the next producer that has the directory, in
     * order, before what that one is given. Ids are in what is written: an event that is sent again
     * is the same. One producer at a time has it; a child after fork() holds it as long as it lives
     * or until exec(). Requests go one after the other, whatever requests_max says, and
     * queue_events_max and queue_bytes_max mean nothing. NULL: none, and none of the others count.
     */
    const char *spool_dir;
    /* Of the files: 0: 256 MiB; at least 64 KiB. An event has a quarter of it at most. Beyond it,
     * or when the disk has no room, it is as queue_policy says; TABIJI_POLICY_DROP_OLDEST drops
     * files, from the oldest on, also events that were sent durably, and only for spool_bytes_max.
     */
    uint64_t spool_bytes_max;
    int64_t spool_age_max_ms; /* older events are dropped; 0: none */
    enum tabiji_spool_sync spool_sync;
    int spool_interval_ms; /* 0: 1,000; at most 86,400,000 */
};

/*
 * Starts a producer with one thread (and one that synchronises a spool), in which all signals are
 * blocked. No connection is tried before there is an event. problem (may be NULL): pointer names
 * the option, hint says what is wrong. Errors: TABIJI_ERROR_ARGUMENT, TABIJI_ERROR_IO,
 * TABIJI_ERROR_NO_MEMORY, TABIJI_ERROR_LOCKED.
 */
TABIJI_API int tabiji_producer_new(const struct tabiji_options *options,
    struct tabiji_producer **out, struct tabiji_problem *problem);

/* Takes no more events: from now on tabiji_send() says TABIJI_ERROR_CLOSED, also where it waits for
 * room. What is queued goes on to be sent. */
TABIJI_API int tabiji_producer_stop(struct tabiji_producer *producer);

/*
 * Stops, sends what is queued for at most so long (0: nothing more; a request that is under way is
 * given up), reports the rest as TABIJI_ERROR_DISCARDED (and waits for its callbacks to return),
 * and frees the producer. No other call may be under way but tabiji_send(), which then ends, nor
 * begin. Leaves NULL inside. Errors: TABIJI_ERROR_TIMEOUT, TABIJI_ERROR_UNAUTHORISED: something was
 * discarded; TABIJI_ERROR_CALLBACK: nothing is done; TABIJI_ERROR_FORKED: the handle is forgotten,
 * its memory stays as it is.
 * With a spool nothing is discarded: the rest stays on the disk, TABIJI_REPORT_SPOOL says how many
 * these are, the errors are the same, and a disk that is slow to synchronise lengthens the call.
 */
TABIJI_API int tabiji_producer_close(struct tabiji_producer **producer, int timeout_ms);

/*
 * Queues a copy of the event. The event stays the caller's, and may be sent again: as the same
 * event, which counts once. opaque comes back in the report. problem may be NULL. Errors:
 * TABIJI_ERROR_INVALID (see tabiji_event_check()), TABIJI_ERROR_QUEUE_FULL, TABIJI_ERROR_CLOSED,
 * TABIJI_ERROR_NO_MEMORY, TABIJI_ERROR_FORKED: nothing was queued, and nothing is reported. With a
 * spool, TABIJI_ERROR_IO: the disk failed; whether the event is kept is not known where it failed
 * to synchronise, and then each later call says so until a new producer opens the spool. opaque is
 * NULL in reports of what an earlier producer left.
 */
TABIJI_API int tabiji_send(struct tabiji_producer *producer, struct tabiji_event *event,
    void *opaque, struct tabiji_problem *problem);
/* The same for an event as JSON, of `json_size` bytes. It is given an "id" and the "time" now where
 * it has none (but see the flags). */
TABIJI_API int tabiji_send_json(struct tabiji_producer *producer, const char *json,
    size_t json_size, void *opaque, struct tabiji_problem *problem);

/* As the two above, of a producer with a spool: TABIJI_OK says that the event is on the disk, also
 * when power is lost. (Threads that call at once share a synchronisation.) Errors: the same;
 * TABIJI_ERROR_ARGUMENT: there is no spool. */
TABIJI_API int tabiji_send_durable(struct tabiji_producer *producer, struct tabiji_event *event,
    void *opaque, struct tabiji_problem *problem);
TABIJI_API int tabiji_send_json_durable(struct tabiji_producer *producer, const char *json,
    size_t json_size, void *opaque, struct tabiji_problem *problem);

/* Waits until every event that was queued before the call has met its end; with a spool, those of
 * earlier processes too. It does not linger.
 * Errors: TABIJI_ERROR_TIMEOUT; TABIJI_ERROR_UNAUTHORISED: nothing is sent any more. */
TABIJI_API int tabiji_flush(struct tabiji_producer *producer, int timeout_ms);

/*
 * After TABIJI_ERROR_UNAUTHORISED (the collector answered 401 or 403): tries again, with another
 * key, or with key NULL as key_file has it now or the same key. May also be called before that.
 * Errors: TABIJI_ERROR_ARGUMENT, TABIJI_ERROR_IO, TABIJI_ERROR_NO_MEMORY: the old key stays.
 */
TABIJI_API int tabiji_producer_resume(struct tabiji_producer *producer, const char *key);

/* ---- what became of events ---- */

enum tabiji_report_kind {
    TABIJI_REPORT_DELIVERED = 1, /* the collector has it durably (or its customer denies it) */
    TABIJI_REPORT_REJECTED = 2,  /* the collector refused it; problem has its words */
    TABIJI_REPORT_DROPPED = 3,   /* never sent: problem.error says why */
    TABIJI_REPORT_STOPPED = 4,   /* about no event: sending stopped, the queue is kept */
    /* What became of `events` in the spool, by problem.code: "kept" (at close), "spool_full" and
     * "spool_age" (dropped), "spool_damaged" (could not be read), "spool_cut" (torn ends of files,
     * by an end amid writing; what was sent durably is not in them). */
    TABIJI_REPORT_SPOOL = 5
};

struct tabiji_report {
    size_t size;
    enum tabiji_report_kind kind;
    const char *event_id; /* "" for those about no event, and of TABIJI_AS_IT_IS */
    void *opaque;
    struct tabiji_problem problem;
    uint64_t events; /* of TABIJI_REPORT_SPOOL; else 0 */
};

/* The next report that was kept; waits for it. Frees it with tabiji_report_free(). Errors:
 * TABIJI_ERROR_TIMEOUT. */
TABIJI_API int tabiji_report_next(
    struct tabiji_producer *producer, int timeout_ms, struct tabiji_report **out);
/* Before the producer is closed. Accepts NULL inside, leaves NULL. */
TABIJI_API void tabiji_report_free(struct tabiji_producer *producer, struct tabiji_report **report);

struct tabiji_statistics {
    size_t size;
    uint64_t events_taken;     /* into the queue */
    uint64_t events_delivered; /* with those that the collector had already */
    uint64_t events_duplicate; /* of these: the collector said that it had them */
    uint64_t events_denied;    /* of these: their customers deny analytics, so they were not kept */
    uint64_t events_rejected;  /* by the collector */
    uint64_t events_invalid;   /* by tabiji_send() */
    uint64_t events_dropped;   /* newest and oldest, and by age */
    uint64_t events_discarded; /* at close */
    uint64_t reports_lost;
    uint64_t queue_events; /* now, with those in requests; with a spool these alone */
    uint64_t queue_bytes;
    uint64_t requests;        /* tries */
    uint64_t requests_failed; /* of these: to be tried again */
    uint64_t bytes_sent;      /* of bodies, as they went */
    int unauthorised;         /* 1: sending has stopped */
    int last_status;          /* of HTTP; 0: no answer yet, or none to the last request */
    char last_failure[160];   /* why the last request was not taken, or none begun; else "" */
    uint64_t spool_events;    /* now, with those in requests */
    uint64_t spool_bytes;     /* now, of the files */
    int64_t spool_oldest_ms;  /* how old the first of them is */
    /* Of events_dropped; some of these may just have been delivered. */
    uint64_t spool_dropped_full, spool_dropped_age;
    uint64_t spool_lost; /* events on the disk that could not be read; their files are set aside */
    uint64_t spool_cuts; /* torn ends of files, which were cut */
};
TABIJI_API int tabiji_producer_statistics(
    struct tabiji_producer *producer, struct tabiji_statistics *out);

#ifdef __cplusplus
}
#endif

#endif
