//! The role that holds button, lamp, consent, ledger and policy. It touches no network but Unix sockets, and no
//! camera or microphone.

mod account;
mod capture_events;
mod capture_process;
mod control_server;
mod engine;
mod erasure;
pub(crate) mod identity;
mod lamp_driver;
mod panel_controller;
mod persistence_check;
mod replies;
mod requests;
mod supply_voltage;

use monotonic::Monotonic;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::clock::{self, Clock, StepDetector};
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{Fact, RENEW_INTERVAL};
use crate::ledger::LedgerWriter;
use consent::{Event, Fault, LampPattern, Reason};

pub use capture_process::LaunchMode;
use capture_process::process::{OrphanedCapture, PidFile};
use control_server::ControlContext;
use engine::Engine;
use panel_controller::PanelController;

/// How often broken parts are tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How often entries that are older than `ledger-retention` are looked for.
const PRUNE: Duration = Duration::from_hours(1);

/// Reports of captures that wait for the loop; more wait with the capture.
const REPORTS: usize = 16;

/// How long whoever listens has to hear the last status and entries.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);

/// What systemd or a developer decides, beside the configuration.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// How capture is started.
    pub launch_mode: LaunchMode,
    /// Users that may connect to door 2, besides root and the guard's own.
    pub uids: Vec<u32>,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(config: Config, options: GuardOptions) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::software(format!("no runtime: {error}")))?;
    runtime.block_on(serve(Arc::new(config), options))
}

/// Leaves the lamp dark after a guard that could not: a line keeps its level when whoever drove it has died.
pub fn switch_off_lamp(config: &Config) -> Result<(), Exit> {
    // A guard that lives has the lamp to itself, and so has one that starts meanwhile.
    let _lock = File::open(lock_file(config)).ok().map(|file| hold(config, file)).transpose()?;
    let (signals, _) = mpsc::unbounded_channel();
    let open = || crate::panel::open(&config.panel, &config.device.runtime_dir, signals);
    let pid_file = PidFile::new(&config.device.runtime_dir);
    let panel = match find_orphan(&pid_file)? {
        None => open(),
        Some(capture) => {
            // Some chips let a line go with whoever drove it: it is lit anew until nothing captures any more.
            let panel = open().and_then(|mut panel| panel.drive(LampPattern::FastBlink, true).map(|()| panel));
            terminate_orphan(&pid_file, &capture)?;
            panel
        }
    };
    panel
        .and_then(|mut panel| panel.drive(LampPattern::Dark, false))
        .map_err(|error| Exit::unavailable(error.to_string()))
}

/// A capture that has outlived its guard, if there is one.
fn find_orphan(pid_file: &PidFile) -> Result<Option<OrphanedCapture>, Exit> {
    let found = pid_file.find_orphan();
    found
        .map_err(|error| Exit::io(format!("whether a capture is left cannot be known, so the lamp stays lit: {error}")))
}

/// Sees to it that it is gone.
fn terminate_orphan(pid_file: &PidFile, capture: &OrphanedCapture) -> Result<(), Exit> {
    tracing::warn!("a capture has outlived its guard");
    capture.terminate().map_err(|error| Exit::unavailable(format!("{error}; the lamp stays lit: restart the box")))?;
    pid_file.remove();
    Ok(())
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Exit> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
        .map_err(|error| {
            Exit::io(format!("{} cannot be made: {error}; set [device] data-dir and runtime-dir", path.display()))
        })
}

/// The file whose lock a guard holds as long as it lives.
fn lock_file(config: &Config) -> std::path::PathBuf {
    config.device.runtime_dir.join("guard.lock")
}

/// Whether a guard runs on this configuration. It is looked at and not made: who made it could lock others out.
pub(crate) fn is_running(config: &Config) -> bool {
    File::open(lock_file(config)).is_ok_and(|file| file.try_lock_shared().is_err())
}

/// One guard at a time: two would both answer the button. The lock goes with the process.
fn lock(config: &Config) -> Result<File, Exit> {
    let path = lock_file(config);
    let file = File::create(&path).map_err(|error| Exit::io(format!("{} cannot be made: {error}", path.display())))?;
    hold(config, file)
}

/// Its lock, unless somebody has it.
fn hold(config: &Config, file: File) -> Result<File, Exit> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(error) => Err(Exit::unavailable(format!("another guard runs on {}: {error}", lock_file(config).display()))),
    }
}

fn listen(config: &Config) -> Result<UnixListener, Exit> {
    let path = config.guard_socket();
    // Whatever is there belonged to a guard that is gone: we hold the lock.
    let _ = std::fs::remove_file(&path);
    UnixListener::bind(&path)
        .and_then(|listener| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
            Ok(listener)
        })
        .map_err(|error| Exit::io(format!("{} cannot be made: {error}", path.display())))
}

