/*
 * What the kinds of webhooks have in common: reading a notification into an event. Keys of JSON are
 * found in whatever case, as senders vary it. Only what is named is kept: notifications are full of
 * addresses and numbers of persons, which may not be stored as they are.
 */
#pragma once

#include "ingest/collector/exchange.h"
#include "ingest/collector/protocol/segment_object.h"
#include "schemas/event_json.h"

#define HOOK_IDENTIFIERS_MAX 16

struct hook_reader {
    struct exchange *exchange;
    struct arena *arena;
    struct json item; /* the notification; of a form: nothing */
    bool is_form;
    const struct exchange_pair *pairs; /* of a form */
    size_t pairs_count;
    struct touchpoint event;      /* source, protocol, version, room for identifiers: hook.c's */
    struct event_problem problem; /* where read() fails */
    struct segment_members properties;
    int64_t said_at; /* when the sender says that this happened, or was sent; 0: it does not */
};

/* Sets the problem; returns the error. */
int hook_fail(struct hook_reader *reader, int error, struct str pointer, struct str hint);

/* The member by this name, in this case or another. */
bool hook_get(struct json object, struct str key, struct json *out);
/* The member when it is an object. */
bool hook_object(struct json object, struct str key, struct json *out);
/* Its text, whole numbers in digits; empty when it is absent or of another kind. Errors:
 * ERR_NO_MEMORY. */
MUST_CHECK int hook_text(
    struct hook_reader *reader, struct json object, struct str key, struct str *out);
/* A time, as RFC 3339 (UTC where no offset is said) or epoch milliseconds; 0 when it is absent or
 * none. */
int64_t hook_micros(struct json object, struct str key);

/* When it happened, which then is said_at too; nothing where it is 0. */
void hook_occurred(struct hook_reader *reader, int64_t micros);

/* Adds an identifier, unless the value is empty or the configuration has no such namespace. */
void hook_identify(struct hook_reader *reader, struct str name, struct str value);
/* Adds a phone number: "+81...", "tel:+81...;ext=1", "whatsapp:+81..."; what is none ("sip:...",
 * "client:...") is no one's. */
void hook_identify_phone(struct hook_reader *reader, struct str address);
/* Adds an attribute that the company has given a notification when its name means an identifier: a
 * namespace after "tabiji_", or the usual words (user_id, customer_id, anonymous_id, loyalty, ...);
 * email and phone only where contacts says that attributes are the customer's own. */
void hook_identify_named(
    struct hook_reader *reader, struct str name, struct str value, bool contacts);

/* Keeps a text among the properties; nothing when it is empty. Errors: ERR_NO_MEMORY. */
MUST_CHECK int hook_keep(struct hook_reader *reader, const char *key, struct str text);

/* The pieces with "-" between, as an event id; in the arena. Errors: ERR_NO_MEMORY. */
MUST_CHECK int hook_join(
    struct hook_reader *reader, const struct str *pieces, size_t count, struct str *out);

/* A name as one of [a-z0-9_]: letters small, all else '_'. In the arena. Errors: ERR_NO_MEMORY. */
MUST_CHECK int hook_slug(
    struct hook_reader *reader, struct str prefix, struct str name, struct str *out);
