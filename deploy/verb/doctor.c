/* `tabiji doctor`: looks at everything that a run would need, and says what to do about what it
 * finds. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "deploy/settings.h"
#include "deploy/verb/doctor.h"
#include "deploy/verb/verbs.h"
#include "ingest/config/config.h"
#include "ingest/normalise/key_file.h"
#include "ingest/registry/registry_client.h"
#include "ingest/registry/registry_configure.h"
#include "ingest/stream/local.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "sinks/sqlite/read.h"
#include "sinks/sqlite/receipt.h"

#define FREE_BYTES_WANTED ((uint64_t)1 << 30)
#define TEXT_SIZE 512

void doctor_tell(struct doctor *doctor, enum verdict verdict, const char *name, const char *advice,
    const char *format, ...)
{
    static const char *const words[] = {"ok", "warning", "failure"};
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if ((int)verdict > doctor->worst)
        doctor->worst = (int)verdict;
    if (!doctor->call->json) {
        (void)printf("%-8s %-18s %s\n", words[verdict], name, text);
        if (advice)
            (void)printf("         %-18s -> %s\n", "", advice);
        return;
    }
    struct buf *out = &doctor->json;
    int r = buf_appendf(out,
        "%s{\"check\":\"%s\",\"verdict\":\"%s\",\"text\":", doctor->count++ ? ",\n" : "[", name,
        words[verdict]);
    if (r == 0)
        r = json_write_text(out, str_of(text));
    if (r == 0 && advice) {
        r = buf_append_str(out, STR(",\"advice\":"));
        if (r == 0)
            r = json_write_text(out, str_of(advice));
    }
    if (r == 0)
        r = buf_append_str(out, STR("}"));
    if (r < 0)
        doctor->worst = VERDICT_FAILURE;
}

static void check_directory(struct doctor *doctor, const char *dir)
{
    struct stat status;
    if (stat(dir, &status) != 0) {
        doctor_tell(doctor, VERDICT_OK, "data directory", NULL,
            "%s does not exist yet; a run makes it", dir);
        return;
    }
    if (!S_ISDIR(status.st_mode) || access(dir, R_OK | W_OK | X_OK) != 0) {
        doctor_tell(doctor, VERDICT_FAILURE, "data directory",
            "choose another by --data or [data] dir", "%s is no directory that this user may write",
            dir);
        return;
    }
    struct local *local = NULL;
    char why[LOCAL_WHY_SIZE] = "";
    const struct local_options options = {.keep = true, .why = why};
    int r = local_open(&local, dir, &options);
    if (r == 0)
        doctor_tell(doctor, VERDICT_OK, "data directory", NULL, "%s opens; %lld events in its log",
            dir, (long long)local_log_end(local));
    else if (r == ERR_LOCKED)
        doctor_tell(
            doctor, VERDICT_OK, "data directory", NULL, "%s is in use by a running tabiji", dir);
    else if (r == ERR_OLDER)
        doctor_tell(doctor, VERDICT_OK, "data directory", NULL,
            "%s is of an older build; the next run brings it up to this one", dir);
    else if (r == ERR_NEWER)
        doctor_tell(doctor, VERDICT_FAILURE, "data directory",
            "use the build that wrote it, or a newer one",
            "%s holds what this build does not know: %s", dir, why);
    else
        doctor_tell(doctor, VERDICT_FAILURE, "data directory",
            "put the directory back from a copy, or import its events into a new one",
            "%s does not open: %s", dir, error_text(r));
    local_close(&local);
}

static void check_space(struct doctor *doctor, const char *dir)
{
    struct statvfs status;
    if (statvfs(dir, &status) != 0 && statvfs(".", &status) != 0)
        return;
    uint64_t free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    bool enough = free_bytes >= FREE_BYTES_WANTED;
    doctor_tell(doctor, enough ? VERDICT_OK : VERDICT_WARNING, "disk space",
        enough ? NULL : "make room: at its end events are answered 503", "%llu MiB free",
        (unsigned long long)(free_bytes >> 20));
}

static bool on_kafka(const struct doctor *doctor)
{
    return str_equal(config_text(doctor->call->config, OPTION_STREAM_DRIVER), STR("kafka"));
}

/* Of a key file, and whether a rotation is under way. */
static void check_key_file(struct doctor *doctor, struct str text)
{
    struct key_file file;
    int r = key_file_read(text, config_text(doctor->call->config, OPTION_IDENTITY_KEY_ID), &file);
    if (r < 0)
        doctor_tell(doctor, VERDICT_FAILURE, "tenant key",
            "give the file that tabiji keys new made", "the file is no key file: %s",
            error_text(r));
    else if (file.keys_count == 1)
        doctor_tell(
            doctor, VERDICT_OK, "tenant key", NULL, "configured, %s is active", file.keys[0].id);
    else
        doctor_tell(doctor, VERDICT_WARNING, "tenant key",
            "when customers have been seen: tabiji keys retire FILE KEY --confirm ends it",
            "a rotation is under way: %s is active, %s is to follow", file.keys[0].id,
            file.keys[1].id);
    explicit_bzero(&file, sizeof file);
}

