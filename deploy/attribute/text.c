#include "deploy/attribute/text.h"

#include "schemas/error.h"
#include "schemas/json.h"

int text_append_number(struct buf *out, double number)
{
    char text[JSON_DOUBLE_SIZE_MAX];
    size_t size = json_format_double(number == 0 ? 0 : number, text);
    return buf_append(out, text, size);
}

int text_append_csv(struct buf *out, struct str text)
{
    bool quote = false;
    for (size_t i = 0; i < text.size; i++)
        quote |= text.data[i] == ',' || text.data[i] == '"' || text.data[i] == '\n' ||
                 text.data[i] == '\r';
    if (!quote)
        return buf_append_str(out, text);
    int r = buf_append(out, "\"", 1);
    for (size_t i = 0; r == 0 && i < text.size; i++)
        r = buf_append(
            out, text.data[i] == '"' ? "\"\"" : text.data + i, text.data[i] == '"' ? 2 : 1);
    return r == 0 ? buf_append(out, "\"", 1) : r;
}

int text_put(struct buf *line, FILE *out)
{
    bool written = fwrite(line->data, 1, line->size, out) == line->size;
    buf_clear(line);
    return written ? 0 : ERR_IO;
}
