#include "deploy/attribute/text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/error.h"
#include "schemas/json.h"

void text_fixed(char *out, size_t size, double number, int digits)
{
    (void)snprintf(out, size, "%.*f", digits, number);
    if (*out == '-' && out[strspn(out, "-0.")] == 0)
        (void)snprintf(out, size, "%.*f", digits, 0.0);
}

__extension__ typedef unsigned __int128 uint128;

#define DIGITS_LIMIT ((uint128)10000000000000000u * 100000000000000u) /* 10^30: below 2^100 */
#define POWER_MAX 22 /* 10^22 is the last that a double has exactly */

/* The digits of a text as a whole number, and how many of them stand behind the point. Returns
 * false where they do not fit. */
static bool read_digits(const char *text, uint128 *digits, long *decimals)
{
    bool point = false;
    *digits = 0;
    *decimals = 0;
    for (text += *text == '-' || *text == '+'; isdigit((unsigned char)*text) || *text == '.';
         text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        if (*digits >= DIGITS_LIMIT)
            return false;
        *digits = *digits * 10 + (unsigned)(*text - '0');
        *decimals += point;
    }
    if (*text == 'e' || *text == 'E')
        *decimals -= strtol(text + 1, NULL, 10);
    for (; *decimals < 0 && *digits; ++*decimals, *digits *= 10)
        if (*digits >= DIGITS_LIMIT)
            return false;
    return *digits && *decimals <= POWER_MAX;
}

double text_decimal_rest(const char *text, double number)
{
    uint128 digits;
    long decimals;
    double power = 1;
    if (!read_digits(text, &digits, &decimals))
        return (double)(strtold(text, NULL) - number);
    for (long i = 0; i < decimals; i++)
        power *= 10;
    double product = fabs(number) * power, high = (double)digits;
    double behind = fma(fabs(number), power, -product);
    uint128 taken = (uint128)high;
    double low = digits >= taken ? (double)(digits - taken) : -(double)(taken - digits);
    double rest = ((high - product) + (low - behind)) / power;
    return number < 0 ? -rest : rest;
}

int text_append_number(struct buf *out, double number)
{
    char text[JSON_DOUBLE_SIZE_MAX];
    size_t size = json_format_double(number == 0 ? 0 : number, text);
    return buf_append(out, text, size);
}

int text_append_csv(struct buf *out, struct str text)
{
    bool quote = false;
    for (size_t i = 0; i < text.size; i++)
        quote |= text.data[i] == ',' || text.data[i] == '"' || text.data[i] == '\n' ||
                 text.data[i] == '\r';
    if (!quote)
        return buf_append_str(out, text);
    int r = buf_append(out, "\"", 1);
    for (size_t i = 0; r == 0 && i < text.size; i++)
        r = buf_append(
            out, text.data[i] == '"' ? "\"\"" : text.data + i, text.data[i] == '"' ? 2 : 1);
    return r == 0 ? buf_append(out, "\"", 1) : r;
}

int text_put(struct buf *line, FILE *out)
{
    bool written = fwrite(line->data, 1, line->size, out) == line->size;
    buf_clear(line);
    return written ? 0 : ERR_IO;
}
