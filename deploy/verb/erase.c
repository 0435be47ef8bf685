/*
 * `tabiji erase ID --confirm`: the person behind an identifier, and all that is known of it.
 *
 * The request is an event; the reducers erase. So a process that is killed midway resumes, and a
 * rebuild erases again. The receipt is written first, with what stands, and again when it is gone:
 * who was cut off between the two asks again, under the same event id, when told the same; in the
 * embedded mode whoever opens the data directory next does (erasure.h).
 */
#include <stdio.h>
#include <time.h>

#include "deploy/erasure.h"
#include "deploy/say.h"
#include "deploy/verb/generic.h"
#include "deploy/verb/lift.h"
#include "deploy/verb/lookup.h"
#include "deploy/verb/tables.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define WAIT_S_DEFAULT 30
#define WAIT_S_MAX 86400
#define LOOK_MS 200 /* between looks at what is left */

static const char *const count_names[READER_COUNTS] = {
    "events", "touches", "sessions", "conversions", "credits", "paths", "identifiers"};

struct erasing {
    struct verb_call *call;
    struct settings *settings;
    const char *path; /* of the database */
    struct identifier identifier;
    struct lookup_match match;
    bool resumed;       /* the receipt is one that was not finished */
    bool gone;          /* nobody is known by the identifier any more */
    bool totals;        /* remain */
    bool begun;         /* the receipt is written */
    bool generic;       /* the identifier is: it names nobody, and takes what is its own */
    int64_t beside;     /* then: events that show it beside others' identifiers, and are theirs */
    struct buf why;     /* it is generic; text */
    struct buf persons; /* whose those events are: generic_persons() */
    struct receipt receipt;
};

/* An erasure of the identifier that was cut off: 0, or READER_ABSENT. */
static int find_unfinished(struct erasing *erasing)
{
    char subject[RECEIPT_SUBJECT_SIZE];
    struct receipt receipt;
    receipt_subject(&erasing->identifier, subject);
    int r = receipt_unfinished(erasing->path, subject, &erasing->settings->arena, &receipt);
    if (r)
        return r;
    erasing->receipt = receipt;
    erasing->resumed = true;
    if (receipt.has_person) /* whoever has the identifier now */
        memcpy(erasing->match.person, receipt.person, KEY_SIZE);
    return 0;
}

/* The last erasure of the identifier, which nobody is known by any more, and what came since:
 * EXIT_NOT_FOUND after saying so, 0 where it was not erased here. */
static int tell_erased(struct erasing *erasing, struct reader *reader)
{
    const struct settings *settings = erasing->settings;
    char subject[RECEIPT_SUBJECT_SIZE], time[TIME_TEXT_SIZE_MAX], lifted[TIME_TEXT_SIZE_MAX];
    struct receipt receipt;
    struct reader_suppression since = {.lifted_at = 0};
    uint8_t node[KEY_SIZE];
    int64_t refused = 0;
    receipt_subject(&erasing->identifier, subject);
    int r = receipt_finished(erasing->path, subject, &erasing->settings->arena, &receipt);
    if (r)
        return r < 0 ? r : 0;
    r = reader_node_id(settings->door.identifiers.namespaces, &erasing->identifier, node);
    if (r == 0)
        r = reader_refused(reader, node, &refused);
    if (r == 0)
        r = reader_suppression(reader, node, &since);
    if (r < 0)
        return r;
    (void)time_format(receipt.requested_at, time);
    (void)time_format(since.lifted_at, lifted);
    return verb_not_found(erasing->call,
        "nobody is known by \"%s\": it was erased on %s (receipt %s); %lld events that came to it "
        "since were refused%s%s",
        erasing->call->arguments[0], time, receipt.id, (long long)refused,
        since.lifted_at ? "; that was lifted on " : "", since.lifted_at ? lifted : "");
}

