//! The configuration: read from TOML, every mistake reported with its place, then checked once and for all.
//! Nothing behind [`Config::load`] validates again.

mod address;
mod binding;
mod changes;
mod choice;
mod conflicts;
mod desired;
mod diagnostic;
mod document;
mod encoding;
mod exposure;
#[cfg(all(feature = "box", any(test, feature = "fuzzing")))]
pub(crate) mod fuzzing;
mod load;
mod policy;
mod reader;
mod recipient;
mod secret;
mod sections;
mod session_values;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(crate) use tests::{example, example_to};

pub use address::{
    AddressRange, Destination, Host, HostPattern, IngestScheme, Latency, Login, Protocol, Rtmp, ServerUrl, Srt,
    ValueError, Whip, origin,
};
pub(crate) use changes::{asks_staff_about_destination, compare};
pub(crate) use desired::{DESIRED_KEYS, DesiredKey, Judged, ValueKind, Verdict};
pub use diagnostic::{ConfigError, Diagnostic};
pub use document::STICK_FILE;
pub(crate) use document::{files_of, place_at, place_of};
pub(crate) use exposure::{exposed_secrets, inline_secrets, redacted_files};
pub use policy::{is_policy_version, policy_follows};
pub(crate) use reader::did_you_mean;
pub use reader::parse_duration;
pub use recipient::{AgeRecipient, NotARecipient};
pub(crate) use secret::hide;
pub use secret::{MissingSecret, Secret, SecretTemplate};
pub(crate) use sections::derived_id;
pub use sections::is_device_id;
pub use types::{
    Audio, AudioSource, Capture, Consent, Crop, Device, Encoder, Ingest, Mask, MeteredLinks, Mqtt, Outage,
    OutageBuffer, Outside, Overlay, Panel, PanelBackend, Privacy, Residency, ThirdParty, Update, Video, VideoSource,
};

