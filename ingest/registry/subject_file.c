/* Lines: the addresses, then `id fingerprint subject` of each, then an end, so that a file which
 * was cut short is none. */
#include "ingest/registry/subject_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ingest/config/ini.h"
#include "schemas/error.h"

#define FILE_SIZE_MAX ((size_t)256 << 10)
#define PATH_SIZE 4096
#define HEAD "schema ids 1 of"
#define END "end\n"

static int append_head(const struct registry_config *registry, struct buf *out)
{
    int r = buf_append_str(out, STR(HEAD));
    for (size_t i = 0; r == 0 && i < registry->urls_count; i++)
        r = buf_appendf(out, " %.*s", (int)registry->urls[i].size, registry->urls[i].data);
    return r < 0 ? r : buf_append(out, "\n", 1);
}

/* What stands between an id and the next line. */
static int append_subject(const struct subject *subject, struct buf *out)
{
    return buf_appendf(out, " %016" PRIx64 " %s\n", subject->entry->fingerprint, subject->name);
}

static int system_error(void)
{
    return errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
}

static int write_file(int fd, struct str text)
{
    while (text.size) {
        ssize_t size = write(fd, text.data, text.size);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return system_error();
        text = str_make(text.data + size, text.size - (size_t)size);
    }
    return fsync(fd) == 0 ? 0 : system_error();
}

static int replace(const char *path, struct str text)
{
    char fresh[PATH_SIZE];
    int size = snprintf(fresh, sizeof fresh, "%s.XXXXXX", path);
    if (size < 0 || (size_t)size >= sizeof fresh)
        return ERR_IO;
    int fd = mkostemp(fresh, O_CLOEXEC);
    if (fd < 0)
        return system_error();
    int r = write_file(fd, text);
    if (close(fd) != 0 && r == 0)
        r = system_error();
    if (r == 0 && rename(fresh, path) != 0)
        r = system_error();
    if (r < 0)
        (void)unlink(fresh);
    return r;
}

int subject_file_save(const char *path, const struct registry_config *registry,
    const struct subject *subjects, size_t count, const uint32_t *ids)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = append_head(registry, &text);
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = buf_appendf(&text, "%" PRIu32, ids[i]);
        if (r == 0)
            r = append_subject(&subjects[i], &text);
    }
    if (r == 0)
        r = buf_append_str(&text, STR(END));
    return r < 0 ? r : replace(path, buf_str(&text));
}

/* The id before the subject's line. */
static int find_id(struct str text, const struct subject *subject, uint32_t *id)
{
    CLEANUP(buf_free) struct buf line = {0};
    int r = append_subject(subject, &line);
    if (r < 0)
        return r;
    const char *found = memmem(text.data, text.size, line.data, line.size);
    if (!found)
        return SUBJECT_FILE_NONE;
    const char *begin = found;
    while (begin > text.data && begin[-1] >= '0' && begin[-1] <= '9')
        begin--;
    char digits[16];
    size_t size = (size_t)(found - begin);
    if (size == 0 || size >= sizeof digits || begin == text.data || begin[-1] != '\n')
        return SUBJECT_FILE_NONE;
    memcpy(digits, begin, size);
    digits[size] = '\0';
    unsigned long long number = strtoull(digits, NULL, 10);
    if (number > INT32_MAX)
        return SUBJECT_FILE_NONE;
    *id = (uint32_t)number;
    return 0;
}

static bool has_end(struct str text, struct str end)
{
    return text.size >= end.size &&
           memcmp(text.data + text.size - end.size, end.data, end.size) == 0;
}

int subject_file_load(const char *path, const struct registry_config *registry,
    const struct subject *subjects, size_t count, uint32_t *ids)
{
    CLEANUP(buf_free) struct buf text = {0}, head = {0};
    uint32_t found[TOPIC_COUNT];
    check(count <= TOPIC_COUNT);
    int r = append_head(registry, &head);
    if (r == 0)
        r = ini_load(path, FILE_SIZE_MAX, &text);
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : SUBJECT_FILE_NONE;
    if (!str_starts_with(buf_str(&text), buf_str(&head)) || !has_end(buf_str(&text), STR(END)))
        return SUBJECT_FILE_NONE;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = find_id(buf_str(&text), &subjects[i], &found[i]);
    if (r == 0)
        memcpy(ids, found, count * sizeof *ids);
    return r;
}
