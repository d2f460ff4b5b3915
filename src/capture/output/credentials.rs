//! The secrets that a server gets, and how messages are kept free of them.

use std::sync::Arc;

use crate::capture::error::CaptureError;
use crate::config::{Destination, Login, MissingSecret, Protocol, Rtmp, Secret, SecretTemplate, Srt, ValueError, hide};

/// What identifies the box to a server, with the secrets filled in.
#[derive(Clone, Debug)]
pub(super) enum IngestCredentials {
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
    pub(super) fn resolve(to: &Destination) -> Result<Self, CaptureError> {
        let missing = |error: MissingSecret| CaptureError::config(error.to_string());
        let unusable =
            |ValueError { message, help }: ValueError| CaptureError::config(format!("[ingest] {message}; {help}"));
        let get = |template: &SecretTemplate| template.resolve().map_err(missing);
        let optional = |template: &Option<SecretTemplate>| template.as_ref().map(get).transpose();
        let credentials = match &to.protocol {
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
        to.unusable_secrets().into_iter().next().map_or(Ok(credentials), |wrong| Err(unusable(wrong)))
    }

    /// The texts that messages must not contain, the longest first.
    pub(super) fn secret_strings(&self, to: &Destination) -> Vec<String> {
        let whole = |secret: &Secret| Some(secret.expose().to_owned());
        let has_secret = |template: &SecretTemplate| template.placeholders().next().is_some();
        let mut secrets: Vec<_> = match (self, &to.protocol) {
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
        // One or two letters are no secret, and would remove parts of words.
        secrets.retain(|secret| secret.len() > 2);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }
}

/// What messages about a server may contain, and what they must not.
#[derive(Clone, Debug)]
pub(super) struct Redactor {
    /// Host and port, for messages.
    pub(super) host_port: String,
    /// The host, which stays readable whatever it contains.
    pub(super) host: String,
    /// Keys and other texts that messages must not contain.
    pub(super) secrets: Arc<[String]>,
}

/// `text` without the secrets. The host stays, even where a secret is part of it.
pub(super) fn redact(text: &str, redactor: &Redactor) -> String {
    let redact_piece =
        |piece: &str| redactor.secrets.iter().fold(piece.to_owned(), |piece, secret| hide(&piece, secret));
    let containing_host =
        redactor.secrets.iter().filter(|secret| secret.contains(&redactor.host) && secret.len() > redactor.host.len());
    let text = containing_host.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"));
    text.split(redactor.host.as_str()).map(redact_piece).collect::<Vec<_>>().join(&redactor.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_hidden_and_the_host_is_not() {
        let redactor = |host: &str, secrets: &[&str]| Redactor {
            host_port: format!("{host}:443"),
            host: host.to_owned(),
            secrets: secrets.iter().map(|field| (*field).to_owned()).collect(),
        };
        for (host, secrets, text, redacted) in [
            ("whip.test", &["whip"][..], "whip.test: no whip at whip.test/whip", "whip.test: no … at whip.test/…"),
            ("a.cn", &["live"], "live delivered to a.cn/live?x", "… delivered to a.cn/…?x"),
            ("a.cn", &["long-secret"], "xlong-secretx", "x…x"),
            ("a.cn", &["/whip/abc", "abc"], "https://a.cn/whip/abc and abc", "https://a.cn… and …"),
            ("key-key.cn", &["key-key.cn-long"], "key-key.cn-long at key-key.cn", "… at key-key.cn"),
        ] {
            assert_eq!(redact(text, &redactor(host, secrets)), redacted);
        }
    }
}
