//! What happens to a box: plain data, made from a seed, printed and read as JSON lines.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

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
    /// What happens.
    pub actions: Vec<Action>,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let count = random.usize(3..12);
        let mut actions = Vec::with_capacity(count * 2);
        for _ in 0..count {
            actions.push(action(&mut random));
            actions.push(Action::Wait { ms: pause(&mut random) });
        }
        Self { seed, actions }
    }

    /// As lines of JSON: the seed, then each action.
    pub fn print(&self) -> String {
        let mut text = format!("{{\"seed\":{}}}\n", self.seed);
        for action in &self.actions {
            // Numbers and words: cannot fail.
            text.push_str(&serde_json::to_string(action).unwrap_or_default());
            text.push('\n');
        }
        text
    }

    /// Reads what [`Schedule::print`] wrote.
    pub fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Head {
            seed: u64,
        }
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let head = lines.next().ok_or("the schedule is empty: its first line is {\"seed\":N}")?;
        let Head { seed } = serde_json::from_str(head).map_err(|error| format!("line 1: {error}"))?;
        let read = |(at, line)| serde_json::from_str(line).map_err(|error| format!("action {}: {error}", at + 1));
        let actions = lines.enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { seed, actions })
    }
}

fn pause(random: &mut Rng) -> u32 {
    match random.u8(..10) {
        0..=2 => random.u32(1..80),
        3..=6 => random.u32(80..800),
        7..=8 => random.u32(800..3_000),
        _ => random.u32(3_000..9_000),
    }
}

fn action(random: &mut Rng) -> Action {
    match random.u8(..100) {
        0..=34 => touch(random),
        35..=39 => Action::MuteTouch { hold: random.u32(20..900) },
        40..=54 => Action::Plan(plan(random)),
        55..=58 => Action::Link { up: random.bool() },
        59..=60 => Action::Lamp { dead: random.bool() },
        61..=62 => Action::Panel { lost: random.bool() },
        63..=65 => Action::Clock { by_s: random.i64(-400_000_000..400_000_000) },
        66..=67 => Action::Disk { ms: random.u32(20..8_000) },
        68 if random.bool() => Action::Room { mib: random.u16(..64) },
        68 => Action::Faulty { changes: random.u16(1..30) },
        69..=71 => Action::Kill,
        72..=73 => Action::PowerCut,
        74..=76 => Action::Restart { policy: random.u8(..2) },
        _ => Action::Ask { by: asker(random), wish: wish(random) },
    }
}

fn touch(random: &mut Rng) -> Action {
    let hold = match random.u8(..16) {
        0 => random.u32(1..40),
        1..=8 => random.u32(40..690),
        9..=10 => random.u32(690..3_000),
        11..=12 => random.u32(1_900..2_900),
        13 => random.u32(3_000..5_000),
        14 => random.u32(5_000..10_000),
        _ => random.u32(10_000..35_000),
    };
    let late = if random.u8(..8) == 0 { random.u32(1..1_500) } else { 0 };
    Action::Touch { hold, bounces: random.u8(..4), late }
}

fn plan(random: &mut Rng) -> CapturePlan {
    let quirk = match random.u8(..20) {
        0 => Some(Quirk::Silent),
        1 => Some(Quirk::Unconfirming),
        2 => Some(Quirk::Endless),
        3 => Some(Quirk::Talkative),
        4 => Some(Quirk::Deaf),
        5 => Some(Quirk::Garbage(random.u32(..2_000))),
        6 => Some(Quirk::Dies(random.u32(..2_000))),
        7 => Some(Quirk::CameraLost(random.u32(..2_000))),
        8 => Some(Quirk::WrongProcess),
        9 => Some(Quirk::Absent),
        _ => None,
    };
    let slow = |random: &mut Rng, most: u32| if random.u8(..4) == 0 { random.u32(..most) } else { random.u32(..60) };
    CapturePlan {
        hello: slow(random, 1_500),
        apply: slow(random, 700),
        live: random.u32(50..3_000),
        end: slow(random, 290),
        quirk,
    }
}

fn asker(random: &mut Rng) -> Asker {
    match random.u8(..8) {
        0..=1 => Asker::Root,
        2..=6 => Asker::Agent,
        _ => Asker::Stranger,
    }
}

fn wish(random: &mut Rng) -> Wish {
    match random.u8(..16) {
        0..=2 => Wish::RequestStart,
        3..=5 => Wish::Stop,
        6..=8 => Wish::Mute,
        9..=10 => Wish::Unmute,
        11 => Wish::Identify,
        12 => Wish::Probe,
        13 => Wish::Button,
        14 => Wish::Garbage,
        _ if random.bool() => Wish::Flood(random.u8(1..60)),
        _ => Wish::Command(["stop", "mute", "erase", "unbind", "set-ingest"][random.usize(..5)].to_owned()),
    }
}
