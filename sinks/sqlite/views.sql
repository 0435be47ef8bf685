-- What analysts read. The repeated expressions are spelled out, so that each view can be read alone:
-- times as text in UTC and in Japan's time, keys as text, money in major units beside the exact minor ones.
-- Money is summed in two halves: sum() of integers fails when it overflows, and two absurd amounts would so
-- take a view from everybody. The halves are exact wherever the sum fits, and a REAL near it where it does not.

CREATE VIEW v_person AS
SELECT
    person,
    lower(substr(hex(person), 1, 8) || '-' || substr(hex(person), 9, 4) || '-'
        || substr(hex(person), 13, 4) || '-' || substr(hex(person), 17, 4) || '-'
        || substr(hex(person), 21)) AS person_id,
    strftime('%Y-%m-%d %H:%M:%S', first_at / 1000000, 'unixepoch') AS first_at_utc,
    strftime('%Y-%m-%d %H:%M:%S', first_at / 1000000, 'unixepoch', '+9 hours') AS first_at_jst,
    strftime('%Y-%m-%d %H:%M:%S', last_at / 1000000, 'unixepoch') AS last_at_utc,
    strftime('%Y-%m-%d %H:%M:%S', last_at / 1000000, 'unixepoch', '+9 hours') AS last_at_jst,
    events,
    sessions,
    touches,
    conversions,
    refunds,
    truncated,
    net_revenue_minor,
    net_revenue_minor * 1.0 / coalesce(minor_per_major, 1) AS net_revenue,
    currency,
    net_revenue_by_currency
FROM person LEFT JOIN currency USING (currency);

CREATE VIEW v_event AS
SELECT
    lower(hex(event_key)) AS event_key_hex,
    event_key,
    lower(substr(hex(person), 1, 8) || '-' || substr(hex(person), 9, 4) || '-'
        || substr(hex(person), 13, 4) || '-' || substr(hex(person), 17, 4) || '-'
        || substr(hex(person), 21)) AS person_id,
    person,
    strftime('%Y-%m-%d %H:%M:%S', occurred_at / 1000000, 'unixepoch') AS occurred_at_utc,
    strftime('%Y-%m-%d %H:%M:%S', occurred_at / 1000000, 'unixepoch', '+9 hours')
        AS occurred_at_jst,
    occurred_at,
    sequence,
    type,
    source,
    event_id,
    channel,
    lower(hex(session_key)) AS session_key_hex,
    touch,
    campaign_source,
    campaign_medium,
    campaign_name,
    detail ->> '$.campaign.content' AS campaign_content,
    detail ->> '$.campaign.term' AS campaign_term,
    campaign_message,
    page_host,
    page_path,
    detail ->> '$.page.title' AS page_title,
    referrer_host,
    device_kind,
    detail ->> '$.device.os' AS device_os,
    detail ->> '$.device.browser' AS device_browser,
    country,
    detail ->> '$.geo.region' AS region,
    detail ->> '$.geo.city' AS city,
    order_id,
    order_facet,
    revenue_minor,
    revenue_minor * 1.0 / coalesce(minor_per_major, 1) AS revenue,
    currency,
    call_id,
    detail ->> '$.call.direction' AS call_direction,
    detail ->> '$.call.queue' AS call_queue,
    detail ->> '$.call.outcome' AS call_outcome,
    store_id,
    message_kind,
    message_id,
    bot,
    detail ->> '$.consent.analytics' AS consent_analytics,
    detail ->> '$.consent.ads' AS consent_ads,
    time_quality,
    identifiers,
    properties,
    detail
FROM event LEFT JOIN currency USING (currency);

-- Ask with person = x'..' (or join with v_person): then it is one look into an index.
CREATE VIEW v_timeline AS
SELECT
    t.person,
    t.occurred_at,
    t.sequence,
    e.event_key,
    lower(hex(e.event_key)) AS event_key_hex,
    strftime('%Y-%m-%d %H:%M:%S', t.occurred_at / 1000000, 'unixepoch', '+9 hours')
        AS occurred_at_jst,
    e.type,
    e.source,
    e.channel,
    e.touch,
    e.session_key,
    e.order_id,
    e.revenue_minor,
    e.currency
FROM timeline AS t JOIN event AS e ON e.event_row = t.event_row;

