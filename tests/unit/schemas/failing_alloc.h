/*
 * Makes the nth allocation fail. For executables linked with failing_alloc.c and
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* From now on the nth allocation (1: the next) fails, once; 0: none does. */
void failing_alloc_at(size_t nth);
/* True when it was reached. */
bool failing_alloc_happened(void);
