//! Where elements come from. A session needs few of GStreamer's plugins; each is loaded when the first of its elements
//! is made.
//!
//! GStreamer's own way is a registry: a list of all that is installed (1.2 MB). Each process reads it at its start, and
//! GStreamer makes it anew, by loading every plugin, whenever a package or a video node comes or goes. A press would
//! wait for that, and pay for it in memory (docs/benchmarks). So the registry is off in capture's program
//! (`GST_REGISTRY_DISABLE`, in `cli::capture_program`). Where it is on, as in unit tests, GStreamer knows every element
//! already, and nothing is loaded here.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gstreamer as gst;

use crate::capture::error::CaptureError;

/// One of GStreamer's plugins: its file is called `libgst` and this, and `.so`.
struct Plugin {
    name: &'static str,
    /// The Debian package that has it.
    package: &'static str,
    /// Those of its elements that are in use here.
    elements: &'static [&'static str],
}

const BASE: &str = "gstreamer1.0-plugins-base";
const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";

const fn plugin(name: &'static str, package: &'static str, elements: &'static [&'static str]) -> Plugin {
    Plugin { name, package, elements }
}

const PLUGINS: [Plugin; 26] = [
    plugin(
        "coreelements",
        "libgstreamer1.0-0",
        &["capsfilter", "clocksync", "fakesink", "filesrc", "identity", "queue", "tee"],
    ),
    plugin("audioconvert", BASE, &["audioconvert"]),
    plugin("audiorate", BASE, &["audiorate"]),
    plugin("audioresample", BASE, &["audioresample"]),
    plugin("audiotestsrc", BASE, &["audiotestsrc"]),
    plugin("opus", BASE, &["opusenc"]),
    plugin("playback", BASE, &["decodebin"]),
    plugin("videoconvertscale", BASE, &["videoconvert", "videoscale"]),
    plugin("videorate", BASE, &["videorate"]),
    plugin("videotestsrc", BASE, &["videotestsrc"]),
    plugin("alsa", "gstreamer1.0-alsa", &["alsasrc"]),
    plugin("audioparsers", GOOD, &["aacparse"]),
    plugin("video4linux2", GOOD, &["v4l2src", "v4l2h264enc"]),
    plugin("videocrop", GOOD, &["videocrop"]),
    plugin("videofilter", GOOD, &["videoflip"]),
    plugin("mpegtsmux", BAD, &["mpegtsmux"]),
    plugin("openh264", BAD, &["openh264enc"]),
    plugin("rsvg", BAD, &["rsvgdec"]),
    plugin("srt", BAD, &["srtsink"]),
    plugin("videoparsersbad", BAD, &["h264parse"]),
    plugin("voaacenc", BAD, &["voaacenc"]),
    plugin("webrtcdsp", BAD, &["webrtcdsp"]),
    plugin("x264", "gstreamer1.0-plugins-ugly", &["x264enc"]),
    plugin("libcamera", "gstreamer1.0-libcamera", &["libcamerasrc"]),
    // For decodebin, which asks for plugins and not for elements.
    plugin("jpeg", GOOD, &[]),
    plugin("typefindfunctions", BASE, &[]),
];

/// The plugins with which decodebin decodes a camera's JPEG.
pub(crate) const CAMERA_PLUGINS: &[&str] = &["jpeg"];

/// The plugins with which decodebin reads a media file, by the media types that it finds in it: those of Debian's
/// packages for common files. A plugin for what the file does not contain is not loaded: libav alone loads 170
/// libraries.
const FILE_PLUGINS: &[(&[&str], &[&str])] = &[
    (&[ANY_MEDIA_TYPE], &["typefindfunctions"]),
    (&["video/quicktime", "audio/x-m4a", "application/x-3gp"], &["isomp4"]),
    (&["video/x-matroska", "audio/x-matroska", "video/webm", "audio/webm"], &["matroska"]),
    (&["video/mpegts"], &["mpegtsdemux"]),
    (&["video/mpeg", "video/x-cdxa"], &["mpegpsdemux", "videoparsersbad", "libav"]),
    (&["video/x-flv"], &["flv"]),
    (&["video/x-msvideo"], &["avi"]),
    (&["application/ogg", "audio/ogg", "video/ogg"], &["ogg"]),
    (&["audio/x-wav"], &["wavparse"]),
    (&["application/x-id3"], &["id3demux"]),
    (&["audio/mpeg"], &["audioparsers", "mpg123", "libav"]),
    (&["audio/x-flac"], &["audioparsers", "flac"]),
    (&["audio/x-vorbis"], &["vorbis"]),
    (&["audio/x-opus"], &["opus"]),
    (&["video/x-h264"], &["videoparsersbad", "video4linux2", "openh264", "libav"]),
    (&["video/x-h265"], &["videoparsersbad", "video4linux2", "libav"]),
    (&["video/x-vp8", "video/x-vp9"], &["videoparsersbad", "vpx"]),
    (&["video/x-theora"], &["theora"]),
    (&["image/jpeg"], &["jpeg"]),
    (&["image/png"], &["png"]),
];

