/* See the header. */
#include "ingest/config/listen.h"

#include <netdb.h>
#include <string.h>

#include "schemas/error.h"

#define HOST_SIZE_MAX 256
#define PORT_MAX 65535

/* Splits "host:port" and "[host]:port". Returns the port's text, or NULL. */
static const char *split(const char *text, char host[HOST_SIZE_MAX])
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !colon[1])
        return NULL;
    const char *begin = text;
    const char *end = colon;
    if (*begin == '[' && end[-1] == ']') {
        begin++;
        end--;
    }
    size_t size = (size_t)(end - begin);
    if (size == 0 || size >= HOST_SIZE_MAX)
        return NULL;
    memcpy(host, begin, size);
    host[size] = '\0';
    return colon + 1;
}

/* getaddrinfo() lets 99999 pass and cuts it. */
static bool is_port(const char *text)
{
    long port = 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || port > PORT_MAX)
            return false;
        port = port * 10 + (*at - '0');
    }
    return port <= PORT_MAX;
}

int listen_parse(const char *text, struct sockaddr_storage *address)
{
    char host[HOST_SIZE_MAX];
    const char *port = split(text, host);
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (!port || !is_port(port) || getaddrinfo(host, port, &hints, &found) != 0)
        return ERR_CONFIG;
    memset(address, 0, sizeof *address);
    memcpy(address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}
