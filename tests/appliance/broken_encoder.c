/* A hardware encoder for tests that works for a while, and then no more: a plugin that brings the element v4l2h264enc
 * with x264enc inside. BROKEN_ENCODER says how it breaks once it has given 90 frames, which is after its trial: "hangs"
 * lets nothing through and keeps whoever hands it a picture, "fails" posts an error, "dumb" gives nothing any more,
 * "same" gives one frame again and again. */
#include <gst/gst.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKS 90

typedef struct { GstBin parent; GstElement *inside; GstStructure *controls; GstBuffer *last; gint frames; } Broken;
typedef struct { GstBinClass parent; } BrokenClass;
G_DEFINE_TYPE(Broken, broken, GST_TYPE_BIN)

static GstPadProbeReturn out(GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Broken *self = data;
  const char *how = getenv("BROKEN_ENCODER");
  if (self->frames++ < WORKS || !how)
    return GST_PAD_PROBE_OK;
  if (!strcmp(how, "dumb"))
    return GST_PAD_PROBE_DROP;
  if (!strcmp(how, "same")) {
    if (!self->last)
      self->last = gst_buffer_copy_deep(GST_PAD_PROBE_INFO_BUFFER(info));
    GstBuffer *again = gst_buffer_copy(self->last);
    GST_BUFFER_PTS(again) = GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info));
    gst_buffer_unref(GST_PAD_PROBE_INFO_BUFFER(info));
    info->data = again;
    return GST_PAD_PROBE_OK;
  }
  if (!strcmp(how, "fails")) {
    GST_ELEMENT_ERROR(self, STREAM, ENCODE, ("The device gave up."), (NULL));
    return GST_PAD_PROBE_DROP;
  }
  for (;;)
    pause();
}

static void set(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
  Broken *self = (Broken *) object;
  gint number;
  if (self->controls)
    gst_structure_free(self->controls);
  self->controls = g_value_dup_boxed(value);
  if (self->controls && gst_structure_get_int(self->controls, "video_bitrate", &number))
    g_object_set(self->inside, "bitrate", number / 1000, NULL);
  if (self->controls && gst_structure_get_int(self->controls, "h264_i_frame_period", &number))
    g_object_set(self->inside, "key-int-max", number, NULL);
}

static void get(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
  g_value_set_boxed(value, ((Broken *) object)->controls);
}

static void broken_class_init(BrokenClass *class)
{
  GObjectClass *object = G_OBJECT_CLASS(class);
  object->set_property = set;
  object->get_property = get;
  g_object_class_install_property(object, 1,
      g_param_spec_boxed("extra-controls", "controls", "What the driver is told", GST_TYPE_STRUCTURE, G_PARAM_READWRITE));
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(class), "Broken encoder", "Codec/Encoder/Video", "Breaks", "tallybox's tests");
}

static void broken_init(Broken *self)
{
  gst_plugin_load_file(PLUGINS "/libgstx264.so", NULL);
  self->inside = gst_element_factory_make("x264enc", NULL);
  gst_util_set_object_arg(G_OBJECT(self->inside), "tune", "zerolatency");
  g_object_set(self->inside, "option-string", "scenecut=0", NULL);
  gst_bin_add(GST_BIN(self), self->inside);
  for (const char *const *name = (const char *const[]) { "sink", "src", NULL }; *name; name++) {
    GstPad *pad = gst_element_get_static_pad(self->inside, *name);
    gst_element_add_pad(GST_ELEMENT(self), gst_ghost_pad_new(*name, pad));
    if (!strcmp(*name, "src"))
      gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, out, self, NULL);
    gst_object_unref(pad);
  }
}

static gboolean init(GstPlugin *plugin)
{
  return gst_element_register(plugin, "v4l2h264enc", GST_RANK_NONE, broken_get_type());
}

#define PACKAGE "tallybox"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, video4linux2, "Breaks", init, "1", "MIT/X11", "tests", "https://example.org")
