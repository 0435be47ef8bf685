/* Slices of JSON text. */
#include "ingest/collector/raw_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_element(struct raw_elements *elements, size_t index, const char *text)
{
    struct str found = raw_element(elements, index);
    assert_int_equal(found.size, strlen(text));
    if (found.size)
        assert_memory_equal(found.data, text, found.size);
}

static void test_raw_element_of_each_kind(void **state)
{
    struct raw_elements elements = raw_elements_of(
        STR("\xef\xbb\xbf [ {\"a\":\"]},\\\"\"} , [1,[2]],\"x\\\\\",-1.5e3\n,true,null , {} ]"));
    assert_element(&elements, 0, "{\"a\":\"]},\\\"\"}");
    assert_element(&elements, 1, "[1,[2]]");
    assert_element(&elements, 2, "\"x\\\\\"");
    assert_element(&elements, 3, "-1.5e3");
    assert_element(&elements, 4, "true");
    assert_element(&elements, 5, "null");
    assert_element(&elements, 6, "{}");
    assert_element(&elements, 7, "");
}

static void test_raw_element_of_a_member(void **state)
{
    struct raw_elements elements = raw_elements_of_member(
        STR(" {\"a\":[9],\"batch\" : [0, {\"batch\":[8]},2 ]} "), STR("batch"));
    assert_element(&elements, 1, "{\"batch\":[8]}");
    assert_element(&elements, 2, "2");
    assert_element(&elements, 3, "");
    struct raw_elements absent = raw_elements_of_member(STR("{\"a\":[1]}"), STR("b"));
    assert_element(&absent, 0, "");
    struct raw_elements other = raw_elements_of_member(STR("{\"a\":{\"0\":1}}"), STR("a"));
    assert_element(&other, 0, "");
    struct raw_elements none = raw_elements_of_member(STR("[1]"), STR("a"));
    assert_element(&none, 0, "");
}

static void test_raw_element_skips_ahead(void **state)
{
    struct raw_elements elements = raw_elements_of(STR("[0,1,2,3,4,5]"));
    assert_element(&elements, 2, "2");
    assert_element(&elements, 5, "5");
    assert_element(&elements, 5, "");
    struct raw_elements empty = raw_elements_of(STR("[]"));
    assert_element(&empty, 0, "");
    struct raw_elements none = raw_elements_of(STR("{\"a\":[1]}"));
    assert_element(&none, 0, "");
}

static void test_raw_member_finds_plain_keys(void **state)
{
    const struct str object =
        STR(" {\"a\" : 1, \"batch\":[{\"batch\":2}] ,\"c\":{\"d\":3},\"e\":\"\"}");
    assert_true(str_equal(raw_member(object, STR("a")), STR("1")));
    assert_true(str_equal(raw_member(object, STR("batch")), STR("[{\"batch\":2}]")));
    assert_true(str_equal(raw_member(object, STR("e")), STR("\"\"")));
    assert_int_equal(raw_member(object, STR("d")).size, 0);
    assert_int_equal(raw_member(STR("[1]"), STR("a")).size, 0);
    assert_int_equal(raw_member(STR(""), STR("a")).size, 0);
}

static void test_raw_json_of_other_text_stays_within_it(void **state)
{
    static const char text[] = "[{\"a\":[\"\\\"}]\\";
    for (size_t size = 0; size < sizeof text; size++) {
        struct raw_elements elements = raw_elements_of(str_make(text, size));
        for (size_t i = 0; i < 3; i++) {
            struct str found = raw_element(&elements, i);
            assert_true(found.size <= size);
        }
        assert_true(raw_member(str_make(text + 1, size ? size - 1 : 0), STR("a")).size <= size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw_element_of_each_kind),
        cmocka_unit_test(test_raw_element_of_a_member),
        cmocka_unit_test(test_raw_element_skips_ahead),
        cmocka_unit_test(test_raw_member_finds_plain_keys),
        cmocka_unit_test(test_raw_json_of_other_text_stays_within_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
