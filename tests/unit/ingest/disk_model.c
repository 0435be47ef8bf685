/* Files have numbers of their own, as those of inodes are used again. What is recorded is what the
 * real calls did: it is taken down after them, under the same lock. */
#include "tests/unit/ingest/disk_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "schemas/bytes.h"

#define FDS_MAX 1024
#define FILES_MAX 4096
#define NAMES_MAX 512
#define NAME_SIZE 64
#define PATH_SIZE 256
#define NO_FILE (-1)
#define DIRECTORY (-2)

/* A write (bytes), or a truncation (NULL) to `offset`. */
struct change {
    uint8_t *bytes;
    size_t size;
    size_t offset;
};

struct file {
    uint8_t *durable;
    size_t size;
    struct change *pending;
    size_t count;
    size_t capacity;
};

/* A name for a file; or, in the list of what is pending, its making (from is empty), its change
 * (from, name) or its end (name is empty). */
struct name {
    char from[NAME_SIZE];
    char name[NAME_SIZE];
    int file;
};

struct names {
    struct name list[NAMES_MAX];
    size_t count;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t released;
    bool held;
    char dir[PATH_SIZE];
    int fds[FDS_MAX]; /* number of the file, NO_FILE, DIRECTORY */
    struct file files[FILES_MAX];
    int files_count;
    struct names durable;
    struct names now;
    struct names pending;
    long calls[DISK_ANY + 1];
    enum disk_call planned;
    enum disk_fault fault;
    long from, to;
    int number;
    bool happened;
    long loss_at;
    uint64_t loss_seed;
    char loss_into[PATH_SIZE];
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER};

/* ---- the record ---- */

static void apply(struct file *file, const struct change *change, size_t size, bool zeros)
{
    size_t end = change->offset + size;
    if (!change->bytes || end > file->size) {
        size_t wanted = change->bytes ? end : change->offset;
        file->durable = realloc(file->durable, wanted ? wanted : 1);
        check(file->durable);
        if (wanted > file->size)
            memset(file->durable + file->size, 0, wanted - file->size);
        file->size = wanted;
    }
    if (!change->bytes || size == 0)
        return;
    if (zeros)
        memset(file->durable + change->offset, 0, size);
    else
        memcpy(file->durable + change->offset, change->bytes, size);
}

static void settle(struct file *file, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        apply(file, &file->pending[i], file->pending[i].size, false);
        free(file->pending[i].bytes);
    }
    file->count -= count;
    if (file->count)
        memmove(file->pending, file->pending + count, file->count * sizeof *file->pending);
}

static void note(int number, const struct change *change)
{
    struct file *file = &disk.files[number];
    if (file->count == file->capacity) {
        file->capacity = file->capacity ? 2 * file->capacity : 16;
        file->pending = realloc(file->pending, file->capacity * sizeof *file->pending);
        check(file->pending);
    }
    file->pending[file->count++] = *change;
}

static struct name *find(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i].name, name) == 0)
            return &names->list[i];
    return NULL;
}

static void add(struct names *names, const char *from, const char *name, int file)
{
    check(names->count < NAMES_MAX && strlen(name) < NAME_SIZE && strlen(from) < NAME_SIZE);
    struct name *added = &names->list[names->count++];
    added->file = file;
    (void)strcpy(added->from, from);
    (void)strcpy(added->name, name);
}

static void change_names(struct names *names, const struct name *change)
{
    struct name *gone = change->from[0] ? find(names, change->from) : NULL;
    if (gone)
        *gone = names->list[--names->count];
    struct name *there = change->name[0] ? find(names, change->name) : NULL;
    if (there)
        there->file = change->file;
    else if (change->name[0])
        add(names, "", change->name, change->file);
}

static void rename_now(const char *from, const char *name, int file)
{
    add(&disk.pending, from, name, file);
    change_names(&disk.now, &disk.pending.list[disk.pending.count - 1]);
}

static int new_file(void)
{
    check(disk.files_count < FILES_MAX);
    disk.files[disk.files_count] = (struct file){0};
    return disk.files_count++;
}

static void forget(void)
{
    for (int i = 0; i < disk.files_count; i++) {
        for (size_t k = 0; k < disk.files[i].count; k++)
            free(disk.files[i].pending[k].bytes);
        free(disk.files[i].pending);
        free(disk.files[i].durable);
    }
    disk.files_count = 0;
    disk.durable.count = disk.now.count = disk.pending.count = 0;
    for (size_t i = 0; i < FDS_MAX; i++)
        disk.fds[i] = NO_FILE;
}

