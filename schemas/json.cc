/*
 * The only C++ of this room: simdjson behind extern "C". No exception leaves it (simdjson's error
 * codes are used throughout).
 *
 * simdjson demands readable bytes behind the text, so a document whose caller does not vouch for
 * them is first copied into a buffer of the parser. simdjson's first stage finds tokens and holds
 * UTF-8; the tape is json_tape_build()'s, or simdjson's second stage's where that leaves it; then
 * one pass over the tape holds each object to JSON_KEYS_MAX and to distinct keys (simdjson itself
 * holds depth and 64-bit integers). What simdjson 3.0.1 calls a string or number error is looked at
 * again to give it its name: that is the slow path.
 *
 * The tape has no longer the digits of a number. What json_tape_build() takes is kept exactly;
 * where simdjson's second stage has met a decimal, or an integer beyond int64, the numbers of the
 * text are looked at once more.
 */
#include "schemas/json.h"

#include <algorithm>
#include <cfloat>
#include <charconv>
#include <cstdlib>
#include <new>
#include <strings.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <simdjson.h>
#include <xxhash.h>

#include "schemas/error.h"
#include "schemas/json_tape.h"

static constexpr size_t TEXT_CAPACITY_MIN = 16384;
/* simdjson counts only containers that are not empty, and wants one more: the exact limit is ours.
 */
static constexpr size_t SIMDJSON_DEPTH_MAX = JSON_DEPTH_MAX + 2;
static constexpr size_t SLOTS = 2 * JSON_KEYS_MAX; /* a power of two */

static constexpr size_t SMALL_OBJECT_KEYS_MAX = 24;
static constexpr int FRACTION_DIGITS_MAX = 4;
static constexpr size_t DECIMAL_DIGITS_MAX = 20;
static constexpr int64_t DECIMAL_POWER_MAX = int64_t{1} << 40; /* so that sums do not overflow */

static_assert(JSON_INPUT_PADDING >= simdjson::SIMDJSON_PADDING, "what is promised to simdjson");
static_assert(JSON_TEXT_SIZE_MAX < UINT32_MAX, "simdjson's tape has 32-bit places");
static_assert(JSON_DECIMAL_DIGITS_MAX <= DECIMAL_DIGITS_MAX, "what is compared is kept");
static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are masked");

/* A key seen in the object that bears `stamp`. */
struct key_slot {
    uint32_t stamp;
    uint32_t at;
};

struct json_parser {
    simdjson::dom::parser parser;
    struct json_tape tape {
    };
    size_t capacity = 0; /* of simdjson's parser: bytes of a document and its padding */
    char *text = nullptr;
    size_t text_capacity = 0;
    uint64_t seed = 0; /* so that nobody can choose keys that meet in one slot */
    uint32_t stamp = 0;
    struct key_slot slots[SLOTS] = {};
};

int json_parser_new(struct json_parser **out)
{
    auto *parser = new (std::nothrow) json_parser();
    if (!parser)
        return ERR_NO_MEMORY;
    if (getrandom(&parser->seed, sizeof(parser->seed), GRND_NONBLOCK) < 0)
        parser->seed = reinterpret_cast<uintptr_t>(parser);
    *out = parser;
    return 0;
}

void json_parser_free(struct json_parser **parser)
{
    if (!*parser)
        return;
    std::free((*parser)->text);
    delete *parser;
    *parser = nullptr;
}

/* ---- naming of errors ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The end of the string that opens at `at`; `end` when none. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\')
            at++;
    }
    return at < end ? at + 1 : end;
}

/* The code unit of \uXXXX at `at`, or -1. */
static int code_unit(const char *at, const char *end)
{
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    unsigned unit = 0;
    auto result = std::from_chars(at + 2, at + 6, unit, 16);
    return result.ec == std::errc() && result.ptr == at + 6 ? static_cast<int>(unit) : -1;
}

