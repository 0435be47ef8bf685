/* Invariant: looks[] are the latest calls, each with how far the worker and the log were then. */
#include "deploy/fates.h"

#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"
#include "schemas/json.h"
#include "sinks/sqlite/read.h"

#define LOOKS 256            /* more than questions are asked for */
#define SINK_LOOKS 4         /* after which the sink has what the worker has done */
#define REJECTIONS_ROWS 1000 /* the latest that are looked at */

struct look {
    int64_t worked_to;
    int64_t log_end;
};

struct fates {
    struct embedded *embedded;
    struct reader *reader; /* NULL: not open */
    struct look looks[LOOKS];
    uint64_t count; /* of looks so far */
};

int fates_new(struct embedded *embedded, struct fates **out)
{
    struct fates *fates = calloc(1, sizeof *fates);
    if (!fates)
        return ERR_NO_MEMORY;
    fates->embedded = embedded;
    *out = fates;
    return 0;
}

void fates_free(struct fates **fates)
{
    if (!*fates)
        return;
    reader_close(&(*fates)->reader);
    free(*fates);
    *fates = NULL;
}

/* Whether what was in the log when the question was first asked has come into the tables. */
static bool is_through(const struct fates *fates, const struct tail_question *question)
{
    uint64_t first = question->asked < fates->count ? fates->count - 1 - question->asked : 0;
    if (question->asked <= SINK_LOOKS || question->asked >= LOOKS || fates->count <= SINK_LOOKS)
        return false;
    const struct look *then = &fates->looks[first % LOOKS];
    const struct look *lately = &fates->looks[(fates->count - 1 - SINK_LOOKS) % LOOKS];
    return lately->worked_to >= then->log_end;
}

/* Appends ,"name":"text"; leaves it away where there is no room. */
static void add_detail(struct tail_later *later, const char *name, struct str text)
{
    CLEANUP(buf_free) struct buf json = {0};
    size_t size = strlen(later->detail);
    int r = buf_appendf(&json, ",\"%s\":", name);
    if (r == 0)
        r = json_write_text(&json, text);
    if (r == 0 && text.size && size + json.size < sizeof later->detail)
        memcpy(later->detail + size, json.data, json.size); /* zeroes follow */
}

struct search {
    const struct tail_question *questions;
    struct tail_later *answers;
    size_t count;
};

static int take_rejection(void *context, const struct reader_rejection *rejection)
{
    const struct search *search = context;
    for (size_t i = 0; i < search->count; i++) {
        const struct tail_question *question = &search->questions[i];
        struct tail_later *answer = &search->answers[i];
        if (question->received_at != rejection->received_at ||
            !str_equal(str_of(question->event_id), rejection->event_id) ||
            !str_equal(str_of(question->source), rejection->source))
            continue;
        *answer = (struct tail_later){.fate = TAIL_FATE_REJECTED};
        add_detail(answer, "reason", rejection->reason);
        add_detail(answer, "pointer", rejection->pointer);
        add_detail(answer, "hint", rejection->hint);
    }
    return 0;
}

static int find_rows(struct fates *fates, const struct search *search)
{
    for (size_t i = 0; i < search->count; i++) {
        const struct tail_question *question = &search->questions[i];
        struct tail_later *answer = &search->answers[i];
        struct reader_fate fate;
        if (answer->fate != TAIL_FATE_UNKNOWN)
            continue;
        int r = reader_event_fate(fates->reader, question->event_key, &fate);
        if (r < 0)
            return r;
        bool first = r == 0 && fate.received_at == question->received_at;
        if (r != 0 || (!first && !is_through(fates, question)))
            continue;
        answer->fate = first ? TAIL_FATE_STITCHED : TAIL_FATE_DUPLICATE;
        memcpy(answer->person, fate.person, KEY_SIZE);
        add_detail(answer, "channel", str_of(fate.channel));
    }
    return 0;
}

int fates_later(
    void *context, const struct tail_question *questions, size_t count, struct tail_later *answers)
{
    struct fates *fates = context;
    struct search search = {questions, answers, count};
    struct look *look = &fates->looks[fates->count++ % LOOKS];
    embedded_progress(fates->embedded, &look->worked_to, &look->log_end);
    int r = 0;
    if (!fates->reader)
        r = reader_open(&fates->reader, embedded_database(fates->embedded));
    if (r == 0)
        r = reader_late_rejections(fates->reader, REJECTIONS_ROWS, take_rejection, &search);
    if (r == 0)
        r = find_rows(fates, &search);
    if (r < 0)
        reader_close(&fates->reader);
    return r;
}
