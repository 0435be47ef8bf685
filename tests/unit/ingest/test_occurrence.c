#include "ingest/import/occurrence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_occurrences_count_each_row_by_itself(void **state)
{
    (void)state;
    struct occurrences *occurrences;
    assert_int_equal(occurrences_new(&occurrences), 0);
    for (uint64_t round = 1; round <= 3; round++) {
        for (int i = 0; i < 20000; i++) { /* several growths */
            char row[16];
            int size = snprintf(row, sizeof(row), "%d", i);
            uint64_t nth = 0;
            assert_int_equal(occurrences_count(occurrences, str_make(row, (size_t)size), &nth), 0);
            assert_int_equal(nth, round);
        }
    }
    occurrences_free(&occurrences);
    assert_null(occurrences);
    occurrences_free(&occurrences);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_occurrences_count_each_row_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
