/* A part of devices.c: devices below a folder. In FAKE_DEVICES, dev/video0 and the like are symbolic links to
 * /dev/null, dev/v4l has udev's links to them, and sys/class/video4linux is what the kernel says of them. The file
 * caps/video0 has its capabilities in hex where it is no camera. A name is added to the file `streamed` when a device
 * begins to give pictures. */
#include <dirent.h>

/* Where `path` is looked up; it may be in `place`. */
static const char *placed(const char *path, char place[PATH_MAX])
{
  static const char *const roots[] = { "/dev/video", "/dev/v4l", "/sys/class/video4linux" };
  const char *tree = getenv("FAKE_DEVICES");
  for (unsigned i = 0; tree && path && i < sizeof roots / sizeof *roots; i++)
    if (!strncmp(path, roots[i], strlen(roots[i]))) {
      snprintf(place, PATH_MAX, "%s%s", tree, path);
      return place;
    }
  return path;
}

/* Whether `path` leads to a device of the folder, which is then `node`. */
static int node_in_tree(const char *path, char node[PATH_MAX])
{
  const char *tree = getenv("FAKE_DEVICES");
  char to[PATH_MAX];
  if (!tree || strncmp(path, tree, strlen(tree)))
    return 0;
  ssize_t length = readlink(path, to, sizeof to - 1);
  if (length < 0)
    return 0;
  to[length] = 0;
  /* A link of udev's, or the node itself. */
  const char *name = strrchr(strcmp(to, "/dev/null") ? to : path, '/') + 1;
  snprintf(node, PATH_MAX, "%.2000s/dev/%.200s", tree, name);
  return !access(node, F_OK);
}

/* The file `name` of the folder; NULL where there is no folder. */
static FILE *tree_file(const char *name, const char *how)
{
  const char *tree = getenv("FAKE_DEVICES");
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%.2000s/%.200s", tree ? tree : "/nowhere", name);
  return tree ? fopen(path, how) : NULL;
}

static unsigned capabilities(const char *node)
{
  char name[PATH_MAX];
  unsigned found = V4L2_CAP_VIDEO_CAPTURE;
  snprintf(name, sizeof name, "caps/%.200s", strrchr(node, '/') + 1);
  FILE *file = tree_file(name, "r");
  if (file && fscanf(file, "%x", &found) != 1)
    abort();
  if (file)
    fclose(file);
  return found;
}

static void note_streaming(const char *node)
{
  FILE *file = tree_file("streamed", "a");
  if (file) {
    fprintf(file, "%s\n", strrchr(node, '/') + 1);
    fclose(file);
  }
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) \
  { \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = va_arg(more, mode_t); \
    va_end(more); \
    char place[PATH_MAX], node[PATH_MAX]; \
    const char *camera = getenv("FAKE_CAMERA"); \
    path = placed(path, place); \
    int fd = ((int (*)(const char *, int, ...)) dlsym(RTLD_NEXT, #name))(path, flags, mode); \
    if (fd >= 0 && camera && !strcmp(path, camera)) \
      snprintf(node, sizeof node, "%s", camera); \
    else if (fd < 0 || !node_in_tree(path, node)) \
      return fd; \
    close(fd); \
    return plug(node); \
  }
OPEN(open)
OPEN(open64)

/* What a program looks up by its path, besides opening it. */
#define LOOKED_UP(type, name, more, pass) \
  type name(const char *path more) \
  { \
    char place[PATH_MAX]; \
    return ((typeof(&name)) dlsym(RTLD_NEXT, #name))(placed(path, place) pass); \
  }
#define AND ,
LOOKED_UP(DIR *, opendir, , )
LOOKED_UP(int, access, AND int mode, AND mode)
LOOKED_UP(int, stat, AND struct stat *found, AND found)
LOOKED_UP(int, stat64, AND struct stat64 *found, AND found)
LOOKED_UP(int, lstat, AND struct stat *found, AND found)
LOOKED_UP(int, lstat64, AND struct stat64 *found, AND found)
LOOKED_UP(ssize_t, readlink, AND char *to AND size_t size, AND to AND size)

int statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict found)
{
  char place[PATH_MAX];
  return NEXT(statx)(dir, placed(path, place), flags, mask, found);
}
