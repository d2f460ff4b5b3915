//! `tallybox privacy report`: for the privacy officer.

use clap::{Subcommand, ValueEnum};

use crate::config::Config;
use crate::exit::Exit;
use crate::privacy;

/// What about privacy.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Topic {
    /// Every datum, its purpose, recipient and retention.
    Report {
        /// How to print it.
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
    },
}

/// How to print a report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Markdown.
    Md,
    /// JSON.
    Json,
}

/// Prints it.
pub(crate) fn run(config: &Config, topic: Topic) -> Result<(), Exit> {
    let Topic::Report { format } = topic;
    let data = privacy::report(config);
    match format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&data).map_err(|error| Exit::software(error.to_string()))?;
            println!("{text}");
        }
        Format::Md => {
            println!(
                "# What this box collects\n\n| part | datum | purpose | recipient | kept |\n|---|---|---|---|---|"
            );
            for datum in data {
                let (part, name, purpose) = (datum.part, datum.datum, datum.purpose);
                println!("| {part} | {name} | {purpose} | {} | {} |", datum.recipient, datum.retention);
            }
        }
    }
    Ok(())
}
