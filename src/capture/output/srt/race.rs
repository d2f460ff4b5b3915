//! SRT to each address of a host: the next one is tried beside those that have not answered, and the first that
//! connects stays (RFC 8305). `srtsink` itself knows the first address only.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use crate::capture::media::Frame;
use crate::capture::output::connection::{IngestConnection, TransportStats};
use crate::capture::output::error::ConnectionError;
use crate::capture::output::error::ConnectionErrorKind;
use crate::capture::output::srt::SrtConnection;
use crate::capture::output::target::LastAddress;
use crate::clock::Clock;
use crate::connect::ATTEMPT_DELAY;
use monotonic::Monotonic;

/// One connection, once one of the attempts has won.
pub(crate) struct AddressRace(RefCell<Attempts>);

struct Attempts {
    pending: VecDeque<SrtConnection>,
    active: Vec<SrtConnection>,
    /// The only one under way is connected.
    won: bool,
    /// What servers are found out by; an attempt that begins later is given it too.
    sent_frames: Vec<Frame>,
    last_error: Option<ConnectionError>,
    clock: Clock,
    next_at: Monotonic,
    last_address: LastAddress,
}

impl AddressRace {
    /// Begins with the first of `attempts`; there is one at least.
    pub(crate) fn new(attempts: Vec<SrtConnection>, last_address: &LastAddress) -> Self {
        let clock = Clock::start();
        let mut attempts = Attempts {
            pending: attempts.into(),
            active: Vec::new(),
            won: false,
            sent_frames: Vec::new(),
            last_error: None,
            clock,
            next_at: clock.now(),
            last_address: last_address.clone(),
        };
        attempts.advance();
        Self(RefCell::new(attempts))
    }

    /// Asks the attempt that counts.
    fn with_first<T>(&self, query: impl FnOnce(&SrtConnection) -> T) -> Option<T> {
        self.0.borrow().active.first().map(query)
    }
}

impl Attempts {
    /// Looks who has connected and who has failed, and begins the next attempt when it is due.
    fn advance(&mut self) {
        if self.won {
            return;
        }
        if let Some(position) = self.active.iter().position(SrtConnection::is_connected) {
            let winner = self.active.swap_remove(position);
            *self.last_address.lock().unwrap_or_else(PoisonError::into_inner) = Some(winner.address());
            let others = core::mem::replace(&mut self.active, vec![winner]);
            self.won = true;
            self.pending.clear();
            self.sent_frames.clear();
            if !others.is_empty() {
                // libsrt may take its time to give up; the stream does not wait for it.
                let _ = std::thread::Builder::new().name("srt-close".to_owned()).spawn(move || drop(others));
            }
            return;
        }
        for attempt in core::mem::take(&mut self.active) {
            match attempt.take_error() {
                Some(error) => self.record_error(error),
                None => self.active.push(attempt),
            }
        }
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

    /// A server that says no says more than one that is away.
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
}

impl IngestConnection for AddressRace {
    fn is_connected(&self) -> bool {
        let mut attempts = self.0.borrow_mut();
        attempts.advance();
        attempts.won
    }

    fn needs_data_to_connect(&self) -> bool {
        // Its sink looks at the socket, and sees that the server said no, only when it has something to send.
        true
    }

    fn renegotiate_with(&self) -> Option<Duration> {
        self.with_first(SrtConnection::renegotiate_with)?
    }

    fn send(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        self.0.get_mut().send(frame)
    }

    fn would_block(&self) -> bool {
        self.with_first(SrtConnection::would_block).unwrap_or(false)
    }

    fn set_live(&mut self) {
        self.0.get_mut().active.iter_mut().for_each(SrtConnection::set_live);
    }

    fn progress(&self) -> u64 {
        self.with_first(SrtConnection::progress).unwrap_or(0)
    }

    fn first_frame_delivered(&self) -> bool {
        self.with_first(SrtConnection::first_frame_delivered).unwrap_or(false)
    }

    fn take_error(&self) -> Option<ConnectionError> {
        let mut attempts = self.0.borrow_mut();
        if attempts.won {
            return attempts.active.first().and_then(SrtConnection::take_error);
        }
        attempts.advance();
        attempts.last_error.clone().filter(|_| attempts.active.is_empty() && attempts.pending.is_empty())
    }

    fn stats(&self) -> TransportStats {
        self.with_first(SrtConnection::stats).unwrap_or_default()
    }

    fn rtt_ms(&self) -> Option<u32> {
        self.with_first(SrtConnection::rtt_ms)?
    }
}
