/*
 * The files of a spool: a queue of records on the disk, bounded in bytes.
 *
 *     DIR/0000000000000007.spool  segments, read and deleted from the lowest number on
 *     DIR/drained                 how far that is; without it what was drained is sent again
 *     DIR/refused                 frames of records that the cluster refuses for good
 *     DIR/NUMBER.damaged          segments that end in what cannot be read: for a person to see
 *
 * Not for several threads at once: spool.c has the lock.
 */
#pragma once

#include "ingest/spool/spool_frame.h"
#include "ingest/stream/stream.h"

struct spool_disk_config {
    const char *dir; /* made when missing */
    uint64_t size_max;
    uint64_t segment_size; /* a segment ends when it is as large */
};

/* What an opening found. */
struct spool_found {
    uint64_t segments;
    uint64_t records;   /* to be drained */
    uint64_t bytes;     /* of segments */
    uint64_t cut_bytes; /* of a last append that was torn: never acknowledged */
};

struct spool_disk;

/* Takes the directory, cuts what a crash left torn at the end. Errors: ERR_LOCKED when a process
 * has it, ERR_IO, ERR_FULL, ERR_CONFIG, ERR_NO_MEMORY. */
MUST_CHECK int spool_disk_open(
    const struct spool_disk_config *config, struct spool_disk **out, struct spool_found *found);
/* Accepts NULL inside, leaves NULL. */
void spool_disk_close(struct spool_disk **disk);

/* Appends all records, and returns 0 when they are synchronised to the disk; on an error none
 * stands. Errors: ERR_FULL: size_max, or the disk; ERR_TOO_LARGE; ERR_NO_MEMORY; ERR_IO: what the
 * disk holds is unknown (fsync failed, or a failed write could not be taken back): every later call
 * gives ERR_IO, as a second fsync may say that all is well when it is not. */
MUST_CHECK int spool_disk_append(
    struct spool_disk *disk, const struct append_record *records, size_t count);

/* Some records from the head on, at least one where there are any. Valid until the next call of
 * spool_disk_read(). */
struct spool_batch {
    struct spool_record *records;
    size_t count;
    struct spool_mark end;
};
/* Returns 0 and a batch, empty when there is nothing; or SPOOL_DAMAGED when a segment ends in a
 * frame that cannot be read: it was set aside (renamed), the next call goes on behind it.
 * Errors: ERR_IO, ERR_NO_MEMORY. */
#define SPOOL_DAMAGED 2
MUST_CHECK int spool_disk_read(
    struct spool_disk *disk, size_t records_max, size_t bytes_max, struct spool_batch *out);

/* A batch's records are the cluster's: they are not read again, their segments are deleted. */
MUST_CHECK int spool_disk_drained(struct spool_disk *disk, const struct spool_batch *batch);

/* Keeps a record that the cluster refuses in the file for those. Errors: ERR_FULL, ERR_IO. */
MUST_CHECK int spool_disk_refuse(struct spool_disk *disk, const struct spool_record *record);

bool spool_disk_empty(const struct spool_disk *disk);
/* Bytes of all segments, drained parts included. */
uint64_t spool_disk_bytes(const struct spool_disk *disk);
/* Records that are not drained. */
uint64_t spool_disk_records(const struct spool_disk *disk);
