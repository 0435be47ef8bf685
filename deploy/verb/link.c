/* `tabiji link A B`, `tabiji unlink A B`: an operator's word that two identifiers are one person,
 * or that they are not. Both are events, reversible, and kept by a rebuild. */
#include <stdio.h>

#include "deploy/render.h"
#include "deploy/say.h"
#include "deploy/verb/claim.h"
#include "deploy/verb/preview.h"
#include "deploy/verb/tables.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "schemas/json.h"

static int append_node(struct buf *out, const char *lead, const struct identifier *identifier)
{
    int r = buf_appendf(out, "%s{", lead);
    if (r == 0)
        r = json_write_text(out, identifier->namespace);
    if (r == 0)
        r = buf_append(out, ":", 1);
    if (r == 0)
        r = json_write_text(out, identifier->value);
    return r == 0 ? buf_append(out, "}", 1) : r;
}

/* The event; it stands on the timeline of the first. */
static int write_event(
    struct buf *out, const struct identifier ends[2], bool link, const char *reason, const char *id)
{
    int r = buf_appendf(
        out, "{\"id\":\"%s\",\"type\":\"identity_%s\"", id, link ? "linked" : "unlinked");
    if (r == 0)
        r = append_node(out, ",\"ids\":", &ends[0]);
    if (r == 0)
        r = append_node(out, ",\"evidence\":{\"a\":", &ends[0]);
    if (r == 0)
        r = append_node(out, ",\"b\":", &ends[1]);
    if (r == 0)
        r = buf_appendf(out, ",\"sign\":%d,\"reason\":", link ? 1 : -1);
    if (r == 0)
        r = json_write_text(out, str_of(reason));
    return r == 0 ? buf_append_str(out, STR("}}\n")) : r;
}

static int read_ends(struct verb_call *call, struct settings *settings, struct identifier ends[2])
{
    for (size_t i = 0; i < 2; i++) {
        int r = say_identifier(settings, str_of(call->arguments[i]), &ends[i]);
        if (r < 0)
            return say_bad_identifier(call, settings, call->arguments[i], r);
    }
    if (str_equal(ends[0].namespace, ends[1].namespace) && str_equal(ends[0].value, ends[1].value))
        return verb_usage(call, "both are the same identifier");
    return 0;
}

/* reader: of the tables that say so; NULL: the collector does. */
static int never_linked(struct verb_call *call, struct settings *settings, struct reader *reader)
{
    int r = reader ? tables_fit(call, settings, reader) : 0;
    return r ? r
             : verb_not_found(
                   call, "nothing ever linked %s and %s", call->arguments[0], call->arguments[1]);
}

/* Whether the two ever stood in one event, or were linked by a word: 0, or an exit_code after
 * saying what is wrong. */
static int look_at_tables(
    struct verb_call *call, struct settings *settings, const struct identifier ends[2])
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    int r = tables_open(call, settings, &reader);
    if (r)
        return r;
    r = reader_linked(reader, settings->door.identifiers.namespaces, &ends[0], &ends[1]);
    if (r < 0)
        return verb_fail(call, r, "what is linked");
    return r == READER_ABSENT ? never_linked(call, settings, reader) : 0;
}

/* Of a collector that has no tables beside it: those of --data or --database, where they are. */
static int look_elsewhere(
    struct verb_call *call, struct settings *settings, const struct identifier ends[2])
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    const char *path = "";
    int r = settings_database(settings, &path);
    if (r == 0)
        r = reader_open(&reader, path);
    if (r == 0)
        return look_at_tables(call, settings, ends);
    return verb_end(call, EXIT_FAILED, "unchecked",
        "nobody can tell whether anything ever linked %s and %s: the collector %s "
        "has no tables, and %s is not there\n"
        "nothing was said: give --database FILE, or --unchecked to say it all the same",
        call->arguments[0], call->arguments[1], verb_value(call, "--url"), path);
}

