/* `tabiji top`: what running programs do now, by their metrics, and how far readers are behind. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "deploy/http_client.h"
#include "deploy/render.h"
#include "deploy/scrape.h"
#include "deploy/serve.h"
#include "deploy/verb/verbs.h"
#include "ingest/metrics/metrics.h"
#include "ingest/stream/kafka_lag.h"
#include "schemas/error.h"

#define PROCESSES_MAX 64
#define URL_SIZE 256
#define EVERY_DEFAULT_S 2
#define EVERY_MAX_S 3600
#define KAFKA_TIMEOUT_MS 3000
#define LOOK_MS 500
#define CELL_SIZE 128
#define MEBIBYTE 1048576.0
#define FRAME_SIZE_MAX ((size_t)1 << 20)

/* Alternate screen, no cursor, no wrapping; and back. */
#define SCREEN_ON "\033[?1049h\033[?25l\033[?7l"
#define SCREEN_OFF "\033[?7h\033[?25h\033[?1049l"
#define SCREEN_HOME "\033[H\033[2J"

/* What a kind of process counts: its work, the time of one unit, and what went wrong. */
static const struct role {
    const char *name;
    const char *work;
    const char *work_label;
    const char *seconds; /* a histogram's name */
    const char *wrong;
    const char *wrong_label;
} roles[] = {
    {"work", "tabiji_worker_records_total", "", "tabiji_worker_transaction_seconds",
        "tabiji_worker_transactions_total", "result=\"aborted\""},
    {"sink", "tabiji_sink_results_total", "", "tabiji_sink_commit_seconds",
        "tabiji_sink_retries_total", ""},
    {"collect", "tabiji_collector_events_total", "", "tabiji_collector_append_seconds",
        "tabiji_collector_append_failures_total", ""},
};
#define ROLES (sizeof roles / sizeof *roles)

/* What a process, or one of its threads, has counted since it was started. */
struct figures {
    double work, time, times, wrong;
    double left; /* to restore */
};

/* One look at a process. */
struct look {
    bool up;
    double at; /* seconds, monotonic */
    const struct role *role;
    struct figures whole;
    struct figures threads[METRIC_THREADS_MAX];
    int threads_count;
    double cpu, memory, lag;
    bool has_lag;
};

struct process {
    char url[URL_SIZE];
    struct http_client *client;
    struct look now, before;
};