/// The default of `--config`.
pub const DEFAULT_PATH: &str = "/etc/tallybox/tallybox.toml";

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[device]`
    pub device: Device,
    /// `[panel]`
    pub panel: Panel,
    /// `[video]`
    pub video: Video,
    /// `[overlay]`
    pub overlay: Overlay,
    /// `[[privacy-mask]]` of all files together: no file takes away another's.
    pub masks: Vec<Mask>,
    /// `[audio]`
    pub audio: Audio,
    /// `[capture]`
    pub capture: Capture,
    /// `[ingest]`
    pub ingest: Ingest,
    /// `[mqtt]`; `None`: this box is not controlled from outside.
    pub mqtt: Option<Mqtt>,
    /// `[consent]`
    pub consent: Consent,
    /// `[privacy]`
    pub privacy: Privacy,
    /// `[residency]`
    pub residency: Residency,
    /// `[[trust]]` of all files together, and `[trust-thresholds]`: whose signatures count.
    pub trust: notes::Trust,
    /// `[update]`
    pub update: Update,
    /// `[[recipients]]` of all files together.
    pub third_parties: Vec<ThirdParty>,
    /// The main file, for roles that have to be given it again.
    pub path: PathBuf,
    /// SHA-256 over the names and contents of its files, in hex: tells that something was changed, and not what.
    pub hash: String,
    /// What it was made of.
    pub(crate) files: Vec<document::SourceFile>,
    /// What is allowed but worth knowing, such as a stream that is not encrypted.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// Reads `path` and then `conf.d/*.toml` beside it in the order of their names, later ones overriding.
    ///
    /// # Errors
    /// All mistakes of all files at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load::load(path, document::read(path)?)
    }

    /// What [`Config::load`] would read if `text` stood in `conf.d/<name>` beside `path`, in place of what is there.
    /// Its mistakes are told as those of the file `from`.
    ///
    /// # Errors
    /// All mistakes of all files at once.
    pub fn load_with(path: &Path, name: &str, from: &Path, text: String) -> Result<Self, ConfigError> {
        let mut texts = document::read(path)?;
        document::insert_override(&mut texts, name, from, text);
        load::load(path, texts)
    }

    /// The text of a file that somebody brought, as [`Config::load`] reads files.
    ///
    /// # Errors
    /// Where it is not UTF-8: what it is, and in which line.
    pub fn text_of(file: &Path, bytes: Vec<u8>) -> Result<String, Diagnostic> {
        encoding::text(file, bytes)
    }

    /// What capture needs secrets for.
    fn ingest_templates(&self) -> impl Iterator<Item = &SecretTemplate> {
        self.ingest.destinations().flat_map(Destination::templates)
    }

    /// What the agent needs secrets for.
    fn broker_templates(&self) -> impl Iterator<Item = &SecretTemplate> {
        self.mqtt.iter().flat_map(|mqtt| {
            let login = mqtt.login.iter().flat_map(|Login { user, password }| [user, password]);
            login.chain(&mqtt.client_key)
        })
    }

    /// Secrets that are named and that are nowhere to be found from here.
    pub fn missing_secrets(&self) -> Vec<MissingSecret> {
        let all = self.ingest_templates().chain(self.broker_templates());
        all.filter_map(|template| template.resolve().err()).collect()
    }

    /// The names of the secrets that capture needs, and of those that the agent needs, each once.
    pub fn named_secrets(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        fn names<'t>(templates: impl Iterator<Item = &'t SecretTemplate>) -> BTreeSet<String> {
            templates.flat_map(SecretTemplate::placeholders).map(str::to_owned).collect()
        }
        (names(self.ingest_templates()), names(self.broker_templates()))
    }

    /// The same configuration as capture and agent meet it: their secrets are what `capture` and `agent` find by name,
    /// and nothing of this process's own.
    #[must_use]
    pub fn with_secrets_of(
        mut self,
        capture: &dyn Fn(&str) -> Option<String>,
        agent: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let destinations = std::iter::once(&mut self.ingest.first).chain(&mut self.ingest.second);
        destinations.flat_map(Destination::templates_mut).for_each(|template| template.supply(capture));
        if let Some(mqtt) = &mut self.mqtt {
            let login = mqtt.login.iter_mut().flat_map(|Login { user, password }| [user, password]);
            login.chain(&mut mqtt.client_key).for_each(|template| template.supply(agent));
        }
        self
    }

    /// Secrets that are found from here and that cannot be used: each with its section.
    pub fn unusable_secrets(&self) -> Vec<Diagnostic> {
        let tell = |section: &str, ValueError { message, help }: ValueError| Diagnostic {
            file: self.path.clone(),
            at: None,
            message: format!("[{section}] {message}"),
            help,
        };
        let sections = ["ingest", sections::SECOND].into_iter().zip(self.ingest.destinations());
        let mut all: Vec<_> = sections
            .flat_map(|(section, to)| to.unusable_secrets().into_iter().map(move |message| tell(section, message)))
            .collect();
        let login = self.mqtt.iter().filter_map(|mqtt| mqtt.login.as_ref());
        all.extend(login.flat_map(Login::unusable_secrets).map(|message| tell("mqtt", message)));
        all
    }

    /// Who the box is and whom it talks to, in a line for people, without anything secret.
    pub fn summary(&self) -> String {
        let id = self.device.id.as_deref().unwrap_or("from the box's own key");
        let broker = self.mqtt.as_ref().map_or_else(|| "none".to_owned(), Mqtt::origin);
        format!("id {id}, broker {broker}, streams to {}", self.ingest.places().join(" and "))
    }

    /// The agent's own folder, for how far the platform has read the ledger.
    pub fn agent_dir(&self) -> PathBuf {
        self.device.data_dir.join("agent")
    }

    /// Whether footage that could not be delivered stays on the box when its session has ended.
    pub fn keeps_footage(&self) -> bool {
        let Privacy { footage_recipient, footage_retention, .. } = &self.privacy;
        footage_recipient.is_some() && !footage_retention.is_zero() && self.ingest.outage.buffer == OutageBuffer::Disk
    }

    /// The control socket.
    pub fn guard_socket(&self) -> PathBuf {
        self.device.runtime_dir.join(crate::ipc::GUARD_SOCKET)
    }

    /// The consent ledger.
    pub fn ledger(&self) -> PathBuf {
        self.device.data_dir.join(crate::ipc::LEDGER_FILE)
    }
}