/* Nobody is known by the identifier: perhaps since it is erased, and its receipt lacks the end. */
static int find_gone(struct erasing *erasing, struct reader *reader)
{
    struct verb_call *call = erasing->call;
    int r = say_identifier(erasing->settings, str_of(call->arguments[0]), &erasing->identifier);
    if (r == 0)
        r = find_unfinished(erasing);
    if (r == 0) {
        erasing->gone = !erasing->receipt.has_person;
        return 0;
    }
    if (r < 0 && error_class(r) != ERROR_CLASS_REJECT)
        return verb_fail(call, r, "%s", call->arguments[0]);
    if (r == READER_ABSENT)
        r = tell_erased(erasing, reader);
    if (r > 0)
        return r;
    if (r < 0 && error_class(r) != ERROR_CLASS_REJECT)
        return verb_fail(call, r, "%s", call->arguments[0]);
    if (r == ERR_NAMESPACE && strchr(call->arguments[0], ':'))
        return say_bad_identifier(call, erasing->settings, call->arguments[0], r);
    return tables_nobody(call, erasing->settings, reader, call->arguments[0]);
}

/* An identifier that was erased and is known now is somebody else's, or has come back: who repeats
 * a command does not mean that person. Returns 0, or an exit_code after saying so. */
static int find_finished(struct erasing *erasing)
{
    char subject[RECEIPT_SUBJECT_SIZE], time[TIME_TEXT_SIZE_MAX];
    struct receipt receipt;
    receipt_subject(&erasing->identifier, subject);
    int r = receipt_finished(erasing->path, subject, &erasing->settings->arena, &receipt);
    if (r != 0 || verb_switch(erasing->call, "--again"))
        return r < 0 ? r : 0;
    (void)time_format(receipt.requested_at, time);
    return verb_end(erasing->call, EXIT_USAGE, "erased",
        "%s was erased on %s (receipt %s); what is known by it now is of others, or came since: "
        "--again erases that, tabiji lookup shows whose it is",
        erasing->call->arguments[0], time, receipt.id);
}

/* What a generic identifier does not take. */
static int find_beside(struct erasing *erasing, struct reader *reader)
{
    const struct lookup_match *match = &erasing->match;
    struct generic_excess excesses[NAMESPACES_MAX];
    size_t count = 0;
    erasing->generic = str_equal(match->why, STR("generic"));
    if (!erasing->generic)
        return 0;
    int r = generic_excesses(erasing->settings, reader, match->node, excesses, &count);
    if (r == 0)
        r = generic_text(excesses, count, &erasing->why);
    if (r == 0)
        r = reader_count_beside(reader, match->node, match->person, &erasing->beside);
    return r < 0 ? r : generic_persons(reader, match->node, erasing->call->json, &erasing->persons);
}

/* Finds the one person. */
static int find_person(struct erasing *erasing)
{
    struct verb_call *call = erasing->call;
    struct lookup_match matches[LOOKUP_PERSONS_MAX];
    CLEANUP(reader_close) struct reader *reader = NULL;
    size_t count = 0;
    int r = settings_database(erasing->settings, &erasing->path);
    if (r == 0)
        r = tables_open(call, erasing->settings, &reader);
    if (r == 0)
        r = lookup_persons(erasing->settings, reader, str_of(call->arguments[0]), matches, &count);
    if (r == 0 && count)
        r = reader_count(reader, matches[0].person, &erasing->receipt.before);
    if (r == ERR_VALUE || r == ERR_UTF8)
        return say_bad_identifier(call, erasing->settings, call->arguments[0], r);
    if (r)
        return r < 0 ? verb_fail(call, r, "%s", call->arguments[0]) : r;
    for (size_t i = 1; i < count; i++) {
        if (memcmp(matches[i].person, matches[0].person, KEY_SIZE) != 0)
            return verb_usage(call,
                "several persons are known by \"%s\": name one as namespace:value (tabiji lookup)",
                call->arguments[0]);
    }
    if (count == 0)
        return find_gone(erasing, reader);
    erasing->match = matches[0];
    erasing->identifier =
        (struct identifier){.namespace = matches[0].namespace, .value = matches[0].value};
    r = find_beside(erasing, reader);
    if (r == 0)
        r = find_unfinished(erasing);
    if (r == READER_ABSENT)
        r = find_finished(erasing);
    return r < 0 ? verb_fail(call, r, "%s", call->arguments[0]) : r;
}

