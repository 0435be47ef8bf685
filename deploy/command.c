/* Command line parsing and its documents, all from the verbs' tables. No state. */
#include "deploy/command.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "deploy/render.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/json.h"

#define NAMES_MAX 96

const struct verb_option command_globals[COMMAND_GLOBALS] = {
    {"--config", "FILE", "read configuration from FILE (default: tabiji.ini here, where it stands)",
        NULL},
    {"--set", "SECTION.KEY=VALUE", "set one configuration value; may be given more than once",
        NULL},
    {"--json", NULL, "print JSON instead of text", NULL},
    {"--help", NULL, "print this help", NULL},
    {"-h", NULL, "the same as --help", NULL},
    {"--log-level", "LEVEL", "debug, info, warn or error", "log.level"},
};

static const struct verb *find_verb(const struct verb *const *verbs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static void print_nearest(FILE *err, struct str name, const struct str *known, size_t count)
{
    struct str near = nearest_name(name, known, count);
    if (near.size)
        (void)fprintf(err, " (did you mean \"%.*s\"?)", (int)near.size, near.data);
}

static int unknown_verb(const struct verb *const *verbs, size_t count, const char *name, FILE *err)
{
    struct str known[NAMES_MAX];
    size_t n = 0;
    for (; n < count && n < NAMES_MAX; n++)
        known[n] = str_of(verbs[n]->name);
    (void)fprintf(err, "tabiji: unknown verb \"%s\"", name);
    print_nearest(err, str_of(name), known, n);
    (void)fputs("\ntry: tabiji --help\n", err);
    return EXIT_USAGE;
}

static int unknown_flag(const struct verb *verb, struct str name, FILE *err)
{
    struct str known[NAMES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < verb->options_count; i++)
        known[n++] = str_of(verb->options[i].name);
    for (size_t i = 0; i < COMMAND_GLOBALS; i++)
        known[n++] = str_of(command_globals[i].name);
    (void)fprintf(err, "tabiji %s: unknown flag \"%.*s\"", verb->name, (int)name.size, name.data);
    print_nearest(err, name, known, n);
    (void)fprintf(err, "\ntry: tabiji %s --help\n", verb->name);
    return EXIT_USAGE;
}

/* Where a flag's value goes, and its description. */
static const struct verb_option *find_option(
    const struct verb *verb, struct command *command, struct str name, const char ***slot)
{
    for (size_t i = 0; i < verb->options_count; i++) {
        if (str_equal(name, str_of(verb->options[i].name))) {
            *slot = &command->call.values[i];
            return &verb->options[i];
        }
    }
    for (size_t i = 0; i < COMMAND_GLOBALS; i++) {
        if (str_equal(name, str_of(command_globals[i].name))) {
            *slot = &command->globals[i];
            return &command_globals[i];
        }
    }
    return NULL;
}

/* A flag that was given again: its values in commas. */
static int join(const struct verb *verb, struct command *command, const char *value,
    const char **slot, FILE *err)
{
    char *room = command->lists + command->lists_size;
    size_t left = sizeof command->lists - command->lists_size;
    int size = snprintf(room, left, "%s,%s", *slot, value);
    if (size < 0 || (size_t)size >= left) {
        (void)fprintf(err, "tabiji %s: too many values\n", verb->name);
        return EXIT_USAGE;
    }
    command->lists_size += (size_t)size + 1;
    *slot = room;
    return 0;
}

static bool keep_each(struct verb_call *call, const struct verb_option *option, const char *value)
{
    if (call->each_count == VERB_EACH_MAX)
        return false;
    call->each[call->each_count++] = (struct verb_each_value){option, value};
    return true;
}

/* Reads the flag at argv[*at]; moves *at to its last word. */
static int parse_flag(
    const struct verb *verb, char *const *argv, int *at, struct command *command, FILE *err)
{
    const char *word = argv[*at];
    const char *equals = strchr(word, '=');
    struct str name = equals ? str_make(word, (size_t)(equals - word)) : str_of(word);
    const char **slot = NULL;
    const struct verb_option *option = find_option(verb, command, name, &slot);
    if (!option)
        return unknown_flag(verb, name, err);
    if (!option->argument) {
        if (equals) {
            (void)fprintf(err, "tabiji %s: %s takes no value\n", verb->name, option->name);
            return EXIT_USAGE;
        }
        *slot = "";
        return 0;
    }
    const char *value = equals ? equals + 1 : argv[*at + 1];
    if (!value) {
        (void)fprintf(
            err, "tabiji %s: %s needs a value %s\n", verb->name, option->name, option->argument);
        return EXIT_USAGE;
    }
    if (!equals)
        (*at)++;
    if (option->list && *slot)
        return join(verb, command, value, slot, err);
    if (option->each && !keep_each(&command->call, option, value)) {
        (void)fprintf(err, "tabiji %s: too many %s\n", verb->name, option->name);
        return EXIT_USAGE;
    }
    *slot = value;
    if (strcmp(option->name, "--set") == 0) {
        if (command->sets_count == sizeof command->sets / sizeof *command->sets) {
            (void)fprintf(err, "tabiji %s: too many --set\n", verb->name);
            return EXIT_USAGE;
        }
        command->sets[command->sets_count++] = value;
    }
    return 0;
}

static int check_arguments(const struct command *command, FILE *err)
{
    const struct verb *verb = command->call.verb;
    size_t count = command->call.arguments_count;
    if (command->help || (count >= verb->arguments_min && count <= verb->arguments_max))
        return 0;
    if (count < verb->arguments_min)
        (void)fprintf(err, "tabiji %s: needs %s\n", verb->name, verb->arguments);
    else
        (void)fprintf(err, "tabiji %s: unexpected argument \"%s\"\n", verb->name,
            command->call.arguments[verb->arguments_max]);
    (void)fprintf(err, "try: tabiji %s --help\n", verb->name);
    return EXIT_USAGE;
}

int command_parse(const struct verb *const *verbs, size_t verbs_count, int argc, char *const *argv,
    struct command *out, FILE *err)
{
    *out = (struct command){0};
    if (argc < 2) {
        command_help(verbs, verbs_count, err);
        return EXIT_USAGE;
    }
    const struct verb *verb = find_verb(verbs, verbs_count, argv[1]);
    if (!verb)
        return unknown_verb(verbs, verbs_count, argv[1], err);
    out->call.verb = verb;
    bool only_arguments = false;
    for (int i = 2; i < argc; i++) {
        bool flag = argv[i][0] == '-' && argv[i][1] != 0 && !only_arguments;
        if (flag && strcmp(argv[i], "--") == 0) {
            only_arguments = true;
            continue;
        }
        if (flag) {
            int r = parse_flag(verb, argv, &i, out, err);
            if (r)
                return r;
            continue;
        }
        if (out->call.arguments_count == VERB_ARGUMENTS_MAX) {
            (void)fprintf(err, "tabiji %s: too many arguments\n", verb->name);
            return EXIT_USAGE;
        }
        out->call.arguments[out->call.arguments_count++] = argv[i];
    }
    out->help = command_global(out, "--help") || command_global(out, "-h");
    out->call.json = command_global(out, "--json") != NULL;
    return check_arguments(out, err);
}

const char *command_global(const struct command *command, const char *name)
{
    for (size_t i = 0; i < COMMAND_GLOBALS; i++)
        if (strcmp(command_globals[i].name, name) == 0)
            return command->globals[i];
    return NULL;
}

const char *verb_value(const struct verb_call *call, const char *name)
{
    for (size_t i = 0; i < call->verb->options_count; i++)
        if (strcmp(call->verb->options[i].name, name) == 0)
            return call->values[i];
    check(false && "a flag of this verb");
    return NULL;
}

bool verb_switch(const struct verb_call *call, const char *name)
{
    return verb_value(call, name) != NULL;
}

size_t verb_each(const struct verb_call *call, const char *name, const char *out[VERB_EACH_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < call->each_count; i++)
        if (strcmp(call->each[i].option->name, name) == 0)
            out[count++] = call->each[i].value;
    return count;
}

int verb_integer(
    const struct verb_call *call, const char *name, long long min, long long max, long long *value)
{
    const char *text = verb_value(call, name);
    if (!text)
        return 0;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || number < min || number > max)
        return verb_usage(
            call, "%s must be an integer from %lld to %lld, not \"%s\"", name, min, max, text);
    *value = number;
    return 0;
}

