#include "schemas/money.h"

#include "schemas/error.h"

#define CURRENCY_CODE_SIZE 3
#define CURRENCY_ENTRY_SIZE 4 /* code and its exponent digit */
#define EXPONENT_MAX 4
#define SURE_DIGITS 18 /* that do not overflow an int64 */

/* Sorted by code. */
/* clang-format off */
static const char currencies[] =
    "AED2AFN2ALL2AMD2ANG2AOA2ARS2AUD2AWG2AZN2BAM2BBD2BDT2BGN2BHD3BIF0"
    "BMD2BND2BOB2BOV2BRL2BSD2BTN2BWP2BYN2BYR0BZD2CAD2CDF2CHE2CHF2CHW2"
    "CLF4CLP0CNY2COP2COU2CRC2CUC2CUP2CVE2CZK2DJF0DKK2DOP2DZD2EGP2ERN2"
    "ETB2EUR2FJD2FKP2GBP2GEL2GHS2GIP2GMD2GNF0GTQ2GYD2HKD2HNL2HRK2HTG2"
    "HUF2IDR2ILS2INR2IQD3IRR2ISK0JMD2JOD3JPY0KES2KGS2KHR2KMF0KPW2KRW0"
    "KWD3KYD2KZT2LAK2LBP2LKR2LRD2LSL2LYD3MAD2MDL2MGA2MKD2MMK2MNT2MOP2"
    "MRU2MUR2MVR2MWK2MXN2MXV2MYR2MZN2NAD2NGN2NIO2NOK2NPR2NZD2OMR3PAB2"
    "PEN2PGK2PHP2PKR2PLN2PYG0QAR2RON2RSD2RUB2RWF0SAR2SBD2SCR2SDG2SEK2"
    "SGD2SHP2SLE2SLL2SOS2SRD2SSP2STN2SVC2SYP2SZL2THB2TJS2TMT2TND3TOP2"
    "TRY2TTD2TWD2TZS2UAH2UGX0USD2USN2UYI0UYU2UYW4UZS2VED2VEF2VES2VND0"
    "VUV0WST2XAD2XAF0XCD2XCG2XOF0XPF0YER2ZAR2ZMW2ZWG2ZWL2";
/* clang-format on */

static const int64_t powers_of_ten[EXPONENT_MAX + 1] = {1, 10, 100, 1000, 10000};

/* Three bytes as a number, in their order. */
static uint32_t code_number(const char *code)
{
    return (uint32_t)(uint8_t)code[0] << 16 | (uint32_t)(uint8_t)code[1] << 8 | (uint8_t)code[2];
}

int money_exponent(struct str currency)
{
    if (currency.size != CURRENCY_CODE_SIZE)
        return ERR_CURRENCY;
    uint32_t wanted = code_number(currency.data);
    size_t low = 0;
    size_t high = (sizeof(currencies) - 1) / CURRENCY_ENTRY_SIZE;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *entry = currencies + middle * CURRENCY_ENTRY_SIZE;
        uint32_t code = code_number(entry);
        if (wanted == code)
            return entry[CURRENCY_CODE_SIZE] - '0';
        if (wanted < code)
            high = middle;
        else
            low = middle + 1;
    }
    return ERR_CURRENCY;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* value = value * 10 - digit: negative all the way, so that the smallest int64 is reached too. */
static bool push_digit(int64_t *value, int digit)
{
    return !__builtin_mul_overflow(*value, (int64_t)10, value) &&
           !__builtin_sub_overflow(*value, (int64_t)digit, value);
}

/* The digits after the point, filled up to `exponent` of them. */
static int push_fraction(const char *at, const char *end, int exponent, int64_t *value)
{
    int digits = 0;
    bool fits = true;
    int error = 0;
    for (; at < end; at++, digits++) {
        if (!is_digit(*at))
            return ERR_MONEY;
        if (digits < exponent)
            fits = fits && push_digit(value, *at - '0');
        else if (*at != '0')
            error = ERR_MONEY_PRECISION;
    }
    for (; digits < exponent; digits++)
        fits = fits && push_digit(value, 0);
    if (error)
        return error;
    return fits ? 0 : ERR_NUMBER_RANGE;
}

int money_parse_exponent(struct str text, int exponent, int64_t *minor)
{
    check(exponent >= 0 && exponent <= EXPONENT_MAX);
    const char *at = text.data;
    const char *end = text.data + text.size;
    bool negative = false;
    if (at < end && (*at == '-' || *at == '+'))
        negative = *at++ == '-';
    const char *digits = at;
    int64_t value = 0;
    bool fits = true;
    const char *sure = end - at > SURE_DIGITS ? at + SURE_DIGITS : end;
    for (; at < sure && is_digit(*at); at++)
        value = value * 10 - (*at - '0');
    for (; at < end && is_digit(*at); at++)
        fits = fits && push_digit(&value, *at - '0');
    size_t digits_count = (size_t)(at - digits);
    if (at < end && *at == '.') {
        at++;
        digits_count += (size_t)(end - at);
    } else if (at < end) {
        return ERR_MONEY;
    }
    if (digits_count == 0)
        return ERR_MONEY;
    int r = push_fraction(at, end, exponent, &value);
    if (r < 0)
        return r;
    if (!fits || (!negative && value == INT64_MIN))
        return ERR_NUMBER_RANGE;
    *minor = negative ? value : -value;
    return 0;
}

int money_parse(struct str text, struct str currency, int64_t *minor)
{
    int exponent = money_exponent(currency);
    if (exponent < 0)
        return exponent;
    return money_parse_exponent(text, exponent, minor);
}

int money_from_major(int64_t major, int exponent, int64_t *minor)
{
    check(exponent >= 0 && exponent <= EXPONENT_MAX);
    int64_t value;
    if (__builtin_mul_overflow(major, powers_of_ten[exponent], &value))
        return ERR_NUMBER_RANGE;
    *minor = value;
    return 0;
}

size_t money_format(int64_t minor, struct str currency, char out[MONEY_TEXT_SIZE_MAX])
{
    int exponent = money_exponent(currency);
    if (exponent < 0)
        exponent = 0;
    char reversed[MONEY_TEXT_SIZE_MAX];
    int count = 0;
    uint64_t rest = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;
    for (int digit = 0; rest || digit <= exponent; digit++) {
        if (exponent && digit == exponent)
            reversed[count++] = '.';
        reversed[count++] = (char)('0' + rest % 10);
        rest /= 10;
    }
    size_t size = 0;
    if (minor < 0)
        out[size++] = '-';
    while (count)
        out[size++] = reversed[--count];
    out[size] = '\0';
    return size;
}
