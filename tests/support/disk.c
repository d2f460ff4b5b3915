/* A disk that takes nothing, for tests: a library that stands between a program and its disk (LD_PRELOAD). As long as
 * the file FAKE_DISK is there, every sync fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_broken(void) {
    const char *path = getenv("FAKE_DISK");
    if (!path || access(path, F_OK) != 0) return 0;
    errno = EIO;
    return 1;
}

int fsync(int file) { return is_broken() ? -1 : (int)syscall(SYS_fsync, file); }

int fdatasync(int file) { return is_broken() ? -1 : (int)syscall(SYS_fdatasync, file); }