-- A row a call: what the notifications of one call_id say together, in whatever order they came. Ask with
-- person = x'..' (or join with v_person): then it is one look into an index. Of what several events say the
-- last one that says it stands, by the order of the timeline, which is put before each text and cut off again.
-- No customer gives up a call that he did not make; before its end nobody knows, and that is NULL.
-- Where nobody told of the start it is the earliest moment that is known and is no end. Nobody spoke where an
-- event or the outcome says so (words of Twilio, of CallRail and of deploy/mappings); who says only when a call
-- began and ended says nothing of it.
CREATE VIEW v_call AS
WITH moment AS (
    SELECT
        t.person,
        e.call_id,
        t.occurred_at,
        e.type,
        e.source,
        e.store_id,
        e.detail -> '$.call' AS said,
        e.type IN ('call_ended', 'call_abandoned') OR e.type GLOB '*_end' AS ends,
        printf('%020d%020d', t.occurred_at, t.sequence) || hex(e.event_key) AS place
    FROM timeline AS t JOIN event AS e ON e.event_row = t.event_row
    WHERE e.call_id IS NOT NULL AND substr(e.type, 1, 5) = 'call_'
), told AS (
    SELECT
        person,
        call_id,
        min(occurred_at) FILTER (WHERE type = 'call_started') AS begun_at,
        min(occurred_at) FILTER (WHERE NOT ends) AS first_at,
        min(occurred_at) FILTER (WHERE NOT ends AND type <> 'call_answered') AS unanswered_at,
        min(occurred_at) FILTER (WHERE type = 'call_answered') AS answered_at,
        max(occurred_at) FILTER (WHERE type IN ('call_ended', 'call_abandoned')) AS ended_at,
        max(type = 'call_ended') AS has_ended,
        max(type = 'call_abandoned') AS has_abandoned,
        max(said ->> '$.wait_ms') AS wait_ms,
        max(said ->> '$.talk_ms') AS talk_ms,
        substr(max(place || (said ->> '$.parent_id')), 73) AS parent_call_id,
        substr(max(place || (said ->> '$.direction')), 73) AS direction,
        substr(max(place || (said ->> '$.queue')), 73) AS queue,
        substr(max(place || (said ->> '$.agent')), 73) AS agent,
        substr(max(place || (said ->> '$.reason')), 73) AS reason,
        substr(max(place || (said ->> '$.outcome')), 73) AS outcome,
        substr(max(place || store_id), 73) AS store_id,
        substr(min(place || source), 73) AS source,
        count(*) AS events
    FROM moment
    GROUP BY person, call_id
), ended AS (
    SELECT
        *,
        coalesce(begun_at, first_at) AS started_at,
        coalesce(begun_at, iif(unanswered_at = first_at, first_at, NULL)) AS waits_from,
        CASE WHEN ended_at IS NOT NULL
            THEN has_abandoned AND NOT has_ended AND direction IS NOT 'outbound'
        END AS abandoned,
        ended_at IS NOT NULL AND answered_at IS NULL AND (has_abandoned AND NOT has_ended
            OR coalesce(lower(outcome), '') IN ('busy', 'no-answer', 'no_answer', 'canceled',
                'cancelled', 'failed', 'missed')) AS is_silent
    FROM told
)
SELECT
    call_id,
    parent_call_id,
    lower(substr(hex(person), 1, 8) || '-' || substr(hex(person), 9, 4) || '-'
        || substr(hex(person), 13, 4) || '-' || substr(hex(person), 17, 4) || '-'
        || substr(hex(person), 21)) AS person_id,
    person,
    source,
    direction,
    queue,
    agent,
    store_id,
    strftime('%Y-%m-%d %H:%M:%S', started_at / 1000000, 'unixepoch') AS started_at_utc,
    strftime('%Y-%m-%d %H:%M:%S', started_at / 1000000, 'unixepoch', '+9 hours') AS started_at_jst,
    strftime('%Y-%m-%d %H:%M:%S', answered_at / 1000000, 'unixepoch') AS answered_at_utc,
    strftime('%Y-%m-%d %H:%M:%S', answered_at / 1000000, 'unixepoch', '+9 hours')
        AS answered_at_jst,
    strftime('%Y-%m-%d %H:%M:%S', ended_at / 1000000, 'unixepoch') AS ended_at_utc,
    strftime('%Y-%m-%d %H:%M:%S', ended_at / 1000000, 'unixepoch', '+9 hours') AS ended_at_jst,
    coalesce(wait_ms,
        (max(coalesce(answered_at, iif(abandoned, ended_at, NULL)) - waits_from, 0)) / 1000)
        AS wait_ms,
    coalesce(talk_ms, iif(is_silent, 0, max(ended_at - answered_at, 0) / 1000)) AS talk_ms,
    abandoned,
    outcome,
    reason,
    events
FROM ended;

CREATE VIEW v_touch AS
SELECT
    lower(hex(event_key)) AS event_key_hex,
    lower(substr(hex(person), 1, 8) || '-' || substr(hex(person), 9, 4) || '-'
        || substr(hex(person), 13, 4) || '-' || substr(hex(person), 17, 4) || '-'
        || substr(hex(person), 21)) AS person_id,
    strftime('%Y-%m-%d %H:%M:%S', touched_at / 1000000, 'unixepoch') AS touched_at_utc,
    strftime('%Y-%m-%d %H:%M:%S', touched_at / 1000000, 'unixepoch', '+9 hours') AS touched_at_jst,
    kind,
    channel,
    source,
    medium,
    campaign,
    message
FROM touch;

CREATE VIEW v_session AS
SELECT
    lower(hex(session_key)) AS session_key_hex,
    lower(substr(hex(person), 1, 8) || '-' || substr(hex(person), 9, 4) || '-'
        || substr(hex(person), 13, 4) || '-' || substr(hex(person), 17, 4) || '-'
        || substr(hex(person), 21)) AS person_id,
    strftime('%Y-%m-%d %H:%M:%S', started_at / 1000000, 'unixepoch') AS started_at_utc,
    strftime('%Y-%m-%d %H:%M:%S', started_at / 1000000, 'unixepoch', '+9 hours') AS started_at_jst,
    (ended_at - started_at) / 1000000 AS duration_seconds,
    events,
    page_views,
    channel,
    source,
    medium,
    campaign,
    landing_host,
    landing_path,
    device_kind
FROM session;

CREATE VIEW v_conversion AS
SELECT
    conversion_id,
    lower(substr(hex(person), 1, 8) || '-' || substr(hex(person), 9, 4) || '-'
        || substr(hex(person), 13, 4) || '-' || substr(hex(person), 17, 4) || '-'
        || substr(hex(person), 21)) AS person_id,
    kind,
    type,
    order_id,
    refund_of,
    strftime('%Y-%m-%d %H:%M:%S', occurred_at / 1000000, 'unixepoch') AS occurred_at_utc,
    strftime('%Y-%m-%d %H:%M:%S', occurred_at / 1000000, 'unixepoch', '+9 hours')
        AS occurred_at_jst,
    revenue_minor,
    revenue_minor * 1.0 / coalesce(minor_per_major, 1) AS revenue,
    currency,
    path_length,
    (occurred_at - first_touch_at) / 86400000000 AS lag_days
FROM conversion LEFT JOIN currency USING (currency);

