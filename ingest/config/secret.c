/* See the header. */
#include "ingest/config/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ingest/config/ini.h"
#include "schemas/error.h"

#define CREDENTIAL "credential:"
#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

int secret_path(struct str place, char path[SECRET_PATH_SIZE])
{
    const char *dir = "";
    const char *slash = "";
    if (str_starts_with(place, STR(CREDENTIAL))) {
        dir = getenv("CREDENTIALS_DIRECTORY");
        if (!dir)
            return ERR_NOT_FOUND;
        slash = "/";
        place.data += sizeof CREDENTIAL - 1;
        place.size -= sizeof CREDENTIAL - 1;
    }
    int size =
        snprintf(path, SECRET_PATH_SIZE, "%s%s%.*s", dir, slash, (int)place.size, place.data);
    return size < 0 || size >= SECRET_PATH_SIZE ? ERR_TOO_LARGE : 0;
}

int secret_read(struct str place, struct buf *out)
{
    char path[SECRET_PATH_SIZE];
    size_t before = out->size;
    int r = secret_path(place, path);
    if (r == 0)
        r = ini_load(path, SECRET_SIZE_MAX, out);
    if (r < 0)
        return r;
    while (out->size > before &&
           (out->data[out->size - 1] == '\n' || out->data[out->size - 1] == '\r'))
        out->size--;
    return out->size == before ? ERR_EMPTY : 0;
}

void secret_wipe(struct buf *secret)
{
    if (secret->data)
        explicit_bzero(secret->data, secret->capacity);
    buf_free(secret);
}

bool secret_exposed(struct str place)
{
    struct stat status;
    char path[SECRET_PATH_SIZE];
    return !str_starts_with(place, STR(CREDENTIAL)) && secret_path(place, path) == 0 &&
           stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
           (status.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}

static uint64_t mix(uint64_t hash, uint64_t number)
{
    return (hash ^ number) * FNV_PRIME;
}

uint64_t secret_stamp(struct str place)
{
    struct stat status;
    char path[SECRET_PATH_SIZE];
    if (secret_path(place, path) < 0 || stat(path, &status) != 0)
        return 0;
    uint64_t hash = mix(FNV_BASIS, (uint64_t)status.st_ino);
    hash = mix(hash, (uint64_t)status.st_size);
    hash = mix(hash, (uint64_t)status.st_mtim.tv_sec);
    return mix(hash, (uint64_t)status.st_mtim.tv_nsec);
}

bool secret_of_kafka(struct str key)
{
    static const struct str endings[] = {
        STR_INIT("password"), STR_INIT("secret"), STR_INIT("key.pem"), STR_INIT(".config")};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (key.size >= endings[i].size &&
            memcmp(key.data + key.size - endings[i].size, endings[i].data, endings[i].size) == 0)
            return true;
    return false;
}
