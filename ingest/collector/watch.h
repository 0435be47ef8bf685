/*
 * Deadlines of connections. libmicrohttpd's own timeout begins anew with every byte, so a client
 * that sends one now and then would stay for ever; and it closes without a word.
 *
 *     OPEN ──request line──▶ READING ──whole──▶ BUSY ──replied──▶ IDLE ──request line──▶ READING
 *     OPEN, READING past their deadline: 408, closed. IDLE: closed. BUSY has none: the writer
 * answers.
 */
#pragma once

#include "schemas/bytes.h"

struct watch;
struct watch_connection;

/* Starts the thread that looks at deadlines. Errors: ERR_NO_MEMORY, ERR_IO. */
MUST_CHECK int watch_start(int64_t request_timeout_ms, int64_t idle_timeout_ms, struct watch **out);
/* All connections must have ended. Accepts NULL inside, leaves NULL. */
void watch_stop(struct watch **watch);

/* A connection opens; NULL when out of memory (it then has no deadline but the library's). */
struct watch_connection *watch_open(struct watch *watch, int socket);
/* It closes; its socket is still open. Accepts NULL. */
void watch_close(struct watch *watch, struct watch_connection *connection);

/* A request line has come. */
void watch_reading(struct watch *watch, struct watch_connection *connection);
/* The request is whole. False when its time had run out: it has been answered 408 already. */
bool watch_busy(struct watch_connection *connection);
/* It is answered. */
void watch_idle(struct watch *watch, struct watch_connection *connection);
