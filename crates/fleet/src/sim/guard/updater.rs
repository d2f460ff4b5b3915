//! Updates of a simulated box: the box's own code decides about the release and its wave. The package counts as there
//! once the box wants it, and is installed after some seconds: neither is downloaded or replaced.

use std::path::Path;
use std::time::Duration;

use monotonic::Monotonic;
use notes::Role;
use tallybox::clock::{self, ClockReading};
use tallybox::config::Config;
use tallybox::ipc::{Fact, Phase, UpdateOutcome, UpdateState, VERSION_STRING};
use tallybox::judges::ReplySender;
use tallybox::judges::updates::{Moment, Step, Updates};
use tallybox::ledger::LedgerState;

use super::SimGuard;

/// How often the guard looks at the release in force.
const INTERVAL: Duration = Duration::from_secs(1);
/// Where dpkg keeps what is installed, below the box's folder.
const DPKG_STATUS: &str = "var/lib/dpkg/status";
/// The updater removes the request that the guard made.
const REQUEST: &str = "update-request";

/// An installation that is under way.
#[derive(Debug)]
struct Installation {
    ends: Monotonic,
    attempt: String,
    version: String,
}

/// The box's updates, and who installs them.
#[derive(Debug)]
pub(super) struct Updater {
    updates: Updates,
    /// `None`: no key may sign releases, and there is nothing to look at.
    next: Option<Monotonic>,
    installation: Option<Installation>,
    /// Each version fails here.
    fails: bool,
    random: fastrand::Rng,
}

impl Updater {
    /// Of a guard that comes up.
    /// With what the ledger lacks of the release in force.
    pub(super) fn start(
        config: &Config,
        state: &LedgerState,
        now: Monotonic,
        (seed, failures): (u64, u8),
    ) -> (Self, Option<Fact>) {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x0bda);
        let fails = random.u8(0..100) < failures;
        let may_sign = config.trust.keys.iter().any(|key| key.may.contains(&Role::Release));
        let mut updates = Updates::new(config, &config.device.data_dir, now);
        let lacking = updates.restore(state, &reading(), now);
        let open = state.update.as_ref().filter(|record| record.open);
        let installation = open.map(|record| Installation {
            ends: now.saturating_add(INTERVAL),
            attempt: record.attempt.clone(),
            version: record.version.clone(),
        });
        (Self { updates, next: may_sign.then_some(now), installation, fails, random }, lacking)
    }

    pub(super) fn status(&self) -> &tallybox::ipc::UpdateStatus {
        self.updates.status()
    }

    pub(super) fn due(&self) -> Option<Monotonic> {
        self.next
    }
}

/// The wall clock of a box that knows the time.
fn reading() -> ClockReading {
    ClockReading { synchronised: true, ..clock::read() }
}

/// Writes down, as dpkg does, that the box has this version: a Raspberry Pi with 64 bits.
pub(in crate::sim) fn install(home: &Path, version: &str) -> std::io::Result<()> {
    let file = home.join(DPKG_STATUS);
    std::fs::create_dir_all(file.parent().unwrap_or(home))?;
    let text = format!("Package: tallybox\nStatus: install ok installed\nArchitecture: arm64\nVersion: {version}\n");
    std::fs::write(file, text)
}

/// The version that a simulated box has at first, as its package has it.
pub(in crate::sim) fn first_version() -> String {
    format!("{}-1", VERSION_STRING.trim_start_matches("tallybox "))
}

impl SimGuard {
    fn is_busy(&self) -> bool {
        let phase = self.machine.phase();
        phase.may_capture() || phase == Phase::Requested
    }

    /// A release index came.
    pub(super) fn offer_release(&mut self, note: &str, reply: ReplySender) {
        let now = self.clock.now();
        if let Err(why) = self.updater.updates.offer(now, note, reply) {
            self.append(Fact::CommandRefused { verb: "release".to_owned(), why });
        }
    }

    /// The agent has the package, or not: it was told that it is there.
    pub(super) fn on_fetched(&mut self, serial: u64, error: Option<String>) {
        self.updater.updates.on_fetched(serial, error);
    }

    /// Carries out the command `update`. Answered when the updater has it, or when nothing comes of it any more.
    pub(super) fn command_update(&mut self, version: Option<&str>, reply: ReplySender) {
        let (clock, is_busy) = (reading(), self.is_busy());
        let moment = Moment { now: self.clock.now(), clock: &clock, id: self.config.device.id.as_deref(), is_busy };
        if let Some((response, reply)) = self.updater.updates.command(version, &moment, reply) {
            self.answer(reply, response);
        }
    }

    /// Looks at the release in force, once a second.
    pub(super) fn tick_updates(&mut self, now: Monotonic) {
        if self.updater.next.is_none_or(|next| next > now) {
            return;
        }
        self.updater.next = Some(now.saturating_add(INTERVAL));
        self.end_installation(now);
        let (clock, is_busy) = (reading(), self.is_busy());
        let moment = Moment { now, clock: &clock, id: self.config.device.id.as_deref(), is_busy };
        let mut steps = self.updater.updates.tick(&moment);
        let status = self.updater.updates.status();
        if let (UpdateState::Downloading, Some(serial)) = (status.state, status.serial) {
            self.updater.updates.on_fetched(serial, None);
            steps.extend(self.updater.updates.tick(&moment));
        }
        for step in steps {
            match step {
                Step::Record(fact) => self.append(fact),
                Step::RecordStart(fact) => self.begin_installation(now, fact),
            }
        }
        self.publish();
    }

    fn begin_installation(&mut self, now: Monotonic, fact: Fact) {
        self.updater.updates.hand_over(&fact);
        if let Fact::UpdateStarted { version, attempt, .. } = &fact {
            let takes = Duration::from_secs_f64(2.0 + 4.0 * self.updater.random.f64());
            let (attempt, version) = (attempt.clone(), version.clone());
            self.updater.installation = Some(Installation { ends: now.saturating_add(takes), attempt, version });
        }
        self.append(fact);
    }

    fn end_installation(&mut self, now: Monotonic) {
        let ended = self.updater.installation.take_if(|installation| installation.ends <= now);
        let Some(Installation { attempt, version, .. }) = ended else { return };
        let home = &self.config.device.data_dir;
        // Where it is not there yet the guard still writes it, and makes nothing of it.
        let _ = std::fs::remove_file(home.join(REQUEST));
        let error = if self.updater.fails {
            Some("the new version did not come up (simulated)".to_owned())
        } else {
            install(home, &version).err().map(|error| error.to_string())
        };
        if error.is_none() {
            let upstream = version.rsplit_once('-').map_or(version.as_str(), |(upstream, _)| upstream);
            self.software = format!("tallybox {upstream}");
        }
        let outcome = UpdateOutcome { attempt, version, error, again: false };
        if let Some(fact) = self.updater.updates.on_ended(outcome) {
            self.append(fact);
        }
    }
}
