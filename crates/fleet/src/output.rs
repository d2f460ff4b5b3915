//! What is printed: whole lines, and no complaint where nobody reads on (`| head`).

use std::io::Write;

use serde::Serialize;
use tallybox::exit::Exit;

/// A line of text.
pub(crate) fn line(text: &str) -> Result<(), Exit> {
    // Whoever closed the pipe has what they wanted.
    writeln!(std::io::stdout().lock(), "{text}").map_err(|_| Exit::io(""))
}

/// A line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Exit> {
    line(&serde_json::to_string(value).map_err(|error| Exit::software(error.to_string()))?)
}
