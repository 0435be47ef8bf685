/*
 * Keys of TABLE_MODEL_COUNT: 12 zero bytes and the partition (big-endian), so that a partition's
 * counts are one group and those of two partitions have different keys; then 16 bytes of the
 * SHA-256 over what is counted.
 */
#include "enrich/journey/model_counter.h"

#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define GROUP_OPEN UINT32_MAX /* of paths that did not convert; others: their currency's number */
#define COUNT_KEY_SIZE (GROUP_SIZE + KEY_SIZE)

void model_counter_fini(struct model_counter *counter)
{
    counts_free(&counter->counts);
    free(counter->before);
    free(counter->path);
    arena_free(&counter->row);
    buf_free(&counter->value);
    *counter = (struct model_counter){.config = counter->config, .intern = counter->intern};
}

void model_counter_reset(struct model_counter *counter)
{
    counts_clear(&counter->counts);
    counter->before_count = 0;
}

/* ---- paths ---- */

static int reserve(uint32_t **items, size_t *room, size_t count)
{
    if (count <= *room)
        return 0;
    uint32_t *more = realloc(*items, count * 2 * sizeof *more);
    if (!more)
        return ERR_NO_MEMORY;
    *items = more;
    *room = count * 2;
    return 0;
}

int model_counter_before(
    struct model_counter *counter, const struct fold_touch *touches, size_t count)
{
    if (!counter->config->models_count)
        return 0;
    int r = reserve(&counter->before, &counter->before_room, count);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        counter->before[i] = touches[i].channel;
    counter->before_count = count;
    return 0;
}

int model_counter_before_stored(struct model_counter *counter, const struct profile *profile)
{
    if (!counter->config->models_count)
        return 0;
    int r = reserve(&counter->before, &counter->before_room, profile->open_path_count);
    for (size_t i = 0; r == 0 && i < profile->open_path_count; i++)
        r = intern_add(counter->intern, profile->open_path[i].channel, &counter->before[i]);
    counter->before_count = r == 0 ? profile->open_path_count : 0;
    return r;
}

/* One open path in another's place. An empty one is none. */
static int replace_open(struct model_counter *counter, uint32_t index, struct counts_path after)
{
    const struct model *model = &counter->config->models[index];
    const struct counts_shape shape = model_shape(model->kind, model->order);
    const struct counts_label label = {index, GROUP_OPEN};
    const struct counts_path before = {counter->before, counter->before_count};
    if (model_is_rule(model) || !model_counts_open(model))
        return 0;
    size_t skip = counts_shared(&shape, before, after);
    int r = before.length ? counts_add(&counter->counts, &shape, label, before, skip,
                                (struct counts_amount){.paths = -1})
                          : 0;
    return r < 0 || !after.length ? r
                                  : counts_add(&counter->counts, &shape, label, after, skip,
                                        (struct counts_amount){.paths = 1});
}

int model_counter_after(
    struct model_counter *counter, const struct fold_touch *touches, size_t count)
{
    if (!counter->config->models_count)
        return 0;
    int r = reserve(&counter->path, &counter->path_room, count);
    bool same = r == 0 && count == counter->before_count;
    for (size_t i = 0; r == 0 && i < count; i++) {
        counter->path[i] = touches[i].channel;
        same = same && counter->path[i] == counter->before[i];
    }
    for (uint32_t i = 0; r == 0 && !same && i < counter->config->models_count; i++)
        r = replace_open(counter, i, (struct counts_path){counter->path, count});
    counter->before_count = 0;
    return r;
}

/* Touches of the conversion that the model looks at, all of which are numbered in counter->path:
 * the last ones, since touches stand in the order of time. */
static struct counts_path seen_by(const struct model_counter *counter, const struct model *model,
    const struct conversion *conversion)
{
    const struct model_path path = {
        .at = conversion->occurred_at,
        .reset_from = (size_t)conversion->reset_from,
        .touched_at = conversion->touches_count ? &conversion->touches->touched_at : NULL,
        .stride = sizeof *conversion->touches,
        .count = conversion->touches_count,
    };
    size_t from = model_path_begin(model, &path);
    return (struct counts_path){counter->path + from, path.count - from};
}

int model_counter_conversion(struct model_counter *counter, const struct conversion *conversion,
    const struct conversion *of, int sign)
{
    const struct journey_config *config = counter->config;
    uint32_t currency;
    if (!config->models_count)
        return 0;
    int r = reserve(&counter->path, &counter->path_room, of->touches_count + 1);
    if (r == 0)
        r = intern_add(counter->intern, of->currency, &currency);
    for (size_t i = 0; r == 0 && i < of->touches_count; i++)
        r = intern_add(counter->intern, of->touches[i].channel, &counter->path[i]);
    uint64_t value = (uint64_t)conversion->revenue_minor;
    const struct counts_amount amount = {conversion->kind == CONVERSION_KIND_CONVERSION ? sign : 0,
        (int64_t)(sign < 0 ? 0 - value : value)};
    for (uint32_t i = 0; r == 0 && i < config->models_count; i++) {
        const struct model *model = &config->models[i];
        const struct counts_shape shape = model_shape(model->kind, model->order);
        if (!model_is_rule(model) && model_counts_type(model, of->type))
            r = counts_add(&counter->counts, &shape, (struct counts_label){i, currency},
                seen_by(counter, model, of), 0, amount);
    }
    return r;
}

