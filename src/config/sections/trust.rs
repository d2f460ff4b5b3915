//! Whose signatures count: `[[trust]]` and `[trust-thresholds]`.

use notes::{MAX_SIGNATURES, Role, Trust, TrustedKey, VerifierKey};
use toml::de::{DeTable, DeValue};

use crate::config::reader::{Location, Reader, did_you_mean};

/// Most keys: every signature of a note by one of them costs a verification.
const MAX_KEYS: usize = 64;
/// What a table has.
const NAMES: [&str; 2] = ["key", "may"];
const KEY: &str = "write key = \"name+1a2b3c4d+AZ…\", which `tallybox note key show` prints";
const MAY: &str = "write may = [\"request-start\", \"unmute\"], the roles of this key";

pub(super) fn trust(reader: &mut Reader<'_>) -> Trust {
    let mut keys: Vec<TrustedKey> = Vec::new();
    for (table, place) in reader.tables("trust") {
        unknown_keys(reader, &table, place);
        let (key, may) = (key(reader, &table, place), may(reader, &table, place));
        let Some((key, at)) = key else { continue };
        let same_name = keys.iter().any(|known| known.key.name() == key.name());
        if same_name {
            let message = format!("there is another key named {:?}", key.name());
            reader.error(Some(at), message, "give each key its own name, and each table all roles of its key");
        } else if let Some(known) = keys.iter().find(|known| known.key.bytes() == key.bytes()) {
            let message = format!("this is the key of {:?} under another name", known.key.name());
            reader.error(Some(at), message, "write each key once: two names would count as two signers");
        }
        if keys.len() == MAX_KEYS {
            reader.error(Some(place), format!("more than {MAX_KEYS} keys"), "remove those that nobody uses any more");
            break;
        }
        keys.push(TrustedKey { key, may });
    }
    let policy_threshold = threshold(reader, "policy", Role::Policy, &keys);
    let release_threshold = threshold(reader, "release", Role::Release, &keys);
    enough_to_end_service(reader, policy_threshold, &keys);
    Trust { keys, policy_threshold, release_threshold }
}

fn unknown_keys(reader: &mut Reader<'_>, table: &DeTable<'_>, place: Location) {
    for name in table.keys() {
        let key = name.get_ref().as_ref();
        if !NAMES.contains(&key) {
            let help = format!("{}trust has: {}", did_you_mean(key, NAMES.into_iter()), NAMES.join(", "));
            reader.error(Some(place.at(name.span().start)), format!("trust: {key} is not known"), help);
        }
    }
}

fn key(reader: &mut Reader<'_>, table: &DeTable<'_>, place: Location) -> Option<(VerifierKey, Location)> {
    let Some(value) = table.get("key") else {
        reader.error(Some(place), "a trust table without key", KEY);
        return None;
    };
    let at = place.at(value.span().start);
    let Some(text) = value.get_ref().as_str() else {
        reader.error(Some(at), format!("key must be text, not {}", value.get_ref().type_str()), KEY);
        return None;
    };
    match text.parse::<VerifierKey>() {
        Ok(key) => Some((key, at)),
        Err(error) => {
            // Not repeated: it may be a private key.
            reader.error(Some(at), format!("key cannot be used: {error}"), KEY);
            None
        }
    }
}

fn may(reader: &mut Reader<'_>, table: &DeTable<'_>, place: Location) -> Vec<Role> {
    let Some(value) = table.get("may") else {
        reader.error(Some(place), "a trust table without may", MAY);
        return Vec::new();
    };
    let at = place.at(value.span().start);
    let Some(list) = value.get_ref().as_array() else {
        reader.error(Some(at), format!("may must be a list of texts, not {}", value.get_ref().type_str()), MAY);
        return Vec::new();
    };
    if list.is_empty() {
        reader.error(Some(at), "may is empty: the key could sign nothing", MAY);
    }
    let mut roles = Vec::new();
    for item in list {
        let at = place.at(item.span().start);
        match role(item.get_ref()) {
            Ok(role) if roles.contains(&role) => {
                reader.error(Some(at), format!("{role} is there twice"), "write each role once");
            }
            Ok(role) => roles.push(role),
            Err((message, help)) => reader.error(Some(at), message, help),
        }
    }
    roles
}

fn role(value: &DeValue<'_>) -> Result<Role, (String, String)> {
    let all = Role::ALL.map(Role::as_str);
    let help = |near: &str| format!("{}roles are: {}", did_you_mean(near, all.into_iter()), all.join(", "));
    let word = value.as_str().ok_or_else(|| (format!("a role must be text, not {}", value.type_str()), help("")))?;
    word.parse().map_err(|_| (format!("{word:?} is no role"), help(word)))
}

/// The end of the service takes as many keys as a policy.
fn enough_to_end_service(reader: &mut Reader<'_>, policy_threshold: u8, keys: &[TrustedKey]) {
    let able = keys.iter().filter(|known| known.may.contains(&Role::EndOfService)).count();
    if able > 0 && able < usize::from(policy_threshold) {
        let place = reader.place("trust-thresholds", "policy");
        let message = format!("policy = {policy_threshold}, and {able} keys have the role end-of-service");
        let help = format!(
            "the end of the service takes as many keys as a policy: write at most {able}, or give more \
            keys under [[trust]] the role"
        );
        reader.error(place, message, help);
    }
}

/// How many keys have to sign; a written one that the keys cannot reach is a mistake.
fn threshold(reader: &mut Reader<'_>, key: &'static str, role: Role, keys: &[TrustedKey]) -> u8 {
    let most = u32::try_from(MAX_SIGNATURES).unwrap_or(u32::MAX);
    let Some(number) = reader.number("trust-thresholds", key, 1..=most) else { return 1 };
    let able = keys.iter().filter(|known| known.may.contains(&role)).count();
    if usize::try_from(number).unwrap_or(usize::MAX) > able {
        let place = reader.place("trust-thresholds", key);
        let message = format!("{key} = {number}, and {able} keys have the role {role}: none could ever be enough");
        reader.error(
            place,
            message,
            format!("write at most {able}, or give more keys under [[trust]] the role {role}"),
        );
    }
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