static bool has_lone_surrogate(const char *at, const char *end)
{
    while (at < end) {
        if (*at != '\\') {
            at++;
            continue;
        }
        int unit = code_unit(at, end);
        if (unit < 0xD800 || unit > 0xDFFF) {
            at += 2;
            continue;
        }
        int next = unit <= 0xDBFF ? code_unit(at + 6, end) : -1;
        if (next < 0xDC00 || next > 0xDFFF)
            return true;
        at += 12;
    }
    return false;
}

/* The end of a number by RFC 8259's grammar, or nullptr. *whole: it has neither point nor exponent.
 */
static const char *number_end(const char *at, const char *end, bool *whole)
{
    *whole = true;
    if (at < end && *at == '-')
        at++;
    const char *digits = at;
    while (at < end && is_digit(*at))
        at++;
    if (at == digits || (*digits == '0' && at - digits > 1))
        return nullptr;
    if (at < end && *at == '.') {
        *whole = false;
        const char *fraction = ++at;
        while (at < end && is_digit(*at))
            at++;
        if (at == fraction)
            return nullptr;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        *whole = false;
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        const char *exponent = at;
        while (at < end && is_digit(*at))
            at++;
        if (at == exponent)
            return nullptr;
    }
    return at;
}

/* Whether a number by the grammar lies beyond int64 or beyond double. Too small for double is
 * not. */
static bool out_of_range(const char *at, const char *end, bool whole)
{
    if (whole) {
        int64_t integer;
        return std::from_chars(at, end, integer).ec != std::errc();
    }
    double number;
    if (std::from_chars(at, end, number).ec == std::errc())
        return false;
    /* Too large or too small: the power of ten of the first digit that counts tells which. */
    const char *mantissa_end = std::find_if(at, end, [](char c) { return c == 'e' || c == 'E'; });
    const char *point = std::find(at, mantissa_end, '.');
    const char *first = std::find_if(at, mantissa_end, [](char c) { return c >= '1' && c <= '9'; });
    long long exponent = 0;
    if (mantissa_end < end) {
        const char *from = mantissa_end + (mantissa_end[1] == '+' ? 2 : 1);
        if (std::from_chars(from, end, exponent).ec != std::errc())
            return *from != '-';
    }
    long long places = first < point ? point - first : point - first + 1;
    return places + exponent > 0;
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '-' || c == '.';
}

/* NaN, Infinity, inf, also signed, of any case: numbers in other languages, none in JSON. */
static bool is_not_finite(const char *at, const char *end)
{
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    auto size = static_cast<size_t>(end - at);
    return (size == 3 && (strncasecmp(at, "nan", 3) == 0 || strncasecmp(at, "inf", 3) == 0)) ||
           (size == 8 && strncasecmp(at, "infinity", 8) == 0);
}

/* Whether the first bad number of a text (words outside strings) is out of range, not out of
 * grammar. */
static int name_number(const char *at, const char *end)
{
    while (at < end) {
        if (*at == '"') {
            at = string_end(at, end);
            continue;
        }
        if (!is_word(*at)) {
            at++;
            continue;
        }
        const char *word = at;
        while (at < end && is_word(*at))
            at++;
        if (is_not_finite(word, at))
            return ERR_NUMBER_RANGE;
        if (*word != '-' && !is_digit(*word))
            continue;
        bool whole;
        if (number_end(word, at, &whole) != at)
            return ERR_JSON;
        if (out_of_range(word, at, whole))
            return ERR_NUMBER_RANGE;
    }
    return ERR_JSON;
}

static int name_error(simdjson::error_code error, struct str text)
{
    switch (error) {
    case simdjson::MEMALLOC:
        return ERR_NO_MEMORY;
    case simdjson::CAPACITY:
        return ERR_TOO_LARGE;
    case simdjson::EMPTY:
        return ERR_EMPTY;
    case simdjson::DEPTH_ERROR:
        return ERR_DEPTH;
    case simdjson::UTF8_ERROR:
        return ERR_UTF8;
    case simdjson::STRING_ERROR:
        return has_lone_surrogate(text.data, text.data + text.size) ? ERR_UTF8 : ERR_JSON;
    case simdjson::NUMBER_ERROR:
    case simdjson::TAPE_ERROR:
    case simdjson::N_ATOM_ERROR:
        return name_number(text.data, text.data + text.size);
    default:
        return ERR_JSON;
    }
}

