//! `tallybox privacy export`: everything that the box holds about the shop, as one archive with an index, for whoever
//! has the right of access.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::archive::{Archive, Member};
use crate::cli::client::Client;
use crate::clock;
use crate::config::{Config, redacted_files};
use crate::exit::Exit;
use crate::ipc::{Fact, Request, StoredFact, VERSION_STRING};
use crate::judges::policy_note::POLICY_NOTE;
use crate::ledger::Ledger;
use crate::privacy;
use crate::runtime::block_on;
use crate::text::Language;
use crate::untrusted_file;

/// Longest policy note, in bytes.
const MAX_NOTE_BYTES: u64 = 64 * 1024;
/// Files of the box that are listed.
const MOST_LISTED: usize = 10_000;
/// Depth of folders that are looked into.
const DEEPEST: usize = 4;

/// `index.json`
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Index<'a> {
    r#box: Option<&'a str>,
    software: &'static str,
    made_at: String,
    files: &'a [Member],
    /// What is not in here, and why.
    missing: &'a [Missing],
}

#[derive(Serialize)]
struct Missing {
    name: &'static str,
    why: String,
}

/// A file that the box holds; its content is not in the archive.
#[derive(Serialize)]
struct Held {
    name: String,
    bytes: u64,
}

/// Makes the archive.
pub(super) fn run(config: &Config, path: &Path) -> Result<(), Exit> {
    if path.file_name().is_none() || path.is_dir() {
        return Err(Exit::usage(format!("{} is a folder: name the file to be made", path.display())));
    }
    if path.symlink_metadata().is_ok() {
        return Err(Exit::io(format!("{} exists already: name another file", path.display())));
    }
    let told = |error: io::Error| {
        let message = format!("{}: {error}", path.display());
        let kind = error.kind();
        if kind == io::ErrorKind::PermissionDenied {
            Exit::permission(message)
        } else if kind == io::ErrorKind::NotFound {
            Exit::io(format!("{message}; make its folder first"))
        } else {
            Exit::io(message)
        }
    };
    let seconds = u64::try_from(clock::utc_now().as_second()).unwrap_or_default();
    let archive = Archive::begin(path, seconds).map_err(told)?;
    let mut export = Export { archive, members: Vec::new(), missing: Vec::new() };
    match export.fill(config) {
        Ok(()) => {
            let files = export.members.len();
            export.archive.finish().map_err(told)?;
            println!("{}: {files} files; index.json has their SHA-256", path.display());
            Ok(())
        }
        Err(error) => {
            export.archive.discard().map_err(told)?;
            Err(error)
        }
    }
}

struct Export {
    archive: Archive,
    members: Vec<Member>,
    missing: Vec<Missing>,
}

impl Export {
    fn fill(&mut self, config: &Config) -> Result<(), Exit> {
        // Before the ledger is read: it has the entry of its own.
        let status = self.ask_guard(config);
        for (name, text) in redacted_files(&config.path) {
            self.add(&format!("configuration/{name}"), text.as_bytes())?;
        }
        if let Some(status) = &status {
            self.add_json("status.json", status)?;
            match status.get("checkpoint").and_then(Value::as_str) {
                Some(checkpoint) => self.add("checkpoint", checkpoint.as_bytes())?,
                None => self.lacks("checkpoint", "the guard has made none yet"),
            }
        }
        self.add_ledger(config)?;
        let data_dir = &config.device.data_dir;
        match untrusted_file::read(&data_dir.join(POLICY_NOTE), MAX_NOTE_BYTES) {
            Ok(note) => self.add("policy.note", &note)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lacks("policy.note", "the platform has signed none; configuration/ has the version");
            }
            Err(error) => self.lacks("policy.note", error.to_string()),
        }
        self.add_json("inventory.en.json", &privacy::report(config, Language::En))?;
        self.add_json("inventory.zh.json", &privacy::report(config, Language::Zh))?;
        let mut held = Vec::new();
        list(data_dir, "", DEEPEST, &mut held);
        self.add_json("files.json", &held)?;
        self.add("README.en.md", ENGLISH.as_bytes())?;
        self.add("README.zh.md", CHINESE.as_bytes())?;
        let index = Index {
            r#box: config.device.id.as_deref(),
            software: VERSION_STRING,
            made_at: clock::utc_now().to_string(),
            files: &self.members,
            missing: &self.missing,
        };
        let text = serde_json::to_vec_pretty(&index).map_err(|error| Exit::software(error.to_string()))?;
        self.add("index.json", &text)
    }

    /// Has the guard write the export down; its status, if it answers.
    fn ask_guard(&mut self, config: &Config) -> Option<Value> {
        let asked = block_on(async {
            let mut client = Client::connect(config).await?;
            client.call(Request::PrivacyExported {}).await?;
            client.call(Request::Status {}).await
        });
        match asked {
            Ok(Some(status)) => serde_json::to_value(status).ok(),
            Ok(None) => {
                self.lacks("status.json", "the guard answered without one");
                None
            }
            Err(error) => {
                let why = format!("the guard did not answer, and wrote no entry of this export: {error}");
                self.lacks("status.json", why);
                None
            }
        }
    }

    /// All entries, as `ledger export` prints them, and the receipts among them.
    fn add_ledger(&mut self, config: &Config) -> Result<(), Exit> {
        let path = config.ledger();
        if !path.exists() {
            self.lacks("ledger.jsonl", "there is no ledger: the guard makes it when it first starts");
            return Ok(());
        }
        let ledger = Ledger::open_read_only(&path)?;
        let (mut receipts, mut broken) = (Vec::new(), None);
        let written = self.archive.add("ledger.jsonl", |content| {
            let mut after = 0;
            loop {
                let page = match ledger.entries_after(after, 500) {
                    Ok(page) => page,
                    Err(error) => {
                        broken = Some(Exit::from(error));
                        return Err(io::Error::other("the ledger"));
                    }
                };
                let Some(last) = page.last() else { return Ok(()) };
                after = last.seq;
                for entry in &page {
                    let line = serde_json::to_string(entry).map_err(io::Error::other)?;
                    writeln!(content, "{line}")?;
                    if let StoredFact::Known(
                        Fact::Erased { receipt: Some(receipt), .. } | Fact::Unbound { receipt: Some(receipt), .. },
                    ) = &entry.fact
                    {
                        receipts.push((entry.seq, receipt.clone()));
                    }
                }
            }
        });
        if let Some(error) = broken {
            return Err(error);
        }
        self.members.push(written.map_err(|error| Exit::io(error.to_string()))?);
        receipts.into_iter().try_for_each(|(seq, note)| self.add(&format!("receipts/{seq}.note"), note.as_bytes()))
    }

    fn lacks(&mut self, name: &'static str, why: impl Into<String>) {
        self.missing.push(Missing { name, why: why.into() });
    }

    fn add(&mut self, name: &str, content: &[u8]) -> Result<(), Exit> {
        let added = self.archive.add(name, |file| file.write_all(content));
        self.members.push(added.map_err(|error| Exit::io(format!("{name}: {error}")))?);
        Ok(())
    }

    fn add_json(&mut self, name: &str, value: &impl Serialize) -> Result<(), Exit> {
        let text = serde_json::to_vec_pretty(value).map_err(|error| Exit::software(error.to_string()))?;
        self.add(name, &text)
    }
}

