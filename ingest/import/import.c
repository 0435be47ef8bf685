/*
 * Two chunks go round between two threads: the reader fills one while the importer makes the other
 * durable.
 *
 *     free ──reader──▶ full ──importer: append, progress──▶ free
 *
 * Invariants: a chunk belongs to exactly one thread at a time; chunks are appended in file order,
 * each with its cursor, so that what a cursor covers is durable.
 */
#include "ingest/import/import.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ingest/import/reader.h"
#include "schemas/error.h"
#include "schemas/nearest.h"

#define CHUNKS 2
#define RETRY_WAIT_NS 250000000L
#define IDENTITY_VERSION "1"
#define CURSOR_NAME_SIZE_MAX (MAPPING_NAME_SIZE_MAX + 64)

enum chunk_state {
    CHUNK_FREE,
    CHUNK_FULL,
};

struct import {
    struct import_options options;
    struct row_mapper mapper;
    struct import_progress progress;
    struct import_drop drops[NAMESPACES_MAX][IDENTIFIER_FATES];
    uint8_t chain[16]; /* of the files before */
    /* One file. */
    struct reader reader;
    char cursor_name[CURSOR_NAME_SIZE_MAX];
    struct chunk chunks[CHUNKS];
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    enum chunk_state states[CHUNKS];
    bool ended;      /* the importer wants no more */
    bool log_failed; /* the error is the log's, not the file's */
};

/* ---- opening ---- */

static int check_namespaces(const struct import_options *options, struct buf *message)
{
    const struct mapping *mapping = options->mapping;
    const struct namespace_table *table = options->door->identifiers.namespaces;
    struct str names[NAMESPACES_MAX];
    for (size_t i = 0; i < table->count; i++)
        names[i] = table->rules[i].name;
    for (size_t e = 0; e < mapping->events_count; e++) {
        for (size_t i = 0; i < mapping->events[e].fields_count; i++) {
            const struct mapping_field *field = &mapping->events[e].fields[i];
            if (field->target != MAPPING_IDENTIFIER || namespace_rank(table, field->name) >= 0)
                continue;
            struct str near = nearest_name(field->name, names, table->count);
            int r = buf_appendf(message, "%.*s:%d: unknown identifier namespace \"%.*s\"%s%.*s%s",
                (int)mapping->path.size, mapping->path.data, field->line, (int)field->name.size,
                field->name.data, near.size ? ", did you mean \"" : "", (int)near.size,
                near.size ? near.data : "", near.size ? "\"?" : "");
            return r < 0 ? r : ERR_CONFIG;
        }
    }
    return 0;
}

/* Whether a field says whom an event is of: an identifier, or a part that is one by itself.
 * Source: identifier_normalise(). */
static bool says_who(const struct mapping_field *field)
{
    return field->target == MAPPING_IDENTIFIER ||
           (field->target == MAPPING_PART && (str_equal(field->field->name, STR("order_id")) ||
                                                 str_equal(field->field->name, STR("call_id"))));
}

/* An event without a time would take the time of the import, so that the tables depend on when that
 * was; one of nobody is rejected, and so would be every row. */
static int check_events(const struct mapping *mapping, struct buf *message)
{
    for (size_t e = 0; e < mapping->events_count; e++) {
        const struct mapping_event *event = &mapping->events[e];
        bool time = false;
        bool who = false;
        for (size_t i = 0; i < event->fields_count; i++) {
            const struct mapping_field *field = &event->fields[i];
            who |= says_who(field);
            time |= field->target == MAPPING_FIELD && str_equal(field->field->name, STR("time"));
        }
        if (time && who)
            continue;
        int r = buf_appendf(message, "%.*s:%d: [event %.*s] needs %s", (int)mapping->path.size,
            mapping->path.data, event->line, (int)event->name.size, event->name.data,
            time ? "an identifier: ids.NAMESPACE = COLUMN (login, email, phone, cookie, ...)"
                 : "its time: time = COLUMN");
        return r < 0 ? r : ERR_CONFIG;
    }
    return 0;
}

int import_open(const struct import_options *options, struct import **out, struct buf *message)
{
    int r = check_namespaces(options, message);
    if (r == 0)
        r = check_events(options->mapping, message);
    if (r < 0)
        return r;
    struct import *import = calloc(1, sizeof(*import));
    if (!import)
        return ERR_NO_MEMORY;
    import->options = *options;
    if (import->options.chunk_bytes == 0)
        import->options.chunk_bytes = IMPORT_CHUNK_BYTES_DEFAULT;
    (void)pthread_mutex_init(&import->mutex, NULL);
    (void)pthread_cond_init(&import->moved, NULL);
    r = row_mapper_open(&import->mapper, &import->options);
    if (r < 0)
        import_close(&import);
    else
        *out = import;
    return r;
}

