/* Laid before the C library (LD_PRELOAD) by shims.py: names that resolve when the test likes, and a wall clock that
 * jumps.
 *   SHIM_NAMES  a file with one word: what becomes of a lookup of upstream.internal: hang (until it says otherwise),
 *               fail, or ok (127.0.0.1)
 *   SHIM_CLOCK  a file with a decimal number of seconds that CLOCK_REALTIME is off by */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long word_of(const char *variable, char *into, size_t size)
{
    const char *name = getenv(variable);
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    long n = file < 0 ? -1 : read(file, into, size - 1);
    if (file >= 0)
        close(file);
    into[n > 0 ? n : 0] = 0;
    return n;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    char word[16];
    if (!real)
        real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || strcmp(node, "upstream.internal") != 0)
        return real(node, service, hints, found);
    while (word_of("SHIM_NAMES", word, sizeof word) > 0 && strncmp(word, "hang", 4) == 0)
        usleep(10000);
    return strncmp(word, "ok", 2) == 0 ? real("127.0.0.1", service, hints, found) : EAI_NONAME;
}

static long offset(void)
{
    char word[32];
    return word_of("SHIM_CLOCK", word, sizeof word) > 0 ? atol(word) : 0;
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    int said;
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    said = real(which, now);
    if (said == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) && getenv("SHIM_CLOCK"))
        now->tv_sec += offset();
    return said;
}

time_t time(time_t *into)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into)
        *into = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict into, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    into->tv_sec = now.tv_sec;
    into->tv_usec = now.tv_nsec / 1000;
    return 0;
}
