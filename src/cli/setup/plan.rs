//! The files that the choices come to.

use std::path::{Path, PathBuf};

use super::choices::{Choices, Material};
use super::draft;
use super::folders::{self, AGENT, CAPTURE, Folders};
use super::transaction::NewFile;
use crate::cli::backed_up_file::Rights;
use crate::cli::users;
use crate::exit::Exit;

/// One file, and where its content is from.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) file: NewFile,
    /// The file that is copied; `None` for what was typed, and for what setup itself makes.
    pub(super) from: Option<PathBuf>,
    pub(super) typed: bool,
}

/// All files, in the order in which they are written: what others name comes first, the configuration last.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) planned: Vec<Planned>,
}

/// The secrets: the credential's name, its file, the unit that needs it.
const CREDENTIALS: [(&str, &str, &str); 4] = [
    ("STREAM_KEY", folders::STREAM_KEY, CAPTURE),
    ("SRT_PASSPHRASE", folders::SRT_PASSPHRASE, CAPTURE),
    ("MQTT_PASSWORD", folders::PASSWORD, AGENT),
    ("MQTT_KEY", folders::KEY, AGENT),
];

impl Plan {
    pub(super) fn new(choices: &Choices, folders: &Folders) -> Result<Self, Exit> {
        let wrong = |error: std::io::Error| Exit::io(format!("{}: {error}", folders.etc.display()));
        let etc = Rights::of(&folders.etc).map_err(wrong)?;
        // The roles read the configuration as members of this group; elsewhere than on a box there is none.
        let group = users::gid(&folders.root, "tallybox").unwrap_or(etc.gid);
        let owner = Rights { gid: if etc.uid == 0 { 0 } else { etc.gid }, ..etc };
        let new = |path: PathBuf, content: Vec<u8>, rights: Rights, folder: Rights, secret: bool| NewFile {
            path,
            content,
            rights,
            folder,
            secret,
        };
        let secrets = choices.secrets();
        let mut planned = Vec::new();
        for (_, name, material) in &secrets {
            let rights = Rights { mode: 0o600, ..owner };
            let file = new(folders.etc.join(name), material.content.clone(), rights, etc, true);
            planned.push(Planned { file, from: material.from.clone(), typed: material.from.is_none() });
        }
        for (name, material) in [(folders::CA, &choices.ca), (folders::CERT, &choices.client_cert)] {
            if let Some(material) = material {
                let rights = Rights { mode: 0o644, ..owner };
                let file = new(folders.etc.join(name), material.content.clone(), rights, etc, false);
                planned.push(Planned { file, from: material.from.clone(), typed: false });
            }
        }
        for unit in [CAPTURE, AGENT] {
            let lines: Vec<String> = secrets
                .iter()
                .filter_map(|(name, file, _)| {
                    let needed = CREDENTIALS.iter().any(|(known, _, of)| known == name && *of == unit);
                    needed.then(|| format!("LoadCredential={name}:{}\n", folders.seen(&folders.etc.join(file))))
                })
                .collect();
            let path = folders.drop_in(unit);
            // Where no secret is needed any more, an earlier drop-in must not go on loading one.
            if !lines.is_empty() || path.exists() {
                let text = format!("# Written by `tallybox setup`.\n[Service]\n{}", lines.concat());
                let file = new(
                    path,
                    text.into_bytes(),
                    Rights { mode: 0o644, ..owner },
                    Rights { mode: 0o755, ..owner },
                    false,
                );
                planned.push(Planned { file, from: None, typed: false });
            }
        }
        let text = draft::text(choices, folders).into_bytes();
        let rights = Rights { mode: 0o640, gid: group, ..etc };
        let file = new(folders.config(), text, rights, Rights { gid: group, mode: 0o750, ..etc }, false);
        planned.push(Planned { file, from: None, typed: false });
        Ok(Self { planned })
    }

    /// Drop-ins that are read later and hand on another file for the same secret.
    pub(super) fn overridden(&self, folders: &Folders) -> Vec<String> {
        let mut found = Vec::new();
        for unit in [CAPTURE, AGENT] {
            let own = folders.drop_in(unit);
            let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
            let ours = self.planned.iter().find(|planned| planned.file.path == own);
            let ours =
                ours.map_or_else(String::new, |planned| String::from_utf8_lossy(&planned.file.content).into_owned());
            let entries = std::fs::read_dir(folders.drop_in_dir(unit)).into_iter().flatten().flatten();
            let mut later: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| *path > own).collect();
            later.retain(|path| path.extension().is_some_and(|end| end == "conf"));
            later.sort();
            for path in later {
                let text = text(&path);
                for line in text.lines().filter(|line| line.starts_with("LoadCredential=") && !ours.contains(*line)) {
                    let (secret, _) = line.split_once(':').unwrap_or((line, ""));
                    if ours.contains(&format!("{secret}:")) {
                        found.push(format!("{} is read later and wins: its {line} counts", folders.seen(&path)));
                    }
                }
            }
        }
        found
    }

    /// What the disk does not have yet.
    pub(super) fn changes(&self) -> Vec<NewFile> {
        self.planned.iter().filter(|planned| !planned.file.is_there()).map(|planned| planned.file.clone()).collect()
    }
}

impl Choices {
    /// The secrets that the choices need: the credential's name, its file, its content.
    fn secrets(&self) -> Vec<(&'static str, &'static str, &Material)> {
        let broker = self.broker_url.is_some();
        let materials = [
            self.stream_key.as_ref(),
            self.srt_passphrase.as_ref().filter(|_| self.scheme() == "srt"),
            self.broker_password.as_ref().filter(|_| broker),
            self.client_key.as_ref().filter(|_| broker),
        ];
        let all = CREDENTIALS.into_iter().zip(materials);
        all.filter_map(|((name, file, _), material)| Some((name, file, material?))).collect()
    }
}
