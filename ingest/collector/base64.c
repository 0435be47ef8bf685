/* Four digits at a time, three bytes out. */
#include "ingest/collector/base64.h"

#include "schemas/error.h"

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-' || c == ' ')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

/* Without padding. False when there is too much of it, or a lone digit is left. */
static bool strip(struct str *text)
{
    size_t padding = 0;
    while (text->size && text->data[text->size - 1] == '=') {
        text->size--;
        padding++;
    }
    bool whole = padding == 0 || (text->size + padding) % 4 == 0;
    return padding <= 2 && whole && text->size % 4 != 1;
}

int base64_decode(struct str text, void *out, size_t room, size_t *size)
{
    uint8_t *bytes = out;
    size_t count = 0;
    uint32_t bits = 0;
    int bits_count = 0;
    if (!strip(&text))
        return ERR_VALUE;
    for (size_t i = 0; i < text.size; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0)
            return ERR_VALUE;
        bits = (bits << 6 | (uint32_t)digit) & 0xffff;
        bits_count += 6;
        if (bits_count < 8)
            continue;
        if (count == room)
            return ERR_TOO_LARGE;
        bits_count -= 8;
        bytes[count++] = (uint8_t)(bits >> bits_count & 0xff);
    }
    *size = count;
    return 0;
}
