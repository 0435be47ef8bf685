/*
 * `tabiji source`: who may send. Sources are [source NAME] sections; what changes one rewrites the
 * file that it stands in, whole (file_replace.h), and leaves all else there as it is. Before that
 * the whole configuration is read with the new text in the file's place: what a collector would
 * refuse is never written. Keys are drawn here, shown once, and kept nowhere: only their SHA-256
 * is.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "deploy/file_replace.h"
#include "deploy/verb/source_list.h"
#include "deploy/verb/verbs.h"
#include "ingest/config/config.h"
#include "ingest/config/ini.h"
#include "ingest/config/ini_edit.h"
#include "ingest/config/value.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/json.h"
#include "schemas/nearest.h"
#include "schemas/time.h"

#define KEY_PREFIX "tabiji_" /* so that who finds a key, a scanner too, knows what it is */
#define KEY_RANDOM_SIZE 32   /* 256 bits. Source: PROTOCOLS, "Rules that hold for all" */
#define KEY_SIZE_TEXT (sizeof KEY_PREFIX - 1 + (size_t)2 * KEY_RANDOM_SIZE)
#define DIGEST_TEXT_SIZE ((size_t)2 * SHA256_SIZE)
#define LOCK_WAIT_MS 5000
#define KEEP_DEFAULT "7 d"
#define KEEP_MAX_MS (INT64_C(3650) * 86400000)
#define RELOAD_HINT "A running collector takes it over by SIGHUP (kill -HUP PID, systemctl reload)."

/* One change on its way. */
struct change {
    struct verb_call *call;
    const char *name;
    char path[PATH_MAX];                /* of the file, without symbolic links */
    const char *said;                   /* the file as configured */
    int fd;                             /* locked */
    struct config *config;              /* as it is under the lock */
    const struct config_source *source; /* of it; NULL: a new one */
    struct buf text;                    /* as it is to be */
    struct str section;
    char section_text[SOURCE_NAME_SIZE_MAX + sizeof "source "];
    char key[KEY_SIZE_TEXT + 1]; /* drawn; empty: none */
    char digest[DIGEST_TEXT_SIZE + 1];
    char until[TIME_TEXT_SIZE_MAX]; /* of the old keys; empty: they are good no longer */
    const char *more;               /* to say at the end */
    char more_text[120];
};

static int64_t now_micros(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * TIME_MICROS_PER_SECOND;
}

static int fail_system(const struct change *change, int error)
{
    if (error == EAGAIN)
        return verb_end(change->call, EXIT_RETRYABLE, error_name(ERR_LOCKED),
            "%s is being changed by another", change->said);
    return verb_end(
        change->call, EXIT_FAILED, error_name(ERR_IO), "%s: %s", change->said, strerror(error));
}

/* ---- files ---- */

/* 1: the section stands in that file; 0: it does not; or an error of reading. */
static int stands_in(const char *path, struct str section)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = path && *path ? ini_load(path, INI_SIZE_MAX, &text) : ERR_NOT_FOUND;
    if (r == ERR_NOT_FOUND)
        return 0;
    return r < 0 ? r : ini_edit_has(buf_str(&text), section);
}

/* The file that the source stands in, or, of a new one, is to. 0, or an exit_code after saying why
 * there is none. */
static int choose_file(struct change *change, bool new)
{
    const struct verb_call *call = change->call;
    const char *candidates[] = {
        config_path(call->config, OPTION_COLLECTOR_SOURCES_FILE), call->config_file};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        if (!candidates[i] || !*candidates[i])
            continue;
        int r = new ? 1 : stands_in(candidates[i], change->section);
        if (r < 0)
            return verb_fail_system(call, r, errno, "%s", candidates[i]);
        if (r == 0)
            continue;
        change->said = candidates[i];
        return 0;
    }
    if (!new)
        return verb_usage(call, "finds [source %s] in no file: a flag sets it", change->name);
    return verb_usage(call, "has no file to write to: --sources FILE ([collector] sources_file), "
                            "or a configuration file (--config)");
}

