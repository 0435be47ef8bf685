/* Amounts are read from their decimal text; see the header for the one exception. */
#include "ingest/collector/protocol/amount.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/money.h"

#define AMOUNT_TEXT_SIZE_MAX 40
#define EXACT_DOUBLE_MAX 9007199254740992.0 /* 2^53 */
/* How far, relative, sums of a few doubles may stray from the decimal that was meant. */
#define NOISE 1e-12

/* The minor units nearest to a double that has more digits than its currency only by noise. */
static int read_noisy(double value, struct str currency, int64_t *minor)
{
    double scaled = value * pow(10, money_exponent(currency));
    double nearest = nearbyint(scaled);
    if (!(fabs(nearest) < EXACT_DOUBLE_MAX) ||
        fabs(scaled - nearest) > NOISE * fmax(1.0, fabs(nearest)))
        return ERR_MONEY_PRECISION;
    *minor = (int64_t)nearest;
    return 0;
}

int amount_read(struct json value, struct str currency, int64_t *minor)
{
    char text[AMOUNT_TEXT_SIZE_MAX];
    switch (json_kind(value)) {
    case JSON_TEXT:
        return money_parse(json_text(value), currency, minor);
    case JSON_INT: {
        int size = snprintf(text, sizeof text, "%" PRId64, json_int(value));
        return money_parse(str_make(text, (size_t)size), currency, minor);
    }
    case JSON_DOUBLE: {
        _Static_assert(AMOUNT_TEXT_SIZE_MAX >= JSON_DOUBLE_SIZE_MAX, "room for a double");
        size_t size = json_format_double(json_double(value), text);
        int r = money_parse(str_make(text, size), currency, minor);
        if (r == ERR_MONEY_PRECISION || r == ERR_MONEY) /* more digits, or an exponent */
            r = read_noisy(json_double(value), currency, minor);
        return r;
    }
    default:
        return ERR_FIELD_TYPE;
    }
}

/* A number as JavaScript writes it, and no other that strtod() knows. */
static bool is_number(struct str text)
{
    if (text.size == 0 || text.size >= AMOUNT_TEXT_SIZE_MAX)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (!memchr("0123456789+-.eE", text.data[i], 15))
            return false;
    return true;
}

int amount_read_number(struct str text, struct str currency, int64_t *minor)
{
    char copy[AMOUNT_TEXT_SIZE_MAX];
    char *end;
    int r = money_parse(text, currency, minor);
    if ((r != ERR_MONEY_PRECISION && r != ERR_MONEY) || !is_number(text))
        return r;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    double value = strtod(copy, &end);
    return end == copy + text.size ? read_noisy(value, currency, minor) : r;
}

int amount_currency(struct str text, struct arena *arena, struct str *out)
{
    char *upper = arena_alloc(arena, CURRENCY_SIZE);
    if (!upper)
        return ERR_NO_MEMORY;
    if (text.size != CURRENCY_SIZE)
        return ERR_CURRENCY;
    for (size_t i = 0; i < CURRENCY_SIZE; i++)
        upper[i] = (char)(text.data[i] >= 'a' && text.data[i] <= 'z' ? text.data[i] - ('a' - 'A')
                                                                     : text.data[i]);
    if (money_exponent(str_make(upper, CURRENCY_SIZE)) < 0)
        return ERR_CURRENCY;
    *out = str_make(upper, CURRENCY_SIZE);
    return 0;
}
