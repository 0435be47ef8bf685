/*
 * Which process a handle belongs to: a child after fork() has its memory, but neither its threads
 * nor a right to its files. Asking costs a load where the kernel wipes a page in children (Linux
 * 4.14), a system call elsewhere. Threads: any, between init and fini.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct producer_process {
    volatile int *alive; /* a page; NULL: the kernel wipes none, and `pid` tells */
    pid_t pid;
};

/* Takes this process as the owner. The page is the system's, not an allocator's. */
void producer_process_init(struct producer_process *process);
/* In any process. */
void producer_process_fini(struct producer_process *process);
/* Whether this is a process that descends from the owner. */
bool producer_process_is_forked(const struct producer_process *process);
