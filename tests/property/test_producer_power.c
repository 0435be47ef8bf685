/*
 * The producer's spool against losses of power: lives of random appends, reads and consumptions,
 * each ended by a close or by a loss of power before a random system call, in which any of what
 * was not synchronised may be gone (disk_model.h). Over all lives of a case:
 *
 *  - what was durable is read until it is consumed; of what is read all is whole and in order;
 *  - what was appended in this life is read in it, synchronised or not;
 *  - what was consumed under SYNC_EVERY is not read again, ever; under the others not within a life
 *    or after a close;
 *  - what an append refused is never read;
 *  - a spool that drops its oldest drops no other.
 */
#include <ftw.h>
#include <string.h>
#include <unistd.h>

#include "ingest/producer/spool.h"
#include "schemas/error.h"
#include "tests/property/random.h"
#include "tests/unit/ingest/disk_model.h"

#define CASES 4000
#define CASES_LONG 200000
#define LIVES_MAX 4
#define OPERATIONS_MAX 40
#define RECORDS_MAX (LIVES_MAX * OPERATIONS_MAX * 4 + 1)
#define RECORD_SIZE_MAX 160
#define PATH_SIZE 128
#define CALLS_MAX 160 /* of a life: before which power is lost */

/* What is known of a record. */
enum fate {
    FATE_UNCERTAIN, /* may be read or not */
    FATE_MUST,      /* be read */
    FATE_NEVER,     /* was refused, or consumed for good */
};

struct run {
    struct random random;
    struct producer_spool *spool;
    struct producer_spool_options options;
    const char *base;
    char dir[PATH_SIZE];
    uint32_t count; /* of records: their ids are 1 to count */
    uint8_t fates[RECORDS_MAX];
    uint8_t after[RECORDS_MAX]; /* fates if power is lost now */
    uint8_t lost[RECORDS_MAX];  /* if power is lost when it will be */
    uint32_t first_of_life;
    uint32_t read_to;  /* id that was consumed last */
    uint32_t batch_to; /* id that ends the last batch */
    uint64_t batch_end;
    uint64_t dropped; /* records, in all lives */
    bool losing;      /* power will be lost in this life */
    uint64_t losses, reads, torn;
};

static unsigned long long case_seed;

static void must_at(bool holds, const char *what, int line)
{
    if (holds)
        return;
    fprintf(stderr, "case %llu, line %d: %s\n", case_seed, line, what);
    abort();
}
#define MUST(condition) must_at(condition, #condition, __LINE__)

static uint32_t below(struct run *run, uint32_t limit)
{
    return (uint32_t)(random_next(&run->random) % limit);
}

/* A record is its id, its size and bytes that follow from these. */
static size_t make_record(uint32_t id, size_t size, uint8_t out[RECORD_SIZE_MAX])
{
    memcpy(out, &id, sizeof id);
    for (size_t i = sizeof id; i < size; i++)
        out[i] = (uint8_t)(id * 31 + i * 7 + size);
    return size;
}

static uint32_t id_of(const struct producer_spool_record *record)
{
    uint8_t wanted[RECORD_SIZE_MAX];
    uint32_t id;
    MUST(record->size >= sizeof id && record->size <= RECORD_SIZE_MAX);
    memcpy(&id, record->data, sizeof id);
    make_record(id, record->size, wanted);
    MUST(memcmp(wanted, record->data, record->size) == 0);
    return id;
}

/* The ledger as it is when power is lost; what a running call does may be there or not. */
static void remember(struct run *run)
{
    if (run->losing && !disk_happened())
        memcpy(run->lost, run->after, sizeof run->lost);
}

/* A call began before power was lost and ended behind it: what it was to bring or to take away may
 * be there or not. */
static void blur(struct run *run, uint32_t from, uint32_t to)
{
    for (uint32_t id = from; run->losing && disk_happened() && id <= to; id++)
        if (run->lost[id] == FATE_MUST)
            run->lost[id] = FATE_UNCERTAIN;
}

