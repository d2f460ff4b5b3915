//! The thread of one WHIP connection: it moves data between str0m, which does no I/O, the sockets and the frames.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use str0m::bwe::{Bitrate, BweKind};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid, Pt};
use str0m::net::{Protocol, Receive};

use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcError};
use url::Url;

use super::http::WhipEndpoint;
use super::peer_state::{OfferParams, OpenResource, PeerState};
use super::sockets::MediaSockets;
use crate::capture::media::h264::avcc_to_annexb;
use crate::capture::media::{Frame, Track};
use crate::capture::output::credentials::{Redactor, redact};
use crate::capture::output::error::ConnectionError;
use crate::clock::Clock;
use crate::sync::LockExt;

/// A datagram has at most the size of an Ethernet frame.
const MAX_DATAGRAM: usize = 2048;
/// ICE and DTLS, a few round trips, may take this long after the answer to the offer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// STUN requests are repeated after a quarter of a second, half a second, then each second; after six the peer is
/// considered lost.
const MAX_STUN_RTO: Duration = Duration::from_secs(1);
const MAX_STUN_RETRANSMITS: usize = 6;
/// How often statistics are gathered.
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// Dynamic RTP payload types of the picture, and of its retransmissions (RTX, RFC 4588).
const VIDEO_PT: u8 = 102;
const VIDEO_RTX_PT: u8 = 103;

pub(super) struct WhipClient {
    pub(super) redactor: Redactor,
    pub(super) params: OfferParams,
    pub(super) peer_state: Arc<PeerState>,
    pub(super) inbox: Receiver<Frame>,
    pub(super) waker: Arc<OwnedFd>,
    pub(super) clock: Clock,
}

impl From<RtcError> for ConnectionError {
    fn from(error: RtcError) -> Self {
        tracing::debug!("WebRTC: {error}");
        Self::unreachable("the WebRTC connection failed")
    }
}

impl From<std::io::Error> for ConnectionError {
    fn from(error: std::io::Error) -> Self {
        tracing::debug!("WebRTC: {error}");
        Self::unreachable("the network cannot be used")
    }
}

impl WhipClient {
    /// Connects, sends until it is stopped or fails, and deletes the resource on the server.
    pub(super) fn run(self, endpoint: &WhipEndpoint) {
        let (mut resource, mut open_resource) = (None, None);
        if let Err(error) = self.connect(endpoint, &mut resource, &mut open_resource) {
            self.peer_state.fail(error);
        }
        if let Some(resource) = &resource {
            endpoint.delete(resource);
        }
        drop(open_resource);
    }

    fn connect(
        &self,
        endpoint: &WhipEndpoint,
        resource: &mut Option<Url>,
        open_resource: &mut Option<OpenResource>,
    ) -> Result<(), ConnectionError> {
        let mut rtc = self.rtc();
        let sockets = MediaSockets::open(&self.params.host, self.params.port, &endpoint.destinations)?;
        for local in sockets.addresses() {
            rtc.add_local_candidate(Candidate::host(local, Protocol::Udp).map_err(RtcError::from)?);
        }
        let (offer, pending, tracks) = self.offer(&mut rtc)?;
        let counted = OpenResource::new();
        let accepted = endpoint.post(&offer)?;
        *open_resource = Some(counted);
        *resource = accepted.resource;
        self.accept(&mut rtc, pending, &accepted.answer?)?;
        let mut peer = Peer { rtc, sockets, tracks };
        let outcome = peer.run(self);
        peer.close();
        outcome
    }

    /// The offer as SDP, what an answer belongs to, and the media lines of picture and audio.
    pub(super) fn offer(&self, rtc: &mut Rtc) -> Result<(String, SdpPendingOffer, [Option<Mid>; 2]), ConnectionError> {
        let mut change = rtc.sdp_api();
        let stream = Some("tallybox".to_owned());
        let video = change.add_media(MediaKind::Video, Direction::SendOnly, stream.clone(), None, None);
        let audio =
            self.params.has_audio.then(|| change.add_media(MediaKind::Audio, Direction::SendOnly, stream, None, None));
        let nothing = || ConnectionError::unreachable("WebRTC made no offer");
        let (offer, pending) = change.apply().ok_or_else(nothing)?;
        Ok((offer.to_sdp_string(), pending, [Some(video), audio]))
    }

    /// Takes the server's answer. The parser's text is not reported: it contains addresses in memory, and what the
    /// server wrote.
    pub(super) fn accept(&self, rtc: &mut Rtc, pending: SdpPendingOffer, answer: &str) -> Result<(), ConnectionError> {
        let redactor = &self.redactor;
        let answer = SdpAnswer::from_sdp_string(answer).map_err(|error| {
            tracing::debug!("the server's answer: {}", redact(&error.to_string(), redactor));
            ConnectionError::rejected("the server's answer to the offer is SDP that cannot be read")
        })?;
        rtc.sdp_api().accept_answer(pending, answer).map_err(|error| {
            tracing::debug!("the server's answer: {}", redact(&error.to_string(), redactor));
            ConnectionError::rejected("the server's answer does not fit the offer")
        })
    }

