/*
 * Invariants:
 * 1. Between two turns of the loop the sink's open transaction holds exactly what the source
 *    returned since the last commit.
 * 2. ack() follows a sync() of all that next() returned.
 * 3. After an error of the sink there is no source: the next turn opens one where the sink stands.
 */
#include "sinks/runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "schemas/error.h"
#include "schemas/hash.h"

#define COMMIT_RESULTS_MAX_DEFAULT 200000
#define COMMIT_DELAY_MAX_MS_DEFAULT 3000
#define SYNC_INTERVAL_MS_DEFAULT 5000
#define POLL_MS_DEFAULT 200
#define BACKOFF_MIN_MS_DEFAULT 100
#define BACKOFF_MAX_MS_DEFAULT 10000
#define WAIT_SLICE_MS 50 /* a stop is noticed so soon while waiting */
#define SOLVE_PAUSES 9   /* between two solves so many times what the first took */

struct runner {
    struct runner_config config;
    struct result_source *source; /* NULL: to be opened */
    size_t uncommitted;           /* results in the open transaction */
    bool transaction;             /* something was applied since the last commit */
    int64_t transaction_at;       /* when it began */
    bool unsynced;                /* something was committed since the last sync */
    bool settled;                 /* the sink knows that there is no more */
    int64_t synced_at;
    bool solved;   /* solve() was called */
    bool unsolved; /* something was committed since */
    int64_t solved_at, solving_ms;
    int64_t came_at;         /* the last result */
    uint64_t positions_hash; /* of the last batch applied */
    size_t careful;          /* so many results go one by one */
    int64_t backoff_ms;
    atomic_bool stopping;
    atomic_bool reopening;
    atomic_bool ended; /* the thread of runner_start() has */
    pthread_t thread;
    int thread_error;
    bool (*quiet)(void *context); /* of the thread's loop, or NULL */
    void *quiet_context;
    atomic_ullong results;
    atomic_ullong commits;
    atomic_ullong syncs;
    atomic_ullong retries;
    atomic_ullong rejected;
    atomic_ullong set_aside; /* the sink's own count */
    atomic_ullong refused;   /* likewise */
    atomic_int last_error;
};

static int64_t real_now_ms(void *context)
{
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void real_wait_ms(void *context, int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)context;
    nanosleep(&time, NULL);
}

static const struct runner_clock real_clock = {real_now_ms, real_wait_ms};

static int64_t now(const struct runner *runner)
{
    return runner->config.clock->now_ms(runner->config.context);
}

static bool stopping(const struct runner *runner)
{
    return atomic_load(&runner->stopping);
}

static void drop_source(struct runner *runner)
{
    if (runner->source)
        runner->source->close(runner->source);
    runner->source = NULL;
}

/* After an error of the sink: its transaction is gone, so is what the source showed. */
static int forget_transaction(struct runner *runner, int error)
{
    drop_source(runner);
    if (error_class(error) == ERROR_CLASS_REJECT)
        runner->careful = runner->uncommitted;
    runner->uncommitted = 0;
    runner->transaction = false;
    return error;
}

static int open_source(struct runner *runner)
{
    const struct result_position *positions;
    size_t count;
    int r = runner->config.sink->positions(runner->config.sink, &positions, &count);
    if (r < 0)
        return r;
    runner->positions_hash = 0;
    return runner->config.open_source(runner->config.context, positions, count, &runner->source);
}

static int commit(struct runner *runner)
{
    struct sink *sink = runner->config.sink;
    if (!runner->transaction)
        return 0;
    int64_t begun = now(runner);
    int r = sink->commit(sink);
    if (r < 0)
        return forget_transaction(runner, r);
    atomic_store(&runner->refused, sink->refused_count);
    if (runner->config.committed)
        runner->config.committed(runner->config.context, runner->uncommitted, now(runner) - begun);
    atomic_fetch_add(&runner->results, runner->uncommitted);
    atomic_fetch_add(&runner->commits, 1);
    atomic_store(&runner->set_aside, sink->rejected_count);
    runner->uncommitted = 0;
    runner->transaction = false;
    runner->unsynced = true;
    runner->settled = false;
    runner->unsolved = true;
    runner->backoff_ms = 0;
    return 0;
}

