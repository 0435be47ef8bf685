#include "ingest/import/import.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "ingest/import/csv.h"
#include "schemas/error.h"
#include "tests/unit/ingest/fake_log.h"

#define APPENDS_MAX 4096

/* ---- files ---- */

static char directory[] = "/tmp/tabiji-import-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static const char *write_file(const char *name, struct str text)
{
    static char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text.data, 1, text.size, file), text.size);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* ---- one import ---- */

struct setup {
    const char *mapping;
    size_t chunk_bytes;
    const atomic_bool *stop;
    import_progress_fn progress;
    struct import_drop *drops; /* NULL: nobody asks */
    size_t *drops_count;
};

static int run(const struct setup *setup, struct fake_log *fake, const struct str *texts,
    size_t count, struct import_progress *progress, struct buf *message)
{
    struct mapping *mapping = NULL;
    struct door_config door;
    struct import *import = NULL;
    struct import_progress ignored;
    CLEANUP(buf_free) struct buf own_message = {0};
    if (!message)
        message = &own_message;
    door_config_default(&door);
    assert_int_equal(mapping_parse("m.ini", str_of(setup->mapping), &mapping, message), 0);
    struct import_options options = {.mapping = mapping,
        .door = &door,
        .appender = &fake->appender,
        .now_micros = NOW,
        .chunk_bytes = setup->chunk_bytes,
        .retries_max = 2,
        .progress = setup->progress,
        .stop = setup->stop};
    int r = import_open(&options, &import, message);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *path = write_file("data", texts[i]);
        r = import_file(import, path, message);
        int reason = errno;
        (void)unlink(path);
        errno = reason;
    }
    if (import)
        import_get_progress(import, progress ? progress : &ignored);
    if (import && setup->drops)
        import_get_drops(import, setup->drops, setup->drops_count);
    int reason = errno;
    import_close(&import);
    mapping_free(&mapping);
    errno = reason;
    return r;
}

static bool has(const struct buf *text, const char *part)
{
    return memmem(text->data, text->size, part, strlen(part)) != NULL;
}

static void run_good(const char *mapping, size_t chunk_bytes, struct fake_log *fake,
    struct str text, struct import_progress *progress)
{
    struct setup setup = {.mapping = mapping, .chunk_bytes = chunk_bytes};
    CLEANUP(buf_free) struct buf message = {0};
    int r = run(&setup, fake, &text, 1, progress, &message);
    if (r != 0)
        fail_msg("%s: %.*s", error_name(r), (int)message.size, message.data);
}

#define TOUCH                                                                                      \
    "[file]\nname = touch-log\n[event touch]\ntime = time\nids.login = customer_id\n"              \
    "channel = channel\n[event order_completed]\nwhen = conversion = 1\ntime = time\n"             \
    "ids.login = customer_id\norder.revenue = conversion_value\norder.currency = \"USD\"\n"
#define TOUCH_HEADER "customer_id,time,interaction,conversion,conversion_value,channel\n"

static void test_import_file_dropped_identifiers_are_counted(void **state)
{
    static const char mapping[] =
        "[file]\nname = calls\n[event call_ended]\ntime = time\nids.phone = phone\n"
        "ids.email = mail\nids.case = call\n[event ticket_opened]\nwhen = ticket = 1\n"
        "time = time\nids.phone = phone\nids.case = call\n";
    static const char rows[] = "time,phone,mail,call,ticket\n2018-07-22,03-1234-5678,a@b.jp,c1,0\n"
                               "2018-07-22,none,not an address,c2,0\n2018-07-22,xyz,,c3,1\n"
                               "2018-07-22,abc,,null,0\n2018-07-22,0120-444-444,,c4,0\n";
    struct import_drop drops[IMPORT_DROPS_MAX];
    size_t count = 0;
    for (size_t chunk_bytes = 1; chunk_bytes < 4096; chunk_bytes *= 64) {
        struct fake_log fake;
        struct import_progress progress;
        struct setup setup = {
            .mapping = mapping, .chunk_bytes = chunk_bytes, .drops = drops, .drops_count = &count};
        CLEANUP(buf_free) struct buf told = {0};
        fake_open(&fake);
        assert_int_equal(run(&setup, &fake, &STR(rows), 1, &progress, NULL), 0);
        assert_int_equal(progress.rejected, 1); /* of nobody: its identifiers are told there */
        for (size_t i = 0; i < count; i++)
            assert_int_equal(buf_appendf(&told, "%.5s %d %d :%d;", drops[i].namespace.data,
                                 drops[i].why, (int)drops[i].count, (int)drops[i].line),
                0);
        assert_true(
            str_equal(buf_str(&told), STR("email 3 1 :3;phone 1 1 :3;phone 2 1 :6;phone 3 2 :4;")));
        fake_close(&fake);
    }
}

