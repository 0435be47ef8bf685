/* Files that are whole at every moment: a change that is killed anywhere leaves the old or the new.
 */
#include "deploy/file_replace.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingest/stream/fault.h"

#define SIZE ((size_t)100000)

struct fixture {
    char dir[40];
    char path[60];
    char beside[60];
    char *old, *new;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.dir = "/tmp/test_file_replace_XXXXXX"};
    *state = &fixture;
    if (!mkdtemp(fixture.dir))
        return -1;
    (void)snprintf(fixture.path, sizeof fixture.path, "%s/f", fixture.dir);
    (void)snprintf(fixture.beside, sizeof fixture.beside, "%s/f" FILE_BESIDE, fixture.dir);
    fixture.old = malloc(SIZE);
    fixture.new = malloc(SIZE);
    if (!fixture.old || !fixture.new)
        return -1;
    memset(fixture.old, 'o', SIZE);
    memset(fixture.new, 'n', SIZE);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    (void)unlink(fixture->path);
    (void)unlink(fixture->beside);
    free(fixture->old);
    free(fixture->new);
    return rmdir(fixture->dir);
}

/* 'o', 'n': all of the one; 'x': anything else. */
static char content(const struct fixture *fixture)
{
    static char bytes[SIZE + 1];
    FILE *file = fopen(fixture->path, "rbe");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    if (size != SIZE)
        return 'x';
    return memcmp(bytes, fixture->old, SIZE) == 0   ? 'o'
           : memcmp(bytes, fixture->new, SIZE) == 0 ? 'n'
                                                    : 'x';
}

static void test_file_replace_killed_anywhere_leaves_old_or_new(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *plan;
        char left;
    } cases[] = {
        {"file_unsynced:1:kill", 'o'}, {"file_written:1:kill", 'o'}, {"file_renamed:1:kill", 'n'}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(file_replace(fixture->path, str_make(fixture->old, SIZE)), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)setenv("TABIJI_FAULT", cases[i].plan, 1);
            fault_reset();
            _exit(file_replace_alike(fixture->path, str_make(fixture->new, SIZE)) ? 1 : 0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(content(fixture), cases[i].left);
        /* What was left beside is in nobody's way. */
        assert_int_equal(file_replace_alike(fixture->path, str_make(fixture->new, SIZE)), 0);
        assert_int_equal(content(fixture), 'n');
        assert_int_equal(access(fixture->beside, F_OK), -1);
    }
}

static void test_file_replace_alike_keeps_the_mode(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    assert_int_equal(file_replace(fixture->path, STR("a")), 0);
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & ALLPERMS, 0600);
    assert_int_equal(chmod(fixture->path, 0664), 0);
    assert_int_equal(file_replace_alike(fixture->path, STR("b")), 0);
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & ALLPERMS, 0664);
    assert_int_equal(status.st_size, 1);
}

static void test_file_replace_write_that_fails_leaves_the_old(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(file_create(fixture->path, str_make(fixture->old, SIZE)), 0);
    assert_int_equal(file_create(fixture->path, STR("")), EEXIST);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit few = {.rlim_cur = SIZE / 2, .rlim_max = SIZE / 2};
        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &few);
        _exit(file_replace_alike(fixture->path, str_make(fixture->new, SIZE)) == EFBIG ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(content(fixture), 'o');
    assert_int_equal(access(fixture->beside, F_OK), -1);
}

static void test_file_lock_excludes_another(void **state)
{
    struct fixture *fixture = *state;
    int fd = -1, other = -1;
    assert_int_equal(file_lock(fixture->path, false, 0, &fd), ENOENT);
    assert_int_equal(file_lock(fixture->path, true, 0, &fd), 0);
    assert_int_equal(file_lock(fixture->path, true, 50, &other), EAGAIN);
    /* Who waited for a file that was replaced meanwhile has the new one. */
    assert_int_equal(file_replace_alike(fixture->path, STR("b")), 0);
    assert_int_equal(file_lock(fixture->path, false, 0, &other), 0);
    (void)close(fd);
    (void)close(other);
    assert_int_equal(file_lock(fixture->dir, false, 0, &fd), EISDIR);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_file_replace_killed_anywhere_leaves_old_or_new),
        CASE(test_file_replace_alike_keeps_the_mode),
        CASE(test_file_replace_write_that_fails_leaves_the_old),
        CASE(test_file_lock_excludes_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
