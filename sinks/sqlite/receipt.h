/*
 * Rows of erasure_receipt. Who asks for an erasure writes the receipt before the request, with all
 * that stands, and again when the rows are gone. An erasure that was cut off in between is found by
 * its receipt, and asked for again under the same event id: by the same command, or by whoever
 * opens the data directory next. Identifiers that others' events show stay, for those alone
 * (enrich/identity/erasure.h): the receipt says how many, and is finished all the same. One that
 * was followed and left something else is asked for again by the same command only.
 */
#pragma once

#include "schemas/arena.h"
#include "sinks/sqlite/read.h"

#define RECEIPT_ID_SIZE 64      /* with its NUL */
#define RECEIPT_SUBJECT_SIZE 65 /* hexadecimal SHA-256 of the identifier, with its NUL */

struct receipt {
    char id[RECEIPT_ID_SIZE]; /* of the request's event */
    char subject[RECEIPT_SUBJECT_SIZE];
    int64_t requested_at; /* microseconds */
    struct str reason;
    struct reader_counts before;
    int64_t of_others; /* its identifiers that stay, since others' events show them: by itself, or
                        * as those of another person */
    int64_t gone;      /* its identifiers that nobody is known by any more */
    int64_t left_over; /* other rows of the person that stand still; 0: done */
    bool has_person;   /* receipts of older builds lack it */
    uint8_t person[KEY_SIZE]; /* that was to be erased */
    bool asked; /* the request is in the log and was followed: receipt_end() said so, or nothing is
                   left of it */
};

/* The identifier itself goes; its hash is what a receipt names it by. */
void receipt_subject(const struct identifier *identifier, char out[RECEIPT_SUBJECT_SIZE]);

/* Writes a new receipt, and with totals also what remains of the person's rows (erasure_remainder:
 * sums a UTC month, channel and currency, without any identifier), in one transaction. Of an id
 * that is there nothing changes. Errors: as database_open(); ERR_DATABASE with totals in a database
 * of an older build, which has no such table. */
MUST_CHECK int receipt_begin(
    const char *path, const struct receipt *receipt, const uint8_t person[KEY_SIZE], bool totals);

/* The request was followed; says how much is left over, of_others apart, and what became of the
 * identifiers that the person had when the receipt was begun: sets of_others, of those that are
 * another's too, and gone. Errors: as database_open(). */
MUST_CHECK int receipt_end(const char *path, struct receipt *receipt);

/* What stands of a person whose erasure was followed, as that person. Errors: as reader_count(). */
MUST_CHECK int receipt_count_left(
    struct reader *reader, const uint8_t person[KEY_SIZE], int64_t *left_over, int64_t *of_others);

/* Takes a receipt back, whose request was surely not taken; totals: as it was begun. Errors: as
 * database_open(). */
MUST_CHECK int receipt_drop(const char *path, const char *id, bool totals);

/* The unfinished receipt of a subject: 0 and *out, or READER_ABSENT. Text lives in the arena.
 * Errors: as database_open_reader(). */
MUST_CHECK int receipt_unfinished(const char *path, const char subject[RECEIPT_SUBJECT_SIZE],
    struct arena *arena, struct receipt *out);

/* Likewise the last one that is finished. */
MUST_CHECK int receipt_finished(const char *path, const char subject[RECEIPT_SUBJECT_SIZE],
    struct arena *arena, struct receipt *out);

/* A receipt of which something stands still. */
struct receipt_open {
    struct receipt receipt;
    struct identifier identifier; /* its subject, as the tables have it; empty: not any more */
};

#define RECEIPTS_OPEN_MAX 64

/* Brings receipts that are not finished to what the tables say of the person that they name (of an
 * older build's: of whoever has the identifier): nothing is left over where nothing of the person
 * is older than the request (a device that lives on), or, once it was followed, nothing but what
 * others' events show. followed: so were
 * all requests that are in the log. Gives those of which something stands, the oldest
 * RECEIPTS_OPEN_MAX of them; text lives in the arena. Without a database there is none. Costs one
 * look-up where all are finished, else a look at all identifiers. Errors: as database_open(). */
MUST_CHECK int receipts_settle(
    const char *path, bool followed, struct arena *arena, struct receipt_open *open, size_t *count);
