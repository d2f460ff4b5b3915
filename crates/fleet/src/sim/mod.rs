//! `tallybox-fleet sim`: many boxes in one process. Each is the real agent, with a guard that runs the real consent
//! machine and writes a real hash chain; button, lamp, capture and staff are simulated.

mod args;
mod boxes;
mod broker;
mod guard;
mod ledger;
mod proxy;
mod report;
mod script;
mod staff;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tallybox::clock::Clock;
use tallybox::exit::Exit;
use tallybox::runtime::ShutdownSignals;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::files;
use boxes::SimBox;
use broker::Broker;
use guard::Control;
use monotonic::Monotonic;
use proxy::Proxy;
use script::{Action, Network, Script, Share};

pub(crate) use args::Args;

/// Threads that look after all boxes.
const WORKERS: usize = 2;
/// Threads that connect at once: the agent connects in one.
const MAX_CONNECTING: usize = 64;
/// Descriptors that a box needs: its connection, and with the proxy two more.
const DESCRIPTORS_PER_BOX: u64 = 3;
/// How long agents have to end cleanly.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// A record press that is too short for anything but a start or a stop.
const PRESS: Duration = Duration::from_millis(150);
/// A hold that locks a box.
const LOCK: Duration = Duration::from_millis(5_500);
/// Between two looks at what is not sent yet: longer than staff take to end a session.
const DRAIN_STEP: Duration = Duration::from_secs(5);
/// Longest file with more configuration, in bytes.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;

/// Simulates until it is told to end.
pub(crate) fn run(args: &Args) -> Result<(), Exit> {
    if std::env::var_os("TALLYBOX_LOG").is_some() {
        tallybox::log::init("fleet");
    }
    let script = args.script.as_deref().map_or_else(|| Ok(Script::default()), Script::load)?;
    if script.needs_broker() && args.mosquitto.is_none() {
        return Err(Exit::usage(
            "the script stops and starts the broker: name its configuration with --mosquitto FILE",
        ));
    }
    let needed = u64::from(args.boxes) * DESCRIPTORS_PER_BOX + 100;
    raise_descriptors(needed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(MAX_CONNECTING)
        .enable_all()
        .build()
        .map_err(|error| Exit::software(format!("no runtime: {error}")))?;
    runtime.block_on(simulate(args, &script))
}

/// Each box needs a connection: lifts this process's limit as far as it may.
fn raise_descriptors(needed: u64) -> Result<(), Exit> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = limit.maximum.is_none_or(|maximum| maximum >= needed)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(needed), ..limit }).is_ok();
    let advice =
        || Exit::temporary(format!("{needed} open files are needed, and not allowed: call ulimit -n {needed}"));
    if raised { Ok(()) } else { Err(advice()) }
}

/// What a script acts on.
struct Scene {
    boxes: Vec<SimBox>,
    broker: Option<Broker>,
    proxy: Option<Proxy>,
}

async fn simulate(args: &Args, script: &Script) -> Result<(), Exit> {
    let mut shutdown = ShutdownSignals::listen_in_terminal()?;
    let clock = Clock::start();
    let home = Home::make(args.data.as_deref())?;
    let address = (args.broker.host.clone(), args.broker.port);
    let broker = match &args.mosquitto {
        Some(config) => Some(Broker::start(config, address.clone()).await?),
        None => None,
    };
    let proxy = if args.count || script.needs_proxy() { Some(Proxy::start(address).await?) } else { None };
    let ending = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let boxes = start_boxes(args, &home.path, proxy.as_ref(), &ending, &mut tasks)?;
    eprintln!("{} boxes, {} to {}, at {}; Ctrl-C ends them", args.boxes, first(&boxes), last(&boxes), args.broker);
    let mut scene = Scene { boxes, broker, proxy };
    let ended = tokio::select! {
        _ = shutdown.recv() => Ok(()),
        ended = scene.play(script, clock, args.duration) => ended,
    };
    let memory = report::resident_kib();
    tokio::select! {
        biased;
        () = scene.drain(args.drain) => {}
        _ = shutdown.recv() => {}
    }
    ending.cancel();
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    // Guards end with their agents; an agent that waits for a broker that hangs is not waited for.
    let _ = tokio::time::timeout(END_TIMEOUT, all_ended).await;
    let seconds = clock.now().duration_since(Monotonic::default()).as_secs_f64();
    if let Some(file) = &args.ledgers {
        report::write_ledgers(file, &scene.boxes)?;
    }
    report::print(args.json, &scene.boxes, seconds, memory, scene.proxy.as_ref().map(|proxy| &*proxy.counters))?;
    ended
}

fn first(boxes: &[SimBox]) -> &str {
    boxes.first().map_or("", |sim| &sim.id)
}

fn last(boxes: &[SimBox]) -> &str {
    boxes.last().map_or("", |sim| &sim.id)
}

