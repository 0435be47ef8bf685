/*
 * Schema ids from the registry, for what runs over Kafka.
 */
#pragma once

#include "deploy/settings.h"
#include "ingest/stream/kafka.h"

/* Where [registry] url is configured: registers this build's schemas (or looks them up), and has
 * *out use the registry's ids, which are kept in state_dir/schema-ids-PREFIX. A registry that does
 * not answer is made up for by that file; without it this waits, and says so in the log, until it
 * answers or out->stopping() (ERR_AGAIN). Without a url nothing is done. What is wrong
 * is said on standard error. Errors: those of subject_id(), ERR_CONFIG. */
MUST_CHECK int schemas_open(struct settings *settings, struct kafka_config *out);
void schemas_close(struct settings *settings);