/* Makes commits durable, then lets the source forget. Nothing may be uncommitted. */
static int sync_and_ack(struct runner *runner)
{
    struct sink *sink = runner->config.sink;
    if (!runner->unsynced || runner->transaction)
        return 0;
    int r = sink->sync(sink);
    if (r < 0)
        return r;
    atomic_fetch_add(&runner->syncs, 1);
    runner->unsynced = false;
    runner->synced_at = now(runner);
    return runner->source ? runner->source->ack(runner->source) : 0;
}

static uint64_t hash_positions(const struct result_batch *batch)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < batch->positions_count; i++) {
        const struct result_position *position = &batch->positions[i];
        int64_t numbers[2] = {position->partition, position->next};
        hash = hash * 31 + hash64(str_of(position->topic));
        hash = hash * 31 + hash64(str_make(numbers, sizeof(numbers)));
    }
    return hash;
}

/* Each result in a transaction of its own, then the positions. */
static int apply_one_by_one(struct runner *runner, const struct result_batch *batch)
{
    struct sink *sink = runner->config.sink;
    int r = commit(runner);
    if (r == 0 && batch->begins_anew) { /* alone: a result that fails may not undo it */
        r = sink->apply(sink, &(struct result_batch){.begins_anew = true});
        if (r == 0)
            r = sink->commit(sink);
        if (r < 0)
            return forget_transaction(runner, r);
    }
    for (size_t i = 0; r == 0 && i < batch->results_count; i++) {
        struct result_batch one = {.results = &batch->results[i], .results_count = 1};
        int error = sink->apply(sink, &one);
        if (error == 0)
            error = sink->commit(sink);
        if (error < 0 && error_class(error) != ERROR_CLASS_REJECT)
            return forget_transaction(runner, error);
        if (error < 0) {
            atomic_fetch_add(&runner->rejected, 1);
            if (runner->config.rejected)
                runner->config.rejected(runner->config.context, &batch->results[i], error);
        }
    }
    size_t count = batch->results_count;
    runner->careful -= count < runner->careful ? count : runner->careful;
    struct result_batch end = *batch;
    end.results_count = 0;
    end.begins_anew = false;
    if (r == 0)
        r = sink->apply(sink, &end);
    return r < 0 ? forget_transaction(runner, r) : 0;
}

static int apply(struct runner *runner, const struct result_batch *batch)
{
    struct sink *sink = runner->config.sink;
    int r = 0;
    if (!runner->transaction)
        runner->transaction_at = now(runner);
    if (runner->careful)
        r = apply_one_by_one(runner, batch);
    else {
        r = sink->apply(sink, batch);
        if (r < 0) {
            runner->uncommitted += batch->results_count;
            return forget_transaction(runner, r);
        }
    }
    if (r < 0)
        return r;
    runner->transaction = true;
    runner->uncommitted += batch->results_count;
    runner->positions_hash = hash_positions(batch);
    if (runner->uncommitted >= runner->config.commit_results_max ||
        now(runner) - runner->transaction_at >= runner->config.commit_delay_max_ms)
        return commit(runner);
    return 0;
}

/* The source has nothing: what was applied becomes visible, then there is time. */
static int rest(struct runner *runner, bool more_comes)
{
    struct sink *sink = runner->config.sink;
    int r = 0;
    if (runner->config.whole && runner->transaction && sink->complete)
        r = sink->complete(sink);
    if (r < 0)
        return forget_transaction(runner, r);
    r = commit(runner);
    if (r == 0 && !runner->settled && !more_comes && sink->settle) {
        r = sink->settle(sink);
        runner->settled = r == 0;
    }
    return r;
}

