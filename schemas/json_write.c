/* Canonical JSON. No recursion: open containers stand on a stack as deep as the parser allows. */
#include "schemas/json.h"

#include <stdlib.h>

#include "schemas/error.h"

#define MEMBERS_INLINE 128
#define SORT_BY_INSERTION_MAX 24
#define INTEGER_SIZE_MAX 20
#define WORD_SIZE sizeof(uint64_t)
/* What a fast path may write beyond a text's own bytes: comma, quotes, colon, and a whole last
 * piece of JSON_TEXT_PADDING. */
#define SLACK 20

/* A member of an object that is open: the place of its key, and the key's first 8 bytes,
 * big-endian, filled up with zeros, which mostly decide the order. */
struct member {
    uint64_t prefix;
    uint64_t at;
};

/* An open container. An object's members are members[next..end) of the writer, sorted; the elements
 * of an array stand on the tape at next..end. */
struct frame {
    size_t first; /* of the members */
    size_t next;
    size_t end;
    bool object;
    bool begun;
};

struct writer {
    struct buf *out;
    const struct json_tape *tape;
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

static inline uint64_t load_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* The first bytes of a text, up to 8, in the order of memory; behind a shorter one zeros. */
static inline uint64_t first_bytes(struct str text)
{
    uint64_t word = 0;
    if (text.size >= sizeof(word))
        return load_word(text.data);
    for (size_t i = 0; i < text.size; i++)
        word |= (uint64_t)(unsigned char)text.data[i] << (8 * i);
    return word;
}

/* Names of one object mostly differ in size or in their first 8 bytes: no call compares them. */
bool json_get(struct json object, struct str key, struct json *out)
{
    uint64_t mask = key.size < WORD_SIZE ? ((uint64_t)1 << (8 * key.size)) - 1 : UINT64_MAX;
    uint64_t first = first_bytes(key);
    struct json_iterator iterator;
    json_iterate(object, &iterator);
    struct str name;
    struct json value;
    while (iterator.object && json_next(&iterator, &name, &value)) {
        if (name.size != key.size || ((load_word(name.data) ^ first) & mask) != 0)
            continue; /* JSON_TEXT_PADDING can be read */
        if (name.size <= WORD_SIZE ||
            memcmp(name.data + WORD_SIZE, key.data + WORD_SIZE, name.size - WORD_SIZE) == 0) {
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
        if (kind == JSON_INT || kind == JSON_DOUBLE)
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

/* Digits of a number, backwards from `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return end;
}

static int write_uint(struct buf *out, uint64_t value, bool negative)
{
    char digits[INTEGER_SIZE_MAX + 1];
    char *end = digits + sizeof(digits);
    char *at = digits_before(end, value);
    if (negative)
        *--at = '-';
    size_t size = (size_t)(end - at);
    int r = buf_reserve(out, size);
    if (r < 0)
        return r;
    for (size_t i = 0; i < size; i++) /* mostly a few: a call would cost more */
        out->data[out->size + i] = at[i];
    out->size += size;
    return 0;
}

int json_write_int(struct buf *out, int64_t value)
{
    return write_uint(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

/* ---- values of a tape ---- */

static inline bool has_room(const struct buf *out, size_t size)
{
    return out->capacity - out->size >= size;
}

static inline int write_char(struct buf *out, char c)
{
    if (!has_room(out, 1))
        return buf_append(out, &c, 1);
    out->data[out->size++] = c;
    return 0;
}

/* Copies a text of a tape in pieces of 16 bytes, which can be read behind it (JSON_TEXT_PADDING)
 * and must have room in `out`. Returns the place behind the text. */
static inline char *copy_padded(char *out, struct str text)
{
    for (size_t i = 0; i < text.size; i += JSON_TEXT_PADDING)
        memcpy(out + i, text.data + i, JSON_TEXT_PADDING);
    return out + text.size;
}

/* As json_write_text(), of a text on a tape. */
static inline int write_tape_text(struct buf *out, const struct json_tape *tape, struct str text)
{
    if (tape->escapes || !has_room(out, text.size + SLACK))
        return json_write_text(out, text);
    char *at = out->data + out->size;
    *at = '"';
    at = copy_padded(at + 1, text);
    *at = '"';
    out->size += text.size + 2;
    return 0;
}

/* A key with its colon, and the comma before it unless it is the first. */
static inline int write_key(
    struct buf *out, const struct json_tape *tape, struct str key, bool first)
{
    if (__builtin_expect(!tape->escapes && has_room(out, key.size + SLACK), 1)) {
        char *begin = out->data + out->size;
        char *at = begin;
        *at = ',';
        at += !first;
        *at = '"';
        at = copy_padded(at + 1, key);
        memcpy(at, "\":", 2);
        out->size += (size_t)(at + 2 - begin);
        return 0;
    }
    int r = first ? 0 : write_char(out, ',');
    if (r == 0)
        r = write_tape_text(out, tape, key);
    return r == 0 ? write_char(out, ':') : r;
}

static int write_other(struct buf *out, struct json value)
{
    char number[JSON_DOUBLE_SIZE_MAX];
    switch (json_kind(value)) {
    case JSON_INT:
        return json_write_int(out, json_int(value));
    case JSON_DOUBLE:
        return buf_append(out, number, json_format_double(json_double(value), number));
    case JSON_BOOL:
        return buf_append_str(out, json_bool(value) ? STR("true") : STR("false"));
    default:
        return buf_append_str(out, STR("null"));
    }
}

static inline int write_scalar(struct buf *out, struct json value)
{
    if (__builtin_expect(json_kind(value) == JSON_TEXT, 1))
        return write_tape_text(out, value.tape, json_text(value));
    return write_other(out, value);
}

/* ---- members of an object ---- */

static inline struct str key_of(const struct json_tape *tape, const struct member *member)
{
    return json_text((struct json){tape, member->at});
}

static inline int order_members(
    const struct json_tape *tape, const struct member *a, const struct member *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return str_compare(key_of(tape, a), key_of(tape, b));
}

static int compare_members(const void *a, const void *b, void *tape)
{
    return order_members(tape, a, b);
}

static void sort_members(const struct json_tape *tape, struct member *members, size_t count)
{
    if (count > SORT_BY_INSERTION_MAX) {
        qsort_r(members, count, sizeof(*members), compare_members, (void *)(uintptr_t)tape);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct member member = members[i];
        size_t place = i;
        for (; place > 0 && order_members(tape, &member, &members[place - 1]) < 0; place--)
            members[place] = members[place - 1];
        members[place] = member;
    }
}

static inline uint64_t prefix_of(struct str key)
{
    uint64_t prefix = __builtin_bswap64(load_word(key.data));
    if (key.size < WORD_SIZE)
        prefix &= key.size ? UINT64_MAX << 8 * (WORD_SIZE - key.size) : 0;
    return prefix;
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

/* Puts the members of an object behind those of the open ones, sorted. */
static int gather_members(struct writer *writer, uint64_t at, uint64_t end)
{
    size_t first = writer->members_count;
    while (at < end) {
        if (writer->members_count == writer->members_capacity) {
            int r = grow_members(writer);
            if (r < 0)
                return r;
        }
        struct member *member = &writer->members[writer->members_count++];
        member->at = at;
        member->prefix = prefix_of(json_text((struct json){writer->tape, at}));
        at = json_behind_((struct json){writer->tape, at + 1});
    }
    size_t count = writer->members_count - first;
    if (count > JSON_KEYS_MAX)
        return ERR_KEYS;
    struct member *members = writer->members + first;
    sort_members(writer->tape, members, count);
    for (size_t i = 1; i < count; i++) {
        if (members[i].prefix == members[i - 1].prefix &&
            order_members(writer->tape, &members[i], &members[i - 1]) == 0)
            return ERR_JSON;
    }
    return 0;
}

/* ---- containers ---- */

static int open_container(struct writer *writer, uint64_t at)
{
    if (writer->depth == JSON_DEPTH_MAX)
        return ERR_DEPTH;
    uint64_t word = writer->tape->words[at];
    struct frame *frame = &writer->frames[writer->depth++];
    frame->object = word >> 56 == '{';
    frame->begun = false;
    frame->first = writer->members_count;
    frame->next = at + 1;
    frame->end = (uint32_t)word - 1;
    if (frame->object) {
        int r = gather_members(writer, frame->next, frame->end);
        if (r < 0)
            return r;
        frame->next = frame->first;
        frame->end = writer->members_count;
    }
    return write_char(writer->out, frame->object ? '{' : '[');
}

static int close_container(struct writer *writer, const struct frame *frame)
{
    writer->members_count = frame->first;
    writer->depth--;
    return write_char(writer->out, frame->object ? '}' : ']');
}

static inline bool is_container(struct json value)
{
    uint64_t mark = json_word_(value) >> 56;
    return mark == '{' || mark == '[';
}

/* Writes the members of an object up to its end or up to one that is a container, which is opened.
 */
static int write_members(struct writer *writer, struct frame *frame)
{
    const struct json_tape *tape = writer->tape;
    struct buf *out = writer->out;
    size_t end = frame->end;
    bool first = !frame->begun;
    for (size_t next = frame->next; next < end; first = false) {
        const struct member *member = &writer->members[next++];
        struct json value = {tape, member->at + 1};
        int r = write_key(out, tape, key_of(tape, member), first);
        if (r == 0 && is_container(value)) {
            frame->next = next;
            frame->begun = true;
            return open_container(writer, value.at);
        }
        if (r == 0)
            r = write_scalar(out, value);
        if (r < 0)
            return r;
    }
    return close_container(writer, frame);
}

/* The same of an array. */
static int write_elements(struct writer *writer, struct frame *frame)
{
    const struct json_tape *tape = writer->tape;
    struct buf *out = writer->out;
    uint64_t end = frame->end;
    bool first = !frame->begun;
    for (uint64_t at = frame->next; at < end; first = false) {
        struct json element = {tape, at};
        at = json_behind_(element);
        int r = first ? 0 : write_char(out, ',');
        if (r == 0 && is_container(element)) {
            frame->next = at;
            frame->begun = true;
            return open_container(writer, element.at);
        }
        if (r == 0)
            r = write_scalar(out, element);
        if (r < 0)
            return r;
    }
    return close_container(writer, frame);
}

static int write_innermost(struct writer *writer)
{
    struct frame *frame = &writer->frames[writer->depth - 1];
    return frame->object ? write_members(writer, frame) : write_elements(writer, frame);
}

int json_write_canonical(struct json value, struct buf *out)
{
    struct writer writer;
    writer.out = out;
    writer.tape = value.tape;
    writer.members = writer.inline_members;
    writer.members_count = 0;
    writer.members_capacity = MEMBERS_INLINE;
    writer.depth = 0;
    size_t size_before = out->size;
    int r = is_container(value) ? open_container(&writer, value.at) : write_scalar(out, value);
    while (r == 0 && writer.depth)
        r = write_innermost(&writer);
    if (r < 0)
        out->size = size_before;
    if (writer.members != writer.inline_members)
        free(writer.members);
    return r;
}
