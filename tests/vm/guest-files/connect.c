/* Connects to a Unix socket and keeps it for so many seconds: connect PATH SECONDS. Exit code 0 if it could. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int end = socket(AF_UNIX, SOCK_STREAM, 0);
    if (argc != 3) return 64;
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    if (end < 0 || connect(end, (struct sockaddr *)&address, sizeof address) < 0) return 1;
    sleep(atoi(argv[2]));
    return 0;
}