void command_error_json(struct str code, struct str message)
{
    CLEANUP(buf_free) struct buf safe = {0};
    CLEANUP(buf_free) struct buf out = {0};
    int r = render_safe(&safe, message);
    if (r == 0)
        r = buf_append_str(&out, STR("{\"error\":{\"code\":"));
    if (r == 0)
        r = json_write_text(&out, code);
    if (r == 0)
        r = buf_append_str(&out, STR(",\"message\":"));
    if (r == 0)
        r = json_write_text(&out, buf_str(&safe));
    if (r == 0)
        (void)printf("%.*s}}\n", (int)out.size, out.data);
}

/* end: what follows the message on standard error alone. */
static void tell(const struct verb_call *call, const char *code, const char *end,
    const char *format, va_list args)
{
    char *message = NULL;
    if (vasprintf(&message, format, args) < 0)
        message = NULL;
    (void)fprintf(stderr, "tabiji %s: %s%s\n", call->verb->name,
        message ? message : error_text(ERR_NO_MEMORY), end);
    if (call->json && message)
        command_error_json(str_of(code), str_of(message));
    free(message);
}

int verb_usage(const struct verb_call *call, const char *format, ...)
{
    char end[64];
    va_list args;
    va_start(args, format);
    (void)snprintf(end, sizeof end, "\ntry: tabiji %s --help", call->verb->name);
    tell(call, "usage", end, format, args);
    va_end(args);
    return EXIT_USAGE;
}

