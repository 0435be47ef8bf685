/*
 * Every shipped mapping over a small invented file: the events and rejections that it gives, line
 * by line. TABIJI_GOLDEN_WRITE=1 writes what comes out instead; look at it before you keep it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ingest/config/ini.h"
#include "ingest/import/import.h"
#include "tests/unit/ingest/fake_log.h"

#define PATH_SIZE_MAX 4096
#define GOLDEN_SIZE_MAX ((size_t)1 << 20)

static const char *path_of(char out[PATH_SIZE_MAX], const char *folder, const char *name)
{
    const char *root = getenv("TABIJI_SOURCE_ROOT");
    assert_non_null(root);
    (void)snprintf(out, PATH_SIZE_MAX, "%s/%s/%s", root, folder, name);
    return out;
}

static void import_all(const char *mapping_name, const char *file, struct fake_log *log)
{
    char mapping_path[PATH_SIZE_MAX], path[PATH_SIZE_MAX];
    struct mapping *mapping = NULL;
    struct import *import = NULL;
    struct door_config door;
    CLEANUP(buf_free) struct buf message = {0};
    door_config_default(&door);
    int r =
        mapping_load(path_of(mapping_path, "deploy/mappings", mapping_name), &mapping, &message);
    struct import_options options = {
        .mapping = mapping, .door = &door, .appender = &log->appender, .now_micros = NOW};
    if (r == 0)
        r = import_open(&options, &import, &message);
    if (r == 0)
        r = import_file(import, path_of(path, "tests/golden/import", file), &message);
    if (r < 0)
        fail_msg("%.*s", (int)message.size, message.data);
    import_close(&import);
    mapping_free(&mapping);
}

static void assert_golden(const char *mapping, const char *file, const char *golden)
{
    char path[PATH_SIZE_MAX];
    struct fake_log log;
    CLEANUP(buf_free) struct buf want = {0};
    fake_open(&log);
    import_all(mapping, file, &log);
    (void)path_of(path, "tests/golden/import", golden);
    if (getenv("TABIJI_GOLDEN_WRITE")) {
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(log.all.data, 1, log.all.size, out), log.all.size);
        assert_int_equal(fclose(out), 0);
    }
    assert_int_equal(ini_load(path, GOLDEN_SIZE_MAX, &want), 0);
    if (!str_equal(buf_str(&log.all), buf_str(&want)))
        fail_msg("%s gives\n%.*s", mapping, (int)log.all.size, log.all.data);
    fake_close(&log);
}

static void test_import_touch_log(void **state)
{
    (void)state;
    assert_golden("touch-log.ini", "touch-log.csv", "touch-log.golden");
}

static void test_import_native(void **state)
{
    (void)state;
    assert_golden("native.ini", "native.ndjson", "native.golden");
}

static void test_import_segment(void **state)
{
    (void)state;
    assert_golden("segment.ini", "segment.ndjson", "segment.golden");
}

static void test_import_shopify_orders(void **state)
{
    (void)state;
    assert_golden("shopify-orders.ini", "shopify-orders.csv", "shopify-orders.golden");
}

static void test_import_pos_receipts(void **state)
{
    (void)state;
    assert_golden("pos-receipts.ini", "pos-receipts.csv", "pos-receipts.golden");
}

static void test_import_call_records(void **state)
{
    (void)state;
    assert_golden("call-records.ini", "call-records.csv", "call-records.golden");
}

static void test_import_spend(void **state)
{
    (void)state;
    assert_golden("spend.ini", "spend.csv", "spend.golden");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_import_touch_log),
        cmocka_unit_test(test_import_native),
        cmocka_unit_test(test_import_segment),
        cmocka_unit_test(test_import_shopify_orders),
        cmocka_unit_test(test_import_pos_receipts),
        cmocka_unit_test(test_import_call_records),
        cmocka_unit_test(test_import_spend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
