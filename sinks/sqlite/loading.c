#include "sinks/sqlite/loading.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schemas/error.h"

bool loading_possible(const char *path)
{
    struct stat status;
    return stat(path, &status) != 0 && errno == ENOENT;
}

static char *join(const char *path, const char *suffix)
{
    char *joined = NULL;
    return asprintf(&joined, "%s%s", path, suffix) < 0 ? NULL : joined;
}

static void discard(const char *temporary)
{
    char *journal = join(temporary, "-journal");
    (void)unlink(temporary);
    if (journal)
        (void)unlink(journal);
    free(journal);
}

static int take_lock(struct loading *loading)
{
    char *name = join(loading->path, "-loading-lock");
    if (!name)
        return ERR_NO_MEMORY;
    loading->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(name);
    if (loading->lock < 0)
        return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
    return flock(loading->lock, LOCK_EX | LOCK_NB) == 0 ? 0 : ERR_AGAIN;
}

int loading_begin(struct loading *loading, const char *path)
{
    *loading = (struct loading){.lock = -1};
    loading->path = join(path, "");
    loading->temporary = join(path, "-loading");
    int r = loading->path && loading->temporary ? take_lock(loading) : ERR_NO_MEMORY;
    if (r == 0) {
        discard(loading->temporary);
        return 0;
    }
    if (loading->lock >= 0)
        (void)close(loading->lock);
    free(loading->path);
    free(loading->temporary);
    *loading = (struct loading){.lock = -1};
    return r;
}

static int sync_path(const char *path, int flags)
{
    int file = open(path, flags | O_CLOEXEC);
    if (file < 0)
        return ERR_IO;
    int failed = fsync(file);
    (void)close(file);
    return failed ? ERR_IO : 0;
}

/* A name that was moved is on the disk when its directory is. */
static int sync_directory(const char *path)
{
    char *copy = join(path, "");
    if (!copy)
        return ERR_NO_MEMORY;
    int r = sync_path(dirname(copy), O_RDONLY | O_DIRECTORY);
    free(copy);
    return r;
}

int loading_publish(const struct loading *loading)
{
    int r = sync_path(loading->temporary, O_RDWR);
    if (r < 0)
        return r;
    if (link(loading->temporary, loading->path) != 0) /* unlike rename(), never over a file */
        return errno == EEXIST ? ERR_STATE : ERR_IO;
    return sync_directory(loading->path);
}

void loading_end(struct loading *loading)
{
    if (!loading->path)
        return;
    char *name = join(loading->path, "-loading-lock");
    discard(loading->temporary);
    if (name)
        (void)unlink(name);
    free(name);
    (void)close(loading->lock);
    free(loading->temporary);
    free(loading->path);
    *loading = (struct loading){.lock = -1};
}
