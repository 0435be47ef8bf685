/*
 * Named places where tests make the program die or fail. Compiled in by -Dfault_points=true only.
 *
 * TABIJI_FAULT=name:n:kill kills the process (SIGKILL) at the n-th hit of the name; name:n:error
 * makes that hit fail with ERR_IO; name:n:stop lets it sleep there until SIGCONT. Several, at most
 * four, with commas between them.
 */
#pragma once

#ifdef TABIJI_FAULT_POINTS
/* Returns 0 or ERR_IO. Threads: any. */
int fault_point(const char *name);
/* Counts hits from none again, for a process that changes TABIJI_FAULT. Threads: any. */
void fault_reset(void);
#define FAULT_POINT(name) fault_point(name)
#else
#define FAULT_POINT(name) 0
#endif
