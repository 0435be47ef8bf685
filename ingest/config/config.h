/*
 * Configuration: one option table; defaults < file < environment < flags; each value knows where it
 * came from.
 *
 *     config_new(); config_load(); config_environment(); config_set()...; config_finish();
 *
 * then only reads, from any thread. Errors of users come with a sentence in config_problem.
 */
#pragma once

#include <stdio.h>

#include "schemas/bytes.h"

enum option_type {
    OPTION_TYPE_TEXT,
    OPTION_TYPE_PATH,
    OPTION_TYPE_CHOICE,
    OPTION_TYPE_INT,
    OPTION_TYPE_SIZE,     /* "64 MiB", "10 kB" (1,000), "512": bytes */
    OPTION_TYPE_DURATION, /* "500 ms", "30 s", "15 min", "1 h", "7 d": milliseconds */
    OPTION_TYPE_BOOL,     /* yes no true false on off 1 0 */
    OPTION_TYPE_LIST,     /* items between commas or on lines of their own */
    OPTION_TYPE_SECRET,   /* path of a file that holds it, or credential:NAME (systemd) */
};

/* One row of option.def. */
struct option {
    const char *section;
    const char *key;
    enum option_type type;
    const char *default_text;
    int64_t min;
    int64_t max;
    const char *choices;
    const char *doc;
};

enum option_id {
#define X(id, ...) OPTION_##id,
#include "ingest/config/option.def"
#undef X
    OPTION_COUNT,
};

/* Row of an option, for manuals. Static. Threads: any. */
const struct option *config_option(enum option_id id);

#define CONFIG_PROBLEM_SIZE 512
/* What to tell the user: "tabiji.ini:12: unknown key \"lisen\" in [collector]: did you mean ...".
 */
struct config_problem {
    char text[CONFIG_PROBLEM_SIZE];
};

struct config;
/* All defaults. Errors: ERR_NO_MEMORY. */
MUST_CHECK int config_new(struct config **out);
void config_free(struct config **config);

/* Reads an INI file (ini.h). Errors: ERR_CONFIG (unreadable, unknown key or section, bad value, a
 * key twice) with *problem; ERR_NO_MEMORY. */
MUST_CHECK int config_load(struct config *config, const char *path, struct config_problem *problem);

/* The same from memory; `name` stands for the file in messages. */
MUST_CHECK int config_load_text(
    struct config *config, const char *name, struct str text, struct config_problem *problem);

/* Reads a file of [source NAME] sections and nothing else, after all others: what flags have set
 * stays, a source of another file is an error. Errors: ERR_NOT_FOUND with *problem; else as
 * config_load(). */
MUST_CHECK int config_load_sources(
    struct config *config, const char *path, struct config_problem *problem);

/* The same from memory. */
MUST_CHECK int config_load_sources_text(
    struct config *config, const char *name, struct str text, struct config_problem *problem);

/* Takes TABIJI_SECTION_KEY=value (dots become '_'; TABIJI_KAFKA_BOOTSTRAP_SERVERS is
 * bootstrap.servers of [kafka]) from a NULL-ended list as environ. Variables that begin with no
 * known section are left alone. Errors as config_load(). */
MUST_CHECK int config_environment(
    struct config *config, char *const *environment, struct config_problem *problem);

/* Sets "section.key" ("source.NAME.key", "model.NAME.key", "kafka.bootstrap.servers"); origin is
 * told by dumps
 * ("--data"). Errors as config_load(). */
MUST_CHECK int config_set(struct config *config, const char *name, const char *value,
    const char *origin, struct config_problem *problem);

/* Reads secret files, makes sources and models ready. Errors as config_load(). */
MUST_CHECK int config_finish(struct config *config, struct config_problem *problem);

/* ---- reading; borrowed until config_free() ---- */

struct str config_text(
    const struct config *config, enum option_id id); /* TEXT PATH CHOICE SECRET */
const char *config_path(const struct config *config, enum option_id id); /* same, NUL-terminated */
int64_t config_int(const struct config *config, enum option_id id);      /* INT SIZE DURATION */
bool config_bool(const struct config *config, enum option_id id);
/* Items of a LIST. Returns their count. */
size_t config_list(const struct config *config, enum option_id id, const struct str **items);
/* Content of a SECRET's file without the line end; empty when none is configured. */
struct str config_secret(const struct config *config, enum option_id id);
/* True unless the value is the default. */
bool config_given(const struct config *config, enum option_id id);

/* Pairs of a section that is passed on verbatim: CONFIG_KAFKA, ... Both strings end with NUL. A key
 * that ends with "_file" has become the key before it with that file's content. */
