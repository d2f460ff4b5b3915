//! `tallybox privacy report`: for the privacy officer.

mod archive;
mod credentials;
mod export;
mod sealing;

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::notice;
use crate::config::Config;
use crate::exit::Exit;
use crate::privacy;
use crate::text::{Language, Text};

pub(crate) use sealing::run as seal_key;

/// What about privacy.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Topic {
    /// Every datum that leaves the box or is stored: purpose, legal basis, recipient, retention and category.
    Report {
        /// How to print it.
        #[arg(long, value_enum, default_value_t = Format::Md)]
        format: Format,
        /// In which language.
        #[arg(long, value_enum, default_value_t = Language::En)]
        language: Language,
    },
    /// A card to print and hang up beside the box.
    Notice(notice::Args),
    /// Everything that the box holds about the shop, as one tar archive with an index: for whoever has the right of
    /// access. Without keys and footage.
    Export {
        /// The archive to be made; only its owner may read it.
        file: PathBuf,
    },
    /// Delete the credentials of a box that is being unbound, as tallybox-erasure.service does when the guard asks.
    EraseCredentials,
    /// Seal the box's key with the machine's TPM, or open it, as tallybox-sealing@.service does when the guard asks.
    SealKey,
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
    let (format, language) = match topic {
        Topic::Report { format, language } => (format, language),
        Topic::Notice(args) => return notice::run(config, args),
        Topic::Export { file } => return export::run(config, &file),
        Topic::EraseCredentials => return credentials::run(config),
        Topic::SealKey => return seal_key(),
    };
    match format {
        Format::Json => {
            let report = privacy::report(config, language);
            let text = serde_json::to_string_pretty(&report).map_err(|error| Exit::software(error.to_string()))?;
            println!("{text}");
        }
        Format::Md => {
            let title =
                Text::new("# What this box collects\n\nUnder policy ", "# 本设备收集的信息\n\n适用的隐私政策版本：");
            println!("{}{}\n", title.get(language), config.consent.policy_version);
            print!("{}", privacy::markdown(&privacy::Settings::of(config), language, 2));
        }
    }
    Ok(())
}
