/* See the header. One pass over the configuration for what is written, one for what is meant. */
#include "deploy/verb/source_list.h"

#include <errno.h>
#include <unistd.h>

#include "deploy/render.h"
#include "ingest/config/config.h"
#include "schemas/error.h"
#include "schemas/hash.h"

#define SECTION "source "
#define DIGEST_SHOWN 4 /* bytes */

static const struct render_column columns[] = {
    {"source", "source", RENDER_LEFT, 0},
    {"state", "state", RENDER_LEFT, 0},
    {"protocols", "protocols", RENDER_LEFT, 40},
    {"origins", "origins", RENDER_LEFT, 60},
    {"rate", "rate", RENDER_RIGHT, 0},
    {"burst", "burst", RENDER_RIGHT, 0},
    {"keys", "keys", RENDER_LEFT, 40},
    {"old_keys", "old keys", RENDER_LEFT, 40},
    {"old_key_until", "old until", RENDER_LEFT, 0},
    {"where", "where", RENDER_LEFT, 0},
};

/* The values of one source as they are written. */
struct written {
    struct str section;
    struct str protocols;
    struct str origins;
    struct str where;
};

static int take_entry(void *context, const struct config_entry *entry)
{
    struct written *written = context;
    if (!str_equal(entry->section, written->section))
        return 0;
    if (str_equal(entry->key, STR("protocols")))
        written->protocols = entry->value;
    if (str_equal(entry->key, STR("origins")))
        written->origins = entry->value;
    if (written->where.size == 0 && !str_equal(entry->origin, STR("default")))
        written->where = entry->origin;
    return 0;
}

/* "5f0c1a2b, 77de0001". */
static int show_keys(struct render_table *table, const uint8_t (*keys)[SHA256_SIZE], size_t count)
{
    CLEANUP(buf_free) struct buf text = {0};
    char digits[2 * DIGEST_SHOWN];
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        hex_encode(keys[i], DIGEST_SHOWN, digits);
        r = buf_append_str(&text, i ? STR(", ") : STR(""));
        if (r == 0)
            r = buf_append(&text, digits, sizeof digits);
    }
    if (r == 0)
        render_text(table, buf_str(&text));
    return r;
}

static int add_row(struct render_table *table, const struct verb_call *call,
    const struct config_source *source, int64_t now_micros)
{
    char section[SOURCE_NAME_SIZE_MAX + sizeof SECTION];
    size_t lead = sizeof SECTION - 1;
    memcpy(section, SECTION, lead);
    memcpy(section + lead, source->name.data, source->name.size);
    struct written written = {.section = str_make(section, lead + source->name.size)};
    int r = config_visit(call->config, take_entry, &written);
    if (r < 0)
        return r;
    render_text(table, source->name);
    render_text(table, source->enabled ? STR("enabled") : STR("disabled"));
    render_text(table, written.protocols);
    render_text(table, written.origins);
    render_integer(table, source->rate);
    render_integer(table, source->burst);
    bool old = source->old_keys_count && now_micros < source->old_keys_until_micros;
    r = show_keys(table, source->keys, source->keys_count);
    if (r == 0)
        r = show_keys(table, source->old_keys, old ? source->old_keys_count : 0);
    if (old)
        render_time(table, source->old_keys_until_micros);
    else
        render_nothing(table);
    render_text(table, written.where);
    return r;
}

/* Where another verb would make the file, none is no empty one: its name may be wrong. */
static bool is_missing(const char *path)
{
    return *path && access(path, F_OK) != 0 && errno == ENOENT;
}

int source_list(struct verb_call *call, int64_t now_micros)
{
    const char *path = config_path(call->config, OPTION_COLLECTOR_SOURCES_FILE);
    if (is_missing(path))
        return verb_not_found(call, "%s: %s: tabiji source add makes it", path, strerror(ENOENT));
    const struct config_source *sources;
    size_t count = config_sources(call->config, &sources);
    CLEANUP(render_free) struct render_table *table = NULL;
    int r = render_new(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = add_row(table, call, &sources[i], now_micros);
    if (r == 0)
        r = render_write(table, call->json, stdout);
    return r < 0 ? verb_fail(call, r, "list") : EXIT_OK;
}
