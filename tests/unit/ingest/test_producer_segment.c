/* Bytes of the producer's spool: golden, cut at every length, changed at every byte. */
#include "ingest/producer/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schemas/error.h"

#define FIRST 0x1234
#define FRAMES 5
#define SIZE_MAX_ 1024

/* Frames of 1, 8, 15, ... bytes. */
static size_t body_size(uint32_t index)
{
    return 1 + 7 * (size_t)index;
}

static size_t make_segment(uint8_t out[SIZE_MAX_], size_t ends[FRAMES])
{
    const struct producer_segment_head head = {FIRST, 1700000000000};
    producer_segment_head_put(&head, out);
    size_t at = PRODUCER_SEGMENT_HEAD_SIZE;
    for (uint32_t i = 0; i < FRAMES; i++) {
        uint8_t *body = out + at + PRODUCER_SEGMENT_FRAME_HEAD_SIZE;
        size_t size = body_size(i);
        memset(body, (int)('a' + i), size);
        const struct producer_segment_frame frame = {NULL, (uint32_t)size, i, 10 * i};
        producer_segment_frame_put(
            FIRST, &frame, producer_segment_body_crc(0, body, size), out + at);
        at += PRODUCER_SEGMENT_FRAME_HEAD_SIZE + size;
        ends[i] = at;
    }
    return at;
}

/* Frames of an image: a bit for each index. What is read is what was written. */
static unsigned read_frames(
    const uint8_t *bytes, size_t size, uint64_t first, struct producer_segment_cursor *cursor)
{
    /* Exactly sized, so that ASan sees a read beyond the end. */
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    if (size)
        memcpy(copy, bytes, size);
    const struct producer_segment_image image = {copy, size, first};
    struct producer_segment_frame frame;
    unsigned found = 0;
    *cursor = (struct producer_segment_cursor){0};
    while (producer_segment_next(&image, cursor, &frame) == 0) {
        assert_true(frame.index < FRAMES && frame.size == body_size(frame.index));
        assert_int_equal(frame.delay_ms, 10 * frame.index);
        for (size_t i = 0; i < frame.size; i++)
            assert_int_equal(frame.body[i], 'a' + frame.index);
        assert_int_equal(found >> frame.index, 0); /* rising */
        found |= 1u << frame.index;
    }
    free(copy);
    return found;
}

static void test_bytes_are_those_of_the_format(void **state)
{
    static const uint8_t wanted_head[PRODUCER_SEGMENT_HEAD_SIZE] = {'t', 'a', 'b', 'i', 'j', 'i',
        'p', 's', 1, 0, 0, 0, 0x34, 0x12, 0, 0, 0, 0, 0, 0, 0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0,
        0, 0x3d, 0xe1, 0xb1, 0x9f};
    static const uint8_t wanted_frame[] = {
        8, 0, 0, 0, 1, 0, 0, 0, 10, 0, 0, 0, 0x88, 0x86, 0x00, 0x63, 0x71, 0x86, 0x06, 0xc7, 'b'};
    static const uint8_t wanted_mark[PRODUCER_SEGMENT_MARK_SIZE] = {'t', 'a', 'b', 'i', 'j', 'i',
        'p', 'm', 0x34, 0x12, 0, 0, 0, 0, 0, 0, 0x2d, 0xae, 0xa3, 0xbb};
    uint8_t bytes[SIZE_MAX_], mark[PRODUCER_SEGMENT_MARK_SIZE];
    size_t ends[FRAMES];
    (void)state;
    make_segment(bytes, ends);
    assert_memory_equal(bytes, wanted_head, sizeof wanted_head);
    assert_memory_equal(bytes + ends[0], wanted_frame, sizeof wanted_frame);
    producer_segment_mark_put(FIRST, mark);
    assert_memory_equal(mark, wanted_mark, sizeof mark);
}