static void test_import_file_touches_and_conversions(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    run_good(TOUCH, 0, &fake,
        STR(TOUCH_HEADER "A1,2018-07-22T20:40:41Z,impression,0,0,Facebook\n"
                         "A1,2018-07-23T20:40:41Z,conversion,1,6.5,Paid Search\n"),
        &progress);
    assert_int_equal(progress.rows, 2);
    assert_int_equal(progress.events, 3);
    assert_int_equal(progress.rejected, 0);
    assert_int_equal(progress.bytes_done, progress.bytes_total);
    assert_int_equal(fake.records, 3);
    /* The conversion comes behind its own row's touch. */
    assert_true(has(&fake.last_event, "\"sequence\":1"));
    assert_true(has(&fake.last_event, "\"order\":{\"currency\":\"USD\",\"revenue\":\"6.50\"}"));
    assert_false(has(&fake.last_event, "\"channel\""));
    fake_close(&fake);
}

/* The text's lines behind the header, in another order. */
static void shuffle(struct str text, uint64_t seed, struct buf *out)
{
    struct str lines[512];
    size_t count = 0;
    const char *at = text.data;
    const char *end = text.data + text.size;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(line_end);
        assert_true(count < 512);
        lines[count++] = str_make(at, (size_t)(line_end + 1 - at));
        at = line_end + 1;
    }
    for (size_t i = count - 1; i > 1; i--) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t other = 1 + (size_t)(seed >> 33) % i;
        struct str line = lines[i];
        lines[i] = lines[other];
        lines[other] = line;
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(buf_append_str(out, lines[i]), 0);
}

/* Rows good and bad, and identical ones. */
static void make_rows(struct buf *out)
{
    assert_int_equal(buf_appendf(out, TOUCH_HEADER), 0);
    for (int i = 0; i < 120; i++) {
        int j = i % 50; /* the later ones again */
        assert_int_equal(
            buf_appendf(out, "A%03d,2018-07-%02dT20:40:41Z,impression,%d,%d,Facebook\n", j,
                1 + j % 28, j % 5 == 0, j),
            0);
        if (i % 20 == 3)
            assert_int_equal(buf_appendf(out, "A1,not a time %d,impression,0,0,Facebook\n", i), 0);
        if (i % 30 == 7)
            assert_int_equal(buf_appendf(out, "A1,one column\n"), 0);
    }
}

static void test_import_file_twice_shuffled_or_in_small_chunks_is_the_same_set(void **state)
{
    (void)state;
    CLEANUP(buf_free) struct buf rows = {0};
    make_rows(&rows);
    struct fake_log whole;
    struct import_progress progress;
    fake_open(&whole);
    run_good(TOUCH, 0, &whole, buf_str(&rows), &progress);
    assert_int_equal(progress.rows, 130);
    assert_int_equal(progress.rejected, 10);
    size_t records = whole.records;
    settle(&whole);
    /* Identical rows are told apart; identical rejections are one. */
    assert_int_equal(whole.keys_count, progress.events + 7);
    run_good(TOUCH, 0, &whole, buf_str(&rows), &progress);
    assert_int_equal(progress.rows, 0);
    assert_int_equal(progress.bytes_resumed, rows.size);
    assert_int_equal(whole.records, records);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        CLEANUP(buf_free) struct buf shuffled = {0};
        shuffle(buf_str(&rows), seed, &shuffled);
        struct fake_log other;
        fake_open(&other);
        run_good(TOUCH, seed * 37, &other, buf_str(&shuffled), NULL);
        assert_same_set(&whole, &other);
        fake_close(&other);
    }
    fake_close(&whole);
}

