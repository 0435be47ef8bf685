/* See the header. Invariant: a configuration lives as long as the settings compare with it, or a
 * request knows one of its sources. */
#include "deploy/reload.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/import/mapping.h"
#include "ingest/plan/plan.h"
#include "schemas/error.h"

#define SOURCE_SECTION "source "

struct reloaded {
    struct config *config;
    _Atomic int references;
};

void reload_release(struct reloaded **reloaded)
{
    struct reloaded *gone = *reloaded;
    *reloaded = NULL;
    if (!gone || atomic_fetch_sub(&gone->references, 1) > 1)
        return;
    config_free(&gone->config);
    free(gone);
}

static void release_owned(void *owned)
{
    struct reloaded *reloaded = owned;
    reload_release(&reloaded);
}

/* ---- what differs ---- */

/* All values of a configuration. */
struct entries {
    struct arena arena;
    struct config_entry *list;
    size_t count;
    size_t room;
};

static int keep_entry(void *context, const struct config_entry *entry)
{
    struct entries *entries = context;
    if (entries->count == entries->room) {
        size_t room = entries->room ? entries->room * 2 : 256;
        struct config_entry *list = realloc(entries->list, room * sizeof *list);
        if (!list)
            return ERR_NO_MEMORY;
        entries->list = list;
        entries->room = room;
    }
    struct config_entry *kept = &entries->list[entries->count];
    *kept = (struct config_entry){.key = entry->key};
    int r = arena_dup(&entries->arena, entry->section, &kept->section);
    if (r == 0)
        r = arena_dup(&entries->arena, entry->key, &kept->key);
    if (r == 0)
        r = arena_dup(&entries->arena, entry->value, &kept->value);
    entries->count += r == 0;
    return r;
}

static void entries_free(struct entries *entries)
{
    arena_free(&entries->arena);
    free(entries->list);
}

/* The entry of that name among others, or NULL. */
static const struct config_entry *find(
    const struct config_entry *entry, const struct entries *others)
{
    for (size_t i = 0; i < others->count; i++)
        if (str_equal(others->list[i].section, entry->section) &&
            str_equal(others->list[i].key, entry->key))
            return &others->list[i];
    return NULL;
}

/* Names of what changed, by whether it is taken over. */
struct changes {
    struct buf taken;
    struct buf waiting;
    bool level;
    bool sources;
    bool with_sources; /* there is a collector */
    bool looking_for_taken;
};

static int note(struct changes *changes, const struct config_entry *entry)
{
    bool level = str_equal(entry->section, STR("log")) && str_equal(entry->key, STR("level"));
    bool file =
        str_equal(entry->section, STR("collector")) && str_equal(entry->key, STR("sources_file"));
    bool source =
        changes->with_sources && (file || str_starts_with(entry->section, STR(SOURCE_SECTION)));
    if ((level || source) != changes->looking_for_taken)
        return 0;
    struct buf *out = changes->looking_for_taken ? &changes->taken : &changes->waiting;
    changes->level |= level;
    changes->sources |= source;
    return buf_appendf(out, "%s[%.*s] %.*s", out->size ? ", " : "", (int)entry->section.size,
        entry->section.data, (int)entry->key.size, entry->key.data);
}

/* What is new or another, then what is gone. */
static int compare(const struct entries *old, const struct entries *new, struct changes *changes)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < new->count; i++) {
        const struct config_entry *was = find(&new->list[i], old);
        if (!was || !str_equal(was->value, new->list[i].value))
            r = note(changes, &new->list[i]);
    }
    for (size_t i = 0; r == 0 && i < old->count; i++)
        if (!find(&old->list[i], new))
            r = note(changes, &old->list[i]);
    return r;
}

/* ---- what files say that are called as before ---- */

static bool same_secrets(const struct config_source *a, const struct config_source *b)
{
    bool same = a->secrets_count == b->secrets_count;
    for (size_t i = 0; same && i < a->secrets_count; i++)
        same = str_equal(a->secrets[i], b->secrets[i]);
    return same;
}

static bool same_mapping(const struct mapping *a, const struct mapping *b)
{
    if (!a || !b)
        return a == b;
    return memcmp(a->fingerprint, b->fingerprint, sizeof a->fingerprint) == 0;
}

/* Notes a key, unless its path has changed as well. */
static int note_file(struct changes *changes, const struct config_source *source, struct str key)
{
    CLEANUP(buf_free) struct buf name = {0};
    const struct buf *taken = &changes->taken;
    int r = buf_appendf(&name, "[" SOURCE_SECTION "%.*s] %.*s", (int)source->name.size,
        source->name.data, (int)key.size, key.data);
    if (r < 0 || (taken->size && memmem(taken->data, taken->size, name.data, name.size)))
        return r;
    const char *end = memchr(name.data, ']', name.size);
    const struct config_entry entry = {
        .section = str_make(name.data + 1, (size_t)(end - name.data - 1)), .key = key};
    return note(changes, &entry);
}

