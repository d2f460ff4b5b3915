//! One encoder by itself, as `coding` starts it: its frames are decoded and held against the pictures that went in.
//! x264 here; in the virtual machine `TALLYBOX_CODER=v4l2fwhtenc` makes it the kernel's codec test driver (vicodec),
//! which GStreamer drives with the same memory-to-memory code as the hardware encoder of a Raspberry Pi
//! (tests/vm/codec.py).

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::encoder::backend;
use crate::capture::encoder::pipeline::{Backpressure, EncoderPipeline, hand};
use crate::capture::gst::CLOSE_TIMEOUT;
use crate::clock::Clock;
use crate::config::{Video, example};

/// GStreamer 1.22 asks for vicodec's buffers before it tells the driver the size: only with the driver's own first
/// size, which this is, does it then get what it asked for.
const SIZE: (u32, u32) = (1280, 720);
const FPS: u32 = 5;
const LONGEST: Duration = Duration::from_mins(1);

/// The encoder under test, what stands behind it, and what decodes its frames.
struct Kind {
    factory: &'static str,
    behind: gst::Caps,
    stream_format: Option<&'static str>,
    /// What decodes it here; where there is none the frames go to a file, for somebody else.
    decoder: Option<&'static str>,
    is_key: fn(&gst::BufferRef) -> bool,
    /// Asks for finer pictures, which are larger, from now on.
    finer: fn(&EncoderPipeline),
}

impl Kind {
    fn of(video: &Video) -> Self {
        if std::env::var("TALLYBOX_CODER").as_deref() == Ok("v4l2fwhtenc") {
            let finer = |coder: &EncoderPipeline| {
                let controls = gst::Structure::builder("controls").field("fwht_i_frame_qp_value", 1);
                coder.element().set_property("extra-controls", controls.field("fwht_p_frame_qp_value", 1).build());
            };
            // GStreamer 1.22 has a decoder for it, which gives no picture: v4l2-ctl decodes it.
            let (factory, decoder) = ("v4l2fwhtenc", None);
            let behind = gst::Caps::new_empty_simple("video/x-fwht");
            return Self { factory, behind, stream_format: None, decoder, is_key: is_fwht_key, finer };
        }
        let (factory, decoder) = ("x264enc", Some("avdec_h264"));
        let behind = backend::caps(factory, video, backend::MAIN);
        let is_key = |frame: &gst::BufferRef| !frame.flags().contains(gst::BufferFlags::DELTA_UNIT);
        Self { factory, behind, stream_format: Some("avc"), decoder, is_key, finer: |coder| coder.set_bitrate(6_000) }
    }
}

/// vicodec leaves V4L2's flag for keyframes out; a frame's own header has one (`V4L2_FWHT_FL_I_FRAME`, in its sixth
/// word).
fn is_fwht_key(frame: &gst::BufferRef) -> bool {
    let map = frame.map_readable().unwrap();
    assert_eq!(map[..8], *b"OOOO\xff\xff\xff\xff", "a frame of FWHT begins with these");
    u32::from_be_bytes(map[20..24].try_into().unwrap()) & 1 << 10 != 0
}

fn configured() -> Video {
    let (width, height) = SIZE;
    // A keyframe each second: five pictures, and vicodec knows up to sixteen.
    let keyframe_interval = Duration::from_secs(1);
    Video { width, height, fps: FPS, bitrate_kbps: 500, keyframe_interval, ..example("").video }
}

/// Picture number `n`: slanted gradients with colour, and a grain on them that coarse coding leaves out. The right
/// half moves; where all did, vicodec would find nothing to take from the picture before.
fn picture(n: u32) -> Vec<u8> {
    let (width, height) = SIZE;
    let byte = |value: u32| u8::try_from(value % 256).unwrap();
    let slope = |value: u32| byte(if (value / 220).is_multiple_of(2) { 16 + value % 220 } else { 235 - value % 220 });
    // Nine levels without a pattern: Knuth's multiplier shuffles the bits.
    let grain = |x: u32, y: u32| ((x * 4096 + y).wrapping_mul(2_654_435_761) >> 16) % 9;
    let mut all = Vec::new();
    for y in 0..height {
        all.extend(
            (0..width).map(|x| slope(u32::midpoint(x, y) + grain(x, y) + if x < width / 2 { 0 } else { 4 * n })),
        );
    }
    for (plane, step) in [(0, 1), (1, 3)] {
        for y in 0..height / 2 {
            all.extend((0..width / 2).map(|x| slope((x * plane + y) / 3 + if x < width / 4 { 0 } else { step * n })));
        }
    }
    all
}

fn time(n: u32) -> gst::ClockTime {
    gst::ClockTime::SECOND * u64::from(n) / u64::from(FPS)
}

/// A sink whose samples can be waited for.
fn tap() -> (gst::Element, Receiver<gst::Sample>) {
    let (give, take) = channel();
    let sink = gst_app::AppSink::builder().sync(false).build();
    sink.set_property("async", false);
    let new_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let _ = give.send(sample);
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(new_sample).build());
    (sink.upcast(), take)
}

/// Hands pictures over, from number `first` on, and takes as many frames.
fn encode(
    coder: &EncoderPipeline,
    frames: &Receiver<gst::Sample>,
    first: u32,
    pictures: &[Vec<u8>],
) -> Vec<gst::Sample> {
    let caps = crate::capture::media::raw_video_caps(&configured());
    let mut all = Vec::new();
    for (n, picture) in (first..).zip(pictures) {
        let mut buffer = gst::Buffer::from_slice(picture.clone());
        buffer.get_mut().unwrap().set_pts(time(n));
        buffer.get_mut().unwrap().set_duration(time(1));
        hand(&coder.source(), &caps, buffer);
        all.push(
            frames.recv_timeout(LONGEST).unwrap_or_else(|_| panic!("no frame for picture {n}: {:?}", coder.error())),
        );
    }
    all
}

