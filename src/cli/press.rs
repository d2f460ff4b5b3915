//! `tallybox press`: a finger for the simulated panel.

use std::time::Duration;

use super::client::Client;
use crate::config::Config;
use crate::exit::Exit;
use crate::ipc::Request;
use crate::runtime::block_on;

/// A short press in seconds: well over any debounce, well under the 0.7 s at which sound is left out.
pub(crate) const SHORT: f64 = 0.25;
/// Longer than any gesture: 30 s count as a stuck button.
const MAX_HOLD: f64 = 60.0;

/// Pushes the record or mute button down for `hold` seconds, and not for less than the guard feels.
pub(crate) fn run(config: &Config, hold: f64, mute: bool) -> Result<(), Exit> {
    if !(0.0..=MAX_HOLD).contains(&hold) {
        return Err(Exit::usage(format!("--hold {hold}: write seconds from 0 to {MAX_HOLD}")));
    }
    let button = |down| if mute { Request::MuteButton { down } } else { Request::Button { down } };
    block_on(async {
        let mut client = Client::connect(config).await?;
        client.call(button(true)).await?;
        tokio::time::sleep(Duration::from_secs_f64(hold).max(config.panel.shortest_press())).await;
        client.call(button(false)).await?;
        // A finger cannot press again within the debounce either, and whoever looks next sees what this press did.
        tokio::time::sleep(config.panel.shortest_press()).await;
        Ok(())
    })
}
