/* One line an event; below it why it was refused, and how to send it again. */
#include "deploy/verb/tail_show.h"

#include "deploy/render.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define JAPAN_MICROS (9 * 3600 * TIME_MICROS_PER_SECOND)
#define CLOCK_AT 11  /* of 2026-11-20T10:15:00 */
#define CLOCK_SIZE 8 /* 10:15:00 */
#define GREEN "\x1b[32m"
#define YELLOW "\x1b[33m"
#define RED "\x1b[31m"
#define GREY "\x1b[90m"
#define RESET "\x1b[0m"

static struct str text_of(struct json object, const char *name)
{
    struct json value;
    return json_get(object, str_of(name), &value) && json_kind(value) == JSON_TEXT
               ? json_text(value)
               : STR("");
}

/* Appends the text of a member behind a lead, where there is one. */
static int add(struct buf *line, const char *lead, struct str text)
{
    int r = text.size ? buf_append_str(line, str_of(lead)) : 0;
    return r == 0 && text.size ? render_safe(line, text) : r;
}

static int add_colour(const struct tail_show *show, struct buf *line, const char *colour)
{
    return show->colour ? buf_append_str(line, str_of(colour)) : 0;
}

static const char *colour_of(struct str fate)
{
    if (str_equal(fate, STR("accepted")) || str_equal(fate, STR("stitched")))
        return GREEN;
    bool counted = str_equal(fate, STR("duplicate")) || str_equal(fate, STR("no_consent")) ||
                   str_equal(fate, STR("ignored"));
    return counted ? YELLOW : RED;
}

static int add_fate(const struct tail_show *show, struct buf *line, struct str fate)
{
    int r = add_colour(show, line, colour_of(fate));
    if (r == 0)
        r = add(line, "", fate);
    return r == 0 ? add_colour(show, line, RESET) : r;
}

/* The time of day in Japan, as all of the program's tables. */
static int add_time(const struct tail_show *show, struct buf *line, struct str at)
{
    char text[TIME_TEXT_SIZE_MAX];
    int64_t micros;
    if (time_parse(at, &micros) < 0)
        return 0;
    (void)time_format(micros + JAPAN_MICROS, text);
    int r = add_colour(show, line, GREY);
    if (r == 0)
        r = buf_appendf(line, "%.*s.%03d", CLOCK_SIZE, text + CLOCK_AT,
            (int)(micros % TIME_MICROS_PER_SECOND / TIME_MICROS_PER_MILLI));
    return r == 0 ? add_colour(show, line, RESET) : r;
}

static int add_identifiers(struct buf *line, struct json item)
{
    struct json list, one;
    struct str key;
    struct json_iterator at;
    int r = 0;
    if (!json_get(item, STR("identifiers"), &list) || json_kind(list) != JSON_ARRAY)
        return 0;
    json_iterate(list, &at);
    while (r == 0 && json_next(&at, &key, &one)) {
        r = add(line, "  ", text_of(one, "namespace"));
        if (r == 0)
            r = add(line, ":", text_of(one, "value"));
    }
    return r;
}

/* Why it was not accepted, on a line of its own. */
static int add_problem(struct buf *line, struct json item)
{
    struct str reason = text_of(item, "reason");
    if (reason.size == 0)
        return 0;
    int r = add(line, "\n    ", reason);
    if (r == 0)
        r = add(line, " at ", text_of(item, "pointer"));
    if (r == 0)
        r = add(line, ": ", text_of(item, "message"));
    return r == 0 ? add(line, "; ", text_of(item, "hint")) : r;
}

static int write_event(const struct tail_show *show, struct json item, struct buf *line)
{
    static const char *const names[] = {"source", "protocol", "type", "event_id"};
    struct str fate = text_of(item, "fate");
    struct json status;
    int r = add_time(show, line, text_of(item, "at"));
    for (size_t i = 0; r == 0 && i < sizeof names / sizeof *names; i++)
        r = add(line, i ? "  " : " ", text_of(item, names[i]));
    if (r == 0)
        r = add_identifiers(line, item);
    if (r == 0)
        r = buf_append_str(line, STR("  "));
    if (r == 0)
        r = add_fate(show, line, fate);
    if (r == 0 && json_get(item, STR("status"), &status) && json_kind(status) == JSON_INT)
        r = buf_appendf(line, " %lld", (long long)json_int(status));
    if (r == 0)
        r = add_problem(line, item);
    if (r == 0 && (show->curl || !str_equal(fate, STR("accepted"))))
        r = add(line, "\n    ", text_of(item, "curl"));
    return r;
}

static int write_fate(const struct tail_show *show, struct json item, struct buf *line)
{
    int r = add(line, "    ", text_of(item, "source"));
    if (r == 0)
        r = add(line, "  ", text_of(item, "event_id"));
    if (r == 0)
        r = buf_append_str(line, STR("  "));
    if (r == 0)
        r = add_fate(show, line, text_of(item, "fate"));
    bool first = str_equal(text_of(item, "fate"), STR("stitched"));
    if (r == 0)
        r = add(line, first ? " to person " : " of an event of person ", text_of(item, "person"));
    if (r == 0)
        r = add(line, ", channel ", text_of(item, "channel"));
    return r == 0 ? add_problem(line, item) : r;
}

static int write_missed(const struct tail_show *show, struct json item, struct buf *line)
{
    struct json count;
    bool at_least = json_get(item, STR("at_least"), &count);
    long long missed = json_get(item, STR("missed"), &count) && json_kind(count) == JSON_INT
                           ? (long long)json_int(count)
                           : 0;
    int r = add_colour(show, line, YELLOW);
    if (r == 0 && missed)
        r = buf_appendf(line, "    ... %s%lld not shown: more came than a viewer is shown",
            at_least ? "at least " : "", missed);
    else if (r == 0)
        r = buf_append_str(line, STR("    ... what came meanwhile may be missing"));
    return r == 0 ? add_colour(show, line, RESET) : r;
}

/* A line of JSON: the data, which says what kind it is. */
static int write_json(struct str name, struct str data, struct buf *line)
{
    int r = buf_append_str(line, STR("{\"kind\":"));
    if (r == 0)
        r = json_write_text(line, name);
    if (r == 0 && data.size > 2)
        r = buf_append_str(line, STR(","));
    return r == 0 ? buf_append(line, data.data + 1, data.size - 1) : r;
}

int tail_show_item(struct tail_show *show, struct str name, struct str data, bool *was_event)
{
    CLEANUP(buf_free) struct buf line = {0};
    struct json item;
    int r = json_parse(show->parser, data, &item);
    *was_event = false;
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0 || json_kind(item) != JSON_OBJECT)
        return 0;
    bool event = str_equal(name, STR("event"));
    if (show->json)
        r = write_json(name, data, &line);
    else if (event)
        r = write_event(show, item, &line);
    else if (str_equal(name, STR("fate")))
        r = write_fate(show, item, &line);
    else if (str_equal(name, STR("missed")))
        r = write_missed(show, item, &line);
    if (r < 0)
        return r;
    *was_event = event;
    if (line.size)
        (void)fprintf(show->out, "%.*s\n", (int)line.size, line.data);
    (void)fflush(show->out);
    return 0;
}