/* ---- limits ---- */

/* Remembers the key of the current object; false when it stands there already. */
static bool remember_key(struct json_parser *parser, uint64_t at)
{
    struct str key = json_text({&parser->tape, at});
    uint64_t hash = XXH3_64bits_withSeed(key.data, key.size, parser->seed);
    for (size_t i = hash & (SLOTS - 1);; i = (i + 1) & (SLOTS - 1)) {
        struct key_slot *slot = &parser->slots[i];
        if (slot->stamp != parser->stamp) {
            *slot = {parser->stamp, static_cast<uint32_t>(at)};
            return true;
        }
        if (str_equal(json_text({&parser->tape, slot->at}), key))
            return false;
    }
}

static void next_stamp(struct json_parser *parser)
{
    if (++parser->stamp == 0) {
        memset(parser->slots, 0, sizeof(parser->slots));
        parser->stamp = 1;
    }
}

static int check_large_object(struct json_parser *parser, struct json object)
{
    next_stamp(parser);
    struct json_iterator iterator;
    json_iterate(object, &iterator);
    struct str key;
    struct json value;
    while (json_next(&iterator, &key, &value)) {
        if (!remember_key(parser, value.at - 1))
            return ERR_JSON;
    }
    return 0;
}

/* One of 64 bits, by the first 8 bytes and the size of a key (JSON_TEXT_PADDING allows to read
 * them). Equal keys have equal bits. */
static inline uint64_t key_bit(const char *key, uint32_t size)
{
    static constexpr uint64_t masks[] = {0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF,
        0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF, UINT64_MAX};
    uint64_t first;
    memcpy(&first, key, sizeof(first));
    first &= masks[size < 8 ? size : 8];
    return uint64_t{1} << ((first + size) * 0x9E3779B97F4A7C15U >> 58);
}

/* Whether an object has the key at `key_at` also before it. */
static bool seen_before(struct json object, uint64_t key_at)
{
    struct str wanted = json_text({object.tape, key_at});
    struct json_iterator iterator;
    json_iterate(object, &iterator);
    struct str key;
    struct json value;
    while (json_next(&iterator, &key, &value) && value.at <= key_at) {
        if (str_equal(key, wanted))
            return true;
    }
    return false;
}

/* An open container. Keys of small objects are told apart by bits: only those that share one are
 * compared. */
struct level {
    uint64_t at;
    uint64_t bits;
    bool object;
    bool small;
};

/* What an opening word makes the innermost level; large objects are checked at once. */
static int open_level(struct json_parser *parser, uint64_t at, struct level *level)
{
    uint64_t word = parser->tape.words[at];
    uint64_t count = word >> 32 & 0xFFFFFF;
    bool object = word >> 56 == '{';
    *level = {at, 0, object, count <= SMALL_OBJECT_KEYS_MAX};
    if (!object || level->small)
        return 0;
    return count > JSON_KEYS_MAX ? ERR_KEYS : check_large_object(parser, {&parser->tape, at});
}

/* A key of the level's object. */
static inline int check_key(const struct json_tape *tape, struct level *level, uint64_t at)
{
    struct str key = json_text({tape, at});
    uint64_t bit = key_bit(key.data, static_cast<uint32_t>(key.size));
    if (__builtin_expect((level->bits & bit) != 0, 0) && level->small &&
        seen_before({tape, level->at}, at))
        return ERR_JSON;
    level->bits |= bit;
    return 0;
}

