//! RTMP's part of an address: application and stream. They are names, not parts of a URL: servers get them letter by
//! letter, as OBS and `FFmpeg` send them, and nothing in them is decoded.

use super::{Host, Raw, ValueError, decoded, unsendable};
use crate::config::{IngestScheme, SecretTemplate};

/// What an RTMP server is told.
#[derive(Clone, Debug)]
pub struct Rtmp {
    /// Whether TLS is spoken from the first byte on.
    pub tls: bool,
    /// `app` in `connect`, with instance and query where the address has them.
    pub application: SecretTemplate,
    /// The stream's name in `publish`: the stream key, with its query.
    pub stream: SecretTemplate,
    /// For servers that ask for it (Adobe's authentication).
    pub login: Option<Login>,
}

/// Who the box is at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Name.
    pub user: SecretTemplate,
    /// Password; empty where the address has none.
    pub password: SecretTemplate,
}

/// A server's URL without a stream, as a redirect has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The server.
    pub host: Host,
    /// Its port; the scheme's own where the URL has none.
    pub port: u16,
    /// `app` in `connect`.
    pub application: String,
}

impl ServerUrl {
    /// Reads one that a server named: nobody's secrets are looked up in it, and it says nothing of who the box is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(url: &str) -> Result<Self, ValueError> {
        let raw = Raw::split(url, "rtmp://HOST/APP")?;
        let schemes = [("rtmp", IngestScheme::Rtmp), ("rtmps", IngestScheme::Rtmps)];
        let scheme = schemes.into_iter().find(|(word, _)| *word == raw.scheme).map(|(_, scheme)| scheme);
        let application = server_url(raw.rest.trim_start_matches('/'));
        match scheme.and_then(|scheme| Some((scheme, raw.port.or(scheme.default_port())?))) {
            Some((scheme, port)) if raw.user.is_none() && !url.contains("${") && !application.is_empty() => {
                let (tls, application) = (scheme == IngestScheme::Rtmps, application.to_owned());
                Ok(Self { tls, host: raw.host, port, application })
            }
            Some(_) | None => Err(ValueError::new("is no RTMP server's URL", "write one such as rtmp://HOST/APP")),
        }
    }
}

/// The stream's place in an address that says both.
const BOTH: &str = "write rtmps://HOST/APP/STREAM_KEY, or the server URL in url and the key in stream-key";

impl Rtmp {
    /// Reads what stands behind the host. With `stream_key` all of it is the application.
    pub(in crate::config) fn parse(
        raw: &Raw<'_>,
        tls: bool,
        stream_key: Option<SecretTemplate>,
    ) -> Result<Self, ValueError> {
        let rest = raw.rest.trim_start_matches('/');
        let (application, stream) = if let Some(key) = stream_key {
            (server_url(rest), key)
        } else {
            let (application, stream) = split(rest)?;
            (application, template(stream, "stream-key")?)
        };
        if application.is_empty() {
            return Err(ValueError::new("an RTMP URL needs an application", BOTH));
        }
        let login = raw.user.map(|user| Login::parse(user, raw.password)).transpose()?;
        Ok(Self { tls, application: template(application, "application")?, stream, login })
    }

    /// What may be meant otherwise, where the address said both and no `stream-key` says which is which.
    pub(in crate::config) fn doubts(&self) -> Vec<ValueError> {
        let mut all = Vec::new();
        let application = self.application.literal().unwrap_or_default();
        let has_instance = application.split('?').next().is_some_and(|path| path.contains('/'));
        let Some(stream) = self.stream.literal() else { return all };
        if has_instance {
            let message =
                "the first two parts of the path are taken for application and instance, the rest for the key";
            let help = "if the key itself has \"/\" in it, write the server URL in url and the key in stream-key";
            all.push(ValueError::new(message, help));
        }
        let path = stream.split('?').next().unwrap_or_default();
        if path.contains('%') && decoded(path).is_ok_and(|plain| plain != path) {
            let message = "a percent sign in a stream key is sent as it is: RTMP knows no percent-encoding";
            all.push(ValueError::new(message, "write the character itself, or leave it if the key is so"));
        }
        all
    }

