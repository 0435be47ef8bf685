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
#include "ingest/import/csv.h"
#include "schemas/error.h"
#include "schemas/nearest.h"
#include "schemas/time.h"

#define CHUNK_SIZE ((size_t)4 << 20)
#define NUMBER_SIZE_MAX 64
#define SECONDS_LIMIT INT64_C(100000000000) /* larger integers are milliseconds: the year 5138 */
#define MILLIS_LIMIT INT64_C(100000000000000)
#define NO_FIELD SIZE_MAX
#define HOUR_AT 11 /* in 2026-11-20 10:15:00 */
#define SYNONYMS_MAX 12

/* Usual names, lower case; the first is ours. */
static const char *const synonyms[COLUMN_COUNT][SYNONYMS_MAX] = {
    [COLUMN_PATH] = {"path", "channels_agg", "channels", "journey", "transformed_path",
        "touchpoints"},
    [COLUMN_CONVERSIONS] = {"total_conversions", "conversions", "conversion_count", "conv"},
    [COLUMN_VALUE] = {"total_conversion_value", "conversion_value", "value", "revenue", "amount"},
    [COLUMN_NULL] = {"total_null", "nulls", "null", "non_conversions", "total_nulls"},
    [COLUMN_CONVERTED] = {"conversion", "converted", "is_conversion", "has_converted"},
    [COLUMN_CUSTOMER] = {"customer_id", "customer", "user_id", "user", "cookie", "visitor_id",
        "client_id", "person", "person_id", "id"},
    [COLUMN_TIME] = {"time", "timestamp", "occurred_at", "date", "datetime", "event_time",
        "touched_at", "started_at"},
    [COLUMN_CHANNEL] = {"channel", "source", "utm_source", "touchpoint", "medium"},
    [COLUMN_TYPE] = {"interaction", "type", "event_type", "event", "kind"},
};

/* One reading. */
struct reading {
    struct attribute_input *input;
    FILE *in;
    struct csv csv;
    struct arena arena;
    char *text;
    size_t begin, end; /* of what is not read yet */
    bool eof;
    unsigned long long line;
    size_t fields[COLUMN_COUNT];
    size_t header_count;
    bool events;
    struct touch_rows rows;
    struct path_set customers; /* their names */
};

static struct str trim(struct str text)
{
    while (text.size && isspace((unsigned char)text.data[0]))
        text = str_make(text.data + 1, text.size - 1);
    while (text.size && isspace((unsigned char)text.data[text.size - 1]))
        text.size--;
    return text;
}

/* ---- header ---- */

static bool same_name(struct str field, const char *name)
{
    return field.size == strlen(name) && strncasecmp(field.data, name, field.size) == 0;
}

/* Letter case does not count, and a blank or hyphen is an underscore: "Customer ID". */
static bool same_column(struct str field, const char *name)
{
    if (field.size != strlen(name))
        return false;
    for (size_t i = 0; i < field.size; i++) {
        char own = field.data[i] == ' ' || field.data[i] == '-' ? '_' : field.data[i];
        if (tolower((unsigned char)own) != tolower((unsigned char)name[i]))
            return false;
    }
    return true;
}

static size_t find_field(
    const struct reading *reading, const struct csv_row *row, enum attribute_column column)
{
    const char *wanted = reading->input->options->columns[column];
    for (size_t s = 0; s < (wanted ? 1 : SYNONYMS_MAX); s++) {
        const char *name = wanted ? wanted : synonyms[column][s];
        for (size_t i = 0; name && i < row->fields_count; i++)
            if (wanted ? same_name(trim(row->fields[i]), name)
                       : same_column(trim(row->fields[i]), name))
                return i;
    }
    return NO_FIELD;
}

/* Says which column is missing, and what is nearest to it. */
static int missing(struct reading *reading, const struct csv_row *row, enum attribute_column column)
{
    const struct attribute_options *options = reading->input->options;
    const char *name = options->columns[column] ? options->columns[column] : synonyms[column][0];
    struct str known[64];
    size_t count = row->fields_count < 64 ? row->fields_count : 64;
    for (size_t i = 0; i < count; i++)
        known[i] = trim(row->fields[i]);
    struct str near = nearest_name(str_of(name), known, count);
    (void)fprintf(options->messages, "%s:1: no column \"%s\" for %s", options->name, name,
        attribute_column_name(column));
    if (near.size)
        (void)fprintf(options->messages, " (did you mean \"%.*s\"?)", (int)near.size, near.data);
    (void)fprintf(
        options->messages, "; --column %s=NAME names another\n", attribute_column_name(column));
    return ERR_CONFIG;
}

