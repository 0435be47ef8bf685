/* Ids that outlive the program. */
#include "ingest/registry/subject_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"

#define SUBJECTS 2

struct fixture {
    char directory[64];
    char path[128];
    struct str urls[2];
    struct registry_config registry;
    struct subject subjects[SUBJECTS];
};

static int begin(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    (void)snprintf(fixture->directory, sizeof fixture->directory, "/tmp/tabiji-ids-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/schema-ids", fixture->directory);
    fixture->urls[0] = STR("http://one");
    fixture->urls[1] = STR("http://two");
    fixture->registry = (struct registry_config){.urls = fixture->urls, .urls_count = 2};
    assert_true(subject_of("t", TOPIC_EVENTS, &fixture->subjects[0]));
    assert_true(subject_of("t", TOPIC_PROFILES, &fixture->subjects[1]));
    *state = fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    (void)unlink(fixture->path);
    assert_int_equal(rmdir(fixture->directory), 0); /* nothing else was left there */
    free(fixture);
    return 0;
}

static int save(const struct fixture *fixture, uint32_t first, uint32_t second)
{
    const uint32_t ids[SUBJECTS] = {first, second};
    return subject_file_save(fixture->path, &fixture->registry, fixture->subjects, SUBJECTS, ids);
}

static int load(const struct fixture *fixture, uint32_t ids[SUBJECTS])
{
    return subject_file_load(fixture->path, &fixture->registry, fixture->subjects, SUBJECTS, ids);
}

static void test_load_gives_what_was_saved_last(void **state)
{
    const struct fixture *fixture = *state;
    uint32_t ids[SUBJECTS] = {7, 7};
    assert_int_equal(load(fixture, ids), SUBJECT_FILE_NONE);
    assert_int_equal(ids[0], 7);
    assert_int_equal(save(fixture, 1, 2), 0);
    assert_int_equal(save(fixture, 2147483647, 11), 0);
    assert_int_equal(load(fixture, ids), 0);
    assert_int_equal(ids[0], 2147483647);
    assert_int_equal(ids[1], 11);
}

static void test_load_of_another_registry_subject_or_schema_is_none(void **state)
{
    struct fixture *fixture = *state;
    uint32_t ids[SUBJECTS];
    assert_int_equal(save(fixture, 1, 2), 0);
    fixture->registry.urls_count = 1;
    assert_int_equal(load(fixture, ids), SUBJECT_FILE_NONE);
    fixture->registry.urls_count = 2;
    assert_int_equal(load(fixture, ids), 0);
    assert_true(subject_of("other", TOPIC_PROFILES, &fixture->subjects[1]));
    assert_int_equal(load(fixture, ids), SUBJECT_FILE_NONE);
    assert_true(subject_of("t", TOPIC_PROFILES, &fixture->subjects[1]));
    struct schema_entry changed = *fixture->subjects[1].entry;
    changed.fingerprint++;
    fixture->subjects[1].entry = &changed;
    assert_int_equal(load(fixture, ids), SUBJECT_FILE_NONE);
}

static void test_load_truncated_at_every_length_is_none(void **state)
{
    struct fixture *fixture = *state;
    char bytes[4096];
    uint32_t ids[SUBJECTS];
    assert_int_equal(save(fixture, 123, 45), 0);
    FILE *file = fopen(fixture->path, "r");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(truncate(fixture->path, 0), 0);
        file = fopen(fixture->path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, cut, file), cut);
        (void)fclose(file);
        assert_int_equal(load(fixture, ids), SUBJECT_FILE_NONE);
    }
}

static void test_save_where_nothing_can_be_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/none/ids", fixture->directory);
    assert_int_equal(save(fixture, 1, 2), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_load_gives_what_was_saved_last, begin, end),
        cmocka_unit_test_setup_teardown(
            test_load_of_another_registry_subject_or_schema_is_none, begin, end),
        cmocka_unit_test_setup_teardown(test_load_truncated_at_every_length_is_none, begin, end),
        cmocka_unit_test_setup_teardown(test_save_where_nothing_can_be_is_an_error, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