/* Locks the file and reads it. */
static int open_file(struct change *change, bool new)
{
    int r = choose_file(change, new);
    if (r != 0)
        return r;
    int error = file_lock(change->said, new, LOCK_WAIT_MS, &change->fd);
    if (!error && !realpath(change->said, change->path))
        error = errno;
    if (error)
        return fail_system(change, error);
    r = ini_load(change->path, INI_SIZE_MAX, &change->text);
    return r < 0 ? verb_fail_system(change->call, r, errno, "%s", change->said) : 0;
}

static void close_change(struct change *change)
{
    config_free(&change->config);
    if (change->fd >= 0)
        (void)close(change->fd);
    buf_free(&change->text);
    explicit_bzero(change->key, sizeof change->key);
}

/* Reads the configuration with the new text in the place of the file, and only then writes it. */
static int save(struct change *change)
{
    struct config_problem problem = {.text = ""};
    CLEANUP(config_free) struct config *config = NULL;
    struct verb_call *call = change->call;
    call->tried_path = change->said;
    call->tried_text = buf_str(&change->text);
    int r = call->reconfigure(call, &config, &problem);
    call->tried_path = NULL;
    if (r < 0)
        return verb_end(call, r == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED, error_name(r),
            "nothing is changed: %s", problem.text[0] ? problem.text : error_text(r));
    int error = file_replace_alike(change->path, buf_str(&change->text));
    return error ? fail_system(change, error) : 0;
}

/* ---- editing ---- */

static int take_edit(struct change *change, int r, struct buf *edited)
{
    if (r == 0) {
        buf_free(&change->text);
        change->text = *edited;
        *edited = (struct buf){0};
    }
    buf_free(edited);
    return r;
}

static int set_value(struct change *change, struct str key, struct str value)
{
    struct buf edited = {0};
    int r = ini_edit_set(buf_str(&change->text), change->section, key, value, &edited);
    return take_edit(change, r, &edited);
}

static int remove_value(struct change *change, struct str key)
{
    struct buf edited = {0};
    int r = ini_edit_remove(buf_str(&change->text), change->section, key, &edited);
    return take_edit(change, r, &edited);
}

static int begin_section(struct change *change)
{
    struct buf edited = {0};
    int r = ini_edit_begin(buf_str(&change->text), change->section, &edited);
    return take_edit(change, r, &edited);
}

/* KEY=VALUE arguments from the third on. Whether the key is known, and the value one of its kind,
 * is judged by reading the configuration. 0, or an exit_code after refusing. */
static int set_arguments(struct change *change)
{
    const struct verb_call *call = change->call;
    for (size_t i = 2; i < call->arguments_count; i++) {
        const char *text = call->arguments[i], *equals = strchr(text, '=');
        if (!equals || equals == text)
            return verb_usage(call, "\"%s\" is not KEY=VALUE", text);
        for (const char *at = text; *at; at++)
            if ((unsigned char)*at < ' ')
                return verb_usage(call, "%.*s: a value is one line", (int)(equals - text), text);
        int r = set_value(change, str_make(text, (size_t)(equals - text)), str_of(equals + 1));
        if (r < 0)
            return verb_fail(call, r, "%s", change->said);
    }
    return 0;
}

static bool argument_sets(const struct verb_call *call, const char *key)
{
    size_t size = strlen(key);
    for (size_t i = 2; i < call->arguments_count; i++)
        if (strncmp(call->arguments[i], key, size) == 0 && call->arguments[i][size] == '=')
            return true;
    return false;
}

/* ---- keys ---- */

/* Draws the key. Returns an errno. */
static int draw_key(struct change *change)
{
    uint8_t random[KEY_RANDOM_SIZE], digest[SHA256_SIZE];
    struct sha256 hash;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return errno ? errno : EIO;
    memcpy(change->key, KEY_PREFIX, sizeof KEY_PREFIX - 1);
    hex_encode(random, sizeof random, change->key + sizeof KEY_PREFIX - 1);
    sha256_init(&hash);
    sha256_update(&hash, str_make(change->key, KEY_SIZE_TEXT));
    sha256_final(&hash, digest);
    hex_encode(digest, sizeof digest, change->digest);
    explicit_bzero(random, sizeof random);
    return 0;
}

