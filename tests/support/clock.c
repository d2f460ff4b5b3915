/* A wall clock that is wrong, for tests: a library that stands between a program and its clock (LD_PRELOAD). The file
 * in FAKE_CLOCK holds two numbers: by how many seconds the clock is off, and whether the kernel calls it synchronised.
 * It is read anew at each look, so that the clock can be stepped while the program runs. The monotonic clocks stay as
 * they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static void read_file(long *offset, int *synchronised) {
    *offset = 0;
    *synchronised = 0;
    const char *path = getenv("FAKE_CLOCK");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return;
    if (fscanf(file, "%ld %d", offset, synchronised) != 2) *offset = 0;
    fclose(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        int kept = errno, synchronised;
        long offset;
        read_file(&offset, &synchronised);
        now->tv_sec += offset;
        errno = kept;
    }
    return result;
}

int adjtimex(struct timex *timex) {
    long offset;
    int synchronised;
    if (timex->modes != 0) {
        errno = EPERM;
        return -1;
    }
    read_file(&offset, &synchronised);
    timex->status = synchronised ? STA_PLL : STA_UNSYNC;
    return synchronised ? TIME_OK : TIME_ERROR;
}
