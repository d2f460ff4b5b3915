//! The durations of the ten rules (docs/consent.md).

use core::time::Duration;

/// What may differ from shop to shop. The durations of gestures are fixed by the rules: see the constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionLimits {
    /// Longest session; after it staff have to press again.
    pub max_session: Duration,
    /// How long a remote request waits for a press.
    pub request_timeout: Duration,
    /// How long a session may be without the ingest server, at its start and later.
    pub reconnect_window: Duration,
    /// Minors' mode: a press starts nothing before a guardian's hold, sessions are short, and remote cannot ask.
    pub minors_mode: bool,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            max_session: Duration::from_hours(4),
            request_timeout: Duration::from_mins(1),
            reconnect_window: Duration::from_mins(10),
            minors_mode: false,
        }
    }
}

/// Longest session in minors' mode, whatever `max_session` says: a lesson, and no camera that nobody thinks of.
pub const MAX_MINORS_SESSION: Duration = Duration::from_mins(30);
/// Longest probe: a camera's slowest start (10 s to decode a file's first frame) and the seconds that are counted.
pub(super) const MAX_PROBE: Duration = Duration::from_secs(20);
/// A press let go before this starts picture and sound (rule 8).
pub const SOUND_BELOW: Duration = Duration::from_millis(700);
/// A press let go before this (and not before [`SOUND_BELOW`]) starts picture only (rule 8).
pub const PICTURE_BELOW: Duration = Duration::from_secs(3);
/// Held this long: acknowledges a policy (rule 7) or ends a lock (rule 9). A guardian's hold (rule 8) lasts as long,
/// and less than [`PICTURE_BELOW`].
pub const ACKNOWLEDGE_HOLD: Duration = Duration::from_secs(2);
/// Held this long: privacy lock, at once; unsent footage is destroyed when the button comes up (rules 9 and 10).
pub const LOCK_HOLD: Duration = Duration::from_secs(5);
/// Held this long: the lamp warns that unbinding is near (rule 10).
pub const UNBIND_WARNING_HOLD: Duration = Duration::from_secs(8);
/// Let go after this, and before [`STUCK_HOLD`]: unbind (rule 10).
pub const UNBIND_HOLD: Duration = Duration::from_secs(10);
/// Held this long the button is taken to be stuck (rule 10): letting go does nothing any more.
pub const STUCK_HOLD: Duration = Duration::from_secs(30);
/// A touch that begins this soon after a question was withdrawn is taken to be an answer that came too late, and starts
/// nothing: longer than people need to notice that the lamp has changed.
pub(super) const LATE_ANSWER: Duration = Duration::from_secs(1);
/// While the button is down it has to be polled at least this often.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two polls further apart than this does not count as held: the button may have been up in between.
/// A write to a slow SD card takes less.
pub(super) const MAX_POLL_GAP: Duration = Duration::from_millis(500);
/// Capture that has not ended this long after its stop is killed: that leaves 200 ms of rule 4's 500 ms to verify that
/// it is gone.
pub(super) const KILL_AFTER: Duration = Duration::from_millis(300);
/// A mute that capture has not confirmed within this time ends the session: the lamp may not show "no sound" before,
/// and a mute that was not applied must not go unnoticed.
pub(super) const MUTE_CONFIRM_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the kill is repeated until the process is seen to be gone.
pub(super) const KILL_RETRY_INTERVAL: Duration = Duration::from_millis(100);
