/*
 * "ADDRESS:PORT" of something that listens.
 */
#pragma once

#include <sys/socket.h>

#include "schemas/bytes.h"

/* Reads a numeric address and port: "127.0.0.1:8080", "[::]:8080", port 0 for any free one. Errors:
 * ERR_CONFIG. Threads: any. */
MUST_CHECK int listen_parse(const char *text, struct sockaddr_storage *address);
