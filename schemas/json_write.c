/* Canonical JSON. No recursion: open containers stand on a stack as deep as the parser allows. */
#include "schemas/json.h"

#include <stdlib.h>

#include "schemas/error.h"

#define MEMBERS_INLINE 128
#define SORT_BY_INSERTION_MAX 24
#define INTEGER_SIZE_MAX 20

/* `prefix` is the key's first 8 bytes, big-endian, filled up with zeros: mostly it decides the
 * order. */
struct member {
    uint64_t prefix;
    struct str key;
    struct json value;
};

/* An object's members are members[next..end) of the writer, sorted; an array goes by its iterator.
 */
struct frame {
    size_t first;
    size_t next;
    size_t end;
    struct json_iterator elements;
    bool object;
    bool begun;
};

struct writer {
    struct buf *out;
    struct member *members;
    size_t members_count;
    size_t members_capacity;
    size_t depth;
    struct frame frames[JSON_DEPTH_MAX];
    struct member inline_members[MEMBERS_INLINE];
};

size_t json_count(struct json value)
{
    size_t count = 0;
    struct json_iterator iterator;
    json_iterate(value, &iterator);
    struct str key;
    struct json element;
    while (json_next(&iterator, &key, &element))
        count++;
    return count;
}

bool json_get(struct json object, struct str key, struct json *out)
{
    struct json_iterator iterator;
    json_iterate(object, &iterator);
    struct str name;
    struct json value;
    while (iterator.object && json_next(&iterator, &name, &value)) {
        if (str_equal(name, key)) {
            *out = value;
            return true;
        }
    }
    return false;
}

bool json_holds_nul(struct json value)
{
    if (!value.tape->escapes_nul)
        return false;
    uint64_t word = json_word_(value);
    bool container = word >> 56 == '{' || word >> 56 == '[';
    uint64_t end = container ? (uint32_t)word : value.at + 1;
    for (struct json here = value; here.at < end; here.at++) {
        enum json_kind kind = json_kind(here);
        struct str text = kind == JSON_TEXT ? json_text(here) : str_make(NULL, 0);
        if (text.size && memchr(text.data, '\0', text.size))
            return true;
        if (kind == JSON_INT || kind == JSON_UINT || kind == JSON_DOUBLE)
            here.at++;
    }
    return false;
}

/* Whether a byte of the word must be escaped. Sets the top bit of such bytes. */
static inline uint64_t escapes(uint64_t word)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t quote = word ^ (ones * '"');
    uint64_t slash = word ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((word - ones * ' ') & ~word)) &
           (ones * 0x80);
}

static inline uint64_t load_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static bool is_plain(unsigned char c)
{
    return c >= ' ' && c != '"' && c != '\\';
}

/* The first byte that must be escaped, or `end`. */
static const char *plain_end(const char *at, const char *end)
{
    while (end - at >= 8 && !escapes(load_word(at)))
        at += 8;
    while (at < end && is_plain((unsigned char)*at))
        at++;
    return at;
}

/* Copies a text without escapes, 8 bytes at a time; false when it has one. `out` has room for
 * text.size bytes. */
static bool copy_plain(char *out, struct str text)
{
    uint64_t found = 0;
    size_t i = 0;
    for (; i + 8 <= text.size; i += 8) {
        uint64_t word = load_word(text.data + i);
        found |= escapes(word);
        memcpy(out + i, &word, sizeof(word));
    }
    if (i < text.size && text.size >= 8) { /* the last 8 once more */
        uint64_t word = load_word(text.data + text.size - 8);
        found |= escapes(word);
        memcpy(out + text.size - 8, &word, sizeof(word));
        i = text.size;
    }
    for (; i < text.size; i++) {
        out[i] = text.data[i];
        found |= !is_plain((unsigned char)text.data[i]);
    }
    return !found;
}

static int write_escape(struct buf *out, char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *found = c ? strchr(shorts, c) : NULL;
    if (found)
        return buf_append(out, (char[]){'\\', letters[found - shorts]}, 2);
    char escape[6] = {'\\', 'u', '0', '0', hex[(unsigned char)c >> 4], hex[c & 15]};
    return buf_append(out, escape, sizeof(escape));
}

static int write_escaped(struct buf *out, struct str text)
{
    int r = buf_append(out, "\"", 1);
    const char *at = text.data;
    const char *end = text.data + text.size;
    while (r == 0 && at < end) {
        const char *plain = plain_end(at, end);
        r = buf_append(out, at, (size_t)(plain - at));
        if (r == 0 && plain < end)
            r = write_escape(out, *plain++);
        at = plain;
    }
    return r == 0 ? buf_append(out, "\"", 1) : r;
}

int json_write_text(struct buf *out, struct str text)
{
    int r = buf_reserve(out, text.size + 2);
    if (r < 0)
        return r;
    char *at = out->data + out->size;
    if (copy_plain(at + 1, text)) {
        at[0] = '"';
        at[text.size + 1] = '"';
        out->size += text.size + 2;
        return 0;
    }
    size_t size_before = out->size;
    r = write_escaped(out, text);
    if (r < 0)
        out->size = size_before;
    return r;
}

