//! Values that the platform wants, below all files: each key is judged by itself, and what cannot be taken keeps
//! nothing else from being taken.

mod keys;
#[cfg(test)]
mod tests;
mod text;

use serde_json::Value;

use super::document::SourceFile;
use super::sections::PLACEHOLDER;
use super::{Config, ConfigError, Diagnostic, did_you_mean, load};
use crate::ipc::{Values, WHY, clean};

pub(crate) use keys::{DESIRED_KEYS, DesiredKey, ValueKind};

/// What becomes of one value, with a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is taken.
    Ok,
    /// A file of the box says otherwise, or the same.
    Locked(String),
    /// It is not taken, and what to do.
    Refused(String),
    /// There is no such key.
    Unknown(String),
}

/// What becomes of a document.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    /// The files, with what is taken below them.
    pub(crate) config: Config,
    /// What is taken.
    pub(crate) taken: Values,
    /// What becomes of each of its keys, in their order.
    pub(crate) keys: Vec<(String, Verdict)>,
}

impl Config {
    /// Judges `values` on this configuration, which is made of files alone.
    pub(crate) fn with_desired(&self, values: &Values) -> Judged {
        let mut keys: Vec<(String, Verdict)> =
            values.iter().map(|(key, value)| (key.to_owned(), self.judge_alone(key, value))).collect();
        let mut taken =
            values.filtered(|key| keys.iter().any(|(known, verdict)| known == key && *verdict == Verdict::Ok));
        loop {
            let error = match self.below_files(&taken) {
                Ok(config) => return Judged { config, taken, keys },
                Err(error) => error,
            };
            let refused = self.concerned(&taken, &error);
            taken = taken.filtered(|key| !refused.iter().any(|(known, _)| known == key));
            for (key, why) in refused {
                if let Some((_, verdict)) = keys.iter_mut().find(|(known, _)| *known == key) {
                    *verdict = Verdict::Refused(why);
                }
            }
        }
    }

    /// What a key and its value say by themselves.
    fn judge_alone(&self, name: &str, value: &Value) -> Verdict {
        let Some(key) = DESIRED_KEYS.iter().find(|key| key.name == name) else {
            return unknown(name);
        };
        if let Some(what) = text::mismatch(key, value) {
            return Verdict::Refused(what);
        }
        match self.locked_by(key) {
            Some((file, line)) => {
                Verdict::Locked(format!("{file}:{line} says it; remove it there to set it from here"))
            }
            None => Verdict::Ok,
        }
    }

    /// The last file that has the key, and the line. Masks of files and of the platform add up.
    fn locked_by(&self, key: &DesiredKey) -> Option<(String, usize)> {
        let (section, name) = key.place()?;
        if key.name == "ingest.url" && self.has_placeholder() {
            return None;
        }
        let found = |text: &SourceFile| Some((text.name().to_owned(), text.find(section, name)?.0));
        self.files.iter().rev().find_map(found)
    }

    /// Whether the address in the files is one to be replaced.
    fn has_placeholder(&self) -> bool {
        self.ingest.first.host.as_str().ends_with(PLACEHOLDER)
    }

    fn below_files(&self, values: &Values) -> Result<Self, ConfigError> {
        if values.is_empty() {
            return Ok(self.clone());
        }
        // An address that is to be replaced is the one thing in the files that gives way.
        let replaces = |key: &str| key == "ingest.url" && self.has_placeholder();
        let (below, above) = (values.filtered(|key| !replaces(key)), values.filtered(replaces));
        let mut texts = vec![SourceFile::of_platform("desired", text::toml(&below))];
        texts.extend(self.files.iter().cloned());
        if !above.is_empty() {
            texts.push(SourceFile::of_platform("desired-address", text::toml(&above)));
        }
        load::load(&self.path, texts)
    }

    /// The keys that a mistake depends on, each with the mistake: without any one of them it is gone. At least one.
    fn concerned(&self, values: &Values, error: &ConfigError) -> Vec<(String, String)> {
        let without = |name: &str| match self.below_files(&values.filtered(|key| key != name)) {
            Ok(_) => Vec::new(),
            Err(error) => error.diagnostics,
        };
        let trials: Vec<_> = values.iter().map(|(key, _)| (key, without(key))).collect();
        let mut all: Vec<(String, String)> = Vec::new();
        for mistake in &error.diagnostics {
            let count = |all: &[Diagnostic]| all.iter().filter(|other| is_same(mistake, other)).count();
            let there = count(&error.diagnostics);
            for (key, _) in trials.iter().filter(|(_, left)| count(left) < there) {
                if !all.iter().any(|(known, _)| known == key) {
                    all.push(((*key).to_owned(), said(mistake)));
                }
            }
        }
        if all.is_empty() {
            // Mistakes that hide one another: nothing of this document can be told apart.
            let why = error.diagnostics.first().map_or_else(String::new, said);
            all.extend(values.iter().map(|(key, _)| (key.to_owned(), why.clone())));
        }
        all
    }
}

fn is_same(one: &Diagnostic, other: &Diagnostic) -> bool {
    (&one.message, &one.help) == (&other.message, &other.help)
}

fn said(Diagnostic { file: _, at: _, message, help }: &Diagnostic) -> String {
    clean(&format!("{message}; {help}"), WHY)
}

/// What the box has, and the platform has no say in; or a slip.
fn unknown(name: &str) -> Verdict {
    const OWN: [&str; 7] = ["panel", "trust", "trust-thresholds", "consent", "privacy", "device", "recipients"];
    let section = name.split('.').next().unwrap_or_default();
    if OWN.contains(&section) || (section == "mqtt" && name.contains('.')) || name.ends_with("ca-file") {
        let why = format!("{name} is the integrator's: it is written in the box's files alone");
        return Verdict::Refused(clean(&why, WHY));
    }
    let near = did_you_mean(name, DESIRED_KEYS.iter().map(|key| key.name));
    Verdict::Unknown(format!("{near}there is no key {name:?} that can be set from here"))
}
