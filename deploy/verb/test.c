/*
 * `tabiji test`: a mapping over sample files, beside what it should give.
 *
 * A sample is any file of the directory; NAME.expected holds a line for each event and each row
 * that is rejected. That depends on nothing else: the key of pseudonyms is the public one, the
 * clock stands.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "deploy/file_replace.h"
#include "deploy/line_diff.h"
#include "deploy/render.h"
#include "deploy/settings.h"
#include "deploy/verb/verbs.h"
#include "ingest/config/ini.h"
#include "ingest/import/import.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/rejected.avro.h"

#define EXPECTED ".expected"
#define README "README.md"
#define PATH_SIZE_MAX 4096
#define SAMPLES_MAX 1000
#define SAMPLE_SIZE_MAX ((size_t)64 << 20)
#define CONTEXT 1
/* No time of a sample is later, so none is in the future. Source: 2100-01-01T00:00:00Z. */
#define NOW (INT64_C(4102444800) * 1000000)

/* What a run appends, as lines. */
struct lines {
    struct appender appender; /* first: the import hands it back */
    struct buf text;
    size_t events;
    size_t rejected;
};

struct testing {
    struct verb_call *call;
    const char *dir;
    struct settings settings;
    struct door_config door;
    struct mapping *mapping;
    char *names[SAMPLES_MAX];
    size_t count;
    size_t differ;
    size_t written;
    struct buf out; /* printed at the end, so that JSON is whole whatever comes */
};

/* ---- events as lines ---- */

/* Without what tells of the arrival, or follows from the rest. */
static int write_event(struct buf *out, struct str value, struct arena *arena)
{
    struct touchpoint event;
    int r = touchpoint_decode(&event, value, arena);
    if (r < 0)
        return r;
    memset(event.event_key, 0, sizeof event.event_key);
    event.received_at = 0;
    event.adapter_version = 0;
    return event_json_write(&event, out);
}

static int write_rejection(struct buf *out, struct str value, struct arena *arena)
{
    struct rejected rejected;
    int r = rejected_decode(&rejected, value, arena);
    if (r == 0)
        r = buf_appendf(out, "{\"hint\":");
    if (r == 0)
        r = json_write_text(out, rejected.hint);
    if (r == 0)
        r = buf_appendf(out, ",\"line\":%lld,\"pointer\":", (long long)rejected.line);
    if (r == 0)
        r = json_write_text(out, rejected.pointer);
    if (r == 0)
        r = buf_append_str(out, STR(",\"rejected\":"));
    if (r == 0)
        r = json_write_text(out, rejected.reason);
    return r < 0 ? r : buf_append_str(out, STR("}"));
}

static int take_records(struct appender *appender, const struct append_record *records,
    size_t count, const struct append_cursor *cursor)
{
    struct lines *lines = (struct lines *)(void *)appender;
    struct arena arena = {0};
    int r = 0;
    (void)cursor;
    for (size_t i = 0; r == 0 && i < count; i++) {
        bool event = records[i].topic == TOPIC_EVENTS;
        r = event ? write_event(&lines->text, records[i].value, &arena)
                  : write_rejection(&lines->text, records[i].value, &arena);
        if (r == 0)
            r = buf_append_str(&lines->text, STR("\n"));
        lines->events += event;
        lines->rejected += !event;
        arena_reset(&arena);
    }
    arena_free(&arena);
    return r;
}

static int no_cursor(struct appender *appender, struct str name, struct buf *out)
{
    (void)appender;
    (void)name;
    (void)out;
    return APPEND_NO_CURSOR;
}

/* ---- one sample ---- */

static int run_sample(struct testing *testing, const char *path, struct lines *lines)
{
    CLEANUP(buf_free) struct buf message = {0};
    CLEANUP(import_close) struct import *import = NULL;
    const struct config_source *source =
        config_source(testing->call->config, testing->mapping->source);
    const struct import_options options = {.mapping = testing->mapping,
        .door = &testing->door,
        .appender = &lines->appender,
        .plan = source ? source->plan : PLAN_USUAL,
        .now_micros = NOW};
    int r = import_open(&options, &import, &message);
    if (r == 0)
        r = import_file(import, path, &message);
    if (r < 0)
        return verb_end(testing->call, r == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED, error_name(r),
            "%.*s", message.size ? (int)message.size : (int)strlen(error_text(r)),
            message.size ? message.data : error_text(r));
    return 0;
}

