// Tells the kernel that somebody keeps the clock, as an NTP client does; `synchronised no` takes it back.
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>

int main(int argc, char **argv) {
    struct timex now = {0};
    if (adjtimex(&now) < 0) return perror("adjtimex"), 1;
    int unsynchronised = argc > 1 && !strcmp(argv[1], "no");
    struct timex wanted = {.modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR, .maxerror = unsynchronised ? 16000000 : 0};
    wanted.status = unsynchronised ? now.status | STA_UNSYNC : now.status & ~STA_UNSYNC;
    if (adjtimex(&wanted) < 0) return perror("adjtimex"), 1;
    return 0;
}
