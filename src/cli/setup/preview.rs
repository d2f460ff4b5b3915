//! What would be written, for a person to look at, and the same as commands for a shell. Secrets are in neither.

use std::path::{Path, PathBuf};

use super::folders::Folders;
use super::plan::{Plan, Planned};

impl Plan {
    /// A line for each file, and the text of those that setup makes.
    pub(super) fn shown(&self, folders: &Folders) -> String {
        let mut lines = Vec::new();
        for Planned { file, from, typed } in &self.planned {
            let change = match (file.is_there(), file.path.exists()) {
                (true, _) => "stays   ",
                (false, true) => "changes ",
                (false, false) => "new     ",
            };
            let source = match from {
                Some(from) if !same(from, &file.path) => format!(", from {}", from.display()),
                Some(_) | None if *typed => ", as you typed it".to_owned(),
                Some(_) | None => String::new(),
            };
            let kind = if file.secret { ": a secret, for root alone" } else { "" };
            let mode = file.rights.mode;
            lines.push(format!("  {change} {} (mode {mode:o}{source}){kind}", folders.seen(&file.path)));
            if from.is_none() && !typed && !file.is_there() {
                let text = redacted(&String::from_utf8_lossy(&file.content));
                lines.extend(text.lines().map(|line| format!("           | {line}")));
            }
        }
        lines.join("\n")
    }

    /// The same by hand, for a shell of root's.
    pub(super) fn by_hand(&self, folders: &Folders) -> String {
        let mut lines = vec!["# The same by hand, as root:".to_owned(), "set -eu".to_owned()];
        let mut folders_there: Vec<PathBuf> = vec![folders.etc.clone()];
        for Planned { file, from, typed } in &self.planned {
            let target = quoted(&folders.seen(&file.path));
            let dir = file.path.parent().unwrap_or(Path::new("/")).to_owned();
            let group = if file.path == folders.config() { " -g tallybox" } else { "" };
            if !folders_there.contains(&dir) {
                let mode = file.folder.mode;
                lines.push(format!("install -d -m {mode:o}{group} {}", quoted(&folders.seen(&dir))));
                folders_there.push(dir);
            }
            let mode = file.rights.mode;
            lines.push(match from {
                Some(from) if same(from, &file.path) => format!("chmod {mode:o} {target}"),
                Some(from) => {
                    let from = std::path::absolute(from).unwrap_or_else(|_| from.clone());
                    format!("install -m {mode:o} {} {target}", quoted(&from.display().to_string()))
                }
                None if *typed => {
                    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                    format!("systemd-ask-password {} | install -m {mode:o} /dev/stdin {target}", quoted(&name))
                }
                None => {
                    let content = redacted(&String::from_utf8_lossy(&file.content));
                    format!("install -m {mode:o}{group} /dev/stdin {target} <<'END'\n{content}END")
                }
            });
        }
        lines.push(format!("tallybox check-config {}", quoted(&folders.seen(&folders.main))));
        lines.extend(
            ["systemctl daemon-reload", "systemctl restart tallybox-guard tallybox-agent", "tallybox doctor"]
                .map(str::to_owned),
        );
        lines.join("\n")
    }
}

/// A file that comes from where it is to be.
fn same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// For a shell, as one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:".contains(c);
    let is_plain = !text.is_empty() && text.chars().all(plain);
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// An address with nothing but its server.
pub(super) fn server(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let server = rest.rsplit('@').next().unwrap_or(rest).split(['/', '?']).next().unwrap_or_default();
    format!("{scheme}://{server}/...")
}

/// The text without what may be a secret in an address: all but the host where no `${NAME}` says where the key stands,
/// and no key beside it does.
fn redacted(text: &str) -> String {
    let keys = ["stream-key = ", "streamid = ", "token = "];
    let beside = text.lines().any(|line| keys.iter().any(|key| line.starts_with(key)));
    let mut section = "";
    let mut shown = String::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let address = line.strip_prefix("url = \"").and_then(|rest| rest.strip_suffix('"'));
        let hides = |url: &str| url.contains('@') || (section == "[ingest]" && !beside && !url.contains("${"));
        match address.filter(|url| hides(url)) {
            Some(url) => shown.extend(["url = \"", &server(url), "\"  # not shown: there may be a key in it"]),
            None => shown.push_str(line),
        }
        shown.push('\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_an_address_is_not_shown() {
        for (text, shown) in [
            ("[ingest]\nurl = \"rtmp://h/live/hush\"\n", "url = \"rtmp://h/..."),
            (
                "[ingest]\nurl = \"rtmps://me:hush@h:99/live\"\nstream-key = \"${STREAM_KEY}\"\n",
                "url = \"rtmps://h:99/...",
            ),
            ("[mqtt]\nurl = \"mqtts://me:hush@b\"\n", "url = \"mqtts://b/..."),
        ] {
            let found = redacted(text);
            assert!(!found.contains("hush") && found.contains(shown), "{found}");
        }
        for text in [
            "[ingest]\nurl = \"rtmps://h/live/${STREAM_KEY}\"\n[mqtt]\nurl = \"mqtts://b:8883\"\n",
            "[ingest]\nurl = \"rtmps://h/live\"\nstream-key = \"${STREAM_KEY}\"\n",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn a_shell_takes_each_path_as_one_word() {
        assert_eq!(quoted("/etc/tallybox/ca.pem"), "/etc/tallybox/ca.pem");
        assert_eq!(quoted("/media/My stick's $HOME/k"), r"'/media/My stick'\''s $HOME/k'");
        assert_eq!(quoted(""), "''");
    }
}