/* Lines of a diff as a JSON array of texts. */
static int write_diff_json(struct str diff, struct buf *out)
{
    int r = buf_append_str(out, STR("["));
    for (bool first = true; r == 0 && diff.size; first = false) {
        const char *end = memchr(diff.data, '\n', diff.size);
        size_t size = end ? (size_t)(end - diff.data) : diff.size;
        size_t taken = end ? size + 1 : size;
        r = buf_append_str(out, first ? STR("") : STR(","));
        if (r == 0)
            r = json_write_text(out, str_make(diff.data, size));
        diff = str_make(diff.data + taken, diff.size - taken);
    }
    return r < 0 ? r : buf_append_str(out, STR("]"));
}

static int tell_sample(struct testing *testing, const char *name, const struct lines *lines,
    const char *verdict, struct str diff)
{
    struct buf *out = &testing->out;
    bool json = testing->call->json;
    int r = 0;
    if (json)
        r = buf_appendf(out, "%s{\"sample\":", out->size ? ",\n" : "");
    if (r == 0)
        r = json ? json_write_text(out, str_of(name)) : render_safe(out, str_of(name));
    if (r == 0)
        r = buf_appendf(out,
            json ? ",\"verdict\":\"%s\",\"events\":%zu,\"rejected\":%zu,\"diff\":"
                 : ": %s; %zu events, %zu rejected\n",
            verdict, lines->events, lines->rejected);
    if (r == 0)
        r = json ? write_diff_json(diff, out) : buf_append_str(out, diff);
    return r < 0 || !json ? r : buf_append_str(out, STR("}"));
}

/* Compares, or with --update writes, what a sample gives. 0, or an exit_code. */
static int judge_sample(
    struct testing *testing, const char *name, const char *path, const struct lines *lines)
{
    char expected[PATH_SIZE_MAX + sizeof EXPECTED];
    CLEANUP(buf_free) struct buf old = {0};
    CLEANUP(buf_free) struct buf diff = {0};
    const char *verdict = "as expected";
    (void)snprintf(expected, sizeof expected, "%s" EXPECTED, path);
    errno = 0;
    int r = ini_load(expected, SAMPLE_SIZE_MAX, &old);
    bool absent = r == ERR_NOT_FOUND;
    if (r < 0 && !absent)
        return verb_fail_system(testing->call, r, errno, "%s", expected);
    r = line_diff(buf_str(&old), buf_str(&lines->text), CONTEXT, &diff);
    if (r == 0 && (absent || !str_equal(buf_str(&old), buf_str(&lines->text)))) {
        bool update = verb_switch(testing->call, "--update");
        int error = !update  ? 0
                    : absent ? file_create(expected, buf_str(&lines->text))
                             : file_replace_alike(expected, buf_str(&lines->text));
        if (error)
            return verb_end(testing->call, EXIT_FAILED, error_name(ERR_IO), "%s: %s", expected,
                strerror(error));
        verdict = update   ? "written"
                  : absent ? "has no " EXPECTED " beside it"
                           : "differs (- expected, + given)";
        testing->written += update;
        testing->differ += !update;
    }
    if (r == 0)
        r = tell_sample(testing, name, lines, verdict, buf_str(&diff));
    return r < 0 ? verb_fail(testing->call, r, "%s", path) : 0;
}

static int test_sample(struct testing *testing, const char *name)
{
    char path[PATH_SIZE_MAX];
    struct lines lines = {.appender = {.append = take_records, .cursor_get = no_cursor}};
    int size = snprintf(path, sizeof path, "%s/%s", testing->dir, name);
    if (size < 0 || (size_t)size >= sizeof path - sizeof EXPECTED)
        return verb_end(testing->call, EXIT_FAILED, error_name(ERR_IO), "%s/%s: %s", testing->dir,
            name, strerror(ENAMETOOLONG));
    int r = run_sample(testing, path, &lines);
    if (r == 0)
        r = judge_sample(testing, name, path, &lines);
    buf_free(&lines.text);
    return r;
}

/* ---- the directory ---- */

static bool is_expected(const char *name)
{
    size_t size = strlen(name), suffix = sizeof EXPECTED - 1;
    return size > suffix && strcmp(name + size - suffix, EXPECTED) == 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names that are samples, or expected. 0 or an errno. */
static int read_names(struct testing *testing, DIR *stream)
{
    errno = 0;
    for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, README) == 0)
            continue;
        if (testing->count == SAMPLES_MAX)
            return E2BIG;
        testing->names[testing->count] = strdup(entry->d_name);
        if (!testing->names[testing->count])
            return ENOMEM;
        testing->count++;
        errno = 0;
    }
    qsort(testing->names, testing->count, sizeof *testing->names, compare_names);
    return errno;
}

/* An expected file without its sample: a sample that was renamed is tested by nobody. */
static int check_orphan(struct testing *testing, const char *name)
{
    size_t size = strlen(name) - (sizeof EXPECTED - 1);
    for (size_t i = 0; i < testing->count; i++)
        if (strlen(testing->names[i]) == size && strncmp(testing->names[i], name, size) == 0)
            return 0;
    struct lines none = {.events = 0};
    testing->differ++;
    return tell_sample(testing, name, &none, "has no sample beside it", STR(""));
}