async fn serve(config: Arc<Config>, options: GuardOptions) -> Result<(), Exit> {
    tracing::info!("the guard starts: {}", config.summary());
    let software = |error: std::io::Error| Exit::software(format!("no signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(software)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(software)?;
    if let LaunchMode::Socket(_) = options.launch_mode {
        persistence_check::is_lasting(&config)?;
    }
    make_dir(&config.device.runtime_dir, 0o750)?;
    make_dir(&config.device.data_dir, 0o700)?;
    let _lock = lock(&config)?;
    let pid_file = PidFile::new(&config.device.runtime_dir);
    if let Some(capture) = find_orphan(&pid_file)? {
        terminate_orphan(&pid_file, &capture)?;
    }
    let listener = listen(&config)?;

    let clock = Clock::start();
    let (panel_sender, mut panel_events) = mpsc::unbounded_channel();
    let (events, mut captures) = mpsc::channel(REPORTS);
    let (calls, mut requests) = mpsc::channel(64);
    let panel = PanelController::new(&config.panel, &config.device.runtime_dir, panel_sender, clock.now());
    let mut engine = Engine::new(
        config.clone(),
        options.launch_mode,
        clock,
        panel,
        LedgerWriter::new(&config.ledger(), clock),
        events,
    );
    engine.boot();
    let context = ControlContext {
        calls,
        status: engine.status(),
        head: engine.ledger_writer.head(),
        ledger: config.ledger(),
        uids: options.uids,
    };
    let mut ledger = engine.ledger_writer.progress();
    let mut launch_mode = std::pin::pin!(control_server::serve(listener, context));
    // The buttons' first levels have to settle: a press before that could be one that was held through the boot.
    let settled = clock.now().saturating_add(config.panel.debounce * 2);
    let mut tasks = PeriodicTasks { next: settled, ..PeriodicTasks::new(clock.now()) };
    let mut up = false;
    let mut ending = false;
    while !ending || engine.may_capture() {
        let due = engine.deadline().min(tasks.next);
        tokio::select! {
            biased;
            _ = terminate.recv() => ending = engine.end(),
            _ = interrupt.recv() => ending = engine.end(),
            Some(event) = panel_events.recv(), if !ending => {
                for event in engine.panel.on_event(clock.now(), event) {
                    engine.dispatch(event);
                }
            }
            Some(call) = requests.recv() => {
                engine.handle_call(call, ending);
                // Commands come before reports, and yet cannot keep a confirmation or an end from being heard.
                if let Ok((session, events)) = captures.try_recv() {
                    engine.on_capture_event(session, events);
                }
            }
            Some((session, events)) = captures.recv() => engine.on_capture_event(session, events),
            Ok(()) = ledger.changed() => engine.check_ledger(),
            () = &mut launch_mode, if up => return Err(Exit::software("the guard's socket is lost")),
            () = tokio::time::sleep_until(clock.to_instant(due)) => {}
        }
        if !ending {
            for event in engine.panel.poll_debounced(clock.now()) {
                engine.dispatch(event);
            }
        }
        engine.tick(&mut tasks, &config);
        if !up && clock.now() >= settled {
            up = true;
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            tracing::info!(panel = engine.panel.name(), "the guard is up");
        }
        if engine.restart {
            engine.ledger_writer.close();
            return Err(Exit::unavailable("the ledger can be read now: the guard has to start anew"));
        }
    }
    let _ = engine.ledger_writer.append(Fact::GuardStopped {});
    engine.ledger_writer.close();
    engine.check_ledger();
    let _ = engine.panel.show(clock.now(), LampPattern::Dark);
    engine.publish();
    // Whoever listens hears the end, the last entry included.
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, &mut launch_mode).await;
    let _ = std::fs::remove_file(config.guard_socket());
    tracing::info!("the guard has ended");
    Ok(())
}

/// What is done every second, and less often.
struct PeriodicTasks {
    next: Monotonic,
    retry: Monotonic,
    prune: Monotonic,
    steps: StepDetector,
}

impl PeriodicTasks {
    fn new(now: Monotonic) -> Self {
        Self {
            next: now.saturating_add(RENEW_INTERVAL),
            retry: now.saturating_add(RETRY),
            prune: now,
            steps: StepDetector::new(clock::read()),
        }
    }
}

impl Engine {
    /// Consent ends with the guard.
    fn end(&mut self) -> bool {
        self.dispatch(Event::Revoke(Reason::Shutdown));
        true
    }

    /// What time brings: the machine's deadlines, the lamp's rhythm, and the chores.
    fn tick(&mut self, tasks: &mut PeriodicTasks, config: &Config) {
        let now = self.clock.now();
        self.dispatch(Event::Tick);
        self.write_link(now);
        if self.panel.drive(now).is_err() {
            self.dispatch(Event::FaultDetected(Fault::Lamp));
        }
        if now < tasks.next {
            return;
        }
        tasks.next = now.saturating_add(RENEW_INTERVAL);
        self.renew_lease();
        self.forget_stale(now);
        // Fed by the loop that keeps consent, once a second: a loop that hangs is ended by systemd.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        if self.panel.poll(now).is_err() {
            self.dispatch(Event::FaultDetected(Fault::Button));
        }
        if self.supply.poll(now) {
            tracing::error!("the supply voltage is too low: see tallybox doctor");
            self.dispatch(Event::FaultDetected(Fault::Power));
        }
        if let Some(from) = tasks.steps.check(clock::read())
            && let Err(failure) = self.write(Fact::ClockStepped { from, to: clock::utc_now() })
        {
            self.dispatch(failure);
        }
        if self.ledger_writer.flush_counts().is_err() {
            self.dispatch(Event::FaultDetected(Fault::Ledger));
        }
        self.check_ledger();
        if now >= tasks.retry {
            tasks.retry = now.saturating_add(RETRY);
            self.self_test();
            if let Err(failure) = self.erase() {
                self.dispatch(failure);
            }
        }
        if now >= tasks.prune {
            tasks.prune = now.saturating_add(PRUNE);
            self.ledger_writer.prune(config.privacy.ledger_retention);
        }
    }
}
