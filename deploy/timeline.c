/* Each event is one row; `about` says the most telling fact of its kind. */
#include "deploy/timeline.h"

#include "deploy/render.h"
#include "schemas/error.h"
#include "schemas/time.h"

/* The first of the texts that is not empty, behind its label. */
static int write_about(const struct reader_event *event, struct buf *out)
{
    const struct {
        const char *label;
        struct str text;
    } facts[] = {
        {"order ", event->order_id},
        {"call ", event->call_id},
        {"store ", event->store_id},
        {"campaign ", event->campaign},
        {"", event->page_path},
        {"", event->message_kind},
    };
    int r = 0;
    size_t written = 0;
    for (size_t i = 0; r == 0 && i < sizeof facts / sizeof *facts && written < 2; i++) {
        if (!facts[i].text.size)
            continue;
        r = buf_appendf(out, "%s%s%.*s", written++ ? ", " : "", facts[i].label,
            (int)facts[i].text.size, facts[i].text.data);
    }
    return r;
}

static int write_malformed(const struct reader_event *event, struct buf *out)
{
    struct str malformed = event->malformed;
    return malformed.size == 0 ? 0
                               : buf_appendf(out, "%smalformed: %.*s", out->size ? ", " : "",
                                     (int)malformed.size, malformed.data);
}

/* "of order W-1 placed 2026-11-18": which order a return takes from. */
static int write_refund(const struct reader_event *event, struct buf *out)
{
    if (!event->refund_of.size)
        return 0;
    int r = buf_appendf(
        out, "%sof %.*s", out->size ? ", " : "", (int)event->refund_of.size, event->refund_of.data);
    char placed[TIME_TEXT_SIZE_MAX];
    if (r == 0 && event->refunded_at) {
        (void)time_format(event->refunded_at, placed);
        r = buf_appendf(out, " placed %.10s", placed);
    } else if (r == 0) {
        r = buf_append_str(out, STR(" (not seen yet)"));
    }
    return r;
}

static int add_event(void *context, const struct reader_event *event)
{
    struct render_table *table = context;
    CLEANUP(buf_free) struct buf about = {0};
    int r = write_about(event, &about);
    if (r == 0)
        r = write_refund(event, &about);
    if (r == 0)
        r = write_malformed(event, &about);
    if (r < 0)
        return r;
    render_time(table, event->place.occurred_at);
    render_text(table, event->channel);
    render_text(table, event->type);
    render_text(table, event->source);
    if (event->conversion_kind.size)
        render_money(table, event->conversion_minor, event->conversion_currency);
    else if (event->has_revenue)
        render_money(table, event->revenue_minor, event->currency);
    else
        render_nothing(table);
    render_text(table, event->conversion_kind);
    render_text(table, event->touch);
    render_text(table, buf_str(&about));
    return 0;
}

int timeline_print(struct reader *reader, const uint8_t person[KEY_SIZE],
    const struct timeline_options *options, FILE *out)
{
    static const struct render_column columns[] = {
        {"occurred_at", "time (Japan)", RENDER_LEFT, 0},
        {"channel", "channel", RENDER_LEFT, 0},
        {"type", "event", RENDER_LEFT, 0},
        {"source", "source", RENDER_LEFT, 0},
        {"amount", "amount", RENDER_RIGHT, 0},
        {"conversion", "conversion", RENDER_LEFT, 0},
        {"touch", "touch", RENDER_LEFT, 0},
        {"about", "about", RENDER_LEFT, 60},
    };
    CLEANUP(render_free) struct render_table *table = NULL;
    const struct reader_page page = {
        .newest_first = options->newest_first, .limit = options->limit};
    int r = render_new(&table, columns, sizeof columns / sizeof *columns);
    if (r == 0)
        r = reader_timeline(reader, person, &page, add_event, table);
    return r < 0 ? r : render_write(table, options->json, out);
}