static void check_key(struct doctor *doctor)
{
    struct str text = config_secret(doctor->call->config, OPTION_IDENTITY_KEY_FILE);
    if (text.size)
        check_key_file(doctor, text);
    else
        doctor_tell(doctor, VERDICT_WARNING, "tenant key",
            "tabiji keys new tenant.key; set [identity] key_file: before the first event",
            "the public key is in use: pseudonyms of e-mail and phone can be guessed");
}

static bool all_asked(const struct receipt_open *open, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!open[i].receipt.asked)
            return false;
    return true;
}

/* How many events came after an erasure and were refused; 0 where nothing says so. */
static int64_t refused_events(const char *path)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    int64_t refused = 0;
    int r = reader_open(&reader, path);
    if (r == 0)
        r = reader_refused(reader, NULL, &refused);
    return r < 0 ? 0 : refused;
}

/* Receipts of erasures that are not finished; those that are, though they do not say so, are
 * mended. */
static void check_erasures(struct doctor *doctor)
{
    struct settings settings = {.config = doctor->call->config};
    struct receipt_open *open = calloc(RECEIPTS_OPEN_MAX, sizeof *open);
    const char *path = "";
    size_t count = 0;
    int r = open ? settings_database(&settings, &path) : ERR_NO_MEMORY;
    if (r == 0)
        r = receipts_settle(path, false, &settings.arena, open, &count);
    if (r < 0)
        doctor_tell(doctor, VERDICT_FAILURE, "erasures", "see what is wrong with the database",
            "%s cannot be asked: %s", path, error_text(r));
    else if (count == 0)
        doctor_tell(doctor, VERDICT_OK, "erasures", NULL,
            "none is open; events that came after one and were refused: %lld",
            (long long)refused_events(path));
    else if (all_asked(open, count))
        doctor_tell(doctor, VERDICT_WARNING, "erasures", "the same tabiji erase --confirm again",
            "%zu followed, of which something stands: receipt %s, "
            "%lld rows",
            count, open[0].receipt.id, (long long)open[0].receipt.left_over);
    else
        doctor_tell(doctor, VERDICT_FAILURE, "erasures",
            on_kafka(doctor) ? "tabiji erase --confirm again for the same identifier"
                             : "tabiji import or run on this directory finishes it, or the same "
                               "tabiji erase --confirm",
            "%zu under way or cut off: receipt %s, %lld rows stand", count, open[0].receipt.id,
            (long long)open[0].receipt.left_over);
    arena_free(&settings.arena);
    free(open);
}

static int take_any(void *context, const struct reader_node *node)
{
    (void)context;
    (void)node;
    return 0;
}

/* Whether the tables know the value as an identifier of the namespace. */
static int is_known(struct reader *reader, const struct identifier_config *config,
    struct arena *arena, struct identifier identifier)
{
    struct identifier_report report;
    struct touchpoint event;
    uint8_t node[KEY_SIZE];
    touchpoint_init(&event);
    event.identifiers = &identifier;
    event.identifiers_count = 1;
    int r = identifier_normalise(config, arena, &event, &report);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? 0 : r;
    r = reader_node_id(config->namespaces, &event.identifiers[0], node);
    if (r == 0)
        r = reader_node(reader, node, take_any, NULL);
    return r < 0 ? r : r == 0;
}

/* Values of the operator's list that the tables know, from before they stood on it. */
static int count_known(struct settings *settings, size_t *known)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    struct config_problem problem;
    const struct str *values = NULL;
    const char *path = "";
    size_t count = config_list(settings->config, OPTION_IDENTITY_BLOCKED, &values);
    int r = settings_database(settings, &path);
    if (r == 0)
        r = door_configure(settings->config, &settings->arena, &settings->door, &problem);
    if (r == 0)
        r = reader_open(&reader, path);
    struct identifier_config config = settings->door.identifiers;
    config.blocked_count = 0;
    for (size_t i = 0; r >= 0 && i < count; i++) {
        bool any = false;
        for (size_t k = 0; r >= 0 && k < config.namespaces->count; k++) {
            r = is_known(reader, &config, &settings->arena,
                (struct identifier){
                    .namespace = config.namespaces->rules[k].name, .value = values[i]});
            any |= r > 0;
        }
        *known += any;
    }
    return r < 0 ? r : 0;
}

