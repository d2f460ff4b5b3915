//! The HTTP part of WHIP (RFC 9725): it posts the offer, reads the answer, and deletes the resource in the end.

use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};
use url::Url;

use super::super::tls;
use crate::capture::output::error::{ConnectionError, ConnectionErrorKind};
use crate::config::{Host, Secret};
use crate::connect::{Destinations, Unreachable, http};

/// A request may take this long, from the lookup of the name to the answer.
pub(super) const HTTP_TIMEOUT: Duration = Duration::from_secs(5);
/// At most this many redirects are followed.
const MAX_REDIRECTS: usize = 3;
/// The longest answer that is read. One with a hundred candidates has about 10 KiB.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// A WHIP endpoint.
pub(super) struct WhipEndpoint {
    pub(super) url: Secret,
    pub(super) token: Option<Secret>,
    /// Where it may connect to, and a redirect may lead.
    pub(super) destinations: Destinations,
    agent: Agent,
}

/// What a response says.
pub(super) enum Judged {
    /// The same is to be asked there.
    Redirect(Url),
    /// The offer was taken.
    Accepted(Accepted),
}

/// A response that accepts the offer.
pub(super) struct Accepted {
    /// The SDP answer, or why there is none.
    pub(super) answer: Result<String, ConnectionError>,
    /// The resource to delete in the end; `None`: the server named none.
    pub(super) resource: Option<Url>,
}

impl WhipEndpoint {
    pub(super) fn new(url: Secret, token: Option<Secret>, destinations: Destinations) -> Self {
        let roots: Vec<_> = tls::system_roots().iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            // Each redirect is checked first: the token goes to allowed hosts only.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(HTTP_TIMEOUT))
            // The connection stays open until the end: deleting the resource then takes one round trip instead of four.
            .max_idle_age(Duration::from_hours(24))
            .proxy(None)
            .build();
        Self { url, token, agent: http::agent(config, &destinations), destinations }
    }

    /// Posts the offer.
    pub(super) fn post(&self, offer: &str) -> Result<Accepted, ConnectionError> {
        let invalid_url = |_| ConnectionError::rejected("[ingest] url is not a URL once its secrets are in place");
        let mut url = Url::parse(self.url.expose()).map_err(invalid_url)?;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.post(url.as_str()).content_type("application/sdp");
            if let Some(token) = &self.token {
                request = request.header("Authorization", format!("Bearer {}", token.expose()));
            }
            let mut response = request.send(offer).map_err(|error| transport_error(&error))?;
            match self.judge(&url, &mut response)? {
                Judged::Redirect(to) => url = to,
                Judged::Accepted(accepted) => return Ok(accepted),
            }
        }
        Err(ConnectionError::rejected("the server redirects in circles"))
    }

    /// Judges the response of `url` to an offer.
    pub(super) fn judge(&self, url: &Url, response: &mut Response<Body>) -> Result<Judged, ConnectionError> {
        let status = response.status();
        if matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
            return self.follow_redirect(url, response).map(Judged::Redirect);
        }
        if !matches!(status, StatusCode::CREATED | StatusCode::OK) {
            return Err(error_from_status(status));
        }
        let location = location_of(url, response);
        let resource = location.clone().filter(|to| self.is_allowed(url, to));
        let answer = answer(response);
        if answer.is_ok() && resource.is_none() {
            let why = if location.is_some() { "names one where we may not go" } else { "names none" };
            tracing::warn!("the WHIP session cannot be deleted in the end: the server's answer {why} (Location)");
        }
        Ok(Judged::Accepted(Accepted { answer, resource }))
    }

    /// The URL that a redirect leads to, if it is allowed.
    fn follow_redirect(&self, from: &Url, response: &Response<Body>) -> Result<Url, ConnectionError> {
        let to =
            location_of(from, response).ok_or_else(|| ConnectionError::rejected("the server redirects to nowhere"))?;
        if self.is_allowed(from, &to) {
            return Ok(to);
        }
        Err(ConnectionError::rejected(
            "the server redirects to a host that is not one of [privacy] allowed-ingest-hosts, or away from https://",
        ))
    }

    fn is_allowed(&self, from: &Url, to: &Url) -> bool {
        let host = to.host_str().and_then(|host| Host::parse(host).ok());
        let allowed = host.is_some_and(|host| self.destinations.allows_host(&host));
        allowed && to.scheme() == from.scheme() && to.username().is_empty() && to.password().is_none()
    }

    /// Deletes the resource, so that the server does not keep it until its timeout.
    pub(super) fn delete(&self, resource: &Url) {
        let mut request = self.agent.delete(resource.as_str());
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {}", token.expose()));
        }
        match request.call() {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => tracing::warn!("the server keeps our WHIP session: HTTP {}", response.status().as_u16()),
            Err(error) => {
                let why = transport_error(&error).reason;
                tracing::warn!("the WHIP session is left on the server, it could not be deleted: {why}");
            }
        }
    }
}