struct top {
    struct verb_call *call;
    struct process processes[PROCESSES_MAX];
    size_t count;
    long long every;
    struct serve_ask ask;
    bool on_kafka;
    struct kafka_lag_watch *watch;
    struct kafka_lag lag;
    int lag_error;
    bool screen;
    struct termios saved;
    bool raw;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

static double now_s(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- looking ---- */

static double get(struct str text, const char *name, const char *label)
{
    double sum = 0;
    (void)scrape_sum(text, name, label, &sum);
    return sum;
}

/* Of one thread of a worker. Returns whether there is such a one. */
static bool read_thread(struct str text, int thread, struct figures *out)
{
    char label[CELL_SIZE], aborted[CELL_SIZE];
    double tasks;
    (void)snprintf(label, sizeof label, "thread=\"%d\"", thread);
    (void)snprintf(aborted, sizeof aborted, "thread=\"%d\",result=\"aborted\"", thread);
    if (!scrape_sum(text, "tabiji_worker_thread_tasks", label, &tasks))
        return false;
    *out = (struct figures){
        .work = get(text, "tabiji_worker_thread_records_total", label),
        .time = get(text, "tabiji_worker_thread_transaction_seconds_total", label),
        .times = get(text, "tabiji_worker_thread_batches_total", label),
        .wrong = get(text, "tabiji_worker_thread_transactions_total", aborted),
        .left = get(text, "tabiji_worker_thread_restore_left", label),
    };
    return true;
}

static void read_look(struct str text, struct look *look)
{
    char name[CELL_SIZE];
    double any;
    for (size_t i = 0; i < ROLES && !look->role; i++)
        if (scrape_sum(text, roles[i].work, "", &any) || scrape_sum(text, roles[i].wrong, "", &any))
            look->role = &roles[i];
    look->cpu = get(text, "process_cpu_seconds_total", "");
    look->memory = get(text, "process_resident_memory_bytes", "");
    look->has_lag = scrape_sum(text, "tabiji_consumer_lag", "", &look->lag);
    struct figures *whole = &look->whole;
    whole->left = get(text, "tabiji_worker_restore_left", "");
    if (!look->role)
        return;
    whole->work = get(text, look->role->work, look->role->work_label);
    whole->wrong = get(text, look->role->wrong, look->role->wrong_label);
    (void)snprintf(name, sizeof name, "%s_sum", look->role->seconds);
    whole->time = get(text, name, "");
    (void)snprintf(name, sizeof name, "%s_count", look->role->seconds);
    whole->times = get(text, name, "");
    while (look->threads_count < METRIC_THREADS_MAX &&
           read_thread(text, look->threads_count, &look->threads[look->threads_count]))
        look->threads_count++;
}

static void look_at(struct process *process)
{
    CLEANUP(buf_free) struct buf text = {0};
    long status = 0;
    process->before = process->now;
    process->now = (struct look){.at = now_s(CLOCK_MONOTONIC)};
    if (http_client_get(process->client, 1, &status, &text) < 0 || status != 200)
        return;
    process->now.up = true;
    read_look(buf_str(&text), &process->now);
}

static void look_at_all(struct top *top)
{
    for (size_t i = 0; i < top->count; i++)
        look_at(&top->processes[i]);
    if (!top->on_kafka)
        return;
    top->lag_error =
        top->watch ? 0 : kafka_lag_open(&top->ask.kafka, KAFKA_TIMEOUT_MS, &top->watch);
    if (top->lag_error == 0)
        top->lag_error = kafka_lag_read(top->watch, KAFKA_TIMEOUT_MS, LOOK_MS, &top->lag);
}

/* ---- showing ---- */

static const struct render_column process_columns[] = {
    {"process", "process", RENDER_LEFT, 48},
    {"thread", "thread", RENDER_RIGHT, 0},
    {"role", "role", RENDER_LEFT, 0},
    {"state", "state", RENDER_LEFT, 0},
    {"per_second", "a second", RENDER_RIGHT, 0},
    {"lag", "lag", RENDER_RIGHT, 0},
    {"milliseconds", "ms each", RENDER_RIGHT, 0},
    {"wrong", "failed", RENDER_RIGHT, 0},
    {"restore_left", "to restore", RENDER_RIGHT, 0},
    {"cpu_percent", "cpu %", RENDER_RIGHT, 0},
    {"memory_mib", "MiB", RENDER_RIGHT, 0},
};
static const struct render_column group_columns[] = {
    {"group", "group", RENDER_LEFT, 0},
    {"lag", "lag", RENDER_RIGHT, 0},
    {"open", "in open transactions", RENDER_RIGHT, 0},
    {"oldest_seconds", "oldest unread, s", RENDER_RIGHT, 0},
};

static void add_tenths(struct render_table *table, bool known, double value)
{
    char cell[CELL_SIZE];
    (void)snprintf(cell, sizeof cell, "%.1f", value);
    if (known)
        render_text(table, str_of(cell));
    else
        render_nothing(table);
}

static void add_count(struct render_table *table, bool known, double value)
{
    if (known)
        render_integer(table, (int64_t)(value + 0.5));
    else
        render_nothing(table);
}

static const char *state_of(bool up, const struct figures *now)
{
    return !up ? "down" : now->left > 0 ? "restores" : "up";
}

/* Both looks at a process, as far as they can be compared: of one that was started again in between
 * counters begin anew. */
static bool comparable(const struct look *now, const struct look *before)
{
    return now->up && before->up && now->role == before->role &&
           now->whole.work >= before->whole.work && now->cpu >= before->cpu && now->at > before->at;
}

/* From the role to what is left to restore, but for the lag, which is the process's. */
static void add_figures(struct render_table *table, const struct process *process,
    const struct figures *now, const struct figures *before, bool has_lag)
{
    const struct look *look = &process->now;
    bool both = comparable(look, &process->before);
    double seconds = look->at - process->before.at, times = now->times - before->times;
    if (look->role)
        render_text(table, str_of(look->role->name));
    else
        render_nothing(table);
    render_text(table, str_of(state_of(look->up, now)));
    add_count(table, both && look->role, both ? (now->work - before->work) / seconds : 0);
    add_count(table, has_lag, look->lag);
    add_tenths(table, both && times > 0, times > 0 ? (now->time - before->time) / times * 1000 : 0);
    add_count(table, look->up && look->role, now->wrong);
    add_count(table, now->left > 0, now->left);
}

static void add_process(struct render_table *table, const struct process *process)
{
    const struct look *now = &process->now, *before = &process->before;
    bool both = comparable(now, before);
    double seconds = now->at - before->at;
    render_text(table, str_of(process->url));
    render_nothing(table);
    add_figures(table, process, &now->whole, &before->whole, now->up && now->has_lag);
    add_tenths(table, both, both ? (now->cpu - before->cpu) / seconds * 100 : 0);
    add_count(table, now->up, now->memory / MEBIBYTE);
}

/* A worker's threads, where they are several. */
static void add_threads(struct render_table *table, const struct process *process)
{
    const struct look *now = &process->now;
    for (int i = 0; now->threads_count > 1 && i < now->threads_count; i++) {
        render_text(table, str_of(process->url));
        render_integer(table, i);
        add_figures(table, process, &now->threads[i], &process->before.threads[i], false);
        render_nothing(table);
        render_nothing(table);
    }
}

static void add_group(struct render_table *table, const struct kafka_lag *lag, size_t group)
{
    int64_t sum = 0, open = 0, oldest = KAFKA_LAG_UNKNOWN;
    for (size_t i = 0; i < lag->rows_count; i++) {
        const struct kafka_lag_row *row = &lag->rows[i];
        if (row->group != group)
            continue;
        sum += row->lag;
        open += row->high - row->end;
        if (row->oldest_ms >= 0 && (oldest < 0 || row->oldest_ms < oldest))
            oldest = row->oldest_ms;
    }
    double age = now_s(CLOCK_REALTIME) - (double)oldest / 1000;
    render_text(table, str_of(lag->groups[group]));
    render_integer(table, sum);
    render_integer(table, open);
    add_tenths(table, oldest >= 0, age > 0 ? age : 0);
}

static int write_processes(const struct top *top, FILE *out)
{
    CLEANUP(render_free) struct render_table *table = NULL;
    int r = render_new(&table, process_columns, sizeof process_columns / sizeof *process_columns);
    for (size_t i = 0; r == 0 && i < top->count; i++) {
        add_process(table, &top->processes[i]);
        add_threads(table, &top->processes[i]);
    }
    return r < 0 ? r : render_write(table, top->call->json, out);
}

static int write_groups(struct top *top, FILE *out)
{
    CLEANUP(render_free) struct render_table *table = NULL;
    if (top->lag_error < 0) {
        (void)fprintf(out, "Kafka: %s\n",
            top->lag_error == ERR_AGAIN ? "no broker answers" : error_text(top->lag_error));
        return 0;
    }
    int r = render_new(&table, group_columns, sizeof group_columns / sizeof *group_columns);
    for (size_t group = 0; r == 0 && group < top->lag.groups_count; group++)
        add_group(table, &top->lag, group);
    return r < 0 ? r : render_write(table, false, out);
}

/* The whole picture, written at once so that it does not flicker. */
static int show(struct top *top)
{
    char *text = NULL;
    size_t size = 0;
    char clock[16] = "";
    time_t now = time(NULL);
    struct tm local;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return ERR_NO_MEMORY;
    if (localtime_r(&now, &local))
        (void)strftime(clock, sizeof clock, "%H:%M:%S", &local);
    if (top->screen)
        (void)fputs(SCREEN_HOME, out);
    if (!top->call->json)
        (void)fprintf(out, "tabiji top  %s%s\n\n", clock, top->screen ? "   q: leave" : "");
    int r = write_processes(top, out);
    if (r == 0 && top->on_kafka && !top->call->json) {
        (void)fputs("\n", out);
        r = write_groups(top, out);
    }
    if (fclose(out) != 0 && r == 0)
        r = ERR_NO_MEMORY;
    if (r == 0 && (fwrite(text, 1, size, stdout) != size || fflush(stdout) != 0))
        r = ERR_IO;
    free(text);
    return r;
}

/* ---- the terminal ---- */

static void terminal_take(struct top *top)
{
    top->screen = isatty(STDOUT_FILENO) && !top->call->json;
    top->raw = top->screen && isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &top->saved) == 0;
    if (top->raw) {
        struct termios keys = top->saved;
        keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        keys.c_cc[VMIN] = 0;
        keys.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    }
    if (top->screen)
        (void)fputs(SCREEN_ON, stdout);
}

static void terminal_give_back(struct top *top)
{
    if (top->screen)
        (void)fputs(SCREEN_OFF, stdout);
    (void)fflush(stdout);
    if (top->raw)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &top->saved);
}

