/* Camera and microphone without hardware, for tests: a library that stands between a program and its devices
 * (LD_PRELOAD). The path in FAKE_CAMERA, a symbolic link to /dev/null, is a V4L2 camera that gives pictures, 30 a
 * second, of I420 or what FAKE_FORMAT says (YUYV). With FAKE_MODES it has these and no others, each
 * FORMAT:WIDTHxHEIGHT:RATE, with spaces between them, the modes of a format together; a picture of a coded format
 * (MJPG) is what the file FAKE_PICTURE holds; the first FAKE_BROKEN of them after each opening are none. With
 * FAKE_DEVICES there are as many cameras as one likes: /dev/video*, /dev/v4l and /sys/class/video4linux are looked up
 * below that folder (devices_tree.h). The file in
 * FAKE_MICROPHONE is an ALSA device, whatever its name, that gives a tone. Taking link or file away unplugs the device:
 * whoever has it open is told that there is no such device. Another link or file is another device. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FDS 1024
#define SECOND 1000000000L
#define BUFFERS 32
/* Pictures that wait for a reader at most. */
#define RING 8
/* Where buffers seem to be, one behind the other. */
#define SPAN 0x1000000
#define NEXT(name) ((typeof(name) *) dlsym(RTLD_NEXT, #name))

/* One opening of the device. */
struct camera {
  char path[PATH_MAX];
  struct stat node;
  int users, count, waiting, queue[BUFFERS];
  unsigned width, height, format, rate, sequence;
  /* When the next picture is there. */
  struct timespec due;
  void *memory[BUFFERS];
};

static struct camera *cameras[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct camera *camera_of(int fd)
{
  return fd >= 0 && fd < FDS ? cameras[fd] : NULL;
}

#include "devices_modes.h"

/* Between two pictures, in nanoseconds. */
static long interval(const struct camera *it)
{
  return SECOND / it->rate;
}

/* Whether what was at `path` is not there any more. */
static int gone(const char *path, const struct stat *was)
{
  struct stat now;
  return lstat(path, &now) || now.st_ino != was->st_ino || now.st_ctim.tv_nsec != was->st_ctim.tv_nsec
      || now.st_ctim.tv_sec != was->st_ctim.tv_sec;
}

static int unplugged(const struct camera *it)
{
  return gone(it->path, &it->node);
}

static void later(struct timespec *time, long nanoseconds)
{
  time->tv_nsec += nanoseconds;
  time->tv_sec += time->tv_nsec / SECOND;
  time->tv_nsec %= SECOND;
}

/* The descriptor can be read when the next picture is there. */
static void wait_for_picture(int fd, const struct camera *it)
{
  const struct itimerspec once = { .it_value = it->due };
  if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &once, NULL))
    abort();
}

static int plug(const char *path)
{
  struct camera *it = calloc(1, sizeof *it);
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (!it || fd < 0 || fd >= FDS || lstat(path, &it->node))
    abort();
  *it = (struct camera) { .node = it->node, .users = 1, .width = 320, .height = 180, .format = layout(0), .rate = 30 };
  snprintf(it->path, sizeof it->path, "%s", path);
  cameras[fd] = it;
  return fd;
}

#include "devices_tree.h"

int dup(int fd)
{
  int other = NEXT(dup)(fd);
  pthread_mutex_lock(&lock);
  if (other >= 0 && other < FDS && camera_of(fd)) {
    cameras[other] = cameras[fd];
    cameras[fd]->users++;
  }
  pthread_mutex_unlock(&lock);
  return other;
}

int close(int fd)
{
  pthread_mutex_lock(&lock);
  struct camera *it = camera_of(fd);
  if (it) {
    cameras[fd] = NULL;
    if (!--it->users)
      free(it);
  }
  pthread_mutex_unlock(&lock);
  return NEXT(close)(fd);
}