    pub(super) fn unusable_secrets(&self) -> Vec<ValueError> {
        let named = [("application", &self.application), ("stream-key", &self.stream)];
        let mut message: Vec<_> = named.into_iter().filter_map(|(name, value)| unsendable(name, Some(value))).collect();
        message.extend(self.login.iter().flat_map(Login::unusable_secrets));
        if self.stream.resolve().is_ok_and(|stream| stream.expose().is_empty()) {
            message.push(ValueError::new("the stream key is empty", BOTH));
        }
        message
    }
}

impl Login {
    /// Each part decoded once, because `@`, `:` and `/` cannot stand there as they are; secrets are taken literally.
    pub(in crate::config) fn parse(user: &str, password: Option<&str>) -> Result<Self, ValueError> {
        let part = |text, shown| template(text, shown)?.try_map(decoded);
        let login = Self { user: part(user, "user")?, password: part(password.unwrap_or(""), "password")? };
        if login.user.literal().is_some_and(|user| user.is_empty()) {
            return Err(ValueError::new("has no user name before \"@\"", "write USER:PASSWORD@HOST, or HOST alone"));
        }
        Ok(login)
    }

    /// What is wrong with the values of the secrets that are found.
    pub(in crate::config) fn unusable_secrets(&self) -> Vec<ValueError> {
        let named = [("user", &self.user), ("password", &self.password)];
        let mut message: Vec<_> = named.into_iter().filter_map(|(name, value)| unsendable(name, Some(value))).collect();
        if self.user.resolve().is_ok_and(|user| user.expose().is_empty()) {
            message.push(ValueError::new("user is empty", "write the name that the server knows"));
        }
        message
    }
}

fn template(text: &str, shown: &'static str) -> Result<SecretTemplate, ValueError> {
    SecretTemplate::parse(text, shown).map_err(|message| ValueError::new(message, "write ${NAME}"))
}

/// A server URL's application: query and instance belong to it, a slash at its end does not.
fn server_url(rest: &str) -> &str {
    let path = rest.find('?').unwrap_or(rest.len());
    if rest[path..].is_empty() { rest.trim_end_matches('/') } else { rest }
}

/// Application and stream of an address that has both, as `FFmpeg` takes them apart: one part or, where more follow,
/// two for application and instance; a query with a slash behind it belongs to the application.
fn split(rest: &str) -> Result<(&str, &str), ValueError> {
    let path = &rest[..rest.find('?').unwrap_or(rest.len())];
    let nothing = || ValueError::new("an RTMP URL needs an application and a stream key", BOTH);
    let Some(end) = path.find('/') else {
        // `live2?backup=1/KEY`
        let slash = slash_in_query(rest, path.len());
        return slash.map(|at| (&rest[..at], &rest[at + 1..])).ok_or_else(nothing);
    };
    let (application, behind) = (&rest[..end], rest[end..].trim_start_matches('/'));
    let path = &behind[..behind.find('?').unwrap_or(behind.len())];
    if behind.is_empty() {
        let message = "the stream key is missing: nothing stands behind the last slash of the RTMP URL";
        return Err(ValueError::new(message, BOTH));
    }
    // `mp4:folder/name` is a stream's name, and no instance.
    let instance = path.find('/').filter(|at| !path[..*at].contains(':'));
    let Some(instance) = instance else { return Ok((application, behind)) };
    let stream = behind[instance..].trim_start_matches('/');
    if stream.is_empty() {
        // `app/key/`: the last part is empty, and no key that a server has ends so.
        let message = "the last part of the RTMP URL is empty";
        return Err(ValueError::new(message, "take the slash at its end away, or write the key in stream-key"));
    }
    let application = &rest[..rest.len() - behind.len() + instance];
    Ok((application, stream))
}

/// The first slash in a query that belongs to no URL within it.
fn slash_in_query(rest: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += rest.get(at..)?.find('/')?;
        match rest.get(at..)?.strip_prefix("//") {
            Some(_) if rest[..at].ends_with(':') => at += 2,
            Some(_) | None => return (at + 1 < rest.len()).then_some(at),
        }
    }
}
