/*
 * Rows of erasure_receipt. Who asks for an erasure writes the receipt before the request, with all
 * that stands, and again when the rows are gone: so an erasure that was cut off is found, and
 * asked for again under the same event id.
 */
#pragma once

#include "sinks/sqlite/read.h"

#define RECEIPT_ID_SIZE 64      /* with its NUL */
#define RECEIPT_SUBJECT_SIZE 65 /* hexadecimal SHA-256 of the identifier, with its NUL */

struct receipt {
    char id[RECEIPT_ID_SIZE]; /* of the request's event */
    char subject[RECEIPT_SUBJECT_SIZE];
    int64_t requested_at; /* microseconds */
    struct str reason;
    struct reader_counts before;
    int64_t left_over; /* rows of the person that stand still; 0: done */
};

/* The identifier itself goes; its hash is what a receipt names it by. */
void receipt_subject(const struct identifier *identifier, char out[RECEIPT_SUBJECT_SIZE]);

/* Writes the row, or, of an id that is there, how much is left over. Errors: as database_open(). */
MUST_CHECK int receipt_put(const char *path, const struct receipt *receipt);

/* The unfinished receipt of a subject: 0 and *out (without reason), or READER_ABSENT. Errors: as
 * database_open_reader(). */
MUST_CHECK int receipt_unfinished(
    const char *path, const char subject[RECEIPT_SUBJECT_SIZE], struct receipt *out);
