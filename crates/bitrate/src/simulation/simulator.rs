//! One run: encoder, queue, link and controller, millisecond by millisecond.

use core::time::Duration;
use std::collections::VecDeque;

use super::encoder::Encoder;
use super::srt::Srt;
use super::tcp::Tcp;
use super::traces::Trace;
use super::transport::{Protocol, Sent, Transport, TransportState};
use super::{AUDIO_KBPS, LIMITS, Measurement, Millis, Observation, RateController, TransportStats, belacoder, time};

/// Our queue drops everything when its oldest frame is older than this. Milliseconds.
const MAX_QUEUED: Millis = 2000;
/// How often a controller observes, in milliseconds: as our publisher polls.
const OBSERVE_INTERVAL: Millis = 10;
/// How often a moment is recorded, in milliseconds.
const RECORD_INTERVAL: Millis = 100;

/// What happened in a run.
#[derive(Default)]
pub(super) struct Record {
    pub(super) moments: Vec<Moment>,
    /// From the encoder to the server's acknowledgement, in milliseconds, of each frame that arrived.
    pub(super) delays: Vec<Millis>,
    pub(super) lost_frames: usize,
}

/// The state of a run at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Millis,
    /// What was requested of the encoder, and audio.
    pub(super) target_kbps: f64,
    /// What the link could carry.
    pub(super) capacity_kbps: f64,
    pub(super) delivered_bytes: f64,
    /// How old the newest frame is that the server has.
    pub(super) behind: Millis,
    /// So far.
    pub(super) lost_frames: usize,
}

struct QueuedFrame {
    frame: usize,
    at: Millis,
    bytes: f64,
}

/// Runs `controller` over `trace`.
pub(super) fn run(trace: &Trace, protocol: Protocol, controller: &mut dyn RateController) -> Record {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let latency = belacoder::LATENCY as Millis;
    let mut transport: Box<dyn Transport> = match protocol {
        Protocol::Tcp => Box::new(Tcp::new(trace.seed, controller.max_unsent())),
        Protocol::Srt => Box::new(Srt::new(trace.seed, latency)),
    };
    let mut encoder = Encoder::new(trace.seed, trace.footage);
    let mut queue: VecDeque<QueuedFrame> = VecDeque::new();
    let (mut created_at, mut sent, mut record) = (Vec::new(), Vec::new(), Record::default());
    let (mut produced, mut dropped, mut free_since) = (0.0, 0.0, 0);
    let mut rendition = LIMITS.max;
    for now in 0..trace.length {
        let link = trace.at(now);
        if let Some(bytes) = encoder.frame(now, rendition) {
            if queue.front().is_some_and(|first| now - first.at > MAX_QUEUED) {
                record.lost_frames += queue.len();
                dropped += queue.drain(..).map(|queued| queued.bytes).sum::<f64>();
            }
            queue.push_back(QueuedFrame { frame: created_at.len(), at: now, bytes });
            created_at.push(now);
            produced += bytes;
        }
        while transport.has_room()
            && let Some(first) = queue.pop_front()
        {
            transport.enqueue(now, first.frame, first.bytes);
            sent.push(Sent { begin: free_since.max(first.at), end: now, bytes: first.bytes });
            free_since = now;
        }
        transport.step(now, &link);
        if now % OBSERVE_INTERVAL == 0 {
            let state = transport.state();
            let queued_bytes = queue.iter().map(|queued| queued.bytes).sum::<f64>();
            let measurement = measurement(now, produced - dropped, queued_bytes + state.unsent, &state);
            #[allow(clippy::cast_precision_loss)]
            let queued_ms = queue.front().map_or(0.0, |first| (now - first.at) as f64);
            let unacked_packets = state.unacked_packets;
            let observation = Observation { now, measurement, queued_ms, unacked_packets, sent: &sent };
            rendition = controller.step(&observation);
            sent.clear();
        }
        if now % RECORD_INTERVAL == 0 {
            let target_kbps = f64::from(rendition.bitrate_kbps + AUDIO_KBPS);
            let delivered_bytes = transport.state().delivered;
            let newest = transport.delivered_frames().last().map_or(0, |(frame, _)| created_at[*frame]);
            let lost_frames = record.lost_frames + transport.lost_frames();
            let (capacity_kbps, behind) = (link.kbps, now - newest);
            record.moments.push(Moment { at: now, target_kbps, capacity_kbps, delivered_bytes, behind, lost_frames });
        }
    }
    record.delays = transport.delivered_frames().iter().map(|(frame, at)| at - created_at[*frame]).collect();
    record.lost_frames += transport.lost_frames();
    record
}

/// What our own controller is given. `queued` includes what waits in the socket.
fn measurement(now: Millis, produced: f64, queued: f64, state: &TransportState) -> Measurement {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = |bytes: f64| bytes.max(0.0) as u64;
    Measurement {
        now: time(now),
        produced_bytes: whole(produced),
        queued_bytes: whole(queued),
        transport: TransportStats {
            unsent_bytes: 0,
            unacked_bytes: state.unacked.map(whole),
            rtt: state.rtt.map(|rtt| Duration::from_secs_f64(rtt / 1000.0)),
            ack_count: state.ack_count,
            retransmitted_bytes: whole(state.retransmitted),
            bandwidth_estimate_kbps: None,
        },
    }
}
