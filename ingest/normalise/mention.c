#include "ingest/normalise/mention.h"

#include "schemas/error.h"

#define FIELD_SIZE_MAX 4096 /* bytes of a field as it stands; a longer one is no identifier */
#define ESCAPE_DIGITS 4
#define SCRATCH_FIELDS 256 /* after so many the arena begins anew */

static bool is_separator(char c)
{
    return c == '"' || c == ',' || c == ';' || c == '|' || c == '\t' || c == '\n' || c == '\r' ||
           c == '[' || c == ']' || c == '{' || c == '}';
}

static bool is_blank(char c)
{
    return c == ' ' || c == ':';
}

/* A number's colon before it, and spaces. */
static struct str trim(struct str text)
{
    while (text.size && is_blank(text.data[0]))
        text = str_make(text.data + 1, text.size - 1);
    while (text.size && is_blank(text.data[text.size - 1]))
        text.size--;
    return text;
}

static bool read_hex(struct str text, uint32_t *out)
{
    uint8_t bytes[ESCAPE_DIGITS / 2];
    if (text.size < ESCAPE_DIGITS ||
        !hex_decode(str_make(text.data, ESCAPE_DIGITS), bytes, sizeof bytes))
        return false;
    *out = (uint32_t)bytes[0] << 8 | bytes[1];
    return true;
}

/* One of the Basic Multilingual Plane. */
static size_t put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    out[0] = (char)(0xe0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3f));
    out[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

/* Escapes of JSON: a unit in hex, or the character behind the backslash. Never longer than it was.
 */
static struct str unescape(struct str text, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint32_t code;
        bool escape = text.data[i] == '\\' && i + 1 < text.size;
        if (!escape) {
            out[size++] = text.data[i];
            continue;
        }
        i++;
        if (text.data[i] == 'u' &&
            read_hex(str_make(text.data + i + 1, text.size - i - 1), &code)) {
            size += put_utf8(out + size, code);
            i += ESCAPE_DIGITS;
        } else {
            out[size++] = text.data[i];
        }
    }
    return str_make(out, size);
}

static int is_it(const struct identifier_config *config, const struct identifier *wanted,
    struct str field, struct arena *scratch)
{
    char plain[FIELD_SIZE_MAX];
    struct identifier identifier = {.namespace = wanted->namespace};
    struct identifier_report report;
    struct touchpoint event;
    field = trim(field);
    if (field.size == 0 || field.size > sizeof plain)
        return 0;
    identifier.value = memchr(field.data, '\\', field.size) ? unescape(field, plain) : field;
    touchpoint_init(&event);
    event.identifiers = &identifier;
    event.identifiers_count = 1;
    int r = identifier_normalise(config, scratch, &event, &report);
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : 0;
    return str_equal(event.identifiers[0].value, wanted->value);
}

int mention_find(const struct identifier_config *config, const struct identifier *wanted,
    struct str payload, struct arena *scratch, bool *found)
{
    struct identifier_config all = *config;
    size_t fields = 0;
    all.blocked_count = 0; /* the operator's list may be younger than the payload */
    *found = false;
    for (size_t i = 0, start = 0; i <= payload.size; i++) {
        if (i < payload.size && !is_separator(payload.data[i]))
            continue;
        int r = is_it(&all, wanted, str_make(payload.data + start, i - start), scratch);
        if (r < 0)
            return r;
        if (r) {
            *found = true;
            return 0;
        }
        if (++fields % SCRATCH_FIELDS == 0)
            arena_reset(scratch);
        start = i + 1;
    }
    return 0;
}
