//! From files to a configuration: all mistakes of all files at once, or none.

use std::path::Path;

use super::binding::{self, STICK_FILE};
use super::document::{self, SourceFile};
use super::reader::Reader;
use super::sections::{self, Sections};
use super::{Config, ConfigError};

/// The configuration in `texts`, whose main file is at `path`.
pub(super) fn load(path: &Path, texts: &[SourceFile]) -> Result<Config, ConfigError> {
    let config = check(path, texts)?;
    if let Some((stick, own)) = document::split_off(texts, STICK_FILE) {
        // The box's own files are whole without it: what they say of secrets could not be known otherwise.
        let diagnostics = binding::diagnostics(&own, &check(path, &own)?, &stick, &config);
        if !diagnostics.is_empty() {
            return Err(ConfigError { diagnostics });
        }
    }
    Ok(config)
}

fn check(path: &Path, texts: &[SourceFile]) -> Result<Config, ConfigError> {
    let (documents, syntax) = document::parse(texts);
    let broken = !syntax.is_empty();
    let mut reader = Reader::new(documents, syntax);
    let sections = sections::read(&mut reader);
    let (mut diagnostics, warnings) = reader.finish();
    if broken {
        // What a broken line meant to set is unknown: an absence may be its doing.
        diagnostics.retain(|diagnostic| diagnostic.at.is_some());
    }
    let Some(sections) = sections.filter(|_| diagnostics.is_empty()) else { return Err(ConfigError { diagnostics }) };
    let Sections {
        device,
        panel,
        video,
        overlay,
        masks,
        audio,
        capture,
        ingest,
        mqtt,
        consent,
        privacy,
        trust,
        update,
    } = sections;
    Ok(Config {
        device,
        panel,
        video,
        overlay,
        masks,
        audio,
        capture,
        ingest,
        mqtt,
        consent,
        privacy,
        trust,
        update,
        path: path.to_owned(),
        hash: document::hash(texts),
        warnings,
    })
}
