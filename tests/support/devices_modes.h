/* A part of devices.c: the modes that the camera has. */

#define MODES 64
/* The largest picture of a coded format. */
#define CODED (1 << 20)

struct mode {
  unsigned format, width, height, rate;
};

/* What FAKE_MODES names; how many there are. */
static int modes(struct mode all[MODES])
{
  const char *text = getenv("FAKE_MODES");
  int count = 0, used;
  char name[5];
  struct mode one;
  for (; text && count < MODES; text += used) {
    if (sscanf(text, " %4[^:]:%ux%u:%u%n", name, &one.width, &one.height, &one.rate, &used) != 4)
      break;
    one.format = v4l2_fourcc(name[0], name[1], name[2], name[3]);
    all[count++] = one;
  }
  return count;
}

/* The format number `index` of the camera; 0: it has no more. */
static unsigned layout(unsigned index)
{
  struct mode all[MODES];
  int count = modes(all);
  unsigned found = 0;
  for (int i = 0; i < count; i++)
    if (!i || all[i].format != all[i - 1].format)
      if (found++ == index)
        return all[i].format;
  const char *name = getenv("FAKE_FORMAT");
  return count || index ? 0 : name ? v4l2_fourcc(name[0], name[1], name[2], name[3]) : V4L2_PIX_FMT_YUV420;
}

static int coded(unsigned format)
{
  return format == V4L2_PIX_FMT_MJPEG || format == V4L2_PIX_FMT_H264;
}

static unsigned size(unsigned format, unsigned width, unsigned height)
{
  return coded(format) ? CODED : format == V4L2_PIX_FMT_YUV420 ? width * height * 3 / 2 : width * height * 2;
}
