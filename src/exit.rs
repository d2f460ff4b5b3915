//! How a command ends when it fails: one message, and a code of sysexits.h.

use std::process::ExitCode;

/// Every code that a command ends with when it fails, and what it means: for the help, the manual page and the
/// documents.
pub const CODES: [(u8, &str); 9] = [
    (64, "wrong usage"),
    (65, "damaged data"),
    (66, "a file is missing"),
    (69, "something that is needed is not there now"),
    (70, "a fault of tallybox itself"),
    (74, "input or output failed"),
    (75, "not now: try again"),
    (77, "not allowed"),
    (78, "the configuration is wrong"),
];

/// The codes as `tallybox help` tells them.
pub fn help() -> String {
    let lines = CODES.map(|(code, means)| format!("  {code}  {means}"));
    format!("Exit codes (sysexits.h):\n{}", lines.join("\n"))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_are_told_and_documented() {
        let made = [
            Exit::usage(""),
            Exit::data(""),
            Exit::no_input(""),
            Exit::unavailable(""),
            Exit::software(""),
            Exit::io(""),
            Exit::temporary(""),
            Exit::permission(""),
            Exit::config(""),
        ];
        assert_eq!(made.map(|exit| exit.code), CODES.map(|(code, _)| code));
        let text = include_str!("../docs/operations.md");
        let section = text.split("## Exit codes\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
        let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert_eq!(rows, CODES.map(|(code, means)| format!("| {code} | {means} |")));
    }
}