static int set_key(struct change *change)
{
    int error = draw_key(change);
    if (error)
        return fail_system(change, error);
    int r = set_value(change, STR("key_sha256"), str_of(change->digest));
    return r < 0 ? verb_fail(change->call, r, "%s", change->said) : 0;
}

/* The digests of all keys that the source has now, as a list. */
static int list_digests(const struct config_source *source, struct buf *out)
{
    char text[DIGEST_TEXT_SIZE];
    int r = 0;
    for (size_t i = 0; r == 0 && i < source->keys_count; i++) {
        hex_encode(source->keys[i], SHA256_SIZE, text);
        r = buf_append_str(out, i ? STR(", ") : STR(""));
        if (r == 0)
            r = buf_append(out, text, sizeof text);
    }
    return r;
}

/* How long old keys stay good. 0, or an exit_code after refusing. */
static int read_keep(const struct verb_call *call, int64_t *keep_ms)
{
    static const struct option keep = {
        "", "--keep", OPTION_TYPE_DURATION, KEEP_DEFAULT, 0, KEEP_MAX_MS, "", ""};
    const char *text = verb_value(call, "--keep"), *why = NULL;
    struct arena arena = {0};
    struct value value;
    int r = value_parse(&keep, str_of(text ? text : KEEP_DEFAULT), &arena, &value, &why);
    if (r == 0)
        *keep_ms = value.number;
    else
        r = verb_usage(call, "--keep: \"%s\" %s", text, why ? why : error_text(r));
    arena_free(&arena);
    return r;
}

/* ---- what was done ---- */

/* A member of an object whose value is text; nothing for an empty one. */
static void print_member(const char *name, const char *value)
{
    CLEANUP(buf_free) struct buf text = {0};
    if (*value && json_write_text(&text, str_of(value)) == 0)
        (void)printf(",\"%s\":%.*s", name, (int)text.size, text.data);
}

/* The key alone goes to standard output, so that a script has it; what is said, to standard error.
 */
static int print_done(const struct change *change, const char *did)
{
    if (change->call->json) {
        (void)printf("{\"source\":\"%s\",\"did\":\"%s\"", change->name, change->call->arguments[0]);
        print_member("file", change->said);
        print_member("key", change->key);
        print_member("key_sha256", change->key[0] ? change->digest : "");
        print_member("old_key_until", change->until);
        (void)printf(",\"reload\":\"SIGHUP\"}\n");
    } else {
        FILE *out = change->key[0] ? stderr : stdout;
        (void)fprintf(out, "%s is %s in %s. " RELOAD_HINT "\n", change->name, did, change->said);
        if (*change->more)
            (void)fprintf(out, "%s\n", change->more);
        if (change->key[0])
            (void)fprintf(stderr, "Its write key, shown this once:\n");
        (void)fflush(stderr);
        if (change->key[0])
            (void)printf("%s\n", change->key);
    }
    if (!change->key[0] || fflush(stdout) == 0)
        return EXIT_OK;
    return verb_end(change->call, EXIT_FAILED, error_name(ERR_IO),
        "the key could not be shown: tabiji source rotate %s makes another", change->name);
}

/* ---- the verbs: what each does to the text, under the lock ---- */

static int edit_add(struct change *change)
{
    if (begin_section(change) < 0)
        return fail_system(change, ENOMEM);
    int r = argument_sets(change->call, "key_sha256") ? 0 : set_key(change);
    return r ? r : set_arguments(change);
}

static int edit_set(struct change *change)
{
    if (change->call->arguments_count < 3)
        return verb_usage(change->call, "set needs KEY=VALUE, such as rate=500");
    return set_arguments(change);
}

