//! Secrets that are written out where everybody on the machine can read them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::sections::SECOND;
use super::{Diagnostic, document};

/// Keys that hold a secret, by their sections. Of an address a part may be one.
const KEYS: [(&str, &[&str]); 3] = [
    ("ingest", &["url", "stream-key", "token", "passphrase", "streamid"]),
    (SECOND, &["url", "stream-key", "token", "passphrase", "streamid"]),
    ("mqtt", &["url", "password", "client-key"]),
];

/// Whether every user of the machine can read a file: it is open itself, and so is the way to it.
fn open_to_all(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let allows = |path: &Path, bit: u32| std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & bit != 0);
    allows(&path, 0o004) && path.ancestors().skip(1).all(|dir| allows(dir, 0o001))
}

/// Each secret of the configuration at `path` that is written out in a file that everybody can read, also where another
/// file overrides it. Empty where the files cannot be read.
pub(crate) fn exposed_secrets(path: &Path) -> Vec<Diagnostic> {
    let texts = document::read(path).unwrap_or_default();
    let mut exposed = Vec::new();
    for (section, keys) in KEYS {
        let separate = texts.iter().any(|text| text.find(section, "stream-key").is_some());
        for (key, text) in keys.iter().flat_map(|key| texts.iter().map(move |text| (key, text))) {
            let Some((value, place)) = text.value(section, key) else { continue };
            let mut tell = |message: String, help: &str| {
                exposed.push(Diagnostic { file: text.path.clone(), at: Some(place), message, help: help.to_owned() });
            };
            if written_out(key, &value, separate) && open_to_all(&text.path) {
                let message = format!("[{section}] {key}: everybody on this machine can read the secret in this file");
                tell(message, "write ${NAME} and hand it on as a credential, or close the file: chmod 640");
            }
            if *key == "client-key" && value.starts_with('/') && open_to_all(Path::new(&value)) {
                tell(format!("everybody on this machine can read the key in {value}"), "close it: chmod 640");
            }
        }
    }
    exposed
}

/// Every file of the configuration at `path`, by name, with what is or may be secret taken out: of an address, scheme
/// and host stay. Comments go too, for people write keys into them.
pub(crate) fn redacted_files(path: &Path) -> Vec<(String, String)> {
    let redacted = |text: &str| {
        let mut table: toml::Table = text.parse().ok()?;
        for (section, keys) in KEYS {
            let Some(section) =
                section.split('.').try_fold(&mut table, |table, name| table.get_mut(name)?.as_table_mut())
            else {
                continue;
            };
            for key in keys {
                if let Some(value) = section.get_mut(*key) {
                    let plain = value.as_str().filter(|_| *key == "url").map(origin_of);
                    *value = plain.unwrap_or_else(|| REDACTED.to_owned()).into();
                }
            }
        }
        toml::to_string_pretty(&table).ok()
    };
    let texts = document::read(path).unwrap_or_default();
    let named = texts.iter().map(|text| {
        (text.name().to_owned(), redacted(text.content()).unwrap_or_else(|| format!("# {REDACTED}: no TOML\n")))
    });
    named.collect()
}

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// Scheme and host of an address.
fn origin_of(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return REDACTED.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/{REDACTED}")
}

/// Where the configuration at `path` has secrets written out, as `file: [section] key`.
pub(crate) fn inline_secrets(path: &Path) -> Vec<String> {
    let texts = document::read(path).unwrap_or_default();
    let mut found = Vec::new();
    for (section, keys) in KEYS {
        let separate = texts.iter().any(|text| text.find(section, "stream-key").is_some());
        for (key, text) in keys.iter().flat_map(|key| texts.iter().map(move |text| (key, text))) {
            if text.value(section, key).is_some_and(|(value, _)| written_out(key, &value, separate)) {
                found.push(format!("{}: [{section}] {key}", text.path.display()));
            }
        }
    }
    found
}

/// Whether `text` has a secret in it that is no `${NAME}`. `separate`: an RTMP stream's key has a key of its own.
fn written_out(key: &str, text: &str, separate: bool) -> bool {
    if text.is_empty() || text.contains("${") {
        return false;
    }
    match key {
        "client-key" => text.contains("-----BEGIN"),
        "url" => {
            let (scheme, rest) = text.split_once("://").unwrap_or(("", ""));
            let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
            let in_path = scheme.to_ascii_lowercase().starts_with("rtmp") && !separate;
            let in_query = ["passphrase=", "streamid=", "key=", "secret="].iter().any(|name| rest.contains(name));
            authority.contains('@') || in_path || in_query
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use crate::config::Config;

    fn notes(dir: &Path, text: &str, mode: u32) -> Vec<String> {
        let path = dir.join("tallybox.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Config::load(&path).unwrap();
        super::exposed_secrets(&path).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_secret_in_an_open_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let open = |dir: &Path| std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        open(dir.path());
        for (text, place) in [
            ("[ingest]\nurl = \"rtmp://127.0.0.1/live/hidden\"\n", "2:7: [ingest] url"),
            ("[ingest]\nurl = \"https://127.0.0.1/w\"\ntoken = \"hidden\"\n", "3:9: [ingest] token"),
            ("[ingest]\nurl = \"srt://127.0.0.1:9\"\npassphrase = \"hidden-hidden\"\n", "3:14: [ingest] passphrase"),
            ("[ingest]\nurl = \"srt://127.0.0.1:9?streamid=hidden\"\n", "2:7: [ingest] url"),
            (
                "[ingest]\nurl = \"https://127.0.0.1/w\"\n[mqtt]\nurl = \"mqtt://u:hidden@127.0.0.1\"\n",
                "4:7: [mqtt] url",
            ),
            (
                "[ingest]\nurl = \"https://127.0.0.1/w\"\n[ingest.second]\nurl = \"rtmp://127.0.0.1/live/hidden\"\n",
                "4:7: [ingest.second] url",
            ),
        ] {
            let told = notes(dir.path(), text, 0o644);
            assert!(told.len() == 1 && told[0].contains(place) && !told[0].contains("hidden"), "{told:?} {place}");
            assert_eq!(notes(dir.path(), text, 0o640), [""; 0]);
        }
        let named = "[ingest]\nurl = \"rtmp://127.0.0.1/live/${KEY}\"\n[mqtt]\nurl = \"mqtt://127.0.0.1\"\n";
        assert_eq!(notes(dir.path(), named, 0o644), [""; 0]);
        // A folder that nobody else may enter closes what is in it.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(notes(dir.path(), "[ingest]\nurl = \"rtmp://127.0.0.1/live/hidden\"\n", 0o644), [""; 0]);
        // The key's own file, where client-key is a path.
        let key = dir.path().join("client.key");
        let text = format!(
            "[ingest]\nurl = \"https://127.0.0.1/w\"\n[mqtt]\nurl = \"mqtts://127.0.0.1\"\nclient-cert = \"/c\"\nclient-key = \"{}\"\n",
            key.display()
        );
        std::fs::write(&key, "x").unwrap();
        open(dir.path());
        assert!(notes(dir.path(), &text, 0o644)[0].contains("6:14: everybody on this machine can read the key in"));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(notes(dir.path(), &text, 0o644), [""; 0]);
    }
}
