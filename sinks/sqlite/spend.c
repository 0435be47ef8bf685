#include "sinks/sqlite/spend.h"

#include "sinks/sqlite/database.h"

static const char spend_sql[] =
    "DROP VIEW IF EXISTS spend;"
    "DROP INDEX IF EXISTS event_spend;"
    "CREATE INDEX event_spend ON event (source, " SPEND_CHANNEL("") ", " SPEND_CAMPAIGN(
        "") ", "
            "occurred_at) WHERE type = '" SPEND_TYPE "';"
            "CREATE TABLE spend (source TEXT NOT NULL, channel TEXT NOT NULL, campaign TEXT NOT "
            "NULL, "
            "day TEXT NOT NULL, cost_minor INTEGER, currency TEXT, reports INTEGER NOT NULL, "
            "event_key BLOB NOT NULL, PRIMARY KEY (source, channel, campaign, day)) WITHOUT ROWID, "
            "STRICT;"
            "INSERT INTO spend SELECT source, channel, campaign, day, revenue_minor, currency, "
            "reports, "
            "event_key FROM (SELECT source, " SPEND_CHANNEL("") " AS channel, " SPEND_CAMPAIGN(
                "") " AS campaign, " SPEND_DAY("") " AS day, revenue_minor, currency, count(*) "
                                                   "OVER same AS "
                                                   "reports, event_key, row_number() OVER (same "
                                                   "ORDER BY " SPEND_ORDER ") AS place FROM event "
                                                   "WHERE type = '" SPEND_TYPE
                                                   "' WINDOW same AS (PARTITION BY " SPEND_KEY(
                                                       "") ")) "
                                                           "WHERE place = 1;";

int spend_create(sqlite3 *db)
{
    return database_run(db, spend_sql);
}
