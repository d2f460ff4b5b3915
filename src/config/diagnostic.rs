//! A mistake in the configuration: where it is, what is wrong, what would be right.

use core::fmt;
use std::path::PathBuf;

use crate::ipc::{MESSAGE, clean};

/// One mistake, or one thing worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diagnostic {
    /// The file.
    pub file: PathBuf,
    /// Line and column, both from 1; `None` for what is not there at all.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Diagnostic {
    /// With this message and this advice, which may repeat what the file says, and reach a terminal, the log and the
    /// platform.
    pub(super) fn new(file: PathBuf, at: Option<(usize, usize)>, message: &str, help: &str) -> Self {
        Self { file, at, message: clean(message, MESSAGE), help: clean(help, MESSAGE) }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if self.help.is_empty() { Ok(()) } else { write!(f, "; {}", self.help) }
    }
}

/// Every mistake that was found.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigError {
    /// In the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}
