/* A file of paths or touches from outside: the first byte says by which flags. Whatever comes in,
 * every answer is a finite number, and each model that sums sums to all that was read. */
#include "tests/fuzz/replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "deploy/attribute/attribute.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define NEAR 1e-9
#define CHANNELS_MAX 16 /* of exact games and large orders: a fuzzer wants many small files */
#define CHANGES_MAX 6

static void take_flags(uint8_t flags, FILE *messages, struct attribute_options *out)
{
    static const int models[] = {PATH_RULE_FIRST, PATH_RULE_LAST_NON_DIRECT, PATH_RULE_LINEAR,
        PATH_RULE_W_SHAPE, PATH_RULE_CUSTOM, ATTRIBUTE_MARKOV, ATTRIBUTE_SHAPLEY,
        ATTRIBUTE_SHAPLEY_RATE, ATTRIBUTE_SHAPLEY_PATHS_ORDERED, ATTRIBUTE_SHAO_LI};
    *out = (struct attribute_options){.separator = STR(">"),
        .rules = {.half_life_micros = 7.0 * (double)TIME_MICROS_PER_DAY, .custom = {1, 2, 0}},
        .direct = STR("Direct"),
        .lead = STR("form"),
        .messages = messages,
        .name = "-",
        .order = flags % 4,
        .ignore_nulls = flags >> 2 & 1,
        .reset = flags >> 3 & 1,
        .lookback_none = flags >> 4 & 1,
        .lookback_micros = 30 * TIME_MICROS_PER_DAY,
        .transform = (enum path_transform)((flags >> 5) % PATH_TRANSFORM_COUNT),
        .samples = 3,
        .models_count = sizeof models / sizeof *models};
    memcpy(out->models, models, sizeof models);
}

static void check_sums(
    const struct attribute_input *input, const struct attribute_answer *answers, size_t count)
{
    for (size_t i = 0, end; i < count; i = end) {
        double conversions = 0, value = 0, sizes = 1, value_sizes = 1 + input->set.amount.size;
        for (end = i; end < count && answers[end].model == answers[i].model; end++) {
            const struct attribute_answer *answer = &answers[end];
            check(isfinite(answer->conversions) && isfinite(answer->value));
            check(!isinf(answer->effect) && !isinf(answer->value_effect));
            conversions += answer->conversions;
            value += answer->value;
            sizes += fabs(answer->conversions);
            value_sizes += fabs(answer->value);
        }
        check(fabs(conversions - input->set.conversions) <= NEAR * sizes);
        check(fabs(value - input->set.value) <= NEAR * value_sizes);
    }
}

static void solve(struct attribute_input *input, FILE *out)
{
    struct attribute_answer *answers = NULL;
    size_t count = 0;
    if (input->set.channels_count > CHANNELS_MAX)
        return;
    int r = attribute_solve(input, &answers, &count);
    check(r == 0 || r == ERR_CONFIG);
    if (r == 0)
        check_sums(input, answers, count);
    check(r < 0 || attribute_write_answers(ATTRIBUTE_CSV, answers, count, out) == 0);
    free(answers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attribute_options options;
    struct attribute_input input = {.options = &options};
    if (size < 2)
        return 0;
    FILE *in = fmemopen((void *)(uintptr_t)(data + 1), size - 1, "r"),
         *out = fopen("/dev/null", "w");
    check(in && out);
    take_flags(data[0], out, &options);
    int r = attribute_read(&input, in);
    check(r == 0 || r == ERR_CONFIG || r == ERR_TOO_LARGE);
    if (r == 0)
        solve(&input, out);
    attribute_input_free(&input);
    (void)fclose(in);
    (void)fclose(out);
    return 0;
}

static const char *const samples[] = {
    "path,total_conversions,total_conversion_value,total_null\nA > B > "
    "A,1,2.5,3\nB,0,-7,1\n,2,1,0\n"
    "A > B > A,0,-2.5,0\nC > Direct,9007199,1e9,4\n",
    "\xEF\xBB\xBFjourney;conversions;revenue;nulls\r\n\"A > \"\"B\"\"\";1;2;3\r\n\"x;y\nz > "
    "A\";0;5;"
    "0\r\n",
    "customer_id,time,interaction,conversion,conversion_value,channel\n1,2026-11-20,click,0,0,A\n"
    "1,1795200000,form,1,12.34,B\n2,1795200000000000,x,yes,-3,\n1,2026-11-21 "
    "9:00:00,x,1,7,Direct\n",
    "uid\tevent_date\tmkt_source\tconverted\n7\t20261120\tA\t1\n7\t20261119\tB\t0\n",
    "channels,converted,value\nA > A > B,true,5\nB > C > C,false,3\nA,1,-5\n",
};

/* A sample, with some characters changed to ones that mean something. */
size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    static const char meaningful[] = "\",;\t>\n\r 0-9.eA\\\xff";
    struct str sample = str_of(samples[seed % (sizeof samples / sizeof *samples)]);
    uint64_t state = seed * 0x9E3779B97F4A7C15ULL;
    out[0] = (uint8_t)(state >> 40);
    memcpy(out + 1, sample.data, sample.size);
    for (uint64_t changes = seed / 8 % CHANGES_MAX; changes; changes--) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        out[1 + (state >> 33) % sample.size] =
            (uint8_t)meaningful[(state >> 20) % (sizeof meaningful - 1)];
    }
    return sample.size + 1;
}
