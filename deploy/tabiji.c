/* The one program: finds the verb, loads configuration (defaults < file < environment < flags),
 * runs it. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "deploy/command.h"
#include "deploy/verb/verbs.h"
#include "ingest/config/config.h"
#include "schemas/error.h"

#define CONFIG_FILE_DEFAULT "tabiji.ini"
#define NAME_SIZE_MAX 256

extern char **environ;

static const struct verb *const verbs[] = {
    &verb_demo,
    &verb_run,
    &verb_import,
    &verb_test,
    &verb_validate,
    &verb_emit,
    &verb_generate,
    &verb_attribute,
    &verb_budget,
    &verb_lookup,
    &verb_timeline,
    &verb_identity,
    &verb_explain,
    &verb_link,
    &verb_unlink,
    &verb_erase,
    &verb_rejected,
    &verb_repartition,
    &verb_replay,
    &verb_state,
    &verb_collect,
    &verb_work,
    &verb_sink,
    &verb_source,
    &verb_topics,
    &verb_lag,
    &verb_top,
    &verb_tail,
    &verb_keys,
    &verb_schema,
    &verb_doctor,
    &verb_config,
    &verb_version,
};
#define VERBS_COUNT (sizeof verbs / sizeof *verbs)

static int apply_sets(
    const struct command *command, struct config *config, struct config_problem *problem)
{
    for (size_t i = 0; i < command->sets_count; i++) {
        const char *equals = strchr(command->sets[i], '=');
        char name[NAME_SIZE_MAX];
        size_t size = equals ? (size_t)(equals - command->sets[i]) : 0;
        if (!equals || size >= sizeof name) {
            (void)snprintf(problem->text, sizeof problem->text,
                "--set needs SECTION.KEY=VALUE, not \"%.200s\"", command->sets[i]);
            return ERR_CONFIG;
        }
        memcpy(name, command->sets[i], size);
        name[size] = 0;
        int r = config_set(config, name, equals + 1, "--set", problem);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Flags that stand for a configuration key. */
static int apply_flags(const struct verb_option *options, const char *const *values, size_t count,
    struct config *config, struct config_problem *problem)
{
    for (size_t i = 0; i < count; i++) {
        if (!options[i].config || !values[i])
            continue;
        const char *value = options[i].argument ? values[i] : "yes";
        int r = config_set(config, options[i].config, value, options[i].name, problem);
        if (r < 0)
            return r;
    }
    return 0;
}

/* A file, or what a verb tries in its place. */
static int load_file(const struct verb_call *call, const char *path, bool sources,
    struct config *config, struct config_problem *problem)
{
    bool tried = call->tried_path && strcmp(path, call->tried_path) == 0;
    if (sources)
        return tried ? config_load_sources_text(config, path, call->tried_text, problem)
                     : config_load_sources(config, path, problem);
    return tried ? config_load_text(config, path, call->tried_text, problem)
                 : config_load(config, path, problem);
}

/* The file of sources, which flags and the environment may name. */
static int load_sources(
    const struct verb_call *call, struct config *config, struct config_problem *problem)
{
    const char *path = config_path(config, OPTION_COLLECTOR_SOURCES_FILE);
    if (!*path)
        return 0;
    int r = load_file(call, path, true, config, problem);
    if (r != ERR_NOT_FOUND)
        return r;
    return call->verb->makes_sources ? 0 : ERR_CONFIG;
}

static int load_config(
    struct command *command, struct config *config, struct config_problem *problem)
{
    const char *file = command_global(command, "--config");
    if (!file && access(CONFIG_FILE_DEFAULT, F_OK) == 0)
        file = CONFIG_FILE_DEFAULT;
    command->call.config_file = file;
    int r = file ? load_file(&command->call, file, false, config, problem) : 0;
    if (r == 0)
        r = config_environment(config, environ, problem);
    if (r == 0)
        r = apply_sets(command, config, problem);
    if (r == 0)
        r = apply_flags(command_globals, command->globals, COMMAND_GLOBALS, config, problem);
    if (r == 0)
        r = apply_flags(command->call.verb->options, command->call.values,
            command->call.verb->options_count, config, problem);
    if (r == 0)
        r = load_sources(&command->call, config, problem);
    command->call.config = config;
    if (r == 0 && command->call.verb->configure)
        r = command->call.verb->configure(&command->call, problem);
    return r < 0 ? r : config_finish(config, problem);
}

