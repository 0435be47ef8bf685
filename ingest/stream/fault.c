/* Counts hits of one name for the whole process. */
#include "ingest/stream/fault.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schemas/error.h"

#ifdef TABIJI_FAULT_POINTS
static atomic_long hits;

void fault_reset(void)
{
    atomic_store(&hits, 0);
}

int fault_point(const char *name)
{
    const char *plan = getenv("TABIJI_FAULT");
    size_t size = strlen(name);
    if (!plan || strncmp(plan, name, size) != 0 || plan[size] != ':')
        return 0;
    char *end;
    long wanted = strtol(plan + size + 1, &end, 10);
    if (atomic_fetch_add(&hits, 1) + 1 != wanted)
        return 0;
    if (strcmp(end, ":kill") == 0)
        (void)kill(getpid(), SIGKILL);
    if (strcmp(end, ":stop") == 0) {
        (void)kill(getpid(), SIGSTOP);
        return 0;
    }
    return ERR_IO;
}
#else
/* A file without a declaration is not C. */
extern int fault_points_are_off;
#endif
