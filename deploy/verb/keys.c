/*
 * `tabiji keys`: the file of the tenant's keys, from which persons and pseudonyms are made.
 *
 * A file is whole at every moment (file_replace.h). Changes exclude each other by a lock on the
 * file that is changed; a file that exists is never made anew, since a lost key cannot be.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "deploy/file_replace.h"
#include "deploy/render.h"
#include "deploy/verb/keys_retire.h"
#include "deploy/verb/verbs.h"
#include "ingest/config/config.h"
#include "ingest/normalise/key_file.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/json.h"

#define FILE_DEFAULT "tabiji.key"

/* A key file that is open, locked and read. */
struct opened {
    struct verb_call *call;
    const char *path;
    int fd;
    struct key_file file;
};

static int64_t now_micros(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000; /* seconds are enough for people */
}

static int fail_system(const struct verb_call *call, const char *path, int error)
{
    return verb_end(call, EXIT_FAILED, error_name(ERR_IO), "%s: %s", path, strerror(error));
}

static int refuse(const struct verb_call *call, const char *path, const char *what, int code)
{
    return verb_end(
        call, code, code == EXIT_USAGE ? "usage" : error_name(ERR_LOCKED), "%s %s", path, what);
}

/* ---- writing ---- */

/* Writes the file's text where `put` says. */
static int save(const struct verb_call *call, const struct key_file *file, const char *path,
    int (*put)(const char *, struct str))
{
    struct buf text = {0};
    int r = key_file_write(file, &text);
    int error = r < 0 ? ENOMEM : put(path, buf_str(&text));
    if (text.size)
        explicit_bzero(text.data, text.size);
    buf_free(&text);
    if (error == EEXIST)
        return refuse(call, path,
            "exists; it is left as it is, since a key that is lost cannot be made again",
            EXIT_USAGE);
    return error ? fail_system(call, path, error) : EXIT_OK;
}

/* ---- reading ---- */

static int read_text(struct opened *opened)
{
    char text[KEY_FILE_SIZE_MAX + 1];
    struct str legacy_id = config_text(opened->call->config, OPTION_IDENTITY_KEY_ID);
    ssize_t size = read(opened->fd, text, sizeof text);
    if (size < 0)
        return fail_system(opened->call, opened->path, errno);
    int r = (size_t)size > KEY_FILE_SIZE_MAX
                ? ERR_CONFIG
                : key_file_read(str_make(text, (size_t)size), legacy_id, &opened->file);
    explicit_bzero(text, sizeof text);
    if (r == ERR_NO_MEMORY)
        return fail_system(opened->call, opened->path, ENOMEM);
    return r < 0 ? refuse(opened->call, opened->path,
                       "is no key file, or was cut: restore it from its copy", EXIT_USAGE)
                 : EXIT_OK;
}

/* Refuses what others may read, and what is being changed. */
static int judge(const struct opened *opened, bool change)
{
    struct stat by_fd, by_path;
    if (fstat(opened->fd, &by_fd) != 0)
        return fail_system(opened->call, opened->path, errno);
    if (!S_ISREG(by_fd.st_mode))
        return refuse(opened->call, opened->path, "is no file", EXIT_USAGE);
    if (by_fd.st_mode & (S_IRWXG | S_IRWXO))
        return refuse(
            opened->call, opened->path, "may be read by others: chmod 600 it", EXIT_USAGE);
    if (!change)
        return EXIT_OK;
    bool locked = flock(opened->fd, LOCK_EX | LOCK_NB) == 0;
    bool same = stat(opened->path, &by_path) == 0 && by_path.st_ino == by_fd.st_ino &&
                by_path.st_dev == by_fd.st_dev;
    return locked && same
               ? EXIT_OK
               : refuse(opened->call, opened->path, "is being changed by another", EXIT_RETRYABLE);
}

