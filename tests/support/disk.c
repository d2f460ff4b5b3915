/* A disk that takes nothing, for tests: a library that stands between a program and its disk (LD_PRELOAD). As long as
 * the file FAKE_DISK is there, every sync fails; as long as the file FAKE_DISK_HANGS is there, every sync waits. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_there(const char *variable) {
    const char *path = getenv(variable);
    return path && access(path, F_OK) == 0;
}

static int is_broken(void) {
    while (is_there("FAKE_DISK_HANGS")) usleep(5000);
    if (!is_there("FAKE_DISK")) return 0;
    errno = EIO;
    return 1;
}

int fsync(int file) { return is_broken() ? -1 : (int)syscall(SYS_fsync, file); }

int fdatasync(int file) { return is_broken() ? -1 : (int)syscall(SYS_fdatasync, file); }