CREATE VIEW v_credit AS
SELECT
    c.conversion_id,
    lower(substr(hex(c.person), 1, 8) || '-' || substr(hex(c.person), 9, 4) || '-'
        || substr(hex(c.person), 13, 4) || '-' || substr(hex(c.person), 17, 4) || '-'
        || substr(hex(c.person), 21)) AS person_id,
    o.kind,
    c.model,
    c.channel,
    t.source,
    t.medium,
    t.campaign,
    t.message,
    c.touch_index,
    o.path_length,
    lower(hex(c.touch_event_key)) AS touch_event_key_hex,
    c.weight_ppb / 1e9 AS credited_conversions,
    c.credited_revenue_minor,
    c.credited_revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS credited_revenue,
    c.currency,
    strftime('%Y-%m-%d %H:%M:%S', t.touched_at / 1000000, 'unixepoch', '+9 hours')
        AS touched_at_jst,
    strftime('%Y-%m-%d %H:%M:%S', o.occurred_at / 1000000, 'unixepoch', '+9 hours')
        AS occurred_at_jst
FROM attribution_credit AS c
JOIN conversion AS o USING (person, conversion_id)
LEFT JOIN touch AS t ON t.event_key = c.touch_event_key
LEFT JOIN currency AS u ON u.currency = c.currency;

CREATE VIEW v_model_credit AS
SELECT
    c.conversion_id,
    lower(substr(hex(c.person), 1, 8) || '-' || substr(hex(c.person), 9, 4) || '-'
        || substr(hex(c.person), 13, 4) || '-' || substr(hex(c.person), 17, 4) || '-'
        || substr(hex(c.person), 21)) AS person_id,
    o.kind,
    c.model,
    c.channel,
    t.source,
    t.medium,
    t.campaign,
    t.message,
    c.touch_index,
    o.path_length,
    lower(hex(c.touch_event_key)) AS touch_event_key_hex,
    c.weight_ppb / 1e9 AS credited_conversions,
    c.credited_revenue_minor,
    c.credited_revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS credited_revenue,
    c.currency,
    c.model_version,
    c.run_id,
    strftime('%Y-%m-%d %H:%M:%S', t.touched_at / 1000000, 'unixepoch', '+9 hours')
        AS touched_at_jst,
    strftime('%Y-%m-%d %H:%M:%S', o.occurred_at / 1000000, 'unixepoch', '+9 hours')
        AS occurred_at_jst,
    strftime('%Y-%m-%d %H:%M:%S', c.solved_at / 1000000, 'unixepoch', '+9 hours')
        AS solved_at_jst
FROM model_credit AS c
JOIN conversion AS o USING (person, conversion_id)
LEFT JOIN touch AS t ON t.event_key = c.touch_event_key
LEFT JOIN currency AS u ON u.currency = c.currency;

-- Unrounded, as tabiji attribute says of the same paths: each credit's rounding is taken back, and
-- what floating point leaves of a sum that cancels is 0. The minor units are the sums of what each touch has, and so sum to the net revenue in every model.
CREATE VIEW v_channel_attribution AS
SELECT
    s.model,
    s.channel,
    s.credited_conversions,
    s.credited_revenue_minor,
    (s.credited_revenue_minor + s.revenue_rest) / coalesce(u.minor_per_major, 1)
        AS credited_revenue,
    s.currency
FROM (
    SELECT
        model,
        channel,
        currency,
        (sum(weight_ppb) + sum(weight_rest)) / 1e9 AS credited_conversions,
        sum(credited_revenue_minor >> 32) * 4294967296
            + sum(credited_revenue_minor & 4294967295) AS credited_revenue_minor,
        CASE WHEN abs(sum(revenue_rest)) > 1e-15 * count(*) THEN sum(revenue_rest) ELSE 0.0 END
            AS revenue_rest
    FROM attribution_credit
    GROUP BY model, channel, currency
) AS s
LEFT JOIN currency AS u ON u.currency = s.currency;

-- Algorithmic models as last solved, with what they were solved from: events of persons by their count and
-- the latest, and how many there are more of (or fewer, by an erasure) now.
CREATE VIEW v_model_channel AS
SELECT
    c.model,
    c.model_kind,
    c.channel,
    c.credited_conversions,
    c.credited_value,
    c.credited_revenue_minor,
    c.removal_effect_conversions,
    c.removal_effect_value,
    c.low,
    c.high,
    c.currency,
    c.model_version,
    c.run_id,
    strftime('%Y-%m-%d %H:%M:%S', c.as_of / 1000000, 'unixepoch', '+9 hours') AS as_of_jst,
    c.solved_events,
    strftime('%Y-%m-%d %H:%M:%S', c.solved_until / 1000000, 'unixepoch', '+9 hours')
        AS solved_until_jst,
    (SELECT coalesce(sum(events), 0) FROM person) - c.solved_events AS events_since,
    c.solved_order,
    c.note
FROM model_channel AS c
WHERE c.run_id = (
    SELECT max(l.run_id) FROM model_channel AS l WHERE l.model = c.model AND l.currency = c.currency
);

