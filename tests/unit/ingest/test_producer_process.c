/* A handle's process, its children and theirs; with the page and without. */
#include "ingest/producer/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a child `depth` generations down says. */
static bool descendant_says(const struct producer_process *process, int depth)
{
    for (int i = 0; i < depth; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child > 0) {
            int status = 0;
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFEXITED(status));
            if (i > 0)
                _exit(WEXITSTATUS(status));
            return WEXITSTATUS(status) == 1;
        }
    }
    _exit(producer_process_is_forked(process));
}

static void assert_told(const struct producer_process *process)
{
    assert_false(producer_process_is_forked(process));
    assert_true(descendant_says(process, 1));
    assert_true(descendant_says(process, 2));
    assert_false(producer_process_is_forked(process));
}

static void test_is_forked_in_a_descendant_alone(void **state)
{
    struct producer_process process;
    (void)state;
    producer_process_init(&process);
    assert_told(&process);
    producer_process_fini(&process);
    assert_null(process.alive);
    producer_process_fini(&process);
}

static void test_is_forked_without_a_page_tells_by_number(void **state)
{
    const struct producer_process process = {.pid = getpid()};
    (void)state;
    assert_told(&process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_forked_in_a_descendant_alone),
        cmocka_unit_test(test_is_forked_without_a_page_tells_by_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