static void append(struct run *run)
{
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t id = ++run->count;
    size_t size = sizeof id + below(run, below(run, 4) ? 30 : RECORD_SIZE_MAX - sizeof id);
    bool durable = below(run, 3) == 0;
    run->after[id] = FATE_UNCERTAIN;
    remember(run);
    int r = producer_spool_append(run->spool, record, make_record(id, size, record), durable);
    durable |= run->options.sync == PRODUCER_SPOOL_SYNC_EVERY;
    MUST(r == 0 || (r == ERR_FULL && run->options.full == PRODUCER_SPOOL_REFUSE_NEWEST));
    run->fates[id] = r == 0 ? FATE_MUST : FATE_NEVER;
    run->after[id] = r < 0 ? FATE_NEVER : durable ? FATE_MUST : FATE_UNCERTAIN;
    if (r < 0 && (!disk_happened() || run->lost[id] != FATE_MUST))
        run->lost[id] = FATE_NEVER;
}

static void synchronise(struct run *run)
{
    remember(run);
    MUST(producer_spool_sync(run->spool) == 0);
    for (uint32_t id = run->first_of_life;
         run->options.sync != PRODUCER_SPOOL_SYNC_NONE && id <= run->count; id++)
        if (run->fates[id] == FATE_MUST)
            run->after[id] = FATE_MUST;
}

/* No record that must be read lies between two that were; but where the oldest are dropped. */
static void check_gap(struct run *run, uint32_t from, uint32_t to)
{
    struct producer_spool_statistics statistics;
    producer_spool_statistics(run->spool, &statistics);
    bool dropped = run->dropped + statistics.dropped_full > 0;
    for (uint32_t id = from + 1; id < to; id++)
        MUST(run->fates[id] != FATE_MUST || dropped);
}

static void peek(struct run *run)
{
    struct producer_spool_batch batch;
    remember(run);
    MUST(producer_spool_peek(run->spool, &batch) == 0);
    uint32_t before = run->read_to;
    for (size_t i = 0; i < batch.count; i++) {
        uint32_t id = id_of(&batch.records[i]);
        MUST(id > before && id <= run->count && run->fates[id] != FATE_NEVER);
        MUST(batch.records[i].position <= batch.end);
        check_gap(run, before, id);
        before = id;
        run->reads++;
    }
    if (batch.count == 0)
        check_gap(run, before, run->count + 1);
    run->batch_to = before;
    run->batch_end = batch.count ? batch.end : 0;
}

static void consume(struct run *run)
{
    bool every = run->options.sync == PRODUCER_SPOOL_SYNC_EVERY;
    peek(run);
    if (run->batch_end == 0)
        return;
    remember(run);
    MUST(producer_spool_consume(run->spool, run->batch_end) == 0);
    for (uint32_t id = 1; id <= run->batch_to; id++) {
        if (run->fates[id] == FATE_NEVER)
            continue;
        run->fates[id] = FATE_NEVER;
        run->after[id] = every ? FATE_NEVER : FATE_UNCERTAIN;
    }
    blur(run, 1, run->batch_to);
    run->read_to = run->batch_to;
}

static void draw_options(struct run *run)
{
    run->options = (struct producer_spool_options){
        .dir = run->dir,
        .segment_size = PRODUCER_SPOOL_SEGMENT_SIZE_MIN + below(run, 400),
        .record_size_max = RECORD_SIZE_MAX,
        .bytes_max = below(run, 4) ? 1 << 20 : 2700,
        .sync = (enum producer_spool_sync)below(run, 3),
        .full = (enum producer_spool_full)below(run, 2),
        .batch_records_max = 1 + below(run, 12),
        .interval_ms =
            24 * 3600 * 1000, /* by producer_spool_sync() alone: a case can be had again */
    };
}