static void take_existing(const char *dir)
{
    DIR *listing = opendir(dir);
    for (struct dirent *entry = listing ? readdir(listing) : NULL; entry;
         entry = readdir(listing)) {
        char path[PATH_SIZE + NAME_SIZE];
        struct stat info;
        (void)snprintf(path, sizeof path, "%s/%.60s", dir, entry->d_name);
        if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
            continue;
        struct file *file = &disk.files[new_file()];
        file->size = (size_t)info.st_size;
        file->durable = malloc(file->size + 1);
        FILE *in = fopen(path, "rb");
        check(in && file->durable && fread(file->durable, 1, file->size, in) == file->size);
        (void)fclose(in);
        add(&disk.now, "", entry->d_name, disk.files_count - 1);
        add(&disk.durable, "", entry->d_name, disk.files_count - 1);
    }
    if (listing)
        (void)closedir(listing);
}

void disk_watch(const char *dir)
{
    forget();
    (void)snprintf(disk.dir, sizeof disk.dir, "%s", dir ? dir : "");
    memset(disk.calls, 0, sizeof disk.calls);
    disk.from = disk.to = disk.loss_at = 0;
    disk.happened = false;
    if (dir)
        take_existing(dir);
}

void disk_plan(enum disk_call call, long nth, long count, enum disk_fault fault, int number)
{
    memset(disk.calls, 0, sizeof disk.calls);
    disk.planned = call;
    disk.from = nth;
    disk.to = nth + count;
    disk.fault = fault;
    disk.number = number;
    disk.happened = false;
}

bool disk_happened(void)
{
    return disk.happened;
}

long disk_calls(enum disk_call call)
{
    (void)pthread_mutex_lock(&disk.lock);
    long calls = disk.calls[call];
    (void)pthread_mutex_unlock(&disk.lock);
    return calls;
}

void disk_hold(bool held)
{
    (void)pthread_mutex_lock(&disk.lock);
    disk.held = held;
    (void)pthread_cond_broadcast(&disk.released);
    (void)pthread_mutex_unlock(&disk.lock);
}

/* ---- a loss of power ---- */

static uint64_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth, MMIX */
    return *state >> 33;
}

/* How much is kept: nothing, all, most, some. */
static bool is_kept(uint64_t mood, uint64_t *state)
{
    static const uint64_t of_eight[] = {0, 8, 6, 3};
    return draw(state) % 8 < of_eight[mood];
}

static void write_left(const struct file *file, const char *name, uint64_t mood, uint64_t *state)
{
    char path[PATH_SIZE + NAME_SIZE];
    struct file left = {.size = file->size, .durable = malloc(file->size + 1)};
    check(left.durable);
    if (file->size)
        memcpy(left.durable, file->durable, file->size);
    for (size_t i = 0; i < file->count; i++) {
        const struct change *change = &file->pending[i];
        uint64_t how = mood == 1 ? 9 : draw(state) % 10;
        if (!is_kept(mood, state))
            continue;
        size_t size = how < 2 && change->size ? draw(state) % change->size : change->size;
        apply(&left, change, size, how == 2);
    }
    (void)snprintf(path, sizeof path, "%s/%s", disk.loss_into, name);
    FILE *out = fopen(path, "wb");
    check(out && fwrite(left.durable, 1, left.size, out) == left.size && fclose(out) == 0);
    free(left.durable);
}

static void lose_power(void)
{
    static struct names names;
    uint64_t state = disk.loss_seed * 0x9E3779B97F4A7C15ULL;
    uint64_t mood = draw(&state) % 4, names_mood = draw(&state) % 4;
    names = disk.durable;
    for (size_t i = 0; i < disk.pending.count; i++)
        if (is_kept(names_mood, &state))
            change_names(&names, &disk.pending.list[i]);
    check(mkdir(disk.loss_into, 0700) == 0);
    for (size_t i = 0; i < names.count; i++)
        write_left(&disk.files[names.list[i].file], names.list[i].name, mood, &state);
}

void disk_lose_power(uint64_t seed, const char *into)
{
    (void)snprintf(disk.loss_into, sizeof disk.loss_into, "%s", into);
    disk.loss_seed = seed;
    lose_power();
}

