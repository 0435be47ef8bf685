/*
 * Invariants: 1. files are sorted by source, then type. 2. Files live while a judgement uses them,
 * or the plan has them: `references` counts both.
 */
#include "ingest/plan/plan.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ingest/config/ini.h"
#include "ingest/plan/json_schema.h"
#include "schemas/error.h"

#define PATH_SIZE_MAX 4096
#define SUFFIX ".json"
#define README "README.md"
#define DESKS_MAX 64 /* kept for reuse */
#define HINT_BAD_PROPERTIES "the properties are not JSON"

struct plan_file {
    struct str source;
    struct str type;
    struct json_schema *schema;
};

struct plan_files {
    struct arena arena; /* names */
    struct plan_file *list;
    size_t count;
    size_t capacity;
    int references; /* under the plan's lock, once it has them */
};

/* What one judgement works with. */
struct desk {
    struct json_parser *parser;
    struct json_judge *judge;
    struct buf text;
};

struct plan {
    pthread_mutex_t lock;
    struct plan_files *files;
    struct desk *desks[DESKS_MAX];
    size_t desks_count;
};

/* ---- files ---- */

/* A directory that is read. */
struct loading {
    struct plan_files *files;
    struct buf *message;
};

static int complain(const struct loading *loading, const char *path, struct str what)
{
    int r = buf_appendf(loading->message, "%s: %.*s", path, (int)what.size, what.data);
    return r < 0 ? r : ERR_CONFIG;
}

static int complain_system(const struct loading *loading, const char *path, int error)
{
    return error == ENOMEM ? ERR_NO_MEMORY : complain(loading, path, str_of(strerror(error)));
}

/* "DIR/NAME". */
static int join(const struct loading *loading, const char *dir, const char *name, char *path)
{
    int size = snprintf(path, PATH_SIZE_MAX, "%s/%s", dir, name);
    return size > 0 && size < PATH_SIZE_MAX ? 0 : complain_system(loading, dir, ENAMETOOLONG);
}

static int keep_file(
    struct loading *loading, struct str source, struct str type, struct json_schema *schema)
{
    struct plan_files *files = loading->files;
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? 2 * files->capacity : 16;
        struct plan_file *list = realloc(files->list, capacity * sizeof *list);
        if (!list)
            return ERR_NO_MEMORY;
        files->list = list;
        files->capacity = capacity;
    }
    struct plan_file file = {.schema = schema};
    int r = arena_dup(&files->arena, source, &file.source);
    if (r == 0)
        r = arena_dup(&files->arena, type, &file.type);
    if (r == 0)
        files->list[files->count++] = file;
    return r;
}

static int load_schema(
    struct loading *loading, const char *path, struct str source, struct str type)
{
    struct arena arena = {0};
    struct str why = STR("");
    CLEANUP(buf_free) struct buf text = {0};
    CLEANUP(json_schema_free) struct json_schema *schema = NULL;
    errno = 0;
    int r = ini_load(path, JSON_SCHEMA_SIZE_MAX, &text);
    if (r < 0 && r != ERR_NO_MEMORY)
        return r == ERR_IO && errno ? complain_system(loading, path, errno)
                                    : complain(loading, path, str_of(error_text(r)));
    if (r == 0 && loading->files->count == PLAN_FILES_MAX)
        r = complain(loading, path, STR("there are too many files"));
    if (r == 0)
        r = json_schema_new(buf_str(&text), &arena, &why, &schema);
    if (r == ERR_CONFIG && why.size)
        r = complain(loading, path, why);
    if (r == 0)
        r = keep_file(loading, source, type, schema);
    if (r == 0)
        schema = NULL; /* the list's */
    arena_free(&arena);
    return r;
}

/* One name in a source's directory. */
static int load_file(struct loading *loading, const char *dir, struct str source, const char *name)
{
    char path[PATH_SIZE_MAX];
    struct str type = str_of(name);
    size_t suffix = sizeof SUFFIX - 1;
    int r = join(loading, dir, name, path);
    if (r < 0)
        return r;
    bool json = type.size > suffix && strcmp(name + type.size - suffix, SUFFIX) == 0;
    type.size -= json ? suffix : 0;
    if (!json || !event_type_valid(type))
        return complain(loading, path, STR("is not named by an event type: TYPE" SUFFIX));
    return load_schema(loading, path, source, type);
}