static void print_counts(const struct reader_counts *counts)
{
    for (int i = 0; i < READER_COUNTS; i++)
        (void)printf("  %-12s %lld\n", count_names[i], (long long)counts->counts[i]);
}

/* Of a generic identifier: what it means to erase it. */
static void print_generic(const struct erasing *erasing)
{
    if (!erasing->generic)
        return;
    if (erasing->call->json) {
        (void)printf(",\"generic\":true,\"events_beside\":%lld,\"persons_beside\":%.*s",
            (long long)erasing->beside, (int)erasing->persons.size, erasing->persons.data);
        return;
    }
    (void)printf("%s is generic%s%.*s%s and names nobody: %lld event%s that show%s it beside other "
                 "identifiers are of those, and stay. "
                 "Only what nothing but generic identifiers show is its own.\n",
        erasing->call->arguments[0], erasing->why.size ? " (" : "", (int)erasing->why.size,
        erasing->why.size ? erasing->why.data : "", erasing->why.size ? ")" : "",
        (long long)erasing->beside, erasing->beside == 1 ? "" : "s",
        erasing->beside == 1 ? "s" : "");
    (void)printf(
        "%.*s", (int)erasing->persons.size, erasing->persons.size ? erasing->persons.data : "");
}

/* Of a generic identifier that has nothing of its own: the request stands, and nothing went. */
static bool took_nothing(const struct erasing *erasing)
{
    const struct receipt *receipt = &erasing->receipt;
    return erasing->generic && erasing->beside && receipt->before.counts[0] == 0 &&
           receipt->gone == 0 && receipt->left_over == 0;
}

static int64_t sum(const struct reader_counts *counts)
{
    int64_t all = 0;
    for (int i = 0; i < READER_COUNTS; i++)
        all += counts->counts[i];
    return all;
}

static int write_event(struct buf *out, const struct erasing *erasing)
{
    struct identifier spelled;
    int r = say_spelling(
        erasing->settings, str_of(erasing->call->arguments[0]), &erasing->identifier, &spelled);
    return r < 0 ? r : erasure_write_request(&erasing->receipt, &spelled, out);
}

/* The receipt of a request that is about to be made; not written yet. */
static int make_receipt(struct erasing *erasing)
{
    struct receipt *receipt = &erasing->receipt;
    struct timespec now;
    const char *reason = verb_value(erasing->call, "--reason");
    (void)clock_gettime(CLOCK_REALTIME, &now);
    receipt->requested_at = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    receipt->reason = str_of(reason ? reason : "");
    receipt_subject(&erasing->identifier, receipt->subject);
    return say_event_id(receipt->id);
}

static int keep_person(void *context, const struct reader_identity *identity)
{
    struct erasing *erasing = context;
    memcpy(erasing->match.person, identity->person, KEY_SIZE);
    return 0;
}

/* Counts what stands now that the tables are up to date: the person may be another. */
static int count_before(struct erasing *erasing)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    int r = reader_open(&reader, erasing->path);
    if (r == 0)
        r = reader_lookup(
            reader, erasing->identifier.namespace, erasing->identifier.value, keep_person, erasing);
    return r < 0 ? r : reader_count(reader, erasing->match.person, &erasing->receipt.before);
}

/* The event can be taken: writes its receipt. */
static int on_ready(void *context)
{
    struct erasing *erasing = context;
    if (erasing->resumed)
        return 0;
    int r = count_before(erasing);
    erasing->receipt.left_over = sum(&erasing->receipt.before);
    if (r == 0)
        r = receipt_begin(erasing->path, &erasing->receipt, erasing->match.person, erasing->totals);
    erasing->begun = r == 0;
    return r < 0 ? verb_fail(erasing->call, r, "the receipt") : 0;
}

/* What is left of the person; of one that was gone before, nothing is known by its identifier. */
static int count_left(struct erasing *erasing)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    struct receipt *receipt = &erasing->receipt;
    receipt->left_over = receipt->of_others = 0;
    int r = erasing->gone ? 0 : reader_open(&reader, erasing->path);
    return r < 0 || erasing->gone ? r
                                  : receipt_count_left(reader, erasing->match.person,
                                        &receipt->left_over, &receipt->of_others);
}

