/*
 * An appender for tests that keeps what it was given in memory, as a set, and fails when told.
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingest/stream/stream.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/hash.h"
#include "schemas/rejected.avro.h"

#define NOW 1795200000000000
#define NEVER INT32_MAX

/* A log in memory: the set of keys of what was appended, sorted, and cursors. */
struct fake_log {
    struct appender appender;
    char (*keys)[2 * KEY_SIZE + 1]; /* "event key" or "rejected key", hex, with its topic before */
    size_t keys_count;
    size_t keys_capacity;
    struct buf last_rejected; /* reason at pointer: hint (file:line) payload */
    struct buf last_event;    /* native JSON */
    struct buf all;           /* a line for each of both, "rejected " before those */
    char cursor_names[64][160];
    uint8_t cursors[64][64];
    size_t cursor_sizes[64];
    size_t cursors_count;
    int appends;    /* done */
    int fail_after; /* appends that succeed */
    int fail_error;
    int fail_reason; /* errno with it */
    int busy;        /* appends that answer ERR_AGAIN first */
    size_t records;
};

static inline void put_key(struct fake_log *fake, char kind, const uint8_t key[KEY_SIZE])
{
    if (fake->keys_count == fake->keys_capacity) {
        fake->keys_capacity = fake->keys_capacity ? fake->keys_capacity * 2 : 256;
        fake->keys = realloc(fake->keys, fake->keys_capacity * sizeof(fake->keys[0]));
        assert_non_null(fake->keys);
    }
    char *text = fake->keys[fake->keys_count++];
    memset(text, 0, sizeof(fake->keys[0]));
    text[0] = kind;
    hex_encode(key, KEY_SIZE - 1, text + 1);
}

static inline void note_event(struct fake_log *fake, struct str value, struct arena *arena)
{
    struct touchpoint event;
    assert_int_equal(touchpoint_decode(&event, value, arena), 0);
    assert_int_equal(event.received_at, NOW);
    put_key(fake, 'e', event.event_key);
    buf_clear(&fake->last_event);
    assert_int_equal(event_json_write(&event, &fake->last_event), 0);
    assert_int_equal(buf_append_str(&fake->all, buf_str(&fake->last_event)), 0);
    assert_int_equal(buf_append(&fake->all, "\n", 1), 0);
}

static inline void note_rejected(struct fake_log *fake, struct str value, struct arena *arena)
{
    struct rejected rejected;
    assert_int_equal(rejected_decode(&rejected, value, arena), 0);
    assert_true(str_equal(rejected.stage, STR("import")));
    put_key(fake, 'r', rejected.rejected_key);
    buf_clear(&fake->last_rejected);
    const char *slash = memrchr(rejected.file.data, '/', rejected.file.size);
    size_t dir = slash ? (size_t)(slash + 1 - rejected.file.data) : 0;
    assert_int_equal(
        buf_appendf(&fake->last_rejected, "%.*s at %.*s: %.*s (%.*s:%lld) %.*s",
            (int)rejected.reason.size, rejected.reason.data, (int)rejected.pointer.size,
            rejected.pointer.data, (int)rejected.hint.size, rejected.hint.data,
            (int)(rejected.file.size - dir), rejected.file.data + dir, (long long)rejected.line,
            (int)rejected.payload.size, rejected.payload.data),
        0);
    assert_int_equal(buf_append_str(&fake->all, STR("rejected ")), 0);
    assert_int_equal(buf_append_str(&fake->all, buf_str(&fake->last_rejected)), 0);
    assert_int_equal(buf_append(&fake->all, "\n", 1), 0);
}

static inline void put_cursor(struct fake_log *fake, const struct append_cursor *cursor)
{
    size_t i = 0;
    while (i < fake->cursors_count && !str_equal(str_of(fake->cursor_names[i]), cursor->name))
        i++;
    assert_true(i < 64 && cursor->name.size < 160 && cursor->value.size <= 64);
    fake->cursors_count += i == fake->cursors_count;
    memset(fake->cursor_names[i], 0, 160);
    memcpy(fake->cursor_names[i], cursor->name.data, cursor->name.size);
    memcpy(fake->cursors[i], cursor->value.data, cursor->value.size);
    fake->cursor_sizes[i] = cursor->value.size;
}

static inline int fake_append(struct appender *appender, const struct append_record *records,
    size_t count, const struct append_cursor *cursor)
{
    struct fake_log *fake = (struct fake_log *)appender;
    if (fake->busy > 0) {
        fake->busy--;
        return ERR_AGAIN;
    }
    if (fake->appends == fake->fail_after) {
        errno = fake->fail_reason;
        return fake->fail_error;
    }
    fake->appends++;
    fake->records += count;
    CLEANUP(arena_free) struct arena arena = {0};
    for (size_t i = 0; i < count; i++) {
        if (records[i].topic == TOPIC_EVENTS)
            note_event(fake, records[i].value, &arena);
        else
            note_rejected(fake, records[i].value, &arena);
    }
    if (cursor)
        put_cursor(fake, cursor);
    return 0;
}

static inline int fake_cursor_get(struct appender *appender, struct str name, struct buf *out)
{
    struct fake_log *fake = (struct fake_log *)appender;
    for (size_t i = 0; i < fake->cursors_count; i++) {
        if (str_equal(str_of(fake->cursor_names[i]), name))
            return buf_append(out, fake->cursors[i], fake->cursor_sizes[i]);
    }
    return APPEND_NO_CURSOR;
}

static inline void fake_open(struct fake_log *fake)
{
    *fake = (struct fake_log){
        .appender = {fake_append, fake_cursor_get}, .fail_after = NEVER, .fail_error = ERR_IO};
}

static inline void fake_close(struct fake_log *fake)
{
    free(fake->keys);
    buf_free(&fake->last_rejected);
    buf_free(&fake->last_event);
    buf_free(&fake->all);
}

static inline int compare_keys(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Sorts, drops equal ones: the set. */
static inline void settle(struct fake_log *fake)
{
    size_t kept = 0;
    if (fake->keys_count)
        qsort(fake->keys, fake->keys_count, sizeof(fake->keys[0]), compare_keys);
    for (size_t i = 0; i < fake->keys_count; i++) {
        if (kept == 0 || strcmp(fake->keys[kept - 1], fake->keys[i]) != 0)
            memmove(fake->keys[kept++], fake->keys[i], sizeof(fake->keys[0]));
    }
    fake->keys_count = kept;
}

static inline void assert_same_set(struct fake_log *a, struct fake_log *b)
{
    settle(a);
    settle(b);
    assert_int_equal(a->keys_count, b->keys_count);
    assert_memory_equal(a->keys, b->keys, a->keys_count * sizeof(a->keys[0]));
}
