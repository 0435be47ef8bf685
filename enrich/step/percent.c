#include "enrich/step/percent.h"

#include "schemas/error.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Bytes of the UTF-8 sequence at `at`, 0 when there is none. Source: RFC 3629, 4. */
static size_t sequence_size(const uint8_t *at, size_t left)
{
    static const struct {
        uint8_t mask, lead, size;
        uint32_t lowest;
    } rows[] = {{0x80, 0x00, 1, 0}, {0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800},
        {0xf8, 0xf0, 4, 0x10000}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((at[0] & rows[i].mask) != rows[i].lead)
            continue;
        if (rows[i].size > left)
            return 0;
        uint32_t code = at[0] & (uint8_t)~rows[i].mask;
        for (size_t k = 1; k < rows[i].size; k++) {
            if ((at[k] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (at[k] & 0x3f);
        }
        bool good = code >= rows[i].lowest && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        return good ? rows[i].size : 0;
    }
    return 0;
}

static bool is_clean_text(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        if (data[at] < 0x20 || data[at] == 0x7f)
            return false;
        size_t step = sequence_size(data + at, size - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

int percent_decode(struct str text, struct arena *arena, struct str *out)
{
    if (text.size == 0 ||
        (!memchr(text.data, '%', text.size) && !memchr(text.data, '+', text.size))) {
        *out = text;
        return 0;
    }
    uint8_t *data = arena_alloc(arena, text.size);
    if (!data)
        return ERR_NO_MEMORY;
    size_t size = 0;
    bool good = true;
    for (size_t i = 0; i < text.size && good; i++) {
        char c = text.data[i];
        if (c == '+')
            c = ' ';
        if (c == '%') {
            bool whole = i + 2 < text.size;
            int high = whole ? hex_digit(text.data[i + 1]) : -1;
            int low = whole ? hex_digit(text.data[i + 2]) : -1;
            good = high >= 0 && low >= 0;
            c = good ? (char)(high * 16 + low) : c;
            i += 2;
        }
        data[size++] = (uint8_t)c;
    }
    good = good && is_clean_text(data, size);
    *out = good ? str_make(data, size) : text;
    return 0;
}
