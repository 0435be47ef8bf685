/* libphonenumber behind C. No exception leaves this file. */
#include "ingest/normalise/phone_number.h"

#include <cstdint>
#include <cstring>
#include <new>
#include <string>

#include <phonenumbers/phonenumberutil.h>

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

static const size_t out_size_max = 18;
static const int country_code_japan = 81;
static const size_t domestic_digits_min = 10;
static const size_t domestic_digits_max = 11;

static phone_number_kind kind_of(PhoneNumberUtil::PhoneNumberType type)
{
    switch (type) {
    case PhoneNumberUtil::FIXED_LINE:
    case PhoneNumberUtil::MOBILE:
    case PhoneNumberUtil::FIXED_LINE_OR_MOBILE:
    case PhoneNumberUtil::VOIP:
    case PhoneNumberUtil::PERSONAL_NUMBER:
        return PHONE_NUMBER_PERSON;
    case PhoneNumberUtil::UNKNOWN:
        return PHONE_NUMBER_NONE;
    default:
        return PHONE_NUMBER_SERVICE;
    }
}

/* Digits of a number within Japan, with '-' or ' ' between some: 0, another digit, 8 or 9 more, not
 * beginning as the prefix of a call abroad (010). Returns how many, or 0. */
static size_t domestic_digits(const char *text, size_t text_size, char digits[domestic_digits_max])
{
    size_t count = 0;
    bool between = true;
    for (size_t i = 0; i < text_size; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (!digit && (between || (text[i] != '-' && text[i] != ' ')))
            return 0;
        if (digit && count == domestic_digits_max)
            return 0;
        if (digit)
            digits[count++] = text[i];
        between = !digit;
    }
    bool domestic = !between && count >= domestic_digits_min && digits[0] == '0' &&
                    digits[1] != '0' && (digits[1] != '1' || digits[2] != '0');
    return domestic ? count : 0;
}

/* What the parser would find without its regular expressions, most of its time: the digits behind
 * the 0. It leaves the 0 where the rest is no number of Japan; of these nothing is said here. */
static phone_number_kind read_domestic(
    const char *text, size_t text_size, char *out, size_t *out_size)
{
    char digits[domestic_digits_max];
    size_t count = domestic_digits(text, text_size, digits);
    if (count == 0)
        return PHONE_NUMBER_NONE;
    uint64_t national = 0;
    for (size_t i = 1; i < count; i++)
        national = national * 10 + static_cast<uint64_t>(digits[i] - '0');
    PhoneNumber number;
    number.set_country_code(country_code_japan);
    number.set_national_number(national);
    phone_number_kind kind = kind_of(PhoneNumberUtil::GetInstance()->GetNumberType(number));
    if (kind == PHONE_NUMBER_NONE)
        return kind;
    std::memcpy(out, "+81", 3);
    std::memcpy(out + 3, digits + 1, count - 1);
    *out_size = count + 2;
    return kind;
}

static phone_number_kind parse(const char *text, size_t text_size, char *out, size_t *out_size)
{
    const PhoneNumberUtil &util = *PhoneNumberUtil::GetInstance();
    PhoneNumber number;
    if (util.Parse(std::string(text, text_size), "JP", &number) !=
        PhoneNumberUtil::NO_PARSING_ERROR)
        return PHONE_NUMBER_NONE;
    phone_number_kind kind = kind_of(util.GetNumberType(number));
    if (kind == PHONE_NUMBER_NONE)
        return PHONE_NUMBER_NONE;
    std::string formatted;
    util.Format(number, PhoneNumberUtil::E164, &formatted);
    if (formatted.size() > out_size_max)
        return PHONE_NUMBER_NONE;
    std::memcpy(out, formatted.data(), formatted.size());
    *out_size = formatted.size();
    return kind;
}

int phone_number_parse(const char *text, size_t text_size, char *out, size_t *out_size)
{
    try {
        return parse(text, text_size, out, out_size);
    } catch (const std::bad_alloc &) {
        return -1;
    }
}

int phone_number_read(const char *text, size_t text_size, char *out, size_t *out_size)
{
    try {
        phone_number_kind kind = read_domestic(text, text_size, out, out_size);
        return kind == PHONE_NUMBER_NONE ? parse(text, text_size, out, out_size) : kind;
    } catch (const std::bad_alloc &) {
        return -1;
    }
}
