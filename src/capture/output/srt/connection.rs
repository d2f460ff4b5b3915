//! One SRT connection: GStreamer's MPEG-TS muxer and `srtsink`, with a latency that fits the round-trip time.

use std::net::SocketAddr;
use std::time::Duration;

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::capture::error::CaptureError;
use crate::capture::gst::live_appsrc;
use crate::capture::gst::plugins::make;
use crate::capture::media::h264::avcc_to_annexb;
use crate::capture::media::{Frame, Track};
use crate::capture::output::connection::{IngestConnection, TransportStats};
use crate::capture::output::error::SRT_REFUSED;
use crate::capture::output::error::{ConnectionError, ConnectionErrorKind};
use crate::capture::output::sink_pipeline::SinkPipeline;
use crate::capture::output::target::IngestTarget;
use crate::clock::Clock;
use crate::config::{self, Latency, Secret};
use monotonic::Monotonic;

/// The latency as a multiple of the round-trip time: the SRT deployment guide recommends it for losses up to 3 %.
const LATENCY_RTT_MULTIPLE: u32 = 4;
/// A longer latency helps nobody: viewers have left.
const MAX_LATENCY: Duration = Duration::from_secs(8);
/// A server that does not answer is given up after 3 s (libsrt's default). One that rejects the stream does so sooner.
const REJECTED_WITHIN: Duration = Duration::from_millis(2500);
/// Bytes of the headers of IP, UDP and SRT.
const PACKET_OVERHEAD: u64 = 44;
/// Bytes of an MPEG-TS packet.
const TS_PACKET_SIZE: u32 = 188;

/// One connection.
pub(super) struct SrtConnection {
    address: SocketAddr,
    pipeline: SinkPipeline,
    video: gst_app::AppSrc,
    audio: Option<gst_app::AppSrc>,
    muxer: gst::Element,
    latency: Duration,
    min_latency: Duration,
    clock: Clock,
    started_at: Monotonic,
    /// When the first frame was sent.
    first_frame_at: Option<Monotonic>,
    /// How long the handshake took; `None`: it is not done.
    handshake_time: Option<Duration>,
    /// The round-trip time was known before, or the latency is fixed: there is nothing to renegotiate.
    rtt_known: bool,
}

fn latency_for(rtt: Duration, min_latency: Duration) -> Duration {
    (rtt * LATENCY_RTT_MULTIPLE).clamp(min_latency, MAX_LATENCY)
}

/// What libsrt's statistics say, where `unsent_bytes` wait in front of it.
pub(in crate::capture::output) fn transport_stats(stats: &gst::StructureRef, unsent_bytes: u64) -> TransportStats {
    let rtt: Option<f64> = stats.get("rtt-ms").ok();
    let rtt = rtt.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok());
    let ack_count = stats.get::<i32>("packet-ack-received").ok().map(|acks| acks.unsigned_abs().into());
    let (unsent, retransmitted_bytes) = unsent_and_retransmitted(stats);
    TransportStats {
        unsent_bytes: unsent_bytes.saturating_add(unsent),
        rtt,
        ack_count,
        retransmitted_bytes,
        ..TransportStats::default()
    }
}

/// The bytes that libsrt has and has not sent yet, which it does not report, and those that it has retransmitted.
///
/// libsrt counts what it sent with the headers of IP, UDP and SRT. What it drops unsent, because it is too late, looks
/// unsent for ever: it is so little that it can be ignored.
fn unsent_and_retransmitted(stats: &gst::StructureRef) -> (u64, u64) {
    let payload = |bytes, packets: u64| {
        let bytes: u64 = stats.get(bytes).unwrap_or(0);
        bytes.saturating_sub(PACKET_OVERHEAD.saturating_mul(packets))
    };
    let packets = |name| stats.get::<i64>(name).map_or(0, i64::unsigned_abs);
    let again = stats.get::<i32>("packets-retransmitted").map_or(0, i32::unsigned_abs);
    let retransmitted_bytes = payload("bytes-retransmitted", again.into());
    let sent = payload("bytes-sent", packets("packets-sent")).saturating_sub(retransmitted_bytes);
    let given: u64 = stats.get("bytes-sent-total").unwrap_or(0);
    (given.saturating_sub(sent), retransmitted_bytes)
}