static bool source_valid(struct str name)
{
    bool valid = name.size && name.size <= SOURCE_NAME_SIZE_MAX;
    for (size_t i = 0; valid && i < name.size; i++) {
        char c = name.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        valid = word || (i && (c == '-' || c == '_'));
    }
    return valid || str_equal(name, STR(PLAN_ANY));
}

/* Calls take() for each name that is not passed over. */
static int each_name(struct loading *loading, const char *dir, struct str source,
    int (*take)(struct loading *loading, const char *dir, struct str source, const char *name))
{
    DIR *stream = opendir(dir);
    int r = 0;
    if (!stream)
        return complain_system(loading, dir, errno);
    errno = 0;
    for (struct dirent *entry = readdir(stream); r == 0 && entry; entry = readdir(stream)) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, README) != 0)
            r = take(loading, dir, source, entry->d_name);
        errno = 0;
    }
    if (r == 0 && errno)
        r = complain_system(loading, dir, errno);
    (void)closedir(stream);
    return r;
}

static int load_source(struct loading *loading, const char *dir, struct str none, const char *name)
{
    char path[PATH_SIZE_MAX];
    struct stat status;
    (void)none;
    int r = join(loading, dir, name, path);
    if (r < 0)
        return r;
    if (stat(path, &status) != 0)
        return complain_system(loading, path, errno);
    if (!S_ISDIR(status.st_mode) || !source_valid(str_of(name)))
        return complain(loading, path, STR("is no directory named by a source, nor " PLAN_ANY));
    return each_name(loading, path, str_of(name), load_file);
}

static int compare(struct str source, struct str type, const struct plan_file *file)
{
    int order = str_compare(source, file->source);
    return order ? order : str_compare(type, file->type);
}

static int compare_files(const void *a, const void *b)
{
    const struct plan_file *one = a;
    return compare(one->source, one->type, b);
}

int plan_files_load(const char *dir, struct plan_files **out, struct buf *message)
{
    struct plan_files *files = calloc(1, sizeof *files);
    struct loading loading = {.files = files, .message = message};
    if (!files)
        return ERR_NO_MEMORY;
    int r = each_name(&loading, dir, STR(""), load_source);
    if (r < 0) {
        plan_files_free(&files);
        return r;
    }
    if (files->count)
        qsort(files->list, files->count, sizeof *files->list, compare_files);
    files->references = 1;
    *out = files;
    return 0;
}

void plan_files_free(struct plan_files **files)
{
    struct plan_files *gone = *files;
    *files = NULL;
    if (!gone)
        return;
    for (size_t i = 0; i < gone->count; i++)
        json_schema_free(&gone->list[i].schema);
    free(gone->list);
    arena_free(&gone->arena);
    free(gone);
}

static const struct json_schema *find(
    const struct plan_files *files, struct str source, struct str type)
{
    size_t low = 0, high = files->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(source, type, &files->list[middle]);
        if (order == 0)
            return files->list[middle].schema;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* ---- desks ---- */

static void desk_free(struct desk **desk)
{
    struct desk *gone = *desk;
    *desk = NULL;
    if (!gone)
        return;
    json_parser_free(&gone->parser);
    json_judge_free(&gone->judge);
    buf_free(&gone->text);
    free(gone);
}

static int desk_new(struct desk **out)
{
    struct desk *desk = calloc(1, sizeof *desk);
    if (!desk)
        return ERR_NO_MEMORY;
    int r = json_parser_new(&desk->parser);
    if (r == 0)
        r = json_judge_new(&desk->judge);
    if (r < 0)
        desk_free(&desk);
    *out = desk;
    return r;
}

/* ---- the plan ---- */

int plan_new(struct plan_files **take_files, struct plan **out)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return ERR_NO_MEMORY;
    check(pthread_mutex_init(&plan->lock, NULL) == 0);
    plan->files = *take_files;
    *take_files = NULL;
    *out = plan;
    return 0;
}

