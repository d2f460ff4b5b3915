/* A part of devices.c: the microphone. */

/* ALSA, of which this is all that a reader needs to be fooled: the rest is done by its own device "null". */
typedef struct _snd_pcm snd_pcm_t;
#define CAPTURE 1
#define RATE 48000
static struct stat microphone;
static struct timespec due;

int snd_pcm_open(snd_pcm_t **pcm, const char *name, int stream, int mode)
{
  const char *file = getenv("FAKE_MICROPHONE");
  int (*open)(snd_pcm_t **, const char *, int, int) = dlsym(dlopen("libasound.so.2", RTLD_LAZY), "snd_pcm_open");
  if (!file || stream != CAPTURE)
    return open(pcm, name, stream, mode);
  if (lstat(file, &microphone))
    return -ENODEV;
  clock_gettime(CLOCK_MONOTONIC, &due);
  return open(pcm, "null", stream, mode);
}

/* Two channels of 16 bits, in real time. */
long snd_pcm_readi(snd_pcm_t *pcm, void *data, unsigned long frames)
{
  const char *file = getenv("FAKE_MICROPHONE");
  long (*readi)(snd_pcm_t *, void *, unsigned long) = dlsym(dlopen("libasound.so.2", RTLD_LAZY), "snd_pcm_readi");
  if (!file)
    return readi(pcm, data, frames);
  later(&due, (int64_t) frames * SECOND / RATE);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
    ;
  if (gone(file, &microphone))
    return -ENODEV;
  int16_t *samples = data;
  for (unsigned long i = 0; i < frames * 2; i++)
    samples[i] = i / 2 / 48 % 2 ? 3000 : -3000;
  return frames;
}
