/* Japan's habits before libphonenumber sees a number. */
#include "ingest/normalise/phone.h"

#include "ingest/normalise/phone_number.h"
#include "schemas/error.h"

#define TEXT_SIZE_MAX 64 /* a number with all its decoration */
#define CALLER_ID_PREFIX_SIZE 3
#define DIGITS_MAX 32

/* Digits of the ASCII text, at most DIGITS_MAX + 1 of them. */
static size_t digits_of(struct str text, char *digits)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size && count <= DIGITS_MAX; i++)
        if (text.data[i] >= '0' && text.data[i] <= '9')
            digits[count++] = text.data[i];
    return count;
}

static bool has_plus(struct str text)
{
    return memchr(text.data, '+', text.size) != NULL;
}

/* 184 (hide) and 186 (show) are dialled before a number, which then begins with its 0.
 * Source: NTT's caller id service. */
static struct str without_caller_id_prefix(struct str digits)
{
    if (digits.size > CALLER_ID_PREFIX_SIZE && digits.data[CALLER_ID_PREFIX_SIZE] == '0' &&
        (str_starts_with(digits, STR("184")) || str_starts_with(digits, STR("186"))))
        return str_make(digits.data + CALLER_ID_PREFIX_SIZE, digits.size - CALLER_ID_PREFIX_SIZE);
    return digits;
}

/* Ranges that the library of Debian 12 (2022) does not know: 060 is mobile since 2024. Gives the
 * number without its 0 or +81, or an empty slice when it is none of these.
 * Source: Ministry of Internal Affairs and Communications, numbering plan. */
static struct str new_mobile(struct str digits, bool international)
{
    size_t at = 0;
    if (international && str_starts_with(digits, STR("81")))
        at = 2;
    else if (international)
        return STR("");
    if (at < digits.size && digits.data[at] == '0')
        at++;
    else if (!international)
        return STR("");
    struct str rest = str_make(digits.data + at, digits.size - at);
    bool found = rest.size == 10 && str_starts_with(rest, STR("60")) && rest.data[2] != '0';
    return found ? rest : STR("");
}

/* What call platforms put in place of a withheld caller; all but one could not exist anyway.
 * Source: Twilio, "Handling calls with unknown caller ids". */
static bool is_withheld(struct str number)
{
    static const struct str withheld[] = {STR_INIT("+266696687"), STR_INIT("+7378742833"),
        STR_INIT("+2562533"), STR_INIT("+8656696"), STR_INIT("+86282452253")};
    for (size_t i = 0; i < sizeof withheld / sizeof *withheld; i++)
        if (str_equal(number, withheld[i]))
            return true;
    return false;
}

int phone_normalise(struct str text, char out[PHONE_SIZE_MAX], size_t *size)
{
    if (text.size == 0 || text.size > TEXT_SIZE_MAX)
        return PHONE_MALFORMED;
    char buffer[DIGITS_MAX + 1];
    struct str digits = str_make(buffer, digits_of(text, buffer));
    if (digits.size == 0 || digits.size > DIGITS_MAX)
        return PHONE_MALFORMED;
    struct str national = without_caller_id_prefix(digits);
    struct str mobile = new_mobile(national, has_plus(text));
    if (mobile.size) {
        memcpy(out, "+81", 3);
        memcpy(out + 3, mobile.data, mobile.size);
        *size = mobile.size + 3;
        return 0;
    }
    char number[TEXT_SIZE_MAX];
    size_t number_size = 0;
    struct str dialled = national.size != digits.size ? national : text;
    int kind = phone_number_read(dialled.data, dialled.size, number, &number_size);
    if (kind < 0)
        return ERR_NO_MEMORY;
    if (kind == PHONE_NUMBER_NONE || number_size > PHONE_SIZE_MAX ||
        is_withheld(str_make(number, number_size)))
        return PHONE_MALFORMED;
    if (kind == PHONE_NUMBER_SERVICE)
        return PHONE_SHARED;
    memcpy(out, number, number_size);
    *size = number_size;
    return 0;
}