-- Transitions of Markov models over all partitions, a matrix a model and currency: paths that convert
-- in it, and those that do not convert. A channel that is named as a state is not one: \(null).
CREATE VIEW v_model_transition AS
WITH counted AS (
    SELECT
        model,
        outcome,
        currency,
        from_channels,
        to_channels,
        sum(paths) AS paths,
        sum(revenue_minor >> 32) * 4294967296
            + sum(revenue_minor & 4294967295) AS revenue_minor
    FROM model_transition
    WHERE model_kind = 'markov' AND (from_channels <> '[]' OR to_channels <> '[]')
    GROUP BY model, outcome, currency, from_channels, to_channels
),
matrix AS (
    SELECT DISTINCT model, currency FROM counted WHERE outcome = 'converting'
),
cell AS (
    SELECT
        m.model,
        m.currency,
        c.from_channels,
        c.to_channels,
        CASE WHEN c.to_channels = '[]' THEN c.outcome END AS ends,
        sum(c.paths) AS paths,
        sum(c.revenue_minor >> 32) * 4294967296
            + sum(c.revenue_minor & 4294967295) AS revenue_minor
    FROM matrix AS m
    JOIN counted AS c
        ON c.model = m.model AND (c.outcome = 'open' OR c.currency = m.currency)
    GROUP BY 1, 2, 3, 4, 5
)
SELECT
    model,
    currency,
    CASE from_channels
        WHEN '[]' THEN '(start)'
        ELSE (
            SELECT group_concat(
                CASE
                    WHEN f.value IN ('(start)', '(conversion)', '(null)') THEN '\' || f.value
                    ELSE f.value
                END,
                ' > ')
            FROM json_each(from_channels) AS f
        )
    END AS from_state,
    CASE
        WHEN ends = 'converting' THEN '(conversion)'
        WHEN ends = 'open' THEN '(null)'
        ELSE (
            SELECT group_concat(
                CASE
                    WHEN t.value IN ('(start)', '(conversion)', '(null)') THEN '\' || t.value
                    ELSE t.value
                END,
                ' > ')
            FROM json_each(to_channels) AS t
        )
    END AS to_state,
    paths,
    paths * 1.0 / sum(paths) OVER (PARTITION BY model, currency, from_channels) AS probability,
    revenue_minor
FROM cell;

-- All models, a row a channel and model; solved ones as they were last solved. v_model_comparison,
-- which has them side by side, is made of this one, with the columns of the models that there are.
CREATE VIEW v_model_comparison_long AS
SELECT
    a.channel,
    a.currency,
    a.model,
    a.credited_conversions,
    a.credited_revenue_minor,
    a.credited_revenue,
    coalesce(m.sums, 1) AS sums,
    a.solved_until_jst,
    a.events_since,
    a.note
FROM (
    SELECT channel, currency, model, credited_conversions, credited_revenue_minor, credited_revenue,
        NULL AS solved_until_jst, NULL AS events_since, NULL AS note
    FROM v_channel_attribution
    UNION ALL
    SELECT channel, nullif(currency, ''), model, credited_conversions, credited_revenue_minor,
        credited_value, solved_until_jst, events_since, note
    FROM v_model_channel
    WHERE model NOT IN (SELECT model FROM model WHERE solved = 0)
) AS a
LEFT JOIN model AS m ON m.model = a.model;

-- Each path with what was refunded of its conversion since. One that was refunded whole stays a
-- conversion, of 0.
CREATE VIEW v_path AS
SELECT
    p.person,
    p.kind,
    p.path_key,
    p.channels,
    p.touches,
    p.conversions,
    p.revenue_minor,
    p.revenue_minor + coalesce(b.minor, 0) AS net_revenue_minor,
    p.currency
FROM path AS p
LEFT JOIN (
    SELECT
        person,
        refund_of,
        sum(revenue_minor >> 32) * 4294967296
            + sum(revenue_minor & 4294967295) AS minor
    FROM conversion
    WHERE kind = 'refund'
    GROUP BY person, refund_of
) AS b ON b.person = p.person AND b.refund_of = p.path_key AND p.kind = 'converting';

CREATE VIEW v_paths AS
SELECT
    s.kind,
    s.channels,
    s.touches,
    s.paths,
    s.conversions,
    s.revenue_minor,
    s.revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS revenue,
    s.net_revenue_minor,
    s.net_revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS net_revenue,
    s.currency
FROM (
    SELECT
        kind,
        channels,
        currency,
        max(touches) AS touches,
        count(*) AS paths,
        sum(conversions) AS conversions,
        sum(revenue_minor >> 32) * 4294967296
            + sum(revenue_minor & 4294967295) AS revenue_minor,
        sum(net_revenue_minor >> 32) * 4294967296
            + sum(net_revenue_minor & 4294967295) AS net_revenue_minor
    FROM v_path
    GROUP BY kind, channels, currency
) AS s
LEFT JOIN currency AS u ON u.currency = s.currency;

-- What tabiji attribute reads: SELECT path, total_conversions, total_conversion_value, total_null
-- FROM v_export_paths WHERE currency = 'JPY' OR currency IS NULL. Open paths count with any currency.
CREATE VIEW v_export_paths AS
SELECT
    s.channels AS path,
    s.conversions AS total_conversions,
    s.net_revenue AS total_conversion_value,
    CASE s.kind WHEN 'open' THEN s.paths ELSE 0 END AS total_null,
    CASE s.kind WHEN 'converting' THEN coalesce(s.currency, '') END AS currency
FROM v_paths AS s;

-- The same by touch, with times and milestones: each path is a customer of its own, so that any rule sees
-- what it sees here; with --lookback none.
CREATE VIEW v_export_touches AS
SELECT
    lower(hex(o.person)) || ' ' || o.conversion_id AS customer_id,
    strftime('%Y-%m-%dT%H:%M:%S', t.touched_at / 1000000, 'unixepoch')
        || printf('.%06dZ', t.touched_at % 1000000) AS time,
    t.kind AS interaction,
    0 AS conversion,
    0.0 AS conversion_value,
    a.channel,
    coalesce(o.currency, '') AS currency,
    coalesce(substr(p.milestones, a.touch_index + 1, 1) IN ('L', 'B'), 0) AS is_lead,
    coalesce(substr(p.milestones, a.touch_index + 1, 1) IN ('O', 'B'), 0) AS is_opportunity
FROM conversion AS o
CROSS JOIN path AS p ON p.person = o.person AND p.kind = 'converting' AND p.path_key = o.conversion_id
CROSS JOIN attribution_credit AS a
    ON a.credit_row >= o.credit_first AND a.credit_row < o.credit_first + o.credit_count
        AND a.model = 'linear' AND a.touch_index >= 0
