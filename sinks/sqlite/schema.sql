-- Tables of tabiji.db. Every column is described in dictionary.def; the views are in views.sql.
-- Keys are BLOBs of 16 bytes: write them x'0123..' in SQL, the views show them as text.
-- Times are microseconds since 1970 UTC, money is in minor units: the views show both for people.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE data_dictionary (
    table_name TEXT NOT NULL,
    column_name TEXT NOT NULL,
    arrival_only INTEGER NOT NULL,
    description_en TEXT NOT NULL,
    description_ja TEXT NOT NULL,
    PRIMARY KEY (table_name, column_name)
) WITHOUT ROWID, STRICT;

CREATE TABLE sink_position (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID, STRICT;

CREATE TABLE sink_rejected (
    topic TEXT NOT NULL,
    key BLOB NOT NULL,
    reason TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (topic, key)
) STRICT;

CREATE TABLE currency (
    currency TEXT PRIMARY KEY,
    minor_per_major INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- Rows are appended; what moves is small: the key's index and timeline.
CREATE TABLE event (
    event_row INTEGER PRIMARY KEY,
    event_key BLOB NOT NULL UNIQUE,
    person BLOB NOT NULL,
    occurred_at INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    channel TEXT,
    session_key BLOB,
    touch TEXT,
    campaign_source TEXT,
    campaign_medium TEXT,
    campaign_name TEXT,
    campaign_message TEXT,
    page_host TEXT,
    page_path TEXT,
    referrer_host TEXT,
    device_kind TEXT,
    country TEXT,
    order_id TEXT,
    order_facet TEXT,
    revenue_minor INTEGER,
    currency TEXT,
    call_id TEXT,
    store_id TEXT,
    message_kind TEXT,
    message_id TEXT,
    bot INTEGER,
    identifiers TEXT NOT NULL,
    properties TEXT,
    detail TEXT NOT NULL,
    evidence INTEGER,
    time_quality TEXT,
    placement INTEGER NOT NULL,
    position INTEGER NOT NULL,
    received_at INTEGER NOT NULL
) STRICT;

-- What few events are: told apart as they come, since a later look at all of them is dear.
-- event_spend is of the expressions of spend.h.
CREATE INDEX event_spend
ON event (source, coalesce(channel, ''), coalesce(campaign_name, ''), occurred_at)
WHERE type = 'spend_reported';
CREATE INDEX event_unlinked ON event (event_key) WHERE evidence < 0;

-- The order of each person's events: an index that is written in its own order, which halves its
-- cost.
CREATE TABLE timeline (
    person BLOB NOT NULL,
    occurred_at INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    event_row INTEGER NOT NULL,
    PRIMARY KEY (person, occurred_at, sequence, event_row)
) WITHOUT ROWID, STRICT;

-- Pairs of identifiers that stand in one event: the evidence of identity_link.
CREATE TABLE event_link (
    weaker BLOB NOT NULL,
    stronger BLOB NOT NULL,
    occurred_at INTEGER NOT NULL,
    event_key BLOB NOT NULL,
    PRIMARY KEY (weaker, stronger, occurred_at, event_key)
) WITHOUT ROWID, STRICT;

-- What an erasure took away, as counted by who asked for it.
CREATE TABLE erasure_receipt (
    receipt_id TEXT PRIMARY KEY,
    requested_at INTEGER NOT NULL,
    identifier TEXT NOT NULL,
    reason TEXT NOT NULL,
    events INTEGER NOT NULL,
    touches INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    conversions INTEGER NOT NULL,
    credits INTEGER NOT NULL,
    paths INTEGER NOT NULL,
    identifiers INTEGER NOT NULL,
    of_others INTEGER NOT NULL,
    left_over INTEGER NOT NULL,
    asked INTEGER NOT NULL,
    person BLOB,
    identifiers_gone INTEGER
) WITHOUT ROWID, STRICT;

-- What stays of those that were erased under [erase] remainder = totals: sums without an identifier,
-- though one person's where one was erased; written with the receipt, in one transaction.
CREATE TABLE erasure_remainder (
    receipt_id TEXT NOT NULL,
    month TEXT NOT NULL,
    channel TEXT NOT NULL,
    currency TEXT NOT NULL,
    touches INTEGER NOT NULL,
    conversions INTEGER NOT NULL,
    net_revenue_minor INTEGER NOT NULL,
    PRIMARY KEY (receipt_id, month, channel, currency)
) WITHOUT ROWID, STRICT;

CREATE TABLE touch (
    event_key BLOB PRIMARY KEY,
    person BLOB NOT NULL,
    touched_at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    channel TEXT NOT NULL,
    source TEXT,
    medium TEXT,
    campaign TEXT,
    message TEXT
) WITHOUT ROWID, STRICT;

CREATE TABLE person (
    person BLOB PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    events INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    touches INTEGER NOT NULL,
    conversions INTEGER NOT NULL,
    refunds INTEGER NOT NULL,
    truncated INTEGER NOT NULL,
    net_revenue_minor INTEGER,
    currency TEXT,
    net_revenue_by_currency TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE identifier (
    node BLOB PRIMARY KEY,
    namespace TEXT NOT NULL,
    value TEXT NOT NULL,
    person BLOB NOT NULL,
    why TEXT NOT NULL,
    root BLOB NOT NULL,
    own BLOB NOT NULL,
    epoch INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE session (
    person BLOB NOT NULL,
    session_key BLOB NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    events INTEGER NOT NULL,
    page_views INTEGER NOT NULL,
    channel TEXT,
    source TEXT,
    medium TEXT,
    campaign TEXT,
    landing_host TEXT,
    landing_path TEXT,
    device_kind TEXT,
    PRIMARY KEY (person, session_key)
) WITHOUT ROWID, STRICT;

CREATE TABLE conversion (
    person BLOB NOT NULL,
    conversion_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    event_key BLOB NOT NULL,
    type TEXT NOT NULL,
    order_id TEXT,
    refund_of TEXT,
    occurred_at INTEGER NOT NULL,
    revenue_minor INTEGER NOT NULL,
    currency TEXT,
    path_length INTEGER NOT NULL,
    first_touch_at INTEGER,
    last_touch_at INTEGER,
    content_hash INTEGER NOT NULL,
    credit_first INTEGER NOT NULL,
    credit_count INTEGER NOT NULL,
    reset_from INTEGER NOT NULL,
    PRIMARY KEY (person, conversion_id)
) WITHOUT ROWID, STRICT;

-- Appended, a conversion's credits one after the other: conversion says where they stand, so no
-- index is needed. Whole parts and units sum exactly in each conversion; what they were rounded by
-- stands beside them, so that sums over many are not off by it.
CREATE TABLE attribution_credit (
    credit_row INTEGER PRIMARY KEY,
    person BLOB NOT NULL,
    conversion_id TEXT NOT NULL,
    model TEXT NOT NULL,
    touch_index INTEGER NOT NULL,
    touch_event_key BLOB,
    channel TEXT NOT NULL,
    weight_ppb INTEGER NOT NULL,
    credited_revenue_minor INTEGER NOT NULL,
    currency TEXT,
    weight_rest REAL NOT NULL,
    revenue_rest REAL NOT NULL,
    weight REAL AS ((weight_ppb + weight_rest) / 1e9)
) STRICT;

CREATE TABLE path (
    person BLOB NOT NULL,
    kind TEXT NOT NULL,
    path_key TEXT NOT NULL,
    channels TEXT NOT NULL,
    touches INTEGER NOT NULL,
    conversions INTEGER NOT NULL,
    revenue_minor INTEGER NOT NULL,
    currency TEXT,
    started_at INTEGER,
    ended_at INTEGER,
    lead_index INTEGER,
    opportunity_index INTEGER,
    milestones TEXT,
    PRIMARY KEY (person, kind, path_key)
) WITHOUT ROWID, STRICT;

-- What algorithmic models count, a row a partition of the journeys: values of one transition or
-- coalition add up over partitions (v_model_transition).
CREATE TABLE model_transition (
    transition_key BLOB PRIMARY KEY,
    partition INTEGER NOT NULL,
    model TEXT NOT NULL,
    model_kind TEXT NOT NULL,
    model_order INTEGER NOT NULL,
    model_version TEXT NOT NULL,
    outcome TEXT NOT NULL,
    currency TEXT NOT NULL,
    from_channels TEXT NOT NULL,
    to_channels TEXT NOT NULL,
    paths INTEGER NOT NULL,
    revenue_minor INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- The models that there are, in the order of v_model_comparison: rules that are always credited by
-- (model_version empty), then those of the configuration.
CREATE TABLE model (
    model TEXT PRIMARY KEY,
    model_kind TEXT NOT NULL,
    model_order INTEGER,
    null_paths TEXT,
    conversion_types TEXT NOT NULL,
    lookback_days INTEGER NOT NULL,
    journey TEXT NOT NULL,
    half_life_days INTEGER,
    weights TEXT,
    solved INTEGER NOT NULL,
    sums INTEGER NOT NULL,
    model_version TEXT NOT NULL,
    bootstrap INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    place INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- What algorithmic models said when they were solved: by the sink ([attribution] solve_rest, solve_interval)
-- or by tabiji attribute --data DIR --save; and of which events, by their count and the latest. The newest runs are kept; v_model_channel shows the last.
CREATE TABLE model_channel (
    model TEXT NOT NULL,
    currency TEXT NOT NULL,
    run_id INTEGER NOT NULL,
    channel TEXT NOT NULL,
    model_kind TEXT NOT NULL,
    model_version TEXT NOT NULL,
    as_of INTEGER NOT NULL,
    credited_conversions REAL NOT NULL,
    credited_value REAL NOT NULL,
    removal_effect_conversions REAL,
    removal_effect_value REAL,
    low REAL,
    high REAL,
    credited_revenue_minor INTEGER NOT NULL,
    solved_events INTEGER NOT NULL,
    solved_until INTEGER,
    solved_order INTEGER,
    note TEXT,
    PRIMARY KEY (model, currency, run_id, channel)
) WITHOUT ROWID, STRICT;

-- Their credit of each conversion down to the touch, as of their last run, which made all of it anew.
-- What happens to a conversion takes its rows along until the next: a split of something else would
-- not sum.
CREATE TABLE model_credit (
    person BLOB NOT NULL,
    conversion_id TEXT NOT NULL,
    model TEXT NOT NULL,
    touch_index INTEGER NOT NULL,
    touch_event_key BLOB,
    channel TEXT NOT NULL,
    weight_ppb INTEGER NOT NULL,
    credited_revenue_minor INTEGER NOT NULL,
    currency TEXT,
    run_id INTEGER NOT NULL,
    model_version TEXT NOT NULL,
    solved_at INTEGER NOT NULL,
    weight REAL AS (weight_ppb / 1e9),
    PRIMARY KEY (person, conversion_id, model, touch_index)
) WITHOUT ROWID, STRICT;
CREATE TRIGGER conversion_gone AFTER DELETE ON conversion BEGIN
    DELETE FROM model_credit WHERE person = old.person AND conversion_id = old.conversion_id;
END;

-- What spend earns and how to share it out, as last computed (tabiji budget --save). Amounts are in
-- major units, a period.
CREATE TABLE budget (
    model TEXT NOT NULL,
    currency TEXT NOT NULL,
    channel TEXT NOT NULL,
    period TEXT NOT NULL,
    periods INTEGER NOT NULL,
    spend REAL NOT NULL,
    attributed REAL NOT NULL,
    factor REAL NOT NULL,
    baseline REAL NOT NULL,
    low REAL NOT NULL,
    high REAL,
    budget REAL NOT NULL,
    beta REAL,
    alpha REAL,
    gamma REAL,
    rms REAL,
    marginal_roas REAL,
    budget_value REAL,
    budget_marginal_roas REAL,
    solved_at INTEGER NOT NULL,
    spend_value REAL,
    periods_cut INTEGER NOT NULL,
    largest_spend REAL NOT NULL,
    beyond_seen INTEGER NOT NULL,
    PRIMARY KEY (model, currency, channel)
) WITHOUT ROWID, STRICT;

CREATE TABLE rejected (
    rejected_key BLOB PRIMARY KEY,
    source TEXT NOT NULL,
    stage TEXT NOT NULL,
    reason TEXT NOT NULL,
    pointer TEXT,
    hint TEXT,
    payload BLOB NOT NULL,
    event_id TEXT,
    file TEXT,
    line INTEGER,
    received_at INTEGER NOT NULL
) STRICT;

-- What each channel cost, a row a source, channel, campaign and day: the report that stands. Kept by
-- the writer (spend.h).
CREATE TABLE spend (
    source TEXT NOT NULL,
    channel TEXT NOT NULL,
    campaign TEXT NOT NULL,
    day TEXT NOT NULL,
    cost_minor INTEGER,
    currency TEXT,
    reports INTEGER NOT NULL,
    event_key BLOB NOT NULL,
    PRIMARY KEY (source, channel, campaign, day)
) WITHOUT ROWID, STRICT;

CREATE TABLE sink_rejection (
    rejected_key BLOB PRIMARY KEY,
    attempt INTEGER NOT NULL,
    settled INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE erasure_identifier (
    receipt_id TEXT NOT NULL,
    node BLOB NOT NULL,
    PRIMARY KEY (receipt_id, node)
) WITHOUT ROWID, STRICT;

CREATE TABLE erasure_suppressed (
    node BLOB PRIMARY KEY,
    namespace TEXT NOT NULL,
    erased_at INTEGER NOT NULL,
    lifted_at INTEGER
) WITHOUT ROWID, STRICT;

CREATE TABLE erasure_refused (
    node BLOB PRIMARY KEY,
    namespace TEXT NOT NULL,
    events INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