    pub(super) fn rtc(&self) -> Rtc {
        let mut config = Rtc::builder()
            .set_crypto_provider(Arc::new(str0m::crypto::from_feature_flags()))
            .clear_codecs()
            .enable_opus(true, false)
            .enable_bwe(Some(Bitrate::kbps(self.params.max_kbps.into())))
            .set_stats_interval(Some(STATS_INTERVAL));
        config.set_max_stun_rto(MAX_STUN_RTO);
        config.set_max_stun_retransmits(MAX_STUN_RETRANSMITS);
        let rtx = Some(Pt::new_with_value(VIDEO_RTX_PT));
        config.codec_config().add_h264(Pt::new_with_value(VIDEO_PT), rtx, true, self.params.profile_level_id);
        config.build(self.now())
    }

    fn now(&self) -> Instant {
        self.clock.to_instant(self.clock.now()).into_std()
    }
}

/// The server, once offer and answer are exchanged.
struct Peer {
    rtc: Rtc,
    sockets: MediaSockets,
    /// The media lines of picture and audio.
    tracks: [Option<Mid>; 2],
}

impl Peer {
    fn run(&mut self, client: &WhipClient) -> Result<(), ConnectionError> {
        let started_at = client.now();
        let connected = || client.peer_state.connected.load(Ordering::Relaxed);
        loop {
            let until = self.poll_output(client)?;
            if !connected() && client.now() - started_at > CONNECT_TIMEOUT {
                let reason = "no answer to ICE in time: is UDP let through to the server's media ports?";
                return Err(ConnectionError::unreachable(reason));
            }
            match client.inbox.try_recv() {
                // One frame at a time: str0m's output has to be polled before the next one.
                Ok(frame) if connected() => {
                    self.write(&frame, client)?;
                    continue;
                }
                Ok(_) | Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            let left = until.saturating_duration_since(client.now()).min(STATS_INTERVAL);
            self.sockets.wait(&client.waker, left)?;
            self.receive(client)?;
            self.rtc.handle_input(Input::Timeout(client.now()))?;
        }
    }

    /// Sends str0m's output. Returns when it has more.
    fn poll_output(&mut self, client: &WhipClient) -> Result<Instant, ConnectionError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(until) => return Ok(until),
                Output::Transmit(packet) => {
                    if !client.peer_state.connected.load(Ordering::Relaxed) {
                        *client.peer_state.server.lock_unpoisoned() = Some(packet.destination);
                    }
                    self.sockets.send(&packet);
                }
                Output::Event(event) => handle_event(&event, client)?,
            }
        }
    }

    fn receive(&mut self, client: &WhipClient) -> Result<(), ConnectionError> {
        let mut data = [0; MAX_DATAGRAM];
        while let Some((size, source, destination)) = self.sockets.receive(&mut data) {
            let Ok(contents) = data[..size].try_into() else { continue };
            let received = Receive { proto: Protocol::Udp, source, destination, contents };
            let input = Input::Receive(client.now(), received);
            if self.rtc.accepts(&input) {
                self.rtc.handle_input(input)?;
                self.poll_output(client)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, frame: &Frame, client: &WhipClient) -> Result<(), ConnectionError> {
        let (mid, codec, frequency) = match frame.track {
            Track::Video => (self.tracks[0], Codec::H264, Frequency::NINETY_KHZ),
            Track::Audio => (self.tracks[1], Codec::Opus, Frequency::FORTY_EIGHT_KHZ),
        };
        let data = match frame.track {
            Track::Video => avcc_to_annexb(frame),
            Track::Audio => frame.buffer.map_readable().ok().map(|map| map.to_vec()),
        };
        let (Some(mid), Some(data), Some(pts)) = (mid, data, frame.buffer.pts()) else { return Ok(()) };
        let time = MediaTime::from_micros(pts.useconds()).rebase(frequency);
        let now = client.now();
        let Some(writer) = self.rtc.writer(mid) else { return Ok(()) };
        let Some(pt) = writer.payload_params().find(|params| params.spec().codec == codec).map(PayloadParams::pt)
        else {
            let what = if codec == Codec::H264 { "H.264 constrained baseline" } else { "Opus" };
            return Err(ConnectionError::rejected(format!("the server does not take {what}")));
        };
        writer.write(pt, now, time, data)?;
        client.peer_state.frames_sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Closes the connection, so that the server need not wait for its timeout.
    fn close(&mut self) {
        let _ = self.rtc.close();
        while let Ok(Output::Transmit(packet)) = self.rtc.poll_output() {
            self.sockets.send(&packet);
        }
    }
}

/// Updates the state from an event.
// All other events are about incoming media: there are none.
#[allow(clippy::wildcard_enum_match_arm)]
fn handle_event(event: &Event, client: &WhipClient) -> Result<(), ConnectionError> {
    let peer_state = &client.peer_state;
    match event {
        Event::Connected => peer_state.connected.store(true, Ordering::Relaxed),
        Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
            return Err(ConnectionError::unreachable("the server does not answer any more"));
        }
        Event::Closed => return Err(ConnectionError::unreachable("the server closed the connection")),
        Event::KeyframeRequest(_) => peer_state.keyframe_requested.store(true, Ordering::Relaxed),
        Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. } | BweKind::Remb { estimate, .. }) => {
            peer_state
                .bandwidth_estimate_kbps
                .store(u32::try_from(estimate.as_u64() / 1000).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
        Event::PeerStats(stats) => {
            let pair = stats.selected_candidate_pair.as_ref().and_then(|pair| pair.current_round_trip_time);
            if let Some(rtt) = stats.rtt.or(pair) {
                peer_state.rtt_ms.store(u32::try_from(rtt.as_millis()).unwrap_or(u32::MAX), Ordering::Relaxed);
            }
        }
        _ => {}
    }
    Ok(())
}