int verb_end(const struct verb_call *call, int exit_code, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(call, code, "", format, args);
    va_end(args);
    return exit_code;
}

int verb_not_found(const struct verb_call *call, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(call, "not_found", "", format, args);
    va_end(args);
    return EXIT_NOT_FOUND;
}

static int exit_code_of(int error)
{
    if (error == ERR_CONFIG || error == ERR_MEANING)
        return EXIT_USAGE;
    if (error == ERR_NOT_FOUND)
        return EXIT_NOT_FOUND;
    if (error == ERR_AUTH)
        return EXIT_AUTH;
    return error_class(error) == ERROR_CLASS_RETRY ? EXIT_RETRYABLE : EXIT_FAILED;
}

static int fail(
    const struct verb_call *call, int error, const char *text, const char *format, va_list args)
{
    char *message = NULL;
    if (vasprintf(&message, format, args) < 0)
        message = NULL;
    (void)verb_end(call, 0, error_name(error), "%s: %s", message ? message : "", text);
    free(message);
    return exit_code_of(error);
}

bool verb_output_closed(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return ferror(stdout) && poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int verb_fail(const struct verb_call *call, int error, const char *format, ...)
{
    va_list args;
    if (error == ERR_IO && verb_output_closed())
        return EXIT_OK;
    va_start(args, format);
    int code = fail(call, error, error_text(error), format, args);
    va_end(args);
    return code;
}

int verb_fail_system(const struct verb_call *call, int error, int reason, const char *format, ...)
{
    va_list args;
    bool said = reason && (error == ERR_IO || error == ERR_FULL);
    va_start(args, format);
    int code = fail(call, error, said ? strerror(reason) : error_text(error), format, args);
    va_end(args);
    return code;
}

static void print_options(const struct verb_option *options, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s%s%s", options[i].name, options[i].argument ? " " : "",
            options[i].argument ? options[i].argument : "");
        (void)fprintf(out, "  %-28s %s", name, options[i].doc);
        if (options[i].config)
            (void)fprintf(out, " [%s]", options[i].config);
        (void)fputc('\n', out);
    }
}