/* Ten files of one import: identical rows are counted across them. */
static void test_import_file_split_in_ten_is_the_same_set(void **state)
{
    (void)state;
    CLEANUP(buf_free) struct buf rows = {0};
    make_rows(&rows);
    struct fake_log whole, parts;
    fake_open(&whole);
    fake_open(&parts);
    run_good(TOUCH, 0, &whole, buf_str(&rows), NULL);
    struct buf files[10] = {{0}};
    struct str texts[10];
    size_t line = 0;
    for (const char *at = rows.data; at < rows.data + rows.size; line++) {
        const char *end = memchr(at, '\n', (size_t)(rows.data + rows.size - at));
        for (size_t i = 0; i < 10; i++) {
            if (line == 0 || line % 10 == i)
                assert_int_equal(buf_append(&files[i], at, (size_t)(end + 1 - at)), 0);
        }
        at = end + 1;
    }
    for (size_t i = 0; i < 10; i++)
        texts[i] = buf_str(&files[i]);
    struct setup setup = {.mapping = TOUCH};
    struct import_progress progress;
    assert_int_equal(run(&setup, &parts, texts, 10, &progress, NULL), 0);
    assert_int_equal(progress.bytes_done, progress.bytes_total);
    assert_same_set(&whole, &parts);
    /* Again, all of it: resumed file by file, nothing new. */
    size_t records = parts.records;
    assert_int_equal(run(&setup, &parts, texts, 10, &progress, NULL), 0);
    assert_int_equal(parts.records, records);
    assert_int_equal(progress.bytes_resumed, progress.bytes_total);
    for (size_t i = 0; i < 10; i++)
        buf_free(&files[i]);
    fake_close(&whole);
    fake_close(&parts);
}

/* Killed after each append in turn, with chunks of a few rows, then resumed. */
static void test_import_file_resumes_at_every_chunk_boundary(void **state)
{
    (void)state;
    CLEANUP(buf_free) struct buf rows = {0};
    make_rows(&rows);
    assert_int_equal(buf_appendf(&rows, "A999,2018-07-09T20:40:41Z,impression,0,0,Facebook"), 0);
    struct fake_log whole;
    fake_open(&whole);
    run_good(TOUCH, 0, &whole, buf_str(&rows), NULL);
    struct str text = buf_str(&rows);
    struct setup setup = {.mapping = TOUCH, .chunk_bytes = 200};
    for (int kill = 0;; kill++) {
        assert_true(kill < APPENDS_MAX);
        struct fake_log fake;
        struct import_progress progress;
        fake_open(&fake);
        fake.fail_after = kill;
        int r = run(&setup, &fake, &text, 1, NULL, NULL);
        if (r == 0) {
            assert_true(kill > 20);
            fake_close(&fake);
            break;
        }
        assert_int_equal(r, ERR_IO);
        fake.fail_after = NEVER;
        size_t before = fake.records;
        assert_int_equal(run(&setup, &fake, &text, 1, &progress, NULL), 0);
        assert_true(kill == 0 || progress.bytes_resumed > 0);
        assert_int_equal(fake.records, whole.records);
        assert_true(fake.records > before);
        assert_same_set(&whole, &fake);
        fake_close(&fake);
    }
    fake_close(&whole);
}

/* A file that grew goes on where it ended; one whose beginning changed, from the start. */
static void test_import_file_that_grew_or_changed(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    CLEANUP(buf_free) struct buf rows = {0};
    fake_open(&fake);
    assert_int_equal(buf_appendf(&rows, TOUCH_HEADER), 0);
    for (int i = 0; i < 2000; i++) /* over READER_IDENTITY_BYTES */
        assert_int_equal(
            buf_appendf(&rows, "A%04d,2018-07-01T20:40:41Z,impression,0,0,Facebook\n", i), 0);
    assert_int_equal(buf_appendf(&rows, "B1,2018-07-01T20:40:41Z,impr"), 0);
    run_good(TOUCH, 5000, &fake, buf_str(&rows), &progress);
    assert_int_equal(progress.rejected, 1); /* the row was not yet whole */
    run_good(TOUCH, 5000, &fake, buf_str(&rows), &progress);
    assert_int_equal(progress.rows, 0); /* it has not grown */
    assert_int_equal(progress.bytes_resumed, rows.size);
    assert_int_equal(buf_appendf(&rows, "ession,0,0,Facebook\n"), 0);
    run_good(TOUCH, 5000, &fake, buf_str(&rows), &progress);
    assert_int_equal(progress.rows, 1);
    assert_int_equal(progress.events, 1);
    rows.data[70000] = rows.data[70000] == 'F' ? 'G' : rows.data[70000];
    rows.data[strlen(TOUCH_HEADER) + 65600] ^= 1;
    run_good(TOUCH, 5000, &fake, buf_str(&rows), &progress);
    assert_int_equal(progress.bytes_resumed, 0);
    assert_int_equal(progress.rows, 2001);
    fake_close(&fake);
}