CROSS JOIN touch AS t ON t.event_key = a.touch_event_key
WHERE o.kind = 'conversion'
UNION ALL
SELECT
    lower(hex(o.person)) || ' ' || o.conversion_id,
    strftime('%Y-%m-%dT%H:%M:%S', o.occurred_at / 1000000, 'unixepoch')
        || printf('.%06dZ', o.occurred_at % 1000000),
    o.type,
    1,
    p.net_revenue_minor * 1.0 / coalesce(u.minor_per_major, 1),
    NULL,
    coalesce(o.currency, ''),
    NULL,
    NULL
FROM conversion AS o
JOIN v_path AS p ON p.person = o.person AND p.kind = 'converting' AND p.path_key = o.conversion_id
LEFT JOIN currency AS u ON u.currency = o.currency
WHERE o.kind = 'conversion'
UNION ALL
SELECT
    lower(hex(p.person)),
    strftime('%Y-%m-%dT%H:%M:%S', p.started_at / 1000000, 'unixepoch')
        || printf('.%06dZ', p.started_at % 1000000),
    'open',
    0,
    0.0,
    t.value,
    NULL,
    NULL,
    NULL
FROM path AS p,
    json_each('[' || replace(json_quote(p.channels), ' > ', '","') || ']') AS t
WHERE p.kind = 'open' AND p.channels <> '';

-- The same as each model of table model sees it, by its window, reset and conversion types: WHERE model = ...
CREATE VIEW v_export_model_touches AS
SELECT
    m.model,
    lower(hex(o.person)) || ' ' || o.conversion_id AS customer_id,
    strftime('%Y-%m-%dT%H:%M:%S', t.touched_at / 1000000, 'unixepoch')
        || printf('.%06dZ', t.touched_at % 1000000) AS time,
    t.kind AS interaction,
    0 AS conversion,
    0.0 AS conversion_value,
    a.channel,
    coalesce(o.currency, '') AS currency,
    coalesce(substr(p.milestones, a.touch_index + 1, 1) IN ('L', 'B'), 0) AS is_lead,
    coalesce(substr(p.milestones, a.touch_index + 1, 1) IN ('O', 'B'), 0) AS is_opportunity
FROM model AS m
CROSS JOIN conversion AS o
CROSS JOIN path AS p ON p.person = o.person AND p.kind = 'converting' AND p.path_key = o.conversion_id
CROSS JOIN attribution_credit AS a
    ON a.credit_row >= o.credit_first AND a.credit_row < o.credit_first + o.credit_count
        AND a.model = 'linear' AND a.touch_index >= 0
CROSS JOIN touch AS t ON t.event_key = a.touch_event_key
WHERE o.kind = 'conversion'
    AND (m.conversion_types = '[]' OR o.type IN (SELECT value FROM json_each(m.conversion_types)))
    AND (m.journey <> 'reset' OR a.touch_index >= o.reset_from)
    AND (m.lookback_days = 0 OR t.touched_at >= o.occurred_at - m.lookback_days * 86400000000)
UNION ALL
SELECT
    m.model,
    lower(hex(o.person)) || ' ' || o.conversion_id,
    strftime('%Y-%m-%dT%H:%M:%S', o.occurred_at / 1000000, 'unixepoch')
        || printf('.%06dZ', o.occurred_at % 1000000),
    o.type,
    1,
    p.net_revenue_minor * 1.0 / coalesce(u.minor_per_major, 1),
    NULL,
    coalesce(o.currency, ''),
    NULL,
    NULL
FROM model AS m
CROSS JOIN conversion AS o
JOIN v_path AS p ON p.person = o.person AND p.kind = 'converting' AND p.path_key = o.conversion_id
LEFT JOIN currency AS u ON u.currency = o.currency
WHERE o.kind = 'conversion'
    AND (m.conversion_types = '[]' OR o.type IN (SELECT value FROM json_each(m.conversion_types)))
UNION ALL
SELECT
    m.model,
    lower(hex(p.person)),
    strftime('%Y-%m-%dT%H:%M:%S', p.started_at / 1000000, 'unixepoch')
        || printf('.%06dZ', p.started_at % 1000000),
    'open',
    0,
    0.0,
    t.value,
    NULL,
    NULL,
    NULL
FROM model AS m CROSS JOIN path AS p,
    json_each('[' || replace(json_quote(p.channels), ' > ', '","') || ']') AS t
WHERE p.kind = 'open' AND p.channels <> '';

CREATE VIEW v_time_lag AS
SELECT
    s.lag_days,
    s.conversions,
    s.revenue_minor,
    s.revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS revenue,
    s.net_revenue_minor,
    s.net_revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS net_revenue,
    s.currency,
    s.mean_path_length
FROM (
    SELECT
        (o.occurred_at - o.first_touch_at) / 86400000000 AS lag_days,
        o.currency,
        count(*) AS conversions,
        sum(o.revenue_minor >> 32) * 4294967296
            + sum(o.revenue_minor & 4294967295) AS revenue_minor,
        sum(p.net_revenue_minor >> 32) * 4294967296
            + sum(p.net_revenue_minor & 4294967295) AS net_revenue_minor,
        avg(o.path_length) AS mean_path_length
    FROM conversion AS o
    JOIN v_path AS p
        ON p.person = o.person AND p.kind = 'converting' AND p.path_key = o.conversion_id
    WHERE o.kind = 'conversion' AND o.path_length > 0
    GROUP BY 1, 2
) AS s
LEFT JOIN currency AS u ON u.currency = s.currency;

