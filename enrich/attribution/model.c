/* No state. */
#include "enrich/attribution/model.h"

#include <string.h>

#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/time.h"

_Static_assert(MODEL_KIND_COUNT == MODEL_KINDS + 1, "all kinds have names here");

static const struct str kinds[MODEL_KINDS] = {
    STR_INIT("markov"),
    STR_INIT("shapley"),
    STR_INIT("shapley_ordered"),
    STR_INIT("shapley_rate"),
    STR_INIT("shapley_paths"),
    STR_INIT("shapley_paths_ordered"),
    STR_INIT("shao_li"),
};

const struct str *model_kind_names(void)
{
    return kinds;
}

enum model_kind model_kind_of(struct str name)
{
    int kind = model_kind_from_name(name);
    return kind < 0 ? MODEL_KIND_UNKNOWN : (enum model_kind)kind;
}

const char *model_kind_text(const struct model *model)
{
    return model_is_rule(model) ? rule_model_name(model->rule) : model_kind_name(model->kind);
}

size_t model_path_begin(const struct model *model, const struct model_path *path)
{
    size_t begin = !model->reset                    ? 0
                   : path->reset_from < path->count ? path->reset_from
                                                    : path->count;
    for (; model->lookback_micros && begin < path->count; begin++) {
        int64_t touched_at;
        memcpy(
            &touched_at, (const char *)path->touched_at + begin * path->stride, sizeof touched_at);
        if ((uint64_t)path->at - (uint64_t)touched_at <= (uint64_t)model->lookback_micros)
            break;
    }
    return begin;
}

struct counts_shape model_shape(enum model_kind kind, int order)
{
    if (kind == MODEL_KIND_MARKOV)
        return (struct counts_shape){COUNTS_TRANSITIONS, order ? order : 1};
    return (struct counts_shape){
        kind == MODEL_KIND_SHAPLEY_PATHS_ORDERED ? COUNTS_SEQUENCES : COUNTS_SETS, 1};
}

bool model_counts_open(const struct model *model)
{
    return !model->ignore_nulls && model->kind != MODEL_KIND_SHAPLEY &&
           model->kind != MODEL_KIND_SHAPLEY_ORDERED;
}

bool model_counts_type(const struct model *model, struct str type)
{
    for (size_t i = 0; i < model->conversion_types_count; i++)
        if (str_equal(model->conversion_types[i], type))
            return true;
    return model->conversion_types_count == 0;
}

int model_text(const struct model *model, struct buf *out)
{
    int r = buf_appendf(
        out, "model %.*s: %s", (int)model->name.size, model->name.data, model_kind_text(model));
    if (r == 0 && model->kind == MODEL_KIND_MARKOV && model->order == 0)
        r = buf_appendf(out, " of order auto, null %s", model->ignore_nulls ? "ignore" : "use");
    if (r == 0 && model->kind == MODEL_KIND_MARKOV && model->order)
        r = buf_appendf(
            out, " of order %d, null %s", model->order, model->ignore_nulls ? "ignore" : "use");
    if (r == 0 && model->rule == RULE_MODEL_TIME_DECAY)
        r = buf_appendf(out, " of half-life %lld days",
            (long long)(model->config.half_life_micros / TIME_MICROS_PER_DAY));
    if (r == 0 && model->rule == RULE_MODEL_CUSTOM)
        r = buf_appendf(out, " of weights %u:%u:%u", model->config.custom.first,
            model->config.custom.middle, model->config.custom.last);
    if (r == 0 && model->reset)
        r = buf_append_str(out, STR(", reset"));
    if (r == 0 && model->lookback_micros)
        r = buf_appendf(
            out, ", lookback %lld days", (long long)(model->lookback_micros / TIME_MICROS_PER_DAY));
    for (size_t i = 0; r == 0 && i < model->conversion_types_count; i++)
        r = buf_appendf(out, "%s %.*s", i ? "" : ", conversions are",
            (int)model->conversion_types[i].size, model->conversion_types[i].data);
    return r < 0 ? r : buf_append_str(out, STR("; net of refunds\n"));
}

int model_set_version(struct model *model, struct str paths)
{
    CLEANUP(buf_free) struct buf text = {0};
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    int r = model_text(model, &text);
    if (r < 0)
        return r;
    sha256_init(&hash);
    sha256_update_sized(&hash, paths);
    sha256_update_sized(&hash, buf_str(&text));
    sha256_final(&hash, digest);
    hex_encode(digest, MODEL_VERSION_SIZE / 2, model->version);
    return 0;
}
