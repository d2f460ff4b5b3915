//! One run: encoder, queue, link and controller, millisecond by millisecond.

use core::time::Duration;
use std::collections::VecDeque;

use super::encoder::Encoder;
use super::srt::Srt;
use super::tcp::Tcp;
use super::traces::Trace;
use super::transport::{Carrier, Protocol, Sent};
use super::{AUDIO, Contender, LIMITS, Measurement, Millis, Sight, belacoder, time};
use crate::TransportStats;

/// The queue of our push: what is older is dropped. In milliseconds.
const QUEUE: Millis = 2000;
/// How often a controller may look, in milliseconds: as our push does.
const LOOK: Millis = 10;

/// What came out of a run.
#[derive(Default)]
pub(super) struct Record {
    /// Each 100 ms: what was asked for with the sound, what the link takes, and bytes that had arrived; kbit/s, bytes.
    pub(super) moments: Vec<(Millis, f64, f64, f64)>,
    /// From the encoder to the server's acknowledgement, in milliseconds, of each frame that arrived.
    pub(super) delays: Vec<Millis>,
    pub(super) frames: usize,
    pub(super) lost: usize,
}

struct Waiting {
    frame: usize,
    at: Millis,
    bytes: f64,
}

/// Runs `contender` over `trace`.
pub(super) fn run(trace: &Trace, protocol: Protocol, contender: &mut dyn Contender) -> Record {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let latency = belacoder::LATENCY as Millis;
    let mut link: Box<dyn Carrier> = match protocol {
        Protocol::Tcp => Box::new(Tcp::new(trace.seed)),
        Protocol::Srt => Box::new(Srt::new(trace.seed, latency)),
    };
    let mut encoder = Encoder::new(trace.seed, trace.footage);
    let mut queue: VecDeque<Waiting> = VecDeque::new();
    let (mut born, mut sent, mut record) = (Vec::new(), Vec::new(), Record::default());
    let (mut made, mut dropped, mut free_since) = (0.0, 0.0, 0);
    let mut asked = LIMITS.max;
    for now in 0..trace.length {
        let way = trace.at(now);
        if let Some(bytes) = encoder.frame(now, asked) {
            if queue.front().is_some_and(|first| now - first.at > QUEUE) {
                record.lost += queue.len();
                dropped += queue.drain(..).map(|waiting| waiting.bytes).sum::<f64>();
            }
            queue.push_back(Waiting { frame: born.len(), at: now, bytes });
            born.push(now);
            made += bytes;
        }
        while link.takes()
            && let Some(first) = queue.pop_front()
        {
            link.give(now, first.frame, first.bytes);
            sent.push(Sent { begin: free_since.max(first.at), end: now, bytes: first.bytes });
            free_since = now;
        }
        link.step(now, &way);
        if now % LOOK == 0 {
            let state = link.state();
            let waiting = queue.iter().map(|waiting| waiting.bytes).sum::<f64>() + state.unsent;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let whole = |bytes: f64| bytes.max(0.0) as u64;
            let measurement = Measurement {
                now: time(now),
                produced_bytes: whole(made - dropped),
                // Here both queues count together.
                queued_bytes: whole(waiting),
                transport: TransportStats {
                    unsent_bytes: 0,
                    unacked_bytes: state.unacknowledged.map(whole),
                    retransmitted_bytes: whole(state.resent),
                    ack_count: state.acks,
                    bandwidth_estimate_kbps: None,
                    rtt: state.rtt.map(|rtt| Duration::from_secs_f64(rtt / 1000.0)),
                },
            };
            #[allow(clippy::cast_precision_loss)]
            let queued_ms = queue.front().map_or(0.0, |first| (now - first.at) as f64);
            let sight = Sight { now, measurement, queued_ms, packets: state.packets, sent: &sent };
            asked = contender.step(&sight);
            sent.clear();
        }
        if now % 100 == 0 {
            let whole = f64::from(asked.bitrate_kbps + AUDIO);
            record.moments.push((now, whole, way.kbps, link.state().arrived));
        }
    }
    record.delays = link.done().iter().map(|(frame, at)| at - born[*frame]).collect();
    record.lost += link.lost();
    record.frames = born.len();
    record
}
