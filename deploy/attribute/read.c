/*
 * CSV of paths or of touches. What a column is, its name says: the user's, else a usual one. The
 * delimiter is the one that the header has most of.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "deploy/attribute/attribute.h"
#include "deploy/attribute/events.h"
#include "deploy/attribute/header.h"
#include "deploy/attribute/source.h"
#include "deploy/attribute/text.h"
#include "ingest/import/csv.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/time.h"

#define CURRENCY_SIZE_MAX 16
#define CHUNK_SIZE ((size_t)4 << 20)
#define NUMBER_SIZE_MAX 64
#define SECONDS_LIMIT INT64_C(100000000000) /* larger integers are milliseconds: the year 5138 */
#define MILLIS_LIMIT INT64_C(100000000000000)
#define MICROS_LIMIT INT64_C(100000000000000000) /* beyond: nanoseconds */
#define HOUR_AT 11                               /* in 2026-11-20 10:15:00 */
#define DATE_DIGITS 8

/* One reading. */
struct reading {
    struct attribute_input *input;
    struct source *source;
    struct csv csv;
    struct arena arena;
    char *text;
    size_t begin, end; /* of what is not read yet */
    bool eof;
    unsigned long long line;
    struct attribute_header header;
    struct touch_rows rows;
    char currency[CURRENCY_SIZE_MAX]; /* of the rows so far; empty: none had one */
    bool converted;                   /* a row of touches did */
    const char *other;                /* what may separate channels, seen in a path; NULL: none */
};

static struct str trim(struct str text)
{
    while (text.size && isspace((unsigned char)text.data[0]))
        text = str_make(text.data + 1, text.size - 1);
    while (text.size && isspace((unsigned char)text.data[text.size - 1]))
        text.size--;
    return text;
}

static bool same_name(struct str field, const char *name)
{
    return field.size == strlen(name) && strncasecmp(field.data, name, field.size) == 0;
}

/* ---- header ---- */

/* Says what of the user's flags such a file cannot have. */
static void tell_idle(const struct reading *reading)
{
    const struct attribute_options *options = reading->input->options;
    const size_t *fields = reading->header.fields;
    bool events = reading->header.events;
    const struct {
        bool idle;
        const char *what;
    } flags[] = {
        {events && options->separator_given, "--separator has no effect: this has a row a touch"},
        {!events && options->window_given,
            "--lookback and --journey have no effect: paths have no times"},
        {!events && (options->lead.size || options->opportunity.size),
            "--lead and --opportunity have no effect: paths have channels alone"},
        {!events && options->unconverted &&
                (fields[COLUMN_CONVERSIONS] != HEADER_NO_FIELD ||
                    fields[COLUMN_CONVERTED] == HEADER_NO_FIELD),
            "--value all has no effect: no column says whether a path converted, so every value "
            "counts"},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].idle)
            (void)fprintf(options->messages, "%s:1: %s\n", options->name, flags[i].what);
}

static int check_models(const struct reading *reading)
{
    const struct attribute_options *options = reading->input->options;
    if (options->unconverted && reading->header.events) {
        (void)fprintf(options->messages, "%s: --value all is of paths; this has a row a touch\n",
            options->name);
        return ERR_CONFIG;
    }
    tell_idle(reading);
    for (size_t i = 0; i < options->models_count; i++) {
        if (options->models[i] == PATH_RULE_TIME_DECAY && !reading->header.events) {
            (void)fprintf(options->messages,
                "%s: time_decay needs a row a touch with its time; paths have none\n",
                options->name);
            return ERR_CONFIG;
        }
    }
    return 0;
}

/* The candidate that the first line has most of, outside quotes. */
static char find_delimiter(struct str text)
{
    static const char candidates[] = {',', ';', '\t'};
    size_t counts[3] = {0};
    bool quoted = false;
    for (size_t i = 0; i < text.size && text.data[i] != '\n'; i++) {
        quoted ^= text.data[i] == '"';
        for (size_t k = 0; k < 3 && !quoted; k++)
            counts[k] += text.data[i] == candidates[k];
    }
    size_t best = 0;
    for (size_t k = 1; k < 3; k++)
        best = counts[k] > counts[best] ? k : best;
    return candidates[best];
}

/* ---- values ---- */

