//! An address taken apart: scheme, user, host, port, and the rest as it stands. Secrets are never looked up here:
//! `${NAME}` is a piece of text that no separator can be in.

use super::odd_characters::odd_character;
use super::{Host, ValueError};
use crate::config::SecretTemplate;

/// The parts of an address. User, password and rest are as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Raw<'t> {
    /// In lower case.
    pub(in crate::config) scheme: String,
    /// What stands before the last `@`, up to the first `:`.
    pub(in crate::config) user: Option<&'t str>,
    pub(in crate::config) password: Option<&'t str>,
    pub(in crate::config) host: Host,
    pub(in crate::config) port: Option<u16>,
    /// Path, query and all that follows: begins with `/`, `?` or `#`, or is empty.
    pub(in crate::config) rest: &'t str,
}

impl<'t> Raw<'t> {
    /// Takes `text` apart; `example` is an address such as is wanted, for advice.
    pub(in crate::config) fn split(text: &'t str, example: &str) -> Result<Self, ValueError> {
        let right = || format!("write one such as {example}");
        if let Some((place, what)) = odd_character(text) {
            let help = "take it out; it may be invisible, and come from copying";
            return Err(ValueError::new(format!("has {what} as character {place}"), help));
        }
        if let Err(message) = SecretTemplate::parse(text, "") {
            return Err(ValueError::new(message, "write ${NAME}, a secret that is looked up when it is used"));
        }
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.');
        let Some(behind) = text[scheme.len()..].strip_prefix("://").filter(|_| scheme.chars().all(plain)) else {
            return Err(ValueError::new("is not a URL: it does not begin with a scheme and \"://\"", right()));
        };
        let (authority, rest) = behind.split_at(behind.find(['/', '?', '#']).unwrap_or(behind.len()));
        let (login, server) =
            authority.rsplit_once('@').map_or((None, authority), |(login, server)| (Some(login), server));
        if server.contains("${") {
            let help = "write host and port out: they are checked before any secret is read";
            return Err(ValueError::new("has a secret for a host or port", help));
        }
        let (user, password) = match login {
            Some(login) => login.split_once(':').map_or((Some(login), None), |(user, word)| (Some(user), Some(word))),
            None => (None, None),
        };
        let cut_off = |error: ValueError| if rest.contains('@') { in_a_login(&error.help) } else { error };
        let (host, port) = server_parts(server).map_err(cut_off)?;
        if host.is_empty() {
            return Err(ValueError::new("has no host", right()));
        }
        let host = Host::parse(host)
            .map_err(|ValueError { message, help }| ValueError::new(format!("is not a URL: {message}"), help))
            .map_err(cut_off)?;
        Ok(Self { scheme: scheme.to_ascii_lowercase(), user, password, host, port, rest })
    }
}

/// What is no host and port, before a `@` further on: a password with "/" in it ends them too soon. Nothing of it is
/// repeated.
fn in_a_login(help: &str) -> ValueError {
    ValueError::new(
        "is not a URL: what stands before the first / ? or # is no host and port",
        format!("{help}; where a password has / ? or # in it, write it as ${{NAME}} or percent-encoded"),
    )
}

/// Host and port of `server`.
fn server_parts(server: &str) -> Result<(&str, Option<u16>), ValueError> {
    let (host, port) = match server.find(']') {
        Some(end) => server.split_at(end + 1),
        None if server.matches(':').count() > 1 => {
            let message = format!("is not a URL: {server:?} has more than one colon, and no brackets");
            return Err(ValueError::new(message, "write an IPv6 address in brackets: [2001:db8::1]:1935"));
        }
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let number = port.strip_prefix(':').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    match number.and_then(|digits| digits.parse::<u16>().ok()) {
        Some(port) if port > 0 => Ok((host, Some(port))),
        Some(_) | None => {
            let shown = port.trim_start_matches(':');
            // A password that ended the host too soon stands here.
            let message = if shown.bytes().all(|byte| byte.is_ascii_digit()) && !shown.is_empty() {
                format!("has the port {shown}, which does not exist")
            } else {
                "is not a URL: what stands behind the host's colon is no port".to_owned()
            };
            Err(ValueError::new(message, "write a port from 1 to 65535"))
        }
    }
}

/// `text` with `%XX` replaced, once.
pub(in crate::config) fn decoded(text: &str) -> Result<String, ValueError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        if *first != b'%' {
            out.push(*first);
            rest = behind;
            continue;
        }
        let digit = |index: usize| behind.get(index).and_then(|digit| char::from(*digit).to_digit(16));
        let Some(byte) = digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) else {
            return Err(ValueError::new(
                "has \"%\" without two hexadecimal digits behind it",
                "write %25 for a percent sign",
            ));
        };
        out.push(byte);
        rest = behind.get(2..).unwrap_or_default();
    }
    let text = String::from_utf8(out)
        .map_err(|_| ValueError::new("is not UTF-8 once %XX is decoded", "encode it as UTF-8, or write it as it is"))?;
    match text.chars().find(|letter| letter.is_control()) {
        Some(bad) => Err(ValueError::new(
            format!("has the character U+{:04X} once %XX is decoded", u32::from(bad)),
            "take it out",
        )),
        None => Ok(text),
    }
}
