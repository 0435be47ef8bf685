/*
 * Tables for people and for programs: aligned columns on a terminal, honouring the width of East
 * Asian characters, or JSON of the same cells.
 *
 * Text of customers is shown safely: control characters, which could move the cursor or colour the
 * terminal, are spelled as escapes; JSON keeps them, escaped as JSON does.
 */
#pragma once

#include <stdio.h>

#include "schemas/arena.h"

#define RENDER_COLUMNS_MAX 80

enum render_align {
    RENDER_LEFT,
    RENDER_RIGHT, /* numbers */
};

struct render_column {
    const char *name;  /* JSON member */
    const char *title; /* heading; NULL: no heading, the table has none then */
    enum render_align align;
    int width_max; /* terminal cells; longer text is cut with an ellipsis; 0: no limit */
};

struct render_table;

/* columns must outlive the table. Errors: ERR_NO_MEMORY. Threads: one each. */
MUST_CHECK int render_new(
    struct render_table **out, const struct render_column *columns, size_t count);
/* Accepts NULL inside, leaves NULL. */
void render_free(struct render_table **table);

/* Adds the next cell, row by row. Text is copied. The first error is kept and returned by
 * render_write(). */
void render_text(struct render_table *table, struct str text);
/* An integer: in JSON a number. */
void render_integer(struct render_table *table, int64_t value);
/* Minor units as an amount ("12,980", "-23.45"); in JSON a string of digits without commas. */
void render_money(struct render_table *table, int64_t minor, struct str currency);
/* Micros as Japan's time ("2026-11-20 10:15:00"); in JSON RFC 3339 with its offset. 0 is a time. */
void render_time(struct render_table *table, int64_t micros);
/* 16 bytes as a UUID. */
void render_uuid(struct render_table *table, const uint8_t key[16]);
/* Nothing: an empty cell, in JSON null. */
void render_nothing(struct render_table *table);

/* Writes all rows as a table: two blanks between columns, no blanks at line ends; or as a JSON
 * array of objects. Errors: the first of the cells; ERR_IO. */
MUST_CHECK int render_write(struct render_table *table, bool json, FILE *out);

/* ---- also useful alone ---- */

/* Cells that text takes on a terminal; of text as render_safe() spells it. */
size_t render_width(struct str text);

/* Appends text with control characters, bidirectional overrides and broken UTF-8 spelled as
 * escapes: \n, \x1b, \u202e. Errors as buf_append(). */
MUST_CHECK int render_safe(struct buf *out, struct str text);

/* Appends a decimal number with a comma between groups of three. */
MUST_CHECK int render_grouped(struct buf *out, struct str decimal);
