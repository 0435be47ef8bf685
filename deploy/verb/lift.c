/*
 * The lift is an event as the erasure is, of an operator: a rebuild keeps it. It is of the one
 * identifier that it names (enrich/identity/erasure.h).
 */
#include "deploy/verb/lift.h"

#include <stdio.h>
#include <time.h>

#include "deploy/erasure.h"
#include "deploy/say.h"
#include "deploy/verb/tables.h"
#include "schemas/error.h"
#include "schemas/time.h"

struct lifting {
    struct verb_call *call;
    struct settings *settings;
    struct identifier identifier;
    char id[SAY_EVENT_ID_SIZE];
    int64_t at;
};

/* What the tables say: 0, or an exit_code after saying that there is nothing to lift. */
static int check_suppressed(struct lifting *lifting, struct reader *reader)
{
    struct verb_call *call = lifting->call;
    struct reader_suppression since = {.lifted_at = 0};
    uint8_t node[KEY_SIZE];
    char time[TIME_TEXT_SIZE_MAX];
    int r =
        reader_node_id(lifting->settings->door.identifiers.namespaces, &lifting->identifier, node);
    if (r == 0)
        r = reader_suppression(reader, node, &since);
    if (r == READER_ABSENT)
        return verb_not_found(call, "%s is not suppressed: no erasure took it", call->arguments[0]);
    if (r < 0)
        return verb_fail(call, r, "%s", call->arguments[0]);
    (void)time_format(since.lifted_at, time);
    if (since.lifted_at)
        return verb_not_found(
            call, "%s is not suppressed any more: that was lifted on %s", call->arguments[0], time);
    if (since.erased_at > lifting->at)
        lifting->at = since.erased_at; /* an earlier one would lift nothing */
    return 0;
}

/* Behind a collector the tables may be elsewhere: then nobody looks first. */
static int look_first(struct lifting *lifting)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    struct verb_call *call = lifting->call;
    const char *path = "";
    int r = 0;
    if (verb_value(call, "--url")) {
        r = settings_database(lifting->settings, &path);
        if (r < 0 || reader_open(&reader, path) < 0)
            return 0;
    } else {
        r = tables_open(call, lifting->settings, &reader);
    }
    if (r == 0)
        r = tables_fit(call, lifting->settings, reader);
    return r ? r : check_suppressed(lifting, reader);
}

static int say(struct lifting *lifting, const char *reason)
{
    CLEANUP(buf_free) struct buf json = {0};
    struct verb_call *call = lifting->call;
    struct identifier spelled;
    int r = say_event_id(lifting->id);
    if (r == 0)
        r = say_spelling(
            lifting->settings, str_of(call->arguments[0]), &lifting->identifier, &spelled);
    const struct erasure_event event = {
        .type = "erasure_lifted", .id = lifting->id, .at = lifting->at, .reason = str_of(reason)};
    if (r == 0)
        r = erasure_write_event(&event, &spelled, &json);
    if (r < 0)
        return verb_fail(call, r, "the event");
    return say_event(call, lifting->settings, buf_str(&json));
}

int lift_run(struct verb_call *call, struct settings *settings)
{
    struct lifting lifting = {.call = call, .settings = settings};
    const char *reason = verb_value(call, "--reason");
    struct timespec now;
    char time[TIME_TEXT_SIZE_MAX];
    if (!reason || !*reason)
        return verb_usage(call, "--lift needs --reason TEXT: it stands in the event");
    if (verb_switch(call, "--confirm") || verb_switch(call, "--again"))
        return verb_usage(call, "--lift erases nothing: without --confirm and --again");
    (void)clock_gettime(CLOCK_REALTIME, &now);
    lifting.at = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    int r = say_identifier(settings, str_of(call->arguments[0]), &lifting.identifier);
    if (r < 0)
        return say_bad_identifier(call, settings, call->arguments[0], r);
    r = look_first(&lifting);
    if (r == 0)
        r = say(&lifting, reason);
    if (r)
        return r;
    (void)time_format(lifting.at, time);
    if (call->json)
        (void)printf(
            "{\"lifted\":true,\"event_id\":\"%s\",\"lifted_at\":\"%s\"}\n", lifting.id, time);
    else
        (void)printf("lifted by event %s: what occurred on %s or later is taken under %s again; "
                     "what is older stays refused, and so do other identifiers of who was erased, "
                     "until each is lifted by its own name\n",
            lifting.id, time, call->arguments[0]);
    return EXIT_OK;
}
