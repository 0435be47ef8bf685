/* Cutting addresses, and finding their places in a database of invented ones (TABIJI_MMDB). */
#include "enrich/step/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingest/config/ini.h"
#include "schemas/error.h"

/* libmaxminddb 1.7.1 loses what it has read of a database that it then refuses: once, as the
 * program starts. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libmaxminddb.so";
}

static void assert_text(struct str got, const char *want)
{
    struct str wanted = str_of(want);
    if (!str_equal(got, wanted))
        print_message("got \"%.*s\", want \"%.*s\"\n", (int)got.size, got.data, (int)wanted.size,
            wanted.data);
    assert_true(str_equal(got, wanted));
}

static void test_address_cut_keeps_the_network(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        const char *want;
    } rows[] = {
        {"203.0.113.77", "203.0.113.0"},
        {"203.0.113.0", "203.0.113.0"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1::"},
        {"2001:DB8:1::", "2001:db8:1::"},
        {"::1", "::"},
        {"::ffff:203.0.113.77", "203.0.113.0"},
        {"fe80::1%eth0", ""},
        {"203.0.113.77:8080", ""},
        {"203.0.113", ""},
        {"203.0.113.777", ""},
        {" 203.0.113.77", ""},
        {"localhost", ""},
        {"", ""},
        {"2001:db8:1:2:3:4:5:6:2001:db8:1:2:3:4:5:6:2001:db8", ""},
    };
    struct arena arena = {0};
    struct str out;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(address_cut(str_of(rows[i].address), &arena, &out), 0);
        assert_text(out, rows[i].want);
    }
    assert_int_equal(address_cut(STR("203.0.113.77\0x"), &arena, &out), 0);
    assert_int_equal(out.size, 0);
    struct arena none = {.size_max = 1};
    assert_int_equal(address_cut(STR("203.0.113.77"), &none, &out), ERR_NO_MEMORY);
    arena_free(&arena);
}

static void test_address_place_found_in_database(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        const char *country, *region, *city;
    } rows[] = {
        {"203.0.113.77", "JP", "13", "Shibuya"},
        {"::ffff:203.0.113.77", "JP", "13", "Shibuya"},
        {"198.51.100.3", "US", "", ""},
        {"198.51.100.200", "", "", ""},  /* an entry of another shape */
        {"2001:db8:9::1", "DE", "", ""}, /* a name that is too long to believe */
        {"192.0.2.1", "", "", ""},       /* not in it */
        {"nonsense", "", "", ""},
        {"", "", "", ""},
    };
    char why[ADDRESS_WHY_SIZE];
    struct address_places *places = NULL;
    struct arena arena = {0};
    const char *path = getenv("TABIJI_MMDB");
    assert_non_null(path);
    assert_int_equal(address_places_open(&places, path, why), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct geo place;
        assert_int_equal(address_place(places, str_of(rows[i].address), &arena, &place), 0);
        assert_text(place.country, rows[i].country);
        assert_text(place.region, rows[i].region);
        assert_text(place.city, rows[i].city);
    }
    address_places_close(&places);
    assert_null(places);
    arena_free(&arena);
}

/* Cut at any length, the database is refused or its entries are empty: never a crash. */
static void test_address_places_damaged_database_bounded(void **state)
{
    (void)state;
    char why[ADDRESS_WHY_SIZE], path[] = "places-XXXXXX";
    CLEANUP(buf_free) struct buf whole = {0};
    struct arena arena = {0};
    size_t refused = 0;
    assert_int_equal(ini_load(getenv("TABIJI_MMDB"), INI_SIZE_MAX, &whole), 0);
    for (size_t size = 0; size < whole.size; size += 61) {
        struct address_places *places = NULL;
        struct geo place;
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, whole.data, size), (ssize_t)size);
        assert_int_equal(close(fd), 0);
        int r = address_places_open(&places, path, why);
        assert_int_equal(unlink(path), 0);
        memcpy(path, "places-XXXXXX", sizeof(path));
        refused += r < 0;
        if (r == 0)
            assert_int_equal(address_place(places, STR("203.0.113.77"), &arena, &place), 0);
        else
            assert_non_null(strstr(why, "places-"));
        address_places_close(&places);
    }
    assert_true(refused > 0);
    arena_free(&arena);
}

static void test_address_places_open_missing_or_other_file_fails(void **state)
{
    (void)state;
    char why[ADDRESS_WHY_SIZE];
    struct address_places *places = NULL;
    assert_int_equal(address_places_open(&places, "no/such.mmdb", why), ERR_NOT_FOUND);
    assert_non_null(strstr(why, "no/such.mmdb"));
    assert_int_equal(address_places_open(&places, "/proc/self/exe", why), ERR_CONFIG);
    assert_null(places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_cut_keeps_the_network),
        cmocka_unit_test(test_address_place_found_in_database),
        cmocka_unit_test(test_address_places_damaged_database_bounded),
        cmocka_unit_test(test_address_places_open_missing_or_other_file_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
