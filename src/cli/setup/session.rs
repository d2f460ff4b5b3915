//! The first press: asked for, shown for ten seconds, ended by the next.

use std::time::Duration;

use super::interrupt::{Interrupt, LOOK};
use super::terminal::say;
use crate::cli::client::Client;
use crate::clock::Clock;
use crate::config::{Config, PanelBackend};
use crate::exit::Exit;
use crate::ipc::{Phase, Request, Status};
use crate::runtime::block_on;

/// Lines that are shown of a stream, one a second.
const LINES: u32 = 10;

/// Waits for a press and shows what comes of it. Gives up after `patience`.
pub(super) fn first_press(config: &Config, patience: Duration, interrupt: &Interrupt) -> Result<(), Exit> {
    block_on(async {
        let mut client = Client::connect(config).await?;
        let sim = config.panel.backend == PanelBackend::Sim;
        let press = if sim { "tallybox press, in another terminal" } else { "press the button now" };
        let mut asked = Asked { press, last: None };
        let watch = Watch { interrupt, patience };
        let is_live = |status: &Status| status.phase == Phase::Live;
        let live = watch.until(&mut client, |status| asked.tell(status).map(|()| is_live(status))).await?;
        if live.is_none() {
            return Err(Exit::unavailable(format!(
                "no stream within {} s; the files are in place: press at any time, and tallybox status --watch shows it",
                patience.as_secs()
            )));
        }
        show(&mut client, interrupt).await?;
        say(&format!("It works. To end the session: {press}."))?;
        let ended = watch.until(&mut client, |status| Ok(!status.phase.may_capture())).await?;
        say(if ended.is_some() {
            "Nothing is captured any more, and the lamp is dark."
        } else {
            "The session goes on; any touch of the button ends it."
        })
    })
}

/// What staff were told last, so that they are told once.
struct Asked<'a> {
    press: &'a str,
    last: Option<String>,
}

impl Asked<'_> {
    fn tell(&mut self, status: &Status) -> Result<(), Exit> {
        let why =
            status.message.as_ref().or(status.reason.as_ref()).map_or_else(String::new, |why| format!(" ({why})"));
        let text = match status.phase {
            Phase::Idle if self.last.is_none() => format!("The box is ready, and nothing is captured: {}.", self.press),
            Phase::Idle | Phase::Requested => format!("Nothing is captured{why}: {}.", self.press),
            Phase::Connecting | Phase::Reconnecting => {
                format!("The lamp blinks: devices may be open, and the server is called{why}.")
            }
            Phase::Live => "The lamp is lit: on air.".to_owned(),
            Phase::Stopping => "The session ends.".to_owned(),
            Phase::Locked if status.unbound => {
                "The box was unbound and waits for a claim: see operations.md.".to_owned()
            }
            Phase::Locked => "The privacy lock is on: hold the button for 2 s, let go, and press.".to_owned(),
            Phase::Policy => {
                "A new policy version: hold the button for 2 s to acknowledge it, let go, and press.".to_owned()
            }
            Phase::Fault => format!("Nothing starts{why}: tallybox doctor tells what to do."),
        };
        if self.last.as_ref() == Some(&text) {
            return Ok(());
        }
        say(&text)?;
        self.last = Some(text);
        Ok(())
    }
}

/// Looks at the box until something is so.
struct Watch<'a> {
    interrupt: &'a Interrupt,
    patience: Duration,
}

impl Watch<'_> {
    /// The status that `is_so` says yes to; `None`: not in time.
    async fn until(
        &self,
        client: &mut Client,
        mut is_so: impl FnMut(&Status) -> Result<bool, Exit>,
    ) -> Result<Option<Status>, Exit> {
        let clock = Clock::start();
        let begun = clock.now();
        while clock.now().duration_since(begun) < self.patience {
            self.interrupt.check_stopped()?;
            if let Some(status) = client.call(Request::Status {}).await?
                && is_so(&status)?
            {
                return Ok(Some(status));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
    }
}

async fn show(client: &mut Client, interrupt: &Interrupt) -> Result<(), Exit> {
    for _ in 0..LINES {
        tokio::time::sleep(Duration::from_secs(1)).await;
        interrupt.check_stopped()?;
        let Some(status) = client.call(Request::Status {}).await? else { continue };
        let sound = if status.muted { "muted" } else { "with sound" };
        let stream = status.stream.map_or_else(String::new, |stream| {
            format!(
                ", {:.0} fps, {} lines, {} kbit/s, {} frames dropped, {sound}",
                stream.fps, stream.height, stream.bitrate_kbps, stream.dropped_frames
            )
        });
        say(&format!("  {}{stream}", status.phase.as_str()))?;
        if !status.phase.may_capture() {
            return Ok(());
        }
    }
    Ok(())
}
