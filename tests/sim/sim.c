/*
 * A task is a stage and a partition: an instance, a sorted array of committed rows, an overlay. A
 * channel is a FIFO into one task.
 *
 * Invariants:
 *  I1 a record leaves its channel for good only with the commit of the batch that processed it.
 *  I2 mail of a batch enters channels only with its commit.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>

#include "ingest/stream/outbox.h"
#include "ingest/stream/state_overlay.h"
#include "schemas/error.h"

#define STEPS_MAX 50000000
#define SENDER_LOG SIZE_MAX

struct row {
    uint8_t table; /* TABLE_COUNT: rejected */
    struct str key;
    struct str value;
};

struct store {
    struct state_backend backend; /* first */
    struct row *rows;             /* sorted by (table, key) */
    size_t count;
    size_t room;
};

struct mail {
    struct mail *next;
    enum topic topic;
    int64_t position;
    struct str key;
    struct str value;
};

struct channel {
    size_t sender;
    bool slow; /* waits as long as a channel that is not has mail */
    struct mail *first;
    struct mail *last;
};

struct task_state {
    const struct stage *stage;
    int32_t partition;
    void *instance;
    struct store store;
    struct state *state;
    struct channel *channels;
    size_t channels_count;
    size_t channels_room;
    struct channel published; /* changed rows, in the order of their commits */
};

struct sim {
    struct sim_config config;
    uint64_t random;
    struct task_state *tasks;
    size_t tasks_count;
    int64_t *positions; /* next of the log, by partition */
    struct store rejected;
    struct outbox outbox; /* of the running batch */
    struct channel sent;
    struct arena scratch;
    struct sim_counts counts;
};

uint64_t sim_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* ---- committed rows ---- */

static int compare_row(const struct row *row, int table, struct str key)
{
    if (row->table != table)
        return row->table < table ? -1 : 1;
    return str_compare(row->key, key);
}

