/*
 * An operator's word: events of identity and privacy, made by a verb. They go into the data
 * directory's log when nothing else runs there, else through a collector, to a source that has
 * `operator = yes`. All options of the verb must be its own: --url, --key-file.
 */
#pragma once

#include "deploy/settings.h"
#include "deploy/verb/verb.h"
#include "sinks/sqlite/read.h"

#define SAY_EVENT_ID_SIZE 40

/* Writes a new random event id ("op-" and 32 hex digits) with its NUL. Errors: ERR_IO. */
MUST_CHECK int say_event_id(char id[SAY_EVENT_ID_SIZE]);

/* Reads "namespace:value" as the door does: normalised, a pseudonym where its kind has one. Slices
 * live in the settings' arena. Errors: ERR_NAMESPACE, ERR_VALUE and others of
 * identifier_normalise(), ERR_NO_IDENTIFIER (a blocked value, or one that means nobody). */
MUST_CHECK int say_identifier(
    struct settings *settings, struct str spelling, struct identifier *out);

/* The same; *report says why a value is none (of ERR_NO_IDENTIFIER), *out is then as spelled. */
MUST_CHECK int say_identifier_report(struct settings *settings, struct str spelling,
    struct identifier *out, struct identifier_report *report);

/* As say_identifier(), and reads also a value that [identity] blocked names by now but the tables
 * know from before: it can be asked about and erased. */
MUST_CHECK int say_identifier_known(
    struct settings *settings, struct reader *reader, struct str spelling, struct identifier *out);

/* Why a spelling of which one of these returned the error is none, as what follows "it ". Static.
 */
const char *say_why_none(struct settings *settings, struct str spelling, int error);

/* Says what is wrong with a spelling of which one of these returned the error. Returns
 * EXIT_USAGE. */
int say_bad_identifier(
    const struct verb_call *call, struct settings *settings, const char *spelling, int error);

/* How an event names the identifier, of which the spelling ("namespace:value", or a value alone)
 * may be one: while a rotation of the key is under way, e-mail and phone as they are spelled, so
 * that the door tells the pair of their pseudonyms; else as it is. */
MUST_CHECK int say_spelling(struct settings *settings, struct str spelling,
    const struct identifier *identifier, struct identifier *out);

/* Asks the collector of --url, by the key of --key-file, what links the two identifiers as they are
 * spelled: 0, SAY_NEVER (nothing ever did), SAY_UNANSWERED (it has no tables, or is older); or an
 * exit_code after saying what is wrong. */
#define SAY_NEVER (-1)
#define SAY_UNANSWERED (-2)
MUST_CHECK int say_ask_linked(struct verb_call *call, const char *a, const char *b);

/* Sends one native JSON event and, in the embedded mode, waits until the tables follow. Says what
 * is wrong itself. Returns an exit_code. */
int say_event(struct verb_call *call, struct settings *settings, struct str json);

/* The same, with something to be done first. */
struct saying {
    struct str json;
    /* Called when the event can be taken: in the embedded mode the log is open and the tables are
     * up to date. Anything but 0 is an exit_code after saying what is wrong: nothing is sent. */
    int (*ready)(void *context);
    void *context;
    bool refused; /* set where the event was surely not taken */
};
int say_when_ready(struct verb_call *call, struct settings *settings, struct saying *saying);

/* Appends one native JSON event as an operator's. Errors: those of the door and of append(). */
MUST_CHECK int say_append(struct settings *settings, struct str json, struct appender *appender);
