/* Makes a plain file at /dev/gpiomem behave like the GPIO registers of a BCM2711, joined with the lines of gpio-sim:
 * what is written to GPSET and GPCLR drives outputs, and inputs are seen in GPLEV. arguments: gpio-sim's folder, lines.
 * */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GPFSEL = 0, GPSET = 7, GPCLR = 10, GPLEV = 13 };

static int open_line(const char *folder, int line, const char *name, int flags) {
    char path[512];
    snprintf(path, sizeof path, "%s/sim_gpio%d/%s", folder, line, name);
    return open(path, flags);
}

int main(int argc, char **argv) {
    int memory = open("/dev/gpiomem", O_RDWR), pull[64], value[64], driven[64];
    volatile uint32_t *reg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    uint32_t latch[2] = {0, 0};
    if (memory < 0 || reg == MAP_FAILED || argc < 3) return 1;
    for (int i = 2; i < argc; i++) {
        pull[i] = open_line(argv[1], atoi(argv[i]), "pull", O_WRONLY);
        value[i] = open_line(argv[1], atoi(argv[i]), "value", O_RDONLY);
        driven[i] = -1;
    }
    for (;; usleep(1000)) {
        for (int bank = 0; bank < 2; bank++) {
            uint32_t set = __atomic_exchange_n((uint32_t *)&reg[GPSET + bank], 0, __ATOMIC_SEQ_CST);
            uint32_t clear = __atomic_exchange_n((uint32_t *)&reg[GPCLR + bank], 0, __ATOMIC_SEQ_CST);
            /* Both within one round: which came last is not known, and dark is the safe guess. */
            latch[bank] = (latch[bank] | set) & ~clear;
        }
        for (int i = 2; i < argc; i++) {
            int line = atoi(argv[i]), bank = line / 32, high;
            uint32_t bit = 1u << (line % 32);
            if (((reg[GPFSEL + line / 10] >> (line % 10 * 3)) & 7) == 1) {
                high = (latch[bank] & bit) != 0;
                if (high != driven[i]) {
                    const char *word = high ? "pull-up" : "pull-down";
                    if (pwrite(pull[i], word, strlen(word), 0) < 0) return 1;
                    driven[i] = high;
                }
            } else {
                char level = '0';
                if (pread(value[i], &level, 1, 0) < 0) return 1;
                high = level == '1';
            }
            if (high) __atomic_fetch_or((uint32_t *)&reg[GPLEV + bank], bit, __ATOMIC_SEQ_CST);
            else __atomic_fetch_and((uint32_t *)&reg[GPLEV + bank], ~bit, __ATOMIC_SEQ_CST);
        }
    }
}
