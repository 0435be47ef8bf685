/* See the header. */
#include "deploy/erasure.h"

#include <stdlib.h>

#include "deploy/say.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/time.h"

int erasure_write_event(
    const struct erasure_event *event, const struct identifier *subject, struct buf *out)
{
    char time[TIME_TEXT_SIZE_MAX];
    (void)time_format(event->at, time);
    int r = buf_appendf(out, "{\"id\":\"%s\",\"type\":\"%s\",\"time\":\"%s\",\"ids\":{", event->id,
        event->type, time);
    if (r == 0)
        r = json_write_text(out, subject->namespace);
    if (r == 0)
        r = buf_append(out, ":", 1);
    if (r == 0)
        r = json_write_text(out, subject->value);
    if (r == 0)
        r = buf_append_str(out, STR("},\"properties\":{\"reason\":"));
    if (r == 0)
        r = json_write_text(out, event->reason);
    return r == 0 ? buf_append_str(out, STR("}}\n")) : r;
}

int erasure_write_request(
    const struct receipt *receipt, const struct identifier *subject, struct buf *out)
{
    const struct erasure_event event = {.type = "erasure_requested",
        .id = receipt->id,
        .at = receipt->requested_at,
        .reason = receipt->reason};
    return erasure_write_event(&event, subject, out);
}

static int ask_again(
    struct settings *settings, const struct receipt_open *open, struct appender *appender)
{
    CLEANUP(buf_free) struct buf json = {0};
    int r = erasure_write_request(&open->receipt, &open->identifier, &json);
    return r < 0 ? r : say_append(settings, buf_str(&json), appender);
}

static bool must_be_spelled(const struct settings *settings, const struct identifier *subject)
{
    return settings->door.identifiers.next.live &&
           identifier_key_number(subject->namespace, subject->value) > 0;
}

int erasures_resume(
    struct settings *settings, const char *database, struct appender *appender, size_t *asked)
{
    struct receipt_open *open = calloc(RECEIPTS_OPEN_MAX, sizeof *open);
    struct arena arena = {0};
    size_t count = 0;
    *asked = 0;
    if (!open)
        return ERR_NO_MEMORY;
    int r = receipts_settle(database, false, &arena, open, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (open[i].receipt.asked || open[i].identifier.namespace.size == 0 ||
            must_be_spelled(settings, &open[i].identifier))
            continue;
        r = ask_again(settings, &open[i], appender);
        *asked += r == 0;
    }
    arena_free(&arena);
    free(open);
    return r;
}

int erasures_settle(const char *database, size_t *left)
{
    struct receipt_open *open = calloc(RECEIPTS_OPEN_MAX, sizeof *open);
    struct arena arena = {0};
    if (!open)
        return ERR_NO_MEMORY;
    int r = receipts_settle(database, true, &arena, open, left);
    arena_free(&arena);
    free(open);
    return r;
}