void disk_lose_power_at(long nth, uint64_t seed, const char *into)
{
    (void)snprintf(disk.loss_into, sizeof disk.loss_into, "%s", into);
    disk.loss_seed = seed;
    disk.loss_at = disk.calls[DISK_ANY] + nth;
    disk.happened = false;
}

bool disk_is_durable(const void *bytes, uint64_t size)
{
    bool found = false;
    (void)pthread_mutex_lock(&disk.lock);
    for (size_t i = 0; i < disk.durable.count && !found; i++) {
        const struct file *file = &disk.files[disk.durable.list[i].file];
        found = file->size && memmem(file->durable, file->size, bytes, size);
    }
    (void)pthread_mutex_unlock(&disk.lock);
    return found;
}

/* ---- the calls ---- */

/* With the lock. Returns whether the call is faulty; kills, where that is the plan. */
static bool is_faulty(enum disk_call call)
{
    disk.calls[call]++;
    if (call != DISK_READ && ++disk.calls[DISK_ANY] == disk.loss_at) {
        disk.happened = true;
        lose_power();
    }
    if (disk.from == 0 || (call != disk.planned && (disk.planned != DISK_ANY || call == DISK_READ)))
        return false;
    long now = disk.calls[disk.planned];
    if (now < disk.from || now >= disk.to)
        return false;
    disk.happened = true;
    errno = disk.number;
    if (disk.fault == DISK_KILL_BEFORE)
        (void)kill(getpid(), SIGKILL);
    return true;
}

static int file_of(int fd)
{
    return disk.dir[0] && fd >= 0 && fd < FDS_MAX ? disk.fds[fd] : NO_FILE;
}

static void midway(bool faulty)
{
    if (faulty && disk.fault == DISK_KILL_MIDWAY)
        (void)kill(getpid(), SIGKILL);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int fd = __real_open64(path, flags, va_arg(list, int));
    va_end(list);
    (void)pthread_mutex_lock(&disk.lock);
    if (fd >= 0 && fd < FDS_MAX && disk.dir[0] && strcmp(path, disk.dir) == 0)
        disk.fds[fd] = DIRECTORY;
    (void)pthread_mutex_unlock(&disk.lock);
    return fd;
}

int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int mode = va_arg(list, int), fd = -1;
    va_end(list);
    (void)pthread_mutex_lock(&disk.lock);
    bool watched = file_of(dir) == DIRECTORY && name[0] != '.';
    struct name *there = watched ? find(&disk.now, name) : NULL;
    bool creates = watched && !there && (flags & O_CREAT) != 0;
    bool faulty = creates && is_faulty(DISK_CREATE);
    if (!(faulty && disk.fault == DISK_FAIL))
        fd = __real_openat64(dir, name, flags, mode);
    midway(faulty);
    if (fd >= 0 && fd < FDS_MAX && creates) {
        disk.fds[fd] = new_file();
        rename_now("", name, disk.fds[fd]);
    } else if (fd >= 0 && fd < FDS_MAX && there) {
        disk.fds[fd] = there->file;
    }
    (void)pthread_mutex_unlock(&disk.lock);
    return fd;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    (void)pthread_mutex_lock(&disk.lock);
    if (fd >= 0 && fd < FDS_MAX)
        disk.fds[fd] = NO_FILE;
    int r = __real_close(fd);
    (void)pthread_mutex_unlock(&disk.lock);
    return r;
}

static size_t size_of(const struct iovec *slices, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += slices[i].iov_len;
    return size;
}

/* The first `size` bytes of the slices, in one piece. */
static uint8_t *joined(const struct iovec *slices, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    check(bytes);
    for (size_t at = 0; at < size; slices++) {
        size_t part = slices->iov_len < size - at ? slices->iov_len : size - at;
        memcpy(bytes + at, slices->iov_base, part);
        at += part;
    }
    return bytes;
}

