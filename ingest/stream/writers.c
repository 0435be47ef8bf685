/* See the header. */
#include "ingest/stream/writers.h"

#include <inttypes.h>
#include <stdio.h>

#include "schemas/error.h"

#define LINE_SIZE_MAX 160

int writers_text(struct buf *out)
{
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    check(count <= WRITERS_MAX);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        if (entries[i].type)
            r = buf_appendf(out, "%" PRIu32 " %s %016" PRIx64 "\n", entries[i].id, entries[i].name,
                entries[i].fingerprint);
    return r;
}

static int read_line(struct str line, struct writers *out, char *why)
{
    char text[LINE_SIZE_MAX], name[LINE_SIZE_MAX];
    uint32_t id;
    uint64_t fingerprint;
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    (void)snprintf(text, sizeof text, "%.*s", (int)line.size, line.data);
    if (line.size >= sizeof text ||
        sscanf(text, "%" SCNu32 " %150s %" SCNx64, &id, name, &fingerprint) != 3) {
        (void)snprintf(why, WRITERS_WHY_SIZE, "no schema: %.80s", text);
        return ERR_STATE;
    }
    const struct schema_entry *version = schema_set_version(str_of(name), fingerprint);
    const struct schema_entry *present = schema_set_present(str_of(name));
    if (!version || !present) {
        (void)snprintf(why, WRITERS_WHY_SIZE, "%.60s with schema id %" PRIu32 ", %016" PRIx64, name,
            id, fingerprint);
        return ERR_NEWER;
    }
    out->versions[present - entries] = version;
    out->own = out->own && version == present;
    return 0;
}

int writers_read(struct str text, struct writers *out, char *why)
{
    struct writers writers = {.own = true};
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    check(count <= WRITERS_MAX);
    for (size_t i = 0; i < count; i++)
        writers.versions[i] = &entries[i];
    while (text.size) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        int r = read_line(str_make(text.data, size), &writers, why);
        if (r < 0)
            return r;
        text = str_make(text.data + size + (end != NULL), text.size - size - (end != NULL));
    }
    *out = writers;
    return 0;
}

const struct schema_entry *writers_version(const struct writers *writers, uint32_t id)
{
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    const struct schema_entry *present = schema_set_find(id);
    check(present && present->type);
    const struct schema_entry *version = writers->versions[present - entries];
    return version == present ? NULL : version;
}
