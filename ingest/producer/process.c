/* A page of which the owner reads 1 and every descendant 0. */
#include "ingest/producer/process.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* What no kernel knows: an emulator that says yes to it has wiped nothing on its yes to others. */
#define ADVICE_OF_NOBODY (-1)

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void producer_process_init(struct producer_process *process)
{
    *process = (struct producer_process){.pid = getpid()};
    void *page =
        mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return;
    if (madvise(page, page_size(), ADVICE_OF_NOBODY) == 0 ||
        madvise(page, page_size(), MADV_WIPEONFORK) != 0) {
        (void)munmap(page, page_size());
        return;
    }
    process->alive = page;
    *process->alive = 1;
}

void producer_process_fini(struct producer_process *process)
{
    if (process->alive)
        (void)munmap((void *)process->alive, page_size());
    process->alive = NULL;
}

bool producer_process_is_forked(const struct producer_process *process)
{
    return process->alive ? *process->alive == 0 : process->pid != getpid();
}