ssize_t __real_pwritev64(int fd, const struct iovec *slices, int count, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *slices, int count, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *slices, int count, off_t offset)
{
    (void)pthread_mutex_lock(&disk.lock);
    int number = file_of(fd);
    if (number < 0) {
        (void)pthread_mutex_unlock(&disk.lock);
        return __real_pwritev64(fd, slices, count, offset);
    }
    size_t size = size_of(slices, count);
    bool faulty = is_faulty(DISK_WRITE);
    if (faulty)
        size = disk.fault == DISK_FAIL ? 0 : (size + 1) / 2;
    struct iovec part = {joined(slices, size), size};
    ssize_t n = size ? __real_pwritev64(fd, &part, 1, offset) : 0;
    check(n == (ssize_t)size);
    midway(faulty);
    const struct change change = {part.iov_base, size, (size_t)offset};
    note(number, &change);
    if (faulty && disk.fault == DISK_FAIL) {
        errno = disk.number;
        n = -1;
    }
    (void)pthread_mutex_unlock(&disk.lock);
    return n;
}

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    const struct iovec slice = {(void *)(uintptr_t)bytes, size};
    return __wrap_pwritev64(fd, &slice, 1, offset);
}

ssize_t __real_pread64(int fd, void *out, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *out, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *out, size_t size, off_t offset)
{
    (void)pthread_mutex_lock(&disk.lock);
    bool faulty = file_of(fd) >= 0 && is_faulty(DISK_READ);
    bool fails = faulty && disk.fault == DISK_FAIL;
    if (fails)
        errno = disk.number;
    if (faulty)
        size = (size + 1) / 2;
    (void)pthread_mutex_unlock(&disk.lock);
    return fails ? -1 : __real_pread64(fd, out, size, offset);
}

int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size)
{
    (void)pthread_mutex_lock(&disk.lock);
    int number = file_of(fd), r = -1;
    bool faulty = number >= 0 && is_faulty(DISK_TRUNCATE);
    if (!(faulty && disk.fault == DISK_FAIL))
        r = __real_ftruncate64(fd, size);
    midway(faulty);
    const struct change change = {.offset = (size_t)size};
    if (r == 0 && number >= 0)
        note(number, &change);
    (void)pthread_mutex_unlock(&disk.lock);
    return r;
}

/* Of a file what was written before the call; of the directory what was named before. */
static int synchronise(int fd)
{
    (void)pthread_mutex_lock(&disk.lock);
    int number = file_of(fd);
    size_t names = disk.pending.count, changes = number >= 0 ? disk.files[number].count : 0;
    bool faulty = number != NO_FILE && is_faulty(DISK_SYNC);
    midway(faulty);
    bool fails = faulty && disk.fault == DISK_FAIL;
    (void)pthread_mutex_unlock(&disk.lock);
    if (fails)
        return -1;
    (void)sched_yield(); /* others write meanwhile */
    (void)pthread_mutex_lock(&disk.lock);
    while (disk.held)
        (void)pthread_cond_wait(&disk.released, &disk.lock);
    if (number >= 0)
        settle(&disk.files[number], changes);
    for (size_t i = 0; number == DIRECTORY && i < names; i++)
        change_names(&disk.durable, &disk.pending.list[i]);
    if (number == DIRECTORY) {
        disk.pending.count -= names;
        memmove(disk.pending.list, disk.pending.list + names,
            disk.pending.count * sizeof *disk.pending.list);
    }
    (void)pthread_mutex_unlock(&disk.lock);
    return 0;
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    return synchronise(fd);
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    return synchronise(fd);
}

int __real_renameat(int from_dir, const char *from, int dir, const char *name);
int __wrap_renameat(int from_dir, const char *from, int dir, const char *name);
int __wrap_renameat(int from_dir, const char *from, int dir, const char *name)
{
    (void)pthread_mutex_lock(&disk.lock);
    bool watched = file_of(dir) == DIRECTORY;
    bool faulty = watched && is_faulty(DISK_RENAME);
    int r = faulty && disk.fault == DISK_FAIL ? -1 : __real_renameat(from_dir, from, dir, name);
    midway(faulty);
    if (r == 0 && watched)
        rename_now(from, name, find(&disk.now, from)->file);
    (void)pthread_mutex_unlock(&disk.lock);
    return r;
}

int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags)
{
    (void)pthread_mutex_lock(&disk.lock);
    bool watched = file_of(dir) == DIRECTORY;
    bool faulty = watched && is_faulty(DISK_UNLINK);
    int r = faulty && disk.fault == DISK_FAIL ? -1 : __real_unlinkat(dir, name, flags);
    midway(faulty);
    if (r == 0 && watched)
        rename_now(name, "", NO_FILE);
    (void)pthread_mutex_unlock(&disk.lock);
    return r;
}
