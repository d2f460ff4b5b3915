//! How a command ends when it fails: one message, and a code of sysexits.h.

use std::process::ExitCode;

/// A failure at the edge: a code of sysexits.h and what is said about it, advice included.
#[derive(Debug)]
pub struct Exit {
    code: u8,
    message: String,
}

impl Exit {
    /// Wrong arguments (`EX_USAGE`, 64).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 64, message: message.into() }
    }

    /// Something that the command needs is not there now (`EX_UNAVAILABLE`, 69).
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { code: 69, message: message.into() }
    }

    /// Data is damaged (`EX_DATAERR`, 65).
    pub fn data(message: impl Into<String>) -> Self {
        Self { code: 65, message: message.into() }
    }

    /// The file to work on is not there (`EX_NOINPUT`, 66).
    pub fn no_input(message: impl Into<String>) -> Self {
        Self { code: 66, message: message.into() }
    }

    /// Not now (`EX_TEMPFAIL`, 75).
    pub fn temporary(message: impl Into<String>) -> Self {
        Self { code: 75, message: message.into() }
    }

    /// A fault of tallybox itself (`EX_SOFTWARE`, 70).
    pub fn software(message: impl Into<String>) -> Self {
        Self { code: 70, message: message.into() }
    }

    /// A file or socket could not be read or written (`EX_IOERR`, 74).
    pub fn io(message: impl Into<String>) -> Self {
        Self { code: 74, message: message.into() }
    }

    /// Not allowed (`EX_NOPERM`, 77).
    pub fn permission(message: impl Into<String>) -> Self {
        Self { code: 77, message: message.into() }
    }

    /// The configuration is wrong (`EX_CONFIG`, 78).
    pub fn config(message: impl Into<String>) -> Self {
        Self { code: 78, message: message.into() }
    }

    /// The same, and what it is about.
    #[must_use]
    pub fn about(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// Prints the message, if there is one, to standard error.
    pub fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("{}", self.message);
        }
        ExitCode::from(self.code)
    }
}

impl From<crate::config::ConfigError> for Exit {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::config(error.to_string())
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
