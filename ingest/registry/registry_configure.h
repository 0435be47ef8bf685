/*
 * [registry] of a configuration as what asks the registry takes.
 */
#pragma once

#include "ingest/config/config.h"
#include "ingest/registry/registry_http.h"

/* Fills *out, but for `stopping`, `log` and their context. Slices borrow from the finished
 * configuration. Returns 0, or REGISTRY_NONE: no url is configured. Errors: ERR_CONFIG with
 * *problem. Threads: any. */
#define REGISTRY_NONE 1
MUST_CHECK int registry_configure(
    const struct config *config, struct registry_config *out, struct config_problem *problem);
