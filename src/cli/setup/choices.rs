//! What the box shall be: the answers, and for what they leave open what the box has now.

use core::fmt;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::answers::{Answers, NONE};
use super::folders::{self, Folders};

/// Longest certificate file or secret that is taken, in bytes; a chain of certificates has some 10,000.
const MAX_BYTES: u64 = 256 * 1024;

/// The content of a file that the box shall have. Printed as nothing but where it is from.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Material {
    /// Where it was read; `None`: it was typed.
    pub(super) from: Option<PathBuf>,
    pub(super) content: Vec<u8>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Material {
    /// From a file, also through a symbolic link, as certbot makes them.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let whole = path.canonicalize().map_err(|error| format!("{shown}: {error}"))?;
        let content = crate::untrusted_file::read(&whole, MAX_BYTES).map_err(|error| format!("{shown}: {error}"))?;
        Ok(Self { from: Some(path.to_owned()), content })
    }

    /// A secret: one line of text, without what ends it.
    pub(super) fn secret(mut self) -> Result<Self, String> {
        let shown = self.shown();
        let text = String::from_utf8(self.content).map_err(|_| format!("{shown} is not UTF-8 text"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            return Err(format!("{shown} is empty; put the secret there, on a line of its own"));
        }
        if text.contains(char::is_control) {
            return Err(format!(
                "{shown} has more than one line, or letters that do not print; leave the secret alone"
            ));
        }
        if text.trim() != text {
            return Err(format!("{shown} has a space before or behind the secret; take it out"));
        }
        self.content = format!("{text}\n").into_bytes();
        Ok(self)
    }

    /// Where it is from, for people.
    pub(super) fn shown(&self) -> String {
        self.from.as_ref().map_or_else(|| "what you typed".to_owned(), |path| path.display().to_string())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).trim_end().to_owned()
    }
}

/// The whole of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    /// `None`: the derived one.
    pub(super) device_id: Option<String>,
    pub(super) ingest_url: String,
    pub(super) stream_key: Option<Material>,
    pub(super) srt_passphrase: Option<Material>,
    pub(super) ingest_uses_ca: bool,
    pub(super) broker_url: Option<String>,
    pub(super) broker_user: Option<String>,
    pub(super) broker_password: Option<Material>,
    pub(super) ca: Option<Material>,
    pub(super) client_cert: Option<Material>,
    pub(super) client_key: Option<Material>,
    pub(super) panel: String,
    /// `button-pin`, `lamp-pin`, `lamp-sense-pin`, `mute-pin`, as far as they are given.
    pub(super) pins: BTreeMap<&'static str, u32>,
    pub(super) camera: String,
    pub(super) microphone: String,
    pub(super) policy_version: Option<String>,
    pub(super) allowed_ingest_hosts: Option<Vec<String>>,
}

/// The pins by their keys, which are the same in the answers.
pub(super) const PINS: [&str; 4] = ["button-pin", "lamp-pin", "lamp-sense-pin", "mute-pin"];

/// What the box's files say now, where they can be read; the stick's file is nobody's answer.
#[derive(Debug, Default)]
pub(super) struct Former(Vec<toml::Table>);

impl Former {
    pub(super) fn read(folders: &Folders) -> Self {
        let mut files = vec![folders.main.clone()];
        files.extend(folders.overrides().into_iter().filter(|file| !file.ends_with(crate::config::STICK_FILE)));
        let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
        Self(texts.filter_map(|text| text.parse().ok()).collect())
    }

    fn value(&self, section: &str, key: &str) -> Option<&toml::Value> {
        self.0.iter().rev().find_map(|table| table.get(section)?.get(key))
    }

    pub(super) fn text(&self, section: &str, key: &str) -> Option<String> {
        self.value(section, key)?.as_str().map(str::to_owned)
    }

    fn number(&self, section: &str, key: &str) -> Option<u32> {
        self.value(section, key)?.as_integer()?.try_into().ok()
    }

