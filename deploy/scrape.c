/* See the header. */
#include "deploy/scrape.h"

#include <stdlib.h>

#define NUMBER_SIZE 64

static struct str take_line(struct str *text)
{
    const char *end = memchr(text->data, '\n', text->size);
    size_t size = end ? (size_t)(end - text->data) : text->size;
    struct str line = str_make(text->data, size);
    *text = str_make(text->data + size + (end != NULL), text->size - size - (end != NULL));
    return line;
}

static bool holds(struct str line, const char *label)
{
    return !label[0] || memmem(line.data, line.size, label, strlen(label));
}

bool scrape_sum(struct str text, const char *name, const char *label, double *out)
{
    struct str wanted = str_of(name);
    bool found = false;
    double sum = 0;
    while (text.size) {
        char number[NUMBER_SIZE] = "";
        struct str line = take_line(&text);
        const char *blank = line.size ? memrchr(line.data, ' ', line.size) : NULL;
        if (!blank || !str_starts_with(line, wanted) || line.size == wanted.size ||
            (line.data[wanted.size] != '{' && line.data[wanted.size] != ' ') || !holds(line, label))
            continue;
        size_t size = line.size - (size_t)(blank + 1 - line.data);
        memcpy(number, blank + 1, size < sizeof number ? size : sizeof number - 1);
        sum += strtod(number, NULL);
        found = true;
    }
    if (found)
        *out = sum;
    return found;
}
