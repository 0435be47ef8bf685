/*
 * Identifiers at the door: normalised, blocked values taken out, e-mail and phone made pseudonyms.
 * Source: IDENTITY, "Normalisation" and rule 1.
 */
#pragma once

#include "ingest/normalise/namespace.h"
#include "schemas/arena.h"

/* The tenant key of an installation that has configured none: public, so that two data directories
 * give the same rows. `doctor` warns of it. 32 bytes and a NUL. */
#define IDENTIFIER_PUBLIC_KEY "tabiji: everybody knows this key"

#define IDENTIFIER_KEY_ID_SIZE_MAX 8

/* Where blocked values of the operator lie; identifier_block() fills it. */
#define IDENTIFIER_BLOCKED_MAX 4096

/* The key that is to follow the one in use, while a rotation is under way (key_file.h). */
struct identifier_next {
    bool live;
    struct str key_id;
    struct hmac_key email_key;
    struct hmac_key phone_key;
    int64_t since; /* micros: when the key was made */
};

struct identifier_config {
    const struct namespace_table *namespaces;
    struct str key_id;         /* "k1": k and 1 to 7 digits */
    const struct str *blocked; /* more blocked values, as identifier_block() made them */
    size_t blocked_count;
    struct hmac_key
        email_key; /* HMAC(tenant key, "email"), likewise phone; by identifier_config_key() */
    struct hmac_key phone_key;
    struct identifier_next next;
    /* For who only judges: pseudonyms are of no key, but one for each value and as long. */
    bool keyless;
};

/* The default table, the public key as "k1", nothing blocked. */
void identifier_config_default(struct identifier_config *config);

/* Derives the keys of both fields from the tenant key. key_id is borrowed. Errors: ERR_VALUE when
 * key_id is not k and 1 to 7 digits; config is then unchanged. */
MUST_CHECK int identifier_config_key(
    struct identifier_config *config, const uint8_t tenant_key[32], struct str key_id);

/* Sets the next key. key_id is borrowed. Errors: as identifier_config_key(). */
MUST_CHECK int identifier_config_next(struct identifier_config *config,
    const uint8_t tenant_key[32], struct str key_id, int64_t since);

/* Makes the next key the only one: how a value that is not known under the old key is looked up. */
void identifier_config_follow(struct identifier_config *config);

/* The number of the key that made the pseudonym; 0 for a value that is none. Threads: any. */
int32_t identifier_key_number(struct str namespace, struct str value);

/* Writes the forms under which an operator's blocked value is compared: normalised, as an e-mail
 * address in lower case too, and where it can be read as a phone number also E.164. forms has room
 * for IDENTIFIER_BLOCK_FORMS; they live in the arena. Errors: ERR_UTF8, ERR_NO_MEMORY. */
#define IDENTIFIER_BLOCK_FORMS 3
MUST_CHECK int identifier_block(
    struct str value, struct arena *arena, struct str *forms, size_t *forms_count);

/* True for a value that never identifies anybody: empty, null, undefined, NaN, none, 0, -1,
 * anonymous, guest, true, false, [object Object] (any case, also quoted: " ' ` “” ‘’ 「」 『』),
 * all-zero UUIDs, words for a withheld caller, and config->blocked. value: normalised, before it is
 * made a pseudonym. */
bool identifier_blocked(const struct identifier_config *config, struct str value);

/* What identifier_normalise() left out, and where it failed. */
enum identifier_fate {
    IDENTIFIER_KEPT,
    IDENTIFIER_BLOCKED,   /* on the blocked list */
    IDENTIFIER_SHARED,    /* a toll-free or service number: it names no person */
    IDENTIFIER_MALFORMED, /* no phone number, or no e-mail address */
};
#define IDENTIFIER_FATES 4

/* A value that was left out. */
struct identifier_drop {
    struct str namespace;
    enum identifier_fate why;
};

/* A value that was seen, as both live keys name it. */
struct identifier_pair {
    struct str namespace;
    struct str old; /* pseudonyms */
    struct str new;
};

struct identifier_report {
    struct identifier_drop *drops; /* in the arena; those of the evidence are errors */
    size_t dropped_count;
    struct str dropped_namespace; /* of the first that was dropped */
    enum identifier_fate dropped_why;
    size_t failed_index;           /* into identifiers as given, when an error is returned */
    struct identifier_pair *pairs; /* of the event and its evidence, while a next key lives */
    size_t pairs_count;
};

/* Normalises event->identifiers in place (a new array in the arena): NFKC, ゛ and ゜ joined with
 * the kana before, dashes between digits to '-', trim; e-mail lower-cased, phone to E.164 with
 * region JP, both then key id ":" 32 hex digits of HMAC-SHA-256, unless they already are; values
 * that are blocked, service numbers and malformed ones dropped (the raw value is kept nowhere);
 * duplicates dropped; an order's order_id added as namespace order, a call's call_id as case.
 * Likewise both ends of event->evidence, where a value that would be dropped is an error, as is
 * evidence of an identifier and itself. Applying it twice is applying it once. Errors:
 * ERR_NAMESPACE, ERR_UTF8, ERR_VALUE (too long; evidence), ERR_TOO_MANY, ERR_NO_IDENTIFIER when
 * none is left, ERR_NO_MEMORY. *report is always written. Threads: any. */
MUST_CHECK int identifier_normalise(const struct identifier_config *config, struct arena *arena,
    struct touchpoint *event, struct identifier_report *report);