static void test_import_file_another_mapping_starts_again(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    struct str text = STR(TOUCH_HEADER "A1,2018-07-22T20:40:41Z,impression,0,0,Facebook\n");
    fake_open(&fake);
    run_good(TOUCH, 0, &fake, text, &progress);
    run_good(TOUCH "properties.x = interaction\n", 0, &fake, text, &progress);
    assert_int_equal(progress.bytes_resumed, 0);
    assert_int_equal(progress.rows, 1);
    fake_close(&fake);
}

struct bad_row {
    const char *mapping;
    struct str text;
    const char *want;
};

static void assert_rejected(const struct bad_row *bad)
{
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    run_good(bad->mapping, 0, &fake, bad->text, &progress);
    assert_int_equal(progress.rejected, 1);
    assert_int_equal(progress.events, 1); /* the rest goes on */
    if (!str_equal(buf_str(&fake.last_rejected), str_of(bad->want)))
        fail_msg("%.*s, want %s", (int)fake.last_rejected.size, fake.last_rejected.data, bad->want);
    fake_close(&fake);
}

#define CSV "[file]\nname = n\n[event touch]\nids.login = u\ntime = t\n"
#define GOOD "u1,2018-07-22 00:00\n"
#define NDJSON "[file]\nname = n\nformat = ndjson\n[event touch]\nids.login = user.id\ntime = at\n"
#define NDJSON_GOOD "{\"user\":{\"id\":5},\"at\":\"2018-07-22\"}\n"
#define NATIVE "[file]\nname = n\nformat = native\n"
#define NATIVE_GOOD "{\"type\":\"touch\",\"ids\":{\"login\":\"u\"},\"channel\":\"x\",\"time\":0}\n"

static void test_import_file_bad_row_is_rejected_with_its_place(void **state)
{
    (void)state;
    static const struct bad_row bads[] = {
        {CSV, STR_INIT("u,t\n" GOOD "u1\n"),
            "bad_row at : 1 columns, the header has 2 (data:3) u1"},
        {CSV, STR_INIT("u,t\n" GOOD "u1,2018,x\n"),
            "bad_row at : 3 columns, the header has 2 (data:3) u1,2018,x"},
        {CSV, STR_INIT("u,t\n\n\r\nu1,20180722\n" GOOD), "bad_time at t:  (data:4) u1,20180722"},
        {CSV, STR_INIT("u,t\n\"u\n1\",x\n" GOOD), "bad_time at t:  (data:2) \"u\n1\",x"},
        {CSV, STR_INIT("u,t\n" GOOD "u1,2\"018\n"),
            "bad_row at t: a quote stands within a field (data:3) u1,2\"018"},
        {CSV, STR_INIT("u,t\n\"u1,2018\n" GOOD),
            "bad_row at u: a quoted field does not end (data:2) \"u1,2018"},
        {CSV, STR_INIT("u,t\n" GOOD ",2018-07-22\n"),
            "no_identifier at /ids:  (data:3) ,2018-07-22"},
        {CSV, STR_INIT("u,t\n" GOOD "\xff,2018-07-22\n"),
            "bad_utf8 at :  (data:3) \xff,2018-07-22"},
        {NDJSON, STR_INIT(NDJSON_GOOD "{\"user\":{\"id\":5},\"at\":1}\n"),
            "bad_time at at:  (data:2) {\"user\":{\"id\":5},\"at\":1}"},
        {NDJSON, STR_INIT(NDJSON_GOOD "{\"user\":\n"), "bad_json at :  (data:2) {\"user\":"},
        {NDJSON, STR_INIT(NDJSON_GOOD "[]\n"), "bad_type at :  (data:2) []"},
        {NDJSON "properties = p\n", STR_INIT(NDJSON_GOOD "{\"user\":{\"id\":5},\"p\":\"{x\"}\n"),
            "bad_type at p: an object is wanted here (data:2) {\"user\":{\"id\":5},\"p\":\"{x\"}"},
        {NATIVE, STR_INIT(NATIVE_GOOD "{\"type\":\"touch\",\"idz\":{}}\n"),
            "unknown_field at /idz: did you mean \"ids\"? (data:2) "
            "{\"type\":\"touch\",\"idz\":{}}"},
        {NATIVE, STR_INIT(NATIVE_GOOD "{\"type\":\"touch\"} x\n"),
            "bad_json at :  (data:2) {\"type\":\"touch\"} x"},
        {NATIVE, STR_INIT(NATIVE_GOOD "{\"type\":\"touch\",\"sequence\":1e400}\n"),
            "num_range at :  (data:2) {\"type\":\"touch\",\"sequence\":1e400}"},
        {NATIVE, STR_INIT(NATIVE_GOOD "{\"type\":\"touch\"}\n"),
            "no_identifier at /ids:  (data:2) {\"type\":\"touch\"}"},
    };
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        assert_rejected(&bads[i]);
    }
}