/// A caller of `srtsink`: it connects to `address`, and never listens.
fn srt_sink(
    address: SocketAddr,
    options: &config::Srt,
    latency: Duration,
    passphrase: Option<&Secret>,
    stream_id: Option<&Secret>,
) -> Result<gst::Element, CaptureError> {
    let sink = make("srtsink", "sink")?;
    // The URI has host and port only: a query could be read differently by `srtsink`'s parser.
    sink.set_property("uri", format!("srt://{address}"));
    sink.set_property_from_str("mode", "caller");
    sink.set_property("latency", i32::try_from(latency.as_millis()).unwrap_or(i32::MAX));
    if let Some(passphrase) = passphrase {
        sink.set_property("passphrase", passphrase.expose());
        sink.set_property_from_str("pbkeylen", &options.key_length.to_string());
    }
    if let Some(stream_id) = stream_id {
        sink.set_property("streamid", stream_id.expose());
    }
    if sink.has_property("auto-reconnect") {
        // The publisher reconnects: with a reason, and at a keyframe.
        sink.set_property("auto-reconnect", false);
    }
    Ok(sink)
}

/// The picture with start codes, as MPEG-TS requires it.
fn to_byte_stream(frame: &Frame) -> Option<gst::Buffer> {
    let mut picture = frame.without_data().buffer;
    picture.get_mut()?.append_memory(gst::Memory::from_mut_slice(avcc_to_annexb(frame)?));
    Some(picture)
}

impl SrtConnection {
    /// A connection to `address`. It connects once it is started.
    pub(super) fn new(
        target: &IngestTarget,
        address: SocketAddr,
        options: &config::Srt,
        passphrase: Option<&Secret>,
        stream_id: Option<&Secret>,
    ) -> Result<Self, CaptureError> {
        let muxer = make("mpegtsmux", "mux")?;
        // Whole packets only; the configuration leaves room for one at least.
        muxer.set_property("alignment", i32::try_from(options.packet_size / TS_PACKET_SIZE).unwrap_or(7));
        // At first one track waits for the other, since the muxer has to know both before it starts.
        muxer.set_property("latency", gst::ClockTime::from_seconds(2).nseconds());
        let (latency, min_latency, fixed) = match options.latency {
            Latency::AtLeast(min_latency) => {
                (latency_for(target.rtt.unwrap_or_default(), min_latency), min_latency, false)
            }
            Latency::Fixed(span) => (span, span, true),
        };
        let sink = srt_sink(address, options, latency, passphrase, stream_id)?;
        let sink_pipeline = SinkPipeline::new(target, sink)?;
        let video = live_appsrc("video");
        sink_pipeline.pipeline.add_many([video.upcast_ref(), &muxer])?;
        video.link(&muxer)?;
        let audio = target.has_audio.then(|| live_appsrc("audio"));
        if let Some(audio) = &audio {
            sink_pipeline.pipeline.add(audio)?;
            audio.link(&muxer)?;
        }
        muxer.link(&sink_pipeline.sink)?;
        let clock = Clock::start();
        Ok(Self {
            address,
            pipeline: sink_pipeline,
            video,
            audio,
            muxer,
            latency,
            min_latency,
            clock,
            started_at: clock.now(),
            first_frame_at: None,
            handshake_time: None,
            rtt_known: fixed || target.rtt.is_some(),
        })
    }

    /// Starts to connect.
    pub(super) fn start(&mut self) -> Result<(), ConnectionError> {
        self.started_at = self.clock.now();
        self.pipeline.start()
    }

    /// The server's address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl IngestConnection for SrtConnection {
    fn poll(&mut self) {
        if self.handshake_time.is_none() && self.pipeline.stat::<f64>("rtt-ms").is_some() {
            self.handshake_time = Some(self.clock.now().duration_since(self.started_at));
        }
    }

    fn is_connected(&self) -> bool {
        self.handshake_time.is_some()
    }

    fn server(&self) -> Option<SocketAddr> {
        Some(self.address)
    }

    fn renegotiate_with(&self) -> Option<Duration> {
        // The handshake takes two round trips; the minimum latency covers the rest of it.
        let rtt = self.handshake_time.filter(|_| !self.rtt_known)? / 2;
        // A quarter more or less does not justify a new connection.
        (latency_for(rtt, self.min_latency) > self.latency * 5 / 4).then_some(rtt)
    }

