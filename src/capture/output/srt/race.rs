//! SRT to each address of a host: the next one is tried beside those that have not answered, and the first that
//! connects stays (RFC 8305). `srtsink` itself knows the first address only.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::connection::SrtConnection;
use crate::capture::media::Frame;
use crate::capture::output::connection::{IngestConnection, TransportStats};
use crate::capture::output::error::{ConnectionError, ConnectionErrorKind};
use crate::capture::output::target::LastAddress;
use crate::clock::Clock;
use crate::connect::ATTEMPT_DELAY;
use crate::sync::LockExt;
use crate::worker::detached;
use monotonic::Monotonic;

/// Attempts to connect to each address of a host: one connection, once one of them has won.
pub(super) struct AddressRace {
    pending: VecDeque<SrtConnection>,
    /// The attempts that were started; once one has won, it alone.
    active: Vec<SrtConnection>,
    won: bool,
    /// The frames that make an attempt connect: one that starts later gets them too.
    sent_frames: Vec<Frame>,
    last_error: Option<ConnectionError>,
    clock: Clock,
    next_at: Monotonic,
    last_address: LastAddress,
}

impl AddressRace {
    /// Starts with the first of `attempts`, which are at least one.
    pub(super) fn new(attempts: Vec<SrtConnection>, last_address: &LastAddress) -> Self {
        let clock = Clock::start();
        let mut race = Self {
            pending: attempts.into(),
            active: Vec::new(),
            won: false,
            sent_frames: Vec::new(),
            last_error: None,
            clock,
            next_at: clock.now(),
            last_address: last_address.clone(),
        };
        race.start_due();
        race
    }

    /// The attempt whose state is the race's.
    fn first<T>(&self, query: impl FnOnce(&SrtConnection) -> T) -> Option<T> {
        self.active.first().map(query)
    }

    /// Ends the race if an attempt has connected; else removes failed attempts, and starts the next one when it is due.
    fn advance(&mut self) {
        if self.won {
            return;
        }
        self.active.iter_mut().for_each(SrtConnection::poll);
        if let Some(position) = self.active.iter().position(SrtConnection::is_connected) {
            return self.finish(position);
        }
        for mut attempt in core::mem::take(&mut self.active) {
            match attempt.take_error() {
                Some(error) => self.record_error(error),
                None => self.active.push(attempt),
            }
        }
        self.start_due();
    }

    /// Keeps the attempt at `position` and closes the others.
    fn finish(&mut self, position: usize) {
        let winner = self.active.swap_remove(position);
        *self.last_address.lock_unpoisoned() = Some(winner.address());
        let others = core::mem::replace(&mut self.active, vec![winner]);
        self.won = true;
        self.pending.clear();
        self.sent_frames.clear();
        if !others.is_empty() {
            // libsrt may take its time to give up; the stream does not wait for it.
            let _ = detached("srt-close", move || drop(others));
        }
    }

    /// Starts the next attempt if none is active, or the last one has had its time.
    fn start_due(&mut self) {
        let now = self.clock.now();
        while self.active.is_empty() || now >= self.next_at {
            let Some(attempt) = self.pending.pop_front() else { return };
            self.next_at = now.saturating_add(ATTEMPT_DELAY);
            match self.start(attempt) {
                Ok(attempt) => self.active.push(attempt),
                Err(error) => self.record_error(error),
            }
        }
    }

    fn start(&self, mut attempt: SrtConnection) -> Result<SrtConnection, ConnectionError> {
        attempt.start()?;
        self.sent_frames.iter().try_for_each(|frame| attempt.send(frame.clone()))?;
        Ok(attempt)
    }

    /// A server that rejects the stream tells more than one that is unreachable.
    fn record_error(&mut self, error: ConnectionError) {
        let weight = |error: &ConnectionError| match error.kind {
            ConnectionErrorKind::Unreachable => 0,
            ConnectionErrorKind::Renegotiate => 1,
            ConnectionErrorKind::StreamInUse
            | ConnectionErrorKind::Rejected
            | ConnectionErrorKind::CertificateInvalid => 2,
        };
        if self.last_error.as_ref().is_none_or(|known| weight(&error) >= weight(known)) {
            self.last_error = Some(error);
        }
    }
}

impl IngestConnection for AddressRace {
    fn poll(&mut self) {
        self.advance();
    }

    fn is_connected(&self) -> bool {
        self.won
    }

    fn server(&self) -> Option<SocketAddr> {
        self.first(SrtConnection::server)?
    }

    fn needs_data_to_connect(&self) -> bool {
        // `srtsink` polls its socket, and sees that the server rejected it, only when it has something to send.
        true
    }

    fn renegotiate_with(&self) -> Option<Duration> {
        self.first(SrtConnection::renegotiate_with)?
    }

    fn send(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        if let (true, Some(winner)) = (self.won, self.active.first_mut()) {
            return winner.send(frame);
        }
        for mut attempt in core::mem::take(&mut self.active) {
            match attempt.send(frame.clone()) {
                Ok(()) => self.active.push(attempt),
                Err(error) => self.record_error(error),
            }
        }
        self.sent_frames.push(frame);
        Ok(())
    }

    fn would_block(&self) -> bool {
        self.first(SrtConnection::would_block).unwrap_or(false)
    }

    fn set_live(&mut self) {
        self.active.iter_mut().for_each(SrtConnection::set_live);
    }

    fn progress(&self) -> u64 {
        self.first(SrtConnection::progress).unwrap_or(0)
    }

    fn first_frame_delivered(&self) -> bool {
        self.first(SrtConnection::first_frame_delivered).unwrap_or(false)
    }

    fn take_error(&mut self) -> Option<ConnectionError> {
        if self.won {
            return self.active.first_mut().and_then(SrtConnection::take_error);
        }
        self.advance();
        self.last_error.take_if(|_| self.active.is_empty() && self.pending.is_empty())
    }

    fn stats(&self) -> TransportStats {
        self.first(SrtConnection::stats).unwrap_or_default()
    }

    fn rtt_ms(&self) -> Option<u32> {
        self.first(SrtConnection::rtt_ms)?
    }
}
