/*
 * The table spend: what each channel cost, a row a source, channel, campaign and day, the report
 * that stands. The writer keeps it within the transaction that changes an event of that type, so
 * that it is a function of the table event, as a view would be; other events cost nothing.
 */
#pragma once

#define SPEND_TYPE "spend_reported"

/* What the key of a row is in event; row: "" or its name with a point. */
#define SPEND_CHANNEL(row) "coalesce(" row "channel, '')"
#define SPEND_CAMPAIGN(row) "coalesce(" row "campaign_name, '')"
#define SPEND_DAY(row) "strftime('%Y-%m-%d', " row "occurred_at / 1000000, 'unixepoch')"
#define SPEND_KEY(row)                                                                             \
    row "source, " SPEND_CHANNEL(row) ", " SPEND_CAMPAIGN(row) ", " SPEND_DAY(row)

/* Both for the event at row ?1: its key's row goes, and comes again from all reports of the key,
 * without that event unless ?2. */
#define SPEND_CLEAR_SQL                                                                            \
    "DELETE FROM spend WHERE (source, channel, campaign, day) = "                                  \
    "(SELECT " SPEND_KEY("") " FROM event WHERE event_row = ?1)"
#define SPEND_SETTLE_SQL                                                                           \
    "INSERT INTO spend SELECT " SPEND_KEY(                                                         \
        "e.") ", e.revenue_minor, e.currency, count(*) OVER (), "                                  \
              "e.event_key FROM event AS k CROSS JOIN event AS e WHERE k.event_row = ?1 "          \
              "AND e.type = '" SPEND_TYPE "' AND e.source = k.source "                             \
              "AND " SPEND_CHANNEL("e.") " = " SPEND_CHANNEL(                                      \
                  "k.") " "                                                                        \
                        "AND " SPEND_CAMPAIGN("e.") " = " SPEND_CAMPAIGN(                          \
                            "k.") " "                                                              \
                                  "AND e.occurred_at BETWEEN k.occurred_at - 86400000000 AND "     \
                                  "k.occurred_at + 86400000000 "                                   \
                                  "AND " SPEND_DAY("e.") " = " SPEND_DAY(                          \
                                      "k.") " AND (?2 OR e.event_row <> ?1) "                      \
                                            "ORDER BY e.sequence DESC, e.received_at DESC, "       \
                                            "e.event_key DESC LIMIT 1"
