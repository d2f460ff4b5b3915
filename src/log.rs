//! Where the roles write what they do: the journal under systemd, plain text on a terminal.

use core::fmt;
use std::io::IsTerminal;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

/// Starts logging for a role. `TALLYBOX_LOG` sets the level, such as `debug` or `tallybox=debug`; info without it.
pub fn init(role: &'static str) {
    let asked: Option<Targets> = std::env::var("TALLYBOX_LOG").ok().and_then(|text| text.parse().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let registry = tracing_subscriber::registry().with(filter);
    // systemd says that standard error is its journal; a terminal or a pipe gets text.
    let journal = std::env::var_os("JOURNAL_STREAM").map(|_| tracing_journald::layer());
    // A second call, in a test that runs two roles in one process, changes nothing.
    let _ = match journal {
        Some(Ok(layer)) => registry.with(layer.with_syslog_identifier(format!("tallybox-{role}"))).try_init(),
        // A role that can make no Unix socket has standard error alone.
        Some(Err(_)) => {
            let lines = tracing_subscriber::fmt::layer().event_format(JournalLines).with_writer(std::io::stderr);
            registry.with(lines.with_ansi(false)).try_init()
        }
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

/// Lines as systemd reads them from standard error: each with its priority in front (sd-daemon(3)), without a time.
struct JournalLines;

impl<S, N> FormatEvent<S, N> for JournalLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        text.lines().try_for_each(|line| writeln!(to, "<{priority}>{line}"))
    }
}

/// The journal's priority of a level, as `tracing_journald` has it.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 5,
        Level::DEBUG => 6,
        Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_line_for_the_journal_has_its_priority() {
        let lines = Lines::default();
        let to = lines.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(JournalLines).with_writer(move || to.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.with_ansi(false)), || {
            tracing::warn!(element = "camera", "gone\nfor good");
            tracing::info!("live");
        });
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written, "<4>gone\n<4>for good element=\"camera\"\n<5>live\n");
    }
}
