//! Text on the picture: the shop's name on the upper left, the time of day on the upper right. A thread of its own
//! renders it, once, or once a second with the clock; the encoder's thread only blends it into each picture.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;

use crate::capture::error::CaptureError;
use crate::capture::gst::plugins::make;
use crate::config::Overlay;
use crate::sync::LockExt;
use crate::worker::{OnDrop, Stop, Worker};

/// The first rendering scans the system's fonts.
const RENDER_TIMEOUT: gst::ClockTime = gst::ClockTime::from_seconds(20);

/// The overlay of the moment, shared with whoever blends it.
#[derive(Clone, Debug, Default)]
pub(super) struct OverlayHandle(Arc<Mutex<Option<gst_video::VideoOverlayComposition>>>);

impl OverlayHandle {
    /// `None` until the first rendering is done.
    pub(super) fn current(&self) -> Option<gst_video::VideoOverlayComposition> {
        self.0.lock_unpoisoned().clone()
    }

    fn set(&self, composition: gst_video::VideoOverlayComposition) {
        *self.0.lock_unpoisoned() = Some(composition);
    }
}

/// The rendering thread. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct OverlayRenderer {
    handle: OverlayHandle,
    _worker: Worker,
}

impl OverlayRenderer {
    /// Starts to render for pictures of `width` x `height`. `None`: no text is configured.
    pub(crate) fn start(overlay: &Overlay, (width, height): (u32, u32)) -> Result<Option<Self>, CaptureError> {
        if overlay.text.is_none() && !overlay.clock {
            return Ok(None);
        }
        let renderer = SvgRenderer::new(width, height)?;
        let (handle, overlay) = (OverlayHandle::default(), overlay.clone());
        let target = handle.clone();
        let work = move |stop: &Stop| run(&renderer, &overlay, &target, stop);
        Ok(Some(Self { handle, _worker: Worker::spawn("overlay", OnDrop::Join, work)? }))
    }

    pub(super) fn handle(&self) -> OverlayHandle {
        self.handle.clone()
    }

    /// Whether the first rendering is done, for tests.
    #[cfg(test)]
    pub(crate) fn is_rendered(&self) -> bool {
        self.handle.current().is_some()
    }
}

/// Renders once, or with the clock every second, until `stop`.
fn run(renderer: &SvgRenderer, overlay: &Overlay, target: &OverlayHandle, stop: &Stop) {
    loop {
        let time = overlay.clock.then(local_time).flatten();
        let composition = renderer.render(overlay.text.as_deref(), time.as_ref().map(|(text, _)| text.as_str()));
        if let Some(composition) = composition {
            target.set(composition);
        } else {
            tracing::error!("the words on the picture cannot be drawn: see that fonts-dejavu-core is installed");
        }
        match time {
            Some((_, next)) if !stop.wait_timeout(next) => {}
            Some(_) => return,
            None => return stop.wait(),
        }
    }
}

/// The time of day in the box's time zone, and how long until the next second. `GLib` knows the time zone.
fn local_time() -> Option<(String, Duration)> {
    let now = gst::glib::DateTime::now_local().ok()?;
    let text = now.format("%Y-%m-%d %H:%M:%S").ok()?.to_string();
    let rest = 1_000_000 - u64::try_from(now.microsecond()).unwrap_or(0).min(999_999);
    Some((text, Duration::from_micros(rest + 1_000)))
}

/// Renders SVG with librsvg, in a pipeline that stays open.
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
        let decoder = make("rsvgdec", "overlay-draw")?;
        let bitmap_sink = gst_app::AppSink::builder().name("overlay-out").sync(false).build();
        let elements = [svg_src.upcast_ref(), &decoder, bitmap_sink.upcast_ref()];
        pipeline.add_many(elements)?;
        gst::Element::link_many(elements)?;
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|_| CaptureError::internal("the overlay's pipeline does not start"))?;
        // A twentieth of the picture is legible on a phone, and hides little.
        let line_height = (height / 20).max(12);
        Ok(Self { pipeline, svg_src, bitmap_sink, width, height, line_height })
    }

    fn render(&self, left: Option<&str>, right: Option<&str>) -> Option<gst_video::VideoOverlayComposition> {
        let svg = svg_document(self.width, self.line_height, left, right);
        let mut buffer = gst::Buffer::from_slice(svg.into_bytes());
        buffer.get_mut()?.set_pts(gst::ClockTime::ZERO);
        self.svg_src.push_buffer(buffer).ok()?;
        let sample = self.bitmap_sink.try_pull_sample(RENDER_TIMEOUT)?;
        let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
        let mut pixels = sample.buffer()?.copy();
        let edit = pixels.get_mut()?;
        if edit.meta::<gst_video::VideoMeta>().is_none() {
            let flags = gst_video::VideoFrameFlags::empty();
            gst_video::VideoMeta::add(edit, flags, info.format(), info.width(), info.height()).ok()?;
        }
        let (width, height) = (info.width(), info.height());
        let top = i32::try_from(self.height / 40).ok()?;
        let flags = gst_video::VideoOverlayFormatFlags::PREMULTIPLIED_ALPHA;
        let rectangle = gst_video::VideoOverlayRectangle::new_raw(&pixels, 0, top, width, height, flags);
        gst_video::VideoOverlayComposition::new(Some(&rectangle)).ok()
    }
}

/// One line of white text with a black outline, which is legible on any picture. The rest is transparent.
fn svg_document(width: u32, line_height: u32, left: Option<&str>, right: Option<&str>) -> String {
    let (font_size, outline) = (line_height * 4 / 5, (line_height / 6).max(2));
    let texts = [(left, outline * 3, "start"), (right, width.saturating_sub(outline * 3), "end")];
    let elements: String = texts
        .into_iter()
        .filter_map(|(text, x, anchor)| {
            let text = escape_xml(text?);
            let element = |style: &str| {
                format!("<text x=\"{x}\" y=\"{font_size}\" text-anchor=\"{anchor}\" {style}>{text}</text>")
            };
            let background =
                element(&format!("fill=\"#000\" stroke=\"#000\" stroke-width=\"{outline}\" stroke-linejoin=\"round\""));
            Some(background + &element("fill=\"#fff\""))
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{line_height}\" \
         font-size=\"{font_size}\" font-family=\"DejaVu Sans, Noto Sans CJK SC, sans-serif\">{elements}</svg>"
    )
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_name_is_escaped() {
        let svg = svg_document(640, 18, Some("Cup & <Plate>"), None);
        assert!(svg.contains(">Cup &amp; &lt;Plate&gt;<"), "{svg}");
    }

    #[test]
    fn without_a_clock_there_is_nothing_on_the_right() {
        let svg = svg_document(640, 18, Some("Cup"), None);
        assert!(!svg.contains("end\""), "{svg}");
    }

    #[test]
    fn the_clock_ticks_with_the_second() {
        let (text, next) = local_time().unwrap();
        assert_eq!(text.len(), "2026-11-25 13:45:00".len());
        assert!(next > Duration::ZERO && next <= Duration::from_millis(1_001));
    }
}