/* One pass over the tape, containers on a stack. */
static int check_limits(struct json_parser *parser)
{
    const struct json_tape *tape = &parser->tape;
    const uint64_t *words = tape->words;
    auto end = static_cast<uint32_t>(words[0]) - 1; /* the root's end */
    struct level outer[JSON_DEPTH_MAX];
    struct level level = {0, 0, false, false};
    size_t depth = 0;
    for (uint64_t at = 1; at < end;) {
        uint64_t mark = words[at] >> 56;
        if (level.object && mark == '"') {
            int r = check_key(tape, &level, at);
            if (r < 0)
                return r;
            mark = words[++at] >> 56;
        }
        at++;
        if (mark == '"')
            continue;
        if (mark == '{' || mark == '[') {
            if (depth == JSON_DEPTH_MAX)
                return ERR_DEPTH;
            outer[depth++] = level;
            int r = open_level(parser, at - 1, &level);
            if (r < 0)
                return r;
        } else if (mark == '}' || mark == ']') {
            level = outer[--depth];
        } else if (mark == 'l' || mark == 'd') {
            at++;
        }
    }
    return 0;
}

/* Makes the parser ready for a document and its padding. */
static int reserve(struct json_parser *parser, size_t need)
{
    if (__builtin_expect(need <= parser->capacity, 1))
        return 0;
    size_t capacity = TEXT_CAPACITY_MIN;
    while (capacity < need)
        capacity *= 2;
    capacity = std::min(capacity, JSON_TEXT_SIZE_MAX + JSON_INPUT_PADDING);
    parser->capacity = 0;
    if (parser->parser.allocate(capacity, SIMDJSON_DEPTH_MAX) != simdjson::SUCCESS ||
        parser->parser.doc.allocate(capacity) != simdjson::SUCCESS)
        return ERR_NO_MEMORY;
    parser->capacity = capacity;
    return 0;
}

static int copy_text(struct json_parser *parser, struct str text)
{
    size_t need = text.size + JSON_INPUT_PADDING;
    if (need > parser->text_capacity) {
        size_t capacity = TEXT_CAPACITY_MIN;
        while (capacity < need)
            capacity *= 2;
        auto *bigger = static_cast<char *>(std::realloc(parser->text, capacity));
        if (!bigger)
            return ERR_NO_MEMORY;
        parser->text = bigger;
        parser->text_capacity = capacity;
    }
    memcpy(parser->text, text.data, text.size);
    memset(parser->text + text.size, 0, JSON_INPUT_PADDING);
    return 0;
}

static void note_escapes(struct json_tape *tape, struct str text)
{
    const void *escape = memchr(text.data, '\\', text.size);
    tape->escapes = escape != nullptr;
    tape->escapes_nul = false;
    if (__builtin_expect(escape != nullptr, 0)) {
        auto before = static_cast<size_t>(static_cast<const char *>(escape) - text.data);
        tape->escapes_nul = memmem(escape, text.size - before, "\\u0000", 6) != nullptr;
    }
}

/* ---- numbers that no value of a tape keeps ---- */

/* Whether a tape has a decimal, or an integer beyond int64. What a number's own word holds may look
 * like their marks: then yes too often, never too seldom. */
static bool may_lose_digits(const uint64_t *words)
{
    static constexpr uint64_t top = uint64_t{1} << 63;
    uint64_t found = 0;
    uint64_t end = words[0] & UINT32_MAX;
    for (uint64_t at = 1; at < end; at++) { /* x - 1 has the top bit only if x is 0 */
        uint64_t mark = words[at] >> 56;
        found |= ((mark ^ 'd') - 1) | ((mark ^ 'u') - 1);
    }
    return (found & top) != 0;
}

/* A decimal: 0.d1d2d3... times ten to the power of `exponent`; the first and the last digit are not
 * 0. Zero has no digits. */
struct decimal {
    char digits[DECIMAL_DIGITS_MAX];
    size_t count; /* may be more than there is room for */
    int64_t exponent;
};