static int check_linked(
    struct verb_call *call, struct settings *settings, const struct identifier ends[2])
{
    if (verb_switch(call, "--unchecked"))
        return 0;
    if (!verb_value(call, "--url"))
        return look_at_tables(call, settings, ends);
    int r = say_ask_linked(call, call->arguments[0], call->arguments[1]);
    if (r == SAY_UNANSWERED)
        return look_elsewhere(call, settings, ends);
    return r == SAY_NEVER ? never_linked(call, settings, NULL) : r;
}

static int keep_person(void *context, const struct reader_node *node)
{
    memcpy(context, node->person, KEY_SIZE);
    return 0;
}

/* What an erased person's identifier says is dropped, so nothing comes of a word that begins with
 * one; as the second of a word it would be known again. Neither is said by mistake. Returns 0, or
 * an exit_code after saying so. */
static int check_erased(
    struct verb_call *call, struct settings *settings, const struct identifier ends[2], bool link)
{
    struct preview_outcome outcome;
    bool here = !verb_value(call, "--url") &&
                !str_equal(config_text(settings->config, OPTION_STREAM_DRIVER), STR("kafka"));
    int r = here ? preview_foresee(settings, ends, link, &outcome) : ERR_NOT_FOUND;
    if (r < 0) /* who says the word meets the same */
        return 0;
    if (!outcome.stands && !outcome.lost)
        return verb_end(call, EXIT_USAGE, "erased",
            "%s is of a person who was erased, and stays forgotten: nothing would come of the "
            "word, and it was not said (tabiji erase --lift lets it be known again)",
            call->arguments[0]);
    const struct identifier turned[2] = {ends[1], ends[0]};
    struct preview_outcome other;
    bool back = link && preview_foresee(settings, turned, link, &other) == 0 && !other.stands &&
                !other.lost;
    if (back && !verb_switch(call, "--confirm"))
        return verb_end(call, EXIT_USAGE, "erased",
            "%s is of a person who was erased: this would make it known again; nothing was said: "
            "--confirm does it",
            call->arguments[1]);
    if (outcome.lost && !verb_switch(call, "--confirm"))
        return verb_end(call, EXIT_USAGE, "erased",
            "this would erase %zu event%s for ever, which would come to an identifier that was "
            "erased; "
            "nothing was said: --confirm does it",
            outcome.lost, outcome.lost == 1 ? "" : "s");
    return 0;
}

/* Who is linked may be seen later. */
static void tell_new(
    struct verb_call *call, struct settings *settings, const struct identifier ends[2])
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    uint8_t node[KEY_SIZE], person[KEY_SIZE];
    const char *path = "";
    int r = verb_value(call, "--url") ? ERR_NOT_FOUND : settings_database(settings, &path);
    if (r == 0)
        r = reader_open(&reader, path);
    for (size_t i = 0; r >= 0 && i < 2; i++) {
        r = reader_node_id(settings->door.identifiers.namespaces, &ends[i], node);
        if (r == 0)
            r = reader_node(reader, node, keep_person, person);
        if (r == READER_ABSENT)
            tables_tell_new(call, call->arguments[i]);
    }
}

/* Whether the tables, which have the word by now, hold the two for one person. Behind a collector
 * nobody knows when they have it: then nothing is said. Returns 1, 0, or < 0: not known. */
static int are_one(
    struct verb_call *call, struct settings *settings, const struct identifier ends[2])
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    uint8_t node[KEY_SIZE], persons[2][KEY_SIZE];
    const char *path = "";
    int r = verb_value(call, "--url") ? ERR_STATE : settings_database(settings, &path);
    if (r == 0)
        r = reader_open(&reader, path);
    for (size_t i = 0; r == 0 && i < 2; i++) {
        r = reader_node_id(settings->door.identifiers.namespaces, &ends[i], node);
        if (r == 0)
            r = reader_node(reader, node, keep_person, persons[i]);
    }
    return r == 0 ? memcmp(persons[0], persons[1], KEY_SIZE) == 0 : ERR_STATE;
}

/* Of a word that made no one person: a claim that was rejected, and what to do. */
struct rejection {
    struct buf text; /* a sentence */
    struct buf json; /* members behind a comma */
};