static void lock(struct plan *plan)
{
    check(pthread_mutex_lock(&plan->lock) == 0);
}

static void unlock(struct plan *plan)
{
    check(pthread_mutex_unlock(&plan->lock) == 0);
}

/* One user of the files less; frees those that have none. */
static void let_go(struct plan *plan, struct plan_files *files)
{
    lock(plan);
    bool last = --files->references == 0;
    unlock(plan);
    if (last)
        plan_files_free(&files);
}

void plan_free(struct plan **plan)
{
    struct plan *gone = *plan;
    *plan = NULL;
    if (!gone)
        return;
    let_go(gone, gone->files);
    while (gone->desks_count)
        desk_free(&gone->desks[--gone->desks_count]);
    (void)pthread_mutex_destroy(&gone->lock);
    free(gone);
}

void plan_replace(struct plan *plan, struct plan_files **take_files)
{
    lock(plan);
    struct plan_files *old = plan->files;
    plan->files = *take_files;
    unlock(plan);
    *take_files = NULL;
    let_go(plan, old);
}

/* The files as they are now, and a desk, which may be NULL: none is free. */
static struct plan_files *begin(struct plan *plan, struct desk **desk)
{
    lock(plan);
    struct plan_files *files = plan->files;
    files->references++;
    *desk = plan->desks_count ? plan->desks[--plan->desks_count] : NULL;
    unlock(plan);
    return files;
}

static void end(struct plan *plan, struct plan_files *files, struct desk *desk)
{
    lock(plan);
    if (desk && plan->desks_count < DESKS_MAX) {
        plan->desks[plan->desks_count++] = desk;
        desk = NULL;
    }
    unlock(plan);
    desk_free(&desk);
    let_go(plan, files);
}

/* The event as its sender could have said it. */
static struct touchpoint as_sent(const struct touchpoint *event)
{
    struct touchpoint sent = *event;
    memset(sent.event_key, 0, sizeof sent.event_key);
    sent.source = sent.traceparent = STR("");
    sent.protocol = PROTOCOL_UNKNOWN;
    sent.adapter_version = 0;
    sent.received_at = 0;
    sent.bot = false;
    sent.has_client = false;
    if (sent.time_quality != TIME_QUALITY_UNKNOWN)
        sent.time_quality = TIME_QUALITY_CLIENT;
    return sent;
}

static int judge(struct desk *desk, const struct json_schema *schema,
    const struct touchpoint *event, struct arena *arena, struct event_problem *problem)
{
    const struct touchpoint sent = as_sent(event);
    struct json value;
    struct json_misfit misfit = {.pointer = STR("/properties"), .hint = STR(HINT_BAD_PROPERTIES)};
    buf_clear(&desk->text);
    int r = event_json_write(&sent, &desk->text);
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : 0; /* over a limit: the door says which */
    r = json_parse(desk->parser, buf_str(&desk->text), &value);
    if (r == ERR_NO_MEMORY)
        return r;
    r = r < 0 ? JSON_MISFIT : json_schema_judge(schema, desk->judge, value, arena, &misfit);
    if (r != JSON_MISFIT)
        return r;
    *problem = (struct event_problem){
        .error = ERR_SCHEMA_VIOLATION, .pointer = misfit.pointer, .hint = misfit.hint};
    return PLAN_MISFIT;
}

int plan_judge(struct plan *plan, const struct touchpoint *event, struct arena *arena,
    struct event_problem *problem)
{
    struct desk *desk = NULL;
    struct plan_files *files = begin(plan, &desk);
    const struct json_schema *schema = find(files, event->source, event->type);
    if (!schema)
        schema = find(files, STR(PLAN_ANY), event->type);
    int r = schema && !desk ? desk_new(&desk) : 0;
    if (r == 0 && schema)
        r = judge(desk, schema, event, arena, problem);
    end(plan, files, desk);
    return r;
}