/* Waits for the next look. Returns whether to leave. */
static bool wait_or_leave(struct top *top)
{
    struct pollfd keys = {.fd = top->raw ? STDIN_FILENO : -1, .events = POLLIN};
    double end = now_s(CLOCK_MONOTONIC) + (double)top->every;
    for (double left = (double)top->every; left > 0; left = end - now_s(CLOCK_MONOTONIC)) {
        char key = 0;
        int ready = poll(&keys, 1, (int)(left * 1000) + 1);
        if (interrupted)
            return true;
        if (ready > 0 && read(STDIN_FILENO, &key, 1) == 1 && (key == 'q' || key == 'Q'))
            return true;
        if (ready > 0 && key == 0) /* the terminal is gone */
            return true;
    }
    return false;
}

static int watch(struct top *top)
{
    look_at_all(top);
    if (verb_switch(top->call, "--once")) {
        if (wait_or_leave(top))
            return 0;
        look_at_all(top);
        return show(top);
    }
    terminal_take(top);
    int r = show(top);
    while (r == 0 && !wait_or_leave(top)) {
        look_at_all(top);
        r = show(top);
    }
    terminal_give_back(top);
    return r;
}

/* ---- what to look at ---- */

static int add_url(struct top *top, struct str url)
{
    bool whole = memmem(url.data, url.size, "://", 3) != NULL;
    if (top->count == PROCESSES_MAX)
        return verb_usage(top->call, "too many addresses");
    struct process *process = &top->processes[top->count];
    char full[URL_SIZE + sizeof "http:///metrics"];
    int size = snprintf(process->url, URL_SIZE, "%.*s", (int)url.size, url.data);
    if (size <= 0 || size >= URL_SIZE)
        return verb_usage(top->call, "--url needs ADDRESS:PORT or http://ADDRESS:PORT");
    (void)snprintf(full, sizeof full, "%s%s/metrics", whole ? "" : "http://", process->url);
    int r = http_client_new(full, NULL, &process->client);
    top->count += r == 0;
    return r < 0 ? verb_fail(top->call, r, "%s", process->url) : EXIT_OK;
}

