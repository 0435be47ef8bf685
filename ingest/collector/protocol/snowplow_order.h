/*
 * Orders out of the entities of Snowplow's e-commerce events. Source: iglu-central,
 * com.snowplowanalytics.snowplow.ecommerce.
 */
#pragma once

#include "ingest/collector/protocol/snowplow_schema.h"

/* A transaction entity: the order that was placed. Errors: as snowplow_read(). */
MUST_CHECK int snowplow_order_transaction(struct snowplow_reader *reader, struct json data);

/* A refund entity. Errors: as snowplow_read(). */
MUST_CHECK int snowplow_order_refund(struct snowplow_reader *reader, struct json data);

/* A product entity: one more item of the order, which is there already; most: how many may come.
 * Errors: as snowplow_read(). */
MUST_CHECK int snowplow_order_product(
    struct snowplow_reader *reader, struct json data, size_t most);