static int read_header(struct reading *reading, const struct csv_row *row)
{
    const struct attribute_options *options = reading->input->options;
    size_t *fields = reading->fields;
    reading->header_count = row->fields_count;
    for (int i = 0; i < COLUMN_COUNT; i++) {
        fields[i] = find_field(reading, row, (enum attribute_column)i);
        if (fields[i] == NO_FIELD && options->columns[i])
            return missing(reading, row, (enum attribute_column)i);
    }
    reading->events = fields[COLUMN_PATH] == NO_FIELD;
    if (!reading->events)
        return 0;
    static const enum attribute_column needed[] = {COLUMN_CUSTOMER, COLUMN_TIME, COLUMN_CHANNEL};
    bool any = false;
    for (size_t i = 0; i < 3; i++)
        any |= fields[needed[i]] != NO_FIELD;
    for (size_t i = 0; i < 3; i++)
        if (fields[needed[i]] == NO_FIELD)
            return missing(reading, row, any ? needed[i] : COLUMN_PATH);
    if (options->unconverted) {
        (void)fprintf(options->messages, "%s: --value all is of paths; this has a row a touch\n",
            options->name);
        return ERR_CONFIG;
    }
    reading->input->has_times = true;
    return 0;
}

static int check_models(const struct reading *reading)
{
    const struct attribute_options *options = reading->input->options;
    for (size_t i = 0; i < options->models_count; i++) {
        if (options->models[i] == PATH_RULE_TIME_DECAY && !reading->events) {
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
    size_t at = reading->fields[column];
    return at == NO_FIELD ? (struct str){0} : trim(row->fields[at]);
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

/* A decimal number; empty is 0. *rest: what *out was rounded by, where long doubles tell; may be
 * NULL: the number is a count, and not negative. Returns false after naming what is wrong. */
static bool read_number(struct reading *reading, const struct csv_row *row,
    enum attribute_column column, double *out, double *rest)
{
    struct str text = field_of(reading, row, column);
    char copy[NUMBER_SIZE_MAX + 1], *end = copy;
    double number = 0;
    *out = 0;
    if (text.size == 0)
        return true;
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
        *rest = (double)(strtold(copy, NULL) - number);
    return true;
}

static bool read_bool(struct reading *reading, const struct csv_row *row, bool *out)
{
    static const char *const words[][2] = {
        {"1", "0"}, {"true", "false"}, {"yes", "no"}, {"t", "f"}, {"1.0", "0.0"}};
    struct str text = field_of(reading, row, COLUMN_CONVERTED);
    *out = false;
    if (text.size == 0)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        *out = same_name(text, words[i][0]);
        if (*out || same_name(text, words[i][1]))
            return true;
    }
    attribute_bad_row(reading->input, reading->line, ERR_VALUE,
        "converted \"%.*s\" is neither 1 nor 0", text.size < 32 ? (int)text.size : 32, text.data);
    return false;
}

/* RFC 3339; without offset it is UTC; a date alone its midnight; hours may have one digit; integers
 * are epoch seconds or milliseconds. */
static bool parse_time(struct str text, int64_t *out)
{
    char copy[NUMBER_SIZE_MAX], *end;
    if (text.size == 0 || text.size + 2 > sizeof copy)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    errno = 0;
    long long number = strtoll(copy, &end, 10);
    if (!*end && errno == 0) {
        if (number < -MILLIS_LIMIT || number > MILLIS_LIMIT)
            return false;
        bool seconds = number > -SECONDS_LIMIT && number < SECONDS_LIMIT;
        *out = number * (seconds ? INT64_C(1000000) : INT64_C(1000));
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

static int read_path(struct reading *reading, struct str text, size_t *count)
{
    struct attribute_input *input = reading->input;
    int r = 0;
    *count = 0;
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

static int take_path(struct reading *reading, const struct csv_row *row)
{
    struct path_count count = {0};
    bool converted = true;
    bool counted = reading->fields[COLUMN_CONVERSIONS] != NO_FIELD;
    if (!read_number(reading, row, COLUMN_CONVERSIONS, &count.conversions, NULL) ||
        !read_number(reading, row, COLUMN_VALUE, &count.value, &count.value_rest) ||
        !read_number(reading, row, COLUMN_NULL, &count.nulls, NULL) ||
        (!counted && !read_bool(reading, row, &converted)))
        return 0;
    if (!counted && reading->fields[COLUMN_CONVERTED] == NO_FIELD)
        converted = true;
    if (!counted) { /* a row is a journey */
        count.conversions = converted;
        count.nulls += !converted;
        if (!converted && !reading->input->options->unconverted)
            count.value = count.value_rest = 0;
    }
    size_t length;
    int r = read_path(reading, field_of(reading, row, COLUMN_PATH), &length);
    if (r == 0)
        r = attribute_path(reading->input, reading->input->touches, length, &count);
    return r;
}

static uint32_t flags_of(const struct reading *reading, struct str channel, struct str type)
{
    const struct attribute_options *options = reading->input->options;
    uint32_t flags = 0;
    if (attribute_is_direct(options, channel))
        flags |= PATH_STEP_DIRECT;
    if (type.size && str_equal(type, options->lead))
        flags |= PATH_STEP_LEAD;
    if (type.size && str_equal(type, options->opportunity))
        flags |= PATH_STEP_OPPORTUNITY;
    return flags;
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
    if (!parse_time(time, &touch.at)) {
        attribute_bad_row(reading->input, reading->line, ERR_TIME, "time \"%.*s\"",
            time.size < 40 ? (int)time.size : 40, time.data);
        return 0;
    }
    if (!read_bool(reading, row, &touch.converted) ||
        !read_number(reading, row, COLUMN_VALUE, &touch.value, &touch.value_rest))
        return 0;
    if (channel.size == 0 && !touch.converted) {
        attribute_bad_row(reading->input, reading->line, ERR_EMPTY, "channel is empty");
        return 0;
    }
    int r = path_set_channel(&reading->customers, customer, &touch.customer);
    if (r == 0 && channel.size)
        r = attribute_channel(reading->input, channel, &touch.channel);
    touch.flags = flags_of(reading, channel, field_of(reading, row, COLUMN_TYPE));
    return r < 0 ? r : touch_rows_add(&reading->rows, &touch);
}

static int take_row(struct reading *reading, const struct csv_row *row)
{
    if (reading->header_count == 0) {
        int r = read_header(reading, row);
        return r < 0 ? r : check_models(reading);
    }
    if (row->fields_count == 1 && trim(row->fields[0]).size == 0)
        return 0;
    reading->input->rows++;
    if (row->fields_count != reading->header_count) {
        attribute_bad_row(reading->input, reading->line, ERR_ROW, "%zu fields, the header has %zu",
            row->fields_count, reading->header_count);
        return 0;
    }
    return reading->events ? take_event(reading, row) : take_path(reading, row);
}

/* ---- text ---- */

static int refill(struct reading *reading)
{
    memmove(reading->text, reading->text + reading->begin, reading->end - reading->begin);
    reading->end -= reading->begin;
    reading->begin = 0;
    size_t got = fread(reading->text + reading->end, 1, CHUNK_SIZE - reading->end, reading->in);
    reading->end += got;
    reading->eof = got == 0;
    return ferror(reading->in) ? ERR_IO : 0;
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

static int name_total(struct attribute_input *input, int error)
{
    if (error == ERR_TOO_LARGE)
        (void)fprintf(input->options->messages,
            "%s: totals are beyond what can be counted exactly (2^53), or a path is over %zu\n",
            input->options->name, PATH_LENGTH_MAX);
    return error;
}

int attribute_read(struct attribute_input *input, FILE *in)
{
    struct reading reading = {.input = input, .in = in};
    reading.text = malloc(CHUNK_SIZE);
    int r = reading.text ? begin_text(&reading) : ERR_NO_MEMORY;
    if (r == 0)
        r = read_rows(&reading);
    if (r == 0 && reading.header_count == 0) {
        (void)fprintf(input->options->messages, "%s: no header line\n", input->options->name);
        r = ERR_CONFIG;
    }
    if (r == 0)
        r = touch_rows_credit(&reading.rows, input);
    csv_close(&reading.csv);
    arena_free(&reading.arena);
    path_set_free(&reading.customers);
    free(reading.rows.items);
    free(reading.text);
    return name_total(input, r);
}