fn decode(decoder: &str, frames: &[gst::Sample]) -> Vec<gst::Sample> {
    let pipeline = gst::Pipeline::new();
    let source = gst_app::AppSrc::builder().format(gst::Format::Time).caps(&frames[0].caps_owned().unwrap()).build();
    let make = |factory: &str| gst::ElementFactory::make(factory).build().unwrap();
    let (decoder, convert, filter) = (make(decoder), make("videoconvert"), make("capsfilter"));
    filter.set_property("caps", gst::Caps::builder("video/x-raw").field("format", "I420").build());
    let (sink, pictures) = tap();
    let all = [source.upcast_ref(), &decoder, &convert, &filter, &sink];
    pipeline.add_many(all).unwrap();
    gst::Element::link_many(all).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for frame in frames {
        source.push_buffer(frame.buffer_owned().unwrap()).unwrap();
    }
    source.end_of_stream().unwrap();
    let all = frames.iter().map(|_| pictures.recv_timeout(LONGEST).expect("a picture of each frame")).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    all
}

/// How far apart two pictures are: the mean of the differences of their bytes.
fn apart(one: &gst::Sample, other: &[u8]) -> f64 {
    let map = one.buffer().unwrap().map_readable().unwrap();
    assert_eq!(map.len(), other.len());
    let sum: u64 = map.iter().zip(other).map(|(one, other)| u64::from(one.abs_diff(*other))).sum();
    #[allow(clippy::cast_precision_loss)]
    let mean = sum as f64 / other.len() as f64;
    mean
}

/// Leaves the frames, and the pictures that they are of, in the directory that `TALLYBOX_CODED` names.
fn keep(frames: &[gst::Buffer], pictures: &[Vec<u8>]) {
    let directory = std::path::PathBuf::from(std::env::var_os("TALLYBOX_CODED").expect("TALLYBOX_CODED"));
    let coded: Vec<u8> = frames.iter().flat_map(|frame| frame.map_readable().unwrap().to_vec()).collect();
    std::fs::write(directory.join("coded"), coded).unwrap();
    std::fs::write(directory.join("pictures"), pictures.concat()).unwrap();
}

/// An encoder from its start to its end: all frames of `pictures`, finer from number `finer` on.
fn through(kind: &Kind, video: &Video, pictures: &[Vec<u8>], finer: usize) -> Vec<gst::Sample> {
    let (tap, frames) = tap();
    let element = backend::set_up(kind.factory, video).unwrap_or_else(|failure| panic!("{}", failure.message));
    let coder = EncoderPipeline::start(
        (kind.factory, element),
        kind.behind.clone(),
        kind.stream_format,
        Backpressure::Block,
        &tap,
    )
    .unwrap_or_else(|failure| panic!("{}", failure.message));
    let mut all = encode(&coder, &frames, 0, &pictures[..finer]);
    (kind.finer)(&coder);
    all.extend(encode(&coder, &frames, u32::try_from(finer).unwrap(), &pictures[finer..]));
    let clock = Clock::start();
    let closing = clock.now();
    drop(coder);
    assert!(clock.now().duration_since(closing) < CLOSE_TIMEOUT, "it hangs");
    all
}

#[test]
fn an_encoder_gives_each_picture_and_takes_another_quality_while_it_runs() {
    gst::init().unwrap();
    let video = configured();
    let kind = Kind::of(&video);
    let pictures: Vec<_> = (0..25).map(picture).collect();
    let all = through(&kind, &video, &pictures, 15);
    let buffers: Vec<_> = all.iter().map(|sample| sample.buffer_owned().unwrap()).collect();
    let keys: Vec<_> = (0..25).filter(|&n| (kind.is_key)(&buffers[n])).collect();
    assert_eq!(keys, [0, 5, 10, 15, 20], "a keyframe each second, as the configuration says");
    for (n, frame) in (0..).zip(&all) {
        let segment = frame.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
        let at = segment.to_running_time(frame.buffer().unwrap().pts());
        assert_eq!(at, Some(time(n)), "the frame of picture {n}");
    }
    let size = |from: usize| buffers[from..from + 5].iter().map(|frame| frame.size()).sum::<usize>();
    let (coarse, fine) = (size(5), size(20));
    assert!(coarse * 10 < fine * 9, "{fine} bytes after it was to be finer, {coarse} before");

    match kind.decoder {
        Some(decoder) => {
            let came = decode(decoder, &all);
            let worst = came.iter().zip(&pictures).map(|(seen, wanted)| apart(seen, wanted)).fold(0.0, f64::max);
            assert!(worst < 6.0, "a picture came out {worst} of 255 away from what went in");
            let other = apart(&came[0], &pictures[24]);
            assert!(other > 12.0, "another picture is only {other} away: the measure tells nothing");
        }
        None => keep(&buffers, &pictures),
    }

    // What it had open is free again: another one starts where it was.
    assert_eq!(through(&kind, &video, &pictures[..3], 3).len(), 3);
    println!("{}: 25 of 25 pictures; {coarse} bytes a second, {fine} when asked for finer ones", kind.factory);
}
