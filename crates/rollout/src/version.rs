//! Versions of Debian packages, ordered as `dpkg --compare-versions` orders them (deb-version(7)).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest version that is taken, in bytes.
const MAX_BYTES: usize = 64;

/// A text is no version of a Debian package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no version of a Debian package, such as 0.2.0-1")]
pub struct VersionError;

/// A version, as `[epoch:]upstream[-revision]`.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
}

impl Version {
    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Epoch, upstream version, revision.
    fn parts(&self) -> (u32, &str, &str) {
        let (epoch, rest) = self.text.split_once(':').map_or((0, self.text.as_str()), |(epoch, rest)| {
            // Checked when it was parsed.
            (epoch.parse().unwrap_or(0), rest)
        });
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch, upstream, revision)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let (epoch, rest) = text.split_once(':').map_or((None, text), |(epoch, rest)| (Some(epoch), rest));
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b".+~-".contains(&byte);
        let is_epoch =
            |text: &str| text.len() <= 9 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (upstream, revision) =
            rest.rsplit_once('-').map_or((rest, None), |(upstream, last)| (upstream, Some(last)));
        let is_version = text.len() <= MAX_BYTES
            && epoch.is_none_or(is_epoch)
            && rest.bytes().all(known)
            && upstream.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
            && revision != Some("");
        if is_version { Ok(Self { text: text.to_owned() }) } else { Err(VersionError) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((epoch, upstream, revision), other) = (self.parts(), other.parts());
        epoch.cmp(&other.0).then_with(|| compare(upstream, other.1)).then_with(|| compare(revision, other.2))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Two texts of one version are equal: `1.0` and `1.0-0`.
impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Compares as dpkg does: texts without digits and numbers take turns.
fn compare(mut one: &str, mut other: &str) -> Ordering {
    while !one.is_empty() || !other.is_empty() {
        let (text, rest) = split(one, |byte| !byte.is_ascii_digit());
        let (other_text, other_rest) = split(other, |byte| !byte.is_ascii_digit());
        let (number, rest) = split(rest, |byte| byte.is_ascii_digit());
        let (other_number, other_rest) = split(other_rest, |byte| byte.is_ascii_digit());
        let order = compare_text(text, other_text).then_with(|| compare_number(number, other_number));
        if order != Ordering::Equal {
            return order;
        }
        (one, other) = (rest, other_rest);
    }
    Ordering::Equal
}

fn split(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len()))
}

/// `~` before the end, the end before letters, letters before the rest.
fn compare_text(one: &str, other: &str) -> Ordering {
    let weight = |byte: Option<u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(sign) => i32::from(sign) + 256,
    };
    let longest = one.len().max(other.len());
    let weights = |text: &str, index| weight(text.as_bytes().get(index).copied());
    (0..longest)
        .map(|index| weights(one, index).cmp(&weights(other, index)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compare_number(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As dpkg itself says, where it is there to be asked.
    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        let texts = [
            "0.1.0",
            "0.1.0-1",
            "0.1.0-0",
            "0.1.0~rc1-1",
            "0.1.0~~",
            "0.1.0+b1",
            "0.1.00-1",
            "0.10.0-1",
            "0.9.9-1",
            "1:0.0.1",
            "0:0.1.0",
            "0.1.0-1~bpo12",
            "0.1.0-1+deb12u1",
            "0.1.0a",
            "0.1.0.",
            "10",
            "9.0-1",
            "0.1-0-1",
            "0.1.0-1a",
            "0.1.0-1.1",
        ];
        let dpkg = |one: &str, relation: &str, other: &str| {
            let asked = std::process::Command::new("dpkg").args(["--compare-versions", one, relation, other]).status();
            asked.map(|status| status.success())
        };
        if dpkg("1", "lt", "2").is_err() {
            eprintln!("there is no dpkg here to compare with");
            return;
        }
        for one in texts {
            for other in texts {
                let (left, right): (Version, Version) = (one.parse().unwrap(), other.parse().unwrap());
                assert_eq!(left < right, dpkg(one, "lt", other).unwrap(), "{one} < {other}");
                assert_eq!(left == right, dpkg(one, "eq", other).unwrap(), "{one} = {other}");
            }
        }
        for wrong in ["", "a1", "1-", "-1", "1 0", "1_0", ":1", "x:1", "1:", "1:2:3", "1\n", &"1".repeat(65)] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong:?}");
        }
    }
}