static int set_enabled(struct change *change, struct str value)
{
    return set_value(change, STR("enabled"), value) < 0 ? fail_system(change, ENOMEM) : 0;
}

static int edit_enable(struct change *change)
{
    return set_enabled(change, STR("yes"));
}

static int edit_disable(struct change *change)
{
    change->more = "Requests with its keys are answered 403 then.";
    return set_enabled(change, STR("no"));
}

/* Takes the old keys out. */
static int drop_old(struct change *change)
{
    int r = remove_value(change, STR("old_key_sha256"));
    if (r == 0)
        r = remove_value(change, STR("old_key_until"));
    return r < 0 ? fail_system(change, ENOMEM) : 0;
}

static void write_until(struct change *change, int64_t micros)
{
    change->until[time_format(micros, change->until)] = '\0';
}

/* What is the key now becomes the old one, good until then. */
static int keep_old(struct change *change, int64_t until)
{
    CLEANUP(buf_free) struct buf digests = {0};
    write_until(change, until);
    (void)snprintf(change->more_text, sizeof change->more_text,
        "The key before it is good until %s: move clients meanwhile.", change->until);
    change->more = change->more_text;
    int r = list_digests(change->source, &digests);
    if (r == 0)
        r = set_value(change, STR("old_key_sha256"), buf_str(&digests));
    if (r == 0)
        r = set_value(change, STR("old_key_until"), str_of(change->until));
    return r < 0 ? fail_system(change, ENOMEM) : 0;
}

static int edit_rotate(struct change *change)
{
    const struct config_source *source = change->source;
    int64_t keep_ms = 0, now = now_micros();
    int r = read_keep(change->call, &keep_ms);
    if (r != 0)
        return r;
    if (keep_ms && source->old_keys_count && source->old_keys_until_micros > now) {
        write_until(change, source->old_keys_until_micros);
        return verb_end(change->call, EXIT_USAGE, "rotating",
            "%s has an old key that is good until %s: tabiji source retire ends it, --keep 0s ends "
            "every key but the new one",
            change->name, change->until);
    }
    if (source->keys_count)
        change->more = "The keys before it are good no longer then.";
    r = keep_ms && source->keys_count ? keep_old(change, now + keep_ms * TIME_MICROS_PER_MILLI)
                                      : drop_old(change);
    return r ? r : set_key(change);
}

static int edit_retire(struct change *change)
{
    if (change->source->old_keys_count == 0)
        return verb_usage(change->call, "finds no old key of %s", change->name);
    return drop_old(change);
}

static const struct {
    const char *name;
    const char *did;
    int (*edit)(struct change *change);
    bool values; /* takes KEY=VALUE */
    bool new;    /* makes the source */
} verbs[] = {
    {"add", "added", edit_add, true, true},
    {"set", "changed", edit_set, true, false},
    {"disable", "disabled", edit_disable, false, false},
    {"enable", "enabled", edit_enable, false, false},
    {"rotate", "given a new key", edit_rotate, false, false},
    {"retire", "rid of its old keys", edit_retire, false, false},
};

static int complain_unknown(const struct verb_call *call, const char *name)
{
    const struct config_source *sources;
    struct str names[CONFIG_SOURCES_MAX];
    size_t count = config_sources(call->config, &sources);
    for (size_t i = 0; i < count; i++)
        names[i] = sources[i].name;
    struct str near = nearest_name(str_of(name), names, count);
    return verb_not_found(call, "there is no source \"%s\"%s%.*s%s", name,
        near.size ? ": did you mean \"" : "", (int)near.size, near.size ? near.data : "",
        near.size ? "\"?" : "");
}

/* Reads the configuration once more, now that nobody else changes the file. */
static int read_locked(struct change *change, bool new)
{
    struct config_problem problem = {.text = ""};
    struct verb_call *call = change->call;
    int r = call->reconfigure(call, &change->config, &problem);
    if (r < 0)
        return verb_end(call, r == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED, error_name(r), "%s",
            problem.text[0] ? problem.text : error_text(r));
    change->source = config_source(change->config, str_of(change->name));
    if (new && change->source)
        return verb_usage(call, "has a source %s already: set and rotate change it", change->name);
    return new || change->source ? 0 : complain_unknown(call, change->name);
}

