/*
 * Secrets lie in files of their own, which change while programs run: what holds one, and whether
 * it is another since. A place is written as a path, or as credential:NAME within systemd's
 * credentials directory.
 */
#pragma once

#include "schemas/bytes.h"

#define SECRET_PATH_SIZE 4096
#define SECRET_SIZE_MAX ((size_t)64 << 10)

/* The path of a place. Errors: ERR_NOT_FOUND when there is no CREDENTIALS_DIRECTORY; ERR_TOO_LARGE.
 * Threads: any. */
MUST_CHECK int secret_path(struct str place, char path[SECRET_PATH_SIZE]);

/* Appends what the file holds, without line ends behind it. Who has it wipes it (secret_wipe()).
 * Errors: those of secret_path(); ERR_NOT_FOUND, ERR_IO (errno says why), ERR_TOO_LARGE, ERR_EMPTY,
 * ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int secret_read(struct str place, struct buf *out);

/* Overwrites and frees; a cleanup function. */
void secret_wipe(struct buf *secret);

/* Whether others than its owner may read the file; systemd's are its affair. false for what is not
 * there. Threads: any. */
bool secret_exposed(struct str place);

/* Another number when the file is another, or was written since; 0: it is not there. Threads: any.
 */
uint64_t secret_stamp(struct str place);

/* Whether a key of librdkafka holds a secret: a password, a private key, or what may have one in
 * it. Certificates are none. Threads: any. */
bool secret_of_kafka(struct str key);
