/*
 * Import of files: native NDJSON of about 850 bytes a row and a touch-log CSV of about 60, into
 * nothing (what reading, mapping and the door cost) and into the local log (durable). Rows and
 * bytes a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ingest/import/import.h"
#include "ingest/stream/local.h"

#define NATIVE_ROWS 400000
#define CSV_ROWS 1000000
#define PATH_SIZE_MAX 256

static const char native_mapping[] = "[file]\nname = bench\nformat = native\n";
static const char csv_mapping[] =
    "[file]\nname = bench\n[event touch]\ntime = time\nids.login = customer_id\nchannel = channel\n"
    "properties.interaction = interaction\n[event order_completed]\nwhen = conversion = 1\n"
    "time = time\nids.login = customer_id\norder.revenue = conversion_value\n"
    "order.currency = \"USD\"\n";

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void write_native(FILE *file, int i)
{
    check(
        fprintf(file,
            "{\"id\":\"0192f3c1-7b1e-7c3a-9d55-%012d\",\"type\":\"%s\","
            "\"time\":\"2026-11-%02dT10:15:%02d.%03d+09:00\","
            "\"ids\":{\"cookie\":\"c-%08d\",\"login\":\"u-%d\"},"
            "\"consent\":{\"analytics\":true,\"ads\":%s,\"personalisation\":true},"
            "\"page\":{\"url\":\"https://www.example.co.jp/products/shoes/running/%d?color=blue\","
            "\"title\":\"ランニングシューズ %d | Example Shop\","
            "\"referrer\":\"https://www.google.co.jp/search?q=shoes\"},"
            "\"campaign\":{\"source\":\"google\",\"medium\":\"cpc\",\"name\":\"autumn_%d\","
            "\"content\":\"banner_a\",\"term\":\"running shoes\"},"
            "\"client\":{\"user_agent\":\"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) "
            "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1\"},"
            "\"properties\":{\"variant\":\"b\",\"stock\":%d,\"price\":9800,\"wished\":false,"
            "\"tags\":[\"sale\",\"new\",\"men\"],\"depth\":0.75}}\n",
            i, i % 2 ? "page_viewed" : "product_viewed", 1 + i % 28, i % 60, i * 37 % 1000,
            i % 50000, i % 40000, i % 3 ? "true" : "false", i % 977, i % 977, i % 9, i % 100) > 0);
}

static void write_csv(FILE *file, int i)
{
    static const char *const channels[] = {"Facebook", "Instagram", "Online Video", "Paid Search"};
    if (i == 0)
        check(
            fputs("customer_id,time,interaction,conversion,conversion_value,channel\n", file) >= 0);
    bool sale = i % 34 == 0;
    check(fprintf(file, "A%06d,2018-07-%02dT%02d:40:%02dZ,%s,%d,%s,%s\n", i % 80000, 1 + i % 28,
              i % 24, i % 60, sale ? "conversion" : "impression", sale, sale ? "6.5" : "0",
              channels[i % 4]) > 0);
}

static void write_file(const char *path, void (*write_row)(FILE *, int), int rows)
{
    FILE *file = fopen(path, "wb");
    check(file != NULL);
    for (int i = 0; i < rows; i++)
        write_row(file, i);
    check(fclose(file) == 0);
}

static int append_nothing(struct appender *appender, const struct append_record *records,
    size_t count, const struct append_cursor *cursor)
{
    (void)appender;
    (void)records;
    (void)count;
    (void)cursor;
    return 0;
}

static int no_cursor(struct appender *appender, struct str name, struct buf *out)
{
    (void)appender;
    (void)name;
    (void)out;
    return APPEND_NO_CURSOR;
}

static void measure(const char *what, const char *text, const char *path, struct appender *appender)
{
    struct mapping *mapping = NULL;
    struct import *import = NULL;
    struct door_config door;
    CLEANUP(buf_free) struct buf message = {0};
    door_config_default(&door);
    check(mapping_parse("bench", str_of(text), &mapping, &message) == 0);
    struct import_options options = {
        .mapping = mapping, .door = &door, .appender = appender, .now_micros = 1795200000000000};
    double begin = now_s();
    double cpu_begin = cpu_s();
    check(import_open(&options, &import, &message) == 0);
    check(import_file(import, path, &message) == 0);
    struct import_progress progress;
    import_get_progress(import, &progress);
    import_close(&import);
    mapping_free(&mapping);
    double seconds = now_s() - begin;
    double cpu = cpu_s() - cpu_begin;
    check(progress.rejected == 0 && progress.events >= progress.rows);
    printf("  %-28s %8.0f events/s  %6.1f MB/s  %5.2f CPU s a million events\n", what,
        (double)progress.events / seconds, 1e-6 * (double)progress.bytes_done / seconds,
        1e6 * cpu / (double)progress.events);
    (void)fflush(stdout);
}

static void measure_local(
    const char *what, const char *text, const char *path, const char *directory)
{
    char data[PATH_SIZE_MAX];
    struct local *local = NULL;
    (void)snprintf(data, sizeof(data), "%s/%s", directory, what);
    check(local_open(&local, data, NULL) == 0);
    measure(what, text, path, local_appender(local));
    local_close(&local);
}

int main(int argc, char **argv)
{
    bool all = argc < 2;
    bool only_native = !all && strcmp(argv[1], "native") == 0;
    char directory[] = "/tmp/tabiji-bench-XXXXXX";
    char native[PATH_SIZE_MAX], csv[PATH_SIZE_MAX], clean[PATH_SIZE_MAX];
    check(mkdtemp(directory) != NULL);
    (void)snprintf(native, sizeof(native), "%s/native.ndjson", directory);
    (void)snprintf(csv, sizeof(csv), "%s/touches.csv", directory);
    struct appender nothing = {append_nothing, no_cursor};
    printf("import: %ld cores online\n", sysconf(_SC_NPROCESSORS_ONLN));
    if (all || only_native) {
        write_file(native, write_native, NATIVE_ROWS);
        measure("native to nothing", native_mapping, native, &nothing);
        measure_local("native to local", native_mapping, native, directory);
    }
    if (all || !only_native) {
        write_file(csv, write_csv, CSV_ROWS);
        measure("csv to nothing", csv_mapping, csv, &nothing);
        measure_local("csv to local", csv_mapping, csv, directory);
    }
    (void)snprintf(clean, sizeof(clean), "rm -rf '%s'", directory);
    return system(clean) == 0 ? 0 : 1;
}
