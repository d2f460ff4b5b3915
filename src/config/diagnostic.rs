//! A mistake in the configuration: where it is, what is wrong, what would be right.

use core::fmt;
use std::path::PathBuf;

/// One mistake, or one thing worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// Line and column, both from 1; `None` for what is not there at all.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub advice: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.wrong)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "; {}", self.advice) }
    }
}

/// Every mistake that was found.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ConfigError {
    /// In the order of files and lines.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}
