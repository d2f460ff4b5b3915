//! `watch`: the fleet in a terminal, drawn each second: how many boxes do what, and those that want to be looked at
//! first. Where nobody looks at a terminal: a line of JSON at each change of a box.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use serde::Serialize;
use tallybox::exit::Exit;
use tallybox::runtime::ShutdownSignals;
use tokio::time::{MissedTickBehavior, interval};

use crate::connection::{BrokerArgs, Connection, Heard, SessionKind};
use crate::fleet::{self, BoxView, Fleet};
use crate::output;
use crate::target::Filter;
use crate::view::{self, Availability};

/// How often it is drawn.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// The terminal's other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Cells of a bar that is full.
const BAR: usize = 40;

/// What is watched.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    filter: Filter,
    /// A line of JSON at each change of a box, with stable fields.
    #[arg(long)]
    json: bool,
}

/// One box. The fields are stable: docs/fleet.md has them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row<'a> {
    #[serde(rename = "box")]
    id: &'a str,
    availability: Availability,
    phase: &'a str,
    since: Option<&'a str>,
    reason: Option<&'a str>,
    muted: bool,
    software: Option<&'a str>,
    epoch: Option<&'a str>,
    /// As telemetry has it: the state's is as old as the state.
    guard_uptime_s: Option<u64>,
    bitrate_kbps: Option<u32>,
    round_trip_ms: Option<u32>,
    temperature_c: Option<f32>,
}

impl<'a> Row<'a> {
    fn new(id: &'a str, known: &'a BoxView) -> Self {
        Self {
            id,
            availability: known.availability,
            phase: if known.phase.is_empty() { "unknown" } else { known.phase },
            since: known.since.as_deref(),
            reason: known.reason.as_deref(),
            muted: known.muted,
            software: known.software.as_deref(),
            epoch: known.epoch.as_deref(),
            guard_uptime_s: known.guard_uptime_s,
            bitrate_kbps: known.bitrate_kbps,
            round_trip_ms: known.round_trip_ms,
            temperature_c: known.temperature_c,
        }
    }
}

/// The terminal's other screen, for as long as it lives.
struct AlternateScreen;

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        let _ = write(LEAVE);
    }
}

fn write(text: &str) -> Result<(), Exit> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Exit::io(""))
}

/// Watches until it is told to end.
pub(crate) async fn run(args: &Args) -> Result<(), Exit> {
    let mut shutdown = ShutdownSignals::listen_in_terminal()?;
    let draws = !args.json && stdout().is_terminal();
    let filters = fleet::filters(&args.broker.prefix);
    let mut connection = Connection::open(&args.broker, filters, &SessionKind::Clean).await?;
    let screen = if draws {
        write(ENTER)?;
        Some(AlternateScreen)
    } else {
        None
    };
    let mut pace = interval(REFRESH_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut fleet, mut lost) = (Fleet::default(), None);
    loop {
        tokio::select! {
            _ = shutdown.recv() => break,
            heard = connection.recv() => match heard {
                Heard::Connected => lost = None,
                Heard::Lost(why) => {
                    if !draws {
                        eprintln!("the connection is lost, and made again: {why}");
                    }
                    lost = Some(why);
                }
                Heard::Message(message) => {
                    let topic = String::from_utf8_lossy(&message.topic).into_owned();
                    let Some(id) = fleet.hear(&args.broker.prefix, &topic, &message.payload) else { continue };
                    if let Some(known) = fleet.boxes.get(id).filter(|known| !draws && args.filter.has(id, Some(known.phase))) {
                        output::json(&Row::new(id, known))?;
                    }
                }
            },
            _ = pace.tick(), if draws => show(args, &fleet, lost.as_deref())?,
        }
    }
    drop(screen);
    connection.close().await;
    Ok(())
}

/// Draws over what stands there, line by line, so that nothing flickers.
fn show(args: &Args, fleet: &Fleet, lost: Option<&str>) -> Result<(), Exit> {
    let size = rustix::termios::tcgetwinsize(stdout()).map_err(|error| Exit::io(format!("the terminal: {error}")))?;
    // A terminal that does not know its size is as the first ones were.
    let or = |known: u16, usual: usize| if known == 0 { usual } else { usize::from(known) };
    let lines = draw(args, fleet, lost, (or(size.ws_col, 80), or(size.ws_row, 24)));
    write(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
}

/// The screen's lines.
fn draw(args: &Args, fleet: &Fleet, lost: Option<&str>, (columns, rows): (usize, usize)) -> Vec<String> {
    let counts = fleet.availabilities();
    let online = counts[&Availability::Online];
    let mut lines = vec![
        format!(
            "{} boxes at {}: {online} online, {} offline",
            fleet.boxes.len(),
            args.broker.broker,
            counts[&Availability::Offline]
        ),
        lost.map_or_else(String::new, |why| format!("the connection is lost, and what is below is old: {why}")),
    ];
    for (phase, count) in
        view::PHASES.iter().map(|phase| (*phase, fleet.phases()[phase])).filter(|(_, count)| *count > 0)
    {
        let cells = usize::try_from(count * BAR as u64 / online.max(1)).unwrap_or(BAR).clamp(1, BAR);
        lines.push(format!("  {phase:<12} {count:>7}  {}", "#".repeat(cells)));
    }
    lines.push(String::new());
    lines.push(format!("{:<24} {:<8} {:<12} {:>7} {:>6} {:>5}  REASON", "BOX", "", "PHASE", "KBIT/S", "RTT", "TEMP"));
    let room = rows.saturating_sub(lines.len() + 1);
    let mut boxes: Vec<_> = fleet.boxes.iter().filter(|(id, known)| args.filter.has(id, Some(known.phase))).collect();
    boxes.sort_unstable_by_key(|(id, known)| (known.urgency(), *id));
    for (id, known) in boxes.iter().take(room) {
        let number = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        lines.push(format!(
            "{id:<24} {:<8} {:<12} {:>7} {:>6} {:>5}  {}",
            known.availability.as_str(),
            known.phase,
            number(known.bitrate_kbps.map(|rate| rate.to_string())),
            number(known.round_trip_ms.map(|time| time.to_string())),
            number(known.temperature_c.map(|degrees| format!("{degrees:.0}"))),
            known.reason.as_deref().unwrap_or_default()
        ));
    }
    let more = boxes.len().saturating_sub(room);
    lines.push(if more > 0 { format!("and {more} more; Ctrl-C ends this") } else { "Ctrl-C ends this".to_owned() });
    lines.into_iter().map(|line| line.chars().take(columns).collect()).collect()
}