static int test_all(struct testing *testing)
{
    struct verb_call *call = testing->call;
    size_t samples = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < testing->count; i++) {
        bool expected = is_expected(testing->names[i]);
        samples += !expected;
        r = expected ? check_orphan(testing, testing->names[i])
                     : test_sample(testing, testing->names[i]);
    }
    if (r != 0)
        return r < 0 ? verb_fail(call, r, "%s", testing->dir) : r;
    int size = (int)testing->out.size;
    const char *text = size ? testing->out.data : "";
    if (call->json)
        (void)printf("{\"samples\":[%.*s],\"differ\":%zu,\"written\":%zu}\n", size, text,
            testing->differ, testing->written);
    else
        (void)printf("%.*s%zu samples: %zu differ, %zu written\n", size, text, samples,
            testing->differ, testing->written);
    return testing->differ ? EXIT_FAILED : EXIT_OK;
}

static int open_dir(struct testing *testing)
{
    DIR *stream = opendir(testing->dir);
    int error = stream ? read_names(testing, stream) : errno;
    if (stream)
        (void)closedir(stream);
    if (error == ENOENT)
        return verb_not_found(testing->call, "%s: %s", testing->dir, strerror(error));
    if (error)
        return verb_end(testing->call, EXIT_FAILED, error_name(ERR_IO), "%s: %s", testing->dir,
            strerror(error));
    return testing->count ? 0 : verb_not_found(testing->call, "%s has no samples", testing->dir);
}

/* ---- the verb ---- */

/* The configured namespaces, blocked values and plan, and the public key. */
static int open_door(struct testing *testing)
{
    const struct door_config *configured = &testing->settings.door;
    int r = settings_open(&testing->settings, testing->call->config);
    if (r == 0)
        r = settings_open_plan(&testing->settings);
    if (r < 0)
        return verb_fail(testing->call, r, "configuration");
    door_config_default(&testing->door);
    testing->door.plan = configured->plan;
    testing->door.plan_mode = configured->plan_mode;
    testing->door.identifiers.namespaces = configured->identifiers.namespaces;
    testing->door.identifiers.blocked = configured->identifiers.blocked;
    testing->door.identifiers.blocked_count = configured->identifiers.blocked_count;
    return 0;
}

static int open_mapping(struct testing *testing)
{
    const char *path = testing->call->arguments[0];
    CLEANUP(buf_free) struct buf message = {0};
    int r = mapping_load(path, &testing->mapping, &message);
    if (r == ERR_NO_MEMORY)
        return verb_fail(testing->call, r, "%s", path);
    return r < 0 ? verb_end(testing->call, EXIT_USAGE, error_name(r), "%.*s", (int)message.size,
                       message.data)
                 : 0;
}

static int run(struct verb_call *call)
{
    struct testing testing = {.call = call, .dir = verb_value(call, "--samples")};
    if (!testing.dir)
        return verb_usage(call, "needs --samples DIR");
    int r = open_door(&testing);
    if (r == 0)
        r = open_mapping(&testing);
    if (r == 0)
        r = open_dir(&testing);
    if (r == 0)
        r = test_all(&testing);
    for (size_t i = 0; i < testing.count; i++)
        free(testing.names[i]);
    buf_free(&testing.out);
    mapping_free(&testing.mapping);
    settings_close(&testing.settings);
    return r;
}

static const struct verb_option options[] = {
    {"--samples", "DIR", "files to map, and beside each NAME" EXPECTED ", what it should give",
        NULL},
    {"--update", NULL,
        "write what they give now as what they should: look at it before you keep it", NULL},
};

const struct verb verb_test = {
    .name = "test",
    .summary = "run a mapping over sample files and compare what it gives",
    .arguments = "MAPPING",
    .detail =
        "Every file of the directory (but README.md and names that begin with a point) is imported "
        "by the mapping, and\n"
        "kept nowhere. NAME" EXPECTED
        " beside it has a line for each event, as native JSON, and for each row that is\n"
        "rejected; what differs is shown as a diff, with exit 1. --update writes these files. What "
        "comes out depends on\n"
        "mapping, sample and [identity], [plan] of the configuration alone: pseudonyms are of the "
        "public key, and the clock\n"
        "stands at 2100. Exit 2: the mapping is wrong. Exit 4: no such directory, or nothing in "
        "it.",
    .examples = "  tabiji test mappings/pos.ini --samples mappings/pos-samples\n"
                "  tabiji test mappings/pos.ini --samples mappings/pos-samples --update",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
