/*
 * Rule models against published results of others, read in place: DP6 (first, last, last non-A,
 * linear, U), ChannelAttribution (first, last, linear over 10,000 aggregated paths), dbt-labs'
 * playbook (first, last, linear, U, time decay of every touch).
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "enrich/attribution/credit.h"

#define SKIP 77
#define LINE_SIZE_MAX 65536
#define CHANNELS_MAX 16
#define NAME_SIZE_MAX 64
#define PATH_MAX_TOUCHES 1024
#define MODELS_MAX 8
#define FIELDS_MAX 32
#define TOLERANCE 1e-9

struct channel {
    char name[NAME_SIZE_MAX];
    double found[MODELS_MAX][2]; /* conversions, value */
};

struct table {
    struct channel channels[CHANNELS_MAX];
    size_t count;
};

static char line[LINE_SIZE_MAX];
static int failures;

static FILE *open_fixture(const char *name)
{
    char path[4096];
    const char *shared = getenv("TABIJI_SHARED");
    (void)snprintf(path, sizeof path, "%s/data/attribution/%s", shared ? shared : "", name);
    FILE *file = fopen(path, "r");
    if (!file) {
        printf("skipped: no fixtures at %s\n", path);
        exit(SKIP);
    }
    return file;
}

static void expect(const char *what, const char *who, double found, double wanted)
{
    if (fabs(found - wanted) <= TOLERANCE * (1 + fabs(wanted)))
        return;
    printf("%s of %s: %.12f, wanted %.12f\n", what, who, found, wanted);
    failures++;
}

/* Cuts the line at `separator`, trims blanks and quotes. Returns the number of fields. */
static size_t cut_line(char *text, char separator, char **fields)
{
    size_t count = 0;
    text[strcspn(text, "\r\n")] = 0;
    while (text && count < FIELDS_MAX) {
        char *end = strchr(text, separator);
        if (end)
            *end = 0;
        while (*text == ' ' || *text == '"')
            text++;
        for (size_t size = strlen(text); size && (text[size - 1] == ' ' || text[size - 1] == '"');)
            text[--size] = 0;
        fields[count++] = text;
        text = end ? end + 1 : NULL;
    }
    return count;
}

static struct channel *channel_of(struct table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->channels[i].name, name) == 0)
            return &table->channels[i];
    check(table->count < CHANNELS_MAX);
    struct channel *channel = &table->channels[table->count++];
    (void)snprintf(channel->name, sizeof channel->name, "%s", name);
    return channel;
}

/* Credits a path "a > b > c" by each model. The channel named `direct` is Direct. */
static void credit_path(struct table *table, char *path, const enum rule_model *models,
    const double amounts[2], const char *direct)
{
    static struct rule_touch touches[PATH_MAX_TOUCHES];
    static struct channel *channels[PATH_MAX_TOUCHES];
    static uint64_t weights[PATH_MAX_TOUCHES];
    const struct rule_config config = rule_config_default();
    size_t count = 0;
    for (char *name = strtok(path, " >"); name; name = strtok(NULL, " >")) {
        check(count < PATH_MAX_TOUCHES);
        channels[count] = channel_of(table, name);
        touches[count++] = (struct rule_touch){0, strcmp(name, direct) == 0};
    }
    for (size_t m = 0; models[m] != RULE_MODEL_UNKNOWN; m++) {
        double sum = 0;
        rule_weights(models[m], &config, touches, count, weights);
        for (size_t i = 0; i < count; i++)
            sum += (double)weights[i];
        for (size_t i = 0; i < count; i++)
            for (int k = 0; k < 2; k++)
                channels[i]->found[m][k] += amounts[k] * (double)weights[i] / sum;
    }
}

static void test_dp6(void)
{
    static const enum rule_model models[] = {RULE_MODEL_FIRST, RULE_MODEL_LAST, RULE_MODEL_LINEAR,
        RULE_MODEL_POSITION, RULE_MODEL_LAST_NON_DIRECT, RULE_MODEL_UNKNOWN};
    static struct table table;
    char *fields[FIELDS_MAX];
    FILE *file = open_fixture("dp6/input_9paths_all_converting.csv");
    check(fgets(line, sizeof line, file));
    while (fgets(line, sizeof line, file)) {
        check(cut_line(line, ',', fields) == 2);
        credit_path(&table, fields[0], models, (double[]){1, atof(fields[1])}, "A");
    }
    (void)fclose(file);
    file = open_fixture("dp6/expected_9paths_all_converting.csv");
    check(fgets(line, sizeof line, file));
    size_t rows = 0;
    for (; fgets(line, sizeof line, file); rows++) {
        check(cut_line(line, ',', fields) > 5);
        const struct channel *channel = channel_of(&table, fields[0]);
        for (size_t m = 0; models[m] != RULE_MODEL_UNKNOWN; m++)
            expect(
                rule_model_name(models[m]), fields[0], channel->found[m][1], atof(fields[m + 1]));
    }
    (void)fclose(file);
    printf("dp6: %zu channels\n", rows);
    failures += rows != 3;
}

