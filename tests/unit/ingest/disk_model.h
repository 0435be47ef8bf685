/*
 * The disk under the producer's spool, as tests want it: system calls of the code under test that
 * change one directory are counted, made to fail, cut short or ended by SIGKILL, and recorded, so
 * that what a loss of power may leave can be written into another directory. fsync() and
 * fdatasync() synchronise the record alone.
 *
 * For executables that are linked with disk_model.c and DISK_MODEL_WRAPS (tests/unit/ingest/
 * meson.build). Threads: any may be under test; the functions here are called between.
 *
 * The model of a loss of power: of the writes to a file since its last synchronisation, and of the
 * names made, changed and removed since the directory's last, any may be missing; a write may be
 * there to a part, or as zeros.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum disk_call {
    DISK_WRITE,
    DISK_SYNC, /* fsync, fdatasync: of files and directory */
    DISK_CREATE,
    DISK_TRUNCATE,
    DISK_RENAME,
    DISK_UNLINK,
    DISK_READ, /* not counted by DISK_ANY */
    DISK_ANY,
};

enum disk_fault {
    DISK_KILL_BEFORE,
    DISK_KILL_MIDWAY, /* a write is done to a half, others are done */
    DISK_FAIL,        /* with an errno, nothing done */
    DISK_SHORT,       /* a write or read is done to a part */
};

/* Watches this directory, which need not be there, and counts from 0 on. Ends every plan. What lies
 * there is taken as synchronised. NULL: none is watched. */
void disk_watch(const char *dir);
/* The nth call of this kind (1: the next), and `count` - 1 behind it, are faulty; `number` is the
 * errno of DISK_FAIL. */
void disk_plan(enum disk_call call, long nth, long count, enum disk_fault fault, int number);
/* Whether a plan's call came. */
bool disk_happened(void);
/* Calls of this kind since disk_watch() or disk_plan(). Threads: any. */
long disk_calls(enum disk_call call);
/* While it is held no synchronisation ends. */
void disk_hold(bool held);

/* Before the nth call (of DISK_ANY, 1: the next), writes into `into`, a new directory, what a loss
 * of power may leave then; the seed decides. The code under test goes on. */
void disk_lose_power_at(long nth, uint64_t seed, const char *into);
/* The same, now. */
void disk_lose_power(uint64_t seed, const char *into);
/* Whether these bytes would be in some file after every loss of power. */
bool disk_is_durable(const void *bytes, uint64_t size);