static void rejection_free(struct rejection *rejection)
{
    buf_free(&rejection->text);
    buf_free(&rejection->json);
}

static int is_rejected(void *context, const struct reader_node *node)
{
    bool *rejected = context;
    *rejected = str_equal(node->why, STR("rejected"));
    return 0;
}

static int write_rejection(struct settings *settings, struct reader *reader,
    const struct identifier *end, const uint8_t node[KEY_SIZE], struct rejection *out)
{
    CLEANUP(buf_free) struct buf sentence = {0};
    CLEANUP(buf_free) struct buf more = {0};
    int r = buf_appendf(&sentence, "%.*s:%.*s", (int)end->namespace.size, end->namespace.data,
        (int)end->value.size, end->value.data);
    if (r == 0)
        r = claim_rejected(settings, reader, node, &sentence, &more);
    if (r == 0)
        r = render_safe(&out->text, buf_str(&sentence));
    if (r == 0)
        r = buf_append_str(&out->json, STR(",\"rejected\":{\"namespace\":"));
    if (r == 0)
        r = json_write_text(&out->json, end->namespace);
    if (r == 0)
        r = buf_append_str(&out->json, STR(",\"value\":"));
    if (r == 0)
        r = json_write_text(&out->json, end->value);
    if (r == 0)
        r = buf_append_str(&out->json, buf_str(&more));
    if (r == 0)
        r = buf_append_str(&out->json, STR(",\"text\":"));
    if (r == 0)
        r = json_write_text(&out->json, buf_str(&sentence));
    return r == 0 ? buf_append(&out->json, "}", 1) : r;
}

/* The first of the two whose claim was rejected, if one's was. */
static int find_rejection(
    struct settings *settings, const struct identifier ends[2], struct rejection *out)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    uint8_t node[KEY_SIZE];
    const char *path = "";
    bool rejected = false;
    int r = settings_database(settings, &path);
    if (r == 0)
        r = reader_open(&reader, path);
    for (size_t i = 0; r == 0 && !rejected && i < 2; i++) {
        r = reader_node_id(settings->door.identifiers.namespaces, &ends[i], node);
        if (r == 0)
            r = reader_node(reader, node, is_rejected, &rejected);
        if (r == 0 && rejected)
            r = write_rejection(settings, reader, &ends[i], node, out);
    }
    return r < 0 ? r : 0;
}

/* The word is said; what it came to may be another thing: one word of several, a generic
 * identifier, two logins. */
static void tell(struct verb_call *call, const char *id, int one, const struct rejection *rejection)
{
    const char *a = call->arguments[0], *b = call->arguments[1];
    const struct buf *text = &rejection->text, *json = &rejection->json;
    if (call->json)
        (void)printf("{\"event_id\":\"%s\"%s%.*s}\n", id,
            one < 0 ? ""
            : one   ? ",\"same_person\":true"
                    : ",\"same_person\":false",
            (int)json->size, json->size ? json->data : "");
    else if (one < 0)
        (void)printf("done: event %s\n", id);
    else
        (void)printf("done: event %s; %s and %s are %s (tabiji explain says why)\n", id, a, b,
            one ? "one person" : "two persons");
    if (!call->json && text->size)
        (void)printf("%.*s\n", (int)text->size, text->data);
}

/* Says what the word came to. Returns an exit_code. */
static int end(struct verb_call *call, struct settings *settings, const struct identifier ends[2],
    const char *id, bool link)
{
    CLEANUP(rejection_free) struct rejection rejection = {.text = {0}};
    int one = are_one(call, settings, ends);
    int r = link && one == 0 ? find_rejection(settings, ends, &rejection) : 0;
    if (r < 0)
        return verb_fail(call, r, "event %s is said; what it came to", id);
    tell(call, id, one, &rejection);
    return link && one == 0 ? EXIT_PARTIAL : EXIT_OK;
}