/* Looks until nothing is left, or the time is over: behind a collector the workers and the sink
 * take a while. */
static int await_end(struct erasing *erasing, long long seconds)
{
    int r = count_left(erasing);
    for (long long left = seconds * 1000; r == 0 && erasing->receipt.left_over && left > 0;
         left -= LOOK_MS) {
        const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
        r = count_left(erasing);
    }
    return r;
}

static void print_counts_json(const struct reader_counts *counts)
{
    for (int i = 0; i < READER_COUNTS; i++)
        (void)printf(",\"%s\":%lld", count_names[i], (long long)counts->counts[i]);
}

static void print_receipt(const struct erasing *erasing)
{
    const struct receipt *receipt = &erasing->receipt;
    if (!erasing->call->json) {
        (void)printf("%s by event %s:\n", took_nothing(erasing) ? "nothing was erased" : "erased",
            receipt->id);
        print_counts(&receipt->before);
        (void)printf("  %-12s %lld\n", "left over", (long long)receipt->left_over);
        (void)printf("identifiers:\n  %-12s %lld\n", "gone", (long long)receipt->gone);
        if (receipt->of_others)
            (void)printf("  %-12s %lld (those that events of others show stay theirs)\n",
                "of others", (long long)receipt->of_others);
        print_generic(erasing);
        return;
    }
    bool nothing = took_nothing(erasing);
    (void)printf("{\"erased\":%s%s,\"receipt_id\":\"%s\"",
        receipt->left_over || nothing ? "false" : "true", nothing ? ",\"reason\":\"generic\"" : "",
        receipt->id);
    print_counts_json(&receipt->before);
    print_generic(erasing);
    (void)printf(",\"identifiers_gone\":%lld,\"of_others\":%lld,\"left_over\":%lld}\n",
        (long long)receipt->gone, (long long)receipt->of_others, (long long)receipt->left_over);
}

static void print_preview(const struct erasing *erasing)
{
    if (!erasing->call->json) {
        (void)printf("would erase:\n");
        print_counts(&erasing->receipt.before);
        print_generic(erasing);
        return;
    }
    (void)printf("{\"erased\":false");
    print_counts_json(&erasing->receipt.before);
    print_generic(erasing);
    (void)printf("}\n");
}

/* Sends the request. Returns 0 or an exit_code. */
static int request(struct erasing *erasing)
{
    CLEANUP(buf_free) struct buf json = {0};
    int r = erasing->resumed ? 0 : make_receipt(erasing);
    if (r == 0)
        r = write_event(&json, erasing);
    if (r < 0)
        return verb_fail(erasing->call, r, "the request");
    struct saying saying = {.json = buf_str(&json), .ready = on_ready, .context = erasing};
    int code = say_when_ready(erasing->call, erasing->settings, &saying);
    if (code && saying.refused && erasing->begun) {
        r = receipt_drop(erasing->path, erasing->receipt.id, erasing->totals);
        if (r < 0)
            (void)verb_fail(erasing->call, r, "the receipt");
    }
    return code;
}

static int erase(struct erasing *erasing)
{
    struct verb_call *call = erasing->call;
    long long seconds = verb_value(call, "--url") ? WAIT_S_DEFAULT : 0;
    int r = verb_integer(call, "--wait", 0, WAIT_S_MAX, &seconds);
    if (r == 0)
        r = request(erasing);
    if (r)
        return r;
    r = await_end(erasing, seconds);
    if (r == 0)
        r = receipt_end(erasing->path, &erasing->receipt);
    if (r < 0)
        return verb_fail(call, r, "the receipt");
    print_receipt(erasing);
    if (erasing->receipt.left_over)
        (void)fprintf(stderr, "tabiji erase: %s\n",
            verb_value(call, "--url") ? "still under way; the same command finishes it"
                                      : "something is left; the same command asks again");
    if (took_nothing(erasing))
        (void)fprintf(stderr,
            "tabiji erase: %s is generic and has no events of its own: who is to be "
            "forgotten is erased by the identifiers beside it, one by one\n",
            call->arguments[0]);
    return erasing->receipt.left_over || took_nothing(erasing) ? EXIT_PARTIAL : EXIT_OK;
}

