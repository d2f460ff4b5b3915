//! What may be wrong with a server of packages.

use serde::{Deserialize, Serialize};

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerFault {
    /// Nothing.
    #[default]
    None,
    /// Nobody listens.
    Down,
    /// It answers with this status.
    Status(u16),
    /// Each piece takes so many milliseconds.
    Slow(u32),
    /// The connection breaks after so many pieces.
    Breaks(u8),
    /// It says nothing.
    Silent,
    /// It says nothing more after so many pieces.
    Stalls(u8),
    /// It sends all of it, whatever it was asked for.
    Whole,
    /// It sends another part than it was asked for.
    OtherRange,
    /// It announces another length.
    OtherLength,
    /// A byte is another one.
    OtherBytes,
    /// It sends the client to another host.
    ToStranger,
    /// It sends the client to a place without TLS.
    ToPlain,
    /// It sends the client to itself, without end.
    InCircles,
    /// It sends the client to itself, once.
    Once,
}

impl ServerFault {
    /// One of them, as the dice fall.
    pub(in crate::sim) fn any(random: &mut fastrand::Rng) -> Self {
        match random.u8(..20) {
            0 => Self::Down,
            1 => Self::Status([503, 404, 416, 500, 429, 204][random.usize(..6)]),
            2..=4 => Self::Slow(random.u32(100..6_000)),
            5..=7 => Self::Breaks(random.u8(..5)),
            8 => Self::Silent,
            9 => Self::Stalls(random.u8(..5)),
            10 => Self::Whole,
            11 => Self::OtherRange,
            12 => Self::OtherLength,
            13 => Self::OtherBytes,
            14 => Self::ToStranger,
            15 => Self::ToPlain,
            16 => Self::InCircles,
            17 => Self::Once,
            _ => Self::None,
        }
    }
}
