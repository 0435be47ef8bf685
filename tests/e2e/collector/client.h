/*
 * A raw HTTP client: sends exactly the bytes that it is given.
 */
#pragma once

#include "schemas/bytes.h"

/* Connects to 127.0.0.1. Stops the test when that fails. */
int client_connect(int port);

/* Sends all, as far as the peer lets it. */
void client_send(int socket, struct str bytes);

/* What came back: a whole reply (by its Content-Length), or what came before the peer closed. */
struct client_reply {
    int status;       /* 0: none came */
    bool closed;      /* the peer has closed, or says that it will */
    struct buf text;  /* head and body, NUL-terminated */
    const char *body; /* within text */
};
void client_receive(int socket, struct client_reply *reply);

/* The value of a reply's header in *text (up to the line's end), or "". */
void client_header(const struct client_reply *reply, const char *name, char *out, size_t size);

/* Connects, sends, receives, waits up to two seconds for the peer to close if it says so. */
void client_ask(int port, struct str bytes, struct client_reply *reply);

/* POSTs a body with more headers ("A: b\r\n"). */
void client_post(
    int port, const char *path, const char *headers, struct str body, struct client_reply *reply);

void client_reply_free(struct client_reply *reply);
