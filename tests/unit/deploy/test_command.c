/* deploy/command: flags in any order, nearest names, exit 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "deploy/command.h"

static const struct verb_option load_options[] = {
    {"--data", "DIR", "where", "data.dir"},
    {"--mapping", "FILE", "how", NULL},
    {"--dry-run", NULL, "only look", NULL},
    {"--part", "NAME", "one of several", NULL, .each = true},
};
static const struct verb load = {
    .name = "load",
    .summary = "loads",
    .arguments = "FILE...",
    .detail = "Loads.\n.not a request",
    .examples = "  tabiji load x",
    .options = load_options,
    .options_count = 4,
    .arguments_min = 1,
    .arguments_max = 2,
};
static const struct verb show = {
    .name = "show", .summary = "shows", .arguments = "", .detail = "", .examples = ""};
static const struct verb *const verbs[] = {&load, &show};

/* Parses words up to NULL; what it said is in said[]. */
static char said[4096];
static struct command command;
static int parse(const char *const *words)
{
    char *argv[16] = {(char *)"tabiji"};
    int argc = 1;
    while (words[argc - 1]) {
        argv[argc] = (char *)words[argc - 1];
        argc++;
    }
    FILE *err = fmemopen(said, sizeof said, "w");
    assert_non_null(err);
    int r = command_parse(verbs, 2, argc, argv, &command, err);
    assert_int_equal(fclose(err), 0);
    return r;
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void test_parse_flags_in_any_order_sets_values(void **state)
{
    (void)state;
    assert_int_equal(
        PARSE("load", "a.csv", "--mapping=m.ini", "--json", "--data", "d", "b.csv"), 0);
    assert_string_equal(verb_value(&command.call, "--mapping"), "m.ini");
    assert_string_equal(verb_value(&command.call, "--data"), "d");
    assert_false(verb_switch(&command.call, "--dry-run"));
    assert_true(command.call.json);
    assert_int_equal(command.call.arguments_count, 2);
    assert_string_equal(command.call.arguments[1], "b.csv");
}

static void test_parse_double_dash_ends_flags(void **state)
{
    (void)state;
    assert_int_equal(PARSE("load", "--dry-run", "--", "--data"), 0);
    assert_string_equal(command.call.arguments[0], "--data");
    assert_true(verb_switch(&command.call, "--dry-run"));
}

static void test_parse_unknown_flag_names_nearest(void **state)
{
    (void)state;
    assert_int_equal(PARSE("load", "--maping", "m", "x"), EXIT_USAGE);
    assert_non_null(strstr(said, "did you mean \"--mapping\"?"));
}

static void test_parse_unknown_verb_names_nearest(void **state)
{
    (void)state;
    assert_int_equal(PARSE("laod"), EXIT_USAGE);
    assert_non_null(strstr(said, "did you mean \"load\"?"));
}

static void test_parse_bad_lines_exit_usage(void **state)
{
    (void)state;
    assert_int_equal(PARSE("load"), EXIT_USAGE);
    assert_non_null(strstr(said, "needs FILE..."));
    assert_int_equal(PARSE("load", "a", "b", "c"), EXIT_USAGE);
    assert_non_null(strstr(said, "unexpected argument \"c\""));
    assert_int_equal(PARSE("load", "x", "--data"), EXIT_USAGE);
    assert_non_null(strstr(said, "--data needs a value DIR"));
    assert_int_equal(PARSE("load", "x", "--dry-run=1"), EXIT_USAGE);
    assert_non_null(strstr(said, "takes no value"));
    assert_int_equal(PARSE("show", "x"), EXIT_USAGE);
}

static void test_parse_flag_given_again_keeps_each_value(void **state)
{
    (void)state;
    const char *values[VERB_EACH_MAX];
    assert_int_equal(PARSE("load", "x"), 0);
    assert_int_equal(verb_each(&command.call, "--part", values), 0);
    assert_int_equal(PARSE("load", "--part", "a,b", "x", "--data", "d", "--part=c"), 0);
    assert_int_equal(verb_each(&command.call, "--part", values), 2);
    assert_string_equal(values[0], "a,b");
    assert_string_equal(values[1], "c");
    assert_int_equal(verb_each(&command.call, "--data", values), 0);
}

static void test_parse_flag_given_too_often_exits_usage(void **state)
{
    (void)state;
    static char *argv[VERB_EACH_MAX + 5] = {"tabiji", "load", "x"};
    for (int i = 0; i <= VERB_EACH_MAX; i++)
        argv[3 + i] = "--part=a";
    FILE *err = fmemopen(said, sizeof said, "w");
    assert_non_null(err);
    assert_int_equal(command_parse(verbs, 2, VERB_EACH_MAX + 3, argv, &command, err), 0);
    assert_int_equal(command_parse(verbs, 2, VERB_EACH_MAX + 4, argv, &command, err), EXIT_USAGE);
    assert_int_equal(fclose(err), 0);
    assert_non_null(strstr(said, "too many --part"));
}

static void test_parse_help_needs_no_arguments(void **state)
{
    (void)state;
    assert_int_equal(PARSE("load", "-h"), 0);
    assert_true(command.help);
}

static void test_integer_out_of_range_exits_usage(void **state)
{
    (void)state;
    long long value = 7;
    assert_int_equal(PARSE("load", "x", "--data", "12x"), 0);
    assert_int_equal(verb_integer(&command.call, "--data", 0, 100, &value), EXIT_USAGE);
    assert_int_equal(PARSE("load", "x", "--data", "101"), 0);
    assert_int_equal(verb_integer(&command.call, "--data", 0, 100, &value), EXIT_USAGE);
    assert_int_equal(value, 7);
    assert_int_equal(PARSE("load", "x", "--data", "100"), 0);
    assert_int_equal(verb_integer(&command.call, "--data", 0, 100, &value), 0);
    assert_int_equal(value, 100);
}

static void test_manual_escapes_requests(void **state)
{
    (void)state;
    char manual[16384] = "";
    FILE *out = fmemopen(manual, sizeof manual, "w");
    command_manual(verbs, 2, out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(manual, "\n\\&.not a request"));
    assert_non_null(strstr(manual, ".SS load FILE..."));
    assert_non_null(strstr(manual, "\\-\\-mapping"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_flags_in_any_order_sets_values),
        cmocka_unit_test(test_parse_double_dash_ends_flags),
        cmocka_unit_test(test_parse_unknown_flag_names_nearest),
        cmocka_unit_test(test_parse_unknown_verb_names_nearest),
        cmocka_unit_test(test_parse_bad_lines_exit_usage),
        cmocka_unit_test(test_parse_flag_given_again_keeps_each_value),
        cmocka_unit_test(test_parse_flag_given_too_often_exits_usage),
        cmocka_unit_test(test_parse_help_needs_no_arguments),
        cmocka_unit_test(test_integer_out_of_range_exits_usage),
        cmocka_unit_test(test_manual_escapes_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
