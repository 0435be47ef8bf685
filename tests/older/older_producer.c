/*
 * Sends what an older build would have sent:
 *     older_producer BROKERS PREFIX PARTITIONS log DIR   the events of an older directory's log
 *     older_producer BROKERS PREFIX PARTITIONS TOPIC ID  one value of an unknown schema
 */
#include <librdkafka/rdkafka.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/stream/local_private.h"
#include "ingest/stream/row_schema.h"
#include "tests/older/older.h"

static rd_kafka_t *producer;
static const char *prefix;
static int32_t partitions;

static void must(bool held, const char *what)
{
    if (held)
        return;
    (void)fprintf(stderr, "older_producer: %s\n", what);
    exit(1);
}

static void send_framed(const char *topic, uint32_t id, struct str key, struct str value)
{
    char name[256];
    uint8_t frame[SCHEMA_FRAME_SIZE];
    CLEANUP(buf_free) struct buf bytes = {0};
    (void)snprintf(name, sizeof name, "%s.%s.v1", prefix, topic);
    schema_frame_put(id, frame);
    check(buf_append(&bytes, frame, sizeof frame) == 0 && buf_append_str(&bytes, value) == 0);
    must(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(name),
             RD_KAFKA_V_PARTITION(topic_partition(key, partitions)),
             RD_KAFKA_V_KEY(key.data, key.size), RD_KAFKA_V_VALUE(bytes.data, bytes.size),
             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) == 0,
        "produce");
}

static void send_segment(struct str segment)
{
    struct record record;
    int error;
    while (local_log_record(&segment, &record, &error))
        send_framed(topic_name(record.topic), row_schema_of_topic(record.topic) + OLDER_ID,
            record.key, record.value);
    must(error == 0, "segment");
}

static void send_log(const char *dir)
{
    char path[4096];
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi records = 0;
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    (void)snprintf(path, sizeof path, "%s/log", dir);
    must(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 3) == 0 &&
             mdb_env_open(env, path, MDB_RDONLY, 0600) == 0 &&
             mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0 &&
             mdb_dbi_open(txn, "records", 0, &records) == 0 &&
             mdb_cursor_open(txn, records, &cursor) == 0,
        path);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0)
        send_segment(str_make(value.mv_data, value.mv_size));
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

int main(int argc, char **argv)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    must(argc == 6, "five arguments");
    prefix = argv[2];
    partitions = (int32_t)strtol(argv[3], NULL, 10);
    must(rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], why, sizeof why) == RD_KAFKA_CONF_OK,
        why);
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    must(producer != NULL, why);
    if (strcmp(argv[4], "log") == 0)
        send_log(argv[5]);
    else
        send_framed(argv[4], (uint32_t)strtoul(argv[5], NULL, 10), STR("0123456789abcdef"),
            STR("of tomorrow"));
    must(rd_kafka_flush(producer, 30000) == 0, "flush");
    rd_kafka_destroy(producer);
    return 0;
}
