/*
 * Bodies that were sent compressed.
 */
#pragma once

#include "schemas/bytes.h"

enum content_encoding {
    CONTENT_IDENTITY,
    CONTENT_GZIP,
    CONTENT_DEFLATE, /* zlib's form, or raw as some clients send it */
};

/* Reads a Content-Encoding header. Errors: ERR_ENCODING for others or several. Threads: any. */
MUST_CHECK int content_encoding_of(struct str header, enum content_encoding *out);

struct inflate_limits {
    size_t size_max; /* bytes */
    size_t ratio_max;
};

/* Appends the inflated body to *out, never holding more than size_max of it. Errors: ERR_TOO_LARGE
 * over size_max or, beyond the first 64 kB, over ratio_max; ERR_GZIP for damaged, truncated or
 * trailing bytes; ERR_NO_MEMORY. Several gzip members are one body (RFC 1952, 2.2). Threads: any.
 */
MUST_CHECK int inflate_body(struct str body, enum content_encoding encoding,
    const struct inflate_limits *limits, struct buf *out);