/* --url, else where the configuration says that its programs listen. */
static int add_urls(struct top *top)
{
    struct config *config = top->call->config;
    const char *given = verb_value(top->call, "--url");
    struct str rest = str_of(given ? given : "");
    int code = EXIT_OK;
    while (rest.size && code == EXIT_OK) {
        const char *comma = memchr(rest.data, ',', rest.size);
        size_t size = comma ? (size_t)(comma - rest.data) : rest.size;
        code = add_url(top, str_make(rest.data, size));
        rest = str_make(rest.data + size + (comma != NULL), rest.size - size - (comma != NULL));
    }
    if (given || code != EXIT_OK)
        return code;
    code = add_url(top, config_text(config, OPTION_COLLECTOR_LISTEN));
    if (code == EXIT_OK && config_text(config, OPTION_METRICS_LISTEN).size)
        code = add_url(top, config_text(config, OPTION_METRICS_LISTEN));
    return code;
}

static int run(struct verb_call *call)
{
    static struct top top; /* too large for a small stack */
    const struct config_pair *pairs;
    const struct sigaction action = {.sa_handler = on_signal};
    top = (struct top){.call = call, .every = EVERY_DEFAULT_S};
    if (verb_integer(call, "--every", 1, EVERY_MAX_S, &top.every))
        return EXIT_USAGE;
    if (call->json && !verb_switch(call, "--once"))
        return verb_usage(call, "--json goes with --once");
    int code = add_urls(&top);
    int r = 0;
    top.on_kafka = config_pairs(call->config, CONFIG_KAFKA, &pairs) > 0 && !call->json;
    if (code == EXIT_OK && top.on_kafka)
        r = serve_ask_open(&top.ask, call->config);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    if (code == EXIT_OK && r == 0)
        r = watch(&top);
    if (code == EXIT_OK && r < 0)
        code = verb_fail(call, r, "cannot show");
    for (size_t i = 0; i < top.count; i++)
        http_client_free(&top.processes[i].client);
    kafka_lag_free(&top.lag);
    kafka_lag_close(&top.watch);
    if (top.on_kafka)
        serve_ask_close(&top.ask);
    return code;
}

static const struct verb_option options[] = {
    {"--url", "ADDRESS:PORT", "a program's collector.listen or metrics.listen; may be given again",
        NULL, true},
    {"--every", "SECONDS", "time between two looks (2)", NULL, false},
    {"--once", NULL, "two looks, then one table", NULL, false},
};

const struct verb verb_top = {
    .name = "top",
    .summary = "watch running programs: rates, lag, time of transactions",
    .arguments = "",
    .detail =
        "Asks the metrics of running collect, work and sink (or run) again and again: events a "
        "second, lag, milliseconds of\n"
        "one transaction (work), commit (sink) or append (collect), what failed since the start "
        "(aborted transactions,\n"
        "retries, appends), records still to be restored, CPU and memory; the threads of a worker "
        "with several each on a\n"
        "line of its own; below, the lag of all groups where [kafka] says how to ask. Without "
        "--url\n"
        "it looks where the configuration says that its programs listen. q or ctrl-C ends it.\n"
        "Where standard output is no terminal, a picture follows the other.",
    .examples = "  tabiji top --config tabiji.ini\n"
                "  tabiji top --url 10.0.0.5:8080 --url 10.0.0.6:9464 --url 10.0.0.7:9464\n"
                "  tabiji top --config tabiji.ini --once --json",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .run = run,
};