static void test_channelattribution(void)
{
    static const enum rule_model models[] = {
        RULE_MODEL_FIRST, RULE_MODEL_LAST, RULE_MODEL_LINEAR, RULE_MODEL_UNKNOWN};
    static struct table table;
    char *fields[FIELDS_MAX];
    size_t paths = 0, rows = 0;
    FILE *file = open_fixture("channelattribution/Data_python.csv");
    check(fgets(line, sizeof line, file));
    for (; fgets(line, sizeof line, file); paths++) {
        check(cut_line(line, ';', fields) == 4);
        credit_path(
            &table, fields[0], models, (double[]){atof(fields[1]), atof(fields[2])}, "Direct");
    }
    (void)fclose(file);
    file = open_fixture("channelattribution/expected_heuristic.csv");
    check(fgets(line, sizeof line, file));
    for (; fgets(line, sizeof line, file); rows++) {
        check(cut_line(line, ',', fields) == 7);
        const struct channel *channel = channel_of(&table, fields[0]);
        for (size_t m = 0; m < 3; m++)
            for (size_t k = 0; k < 2; k++)
                expect(rule_model_name(models[m]), fields[0], channel->found[m][k],
                    atof(fields[1 + 2 * m + k]));
    }
    (void)fclose(file);
    printf("channelattribution: %zu paths, %zu channels\n", paths, rows);
    failures += paths != 10000 || rows != 12;
}

/* Columns of expected_attribution_touches.csv. */
enum { STARTED = 2, COUNT = 9, INDEX = 10, FIRST = 11, LAST, LINEAR, POSITION, DECAY = 20 };

/* Seconds are enough: "2020-02-04 4:30:21". All within one month. */
static int64_t micros_of(const char *text)
{
    int day, hour, minute, second;
    check(sscanf(text, "2020-02-%d %d:%d:%d", &day, &hour, &minute, &second) == 4);
    return (((int64_t)day * 24 + hour) * 60 + minute) * 60000000 + (int64_t)second * 1000000;
}

static void check_playbook_path(
    const struct rule_touch *touches, size_t count, double (*wanted)[5], const char *who)
{
    static const enum rule_model models[] = {RULE_MODEL_FIRST, RULE_MODEL_LAST, RULE_MODEL_LINEAR,
        RULE_MODEL_POSITION, RULE_MODEL_TIME_DECAY};
    const struct rule_config config = rule_config_default();
    uint64_t weights[PATH_MAX_TOUCHES];
    for (size_t m = 0; m < 5; m++) {
        double sum = 0;
        rule_weights(models[m], &config, touches, count, weights);
        for (size_t i = 0; i < count; i++)
            sum += (double)weights[i];
        for (size_t i = 0; i < count; i++)
            expect(rule_model_name(models[m]), who, (double)weights[i] / sum, wanted[i][m]);
    }
}

static void test_playbook(void)
{
    static double wanted[PATH_MAX_TOUCHES][5];
    static struct rule_touch touches[PATH_MAX_TOUCHES];
    char *fields[FIELDS_MAX];
    size_t paths = 0, rows = 0;
    FILE *file = open_fixture("dbt-labs-attribution-playbook/expected_attribution_touches.csv");
    check(fgets(line, sizeof line, file));
    for (; fgets(line, sizeof line, file); rows++) {
        check(cut_line(line, ',', fields) > DECAY);
        size_t count = (size_t)atoi(fields[COUNT]), index = (size_t)atoi(fields[INDEX]) - 1;
        check(index < count && count < PATH_MAX_TOUCHES);
        touches[index] = (struct rule_touch){micros_of(fields[STARTED]), false};
        for (size_t m = 0; m < 4; m++)
            wanted[index][m] = atof(fields[FIRST + m]);
        wanted[index][4] = atof(fields[DECAY]);
        if (index + 1 < count)
            continue;
        check_playbook_path(touches, count, wanted, fields[1]);
        paths++;
    }
    (void)fclose(file);
    printf("dbt-labs playbook: %zu conversions, %zu touches\n", paths, rows);
    failures += paths != 21 || rows != 39;
}

int main(void)
{
    test_dp6();
    test_channelattribution();
    test_playbook();
    printf("%d differences\n", failures);
    return failures != 0;
}
