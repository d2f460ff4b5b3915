//! Secrets: `${NAME}` in a value, looked up where it is used, never printed.

use core::fmt;
use std::path::PathBuf;

/// A value that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
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

/// A value with `${NAME}` in it, not yet looked up. Printed with everything behind the host left out, because people
/// also write keys straight into their configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    shown: String,
}

impl Template {
    pub(super) fn new(text: String, shown: String) -> Self {
        Self { text, shown }
    }

    /// Names of the secrets in `text`; `Err` with what is wrong with it.
    pub(super) fn names(text: &str) -> Result<Vec<&str>, String> {
        let mut names = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(length) = rest[start..].find('}') else {
                return Err("\"${\" without a closing \"}\"".to_owned());
            };
            let name = &rest[start + 2..start + length];
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(format!("{name:?} cannot be a secret's name"));
            }
            names.push(name);
            rest = &rest[start + length..];
        }
        Ok(names)
    }

    /// `text` with each `${NAME}` replaced by what `value` gives for it.
    pub(super) fn fill<E>(text: &str, mut value: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, behind) = after.split_once('}').unwrap_or((after, ""));
            out.push_str(before);
            out.push_str(&value(name)?);
            rest = behind;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The value with its secrets in place: from systemd's credentials first, then from the environment.
    pub fn resolve(&self) -> Result<Secret, MissingSecret> {
        Self::fill(&self.text, |name| look_up(name).ok_or_else(|| MissingSecret(name.to_owned()))).map(Secret)
    }
}

fn look_up(name: &str) -> Option<String> {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .and_then(|dir| std::fs::read_to_string(PathBuf::from(dir).join(name)).ok())
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    credential.or_else(|| std::env::var(name).ok())
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}
