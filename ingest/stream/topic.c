/* Names of topics and tables, and Kafka's default partitioner. No state. */
#include "ingest/stream/topic.h"

static const char *const topic_names[TOPIC_COUNT] = {
#define X(symbol, name) [symbol] = (name),
    TOPIC_LIST(X)
#undef X
};

static const struct {
    const char *name;
    enum topic topic;
} tables[TABLE_COUNT] = {
#define X(symbol, table_name, table_topic) [symbol] = {(table_name), (table_topic)},
    TABLE_LIST(X)
#undef X
};

const char *topic_name(enum topic topic)
{
    check((unsigned)topic < TOPIC_COUNT);
    return topic_names[topic];
}

const char *table_name(enum table table)
{
    check((unsigned)table < TABLE_COUNT);
    return tables[table].name;
}

enum topic table_topic(enum table table)
{
    check((unsigned)table < TABLE_COUNT);
    return tables[table].topic;
}

int topic_table(enum topic topic)
{
    if (topic == TOPIC_IDENTITY_STATE || topic == TOPIC_JOURNEY_STATE)
        return -1;
    for (int i = 0; i < TABLE_COUNT; i++)
        if (tables[i].topic == topic)
            return i;
    return -1;
}

/* MurmurHash2 with the seed and mixing that Kafka's Java client uses. */
static uint32_t murmur2(struct str key)
{
    const uint32_t m = 0x5bd1e995;
    const uint8_t *data = (const uint8_t *)key.data;
    size_t size = key.size;
    uint32_t h = 0x9747b28c ^ (uint32_t)size;
    while (size >= 4) {
        uint32_t k;
        memcpy(&k, data, 4);
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
        data += 4;
        size -= 4;
    }
    if (size == 3)
        h ^= (uint32_t)data[2] << 16;
    if (size >= 2)
        h ^= (uint32_t)data[1] << 8;
    if (size >= 1) {
        h ^= data[0];
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return h;
}

int32_t topic_partition(struct str key, int32_t partitions)
{
    check(partitions > 0);
    return (int32_t)(murmur2(key) & 0x7fffffff) % partitions;
}
