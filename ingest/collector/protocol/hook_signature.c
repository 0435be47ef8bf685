/* See the header. */
#include "ingest/collector/protocol/hook_signature.h"

#include <stdlib.h>
#include <strings.h>

#include "ingest/collector/base64.h"
#include "schemas/error.h"
#include "schemas/hash.h"

#define SIGNATURE_PREFIX "sha256="
#define PORT_DIGITS_MAX 5

static struct str without_prefix(struct str text)
{
    size_t size = sizeof SIGNATURE_PREFIX - 1;
    if (text.size < size || strncasecmp(text.data, SIGNATURE_PREFIX, size) != 0)
        return text;
    return str_make(text.data + size, text.size - size);
}

static bool decode_exactly(struct str text, uint8_t *out, size_t wanted)
{
    uint8_t bytes[BASE64_SIZE_MAX(2 * SHA256_SIZE)];
    size_t size = 0;
    if (text.size == 0 || base64_decode(text, bytes, sizeof bytes, &size) < 0 || size != wanted)
        return false;
    memcpy(out, bytes, wanted);
    return true;
}

bool hook_signed_sha256(const struct config_source *source, struct str bytes, struct str signature)
{
    uint8_t given[SHA256_SIZE];
    signature = without_prefix(signature);
    if (!hex_decode(signature, given, sizeof given) &&
        !decode_exactly(signature, given, sizeof given))
        return false;
    bool found = false;
    for (size_t i = 0; i < source->secrets_count; i++) {
        uint8_t digest[SHA256_SIZE];
        struct hmac_key key;
        hmac_key_init(&key, source->secrets[i]);
        hmac_sha256_with(&key, bytes, digest);
        found |= digest_equal(digest, given, sizeof digest);
    }
    return found;
}

int hook_refusal(
    const struct exchange *exchange, const struct config_source *source, struct str signature)
{
    if (source->secrets_count == 0)
        return REFUSAL_NO_SECRET;
    if (signature.size == 0)
        return REFUSAL_UNSIGNED;
    return hook_signed_sha256(source, exchange->body_raw, signature) ? HOOK_BELIEVED
                                                                     : REFUSAL_SIGNATURE;
}

static void sha256_of(struct str bytes, uint8_t out[SHA256_SIZE])
{
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, bytes);
    sha256_final(&hash, out);
}

bool hook_is_secret(const struct config_source *source, struct str text)
{
    uint8_t given[SHA256_SIZE];
    bool found = false;
    sha256_of(text, given);
    for (size_t i = 0; i < source->secrets_count; i++) {
        uint8_t digest[SHA256_SIZE];
        sha256_of(source->secrets[i], digest);
        found |= digest_equal(digest, given, sizeof digest);
    }
    return found && text.size != 0;
}

bool hook_is_sha256(struct str bytes, struct str hex)
{
    uint8_t given[SHA256_SIZE];
    uint8_t digest[SHA256_SIZE];
    if (!hex_decode(hex, given, sizeof given))
        return false;
    sha256_of(bytes, digest);
    return digest_equal(digest, given, sizeof digest);
}

/* ---- Twilio ---- */

static int compare_pairs(const void *a, const void *b)
{
    const struct exchange_pair *first = a;
    const struct exchange_pair *second = b;
    int order = str_compare(first->name, second->name);
    return order ? order : str_compare(first->value, second->value);
}

static bool same_pair(const struct exchange_pair *a, const struct exchange_pair *b)
{
    return str_equal(a->name, b->name) && str_equal(a->value, b->value);
}

/* Names and values, sorted, without anything between; a pair that comes twice counts once. */
int hook_write_pairs(const struct exchange_pair *pairs, size_t count, struct buf *out)
{
    if (count == 0)
        return 0;
    struct exchange_pair *sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        return ERR_NO_MEMORY;
    memcpy(sorted, pairs, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_pairs);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (i > 0 && same_pair(&sorted[i - 1], &sorted[i]))
            continue;
        r = buf_append_str(out, sorted[i].name);
        if (r == 0)
            r = buf_append_str(out, sorted[i].value);
    }
    free(sorted);
    return r;
}

