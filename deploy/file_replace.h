/*
 * Small files that are whole at every moment: another is written beside, made durable and renamed.
 * Whoever reads, and whatever stops a change midway, finds the old text or the new one. Functions
 * return 0 or an errno. Who changes a file takes part in excluding others: file_lock().
 */
#pragma once

#include <sys/types.h>

#include "schemas/bytes.h"

/* What stands beside a file while it is changed: its path and this. One that a change left when it
 * was cut off is written over. */
#define FILE_BESIDE ".new"

/* Makes a file that its owner alone may read. Errors: EEXIST, of which nothing is touched; others
 * of the system. */
MUST_CHECK int file_create(const char *path, struct str text);

/* Replaces a file by one that its owner alone may read. */
MUST_CHECK int file_replace(const char *path, struct str text);

/* Replaces a file by one of the same mode, owner and group. */
MUST_CHECK int file_replace_alike(const char *path, struct str text);

/* Opens a file and locks it against other changes; *fd is to be closed. With `make` it is made,
 * empty, where it is missing. Errors: EAGAIN when another has it for longer than wait_ms; ENOENT;
 * EISDIR and EINVAL for what is no regular file; others of the system. */
MUST_CHECK int file_lock(const char *path, bool make, int wait_ms, int *fd);
