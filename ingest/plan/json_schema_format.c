/* Formats that assert. Dates by the calendar; addresses by their grammar, not by who has them. */
#include <arpa/inet.h>
#include <string.h>

#include "ingest/plan/json_schema_private.h"

#define HOST_LABEL_SIZE_MAX 63
#define ADDRESS_SIZE_MAX 254 /* Source: RFC 5321, 4.5.3.1.3, less the brackets */
#define LOCAL_SIZE_MAX 64

const char *const json_schema_formats[FORMAT_COUNT] = {
    "", "date-time", "date", "email", "uuid", "ipv4", "ipv6", "uri"};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Two or four digits at a place; -1 for anything else. */
static int number_at(struct str text, size_t at, size_t digits)
{
    int number = 0;
    if (at + digits > text.size)
        return -1;
    for (size_t i = at; i < at + digits; i++) {
        if (!is_digit(text.data[i]))
            return -1;
        number = number * 10 + (text.data[i] - '0');
    }
    return number;
}

/* Source: RFC 3339, 5.6 full-date. */
static bool is_date(struct str text)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (text.size != 10 || text.data[4] != '-' || text.data[7] != '-')
        return false;
    int year = number_at(text, 0, 4), month = number_at(text, 5, 2), day = number_at(text, 8, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap);
}

/* "Z" or "+09:00"; *minutes it is ahead of UTC. */
static bool is_offset(struct str text, int *minutes)
{
    *minutes = 0;
    if (text.size == 1)
        return text.data[0] == 'Z' || text.data[0] == 'z';
    if (text.size != 6 || (text.data[0] != '+' && text.data[0] != '-') || text.data[3] != ':')
        return false;
    int hours = number_at(text, 1, 2), rest = number_at(text, 4, 2);
    *minutes = (hours * 60 + rest) * (text.data[0] == '-' ? -1 : 1);
    return hours >= 0 && hours < 24 && rest >= 0 && rest < 60;
}

/* Source: RFC 3339, 5.6 date-time; a leap second is the last of a day in UTC (5.7). */
static bool is_date_time(struct str text)
{
    if (text.size < 20 || !is_date(str_make(text.data, 10)) ||
        (text.data[10] != 'T' && text.data[10] != 't') || text.data[13] != ':' ||
        text.data[16] != ':')
        return false;
    int hour = number_at(text, 11, 2), minute = number_at(text, 14, 2);
    int second = number_at(text, 17, 2), ahead = 0;
    size_t at = 19;
    if (text.data[at] == '.') {
        while (++at < text.size && is_digit(text.data[at]))
            ;
        if (at == 20)
            return false;
    }
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 ||
        !is_offset(str_make(text.data + at, text.size - at), &ahead))
        return false;
    int utc = ((hour * 60 + minute - ahead) % 1440 + 1440) % 1440;
    return second < 60 || utc == 1439;
}

/* Labels of letters, digits and hyphens within, at least one dot-separated part. */
static bool is_host(struct str text)
{
    size_t begin = 0;
    for (size_t i = 0; i <= text.size; i++) {
        char c = i < text.size ? text.data[i] : '.';
        if (c != '.') {
            if (!is_letter(c) && !is_digit(c) && c != '-' && !((unsigned char)c & 0x80))
                return false;
            continue;
        }
        size_t size = i - begin;
        if (size == 0 || size > HOST_LABEL_SIZE_MAX || text.data[begin] == '-' ||
            text.data[i - 1] == '-')
            return false;
        begin = i + 1;
    }
    return text.size != 0;
}

/* A dot-atom before the sign, or a quoted string; a host behind it. Source: RFC 5321, 4.1.2. */
static bool is_email(struct str text)
{
    const char *sign = text.size ? memrchr(text.data, '@', text.size) : NULL;
    if (!sign || text.size > ADDRESS_SIZE_MAX)
        return false;
    struct str local = str_make(text.data, (size_t)(sign - text.data));
    struct str host = str_make(sign + 1, text.size - local.size - 1);
    if (local.size == 0 || local.size > LOCAL_SIZE_MAX || !is_host(host))
        return false;
    if (local.size > 2 && local.data[0] == '"' && local.data[local.size - 1] == '"')
        return true;
    bool dot = true;
    for (size_t i = 0; i < local.size; i++) {
        char c = local.data[i];
        bool atom = is_letter(c) || is_digit(c) || ((unsigned char)c & 0x80) ||
                    (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
        if (c == '.' ? dot : !atom)
            return false;
        dot = c == '.';
    }
    return !dot;
}

/* Source: RFC 9562, 4. */
static bool is_uuid(struct str text)
{
    if (text.size != 36)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (hyphen ? text.data[i] != '-' : !is_hex(text.data[i]))
            return false;
    }
    return true;
}

static bool is_address(struct str text, int family)
{
    char copy[INET6_ADDRSTRLEN];
    unsigned char bytes[sizeof(struct in6_addr)];
    if (text.size == 0 || text.size >= sizeof copy || memchr(text.data, '\0', text.size))
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    return inet_pton(family, copy, bytes) == 1;
}

/* Source: RFC 3986, 4.3 and appendix A: a scheme, and what may stand behind it. */
static bool is_uri(struct str text)
{
    size_t i = 0;
    for (; i < text.size && text.data[i] != ':'; i++) {
        char c = text.data[i];
        if (!is_letter(c) && (i == 0 || (!is_digit(c) && c != '+' && c != '-' && c != '.')))
            return false;
    }
    if (i == 0 || i + 1 >= text.size)
        return false;
    for (i++; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%' &&
            (i + 2 >= text.size || !is_hex(text.data[i + 1]) || !is_hex(text.data[i + 2])))
            return false;
        if (c <= ' ' || c >= '\x7f' || strchr("\"<>\\^`{|}", c))
            return false;
    }
    return true;
}

bool json_schema_format_holds(enum format format, struct str text)
{
    switch (format) {
    case FORMAT_DATE_TIME:
        return is_date_time(text);
    case FORMAT_DATE:
        return is_date(text);
    case FORMAT_EMAIL:
        return is_email(text);
    case FORMAT_UUID:
        return is_uuid(text);
    case FORMAT_IPV4:
        return is_address(text, AF_INET);
    case FORMAT_IPV6:
        return is_address(text, AF_INET6);
    case FORMAT_URI:
        return is_uri(text);
    case FORMAT_NONE:
    case FORMAT_COUNT:
        break;
    }
    return true;
}
