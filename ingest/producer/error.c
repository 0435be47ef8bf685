/* One list gives both texts. */
#include "ingest/producer/error.h"

#include "schemas/error.h"

#define ERRORS(X)                                                                                  \
    X(TABIJI_OK, "ok", "all is well")                                                              \
    X(TABIJI_ERROR_NO_MEMORY, "no_memory", "out of memory")                                        \
    X(TABIJI_ERROR_ARGUMENT, "argument", "an argument or option is wrong")                         \
    X(TABIJI_ERROR_INVALID, "invalid", "the collector would refuse this event")                    \
    X(TABIJI_ERROR_QUEUE_FULL, "queue_full", "the queue is full")                                  \
    X(TABIJI_ERROR_TIMEOUT, "timeout", "not all was done in the time given")                       \
    X(TABIJI_ERROR_UNAUTHORISED, "unauthorised", "the collector refuses the write key")            \
    X(TABIJI_ERROR_FORKED, "forked", "the producer belongs to the parent process")                 \
    X(TABIJI_ERROR_CLOSED, "closed", "the producer takes no more events")                          \
    X(TABIJI_ERROR_CALLBACK, "callback", "not to be called from a report callback")                \
    X(TABIJI_ERROR_IO, "io", "a file cannot be read or written, or a thread not be started")       \
    X(TABIJI_ERROR_REJECTED, "rejected", "the collector refused the event")                        \
    X(TABIJI_ERROR_DISCARDED, "discarded", "the event was given up before it was sent")            \
    X(TABIJI_ERROR_LOCKED, "locked", "another producer has the spool's directory")

const char *tabiji_error_name(int error)
{
    switch (error) {
#define X(symbol, name, text)                                                                      \
    case symbol:                                                                                   \
        return name;
        ERRORS(X)
#undef X
    default:
        return "unknown";
    }
}

const char *tabiji_error_text(int error)
{
    switch (error) {
#define X(symbol, name, text)                                                                      \
    case symbol:                                                                                   \
        return text;
        ERRORS(X)
#undef X
    default:
        return "no such error";
    }
}

const char *tabiji_version(void)
{
    return TABIJI_VERSION;
}

int producer_error_of(int error)
{
    return error == ERR_NO_MEMORY ? TABIJI_ERROR_NO_MEMORY : TABIJI_ERROR_INVALID;
}

/* Whole characters of UTF-8 only. */
static void copy_cut(char *to, size_t room, struct str from)
{
    size_t size = from.size < room ? from.size : room - 1;
    while (size && size < from.size && ((unsigned char)from.data[size] & 0xC0) == 0x80)
        size--;
    if (size)
        memcpy(to, from.data, size);
    to[size] = '\0';
}

void producer_problem_set(
    struct tabiji_problem *problem, int error, struct str code, struct str pointer, struct str hint)
{
    if (!problem || problem->size < sizeof problem->size)
        return;
    /* Most often nothing is wrong, and each call says so. */
    bool silent = code.size == 0 && pointer.size == 0 && hint.size == 0;
    if (silent && problem->size >= sizeof *problem) {
        problem->error = error;
        problem->code[0] = problem->pointer[0] = problem->hint[0] = '\0';
        return;
    }
    struct tabiji_problem full = {.size = problem->size, .error = error};
    copy_cut(full.code, sizeof full.code, code);
    copy_cut(full.pointer, sizeof full.pointer, pointer);
    copy_cut(full.hint, sizeof full.hint, hint);
    /* A caller that was built with an older header has fewer members. */
    memcpy(problem, &full, full.size < sizeof full ? full.size : sizeof full);
}

int producer_problem_of(struct tabiji_problem *problem, int error, const struct event_problem *of)
{
    struct str code = STR("");
    if (error < 0)
        code = str_of(error_name(error));
    else if (of->hint.size)
        code = STR("identifier_dropped");
    int r = error < 0 ? producer_error_of(error) : TABIJI_OK;
    producer_problem_set(problem, r, code, of->pointer, of->hint);
    return r;
}
