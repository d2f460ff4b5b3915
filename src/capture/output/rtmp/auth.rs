//! Authentication with user and password, where a server asks for it, by Adobe's or Limelight's method. Both send a
//! query after the application's name, in steps on a connection each.
//!
//! Neither was ever published; `FFmpeg`, GStreamer and librtmp agree on what is here. Both use MD5 and hide nothing
//! from an eavesdropper: only `rtmps://` does.

use md5::{Digest, Md5};

/// What the next connection has to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AuthAnswer {
    /// This query.
    Query(String),
    /// The server asks for user and password, and none are configured.
    Missing,
    /// The server rejects the configured user or password.
    Wrong,
}

/// User and password.
#[derive(Clone, Copy, Debug)]
pub(super) struct UserPassword<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

/// The answer to a server that rejected `connect` with `description`; `nonce` is our challenge. `None`: the rejection
/// is not about authentication.
pub(super) fn answer(
    description: &str,
    login: Option<UserPassword<'_>>,
    application: &str,
    nonce: u32,
) -> Option<AuthAnswer> {
    let (_, method) = description.split_once("authmod=")?;
    let method = method.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    if !["adobe", "llnw"].contains(&method) {
        return None;
    }
    if ["reason=authfailed", "reason=nosuchuser"].iter().any(|reason| description.contains(reason)) {
        return Some(AuthAnswer::Wrong);
    }
    let Some(login) = login else { return Some(AuthAnswer::Missing) };
    let user = escaped(login.user);
    let Some((_, challenge)) = description.split_once("?reason=needauth") else {
        return Some(AuthAnswer::Query(format!("?authmod={method}&user={user}")));
    };
    let field = |name: &str| {
        let mut pairs = challenge.split('&').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    };
    let nonce = format!("{nonce:08x}");
    Some(AuthAnswer::Query(if method == "adobe" {
        let (salt, opaque) = (field("salt"), field("opaque"));
        let theirs = if opaque.is_empty() { field("challenge") } else { opaque };
        let response = adobe(login, salt, theirs, &nonce);
        let opaque = if opaque.is_empty() { String::new() } else { format!("&opaque={opaque}") };
        format!("?authmod=adobe&user={user}&challenge={nonce}&response={response}{opaque}")
    } else {
        let theirs = field("nonce");
        let response = limelight(login, application, theirs, &nonce);
        format!("?authmod=llnw&user={user}&nonce={theirs}&cnonce={nonce}&nc=00000001&response={response}")
    }))
}

fn adobe(UserPassword { user, password }: UserPassword<'_>, salt: &str, theirs: &str, ours: &str) -> String {
    let secret = base64(&md5(&[user, salt, password]));
    base64(&md5(&[&secret, theirs, ours]))
}

/// HTTP's digest authentication with other parts.
fn limelight(UserPassword { user, password }: UserPassword<'_>, application: &str, theirs: &str, ours: &str) -> String {
    // The default instance of an application.
    let instance = if application.contains('/') { "" } else { "/_definst_" };
    let secret = crate::hex(&md5(&[user, ":live:", password]));
    let what = crate::hex(&md5(&["publish:/", application, instance]));
    crate::hex(&md5(&[&secret, ":", theirs, ":00000001:", ours, ":auth:", &what]))
}

fn md5(parts: &[&str]) -> Vec<u8> {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part.as_bytes());
    }
    digest.finalize().to_vec()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().chain([0, 0].iter()).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = ALPHABET.get(bits >> (18 - 6 * place) & 63).copied().unwrap_or(b'=');
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// Escapes what would end the value in a query.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if "&=?#%+ ".contains(character) || character.is_control() {
            out.extend(character.to_string().bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: UserPassword<'static> = UserPassword { user: "shop", password: "pass:word" };

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_server_is_told_who_and_then_the_proof() {
        let first = "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ";
        assert_eq!(answer(first, Some(WHO), "live", 7), Some(AuthAnswer::Query("?authmod=adobe&user=shop".to_owned())));
        let second = "[ AccessManager.Reject ] : [ authmod=adobe ] : \
                      ?reason=needauth&user=shop&salt=PJuw1w==&challenge=6fruuQ==&opaque=6fruuQ==";
        // printf 'shopPJuw1w==pass:word' | openssl md5 -binary | base64, and so on.
        let query = "?authmod=adobe&user=shop&challenge=00000007&response=KeoG8AdJR98x7A0/9lB+7w==&opaque=6fruuQ==";
        assert_eq!(answer(second, Some(WHO), "live", 7), Some(AuthAnswer::Query(query.to_owned())));
        let second = "[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=needauth&user=shop&nonce=1234abcd";
        let query = "?authmod=llnw&user=shop&nonce=1234abcd&cnonce=00000007&nc=00000001&response=5b810b7de3d8749ecc7f617b2eca20c1";
        assert_eq!(answer(second, Some(WHO), "live", 7), Some(AuthAnswer::Query(query.to_owned())));
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_apart() {
        let first = "[ code=403 need auth; authmod=adobe ]";
        assert_eq!(answer(first, None, "live", 7), Some(AuthAnswer::Missing));
        for reason in ["authfailed", "nosuchuser"] {
            let refused = format!("[ authmod=adobe ] : ?reason={reason}&opaque=x");
            assert_eq!(answer(&refused, Some(WHO), "live", 7), Some(AuthAnswer::Wrong));
        }
        for other in ["", "no such application", "authmod=other"] {
            assert_eq!(answer(other, Some(WHO), "live", 7), None, "{other}");
        }
    }

    #[test]
    fn a_name_cannot_end_the_query() {
        let who = UserPassword { user: "a&response=1 ü", ..WHO };
        let query = "?authmod=adobe&user=a%26response%3D1%20ü".to_owned();
        assert_eq!(answer("authmod=adobe", Some(who), "live", 7), Some(AuthAnswer::Query(query)));
    }
}
