/* Pure. */
#include "enrich/identity/person.h"

#define UUID_VERSION_BYTE 6
#define UUID_VERSION_8 0x80
#define UUID_VARIANT_BYTE 8
#define UUID_VARIANT 0x80

void person_id(
    const struct hmac_key *tenant_key, const uint8_t root[KEY_SIZE], uint8_t out[KEY_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    hmac_sha256_with(tenant_key, str_make(root, KEY_SIZE), digest);
    digest[UUID_VERSION_BYTE] = (uint8_t)((digest[UUID_VERSION_BYTE] & 0x0f) | UUID_VERSION_8);
    digest[UUID_VARIANT_BYTE] = (uint8_t)((digest[UUID_VARIANT_BYTE] & 0x3f) | UUID_VARIANT);
    memcpy(out, digest, KEY_SIZE);
}