static int open_file(struct opened *opened, bool change)
{
    opened->fd = open(opened->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (opened->fd < 0 && errno == ENOENT)
        return verb_not_found(opened->call, "%s: %s", opened->path, strerror(errno));
    if (opened->fd < 0)
        return fail_system(opened->call, opened->path, errno);
    int r = judge(opened, change);
    return r ? r : read_text(opened);
}

static void close_file(struct opened *opened)
{
    if (opened->fd >= 0)
        (void)close(opened->fd);
    explicit_bzero(&opened->file, sizeof opened->file);
}

/* ---- the verbs ---- */

static int draw(uint8_t secret[TENANT_KEY_SIZE])
{
    return getrandom(secret, TENANT_KEY_SIZE, 0) == TENANT_KEY_SIZE ? 0 : errno;
}

static int print_made(const struct verb_call *call, const char *path)
{
    CLEANUP(buf_free) struct buf text = {0};
    if (call->json) {
        if (json_write_text(&text, str_of(path)) == 0)
            (void)printf("{\"key_file\":%.*s}\n", (int)text.size, text.data);
        return EXIT_OK;
    }
    (void)printf("%s is made, readable by its owner only. Keep a copy elsewhere: "
                 "without it pseudonyms\n"
                 "cannot be made again. Use it by\n\n  [identity]\n  key_file = %s\n",
        path, path);
    return EXIT_OK;
}

static int run_new(struct verb_call *call, const char *path)
{
    uint8_t person_key[TENANT_KEY_SIZE], secret[TENANT_KEY_SIZE];
    struct key_file file;
    int error = draw(person_key);
    if (!error)
        error = draw(secret);
    if (error)
        return fail_system(call, path, error);
    key_file_new(&file, person_key, secret, now_micros());
    int r = save(call, &file, path, file_create);
    explicit_bzero(person_key, sizeof person_key);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(&file, sizeof file);
    return r ? r : print_made(call, path);
}

static int run_list(struct opened *opened)
{
    static const struct render_column columns[] = {
        {"key", "key", RENDER_LEFT, 0},
        {"state", "state", RENDER_LEFT, 0},
        {"created_at", "created", RENDER_LEFT, 0},
    };
    CLEANUP(render_free) struct render_table *table = NULL;
    int r = render_new(&table, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; r == 0 && i < opened->file.keys_count; i++) {
        const struct tenant_key *key = &opened->file.keys[i];
        render_text(table, str_of(key->id));
        render_text(table, i ? STR("next") : STR("active"));
        if (key->created_at == KEY_FILE_TIME_UNKNOWN)
            render_nothing(table);
        else
            render_time(table, key->created_at);
    }
    if (r == 0)
        r = render_write(table, opened->call->json, stdout);
    return r < 0 ? verb_fail(opened->call, r, "%s", opened->path) : EXIT_OK;
}

static int run_rotate(struct opened *opened)
{
    uint8_t secret[TENANT_KEY_SIZE];
    struct key_file *file = &opened->file;
    bool plain = memcmp(file->person_key, file->keys[0].secret, TENANT_KEY_SIZE) == 0;
    int error = draw(secret);
    if (error)
        return fail_system(opened->call, opened->path, error);
    int r = key_file_rotate(file, secret, now_micros());
    explicit_bzero(secret, sizeof secret);
    if (r == ERR_TOO_MANY)
        return refuse(opened->call, opened->path,
            "has two live keys: retire one first (tabiji keys list)", EXIT_USAGE);
    if (r < 0)
        return verb_fail(opened->call, r, "%s", opened->path);
    r = save(opened->call, file, opened->path, file_replace);
    if (r)
        return r;
    if (opened->call->json)
        (void)printf("{\"next\":\"%s\",\"active\":\"%s\"}\n", file->keys[1].id, file->keys[0].id);
    else
        (void)printf("%s is next, %s is active. Restart every collector and import with this file; "
                     "retire %s when every\nvalue that is to be known further on has been seen, "
                     "and no producer resends older events.\n",
            file->keys[1].id, file->keys[0].id, file->keys[0].id);
    if (plain)
        (void)fprintf(stderr,
            "tabiji keys: this file's first key is also that of person ids: its secret stays in "
            "the file when the\nkey is retired, and so must the file stay secret\n");
    return EXIT_OK;
}

/* A key takes along what is suppressed under it alone: nobody is to lose that unawares. Of the next
 * key there is nothing such. Returns 0, or an exit_code after refusing. */
static int judge_suppressions(const struct opened *opened, struct retirement *retirement)
{
    const struct verb_call *call = opened->call;
    const char *id = call->arguments[2];
    *retirement = (struct retirement){.counted = true};
    if (strcmp(id, opened->file.keys[0].id) != 0)
        return 0;
    int r = retirement_count(call, &opened->file, retirement);
    if (r < 0)
        return verb_fail(call, r, "%s", opened->path);
    if (verb_switch(call, "--forget-suppressions") || (retirement->counted && !retirement->alone))
        return 0;
    if (retirement->counted)
        return verb_end(call, EXIT_USAGE, "suppressed",
            "%llu erased e-mail%s or phone%s suppressed under %s alone: when it is gone, an event "
            "that shows such a value is taken, as of somebody new. Nothing was done. An event of "
            "the value now, while both keys live, is dropped and carries its suppression over; "
            "--forget-suppressions lets them go",
            (unsigned long long)retirement->alone, retirement->alone == 1 ? "" : "s",
            retirement->alone == 1 ? " is" : "s are", id);
    return verb_end(call, EXIT_USAGE, "suppressed",
        "what was erased may be suppressed under %s alone, and cannot be counted in %s: %s. "
        "Nothing was done. --data DIR says where the state is; --forget-suppressions retires the "
        "key without knowing",
        id, config_path(call->config, OPTION_DATA_DIR), retirement->why);
}

static void print_retired(
    const struct opened *opened, const char *active, const struct retirement *retirement)
{
    const struct verb_call *call = opened->call;
    const char *id = call->arguments[2];
    if (!call->json)
        (void)printf("%s is removed, %s is active\n", id, active);
    else
        (void)printf(
            "{\"retired\":\"%s\",\"active\":\"%s\",\"suppressions_forgotten\":", id, active);
    if (call->json && retirement->counted)
        (void)printf("%llu}\n", (unsigned long long)retirement->alone);
    else if (call->json)
        (void)printf("null}\n");
    else if (retirement->counted && retirement->alone)
        (void)printf("suppressed no longer: %llu erased e-mails or phones\n",
            (unsigned long long)retirement->alone);
}

static int run_retire(struct opened *opened)
{
    const struct verb_call *call = opened->call;
    const char *id = call->arguments[2];
    struct key_file changed = opened->file;
    struct retirement retirement;
    int r = key_file_retire(&changed, str_of(id));
    if (r == ERR_NOT_FOUND) {
        r = verb_not_found(call, "%s has no key \"%s\"", opened->path, id);
    } else if (r < 0) {
        r = refuse(opened->call, opened->path, "has one key only: rotate first", EXIT_USAGE);
    } else if (!verb_switch(call, "--confirm")) {
        r = verb_end(call, EXIT_USAGE, "unconfirmed",
            "%s would be removed for ever; nothing was done: --confirm does it", id);
    } else {
        r = judge_suppressions(opened, &retirement);
        if (r == EXIT_OK)
            r = save(call, &changed, opened->path, file_replace);
        if (r == EXIT_OK)
            print_retired(opened, changed.keys[0].id, &retirement);
    }
    explicit_bzero(&changed, sizeof changed);
    return r;
}

static const struct {
    const char *name;
    int (*run)(struct opened *opened);
    size_t arguments; /* with the name */
    bool changes;
} verbs[] = {
    {"list", run_list, 2, false},
    {"rotate", run_rotate, 2, true},
    {"retire", run_retire, 3, true},
};

static int run(struct verb_call *call)
{
    const char *name = call->arguments[0];
    const char *path = call->arguments_count > 1 ? call->arguments[1] : FILE_DEFAULT;
    if (strcmp(name, "new") == 0)
        return call->arguments_count > 2 ? verb_usage(call, "new takes one FILE")
                                         : run_new(call, path);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(name, verbs[i].name) != 0)
            continue;
        if (call->arguments_count != verbs[i].arguments)
            return verb_usage(
                call, "%s needs FILE%s", name, verbs[i].arguments > 2 ? " and a key's id" : "");
        struct opened opened = {.call = call, .path = path, .fd = -1};
        int r = open_file(&opened, verbs[i].changes);
        if (r == EXIT_OK)
            r = verbs[i].run(&opened);
        close_file(&opened);
        return r;
    }
    return verb_usage(call, "knows new, list, rotate and retire, not \"%s\"", name);
}