/// Names and sizes of what is in `dir`; what cannot be looked at is left out.
fn list(dir: &Path, prefix: &str, depth: usize, held: &mut Vec<Held>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let mut entries: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let Ok(data) = entry.metadata() else { continue };
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if data.is_dir() {
            list(&entry.path(), &format!("{name}/"), depth, held);
        } else if held.len() < MOST_LISTED {
            held.push(Held { name, bytes: data.len() });
        }
    }
}

const ENGLISH: &str = "# What this box holds about the shop

- `configuration/`: the settings in force, without their secrets.
- `status.json`: what the box is doing. `policy.note`: the policy that the platform signed.
- `ledger.jsonl`: what happened, one entry a line; `tallybox ledger verify ledger.jsonl` proves it anywhere.
- `checkpoint`: the ledger's signed size and root. `receipts/`: what was erased, signed.
- `inventory.en.json`: every datum, its purpose, who gets it and how long it is kept.
- `files.json`: all files that the box holds, by name and size. Keys and footage are not copied: footage is encrypted
  to the operator's key, and the box cannot read it.
- `index.json`: the SHA-256 of each file in here, and what is missing, and why.

Picture and sound that were sent are not on the box: the platform answers for them.

## What can be corrected, and how
- Settings (the box's name, words on the picture, servers, times): whoever set up the box, with `tallybox setup`.
- The policy: the platform, with a new signed version.
- Entries of the ledger cannot be changed, by nobody: a correction is a later entry, or a note beside it. They name no
  person, and are deleted after their time.

## What can be erased, and how
- Stored footage: hold the button for 5 s. Everything of this shop: hold it for 10 s and let go. Or ask the platform.
- The ledger is kept for the time that the law requires; the receipt says until when.
";

const CHINESE: &str = "# 本设备保存的与店铺有关的全部信息

- `configuration/`：当前生效的设置，不含密钥和密码。
- `status.json`：设备当前状态。`policy.note`：平台签名的隐私政策。
- `ledger.jsonl`：发生过的事情，每行一条；可在任何机器上用 `tallybox ledger verify ledger.jsonl` 验证。
- `checkpoint`：账本的签名检查点。`receipts/`：已签名的清除回执。
- `inventory.zh.json`：每一项数据、目的、接收方和保存期限。
- `files.json`：设备上全部文件的名称和大小。密钥和视频不复制：视频按运营方的公钥加密，设备自己也无法读取。
- `index.json`：本档案中每个文件的 SHA-256，以及缺少的内容和原因。

已经发送的画面和声音不在设备上，由平台负责答复。

## 可以更正的内容与方式
- 设置（设备名称、画面上的文字、服务器、时间）：由安装人员用 `tallybox setup` 更改。
- 隐私政策：由平台发布新的签名版本。
- 账本条目任何人都不能更改：更正以后续条目或附注的方式进行。条目不含任何人的姓名，到期删除。

## 可以删除的内容与方式
- 保存的视频：按住按钮 5 秒。本店铺的全部信息：按住 10 秒后松开。也可以向平台提出。
- 账本按法律要求的期限保存，回执写明保存到何时。
";

#[cfg(test)]
mod tests;
