/* See the header. */
#include "deploy/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ingest/stream/fault.h"

#define PATH_SIZE_MAX 4096
#define MODE_PRIVATE 0600
#define LOCK_STEP_MS 20

static int write_whole(int fd, struct str text)
{
    for (size_t at = 0; at < text.size;) {
        ssize_t size = write(fd, text.data + at, text.size - at);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0 ? errno : EIO;
        at += (size_t)size;
        (void)FAULT_POINT("file_unsynced");
    }
    return fsync(fd) == 0 ? 0 : errno;
}

/* The name of a file is durable when its directory is. */
static int sync_directory(const char *path)
{
    char copy[PATH_SIZE_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return error;
}

/* Makes the file with what `like` has of mode and owner, private where that is NULL. */
static int write_new(const char *path, struct str text, const struct stat *like)
{
    int error = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, MODE_PRIVATE);
    if (fd < 0)
        return errno;
    if (like && (like->st_uid != geteuid() || like->st_gid != getegid()) &&
        fchown(fd, like->st_uid, like->st_gid) != 0)
        error = errno;
    if (!error && like && fchmod(fd, like->st_mode & ALLPERMS) != 0)
        error = errno;
    if (!error)
        error = write_whole(fd, text);
    if (close(fd) != 0 && !error)
        error = errno;
    if (error)
        (void)unlink(path);
    return error;
}

static int replace(const char *path, struct str text, const struct stat *like)
{
    char beside[PATH_SIZE_MAX];
    int size = snprintf(beside, sizeof beside, "%s" FILE_BESIDE, path);
    if (size < 0 || size >= PATH_SIZE_MAX)
        return ENAMETOOLONG;
    (void)unlink(beside);
    int error = write_new(beside, text, like);
    if (error)
        return error;
    (void)FAULT_POINT("file_written");
    if (rename(beside, path) != 0) {
        error = errno;
        (void)unlink(beside);
        return error;
    }
    (void)FAULT_POINT("file_renamed");
    return sync_directory(path);
}

int file_create(const char *path, struct str text)
{
    int error = write_new(path, text, NULL);
    return error ? error : sync_directory(path);
}

int file_replace(const char *path, struct str text)
{
    return replace(path, text, NULL);
}

int file_replace_alike(const char *path, struct str text)
{
    struct stat like;
    return stat(path, &like) == 0 ? replace(path, text, &like) : errno;
}

/* Whether the open file is the one that the path names: another change may have replaced it. */
static bool still_there(int fd, const char *path)
{
    struct stat by_fd, by_path;
    return fstat(fd, &by_fd) == 0 && stat(path, &by_path) == 0 && by_fd.st_ino == by_path.st_ino &&
           by_fd.st_dev == by_path.st_dev;
}

/* One attempt. EAGAIN: another has it, or has just replaced it. */
static int try_lock(const char *path, bool make, int *out)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | (make ? O_CREAT : 0), MODE_PRIVATE);
    if (fd < 0)
        return errno;
    int error = fstat(fd, &status) == 0 ? 0 : errno;
    if (!error && S_ISDIR(status.st_mode))
        error = EISDIR;
    else if (!error && !S_ISREG(status.st_mode))
        error = EINVAL;
    else if (!error && (flock(fd, LOCK_EX | LOCK_NB) != 0 || !still_there(fd, path)))
        error = EAGAIN;
    if (error)
        (void)close(fd);
    else
        *out = fd;
    return error;
}

int file_lock(const char *path, bool make, int wait_ms, int *fd)
{
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};
    int error = try_lock(path, make, fd);
    for (int waited = 0; error == EAGAIN && waited < wait_ms; waited += LOCK_STEP_MS) {
        (void)nanosleep(&step, NULL);
        error = try_lock(path, make, fd);
    }
    return error;
}