static struct str field_of(
    const struct reading *reading, const struct csv_row *row, enum attribute_column column)
{
    size_t at = reading->header.fields[column];
    return at == HEADER_NO_FIELD ? (struct str){0} : trim(row->fields[at]);
}

/* What is wrong with a number, and the error; NULL: nothing. */
static const char *judge_number(
    struct str text, bool plain, bool negative, double number, int *error)
{
    *error = ERR_VALUE;
    if (!plain)
        return memchr(text.data, ',', text.size)
                   ? " is no number: decimals have a point, not a comma"
                   : " is no number";
    if (number < 0 && !negative)
        return " is negative";
    *error = ERR_NUMBER_RANGE;
    return isfinite(number) && (negative || number <= PATH_SET_TOTAL_MAX) ? NULL : "";
}

/* A decimal number; no column is 0, and so is an empty field, but of conversions, since a value
 * would stay without them. *rest: what *out was rounded by (text_decimal_rest()); may be NULL: the
 * number is a count, and not negative. Returns false after naming what is wrong. */
static bool read_number(struct reading *reading, const struct csv_row *row,
    enum attribute_column column, double *out, double *rest)
{
    struct str text = field_of(reading, row, column);
    char copy[NUMBER_SIZE_MAX + 1], *end = copy;
    double number = 0;
    *out = 0;
    if (text.size == 0) {
        bool silent =
            column == COLUMN_CONVERSIONS && reading->header.fields[column] != HEADER_NO_FIELD;
        if (silent)
            attribute_bad_row(reading->input, reading->line, ERR_EMPTY, "%s is empty",
                attribute_column_name(column));
        return !silent;
    }
    bool plain = text.size <= NUMBER_SIZE_MAX;
    for (size_t i = 0; plain && i < text.size; i++)
        plain = text.data[i] && strchr("+-.0123456789eE", text.data[i]);
    if (plain) {
        memcpy(copy, text.data, text.size);
        copy[text.size] = 0;
        number = strtod(copy, &end);
        plain = end != copy && !*end;
    }
    int error;
    const char *wrong = judge_number(text, plain, rest != NULL, number, &error);
    if (wrong) {
        int size = text.size < NUMBER_SIZE_MAX ? (int)text.size : NUMBER_SIZE_MAX;
        attribute_bad_row(reading->input, reading->line, error, "%s \"%.*s\"%s",
            attribute_column_name(column), size, text.data, wrong);
        return false;
    }
    *out = number;
    if (rest)
        *rest = text_decimal_rest(copy, number);
    return true;
}

/* Names are of UTF-8, as answers are. Returns false after naming the row. */
static bool check_name(struct reading *reading, enum attribute_column column, struct str text)
{
    if (json_utf8_valid(text))
        return true;
    attribute_bad_row(reading->input, reading->line, ERR_UTF8, "%s is not UTF-8: convert the file",
        attribute_column_name(column));
    return false;
}

static bool read_bool(
    struct reading *reading, const struct csv_row *row, enum attribute_column column, bool *out)
{
    static const char *const words[][2] = {
        {"1", "0"}, {"true", "false"}, {"yes", "no"}, {"t", "f"}, {"1.0", "0.0"}};
    struct str text = field_of(reading, row, column);
    *out = false;
    if (text.size == 0)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        *out = same_name(text, words[i][0]);
        if (*out || same_name(text, words[i][1]))
            return true;
    }
    attribute_bad_row(reading->input, reading->line, ERR_VALUE, "%s \"%.*s\" is neither 1 nor 0",
        attribute_column_name(column), text.size < 32 ? (int)text.size : 32, text.data);
    return false;
}

/* Since 1970, in a unit that its size tells. */
static bool parse_epoch(long long number, int64_t *out)
{
    long long size = number < 0 ? -number : number;
    if (number == INT64_MIN)
        return false;
    if (size < MILLIS_LIMIT)
        *out = number * (size < SECONDS_LIMIT ? 1000000 : 1000);
    else
        *out = size < MICROS_LIMIT ? number : number / 1000;
    return true;
}

/* RFC 3339; without offset it is UTC; a date alone its midnight, also without hyphens where the
 * column has dates; hours may have one digit; numbers are seconds since 1970, which may have a
 * fraction, or integers of milli-, micro- or nanoseconds. */
