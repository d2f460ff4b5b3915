//! Where the roles write what they do: the journal under systemd, plain text on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// Starts logging for a role. `TALLYBOX_LOG` sets the level, such as `debug` or `tallybox=debug`; info without it.
pub fn init(role: &'static str) {
    let asked: Option<Targets> = std::env::var("TALLYBOX_LOG").ok().and_then(|text| text.parse().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let registry = tracing_subscriber::registry().with(filter);
    // systemd says that standard error is its journal; a terminal or a pipe gets text.
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    // A second call, in a test that runs two roles in one process, changes nothing.
    let _ = match journal {
        Some(layer) => registry.with(layer.with_syslog_identifier(format!("tallybox-{role}"))).try_init(),
        None => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_target(false)
                    .with_ansi(std::io::stderr().is_terminal()),
            )
            .try_init(),
    };
}