static int run_with(struct erasing *erasing)
{
    struct verb_call *call = erasing->call;
    erasing->settings->door.identifiers.blocked_count = 0; /* what is blocked by now may be known */
    if (verb_switch(call, "--lift"))
        return lift_run(call, erasing->settings);
    int r = find_person(erasing);
    if (r)
        return r;
    if (str_equal(erasing->match.namespace, STR("person")))
        return verb_usage(call, "name an identifier of that person (tabiji lookup shows them)");
    if (verb_switch(call, "--confirm"))
        return erase(erasing);
    print_preview(erasing);
    (void)fprintf(stderr, "nothing was erased: --confirm does it\n");
    return EXIT_USAGE;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    int r = settings_open(&settings, call->config);
    struct erasing erasing = {.call = call, .settings = &settings};
    if (r == 0)
        erasing.totals =
            str_equal(config_text(settings.config, OPTION_ERASE_REMAINDER), STR("totals"));
    r = r < 0 ? verb_fail(call, r, "configuration") : run_with(&erasing);
    buf_free(&erasing.why);
    buf_free(&erasing.persons);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir", false},
    {"--database", "FILE", "SQLite file", "sink.sqlite.path", false},
    {"--confirm", NULL, "do it; without it only says what would go", NULL, false},
    {"--again", NULL, "also where the identifier was erased before: whose it is now", NULL, false},
    {"--lift", NULL, "take events of an erased identifier again: of now and later", NULL, false},
    {"--reason", "TEXT", "why; stands on the receipt, or in the lift", NULL, false},
    {"--url", "URL", "a collector, where one runs", NULL, false},
    {"--key-file", "FILE", "file whose first line is the key of a source with operator = yes", NULL,
        false},
    {"--wait", "SECONDS", "with --url: so long until the rows are gone (30)", NULL, false},
};

const struct verb verb_erase = {
    .name = "erase",
    .summary = "erase a person and all that is known of it",
    .arguments = "ID",
    .detail =
        "ID is namespace:value. The person's timeline, touches, sessions, conversions, "
        "credits, paths and\n"
        "identifiers vanish; late events of it yield nothing. The request is an event: it is "
        "resumed after a crash,\n"
        "and a rebuild erases again. One that was cut off is finished by the same command, and in "
        "the embedded mode by\n"
        "whatever writes to the data directory next; `tabiji doctor` tells of it. A receipt "
        "(table erasure_receipt)\n"
        "counts what went, and the identifiers that stay since events of others show them (a "
        "shared "
        "phone, a kiosk):\n"
        "theirs, and the person's no more. [erase] remainder = totals keeps sums of touches, "
        "conversions and "
        "net revenue by UTC month,\n"
        "channel and currency, without an identifier, in table erasure_remainder: a group of "
        "one is still one.\n"
        "An identifier that was erased before is asked for with --again: by then it is of others, "
        "or "
        "came since.\n"
        "A generic identifier (a kiosk, an e-mail of many) names nobody: what shows it beside "
        "other "
        "identifiers is of those and\n"
        "stays, and is counted; only what nothing but generic identifiers show goes. Whose the "
        "rest is, "
        "is listed (persons_beside in --json):\n"
        "who is to be forgotten and has a generic login is erased by those identifiers, one by "
        "one. "
        "Exit 6 when nothing at all\n"
        "went (\"erased\":false, \"reason\":\"generic\"), or something is left.\n"
        "Cannot be undone. But --lift lets an identifier that is suppressed be known again: events "
        "that occur from then on\n"
        "are taken, as of somebody new; older ones stay refused, and what was refused by then does "
        "not come back. It is\n"
        "of the one identifier that it names: each that the person had is lifted by its own name. "
        "A "
        "later erasure\n"
        "closes it again. Exit 4: the identifier is not suppressed.",
    .examples =
        "  tabiji erase --data shop email:hana@example.jp\n"
        "  tabiji erase --data shop --confirm --reason 'request 2026-113' email:hana@example.jp\n"
        "  tabiji erase --data shop --lift --reason 'is a customer again' email:hana@example.jp",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
