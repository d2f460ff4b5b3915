//! Which secrets a unit hands to its role: systemd's credentials first, then its environment, as the role looks them up
//! (systemd.exec(5), "Credentials" and "Environment").

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Unit, files};
use crate::cli::host::HostFiles;

/// Where a credential is looked for that is named without a path.
const STORES: [&str; 4] = ["/etc/credstore", "/run/credstore", "/usr/local/lib/credstore", "/usr/lib/credstore"];
/// The longest credential that systemd takes, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// What a role gets under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Handed {
    /// This, from there.
    Value {
        /// The secret; never printed.
        value: String,
        /// A file, or the line of a unit.
        from: String,
    },
    /// Something that cannot be known from here, for this reason.
    Unknown(String),
    /// Its unit names something that is not there: systemd does not start the role.
    Broken {
        /// What is wrong.
        wrong: String,
        /// What to do.
        advice: String,
    },
    /// Nothing.
    Absent,
}

/// A credential as its unit names it.
struct Credential<'u> {
    name: &'u str,
    /// Behind the name.
    rest: &'u str,
    encrypted: bool,
    /// The file of the unit, and its line.
    place: String,
}

impl Unit {
    fn credentials(&self, keys: [&str; 2]) -> Vec<Credential<'_>> {
        let of = |key, encrypted| {
            self.all(key).into_iter().map(move |line| {
                let (name, rest) = line.value.split_once(':').unwrap_or((&line.value, ""));
                Credential { name, rest, encrypted, place: format!("{}:{}", line.file, line.line) }
            })
        };
        of(keys[0], false).chain(of(keys[1], true)).collect()
    }

    /// What the role gets under `name`.
    pub(in crate::cli) fn secret(&self, machine: &HostFiles, name: &str) -> Handed {
        let loaded = self.credentials(["LoadCredential", "LoadCredentialEncrypted"]);
        if let Some(credential) = loaded.iter().rev().find(|credential| credential.name == name) {
            let found = self.load(machine, credential);
            // A credential that is set stands in for a file that is not there.
            if !matches!(found, Handed::Absent | Handed::Broken { .. }) || !self.sets(name) {
                return found;
            }
        }
        let set = self.credentials(["SetCredential", "SetCredentialEncrypted"]);
        match set.iter().rev().find(|credential| credential.name == name) {
            Some(credential) if credential.encrypted => {
                Handed::Unknown(format!("{}: it is encrypted", credential.place))
            }
            Some(credential) => Handed::Value { value: trimmed(credential.rest), from: credential.place.clone() },
            None => self.environment(machine, name),
        }
    }

    fn sets(&self, name: &str) -> bool {
        self.credentials(["SetCredential", "SetCredentialEncrypted"]).iter().any(|credential| credential.name == name)
    }

    /// Credentials whose files are not there or cannot be used, by name: with one of these the role does not start,
    /// whether or not it needs it.
    pub(in crate::cli) fn broken_credentials(&self, machine: &HostFiles) -> Vec<(String, String)> {
        let loaded = self.credentials(["LoadCredential", "LoadCredentialEncrypted"]);
        let broken = loaded.iter().filter(|credential| !self.sets(credential.name)).filter_map(|credential| match self
            .load(machine, credential)
        {
            Handed::Broken { wrong, advice } => Some((wrong, advice)),
            Handed::Value { .. } | Handed::Unknown(_) | Handed::Absent => None,
        });
        broken.collect()
    }

    /// Files that secrets are loaded from.
    pub(in crate::cli) fn credential_files(&self) -> Vec<PathBuf> {
        let loaded = self.credentials(["LoadCredential", "LoadCredentialEncrypted"]);
        loaded.into_iter().map(|one| PathBuf::from(one.rest)).filter(|path| path.is_absolute()).collect()
    }

    /// Names and files of secrets that lie there as they are.
    pub(in crate::cli) fn plain_credentials(&self) -> impl Iterator<Item = (String, PathBuf)> {
        let loaded = self.credentials(["LoadCredential", "LoadCredentialEncrypted"]).into_iter();
        let plain = loaded.filter(|one| !one.encrypted && one.rest.starts_with('/'));
        plain.map(|one| (one.name.to_owned(), PathBuf::from(one.rest)))
    }

    fn load(&self, machine: &HostFiles, credential: &Credential<'_>) -> Handed {
        let Credential { name, rest, encrypted, place } = credential;
        let path = if rest.starts_with('/') {
            (*rest).to_owned()
        } else {
            let file = if rest.is_empty() { name } else { rest };
            match STORES.iter().map(|store| format!("{store}/{file}")).find(|path| machine.has(path)) {
                Some(path) => path,
                // systemd takes it for one that is not needed.
                None => return Handed::Absent,
            }
        };
        if path.contains('%') {
            return Handed::Unknown(format!("{place}: the path {path} depends on the unit"));
        }
        let unit = self.role.unit();
        let broken = |wrong: String, advice: String| Handed::Broken { wrong, advice };
        let whole = machine.path(&path);
        let data = match std::fs::metadata(&whole) {
            Ok(data) => data,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Handed::Unknown(format!("{path}: {error}"));
            }
            Err(error) => {
                let advice = format!(
                    "put the secret there, or write the right path: systemctl edit {unit}, LoadCredential={name}:PATH; \
                     then {}",
                    self.role.again()
                );
                return broken(format!("{place} loads {name} from {path}: {error}; {unit} does not start so"), advice);
            }
        };
        if !data.is_file() {
            let advice = format!("name a plain file: systemctl edit {unit}, LoadCredential={name}:PATH");
            return broken(format!("{place} loads {name} from {path}, which is no plain file"), advice);
        }
        if data.len() > MAX_BYTES {
            let advice = format!("put the secret alone into it, or name another file: systemctl edit {unit}");
            return broken(format!("{place} loads {name} from {path}, which is longer than 1 MiB"), advice);
        }
        let content =
            if *encrypted { decrypt(name, &whole) } else { std::fs::read(&whole).map_err(|why| why.to_string()) };
        match content.map(String::from_utf8) {
            Ok(Ok(value)) => Handed::Value { value: trimmed(&value), from: path },
            Ok(Err(_)) => Handed::Broken {
                wrong: format!("{path}, which {place} loads as {name}, is no text"),
                advice: "write the secret into it as text, such as a key in PEM form".to_owned(),
            },
            Err(why) => Handed::Unknown(format!("{path}: {why}")),
        }
    }

    fn environment(&self, machine: &HostFiles, name: &str) -> Handed {
        // Files come after what stands in the unit, and count more.
        let mut found = Handed::Absent;
        let find = |words: Vec<String>| {
            words.into_iter().filter_map(|word| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        };
        let mut take = |pairs: Vec<(String, String)>, from: &str| {
            if let Some((_, value)) = pairs.into_iter().rev().find(|(key, _)| key == name) {
                found = Handed::Value { value, from: from.to_owned() };
            }
        };
        for line in self.all("Environment") {
            take(find(files::words(&line.value)).collect(), &format!("{}:{}", line.file, line.line));
        }
        for line in self.all("EnvironmentFile") {
            let path = line.value.trim_start_matches('-');
            let text = machine.read(path).unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
            let pairs = lines.filter_map(|line| line.split_once('=')).map(|(key, value)| {
                let value = files::words(value).join(" ");
                (key.trim().to_owned(), value)
            });
            take(pairs.collect(), path);
        }
        found
    }
}

