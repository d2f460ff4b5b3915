//! `tallybox status --watch`: what the box does, and how the stream did over the last minutes, for staff who have a
//! terminal and no picture. Where nobody looks at a terminal: the status as a line of JSON at each change.

mod draw;
mod series;

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::client::Client;
use super::status;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::{FromGuard, Request};
use crate::runtime::{ShutdownSignals, block_on};

use draw::Screen;
use series::Series;

/// How often it is drawn, and how often a guard that does not answer is sought.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Seconds that a guard may leave a question without an answer; it answers at once. What it said before is then not
/// known to hold any more.
const SILENT: u8 = 3;
/// The terminal's other screen, without a cursor; and back, so that what stood there before stands there again.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Goes on until it is interrupted, or the guard goes away from under JSON lines.
pub(super) fn run(config: &Config, json: bool) -> Result<(), Exit> {
    if json || !stdout().is_terminal() {
        return block_on(async {
            let mut client = subscribe(config).await?;
            loop {
                if let FromGuard::Status(status) = client.receive().await? {
                    status::print(&status, true)?;
                }
            }
        });
    }
    let screen = AlternateScreen::enter()?;
    let watched = block_on(watch(config));
    drop(screen);
    watched
}

async fn subscribe(config: &Config) -> Result<Client, Exit> {
    let mut client = Client::connect(config).await?;
    client.send(Request::Subscribe { entries: false, after: None }).await?;
    Ok(client)
}

/// The terminal's other screen, for as long as it lives.
struct AlternateScreen;

impl AlternateScreen {
    fn enter() -> Result<Self, Exit> {
        write(ENTER)?;
        Ok(Self)
    }
}

impl Drop for AlternateScreen {
    fn drop(&mut self) {
        let _ = write(LEAVE);
    }
}

fn write(text: &str) -> Result<(), Exit> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|_| Exit::io(""))
}

async fn watch(config: &Config) -> Result<(), Exit> {
    let mut shutdown = ShutdownSignals::listen_in_terminal()?;
    let mut pace = interval(REFRESH_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut series = Series::default();
    let mut client = None;
    let mut unanswered: u8 = 0;
    loop {
        let heard = async {
            match &mut client {
                Some(client) => Client::receive(client).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = shutdown.recv() => return Ok(()),
            heard = heard => match heard {
                Ok(FromGuard::Status(status)) => {
                    unanswered = 0;
                    // Before the first second is over there is something to see.
                    let first = series.status.is_none();
                    series.update(*status);
                    if first {
                        show(&series)?;
                    }
                }
                Ok(FromGuard::Response { .. } | FromGuard::Ledger { .. } | FromGuard::Entry(_) | FromGuard::Reported(_)) => {}
                Err(exit) => {
                    client = None;
                    series.disconnected(exit.to_string());
                }
            },
            _ = pace.tick() => {
                match &mut client {
                    None => match subscribe(config).await {
                        Ok(found) => (client, unanswered) = (Some(found), 0),
                        Err(exit) => series.disconnected(exit.to_string()),
                    },
                    Some(guard) => {
                        if unanswered == 0 && let Err(exit) = guard.send(Request::Status {}).await {
                            series.disconnected(exit.to_string());
                            client = None;
                        }
                        unanswered = unanswered.saturating_add(1);
                        if unanswered > SILENT {
                            series.disconnected(format!("the guard runs and has said nothing for {SILENT} s; its log may say why"));
                        }
                    }
                }
                series.tick();
                show(&series)?;
            }
        }
    }
}

/// Draws over what stands there, line by line, so that nothing flickers.
fn show(series: &Series) -> Result<(), Exit> {
    let size = rustix::termios::tcgetwinsize(stdout()).map_err(|error| Exit::io(format!("the terminal: {error}")))?;
    // A terminal that does not know its size is as the first ones were.
    let or = |known: u16, usual: usize| if known == 0 { usual } else { usize::from(known) };
    let screen = Screen { columns: or(size.ws_col, 80), rows: or(size.ws_row, 24), blocks: has_blocks() };
    let lines = draw::draw(series, screen);
    write(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
}

/// Whether the terminal takes UTF-8, and has the characters: the kernel's own console has only two of them.
fn has_blocks() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default().to_lowercase();
    (locale.contains("utf-8") || locale.contains("utf8")) && set("TERM").as_deref() != Some("linux")
}
