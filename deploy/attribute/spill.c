/*
 * External merge sort. Runs are merged by a binary heap of their next rows; SPILL_RUNS_MAX runs of
 * a level become one of the next, so a row is written SPILL_LEVELS times at most and no more than
 * SPILL_LEVELS * SPILL_RUNS_MAX files are open.
 */
#include "deploy/attribute/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "schemas/error.h"

#define READ_ROWS 1024 /* of a run at a time */
#define NAME_SIZE_MAX 4096

/* A run that is being read. */
struct run_reader {
    int file;
    size_t at, count;
    struct touch_row *rows; /* READ_ROWS */
};

struct spill_merge {
    struct run_reader *readers;
    struct touch_row *rows; /* of all readers */
    size_t *heap;           /* readers that have a row, the least on top */
    size_t count;           /* of the heap */
    bool begun;             /* the row on top was given out */
};

void spill_init(
    struct spill *spill, const struct attribute_options *options, spill_compare_fn compare)
{
    *spill = (struct spill){.options = options, .compare = compare};
}

static void merge_free(struct spill_merge **merge)
{
    if (!*merge)
        return;
    free((*merge)->readers);
    free((*merge)->rows);
    free((*merge)->heap);
    free(*merge);
    *merge = NULL;
}

static void close_level(struct spill *spill, size_t level)
{
    for (size_t i = 0; i < spill->runs_count[level]; i++)
        (void)close(spill->runs[level][i]);
    spill->runs_count[level] = 0;
}

void spill_free(struct spill *spill)
{
    merge_free(&spill->merge);
    for (size_t level = 0; level < SPILL_LEVELS; level++)
        close_level(spill, level);
    free(spill->items);
    *spill = (struct spill){0};
}

static size_t rows_max(const struct spill *spill)
{
    return spill->options->rows_max ? spill->options->rows_max : SPILL_ROWS_MAX;
}

/* ---- files ---- */

static const char *directory(void)
{
    const char *path = getenv("TMPDIR");
    return path && *path ? path : "/tmp";
}

/* Names the error of errno, and returns it. */
static int name_error(const struct spill *spill, const char *what)
{
    int number = errno;
    bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
    (void)fprintf(spill->options->messages,
        "%s: over %zu rows are sorted in files in %s: cannot %s: %s%s\n", spill->options->name,
        rows_max(spill), directory(), what, strerror(number),
        full ? "; TMPDIR names another directory" : "");
    return full ? ERR_FULL : ERR_IO;
}

