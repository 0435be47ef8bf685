/*
 * Cells are kept as they will be shown and as JSON; widths are known when all rows are there.
 */
#include "deploy/render.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "deploy/uuid.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/money.h"
#include "schemas/time.h"

#define GAP "  "
#define ELLIPSIS "\xe2\x80\xa6"
#define JAPAN_OFFSET_MICROS (9 * 3600 * TIME_MICROS_PER_SECOND)
#define CELLS_GROWTH 256

struct cell {
    struct str shown;
    struct str json;
    size_t width;
};

struct render_table {
    const struct render_column *columns;
    size_t columns_count;
    struct cell *cells;
    size_t cells_count;
    size_t cells_capacity;
    struct arena arena;
    struct buf shown; /* of the cell that is made */
    struct buf json;
    int error;
};

int render_new(struct render_table **out, const struct render_column *columns, size_t count)
{
    check(count > 0 && count <= RENDER_COLUMNS_MAX);
    struct render_table *table = calloc(1, sizeof(*table));
    if (!table)
        return ERR_NO_MEMORY;
    table->columns = columns;
    table->columns_count = count;
    *out = table;
    return 0;
}

void render_free(struct render_table **table)
{
    if (!*table)
        return;
    arena_free(&(*table)->arena);
    buf_free(&(*table)->shown);
    buf_free(&(*table)->json);
    free((*table)->cells);
    free(*table);
    *table = NULL;
}