/// As the roles read a credential.
fn trimmed(text: &str) -> String {
    text.trim_end_matches(['\r', '\n']).to_owned()
}

/// Through systemd's own tool: the key is its own, or the TPM's.
fn decrypt(name: &str, path: &Path) -> Result<Vec<u8>, String> {
    let mut asked = Command::new("timeout");
    asked.args(["5", "systemd-creds", "decrypt", &format!("--name={name}")]).arg(path).arg("-");
    let said = asked.stdin(Stdio::null()).output().map_err(|error| format!("systemd-creds: {error}"))?;
    if said.status.success() { Ok(said.stdout) } else { Err(String::from_utf8_lossy(&said.stderr).trim().to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::Handed;
    use crate::cli::host::HostFiles;
    use crate::cli::units::Role;
    use crate::cli::units::tests::unit;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, HostFiles) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let machine = HostFiles::new(dir.path());
        (dir, machine)
    }

    #[test]
    fn secrets_are_found_where_the_role_finds_them() {
        let (_dir, machine) =
            machine(&[("etc/tallybox/key", "one\n"), ("etc/credstore/KEY", "two"), ("etc/env", "#x\nKEY='three'\n")]);
        for (lines, wanted) in [
            ("LoadCredential=KEY:/etc/tallybox/key", "one"),
            ("LoadCredential=KEY", "two"),
            ("LoadCredential=KEY:/none\nSetCredential=KEY:four", "four"),
            ("LoadCredential=KEY:/none\nLoadCredential=\nEnvironment=\"KEY=five\"", "five"),
            ("Environment=KEY=five\nEnvironmentFile=-/etc/env", "three"),
            ("Environment=KEY=five\nLoadCredential=KEY:/etc/tallybox/key", "one"),
        ] {
            let unit = unit(Role::Agent, &format!("[Service]\n{lines}\n"));
            let Handed::Value { value, from } = unit.secret(&machine, "KEY") else { panic!("{lines}") };
            assert_eq!(value, wanted, "{lines}");
            assert!(!from.is_empty());
            assert_eq!(unit.broken_credentials(&machine), [], "{lines}");
        }
    }

    #[test]
    fn what_the_role_does_not_get_is_told() {
        let (_dir, machine) = machine(&[("etc/tallybox/folder/key", "one\n")]);
        let secret = |lines: &str| unit(Role::Agent, &format!("[Service]\n{lines}\n")).secret(&machine, "KEY");
        assert_eq!(secret("LoadCredential=OTHER:/none"), Handed::Absent);
        assert_eq!(secret("LoadCredentials=KEY:/etc/tallybox/folder/key"), Handed::Absent);
        assert!(matches!(secret("LoadCredential=KEY:/etc/%i"), Handed::Unknown(_)));
        for (lines, told) in [
            ("LoadCredential=KEY:/etc/tallybox/kye", "override.conf:2 loads KEY from /etc/tallybox/kye: No such file"),
            ("LoadCredential=KEY:/etc/tallybox/folder", "no plain file"),
        ] {
            let Handed::Broken { wrong, advice } = secret(lines) else { panic!("{lines}") };
            assert!(
                wrong.contains(told) && advice.contains("systemctl edit tallybox-agent.service"),
                "{wrong}; {advice}"
            );
        }
        // One that nobody needs keeps the role from starting all the same.
        let unit = unit(Role::Agent, "[Service]\nLoadCredential=OTHER:/none\n");
        assert_eq!(unit.broken_credentials(&machine).len(), 1);
    }
}