static void test_import_file_nul_in_text_is_rejected(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    run_good(CSV, 0, &fake, STR("u,t\n" GOOD "a\0b,2018-07-22\n"), &progress);
    assert_int_equal(progress.rejected, 1);
    assert_true(str_starts_with(buf_str(&fake.last_rejected), STR("nul_in_text at ")));
    fake_close(&fake);
}

/* A row gives two events; the second is bad: neither is taken. */
static void test_import_file_row_is_taken_whole_or_not(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    run_good(TOUCH, 0, &fake,
        STR(TOUCH_HEADER "A1,2018-07-23T20:40:41Z,conversion,1,6.555,Paid Search\n"), &progress);
    assert_int_equal(progress.rejected, 1);
    assert_int_equal(progress.events, 0);
    assert_int_equal(fake.records, 1);
    assert_true(str_starts_with(
        buf_str(&fake.last_rejected), STR("money_precision at conversion_value: ")));
    fake_close(&fake);
}

static void test_import_file_row_without_event_is_skipped(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    run_good(CSV "when = u = x\n", 0, &fake, STR("u,t\n" GOOD), &progress);
    assert_int_equal(progress.rows, 1);
    assert_int_equal(progress.skipped, 1);
    assert_int_equal(fake.records, 0);
    fake_close(&fake);
}

static void test_import_file_encodings(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    static const char *const mappings[] = {
        "[file]\nname = n\nencoding = Shift_JIS\n", "[file]\nname = n\nencoding = CP932\n"};
    for (size_t i = 0; i < 2; i++) {
        CLEANUP(buf_free) struct buf mapping = {0};
        assert_int_equal(
            buf_appendf(&mapping,
                "%s[event touch]\nids.login = 会員\ntime = \"2026-11-20\"\nproperties.x = b\n%c",
                mappings[i], 0),
            0);
        /* 会員,b / 表(with 0x5C in it)①,"ソ\n" */
        run_good(mapping.data, 0, &fake,
            STR("\x89\xef\x88\xf5,b\r\n\x95\x5c\x87\x40,\"\x83\x5c\n\"\r\n"), &progress);
        assert_int_equal(progress.events, 1);
        assert_int_equal(progress.rejected, 0);
        assert_true(has(&fake.last_event, "\"login\":\"表1\""));
        assert_true(has(&fake.last_event, "{\"x\":\"ソ\\n\"}"));
        run_good(mapping.data, 0, &fake, STR("\x89\xef\x88\xf5,b\n\x81\xff,x\n"), &progress);
        assert_int_equal(progress.rejected, 1);
        assert_true(str_starts_with(buf_str(&fake.last_rejected), STR("bad_utf8 at 会員: ")));
    }
    fake_close(&fake);
}

static void test_import_file_byte_order_mark_delimiter_and_columns(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    for (size_t chunk = 1; chunk < 30; chunk += 4) {
        fake.cursors_count = 0; /* as if for the first time */
        run_good(CSV, chunk, &fake, STR("\xEF\xBB\xBFu,t\nu1,2018-07-22"), &progress);
        assert_int_equal(progress.events, 1);
        run_good("[file]\nname = n\ndelimiter = ;\ncolumns = t,u\n[event touch]\nids.login = "
                 "u\ntime = t\n",
            chunk, &fake,
            STR("\xEF\xBB\xBF"
                "2018-07-22;u1\r\n"),
            &progress);
        assert_int_equal(progress.events, 1);
    }
    fake_close(&fake);
}