#define MMAP(name, offset_t) \
  void *name(void *where, size_t length, int how, int flags, int fd, offset_t offset) \
  { \
    struct camera *it = camera_of(fd); \
    if (!it) \
      return ((void *(*)(void *, size_t, int, int, int, offset_t)) dlsym(RTLD_NEXT, #name))(where, length, how, flags, fd, offset); \
    return it->memory[offset / SPAN % BUFFERS] = mmap(NULL, length, how, MAP_SHARED | MAP_ANONYMOUS, -1, 0); \
  }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

static int describe(struct camera *it, struct v4l2_buffer *buffer)
{
  if (buffer->index >= (unsigned) it->count)
    return EINVAL;
  buffer->length = size(it->format, it->width, it->height);
  buffer->memory = V4L2_MEMORY_MMAP;
  buffer->m.offset = buffer->index * SPAN;
  buffer->field = V4L2_FIELD_NONE;
  buffer->flags |= V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
  return 0;
}

/* The next picture: a ramp that moves. Whoever reads late loses none of the last eight. */
static int take(int fd, struct camera *it, struct v4l2_buffer *buffer)
{
  uint64_t ticks;
  struct timespec now;
  if (read(fd, &ticks, sizeof ticks) != sizeof ticks || !it->waiting)
    return EAGAIN;
  clock_gettime(CLOCK_MONOTONIC, &now);
  long late = ((now.tv_sec - it->due.tv_sec) * (int64_t) SECOND + now.tv_nsec - it->due.tv_nsec) / interval(it);
  for (; late >= RING; late--)
    later(&it->due, interval(it));
  buffer->timestamp = (struct timeval) { it->due.tv_sec, it->due.tv_nsec / 1000 };
  later(&it->due, interval(it));
  wait_for_picture(fd, it);
  buffer->index = it->queue[0];
  memmove(it->queue, it->queue + 1, --it->waiting * sizeof it->queue[0]);
  describe(it, buffer);
  unsigned char *picture = it->memory[buffer->index];
  buffer->sequence = it->sequence++;
  if (coded(it->format)) {
    FILE *file = fopen(getenv("FAKE_PICTURE"), "r");
    if (!file)
      abort();
    buffer->bytesused = fread(picture, 1, CODED, file);
    fclose(file);
    /* As many cameras do: the first ones are not whole. */
    const char *broken = getenv("FAKE_BROKEN");
    if (broken && buffer->sequence < (unsigned) atoi(broken))
      memset(picture, 0xff, buffer->bytesused);
    return 0;
  }
  memset(picture, 128, size(it->format, it->width, it->height));
  /* Of the packed layout the upper half, colours and all. */
  for (unsigned row = 0; row < it->height; row++)
    memset(picture + row * it->width, 16 + (row + it->sequence) % 200, it->width);
  buffer->bytesused = size(it->format, it->width, it->height);
  return 0;
}

static int give(int fd, struct camera *it, struct v4l2_buffer *buffer)
{
  if (buffer->index >= (unsigned) it->count || it->waiting == BUFFERS)
    return EINVAL;
  it->queue[it->waiting++] = buffer->index;
  buffer->flags |= V4L2_BUF_FLAG_QUEUED;
  /* It may be what the next picture waited for. */
  wait_for_picture(fd, it);
  return 0;
}

static int format(struct camera *it, struct v4l2_format *format, int set)
{
  struct v4l2_pix_format *picture = &format->fmt.pix;
  if (format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
    return EINVAL;
  if (!set)
    *picture = (struct v4l2_pix_format) { .width = it->width, .height = it->height, .pixelformat = it->format };
  unsigned width = picture->width & ~1u, height = picture->height & ~1u, layout_of = layout(0);
  struct mode all[MODES];
  int count = modes(all);
  /* As drivers do: the nearest that there is. */
  for (unsigned i = 0; layout(i); i++)
    if (layout(i) == picture->pixelformat)
      layout_of = layout(i);
  for (int i = 0, near = -1; i < count; i++)
    if (all[i].format == layout_of) {
      int apart = abs((int) (all[i].width - picture->width)) + abs((int) (all[i].height - picture->height));
      if (near < 0 || apart < near)
        near = apart, width = all[i].width, height = all[i].height;
    }
  *picture = (struct v4l2_pix_format) {
    .width = width, .height = height, .pixelformat = layout_of, .field = V4L2_FIELD_NONE,
    .bytesperline = coded(layout_of) ? 0 : layout_of == V4L2_PIX_FMT_YUV420 ? width : width * 2,
    .sizeimage = size(layout_of, width, height), .colorspace = V4L2_COLORSPACE_SMPTE170M };
  if (set == 2) {
    it->width = width;
    it->height = height;
    it->format = layout_of;
  }
  return 0;
}

static int ask(int fd, struct camera *it, unsigned long request, void *data)
{
  switch (request) {
  case VIDIOC_QUERYCAP: {
    struct v4l2_capability *found = data;
    *found = (struct v4l2_capability) { .driver = "fake", .card = "A camera of the tests", .bus_info = "none", .version = 0x60100 };
    found->device_caps = capabilities(it->path) | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
    found->capabilities = found->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
  }
  case VIDIOC_ENUMINPUT: {
    struct v4l2_input *input = data;
    if (input->index)
      return EINVAL;
    *input = (struct v4l2_input) { .name = "Camera", .type = V4L2_INPUT_TYPE_CAMERA };
    return 0;
  }
  case VIDIOC_G_INPUT:
    *(int *) data = 0;
    return 0;
  case VIDIOC_ENUM_FMT: {
    struct v4l2_fmtdesc *one = data;
    if (!layout(one->index) || one->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
      return EINVAL;
    one->pixelformat = layout(one->index);
    one->flags = coded(one->pixelformat) ? V4L2_FMT_FLAG_COMPRESSED : 0;
    return 0;
  }
  case VIDIOC_ENUM_FRAMESIZES: {
    struct v4l2_frmsizeenum *sizes = data;
    struct mode all[MODES];
    int count = modes(all);
    unsigned found = 0;
    for (int i = 0; i < count; i++) {
      int first = all[i].format == sizes->pixel_format;
      for (int j = 0; j < i; j++)
        first &= all[j].format != all[i].format || all[j].width != all[i].width || all[j].height != all[i].height;
      if (first && found++ == sizes->index) {
        sizes->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        sizes->discrete = (struct v4l2_frmsize_discrete) { all[i].width, all[i].height };
        return 0;
      }
    }
    if (count || sizes->index || sizes->pixel_format != layout(0))
      return EINVAL;
    sizes->type = V4L2_FRMSIZE_TYPE_STEPWISE;
    sizes->stepwise = (struct v4l2_frmsize_stepwise) { 16, 1920, 2, 16, 1080, 2 };
    return 0;
  }
  case VIDIOC_ENUM_FRAMEINTERVALS: {
    struct v4l2_frmivalenum *rates = data;
    struct mode all[MODES];
    int count = modes(all);
    unsigned found = 0;
    rates->type = V4L2_FRMIVAL_TYPE_DISCRETE;
    for (int i = 0; i < count; i++)
      if (all[i].format == rates->pixel_format && all[i].width == rates->width && all[i].height == rates->height
          && found++ == rates->index) {
        rates->discrete = (struct v4l2_fract) { 1, all[i].rate };
        return 0;
      }
    if (count || rates->index)
      return EINVAL;
    rates->discrete = (struct v4l2_fract) { 1, 30 };
    return 0;
  }
  case VIDIOC_G_FMT:
    return format(it, data, 0);
  case VIDIOC_TRY_FMT:
    return format(it, data, 1);
  case VIDIOC_S_FMT:
    return format(it, data, 2);
  case VIDIOC_G_PARM:
  case VIDIOC_S_PARM: {
    struct v4l2_streamparm *rate = data;
    if (rate->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
      return EINVAL;
    const struct v4l2_fract *asked = &rate->parm.capture.timeperframe;
    struct mode all[MODES];
    int count = modes(all);
    for (int i = 0; i < count; i++)
      if (request == VIDIOC_S_PARM && all[i].format == it->format && all[i].width == it->width
          && all[i].height == it->height && all[i].rate * asked->numerator == asked->denominator)
        it->rate = all[i].rate;
    rate->parm.capture = (struct v4l2_captureparm) { .capability = V4L2_CAP_TIMEPERFRAME, .timeperframe = { 1, it->rate } };
    return 0;
  }
  case VIDIOC_REQBUFS: {
    struct v4l2_requestbuffers *wanted = data;
    if (wanted->memory != V4L2_MEMORY_MMAP || wanted->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
      return EINVAL;
    it->count = wanted->count = wanted->count > BUFFERS ? BUFFERS : wanted->count;
    wanted->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP | V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS;
    return 0;
  }
  case VIDIOC_CREATE_BUFS: {
    struct v4l2_create_buffers *wanted = data;
    if (wanted->memory != V4L2_MEMORY_MMAP || wanted->format.type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
      return EINVAL;
    wanted->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP | V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS;
    wanted->index = it->count;
    if (it->count + wanted->count > BUFFERS)
      return ENOBUFS;
    it->count += wanted->count;
    return 0;
  }
  case VIDIOC_QUERYBUF:
    return describe(it, data);
  case VIDIOC_QBUF:
    return give(fd, it, data);
  case VIDIOC_DQBUF:
    return take(fd, it, data);
  case VIDIOC_STREAMOFF:
    it->waiting = 0;
    return 0;
  case VIDIOC_STREAMON:
    note_streaming(it->path);
    clock_gettime(CLOCK_MONOTONIC, &it->due);
    later(&it->due, interval(it));
    wait_for_picture(fd, it);
    return 0;
  default:
    return ENOTTY;
  }
}

int ioctl(int fd, unsigned long request, ...)
{
  va_list more;
  va_start(more, request);
  void *data = va_arg(more, void *);
  va_end(more);
  struct camera *it = camera_of(fd);
  if (!it)
    return NEXT(ioctl)(fd, request, data);
  int error = unplugged(it) ? ENODEV : ask(fd, it, request, data);
  errno = error ? error : errno;
  return error ? -1 : 0;
}

/* The kernel tells whoever waits for a picture that the device is gone. */
int ppoll(struct pollfd *all, nfds_t count, const struct timespec *limit, const sigset_t *mask)
{
  int ready = NEXT(ppoll)(all, count, limit, mask);
  for (nfds_t i = 0; ready > 0 && i < count; i++) {
    struct camera *it = camera_of(all[i].fd);
    if (it && all[i].revents && unplugged(it))
      all[i].revents = POLLERR | POLLHUP | POLLPRI;
  }
  return ready;
}

#include "devices_alsa.h"