static int write_uint(struct buf *out, uint64_t value, bool negative)
{
    char digits[INTEGER_SIZE_MAX + 1];
    char *at = digits + sizeof(digits);
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    if (negative)
        *--at = '-';
    return buf_append(out, at, (size_t)(digits + sizeof(digits) - at));
}

int json_write_int(struct buf *out, int64_t value)
{
    return write_uint(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

static int write_scalar(struct buf *out, struct json value)
{
    char number[JSON_DOUBLE_SIZE_MAX];
    switch (json_kind(value)) {
    case JSON_TEXT:
        return json_write_text(out, json_text(value));
    case JSON_INT:
        return json_write_int(out, json_int(value));
    case JSON_UINT:
        return write_uint(out, json_uint(value), false);
    case JSON_DOUBLE:
        return buf_append(out, number, json_format_double(json_double(value), number));
    case JSON_BOOL:
        return json_bool(value) ? buf_append(out, "true", 4) : buf_append(out, "false", 5);
    default:
        return buf_append(out, "null", 4);
    }
}

static inline int order_members(const struct member *a, const struct member *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return str_compare(a->key, b->key);
}

static int compare_members(const void *a, const void *b)
{
    return order_members(a, b);
}

static void sort_members(struct member *members, size_t count)
{
    if (count > SORT_BY_INSERTION_MAX) {
        qsort(members, count, sizeof(*members), compare_members);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct member member = members[i];
        size_t place = i;
        for (; place > 0 && order_members(&member, &members[place - 1]) < 0; place--)
            members[place] = members[place - 1];
        members[place] = member;
    }
}

static uint64_t prefix_of(struct str key)
{
    uint64_t prefix = 0;
    memcpy(&prefix, key.data, key.size < sizeof(prefix) ? key.size : sizeof(prefix));
    return __builtin_bswap64(prefix);
}

static int grow_members(struct writer *writer)
{
    size_t capacity = writer->members_capacity * 2;
    struct member *bigger = malloc(capacity * sizeof(*bigger));
    if (!bigger)
        return ERR_NO_MEMORY;
    memcpy(bigger, writer->members, writer->members_count * sizeof(*bigger));
    if (writer->members != writer->inline_members)
        free(writer->members);
    writer->members = bigger;
    writer->members_capacity = capacity;
    return 0;
}

static int open_container(struct writer *writer, struct json value)
{
    check(writer->depth < JSON_DEPTH_MAX);
    struct frame *frame = &writer->frames[writer->depth++];
    frame->object = json_kind(value) == JSON_OBJECT;
    frame->begun = false;
    frame->first = writer->members_count;
    json_iterate(value, &frame->elements);
    struct member member = {0};
    while (frame->object && json_next(&frame->elements, &member.key, &member.value)) {
        if (writer->members_count == writer->members_capacity) {
            int r = grow_members(writer);
            if (r < 0)
                return r;
        }
        member.prefix = prefix_of(member.key);
        writer->members[writer->members_count++] = member;
    }
    frame->next = frame->first;
    frame->end = writer->members_count;
    if (frame->object)
        sort_members(writer->members + frame->first, frame->end - frame->first);
    return buf_append(writer->out, frame->object ? "{" : "[", 1);
}

/* The next element of the innermost container, or false when it is through. */
static bool next_member(struct writer *writer, struct frame *frame, struct member *out)
{
    if (!frame->object)
        return json_next(&frame->elements, &out->key, &out->value);
    if (frame->next == frame->end)
        return false;
    *out = writer->members[frame->next++];
    return true;
}

static int write_value(struct writer *writer, struct json value)
{
    enum json_kind kind = json_kind(value);
    if (kind == JSON_OBJECT || kind == JSON_ARRAY)
        return open_container(writer, value);
    return write_scalar(writer->out, value);
}

static int step(struct writer *writer)
{
    struct frame *frame = &writer->frames[writer->depth - 1];
    struct member member = {0};
    if (!next_member(writer, frame, &member)) {
        writer->members_count = frame->first;
        writer->depth--;
        return buf_append(writer->out, frame->object ? "}" : "]", 1);
    }
    int r = frame->begun ? buf_append(writer->out, ",", 1) : 0;
    if (r < 0)
        return r;
    frame->begun = true;
    if (frame->object) {
        r = json_write_text(writer->out, member.key);
        if (r == 0)
            r = buf_append(writer->out, ":", 1);
    }
    return r < 0 ? r : write_value(writer, member.value);
}

int json_write_canonical(struct json value, struct buf *out)
{
    struct writer writer;
    writer.out = out;
    writer.members = writer.inline_members;
    writer.members_count = 0;
    writer.members_capacity = MEMBERS_INLINE;
    writer.depth = 0;
    size_t size_before = out->size;
    int r = write_value(&writer, value);
    while (r == 0 && writer.depth)
        r = step(&writer);
    if (r < 0)
        out->size = size_before;
    if (writer.members != writer.inline_members)
        free(writer.members);
    return r;
}