fn start_boxes(
    args: &Args,
    home: &Path,
    proxy: Option<&Proxy>,
    ending: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<SimBox>, Exit> {
    let mut address = args.broker.clone();
    if let Some(proxy) = proxy {
        (address.host, address.port) = ("127.0.0.1".to_owned(), proxy.port);
    }
    let more =
        args.config.as_deref().map_or_else(|| Ok(String::new()), |file| files::read_text(file, MAX_CONFIG_BYTES))?;
    let mut all = Vec::new();
    for (index, id) in (0..).zip(args.ids()?) {
        let config = boxes::configure(args, &address.to_string(), home, &id, &more)?;
        let delay = args.ramp.mul_f64(f64::from(index) / f64::from(args.boxes));
        all.push(boxes::start(args, config, (index, delay), ending, tasks)?);
    }
    Ok(all)
}

impl Scene {
    /// Goes through the script, and then waits: until `duration` is over, for ever without one, not at all behind
    /// `end`.
    async fn play(&mut self, script: &Script, clock: Clock, duration: Option<Duration>) -> Result<(), Exit> {
        let start = Monotonic::default();
        let end = duration.map(|duration| start.saturating_add(duration));
        for (at, action) in &script.0 {
            let at = start.saturating_add(*at);
            let until = end.map_or(at, |end| end.min(at));
            tokio::time::sleep_until(clock.to_instant(until)).await;
            if until < at || *action == Action::End {
                return Ok(());
            }
            eprintln!("{:>8.1} s  {action:?}", at.duration_since(start).as_secs_f64());
            self.act(*action).await?;
        }
        match end {
            Some(end) => tokio::time::sleep_until(clock.to_instant(end)).await,
            None => std::future::pending().await,
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<(), Exit> {
        match action {
            Action::BrokerStop => {
                if let Some(broker) = &mut self.broker {
                    broker.stop().await;
                }
            }
            Action::BrokerStart => {
                if let Some(broker) = &mut self.broker {
                    broker.resume().await?;
                }
            }
            Action::Network(network) => {
                if let Some(proxy) = &self.proxy {
                    proxy.set(network);
                }
            }
            Action::Press(share) => self.each(share, |sim| sim.control(Control::Press(PRESS))),
            Action::Hold(share) => self.each(share, |sim| sim.control(Control::Press(staff::HOLD))),
            Action::Lock(share) => self.each(share, |sim| sim.control(Control::Press(LOCK))),
            Action::GuardRestart(share) => self.each(share, |sim| sim.control(Control::Restart)),
            Action::AgentRestart(share) | Action::AgentStart(share) => self.each(share, |sim| sim.set_agent(true)),
            Action::AgentStop(share) => self.each(share, |sim| sim.set_agent(false)),
            Action::End => {}
        }
        Ok(())
    }

    /// Staff end what runs, and agents send what was written; for `patience` at most.
    async fn drain(&self, patience: Duration) {
        if patience.is_zero() {
            return;
        }
        // Whatever the script was about.
        if let Some(proxy) = &self.proxy {
            proxy.set(Network::Open);
        }
        self.each(Share(1.0), |sim| sim.control(Control::Close));
        let behind = || self.boxes.iter().filter(|sim| !sim.has_sent_all()).count();
        let written =
            || self.boxes.iter().filter_map(|sim| sim.ledger.borrow().last().map(|(seq, _)| seq)).sum::<u64>();
        let all_sent = async {
            // What staff do now takes its time, and is written too.
            let mut before = None;
            while before != Some(written()) || behind() > 0 {
                before = Some(written());
                tokio::time::sleep(DRAIN_STEP).await;
            }
        };
        if tokio::time::timeout(patience, all_sent).await.is_err() {
            eprintln!("{} boxes have events that the broker did not acknowledge within {patience:?}", behind());
        }
    }

    fn each(&self, share: Share, act: impl Fn(&SimBox)) {
        self.boxes.iter().filter(|sim| share.has(sim.rank)).for_each(act);
    }
}

/// Where the agents keep their files.
struct Home {
    path: PathBuf,
    /// Deleted at the end.
    _temporary: Option<tempfile::TempDir>,
}

impl Home {
    /// `dir`, or a folder in memory: agents write durably, and thousands of them would wear a disk out.
    fn make(dir: Option<&Path>) -> Result<Self, Exit> {
        let failed = |error: std::io::Error| Exit::io(format!("no folder for the boxes: {error}"));
        if let Some(dir) = dir {
            std::fs::create_dir_all(dir).map_err(failed)?;
            return Ok(Self { path: dir.canonicalize().map_err(failed)?, _temporary: None });
        }
        let memory = Path::new("/dev/shm");
        let builder = || tempfile::Builder::new().prefix("tallybox-fleet-").to_owned();
        let made = builder().tempdir_in(memory).or_else(|_| builder().tempdir()).map_err(failed)?;
        Ok(Self { path: made.path().to_owned(), _temporary: Some(made) })
    }
}
