//! From files to a configuration: all mistakes of all files at once, or none.

use std::path::Path;

use super::binding;
use super::document::{self, Author, SourceFile};
use super::reader::Reader;
use super::sections;
use super::{Config, ConfigError, Destination, Diagnostic};

/// The configuration in `texts`, whose main file is at `path`.
pub(super) fn load(path: &Path, texts: Vec<SourceFile>) -> Result<Config, ConfigError> {
    let mut config = check(path, &texts)?;
    let foreign = document::written_by(&texts, &[Author::Stick, Author::Platform]);
    let mut diagnostics = Vec::new();
    if !foreign.is_empty() {
        // The box's own files are whole without them: what they say of secrets could not be known otherwise.
        let own = document::written_by(&texts, &[Author::Integrator]);
        diagnostics = binding::diagnostics(&own, &check(path, &own)?, &foreign, &config);
    }
    if foreign.iter().any(|text| text.author == Author::Platform) {
        // The platform chooses among the hosts that the files allow; without a list those are the files' own.
        let files = document::written_by(&texts, &[Author::Integrator, Author::Stick]);
        config.privacy = check(path, &files)?.privacy;
        diagnostics.extend(forbidden_hosts(&config));
    }
    if !diagnostics.is_empty() {
        return Err(ConfigError { diagnostics });
    }
    config.files = texts;
    Ok(config)
}

pub(super) fn check(path: &Path, texts: &[SourceFile]) -> Result<Config, ConfigError> {
    let (documents, syntax) = document::parse(texts);
    let broken = !syntax.is_empty();
    let mut reader = Reader::new(documents, syntax);
    let config = sections::read(&mut reader, path, document::hash(texts));
    let (mut diagnostics, warnings) = reader.finish();
    if broken {
        // What a broken line meant to set is unknown: an absence may be its doing.
        diagnostics.retain(|diagnostic| diagnostic.at.is_some());
    }
    let Some(config) = config.filter(|_| diagnostics.is_empty()) else { return Err(ConfigError { diagnostics }) };
    Ok(Config { warnings, ..config })
}

/// Destinations that the platform wants and the files do not allow.
fn forbidden_hosts(config: &Config) -> Vec<Diagnostic> {
    let allows = |to: &Destination| config.privacy.allowed_ingest_hosts.iter().any(|known| known.allows(&to.host));
    let forbidden = config.ingest.destinations().filter(|to| !allows(to));
    let diagnostic = |to: &Destination| Diagnostic {
        file: "desired".into(),
        at: None,
        message: format!("the ingest host {:?} is not one of allowed-ingest-hosts", to.host.as_str()),
        help: "the integrator adds it to [privacy] allowed-ingest-hosts if the policy lets streams go there".to_owned(),
    };
    forbidden.map(diagnostic).collect()
}
