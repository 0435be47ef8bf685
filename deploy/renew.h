/*
 * Certificates, keys and passwords that are rotated while a program of Kafka's runs: their files
 * are read when a client is made, so clients are made anew.
 */
#pragma once

#include "ingest/stream/kafka.h"

/* {0} before renewal_begin(): never due. One thread. */
struct renewal {
    const struct kafka_config *kafka;
    uint64_t used;  /* the files as they were when clients were made */
    uint64_t tried; /* and as they were when they did not do */
    int64_t look_ms;
};

/* The files of properties (*.location, and those that values were read from) are as the clients
 * have read them. kafka is borrowed. */
void renewal_begin(struct renewal *renewal, const struct kafka_config *kafka);

/* Looks every few seconds. True when the files are others since, and the brokers take a client with
 * them: then clients are to be made anew. Those that do not do, as one of them is not written yet,
 * are logged and left alone. Waits up to 5 s. */
bool renewal_due(struct renewal *renewal);
