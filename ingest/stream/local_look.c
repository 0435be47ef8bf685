#include "ingest/stream/local_look.h"

#include <stdio.h>

#include "ingest/stream/local_private.h"
#include "schemas/error.h"

#define PATH_SIZE_MAX 4096

int local_open_state(const char *dir, struct local **out)
{
    char path[PATH_SIZE_MAX];
    int size = snprintf(path, sizeof path, "%s/state", dir);
    if (size <= 0 || size >= PATH_SIZE_MAX)
        return ERR_TOO_LARGE;
    int r = local_make(NULL, out);
    if (r < 0)
        return r;
    r = local_state_open(*out, path, true);
    if (r < 0)
        local_close(out);
    return r;
}

int local_look(const char *dir, local_look_fn *look, void *context)
{
    struct local *local;
    int r = local_open_state(dir, &local);
    if (r < 0)
        return r;
    r = state_lmdb_begin(local->store);
    if (r == 0) {
        r = look(context, state_lmdb_backend(local->store));
        state_lmdb_end(local->store);
    }
    local_close(&local);
    return r;
}