int hook_signed_twilio(const struct config_source *source, const struct hook_addresses *addresses,
    const struct exchange_pair *pairs, size_t pairs_count, struct str signature, bool *out)
{
    uint8_t given[SHA1_SIZE];
    CLEANUP(buf_free) struct buf tail = {0};
    CLEANUP(buf_free) struct buf text = {0};
    *out = false;
    if (!decode_exactly(signature, given, sizeof given))
        return 0;
    int r = hook_write_pairs(pairs, pairs_count, &tail);
    bool found = false;
    for (size_t i = 0; r == 0 && i < addresses->count; i++) {
        buf_clear(&text);
        r = buf_append_str(&text, addresses->list[i]);
        if (r == 0)
            r = buf_append_str(&text, buf_str(&tail));
        for (size_t k = 0; r == 0 && k < source->secrets_count; k++) {
            uint8_t digest[SHA1_SIZE];
            hmac_sha1(source->secrets[k], buf_str(&text), digest);
            found |= digest_equal(digest, given, sizeof digest);
        }
    }
    *out = r == 0 && found;
    return r < 0 ? ERR_NO_MEMORY : 0;
}

/* ---- addresses ---- */

/* Of a list that several proxies have written: what the first one says, without blanks. */
static struct str first_of(struct str list)
{
    const char *comma = list.size ? memchr(list.data, ',', list.size) : NULL;
    size_t size = comma ? (size_t)(comma - list.data) : list.size;
    while (size > 0 && list.data[size - 1] == ' ')
        size--;
    return str_make(list.data, size);
}

/* The host without its port. */
static struct str without_port(struct str host)
{
    size_t digits = 0;
    while (digits < host.size && digits <= PORT_DIGITS_MAX &&
           host.data[host.size - 1 - digits] >= '0' && host.data[host.size - 1 - digits] <= '9')
        digits++;
    if (digits == 0 || digits > PORT_DIGITS_MAX || digits >= host.size ||
        host.data[host.size - 1 - digits] != ':')
        return host;
    return str_make(host.data, host.size - 1 - digits);
}

/* scheme + "://" + host + port + rest. */
static int add(struct hook_addresses *out, struct arena *arena, const struct str pieces[5])
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < 5; i++)
        r = buf_append_str(&text, pieces[i]);
    check(out->count < HOOK_ADDRESSES_MAX);
    if (r == 0)
        r = arena_dup(arena, buf_str(&text), &out->list[out->count]);
    out->count += r == 0;
    return r < 0 ? ERR_NO_MEMORY : 0;
}

/* As it is; without its port; with the usual one. rest: behind the host, but the target. */
static int add_forms(struct hook_addresses *out, const struct exchange *exchange, struct str scheme,
    struct str host, struct str path)
{
    struct str bare = without_port(host);
    struct str usual = str_equal(scheme, STR("https")) ? STR(":443") : STR(":80");
    struct str port = str_make(host.data + bare.size, host.size - bare.size);
    CLEANUP(buf_free) struct buf rest = {0};
    int r = buf_append_str(&rest, path);
    if (r == 0)
        r = buf_append_str(&rest, exchange->target);
    const struct str ports[] = {port, STR(""), usual};
    size_t count = port.size ? 2 : 3;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (i == 1 && port.size == 0)
            continue;
        const struct str pieces[5] = {scheme, STR("://"), bare, ports[i], buf_str(&rest)};
        r = add(out, exchange->arena, pieces);
    }
    return r < 0 ? ERR_NO_MEMORY : 0;
}

/* public_url: scheme, host, and a path where the proxy cuts one off. */
static int add_public(
    struct hook_addresses *out, const struct exchange *exchange, struct str public_url)
{
    size_t scheme =
        (size_t)((const char *)memchr(public_url.data, ':', public_url.size) - public_url.data);
    struct str host =
        str_make(public_url.data + scheme + 3, public_url.size - scheme - 3); /* "://" */
    const char *slash = host.size ? memchr(host.data, '/', host.size) : NULL;
    size_t size = slash ? (size_t)(slash - host.data) : host.size;
    return add_forms(out, exchange, str_make(public_url.data, scheme), str_make(host.data, size),
        str_make(host.data + size, host.size - size));
}

int hook_addresses_read(
    const struct exchange *exchange, const struct config_source *source, struct hook_addresses *out)
{
    struct str scheme = first_of(exchange_header(exchange, "X-Forwarded-Proto"));
    struct str host = first_of(exchange_header(exchange, "X-Forwarded-Host"));
    *out = (struct hook_addresses){.count = 0};
    if (source->public_url.size)
        return add_public(out, exchange, source->public_url);
    if (host.size == 0)
        host = exchange_header(exchange, "Host");
    if (scheme.size)
        return add_forms(out, exchange, scheme, host, STR(""));
    int r = add_forms(out, exchange, STR("https"), host, STR(""));
    return r < 0 ? r : add_forms(out, exchange, STR("http"), host, STR(""));
}