static void test_import_file_ndjson_paths(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    run_good("[file]\nname = n\nformat = ndjson\n[event touch]\nids.login = user.id\n"
             "time = \"2026-11-20\"\nproperties.sku = lines.1.sku\nproperties.n = n\nproperties.o "
             "= lines.0\n"
             "properties.none = lines.7.sku\nproperties.b = b\nproperties.z = z\n",
        0, &fake,
        STR("{\"user\":{\"id\":9007199254740993},\"lines\":[{\"sku\":\"a\"},{\"sku\":\"b\"}],"
            "\"n\":1.50,\"b\":true,\"z\":null}\n"),
        &progress);
    assert_int_equal(progress.events, 1);
    assert_true(has(&fake.last_event, "\"login\":\"9007199254740993\""));
    static const char want[] = "\"properties\":{\"b\":\"true\",\"n\":\"1.5\",\"o\":\"{\\\"sku\\\":"
                               "\\\"a\\\"}\",\"sku\":\"b\"}";
    assert_true(has(&fake.last_event, want));
    fake_close(&fake);
}

static void test_import_file_native_ids_of_their_own_and_of_the_row(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    /* The same id twice is one event; the same row without one is two. */
    run_good(NATIVE, 0, &fake,
        STR("{\"type\":\"touch\",\"id\":\"a\",\"ids\":{\"login\":\"u\"}}\n"
            "{\"type\":\"touch\",\"id\":\"a\",\"ids\":{\"login\":\"u\"}}\n" NATIVE_GOOD
                NATIVE_GOOD),
        &progress);
    assert_int_equal(progress.events, 4);
    settle(&fake);
    assert_int_equal(fake.keys_count, 3);
    assert_true(has(&fake.last_event, "\"channel\":\"x\""));
    assert_true(has(&fake.last_event, "\"source\":\"n\""));
    fake_close(&fake);
}

static void test_import_file_missing_column_names_the_nearest(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"user,t\n" GOOD, "has no column \"u\""},
        {"u,tt\n" GOOD, "m.ini:5: "},
        {"u,u,t\n" GOOD, "has more than one column \"u\""},
        {"\"u,t\n" GOOD, "the header: a quoted field does not end"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_log fake;
        struct setup setup = {.mapping = CSV};
        struct str text = str_of(cases[i][0]);
        CLEANUP(buf_free) struct buf message = {0};
        fake_open(&fake);
        assert_int_equal(run(&setup, &fake, &text, 1, NULL, &message), ERR_CONFIG);
        if (!memmem(message.data, message.size, cases[i][1], strlen(cases[i][1])))
            fail_msg("%.*s", (int)message.size, message.data);
        assert_int_equal(fake.records, 0);
        fake_close(&fake);
    }
}

static void test_import_open_unknown_namespace_names_the_nearest(void **state)
{
    (void)state;
    struct fake_log fake;
    struct setup setup = {.mapping = "[file]\nname = n\n[event touch]\nids.logn = u\n"};
    CLEANUP(buf_free) struct buf message = {0};
    fake_open(&fake);
    assert_int_equal(run(&setup, &fake, NULL, 0, NULL, &message), ERR_CONFIG);
    assert_true(str_equal(buf_str(&message),
        STR("m.ini:4: unknown identifier namespace \"logn\", did you mean \"login\"?")));
    fake_close(&fake);
}

/* The file is not at fault when the log is: no message, and errno is the log's. */
static void test_import_file_column_with_unseen_characters_is_spelt(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"customer_id\xc2\xa0,time\n",
            "no column \"customer_id\", did you mean \"customer_id\\u00a0\"?"},
        {"\xe2\x80\x8b"
         "customer_id,time\n",
            "did you mean \"\\u200bcustomer_id\"?"},
        {"\"customer_id\r\",time\n", "did you mean \"customer_id\\x0d\"?"},
        {"customer\x7f_id,time\n", "did you mean \"customer\\x7f_id\"?"},
        {"\"customer_\nid\",time\n", "did you mean \"customer_\\x0aid\"?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_log fake;
        struct setup setup = {
            .mapping = "[file]\nname = n\n[event touch]\nids.login = customer_id\ntime = time\n"};
        struct str text = str_of(cases[i][0]);
        CLEANUP(buf_free) struct buf message = {0};
        fake_open(&fake);
        assert_int_equal(run(&setup, &fake, &text, 1, NULL, &message), ERR_CONFIG);
        if (!memmem(message.data, message.size, cases[i][1], strlen(cases[i][1])))
            fail_msg("%.*s", (int)message.size, message.data);
        fake_close(&fake);
    }
}

