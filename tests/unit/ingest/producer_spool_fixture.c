#include "tests/unit/ingest/producer_spool_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/ingest/disk_model.h"

#define RECORD_SIZE 50
#define NOW_MS 1700000000000
#define PATH_SIZE 128

/* Counts, and fails when it is asked to. */
static void *resize(void *context, void *memory, size_t size)
{
    struct spool_fixture *fixture = context;
    if (size == 0) {
        fixture->allocated -= memory != NULL;
        free(memory);
        return NULL;
    }
    if (fixture->failing > 0 && --fixture->failing == 0)
        return NULL;
    fixture->allocated += memory == NULL;
    return realloc(memory, size);
}

static int64_t now_ms(void *context)
{
    return ((struct spool_fixture *)context)->now_ms;
}

int spool_setup(void **state)
{
    struct spool_fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    /* In memory where there is such a place: the tests make thousands of files. */
    (void)snprintf(fixture->dir, sizeof fixture->dir, "%s/tabiji-pspool-XXXXXX",
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(fixture->dir));
    fixture->now_ms = NOW_MS;
    fixture->options = (struct producer_spool_options){
        .dir = fixture->dir,
        .bytes_max = 8000,
        .segment_size = 400,
        .record_size_max = 1000,
        .sync = PRODUCER_SPOOL_SYNC_NONE,
        .resize = resize,
        .resize_context = fixture,
        .now_ms = now_ms,
        .now_context = fixture,
    };
    disk_watch(fixture->dir);
    *state = fixture;
    return 0;
}

int spool_teardown(void **state)
{
    struct spool_fixture *fixture = *state;
    char command[2 * SPOOL_DIR_SIZE];
    disk_watch(NULL);
    producer_spool_close(&fixture->spool);
    assert_int_equal(fixture->allocated, 0);
    (void)snprintf(command, sizeof command, "rm -r '%s'", fixture->dir);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

void spool_reopen(struct spool_fixture *fixture)
{
    producer_spool_close(&fixture->spool);
    assert_int_equal(fixture->allocated, 0);
    assert_int_equal(producer_spool_open(&fixture->options, &fixture->spool), 0);
}

static void make_record(int number, char out[RECORD_SIZE + 1])
{
    (void)snprintf(out, RECORD_SIZE + 1, "%049d.", number);
}

int spool_append(struct spool_fixture *fixture, bool durable)
{
    char record[RECORD_SIZE + 1];
    make_record(fixture->next, record);
    int r = producer_spool_append(fixture->spool, record, RECORD_SIZE, durable);
    fixture->next += r == 0;
    return r;
}

void spool_append_many(struct spool_fixture *fixture, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(spool_append(fixture, false), 0);
}

int spool_number(const struct producer_spool_record *record)
{
    char text[RECORD_SIZE + 1] = {0}, wanted[RECORD_SIZE + 1];
    assert_int_equal(record->size, RECORD_SIZE);
    memcpy(text, record->data, RECORD_SIZE);
    int number = (int)strtol(text, NULL, 10);
    make_record(number, wanted);
    assert_string_equal(text, wanted);
    return number;
}

int spool_read(struct spool_fixture *fixture, int first, struct producer_spool_batch *batch)
{
    assert_int_equal(producer_spool_peek(fixture->spool, batch), 0);
    for (size_t i = 0; i < batch->count; i++)
        assert_int_equal(spool_number(&batch->records[i]), first + (int)i);
    if (batch->count)
        assert_true(batch->end == batch->records[batch->count - 1].position);
    return (int)batch->count;
}

void spool_drain(struct spool_fixture *fixture, int first)
{
    struct producer_spool_batch batch;
    for (int got; (got = spool_read(fixture, first, &batch)) > 0; first += got)
        assert_int_equal(producer_spool_consume(fixture->spool, batch.end), 0);
    assert_int_equal(first, fixture->next);
    assert_int_equal(spool_statistics(fixture).records, 0);
}

void spool_drain_any(struct spool_fixture *fixture, int found[], int limit)
{
    struct producer_spool_batch batch;
    int before = -1;
    memset(found, 0, (size_t)limit * sizeof *found);
    for (;;) {
        assert_int_equal(producer_spool_peek(fixture->spool, &batch), 0);
        if (batch.count == 0)
            break;
        for (size_t i = 0; i < batch.count; i++) {
            int number = spool_number(&batch.records[i]);
            assert_true(number > before && number < limit);
            found[number]++;
            before = number;
        }
        assert_int_equal(producer_spool_consume(fixture->spool, batch.end), 0);
    }
    assert_int_equal(spool_statistics(fixture).records, 0);
}

struct producer_spool_statistics spool_statistics(struct spool_fixture *fixture)
{
    struct producer_spool_statistics statistics;
    producer_spool_statistics(fixture->spool, &statistics);
    return statistics;
}

int spool_files(
    const struct spool_fixture *fixture, const char *ending, char first[SPOOL_NAME_SIZE])
{
    int count = 0;
    DIR *listing = opendir(fixture->dir);
    assert_non_null(listing);
    for (struct dirent *entry = readdir(listing); entry; entry = readdir(listing)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || dot == entry->d_name || strcmp(dot + 1, ending) != 0)
            continue;
        if (first && (count == 0 || strcmp(entry->d_name, first) < 0))
            (void)snprintf(first, SPOOL_NAME_SIZE, "%.31s", entry->d_name);
        count++;
    }
    (void)closedir(listing);
    return count;
}

const char *spool_path(const struct spool_fixture *fixture, const char *name)
{
    static char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/%s", fixture->dir, name);
    return path;
}
