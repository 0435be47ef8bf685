/* What `tabiji doctor` asks of Kafka. Each part goes on only where the one before could. */
#include <stdio.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "deploy/serve.h"
#include "deploy/verb/doctor.h"
#include "ingest/stream/kafka_cluster.h"
#include "ingest/stream/kafka_lag.h"
#include "ingest/stream/kafka_topic_report.h"
#include "schemas/error.h"

#define KAFKA_TIMEOUT_MS 5000
#define LOOK_MS 1000
#define PATH_SIZE 4096
#define AHEAD_MS_MAX 5000    /* of clocks of producers */
#define BEHIND_MS_MAX 600000 /* without reading a record, before it is worth a word */
#define AGAIN_S 3            /* a transaction that runs is over by then, mostly */

struct asking {
    struct doctor *doctor;
    struct serve_ask ask;
    struct kafka_topic_report topics[TOPIC_COUNT];
    struct kafka_lag_watch *watch;
    struct kafka_lag lag;
};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void tell_unanswered(struct asking *asking, int error)
{
    const char *why = asking->ask.why[0] ? asking->ask.why : error_text(error);
    if (error == ERR_AUTH)
        doctor_tell(asking->doctor, VERDICT_FAILURE, "kafka",
            "check sasl.username, sasl.password_file, ssl.ca.location in [kafka]", "%s", why);
    else if (error == ERR_CONFIG)
        doctor_tell(
            asking->doctor, VERDICT_FAILURE, "kafka", "mend [kafka] and [stream]", "%s", why);
    else
        doctor_tell(asking->doctor, VERDICT_FAILURE, "kafka",
            "check bootstrap.servers, security.protocol and the network", "no broker answers: %s",
            why);
}

static bool check_brokers(struct asking *asking)
{
    struct kafka_cluster_report report;
    int r = kafka_cluster_report(&asking->ask.kafka, KAFKA_TIMEOUT_MS, &report);
    if (r < 0) {
        tell_unanswered(asking, r);
        return false;
    }
    doctor_tell(asking->doctor, VERDICT_OK, "kafka", NULL,
        "%d brokers answer, protocol %s; librdkafka %s", report.brokers,
        report.version[0] ? report.version : "not told (4.0 and later do not)", report.library);
    int replication = asking->ask.kafka.replication_factor;
    if (replication > report.brokers)
        doctor_tell(asking->doctor, VERDICT_FAILURE, "kafka replicas",
            "lower [stream] replication, or add brokers", "%d replicas are wanted of %d brokers",
            replication, report.brokers);
    return true;
}

static bool settings_wrong(const struct kafka_topic_report *topic)
{
    for (int s = 0; s < KAFKA_TOPIC_SETTINGS; s++)
        if (topic->wrong[s])
            return true;
    return false;
}

static bool check_topics(struct asking *asking)
{
    struct doctor *doctor = asking->doctor;
    int missing = 0, denied = 0, wrong = 0, leaderless = 0, lagging = 0;
    int r = kafka_topics_report(&asking->ask.kafka, KAFKA_TIMEOUT_MS, asking->topics);
    if (r < 0) {
        tell_unanswered(asking, r);
        return false;
    }
    for (int t = 0; t < TOPIC_COUNT; t++) {
        const struct kafka_topic_report *topic = &asking->topics[t];
        denied += topic->denied;
        missing += !topic->denied && topic->partitions == 0;
        leaderless += topic->leaderless > 0;
        lagging += topic->partitions > 0 && topic->in_sync < topic->replicas;
        wrong += topic->partitions > 0 &&
                 (settings_wrong(topic) || topic->partitions != topic->partitions_wanted);
    }
    if (denied)
        doctor_tell(doctor, VERDICT_FAILURE, "kafka access",
            "kafka-acls: DESCRIBE, DESCRIBE_CONFIGS, READ, WRITE on topics by the prefix",
            "%d of %d topics are not shown to this user, or not their settings", denied,
            TOPIC_COUNT);
    if (missing)
        doctor_tell(doctor, VERDICT_WARNING, "kafka topics",
            "tabiji topics create (collect, work and sink make them, too, unless create_topics = "
            "no)",
            "%d of %d are missing", missing, TOPIC_COUNT);
    if (leaderless)
        doctor_tell(doctor, VERDICT_FAILURE, "kafka topics", "start the brokers that are down",
            "%d have partitions that no broker leads", leaderless);
    if (wrong)
        doctor_tell(doctor, VERDICT_FAILURE, "kafka topics",
            "tabiji topics check says what mends each", "%d are not as they should be", wrong);
    if (lagging)
        doctor_tell(doctor, VERDICT_WARNING, "kafka replicas", "see the brokers that are behind",
            "%d topics have replicas that are not in sync", lagging);
    if (!denied && !missing && !leaderless && !wrong)
        doctor_tell(
            doctor, VERDICT_OK, "kafka topics", NULL, "all %d are as they should be", TOPIC_COUNT);
    return missing == 0 && denied == 0;
}

