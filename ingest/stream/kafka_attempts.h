/*
 * Ends of workers, counted where the next owner of a partition finds them, whatever became of the
 * machine. Private to the driver.
 *
 * kafka_suspects.h knows exactly in which record a worker ended, as long as its directory is there.
 * This knows less, and keeps it in Kafka: offsets of a group of its own, "<group>-attempts", on
 * which nothing rests. A partition's owner notes there that it begins, and that it ends as it
 * should. Who comes next after two that did not, with nothing committed between, notes each record
 * before it is processed, and so the one after that knows which it was. Twice in one record, beside
 * the ends before, and the record is put to `rejected`. That derived rows are being brought up to
 * date is noted likewise: who comes after an end in that has batches of one record, of which it is.
 *
 *     clean ─begin()─▶ open ─end()─▶ clean        the owner ended in it: open, found by the next
 *     open, found: `ends` + 1, or that of the record noted; from 2, or with a record: careful
 */
#pragma once

#include "ingest/stream/kafka_client.h"

/* Ends at one place until records are noted; ends in one record that was noted until it is refused.
 */
#define KAFKA_ATTEMPTS_CAREFUL 2
#define KAFKA_ATTEMPTS_POISON 2
#define KAFKA_ATTEMPT_TEXT_SIZE 128

#define KAFKA_ATTEMPT_NONE INT64_C(-1)
#define KAFKA_ATTEMPT_SETTLE INT64_C(-2)

/* Of one input. */
struct kafka_attempt {
    uint64_t owner;   /* who is at it; 0: nobody */
    int64_t began;    /* where the group stood then */
    int ends;         /* of owners since, of which nobody knows in what */
    int64_t current;  /* record that was noted last, none, or what follows a batch's records */
    int64_t suspect;  /* record in which an owner ended, or none */
    int suspect_ends; /* how often, one after the other */
    int64_t careful;  /* records before this offset are noted; 0: none are. Not kept */
    bool single;      /* batches of one record. Not kept */
};

/* The text found beside the offset `began`. False for what is none. Pure. */
bool kafka_attempt_read(struct str text, int64_t began, struct kafka_attempt *out);
/* Whether the owner ended in the record that it noted, when the group has committed `next`, and a
 * new owner comes. Pure. */
bool kafka_attempt_told(const struct kafka_attempt *found, uint64_t owner, int64_t next);
/* What a new owner makes of what it finds (NULL: nothing). elsewhere: the last owner ended in a
 * record of another partition. range: how many records an owner's open batch may have had. Pure. */
struct kafka_attempt kafka_attempt_of(
    const struct kafka_attempt *found, bool elsewhere, uint64_t owner, int64_t next, int64_t range);
/* The text of an attempt. Pure. */
void kafka_attempt_text(const struct kafka_attempt *attempt, char out[KAFKA_ATTEMPT_TEXT_SIZE]);
/* Whether the record has ended so many owners. Pure. */
bool kafka_attempt_poison(const struct kafka_attempt *attempt, int64_t position);

struct kafka_inputs;

/* One of a worker; {0} before open: then nothing is counted. One thread. */
struct kafka_attempts {
    struct kafka_client *client; /* of KAFKA_ROLE_RESTORE, borrowed; NULL: nothing is counted */
    uint64_t owner;
    int64_t range;
    bool noted;       /* a record, in this batch or one that was undone */
    enum topic topic; /* of the record noted last, and its partition */
    int32_t partition;
};

void kafka_attempts_open(struct kafka_attempts *attempts, struct kafka_client *client);

/* What all inputs' earlier owners left is read, and that this one is at them is noted. Where the
 * brokers do not allow it nothing is counted, which is logged. Errors: ERR_AGAIN, ERR_KAFKA. */
MUST_CHECK int kafka_attempts_begin(struct kafka_attempts *attempts, struct kafka_inputs *inputs);
/* All inputs are left as they should be; failing to say so costs the next owner some time at most.
 */
void kafka_attempts_end(struct kafka_attempts *attempts, struct kafka_inputs *inputs);

/* A record is about to be processed. Errors: ERR_CRASHES: it has ended workers so often that it is
 * not to be; ERR_AGAIN, ERR_KAFKA: it could not be noted. */
MUST_CHECK int kafka_attempts_enter(struct kafka_attempts *attempts, struct kafka_inputs *inputs,
    enum topic topic, int32_t partition, int64_t position);
/* The batch's derived rows are being brought up to date, then they are: an end in them is that of
 * its last record only when there is no other. Errors: as above. */
MUST_CHECK int kafka_attempts_settle(
    struct kafka_attempts *attempts, struct kafka_inputs *inputs, size_t batch_records);
MUST_CHECK int kafka_attempts_settled(struct kafka_attempts *attempts, struct kafka_inputs *inputs);

/* How many records a batch may have: at most, but where records are noted. */
size_t kafka_attempts_batch(struct kafka_inputs *inputs, size_t most);
