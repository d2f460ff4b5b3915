//! Rotated, cropped, masked and overlaid pictures, as a decoder sees them.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;

use crate::capture::compositor::{Compositor, OverlayRenderer};
use crate::capture::encoder::{EncoderControl, Profile, VideoEncoder, frame_sink};
use crate::capture::gst::plugins::make;
use crate::capture::guard_link::{EventSender, Lease};
use crate::capture::input::add_normalizer;
use crate::capture::media::Track;
use crate::capture::media::h264::avcc_to_annexb;
use crate::capture::queue::FrameQueue;
use crate::config::{Config, Video, VideoSource, example};
use bitrate::Rendition;

/// Decoded pictures, luma only.
struct DecodedFrames {
    width: usize,
    pictures: Vec<Vec<u8>>,
}

impl DecodedFrames {
    /// The darkest and the brightest pixel of a rectangle of picture `number`.
    fn range(&self, number: usize, (x, y, width, height): (usize, usize, usize, usize)) -> (u8, u8) {
        let rows = self.pictures[number].chunks_exact(self.width).skip(y).take(height);
        let all: Vec<u8> = rows.flat_map(|row| row[x..x + width].to_vec()).collect();
        (*all.iter().min().unwrap(), *all.iter().max().unwrap())
    }
}

/// Decodes H.264 with ffmpeg, and scales all pictures to one size.
fn decoded(stream: Vec<u8>, width: usize, height: usize) -> DecodedFrames {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "h264", "-i", "-", "-vf", &format!("scale={width}:{height}:flags=neighbor")]);
    ffmpeg.args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"]);
    let mut child = ffmpeg.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &stream));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let pictures = output.stdout.chunks_exact(width * height).map(<[u8]>::to_vec).collect();
    DecodedFrames { width, pictures }
}

