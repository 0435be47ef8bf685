/* Where a secret lies, what the file holds, and when it is another. */
#include "ingest/config/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"

struct fixture {
    char dir[32];
    char path[64];
};

static void write_secret(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    (void)snprintf(fixture->dir, sizeof fixture->dir, "/tmp/tabiji-secret-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/secret", fixture->dir);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    (void)unlink(fixture->path);
    (void)rmdir(fixture->dir);
    free(fixture);
    return 0;
}

static void assert_read(struct str place, const char *wanted)
{
    CLEANUP(secret_wipe) struct buf secret = {0};
    assert_int_equal(secret_read(place, &secret), 0);
    assert_true(str_equal(buf_str(&secret), str_of(wanted)));
}

static void test_read_gives_the_content_without_line_ends(void **state)
{
    struct fixture *fixture = *state;
    struct str place = str_of(fixture->path);
    CLEANUP(secret_wipe) struct buf secret = {0};
    assert_int_equal(secret_read(place, &secret), ERR_NOT_FOUND);
    write_secret(fixture->path, "\r\n\n");
    assert_int_equal(secret_read(place, &secret), ERR_EMPTY);
    write_secret(fixture->path, " a\nb \r\n");
    assert_read(place, " a\nb ");
    assert_int_equal(secret_read(STR("/"), &secret), ERR_IO);
}

static void test_read_credential_is_in_systemds_directory(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(secret_wipe) struct buf secret = {0};
    write_secret(fixture->path, "token\n");
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(secret_read(STR("credential:secret"), &secret), ERR_NOT_FOUND);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", fixture->dir, 1), 0);
    assert_read(STR("credential:secret"), "token");
    assert_int_equal(chmod(fixture->path, 0644), 0);
    assert_true(secret_exposed(str_of(fixture->path)));
    assert_false(secret_exposed(STR("credential:secret")));
    assert_int_equal(chmod(fixture->path, 0600), 0);
    assert_false(secret_exposed(str_of(fixture->path)));
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void test_stamp_changes_with_the_file(void **state)
{
    struct fixture *fixture = *state;
    struct str place = str_of(fixture->path);
    char other[80];
    assert_int_equal(secret_stamp(place), 0);
    write_secret(fixture->path, "one");
    uint64_t first = secret_stamp(place);
    assert_int_not_equal(first, 0);
    assert_true(secret_stamp(place) == first);
    write_secret(fixture->path, "three");
    uint64_t longer = secret_stamp(place);
    assert_int_not_equal(longer, first);
    (void)snprintf(other, sizeof other, "%s.new", fixture->path); /* as programs that rename do */
    write_secret(other, "three");
    assert_int_equal(rename(other, fixture->path), 0);
    assert_int_not_equal(secret_stamp(place), longer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_read_gives_the_content_without_line_ends),
        TEST(test_read_credential_is_in_systemds_directory),
        TEST(test_stamp_changes_with_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