void import_close(struct import **import)
{
    if (!*import)
        return;
    row_mapper_close(&(*import)->mapper);
    for (size_t i = 0; i < CHUNKS; i++)
        chunk_free(&(*import)->chunks[i]);
    (void)pthread_cond_destroy(&(*import)->moved);
    (void)pthread_mutex_destroy(&(*import)->mutex);
    free(*import);
    *import = NULL;
}

void import_get_progress(const struct import *import, struct import_progress *out)
{
    *out = import->progress;
}

void import_get_drops(const struct import *import, struct import_drop *out, size_t *count)
{
    const struct namespace_table *table = import->options.door->identifiers.namespaces;
    *count = 0;
    for (size_t rank = 0; rank < table->count; rank++) {
        for (size_t why = IDENTIFIER_KEPT + 1; why < IDENTIFIER_FATES; why++) {
            struct import_drop drop = import->drops[rank][why];
            drop.namespace = table->rules[rank].name;
            drop.why = (enum identifier_fate)why;
            if (drop.count)
                out[(*count)++] = drop;
        }
    }
}

/* ---- the two threads ---- */

/* Waits until the chunk is in the state, or the other thread wants no more. */
static bool await(struct import *import, size_t index, enum chunk_state state)
{
    (void)pthread_mutex_lock(&import->mutex);
    while (import->states[index] != state && !import->ended)
        (void)pthread_cond_wait(&import->moved, &import->mutex);
    bool reached = import->states[index] == state && !import->ended;
    (void)pthread_mutex_unlock(&import->mutex);
    return reached;
}

static void pass(struct import *import, size_t index, enum chunk_state state)
{
    (void)pthread_mutex_lock(&import->mutex);
    import->states[index] = state;
    (void)pthread_cond_broadcast(&import->moved);
    (void)pthread_mutex_unlock(&import->mutex);
}

static void end(struct import *import)
{
    (void)pthread_mutex_lock(&import->mutex);
    import->ended = true;
    (void)pthread_cond_broadcast(&import->moved);
    (void)pthread_mutex_unlock(&import->mutex);
}

static void *reader_main(void *context)
{
    struct import *import = context;
    (void)pthread_setname_np(pthread_self(), "import-reader");
    for (size_t i = 0; await(import, i, CHUNK_FREE); i = (i + 1) % CHUNKS) {
        struct chunk *chunk = &import->chunks[i];
        file_reader_next(&import->reader, chunk);
        bool last = chunk->last;
        pass(import, i, CHUNK_FULL);
        if (last)
            break;
    }
    return NULL;
}

static bool stopped(const struct import *import)
{
    return import->options.stop && atomic_load(import->options.stop);
}

static int append(struct import *import, const struct chunk *chunk)
{
    struct appender *appender = import->options.appender;
    struct append_cursor cursor = {
        str_of(import->cursor_name), str_make(chunk->cursor, sizeof(chunk->cursor))};
    bool has_cursor =
        chunk->has_cursor && import->cursor_name[0] && chunk->bytes_done > import->reader.resume;
    if (chunk->output.records_count == 0 && !has_cursor)
        return 0;
    for (int tried = 0;; tried++) {
        errno = 0;
        int r = appender->append(appender, chunk->output.records, chunk->output.records_count,
            has_cursor ? &cursor : NULL);
        if (r == 0)
            rotation_told(import->options.door->told, &chunk->output.pairs);
        bool again = (r == ERR_AGAIN || r == ERR_FULL) && tried < import->options.retries_max;
        if (!again || stopped(import)) {
            import->log_failed = r < 0;
            return r;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = RETRY_WAIT_NS}, NULL);
    }
}

static void add_drops(struct import *import, const struct row_output *output)
{
    for (size_t rank = 0; rank < NAMESPACES_MAX; rank++) {
        for (size_t why = 0; why < IDENTIFIER_FATES; why++) {
            const struct row_drops *more = &output->drops[rank][why];
            struct import_drop *drop = &import->drops[rank][why];
            if (more->count && drop->count == 0) {
                drop->file = import->mapper.path;
                drop->line = more->line;
            }
            drop->count += more->count;
        }
    }
}

static void add_progress(struct import *import, const struct chunk *chunk, uint64_t bytes_before)
{
    struct import_progress *total = &import->progress;
    const struct import_progress *count = &chunk->output.count;
    total->bytes_done = bytes_before + chunk->bytes_done;
    total->rows += count->rows;
    total->events += count->events;
    total->rejected += count->rejected;
    total->skipped += count->skipped;
    total->refused += count->refused;
    total->planless += count->planless;
    add_drops(import, &chunk->output);
    if (import->options.progress)
        import->options.progress(import->options.context, total);
}