/* Takes a token of RFC 8259's grammar apart. */
static struct decimal decimal_of(const char *at, const char *end)
{
    struct decimal decimal = {{}, 0, 0};
    size_t zeros = 0; /* behind the last digit that is none */
    bool behind_point = false;
    for (at += *at == '-'; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            behind_point = true;
            continue;
        }
        bool leads = decimal.count == 0 && *at == '0';
        if (leads ? behind_point : !behind_point)
            decimal.exponent += leads ? -1 : 1;
        if (leads)
            continue;
        if (*at == '0') {
            zeros++;
            continue;
        }
        for (; zeros; zeros--, decimal.count++) {
            if (decimal.count < DECIMAL_DIGITS_MAX)
                decimal.digits[decimal.count] = '0';
        }
        if (decimal.count < DECIMAL_DIGITS_MAX)
            decimal.digits[decimal.count] = *at;
        decimal.count++;
    }
    int64_t power = 0;
    if (at < end && std::from_chars(at + (at[1] == '+' ? 2 : 1), end, power).ec != std::errc())
        power = at[1] == '-' ? -DECIMAL_POWER_MAX : DECIMAL_POWER_MAX;
    decimal.exponent += std::clamp(power, -DECIMAL_POWER_MAX, DECIMAL_POWER_MAX);
    return decimal;
}

/* Whether a double, written with as many digits as a decimal has, gives the decimal. */
static bool gives_back(double value, const struct decimal *want)
{
    char text[JSON_DOUBLE_SIZE_MAX];
    auto digits = static_cast<int>(want->count);
    auto written =
        std::to_chars(text, text + sizeof(text), value, std::chars_format::scientific, digits - 1);
    if (written.ec != std::errc())
        return false;
    struct decimal got = decimal_of(text, written.ptr);
    return got.count == want->count && got.exponent == want->exponent &&
           memcmp(got.digits, want->digits, got.count) == 0;
}

/* Whether the nearest double keeps a decimal. Up to DBL_DIG digits it always does where doubles are
 * normal numbers. */
static bool decimal_kept(const char *at, const char *end)
{
    struct decimal decimal = decimal_of(at, end);
    if (decimal.count == 0)
        return true;
    if (decimal.count <= DBL_DIG && decimal.exponent > DBL_MIN_10_EXP &&
        decimal.exponent <= DBL_MAX_10_EXP)
        return true;
    double value;
    return decimal.count <= JSON_DECIMAL_DIGITS_MAX &&
           std::from_chars(at, end, value).ec == std::errc() && gives_back(value, &decimal);
}

/* Whether a document that simdjson has just parsed loses no digit of a number. Numbers start at its
 * structural indexes. */
static bool numbers_kept(const simdjson::dom::parser &parser, const char *text, size_t size)
{
    const auto *places = parser.implementation->structural_indexes.get();
    const char *end = text + size;
    for (uint32_t i = 0; i < parser.implementation->n_structural_indexes; i++) {
        const char *at = text + places[i];
        if (at >= end || (*at != '-' && !is_digit(*at)))
            continue;
        bool whole = true;
        const char *behind = number_end(at, end, &whole);
        int64_t integer;
        if (!behind)
            continue;
        if (whole ? std::from_chars(at, behind, integer).ec != std::errc()
                  : !decimal_kept(at, behind))
            return false;
    }
    return true;
}

/* The tape of a padded text: by simdjson's first stage and json_tape_build(), or, where that leaves
 * it, simdjson's second. */
static simdjson::error_code build_tape(struct json_parser *parser, struct str text)
{
    auto *stages = parser->parser.implementation.get();
    auto *document = &parser->parser.doc;
    auto error = stages->stage1(
        reinterpret_cast<const uint8_t *>(text.data), text.size, simdjson::stage1_mode::regular);
    if (error)
        return error;
    const struct json_tokens tokens = {
        text.data, stages->structural_indexes.get(), stages->n_structural_indexes};
    uint64_t *words = document->tape.get();
    parser->tape.words = words;
    parser->tape.texts = text.data;
    if (!parser->tape.escapes && json_tape_build(&tokens, words))
        return simdjson::SUCCESS;
    error = stages->stage2(*document);
    if (error)
        return error;
    parser->tape.texts = reinterpret_cast<const char *>(document->string_buf.get());
    json_tape_convert(words, parser->tape.texts);
    return simdjson::SUCCESS;
}