/* Whether it is time: the interval is over, or nothing has come for a while. */
static bool solve_due(const struct runner *runner)
{
    const struct runner_config *config = &runner->config;
    int64_t since = now(runner) - runner->solved_at;
    if (since < SOLVE_PAUSES * runner->solving_ms)
        return false;
    return since >= config->solve_interval_ms ||
           (runner->unsolved && config->solve_rest_ms &&
               now(runner) - runner->came_at >= config->solve_rest_ms);
}

/* Between transactions, when it is time or `at_once`. */
static int solve(struct runner *runner, bool at_once)
{
    const struct runner_config *config = &runner->config;
    struct sink *sink = config->sink;
    if (!config->solve_interval_ms || !sink->solve || runner->transaction ||
        (!at_once && !solve_due(runner)))
        return 0;
    int64_t begun = now(runner);
    int r = sink->solve(sink);
    if (r < 0)
        return forget_transaction(runner, r);
    if (r > 0 && config->unsolved)
        config->unsolved(config->context, r);
    runner->solved = true;
    runner->unsolved = false;
    runner->solved_at = now(runner);
    runner->solving_ms = runner->solved_at - begun;
    return 0;
}

/* Of what the source does not have yet. */
enum more { MORE_PERHAPS, MORE_COMES, MORE_NONE };

/* One turn. *idle: the source had no more. */
static int turn(struct runner *runner, enum more more, bool *idle)
{
    bool more_comes = more == MORE_COMES;
    struct result_batch batch;
    int r = 0;
    if (atomic_exchange(&runner->reopening, false)) {
        r = commit(runner);
        drop_source(runner);
    }
    if (r == 0 && !runner->source)
        r = open_source(runner);
    if (r < 0)
        return r;
    bool waits = !runner->transaction && !stopping(runner) && more != MORE_NONE;
    int wait_ms = waits ? runner->config.poll_ms : 0;
    r = runner->source->next(runner->source, wait_ms, &batch);
    if (r < 0) {
        int kept = commit(runner); /* what came before the error is good */
        drop_source(runner);
        return kept < 0 ? kept : r;
    }
    *idle = batch.results_count == 0;
    if (!*idle)
        runner->came_at = now(runner);
    if (!*idle || hash_positions(&batch) != runner->positions_hash)
        r = apply(runner, &batch);
    if (r == 0 && *idle)
        r = rest(runner, more_comes);
    if (r == 0 && *idle && !more_comes)
        r = solve(runner, !runner->solved);
    if (r < 0 || now(runner) - runner->synced_at < runner->config.sync_interval_ms)
        return r;
    r = commit(runner);
    if (r == 0)
        r = sync_and_ack(runner);
    return r == 0 ? solve(runner, false) : r;
}

static void back_off(struct runner *runner, int error)
{
    const struct runner_config *config = &runner->config;
    atomic_fetch_add(&runner->retries, 1);
    atomic_store(&runner->last_error, error);
    if (error_class(error) == ERROR_CLASS_REJECT && runner->careful)
        return; /* one by one, at once */
    runner->backoff_ms = runner->backoff_ms ? runner->backoff_ms * 2 : config->backoff_min_ms;
    if (runner->backoff_ms > config->backoff_max_ms)
        runner->backoff_ms = config->backoff_max_ms;
    if (config->retrying)
        config->retrying(config->context, error, runner->backoff_ms);
    int64_t until = now(runner) + runner->backoff_ms;
    for (int64_t at = now(runner); at < until && !stopping(runner); at = now(runner))
        config->clock->wait_ms(
            config->context, until - at < WAIT_SLICE_MS ? until - at : WAIT_SLICE_MS);
}

/* Turns until it is stopped, or rests while quiet said so before. */
static int loop(struct runner *runner, bool (*quiet)(void *context), void *quiet_context)
{
    runner->synced_at = now(runner);
    if (!runner->solved)
        runner->solved_at = now(runner);
    while (!stopping(runner)) {
        bool idle = false;
        bool was_quiet = quiet && quiet(quiet_context);
        int r = turn(runner, !quiet ? MORE_PERHAPS : was_quiet ? MORE_NONE : MORE_COMES, &idle);
        if (r < 0 && error_class(r) == ERROR_CLASS_FATAL)
            return r;
        if (r < 0)
            back_off(runner, r);
        else if (idle && was_quiet)
            return 0;
    }
    return RUNNER_STOPPED;
}