static bool parse_time(struct str text, bool dates, int64_t *out)
{
    char copy[NUMBER_SIZE_MAX], *end;
    if (text.size == 0 || text.size + 2 > sizeof copy)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    errno = 0;
    long long number = strtoll(copy, &end, 10);
    if (!*end && errno == 0 && dates && text.size == DATE_DIGITS)
        (void)snprintf(copy, sizeof copy, "%04lld-%02lld-%02lld", number / 10000,
            number / 100 % 100, number % 100);
    else if (!*end && errno == 0)
        return parse_epoch(number, out);
    if (*end == '.' && end > copy && strspn(end + 1, "0123456789") == strlen(end + 1)) {
        long double seconds = strtold(copy, NULL);
        if (fabsl(seconds) >= (long double)SECONDS_LIMIT)
            return false;
        *out = (int64_t)llroundl(seconds * 1e6L);
        return true;
    }
    if (text.size > HOUR_AT + 1 && copy[HOUR_AT + 1] == ':') {
        memmove(copy + HOUR_AT + 1, copy + HOUR_AT, text.size - HOUR_AT + 1);
        copy[HOUR_AT] = '0';
    }
    return time_parse_local(str_of(copy), 0, out) == 0;
}

/* ---- rows ---- */

/* Where the next channel of a path ends. */
static struct str next_channel(struct str *rest, struct str separator)
{
    const char *found = memmem(rest->data, rest->size, separator.data, separator.size);
    size_t size = found ? (size_t)(found - rest->data) : rest->size;
    struct str channel = trim(str_make(rest->data, size));
    size_t taken = found ? size + separator.size : size;
    *rest = str_make(rest->data + taken, rest->size - taken);
    return channel;
}