/// In [`FILE_PLUGINS`]: what it takes to find out a file's media type.
pub(crate) const ANY_MEDIA_TYPE: &str = "any file";

/// Loads the plugins that read `media_type`; for an unknown type, all of them. Raw media needs none.
pub(crate) fn load_for_media_type(media_type: &str) {
    if media_type.ends_with("/x-raw") {
        return;
    }
    let is_known = FILE_PLUGINS.iter().any(|(types, _)| types.contains(&media_type));
    for (_, plugins) in FILE_PLUGINS.iter().filter(|(types, _)| !is_known || types.contains(&media_type)) {
        load_all(plugins);
    }
}

/// The Debian package that has the plugin with this name.
pub(crate) fn package_of(name: &str) -> &'static str {
    PLUGINS.iter().find(|plugin| plugin.name == name).map_or(BAD, |plugin| plugin.package)
}

/// Makes an element called `name`.
///
/// # Errors
/// Its plugin is not installed. The error names the package.
pub(crate) fn make(factory: &str, name: &str) -> Result<gst::Element, CaptureError> {
    is_available(factory);
    gst::ElementFactory::make_with_name(factory, Some(name)).map_err(|_| {
        let package = plugin_of(factory).map_or(BAD, |plugin| plugin.package);
        CaptureError::internal(format!("the GStreamer element {factory} is not here; install the package {package}"))
    })
}

/// Whether such an element can be made here.
pub(crate) fn is_available(factory: &str) -> bool {
    let is_known = || gst::ElementFactory::find(factory).is_some();
    is_known() || plugin_of(factory).is_some_and(|plugin| load(plugin.name) && is_known())
}

fn plugin_of(factory: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| plugin.elements.contains(&factory))
}

/// Loads those of the plugins with these names that are installed.
pub(crate) fn load_all(names: &[&str]) {
    for name in names {
        load(name);
    }
}

/// Loads a plugin. Returns false if it is not installed or cannot be loaded.
fn load(name: &str) -> bool {
    let file = format!("libgst{name}.so");
    let mut files = search_path().map(|folder| folder.join(&file)).filter(|file| file.exists());
    let is_loaded = gst::Registry::get().find_plugin(name).is_some() || files.any(|file| load_file(&file));
    keep_secrets_out_of_the_log();
    is_loaded
}

/// GStreamer's own log, which `GST_DEBUG` switches on: below INFO `srtsink` prints its passphrase.
fn keep_secrets_out_of_the_log() {
    if let Some(category) = gst::DebugCategory::get("srtobject")
        && category.threshold() > gst::DebugLevel::Info
    {
        category.set_threshold(gst::DebugLevel::Info);
    }
}

fn load_file(file: &Path) -> bool {
    let loaded = gst::Plugin::load_file(file);
    if let Err(error) = &loaded {
        tracing::warn!("{}: {error}; install its package again", file.display());
    }
    loaded.is_ok()
}

/// Where plugins are, in GStreamer's order: the directories in the environment, then the one of its library.
fn search_path() -> impl Iterator<Item = PathBuf> {
    let named = env::var_os("GST_PLUGIN_PATH").unwrap_or_default();
    let named: Vec<PathBuf> = env::split_paths(&named).collect();
    named.into_iter().chain([plugin_directory().to_owned()])
}

/// GStreamer's plugin directory: next to the library that this process runs with.
pub(crate) fn plugin_directory() -> &'static Path {
    // Found once: each press loads some twenty plugins, and the list of mappings grows with each of them.
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let mut paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
        let library = paths.find(|path| path.contains("libgstreamer-1.0.so"));
        library.and_then(|path| Path::new(path).parent()).map(|folder| folder.join("gstreamer-1.0")).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests;