/* Copies the text first unless it is padded. */
static inline int parse(struct json_parser *parser, struct str text, bool padded, struct json *out)
{
    static constexpr struct str mark = {"\xEF\xBB\xBF", 3};
    if (str_starts_with(text, mark))
        text = str_make(text.data + mark.size, text.size - mark.size);
    if (text.size == 0)
        return ERR_EMPTY;
    if (text.size > JSON_TEXT_SIZE_MAX)
        return ERR_TOO_LARGE;
    int r = reserve(parser, text.size + JSON_INPUT_PADDING);
    if (r == 0 && !padded)
        r = copy_text(parser, text);
    if (r < 0)
        return r;
    note_escapes(&parser->tape, text);
    const char *readable = padded ? text.data : parser->text;
    auto error = build_tape(parser, str_make(readable, text.size));
    if (error)
        return name_error(error, text);
    bool staged = parser->tape.texts != readable; /* by simdjson's second stage */
    if (__builtin_expect(staged, 0) && may_lose_digits(parser->tape.words) &&
        !numbers_kept(parser->parser, readable, text.size))
        return ERR_NUMBER_RANGE;
    *out = {&parser->tape, 1};
    return 0;
}

int json_parse_unchecked(struct json_parser *parser, struct str text, struct json *out)
{
    return parse(parser, text, false, out);
}

int json_parse_padded(struct json_parser *parser, struct str text, struct json *out)
{
    return parse(parser, text, true, out);
}

static int parse_checked(struct json_parser *parser, struct str text, bool padded, struct json *out)
{
    struct json root = {nullptr, 0};
    int r = parse(parser, text, padded, &root);
    if (r == 0)
        r = check_limits(parser);
    if (r == 0)
        *out = root;
    return r;
}

int json_parse(struct json_parser *parser, struct str text, struct json *out)
{
    return parse_checked(parser, text, false, out);
}

int json_parse_padded_checked(struct json_parser *parser, struct str text, struct json *out)
{
    return parse_checked(parser, text, true, out);
}

/* Numbers such as 12.5 or 0.001, with at most FRACTION_DIGITS_MAX digits behind the point: as the
 * quotient of two integers that doubles hold exactly is rounded once, digits that divide back to
 * the same double read back to it. Returns nullptr for others. */
static char *format_short(double value, char *out, char *end)
{
    static constexpr double SCALED_MAX = 1e15;
    double scale = 1;
    for (int digits = 1; digits <= FRACTION_DIGITS_MAX; digits++) {
        scale *= 10;
        double scaled = value * scale;
        if (!(scaled > -SCALED_MAX && scaled < SCALED_MAX))
            return nullptr;
        auto whole = static_cast<int64_t>(scaled);
        if (whole == 0 || static_cast<double>(whole) / scale != value)
            continue;
        auto power = static_cast<int64_t>(scale);
        if (whole < 0)
            *out++ = '-';
        uint64_t magnitude =
            whole < 0 ? 0 - static_cast<uint64_t>(whole) : static_cast<uint64_t>(whole);
        out = std::to_chars(out, end, magnitude / static_cast<uint64_t>(power)).ptr;
        *out = '.';
        uint64_t rest = magnitude % static_cast<uint64_t>(power);
        for (int i = digits; i > 0; i--, rest /= 10)
            out[i] = static_cast<char>('0' + rest % 10);
        return out + 1 + digits;
    }
    return nullptr;
}

size_t json_format_double(double value, char out[JSON_DOUBLE_SIZE_MAX])
{
    char *end = format_short(value, out, out + JSON_DOUBLE_SIZE_MAX);
    if (end)
        return static_cast<size_t>(end - out);
    end = std::to_chars(out, out + JSON_DOUBLE_SIZE_MAX - 2, value).ptr;
    auto size = static_cast<size_t>(end - out);
    if (memchr(out, '.', size) || memchr(out, 'e', size))
        return size;
    if (size - (*out == '-') > JSON_DECIMAL_DIGITS_MAX) { /* more than reading would take */
        end = std::to_chars(out, out + JSON_DOUBLE_SIZE_MAX, value, std::chars_format::scientific)
                  .ptr;
        return static_cast<size_t>(end - out);
    }
    memcpy(end, ".0", 2);
    return size + 2;
}

bool json_utf8_valid(struct str text)
{
    return text.size == 0 || simdjson::validate_utf8(text.data, text.size);
}
