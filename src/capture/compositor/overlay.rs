//! Words on the picture: the shop's name on the upper left, the time of day on the upper right. They are drawn once,
//! the clock once a second, by a thread of their own; on each picture they are only laid over it.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::config::Overlay;

/// How long drawing may take; the first time the system's fonts are looked through.
const RENDER_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(20);

/// The words that are shown at present.
#[derive(Clone, Debug, Default)]
pub(crate) struct OverlayHandle(Arc<Mutex<Option<gst_video::VideoOverlayComposition>>>);

impl OverlayHandle {
    pub(crate) fn current(&self) -> Option<gst_video::VideoOverlayComposition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows others from now on.
    pub(crate) fn set(&self, composition: gst_video::VideoOverlayComposition) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(composition);
    }
}

/// The thread that draws, owned. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct OverlayRenderer {
    handle: OverlayHandle,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for OverlayRenderer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl OverlayRenderer {
    /// Begins to write on pictures of `width` x `height`; nothing where nothing is to be written.
    pub(crate) fn start(overlay: &Overlay, (width, height): (u32, u32)) -> Result<Option<Self>, CaptureError> {
        if overlay.text.is_none() && !overlay.clock {
            return Ok(None);
        }
        let renderer = SvgRenderer::new(width, height)?;
        let (handle, overlay) = (OverlayHandle::default(), overlay.clone());
        let (stop, stopped) = channel::<()>();
        let show = handle.clone();
        let work = move || {
            loop {
                let time = overlay.clock.then(local_time).flatten();
                let words = renderer.render(overlay.text.as_deref(), time.as_ref().map(|(text, _)| text.as_str()));
                if let Some(words) = words {
                    show.set(words);
                } else {
                    tracing::error!(
                        "the words on the picture cannot be drawn: see that fonts-dejavu-core is installed"
                    );
                }
                // Without a clock once is enough.
                let next = time.map(|(_, next)| next);
                let over = match next {
                    Some(next) => !matches!(stopped.recv_timeout(next), Err(RecvTimeoutError::Timeout)),
                    None => stopped.recv().is_err(),
                };
                if over {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("overlay".to_owned()).spawn(work);
        let thread = thread.map_err(|error| CaptureError::internal(format!("no thread: {error}")))?;
        Ok(Some(Self { handle, stop: Some(stop), thread: Some(thread) }))
    }

    /// What is to be laid over pictures, at any time.
    pub(crate) fn handle(&self) -> OverlayHandle {
        self.handle.clone()
    }
}

/// The time of day where the box is, and how long until the next second. By `GLib`, which knows the box's time zone.
fn local_time() -> Option<(String, Duration)> {
    let now = gst::glib::DateTime::now_local().ok()?;
    let text = now.format("%Y-%m-%d %H:%M:%S").ok()?.to_string();
    let rest = 1_000_000 - u64::try_from(now.microsecond()).unwrap_or(0).min(999_999);
    Some((text, Duration::from_micros(rest + 1_000)))
}

/// Draws by librsvg, through a pipeline that stays.
struct SvgRenderer {
    pipeline: gst::Pipeline,
    svg_src: gst_app::AppSrc,
    bitmap_sink: gst_app::AppSink,
    width: u32,
    height: u32,
    line_height: u32,
}

impl Drop for SvgRenderer {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl SvgRenderer {
    fn new(width: u32, height: u32) -> Result<Self, CaptureError> {
        let pipeline = gst::Pipeline::with_name("overlay");
        let caps = gst::Caps::new_empty_simple("image/svg+xml");
        let svg_src = gst_app::AppSrc::builder().name("overlay-in").caps(&caps).format(gst::Format::Time).build();
        let draw = make("rsvgdec", "overlay-draw")?;
        let bitmap_sink = gst_app::AppSink::builder().name("overlay-out").sync(false).build();
        let all = [svg_src.upcast_ref(), &draw, bitmap_sink.upcast_ref()];
        pipeline.add_many(all)?;
        gst::Element::link_many(all)?;
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| CaptureError::internal("the overlay's pipeline does not start"))?;
        // A line of a twentieth of the picture is legible on a telephone and hides little.
        let line_height = (height / 20).max(12);
        Ok(Self { pipeline, svg_src, bitmap_sink, width, height, line_height })
    }

    fn render(&self, left: Option<&str>, right: Option<&str>) -> Option<gst_video::VideoOverlayComposition> {
        let svg = svg(self.width, self.line_height, left, right);
        let mut page = gst::Buffer::from_slice(svg.into_bytes());
        page.get_mut()?.set_pts(gst::ClockTime::ZERO);
        self.svg_src.push_buffer(page).ok()?;
        let sample = self.bitmap_sink.try_pull_sample(RENDER_TIMEOUT)?;
        let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
        let mut pixels = sample.buffer()?.copy();
        let edit = pixels.get_mut()?;
        if edit.meta::<gst_video::VideoMeta>().is_none() {
            let flags = gst_video::VideoFrameFlags::empty();
            gst_video::VideoMeta::add(edit, flags, info.format(), info.width(), info.height()).ok()?;
        }
        let (width, height) = (info.width(), info.height());
        let below = i32::try_from(self.height / 40).ok()?;
        let flags = gst_video::VideoOverlayFormatFlags::PREMULTIPLIED_ALPHA;
        let rectangle = gst_video::VideoOverlayRectangle::new_raw(&pixels, 0, below, width, height, flags);
        gst_video::VideoOverlayComposition::new(Some(&rectangle)).ok()
    }
}

/// A line of white letters with dark edges, which are legible on any picture; on nothing.
fn svg(width: u32, line_height: u32, left: Option<&str>, right: Option<&str>) -> String {
    let (size, edge) = (line_height * 4 / 5, (line_height / 6).max(2));
    let words = [(left, edge * 3, "start"), (right, width.saturating_sub(edge * 3), "end")];
    let drawn: String = words
        .into_iter()
        .filter_map(|(text, x, anchor)| {
            let text = escaped(text?);
            let word =
                |style: &str| format!("<text x=\"{x}\" y=\"{size}\" text-anchor=\"{anchor}\" {style}>{text}</text>");
            let under =
                word(&format!("fill=\"#000\" stroke=\"#000\" stroke-width=\"{edge}\" stroke-linejoin=\"round\""));
            Some(under + &word("fill=\"#fff\""))
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{line_height}\" font-size=\"{size}\" \
         font-family=\"DejaVu Sans, Noto Sans CJK SC, sans-serif\">{drawn}</svg>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_and_nothing_else() {
        let drawn = svg(640, 18, Some("Cup & <Plate>"), None);
        assert!(drawn.contains(">Cup &amp; &lt;Plate&gt;<") && !drawn.contains("end\""), "{drawn}");
    }

    #[test]
    fn the_clock_ticks_with_the_second() {
        let (text, next) = local_time().unwrap();
        assert_eq!(text.len(), "2026-11-25 13:45:00".len());
        assert!(next > Duration::ZERO && next <= Duration::from_millis(1_001));
    }
}