static void test_head_take_gives_what_was_put_and_refuses_every_change(void **state)
{
    uint8_t bytes[PRODUCER_SEGMENT_HEAD_SIZE];
    const struct producer_segment_head put = {FIRST, -5};
    struct producer_segment_head head;
    (void)state;
    producer_segment_head_put(&put, bytes);
    assert_int_equal(producer_segment_head_take(bytes, sizeof bytes, &head), 0);
    assert_int_equal(head.first, FIRST);
    assert_int_equal(head.created_ms, -5);
    for (size_t size = 0; size < sizeof bytes; size++)
        assert_int_equal(producer_segment_head_take(bytes, size, &head), ERR_STATE);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(producer_segment_head_take(bytes, sizeof bytes, &head), ERR_STATE);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_mark_take_gives_what_was_put_and_refuses_every_change(void **state)
{
    uint8_t bytes[PRODUCER_SEGMENT_MARK_SIZE];
    uint64_t number;
    (void)state;
    producer_segment_mark_put(UINT64_MAX - 1, bytes);
    assert_int_equal(producer_segment_mark_take(bytes, sizeof bytes, &number), 0);
    assert_true(number == UINT64_MAX - 1);
    assert_int_equal(producer_segment_mark_take(bytes, sizeof bytes - 1, &number), ERR_STATE);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(producer_segment_mark_take(bytes, sizeof bytes, &number), ERR_STATE);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_next_goes_over_all_frames(void **state)
{
    uint8_t bytes[SIZE_MAX_];
    size_t ends[FRAMES];
    struct producer_segment_cursor cursor;
    size_t size = make_segment(bytes, ends);
    (void)state;
    assert_int_equal(read_frames(bytes, size, FIRST, &cursor), (1u << FRAMES) - 1);
    assert_int_equal(cursor.at, size);
    assert_int_equal(cursor.index, FRAMES);
    assert_int_equal(cursor.skipped_bytes, 0);
    assert_int_equal(cursor.skipped_records, 0);
}

static void test_next_of_a_segment_cut_at_every_length_gives_what_is_whole(void **state)
{
    uint8_t bytes[SIZE_MAX_];
    size_t ends[FRAMES];
    struct producer_segment_cursor cursor;
    size_t size = make_segment(bytes, ends);
    (void)state;
    for (size_t cut = 0; cut <= size; cut++) {
        unsigned wanted = 0;
        size_t end = PRODUCER_SEGMENT_HEAD_SIZE;
        for (unsigned i = 0; i < FRAMES && ends[i] <= cut; i++) {
            wanted |= 1u << i;
            end = ends[i];
        }
        assert_int_equal(read_frames(bytes, cut, FIRST, &cursor), wanted);
        assert_int_equal(cursor.at, end);
        assert_int_equal(cursor.skipped_bytes, 0);
    }
}

static void test_next_after_any_change_of_a_bit_loses_that_frame_alone(void **state)
{
    uint8_t bytes[SIZE_MAX_];
    size_t ends[FRAMES];
    struct producer_segment_cursor cursor;
    size_t size = make_segment(bytes, ends);
    (void)state;
    for (size_t bit = 8 * PRODUCER_SEGMENT_HEAD_SIZE; bit < 8 * size; bit++) {
        unsigned in = 0;
        while (ends[in] <= bit / 8)
            in++;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(
            read_frames(bytes, size, FIRST, &cursor), ((1u << FRAMES) - 1) & ~(1u << in));
        bool last = in + 1 == FRAMES;
        size_t began = in ? ends[in - 1] : PRODUCER_SEGMENT_HEAD_SIZE;
        assert_int_equal(cursor.skipped_records, last ? 0 : 1);
        assert_int_equal(cursor.skipped_bytes, last ? 0 : ends[in] - began);
        assert_int_equal(cursor.at, last ? began : size);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void test_next_believes_no_frame_of_another_segment_and_no_zeros(void **state)
{
    static const uint8_t zeros[SIZE_MAX_];
    uint8_t bytes[SIZE_MAX_];
    size_t ends[FRAMES];
    struct producer_segment_cursor cursor;
    size_t size = make_segment(bytes, ends);
    (void)state;
    assert_int_equal(read_frames(bytes, size, FIRST + 1, &cursor), 0);
    assert_int_equal(read_frames(zeros, sizeof zeros, 0, &cursor), 0);
    /* Nor one that stood before: its index is too low. */
    memcpy(bytes + size, bytes + PRODUCER_SEGMENT_HEAD_SIZE, ends[1] - PRODUCER_SEGMENT_HEAD_SIZE);
    assert_int_equal(
        read_frames(bytes, size + ends[1] - PRODUCER_SEGMENT_HEAD_SIZE, FIRST, &cursor),
        (1u << FRAMES) - 1);
    assert_int_equal(cursor.at, size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_those_of_the_format),
        cmocka_unit_test(test_head_take_gives_what_was_put_and_refuses_every_change),
        cmocka_unit_test(test_mark_take_gives_what_was_put_and_refuses_every_change),
        cmocka_unit_test(test_next_goes_over_all_frames),
        cmocka_unit_test(test_next_of_a_segment_cut_at_every_length_gives_what_is_whole),
        cmocka_unit_test(test_next_after_any_change_of_a_bit_loses_that_frame_alone),
        cmocka_unit_test(test_next_believes_no_frame_of_another_segment_and_no_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
