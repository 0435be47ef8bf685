/*
 * Where the next token begins tells where a string ends: only white space can stand between its
 * closing quote and the token. So strings are neither searched nor copied.
 *
 * Invariants: 1. a token is looked at only when it is there: at a member or element at least those
 * that it and its container's end need are left. 2. Words do not overrun, as they are simdjson's.
 */
#include "schemas/json_tape.h"

#include "schemas/json.h"

#define COUNT_MAX 0xFFFFFF
#define INTEGER_DIGITS_MAX 18
#define EXACT_DIGITS_MAX 15 /* integers below 10^15, and powers of ten up to 10^22, are doubles */
#define MEMBER_TOKENS 4     /* key, colon, value, and what ends the object or follows */
#define ELEMENT_TOKENS 2

#define FORCE_INLINE static inline __attribute__((always_inline))

struct open {
    uint32_t start; /* index of the opening word */
    uint32_t count;
    char end; /* its closing token */
};

/* Lives in registers: all that takes its address is inlined, the rest takes and returns places. */
struct builder {
    const char *text;
    const uint32_t *at; /* next token */
    const uint32_t *end;
    uint64_t *words;
    uint64_t *word; /* next */
    struct open *outer;
    size_t depth;
    uint32_t start; /* of the innermost container, as struct open */
    uint32_t count;
    char close;
};

static const double powers_of_ten[EXACT_DIGITS_MAX + 1] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

