#include "schemas/url.h"

#include "schemas/error.h"

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

/* The first / or ? */
static const char *authority_end(const char *at, const char *end)
{
    const char *slash = find(at, end, '/');
    return find(at, slash, '?');
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

static bool has_capital(struct str text)
{
    unsigned found = 0;
    for (size_t i = 0; i < text.size; i++)
        found |= (unsigned)((unsigned char)(text.data[i] - 'A') <= 'Z' - 'A');
    return found;
}

static int lower_case(struct str *text, struct arena *arena)
{
    if (!has_capital(*text))
        return 0;
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
    const char *behind_scheme = skip_scheme(at, end);
    bool absolute = end - behind_scheme >= 2 && memcmp(behind_scheme, "//", 2) == 0;
    if (absolute) {
        at = behind_scheme + 2;
        const char *behind_authority = authority_end(at, end);
        url.host = host_of(at, behind_authority);
        int r = lower_case(&url.host, arena);
        if (r < 0)
            return r;
        at = behind_authority;
    }
    const char *path_end = find(at, end, '?');
    url.path = slice(at, path_end);
    if (absolute && url.path.size == 0)
        url.path = STR("/");
    if (path_end < end)
        url.query = slice(path_end + 1, end);
    *out = url;
    return 0;
}
