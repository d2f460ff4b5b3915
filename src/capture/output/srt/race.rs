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
use crate::capture::output::srt::Srt;
use crate::capture::output::target::LastAddress;
use crate::clock::Clock;
use crate::connect::ATTEMPT_DELAY;
use monotonic::Monotonic;

/// One connection, once one of the attempts has won.
pub(crate) struct AddressRace(RefCell<Attempts>);

struct Attempts {
    waiting: VecDeque<Srt>,
    under_way: Vec<Srt>,
    /// The only one under way is connected.
    won: bool,
    /// What servers are found out by; an attempt that begins later is given it too.
    given: Vec<Frame>,
    failed: Option<ConnectionError>,
    clock: Clock,
    next_at: Monotonic,
    reached: LastAddress,
}

impl AddressRace {
    /// Begins with the first of `attempts`; there is one at least.
    pub(crate) fn begin(attempts: Vec<Srt>, reached: &LastAddress) -> Self {
        let clock = Clock::start();
        let mut attempts = Attempts {
            waiting: attempts.into(),
            under_way: Vec::new(),
            won: false,
            given: Vec::new(),
            failed: None,
            clock,
            next_at: clock.now(),
            reached: reached.clone(),
        };
        attempts.go_on();
        Self(RefCell::new(attempts))
    }

    /// Asks the attempt that counts.
    fn ask<T>(&self, question: impl FnOnce(&Srt) -> T) -> Option<T> {
        self.0.borrow().under_way.first().map(question)
    }
}

impl Attempts {
    /// Looks who has connected and who has failed, and begins the next attempt when it is due.
    fn go_on(&mut self) {
        if self.won {
            return;
        }
        if let Some(place) = self.under_way.iter().position(Srt::is_connected) {
            let winner = self.under_way.swap_remove(place);
            *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = Some(winner.to());
            let others = core::mem::replace(&mut self.under_way, vec![winner]);
            self.won = true;
            self.waiting.clear();
            self.given.clear();
            if !others.is_empty() {
                // libsrt may take its time to give up; the stream does not wait for it.
                let _ = std::thread::Builder::new().name("srt-close".to_owned()).spawn(move || drop(others));
            }
            return;
        }
        for attempt in core::mem::take(&mut self.under_way) {
            match attempt.trouble() {
                Some(trouble) => self.note(trouble),
                None => self.under_way.push(attempt),
            }
        }
        let now = self.clock.now();
        while self.under_way.is_empty() || now >= self.next_at {
            let Some(attempt) = self.waiting.pop_front() else { return };
            self.next_at = now.saturating_add(ATTEMPT_DELAY);
            match self.start(attempt) {
                Ok(attempt) => self.under_way.push(attempt),
                Err(trouble) => self.note(trouble),
            }
        }
    }

    fn start(&self, mut attempt: Srt) -> Result<Srt, ConnectionError> {
        attempt.start()?;
        self.given.iter().try_for_each(|frame| attempt.supply(frame.clone()))?;
        Ok(attempt)
    }

    /// A server that says no says more than one that is away.
    fn note(&mut self, trouble: ConnectionError) {
        let weight = |trouble: &ConnectionError| match trouble.kind {
            ConnectionErrorKind::Unreachable => 0,
            ConnectionErrorKind::Renegotiate => 1,
            ConnectionErrorKind::StreamInUse
            | ConnectionErrorKind::Rejected
            | ConnectionErrorKind::CertificateInvalid => 2,
        };
        if self.failed.as_ref().is_none_or(|known| weight(&trouble) >= weight(known)) {
            self.failed = Some(trouble);
        }
    }

    fn supply(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        if let (true, Some(winner)) = (self.won, self.under_way.first_mut()) {
            return winner.supply(frame);
        }
        for mut attempt in core::mem::take(&mut self.under_way) {
            match attempt.supply(frame.clone()) {
                Ok(()) => self.under_way.push(attempt),
                Err(trouble) => self.note(trouble),
            }
        }
        self.given.push(frame);
        Ok(())
    }
}

impl IngestConnection for AddressRace {
    fn is_connected(&self) -> bool {
        let mut attempts = self.0.borrow_mut();
        attempts.go_on();
        attempts.won
    }

    fn knocks(&self) -> bool {
        // Its sink looks at the socket, and sees that the server said no, only when it has something to send.
        true
    }

    fn misfit(&self) -> Option<Duration> {
        self.ask(Srt::misfit)?
    }

    fn supply(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        self.0.get_mut().supply(frame)
    }

    fn is_full(&self) -> bool {
        self.ask(Srt::is_full).unwrap_or(false)
    }

    fn on_air(&mut self) {
        self.0.get_mut().under_way.iter_mut().for_each(Srt::on_air);
    }

    fn arrived(&self) -> u64 {
        self.ask(Srt::arrived).unwrap_or(0)
    }

    fn has_first(&self) -> bool {
        self.ask(Srt::has_first).unwrap_or(false)
    }

    fn trouble(&self) -> Option<ConnectionError> {
        let mut attempts = self.0.borrow_mut();
        if attempts.won {
            return attempts.under_way.first().and_then(Srt::trouble);
        }
        attempts.go_on();
        attempts.failed.clone().filter(|_| attempts.under_way.is_empty() && attempts.waiting.is_empty())
    }

    fn way(&self) -> TransportStats {
        self.ask(Srt::way).unwrap_or_default()
    }

    fn rtt(&self) -> Option<u32> {
        self.ask(Srt::rtt)?
    }
}
