//! Secrets: `${NAME}` in a value, looked up where it is used, never printed, and taken literally. What servers say is
//! kept free of them.

use core::fmt;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a URL's path and query take as it is (RFC 3986, 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value itself; hand it on, never into a log or a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A secret that a value names and that is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret {0} is neither a systemd credential nor an environment variable; add LoadCredential={0}:PATH to the unit, or export {0}"
)]
pub struct MissingSecret(pub String);

/// A piece of a value.
#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `${NAME}`, looked up where it is used.
    Name(String),
    /// The same with what another process gets for it; `None`: that one gets nothing.
    Given(String, Option<Secret>),
}

/// A value with `${NAME}` in it, not yet looked up. What a secret says is never parsed: it stands where it was put.
/// Printed as what it is for and nothing else, because people also write keys straight into their configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretTemplate {
    pieces: Vec<Piece>,
    redacted: &'static str,
}

impl SecretTemplate {
    /// Takes `text` apart; `redacted` is printed in its place.
    ///
    /// # Errors
    /// What is wrong with a `${`.
    pub(super) fn parse(text: &str, redacted: &'static str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((name, after)) = behind.split_once('}') else {
                return Err("\"${\" without a closing \"}\"".to_owned());
            };
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                // People write the secret itself there, too.
                return Err("what stands in \"${…}\" cannot be a secret's name".to_owned());
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Name(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { pieces, redacted })
    }

    /// The same, with everything that is no secret replaced by what `with` makes of it.
    ///
    /// # Errors
    /// The first of `with`.
    pub(super) fn try_map<E>(self, mut with: impl FnMut(&str) -> Result<String, E>) -> Result<Self, E> {
        let pieces = self.pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => with(&text).map(Piece::Text),
            named @ (Piece::Name(_) | Piece::Given(..)) => Ok(named),
        });
        Ok(Self { pieces: pieces.collect::<Result<_, _>>()?, ..self })
    }

    /// The whole value, where no secret is in it.
    pub fn literal(&self) -> Option<String> {
        self.pieces.iter().map(|piece| if let Piece::Text(text) = piece { Some(text.as_str()) } else { None }).collect()
    }

    /// The names of its secrets.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Name(name) | Piece::Given(name, _) => Some(name.as_str()),
        })
    }

    /// From now on its secrets are what `from` finds by their names, and nothing of this process's own.
    pub(super) fn supply(&mut self, from: &dyn Fn(&str) -> Option<String>) {
        for piece in &mut self.pieces {
            match piece {
                Piece::Text(_) => {}
                Piece::Name(name) | Piece::Given(name, _) => {
                    let given = from(name).map(Secret);
                    *piece = Piece::Given(std::mem::take(name), given);
                }
            }
        }
    }

    /// The value with its secrets in place: from systemd's credentials first, then from the environment.
    ///
    /// # Errors
    /// The first secret that is in neither.
    pub fn resolve(&self) -> Result<Secret, MissingSecret> {
        self.expand(|secret| secret)
    }

    /// The same as part of a URL: each secret percent-encoded, so that no letter of it means anything there.
    ///
    /// # Errors
    /// The first secret that is nowhere to be found.
    pub(super) fn resolve_encoded(&self) -> Result<Secret, MissingSecret> {
        self.expand(|secret| utf8_percent_encode(&secret, UNRESERVED).to_string())
    }

    fn expand(&self, with: impl Fn(String) -> String) -> Result<Secret, MissingSecret> {
        let value = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Ok(text.clone()),
            Piece::Name(name) => resolve_secret(name).map(&with).ok_or_else(|| MissingSecret(name.clone())),
            Piece::Given(name, given) => {
                given.clone().map(|Secret(given)| with(given)).ok_or_else(|| MissingSecret(name.clone()))
            }
        });
        value.collect::<Result<_, _>>().map(Secret)
    }
}

fn resolve_secret(name: &str) -> Option<String> {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .and_then(|dir| std::fs::read_to_string(PathBuf::from(dir).join(name)).ok())
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    credential.or_else(|| std::env::var(name).ok())
}

impl fmt::Debug for SecretTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.redacted)
    }
}

impl fmt::Display for SecretTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.redacted)
    }
}

/// A secret of this length does not occur in a word by chance: it is hidden within words too.
const MIN_EMBEDDED: usize = 8;

/// `text`, which somebody else wrote, without this secret. A short one is hidden only as a word of its own: the stream
/// `live` does not change "delivered".
pub(crate) fn hide(text: &str, secret: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(secret) {
        let (before, from_match) = rest.split_at(at);
        let after = from_match.get(secret.len()..).unwrap_or_default();
        let is_letter = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
        let is_word = !is_letter(before.chars().next_back().or_else(|| out.chars().next_back()))
            && !is_letter(after.chars().next());
        out.push_str(before);
        out.push_str(if is_word || secret.len() >= MIN_EMBEDDED { "…" } else { secret });
        rest = after;
    }
    out.push_str(rest);
    out
}
