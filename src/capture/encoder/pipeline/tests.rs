//! One encoder by itself, as `VideoEncoder` starts it: its frames are decoded and compared with the pictures that went
//! in. x264 here; in the virtual machine `TALLYBOX_CODER=v4l2fwhtenc` makes it the kernel's codec test driver
//! (vicodec), which GStreamer drives with the same memory-to-memory code as the hardware encoder of a Raspberry Pi
//! (tests/vm/codec.py).

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use super::super::backend::{H264Encoder, Profile};
use super::{Backpressure, EncoderPipeline, EncoderPipelineConfig, push_picture};
use crate::capture::gst::CLOSE_TIMEOUT;
use crate::capture::gst::plugins::make;
use crate::capture::media::raw_video_caps;
use crate::clock::Clock;
use crate::config::{Video, example};

/// GStreamer 1.22 asks for vicodec's buffers before it tells the driver the size: only with the driver's own first
/// size, which this is, does it then get what it asked for.
const SIZE: (u32, u32) = (1280, 720);
const FPS: u32 = 5;
const TIMEOUT: Duration = Duration::from_mins(1);

/// The encoder under test, and what decodes its frames.
struct Codec {
    name: &'static str,
    config: fn(&Video) -> EncoderPipelineConfig,
    /// The decoder here; without one the frames go to a file, for another program.
    decoder: Option<&'static str>,
    is_keyframe: fn(&gst::BufferRef) -> bool,
    /// Requests a finer quality, whose frames are larger.
    refine: fn(&EncoderPipeline),
}

impl Codec {
    fn under_test() -> Self {
        if std::env::var("TALLYBOX_CODER").as_deref() == Ok("v4l2fwhtenc") { Self::FWHT } else { Self::X264 }
    }

    const X264: Self = Self {
        name: "x264enc",
        config: |video| EncoderPipelineConfig {
            encoder: H264Encoder::X264.create(video).unwrap_or_else(|error| panic!("{}", error.message)),
            is_software: true,
            output_caps: H264Encoder::X264.output_caps(video, Profile::Main),
            stream_format: Some("avc"),
            backpressure: Backpressure::Block,
        },
        decoder: Some("avdec_h264"),
        is_keyframe: |frame| !frame.flags().contains(gst::BufferFlags::DELTA_UNIT),
        refine: |pipeline| H264Encoder::X264.set_bitrate(pipeline.encoder(), 6_000),
    };

    const FWHT: Self = Self {
        name: "v4l2fwhtenc",
        config: |video| {
            let encoder = make("v4l2fwhtenc", "encoder").unwrap_or_else(|error| panic!("{}", error.message));
            H264Encoder::V4l2.configure(&encoder, video);
            EncoderPipelineConfig {
                encoder,
                is_software: false,
                output_caps: gst::Caps::new_empty_simple("video/x-fwht"),
                stream_format: None,
                backpressure: Backpressure::Block,
            }
        },
        // GStreamer 1.22 has a decoder for it, which gives no picture: v4l2-ctl decodes it.
        decoder: None,
        is_keyframe: is_fwht_keyframe,
        refine: |pipeline| {
            let controls = gst::Structure::builder("controls").field("fwht_i_frame_qp_value", 1);
            pipeline.encoder().set_property("extra-controls", controls.field("fwht_p_frame_qp_value", 1).build());
        },
    };
}

/// vicodec leaves V4L2's flag for keyframes out; a frame's own header has one (`V4L2_FWHT_FL_I_FRAME`, in its sixth
/// word).
fn is_fwht_keyframe(frame: &gst::BufferRef) -> bool {
    let map = frame.map_readable().unwrap();
    assert_eq!(map[..8], *b"OOOO\xff\xff\xff\xff", "a frame of FWHT begins with these");
    u32::from_be_bytes(map[20..24].try_into().unwrap()) & 1 << 10 != 0
}

fn configured() -> Video {
    let (width, height) = SIZE;
    // A keyframe each second, after five pictures: vicodec supports up to sixteen.
    let keyframe_interval = Duration::from_secs(1);
    Video { width, height, fps: FPS, bitrate_kbps: 500, keyframe_interval, ..example("").video }
}

/// Picture number `n`: slanted gradients with colour, and a grain that coarse quantization removes. Only the right half
/// moves: where everything did, vicodec would find nothing to predict from the picture before.
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
fn sample_sink() -> (gst::Element, Receiver<gst::Sample>) {
    let (sender, receiver) = channel();
    let sink = gst_app::AppSink::builder().sync(false).build();
    sink.set_property("async", false);
    let new_sample = move |sink: &gst_app::AppSink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let _ = sender.send(sample);
        Ok(gst::FlowSuccess::Ok)
    };
    sink.set_callbacks(gst_app::AppSinkCallbacks::builder().new_sample(new_sample).build());
    (sink.upcast(), receiver)
}

/// Pushes pictures, from number `first` on, and waits for the frame of each.
fn encode(
    pipeline: &EncoderPipeline,
    frames: &Receiver<gst::Sample>,
    first: u32,
    pictures: &[Vec<u8>],
) -> Vec<gst::Sample> {
    let caps = raw_video_caps(&configured());
    let mut all = Vec::new();
    for (n, picture) in (first..).zip(pictures) {
        let mut buffer = gst::Buffer::from_slice(picture.clone());
        buffer.get_mut().unwrap().set_pts(time(n));
        buffer.get_mut().unwrap().set_duration(time(1));
        push_picture(&pipeline.input(), &caps, buffer);
        let frame = frames.recv_timeout(TIMEOUT);
        all.push(frame.unwrap_or_else(|_| panic!("no frame for picture {n}: {:?}", pipeline.take_error())));
    }
    all
}

