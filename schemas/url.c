/* Hosts are mostly plain: one pass over a table of letters tells; the rare rest (user, port,
 * capitals) goes another way. */
#include "schemas/url.h"

#include "schemas/error.h"

/* What nearly all hosts are made of, UTF-8 of other scripts included. */
static const bool plain_host[UINT8_MAX + 1] = {
    ['a' ... 'z'] = true, ['0' ... '9'] = true, ['.'] = true, ['-'] = true, [0x80 ... 0xFF] = true};

static struct str slice(const char *from, const char *to)
{
    return str_make(from, (size_t)(to - from));
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The first `wanted` at or behind `at`, or `end`. */
static const char *find(const char *at, const char *end, char wanted)
{
    const char *found = at < end ? memchr(at, wanted, (size_t)(end - at)) : NULL;
    return found ? found : end;
}

static bool is_scheme(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '-' || c == '.';
}

/* Behind "scheme:" (a letter, then letters, digits, + - .), or `at` where there is none. */
static const char *skip_scheme(const char *at, const char *end)
{
    const char *c = at;
    while (c < end && is_scheme(*c))
        c++;
    bool letter = c > at && *at > '9';
    return letter && c < end && *c == ':' ? c + 1 : at;
}

/* Behind "scheme://" or "//", or NULL where there is neither. */
static const char *skip_to_authority(const char *at, const char *end)
{
    static const char usual[] = "https://";
    if (end - at >= 8 && memcmp(at, usual, 8) == 0)
        return at + 8;
    const char *behind = skip_scheme(at, end);
    return end - behind >= 2 && behind[0] == '/' && behind[1] == '/' ? behind + 2 : NULL;
}

/* Host of an authority; a port behind the last colon is dropped, not one within [::1]. */
static struct str host_of(const char *at, const char *end)
{
    const char *user = at < end ? memrchr(at, '@', (size_t)(end - at)) : NULL;
    if (user)
        at = user + 1;
    const char *host_end = at < end && *at == '[' ? find(at, end, ']') : find(at, end, ':');
    if (host_end < end && *host_end == ']')
        host_end++;
    return slice(at, host_end);
}

static int lower_case(struct str *text, struct arena *arena)
{
    char *copy = arena_alloc(arena, text->size);
    if (!copy)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < text->size; i++) {
        char c = text->data[i];
        copy[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    text->data = copy;
    return 0;
}

/* Reads the authority at *at and moves behind it. */
static int read_host(const char **at, const char *end, struct arena *arena, struct str *host)
{
    const char *begin = *at;
    const char *c = begin;
    while (c < end && plain_host[(uint8_t)*c])
        c++;
    if (c == end || *c == '/' || *c == '?') {
        *host = slice(begin, c);
        *at = c;
        return 0;
    }
    const char *slash = find(c, end, '/');
    *at = find(c, slash, '?');
    *host = host_of(begin, *at);
    return lower_case(host, arena);
}

int url_split(struct str text, struct arena *arena, struct url *out)
{
    const char *at = text.data;
    const char *end = text.data + text.size;
    while (at < end && is_space(*at))
        at++;
    while (at < end && is_space(end[-1]))
        end--;
    end = find(at, end, '#');

    struct url url = {0};
    const char *authority = skip_to_authority(at, end);
    if (authority) {
        at = authority;
        int r = read_host(&at, end, arena, &url.host);
        if (r < 0)
            return r;
    }
    const char *path_end = find(at, end, '?');
    url.path = slice(at, path_end);
    if (authority && url.path.size == 0)
        url.path = STR("/");
    if (path_end < end)
        url.query = slice(path_end + 1, end);
    *out = url;
    return 0;
}
