/* Fails the n-th write, sync, rename or truncation under a folder, once. Preloaded into a process of the tests. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[4096];
static long fails_at = -1, count = 0;
static int error = EIO;
static char failed[32] = "";

void failing_calls_arm(const char *path, long at, int number) {
    snprintf(folder, sizeof folder, "%s", path);
    count = 0;
    failed[0] = 0;
    error = number;
    fails_at = at;
}
long failing_calls_count(void) { return count; }
const char *failing_calls_failed(void) { return failed; }

static int due_path(const char *path, const char *call) {
    if (folder[0] == 0 || strncmp(path, folder, strlen(folder)) != 0) return 0;
    if (__atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST) != fails_at) return 0;
    snprintf(failed, sizeof failed, "%s", call);
    errno = error;
    return 1;
}
static int due(int fd, const char *call) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return due_path(path, call);
}
#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    return due(fd, "write") ? -1 : real(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    return due(fd, "pwrite") ? -1 : real(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    return due(fd, "pwrite") ? -1 : real(fd, data, size, at);
}
int fsync(int fd) {
    REAL(fsync);
    return due(fd, "fsync") ? -1 : real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    return due(fd, "fdatasync") ? -1 : real(fd);
}
int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    return due(fd, "ftruncate") ? -1 : real(fd, size);
}
int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    return due(fd, "ftruncate") ? -1 : real(fd, size);
}
int rename(const char *old, const char *new) {
    REAL(rename);
    return due_path(old, "rename") ? -1 : real(old, new);
}
