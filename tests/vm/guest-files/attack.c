/* What an attacker's program does that a shell cannot: attack HOW ARGUMENT... Exit code 0 if it could.
 *
 *   give stream|dgram SOCKET FILE TEXT   hands an open FILE, with TEXT, to whoever has SOCKET ("@…": abstract)
 *   take SOCKET SECONDS                  listens on SOCKET, and keeps what is handed over open for so long
 *   ring                                 makes an AF_UNIX socket by io_uring, which no filter of socket(2) sees
 *   family NUMBER                        makes a socket of this address family
 *   trace|descriptor|memory PID          ptrace, pidfd_getfd of its standard input, process_vm_readv
 *   ask SOCKET JSON                      sends a frame to the guard's socket; could: the answer says "done"
 *   bomb FILE PROCESSES MILLISECONDS     so many processes that heed no signal, with FILE open; each is followed by
 *                                        another one after so long
 *   keep FILE                            keeps FILE open, and heeds no signal
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static socklen_t named(struct sockaddr_un *address, const char *name) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    strncpy(address->sun_path, name, sizeof address->sun_path - 1);
    if (*name == '@') address->sun_path[0] = 0;
    return offsetof(struct sockaddr_un, sun_path) + strlen(name) + (*name != '@');
}

static int reach(const char *name, int kind) {
    struct sockaddr_un address;
    socklen_t length = named(&address, name);
    int end = socket(AF_UNIX, kind, 0);
    return end < 0 || connect(end, (struct sockaddr *)&address, length) < 0 ? -1 : end;
}

static int give(const char *kind, const char *name, const char *file, char *text) {
    char room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {text, strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    int end = reach(name, strcmp(kind, "dgram") ? SOCK_STREAM : SOCK_DGRAM), open_file = open(file, O_RDWR | O_NONBLOCK);
    if (end < 0 || open_file < 0) return 1;
    rights->cmsg_level = SOL_SOCKET, rights->cmsg_type = SCM_RIGHTS, rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &open_file, sizeof(int));
    return sendmsg(end, &message, MSG_NOSIGNAL) < 0;
}

static int take(const char *name, int seconds) {
    struct sockaddr_un address;
    socklen_t length = named(&address, name);
    int door = socket(AF_UNIX, SOCK_STREAM, 0);
    umask(0);
    if (*name != '@') unlink(name);
    if (bind(door, (struct sockaddr *)&address, length) < 0 || listen(door, 8) < 0) return 1;
    struct timeval limit = {.tv_sec = seconds};
    setsockopt(door, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    puts("listens");
    fflush(stdout);
    for (int end; (end = accept(door, NULL, NULL)) >= 0;) {
        char byte[64], room[CMSG_SPACE(sizeof(int))];
        struct iovec part = {byte, sizeof byte};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
        if (recvmsg(end, &message, 0) > 0 && CMSG_FIRSTHDR(&message)) puts("taken");
        fflush(stdout);
    }
    return 0;
}

static int ring(void) {
    struct io_uring_params params = {0};
    int queue = syscall(SYS_io_uring_setup, 4, &params);
    if (queue < 0) return 1;
    char *rings = mmap(NULL, 4096 * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, queue, IORING_OFF_SQ_RING);
    struct io_uring_sqe *entries = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, queue, IORING_OFF_SQES);
    if (rings == MAP_FAILED || (void *)entries == MAP_FAILED) return 2;
    entries[0] = (struct io_uring_sqe){.opcode = 45 /* IORING_OP_SOCKET */, .fd = AF_UNIX, .off = SOCK_STREAM};
    ((unsigned *)(rings + params.sq_off.array))[0] = 0;
    __atomic_store_n((unsigned *)(rings + params.sq_off.tail), 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, queue, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 1) return 3;
    struct io_uring_cqe *done = (struct io_uring_cqe *)(rings + params.cq_off.cqes);
    return done[0].res < 0 ? 4 : 0;
}

static int descriptor(int pid) {
    int process = syscall(SYS_pidfd_open, pid, 0);
    return process < 0 || syscall(SYS_pidfd_getfd, process, 0, 0) < 0;
}

static int memory(int pid) {
    char line[256], byte[8];
    unsigned long from = 0;
    snprintf(line, sizeof line, "/proc/%d/maps", pid);
    FILE *maps = fopen(line, "r");
    if (!maps || fscanf(maps, "%lx", &from) != 1) return 1;
    struct iovec here = {byte, 8}, there = {(void *)from, 8};
    return process_vm_readv(pid, &here, 1, &there, 1, 0) != 8;
}

static int ask(const char *name, const char *json) {
    static char answer[1 << 16];
    int end = reach(name, SOCK_STREAM);
    unsigned length = htonl(strlen(json));
    struct timeval limit = {.tv_sec = 5};
    if (end < 0 || write(end, &length, 4) != 4 || write(end, json, strlen(json)) < 0) return 1;
    setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    for (size_t at = 0; at < sizeof answer - 1;) {
        ssize_t got = read(end, answer + at, sizeof answer - 1 - at);
        if (got <= 0) return 2;
        at += got;
        /* The lengths of frames have zeros. */
        for (size_t i = 0; i < at; i++)
            if (!answer[i]) answer[i] = ' ';
        if (strstr(answer, "\"done\"")) return 0;
        if (strstr(answer, "\"rejected\"") || strstr(answer, "\"refused\"")) return 3;
    }
    return 4;
}

static void heed_nothing(void) {
    for (int number = 1; number < 32; number++) signal(number, number == SIGCHLD ? SIG_DFL : SIG_IGN);
}

static int keep(const char *file) {
    heed_nothing();
    if (open(file, O_RDWR | O_NONBLOCK) < 0) return 1;
    for (;;) pause();
}

static int bomb(const char *file, int processes, int pause_ms) {
    heed_nothing();
    if (open(file, O_RDWR | O_NONBLOCK) < 0) return 1;
    for (int i = 0; i < processes; i++) {
        if (fork() > 0) continue;
        for (;;) {
            if (fork() > 0) _exit(0);
            usleep(pause_ms * 1000);
        }
    }
    for (;;) pause();
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "give") && argc == 6) return give(argv[2], argv[3], argv[4], argv[5]);
    if (!strcmp(how, "take") && argc == 4) return take(argv[2], atoi(argv[3]));
    if (!strcmp(how, "ring")) return ring();
    if (!strcmp(how, "family") && argc == 3) return socket(atoi(argv[2]), SOCK_DGRAM, 0) < 0;
    if (!strcmp(how, "trace") && argc == 3) return ptrace(PTRACE_SEIZE, atoi(argv[2]), 0, 0) < 0;
    if (!strcmp(how, "descriptor") && argc == 3) return descriptor(atoi(argv[2]));
    if (!strcmp(how, "memory") && argc == 3) return memory(atoi(argv[2]));
    if (!strcmp(how, "ask") && argc == 4) return ask(argv[2], argv[3]);
    if (!strcmp(how, "bomb") && argc == 5) return bomb(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (!strcmp(how, "keep") && argc == 3) return keep(argv[2]);
    return 64;
}