static void check_blocked(struct doctor *doctor)
{
    struct settings settings = {.config = doctor->call->config};
    const struct str *values = NULL;
    size_t known = 0;
    if (config_list(doctor->call->config, OPTION_IDENTITY_BLOCKED, &values) == 0)
        return;
    int r = count_known(&settings, &known);
    arena_free(&settings.arena);
    if (r == ERR_NOT_FOUND || r == ERR_CONFIG)
        return; /* no tables yet; or the key cannot be read, which is told */
    if (r < 0)
        doctor_tell(doctor, VERDICT_FAILURE, "blocked values",
            "see what is wrong with the database", "the tables cannot be asked: %s", error_text(r));
    else if (known)
        doctor_tell(doctor, VERDICT_WARNING, "blocked values",
            "tabiji explain and identity show say what they link; tabiji erase takes it away",
            "%zu of [identity] blocked %s known from before: what was seen with %s stays as it is",
            known, known == 1 ? "is" : "are", known == 1 ? "it" : "them");
    else
        doctor_tell(doctor, VERDICT_OK, "blocked values", NULL, "none is known from before");
}

static void check_file(
    struct doctor *doctor, enum option_id option, const char *name, const char *without)
{
    const char *path = config_path(doctor->call->config, option);
    if (!path || !path[0])
        doctor_tell(doctor, VERDICT_OK, name, NULL, "none configured: %s", without);
    else if (access(path, R_OK) == 0)
        doctor_tell(doctor, VERDICT_OK, name, NULL, "%s", path);
    else
        doctor_tell(doctor, VERDICT_WARNING, name, "install it, or set the option to nothing",
            "%s cannot be read: %s", path, without);
}

static void check_sources(struct doctor *doctor)
{
    const struct config_source *sources;
    size_t count = config_sources(doctor->call->config, &sources);
    bool open = config_text(doctor->call->config, OPTION_COLLECTOR_OPEN_SOURCE).size > 0;
    if (count)
        doctor_tell(doctor, VERDICT_OK, "write keys", NULL, "%zu sources", count);
    else
        doctor_tell(doctor, open ? VERDICT_WARNING : VERDICT_OK, "write keys",
            "add [source NAME] with key_sha256, or collector.open_source on a laptop",
            open ? "no sources; requests without a key are taken on loopback" : "no sources");
}

static int count_subject(void *context, struct str subject)
{
    int *count = context;
    (*count)++;
    return 0;
}

static void check_registry(struct doctor *doctor)
{
    struct registry_config registry;
    struct registry_client *client = NULL;
    struct config_problem problem = {.text = ""};
    char why[REGISTRY_WHY_SIZE] = "";
    int count = 0;
    int r = registry_configure(doctor->call->config, &registry, &problem);
    if (r == REGISTRY_NONE)
        return;
    if (r < 0) {
        doctor_tell(
            doctor, VERDICT_FAILURE, "schema registry", "mend [registry]", "%s", problem.text);
        return;
    }
    registry.attempts = 1;
    r = registry_client_new(&registry, &client);
    if (r == 0)
        r = registry_subjects(client, count_subject, &count, why);
    registry_client_free(&client);
    if (r < 0)
        doctor_tell(doctor, VERDICT_FAILURE, "schema registry",
            "check [registry] url, credentials and certificates", "%s",
            why[0] ? why : error_text(r));
    else
        doctor_tell(doctor, VERDICT_OK, "schema registry", NULL,
            "answers; %d subjects (tabiji schema check says how they fit)", count);
}

static int run(struct verb_call *call)
{
    struct doctor doctor = {.call = call};
    const char *dir = config_path(call->config, OPTION_DATA_DIR);
    check_directory(&doctor, dir);
    check_space(&doctor, dir);
    check_key(&doctor);
    check_erasures(&doctor);
    check_blocked(&doctor);
    check_sources(&doctor);
    check_file(&doctor, OPTION_AGENT_RULES, "user agent rules", "devices stay unknown");
    check_file(&doctor, OPTION_GEO_DATABASE, "country database", "countries stay unknown");
    check_file(&doctor, OPTION_CHANNEL_RULES, "channel rules", "the built-in rules are used");
    if (on_kafka(&doctor))
        doctor_kafka(&doctor);
    check_registry(&doctor);
    if (call->json)
        (void)printf("%.*s]\n", (int)doctor.json.size, doctor.json.data);
    buf_free(&doctor.json);
    return doctor.worst == VERDICT_FAILURE ? EXIT_FAILED : EXIT_OK;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory of the embedded mode", "data.dir"},
};

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "look at everything that a run needs",
    .arguments = "",
    .detail =
        "Checks the data directory, disk, keys (and whether a rotation is under way), "
        "erasures, blocked values that are known, rule files, with the\n"
        "kafka driver the brokers, their versions, topics, what this user may do, lag, "
        "transactions "
        "that stay open, the\n"
        "clock and the worker's state directory, and the schema registry where one is configured. "
        "Each finding that is not ok says\n"
        "what to do. Exit 1 when something would keep a run from starting, or an erasure is not "
        "finished.",
    .examples = "  tabiji doctor --data shop\n"
                "  tabiji doctor --config tabiji.ini --json",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};
