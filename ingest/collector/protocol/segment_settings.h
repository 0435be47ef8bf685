/*
 * What browsers' clients ask for before they send: no destinations, no sampling, and where to send.
 * Source: PROTOCOLS, "Segment and Rudder"; seen from analytics-next 1.84 and Rudder's
 * analytics-js 3.
 */
#pragma once

#include "ingest/collector/exchange.h"

/* GET /v1/projects/<write key>/settings; exchange->rest: what follows projects/. See exchange_fn.
 */
MUST_CHECK int segment_settings_handle(struct exchange *exchange);

/* GET /sourceConfig of Rudder's clients. See exchange_fn. */
MUST_CHECK int segment_source_config_handle(struct exchange *exchange);