/* What the group's rows say of it. */
static void check_group(struct asking *asking, size_t group)
{
    int64_t lag = 0, oldest = INT64_MAX, newest = 0;
    for (size_t i = 0; i < asking->lag.rows_count; i++) {
        const struct kafka_lag_row *row = &asking->lag.rows[i];
        if (row->group != group)
            continue;
        lag += row->lag;
        if (row->oldest_ms >= 0 && row->oldest_ms < oldest)
            oldest = row->oldest_ms;
        if (row->oldest_ms > newest)
            newest = row->oldest_ms;
    }
    int64_t now = now_ms();
    bool behind = oldest < now - BEHIND_MS_MAX;
    doctor_tell(asking->doctor, behind ? VERDICT_WARNING : VERDICT_OK, "kafka lag",
        behind ? "does it run, and is it fast enough? tabiji top, its messages" : NULL,
        "%s is behind by %lld records%s", asking->lag.groups[group], (long long)lag,
        behind ? ", for more than 10 minutes" : "");
    if (newest > now + AHEAD_MS_MAX)
        doctor_tell(asking->doctor, VERDICT_WARNING, "clock",
            "synchronise the clocks of producers and of this host (chrony)",
            "a record is from %lld s ahead of this host's clock", (long long)(newest - now) / 1000);
}

static bool read_lag(struct asking *asking)
{
    int r =
        asking->watch ? 0 : kafka_lag_open(&asking->ask.kafka, KAFKA_TIMEOUT_MS, &asking->watch);
    if (r == 0)
        r = kafka_lag_read(asking->watch, KAFKA_TIMEOUT_MS, LOOK_MS, &asking->lag);
    if (r == ERR_AUTH)
        doctor_tell(asking->doctor, VERDICT_FAILURE, "kafka access",
            "kafka-acls: READ and DESCRIBE on groups by the prefix of [stream] group", "%s",
            asking->ask.why);
    else if (r < 0)
        doctor_tell(asking->doctor, VERDICT_FAILURE, "kafka lag", "tabiji topics check; tabiji lag",
            "%s", asking->ask.why[0] ? asking->ask.why : error_text(r));
    return r == 0;
}

static int64_t open_records(const struct kafka_lag *lag, int *partitions)
{
    int64_t open = 0;
    *partitions = 0;
    for (size_t i = 0; i < lag->rows_count; i++) {
        open += lag->rows[i].high - lag->rows[i].end;
        *partitions += lag->rows[i].high > lag->rows[i].end;
    }
    return open;
}

/* Partitions that were held up before, and still are at the same record. */
static int count_held(const struct kafka_lag *before, const struct kafka_lag *now)
{
    int held = 0;
    for (size_t i = 0; i < now->rows_count && i < before->rows_count; i++)
        held += now->rows[i].high > now->rows[i].end &&
                before->rows[i].high > before->rows[i].end &&
                now->rows[i].end == before->rows[i].end;
    return held;
}

static void check_transactions(struct asking *asking)
{
    int partitions;
    if (open_records(&asking->lag, &partitions) == 0) {
        doctor_tell(asking->doctor, VERDICT_OK, "transactions", NULL, "none is open for long");
        return;
    }
    struct kafka_lag before = asking->lag;
    asking->lag = (struct kafka_lag){.rows = NULL};
    (void)sleep(AGAIN_S);
    if (read_lag(asking)) {
        int64_t open = open_records(&asking->lag, &partitions);
        int held = count_held(&before, &asking->lag);
        doctor_tell(asking->doctor, held ? VERDICT_WARNING : VERDICT_OK, "transactions",
            held
                ? "brokers end those of a dead producer after transaction.timeout.ms (20 s); if it "
                  "stays: kafka-transactions.sh find-hanging, then abort"
                : NULL,
            "%lld records of %d partitions are in open transactions%s", (long long)open, partitions,
            held ? ", held up for seconds: readers do not get past" : "");
    }
    kafka_lag_free(&before);
}

static void check_clock(struct asking *asking)
{
    struct timex state = {.modes = 0};
    int r = adjtimex(&state);
    bool synchronised = r >= 0 && r != TIME_ERROR && !(state.status & STA_UNSYNC);
    doctor_tell(asking->doctor, synchronised ? VERDICT_OK : VERDICT_WARNING, "clock",
        synchronised ? NULL : "run chrony or systemd-timesyncd: ages of records are by it",
        synchronised ? "synchronised" : "the kernel does not know it to be synchronised");
}

static void check_state(struct asking *asking)
{
    char path[PATH_SIZE];
    int pid = 0;
    switch (kafka_slot_look(&asking->ask.kafka, path, sizeof path, &pid)) {
    case KAFKA_SLOT_NONE:
        doctor_tell(asking->doctor, VERDICT_OK, "state directory", NULL,
            "%s does not exist yet; a worker makes it", path);
        break;
    case KAFKA_SLOT_FREE:
        doctor_tell(asking->doctor, VERDICT_OK, "state directory", NULL, "%s is free", path);
        break;
    case KAFKA_SLOT_RUNNING:
        doctor_tell(asking->doctor, VERDICT_OK, "state directory", NULL,
            "%s is in use by process %d; another worker needs its own [stream] slot", path, pid);
        break;
    case KAFKA_SLOT_FOREIGN:
        doctor_tell(asking->doctor, VERDICT_FAILURE, "state directory",
            "chown it to the user that runs the worker, or choose another by --state",
            "%s belongs to another user, or cannot be written", path);
        break;
    }
}

void doctor_kafka(struct doctor *doctor)
{
    static struct asking asking; /* too large for a small stack */
    asking = (struct asking){.doctor = doctor};
    int r = serve_ask_open(&asking.ask, doctor->call->config);
    if (r < 0) {
        tell_unanswered(&asking, r);
    } else {
        check_state(&asking);
        check_clock(&asking);
        if (check_brokers(&asking) && check_topics(&asking) && read_lag(&asking)) {
            for (size_t group = 0; group < asking.lag.groups_count; group++)
                check_group(&asking, group);
            check_transactions(&asking);
        }
    }
    kafka_lag_free(&asking.lag);
    kafka_lag_close(&asking.watch);
    serve_ask_close(&asking.ask);
}
