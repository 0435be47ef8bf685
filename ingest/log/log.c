/* One line a message, made on the stack. Invariant: line.size + CLOSING_SIZE <= LOG_LINE_SIZE_MAX.
 */
#include "ingest/log/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <utf8proc.h>

#include "schemas/time.h"

#define CLOSING ",\"cut\":true}\n"
#define CLOSING_SIZE (sizeof CLOSING - 1)
#define ESCAPE_SIZE_MAX 8
#define REPLACEMENT "\\ufffd"

static const char *const level_names[] = {"debug", "info", "warning", "error"};

struct line {
    char *data;
    size_t size;
    bool cut;
};

/* Appends unless it does not fit; then the line is cut, and nothing more is appended. */
static void put(struct line *line, const char *data, size_t size)
{
    if (line->cut || size > LOG_LINE_SIZE_MAX - CLOSING_SIZE - line->size) {
        line->cut = true;
        return;
    }
    memcpy(line->data + line->size, data, size);
    line->size += size;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* Characters that a terminal or a log viewer might act on: controls, line separators, directions.
 */
static bool must_escape(utf8proc_int32_t point)
{
    return point < 0x20 || point == '"' || point == '\\' || (point >= 0x7f && point <= 0x9f) ||
           point == 0x2028 || point == 0x2029 || (point >= 0x202a && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

static void put_escaped(struct line *line, struct str text)
{
    for (size_t i = 0; i < text.size;) {
        utf8proc_int32_t point = 0;
        utf8proc_ssize_t step = utf8proc_iterate(
            (const utf8proc_uint8_t *)text.data + i, (utf8proc_ssize_t)(text.size - i), &point);
        if (step <= 0) {
            put_text(line, REPLACEMENT);
            i++;
            continue;
        }
        if (must_escape(point)) {
            char escape[ESCAPE_SIZE_MAX];
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)point & 0xffff);
            put_text(line, escape);
        } else {
            put(line, text.data + i, (size_t)step);
        }
        i += (size_t)step;
    }
}

static void put_field(struct line *line, const struct log_field *field)
{
    if (field->kind == LOG_KIND_NONE)
        return;
    size_t before = line->size;
    put_text(line, ",\"");
    put_text(line, field->key);
    put_text(line, "\":");
    if (field->kind == LOG_KIND_TEXT) {
        put_text(line, "\"");
        put_escaped(line, field->text);
        put_text(line, "\"");
    } else if (field->kind == LOG_KIND_BOOL) {
        put_text(line, field->number ? "true" : "false");
    } else {
        char number[24];
        (void)snprintf(number, sizeof number, "%" PRId64, field->number);
        put_text(line, number);
    }
    if (line->cut)
        line->size = before; /* a whole field or none */
}

size_t log_format(char out[LOG_LINE_SIZE_MAX], int64_t now_micros, enum log_level level,
    const char *event, const struct log_field *fields, size_t count)
{
    struct line line = {.data = out};
    char time[TIME_TEXT_SIZE_MAX];
    (void)time_format(now_micros, time);
    put_text(&line, "{\"time\":\"");
    put_text(&line, time);
    put_text(&line, "\",\"level\":\"");
    put_text(&line, level_names[level]);
    put_text(&line, "\",\"event\":\"");
    put_text(&line, event);
    put_text(&line, "\"");
    for (size_t i = 0; i < count && !line.cut; i++)
        put_field(&line, &fields[i]);
    const char *closing = line.cut ? CLOSING : "}\n";
    memcpy(out + line.size, closing, strlen(closing));
    return line.size + strlen(closing);
}

void log_write_fields(const struct log *log, enum log_level level, const char *event,
    const struct log_field *fields, size_t count)
{
    if (log->fd <= 0 || level < __atomic_load_n(&log->level, __ATOMIC_RELAXED))
        return;
    int saved = errno;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    char line[LOG_LINE_SIZE_MAX];
    size_t size =
        log_format(line, (int64_t)now.tv_sec * TIME_MICROS_PER_SECOND + now.tv_nsec / 1000, level,
            event, fields, count);
    ssize_t written = write(log->fd, line, size);
    (void)written; /* there is nobody to tell */
    errno = saved;
}

void log_set_level(struct log *log, enum log_level level)
{
    __atomic_store_n(&log->level, level, __ATOMIC_RELAXED);
}

int log_level_of(struct str name)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (str_equal(str_of(level_names[i]), name))
            return (int)i;
    return -1;
}
