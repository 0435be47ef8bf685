/*
 * What outbox_send() reaches: a driver embeds this and puts its function here. For drivers only.
 */
#pragma once

#include "ingest/stream/stream.h"

struct outbox {
    int (*send)(struct outbox *outbox, enum topic topic, struct str key, struct str value);
};
