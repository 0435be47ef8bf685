/*
 * The ids of our subjects kept in a file: a registry that is away does not keep a program from
 * starting again. An id's schema never changes, so what was true stays true at the same registry.
 */
#pragma once

#include "ingest/registry/subject.h"

/* Replaces the file as a whole. ids: beside subjects. Errors: ERR_IO, ERR_FULL, ERR_NO_MEMORY.
 * Threads: any; of several that save at the same time the last stands. */
MUST_CHECK int subject_file_save(const char *path, const struct registry_config *registry,
    const struct subject *subjects, size_t count, const uint32_t *ids);

/* Returns 0 with all ids; or SUBJECT_FILE_NONE, where there is no such file, it is of another
 * registry (its addresses differ), or lacks a subject with this build's schema. Errors:
 * ERR_NO_MEMORY. Threads: any. */
#define SUBJECT_FILE_NONE 1
MUST_CHECK int subject_file_load(const char *path, const struct registry_config *registry,
    const struct subject *subjects, size_t count, uint32_t *ids);