-- A path's channels as text become rows by way of JSON: " > " parts them. A channel assists a
-- conversion when a touch of it stands before the last touch; it may also have the last one.
CREATE VIEW v_assisted AS
SELECT
    s.channel,
    s.assisted_conversions,
    s.assisted_revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS assisted_revenue,
    s.assisted_net_minor * 1.0 / coalesce(u.minor_per_major, 1) AS assisted_net_revenue,
    s.first_touch_conversions,
    s.last_touch_conversions,
    s.last_touch_revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS last_touch_revenue,
    s.last_touch_net_minor * 1.0 / coalesce(u.minor_per_major, 1) AS last_touch_net_revenue,
    s.assisted_conversions * 1.0 / nullif(s.last_touch_conversions, 0) AS assisted_per_last,
    s.currency
FROM (
    SELECT
        channel,
        currency,
        sum(assists) AS assisted_conversions,
        sum((assists * revenue_minor) >> 32) * 4294967296
            + sum((assists * revenue_minor) & 4294967295) AS assisted_revenue_minor,
        sum((assists * net_revenue_minor) >> 32) * 4294967296
            + sum((assists * net_revenue_minor) & 4294967295) AS assisted_net_minor,
        sum(is_first) AS first_touch_conversions,
        sum(is_last) AS last_touch_conversions,
        sum((is_last * revenue_minor) >> 32) * 4294967296
            + sum((is_last * revenue_minor) & 4294967295) AS last_touch_revenue_minor,
        sum((is_last * net_revenue_minor) >> 32) * 4294967296
            + sum((is_last * net_revenue_minor) & 4294967295) AS last_touch_net_minor
    FROM (
        SELECT
            t.value AS channel,
            p.currency,
            p.revenue_minor,
            p.net_revenue_minor,
            max(t.key < p.touches - 1) AS assists,
            max(t.key = 0) AS is_first,
            max(t.key = p.touches - 1) AS is_last
        FROM (
            SELECT
                person,
                path_key,
                currency,
                revenue_minor,
                net_revenue_minor,
                '[' || replace(json_quote(channels), ' > ', '","') || ']' AS list,
                json_array_length('[' || replace(json_quote(channels), ' > ', '","') || ']')
                    AS touches
            FROM v_path
            WHERE kind = 'converting' AND channels <> ''
        ) AS p, json_each(p.list) AS t
        GROUP BY p.person, p.path_key, t.value
    )
    GROUP BY channel, currency
) AS s
LEFT JOIN currency AS u ON u.currency = s.currency;

CREATE VIEW v_path_length AS
SELECT
    s.kind,
    s.touches,
    s.paths,
    s.paths * 1.0 / sum(s.paths) OVER (PARTITION BY s.kind, s.currency) AS share,
    s.conversions,
    s.revenue_minor,
    s.revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS revenue,
    s.net_revenue_minor,
    s.net_revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS net_revenue,
    s.currency
FROM (
    SELECT
        kind,
        touches,
        currency,
        count(*) AS paths,
        sum(conversions) AS conversions,
        sum(revenue_minor >> 32) * 4294967296
            + sum(revenue_minor & 4294967295) AS revenue_minor,
        sum(net_revenue_minor >> 32) * 4294967296
            + sum(net_revenue_minor & 4294967295) AS net_revenue_minor
    FROM v_path
    GROUP BY kind, touches, currency
) AS s
LEFT JOIN currency AS u ON u.currency = s.currency;

-- Steps of all paths with their ends: sums over step are the counts of a transition matrix in which
-- a channel may follow itself. One that is named as an end is not one: \(null).
CREATE VIEW v_journey_flow AS
WITH stop AS (
    SELECT
        p.person,
        p.kind,
        p.path_key,
        t.key + 1 AS step,
        CASE
            WHEN t.key BETWEEN 1 AND p.touches AND t.value IN ('(start)', '(conversion)', '(null)')
                THEN '\' || t.value
            ELSE t.value
        END AS channel
    FROM path AS p,
        json_each('["(start)"'
            || CASE channels
                WHEN '' THEN ''
                ELSE ',' || replace(json_quote(channels), ' > ', '","')
            END
            || CASE kind WHEN 'converting' THEN ',"(conversion)"]' ELSE ',"(null)"]' END) AS t
),
move AS (
    SELECT
        step,
        channel AS from_channel,
        lead(channel) OVER (PARTITION BY person, kind, path_key ORDER BY step) AS to_channel,
        kind
    FROM stop
)
SELECT
    step,
    from_channel,
    to_channel,
    count(*) AS paths,
    count(*) FILTER (WHERE kind = 'converting') AS converting_paths,
    count(*) * 1.0 / sum(count(*)) OVER (PARTITION BY step, from_channel) AS share
FROM move
WHERE to_channel IS NOT NULL
GROUP BY step, from_channel, to_channel;

CREATE VIEW v_unattributed AS
SELECT conversion_id, person_id, kind, type, occurred_at_utc, occurred_at_jst, revenue_minor, revenue, currency
FROM v_conversion
WHERE path_length = 0;

-- Refunds that take nothing from any order, or less than they say, and why: no row of conversion
-- tells of that. What an amount is worth in the currency of its order nobody said, so such a refund
-- waits for ever; and an order gives back no more than it had, less what was refunded before. What a
-- cancellation took was the same money as the refund that goes with it, whichever came first: neither
-- waits, unless more was paid back than the order had.
CREATE VIEW v_refund_waiting AS
SELECT
    lower(hex(e.event_key)) AS event_key_hex,
    lower(substr(hex(e.person), 1, 8) || '-' || substr(hex(e.person), 9, 4) || '-'
        || substr(hex(e.person), 13, 4) || '-' || substr(hex(e.person), 17, 4) || '-'
        || substr(hex(e.person), 21)) AS person_id,
    strftime('%Y-%m-%d %H:%M:%S', e.occurred_at / 1000000, 'unixepoch', '+9 hours')
        AS occurred_at_jst,
    e.type,
    e.source,
    e.event_id,
    e.order_id,
    e.revenue_minor,
    e.revenue_minor * 1.0 / coalesce(u.minor_per_major, 1) AS revenue,
    e.currency,
    o.currency AS order_currency,
    coalesce(-r.revenue_minor, 0) AS taken_minor,
    CASE
        WHEN r.event_key IS NOT NULL THEN 'over_order'
        WHEN coalesce(e.order_id, '') = '' THEN 'no_order_id'
        WHEN o.conversion_id IS NULL THEN 'no_order'
        WHEN o.currency <> e.currency THEN 'other_currency'
        ELSE 'too_old'
    END AS why
