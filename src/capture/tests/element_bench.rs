//! Buffers through a few real elements, as fast as they go.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

/// A buffer's time and its bytes.
pub(in crate::capture) type Timed = (gst::ClockTime, Vec<u8>);

/// `appsrc`, the elements under test, `appsink`.
pub(in crate::capture) struct ElementBench {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Drop for ElementBench {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl ElementBench {
    /// `build` gets the pipeline and the source, and returns the first and the last of the elements under test.
    pub(in crate::capture) fn new(
        input: &gst::Caps,
        output: Option<&gst::Caps>,
        build: impl FnOnce(&gst::Pipeline, &gst::Element) -> (gst::Element, gst::Element),
    ) -> Self {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let source = gst_app::AppSrc::builder().caps(input).format(gst::Format::Time).max_bytes(10_000).block(true);
        let (source, sink) = (source.build(), gst_app::AppSink::builder().sync(false).build());
        sink.set_caps(output);
        pipeline.add_many([source.upcast_ref::<gst::Element>(), sink.upcast_ref()]).unwrap();
        let (first, last) = build(&pipeline, source.upcast_ref());
        source.link(&first).unwrap();
        last.link(&sink).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, source, sink }
    }

    /// Sends the buffers, and returns what comes out.
    pub(in crate::capture) fn run(&self, buffers: impl Iterator<Item = Timed> + Send + 'static) -> Vec<Timed> {
        let source = self.source.clone();
        let feeder = std::thread::spawn(move || {
            for (time, bytes) in buffers {
                let mut buffer = gst::Buffer::from_mut_slice(bytes);
                buffer.get_mut().unwrap().set_pts(time);
                source.push_buffer(buffer).unwrap();
            }
            source.end_of_stream().unwrap();
        });
        let mut all = Vec::new();
        while let Ok(sample) = self.sink.pull_sample() {
            let buffer = sample.buffer().unwrap();
            all.push((buffer.pts().unwrap(), buffer.map_readable().unwrap().to_vec()));
        }
        feeder.join().unwrap();
        all
    }
}

/// A new element in `pipeline`.
pub(in crate::capture) fn add(pipeline: &gst::Pipeline, factory: &str) -> gst::Element {
    let element = gst::ElementFactory::make(factory).build().unwrap();
    pipeline.add(&element).unwrap();
    element
}

/// Links the elements in order. Returns the first and the last.
pub(in crate::capture) fn link(elements: &[gst::Element]) -> (gst::Element, gst::Element) {
    gst::Element::link_many(elements).unwrap();
    (elements.first().unwrap().clone(), elements.last().unwrap().clone())
}

/// Caps of 16-bit audio.
pub(in crate::capture) fn pcm(rate: u32, channels: i32) -> gst::Caps {
    gst::init().unwrap();
    gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", i32::try_from(rate).unwrap())
        .field("channels", channels)
        .build()
}

pub(in crate::capture) fn to_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

pub(in crate::capture) fn to_samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}
