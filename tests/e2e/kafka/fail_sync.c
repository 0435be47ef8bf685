/*
 * LD_PRELOAD: fsync() and fdatasync() fail with EIO while the file that TABIJI_FAIL_SYNC names is
 * there. Each failure adds a byte to that file.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int sync_or_fail(const char *name, int fd)
{
    const char *trigger = getenv("TABIJI_FAIL_SYNC");
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int mark = trigger ? open(trigger, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (mark < 0)
        return real(fd);
    (void)!write(mark, "f", 1);
    close(mark);
    errno = EIO;
    return -1;
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    return sync_or_fail("fsync", fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    return sync_or_fail("fdatasync", fd);
}
