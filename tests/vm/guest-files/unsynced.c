/* In the guest: a library between a program and its disk (LD_PRELOAD) that makes each sync do nothing. A test
 * of power loss that finds nothing wrong with it would find nothing at all. */
#include <sys/types.h>

int fsync(int file) { (void)file; return 0; }

int fdatasync(int file) { (void)file; return 0; }

int syncfs(int file) { (void)file; return 0; }

int sync_file_range(int file, off_t offset, off_t count, unsigned flags) {
    (void)file, (void)offset, (void)count, (void)flags;
    return 0;
}