static inline uint64_t make_word(char mark, uint64_t payload)
{
    return (uint64_t)(uint8_t)mark << 56 | payload;
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Whether a number or word may end before this byte. */
static inline bool ends_scalar(char c)
{
    return c == ',' || c == '}' || c == ']' || is_space(c);
}

/* The string at `place`; the next token is at builder->at. */
FORCE_INLINE bool put_string(struct builder *builder, uint32_t place)
{
    const char *begin = builder->text + place + 1;
    const char *quote = builder->text + *builder->at - 1;
    while (__builtin_expect(*quote != '"', 0)) {
        if (!is_space(*quote))
            return false;
        quote--;
    }
    if (__builtin_expect(quote < begin, 0))
        return false;
    uint64_t size = (uint64_t)(quote - begin);
    if (__builtin_expect(size >= JSON_SIZE_BEFORE, 0))
        return false;
    *builder->word++ = make_word('"', size << 32 | (place + 1));
    return true;
}

/* digits "." digits, together short enough that their quotient is the nearest double. */
static uint64_t *put_fraction(
    uint64_t *word, const char *at, const char *digits, uint64_t value, bool negative)
{
    const char *point = at++;
    while (is_digit(*at) && at - digits <= EXACT_DIGITS_MAX)
        value = value * 10 + (uint64_t)(*at++ - '0');
    size_t places = (size_t)(at - point - 1);
    if (places == 0 || at - digits - 1 > EXACT_DIGITS_MAX || !ends_scalar(*at))
        return NULL;
    double number = (double)value / powers_of_ten[places];
    number = negative ? -number : number;
    *word++ = make_word('d', 0);
    memcpy(word, &number, sizeof(number));
    return word + 1;
}

static uint64_t *put_number(uint64_t *word, const char *at)
{
    bool negative = *at == '-';
    at += negative;
    const char *digits = at;
    uint64_t value = 0;
    while (is_digit(*at) && at - digits < INTEGER_DIGITS_MAX)
        value = value * 10 + (uint64_t)(*at++ - '0');
    if (at == digits || (*digits == '0' && at - digits > 1))
        return NULL;
    if (*at == '.')
        return put_fraction(word, at, digits, value, negative);
    if (!ends_scalar(*at))
        return NULL;
    *word++ = make_word('l', 0);
    *word++ = negative ? 0 - value : value;
    return word;
}

static uint64_t *put_literal(uint64_t *word, const char *at, struct str literal)
{
    if (memcmp(at, literal.data, literal.size) != 0 || !ends_scalar(at[literal.size]))
        return NULL;
    *word = make_word(*at, 0);
    return word + 1;
}

/* Returns the place behind, or NULL. */
static __attribute__((noinline)) uint64_t *put_scalar(uint64_t *word, const char *at)
{
    switch (*at) {
    case 't':
        return put_literal(word, at, STR("true"));
    case 'f':
        return put_literal(word, at, STR("false"));
    case 'n':
        return put_literal(word, at, STR("null"));
    default:
        return put_number(word, at);
    }
}

FORCE_INLINE bool open_container(struct builder *builder, char end)
{
    if (builder->depth == JSON_DEPTH_MAX)
        return false;
    builder->outer[builder->depth++] =
        (struct open){builder->start, builder->count, builder->close};
    builder->start = (uint32_t)(builder->word - builder->words);
    builder->count = 0;
    builder->close = end;
    builder->word++;
    return true;
}

FORCE_INLINE void close_container(struct builder *builder)
{
    char mark = (char)(builder->close - 2); /* [ and ], { and } are two apart */
    uint64_t count = builder->count < COUNT_MAX ? builder->count : COUNT_MAX;
    *builder->word++ = make_word(builder->close, builder->start);
    builder->words[builder->start] =
        make_word(mark, count << 32 | (uint64_t)(builder->word - builder->words));
    const struct open *outer = &builder->outer[--builder->depth];
    builder->start = outer->start;
    builder->count = outer->count;
    builder->close = outer->end;
}

/* Behind a value: a comma, or the ends of containers up to one. Returns false when something else
 * stands there; the document is whole when depth is 0 then. */
FORCE_INLINE bool take_ends(struct builder *builder)
{
    builder->count++;
    while (builder->depth) {
        if (__builtin_expect(builder->at == builder->end, 0))
            return false;
        char c = builder->text[*builder->at++];
        if (c == ',')
            return true;
        if (c != builder->close)
            return false;
        close_container(builder);
        builder->count++;
    }
    return true;
}

/* A member's key and colon. */
FORCE_INLINE bool take_key(struct builder *builder)
{
    uint32_t place = *builder->at++;
    return builder->text[place] == '"' && put_string(builder, place) &&
           builder->text[*builder->at++] == ':';
}

/* A value and what follows it, up to the next member or element. */
FORCE_INLINE bool take_value(struct builder *builder)
{
    uint32_t place = *builder->at++;
    const char *at = builder->text + place;
    if (__builtin_expect(*at == '"', 1)) {
        if (!put_string(builder, place))
            return false;
    } else if (*at == '{' || *at == '[') {
        char end = (char)(*at + 2);
        if (!open_container(builder, end))
            return false;
        if (builder->text[*builder->at] != end)
            return true;
        builder->at++;
        close_container(builder);
    } else {
        builder->word = put_scalar(builder->word, at);
        if (!builder->word)
            return false;
    }
    return take_ends(builder);
}

bool json_tape_build(const struct json_tokens *tokens, uint64_t *words)
{
    struct open outer[JSON_DEPTH_MAX];
    struct builder builder = {.text = tokens->text,
        .at = tokens->places,
        .end = tokens->places + tokens->count,
        .words = words,
        .word = words + 1,
        .outer = outer};
    char first = tokens->count ? tokens->text[*tokens->places] : '\0';
    if (first != '{' && first != '[')
        return false;
    do {
        bool member = builder.close == '}';
        if (builder.end - builder.at < (member ? MEMBER_TOKENS : ELEMENT_TOKENS))
            return false;
        if (member && !take_key(&builder))
            return false;
        if (!take_value(&builder))
            return false;
    } while (builder.depth);
    if (builder.at != builder.end)
        return false;
    *builder.word++ = make_word('r', 0);
    words[0] = make_word('r', (uint64_t)(builder.word - words));
    return true;
}

void json_tape_convert(uint64_t *words, const char *strings)
{
    uint64_t end = (uint32_t)words[0];
    for (uint64_t at = 1; at < end; at++) {
        char mark = (char)(words[at] >> 56);
        if (mark == 'l' || mark == 'u' || mark == 'd')
            at++;
        if (mark != '"')
            continue;
        uint32_t offset = (uint32_t)words[at];
        uint32_t size;
        memcpy(&size, strings + offset, sizeof(size));
        uint64_t shown = size < JSON_SIZE_BEFORE ? size : JSON_SIZE_BEFORE;
        words[at] = make_word('"', shown << 32 | (offset + sizeof(size)));
    }
}
