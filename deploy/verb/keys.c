/* `tabiji keys new [FILE]`: the tenant key, from which persons and pseudonyms are made. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "deploy/verb/verbs.h"
#include "schemas/bytes.h"
#include "schemas/error.h"
#include "schemas/hash.h"
#include "schemas/json.h"

#define FILE_DEFAULT "tabiji.key"
#define TENANT_KEY_SIZE 32

/* A file that exists is never touched: a lost key cannot be made again. */
static int write_key(const char *path)
{
    uint8_t key[TENANT_KEY_SIZE];
    char text[2 * TENANT_KEY_SIZE + 1];
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        return errno;
    hex_encode(key, sizeof key, text);
    text[2 * TENANT_KEY_SIZE] = '\n';
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return errno;
    bool written = write(file, text, sizeof text) == (ssize_t)sizeof text && fsync(file) == 0;
    int error = written ? 0 : errno ? errno : EIO;
    if (close(file) != 0 && !error)
        error = errno;
    if (error)
        (void)unlink(path);
    explicit_bzero(key, sizeof key);
    explicit_bzero(text, sizeof text);
    return error;
}

static int run(struct verb_call *call)
{
    const char *path = call->arguments_count > 1 ? call->arguments[1] : FILE_DEFAULT;
    if (strcmp(call->arguments[0], "new") != 0)
        return verb_usage(call, "knows \"new\", not \"%s\"", call->arguments[0]);
    int error = write_key(path);
    if (error == EEXIST) {
        (void)fprintf(stderr,
            "tabiji keys: %s exists; it is left as it is, since a key that is lost cannot be made "
            "again\n",
            path);
        return EXIT_USAGE;
    }
    if (error) {
        (void)fprintf(stderr, "tabiji keys: %s: %s\n", path, strerror(error));
        return EXIT_FAILED;
    }
    if (call->json) {
        CLEANUP(buf_free) struct buf text = {0};
        if (json_write_text(&text, str_of(path)) == 0)
            (void)printf("{\"key_file\":%.*s}\n", (int)text.size, text.data);
        return EXIT_OK;
    }
    (void)printf("%s is made, readable by its owner only. Keep a copy elsewhere: "
                 "without it pseudonyms\n"
                 "cannot be made again. Use it by\n\n  [identity]\n  key_file = %s\n",
        path, path);
    return EXIT_OK;
}

const struct verb verb_keys = {
    .name = "keys",
    .summary = "make the key that persons and pseudonyms are made from",
    .arguments = "new [FILE]",
    .detail =
        "Writes a random key of 32 bytes, as hex, to FILE (tabiji.key), readable by its owner "
        "only. A file that\n"
        "exists is never touched. A key file that others may read is refused wherever it is "
        "used.",
    .examples = "  tabiji keys new /etc/tabiji/tenant.key",
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run,
};
