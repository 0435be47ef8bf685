/* Decimals are kept or refused, never rounded: what libc prints of random doubles, with any number
 * of digits up to 17, is read as the nearest double; a random decimal is read if and only if libc
 * prints it again with as many digits, and what is stored reads back to the same double. */
#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/json.h"
#include "tests/property/random.h"

#define CASES 200000
#define TEXT_SIZE_MAX 64

static struct random source;

static double any_double(void)
{
    for (;;) {
        uint64_t bits = random_next(&source);
        double value;
        if (random_once_in(&source, 8)) /* a subnormal */
            bits &= (UINT64_C(1) << 63) | (UINT64_MAX >> (12 + random_below(&source, 52)));
        memcpy(&value, &bits, sizeof(value));
        if (__builtin_isfinite(value))
            return value;
    }
}

/* The digits that count, the first of them at out[0]. Returns their number. */
static int digits_of(const char *text, char out[TEXT_SIZE_MAX])
{
    int count = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text >= '0' && *text <= '9' && (count || *text != '0'))
            out[count++] = *text;
    }
    while (count && out[count - 1] == '0')
        count--;
    out[count] = '\0';
    return count;
}

/* By libc: whether the nearest double gives a decimal back. */
static bool wanted(const char *text)
{
    char digits[TEXT_SIZE_MAX];
    char printed[TEXT_SIZE_MAX];
    char again[TEXT_SIZE_MAX];
    double value = strtod(text, NULL);
    int count = digits_of(text, digits);
    if (count == 0)
        return true;
    if (count > JSON_DECIMAL_DIGITS_MAX || value == 0 || !__builtin_isfinite(value))
        return false;
    (void)snprintf(printed, sizeof(printed), "%.*e", count - 1, value);
    return digits_of(printed, again) == count && strcmp(digits, again) == 0;
}

/* A decimal of up to 20 digits, near a double or not. */
static void any_decimal(char out[TEXT_SIZE_MAX])
{
    int digits = 1 + (int)random_below(&source, 20);
    int size;
    if (random_once_in(&source, 2))
        size = snprintf(out, TEXT_SIZE_MAX, "%.*e", digits - 1, any_double());
    else
        size = snprintf(out, TEXT_SIZE_MAX, "%.*f", (int)random_below(&source, 8),
            (double)(int64_t)random_next(&source) / 1024);
    if (random_once_in(&source, 2)) { /* another digit somewhere before the exponent */
        const char *exponent = strchr(out, 'e');
        int end = exponent ? (int)(exponent - out) : size;
        int place = end - 1 - (int)random_below(&source, 3);
        if (place > 0 && out[place] > '0' && out[place] <= '9')
            out[place] = (char)('1' + random_below(&source, 9));
    }
}

/* Whether what is read is the double that libc reads, and stays it when it is written. */
static bool keeps(struct json_parser *parser, struct json root, const char *text)
{
    double want = strtod(text, NULL);
    CLEANUP(buf_free) struct buf out = {0};
    if (json_kind(root) != JSON_DOUBLE)
        return true; /* without point and exponent: an integer */
    double got = json_double(root);
    if (memcmp(&got, &want, sizeof(got)) != 0)
        return false;
    check(json_write_canonical(root, &out) == 0);
    if (json_parse(parser, buf_str(&out), &root) < 0)
        return false;
    got = json_double(root);
    return memcmp(&got, &want, sizeof(got)) == 0;
}

/* Parses a number alone, or as the element of an array, which is another way to the tape. */
static int parse(struct json_parser *parser, const char *text, struct json *out)
{
    char array[TEXT_SIZE_MAX + 3];
    struct json root;
    if (random_once_in(&source, 2))
        return json_parse(parser, str_of(text), out);
    (void)snprintf(array, sizeof(array), "[%s]", text);
    int r = json_parse(parser, str_of(array), &root);
    struct json_iterator iterator;
    struct str none;
    if (r == 0) {
        json_iterate(root, &iterator);
        check(json_next(&iterator, &none, out));
    }
    return r;
}

static bool printed_is_kept(struct json_parser *parser)
{
    char text[TEXT_SIZE_MAX];
    struct json root;
    double value = any_double();
    (void)snprintf(text, sizeof(text), "%.*e", (int)random_below(&source, 17), value);
    if (!__builtin_isfinite(strtod(text, NULL))) /* rounded up beyond the largest */
        return true;
    if (parse(parser, text, &root) == 0 && keeps(parser, root, text))
        return true;
    printf("not kept: %s\n", text);
    return false;
}

static bool decimal_is_judged(struct json_parser *parser)
{
    char text[TEXT_SIZE_MAX];
    struct json root;
    any_decimal(text);
    if (!strpbrk(text, ".e"))
        return true;
    int r = parse(parser, text, &root);
    bool same = wanted(text) ? r == 0 && keeps(parser, root, text) : r == ERR_NUMBER_RANGE;
    if (!same)
        printf("%s: %s\n", text, r ? error_name(r) : "read");
    return same;
}

int main(void)
{
    CLEANUP(json_parser_free) struct json_parser *parser = NULL;
    source = random_begin();
    check(json_parser_new(&parser) == 0);
    int good = 0;
    while (good < CASES && printed_is_kept(parser) && decimal_is_judged(parser))
        good++;
    printf("%d of %d kept or refused\n", good, CASES);
    return good == CASES ? 0 : 1;
}
