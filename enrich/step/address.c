#include "enrich/step/address.h"

#include <arpa/inet.h>
#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>

#include "schemas/error.h"

#define PLACE_SIZE_MAX 100 /* bytes of a name that are believed */

struct address_places {
    MMDB_s database;
};

struct parsed {
    bool v6;
    uint8_t bytes[16]; /* of IPv4 the first 4 */
};

static bool parse(struct str address, struct parsed *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN];
    if (address.size == 0 || address.size >= sizeof(text) || memchr(address.data, 0, address.size))
        return false;
    memcpy(text, address.data, address.size);
    text[address.size] = 0;
    *out = (struct parsed){0};
    if (inet_pton(AF_INET, text, out->bytes) == 1)
        return true;
    if (inet_pton(AF_INET6, text, out->bytes) != 1)
        return false;
    out->v6 = memcmp(out->bytes, mapped, sizeof(mapped)) != 0;
    if (!out->v6)
        memmove(out->bytes, out->bytes + sizeof(mapped), 4);
    return true;
}

/* Of a dotted IPv4 address, by its text: the hot path. */
static int cut_text_v4(struct str address, struct arena *arena, struct str *out)
{
    const char *last = memrchr(address.data, '.', address.size);
    size_t keep = (size_t)(last - address.data) + 1;
    char *text = arena_alloc(arena, keep + 1);
    if (!text)
        return ERR_NO_MEMORY;
    memcpy(text, address.data, keep);
    text[keep] = '0';
    *out = str_make(text, keep + 1);
    return 0;
}

int address_cut(struct str address, struct arena *arena, struct str *out)
{
    struct parsed parsed;
    char text[INET6_ADDRSTRLEN];
    if (!parse(address, &parsed)) {
        *out = str_make(NULL, 0);
        return 0;
    }
    if (!parsed.v6 && !memchr(address.data, ':', address.size))
        return cut_text_v4(address, arena, out);
    size_t keep = (size_t)(parsed.v6 ? ADDRESS_PREFIX_V6 : ADDRESS_PREFIX_V4) / 8;
    memset(parsed.bytes + keep, 0, sizeof(parsed.bytes) - keep);
    check(inet_ntop(parsed.v6 ? AF_INET6 : AF_INET, parsed.bytes, text, sizeof(text)));
    return arena_dup(arena, str_of(text), out);
}

int address_places_open(struct address_places **out, const char *path, char *why)
{
    struct address_places *places = calloc(1, sizeof *places);
    *why = 0;
    if (!places)
        return ERR_NO_MEMORY;
    int status = MMDB_open(path, MMDB_MODE_MMAP, &places->database);
    if (status == MMDB_SUCCESS) {
        *out = places;
        return 0;
    }
    (void)snprintf(why, ADDRESS_WHY_SIZE, "%s: %s", path, MMDB_strerror(status));
    free(places);
    if (status == MMDB_OUT_OF_MEMORY_ERROR)
        return ERR_NO_MEMORY;
    return status == MMDB_FILE_OPEN_ERROR ? ERR_NOT_FOUND : ERR_CONFIG;
}

void address_places_close(struct address_places **places)
{
    if (!*places)
        return;
    MMDB_close(&(*places)->database);
    free(*places);
    *places = NULL;
}

/* The text at a path of keys; empty when there is none. */
static int text_at(
    MMDB_entry_s *entry, const char *const *path, struct arena *arena, struct str *out)
{
    MMDB_entry_data_s data;
    int status = MMDB_aget_value(entry, &data, path);
    if (status != MMDB_SUCCESS || !data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING ||
        data.data_size > PLACE_SIZE_MAX)
        return 0;
    return arena_dup(arena, str_make(data.utf8_string, data.data_size), out);
}

int address_place(
    struct address_places *places, struct str address, struct arena *arena, struct geo *out)
{
    static const char *const country[] = {"country", "iso_code", NULL};
    static const char *const region[] = {"subdivisions", "0", "iso_code", NULL};
    static const char *const city[] = {"city", "names", "en", NULL};
    struct parsed parsed;
    struct geo place;
    geo_init(&place);
    *out = place;
    if (!parse(address, &parsed))
        return 0;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    memcpy(&v4.sin_addr, parsed.bytes, sizeof(v4.sin_addr));
    memcpy(&v6.sin6_addr, parsed.bytes, sizeof(v6.sin6_addr));
    const struct sockaddr *socket =
        parsed.v6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4;
    int status = MMDB_SUCCESS;
    MMDB_lookup_result_s found = MMDB_lookup_sockaddr(&places->database, socket, &status);
    if (status != MMDB_SUCCESS || !found.found_entry)
        return 0;
    int r = text_at(&found.entry, country, arena, &place.country);
    if (r == 0)
        r = text_at(&found.entry, region, arena, &place.region);
    if (r == 0)
        r = text_at(&found.entry, city, arena, &place.city);
    if (r == 0)
        *out = place;
    return r;
}