/* First row that is not before (table, key). */
static size_t find_row(const struct store *store, int table, struct str key)
{
    size_t low = 0, high = store->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_row(&store->rows[middle], table, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int dup_bytes(struct str bytes, struct str *out)
{
    char *copy = malloc(bytes.size + 1);
    if (!copy)
        return ERR_NO_MEMORY;
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    *out = str_make(copy, bytes.size);
    return 0;
}

static void free_bytes(struct str bytes)
{
    free((void *)(uintptr_t)bytes.data);
}

static int store_put(struct store *store, int table, struct str key, struct str value)
{
    size_t at = find_row(store, table, key);
    struct str copy;
    int r = dup_bytes(value, &copy);
    if (r < 0)
        return r;
    if (at < store->count && compare_row(&store->rows[at], table, key) == 0) {
        free_bytes(store->rows[at].value);
        store->rows[at].value = copy;
        return 0;
    }
    if (store->count == store->room) {
        size_t room = store->room ? store->room * 2 : 64;
        struct row *more = realloc(store->rows, room * sizeof *more);
        if (!more) {
            free_bytes(copy);
            return ERR_NO_MEMORY;
        }
        store->rows = more;
        store->room = room;
    }
    memmove(&store->rows[at + 1], &store->rows[at], (store->count - at) * sizeof *store->rows);
    store->rows[at] = (struct row){.table = (uint8_t)table, .value = copy};
    store->count++;
    return dup_bytes(key, &store->rows[at].key);
}

static void store_delete(struct store *store, int table, struct str key)
{
    size_t at = find_row(store, table, key);
    if (at == store->count || compare_row(&store->rows[at], table, key) != 0)
        return;
    free_bytes(store->rows[at].key);
    free_bytes(store->rows[at].value);
    store->count--;
    memmove(&store->rows[at], &store->rows[at + 1], (store->count - at) * sizeof *store->rows);
}

static void store_free(struct store *store)
{
    for (size_t i = 0; i < store->count; i++) {
        free_bytes(store->rows[i].key);
        free_bytes(store->rows[i].value);
    }
    free(store->rows);
    *store = (struct store){.count = 0};
}

static int backend_get(
    struct state_backend *backend, enum table table, struct str key, struct str *value)
{
    const struct store *store = (const struct store *)backend;
    size_t at = find_row(store, (int)table, key);
    if (at == store->count || compare_row(&store->rows[at], (int)table, key) != 0)
        return STATE_ABSENT;
    *value = store->rows[at].value;
    return 0;
}

struct cursor {
    const struct store *store;
    size_t at;
    int table;
};

static int backend_scan_begin(
    struct state_backend *backend, enum table table, struct str from, void **out)
{
    struct cursor *cursor = malloc(sizeof *cursor);
    if (!cursor)
        return ERR_NO_MEMORY;
    const struct store *store = (const struct store *)backend;
    *cursor = (struct cursor){store, find_row(store, (int)table, from), (int)table};
    *out = cursor;
    return 0;
}

static int backend_scan_next(void *opaque, struct str *key, struct str *value)
{
    struct cursor *cursor = opaque;
    if (cursor->at == cursor->store->count ||
        cursor->store->rows[cursor->at].table != cursor->table)
        return STATE_ABSENT;
    *key = cursor->store->rows[cursor->at].key;
    *value = cursor->store->rows[cursor->at].value;
    cursor->at++;
    return 0;
}

static void store_init(struct store *store)
{
    *store = (struct store){
        .backend = {.get = backend_get,
            .scan_begin = backend_scan_begin,
            .scan_next = backend_scan_next,
            .scan_end = free},
    };
}

/* ---- channels ---- */

static void channel_push(struct channel *channel, struct mail *mail)
{
    mail->next = NULL;
    if (channel->last)
        channel->last->next = mail;
    else
        channel->first = mail;
    channel->last = mail;
}

static struct mail *channel_pop(struct channel *channel)
{
    struct mail *mail = channel->first;
    channel->first = mail->next;
    if (!channel->first)
        channel->last = NULL;
    return mail;
}

static void channel_push_front(struct channel *channel, struct mail *mail)
{
    mail->next = channel->first;
    channel->first = mail;
    if (!channel->last)
        channel->last = mail;
}

static void mail_free(struct mail *mail)
{
    free_bytes(mail->key);
    free_bytes(mail->value);
    free(mail);
}

static int mail_new(enum topic topic, struct str key, struct str value, struct mail **out)
{
    struct mail *mail = calloc(1, sizeof *mail);
    if (!mail)
        return ERR_NO_MEMORY;
    mail->topic = topic;
    int r = dup_bytes(key, &mail->key);
    if (r == 0)
        r = dup_bytes(value, &mail->value);
    if (r < 0) {
        mail_free(mail);
        return r;
    }
    *out = mail;
    return 0;
}

static bool takes(const struct stage *stage, enum topic topic)
{
    for (size_t i = 0; i < stage->inputs_count; i++)
        if (stage->inputs[i] == topic)
            return true;
    return false;
}

static bool draw_slow(struct sim *sim)
{
    return sim->config.slow_percent && sim_random(&sim->random) % 100 < sim->config.slow_percent;
}

/* The channel from a sender into a task, made at its first use. */
static int channel_of(struct sim *sim, struct task_state *task, size_t sender, struct channel **out)
{
    for (size_t i = 0; i < task->channels_count; i++) {
        if (task->channels[i].sender == sender) {
            *out = &task->channels[i];
            return 0;
        }
    }
    if (task->channels_count == task->channels_room) {
        size_t room = task->channels_room ? task->channels_room * 2 : 4;
        struct channel *more = realloc(task->channels, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        task->channels = more;
        task->channels_room = room;
    }
    *out = &task->channels[task->channels_count++];
    **out = (struct channel){.sender = sender, .slow = draw_slow(sim)};
    return 0;
}

/* Puts mail into the channel of the task that takes it; takes ownership. */
static int route(struct sim *sim, size_t sender, struct mail *mail)
{
    if (mail->topic == TOPIC_REJECTED) {
        int r = store_put(&sim->rejected, TABLE_COUNT, mail->key, mail->value);
        mail_free(mail);
        return r;
    }
    int32_t partition = topic_partition(mail->key, sim->config.partitions);
    for (size_t i = 0; i < sim->tasks_count; i++) {
        struct task_state *task = &sim->tasks[i];
        if (task->partition != partition || !takes(task->stage, mail->topic))
            continue;
        struct channel *channel;
        int r = channel_of(sim, task, sender, &channel);
        if (r < 0) {
            mail_free(mail);
            return r;
        }
        if (sender == SENDER_LOG)
            mail->position = sim->positions[partition]++;
        sim->counts.mails[mail->topic]++;
        channel_push(channel, mail);
        return 0;
    }
    mail_free(mail);
    return ERR_INTERNAL;
}

int sim_append(struct sim *sim, const struct append_record *record)
{
    struct mail *mail;
    int r = mail_new(record->topic, record->key, record->value, &mail);
    return r < 0 ? r : route(sim, SENDER_LOG, mail);
}

static int send_mail(struct outbox *outbox, enum topic topic, struct str key, struct str value)
{
    struct sim *sim = (struct sim *)(void *)((char *)outbox - offsetof(struct sim, outbox));
    struct mail *mail;
    int r = mail_new(topic, key, value, &mail);
    if (r == 0)
        channel_push(&sim->sent, mail);
    return r;
}

/* ---- batches ---- */

/* What a batch took, in order, so that a crash can give it back. */
struct taken {
    struct mail *mail;
    size_t channel;
};

static int process_taken(struct sim *sim, struct task_state *task, const struct mail *mail)
{
    struct task context = {.state = task->state,
        .outbox = &sim->outbox,
        .scratch = &sim->scratch,
        .partition = task->partition};
    const struct record record = {.topic = mail->topic,
        .partition = task->partition,
        .position = mail->position,
        .key = mail->key,
        .value = mail->value};
    int r = task->stage->process(task->instance, &context, &record);
    arena_reset(&sim->scratch);
    return r;
}

/* A random channel of the task that has mail and may move, or SIZE_MAX. */
static size_t pick_channel(struct sim *sim, const struct task_state *task)
{
    size_t full = 0, found = SIZE_MAX;
    for (size_t i = 0; i < task->channels_count; i++) {
        const struct channel *channel = &task->channels[i];
        if (channel->first && !channel->slow && sim_random(&sim->random) % ++full == 0)
            found = i;
    }
    return found;
}

/* Notes a changed row for sim_published(). A deleted one has no value. */
static int publish(struct task_state *task, const struct state_change *change)
{
    struct mail *mail;
    int r = mail_new(table_topic(change->table), change->key,
        change->deleted ? (struct str){NULL, 0} : change->value, &mail);
    if (r < 0)
        return r;
    if (change->deleted) {
        free_bytes(mail->value);
        mail->value = (struct str){NULL, 0};
    }
    channel_push(&task->published, mail);
    return 0;
}

static int commit(struct sim *sim, struct task_state *task, size_t sender)
{
    const struct state_change *changes;
    size_t count;
    int r = state_changes(task->state, &changes, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (topic_table(table_topic(changes[i].table)) >= 0)
            r = publish(task, &changes[i]);
        if (r < 0)
            break;
        if (changes[i].deleted)
            store_delete(&task->store, (int)changes[i].table, changes[i].key);
        else
            r = store_put(&task->store, (int)changes[i].table, changes[i].key, changes[i].value);
    }
    while (r == 0 && sim->sent.first)
        r = route(sim, sender, channel_pop(&sim->sent));
    return r;
}

/* The instance dies with all that it held in memory. */
static int reopen(struct sim *sim, struct task_state *task)
{
    sim->counts.crashes++;
    task->stage->close(task->instance);
    task->instance = NULL;
    return task->stage->open(task->stage->config, &task->instance);
}

/* The random next batch of the task, off its channels. */
static size_t take_batch(struct sim *sim, struct task_state *task, struct taken *taken)
{
    size_t size = 1 + sim_random(&sim->random) % sim->config.batch_max, count = 0, channel;
    while (count < size && (channel = pick_channel(sim, task)) != SIZE_MAX)
        taken[count++] = (struct taken){channel_pop(&task->channels[channel]), channel};
    return count;
}

static int process_batch(
    struct sim *sim, struct task_state *task, const struct taken *taken, size_t count)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = process_taken(sim, task, taken[i].mail);
    if (r < 0)
        return r;
    struct task context = {.state = task->state,
        .outbox = &sim->outbox,
        .scratch = &sim->scratch,
        .partition = task->partition};
    r = task->stage->settle(task->instance, &context);
    arena_reset(&sim->scratch);
    return r;
}

static void drop_batch(struct sim *sim, struct task_state *task)
{
    while (sim->sent.first)
        mail_free(channel_pop(&sim->sent));
    state_reset(task->state);
}

static int write_bytes(struct buf *out, struct str bytes)
{
    int r = buf_appendf(out, "%zu:", bytes.size);
    return r < 0 ? r : buf_append_str(out, bytes);
}

/* All that the batch would do, as bytes. */
static int write_effect(struct sim *sim, struct task_state *task, struct buf *out)
{
    const struct state_change *changes;
    size_t count;
    int r = state_changes(task->state, &changes, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = buf_appendf(out, "%d%d", (int)changes[i].table, changes[i].deleted);
        if (r == 0)
            r = write_bytes(out, changes[i].key);
        if (r == 0 && !changes[i].deleted)
            r = write_bytes(out, changes[i].value);
    }
    for (const struct mail *mail = sim->sent.first; r == 0 && mail; mail = mail->next) {
        r = buf_appendf(out, "%d", (int)mail->topic);
        if (r == 0)
            r = write_bytes(out, mail->key);
        if (r == 0)
            r = write_bytes(out, mail->value);
    }
    return r;
}

/* Throws the processed batch away and processes it again with a new instance. */
static int replay_batch(
    struct sim *sim, struct task_state *task, const struct taken *taken, size_t count)
{
    CLEANUP(buf_free) struct buf first = {0};
    CLEANUP(buf_free) struct buf second = {0};
    int r = write_effect(sim, task, &first);
    drop_batch(sim, task);
    if (r == 0)
        r = reopen(sim, task);
    if (r == 0)
        r = process_batch(sim, task, taken, count);
    if (r == 0)
        r = write_effect(sim, task, &second);
    sim->counts.replays++;
    sim->counts.replays_differ += r == 0 && !str_equal(buf_str(&first), buf_str(&second));
    return r;
}

static int run_batch(struct sim *sim, size_t index, struct taken *taken)
{
    struct task_state *task = &sim->tasks[index];
    size_t count = take_batch(sim, task, taken);
    bool crash = sim_random(&sim->random) % 100 < sim->config.crash_percent;
    bool crash_after = crash && sim_random(&sim->random) % 4 == 0;
    int r = process_batch(sim, task, taken, count);
    if (r == 0 && sim->config.replay)
        r = replay_batch(sim, task, taken, count);
    bool keep = r == 0 && (!crash || crash_after);
    if (keep)
        r = commit(sim, task, index);
    for (size_t i = count; i-- > 0;) {
        if (keep)
            mail_free(taken[i].mail);
        else
            channel_push_front(&task->channels[taken[i].channel], taken[i].mail);
    }
    drop_batch(sim, task);
    sim->counts.batches++;
    return r == 0 && crash ? reopen(sim, task) : r;
}

static bool has_mail(const struct task_state *task, bool slow)
{
    for (size_t i = 0; i < task->channels_count; i++)
        if (task->channels[i].first && task->channels[i].slow == slow)
            return true;
    return false;
}

static size_t pick_task_of(struct sim *sim, bool slow)
{
    size_t full = 0, found = SIZE_MAX;
    for (size_t i = 0; i < sim->tasks_count; i++)
        if (has_mail(&sim->tasks[i], slow) && sim_random(&sim->random) % ++full == 0)
            found = i;
    return found;
}

/* Another one is slow instead of this, perhaps. */
static void redraw_slow(struct sim *sim, struct channel *channel)
{
    size_t task = (size_t)(sim_random(&sim->random) % sim->tasks_count);
    size_t count = sim->tasks[task].channels_count;
    if (count)
        sim->tasks[task].channels[sim_random(&sim->random) % count].slow = draw_slow(sim);
    channel->slow = false;
}

/* A random task with something to do, or SIZE_MAX. When nothing but slow channels has mail, one of
 * them is slow no more. */
static size_t pick_task(struct sim *sim)
{
    size_t found = pick_task_of(sim, false);
    if (found != SIZE_MAX)
        return found;
    found = pick_task_of(sim, true);
    if (found == SIZE_MAX)
        return found;
    struct task_state *task = &sim->tasks[found];
    size_t full = 0, channel = 0;
    for (size_t i = 0; i < task->channels_count; i++)
        if (task->channels[i].first && sim_random(&sim->random) % ++full == 0)
            channel = i;
    redraw_slow(sim, &task->channels[channel]);
    return found;
}

int sim_run(struct sim *sim, size_t steps)
{
    struct taken *taken = calloc(sim->config.batch_max, sizeof *taken);
    int r = taken ? 0 : ERR_NO_MEMORY;
    size_t task = SIZE_MAX, step = 0;
    while (r == 0 && step < steps && (task = pick_task(sim)) != SIZE_MAX) {
        r = ++step > STEPS_MAX ? ERR_INTERNAL : run_batch(sim, task, taken);
    }
    free(taken);
    if (r < 0)
        return r;
    bool busy = false;
    for (size_t i = 0; !busy && i < sim->tasks_count; i++)
        busy = has_mail(&sim->tasks[i], false) || has_mail(&sim->tasks[i], true);
    return busy ? SIM_BUSY : 0;
}

/* ---- making and reading ---- */

static int open_task(struct task_state *task, const struct stage *stage, int32_t partition)
{
    task->stage = stage;
    task->partition = partition;
    store_init(&task->store);
    int r = state_new(&task->store.backend, &task->state);
    return r < 0 ? r : stage->open(stage->config, &task->instance);
}

int sim_new(
    const struct sim_config *config, const struct stage *stages, size_t count, struct sim **out)
{
    struct sim *sim = calloc(1, sizeof *sim);
    if (!sim)
        return ERR_NO_MEMORY;
    sim->config = *config;
    sim->random = config->seed;
    sim->outbox.send = send_mail;
    store_init(&sim->rejected);
    size_t partitions = (size_t)config->partitions;
    sim->tasks = calloc(count * partitions, sizeof *sim->tasks);
    sim->positions = calloc(partitions, sizeof *sim->positions);
    int r = sim->tasks && sim->positions ? 0 : ERR_NO_MEMORY;
    for (size_t s = 0; r == 0 && s < count; s++)
        for (int32_t p = 0; r == 0 && p < config->partitions; p++)
            r = open_task(&sim->tasks[sim->tasks_count++], &stages[s], p);
    if (r < 0) {
        sim_free(&sim);
        return r;
    }
    *out = sim;
    return 0;
}

void sim_free(struct sim **out)
{
    struct sim *sim = *out;
    for (size_t i = 0; sim && i < sim->tasks_count; i++) {
        struct task_state *task = &sim->tasks[i];
        if (task->instance)
            task->stage->close(task->instance);
        for (size_t k = 0; k < task->channels_count; k++)
            while (task->channels[k].first)
                mail_free(channel_pop(&task->channels[k]));
        while (task->published.first)
            mail_free(channel_pop(&task->published));
        free(task->channels);
        state_free(&task->state);
        store_free(&task->store);
    }
    if (sim) {
        store_free(&sim->rejected);
        arena_free(&sim->scratch);
        free(sim->positions);
        free(sim->tasks);
    }
    free(sim);
    *out = NULL;
}

static int compare_rows(const void *a, const void *b)
{
    return str_compare((*(const struct row *const *)a)->key, (*(const struct row *const *)b)->key);
}

int sim_table(struct sim *sim, enum table table, sim_visit_fn *visit, void *context)
{
    size_t count = 0, total = 0;
    for (size_t i = 0; i < sim->tasks_count; i++)
        total += sim->tasks[i].store.count;
    const struct row **rows = calloc(total + 1, sizeof *rows);
    if (!rows)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < sim->tasks_count; i++)
        for (size_t k = 0; k < sim->tasks[i].store.count; k++)
            if (sim->tasks[i].store.rows[k].table == table)
                rows[count++] = &sim->tasks[i].store.rows[k];
    qsort(rows, count, sizeof *rows, compare_rows);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = visit(context, rows[i]->key, rows[i]->value);
    free(rows);
    return r;
}

int sim_results(struct sim *sim, enum topic topic, sim_visit_fn *visit, void *context)
{
    int r = 0;
    if (topic != TOPIC_REJECTED)
        return sim_table(sim, (enum table)topic_table(topic), visit, context);
    for (size_t i = 0; r == 0 && i < sim->rejected.count; i++)
        r = visit(context, sim->rejected.rows[i].key, sim->rejected.rows[i].value);
    return r;
}

/* A random task whose changed rows wait to be read, or SIZE_MAX. */
static size_t pick_publisher(struct sim *sim)
{
    size_t full = 0, found = SIZE_MAX;
    for (size_t i = 0; i < sim->tasks_count; i++)
        if (sim->tasks[i].published.first && sim_random(&sim->random) % ++full == 0)
            found = i;
    return found;
}

int sim_changes(struct sim *sim, sim_change_fn *visit, void *context)
{
    int r = 0;
    size_t task;
    while (r == 0 && (task = pick_publisher(sim)) != SIZE_MAX) {
        struct mail *mail = channel_pop(&sim->tasks[task].published);
        r = visit(context, mail->topic, mail->key, mail->value);
        mail_free(mail);
    }
    return r;
}

struct published {
    enum topic topic;
    sim_visit_fn *visit;
    void *context;
};

static int visit_published(void *context, enum topic topic, struct str key, struct str value)
{
    const struct published *published = context;
    return topic == published->topic ? published->visit(published->context, key, value) : 0;
}

int sim_published(struct sim *sim, enum topic topic, sim_visit_fn *visit, void *context)
{
    struct published published = {topic, visit, context};
    return sim_changes(sim, visit_published, &published);
}

const struct sim_counts *sim_counts(const struct sim *sim)
{
    return &sim->counts;
}
