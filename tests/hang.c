/* LD_PRELOAD: while the file $HANG_FLAG is there, the call $HANG_CALL (pwrite64 or fdatasync) on files whose path begins
   with $HANG_PATH does not return, as on a disk that takes nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void hang(const char *call, int file) {
    const char *path = getenv("HANG_PATH"), *flag = getenv("HANG_FLAG"), *wanted = getenv("HANG_CALL");
    char link[32], target[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = path && flag && wanted && !strcmp(call, wanted) ? readlink(link, target, sizeof target - 1) : -1;
    if (length < 0) return;
    target[length] = 0;
    while (!strncmp(target, path, strlen(path)) && !access(flag, F_OK)) usleep(20000);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
    static ssize_t (*next)(int, const void *, size_t, off64_t);
    if (!next) next = dlsym(RTLD_NEXT, "pwrite64");
    hang("pwrite64", file);
    return next(file, data, size, offset);
}

int fdatasync(int file) {
    static int (*next)(int);
    if (!next) next = dlsym(RTLD_NEXT, "fdatasync");
    hang("fdatasync", file);
    return next(file);
}
