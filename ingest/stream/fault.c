/* Counts hits of the names of one plan for the whole process. */
#include "ingest/stream/fault.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schemas/error.h"

#ifdef TABIJI_FAULT_POINTS
#define PLANNED_MAX 4

static atomic_long hits[PLANNED_MAX];

void fault_reset(void)
{
    for (int i = 0; i < PLANNED_MAX; i++)
        atomic_store(&hits[i], 0);
}

/* plan: "n:kill" and so on, behind the name. */
static int strike(const char *plan, atomic_long *hit)
{
    char *end;
    long wanted = strtol(plan, &end, 10);
    if (atomic_fetch_add(hit, 1) + 1 != wanted)
        return 0;
    if (strncmp(end, ":kill", 5) == 0)
        (void)kill(getpid(), SIGKILL);
    if (strncmp(end, ":stop", 5) == 0) {
        (void)kill(getpid(), SIGSTOP);
        return 0;
    }
    return ERR_IO;
}

int fault_point(const char *name)
{
    const char *plan = getenv("TABIJI_FAULT");
    size_t size = strlen(name);
    int r = 0;
    for (int i = 0; plan && i < PLANNED_MAX && r == 0; i++) {
        if (strncmp(plan, name, size) == 0 && plan[size] == ':')
            r = strike(plan + size + 1, &hits[i]);
        plan = strchr(plan, ',');
        plan = plan ? plan + 1 : NULL;
    }
    return r;
}
#else
/* A file without a declaration is not C. */
extern int fault_points_are_off;
#endif
