/* Nothing that a size says is believed before the CRC was right and the size within its limit. */
#include "ingest/spool/spool_frame.h"

#include <zlib.h>

#include "schemas/error.h"

#define MAGIC "tabijisp"
#define MAGIC_SIZE 8
#define VERSION 1u

static uint32_t crc_of(const uint8_t *bytes, size_t size)
{
    return (uint32_t)crc32_z(0, bytes, size);
}

void spool_head_put(uint8_t out[SPOOL_HEAD_SIZE])
{
    memcpy(out, MAGIC, MAGIC_SIZE);
    put_le32(out + 8, VERSION);
    put_le32(out + 12, crc_of(out, 12));
}

int spool_head_take(struct str bytes)
{
    uint8_t wanted[SPOOL_HEAD_SIZE];
    if (bytes.size < SPOOL_HEAD_SIZE)
        return SPOOL_CUT;
    spool_head_put(wanted);
    return memcmp(bytes.data, wanted, sizeof wanted) == 0 ? 0 : ERR_STATE;
}

int spool_frame_size(const struct spool_record *record, size_t *size)
{
    if (record->key.size > SPOOL_BODY_SIZE_MAX || record->value.size > SPOOL_BODY_SIZE_MAX)
        return ERR_TOO_LARGE;
    size_t body = SPOOL_BODY_HEAD_SIZE + record->key.size + record->value.size;
    if (body > SPOOL_BODY_SIZE_MAX)
        return ERR_TOO_LARGE;
    *size = SPOOL_FRAME_HEAD_SIZE + body;
    return 0;
}

/* Of the size and the body, which lie around the CRC. */
static uint32_t frame_crc(const uint8_t *frame, size_t body_size)
{
    uint32_t crc = crc_of(frame, 4);
    return (uint32_t)crc32_z(crc, frame + SPOOL_FRAME_HEAD_SIZE, body_size);
}

void spool_frame_put(const struct spool_record *record, uint8_t *out)
{
    size_t body_size = SPOOL_BODY_HEAD_SIZE + record->key.size + record->value.size;
    uint8_t *body = out + SPOOL_FRAME_HEAD_SIZE;
    check(body_size <= SPOOL_BODY_SIZE_MAX);
    put_le32(out, (uint32_t)body_size);
    body[0] = (uint8_t)record->topic;
    put_le32(body + 1, record->schema);
    put_le32(body + 5, (uint32_t)record->key.size);
    if (record->key.size)
        memcpy(body + SPOOL_BODY_HEAD_SIZE, record->key.data, record->key.size);
    if (record->value.size)
        memcpy(
            body + SPOOL_BODY_HEAD_SIZE + record->key.size, record->value.data, record->value.size);
    put_le32(out + 4, frame_crc(out, body_size));
}

int spool_frame_take(struct str bytes, struct spool_record *record, size_t *size)
{
    const uint8_t *frame = (const uint8_t *)bytes.data;
    if (bytes.size < SPOOL_FRAME_HEAD_SIZE)
        return SPOOL_CUT;
    uint32_t body_size = get_le32(frame);
    if (body_size < SPOOL_BODY_HEAD_SIZE || body_size > SPOOL_BODY_SIZE_MAX)
        return ERR_STATE;
    if (bytes.size - SPOOL_FRAME_HEAD_SIZE < body_size)
        return SPOOL_CUT;
    const uint8_t *body = frame + SPOOL_FRAME_HEAD_SIZE;
    uint32_t key_size = get_le32(body + 5);
    if (get_le32(frame + 4) != frame_crc(frame, body_size) ||
        key_size > body_size - SPOOL_BODY_HEAD_SIZE ||
        (body[0] != TOPIC_EVENTS && body[0] != TOPIC_REJECTED))
        return ERR_STATE;
    *record = (struct spool_record){
        .topic = (enum topic)body[0],
        .schema = get_le32(body + 1),
        .key = str_make(body + SPOOL_BODY_HEAD_SIZE, key_size),
        .value = str_make(
            body + SPOOL_BODY_HEAD_SIZE + key_size, body_size - SPOOL_BODY_HEAD_SIZE - key_size),
    };
    *size = SPOOL_FRAME_HEAD_SIZE + (size_t)body_size;
    return 0;
}

void spool_mark_put(const struct spool_mark *mark, uint8_t out[SPOOL_MARK_SIZE])
{
    put_le64(out, mark->segment);
    put_le64(out + 8, mark->offset);
    put_le32(out + 16, crc_of(out, 16));
}

int spool_mark_take(struct str bytes, struct spool_mark *out)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    if (bytes.size != SPOOL_MARK_SIZE || get_le32(at + 16) != crc_of(at, 16))
        return ERR_STATE;
    *out = (struct spool_mark){.segment = get_le64(at), .offset = get_le64(at + 8)};
    return 0;
}
