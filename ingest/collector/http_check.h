/*
 * What libmicrohttpd 0.9.75 lets pass in a request's head though a proxy in front may read it
 * otherwise (request smuggling), seen with raw sockets: several Content-Length, Content-Length
 * beside Transfer-Encoding, other transfer codings, any in HTTP/1.0, several Host, names that are
 * no tokens, folded lines, NUL in values, and lines that end in a bare LF or CR.
 *
 * What it keeps to itself: whether the last header of all ended in a bare LF, and the lines between
 * the chunks of a body. It takes a bare LF there for a line end, also in its strict mode, and hands
 * over the data alone; so such a body is read as if its lines ended in CRLF, and a chunk that says
 * it is of 2^64 - 1 bytes is waited for like any body that does not come: 413 once more than
 * [collector] body_size_max has come, else 408. A proxy in front of the collector writes chunks
 * anew. Why nothing of ours can see those lines stands beside the test of it,
 * tests/e2e/collector/test_collector_http.c; a later library's strict mode refuses them.
 *
 * How it refuses by itself: a Content-Length that is no number (one with a blank behind it, too) or
 * over 2^64, and HTTP/1.1 without Host, are answered 400 or 413 and closed, but with the head of
 * the answer twice. A head of more pieces than its memory has room for (about 470 parameters in the
 * address, fewer the longer it is, or as many cookies) is closed without an answer; fewer and
 * longer ones are told 414 and 431.
 */
#pragma once

#include <microhttpd.h>

#include "schemas/bytes.h"

/* NULL for a sound head; else why not (static), to be answered 400 and closed. version: as MHD gave
 * it to the handler. Source: RFC 9112, 2.2, 6.1, 6.3, 11.2; RELIABILITY, "Bad input". */
const char *http_check_head(struct MHD_Connection *connection, const char *version);

/* NULL for a sound path; else why not: %00 would cut it short, control characters. */
const char *http_check_uri(const char *uri);

/* A request header's text, empty when it is absent, over size_max or not UTF-8. Borrowed until the
 * request ends. */
struct str http_header(struct MHD_Connection *connection, const char *name, size_t size_max);

/* The write key of an Authorization header into key (size_max bytes): user name of Basic, token of
 * Bearer. Returns its size, 0 for none. */
#define HTTP_KEY_SIZE_MAX 256
size_t http_write_key(struct str authorization, char key[HTTP_KEY_SIZE_MAX]);

/* Whether a Content-Type may hold events, and whether it says NDJSON. Bodies are told by content:
 * browsers send JSON as text/plain or as a form. Source: PROTOCOLS, "Rules that hold for all". */
bool http_media_type_allowed(struct str media_type);
bool http_media_type_lines(struct str media_type);
