#include "enrich/attribution/transform.h"

#include <math.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define POISSON_INVERSION_MAX 30.0 /* larger means are drawn as rounded normal numbers */

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* places: an element a channel, all 0 before and after. */
static size_t first_of_each(const struct path *path, uint8_t *places, uint32_t *out)
{
    size_t count = 0;
    for (size_t i = 0; i < path->length; i++) {
        if (!places[path->channels[i]])
            out[count++] = path->channels[i];
        places[path->channels[i]] = 1;
    }
    for (size_t i = 0; i < count; i++)
        places[out[i]] = 0;
    return count;
}

/* By sorting: also for long paths of many channels. */
static size_t sorted(const struct path *path, uint32_t *out)
{
    size_t count = 0;
    if (path->length == 0)
        return 0;
    memcpy(out, path->channels, path->length * sizeof *out);
    qsort(out, path->length, sizeof *out, compare_numbers);
    for (size_t i = 0; i < path->length; i++)
        if (count == 0 || out[count - 1] != out[i])
            out[count++] = out[i];
    return count;
}

int transform_paths(const struct path_set *set, enum transform transform, struct path_set *out)
{
    uint32_t *channels = malloc((set->longest + 1) * sizeof *channels);
    uint8_t *places = calloc(set->channels_count + 1, 1);
    int r = channels && places ? 0 : ERR_NO_MEMORY;
    for (size_t i = 0; r == 0 && i < set->paths_count; i++) {
        const struct path *path = set->paths[i];
        const struct path_count count = {path->conversions, path->amount.whole, path->nulls,
            path->amount.rest, path->amount.size, path->amount.noise};
        size_t length = transform == TRANSFORM_FIRST ? first_of_each(path, places, channels)
                                                     : sorted(path, channels);
        r = path_set_add(out, channels, length, &count);
    }
    free(channels);
    free(places);
    return r;
}

/* ---- one order ---- */

struct named {
    struct str name;
    uint32_t number;
};

static int compare_names(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    size_t size = x->name.size < y->name.size ? x->name.size : y->name.size;
    int order = size ? memcmp(x->name.data, y->name.data, size) : 0;
    return order ? order : (x->name.size > y->name.size) - (x->name.size < y->name.size);
}

static int name_channels(const struct path_set *set, struct path_set *out, uint32_t *numbers)
{
    struct named *named = malloc((set->channels_count + 1) * sizeof *named);
    int r = named ? 0 : ERR_NO_MEMORY;
    for (size_t i = 0; r == 0 && i < set->channels_count; i++)
        named[i] = (struct named){set->channels[i], (uint32_t)i};
    if (r == 0 && set->channels_count)
        qsort(named, set->channels_count, sizeof *named, compare_names);
    for (size_t i = 0; r == 0 && i < set->channels_count; i++)
        r = path_set_channel(out, named[i].name, &numbers[named[i].number]);
    free(named);
    return r;
}

/* By channels, of paths that are distinct. */
static int compare_paths(const void *a, const void *b)
{
    const struct path *x = *(struct path *const *)a, *y = *(struct path *const *)b;
    size_t least = x->length < y->length ? x->length : y->length;
    for (size_t i = 0; i < least; i++)
        if (x->channels[i] != y->channels[i])
            return x->channels[i] < y->channels[i] ? -1 : 1;
    return (x->length > y->length) - (x->length < y->length);
}

static int add_numbered(const struct path_set *set, const uint32_t *numbers, struct path_set *out)
{
    uint32_t *channels = malloc((set->longest + 1) * sizeof *channels);
    int r = channels ? 0 : ERR_NO_MEMORY;
    for (size_t i = 0; r == 0 && i < set->paths_count; i++) {
        const struct path *path = set->paths[i];
        const struct path_count count = {path->conversions, path->amount.whole, path->nulls,
            path->amount.rest, path->amount.size, path->amount.noise};
        for (size_t k = 0; k < path->length; k++)
            channels[k] = numbers[path->channels[k]];
        r = path_set_add(out, channels, path->length, &count);
    }
    free(channels);
    return r;
}

int transform_order(const struct path_set *set, struct path_set *out, uint32_t *numbers)
{
    int r = name_channels(set, out, numbers);
    if (r == 0)
        r = add_numbered(set, numbers, out);
    if (r == 0 && out->paths_count)
        qsort(out->paths, out->paths_count, sizeof(struct path *), compare_paths);
    return r;
}

/* ---- bootstrap ---- */

/* Source: the finaliser of SplitMix64 (Steele, Lea, Flood 2014), applied to a counter. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

double counter_uniform(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint64_t bits =
        mix(mix(mix(seed + 0x9e3779b97f4a7c15) ^ stream) + 0x9e3779b97f4a7c15 * counter);
    return ((double)(bits >> 11) + 0.5) / 9007199254740992.0;
}

static double poisson(double mean, uint64_t seed, uint64_t stream, uint64_t counter)
{
    if (!(mean > 0))
        return 0;
    double u = counter_uniform(seed, stream, counter);
    if (mean > POISSON_INVERSION_MAX) {
        double v = counter_uniform(seed, stream, counter + 1);
        double normal = sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
        double drawn = floor(mean + sqrt(mean) * normal + 0.5);
        return drawn > 0 ? drawn : 0;
    }
    double chance = exp(-mean), sum = chance, k = 0;
    while (u > sum && chance > 0) {
        k++;
        chance *= mean / k;
        sum += chance;
    }
    return k;
}

static void scale_value(struct path_count *count, double factor)
{
    count->value *= factor;
    count->value_size *= factor;
    count->value_noise *= factor;
}

/* Of each channel's name. */
static int hash_names(const struct path_set *set, uint64_t **out)
{
    uint64_t *hashes = malloc((set->channels_count + 1) * sizeof *hashes);
    if (!hashes)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < set->channels_count; i++)
        hashes[i] = hash64(set->channels[i]);
    *out = hashes;
    return 0;
}

/* Tells a path by its channels' names, wherever it stands; four counters follow it. */
static uint64_t path_counter(const struct path *path, const uint64_t *names)
{
    uint64_t hash = path->length;
    for (size_t i = 0; i < path->length; i++)
        hash = mix(hash + UINT64_C(0x9e3779b97f4a7c15)) ^ names[path->channels[i]];
    return mix(hash) & ~UINT64_C(3);
}

int transform_resample(
    const struct path_set *set, uint64_t seed, uint64_t replicate, struct path_set *out)
{
    uint64_t *names = NULL;
    int r = hash_names(set, &names);
    for (size_t i = 0; r == 0 && i < set->paths_count; i++) {
        const struct path *path = set->paths[i];
        uint64_t counter = path_counter(path, names);
        struct path_count count = {
            .conversions = poisson(path->conversions, seed, replicate, counter),
            .nulls = poisson(path->nulls, seed, replicate, counter + 2),
            .value = path->value,
            .value_size = path->amount.size,
            .value_noise = path->amount.noise,
        };
        if (path->conversions > 0)
            scale_value(&count, count.conversions / path->conversions);
        r = path_set_add(out, path->channels, path->length, &count);
    }
    free(names);
    return r;
}