static int say(struct verb_call *call, struct settings *settings, bool link)
{
    struct identifier ends[2], spelled[2];
    char id[SAY_EVENT_ID_SIZE];
    CLEANUP(buf_free) struct buf json = {0};
    int r = read_ends(call, settings, ends);
    if (r == 0 && !link)
        r = check_linked(call, settings, ends);
    if (r == 0)
        r = check_erased(call, settings, ends, link);
    if (r)
        return r;
    if (link)
        tell_new(call, settings, ends);
    r = say_event_id(id);
    for (size_t i = 0; r == 0 && i < 2; i++)
        r = say_spelling(settings, str_of(call->arguments[i]), &ends[i], &spelled[i]);
    if (r == 0)
        r = write_event(&json, spelled, link, verb_value(call, "--reason"), id);
    if (r < 0)
        return verb_fail(call, r, "cannot write the event");
    r = say_event(call, settings, buf_str(&json));
    return r == EXIT_OK ? end(call, settings, ends, id, link) : r;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    const char *reason = verb_value(call, "--reason");
    if (!reason || !*reason)
        return verb_usage(call, "needs --reason TEXT: it stands in the evidence");
    int r = settings_open(&settings, call->config);
    r = r < 0 ? verb_fail(call, r, "configuration")
              : say(call, &settings, strcmp(call->verb->name, "link") == 0);
    settings_close(&settings);
    return r;
}

#define COMMON_OPTIONS                                                                             \
    {"--data", "DIR", "data directory", "data.dir", false},                                        \
        {"--database", "FILE", "SQLite file", "sink.sqlite.path", false},                          \
        {"--reason", "TEXT", "why; kept with the evidence", NULL, false},                          \
        {"--url", "URL", "a collector, where one runs", NULL, false},                              \
        {"--confirm", NULL,                                                                        \
            "say it though it erases events, or makes an erased identifier known again", NULL,     \
            false},                                                                                \
    {                                                                                              \
        "--key-file", "FILE", "file whose first line is the key of a source with operator = yes",  \
            NULL, false                                                                            \
    }

static const struct verb_option options[] = {COMMON_OPTIONS};
static const struct verb_option unlink_options[] = {
    COMMON_OPTIONS,
    {"--unchecked", NULL, "say it though nobody can tell whether anything ever linked them", NULL,
        false},
};

const struct verb verb_link = {
    .name = "link",
    .summary = "say that two identifiers are one person",
    .arguments = "A B",
    .detail =
        "A and B are namespace:value. The word is an event like all others: a rebuild keeps "
        "it, and `tabiji\n"
        "unlink` takes it back. It is above what clients say. Words within a kind add up: of "
        "logins a and b, b and c\n"
        "linked, all three are one person. An identifier that nobody was seen with yet is "
        "linked when it is. What\n"
        "begins with an erased identifier comes to nothing and is refused, until `tabiji erase "
        "--lift`; to make one known\nagain as B takes --confirm "
        "(behind a collector, --url, nobody looks first).\n"
        "Of a protected namespace a person has so many values ([identity] protected: 1 of "
        "loyalty). Of more that claim\n"
        "it those count whose hash comes first: an order that no late event changes, nor a "
        "word, whatever its authority.\n"
        "The others' claims are rejected: the answer names who holds the place; unlink that "
        "one first. Exit 6: the word\n"
        "stands, but the two are two persons still.",
    .examples = "  tabiji link --data shop --reason 'called, gave both' login:u-1 login:u-2",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 2,
    .arguments_max = 2,
    .run = run,
};

const struct verb verb_unlink = {
    .name = "unlink",
    .summary = "say that two identifiers are not one person",
    .arguments = "A B",
    .detail = "A and B are namespace:value. What links the two counts for nothing from now on, "
              "whenever it was seen;\n"
              "`tabiji link` takes that back. Exit 4 when nothing ever linked them: so "
              "say the\n"
              "tables, or with --url the collector, where its process has them (tabiji run).",
    .examples = "  tabiji unlink --data shop --reason 'shared tablet' login:u-1 cookie:c-9",
    .options = unlink_options,
    .options_count = sizeof unlink_options / sizeof *unlink_options,
    .arguments_min = 2,
    .arguments_max = 2,
    .run = run,
};