FROM event AS e
LEFT JOIN conversion AS r
    ON r.person = e.person AND r.event_key = e.event_key AND r.kind = 'refund'
LEFT JOIN conversion AS o
    ON o.person = e.person AND o.order_id = e.order_id AND o.kind = 'conversion'
LEFT JOIN currency AS u ON u.currency = e.currency
WHERE e.type IN ('order_cancelled', 'order_refunded', 'item_returned')
    AND (r.event_key IS NULL OR max(e.revenue_minor, -e.revenue_minor) > -r.revenue_minor)
    AND NOT coalesce(CASE
        WHEN r.event_key IS NULL THEN 0
        WHEN e.type = 'order_cancelled'
            THEN max(e.revenue_minor, -e.revenue_minor) <= o.revenue_minor
        ELSE EXISTS (
            SELECT 1 FROM conversion AS c
            WHERE c.person = r.person AND c.kind = 'refund' AND c.refund_of = r.refund_of
                AND c.type = 'order_cancelled'
        ) AND o.revenue_minor >= (
            SELECT total(max(b.revenue_minor, -b.revenue_minor))
            FROM conversion AS c
            JOIN event AS b ON b.person = c.person AND b.event_key = c.event_key
            WHERE c.person = r.person AND c.kind = 'refund' AND c.refund_of = r.refund_of
                AND c.type <> 'order_cancelled'
        )
    END, 0);

CREATE VIEW v_identifier AS
SELECT
    namespace,
    value,
    lower(substr(hex(person), 1, 8) || '-' || substr(hex(person), 9, 4) || '-'
        || substr(hex(person), 13, 4) || '-' || substr(hex(person), 17, 4) || '-'
        || substr(hex(person), 21)) AS person_id,
    why
FROM identifier;