/// Encodes `count` pictures of the camera as `config` asks, with `changes` at their numbers. Returns the stream.
fn encoded(
    config: &Config,
    camera: &gst::Element,
    camera_caps: &gst::Caps,
    count: usize,
    changes: &[(usize, Rendition)],
) -> Vec<u8> {
    let pipeline = gst::Pipeline::with_name("test");
    let filter = make("capsfilter", "camera-caps").unwrap();
    filter.set_property("caps", camera_caps);
    pipeline.add_many([camera, &filter]).unwrap();
    let (first, last) = add_normalizer(&pipeline, &config.video).unwrap();
    let (event_sender, _events) = EventSender::with_receiver();
    let (queue, lease) = (Arc::new(FrameQueue::default()), Arc::new(Lease::valid()));
    let frames = queue.clone();
    let make_sink =
        Box::new(move || frame_sink("video-tap", Track::Video, lease.clone(), vec![frames.clone()]).upcast());
    let size = (config.video.width, config.video.height);
    let renderer = OverlayRenderer::start(&config.overlay, size).unwrap();
    if let Some(renderer) = &renderer {
        // A stream starts without it. Here the first picture has it.
        for _ in 0..1000 {
            if renderer.is_rendered() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
    let compositor = Compositor::new(config.masks.clone(), renderer.as_ref(), size);
    // As a file's, pictures wait for the encoder, and none is dropped.
    let video = Video { source: VideoSource::File, ..config.video.clone() };
    let encoder = VideoEncoder::start(&video, Profile::Main, compositor, make_sink, &event_sender).unwrap();
    let (control, input) = (EncoderControl::default(), encoder.input_sink().unwrap());
    control.attach(&encoder);
    pipeline.add(&input).unwrap();
    gst::Element::link_many([camera, &filter, &first]).unwrap();
    last.link(&input).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut stream = Vec::new();
    for number in 0..count {
        if let Some((_, rendition)) = changes.iter().find(|(at, _)| *at == number) {
            control.apply(rendition).unwrap();
        }
        let frame = queue.pop(Duration::from_secs(30)).expect("a frame");
        stream.extend(avcc_to_annexb(&frame).unwrap());
    }
    pipeline.set_state(gst::State::Null).unwrap();
    stream
}

fn camera(pattern: &str, width: i32, height: i32) -> (gst::Element, gst::Caps) {
    gst::init().unwrap();
    let camera = make("videotestsrc", "video-source").unwrap();
    camera.set_property("is-live", true);
    camera.set_property_from_str("pattern", pattern);
    let caps = gst::Caps::builder("video/x-raw").field("format", "I420").field("width", width).field("height", height);
    (camera, caps.field("framerate", gst::Fraction::new(30, 1)).build())
}

/// Nothing of a masked area is in any frame, from the first one on, and after two changes of the size.
#[test]
fn a_mask_covers_every_frame() {
    let masks = "[[privacy-mask]]\nx = 101\ny = 51\nwidth = 200\nheight = 101\n[[privacy-mask]]\nx = 600\ny = 300\nwidth = 40\nheight = 60\n";
    let config = example(&format!(
        "[video]\nsource = \"test\"\nencoder = \"x264enc\"\nwidth = 640\nheight = 360\nbitrate-kbps = 4000\n{masks}"
    ));
    let (camera, caps) = camera("white", 640, 360);
    let asked = |width, height| Rendition { bitrate_kbps: 4000, fps: 30, width, height };
    let changes = [(20, asked(426, 240)), (40, asked(320, 180)), (60, asked(640, 360))];
    let stream = encoded(&config, &camera, &caps, 80, &changes);
    let frames = decoded(stream, 640, 360);
    assert_eq!(frames.pictures.len(), 80);
    for number in 0..80 {
        for mask in [(104, 54, 194, 95), (603, 303, 37, 57)] {
            let (_, brightest) = frames.range(number, mask);
            // A white scene has 235. What an encoder smears into the edge of black stays far below half of that.
            assert!(brightest < 60, "picture {number}: {brightest} in {mask:?}");
        }
        for open in [(10, 10, 80, 340), (320, 10, 260, 340)] {
            let (darkest, _) = frames.range(number, open);
            assert!(darkest > 180, "picture {number}: {darkest} in {open:?}");
        }
    }
}

/// A camera whose upper left quarter is white and all else black, in a picture of 4:3.
fn corner() -> (gst::Element, gst::Caps) {
    gst::init().unwrap();
    let (width, height) = (320, 240);
    let caps = gst::Caps::builder("video/x-raw").field("format", "I420").field("width", width).field("height", height);
    let caps = caps
        .field("framerate", gst::Fraction::new(30, 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    let source = gstreamer_app::AppSrc::builder().name("video-source").caps(&caps).format(gst::Format::Time).build();
    for number in 0..12_u64 {
        let mut bytes = vec![16_u8; 320 * 240];
        for row in bytes.chunks_exact_mut(320).take(120) {
            row[..160].fill(235);
        }
        bytes.resize(320 * 240 * 3 / 2, 128);
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(number * 1000 / 30));
        source.push_buffer(buffer).unwrap();
    }
    (source.upcast(), caps)
}

#[test]
fn a_picture_is_rotated_and_then_mirrored() {
    // Where the white quarter ends up: left or right, upper or lower.
    for (turn, white) in [
        ("rotation = 0", (0, 0)),
        ("rotation = 90", (1, 0)),
        ("rotation = 180", (1, 1)),
        ("rotation = 270", (0, 1)),
        ("mirror = true", (1, 0)),
        ("rotation = 90\nmirror = true", (0, 0)),
        ("rotation = 180\nmirror = true", (0, 1)),
        ("rotation = 270\nmirror = true", (1, 1)),
    ] {
        let (width, height) = if turn.contains("90") || turn.contains("270") { (240, 320) } else { (320, 240) };
        let config = example(&format!(
            "[video]\nsource = \"test\"\nencoder = \"x264enc\"\nwidth = {width}\nheight = {height}\n{turn}\n"
        ));
        let (camera, caps) = corner();
        let frames = decoded(encoded(&config, &camera, &caps, 5, &[]), width, height);
        for (across, down) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let quarter = (across * width / 2 + 12, down * height / 2 + 12, width / 2 - 24, height / 2 - 24);
            let (darkest, brightest) = frames.range(4, quarter);
            let fits = if (across, down) == white { darkest > 180 } else { brightest < 60 };
            assert!(fits, "{turn}: quarter {across} {down} has {darkest} to {brightest}");
        }
    }
}

/// Without its right half and its lower half the picture is white.
#[test]
fn a_picture_is_cropped() {
    let crop = "crop = { right = 50, bottom = 50 }";
    let config =
        example(&format!("[video]\nsource = \"test\"\nencoder = \"x264enc\"\nwidth = 320\nheight = 240\n{crop}\n"));
    let (camera, caps) = corner();
    let frames = decoded(encoded(&config, &camera, &caps, 5, &[]), 320, 240);
    assert!(frames.range(4, (4, 4, 300, 220)).0 > 180);
}

#[test]
fn the_overlay_has_a_name_and_a_ticking_clock() {
    let config = example(
        "[video]\nsource = \"test\"\nencoder = \"x264enc\"\nwidth = 640\nheight = 360\n[overlay]\ntext = \"Tea & Cup\"\nclock = true\n",
    );
    let (camera, caps) = camera("black", 640, 360);
    let frames = decoded(encoded(&config, &camera, &caps, 75, &[]), 640, 360);
    let (name, clock, rest) = ((0, 6, 200, 24), (400, 6, 240, 24), (0, 60, 640, 300));
    assert!(frames.range(0, name).1 > 150 && frames.range(0, clock).1 > 150, "written in white");
    assert!(frames.range(74, rest).1 < 40, "and nowhere else");
    let looks = |number: usize, (x, y, width, height): (usize, usize, usize, usize)| -> Vec<u8> {
        let rows = frames.pictures[number].chunks_exact(640).skip(y).take(height);
        rows.flat_map(|row| row[x..x + width].to_vec()).collect()
    };
    let differ =
        |area| looks(5, area).iter().zip(looks(74, area)).filter(|(one, other)| one.abs_diff(*other) > 60).count();
    assert!(differ(clock) > 10, "two seconds later the clock shows another time");
    assert!(differ(name) < 5, "the name stays");
}
