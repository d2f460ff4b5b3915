//! The guard's one loop: signals, buttons, requests, capture's reports and time, in this order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::capture_process::{CaptureEvent, LaunchMode};
use super::control_server::{self, ControlCall, ControlContext, Listener};
use super::engine::{Engine, Helpers};
use super::identity::KeySealer;
use super::panel_controller::PanelController;
use super::periodic_tasks::PeriodicTasks;
use super::{instance, persistence_check};
use crate::clock::Clock;
use crate::config::Config;
use crate::exit::Exit;
use crate::judges::commands::Epoch;
use crate::ledger::WriterProgress;
use crate::panel::PanelEvent;
use crate::runtime::{Shutdown, ShutdownSignals};

/// Reports of captures that wait for the loop; more of them wait in the capture.
const MAX_PENDING_REPORTS: usize = 16;
/// Requests of the control socket that wait for the loop; more of them wait in their connections.
const MAX_PENDING_REQUESTS: usize = 64;

/// How long the control socket has at the end to deliver the last status and entries.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);

/// What systemd or a developer decides, in addition to the configuration.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// How capture is started.
    pub launch_mode: LaunchMode,
    /// Users that may connect to the control socket, besides root and the guard's own.
    pub uids: Vec<u32>,
    /// Whether a helper that runs as root deletes credentials under `/etc` when it is asked.
    pub credentials_helper: bool,
    /// Where a helper seals the box's key with the machine's TPM; `None`: nobody does.
    pub sealing_socket: Option<PathBuf>,
    /// Where the machine's files lie that no configuration names: `/`.
    pub root: PathBuf,
}

/// What the loop waits for.
struct LoopInputs {
    shutdown: Shutdown,
    panel: mpsc::UnboundedReceiver<PanelEvent>,
    calls: mpsc::Receiver<ControlCall>,
    captures: mpsc::Receiver<(u64, CaptureEvent)>,
    ledger: watch::Receiver<WriterProgress>,
}

/// Runs until a signal ends it.
pub(super) async fn run(config: Arc<Config>, options: GuardOptions) -> Result<(), Exit> {
    tracing::info!("the guard starts: {}", config.summary());
    let shutdown = Shutdown::Signals(ShutdownSignals::listen()?);
    if let LaunchMode::Socket(_) = options.launch_mode {
        persistence_check::is_lasting(&config)?;
    }
    let (_lock, listener) = instance::begin(&config)?;
    let clock = Clock::start();
    let epoch = Epoch::draw().map_err(|error| Exit::io(format!("no epoch can be drawn: {error}; restart the box")))?;
    let (engine, context, inputs) = start(&config, options, clock, epoch, shutdown);
    Box::pin(serve(engine, inputs, Listener::Unix(listener), context, &config, clock)).await?;
    let _ = std::fs::remove_file(config.guard_socket());
    tracing::info!("the guard has ended");
    Ok(())
}

/// Runs a guard of a simulation, until `shutdown` ends it or the future is dropped, as a process that is killed.
#[cfg(feature = "sim")]
pub(crate) async fn simulate(
    config: Arc<Config>,
    options: GuardOptions,
    listener: tokio::sync::mpsc::Receiver<(tokio::io::DuplexStream, u32)>,
    shutdown: tokio::sync::mpsc::Receiver<()>,
) -> Result<(), Exit> {
    let clock = Clock::start();
    let epoch = Epoch::draw().map_err(|error| Exit::io(error.to_string()))?;
    let (engine, context, inputs) = start(&config, options, clock, epoch, Shutdown::Simulated(shutdown));
    Box::pin(serve(engine, inputs, Listener::Memory(listener), context, &config, clock)).await
}

fn start(
    config: &Arc<Config>,
    options: GuardOptions,
    clock: Clock,
    epoch: Epoch,
    shutdown: Shutdown,
) -> (Engine, ControlContext, LoopInputs) {
    let (panel_sender, panel) = mpsc::unbounded_channel();
    let (capture_sender, captures) = mpsc::channel(MAX_PENDING_REPORTS);
    let (call_sender, calls) = mpsc::channel(MAX_PENDING_REQUESTS);
    let controller = PanelController::new(&config.panel, &config.device.runtime_dir, panel_sender, clock.now());
    let mut engine = Engine::new(
        config.clone(),
        Helpers {
            launch_mode: options.launch_mode,
            has_credentials_helper: options.credentials_helper,
            sealer: KeySealer::new(options.sealing_socket),
            root: options.root,
        },
        clock,
        epoch,
        controller,
        capture_sender,
    );
    engine.start();
    let context = ControlContext {
        calls: call_sender,
        status: engine.status(),
        reported: engine.reported(),
        head: engine.ledger_writer().head(),
        ledger: config.ledger(),
        uids: options.uids,
        clock,
        has_trust: !config.trust.is_empty(),
    };
    let ledger = engine.ledger_writer().progress();
    (engine, context, LoopInputs { shutdown, panel, calls, captures, ledger })
}

async fn serve(
    mut engine: Engine,
    mut inputs: LoopInputs,
    listener: Listener,
    context: ControlContext,
    config: &Config,
    clock: Clock,
) -> Result<(), Exit> {
    let mut control = std::pin::pin!(control_server::serve(listener, context));
    // The buttons' first levels have to settle: a press before that could be one that was held through the boot.
    let settled = clock.now().saturating_add(config.panel.debounce * 2);
    let mut tasks = PeriodicTasks::new(clock.now(), settled);
    let (mut is_up, mut is_ending) = (false, false);
    while !is_ending || engine.may_capture() {
        // A guard that ends does not look at the buttons: one that is about to settle would keep it from sleeping.
        let deadline = engine.deadline(!is_ending).min(tasks.deadline());
        tokio::select! {
            biased;
            () = inputs.shutdown.requested() => {
                engine.shut_down();
                is_ending = true;
            }
            Some(event) = inputs.panel.recv(), if !is_ending => engine.on_panel_event(event),
            Some(call) = inputs.calls.recv() => {
                engine.handle_call(call, is_ending);
                // Commands come before reports, but may not hold up a confirmation or the end of a capture.
                if let Ok((session, event)) = inputs.captures.try_recv() {
                    engine.on_capture_event(session, event);
                }
            }
            Some((session, event)) = inputs.captures.recv() => engine.on_capture_event(session, event),
            Ok(()) = inputs.ledger.changed() => engine.check_ledger(),
            () = &mut control, if is_up => return Err(Exit::software("the guard's socket is lost")),
            () = tokio::time::sleep_until(clock.to_instant(deadline)) => {}
        }
        if !is_ending {
            engine.poll_buttons();
        }
        engine.tick(&mut tasks);
        if !is_up && clock.now() >= settled {
            is_up = true;
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            tracing::info!(panel = engine.panel_name(), "the guard is up");
        }
        if engine.needs_restart() {
            engine.close_ledger();
            return Err(Exit::unavailable("the ledger can be read now: the guard has to start anew"));
        }
    }
    engine.finish();
    let _ = tokio::time::timeout(SHUTDOWN_GRACE, &mut control).await;
    Ok(())
}