-- What each channel is credited with, a row a model, channel, currency and day of the conversion (Japan's).
-- Of a rule the sum of its credits. Of a model that is solved the days share what the model gives the channel
-- (v_model_channel), as its credits of touches lie (by their revenue, by conversions where that is next to
-- none; where there are none of the channel as those of linear lie): touches of a path leave a fit no choice at
-- times, and their sum is then not the model's. Whole minor units of the days sum to the model's exactly.
CREATE VIEW v_credit_day AS
WITH rule AS (
    SELECT
        c.model,
        c.channel,
        coalesce(c.currency, '') AS currency,
        date(o.occurred_at / 1000000, 'unixepoch', '+9 hours') AS day,
        (sum(c.weight_ppb) + sum(c.weight_rest)) / 1e9 AS conversions,
        sum(c.credited_revenue_minor >> 32) * 4294967296
            + sum(c.credited_revenue_minor & 4294967295) AS minor
    FROM attribution_credit AS c
    JOIN conversion AS o USING (person, conversion_id)
    GROUP BY 1, 2, 3, 4
),
touch_day AS (
    SELECT
        c.model,
        c.channel,
        coalesce(c.currency, '') AS currency,
        date(o.occurred_at / 1000000, 'unixepoch', '+9 hours') AS day,
        sum(c.weight_ppb) / 1e9 AS conversions,
        total(c.credited_revenue_minor) AS minor
    FROM model_credit AS c
    JOIN conversion AS o USING (person, conversion_id)
    GROUP BY 1, 2, 3, 4
),
solved AS (
    SELECT model, channel, currency, credited_conversions, credited_revenue_minor
    FROM v_model_channel
    WHERE model NOT IN (SELECT model FROM model WHERE solved = 0)
),
basis AS (
    SELECT model, channel, currency, day, conversions, minor FROM touch_day
    UNION ALL
    SELECT s.model, s.channel, s.currency, r.day, r.conversions, r.minor
    FROM solved AS s
    JOIN rule AS r ON r.model = 'linear' AND r.channel = s.channel AND r.currency = s.currency
    WHERE NOT EXISTS (
        SELECT 1 FROM touch_day AS t
        WHERE t.model = s.model AND t.channel = s.channel AND t.currency = s.currency
            AND t.conversions > 0
    )
),
total AS (
    SELECT model, channel, currency, sum(conversions) AS conversions, total(minor) AS minor,
        total(abs(minor * 1.0)) AS size
    FROM basis
    GROUP BY 1, 2, 3
),
share AS (
    SELECT
        b.model,
        b.channel,
        b.currency,
        b.day,
        s.credited_conversions * b.conversions / t.conversions AS conversions,
        s.credited_revenue_minor,
        sum(CASE WHEN abs(t.minor) > 1e-3 * t.size THEN b.minor / t.minor
            ELSE b.conversions / t.conversions END)
            OVER (PARTITION BY b.model, b.channel, b.currency ORDER BY b.day) AS upto,
        row_number() OVER (PARTITION BY b.model, b.channel, b.currency ORDER BY b.day DESC) AS back
    FROM basis AS b
    JOIN total AS t USING (model, channel, currency)
    JOIN solved AS s USING (model, channel, currency)
    WHERE t.conversions > 0
),
whole AS (
    SELECT model, channel, currency, day, conversions,
        CASE back WHEN 1 THEN credited_revenue_minor
            ELSE CAST(round(credited_revenue_minor * upto) AS INTEGER) END AS upto
    FROM share
)
SELECT model, channel, nullif(currency, '') AS currency, day, conversions AS credited_conversions,
    minor AS credited_revenue_minor
FROM rule
UNION ALL
SELECT model, channel, nullif(currency, ''), day, conversions,
    upto - lag(upto, 1, 0) OVER (PARTITION BY model, channel, currency ORDER BY day)
FROM whole;

-- Months are Japan's. What was spent but earned nothing, and what earned without spend, both stand.
-- Rules are of now, models that are solved as of their last run; both sum to revenue.
CREATE VIEW v_roas AS
WITH cost AS (
    SELECT channel, currency, substr(day, 1, 7) AS period,
        sum(cost_minor >> 32) * 4294967296
            + sum(cost_minor & 4294967295) AS spend_minor
    FROM spend
    GROUP BY channel, currency, period
),
earned AS (
    SELECT
        model,
        channel,
        currency,
        substr(day, 1, 7) AS period,
        sum(credited_conversions) AS credited_conversions,
        sum(credited_revenue_minor >> 32) * 4294967296
            + sum(credited_revenue_minor & 4294967295) AS credited_minor
    FROM v_credit_day
    GROUP BY 1, 2, 3, 4
),
cell AS (
    SELECT model, channel, currency, period FROM earned
    UNION
    SELECT m.model, k.channel, k.currency, k.period
    FROM cost AS k, (SELECT DISTINCT model FROM earned) AS m
)
SELECT
    a.period,
    a.channel,
    a.model,
    k.spend_minor,
    k.spend_minor * 1.0 / coalesce(u.minor_per_major, 1) AS spend,
    coalesce(e.credited_conversions, 0.0) AS credited_conversions,
    coalesce(e.credited_minor, 0) AS credited_revenue_minor,
    coalesce(e.credited_minor, 0) * 1.0 / coalesce(u.minor_per_major, 1) AS credited_revenue,
    coalesce(e.credited_minor, 0) * 1.0 / nullif(k.spend_minor, 0) AS roas,
    k.spend_minor * 1.0 / coalesce(u.minor_per_major, 1)
        / nullif(e.credited_conversions, 0) AS cpa,
    a.currency
FROM cell AS a
LEFT JOIN cost AS k
    ON k.channel = a.channel AND k.currency IS a.currency AND k.period = a.period
LEFT JOIN earned AS e
    ON e.model = a.model AND e.channel = a.channel AND e.currency IS a.currency
        AND e.period = a.period
LEFT JOIN currency AS u ON u.currency = a.currency;

CREATE VIEW v_budget AS
SELECT
    model,
    channel,
    period,
    periods,
    spend,
    attributed,
    factor,
    attributed * factor AS caused,
    baseline,
    attributed * factor / nullif(spend, 0) AS roas,
    marginal_roas,
    low,
    high,
    budget,
    budget - spend AS budget_change,
    budget_value,
    budget_marginal_roas,
    currency,
    spend_value,
    periods_cut,
    largest_spend,
    beyond_seen,
    strftime('%Y-%m-%d %H:%M:%S', solved_at / 1000000, 'unixepoch', '+9 hours') AS solved_at_jst
FROM budget;

-- Evidence, a row a pair of identifiers: how often and when they stood in one event.
CREATE VIEW identity_link AS
SELECT
    l.weaker,
    w.namespace AS weaker_namespace,
    w.value AS weaker_value,
    l.stronger,
    s.namespace AS stronger_namespace,
    s.value AS stronger_value,
    count(*) AS events,
    min(l.occurred_at) AS first_at,
    max(l.occurred_at) AS last_at,
    (SELECT e.event_id FROM event_link AS f JOIN event AS e ON e.event_key = f.event_key
        WHERE f.weaker = l.weaker AND f.stronger = l.stronger
        ORDER BY f.occurred_at, f.event_key LIMIT 1) AS first_event_id,
    (SELECT e.event_id FROM event_link AS f JOIN event AS e ON e.event_key = f.event_key
        WHERE f.weaker = l.weaker AND f.stronger = l.stronger
        ORDER BY f.occurred_at DESC, f.event_key DESC LIMIT 1) AS last_event_id
FROM event_link AS l
LEFT JOIN identifier AS w ON w.node = l.weaker
LEFT JOIN identifier AS s ON s.node = l.stronger
GROUP BY l.weaker, l.stronger;

-- Words of operators (authority 100) and of clients' aliases (below it), a row a word: two
-- identifiers are one person, or are not. Of two words on one pair that of the greater authority
-- stands, then the later one.
CREATE VIEW identity_word AS
SELECT
    iif(evidence > 0, 'link', 'unlink') AS word,
    coalesce(detail ->> '$.evidence.authority', 0) AS authority,
    detail ->> '$.evidence.a_namespace' AS a_namespace,
    detail ->> '$.evidence.a_value' AS a_value,
    detail ->> '$.evidence.b_namespace' AS b_namespace,
    detail ->> '$.evidence.b_value' AS b_value,
    occurred_at,
    source,
    event_id,
    coalesce(detail ->> '$.evidence.reason', '') AS reason
FROM event
WHERE evidence IS NOT NULL;

-- Persons that are another now: each identifier that would be a person by itself, and whose it is.
CREATE VIEW person_alias AS
SELECT own AS alias, person, namespace, value
FROM identifier
WHERE own <> person;

CREATE VIEW v_rejected AS
SELECT
    lower(hex(rejected_key)) AS rejected_key_hex,
    source,
    stage,
    reason,
    pointer,
    hint,
    event_id,
    file,
    line,
    strftime('%Y-%m-%d %H:%M:%S', received_at / 1000000, 'unixepoch', '+9 hours')
        AS received_at_jst,
    length(payload) AS payload_size
FROM rejected;
