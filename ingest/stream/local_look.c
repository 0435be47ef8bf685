#include "ingest/stream/local_look.h"

#include <stdio.h>

#include "ingest/stream/local_private.h"
#include "schemas/error.h"

#define PATH_SIZE_MAX 4096

int local_look(const char *dir, local_look_fn *look, void *context)
{
    char path[PATH_SIZE_MAX];
    struct local *local;
    int size = snprintf(path, sizeof path, "%s/state", dir);
    if (size <= 0 || size >= PATH_SIZE_MAX)
        return ERR_TOO_LARGE;
    int r = local_make(NULL, &local);
    if (r < 0)
        return r;
    r = local_state_open(local, path, true);
    if (r == 0)
        r = state_lmdb_begin(local->store);
    if (r == 0) {
        r = look(context, state_lmdb_backend(local->store));
        state_lmdb_end(local->store);
    }
    local_close(&local);
    return r;
}
