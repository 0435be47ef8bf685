/* The table of namespaces from its lists: what is right, and what each wrong list is told. */
#include "ingest/normalise/namespace_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/error.h"

#define LIST_MAX 40

struct lists {
    struct str names[LIST_MAX], protected_counts[LIST_MAX], up[LIST_MAX], down[LIST_MAX];
    struct namespace_lists lists;
};

/* Items between commas, as the configuration hands them over. */
static size_t split(const char *text, struct str *items)
{
    size_t count = 0;
    for (const char *at = text; *at; count++) {
        at += strspn(at, ", ");
        size_t size = strcspn(at, ",");
        items[count] = str_make(at, size);
        at += size;
    }
    return count;
}

static int read_lists(const char *names, const char *protected_counts, const char *up,
    const char *down, struct namespace_table *out, char *why)
{
    static struct lists all;
    all.lists = (struct namespace_lists){
        .names = all.names,
        .names_count = split(names, all.names),
        .protected_counts = all.protected_counts,
        .protected_count = split(protected_counts, all.protected_counts),
        .up = all.up,
        .up_count = split(up, all.up),
        .down = all.down,
        .down_count = split(down, all.down),
    };
    return namespace_table_read(&all.lists, out, why);
}

static void test_read_defaults_is_default_table(void **state)
{
    struct namespace_table table;
    char why[NAMESPACE_WHY_SIZE] = "";
    CLEANUP(buf_free) struct buf ours = {0};
    CLEANUP(buf_free) struct buf wanted = {0};
    assert_int_equal(
        read_lists("login, loyalty, email, phone, install, device, cookie, order, "
                   "receipt, case",
            "loyalty 1", "5, loyalty 3, email 3, order 2, receipt 2, case 2", "1000", &table, why),
        0);
    assert_int_equal(namespace_table_text(&table, &ours), 0);
    assert_int_equal(namespace_table_text(namespace_table_default(), &wanted), 0);
    assert_int_equal(ours.size, wanted.size);
    assert_memory_equal(ours.data, wanted.data, wanted.size);
}

static void test_read_own_namespaces(void **state)
{
    struct namespace_table table;
    char why[NAMESPACE_WHY_SIZE] = "";
    CLEANUP(buf_free) struct buf text = {0};
    assert_int_equal(read_lists("member, terminal_2, cookie", "terminal_2 4", "7, cookie 2",
                         "9, member 5", &table, why),
        0);
    assert_int_equal(namespace_table_text(&table, &text), 0);
    static const char wanted[] = "namespace 0 member: protected 0, generic up 0, down 5\n"
                                 "namespace 1 terminal_2: protected 4, generic up 7, down 9\n"
                                 "namespace 2 cookie: protected 0, generic up 2, down 9\n";
    assert_int_equal(text.size, sizeof wanted - 1);
    assert_memory_equal(text.data, wanted, text.size);
}

static void test_read_what_is_not_named_keeps_the_default(void **state)
{
    struct namespace_table table;
    char why[NAMESPACE_WHY_SIZE] = "";
    CLEANUP(buf_free) struct buf text = {0};
    assert_int_equal(
        read_lists("member, email, kana, login", "", "kana 2", "email 5", &table, why), 0);
    assert_int_equal(namespace_table_text(&table, &text), 0);
    static const char wanted[] = "namespace 0 member: protected 0, generic up 0, down 1000\n"
                                 "namespace 1 email: protected 0, generic up 3, down 5\n"
                                 "namespace 2 kana: protected 0, generic up 2, down 1000\n"
                                 "namespace 3 login: protected 0, generic up 5, down 1000\n";
    assert_int_equal(text.size, sizeof wanted - 1);
    assert_memory_equal(text.data, wanted, text.size);
}

static void test_read_strongest_is_protected_by_construction(void **state)
{
    struct namespace_table table;
    char why[NAMESPACE_WHY_SIZE] = "";
    assert_int_equal(read_lists("login, cookie", "login 1, 3", "5", "9", &table, why), 0);
    assert_int_equal(table.rules[0].protected_max, 0);
    assert_int_equal(table.rules[1].protected_max, 3);
}

static void test_read_wrong_lists_are_told(void **state)
{
    static const struct {
        const char *names, *protected_counts, *up, *down, *told;
    } cases[] = {
        {"", "", "5", "9", "names none"},
        {"login, Cookie", "", "5", "9", "\"Cookie\" is not a name"},
        {"login, 2nd", "", "5", "9", "\"2nd\" is not a name"},
        {"login, cookie, login", "", "5", "9", "\"login\" stands twice"},
        {"login, cookie", "cokie 1", "5", "9", "did you mean \"cookie\"?"},
        {"login, cookie", "", "5, quartz 3", "9", "\"quartz\" is none of"},
        {"login, cookie", "cookie 101", "5", "9", "from 0 to 100"},
        {"login, cookie", "cookie 1, login 2", "5", "9", "\"login 2\" cannot be: a person has 1"},
        {"member, cookie", "member 0", "5", "9", "\"member 0\" cannot be"},
        {"login, cookie", "", "0", "9", "from 1 to 10000"},
        {"login, cookie", "", "5", "10001", "from 1 to 10000"},
        {"login, cookie", "", "five", "9", "\"five\" is not a number"},
        {"login, cookie", "", "cookie -3", "9", "\"-3\" is not a number"},
        {"login, cookie", "", "99999999999", "9", "is not a number"},
        {"login, cookie", "", "cookie 3, cookie 4", "9", "says again"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct namespace_table table = {.count = 77};
        char why[NAMESPACE_WHY_SIZE] = "";
        assert_int_equal(read_lists(cases[i].names, cases[i].protected_counts, cases[i].up,
                             cases[i].down, &table, why),
            ERR_CONFIG);
        if (!strstr(why, cases[i].told))
            fail_msg("case %zu: %s", i, why);
        assert_int_equal(table.count, 77);
    }
}

static void test_read_too_many_is_told(void **state)
{
    char names[40 * NAMESPACES_MAX] = "", why[NAMESPACE_WHY_SIZE] = "";
    struct namespace_table table;
    for (int i = 0; i <= NAMESPACES_MAX; i++)
        (void)snprintf(
            names + strlen(names), sizeof names - strlen(names), "%sn%d", i ? ", " : "", i);
    assert_int_equal(read_lists(names, "", "5", "5", &table, why), ERR_CONFIG);
    assert_non_null(strstr(why, "at most 32"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_defaults_is_default_table),
        cmocka_unit_test(test_read_own_namespaces),
        cmocka_unit_test(test_read_what_is_not_named_keeps_the_default),
        cmocka_unit_test(test_read_strongest_is_protected_by_construction),
        cmocka_unit_test(test_read_wrong_lists_are_told),
        cmocka_unit_test(test_read_too_many_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