/// The SDP answer. Something that sends no SDP is no WHIP endpoint, whatever its status.
fn answer(response: &mut Response<Body>) -> Result<String, ConnectionError> {
    let body = match response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec() {
        Ok(body) => body,
        Err(ureq::Error::BodyExceedsLimit(_)) => return Err(not_sdp("more than an answer can hold")),
        Err(error) => return Err(transport_error(&error)),
    };
    let text = String::from_utf8_lossy(&body);
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if text.starts_with("v=0") {
        return Ok(text.to_owned());
    }
    Err(not_sdp(match text.chars().next() {
        None => "nothing",
        Some('<') => "a web page",
        Some('{' | '[') => "JSON",
        Some(_) => "something else",
    }))
}

fn not_sdp(found: &str) -> ConnectionError {
    ConnectionError::rejected(format!(
        "what answers there is no WHIP endpoint, it sends {found} where WHIP has SDP: see the path in [ingest] url"
    ))
}

fn location_of(from: &Url, response: &Response<Body>) -> Option<Url> {
    from.join(response.headers().get("Location")?.to_str().ok()?).ok()
}

/// Why there was no response.
fn transport_error(error: &ureq::Error) -> ConnectionError {
    let untrusted = |error| ConnectionError::rejected(tls::describe_error(error));
    // The texts of other errors are logged and not reported: they may change with the library.
    #[allow(clippy::wildcard_enum_match_arm)]
    match error {
        ureq::Error::Rustls(error) => untrusted(error),
        ureq::Error::Io(error) => {
            let inner = error.get_ref();
            match (
                inner.and_then(|inner| inner.downcast_ref()),
                inner.and_then(|inner| inner.downcast_ref::<Unreachable>()),
            ) {
                (Some(error), _) => untrusted(error),
                (None, Some(why)) => ConnectionError::from(*why),
                (None, None) => ConnectionError::unreachable("the server closed the connection"),
            }
        }
        ureq::Error::HostNotFound => ConnectionError::from(Unreachable::Unresolved),
        ureq::Error::Timeout(_) => ConnectionError::from(Unreachable::TimedOut),
        other => {
            tracing::debug!("WHIP: {other}");
            ConnectionError::unreachable("the server's answer is not HTTP, or breaks off")
        }
    }
}

/// Why the server rejects the offer.
fn error_from_status(status: StatusCode) -> ConnectionError {
    let (kind, reason) = match status.as_u16() {
        401 | 403 => (ConnectionErrorKind::Rejected, "the server refuses the token: see [ingest] token"),
        404 | 410 => (ConnectionErrorKind::Rejected, "there is no such WHIP endpoint: see the path in [ingest] url"),
        405 => (
            ConnectionErrorKind::Rejected,
            "what is there is no WHIP endpoint, it takes no offers: see the path in [ingest] url",
        ),
        400 | 406 | 415 | 422 => (
            ConnectionErrorKind::Rejected,
            "the server does not take this kind of stream: it needs H.264 constrained baseline, and Opus",
        ),
        409 => (
            ConnectionErrorKind::StreamInUse,
            "the stream is in use: somebody else publishes there, or the server has not missed our last connection yet",
        ),
        429 => (ConnectionErrorKind::StreamInUse, "the server asks for patience"),
        500..=599 => (ConnectionErrorKind::Unreachable, "the server has trouble of its own"),
        _ => (ConnectionErrorKind::Rejected, "the server gives an answer that is not WHIP's"),
    };
    ConnectionError { kind, reason: format!("{reason} (HTTP {})", status.as_u16()) }
}
