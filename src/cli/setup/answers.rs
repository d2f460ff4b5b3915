//! What an integrator answers: read from a file, or asked for on the terminal. Nothing in here is judged yet; that is
//! the configuration's own business (`draft`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::config::{did_you_mean, parse_duration, place_at};
use crate::exit::Exit;
use crate::ipc::clean;

/// Longest file of answers that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;
/// Longest name that a message repeats, in bytes.
const MAX_KEY: usize = 64;
/// The word for "there shall be none".
pub(super) const NONE: &str = "none";

/// Answers by their keys. One that is missing keeps what the box has now.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Answers {
    pub(super) device_id: Option<String>,
    pub(super) ingest_url: Option<String>,
    /// A file that has the stream key: RTMP's key, SRT's streamid, or WHIP's token.
    pub(super) stream_key_file: Option<PathBuf>,
    pub(super) srt_passphrase_file: Option<PathBuf>,
    /// `true`: the ingest server's certificate is from the authority in `ca-file` too.
    pub(super) ingest_uses_ca: Option<bool>,
    pub(super) broker_url: Option<String>,
    pub(super) broker_user: Option<String>,
    pub(super) broker_password_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client_cert_file: Option<PathBuf>,
    pub(super) client_key_file: Option<PathBuf>,
    pub(super) panel: Option<String>,
    pub(super) button_pin: Option<u32>,
    pub(super) lamp_pin: Option<u32>,
    pub(super) lamp_sense_pin: Option<u32>,
    pub(super) mute_pin: Option<u32>,
    pub(super) camera: Option<String>,
    pub(super) microphone: Option<String>,
    pub(super) policy_version: Option<String>,
    pub(super) allowed_ingest_hosts: Option<Vec<String>>,
    /// How long a press of the button is waited for; `"0s"`: not at all.
    pub(super) wait_for_press: Option<String>,
}

/// The keys, for advice about one that is not known.
const KEYS: [&str; 21] = [
    "device-id",
    "ingest-url",
    "stream-key-file",
    "srt-passphrase-file",
    "ingest-uses-ca",
    "broker-url",
    "broker-user",
    "broker-password-file",
    "ca-file",
    "client-cert-file",
    "client-key-file",
    "panel",
    "button-pin",
    "lamp-pin",
    "lamp-sense-pin",
    "mute-pin",
    "camera",
    "microphone",
    "policy-version",
    "allowed-ingest-hosts",
    "wait-for-press",
];

/// A file of answers: what it says, and where each key stands in it.
#[derive(Debug)]
pub(super) struct AnswersFile {
    path: PathBuf,
    text: String,
    pub(super) answers: Answers,
}

impl AnswersFile {
    /// Reads it. Paths in it are relative to its own folder.
    pub(super) fn read(path: &Path) -> Result<Self, Exit> {
        let shown = path.display();
        let content = crate::untrusted_file::read(path, MAX_BYTES).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                return Exit::no_input(format!("there is no {shown}"));
            }
            Exit::data(format!("{shown}: {error}; answers are a plain file of 64 KiB at most"))
        })?;
        let text = String::from_utf8(content)
            .map_err(|_| Exit::data(format!("{shown}: is not UTF-8; save it as UTF-8 text")))?;
        let answers = parse(&text).map_err(|wrong| Exit::data(format!("{shown}{wrong}")))?;
        let mut file = Self { path: path.to_owned(), text, answers };
        file.resolve_paths();
        Ok(file)
    }

    fn resolve_paths(&mut self) {
        let dir = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let answers = &mut self.answers;
        for path in [
            &mut answers.stream_key_file,
            &mut answers.srt_passphrase_file,
            &mut answers.broker_password_file,
            &mut answers.ca_file,
            &mut answers.client_cert_file,
            &mut answers.client_key_file,
        ]
        .into_iter()
        .flatten()
        {
            if *path != Path::new(NONE) {
                *path = dir.join(&path);
            }
        }
    }

    /// Where `key` stands, as messages begin: the file's name, and line and column where the key is there.
    pub(super) fn place(&self, key: &str) -> String {
        let shown = self.path.display();
        let table = toml::de::DeTable::parse_recoverable(&self.text).0.into_inner();
        let span = table.get_key_value(key).map(|(name, _)| name.span().start);
        span.map_or_else(|| shown.to_string(), |at| format!("{shown}:{}", place(&self.text, at)))
    }
}

/// How long a press is waited for.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_hours(1);
    parse_duration(text).filter(|span| *span <= longest).ok_or_else(|| {
        format!("wait-for-press = {text:?} is no span of time up to \"1h\"; write one such as \"2m\", or \"0s\"")
    })
}

