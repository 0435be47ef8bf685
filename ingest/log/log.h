/*
 * Messages as JSON lines: time, level, a constant event name, then keys and values. Never payloads,
 * never personal data.
 *
 *     log_write(log, LOG_LEVEL_INFO, "collector_started", LOG_TEXT("address", address),
 *         LOG_INT("port", port));
 */
#pragma once

#include "schemas/bytes.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
};

/* Where messages go, and which. A value type: {0} drops everything (fd 0 is no place to write).
 * Threads: any; a message is one write(2), so that lines never mix. */
struct log {
    int fd; /* 2: standard error */
    enum log_level level;
};

enum log_kind {
    LOG_KIND_NONE,
    LOG_KIND_TEXT,
    LOG_KIND_INT,
    LOG_KIND_BOOL,
};
struct log_field {
    const char *key; /* [a-z_]+, a literal */
    enum log_kind kind;
    struct str text;
    int64_t number;
};
#define LOG_TEXT(key_, text_)                                                                      \
    ((struct log_field){.key = (key_), .kind = LOG_KIND_TEXT, .text = str_of(text_)})
#define LOG_STR(key_, str_)                                                                        \
    ((struct log_field){.key = (key_), .kind = LOG_KIND_TEXT, .text = (str_)})
#define LOG_INT(key_, number_)                                                                     \
    ((struct log_field){.key = (key_), .kind = LOG_KIND_INT, .number = (int64_t)(number_)})
#define LOG_BOOL(key_, truth_)                                                                     \
    ((struct log_field){.key = (key_), .kind = LOG_KIND_BOOL, .number = (truth_) ? 1 : 0})
/* The name and the text of an ERR_*. */
#define LOG_ERROR(error_)                                                                          \
    LOG_TEXT("error", error_name(error_)), LOG_TEXT("error_text", error_text(error_))

#define LOG_LINE_SIZE_MAX 4096

/* Writes a message when its level is high enough. event: [a-z_]+, a literal. Values are escaped, so
 * that no terminal acts on them, and bytes that are not UTF-8 replaced; what does not fit into
 * LOG_LINE_SIZE_MAX is left out and "cut":true says so. Never fails, keeps errno. */
#define log_write(log, level, event, ...)                                                          \
    log_write_fields((log), (level), (event),                                                      \
        (const struct log_field[]){{.kind = LOG_KIND_NONE}, ##__VA_ARGS__},                        \
        sizeof((const struct log_field[]){{.kind = LOG_KIND_NONE}, ##__VA_ARGS__}) /               \
            sizeof(struct log_field))
void log_write_fields(const struct log *log, enum log_level level, const char *event,
    const struct log_field *fields, size_t count);

/* The line of a message with this time, as log_write() writes it. Returns its size. For tests. */
size_t log_format(char out[LOG_LINE_SIZE_MAX], int64_t now_micros, enum log_level level,
    const char *event, const struct log_field *fields, size_t count);

/* Changes what is written, while others write. */
void log_set_level(struct log *log, enum log_level level);

/* "debug", "info", "warning", "error"; -1 for another name. */
int log_level_of(struct str name);
