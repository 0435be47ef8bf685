/*
 * The C face of libphonenumber (phone_number.cc); phone.h has what callers want.
 */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum phone_number_kind {
    PHONE_NUMBER_NONE,    /* not a number, or not one that is assigned */
    PHONE_NUMBER_PERSON,  /* mobile, fixed, voice over IP, personal */
    PHONE_NUMBER_SERVICE, /* toll-free, premium, shared cost, company-wide, pager, voice mail */
};

/* Parses text (region "JP" unless it starts with '+'), writes E.164 into out (at least 18 bytes)
 * and its size. Returns an enum phone_number_kind (out is written for the latter two), or -1 when
 * out of memory. Threads: any. Source: libphonenumber's PhoneNumberUtil. */
int phone_number_read(const char *text, size_t text_size, char *out, size_t *out_size);
/* The same, always by the library's parser: phone_number_read() has a shorter way for numbers as
 * Japan writes them, which parse to what they look like. */
int phone_number_parse(const char *text, size_t text_size, char *out, size_t *out_size);

#ifdef __cplusplus
}
#endif