    fn send(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        self.first_frame_at = self.first_frame_at.or(Some(self.clock.now()));
        let (source, caps, buffer) = match (frame.track, &self.audio) {
            (Track::Video, _) => {
                let Some(picture) = to_byte_stream(&frame) else { return Ok(()) };
                let caps = gst::Caps::builder("video/x-h264").field("stream-format", "byte-stream");
                (&self.video, Some(caps.field("alignment", "au").build()), picture)
            }
            (Track::Audio, Some(audio)) => (audio, frame.caps, frame.buffer),
            (Track::Audio, None) => return Ok(()),
        };
        if caps.is_some() && source.caps() != caps {
            source.set_caps(caps.as_ref());
        }
        self.pipeline.push(source, buffer)
    }

    fn would_block(&self) -> bool {
        self.video.current_level_bytes() > self.video.max_bytes()
    }

    fn stats(&self) -> TransportStats {
        let level = |source: &gst_app::AppSrc| source.current_level_bytes();
        let unsent_bytes = level(&self.video) + self.audio.as_ref().map_or(0, level);
        self.pipeline.stats().map_or_else(
            || TransportStats { unsent_bytes, ..TransportStats::default() },
            |stats| transport_stats(&stats, unsent_bytes),
        )
    }

    fn set_live(&mut self) {
        // From now on no track waits for the other.
        self.muxer.set_property("latency", 0_u64);
        let latency: Option<i32> = self.pipeline.stat("negotiated-latency-ms");
        tracing::info!("SRT: latency {} ms", latency.unwrap_or_default());
    }

    fn progress(&self) -> u64 {
        // libsrt itself detects within 5 s that the server is gone.
        self.pipeline.buffers_sent()
    }

    fn first_frame_delivered(&self) -> bool {
        // The server acknowledges every 10 ms up to where it has all packets.
        self.pipeline.has_sent_frame() && self.pipeline.stat("packet-ack-received").is_none_or(|all: i32| all > 0)
    }

    fn take_error(&mut self) -> Option<ConnectionError> {
        let error = self.pipeline.take_error()?;
        let unconnected = self.handshake_time.is_none() && error.kind == ConnectionErrorKind::Unreachable;
        if unconnected
            && self
                .first_frame_at
                .is_some_and(|first_frame_at| first_frame_at.duration_since(self.started_at) >= REJECTED_WITHIN / 2)
        {
            // The encoder took its time to start: by now a rejection looks like silence. A new attempt, with a picture
            // ready, shows which it is.
            return Some(ConnectionError { kind: ConnectionErrorKind::Renegotiate, ..error });
        }
        if unconnected && self.clock.now().duration_since(self.started_at) < REJECTED_WITHIN {
            // GStreamer 1.22 reports no reason where it polls the socket only after the rejection came.
            let host = self.pipeline.host_port();
            let reason = format!("{host}: the server turned the connection away: {SRT_REFUSED}");
            return Some(ConnectionError::rejected(reason));
        }
        Some(error)
    }

    fn rtt_ms(&self) -> Option<u32> {
        let rtt = self.pipeline.stat::<f64>("rtt-ms")?;
        // A round-trip time is between zero and a minute.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (rtt.is_finite() && rtt >= 0.0).then_some(rtt as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statistics of `srtsink` (GStreamer 1.22, libsrt 1.5.1) shortly after the start.
    #[test]
    fn what_libsrt_has_not_sent_yet_is_counted() {
        gst::init().unwrap();
        let begun = "application/x-srt-statistics, packets-sent=(gint64)76, packets-retransmitted=(int)0, \
            bytes-sent=(guint64)101104, bytes-retransmitted=(guint64)0, bytes-sent-total=(guint64)116184;";
        assert_eq!(unsent_and_retransmitted(&begun.parse::<gst::Structure>().unwrap()), (14 * 1316, 0));
        let later = "application/x-srt-statistics, packets-sent=(gint64)1945, packets-retransmitted=(int)25, \
            bytes-sent=(guint64)2642944, bytes-retransmitted=(guint64)34000, bytes-sent-total=(guint64)2524464;";
        assert_eq!(unsent_and_retransmitted(&later.parse::<gst::Structure>().unwrap()), (0, 25 * 1316));
    }

    #[test]
    fn latency_follows_the_round_trip_between_its_bounds() {
        let ms = Duration::from_millis;
        assert_eq!(latency_for(ms(5), ms(120)), ms(120));
        assert_eq!(latency_for(ms(80), ms(120)), ms(320));
        assert_eq!(latency_for(ms(9000), ms(120)), MAX_LATENCY);
    }
}
