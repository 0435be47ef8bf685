/* A batch of one record without its end: no log, no lock, no write transaction. */
#include "ingest/stream/local_preview.h"

#include <stdio.h>

#include "ingest/stream/local_private.h"
#include "schemas/error.h"

#define PATH_SIZE_MAX 4096

static int tell(struct local *local, const struct local_preview *preview)
{
    struct state_backend *backend = state_lmdb_backend(local->store);
    const struct state_change *changes;
    size_t count;
    int r = state_changes(local->state, &changes, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct state_change *row = &changes[i];
        struct local_change change = {
            .table = row->table, .key = row->key, .stands = !row->deleted, .after = row->value};
        r = backend->get(backend, row->table, row->key, &change.before);
        if (r < 0)
            return r;
        change.stood = r == 0;
        r = preview->changed(preview->context, &change);
    }
    return r;
}

/* What a stage refuses it would put among the rejected; here the caller is told. */
static int run(
    struct local *local, const struct local_preview *preview, const struct append_record *appended)
{
    const struct record record = {.topic = appended->topic,
        .position = INT64_MAX, /* behind all that stands */
        .key = appended->key,
        .value = appended->value};
    int r = local_set_stages(local, preview->stages, preview->stages_count);
    if (r == ERR_MEANING && preview->difference) {
        int told = buf_append_str(preview->difference, local_difference(local));
        r = told < 0 ? told : r;
    }
    if (r == 0)
        r = state_lmdb_begin(local->store);
    if (r < 0)
        return r;
    r = local_try(local, &record);
    if (r == 0 && local->rejected.size)
        r = ERR_VALUE;
    if (r == 0)
        r = tell(local, preview);
    local_forget(local);
    return r;
}

int local_preview(const struct local_preview *preview, const struct append_record *record)
{
    struct local *local;
    int r = local_open_state(preview->dir, &local);
    if (r < 0)
        return r;
    r = run(local, preview, record);
    local_close(&local);
    return r;
}
