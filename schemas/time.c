/*
 * Days are counted by civil-calendar arithmetic in eras of 400 years whose year starts in March, so
 * that the leap day is the last of its year. Source: H. Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms" (the well-known days_from_civil formulas).
 */
#include "schemas/time.h"

#include "schemas/error.h"

#define DAYS_PER_ERA 146097
#define DAYS_0000_03_01_TO_1970 719468
#define SECONDS_PER_DAY 86400
#define FRACTION_DIGITS_MAX 6
#define OFFSET_HOURS_MAX 23
#define EXPANDED_YEAR_DIGITS_MAX 6

/* A reader of digits: `at` never passes `end`. */
struct scan {
    const char *at;
    const char *end;
};

struct civil {
    int64_t year;
    int month;
    int day;
    int hour;
    int minute;
    int second;
    int64_t micros;
};

static int64_t days_from_civil(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_0000_03_01_TO_1970;
}

static void civil_from_days(int64_t days, struct civil *out)
{
    days += DAYS_0000_03_01_TO_1970;
    int64_t era = (days >= 0 ? days : days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (int)((5 * day_of_year + 2) / 153);
    out->day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    out->month = month_from_march + (month_from_march < 10 ? 3 : -9);
    out->year = year_of_era + era * 400 + (out->month <= 2);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int64_t year, int month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && leap(year) ? 29 : days[month - 1];
}

/* Exactly `count` digits. */
static bool scan_digits(struct scan *scan, int count, int *out)
{
    if (scan->end - scan->at < count)
        return false;
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit(scan->at[i]))
            return false;
        value = value * 10 + (scan->at[i] - '0');
    }
    scan->at += count;
    *out = value;
    return true;
}

/* One of the characters of `any`. */
static bool scan_any(struct scan *scan, const char *any)
{
    for (; scan->at < scan->end && *any; any++) {
        if (*scan->at == *any) {
            scan->at++;
            return true;
        }
    }
    return false;
}

static bool scan_year(struct scan *scan, int64_t *year)
{
    int digits = 4;
    bool negative = scan->at < scan->end && *scan->at == '-';
    if (scan_any(scan, "+-")) {
        digits = 0;
        while (digits <= EXPANDED_YEAR_DIGITS_MAX && scan->at + digits < scan->end &&
               is_digit(scan->at[digits]))
            digits++;
        if (digits < 4 || digits > EXPANDED_YEAR_DIGITS_MAX)
            return false;
    }
    int value;
    if (!scan_digits(scan, digits, &value))
        return false;
    *year = negative ? -value : value;
    return true;
}

static bool scan_date(struct scan *scan, const char *separators, struct civil *out)
{
    if (!scan_year(scan, &out->year) || !scan_any(scan, separators))
        return false;
    char separator[2] = {scan->at[-1], '\0'};
    if (!scan_digits(scan, 2, &out->month) || !scan_any(scan, separator) ||
        !scan_digits(scan, 2, &out->day))
        return false;
    return out->month >= 1 && out->month <= 12 && out->day >= 1 &&
           out->day <= days_in_month(out->year, out->month);
}

static bool scan_fraction(struct scan *scan, int64_t *micros)
{
    int64_t value = 0;
    int digits = 0;
    for (; scan->at < scan->end && is_digit(*scan->at); scan->at++, digits++) {
        if (digits < FRACTION_DIGITS_MAX)
            value = value * 10 + (*scan->at - '0');
    }
    for (int i = digits; i < FRACTION_DIGITS_MAX; i++)
        value *= 10;
    *micros = value;
    return digits > 0;
}

/* HH:MM[:SS[.frac]]; the seconds may be absent only where `loose`. */
static bool scan_clock(struct scan *scan, bool loose, struct civil *out)
{
    if (!scan_digits(scan, 2, &out->hour) || !scan_any(scan, ":") ||
        !scan_digits(scan, 2, &out->minute) || out->hour > 23 || out->minute > 59)
        return false;
    if (!scan_any(scan, ":"))
        return loose;
    if (!scan_digits(scan, 2, &out->second) || out->second > 60)
        return false;
    if (scan_any(scan, ".") && !scan_fraction(scan, &out->micros))
        return false;
    if (out->second == 60)
        out->micros = 0;
    return true;
}

