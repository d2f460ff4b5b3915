//! What a server is told in secret, and how none of it gets into a message.

use std::sync::Arc;

use crate::capture::error::CaptureError;
use crate::config::{Destination, Login, MissingSecret, Protocol, Rtmp, Secret, SecretTemplate, Srt, ValueError};

/// What a server is told, with its secrets in place.
#[derive(Clone, Debug)]
pub(crate) enum IngestCredentials {
    Rtmp {
        application: Secret,
        stream: Secret,
        /// User and password.
        login: Option<(Secret, Secret)>,
    },
    Srt {
        passphrase: Option<Secret>,
        stream_id: Option<Secret>,
    },
    Whip {
        endpoint: Secret,
        token: Option<Secret>,
    },
}

impl IngestCredentials {
    pub(crate) fn resolve(to: &Destination) -> Result<Self, CaptureError> {
        let missing = |error: MissingSecret| CaptureError::config(error.to_string());
        let unusable =
            |ValueError { message, help }: ValueError| CaptureError::config(format!("[ingest] {message}; {help}"));
        let get = |template: &SecretTemplate| template.resolve().map_err(missing);
        let optional = |template: &Option<SecretTemplate>| template.as_ref().map(get).transpose();
        let keys = match &to.protocol {
            Protocol::Rtmp(Rtmp { tls: _, application, stream, login }) => {
                let login = match login {
                    Some(Login { user, password }) => Some((get(user)?, get(password)?)),
                    None => None,
                };
                Self::Rtmp { application: get(application)?, stream: get(stream)?, login }
            }
            Protocol::Srt(Srt { passphrase, stream_id, .. }) => {
                Self::Srt { passphrase: optional(passphrase)?, stream_id: optional(stream_id)? }
            }
            Protocol::Whip(whip) => {
                Self::Whip { endpoint: to.endpoint(whip).map_err(missing)?, token: optional(&whip.token)? }
            }
        };
        to.unusable_secrets().into_iter().next().map_or(Ok(keys), |wrong| Err(unusable(wrong)))
    }

    /// The fields that are nobody's business, the longest first.
    pub(super) fn hidden(&self, to: &Destination) -> Vec<String> {
        let whole = |secret: &Secret| Some(secret.expose().to_owned());
        let has_secret = |template: &SecretTemplate| template.placeholders().next().is_some();
        let mut hide: Vec<_> = match (self, &to.protocol) {
            (Self::Rtmp { application, stream, login }, Protocol::Rtmp(rtmp)) => {
                let application = application.expose().to_owned();
                let (name, query) = stream.expose().split_once('?').unwrap_or((stream.expose(), ""));
                let values = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned()));
                let password = login.as_ref().and_then(|(_, password)| whole(password));
                let all = [has_secret(&rtmp.application).then_some(application), whole(stream), Some(name.to_owned())];
                all.into_iter().chain([password]).flatten().chain(values).collect()
            }
            (Self::Srt { passphrase, stream_id }, _) => {
                [passphrase, stream_id].into_iter().flatten().filter_map(whole).collect()
            }
            (Self::Whip { endpoint, token }, _) => {
                let path = endpoint.expose().strip_prefix(&to.origin()).unwrap_or_default().to_owned();
                [Some(path), token.as_ref().and_then(whole)].into_iter().flatten().collect()
            }
            (Self::Rtmp { .. }, _) => Vec::new(),
        };
        // One or two letters hide nothing and would eat words.
        hide.retain(|part| part.len() > 2);
        hide.sort_by_key(|part| std::cmp::Reverse(part.len()));
        hide
    }
}

/// What may be said of a server, and what may not.
#[derive(Clone, Debug)]
pub(crate) struct Redactor {
    /// Host and port, for messages.
    pub(crate) host: String,
    /// The host alone, which is told whatever it looks like.
    pub(crate) name: String,
    /// Keys, and all else that is nobody's business.
    pub(crate) hide: Arc<[String]>,
}

/// A field of so many letters is no word by chance, and is hidden within longer words too.
const LONG: usize = 8;

/// `text` without the fields in `names.hide`. The host stays, whatever it has in common with them, and a short field is
/// hidden where it stands by itself: the stream `live` is no reason to mangle "delivered".
pub(crate) fn redact(text: &str, names: &Redactor) -> String {
    let without = |piece: &str| names.hide.iter().fold(piece.to_owned(), |piece, field| hide(&piece, field));
    let around = names.hide.iter().filter(|field| field.contains(&names.name) && field.len() > names.name.len());
    let text = around.fold(text.to_owned(), |text, field| text.replace(field.as_str(), "…"));
    text.split(names.name.as_str()).map(without).collect::<Vec<_>>().join(&names.name)
}

fn hide(text: &str, field: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(field) {
        let (before, found) = rest.split_at(at);
        let behind = found.get(field.len()..).unwrap_or_default();
        let letter = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
        let alone =
            !letter(before.chars().next_back().or_else(|| out.chars().next_back())) && !letter(behind.chars().next());
        out.push_str(before);
        out.push_str(if alone || field.len() >= LONG { "…" } else { field });
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_hidden_and_the_host_is_not() {
        let names = |name: &str, hide: &[&str]| Redactor {
            host: format!("{name}:443"),
            name: name.to_owned(),
            hide: hide.iter().map(|field| (*field).to_owned()).collect(),
        };
        for (name, hide, text, said) in [
            ("whip.test", &["whip"][..], "whip.test: no whip at whip.test/whip", "whip.test: no … at whip.test/…"),
            ("a.cn", &["live"], "live delivered to a.cn/live?x", "… delivered to a.cn/…?x"),
            ("a.cn", &["long-secret"], "xlong-secretx", "x…x"),
            ("a.cn", &["/whip/abc", "abc"], "https://a.cn/whip/abc and abc", "https://a.cn… and …"),
            ("key-key.cn", &["key-key.cn-long"], "key-key.cn-long at key-key.cn", "… at key-key.cn"),
        ] {
            assert_eq!(redact(text, &names(name, hide)), said);
        }
    }
}
