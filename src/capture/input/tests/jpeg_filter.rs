//! Broken pictures among JPEGs, and the decoder behind them.

use gstreamer as gst;

use super::super::jpeg_filter::drop_broken_jpegs;
use crate::capture::tests::element_bench::{ElementBench, add, link};

fn caps(name: &str) -> gst::Caps {
    gst::init().unwrap();
    let caps = gst::Caps::builder(name).field("width", 64).field("height", 48);
    let caps = caps.field("framerate", gst::Fraction::new(30, 1));
    if name == "image/jpeg" { caps.field("parsed", true).build() } else { caps.field("format", "I420").build() }
}

/// One JPEG.
fn jpeg() -> Vec<u8> {
    let bench = ElementBench::new(&caps("video/x-raw"), None, |pipeline, _| {
        let encoder = add(pipeline, "jpegenc");
        (encoder.clone(), encoder)
    });
    let picture: Vec<u8> = (0..64 * 48 * 3 / 2).map(|at: u32| (at * at % 251).to_le_bytes()[0]).collect();
    bench.run(std::iter::once((gst::ClockTime::ZERO, picture))).remove(0).1
}

#[test]
fn a_broken_header_takes_no_whole_picture_with_it() {
    let jpeg = jpeg();
    let bench = ElementBench::new(&caps("image/jpeg"), None, |pipeline, source| {
        drop_broken_jpegs(source).unwrap();
        link(&[add(pipeline, "jpegdec")])
    });
    // Its first segment is said to have 65,535 bytes, as many as follow in 18 pictures.
    let broken = [&jpeg[..4], &[0xff, 0xff], &jpeg[6..]].concat();
    let pictures = (0..30).map(move |number| {
        let bytes = if number % 3 == 0 { broken.clone() } else { jpeg.clone() };
        (gst::ClockTime::from_mseconds(number * 33), bytes)
    });
    let shown: Vec<_> = bench.run(pictures).iter().map(|(time, _)| time.mseconds() / 33).collect();
    assert_eq!(shown, (0..30).filter(|number| number % 3 != 0).collect::<Vec<_>>());
}

#[test]
fn other_pictures_are_left_alone() {
    let bench = ElementBench::new(&caps("video/x-raw"), None, |pipeline, source| {
        drop_broken_jpegs(source).unwrap();
        let identity = add(pipeline, "identity");
        (identity.clone(), identity)
    });
    let raw = (0..3).map(|at| (gst::ClockTime::from_seconds(at), vec![7; 64 * 48 * 3 / 2]));
    assert_eq!(bench.run(raw).len(), 3);
}
