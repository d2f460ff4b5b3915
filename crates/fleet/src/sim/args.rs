//! What `sim` takes.

use std::path::PathBuf;
use std::time::Duration;

use tallybox::exit::Exit;

use super::staff::Activity;
use crate::options::{self, BrokerUrl};

/// Boxes in one process at most: each has a connection, and a port of this machine.
const MAX_BOXES: u32 = 20_000;

/// What is simulated, and where it connects. In `--cert`, `--key` and `--user`, `{id}` stands for the box's id.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many boxes.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BOXES)))]
    pub(super) boxes: u32,
    /// The broker: mqtt:// or mqtts://.
    #[arg(long, value_name = "URL", default_value = options::BROKER, value_parser = BrokerUrl::parse)]
    pub(super) broker: BrokerUrl,
    /// Authorities that the broker's certificate is checked against; the system's without it.
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// Client certificate, such as certs/{id}.pem.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) cert: Option<String>,
    /// Its key, such as certs/{id}.key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<String>,
    /// User name at the broker; `TALLYBOX_FLEET_PASSWORD` in the environment has its password.
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// First part of all topics.
    #[arg(long, value_name = "TOPIC", default_value = options::PREFIX)]
    pub(super) prefix: String,
    /// The boxes are called this, and a number behind it.
    #[arg(long, value_name = "NAME", default_value = "sim-")]
    pub(super) name: String,
    /// The first box's number: several processes can simulate one fleet.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(super) first: u32,
    /// Everything that staff, streams and scripts do at random follows from it.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(super) seed: u64,
    /// What happens when: a file, a line for each step.
    #[arg(long, value_name = "FILE")]
    pub(super) script: Option<PathBuf>,
    /// Runs mosquitto with this configuration, so that a script can stop and start it.
    #[arg(long, value_name = "FILE")]
    pub(super) mosquitto: Option<PathBuf>,
    /// How often boxes report telemetry.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = options::duration)]
    pub(super) telemetry_interval: Duration,
    /// Mean time between the sessions of a box; 0s: nobody presses.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = options::duration)]
    pub(super) idle: Duration,
    /// Mean length of a session.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = options::duration)]
    pub(super) live: Duration,
    /// The boxes start evenly over this time.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = options::duration)]
    pub(super) ramp: Duration,
    /// Of 100 boxes that install an update so many go back to their former version.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) update_failures: u8,
    /// Ends after this; without it, at Ctrl-C or the script's end.
    #[arg(long, value_name = "TIME", value_parser = options::duration)]
    pub(super) duration: Option<Duration>,
    /// At the end staff end what runs, and boxes have this long to send what they wrote; a second Ctrl-C cuts it short.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = options::duration)]
    pub(super) drain: Duration,
    /// A file of TOML that overrides each box's configuration, such as its [[trust]].
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Where the boxes' agents keep their files; in memory without it, and gone at the end.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// At the end, a line of JSON for each box: its ledger's id, number and hash of the last entry.
    #[arg(long, value_name = "FILE")]
    pub(super) ledgers: Option<PathBuf>,
    /// Connections go through a proxy that counts them and their bytes, also without a script that needs it.
    #[arg(long)]
    pub(super) count: bool,
    /// The summary at the end as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Args {
    pub(super) fn activity(&self) -> Option<Activity> {
        (!self.idle.is_zero()).then_some(Activity { idle: self.idle, live: self.live })
    }

    /// The ids of all boxes.
    pub(super) fn ids(&self) -> Result<Vec<String>, Exit> {
        let last = self.first.saturating_add(self.boxes - 1);
        let digits = last.to_string().len().max(4);
        let ids: Vec<String> = (self.first..=last).map(|number| format!("{}{number:0digits$}", self.name)).collect();
        match ids.first() {
            Some(id) if !options::is_box_id(id) => {
                Err(Exit::usage(format!("--name {:?}: {id:?} is no id of a box: {}", self.name, options::BOX_ID)))
            }
            Some(_) | None => Ok(ids),
        }
    }
}