/* Z or +HH:MM. */
static bool scan_offset(struct scan *scan, int32_t *seconds)
{
    if (scan_any(scan, "Zz")) {
        *seconds = 0;
        return true;
    }
    int hours, minutes;
    if (!scan_any(scan, "+-"))
        return false;
    int sign = scan->at[-1] == '-' ? -1 : 1;
    if (!scan_digits(scan, 2, &hours) || !scan_any(scan, ":") || !scan_digits(scan, 2, &minutes) ||
        hours > OFFSET_HOURS_MAX || minutes > 59)
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* Also what exports write: a space before, no colon, hours alone, UTC. */
static bool scan_loose_offset(struct scan *scan, int32_t *seconds)
{
    (void)scan_any(scan, " ");
    struct scan strict = *scan;
    if (scan_offset(&strict, seconds)) {
        *scan = strict;
        return true;
    }
    if (scan->end - scan->at == 3 && memcmp(scan->at, "UTC", 3) == 0) {
        scan->at = scan->end;
        *seconds = 0;
        return true;
    }
    int hours, minutes = 0;
    if (!scan_any(scan, "+-"))
        return false;
    int sign = scan->at[-1] == '-' ? -1 : 1;
    if (!scan_digits(scan, 2, &hours) || hours > OFFSET_HOURS_MAX)
        return false;
    if (scan->at < scan->end && (!scan_digits(scan, 2, &minutes) || minutes > 59))
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static int to_micros(const struct civil *civil, int32_t offset_seconds, int64_t *micros)
{
    int64_t seconds = days_from_civil(civil->year, civil->month, civil->day) * SECONDS_PER_DAY +
                      civil->hour * 3600 + civil->minute * 60 + civil->second - offset_seconds;
    int64_t value;
    /* Before 1970 the product alone may be out of range where the sum is not: add one second and
     * take it back from the fraction. */
    int64_t fraction = civil->micros;
    if (seconds < 0) {
        seconds += 1;
        fraction -= TIME_MICROS_PER_SECOND;
    }
    if (__builtin_mul_overflow(seconds, TIME_MICROS_PER_SECOND, &value) ||
        __builtin_add_overflow(value, fraction, &value))
        return ERR_TIME;
    *micros = value;
    return 0;
}

#define NO_DIGITS (-10000)

/* Two digits, or a number so negative that what is made of it stays so. */
static inline int two_digits(const char *at)
{
    int tens = at[0] - '0';
    int ones = at[1] - '0';
    return (unsigned)tens <= 9 && (unsigned)ones <= 9 ? tens * 10 + ones : NO_DIGITS;
}

/* What nearly all clients write: YYYY-MM-DDTHH:MM:SS, then Z or .mmmZ or .mmm+HH:MM. False for
 * anything else, be it good or bad. */
static bool parse_usual(struct str text, struct civil *civil, int32_t *offset_seconds)
{
    const char *at = text.data;
    bool fraction = text.size >= 24 && at[19] == '.';
    size_t zone = fraction ? 23 : 19;
    if (text.size != zone + 1 && text.size != zone + 6)
        return false;
    if (at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':' || at[16] != ':')
        return false;
    int hundreds = two_digits(at);
    civil->year = hundreds * 100 + two_digits(at + 2);
    civil->month = two_digits(at + 5);
    civil->day = two_digits(at + 8);
    civil->hour = two_digits(at + 11);
    civil->minute = two_digits(at + 14);
    civil->second = two_digits(at + 17);
    int millis = fraction ? two_digits(at + 20) * 10 + (at[22] - '0') : 0;
    bool good = hundreds >= 0 && civil->year >= 0 && civil->month >= 1 && civil->month <= 12 &&
                civil->day >= 1 && civil->hour >= 0 && civil->hour <= 23 && civil->minute >= 0 &&
                civil->minute <= 59 && civil->second >= 0 && civil->second <= 59 && millis >= 0;
    if (!good || (fraction && (at[22] < '0' || at[22] > '9')) ||
        civil->day > days_in_month(civil->year, civil->month))
        return false;
    civil->micros = millis * TIME_MICROS_PER_MILLI;
    *offset_seconds = 0;
    if (text.size == zone + 1)
        return at[zone] == 'Z';
    int hours = two_digits(at + zone + 1);
    int minutes = two_digits(at + zone + 4);
    *offset_seconds = (at[zone] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return (at[zone] == '+' || at[zone] == '-') && at[zone + 3] == ':' && hours >= 0 &&
           hours <= OFFSET_HOURS_MAX && minutes >= 0 && minutes <= 59;
}

int time_parse(struct str text, int64_t *micros)
{
    struct civil usual = {0};
    int32_t usual_offset = 0;
    if (parse_usual(text, &usual, &usual_offset))
        return to_micros(&usual, usual_offset, micros);
    struct scan scan = {text.data, text.data + text.size};
    struct civil civil = {0};
    int32_t offset_seconds;
    if (!scan_date(&scan, "-", &civil) || !scan_any(&scan, "Tt ") ||
        !scan_clock(&scan, false, &civil) || !scan_offset(&scan, &offset_seconds) ||
        scan.at != scan.end)
        return ERR_TIME;
    return to_micros(&civil, offset_seconds, micros);
}

int time_parse_local(struct str text, int32_t offset_seconds, int64_t *micros)
{
    struct scan scan = {text.data, text.data + text.size};
    struct civil civil = {0};
    if (!scan_date(&scan, "-/", &civil))
        return ERR_TIME;
    if (scan.at < scan.end) {
        if (!scan_any(&scan, "Tt ") || !scan_clock(&scan, true, &civil))
            return ERR_TIME;
        if (scan.at < scan.end && !scan_loose_offset(&scan, &offset_seconds))
            return ERR_TIME;
    }
    if (scan.at != scan.end)
        return ERR_TIME;
    return to_micros(&civil, offset_seconds, micros);
}

/* Writes exactly `count` digits and returns the place behind them. */
static char *put_digits(char *out, uint64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + count;
}

static char *put_part(char *out, char separator, int value)
{
    *out = separator;
    return put_digits(out + 1, (uint64_t)value, 2);
}

size_t time_format(int64_t micros, char out[TIME_TEXT_SIZE_MAX])
{
    int64_t days = micros / TIME_MICROS_PER_DAY;
    int64_t rest = micros % TIME_MICROS_PER_DAY;
    if (rest < 0) {
        rest += TIME_MICROS_PER_DAY;
        days--;
    }
    struct civil civil = {0};
    civil_from_days(days, &civil);
    int second_of_day = (int)(rest / TIME_MICROS_PER_SECOND);
    int fraction = (int)(rest % TIME_MICROS_PER_SECOND);

    char *at = out;
    bool expanded = civil.year < 0 || civil.year > 9999;
    if (expanded)
        *at++ = civil.year < 0 ? '-' : '+';
    at = put_digits(at, (uint64_t)(civil.year < 0 ? -civil.year : civil.year),
        expanded ? EXPANDED_YEAR_DIGITS_MAX : 4);
    at = put_part(at, '-', civil.month);
    at = put_part(at, '-', civil.day);
    at = put_part(at, 'T', second_of_day / 3600);
    at = put_part(at, ':', second_of_day / 60 % 60);
    at = put_part(at, ':', second_of_day % 60);
    if (fraction) {
        *at++ = '.';
        at = fraction % 1000 ? put_digits(at, (uint64_t)fraction, 6)
                             : put_digits(at, (uint64_t)fraction / 1000, 3);
    }
    *at++ = 'Z';
    *at = '\0';
    return (size_t)(at - out);
}
