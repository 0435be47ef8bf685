/* A mapping file and a data file from outside: the first line end but one splits them. Whatever
 * comes in, rows are counted once, nothing is lost between events, rejections and skips, and
 * cutting the file in chunks elsewhere gives the same records. */
#include "tests/fuzz/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ingest/import/import.h"
#include "schemas/error.h"
#include "schemas/hash.h"

#define SMALL_CHUNK 7
#define CHANGES_MAX 4

static const char separator[] = "\n%%\n";

/* Sums hashes of what is appended, so that order and chunks do not count. */
struct summing {
    struct appender appender;
    uint64_t sum;
    uint64_t records;
};

static int sum_append(struct appender *appender, const struct append_record *records, size_t count,
    const struct append_cursor *cursor)
{
    struct summing *summing = (struct summing *)appender;
    (void)cursor;
    for (size_t i = 0; i < count; i++)
        summing->sum += hash64(records[i].key) * 31 + hash64(records[i].value);
    summing->records += count;
    return 0;
}

static int no_cursor(struct appender *appender, struct str name, struct buf *out)
{
    (void)appender;
    (void)name;
    (void)out;
    return APPEND_NO_CURSOR;
}

static int import(const struct mapping *mapping, const char *path, size_t chunk_bytes,
    struct summing *summing, struct import_progress *progress)
{
    struct door_config door;
    struct import *import = NULL;
    CLEANUP(buf_free) struct buf message = {0};
    *summing = (struct summing){.appender = {sum_append, no_cursor}};
    door_config_default(&door);
    struct import_options options = {.mapping = mapping,
        .door = &door,
        .appender = &summing->appender,
        .now_micros = 1795200000000000,
        .chunk_bytes = chunk_bytes};
    int r = import_open(&options, &import, &message);
    if (r == 0)
        r = import_file(import, path, &message);
    check(r == 0 || message.size > 0);
    if (import)
        import_get_progress(import, progress);
    import_close(&import);
    return r;
}

static void import_both_ways(const struct mapping *mapping, const char *path)
{
    struct summing whole, parts;
    struct import_progress progress = {0}, again = {0};
    int r = import(mapping, path, 0, &whole, &progress);
    check(r == 0 || r == ERR_CONFIG);
    check(import(mapping, path, SMALL_CHUNK, &parts, &again) == r);
    check(whole.sum == parts.sum && whole.records == parts.records);
    check(whole.records == progress.events + progress.rejected);
    check(r < 0 || progress.bytes_done == progress.bytes_total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *cut = memmem(data, size, separator, sizeof(separator) - 1);
    size_t mapping_size = cut ? (size_t)(cut + 1 - (const char *)data) : size;
    struct str rows = str_make(NULL, 0);
    if (cut)
        rows = str_make(cut + 4, size - mapping_size - 3);
    struct mapping *mapping = NULL;
    CLEANUP(buf_free) struct buf message = {0};
    int r = mapping_parse("m", str_make(data, mapping_size), &mapping, &message);
    check(r == 0 || (r == ERR_CONFIG && message.size > 0));
    if (r < 0)
        return 0;
    char path[] = "/tmp/tabiji-fuzz-XXXXXX";
    int fd = mkstemp(path);
    check(fd >= 0);
    check(write(fd, rows.data, rows.size) == (ssize_t)rows.size);
    (void)close(fd);
    import_both_ways(mapping, path);
    (void)unlink(path);
    mapping_free(&mapping);
    return 0;
}

static const char *const samples[] = {
    "[file]\nname = n\ndelimiter = ;\ngrouping = ,\n[event touch]\nwhen = c > 0\ntime = t\n"
    "ids.login = u\nchannel = c via m\norder.revenue = r\norder.currency = \"USD\"\n"
    "properties.x = {u}-{c}{{}}\n[map m]\n1 = one\n* = other\n%%\n"
    "u;t;c;r\nu1;2026-11-20 10:15:00 "
    "+0900;1;\"1,5\"\nu2;2026-11-20;0;\n\"u\n\"\"3\";2026-11-20;2;7\n",
    "[file]\nname = n\nencoding = CP932\ncolumns = a,b\n[event touch]\nids.login = a\ntime = "
    "\"2026-11-20\"\n[event other]\n"
    "when = b notempty\ntime = \"2026-11-20\"\nids.cookie = b\nsequence = "
    "b\n%%\n\x95\x5c,1\r\n\x87\x40,x\r\n,\r\nz,2",
    "[file]\nname = n\nformat = ndjson\n[event touch]\nids.login = u.id\ntime = "
    "\"2026-11-20\"\nproperties = p\n"
    "page.url = l.0\n%%\n{\"u\":{\"id\":5},\"p\":{\"b\":1,\"a\":[]},\"l\":[\"https://A/?b#c\"]}\n"
    "{\"u\":{\"id\":5},\"p\":{\"b\":1,\"a\":[]},\"l\":[\"https://A/?b#c\"]}\n{\"u\":7}\n",
    "[file]\nname = n\nformat = native\n%%\n{\"type\":\"touch\",\"ids\":{\"login\":\"u\"}}\n"
    "{\"type\":\"touch\",\"ids\":{\"login\":\"u\"}}\n{\"type\":\"x\",\"id\":\"1\",\"ids\":{}}\n",
    "[file]\nname = n\nformat = segment\n%%\n{\"type\":\"track\",\"event\":\"A "
    "b\",\"messageId\":\"1\","
    "\"userId\":\"u\",\"timestamp\":\"2026-11-20T00:00:00Z\"}\n",
};

/* A sample, with some characters changed to ones that mean something. */
size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    static const char meaningful[] = "\"{}[]:,;=.%\n\r 0-9\\\xff";
    struct str sample = str_of(samples[seed % (sizeof(samples) / sizeof(samples[0]))]);
    memcpy(out, sample.data, sample.size);
    uint64_t state = seed * 0x9E3779B97F4A7C15ULL;
    for (uint64_t changes = seed / 8 % CHANGES_MAX; changes; changes--) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        out[(state >> 33) % sample.size] =
            (uint8_t)meaningful[(state >> 20) % (sizeof(meaningful) - 1)];
    }
    return sample.size;
}