static void test_import_open_event_without_time_or_anybody_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[file]\nname = n\n[event touch]\nids.login = u\n",
            "m.ini:3: [event touch] needs its time: time = COLUMN"},
        {"[file]\nname = n\n[event a]\ntime = t\nids.login = u\n[event b]\ntime = t\nchannel = u\n",
            "m.ini:6: [event b] needs an identifier: ids.NAMESPACE = COLUMN (login, email, phone, "
            "cookie, ...)"},
        {"[file]\nname = n\n[event a]\ntime = t\norder.order_id = u\n", NULL},
        {"[file]\nname = n\n[event a]\ntime = t\ncall.call_id = u\n", NULL},
        {"[file]\nname = n\nformat = native\n", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fake_log fake;
        struct setup setup = {.mapping = cases[i][0]};
        CLEANUP(buf_free) struct buf message = {0};
        fake_open(&fake);
        int r = run(&setup, &fake, NULL, 0, NULL, &message);
        assert_int_equal(r, cases[i][1] ? ERR_CONFIG : 0);
        if (cases[i][1] && !str_equal(buf_str(&message), str_of(cases[i][1])))
            fail_msg("%.*s", (int)message.size, message.data);
        fake_close(&fake);
    }
}

static void test_import_file_log_that_fails_is_not_the_files_fault(void **state)
{
    (void)state;
    struct setup setup = {.mapping = CSV};
    struct str text = STR("u,t\nu1,2026-11-20 10:15:00\n");
    static const int errors[][2] = {{ERR_IO, EIO}, {ERR_FULL, ENOSPC}, {ERR_IO, 0}};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct fake_log fake;
        CLEANUP(buf_free) struct buf message = {0};
        fake_open(&fake);
        fake.fail_after = 0;
        fake.fail_error = errors[i][0];
        fake.fail_reason = errors[i][1];
        assert_int_equal(run(&setup, &fake, &text, 1, NULL, &message), errors[i][0]);
        assert_int_equal(errno, errors[i][1]);
        assert_int_equal(message.size, 0);
        fake_close(&fake);
    }
}

static void test_import_file_absent_or_empty(void **state)
{
    (void)state;
    struct fake_log fake;
    struct import_progress progress;
    fake_open(&fake);
    run_good(CSV, 0, &fake, STR(""), &progress);
    assert_int_equal(progress.rows, 0);
    run_good(CSV, 0, &fake, STR("u,t\n"), &progress);
    assert_int_equal(progress.rows, 0);
    struct mapping *mapping = NULL;
    struct door_config door;
    struct import *import = NULL;
    CLEANUP(buf_free) struct buf message = {0};
    door_config_default(&door);
    assert_int_equal(mapping_parse("m.ini", STR(CSV), &mapping, &message), 0);
    struct import_options options = {
        .mapping = mapping, .door = &door, .appender = &fake.appender, .now_micros = NOW};
    assert_int_equal(import_open(&options, &import, &message), 0);
    assert_int_equal(import_file(import, "/nonexistent/x.csv", &message), ERR_NOT_FOUND);
    assert_true(str_equal(buf_str(&message), STR("/nonexistent/x.csv: No such file or directory")));
    buf_clear(&message);
    assert_int_equal(import_file(import, directory, &message), ERR_IO);
    assert_true(message.size > 0);
    import_close(&import);
    import_close(&import);
    mapping_free(&mapping);
    fake_close(&fake);
}

static atomic_bool stop_now;

static void stop_at_first(void *context, const struct import_progress *progress)
{
    (void)context;
    assert_true(progress->bytes_done > 0);
    atomic_store(&stop_now, true);
}