enum config_verbatim {
    CONFIG_KAFKA,
    CONFIG_KAFKA_PRODUCER,
    CONFIG_KAFKA_CONSUMER,
    CONFIG_VERBATIM_COUNT,
};
struct config_pair {
    struct str key;
    struct str value;
    struct str origin;
    struct str file; /* where the value was read from by a "_file" key; empty: it stood in place */
};
size_t config_pairs(
    const struct config *config, enum config_verbatim which, const struct config_pair **pairs);

/* A [source NAME]. */
#define SOURCE_NAME_SIZE_MAX 64
#define CONFIG_SOURCES_MAX 1000
#define SOURCE_PROTOCOL_NATIVE (1u << 0)
#define SOURCE_PROTOCOL_SEGMENT (1u << 1)
#define SOURCE_PROTOCOL_SNOWPLOW (1u << 2)
#define SOURCE_PROTOCOL_GA4 (1u << 3)
#define SOURCE_PROTOCOL_WEBHOOK (1u << 4)
#define SOURCE_PROTOCOL_ALL (~0u)
enum config_plan { PLAN_USUAL, PLAN_STRICT, PLAN_WARN, PLAN_OFF };
enum config_event_time { EVENT_TIME_USUAL, EVENT_TIME_CORRECTED, EVENT_TIME_VERBATIM };
#define CONFIG_SECRETS_MAX 2 /* of one source: the old and the new one */
struct mapping;
struct config_source {
    struct str name;           /* [a-z0-9][a-z0-9_-]{0,63} */
    const uint8_t (*keys)[32]; /* SHA-256 of write keys */
    size_t keys_count;
    const uint8_t (*old_keys)[32]; /* the same, of keys that are good until then only */
    size_t old_keys_count;
    int64_t old_keys_until_micros;
    const struct str *origins;
    size_t origins_count;
    const struct str *app_ids; /* of Snowplow trackers without a key */
    size_t app_ids_count;
    unsigned protocols;    /* SOURCE_PROTOCOL_* */
    int64_t rate;          /* events a second; 0: no limit */
    int64_t burst;         /* events saved up at most; 0: as the collector has it */
    struct str currency;   /* of amounts that name none */
    bool currency_assumed; /* nobody has said it: it is what Segment says */
    bool enabled;
    enum config_plan plan; /* what becomes of events that the plan forbids */
    bool trusted_channel;
    bool is_operator;
    bool refuses_evidence;             /* aliases of one that is no operator */
    enum config_event_time event_time; /* of Segment's and Rudder's events */
    const struct str *secrets;         /* of webhooks; content of their files */
    size_t secrets_count;
    struct str signature_header;   /* ends with NUL; empty: the kind's own */
    struct str public_url;         /* without a slash at its end; empty: as the request says */
    int64_t replay_window_micros;  /* 0: any time */
    const struct mapping *mapping; /* of generic webhooks; NULL: none */
};
/* In the order of the file. Valid after config_finish(). */
size_t config_sources(const struct config *config, const struct config_source **sources);
/* The mode that a word says; PLAN_USUAL for one that is none. */
enum config_plan config_plan_of(struct str word);
/* The source of that name, or NULL. */
const struct config_source *config_source(const struct config *config, struct str name);

/* A model that is kept: of [attribution] models by its kind, or a [model NAME]. */
#define CONFIG_MODELS_MAX 25 /* sections */
struct config_model {
    struct str name; /* as of a source; none of a rule model that is always credited by */
    struct str kind; /* algorithmic, or a rule's */
    int order;       /* 0: chosen */
    bool ignore_nulls;
    const struct str *conversion_types;
    size_t conversion_types_count;
    int64_t lookback_days; /* 0: the journey's */
    bool reset;
    int64_t half_life_days; /* 0: the journey's */
    uint32_t weights[3];    /* first, middle, last; not all 0 */
    int64_t bootstrap, seed;
};
/* Those of [attribution], then sections in the order of the file. Valid after config_finish(). */
size_t config_models(const struct config *config, const struct config_model **models);

/* One effective value, for dumps. Secrets show as their file's path, passwords in place as
 * "(hidden)". */
struct config_entry {
    struct str section; /* "source ec-web" for a source, "model NAME" for a model */
    struct str key;
    struct str value;
    struct str origin; /* "default", "FILE:LINE", "environment NAME", "--flag" */
    const char *doc;   /* NULL for verbatim keys */
};
typedef int (*config_entry_fn)(void *context, const struct config_entry *entry);
/* Visits all values, section by section. Returns the first error of visit(). */
MUST_CHECK int config_visit(const struct config *config, config_entry_fn visit, void *context);

/* Writes INI that config_load() reads back to the same values (but for hidden ones); with origin: a
 * comment on each value says where it came from; with doc: what it means, and how a source is
 * written where there is none. Errors: ERR_IO. */
MUST_CHECK int config_dump(const struct config *config, bool origin, bool doc, FILE *out);
