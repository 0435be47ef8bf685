/* See the header. */
#include "ingest/collector/protocol/hook_event.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "ingest/normalise/namespace.h"
#include "schemas/error.h"
#include "schemas/time.h"

#define INTEGER_SIZE_MAX 24
#define OWN_PREFIX "tabiji_"
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

int hook_fail(struct hook_reader *reader, int error, struct str pointer, struct str hint)
{
    if (error != ERR_NO_MEMORY)
        reader->problem = (struct event_problem){.error = error, .pointer = pointer, .hint = hint};
    return error;
}

static bool equal_words(struct str a, struct str b)
{
    return a.size == b.size && (a.size == 0 || strncasecmp(a.data, b.data, a.size) == 0);
}

bool hook_get(struct json object, struct str key, struct json *out)
{
    struct json_iterator iterator;
    struct json value;
    struct str name;
    if (json_kind(object) != JSON_OBJECT)
        return false;
    if (json_get(object, key, out))
        return true;
    json_iterate(object, &iterator);
    while (json_next(&iterator, &name, &value))
        if (equal_words(name, key)) {
            *out = value;
            return true;
        }
    return false;
}

bool hook_object(struct json object, struct str key, struct json *out)
{
    return hook_get(object, key, out) && json_kind(*out) == JSON_OBJECT;
}

int hook_text(struct hook_reader *reader, struct json object, struct str key, struct str *out)
{
    struct json value;
    char text[INTEGER_SIZE_MAX];
    *out = STR("");
    if (!hook_get(object, key, &value))
        return 0;
    if (json_kind(value) == JSON_TEXT)
        *out = json_text(value);
    if (json_kind(value) != JSON_INT)
        return 0;
    int size = snprintf(text, sizeof text, "%" PRId64, json_int(value));
    return arena_dup(reader->arena, str_make(text, (size_t)size), out);
}

int64_t hook_micros(struct json object, struct str key)
{
    struct json value;
    int64_t micros = 0;
    if (!hook_get(object, key, &value))
        return 0;
    if (json_kind(value) == JSON_TEXT && time_parse_local(json_text(value), 0, &micros) < 0)
        return 0;
    if (json_kind(value) == JSON_INT &&
        __builtin_mul_overflow(json_int(value), TIME_MICROS_PER_MILLI, &micros))
        return 0;
    return micros;
}

void hook_occurred(struct hook_reader *reader, int64_t micros)
{
    if (micros == 0)
        return;
    reader->event.occurred_at = micros;
    reader->event.time_quality = TIME_QUALITY_CLIENT;
    reader->said_at = micros;
}

/* ---- identity ---- */

void hook_identify(struct hook_reader *reader, struct str name, struct str value)
{
    struct touchpoint *event = &reader->event;
    if (value.size == 0 || namespace_rank(reader->exchange->door->identifiers.namespaces, name) < 0)
        return;
    if (event->identifiers_count < HOOK_IDENTIFIERS_MAX)
        event->identifiers[event->identifiers_count++] =
            (struct identifier){.namespace = name, .value = value};
}

void hook_identify_phone(struct hook_reader *reader, struct str address)
{
    const char *colon = address.size ? memchr(address.data, ':', address.size) : NULL;
    if (colon) {
        struct str scheme = str_make(address.data, (size_t)(colon - address.data));
        if (!equal_words(scheme, STR("tel")) && !equal_words(scheme, STR("whatsapp")))
            return;
        address = str_make(colon + 1, address.size - scheme.size - 1);
    }
    const char *end = address.size ? memchr(address.data, ';', address.size) : NULL;
    if (end)
        address.size = (size_t)(end - address.data);
    hook_identify(reader, STR("phone"), address);
}

void hook_identify_named(
    struct hook_reader *reader, struct str name, struct str value, bool contacts)
{
    static const struct {
        struct str word;
        struct str name;
        bool contact;
    } words[] = {
        {STR_INIT("login"), STR_INIT("login"), false},
        {STR_INIT("user_id"), STR_INIT("login"), false},
        {STR_INIT("userId"), STR_INIT("login"), false},
        {STR_INIT("customer_id"), STR_INIT("login"), false},
        {STR_INIT("customerId"), STR_INIT("login"), false},
        {STR_INIT("loyalty"), STR_INIT("loyalty"), false},
        {STR_INIT("loyalty_id"), STR_INIT("loyalty"), false},
        {STR_INIT("loyaltyId"), STR_INIT("loyalty"), false},
        {STR_INIT("cookie"), STR_INIT("cookie"), false},
        {STR_INIT("anonymous_id"), STR_INIT("cookie"), false},
        {STR_INIT("anonymousId"), STR_INIT("cookie"), false},
        {STR_INIT("email"), STR_INIT("email"), true},
        {STR_INIT("phone"), STR_INIT("phone"), true},
    };
    while (name.size && name.data[0] == '_') /* which hides it from customers, at Shopify */
        name = str_make(name.data + 1, name.size - 1);
    if (str_starts_with(name, STR(OWN_PREFIX))) {
        size_t size = sizeof OWN_PREFIX - 1;
        hook_identify(reader, str_make(name.data + size, name.size - size), value);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (equal_words(words[i].word, name) && (contacts || !words[i].contact)) {
            hook_identify(reader, words[i].name, value);
            return;
        }
}

/* ---- the rest ---- */

int hook_keep(struct hook_reader *reader, const char *key, struct str text)
{
    int r = segment_members_reserve(&reader->properties, reader->arena, 1);
    return r < 0 ? r
                 : segment_members_add_text(&reader->properties, reader->arena, str_of(key), text);
}

int hook_join(struct hook_reader *reader, const struct str *pieces, size_t count, struct str *out)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (i)
            r = buf_append(&text, "-", 1);
        if (r == 0)
            r = buf_append_str(&text, pieces[i]);
    }
    return r < 0 ? ERR_NO_MEMORY : arena_dup(reader->arena, buf_str(&text), out);
}

int hook_slug(struct hook_reader *reader, struct str prefix, struct str name, struct str *out)
{
    CLEANUP(buf_free) struct buf text = {0};
    int r = buf_append_str(&text, prefix);
    for (size_t i = 0; r == 0 && i < name.size && text.size < EVENT_TYPE_SIZE_MAX; i++) {
        char c = name.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            c = '_';
        r = buf_append(&text, &c, 1);
    }
    return r < 0 ? ERR_NO_MEMORY : arena_dup(reader->arena, buf_str(&text), out);
}