/* Of a name that is none nothing is written: the configuration would refuse it with the file. */
static int run_change(struct verb_call *call, size_t which)
{
    struct change change = {.call = call, .fd = -1, .more = ""};
    bool new = verbs[which].new;
    if (call->arguments_count < 2)
        return verb_usage(call, "%s needs the name of a source", verbs[which].name);
    if (call->arguments_count > 2 && !verbs[which].values)
        return verb_usage(call, "%s takes a name alone", verbs[which].name);
    change.name = call->arguments[1];
    int size =
        snprintf(change.section_text, sizeof change.section_text, "source %s", call->arguments[1]);
    if (size < 0 || (size_t)size >= sizeof change.section_text || strpbrk(change.name, "[]\n\r"))
        return verb_usage(call, "\"%s\" is no name of a source", change.name);
    change.section = str_make(change.section_text, (size_t)size);
    if (!new && !config_source(call->config, str_of(change.name)))
        return complain_unknown(call, change.name);
    int r = open_file(&change, new);
    if (r == 0)
        r = read_locked(&change, new);
    if (r == 0)
        r = verbs[which].edit(&change);
    if (r == 0)
        r = save(&change);
    if (r == 0)
        r = print_done(&change, verbs[which].did);
    close_change(&change);
    return r;
}

static int run(struct verb_call *call)
{
    const char *name = call->arguments[0];
    if (strcmp(name, "list") == 0)
        return call->arguments_count > 1 ? verb_usage(call, "list takes no name")
                                         : source_list(call, now_micros());
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(name, verbs[i].name) == 0)
            return run_change(call, i);
    return verb_usage(
        call, "knows add, list, set, disable, enable, rotate and retire, not \"%s\"", name);
}

static const struct verb_option options[] = {
    {"--sources", "FILE", "file of sources; without it those of the configuration file",
        "collector.sources_file"},
    {"--keep", "DURATION",
        "rotate: how long the key before stays good (default " KEEP_DEFAULT "; 0s: not at all)",
        NULL},
};

const struct verb verb_source = {
    .name = "source",
    .summary = "add, list, change and disable sources, and rotate their write keys",
    .arguments = "list | add NAME [KEY=VALUE...] | set NAME KEY=VALUE... | disable NAME | enable "
                 "NAME | rotate NAME | retire NAME",
    .detail =
        "A source is who may send: [source NAME] in the file of [collector] sources_file "
        "(--sources), else in the\n"
        "configuration file; KEY=VALUE are its options (tabiji config dump --doc lists them). The "
        "file is rewritten\n"
        "whole or not at all, comments, order and mode stay, and what a collector would refuse is "
        "not written. A running\n"
        "collector takes the file over by SIGHUP.\n"
        "add draws a write key and prints it, this once, alone on standard output; only its "
        "SHA-256 is kept.\n"
        "rotate draws another; the one before stays good for --keep, so that clients can be moved "
        "meanwhile; --keep 0s\n"
        "ends it with the reload, as when it has leaked. retire ends old keys early.\n"
        "disable: requests with its keys are answered 403. list shows of keys the first eight "
        "digits of their SHA-256.\n"
        "Exit 4: no such source, or list finds no such file. Exit 7: another is changing the file.",
    .examples = "  tabiji source add shop-web --sources sources.ini protocols=segment "
                "origins=https://shop.example.jp rate=500\n"
                "  KEY=$(tabiji source add pos-shibuya --config tabiji.ini)\n"
                "  tabiji source rotate shop-web --sources sources.ini --keep 14d\n"
                "  tabiji source list --sources sources.ini --json",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = VERB_ARGUMENTS_MAX,
    .makes_sources = true,
    .run = run,
};
