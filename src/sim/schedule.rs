//! What happens to a box: plain data, made from a seed, printed and read as JSON lines.

mod dice;

use serde::{Deserialize, Serialize};

use super::broker::BrokerAction;
use super::operator::OperatorAction;
use super::process::ProcessAction;
use super::releases::ServerFault;

/// One schedule of so many has a platform.
const WITH_PLATFORM: u64 = 8;
/// The first seed that has one.
const FIRST_PLATFORM: u64 = 3;

/// Who controls the box from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Platform {
    /// Nobody: there is no agent.
    #[default]
    None,
    /// Whoever publishes at its broker.
    Plain,
    /// The keys that the box trusts.
    Trusted,
    /// The same, of a box in minors' mode.
    Minors,
}

impl Platform {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// One thing that happens. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Time passes.
    Wait {
        /// How long.
        ms: u32,
    },
    /// Somebody touches the record button.
    Touch {
        /// How long.
        hold: u32,
        /// How often the contact bounces, 3 ms each, at both ends.
        bounces: u8,
        /// How much later than it happens the guard hears of each edge.
        late: u32,
    },
    /// Somebody touches the mute button.
    MuteTouch {
        /// How long.
        hold: u32,
    },
    /// The next capture behaves like this.
    Plan(CapturePlan),
    /// The ingest server is out of reach, or back.
    Link {
        /// Whether it is in reach.
        up: bool,
    },
    /// The lamp dies, or is mended.
    Lamp {
        /// Whether it is dead.
        dead: bool,
    },
    /// The panel's chip goes away, or comes back.
    Panel {
        /// Whether it is away.
        lost: bool,
    },
    /// The wall clock is set.
    Clock {
        /// By how much, in seconds.
        by_s: i64,
    },
    /// The kernel says whether the wall clock is synchronised. It is not after a boot.
    Synchronised {
        /// Whether it is.
        is: bool,
    },
    /// From now on the server of packages is like this.
    Packages {
        /// How.
        how: ServerFault,
    },
    /// The agent is taken over, and has another package in place of the right one when the updater looks for it next.
    Swap {
        /// Which package.
        build: u8,
    },
    /// The ledger's disk does not answer for so long.
    Disk {
        /// How long.
        ms: u32,
    },
    /// The disk has room for so much in all: 64 MiB at first.
    Room {
        /// In MiB.
        mib: u16,
    },
    /// So many of the next changes to the disk fail.
    Faulty {
        /// How many.
        changes: u16,
    },
    /// The guard is killed; systemd starts it again.
    Kill,
    /// The power fails, and comes back after a second.
    PowerCut,
    /// The guard is stopped, and started with another policy version.
    Restart {
        /// Which of the two.
        policy: u8,
    },
    /// Somebody asks the guard for something.
    Ask {
        /// Who.
        by: Asker,
        /// What.
        wish: Wish,
    },
    /// Something happens at the broker, or before it.
    Broker {
        /// What.
        what: BrokerAction,
    },
    /// An operator does something.
    Operator {
        /// What.
        what: OperatorAction,
    },
    /// Something happens to the agent's process.
    Agent {
        /// What.
        what: ProcessAction,
    },
    /// From now on the helper that deletes credentials answers so.
    Helper {
        /// How.
        how: Help,
    },
}

/// How the helper that deletes credentials answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Help {
    /// With what it deleted.
    #[default]
    Prompt,
    /// Not at all.
    Never,
    /// With the name of another request.
    Wrong,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asker {
    /// A local command.
    Root,
    /// The agent, which may be taken over.
    Agent,
    /// Another local user.
    Stranger,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// `request-start`
    RequestStart,
    /// `stop`
    Stop,
    /// `mute`
    Mute,
    /// `unmute`
    Unmute,
    /// `identify`
    Identify,
    /// `probe`
    Probe,
    /// To move a simulated button.
    Button,
    /// Bytes that are no message.
    Garbage,
    /// `identify`, so many times at once, and then a stop.
    Flood(u8),
    /// A signed command that is none.
    Command(String),
}

/// How a capture behaves. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CapturePlan {
    /// From its start to its hello.
    pub hello: u32,
    /// From a setting to its confirmation.
    pub apply: u32,
    /// From its start to the first picture at the server.
    pub live: u32,
    /// From the end of the lease to the end of its process.
    pub end: u32,
    /// What is wrong with it.
    pub quirk: Option<Quirk>,
}

/// What can be wrong with a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quirk {
    /// It says no hello.
    Silent,
    /// It confirms nothing.
    Unconfirming,
    /// It does not end.
    Endless,
    /// It reports without end.
    Talkative,
    /// It reads nothing.
    Deaf,
    /// It sends what is no message, so many milliseconds after its start.
    Garbage(u32),
    /// It dies, so many milliseconds after its start.
    Dies(u32),
    /// It loses its camera for good, so many milliseconds after its start.
    CameraLost(u32),
    /// It loses its camera, and says so at great length, so many milliseconds after its start.
    Wordy(u32),
    /// It names another process.
    WrongProcess,
    /// It cannot be started.
    Absent,
}

impl Default for CapturePlan {
    fn default() -> Self {
        Self { hello: 30, apply: 20, live: 300, end: 60, quirk: None }
    }
}

/// What happens to a box, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Where it comes from; all randomness inside the box comes from it too.
    pub seed: u64,
    /// Who controls the box.
    pub platform: Platform,
    /// What happens.
    pub actions: Vec<Action>,
}

/// The first line of a schedule that is printed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    seed: u64,
    #[serde(default, skip_serializing_if = "Platform::is_none")]
    platform: Platform,
}

impl Schedule {
    /// The schedule of a seed. One of eight has a platform: it takes several times as long.
    pub fn of_seed(seed: u64) -> Self {
        let platform = match seed % (3 * WITH_PLATFORM) {
            FIRST_PLATFORM => Platform::Plain,
            number if number == FIRST_PLATFORM + WITH_PLATFORM => Platform::Trusted,
            number if number == FIRST_PLATFORM + 2 * WITH_PLATFORM => Platform::Minors,
            _ => Platform::None,
        };
        Self::with_platform(seed, platform)
    }

    /// The schedule of a seed, with this platform.
    pub fn with_platform(seed: u64, platform: Platform) -> Self {
        Self { seed, platform, actions: dice::actions(seed, platform) }
    }

    /// As lines of JSON: the seed and the platform, then each action.
    pub fn print(&self) -> String {
        let head = Head { seed: self.seed, platform: self.platform };
        let mut text = serde_json::to_string(&head).unwrap_or_default();
        text.push('\n');
        for action in &self.actions {
            // Numbers and words: cannot fail.
            text.push_str(&serde_json::to_string(action).unwrap_or_default());
            text.push('\n');
        }
        text
    }

    /// Reads what [`Schedule::print`] wrote.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let head = lines.next().ok_or("the schedule is empty: its first line is {\"seed\":N}")?;
        let Head { seed, platform } = serde_json::from_str(head).map_err(|error| format!("line 1: {error}"))?;
        let read = |(at, line)| serde_json::from_str(line).map_err(|error| format!("action {}: {error}", at + 1));
        let actions = lines.enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { seed, platform, actions })
    }
}