static int finish(struct runner *runner, int outcome)
{
    int r = commit(runner);
    if (r == 0)
        r = sync_and_ack(runner);
    if (r == 0 && outcome == 0)
        r = solve(runner, true);
    drop_source(runner);
    return outcome < 0 || r == 0 ? outcome : r;
}

int runner_run(struct runner *runner)
{
    int r = finish(runner, loop(runner, NULL, NULL));
    return r == RUNNER_STOPPED ? 0 : r;
}

int runner_to_quiet(struct runner *runner, bool (*quiet)(void *context), void *quiet_context)
{
    return finish(runner, loop(runner, quiet, quiet_context));
}

void runner_stop(struct runner *runner)
{
    atomic_store(&runner->stopping, true);
}

void runner_reopen(struct runner *runner)
{
    atomic_store(&runner->reopening, true);
}

struct runner_stats runner_stats(const struct runner *runner)
{
    return (struct runner_stats){
        .results = atomic_load(&runner->results),
        .commits = atomic_load(&runner->commits),
        .syncs = atomic_load(&runner->syncs),
        .retries = atomic_load(&runner->retries),
        .rejected = atomic_load(&runner->rejected) + atomic_load(&runner->set_aside),
        .refused = atomic_load(&runner->refused),
        .last_error = atomic_load(&runner->last_error),
    };
}

static void *run_thread(void *argument)
{
    struct runner *runner = argument;
    (void)pthread_setname_np(pthread_self(), "sink");
    runner->thread_error = runner->quiet
                               ? runner_to_quiet(runner, runner->quiet, runner->quiet_context)
                               : runner_run(runner);
    atomic_store(&runner->ended, true);
    return NULL;
}

int runner_start(struct runner *runner, bool (*quiet)(void *context), void *quiet_context)
{
    runner->quiet = quiet;
    runner->quiet_context = quiet_context;
    atomic_store(&runner->ended, false);
    return pthread_create(&runner->thread, NULL, run_thread, runner) == 0 ? 0 : ERR_AGAIN;
}

bool runner_ended(const struct runner *runner)
{
    return atomic_load(&runner->ended);
}

int runner_join(struct runner *runner)
{
    runner_stop(runner);
    check(pthread_join(runner->thread, NULL) == 0);
    atomic_store(&runner->stopping, false);
    return runner->thread_error;
}

int runner_new(struct runner **out, const struct runner_config *config)
{
    struct runner *runner = calloc(1, sizeof(*runner));
    if (!runner)
        return ERR_NO_MEMORY;
    struct runner_config *own = &runner->config;
    *own = *config;
    if (own->whole) {
        own->commit_results_max = SIZE_MAX;
        own->commit_delay_max_ms = own->sync_interval_ms = INT64_MAX;
    }
    own->commit_results_max =
        own->commit_results_max ? own->commit_results_max : COMMIT_RESULTS_MAX_DEFAULT;
    own->commit_delay_max_ms =
        own->commit_delay_max_ms ? own->commit_delay_max_ms : COMMIT_DELAY_MAX_MS_DEFAULT;
    own->sync_interval_ms =
        own->sync_interval_ms ? own->sync_interval_ms : SYNC_INTERVAL_MS_DEFAULT;
    own->poll_ms = own->poll_ms ? own->poll_ms : POLL_MS_DEFAULT;
    own->backoff_min_ms = own->backoff_min_ms ? own->backoff_min_ms : BACKOFF_MIN_MS_DEFAULT;
    own->backoff_max_ms = own->backoff_max_ms ? own->backoff_max_ms : BACKOFF_MAX_MS_DEFAULT;
    own->clock = own->clock ? own->clock : &real_clock;
    *out = runner;
    return 0;
}

void runner_free(struct runner **runner)
{
    if (!*runner)
        return;
    drop_source(*runner);
    free(*runner);
    *runner = NULL;
}
