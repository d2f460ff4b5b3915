//! Fuzz targets of the outputs, under the names that capture hands on.

use gstreamer as gst;

pub(crate) use super::rtmp::fuzzing::{amf0, flv, server as rtmp_server};
use super::srt;
pub(crate) use super::whip::fuzzing::{http as whip_http, sdp as whip_sdp};

/// Any text as the statistics of `srtsink`: whatever a version of libsrt counts, figures come of it and nothing else.
pub(crate) fn srt_statistics(bytes: &[u8]) {
    gst::init().expect("GStreamer");
    let text = String::from_utf8_lossy(bytes).replace('\0', " ");
    let Ok(statistics) = text.parse::<gst::Structure>() else { return };
    let figures = srt::transport_stats(&statistics, 0);
    assert!(figures.rtt.is_none_or(|rtt| rtt.as_secs() < u64::MAX));
    assert_eq!(srt::transport_stats(&statistics, 0), figures);
}
