/*
 * openapi.json, built into the program by embed.py.
 */
#pragma once

#include <stddef.h>

extern const unsigned char openapi_json[];
extern const size_t openapi_json_size;
