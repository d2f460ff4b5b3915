//! The clocks of a simulated box. Monotonic time is tokio's, which a simulation pauses and moves on; the wall clock,
//! the boot and the kernel's word on its synchronisation are what the simulation says.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{ClockReading, millis};
use crate::worker::simulated::blocking;

/// What the clocks of this thread show.
#[derive(Clone, Debug)]
pub struct SimulatedClock {
    /// From when on the machine's time counts.
    booted: Instant,
    /// The boot: 16 hex digits.
    boot: Arc<str>,
    /// What the wall clock showed at the boot, with all its steps since.
    wall_at_boot: Timestamp,
    /// Whether the kernel has the wall clock as synchronised.
    pub synchronised: bool,
}

thread_local! {
    static CLOCK: RefCell<Option<SimulatedClock>> = const { RefCell::new(None) };
    /// How often a clock was looked at in the present moment, and when that is.
    static LOOKS: Cell<Option<(Instant, u32)>> = const { Cell::new(None) };
}

/// The simulated clocks count in this thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        CLOCK.with_borrow_mut(|clock| *clock = None);
    }
}

impl SimulatedClock {
    /// The machine is switched on now, the `boot`th time, with a wall clock that shows `wall`. Call it in the
    /// simulation's runtime: monotonic time is that of the runtime.
    pub fn boot(boot: u64, wall: Timestamp) -> Self {
        Self { booted: Instant::now(), boot: format!("{boot:016x}").into(), wall_at_boot: wall, synchronised: false }
    }

    /// Steps the wall clock.
    pub fn step(&mut self, by: SignedDuration) {
        self.wall_at_boot = self.wall_at_boot.saturating_add(by).unwrap_or(self.wall_at_boot);
    }

    /// What the wall clock shows.
    pub fn wall(&self) -> Timestamp {
        self.read().utc
    }

    fn read(&self) -> ClockReading {
        let up = self.booted.elapsed();
        ClockReading {
            utc: self.wall_at_boot.saturating_add(up).unwrap_or(Timestamp::MAX),
            synchronised: self.synchronised,
            boot: self.boot.clone(),
            monotonic_ms: millis(up),
        }
    }
}

/// Puts `clock` in the place of this thread's clocks.
pub fn install(clock: SimulatedClock) -> Installed {
    CLOCK.with_borrow_mut(|known| *known = Some(clock));
    Installed(())
}

/// Changes what the clocks show; nothing happens where none is installed.
pub fn change(how: impl FnOnce(&mut SimulatedClock)) {
    CLOCK.with_borrow_mut(|clock| {
        if let Some(clock) = clock {
            how(clock);
        }
    });
}

/// More looks at a clock than any work brings in one moment.
const MOST_LOOKS: u32 = 300_000;

/// Ends what never lets time pass: simulated time stands still while anything is done, and a loop that does not wait
/// would go on for ever. On a real machine it would keep a processor busy.
#[allow(clippy::panic)] // the simulation reports it as the violation that it is
pub(super) fn count_look() {
    if CLOCK.with_borrow(Option::is_none) {
        return;
    }
    let now = Instant::now();
    let looks = LOOKS.get().filter(|(at, _)| *at == now).map_or(0, |(_, looks)| looks + 1);
    LOOKS.set(Some((now, looks)));
    assert!(looks < MOST_LOOKS, "something goes on without end, and never waits");
}

/// Time since the boot; `None`: this thread has the machine's.
pub(super) fn up() -> Option<std::time::Duration> {
    CLOCK.with_borrow(|clock| clock.as_ref().map(|clock| clock.booted.elapsed()))
}

/// What the clocks show; `None`: this thread has the machine's.
pub(super) fn read() -> Option<ClockReading> {
    if blocking::is_blocking() {
        // The runtime's time is known in the simulation's thread alone.
        return blocking::wait_for(|| std::future::ready(read())).flatten();
    }
    CLOCK.with_borrow(|clock| clock.as_ref().map(SimulatedClock::read))
}
