/* Compressed bodies under caps. */
#include "ingest/collector/inflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "schemas/error.h"

static const struct inflate_limits limits = {.size_max = (size_t)4 << 20, .ratio_max = 200};

static void pack(struct str plain, int window, struct buf *out)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(buf_reserve(out, deflateBound(&stream, plain.size) + 64), 0);
    stream.next_in = (Bytef *)(uintptr_t)plain.data;
    stream.avail_in = (uInt)plain.size;
    stream.next_out = (Bytef *)out->data + out->size;
    stream.avail_out = (uInt)(out->capacity - out->size);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->size += stream.total_out;
    assert_int_equal(deflateEnd(&stream), Z_OK);
}

static void test_content_encoding_of_names(void **state)
{
    enum content_encoding encoding;
    assert_int_equal(content_encoding_of(STR(""), &encoding), 0);
    assert_int_equal(encoding, CONTENT_IDENTITY);
    assert_int_equal(content_encoding_of(STR("GZip"), &encoding), 0);
    assert_int_equal(encoding, CONTENT_GZIP);
    assert_int_equal(content_encoding_of(STR("deflate"), &encoding), 0);
    assert_int_equal(encoding, CONTENT_DEFLATE);
    assert_int_equal(content_encoding_of(STR("br"), &encoding), ERR_ENCODING);
    assert_int_equal(content_encoding_of(STR("gzip, gzip"), &encoding), ERR_ENCODING);
}

static void test_inflate_body_each_form_gives_the_text(void **state)
{
    static const struct {
        int window;
        enum content_encoding encoding;
    } forms[] = {{15 + 16, CONTENT_GZIP}, {15, CONTENT_DEFLATE}, {-15, CONTENT_DEFLATE}};
    char *text = malloc(200000);
    assert_non_null(text);
    for (uint32_t i = 0, random = 1; i < 200000; i++, random = random * 1664525 + 1013904223)
        text[i] = (char)('a' + (random >> 24) % 23);
    for (size_t size = 0; size < 200000; size = size * 3 + 1)
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            CLEANUP(buf_free) struct buf packed = {0};
            CLEANUP(buf_free) struct buf out = {0};
            pack(str_make(text, size), forms[i].window, &packed);
            assert_int_equal(inflate_body(buf_str(&packed), forms[i].encoding, &limits, &out), 0);
            assert_true(str_equal(buf_str(&out), str_make(text, size)));
        }
    free(text);
}

static void test_inflate_body_several_gzip_members_are_one_body(void **state)
{
    CLEANUP(buf_free) struct buf packed = {0};
    CLEANUP(buf_free) struct buf out = {0};
    pack(STR("one "), 15 + 16, &packed);
    pack(STR("two"), 15 + 16, &packed);
    assert_int_equal(inflate_body(buf_str(&packed), CONTENT_GZIP, &limits, &out), 0);
    assert_true(str_equal(buf_str(&out), STR("one two")));
}

static void test_inflate_body_damaged_is_bad_gzip(void **state)
{
    CLEANUP(buf_free) struct buf packed = {0};
    pack(STR("some text, some text, some other text"), 15 + 16, &packed);
    for (size_t size = 0; size < packed.size; size++) { /* truncated at every length */
        CLEANUP(buf_free) struct buf out = {0};
        assert_int_equal(
            inflate_body(str_make(packed.data, size), CONTENT_GZIP, &limits, &out), ERR_GZIP);
    }
    for (size_t i = packed.size - 8; i < packed.size; i++) { /* checksum and size */
        CLEANUP(buf_free) struct buf out = {0};
        packed.data[i] ^= 1;
        assert_int_equal(inflate_body(buf_str(&packed), CONTENT_GZIP, &limits, &out), ERR_GZIP);
        packed.data[i] ^= 1;
    }
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(buf_append(&packed, "tail", 4), 0);
    assert_int_equal(inflate_body(buf_str(&packed), CONTENT_GZIP, &limits, &out), ERR_GZIP);
    packed.size = 0;
    pack(STR("zlib"), 15, &packed);
    assert_int_equal(buf_append(&packed, "x", 1), 0);
    assert_int_equal(inflate_body(buf_str(&packed), CONTENT_DEFLATE, &limits, &out), ERR_GZIP);
}

static void test_inflate_body_bomb_is_too_large_and_memory_stays_small(void **state)
{
    CLEANUP(buf_free) struct buf packed = {0};
    CLEANUP(buf_free) struct buf out = {0};
    size_t size = (size_t)64 << 20;
    char *zeros = calloc(1, size);
    assert_non_null(zeros);
    pack(str_make(zeros, size), 15 + 16, &packed);
    free(zeros);
    assert_int_equal(inflate_body(buf_str(&packed), CONTENT_GZIP, &limits, &out), ERR_TOO_LARGE);
    assert_true(out.capacity <= (size_t)8 << 20);
    const struct inflate_limits size_only = {.size_max = (size_t)4 << 20, .ratio_max = 100000};
    buf_clear(&out);
    assert_int_equal(inflate_body(buf_str(&packed), CONTENT_GZIP, &size_only, &out), ERR_TOO_LARGE);
    assert_true(out.capacity <= (size_t)16 << 20);
}

static void test_inflate_body_size_and_ratio_at_the_limit(void **state)
{
    CLEANUP(buf_free) struct buf packed = {0};
    size_t size = 50000; /* below the size from which the ratio counts */
    char *zeros = calloc(1, size);
    assert_non_null(zeros);
    pack(str_make(zeros, size), 15 + 16, &packed);
    free(zeros);
    struct inflate_limits at = {.size_max = size, .ratio_max = 1};
    CLEANUP(buf_free) struct buf out = {0};
    assert_int_equal(inflate_body(buf_str(&packed), CONTENT_GZIP, &at, &out), 0);
    at.size_max = size - 1;
    buf_clear(&out);
    assert_int_equal(inflate_body(buf_str(&packed), CONTENT_GZIP, &at, &out), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_encoding_of_names),
        cmocka_unit_test(test_inflate_body_each_form_gives_the_text),
        cmocka_unit_test(test_inflate_body_several_gzip_members_are_one_body),
        cmocka_unit_test(test_inflate_body_damaged_is_bad_gzip),
        cmocka_unit_test(test_inflate_body_bomb_is_too_large_and_memory_stays_small),
        cmocka_unit_test(test_inflate_body_size_and_ratio_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