/* ---- rows ---- */

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const struct str *)a, *(const struct str *)b);
}

static int name_channels(
    struct model_counter *counter, const uint32_t *channels, size_t count, struct str **out)
{
    *out = arena_alloc(&counter->row, (count + 1) * sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        (*out)[i] = intern_text(counter->intern, channels[i]);
    return 0;
}

/* The row of an entry, with nothing counted. */
static int name_entry(struct model_counter *counter, const struct counts_entry *entry,
    int32_t partition, struct model_count *row)
{
    const struct model *model = &counter->config->models[entry->label.model];
    bool open = entry->label.group == GROUP_OPEN;
    model_count_init(row);
    row->model = model->name;
    row->version = str_make(model->version, MODEL_VERSION_SIZE);
    row->kind = model->kind;
    row->order = model->order;
    row->partition = partition;
    row->outcome = open ? PATH_OUTCOME_OPEN : PATH_OUTCOME_CONVERTING;
    if (!open)
        row->currency = intern_text(counter->intern, entry->label.group);
    row->from_count = entry->from_count;
    row->to_count = entry->to_count;
    int r = name_channels(counter, entry->channels, entry->from_count, &row->from);
    if (r == 0)
        r = name_channels(counter, entry->channels + entry->from_count, entry->to_count, &row->to);
    /* Numbers are this instance's own; a set of names has one order. */
    if (r == 0 && row->to_count > 1 && model_shape(model->kind, 1).form == COUNTS_SETS)
        qsort(row->to, row->to_count, sizeof *row->to, compare_names);
    return r;
}

static void hash_names(struct sha256 *hash, const struct str *names, size_t count)
{
    uint8_t number[8];
    put_be64(number, count);
    sha256_update(hash, str_make(number, sizeof number));
    for (size_t i = 0; i < count; i++)
        sha256_update_sized(hash, names[i]);
}

static void group_key(uint8_t out[GROUP_SIZE], int32_t partition)
{
    memset(out, 0, GROUP_SIZE);
    for (size_t i = 0; i < 4; i++)
        out[GROUP_SIZE - 4 + i] = (uint8_t)((uint32_t)partition >> (24 - 8 * i));
}

static void count_key(uint8_t out[COUNT_KEY_SIZE], const struct model_count *row)
{
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update_sized(&hash, row->model);
    sha256_update_sized(&hash, str_of(path_outcome_name(row->outcome)));
    sha256_update_sized(&hash, row->currency);
    hash_names(&hash, row->from, row->from_count);
    hash_names(&hash, row->to, row->to_count);
    sha256_final(&hash, digest);
    group_key(out, row->partition);
    memcpy(out + GROUP_SIZE, digest, KEY_SIZE);
}

/* Adds what stands in the row already. */
static int add_stored(
    struct model_counter *counter, struct state *state, struct str key, struct model_count *row)
{
    struct model_count stored;
    struct str value;
    int r = state_get(state, TABLE_MODEL_COUNT, key, &value);
    if (r)
        return r == STATE_ABSENT ? 0 : r;
    r = model_count_decode(&stored, value, &counter->row);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_STATE : r;
    row->paths += stored.paths; /* both below 2^62: no partition has so many paths */
    row->revenue_minor = (int64_t)((uint64_t)row->revenue_minor + (uint64_t)stored.revenue_minor);
    return 0;
}

static int put_entry(
    struct model_counter *counter, struct task *task, const struct counts_entry *entry)
{
    struct model_count row;
    uint8_t bytes[COUNT_KEY_SIZE];
    struct str key = str_make(bytes, sizeof bytes);
    arena_reset(&counter->row);
    int r = name_entry(counter, entry, task->partition, &row);
    if (r < 0)
        return r;
    count_key(bytes, &row);
    row.paths = entry->paths;
    row.revenue_minor = entry->value;
    r = add_stored(counter, task->state, key, &row);
    if (r < 0)
        return r;
    if (row.paths < 0 || (row.paths == 0 && row.revenue_minor != 0))
        return ERR_STATE;
    if (row.paths == 0)
        return state_delete(task->state, TABLE_MODEL_COUNT, key);
    buf_clear(&counter->value);
    r = model_count_encode(&row, &counter->value);
    return r < 0 ? r : state_put(task->state, TABLE_MODEL_COUNT, key, buf_str(&counter->value));
}

int model_counter_flush(struct model_counter *counter, struct task *task)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < counter->counts.entries_count; i++) {
        const struct counts_entry *entry = &counter->counts.entries[i];
        if (entry->paths != 0 || entry->value != 0)
            r = put_entry(counter, task, entry);
    }
    model_counter_reset(counter);
    return r;
}

int model_counter_forget(struct task *task)
{
    uint8_t group[GROUP_SIZE];
    struct state_scan *scan;
    struct str key, value;
    group_key(group, task->partition);
    int r = state_scan_begin(task->state, TABLE_MODEL_COUNT, str_make(group, sizeof group), &scan);
    if (r < 0)
        return r;
    while ((r = state_scan_next(scan, &key, &value)) == 0) {
        r = state_delete(task->state, TABLE_MODEL_COUNT, key);
        if (r < 0)
            break;
    }
    state_scan_end(&scan);
    return r < 0 ? r : 0;
}
