//! `policy sign`: a policy as boxes take it, checked by the box's own code before it leaves this machine.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use notes::{DocumentType, Role};
use tallybox::exit::Exit;
use tallybox::ipc::{PolicyDocument, PolicyReason};
use tallybox::judges::policy_note::PolicyNote;

use crate::notice::{self, NoticeArgs};

/// What the note says, and who signs it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SignArgs {
    /// The version: a day after that of the one in force.
    #[arg(long, value_name = "DAY")]
    version: String,
    /// Staff have to acknowledge it before they record again.
    #[arg(long)]
    material: bool,
    /// What changes materially; several behind commas.
    #[arg(
        long,
        value_name = "REASON",
        value_delimiter = ',',
        requires = "material",
        value_parser = PossibleValuesParser::new(PolicyReason::ALL.map(PolicyReason::as_str)).try_map(|word| reason(&word))
    )]
    reasons: Vec<PolicyReason>,
    /// From when on the platform calls it effective, for people: a day, or a time in UTC.
    #[arg(long, value_name = "TIME")]
    effective: Option<String>,
    /// The policy's text in one language, whose SHA-256 the note has; --text-zh and --text-en are newer.
    #[arg(long, value_name = "FILE", conflicts_with = "text_zh")]
    text: Option<PathBuf>,
    /// Where people read it.
    #[arg(long, value_name = "URL", conflicts_with = "text_zh")]
    url: Option<String>,
    #[command(flatten)]
    notice: NoticeArgs,
    /// The keys that sign; several where boxes ask for more than one.
    #[arg(long = "key", value_name = "FILE", required = true)]
    keys: Vec<PathBuf>,
}

/// The reason that a word stands for.
fn reason(word: &str) -> Result<PolicyReason, String> {
    PolicyReason::ALL.into_iter().find(|reason| reason.as_str() == word).ok_or_else(|| format!("{word} is no reason"))
}

impl SignArgs {
    /// The signed note.
    pub(super) fn note(&self) -> Result<String, Exit> {
        let Self { version, material, reasons, effective, text, url, notice, keys } = self;
        let document = PolicyDocument {
            version: version.clone(),
            material: *material,
            reasons: (!reasons.is_empty()).then(|| reasons.clone()),
            effective: effective.clone(),
            texts: notice.texts()?,
            text_sha256: text.as_deref().map(notice::sha256).transpose()?,
            url: url.clone(),
            contacts: notice.contacts.clone(),
            answer_days: notice.answer_days,
        };
        let json = serde_json::to_string(&document).map_err(|error| Exit::software(error.to_string()))?;
        let signers = notice::signers(keys)?;
        let note = notice::sign(&format!("{}\n{json}\n", DocumentType::Policy.as_str()), &signers)?;
        PolicyNote::verify(&notice::trust(&signers, Role::Policy), &note)
            .map_err(|error| Exit::data(format!("no box would take it: {error}")))?;
        Ok(note)
    }
}