fn decode(decoder: &str, frames: &[gst::Sample]) -> Vec<gst::Sample> {
    let pipeline = gst::Pipeline::new();
    let source = gst_app::AppSrc::builder().format(gst::Format::Time).caps(&frames[0].caps_owned().unwrap()).build();
    let make = |factory: &str| gst::ElementFactory::make(factory).build().unwrap();
    let (decoder, convert, filter) = (make(decoder), make("videoconvert"), make("capsfilter"));
    filter.set_property("caps", gst::Caps::builder("video/x-raw").field("format", "I420").build());
    let (sink, pictures) = sample_sink();
    let all = [source.upcast_ref(), &decoder, &convert, &filter, &sink];
    pipeline.add_many(all).unwrap();
    gst::Element::link_many(all).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for frame in frames {
        source.push_buffer(frame.buffer_owned().unwrap()).unwrap();
    }
    source.end_of_stream().unwrap();
    let all = frames.iter().map(|_| pictures.recv_timeout(TIMEOUT).expect("a picture of each frame")).collect();
    pipeline.set_state(gst::State::Null).unwrap();
    all
}

/// The mean absolute difference of two pictures' bytes.
fn difference(one: &gst::Sample, other: &[u8]) -> f64 {
    let map = one.buffer().unwrap().map_readable().unwrap();
    assert_eq!(map.len(), other.len());
    let sum: u64 = map.iter().zip(other).map(|(one, other)| u64::from(one.abs_diff(*other))).sum();
    #[allow(clippy::cast_precision_loss)]
    let mean = sum as f64 / other.len() as f64;
    mean
}

/// Writes the frames, and the pictures that they are of, into the directory that `TALLYBOX_CODED` names.
fn write_files(frames: &[gst::Buffer], pictures: &[Vec<u8>]) {
    let directory = std::path::PathBuf::from(std::env::var_os("TALLYBOX_CODED").expect("TALLYBOX_CODED"));
    let coded: Vec<u8> = frames.iter().flat_map(|frame| frame.map_readable().unwrap().to_vec()).collect();
    std::fs::write(directory.join("coded"), coded).unwrap();
    std::fs::write(directory.join("pictures"), pictures.concat()).unwrap();
}

/// Runs an encoder from its start to its end. Returns the frames of all `pictures`, refined from number `refined` on.
fn run(codec: &Codec, video: &Video, pictures: &[Vec<u8>], refined: usize) -> Vec<gst::Sample> {
    let (sink, frames) = sample_sink();
    let pipeline = EncoderPipeline::start((codec.config)(video), &sink);
    let pipeline = pipeline.unwrap_or_else(|error| panic!("{}", error.message));
    let mut all = encode(&pipeline, &frames, 0, &pictures[..refined]);
    (codec.refine)(&pipeline);
    all.extend(encode(&pipeline, &frames, u32::try_from(refined).unwrap(), &pictures[refined..]));
    let clock = Clock::start();
    let closed_at = clock.now();
    drop(pipeline);
    assert!(clock.now().duration_since(closed_at) < CLOSE_TIMEOUT, "it hangs");
    all
}

#[test]
fn an_encoder_encodes_each_picture_and_changes_its_quality_while_it_runs() {
    gst::init().unwrap();
    let video = configured();
    let codec = Codec::under_test();
    let pictures: Vec<_> = (0..25).map(picture).collect();
    let all = run(&codec, &video, &pictures, 15);
    let buffers: Vec<_> = all.iter().map(|sample| sample.buffer_owned().unwrap()).collect();
    let keyframes: Vec<_> = (0..25).filter(|&n| (codec.is_keyframe)(&buffers[n])).collect();
    assert_eq!(keyframes, [0, 5, 10, 15, 20], "a keyframe each second, as the configuration says");
    for (n, frame) in (0..).zip(&all) {
        let segment = frame.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
        let at = segment.to_running_time(frame.buffer().unwrap().pts());
        assert_eq!(at, Some(time(n)), "the frame of picture {n}");
    }
    let size = |from: usize| buffers[from..from + 5].iter().map(|frame| frame.size()).sum::<usize>();
    let (coarse, fine) = (size(5), size(20));
    assert!(coarse * 10 < fine * 9, "{fine} bytes after it was to be finer, {coarse} before");

    match codec.decoder {
        Some(decoder) => {
            let outputs = decode(decoder, &all);
            let differences = outputs.iter().zip(&pictures).map(|(output, input)| difference(output, input));
            let largest = differences.fold(0.0, f64::max);
            assert!(largest < 6.0, "a decoded picture differs by {largest} of 255 from what went in");
            let other = difference(&outputs[0], &pictures[24]);
            assert!(other > 12.0, "another picture differs by only {other}: the measure proves nothing");
        }
        None => write_files(&buffers, &pictures),
    }

    // What it had open is free again: another one starts in its place.
    assert_eq!(run(&codec, &video, &pictures[..3], 3).len(), 3);
    println!("{}: 25 of 25 pictures; {coarse} bytes a second, {fine} when asked for finer ones", codec.name);
}
