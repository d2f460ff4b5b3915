/* In the guest: a disk whose writes, flushes and marks the kernel writes down in order, by dm-log-writes.
 *
 *   logged_disk create DATA LOG   makes the disk out of two others, and prints the path of its node
 *   logged_disk marks             writes each line of standard input, which has no spaces, into the log, and repeats it
 *                                 on standard output once the kernel has it
 *   logged_disk remove            ends the log; the disk must not be in use
 *
 * It speaks to the kernel itself, because the guest has no dmsetup, and a process for each mark would come too late. */
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int control = -1;

/* One request about the disk, with `size` bytes of `payload` behind its header. */
static int ask(unsigned long request, unsigned targets, const void *payload, size_t size, struct dm_ioctl *answer) {
    char buffer[2048] __attribute__((aligned(8)));
    struct dm_ioctl *header = (struct dm_ioctl *)buffer;
    if (size > sizeof buffer - sizeof *header) return -1;
    memset(buffer, 0, sizeof buffer);
    header->version[0] = DM_VERSION_MAJOR;
    header->data_size = sizeof buffer;
    header->data_start = sizeof *header;
    header->target_count = targets;
    strcpy(header->name, "logged");
    if (size) memcpy(buffer + sizeof *header, payload, size);
    if (ioctl(control, request, header) != 0) return -1;
    if (answer) *answer = *header;
    return 0;
}

static int mark(const char *text) {
    char payload[512] __attribute__((aligned(8))) = {0};
    struct dm_target_msg *message = (struct dm_target_msg *)payload;
    int length = snprintf(message->message, sizeof payload - sizeof *message, "mark %s", text);
    if (length < 0 || (size_t)length >= sizeof payload - sizeof *message) return -1;
    return ask(DM_TARGET_MSG, 0, payload, sizeof *message + (size_t)length + 1, NULL);
}

static int marks(void) {
    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (mark(line) != 0) return -1;
        puts(line);
        fflush(stdout);
    }
    return 0;
}

static int create(const char *data, const char *log) {
    struct dm_ioctl answer;
    char payload[512] __attribute__((aligned(8))) = {0}, size[32];
    struct dm_target_spec *target = (struct dm_target_spec *)payload;
    char path[128];
    snprintf(path, sizeof path, "/sys/class/block/%s/size", strrchr(data, '/') + 1);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(size, sizeof size, file)) return -1;
    fclose(file);
    if (sscanf(size, "%llu", &target->length) != 1) return -1;
    strcpy(target->target_type, "log-writes");
    int length = snprintf((char *)(target + 1), sizeof payload - sizeof *target, "%s %s", data, log);
    if (ask(DM_DEV_CREATE, 0, NULL, 0, &answer) != 0) return -1;
    if (ask(DM_TABLE_LOAD, 1, payload, sizeof *target + (size_t)length + 1, NULL) != 0) return -1;
    /* Without a flag it resumes. */
    if (ask(DM_DEV_SUSPEND, 0, NULL, 0, NULL) != 0) return -1;
    printf("/dev/dm-%u\n", minor(answer.dev));
    return 0;
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
    int failed = control < 0 ? -1
               : strcmp(what, "create") == 0 && count == 4 ? create(words[2], words[3])
               : strcmp(what, "marks") == 0 ? marks()
               : strcmp(what, "remove") == 0 ? ask(DM_DEV_REMOVE, 0, NULL, 0, NULL)
               : -1;
    if (failed) perror(what);
    return failed ? 1 : 0;
}
