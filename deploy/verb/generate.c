/* `tabiji generate`: invented events as NDJSON on standard output. */
#include <stdio.h>
#include <unistd.h>

#include "deploy/generator.h"
#include "deploy/progress.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define WRITE_SIZE ((size_t)1 << 16)

static int flush(struct buf *out)
{
    bool whole = fwrite(out->data, 1, out->size, stdout) == out->size;
    buf_clear(out);
    return whole ? 0 : ERR_IO;
}

static int write_all(const struct generator *generator, bool with_source)
{
    CLEANUP(buf_free) struct buf out = {0};
    struct progress progress;
    size_t count = generator_count(generator);
    progress_begin(&progress, "generate", (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        int r = 0;
        if (with_source)
            r = buf_appendf(&out, "%s\t", generator_source(generator, i));
        if (r == 0)
            r = generator_write(generator, i, &out);
        if (r == 0)
            r = buf_append_str(&out, STR("\n"));
        if (r == 0 && out.size >= WRITE_SIZE)
            r = flush(&out);
        if (r < 0)
            return r;
        progress_at(&progress, (int64_t)i + 1);
    }
    progress_end(&progress);
    int r = flush(&out);
    return r < 0 || fflush(stdout) == 0 ? r : ERR_IO;
}

static int run(struct verb_call *call)
{
    struct generator_config config;
    generator_config_default(&config);
    long long events = (long long)config.events_max, seed = 1, days = config.days;
    int r = verb_integer(call, "--events", 1, 1000000000, &events);
    if (r == 0)
        r = verb_integer(call, "--seed", 0, INT64_MAX, &seed);
    if (r == 0)
        r = verb_integer(call, "--days", 1, 3660, &days);
    if (r)
        return r;
    const char *start = verb_value(call, "--start");
    if (start && time_parse(str_of(start), &config.start_micros) < 0)
        return verb_usage(call, "--start must be a time of RFC 3339, not \"%s\"", start);
    config.events_max = (size_t)events;
    config.seed = (uint64_t)seed;
    config.days = (int32_t)days;
    CLEANUP(generator_free) struct generator *generator = NULL;
    r = generator_new(&config, &generator);
    if (r == 0)
        r = write_all(generator, verb_switch(call, "--with-source"));
    return r < 0 ? verb_fail(call, r, "cannot write events") : EXIT_OK;
}

static const struct verb_option options[] = {
    {"--events", "N", "how many events (default 10000)", NULL},
    {"--seed", "N", "the same seed gives the same events (default 1)", NULL},
    {"--days", "N", "length of the period (default 7)", NULL},
    {"--start", "TIME", "start of the period (default 2026-11-16T00:00:00+09:00)", NULL},
    {"--with-source", NULL, "put the sending source and a tab before each event", NULL},
};

const struct verb verb_generate = {
    .name = "generate",
    .summary = "write invented events of an omnichannel retailer as NDJSON",
    .arguments = "",
    .detail =
        "Writes native JSON events of invented customers to standard output: web, app, LINE, "
        "e-mail, ads,\n"
        "stores, calls, store pickup, returns, shared devices. Everything follows from the seed.",
    .examples = "  tabiji generate --events 100000 --seed 7 > events.ndjson\n"
                "  tabiji generate --events 1000 | tabiji emit --url http://127.0.0.1:8080",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};