/* The call is the first member of its command. */
static int reconfigure(struct verb_call *call, struct config **out, struct config_problem *problem)
{
    struct command *command = (struct command *)call;
    struct config *running = call->config, *config = NULL;
    int r = config_new(&config);
    if (r == 0)
        r = load_config(command, config, problem);
    call->config = running;
    if (r < 0)
        config_free(&config);
    *out = config;
    return r;
}

static int run_verb(struct command *command)
{
    CLEANUP(config_free) struct config *config = NULL;
    struct config_problem problem = {.text = ""};
    int r = config_new(&config);
    if (r == 0)
        r = load_config(command, config, &problem);
    if (r < 0) {
        return verb_end(&command->call, r == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED, error_name(r),
            "%s", problem.text[0] ? problem.text : error_text(r));
    }
    command->call.reconfigure = reconfigure;
    return command->call.verb->run(&command->call);
}

/* `tabiji --help`, `tabiji help [VERB|--man]`, `tabiji --version`. Returns false when argv is none
 * of them. */
static bool documents(int argc, char **argv, int *exit_code)
{
    *exit_code = EXIT_OK;
    if (argc < 2)
        return false;
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        (void)printf("tabiji %s\n", TABIJI_VERSION);
        return true;
    }
    if (strcmp(word, "--help") != 0 && strcmp(word, "-h") != 0 && strcmp(word, "help") != 0)
        return false;
    if (argc == 2) {
        command_help(verbs, VERBS_COUNT, stdout);
        return true;
    }
    if (strcmp(argv[2], "--man") == 0) {
        command_manual(verbs, VERBS_COUNT, stdout);
        return true;
    }
    char help[] = "--help";
    char *const again[] = {argv[0], argv[2], help, NULL};
    struct command command;
    *exit_code = command_parse(verbs, VERBS_COUNT, 3, again, &command, stderr);
    if (*exit_code == 0)
        command_help_verb(command.call.verb, stdout);
    return true;
}

/* Files of the state and the log are mapped: one that is cut short, or whose disk fails, shows so.
 */
static void on_bus_error(int number)
{
    static const char message[] =
        "tabiji: a file of the state or the log is shorter than it says, or its disk fails. If it "
        "is "
        "in state/,\nmove state/ and the database away and start again: both are made anew from "
        "the log.\n";
    (void)number;
    ssize_t written = write(STDERR_FILENO, message, sizeof message - 1);
    (void)written;
    _exit(EXIT_FAILED);
}

/* What was printed has gone, or else why not matters. */
static int finish(int exit_code)
{
    bool lost = (fflush(stdout) != 0 || ferror(stdout)) && !verb_output_closed();
    return lost && exit_code == EXIT_OK ? EXIT_FAILED : exit_code;
}

static bool wants_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--json") == 0)
            return true;
    return false;
}

/* A command line that is none: what is wrong to standard error and, under --json, its first line
 * without the program's name as JSON. */
static void tell_usage(struct str text, bool json)
{
    (void)fwrite(text.data, 1, text.size, stderr);
    const char *end = memchr(text.data, '\n', text.size);
    const char *start = memmem(text.data, text.size, ": ", 2);
    if (json && end && start && start < end)
        command_error_json(STR("usage"), str_make(start + 2, (size_t)(end - start - 2)));
}

/* As command_parse(). */
static int parse(struct command *command, int argc, char **argv)
{
    char *text = NULL;
    size_t size = 0;
    FILE *err = open_memstream(&text, &size);
    if (!err)
        return command_parse(verbs, VERBS_COUNT, argc, argv, command, stderr);
    int code = command_parse(verbs, VERBS_COUNT, argc, argv, command, err);
    (void)fclose(err);
    if (text && size)
        tell_usage(str_make(text, size), wants_json(argc, argv));
    free(text);
    return code;
}

int main(int argc, char **argv)
{
    int exit_code;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGBUS, on_bus_error);
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    if (documents(argc, argv, &exit_code))
        return finish(exit_code);
    static struct command command; /* too large for a small stack */
    exit_code = parse(&command, argc, argv);
    if (exit_code)
        return finish(exit_code);
    if (command.help) {
        command_help_verb(command.call.verb, stdout);
        return finish(EXIT_OK);
    }
    return finish(run_verb(&command));
}
