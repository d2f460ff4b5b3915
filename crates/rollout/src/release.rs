//! The release document: `tallybox/release/v1`, one line of JSON in a signed note.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::error::{ReleaseError, refuse};
use crate::version::Version;
use crate::wave::Wave;

/// Largest package that is taken, in bytes: 256 MiB. One has 10 MiB.
pub const MAX_PACKAGE_BYTES: u64 = 256 * 1024 * 1024;
/// Longest document, in bytes: it fits into a note.
const MAX_DOCUMENT_BYTES: usize = 8 * 1024;
/// Longest address of a package, in bytes.
const MAX_URL_BYTES: usize = 512;
/// Longest name of a channel, in bytes.
const MAX_CHANNEL_BYTES: usize = 32;
/// The longest that a document may be valid, from the beginning of its wave on: a year. Whoever holds back newer ones
/// can do so for as long.
const MAX_VALIDITY: SignedDuration = SignedDuration::from_hours(366 * 24);
/// Longest spread of reconnects, in seconds: an hour lets a million boxes come back at 280 handshakes a second.
pub const MAX_RECONNECT_SPREAD_S: u32 = 3600;

/// A SHA-256 in 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sha256Hex(String);

impl Sha256Hex {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// That of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(&Sha256::digest(bytes))
    }

    /// That which a hasher has found: 32 bytes.
    pub fn from_digest(digest: &[u8]) -> Self {
        use fmt::Write;
        Self(digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}

impl fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Sha256Hex {
    type Err = ReleaseError;

    fn from_str(text: &str) -> Result<Self, ReleaseError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_digit) {
            return Ok(Self(text.to_owned()));
        }
        refuse("a sha256 has 64 hexadecimal digits in lower case")
    }
}

impl Serialize for Sha256Hex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sha256Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The package for one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct File {
    /// Where it is: `https://`, without a user or a fragment, at most 512 bytes.
    pub url: String,
    /// Its size in bytes: 1 to [`MAX_PACKAGE_BYTES`].
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256Hex,
}