static const struct verb_option options[] = {
    {"--confirm", NULL, "retire: do it; without it nothing is done", NULL, false},
    {"--forget-suppressions", NULL,
        "retire: though erased values that stand under this key alone are suppressed no longer",
        NULL, false},
    {"--data", "DIR", "retire: data directory, in which those are counted", "data.dir", false},
};

const struct verb verb_keys = {
    .name = "keys",
    .summary = "make, rotate and list the keys that persons and pseudonyms are made from",
    .arguments = "new [FILE] | list FILE | rotate FILE | retire FILE KEY --confirm",
    .detail =
        "new writes a file with a random key of person ids, which never changes, and a first key "
        "(k1) of pseudonyms\n"
        "of e-mail and phone, readable by its owner only. A file that exists is never touched. A "
        "key file that others\n"
        "may read is refused wherever it is used.\n"
        "rotate adds the next key. While two keys live, events bear pseudonyms of the old one, and "
        "of each value that\n"
        "is seen the log is told which pseudonym the new key gives it: so persons stay who they "
        "are when retire has\n"
        "removed the old key. Values not seen while both lived cannot be translated, for raw "
        "values are kept nowhere:\n"
        "for those the new pseudonym begins anew. And events sent again after retire that were "
        "first sent before are\n"
        "new events where an e-mail or phone is their strongest identifier: keep two keys longer "
        "than any producer\n"
        "resends. An erased value that is not seen while both live is suppressed under the old key "
        "alone: retire counts such\n"
        "values in the data directory and refuses while there are any, or where it cannot count "
        "(behind Kafka), unless\n"
        "--forget-suppressions is given. Retiring the next key ends the rotation without a "
        "change.\n"
        "list shows ids, states and times, never the secrets. Exit 4: no such file, or no key of "
        "that id.",
    .examples = "  tabiji keys new /etc/tabiji/tenant.key\n"
                "  tabiji keys rotate /etc/tabiji/tenant.key\n"
                "  tabiji keys retire /etc/tabiji/tenant.key k1 --data shop --confirm",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 3,
    .run = run,
};
