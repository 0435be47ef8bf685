/* [kafka] and its like as properties: scope, name, value, and the file that a value is read from.
 */
#include "ingest/stream/kafka_configure.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_property(const struct kafka_property *property, enum kafka_scope scope,
    const char *name, const char *value, const char *file)
{
    assert_int_equal(property->scope, scope);
    assert_string_equal(property->name, name);
    assert_string_equal(property->value, value);
    if (file)
        assert_string_equal(property->file, file);
    else
        assert_null(property->file);
}

static void test_configure_properties_keeps_scope_and_file(void **state)
{
    char path[] = "/tmp/tabiji-password-XXXXXX";
    char text[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "secret\n", 7) == 7);
    (void)close(fd);
    (void)snprintf(text, sizeof text,
        "[kafka]\nbootstrap.servers = a:1\nsasl.password_file = %s\n"
        "[kafka.producer]\nlinger.ms = 5\n[kafka.consumer]\nfetch.wait.max.ms = 7\n",
        path);
    struct config *config = NULL;
    struct config_problem problem = {.text = ""};
    struct arena arena = {0};
    struct kafka_config kafka;
    kafka_config_default(&kafka);
    assert_int_equal(config_new(&config), 0);
    assert_int_equal(config_load_text(config, "test", str_of(text), &problem), 0);
    assert_int_equal(config_finish(config, &problem), 0);
    assert_int_equal(kafka_configure_properties(config, &arena, &kafka), 0);
    assert_int_equal(kafka.properties_count, 4);
    const struct kafka_property *found = kafka.properties;
    assert_property(&found[0], KAFKA_SCOPE_ALL, "bootstrap.servers", "a:1", NULL);
    assert_property(&found[1], KAFKA_SCOPE_ALL, "sasl.password", "secret", path);
    assert_property(&found[2], KAFKA_SCOPE_PRODUCER, "linger.ms", "5", NULL);
    assert_property(&found[3], KAFKA_SCOPE_CONSUMER, "fetch.wait.max.ms", "7", NULL);
    arena_free(&arena);
    config_free(&config);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configure_properties_keeps_scope_and_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
