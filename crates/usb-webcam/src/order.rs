//! What a test tells the webcam to do, in lines.

use core::str::FromStr;

use crate::spoil::Spoil;

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `unplug`: the connection ends at once.
    Unplug,
    /// `freeze` and `thaw`: no pictures come, as of a camera that hangs, and nothing says so.
    Freeze(bool),
    /// `mute` and `unmute`: packets of sound come empty.
    Mute(bool),
    /// `dark N`: an exposure takes so long that pictures come N times slower; `dark 1` is daylight.
    Dark(u32),
    /// `spoil KIND N`: each Nth picture is broken.
    Spoil(Spoil, u64),
    /// `whole`: no picture is broken.
    Whole,
}

impl FromStr for Order {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let positive = |word: &str| word.parse().ok().filter(|number| *number > 0);
        let order = match words.as_slice() {
            ["unplug"] => Some(Self::Unplug),
            ["freeze"] => Some(Self::Freeze(true)),
            ["thaw"] => Some(Self::Freeze(false)),
            ["mute"] => Some(Self::Mute(true)),
            ["unmute"] => Some(Self::Mute(false)),
            ["whole"] => Some(Self::Whole),
            ["dark", times] => positive(times).map(Self::Dark),
            ["spoil", kind, every] => {
                let kind = Spoil::ALL.iter().find(|(name, _)| name == kind);
                kind.zip(positive(every)).map(|((_, spoil), every)| Self::Spoil(*spoil, u64::from(every)))
            }
            _ => None,
        };
        let known: Vec<_> = Spoil::ALL.iter().map(|(name, _)| *name).collect();
        order.ok_or_else(|| {
            format!(
                "no order: {line}; unplug, freeze, thaw, mute, unmute, dark N, whole, spoil {} N are",
                known.join("|")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read() {
        for (line, order) in [
            ("unplug", Order::Unplug),
            ("thaw", Order::Freeze(false)),
            ("dark 4", Order::Dark(4)),
            ("spoil no-end 3", Order::Spoil(Spoil::NoEnd, 3)),
        ] {
            assert_eq!(line.parse(), Ok(order));
        }
        for line in ["", "dark", "dark 0", "dark x", "spoil pepper 3", "spoil garbage 0", "freeze now"] {
            assert!(line.parse::<Order>().unwrap_err().starts_with("no order"), "{line}");
        }
    }
}