void command_help(const struct verb *const *verbs, size_t verbs_count, FILE *out)
{
    (void)fputs("tabiji (旅路): customer journeys from events, attribution that reconciles\n\n"
                "usage: tabiji VERB [FLAGS] [ARGUMENTS]\n\n",
        out);
    for (size_t i = 0; i < verbs_count; i++)
        (void)fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    (void)fputs(
        "\ntabiji VERB --help explains a verb and shows examples. Data goes to standard output,\n"
        "messages to standard error. Exit: 0 done, 1 failure, 2 usage or configuration,\n"
        "4 not found, 5 authentication, 6 done but some input was rejected, 7 try again.\n",
        out);
}

void command_help_verb(const struct verb *verb, FILE *out)
{
    (void)fprintf(out, "usage: tabiji %s [FLAGS]%s%s\n\n%s\n\n", verb->name,
        verb->arguments[0] ? " " : "", verb->arguments, verb->detail);
    if (verb->options_count) {
        (void)fputs("flags:\n", out);
        print_options(verb->options, verb->options_count, out);
    }
    (void)fputs("flags of every verb:\n", out);
    print_options(command_globals, COMMAND_GLOBALS, out);
    (void)fprintf(out, "\nexamples:\n%s\n", verb->examples);
}

/* Escapes what roff would read as a request or an escape. */
static void put_roff(const char *text, FILE *out)
{
    bool line_start = true;
    for (const char *p = text; *p; p++) {
        if (line_start && (*p == '.' || *p == '\''))
            (void)fputs("\\&", out);
        if (*p == '\\')
            (void)fputs("\\e", out);
        else if (*p == '-')
            (void)fputs("\\-", out);
        else
            (void)fputc(*p, out);
        line_start = *p == '\n';
    }
}

static void manual_options(const struct verb_option *options, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        (void)fputs(".TP\n.B ", out);
        put_roff(options[i].name, out);
        if (options[i].argument)
            (void)fprintf(out, " \\fI%s\\fR", options[i].argument);
        (void)fputc('\n', out);
        put_roff(options[i].doc, out);
        (void)fputs(".\n", out);
    }
}

void command_manual(const struct verb *const *verbs, size_t verbs_count, FILE *out)
{
    (void)fputs(
        ".TH TABIJI 1\n.SH NAME\ntabiji \\- customer journeys from events, attribution that "
        "reconciles\n.SH SYNOPSIS\n.B tabiji\n.I VERB\n[flags] [arguments]\n.SH VERBS\n",
        out);
    for (size_t i = 0; i < verbs_count; i++) {
        (void)fprintf(out, ".SS %s %s\n", verbs[i]->name, verbs[i]->arguments);
        put_roff(verbs[i]->summary, out);
        (void)fputs(".\n.PP\n", out);
        put_roff(verbs[i]->detail, out);
        (void)fputc('\n', out);
        manual_options(verbs[i]->options, verbs[i]->options_count, out);
        (void)fputs(".PP\nExamples:\n.nf\n", out);
        put_roff(verbs[i]->examples, out);
        (void)fputs("\n.fi\n", out);
    }
    (void)fputs(".SH FLAGS OF EVERY VERB\n", out);
    manual_options(command_globals, COMMAND_GLOBALS, out);
    (void)fputs(".SH EXIT STATUS\n0 done, 1 failure, 2 usage or configuration, 4 not found, 5 "
                "authentication, 6 done but some input was rejected, 7 try again.\n",
        out);
}
