/* See the header for why this is not left to the library. */
#include "ingest/collector/http_check.h"

#include <strings.h>

#include <utf8proc.h>

#include "ingest/collector/base64.h"

#define BASIC_SIZE_MAX 2048 /* user name and password */

/* The version whose way with line ends is known, and is lax. Later ones refuse bare line ends
 * themselves in their strict mode. */
#define MHD_VERSION_LAX "0.9.75"

/* What is gathered while the headers are gone through. */
struct head {
    size_t content_lengths;
    size_t transfer_encodings;
    size_t hosts;
    const char *fault;
    bool lax;             /* the library lets bare line ends pass */
    const char *line_end; /* behind the text of the line before; NULL: unknown */
};

/* A token of RFC 9110, 5.6.2. */
static bool is_token(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return size > 0;
}

/* Control characters but tab: a proxy may see several headers where the library sees one. */
static bool has_control(const char *value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
            return true;
    return false;
}

static bool equals(const char *name, size_t size, const char *word)
{
    return size == strlen(word) && strncasecmp(name, word, size) == 0;
}

/* The library puts NUL over line ends, both bytes of CRLF or the one of a bare LF or CR, and keeps
 * the lines where they came in. So the next line begins two bytes behind the text before it; one
 * behind a bare end, more where the text itself has a NUL. */
static const char *line_end_fault(const char *line_end, const char *next)
{
    if (!line_end || next == line_end + 2)
        return NULL;
    return next == line_end + 1 ? "a line ends in a bare LF or CR"
                                : "a folded line or a NUL in a header";
}

static enum MHD_Result check_header(void *context, enum MHD_ValueKind kind, const char *key,
    size_t key_size, const char *value, size_t value_size)
{
    struct head *head = context;
    (void)kind;
    const char *fault = line_end_fault(head->line_end, key);
    if (fault)
        head->fault = fault;
    head->line_end = value && head->lax ? value + value_size : NULL;
    if (!is_token(key, key_size))
        head->fault = "a header's name is no token";
    if (value && has_control(value, value_size))
        head->fault = "a control character in a header";
    if (equals(key, key_size, "Content-Length"))
        head->content_lengths++;
    if (equals(key, key_size, "Host"))
        head->hosts++;
    if (equals(key, key_size, "Transfer-Encoding")) {
        head->transfer_encodings++;
        if (!equals(value ? value : "", value_size, "chunked"))
            head->fault = "a transfer coding other than chunked";
    }
    return MHD_YES;
}

const char *http_check_head(struct MHD_Connection *connection, const char *version)
{
    struct head head = {.lax = strcmp(MHD_get_version(), MHD_VERSION_LAX) == 0};
    if (head.lax)
        head.line_end = version + strlen(version);
    (void)MHD_get_connection_values_n(connection, MHD_HEADER_KIND, check_header, &head);
    if (head.content_lengths > 1)
        return "several Content-Length headers";
    if (head.transfer_encodings > 1)
        return "several Transfer-Encoding headers";
    if (head.transfer_encodings && strcmp(version, "HTTP/1.0") == 0)
        return "a transfer coding in HTTP/1.0";
    if (head.content_lengths && head.transfer_encodings)
        return "Content-Length beside Transfer-Encoding";
    if (head.hosts > 1)
        return "several Host headers";
    return head.fault;
}

const char *http_check_uri(const char *uri)
{
    for (; *uri; uri++) {
        if ((unsigned char)*uri <= ' ' || *uri == 0x7f)
            return "a control character in the path";
        if (strncmp(uri, "%00", 3) == 0)
            return "%00 in the path";
    }
    return NULL;
}

struct str http_header(struct MHD_Connection *connection, const char *name, size_t size_max)
{
    struct str text = str_of(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name));
    if (text.size > size_max)
        return STR("");
    for (size_t i = 0; i < text.size;) {
        utf8proc_int32_t point = 0;
        utf8proc_ssize_t step = utf8proc_iterate(
            (const utf8proc_uint8_t *)text.data + i, (utf8proc_ssize_t)(text.size - i), &point);
        if (step <= 0)
            return STR("");
        i += (size_t)step;
    }
    return text;
}

/* Decodes up to the first ':' into key. Returns the size, 0 when it is not base64 or too long. */
static size_t decode_user(struct str text, char key[HTTP_KEY_SIZE_MAX])
{
    char pair[BASIC_SIZE_MAX];
    size_t size = 0;
    if (base64_decode(text, pair, sizeof pair, &size) < 0)
        return 0;
    const char *end = memchr(pair, ':', size);
    if (end)
        size = (size_t)(end - pair);
    if (size > HTTP_KEY_SIZE_MAX)
        return 0;
    memcpy(key, pair, size);
    return size;
}

/* What follows the scheme's name, if it is this one. */
static struct str after_scheme(struct str header, const char *scheme)
{
    size_t size = strlen(scheme);
    if (header.size <= size || strncasecmp(header.data, scheme, size) != 0 ||
        header.data[size] != ' ')
        return STR("");
    while (size < header.size && header.data[size] == ' ')
        size++;
    return str_make(header.data + size, header.size - size);
}

size_t http_write_key(struct str authorization, char key[HTTP_KEY_SIZE_MAX])
{
    struct str text = after_scheme(authorization, "Basic");
    if (text.size)
        return decode_user(text, key);
    text = after_scheme(authorization, "Bearer");
    if (text.size > HTTP_KEY_SIZE_MAX)
        return 0;
    if (text.size)
        memcpy(key, text.data, text.size);
    return text.size;
}

/* The type without its parameters. */
static struct str essence(struct str media_type)
{
    size_t size = 0;
    while (size < media_type.size && media_type.data[size] != ';')
        size++;
    while (size > 0 && media_type.data[size - 1] == ' ')
        size--;
    return str_make(media_type.data, size);
}

static bool ends_with(struct str text, const char *ending)
{
    size_t size = strlen(ending);
    return text.size >= size && strncasecmp(text.data + text.size - size, ending, size) == 0;
}

static bool begins_with(struct str text, const char *beginning)
{
    size_t size = strlen(beginning);
    return text.size >= size && strncasecmp(text.data, beginning, size) == 0;
}

bool http_media_type_allowed(struct str media_type)
{
    struct str type = essence(media_type);
    return type.size == 0 || ends_with(type, "json") || begins_with(type, "text/") ||
           equals(type.data, type.size, "application/x-www-form-urlencoded") ||
           equals(type.data, type.size, "application/octet-stream") ||
           equals(type.data, type.size, "application/gzip");
}

bool http_media_type_lines(struct str media_type)
{
    struct str type = essence(media_type);
    return ends_with(type, "ndjson") || ends_with(type, "jsonlines") || ends_with(type, "jsonl");
}