static int add_touch(struct attribute_input *input, size_t at, uint32_t channel)
{
    if (at == PATH_LENGTH_MAX)
        return ERR_TOO_LARGE;
    if (at == input->touches_room) {
        size_t room = at ? at * 2 : 64;
        struct path_step *more = realloc(input->touches, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        input->touches = more;
        input->touches_room = room;
    }
    struct str name = attribute_channel_name(input, channel);
    bool direct = attribute_is_direct(input->options, name);
    input->touches[at] =
        (struct path_step){.channel = channel, .flags = direct ? PATH_STEP_DIRECT : 0};
    return 0;
}

/* Arrows hold ">", so they are told whatever else there is. */
static const char *const separators[] = {"->", "=>", "\u2192", "|", ";", ",", "/"};
#define SEPARATOR_ROWS 1000 /* so many tell */
#define SEPARATORS_COUNT (sizeof separators / sizeof *separators)

static void note_separator(struct reading *reading, struct str path)
{
    for (size_t i = 0; !reading->other && i < SEPARATORS_COUNT; i++)
        if (memmem(path.data, path.size, separators[i], strlen(separators[i])))
            reading->other = separators[i];
}

/* A path that is split where it was not meant to be, or not at all, gives figures all the same. */
static void tell_separator(const struct reading *reading)
{
    const struct attribute_options *options = reading->input->options;
    bool arrow = reading->other == separators[0] || reading->other == separators[1];
    if (!reading->other || options->separator_given || (!arrow && reading->input->set.longest > 1))
        return;
    (void)fprintf(options->messages, "%s: %s \"%s\": --separator '%s' if it separates channels\n",
        options->name, arrow ? "paths have" : "no path has \">\", but there is", reading->other,
        reading->other);
}

static int read_path(struct reading *reading, struct str text, size_t *count)
{
    struct attribute_input *input = reading->input;
    int r = 0;
    *count = 0;
    if (!reading->other && input->rows <= SEPARATOR_ROWS)
        note_separator(reading, text);
    while (r == 0 && text.size) {
        struct str name = next_channel(&text, input->options->separator);
        uint32_t channel;
        if (name.size == 0)
            continue; /* an empty path, or "A > " */
        r = attribute_channel(input, name, &channel);
        if (r == 0)
            r = add_touch(input, (*count)++, channel);
    }
    return r;
}

/* Sums of yen and dollars mean nothing. Returns false after naming the row. */
static bool check_currency(struct reading *reading, const struct csv_row *row)
{
    struct str currency = field_of(reading, row, COLUMN_CURRENCY);
    struct str seen = str_of(reading->currency);
    if (currency.size == 0 || (seen.size && str_equal(currency, seen)))
        return true;
    if (seen.size || currency.size >= sizeof reading->currency) {
        attribute_bad_row(reading->input, reading->line, ERR_VALUE,
            "currency \"%.*s\" beside \"%s\": one at a time", (int)currency.size, currency.data,
            reading->currency);
        return false;
    }
    memcpy(reading->currency, currency.data, currency.size);
    return true;
}

static int take_path(struct reading *reading, const struct csv_row *row)
{
    struct path_count count = {0};
    bool converted = true;
    bool counted = reading->header.fields[COLUMN_CONVERSIONS] != HEADER_NO_FIELD;
    if (!read_number(reading, row, COLUMN_CONVERSIONS, &count.conversions, NULL) ||
        !read_number(reading, row, COLUMN_VALUE, &count.value, &count.value_rest) ||
        !read_number(reading, row, COLUMN_NULL, &count.nulls, NULL) ||
        (!counted && !read_bool(reading, row, COLUMN_CONVERTED, &converted)))
        return 0;
    if (!counted && reading->header.fields[COLUMN_CONVERTED] == HEADER_NO_FIELD)
        converted = true;
    if (!counted) { /* a row is a journey */
        count.conversions = converted;
        count.nulls += !converted;
        if (!converted && !reading->input->options->unconverted)
            count.value = count.value_rest = 0;
    }
    size_t length;
    struct str path = field_of(reading, row, COLUMN_PATH);
    if (!check_name(reading, COLUMN_PATH, path))
        return 0;
    count.value_noise = SUM_NOISE_EXACT * fabs(count.value);
    int r = read_path(reading, path, &length);
    if (r == 0 && !attribute_fits(reading->input, &count))
        r = ERR_TOO_LARGE;
    if (r == 0)
        r = attribute_path(reading->input, reading->input->touches, length, &count);
    return attribute_name_total(reading->input, reading->line, r);
}

static uint16_t flags_of(
    const struct reading *reading, struct str channel, struct str type, bool lead, bool opportunity)
{
    const struct attribute_options *options = reading->input->options;
    uint16_t flags = 0;
    if (attribute_is_direct(options, channel))
        flags |= PATH_STEP_DIRECT;
    if (lead || (type.size && str_equal(type, options->lead)))
        flags |= PATH_STEP_LEAD;
    if (opportunity || (type.size && str_equal(type, options->opportunity)))
        flags |= PATH_STEP_OPPORTUNITY;
    return flags;
}

static bool read_converted(struct reading *reading, const struct csv_row *row, bool *out)
{
    size_t event = reading->header.event;
    if (event == HEADER_NO_FIELD)
        return read_bool(reading, row, COLUMN_CONVERTED, out);
    *out = attribute_event_converts(trim(row->fields[event]));
    return true;
}

static int take_event(struct reading *reading, const struct csv_row *row)
{
    struct str customer = field_of(reading, row, COLUMN_CUSTOMER);
    struct str channel = field_of(reading, row, COLUMN_CHANNEL);
    struct str time = field_of(reading, row, COLUMN_TIME);
    struct touch_row touch = {.channel = EVENT_NO_CHANNEL, .number = reading->line};
    if (customer.size == 0) {
        attribute_bad_row(reading->input, reading->line, ERR_EMPTY, "customer is empty");
        return 0;
    }
    if (!parse_time(time, reading->header.dates, &touch.at)) {
        attribute_bad_row(reading->input, reading->line, ERR_TIME, "time \"%.*s\"",
            time.size < 40 ? (int)time.size : 40, time.data);
        return 0;
    }
    bool lead, opportunity;
    if (!read_converted(reading, row, &touch.converted) ||
        !read_bool(reading, row, COLUMN_LEAD, &lead) ||
        !read_bool(reading, row, COLUMN_OPPORTUNITY, &opportunity) ||
        !read_number(reading, row, COLUMN_VALUE, &touch.value, &touch.value_rest) ||
        !check_name(reading, COLUMN_CHANNEL, channel))
        return 0;
    reading->converted |= touch.converted;
    if (channel.size == 0 && !touch.converted) {
        attribute_bad_row(reading->input, reading->line, ERR_EMPTY, "channel is empty");
        return 0;
    }
    int r = channel.size ? attribute_channel(reading->input, channel, &touch.channel) : 0;
    touch.flags =
        flags_of(reading, channel, field_of(reading, row, COLUMN_TYPE), lead, opportunity);
    return r < 0 ? r : touch_rows_add(&reading->rows, customer, &touch);
}

static int take_row(struct reading *reading, const struct csv_row *row)
{
    if (reading->header.count == 0) {
        int r = attribute_header_read(
            reading->input->options, row->fields, row->fields_count, &reading->header);
        reading->input->has_times = reading->header.events;
        return r < 0 ? r : check_models(reading);
    }
    if (row->fields_count == 1 && trim(row->fields[0]).size == 0)
        return 0;
    reading->input->rows++;
    if (row->fields_count != reading->header.count) {
        attribute_bad_row(reading->input, reading->line, ERR_ROW, "%zu fields, the header has %zu",
            row->fields_count, reading->header.count);
        return 0;
    }
    if (!check_currency(reading, row))
        return 0;
    return reading->header.events ? take_event(reading, row) : take_path(reading, row);
}

/* ---- text ---- */

static int name_source(const struct attribute_input *input, int error, const char *why)
{
    if (error != ERR_VALUE)
        return error;
    (void)fprintf(input->options->messages, "%s: %s\n", input->options->name, why);
    return ERR_CONFIG;
}

static int refill(struct reading *reading)
{
    memmove(reading->text, reading->text + reading->begin, reading->end - reading->begin);
    reading->end -= reading->begin;
    reading->begin = 0;
    size_t got = 0;
    const char *why = "";
    int r = source_read(
        reading->source, reading->text + reading->end, CHUNK_SIZE - reading->end, &got, &why);
    reading->end += got;
    reading->eof = got == 0;
    return name_source(reading->input, r, why);
}

/* The header's first bytes tell the delimiter. */
static int begin_text(struct reading *reading)
{
    int r = 0;
    while (r == 0 && !reading->eof && reading->end < CHUNK_SIZE)
        r = refill(reading);
    if (r < 0)
        return r;
    if (reading->end >= 3 && memcmp(reading->text, "\xEF\xBB\xBF", 3) == 0)
        reading->begin = 3;
    struct str text = str_make(reading->text + reading->begin, reading->end - reading->begin);
    reading->eof = false;
    return csv_open(&reading->csv, find_delimiter(text));
}

static int read_rows(struct reading *reading)
{
    struct csv_row row;
    reading->line = 1;
    for (;;) {
        struct str text = str_make(reading->text + reading->begin, reading->end - reading->begin);
        if (text.size == 0 && reading->eof)
            return 0;
        int r = text.size ? csv_read(&reading->csv, text, reading->eof, &reading->arena, &row)
                          : CSV_MORE;
        if (r == CSV_MORE) {
            r = refill(reading);
            if (r < 0)
                return r;
            continue;
        }
        if (r == ERR_ROW) {
            reading->input->rows++;
            attribute_bad_row(
                reading->input, reading->line, r, "column %zu: %s", row.bad_column, row.why);
        } else if (r == 0)
            r = take_row(reading, &row);
        arena_reset(&reading->arena);
        if (r < 0 && r != ERR_ROW)
            return r;
        reading->begin += row.size;
        reading->line += row.lines ? row.lines : 1;
    }
}

int attribute_read(struct attribute_input *input, FILE *in)
{
    struct reading reading = {.input = input, .text = malloc(CHUNK_SIZE)};
    const char *why = "";
    touch_rows_init(&reading.rows, input->options);
    int r = reading.text ? source_open(in, &reading.source, &why) : ERR_NO_MEMORY;
    r = name_source(input, r, why);
    if (r == 0)
        r = begin_text(&reading);
    if (r == 0)
        r = read_rows(&reading);
    if (r == 0 && reading.header.count == 0) {
        (void)fprintf(input->options->messages, "%s: no header line\n", input->options->name);
        r = ERR_CONFIG;
    }
    if (r == 0)
        tell_separator(&reading);
    if (r == 0 && reading.header.event != HEADER_NO_FIELD && !reading.converted)
        (void)fprintf(input->options->messages,
            "%s: no row converts: --column converted=NAME names a column that tells\n",
            input->options->name);
    if (r == 0)
        r = touch_rows_credit(&reading.rows, input);
    source_close(&reading.source);
    csv_close(&reading.csv);
    arena_free(&reading.arena);
    touch_rows_free(&reading.rows);
    free(reading.text);
    return r;
}
