/* Says which of these files anybody opens within so many seconds: opened SECONDS FILE... Not even a short look is
 * missed. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char buffer[4096] __attribute__((aligned(8)));
    int events = inotify_init1(IN_NONBLOCK), names[argc];
    for (int i = 2; i < argc; i++) {
        names[i] = inotify_add_watch(events, argv[i], IN_OPEN);
        if (names[i] < 0) return 1;
    }
    puts("looking");
    fflush(stdout);
    for (time_t end = time(NULL) + atoi(argv[1]); time(NULL) < end;) {
        struct pollfd wait = {.fd = events, .events = POLLIN};
        poll(&wait, 1, 200);
        ssize_t length = read(events, buffer, sizeof buffer);
        for (ssize_t at = 0; at < length;) {
            struct inotify_event *event = (struct inotify_event *)(buffer + at);
            for (int i = 2; i < argc; i++)
                if (names[i] == event->wd) puts(argv[i]);
            at += (ssize_t)(sizeof *event + event->len);
        }
        fflush(stdout);
    }
    return 0;
}
