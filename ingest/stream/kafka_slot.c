/* See the header. */
#include "ingest/stream/kafka_slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

int kafka_slot_open(const struct kafka_config *config, struct kafka_slot **out)
{
    struct kafka_slot *slot = calloc(1, sizeof *slot);
    if (!slot)
        return ERR_NO_MEMORY;
    slot->lock = -1;
    (void)pthread_mutex_init(&slot->mutex, NULL);
    int size = snprintf(slot->dir, sizeof slot->dir, "%s/%s", config->state_dir, config->slot);
    int r = size <= 0 || size >= (int)sizeof slot->dir ? ERR_CONFIG : 0;
    read_boot(slot);
    if (r == 0)
        r = kafka_make_dir(slot->dir);
    if (r == 0)
        r = lock_dir(slot);
    if (r < 0)
        kafka_slot_close(&slot);
    else
        *out = slot;
    return r;
}

void kafka_slot_close(struct kafka_slot **slot)
{
    if (!*slot)
        return;
    check((*slot)->count == 0);
    if ((*slot)->lock >= 0)
        close((*slot)->lock);
    (void)pthread_mutex_destroy(&(*slot)->mutex);
    free((*slot)->claimed);
    free(*slot);
    *slot = NULL;
}

/* The mutex is held. Returns the copy's index, or the count. */
static size_t find(const struct kafka_slot *slot, const char *stage, int32_t partition)
{
    size_t i = 0;
    while (i < slot->count &&
           (slot->claimed[i].partition != partition || strcmp(slot->claimed[i].stage, stage) != 0))
        i++;
    return i;
}

/* The mutex is held. */
static int reserve(struct kafka_slot *slot)
{
    if (slot->count < slot->room)
        return 0;
    size_t room = slot->room * 2 + 16;
    struct kafka_slot_copy *claimed = realloc(slot->claimed, room * sizeof *claimed);
    if (!claimed)
        return ERR_NO_MEMORY;
    slot->claimed = claimed;
    slot->room = room;
    return 0;
}

int kafka_slot_claim(struct kafka_slot *slot, const char *stage, int32_t partition)
{
    (void)pthread_mutex_lock(&slot->mutex);
    int r = find(slot, stage, partition) < slot->count ? ERR_AGAIN : reserve(slot);
    if (r == 0)
        slot->claimed[slot->count++] = (struct kafka_slot_copy){stage, partition};
    (void)pthread_mutex_unlock(&slot->mutex);
    return r;
}

void kafka_slot_yield(struct kafka_slot *slot, const char *stage, int32_t partition)
{
    (void)pthread_mutex_lock(&slot->mutex);
    size_t at = find(slot, stage, partition);
    check(at < slot->count);
    slot->claimed[at] = slot->claimed[--slot->count];
    (void)pthread_mutex_unlock(&slot->mutex);
}
