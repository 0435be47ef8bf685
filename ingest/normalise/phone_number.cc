/* libphonenumber behind C. No exception leaves this file. */
#include "ingest/normalise/phone_number.h"

#include <cstring>
#include <new>
#include <string>

#include <phonenumbers/phonenumberutil.h>

using i18n::phonenumbers::PhoneNumber;
using i18n::phonenumbers::PhoneNumberUtil;

static const size_t out_size_max = 18;

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

int phone_number_read(const char *text, size_t text_size, char *out, size_t *out_size)
{
    try {
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
    } catch (const std::bad_alloc &) {
        return -1;
    }
}
