/* libcamera for tests: a plugin that brings the element libcamerasrc with a test picture inside. Files in FOLDER say
 * what the camera does: "unplugged" makes its opening fail, "crash" crashes the library in mid-stream, and each byte of
 * "crashes" one start. It holds "lock" while it is open, and leaves "twice" where somebody else has it open already. */
#include <fcntl.h>
#include <gst/gst.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct { GstBin parent; GstElement *inside; int lock; } Camera;
typedef struct { GstBinClass parent; } CameraClass;
G_DEFINE_TYPE(Camera, camera, GST_TYPE_BIN)

static void crash(void)
{
  *(volatile int *) NULL = 0;
}

static GstPadProbeReturn out(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  if (!unlink(FOLDER "/crash"))
    crash();
  return GST_PAD_PROBE_OK;
}

static gboolean open_camera(Camera *self)
{
  if (!access(FOLDER "/unplugged", F_OK)) {
    GST_ELEMENT_ERROR(self, RESOURCE, NOT_FOUND, ("Could not find any supported camera on this system."), (NULL));
    return FALSE;
  }
  self->lock = open(FOLDER "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (flock(self->lock, LOCK_EX | LOCK_NB)) {
    close(open(FOLDER "/twice", O_RDWR | O_CREAT, 0600));
    GST_ELEMENT_ERROR(self, RESOURCE, BUSY, ("The camera is open already."), (NULL));
    return FALSE;
  }
  struct stat crashes;
  if (!stat(FOLDER "/crashes", &crashes) && crashes.st_size > 0) {
    truncate(FOLDER "/crashes", crashes.st_size - 1);
    crash();
  }
  return TRUE;
}

static GstStateChangeReturn change(GstElement *element, GstStateChange transition)
{
  Camera *self = (Camera *) element;
  if (transition == GST_STATE_CHANGE_NULL_TO_READY && !open_camera(self))
    return GST_STATE_CHANGE_FAILURE;
  if (transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING) {
    /* It would produce all pictures since the start of the session. */
    GstClock *clock = gst_element_get_clock(element);
    gint64 now = gst_clock_get_time(clock) - gst_element_get_base_time(element);
    g_object_set(self->inside, "timestamp-offset", now, NULL);
    gst_object_unref(clock);
  }
  GstStateChangeReturn changed = GST_ELEMENT_CLASS(camera_parent_class)->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL && self->lock >= 0) {
    close(self->lock);
    self->lock = -1;
  }
  return changed;
}

static void camera_class_init(CameraClass *class)
{
  GST_ELEMENT_CLASS(class)->change_state = change;
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(class), "Camera", "Source/Video", "A camera", "tallybox's tests");
}

static void camera_init(Camera *self)
{
  self->lock = -1;
  gst_plugin_load_file(PLUGINS "/libgstcoreelements.so", NULL);
  gst_plugin_load_file(PLUGINS "/libgstvideotestsrc.so", NULL);
  self->inside = gst_element_factory_make("videotestsrc", NULL);
  g_object_set(self->inside, "is-live", TRUE, NULL);
  GstElement *filter = gst_element_factory_make("capsfilter", NULL);
  gst_util_set_object_arg(G_OBJECT(filter), "caps", "video/x-raw,format=NV12");
  gst_bin_add_many(GST_BIN(self), self->inside, filter, NULL);
  gst_element_link(self->inside, filter);
  GstPad *pad = gst_element_get_static_pad(filter, "src");
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, out, NULL, NULL);
  gst_element_add_pad(GST_ELEMENT(self), gst_ghost_pad_new("src", pad));
  gst_object_unref(pad);
  GST_OBJECT_FLAG_SET(self, GST_ELEMENT_FLAG_SOURCE);
}

static gboolean init(GstPlugin *plugin)
{
  return gst_element_register(plugin, "libcamerasrc", GST_RANK_NONE, camera_get_type());
}

#define PACKAGE "tallybox"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, libcamera, "A camera", init, "1", "MIT/X11", "tests", "https://example.org")
