/* See the header. */
#include "deploy/uuid.h"

#define HEX_SIZE (2 * KEY_SIZE)

static bool is_dash_place(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void uuid_write(const uint8_t key[KEY_SIZE], char out[UUID_TEXT_SIZE])
{
    char hex[HEX_SIZE];
    size_t used = 0;
    hex_encode(key, KEY_SIZE, hex);
    for (size_t i = 0; i + 1 < UUID_TEXT_SIZE; i++)
        out[i] = is_dash_place(i) ? '-' : hex[used++];
    out[UUID_TEXT_SIZE - 1] = 0;
}

bool uuid_read(struct str text, uint8_t key[KEY_SIZE])
{
    char hex[HEX_SIZE];
    size_t used = 0;
    if (text.size == HEX_SIZE)
        return hex_decode(text, key, KEY_SIZE);
    if (text.size != UUID_TEXT_SIZE - 1)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (is_dash_place(i) != (text.data[i] == '-'))
            return false;
        if (!is_dash_place(i))
            hex[used++] = text.data[i];
    }
    return hex_decode(str_make(hex, used), key, KEY_SIZE);
}
