// Takes the place of DNS and of privileged ports for the programs of a page.
//
// It is loaded with LD_PRELOAD. Names of example.com and of Cloudflare's API resolve to 127.0.0.1.
// NAMES_ADDRESSES has pairs such as `127.0.0.1:443=41234`: a program that connects to the first
// address, or listens on it, uses that port of 127.0.0.1 instead.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    if (name && (ends_with(name, "example.com") || ends_with(name, "cloudflare.com"))) name = "127.0.0.1";
    return next(name, service, hints, result);
}

// Returns the address to use instead of `address`.
static struct sockaddr_in local(const struct sockaddr *address) {
    struct sockaddr_in found;
    memcpy(&found, address, sizeof found);
    char text[INET_ADDRSTRLEN], wanted[64];
    inet_ntop(AF_INET, &found.sin_addr, text, sizeof text);
    int length = snprintf(wanted, sizeof wanted, "%s:%u=", text, ntohs(found.sin_port));
    const char *pairs = getenv("NAMES_ADDRESSES");
    const char *pair = pairs ? strstr(pairs, wanted) : NULL;
    if (pair) {
        found.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        found.sin_port = htons(atoi(pair + length));
    }
    return found;
}

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    if (address->sa_family != AF_INET) return next(socket, address, length);
    struct sockaddr_in used = local(address);
    return next(socket, (const struct sockaddr *)&used, sizeof used);
}

int bind(int socket, const struct sockaddr *address, socklen_t length) {
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    if (address->sa_family != AF_INET) return next(socket, address, length);
    struct sockaddr_in used = local(address);
    return next(socket, (const struct sockaddr *)&used, sizeof used);
}
