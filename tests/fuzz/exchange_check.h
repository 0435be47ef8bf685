/*
 * Runs a protocol on a body and holds what it answers to what must hold for every body.
 */
#pragma once

#include "ingest/collector/exchange.h"

/* The status is one that a body can cause; the reply is JSON, or
 * says that all is well; every record decodes, and passes the
 * door again unchanged; a rejected payload is a piece of the body, or JSON. Stops the program
 * otherwise. */
void exchange_check(exchange_fn handle, const char *call, struct str body);

/* A sample with some characters changed to ones that mean something in JSON. Returns its size. */
size_t exchange_seed(const char *const *samples, size_t count, uint64_t seed, uint8_t *out);
