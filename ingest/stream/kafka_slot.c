/* See the header. */
#include "ingest/stream/kafka_slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "ingest/stream/kafka_client.h"
#include "schemas/error.h"

#define BOOT_FILE "/proc/sys/kernel/random/boot_id"

static void read_boot(struct kafka_slot *slot)
{
    FILE *file = fopen(BOOT_FILE, "re");
    if (!file)
        return;
    if (!fgets(slot->boot, sizeof slot->boot, file))
        slot->boot[0] = '\0';
    fclose(file);
}

static int lock_dir(struct kafka_slot *slot)
{
    char path[KAFKA_SLOT_DIR_SIZE + 16];
    snprintf(path, sizeof path, "%s/lock", slot->dir);
    slot->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (slot->lock < 0)
        return ERR_IO;
    if (flock(slot->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? ERR_LOCKED : ERR_IO;
}

int kafka_slot_take(struct kafka_slot *slot, const struct kafka_config *config)
{
    *slot = (struct kafka_slot){.lock = -1};
    int size = snprintf(slot->dir, sizeof slot->dir, "%s/%s", config->state_dir, config->slot);
    if (size <= 0 || size >= (int)sizeof slot->dir)
        return ERR_CONFIG;
    read_boot(slot);
    int r = kafka_make_dir(slot->dir);
    if (r == 0)
        r = lock_dir(slot);
    if (r < 0)
        kafka_slot_release(slot);
    return r;
}

void kafka_slot_release(struct kafka_slot *slot)
{
    if (slot->lock >= 0)
        close(slot->lock);
    slot->lock = -1;
}