    fn list(&self, section: &str, key: &str) -> Option<Vec<String>> {
        let all = self.value(section, key)?.as_array()?;
        Some(all.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }

    /// What the camera is called in an answer.
    fn camera(&self) -> Option<String> {
        match self.text("video", "source").as_deref() {
            Some("v4l2") => Some(self.text("video", "device").unwrap_or_else(|| "/dev/video0".to_owned())),
            source => source.map(str::to_owned),
        }
    }

    fn microphone(&self) -> Option<String> {
        match self.text("audio", "source").as_deref() {
            Some("alsa") => Some(self.text("audio", "device").unwrap_or_else(|| "default".to_owned())),
            source => source.map(str::to_owned),
        }
    }
}

/// An answer that was wrong, by its key.
pub(super) type Wrong = (&'static str, String);

impl Choices {
    /// The answers over what there was.
    pub(super) fn new(answers: &Answers, former: &Former, folders: &Folders) -> Result<Self, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let etc = &folders.etc;
        let mut file = |key: &'static str, answer: Option<&PathBuf>, there: &str, secret: bool| {
            let path = match answer {
                Some(path) if path == Path::new(NONE) => return None,
                Some(path) => path.clone(),
                None => Some(etc.join(there)).filter(|path| path.exists())?,
            };
            let read = Material::read(&path).and_then(|read| if secret { read.secret() } else { Ok(read) });
            read.map_err(|why| wrong.push((key, why))).ok()
        };
        let broker_url = given(answers.broker_url.as_ref(), former.text("mqtt", "url"));
        let mut this = Self {
            device_id: given(answers.device_id.as_ref(), former.text("device", "id")),
            ingest_url: given(
                answers.ingest_url.as_ref(),
                former.text("ingest", "url").filter(|url| !is_placeholder(url)),
            )
            .unwrap_or_default(),
            stream_key: file("stream-key-file", answers.stream_key_file.as_ref(), folders::STREAM_KEY, true),
            srt_passphrase: file(
                "srt-passphrase-file",
                answers.srt_passphrase_file.as_ref(),
                folders::SRT_PASSPHRASE,
                true,
            ),
            broker_user: given(answers.broker_user.as_ref(), former.text("mqtt", "user")),
            broker_password: file(
                "broker-password-file",
                answers.broker_password_file.as_ref(),
                folders::PASSWORD,
                true,
            ),
            ca: file("ca-file", answers.ca_file.as_ref(), folders::CA, false),
            client_cert: file("client-cert-file", answers.client_cert_file.as_ref(), folders::CERT, false),
            client_key: file("client-key-file", answers.client_key_file.as_ref(), folders::KEY, false),
            ingest_uses_ca: answers.ingest_uses_ca.unwrap_or_else(|| former.text("ingest", "ca-file").is_some()),
            panel: given(answers.panel.as_ref(), former.text("panel", "backend")).unwrap_or_else(|| "auto".to_owned()),
            pins: BTreeMap::new(),
            camera: given(answers.camera.as_ref(), former.camera()).unwrap_or_else(|| "auto".to_owned()),
            microphone: answers.microphone.clone().or(former.microphone()).unwrap_or_else(|| "auto".to_owned()),
            policy_version: given(answers.policy_version.as_ref(), former.text("consent", "policy-version")),
            allowed_ingest_hosts: answers
                .allowed_ingest_hosts
                .clone()
                .or_else(|| former.list("privacy", "allowed-ingest-hosts")),
            broker_url,
        };
        let pins = [answers.button_pin, answers.lamp_pin, answers.lamp_sense_pin, answers.mute_pin];
        for (key, answer) in PINS.into_iter().zip(pins) {
            if let Some(pin) = answer.or_else(|| former.number("panel", key)) {
                this.pins.insert(key, pin);
            }
        }
        if wrong.is_empty() { Ok(this) } else { Err(wrong) }
    }

    /// The URL's scheme.
    pub(super) fn scheme(&self) -> &str {
        self.ingest_url.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// Whether the URL itself says where the stream key stands.
    pub(super) fn key_is_in_url(&self) -> bool {
        self.ingest_url.contains("${")
    }
}

/// An answer; without one what there was. `"none"` is none.
fn given(answer: Option<&String>, former: Option<String>) -> Option<String> {
    answer.cloned().or(former).filter(|text| text != NONE)
}

/// The address that the package brings, which exists nowhere.
fn is_placeholder(url: &str) -> bool {
    url.contains("//ingest.invalid/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<String, String> {
        Material { from: None, content: text.as_bytes().to_vec() }.secret().map(|read| read.text())
    }

    #[test]
    fn a_secret_is_one_line() {
        assert_eq!(secret("key\r\n").unwrap(), "key");
        assert_eq!(secret("a b").unwrap(), "a b");
        for (text, why) in
            [("\n", "is empty"), ("one\ntwo\n", "more than one line"), (" key", "a space"), ("k\u{7}", "print")]
        {
            assert!(secret(text).unwrap_err().contains(why), "{text:?}");
        }
        let shown = format!("{:?}", Material { from: None, content: b"hush".to_vec() });
        assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
    }

    #[test]
    fn what_is_not_answered_stays_and_none_takes_away() {
        let dir = tempfile::tempdir().unwrap();
        let folders = Folders::new(&dir.path().join("tallybox.toml"), dir.path());
        std::fs::create_dir(dir.path().join("conf.d")).unwrap();
        std::fs::write(
            &folders.main,
            "[ingest]\nurl = \"rtmps://ingest.invalid/live/${STREAM_KEY}\"\n[mqtt]\nurl = \"mqtts://a\"\n",
        )
        .unwrap();
        std::fs::write(
            dir.path().join("conf.d/10-setup.toml"),
            "[panel]\nmute-pin = 5\n[video]\nsource = \"v4l2\"\ndevice = \"/dev/v\"\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("conf.d/50-usb.toml"), "[mqtt]\nurl = \"mqtts://stick\"\n").unwrap();
        let former = Former::read(&folders);
        let kept = Choices::new(&Answers::default(), &former, &folders).unwrap();
        assert_eq!((kept.ingest_url.as_str(), kept.broker_url.as_deref()), ("", Some("mqtts://a")));
        assert_eq!(
            (kept.pins.get("mute-pin"), kept.camera.as_str(), kept.microphone.as_str()),
            (Some(&5), "/dev/v", "auto")
        );
        let none = Some(NONE.to_owned());
        let answers = Answers { broker_url: none.clone(), microphone: none, ..Answers::default() };
        let other = Choices::new(&answers, &former, &folders).unwrap();
        assert_eq!((other.broker_url, other.microphone.as_str()), (None, "none"));
        let answers = Answers { ca_file: Some("/no/such/file".into()), ..Answers::default() };
        assert_eq!(Choices::new(&answers, &former, &folders).unwrap_err()[0].0, "ca-file");
    }
}
