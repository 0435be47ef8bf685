/* Frames, and look-up in the generated table. */
#include "schemas/schema_set.h"

#include "schemas/error.h"

#define FRAME_MAGIC 0

const struct schema_entry *schema_set_find(uint32_t id)
{
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    for (size_t i = 0; i < count; i++)
        if (entries[i].id == id)
            return &entries[i];
    return NULL;
}

const struct schema_entry *schema_set_version(struct str name, uint64_t fingerprint)
{
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    for (size_t i = 0; i < count; i++)
        if (entries[i].fingerprint == fingerprint && str_equal(str_of(entries[i].name), name))
            return &entries[i];
    return NULL;
}

const struct schema_entry *schema_set_present(struct str name)
{
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    for (size_t i = 0; i < count; i++)
        if (entries[i].type && str_equal(str_of(entries[i].name), name))
            return &entries[i];
    return NULL;
}

void schema_frame_put(uint32_t id, uint8_t out[SCHEMA_FRAME_SIZE])
{
    uint32_t big_endian = __builtin_bswap32(id);
    out[0] = FRAME_MAGIC;
    memcpy(out + 1, &big_endian, sizeof(big_endian));
}

int schema_frame_take(struct str framed, uint32_t *id, struct str *body)
{
    uint32_t big_endian;
    if (framed.size == 0)
        return ERR_EMPTY;
    if (framed.size < SCHEMA_FRAME_SIZE || framed.data[0] != FRAME_MAGIC)
        return ERR_AVRO;
    memcpy(&big_endian, framed.data + 1, sizeof(big_endian));
    *id = __builtin_bswap32(big_endian);
    *body = str_make(framed.data + SCHEMA_FRAME_SIZE, framed.size - SCHEMA_FRAME_SIZE);
    return 0;
}