impl File {
    fn check(&self) -> Result<(), ReleaseError> {
        let rest = self.url.strip_prefix("https://").unwrap_or_default();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_plain = self.url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>^`{|}#".contains(&byte));
        if host.is_empty() || host.contains('@') || !is_plain || self.url.len() > MAX_URL_BYTES {
            return refuse("files: a url begins with https://, has no user and no fragment, and 512 bytes at most");
        }
        if !(1..=MAX_PACKAGE_BYTES).contains(&self.size) {
            return refuse(format!("files: size is 1 to {MAX_PACKAGE_BYTES} bytes"));
        }
        Ok(())
    }
}

/// The packages, by Debian's names of the architectures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Files {
    /// PCs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amd64: Option<File>,
    /// Raspberry Pi OS and others in 64 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm64: Option<File>,
    /// The same in 32 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armhf: Option<File>,
}

impl Files {
    /// The package for an architecture, if there is one.
    pub fn of(&self, architecture: &str) -> Option<&File> {
        self.all().into_iter().find(|(name, _)| *name == architecture).and_then(|(_, file)| file)
    }

    fn all(&self) -> [(&'static str, Option<&File>); 3] {
        [("amd64", self.amd64.as_ref()), ("arm64", self.arm64.as_ref()), ("armhf", self.armhf.as_ref())]
    }
}

/// What a channel delivers now, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Release {
    /// The package's version.
    pub version: Version,
    /// Rises with each document of the channel, also where only the wave changes: an older one is not taken any more.
    pub serial: u64,
    /// The channel: 1 to 32 of a-z, 0-9 and "-".
    pub channel: String,
    /// The packages.
    pub files: Files,
    /// The document is worth nothing after this: at most 366 days after its wave's start.
    pub not_after: Timestamp,
    /// Boxes with an older version than this cannot go to `version` in one step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_version: Option<Version>,
    /// How it goes through the fleet.
    pub wave: Wave,
    /// Whether boxes with a newer version go back to this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub downgrade: bool,
    /// Whether it mends a weakness.
    pub security: bool,
    /// Over how many seconds boxes spread their reconnects when the broker was away: 1 to [`MAX_RECONNECT_SPREAD_S`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect_spread_s: Option<u32>,
}

/// What is remembered of the document in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its channel.
    pub channel: String,
    /// Its serial.
    pub serial: u64,
    /// The hash of its exact text.
    pub text: Sha256Hex,
}

/// How a document follows on the one in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// It takes its place.
    New,
    /// It is the same, once more.
    Repeated,
    /// It is older: somebody replays it, or a broker kept it.
    Older,
    /// It has the same serial and says something else: one of the two should not have been signed.
    Conflicting,
}

impl Release {
    /// Reads a document from the JSON in a verified note.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(json: &str) -> Result<Self, ReleaseError> {
        if json.len() > MAX_DOCUMENT_BYTES {
            return refuse("it is longer than 8 KiB");
        }
        let release: Self = serde_json::from_str(json).map_err(|error| ReleaseError::of_json(&error))?;
        release.check()?;
        Ok(release)
    }

    /// The document as one line of JSON, for whoever signs it.
    ///
    /// # Errors
    /// What is wrong with it: nothing is published that boxes would refuse.
    pub fn to_json(&self) -> Result<String, ReleaseError> {
        self.check()?;
        serde_json::to_string(self).map_err(|error| ReleaseError(error.to_string()))
    }

    fn check(&self) -> Result<(), ReleaseError> {
        if !is_channel(&self.channel) {
            return refuse("channel has 1 to 32 of a-z, 0-9 and \"-\"");
        }
        if self.serial == 0 || self.serial > i64::MAX.unsigned_abs() {
            return refuse("serial is a whole number from 1 on");
        }
        if self.files.all().iter().all(|(_, file)| file.is_none()) {
            return refuse("files names no package");
        }
        self.files.all().into_iter().filter_map(|(_, file)| file).try_for_each(File::check)?;
        self.wave.check()?;
        let validity = self.not_after.duration_since(self.wave.start);
        if validity.is_negative() || validity.is_zero() || validity > MAX_VALIDITY {
            return refuse("not-after lies after wave.start, by 366 days at most");
        }
        if self.reconnect_spread_s.is_some_and(|spread| !(1..=MAX_RECONNECT_SPREAD_S).contains(&spread)) {
            return refuse("reconnect-spread-s is 1 to 3600 seconds");
        }
        Ok(())
    }

    /// The digest of what is delivered: channel, version and packages, and not the wave. It stays the same when the
    /// wave is paused and goes on, so that each box keeps its rank.
    pub fn digest(&self) -> Sha256Hex {
        let files = self.files.all().into_iter().filter_map(|(name, file)| Some((name, file?)));
        let mut hash = Sha256::new_with_prefix(format!("tallybox release\n{}\n{}\n", self.channel, self.version));
        files.for_each(|(name, file)| hash.update(format!("{name} {}\n", file.sha256)));
        Sha256Hex::from_digest(&hash.finalize())
    }

    /// When the turn of this box comes.
    pub fn turn(&self, box_id: &str) -> crate::Turn {
        self.wave.turn(crate::rank(self.digest().as_str(), box_id))
    }

    /// Until when this box has to have said how it went, if its turn is known.
    pub fn deadline(&self, box_id: &str) -> Option<Timestamp> {
        self.wave.deadline(crate::rank(self.digest().as_str(), box_id))
    }

    /// What is remembered of this document, whose exact text in its note is `text`.
    pub fn accepted(&self, text: &str) -> Accepted {
        Accepted { channel: self.channel.clone(), serial: self.serial, text: Sha256Hex::of(text.as_bytes()) }
    }
}

impl Accepted {
    /// How `new` follows on this one. Channels count for themselves: a box is on one at a time.
    pub fn replaced_by(&self, new: &Self) -> Replacement {
        if self.channel != new.channel || new.serial > self.serial {
            return Replacement::New;
        }
        if new.serial < self.serial {
            return Replacement::Older;
        }
        if self.text == new.text { Replacement::Repeated } else { Replacement::Conflicting }
    }
}

/// Whether a channel can have this name.
pub fn is_channel(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_CHANNEL_BYTES).contains(&name.len()) && name.bytes().all(plain)
}
