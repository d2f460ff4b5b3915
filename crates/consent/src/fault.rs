//! What can fail so that nothing may be captured.

/// A part without which there is no capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The lamp cannot be driven, or its sense pin reads otherwise.
    Lamp,
    /// The button cannot be read, or is stuck. Its state is unknown then, until it is seen up.
    Button,
    /// The ledger cannot be written.
    Ledger,
    /// The supply voltage is too low to be trusted.
    Power,
    /// Ledger, program or case was tampered with, or may have been: what the box claims cannot be trusted.
    Tamper,
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Lamp, Self::Button, Self::Ledger, Self::Power, Self::Tamper];

    pub(super) const fn bit(self) -> u8 {
        match self {
            Self::Lamp => 1,
            Self::Button => 2,
            Self::Ledger => 4,
            Self::Power => 8,
            Self::Tamper => 16,
        }
    }
}