/// The answers in `text`, or what is wrong, beginning with `:LINE:COLUMN`. Never quotes the text: people write keys
/// where a file's name belongs.
pub(super) fn parse(text: &str) -> Result<Answers, String> {
    let (table, errors) = toml::de::DeTable::parse_recoverable(text);
    let at = |span: Option<std::ops::Range<usize>>| {
        span.map_or_else(String::new, |span| format!(":{}", place(text, span.start)))
    };
    if let Some(error) = errors.first() {
        return Err(format!("{}: {}", at(error.span()), error.message()));
    }
    for (name, _) in table.get_ref() {
        let key = name.get_ref().as_ref();
        if !KEYS.contains(&key) {
            return Err(format!("{}: {}", at(Some(name.span())), unknown(key)));
        }
    }
    toml::from_str(text).map_err(|error| {
        // Which key it is, and no word of what stands there.
        let offset = error.span().map_or(0, |span| span.start);
        let found = table.get_ref().iter().find(|(_, value)| value.span().contains(&offset));
        let key = found.map_or("a key", |(name, _)| name.get_ref().as_ref());
        format!("{}: {key} must be {}", at(error.span()), kind(key))
    })
}

/// What a key's value must be.
fn kind(key: &str) -> &'static str {
    match key {
        "ingest-uses-ca" => "true or false",
        "allowed-ingest-hosts" => "a list of texts, such as [\"push.example.cn\"]",
        "button-pin" | "lamp-pin" | "lamp-sense-pin" | "mute-pin" => "a whole number, without quotes",
        _ => "a text in quotes",
    }
}

fn unknown(key: &str) -> String {
    let (file, key) = (format!("{key}-file"), &clean(key, MAX_KEY));
    if KEYS.contains(&file.as_str()) {
        return format!("{key} is not known; write {file} = \"PATH\": the path of a file that has it");
    }
    format!("{key} is not known; {}keys are: {}", did_you_mean(key, KEYS.into_iter()), KEYS.join(", "))
}

/// `LINE:COLUMN`, both from 1, of a byte offset.
fn place(text: &str, offset: usize) -> String {
    let (line, column) = place_at(text, offset);
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_pinned() {
        crate::wire::pin("setup-answers", &crate::wire::schema::<Answers>());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_never_quoted() {
        for (text, wanted) in [
            ("device-id = \"a\"\nstream-key = \"hush-hush\"\n", ":2:1: stream-key is not known; write stream-key-file"),
            ("client-key = \"hush-hush\"", "write client-key-file"),
            ("broker-ulr = \"hush-hush\"", "did you mean \"broker-url\"?"),
            ("button-pin = \"hush-hush\"", ":1:14: button-pin must be a whole number"),
            ("camera = [\"hush-hush\"]", ":1:10: camera must be a text"),
            ("stream-key-file = hush-hush", ":1:19: "),
            ("device-id = \"a\"\ndevice-id = \"hush-hush\"", ":2:1: duplicate key"),
            ("[stream]\nkey = \"hush-hush\"", "stream is not known"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.contains(wanted) && !wrong.contains("hush"), "{text}: {wrong}");
        }
    }

    #[test]
    fn every_key_is_known_by_both_lists() {
        let error = toml::from_str::<Answers>("no-such-key = 1").unwrap_err().to_string();
        for key in KEYS {
            assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
        }
        assert_eq!(error.matches('`').count() / 2 - 1, KEYS.len(), "{error}");
    }

    #[test]
    fn paths_are_beside_the_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers.toml");
        std::fs::write(&path, "ca-file = \"ca.pem\"\nclient-key-file = \"/x/k\"\nstream-key-file = \"none\"\n")
            .unwrap();
        let file = AnswersFile::read(&path).unwrap();
        assert_eq!(file.answers.ca_file, Some(dir.path().join("ca.pem")));
        assert_eq!(file.answers.client_key_file, Some(PathBuf::from("/x/k")));
        assert_eq!(file.answers.stream_key_file, Some(PathBuf::from(NONE)));
        assert!(file.place("client-key-file").ends_with("answers.toml:2:1"));
        assert!(file.place("device-id").ends_with("answers.toml"));
    }

    #[test]
    fn waiting_has_a_unit_and_a_limit() {
        assert_eq!(wait("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(wait("0s"), Ok(Duration::ZERO));
        assert!(wait("5").is_err() && wait("2h").is_err());
    }
}