static void test_import_file_stops_when_told_and_goes_on_later(void **state)
{
    (void)state;
    CLEANUP(buf_free) struct buf rows = {0};
    make_rows(&rows);
    struct str text = buf_str(&rows);
    struct fake_log whole, fake;
    fake_open(&whole);
    fake_open(&fake);
    run_good(TOUCH, 0, &whole, text, NULL);
    struct setup setup = {
        .mapping = TOUCH, .chunk_bytes = 500, .stop = &stop_now, .progress = stop_at_first};
    assert_int_equal(run(&setup, &fake, &text, 1, NULL, NULL), IMPORT_STOPPED);
    assert_true(fake.records < whole.records);
    run_good(TOUCH, 500, &fake, text, NULL);
    assert_same_set(&whole, &fake);
    fake_close(&whole);
    fake_close(&fake);
}

static void test_import_file_busy_log_is_tried_again(void **state)
{
    (void)state;
    struct fake_log fake;
    struct setup setup = {.mapping = CSV};
    struct str text = STR("u,t\n" GOOD);
    fake_open(&fake);
    fake.busy = 2;
    assert_int_equal(run(&setup, &fake, &text, 1, NULL, NULL), 0);
    assert_int_equal(fake.records, 1);
    fake.busy = 3; /* one more than retries_max */
    fake.cursors_count = 0;
    assert_int_equal(run(&setup, &fake, &text, 1, NULL, NULL), ERR_AGAIN);
    fake_close(&fake);
}

/* A row over the limit costs itself only, wherever chunks end. */
static void test_import_file_too_long_row_is_rejected_alone(void **state)
{
    (void)state;
    CLEANUP(buf_free) struct buf text = {0};
    assert_int_equal(buf_appendf(&text, "u,t\n" GOOD), 0);
    assert_int_equal(buf_reserve(&text, CSV_ROW_SIZE_MAX * 2), 0);
    memset(text.data + text.size, 'x', CSV_ROW_SIZE_MAX * 2);
    text.size += CSV_ROW_SIZE_MAX * 2;
    assert_int_equal(buf_appendf(&text, "\n" GOOD), 0);
    struct fake_log whole;
    struct import_progress progress;
    fake_open(&whole);
    run_good(CSV, 0, &whole, buf_str(&text), &progress);
    assert_int_equal(progress.rejected, 1);
    assert_int_equal(progress.events, 2);
    for (size_t chunk = 50000; chunk < 400000; chunk += 70001) {
        struct fake_log fake;
        fake_open(&fake);
        run_good(CSV, chunk, &fake, buf_str(&text), &progress);
        assert_same_set(&whole, &fake);
        fake_close(&fake);
    }
    fake_close(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_import_file_dropped_identifiers_are_counted),
        cmocka_unit_test(test_import_file_touches_and_conversions),
        cmocka_unit_test(test_import_file_twice_shuffled_or_in_small_chunks_is_the_same_set),
        cmocka_unit_test(test_import_file_split_in_ten_is_the_same_set),
        cmocka_unit_test(test_import_file_resumes_at_every_chunk_boundary),
        cmocka_unit_test(test_import_file_that_grew_or_changed),
        cmocka_unit_test(test_import_file_another_mapping_starts_again),
        cmocka_unit_test(test_import_file_bad_row_is_rejected_with_its_place),
        cmocka_unit_test(test_import_file_nul_in_text_is_rejected),
        cmocka_unit_test(test_import_file_row_is_taken_whole_or_not),
        cmocka_unit_test(test_import_file_row_without_event_is_skipped),
        cmocka_unit_test(test_import_file_encodings),
        cmocka_unit_test(test_import_file_byte_order_mark_delimiter_and_columns),
        cmocka_unit_test(test_import_file_ndjson_paths),
        cmocka_unit_test(test_import_file_native_ids_of_their_own_and_of_the_row),
        cmocka_unit_test(test_import_file_missing_column_names_the_nearest),
        cmocka_unit_test(test_import_open_unknown_namespace_names_the_nearest),
        cmocka_unit_test(test_import_file_column_with_unseen_characters_is_spelt),
        cmocka_unit_test(test_import_open_event_without_time_or_anybody_is_refused),
        cmocka_unit_test(test_import_file_log_that_fails_is_not_the_files_fault),
        cmocka_unit_test(test_import_file_absent_or_empty),
        cmocka_unit_test(test_import_file_stops_when_told_and_goes_on_later),
        cmocka_unit_test(test_import_file_busy_log_is_tried_again),
        cmocka_unit_test(test_import_file_too_long_row_is_rejected_alone),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