/* Not every file system has files without a name. */
static int open_run(const struct spill *spill, int *out)
{
    char path[NAME_SIZE_MAX];
    int file = open(directory(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        int size = snprintf(path, sizeof path, "%s/tabiji-rows-XXXXXX", directory());
        errno = ENAMETOOLONG;
        file = size > 0 && (size_t)size < sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
        if (file >= 0)
            (void)unlink(path);
    }
    if (file < 0)
        return name_error(spill, "make one");
    *out = file;
    return 0;
}

static int write_rows(const struct spill *spill, int file)
{
    const char *data = (const char *)spill->items;
    size_t size = spill->count * sizeof *spill->items;
    while (size) {
        ssize_t done = write(file, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return name_error(spill, "write");
        data += done;
        size -= (size_t)done;
    }
    return 0;
}

/* The next rows of the run; reader->count is 0 at its end. */
static int fill(const struct spill *spill, struct run_reader *reader)
{
    char *data = (char *)reader->rows;
    size_t size = 0;
    while (size < READ_ROWS * sizeof *reader->rows) {
        ssize_t got = read(reader->file, data + size, READ_ROWS * sizeof *reader->rows - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return name_error(spill, "read");
        if (got == 0)
            break;
        size += (size_t)got;
    }
    reader->at = 0;
    reader->count = size / sizeof *reader->rows;
    return 0;
}

/* ---- merge ---- */

static bool less(const struct spill *spill, const struct spill_merge *merge, size_t a, size_t b)
{
    const struct run_reader *x = &merge->readers[merge->heap[a]];
    const struct run_reader *y = &merge->readers[merge->heap[b]];
    return spill->compare(&x->rows[x->at], &y->rows[y->at]) < 0;
}

static void sift_down(const struct spill *spill, struct spill_merge *merge, size_t at)
{
    for (size_t least = at;; at = least) {
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < merge->count; child++)
            if (less(spill, merge, child, least))
                least = child;
        if (least == at)
            return;
        size_t kept = merge->heap[at];
        merge->heap[at] = merge->heap[least];
        merge->heap[least] = kept;
    }
}

static int add_reader(const struct spill *spill, struct spill_merge *merge, size_t at, int file)
{
    struct run_reader *reader = &merge->readers[at];
    *reader = (struct run_reader){.file = file, .rows = merge->rows + at * READ_ROWS};
    if (lseek(file, 0, SEEK_SET) < 0)
        return name_error(spill, "read");
    int r = fill(spill, reader);
    if (r == 0 && reader->count)
        merge->heap[merge->count++] = at;
    return r;
}

/* Of the runs of levels from..to. The caller frees *out, after an error too. */
static int merge_new(const struct spill *spill, size_t from, size_t to, struct spill_merge **out)
{
    size_t count = 0;
    int r = 0;
    for (size_t level = from; level <= to; level++)
        count += spill->runs_count[level];
    struct spill_merge *merge = *out = calloc(1, sizeof *merge);
    if (!merge)
        return ERR_NO_MEMORY;
    merge->readers = calloc(count + 1, sizeof *merge->readers);
    merge->rows = malloc((count + 1) * READ_ROWS * sizeof *merge->rows);
    merge->heap = calloc(count + 1, sizeof *merge->heap);
    if (!merge->readers || !merge->rows || !merge->heap)
        return ERR_NO_MEMORY;
    size_t at = 0;
    for (size_t level = from; r == 0 && level <= to; level++)
        for (size_t i = 0; r == 0 && i < spill->runs_count[level]; i++)
            r = add_reader(spill, merge, at++, spill->runs[level][i]);
    for (size_t i = merge->count / 2; r == 0 && i-- > 0;)
        sift_down(spill, merge, i);
    return r;
}

static int merge_next(
    const struct spill *spill, struct spill_merge *merge, const struct touch_row **out)
{
    if (merge->begun && merge->count) { /* behind the row that was given out */
        struct run_reader *reader = &merge->readers[merge->heap[0]];
        int r = ++reader->at < reader->count ? 0 : fill(spill, reader);
        if (r < 0)
            return r;
        if (reader->count == 0)
            merge->heap[0] = merge->heap[--merge->count];
        sift_down(spill, merge, 0);
    }
    merge->begun = true;
    if (merge->count == 0)
        return 0;
    const struct run_reader *reader = &merge->readers[merge->heap[0]];
    *out = &reader->rows[reader->at];
    return 1;
}

/* ---- rows ---- */

static int put_merged(struct spill *spill, struct spill_merge *merge, int file)
{
    const struct touch_row *row;
    int r;
    while ((r = merge_next(spill, merge, &row)) > 0) {
        if (spill->count == spill->room) {
            r = write_rows(spill, file);
            spill->count = 0;
        }
        if (r < 0)
            return r;
        spill->items[spill->count++] = *row;
    }
    return r < 0 ? r : write_rows(spill, file);
}

/* One run of the next level instead of all of this. The items are free to write it from. */
static int join_level(struct spill *spill, size_t level)
{
    struct spill_merge *merge = NULL;
    int file = -1;
    int r = merge_new(spill, level, level, &merge);
    if (r == 0)
        r = open_run(spill, &file);
    if (r == 0)
        r = put_merged(spill, merge, file);
    merge_free(&merge);
    spill->count = 0;
    if (r < 0) {
        if (file >= 0)
            (void)close(file);
        return r;
    }
    close_level(spill, level);
    spill->runs[level + 1][spill->runs_count[level + 1]++] = file;
    return 0;
}

/* A run of what is in memory. */
static int put_run(struct spill *spill)
{
    int file;
    if (spill->runs_count[SPILL_LEVELS - 1] == SPILL_RUNS_MAX) {
        (void)fprintf(
            spill->options->messages, "%s: more rows than can be sorted\n", spill->options->name);
        return ERR_TOO_MANY;
    }
    int r = open_run(spill, &file);
    if (r < 0)
        return r;
    qsort(spill->items, spill->count, sizeof *spill->items, spill->compare);
    r = write_rows(spill, file);
    if (r < 0) {
        (void)close(file);
        return r;
    }
    spill->runs[0][spill->runs_count[0]++] = file;
    spill->spilled = true;
    spill->count = 0;
    for (size_t level = 0; r == 0 && level + 1 < SPILL_LEVELS; level++)
        if (spill->runs_count[level] == SPILL_RUNS_MAX)
            r = join_level(spill, level);
    return r;
}

int spill_add(struct spill *spill, const struct touch_row *row)
{
    int r = spill->count == rows_max(spill) ? put_run(spill) : 0;
    if (r < 0)
        return r;
    if (spill->count == spill->room) {
        size_t room = spill->room ? spill->room * 2 : 1024;
        room = room < rows_max(spill) ? room : rows_max(spill);
        struct touch_row *more = realloc(spill->items, room * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        spill->items = more;
        spill->room = room;
    }
    spill->items[spill->count++] = *row;
    return 0;
}

int spill_sort(struct spill *spill)
{
    spill->next = 0;
    if (!spill->spilled) {
        if (spill->count)
            qsort(spill->items, spill->count, sizeof *spill->items, spill->compare);
        return 0;
    }
    int r = spill->count ? put_run(spill) : 0;
    free(spill->items);
    spill->items = NULL;
    spill->count = spill->room = 0;
    return r < 0 ? r : merge_new(spill, 0, SPILL_LEVELS - 1, &spill->merge);
}

int spill_next(struct spill *spill, const struct touch_row **out)
{
    if (spill->merge)
        return merge_next(spill, spill->merge, out);
    if (spill->next == spill->count)
        return 0;
    *out = &spill->items[spill->next++];
    return 1;
}