/* The importing thread's side: chunks in order until the last. */
static int append_chunks(struct import *import)
{
    uint64_t bytes_before = import->progress.bytes_done;
    import->progress.bytes_resumed += import->reader.resume;
    for (size_t i = 0;; i = (i + 1) % CHUNKS) {
        (void)await(import, i, CHUNK_FULL);
        const struct chunk *chunk = &import->chunks[i];
        int r = append(import, chunk);
        if (r < 0)
            return r;
        add_progress(import, chunk, bytes_before);
        errno = chunk->reason;
        if (chunk->error < 0)
            return chunk->error;
        if (chunk->last)
            return 0;
        if (stopped(import))
            return IMPORT_STOPPED;
        pass(import, i, CHUNK_FREE);
    }
}

static int run(struct import *import)
{
    pthread_t thread;
    import->ended = false;
    for (size_t i = 0; i < CHUNKS; i++)
        import->states[i] = CHUNK_FREE;
    if (pthread_create(&thread, NULL, reader_main, import) != 0)
        return ERR_NO_MEMORY;
    int r = append_chunks(import);
    int reason = errno;
    end(import);
    (void)pthread_join(thread, NULL);
    errno = reason;
    return r;
}

/* ---- files ---- */

static int say(struct buf *message, const char *path, int error)
{
    int saved = errno;
    int r = buf_appendf(message, "%s: %s", path, saved ? strerror(saved) : error_text(error));
    return r < 0 ? r : error;
}

/* The name of the file's cursor, from all that its meaning depends on. Sets none for a pipe. */
static int name_cursor(struct import *import, int fd)
{
    CLEANUP(buf_free) struct buf start = {0};
    import->cursor_name[0] = '\0';
    int r = buf_reserve(&start, READER_IDENTITY_BYTES);
    if (r < 0)
        return r;
    while (start.size < READER_IDENTITY_BYTES) {
        ssize_t got = pread(
            fd, start.data + start.size, READER_IDENTITY_BYTES - start.size, (off_t)start.size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == ESPIPE)
            return 0;
        if (got < 0)
            return ERR_IO;
        if (got == 0)
            break;
        start.size += (size_t)got;
    }
    const struct mapping *mapping = import->options.mapping;
    struct hash128_pieces hash;
    uint8_t digest[16];
    char hex[2 * sizeof(digest) + 1] = {0};
    hash128_init(&hash);
    hash128_update(&hash, STR(IDENTITY_VERSION));
    hash128_update(&hash, str_make(mapping->fingerprint, sizeof(mapping->fingerprint)));
    hash128_update(&hash, str_make(import->chain, sizeof(import->chain)));
    hash128_update(&hash, buf_str(&start));
    hash128_digest(&hash, digest);
    hex_encode(digest, sizeof(digest), hex);
    (void)snprintf(import->cursor_name, sizeof(import->cursor_name), "import/%.*s/%s",
        (int)mapping->name.size, mapping->name.data, hex);
    return 0;
}

static int resume(struct import *import, int fd)
{
    CLEANUP(buf_free) struct buf cursor = {0};
    int r = name_cursor(import, fd);
    if (r < 0 || !import->cursor_name[0])
        return r;
    struct appender *appender = import->options.appender;
    errno = 0;
    r = appender->cursor_get(appender, str_of(import->cursor_name), &cursor);
    import->log_failed = r < 0;
    if (r < 0 || r == APPEND_NO_CURSOR)
        return r < 0 ? r : 0;
    return reader_resume(&import->reader, buf_str(&cursor));
}

static void end_file(struct import *import)
{
    struct hash128_pieces hash;
    uint8_t whole[16];
    hash128_digest(&import->reader.hash, whole);
    hash128_init(&hash);
    hash128_update(&hash, str_make(import->chain, sizeof(import->chain)));
    hash128_update(&hash, str_make(whole, sizeof(whole)));
    hash128_digest(&hash, import->chain);
}

int import_file(struct import *import, const char *path, struct buf *message)
{
    bool standard = strcmp(path, "-") == 0;
    errno = 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return say(message, path, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO);
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        import->progress.bytes_total += (uint64_t)status.st_size;
    import->mapper.path = path;
    int r = file_reader_open(&import->reader, &import->options, &import->mapper, fd, message);
    if (r == 0)
        r = resume(import, fd);
    if (r == 0)
        r = run(import);
    if (r == 0)
        end_file(import);
    if (r == ERR_IO && message->size == 0 && !import->log_failed)
        r = say(message, path, r);
    int reason = errno;
    file_reader_close(&import->reader);
    if (!standard)
        (void)close(fd);
    errno = reason;
    return r;
}