/* One process, or one time with power. */
static void live(struct run *run, int life)
{
    char next[PATH_SIZE];
    struct producer_spool_statistics statistics;
    (void)snprintf(next, sizeof next, "%.100s/%d", run->base, life + 1);
    draw_options(run);
    disk_watch(run->dir);
    memcpy(run->after, run->fates, sizeof run->after);
    run->losing = below(run, 4) > 0;
    run->first_of_life = run->count + 1;
    run->read_to = 0;
    if (run->losing)
        disk_lose_power_at(1 + below(run, CALLS_MAX), random_next(&run->random), next);
    remember(run);
    MUST(producer_spool_open(&run->options, &run->spool) == 0);
    uint32_t operations = below(run, OPERATIONS_MAX);
    for (uint32_t i = 0; i < operations && !(run->losing && disk_happened()); i++) {
        uint32_t what = below(run, 16);
        for (uint32_t k = what < 10 ? 1 + below(run, 4) : 0; k > 0; k--)
            append(run);
        if (what == 10)
            synchronise(run);
        else if (what == 11 || what == 12)
            peek(run);
        else if (what > 12)
            consume(run);
    }
    if (run->losing && !disk_happened()) {
        remember(run);
        disk_lose_power(random_next(&run->random), next);
    }
    producer_spool_statistics(run->spool, &statistics);
    run->dropped += statistics.dropped_full;
    run->torn += statistics.cuts + statistics.lost_records;
    run->losses += run->losing;
    disk_watch(NULL);
    producer_spool_close(&run->spool);
    if (!run->losing)
        return;
    memcpy(run->fates, run->lost, sizeof run->fates);
    (void)snprintf(run->dir, sizeof run->dir, "%s", next);
}

/* All that must be there comes. */
static void drain(struct run *run)
{
    disk_watch(NULL);
    run->losing = false;
    run->read_to = 0;
    MUST(producer_spool_open(&run->options, &run->spool) == 0);
    do
        consume(run);
    while (run->batch_end > 0);
    struct producer_spool_statistics statistics;
    producer_spool_statistics(run->spool, &statistics);
    MUST(statistics.records == 0);
    producer_spool_close(&run->spool);
}

static int remove_path(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    return where->level == 0 ? 0 : remove(path);
}

static void run_case(unsigned long long seed, const char *base, uint64_t totals[3])
{
    static struct run run;
    case_seed = seed;
    run = (struct run){.random = {seed}};
    run.base = base;
    (void)snprintf(run.dir, sizeof run.dir, "%.100s/0", base);
    uint32_t lives = 1 + below(&run, LIVES_MAX);
    for (uint32_t i = 0; i < lives; i++)
        live(&run, (int)i);
    drain(&run);
    totals[0] += run.losses;
    totals[1] += run.reads;
    totals[2] += run.torn;
    MUST(nftw(base, remove_path, 4, FTW_DEPTH | FTW_PHYS) == 0);
}

/* [--part|--long] [SEED [COUNT]]: some again. */
int main(int argc, char **argv)
{
    int at = 1;
    unsigned long long count = random_count(argc, argv, &at, CASES, CASES_LONG);
    struct random random = {0};
    /* In memory where there is such a place: what a disk would keep is the model's alone. */
    char base[PATH_SIZE];
    (void)snprintf(base, sizeof base, "%s/tabiji-power-XXXXXX",
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    uint64_t totals[3] = {0};
    if (argc > at)
        count = argc > at + 1 ? strtoull(argv[at + 1], NULL, 10) : 1;
    else
        random = random_begin();
    unsigned long long seed = argc > at ? strtoull(argv[at], NULL, 10) : random.state;
    if (!mkdtemp(base))
        return 1;
    for (unsigned long long i = 0; i < count; i++)
        run_case(seed + i, base, totals);
    printf("%llu cases: %llu losses of power, %llu records read, %llu torn or lost\n", count,
        (unsigned long long)totals[0], (unsigned long long)totals[1],
        (unsigned long long)totals[2]);
    MUST(count < 100 || (totals[0] > count / 2 && totals[2] > 0));
    return rmdir(base);
}