static int compare_files(
    const struct config *old, const struct config *new, struct changes *changes)
{
    const struct config_source *sources;
    size_t count = config_sources(new, &sources);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct config_source *was = config_source(old, sources[i].name);
        if (was && !same_secrets(was, &sources[i]))
            r = note_file(changes, &sources[i], STR("secret_file"));
        if (r == 0 && was && !same_mapping(was->mapping, sources[i].mapping))
            r = note_file(changes, &sources[i], STR("mapping"));
    }
    return r;
}

static int find_changes(const struct config *old, const struct config *new, struct changes *changes)
{
    struct entries before = {.list = NULL}, after = {.list = NULL};
    int r = config_visit(old, keep_entry, &before);
    if (r == 0)
        r = config_visit(new, keep_entry, &after);
    if (r == 0)
        r = compare(&before, &after, changes);
    if (r == 0 && changes->looking_for_taken)
        r = compare_files(old, new, changes);
    entries_free(&before);
    entries_free(&after);
    return r;
}

/* ---- taking over ---- */

static int take_sources(struct collector *collector, struct reloaded *reloaded)
{
    const struct config_source *sources;
    size_t count = config_sources(reloaded->config, &sources);
    (void)atomic_fetch_add(&reloaded->references, 1);
    int r = collector_set_sources(collector, sources, count, release_owned, reloaded);
    if (r < 0)
        release_owned(reloaded);
    return r;
}

/* The files of the tracking plan, anew; they may be others though the configuration is the same. */
static int read_plan(
    const struct settings *settings, struct plan_files **files, struct config_problem *problem)
{
    CLEANUP(buf_free) struct buf message = {0};
    if (!settings->door.plan)
        return 0;
    int r = plan_files_load(config_path(settings->config, OPTION_PLAN_DIR), files, &message);
    if (r == ERR_CONFIG)
        (void)snprintf(
            problem->text, sizeof problem->text, "%.*s", (int)message.size, message.data);
    return r;
}

static int take(struct settings *settings, struct collector *collector, struct reloaded **new,
    struct changes *changes)
{
    const struct config *current =
        settings->reloaded ? settings->reloaded->config : settings->config;
    changes->looking_for_taken = true;
    int r = find_changes(current, (*new)->config, changes);
    changes->looking_for_taken = false;
    if (r == 0) /* what waits does so since the start, however often it was said */
        r = find_changes(settings->config, (*new)->config, changes);
    if (r == 0 && changes->sources)
        r = take_sources(collector, *new);
    if (r < 0)
        return r;
    int level = log_level_of(config_text((*new)->config, OPTION_LOG_LEVEL));
    if (changes->level && level >= 0)
        log_set_level(&settings->log, (enum log_level)level);
    reload_release(&settings->reloaded);
    settings->reloaded = *new;
    *new = NULL;
    return 0;
}

static int load(struct verb_call *call, struct reloaded **out, struct config_problem *problem)
{
    struct reloaded *reloaded = calloc(1, sizeof *reloaded);
    if (!reloaded)
        return ERR_NO_MEMORY;
    atomic_store(&reloaded->references, 1);
    int r = call->reconfigure(call, &reloaded->config, problem);
    if (r < 0)
        reload_release(&reloaded);
    *out = reloaded;
    return r;
}

void reload(struct verb_call *call, struct settings *settings, struct collector *collector)
{
    struct config_problem problem = {.text = ""};
    struct changes changes = {.with_sources = collector != NULL};
    struct reloaded *reloaded = NULL;
    CLEANUP(plan_files_free) struct plan_files *files = NULL;
    int r = load(call, &reloaded, &problem);
    if (r == 0)
        r = read_plan(settings, &files, &problem);
    if (r == 0)
        r = take(settings, collector, &reloaded, &changes);
    if (r == 0 && files)
        plan_replace(settings->door.plan, &files);
    if (r < 0)
        log_write(&settings->log, LOG_LEVEL_ERROR, "reload_refused",
            LOG_TEXT("why", problem.text[0] ? problem.text : error_text(r)),
            LOG_TEXT("hint", "all stays as it was: mend it and send SIGHUP again"));
    if (r == 0)
        log_write(&settings->log, LOG_LEVEL_INFO, "reloaded",
            LOG_STR("taken", buf_str(&changes.taken)),
            LOG_BOOL("changed", changes.taken.size || changes.waiting.size));
    if (r == 0 && changes.waiting.size)
        log_write(&settings->log, LOG_LEVEL_WARNING, "reload_needs_restart",
            LOG_STR("keys", buf_str(&changes.waiting)),
            LOG_TEXT("hint", "these are read at the start only: restart to change them"));
    buf_free(&changes.taken);
    buf_free(&changes.waiting);
    reload_release(&reloaded);
}