/* Size of the character at the start of text and its code point; -1: a byte that is none. */
static size_t next_character(struct str text, utf8proc_int32_t *character)
{
    utf8proc_ssize_t size = utf8proc_iterate(
        (const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.size, character);
    if (size > 0)
        return (size_t)size;
    *character = -1;
    return 1;
}

/* Characters that would act on the terminal instead of being seen: controls, and those that turn
 * the direction of writing. Source: Unicode 15, categories Cc and Cf, UAX 9. */
static bool acts(utf8proc_int32_t character)
{
    utf8proc_category_t category = utf8proc_category(character);
    return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_ZL ||
           category == UTF8PROC_CATEGORY_ZP || (character >= 0x202a && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

static int append_escape(struct buf *out, utf8proc_int32_t character, unsigned char byte)
{
    if (character == '\n')
        return buf_append(out, "\\n", 2);
    if (character == '\t')
        return buf_append(out, "\\t", 2);
    if (character == '\r')
        return buf_append(out, "\\r", 2);
    if (character < 0x80)
        return buf_appendf(out, "\\x%02x", character < 0 ? byte : (unsigned)character);
    return buf_appendf(out, "\\u%04x", (unsigned)character);
}

int render_safe(struct buf *out, struct str text)
{
    int r = 0;
    while (r == 0 && text.size) {
        utf8proc_int32_t character;
        size_t size = next_character(text, &character);
        if (character < 0 || acts(character))
            r = append_escape(out, character, (unsigned char)text.data[0]);
        else
            r = buf_append(out, text.data, size);
        text = str_make(text.data + size, text.size - size);
    }
    return r;
}

static size_t character_width(utf8proc_int32_t character)
{
    int width = utf8proc_charwidth(character);
    return width > 0 ? (size_t)width : 0;
}

size_t render_width(struct str text)
{
    size_t width = 0;
    while (text.size) {
        utf8proc_int32_t character;
        size_t size = next_character(text, &character);
        width += character_width(character);
        text = str_make(text.data + size, text.size - size);
    }
    return width;
}

int render_grouped(struct buf *out, struct str decimal)
{
    size_t sign = decimal.size && (decimal.data[0] == '-' || decimal.data[0] == '+');
    size_t whole = sign;
    while (whole < decimal.size && decimal.data[whole] != '.')
        whole++;
    int r = buf_append(out, decimal.data, sign);
    for (size_t i = sign; r == 0 && i < whole; i++) {
        if (i > sign && (whole - i) % 3 == 0)
            r = buf_append(out, ",", 1);
        if (r == 0)
            r = buf_append(out, decimal.data + i, 1);
    }
    return r == 0 ? buf_append(out, decimal.data + whole, decimal.size - whole) : r;
}

/* Bytes of text whose width stays within `width`. */
static size_t cut(struct str text, size_t width)
{
    size_t taken = 0;
    while (taken < text.size) {
        utf8proc_int32_t character;
        size_t size = next_character(str_make(text.data + taken, text.size - taken), &character);
        size_t wide = character_width(character);
        if (wide > width)
            break;
        width -= wide;
        taken += size;
    }
    return taken;
}

static int make_room(struct render_table *table)
{
    if (table->cells_count < table->cells_capacity)
        return 0;
    size_t capacity = table->cells_capacity * 2 + CELLS_GROWTH;
    struct cell *cells = realloc(table->cells, capacity * sizeof(*cells));
    if (!cells)
        return ERR_NO_MEMORY;
    table->cells = cells;
    table->cells_capacity = capacity;
    return 0;
}

/* Takes what stands in table->shown and table->json as the next cell. */
static void add_cell(struct render_table *table, int error)
{
    const struct render_column *column = &table->columns[table->cells_count % table->columns_count];
    struct cell cell = {0};
    if (error == 0)
        error = make_room(table);
    size_t width = render_width(buf_str(&table->shown));
    if (error == 0 && column->width_max > 0 && width > (size_t)column->width_max) {
        table->shown.size = cut(buf_str(&table->shown), (size_t)column->width_max - 1);
        error = buf_append_str(&table->shown, STR(ELLIPSIS));
        width = render_width(buf_str(&table->shown));
    }
    if (error == 0)
        error = arena_dup(&table->arena, buf_str(&table->shown), &cell.shown);
    if (error == 0)
        error = arena_dup(&table->arena, buf_str(&table->json), &cell.json);
    cell.width = width;
    if (error == 0 && table->error == 0)
        table->cells[table->cells_count++] = cell;
    else if (table->error == 0)
        table->error = error;
    buf_clear(&table->shown);
    buf_clear(&table->json);
}

/* JSON must be UTF-8: what is not is spelled as on the terminal. */
static int append_json_text(struct buf *out, struct str text)
{
    CLEANUP(buf_free) struct buf safe = {0};
    struct str rest = text;
    while (rest.size) {
        utf8proc_int32_t character;
        size_t size = next_character(rest, &character);
        if (character < 0) {
            int r = render_safe(&safe, text);
            return r == 0 ? json_write_text(out, buf_str(&safe)) : r;
        }
        rest = str_make(rest.data + size, rest.size - size);
    }
    return json_write_text(out, text);
}

void render_text(struct render_table *table, struct str text)
{
    int r = render_safe(&table->shown, text);
    add_cell(table, r == 0 ? append_json_text(&table->json, text) : r);
}

void render_integer(struct render_table *table, int64_t value)
{
    int r = json_write_int(&table->json, value);
    add_cell(table, r == 0 ? render_grouped(&table->shown, buf_str(&table->json)) : r);
}

void render_money(struct render_table *table, int64_t minor, struct str currency)
{
    char text[MONEY_TEXT_SIZE_MAX];
    struct str decimal = str_make(text, money_format(minor, currency, text));
    int r = render_grouped(&table->shown, decimal);
    add_cell(table, r == 0 ? json_write_text(&table->json, decimal) : r);
}

void render_time(struct render_table *table, int64_t micros)
{
    char text[TIME_TEXT_SIZE_MAX];
    bool shifts = micros <= INT64_MAX - JAPAN_OFFSET_MICROS;
    size_t size = time_format(shifts ? micros + JAPAN_OFFSET_MICROS : micros, text);
    const char *t = memchr(text, 'T', size);
    check(t && size > 9); /* a date, T, at least HH:MM:SS, Z */
    size_t date = (size_t)(t - text);
    int r = buf_appendf(&table->shown, "%.*s %.8s", (int)date, text, t + 1);
    if (r == 0)
        r = buf_appendf(&table->json, "\"%.*s%s\"", (int)size - 1, text, shifts ? "+09:00" : "Z");
    add_cell(table, r);
}

void render_uuid(struct render_table *table, const uint8_t key[KEY_SIZE])
{
    char uuid[UUID_TEXT_SIZE];
    uuid_write(key, uuid);
    render_text(table, str_of(uuid));
}

void render_nothing(struct render_table *table)
{
    add_cell(table, buf_append_str(&table->json, STR("null")));
}

static int pad(FILE *out, size_t count)
{
    while (count--)
        if (fputc(' ', out) == EOF)
            return ERR_IO;
    return 0;
}

static int write_bytes(FILE *out, struct str text)
{
    return fwrite(text.data, 1, text.size, out) == text.size ? 0 : ERR_IO;
}

/* One line; blanks are owed until something follows them, so none ends a line. */
static int write_line(
    const struct render_table *table, const struct cell *cells, const size_t *widths, FILE *out)
{
    size_t owed = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < table->columns_count; i++) {
        size_t room = widths[i] - cells[i].width;
        bool right = table->columns[i].align == RENDER_RIGHT;
        owed += right ? room : 0;
        if (cells[i].shown.size) {
            r = pad(out, owed);
            owed = 0;
        }
        if (r == 0)
            r = write_bytes(out, cells[i].shown);
        owed += (right ? 0 : room) + sizeof(GAP) - 1;
        owed += cells[i].shown.size ? 0 : cells[i].width;
    }
    return r == 0 && fputc('\n', out) == EOF ? ERR_IO : r;
}

static int write_table(const struct render_table *table, FILE *out)
{
    size_t widths[RENDER_COLUMNS_MAX] = {0};
    struct cell titles[RENDER_COLUMNS_MAX] = {0};
    bool titled = false;
    for (size_t i = 0; i < table->columns_count; i++) {
        titles[i].shown = str_of(table->columns[i].title);
        titles[i].width = render_width(titles[i].shown);
        widths[i] = titles[i].width;
        titled = titled || titles[i].shown.size;
    }
    for (size_t i = 0; i < table->cells_count; i++)
        if (table->cells[i].width > widths[i % table->columns_count])
            widths[i % table->columns_count] = table->cells[i].width;
    int r = titled ? write_line(table, titles, widths, out) : 0;
    for (size_t i = 0; r == 0 && i < table->cells_count; i += table->columns_count)
        r = write_line(table, &table->cells[i], widths, out);
    return r;
}

static int write_json(const struct render_table *table, FILE *out)
{
    int r = fputc('[', out) == EOF ? ERR_IO : 0;
    for (size_t i = 0; r == 0 && i < table->cells_count; i++) {
        size_t column = i % table->columns_count;
        const char *before = column ? "," : i ? ",\n{" : "\n{";
        if (fprintf(out, "%s\"%s\":", before, table->columns[column].name) < 0)
            return ERR_IO;
        r = write_bytes(out, table->cells[i].json);
        if (r == 0 && column + 1 == table->columns_count && fputc('}', out) == EOF)
            r = ERR_IO;
    }
    return r == 0 && fputs(table->cells_count ? "\n]\n" : "]\n", out) == EOF ? ERR_IO : r;
}

int render_write(struct render_table *table, bool json, FILE *out)
{
    if (table->error < 0)
        return table->error;
    check(table->cells_count % table->columns_count == 0);
    int r = json ? write_json(table, out) : write_table(table, out);
    return r == 0 && fflush(out) != 0 ? ERR_IO : r;
}
