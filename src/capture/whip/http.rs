//! WHIP's HTTP: an offer is posted, an answer comes back, and the resource that was made is deleted in the end.

use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};
use url::Url;

use super::super::failure::{Trouble, TroubleKind};
use super::super::tls;
use crate::config::{Host, HostPattern, Secret};

/// What a server may take to answer an offer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Redirects that are followed.
const HOPS: usize = 3;
/// An answer with a hundred candidates has some 10 KiB.
const ANSWER: u64 = 64 * 1024;

/// Where offers go.
pub(super) struct Endpoint {
    pub(super) url: Secret,
    pub(super) token: Option<Secret>,
    /// Hosts that a redirect may lead to.
    pub(super) allowed: Arc<[HostPattern]>,
    agent: Agent,
}

/// What the server made of an offer.
pub(super) struct Taken {
    pub(super) answer: String,
    /// What is to be deleted in the end; `None`: the server did not say.
    pub(super) resource: Option<Url>,
}

impl Endpoint {
    pub(super) fn new(url: Secret, token: Option<Secret>, allowed: Arc<[HostPattern]>) -> Self {
        let roots: Vec<_> = tls::authorities().iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            // Each hop is judged first, and a token goes nowhere unasked.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            // The connection is kept for the end: deleting then takes one round trip and not four.
            .max_idle_age(Duration::from_hours(24))
            .proxy(None)
            .build()
            .new_agent();
        Self { url, token, allowed, agent }
    }

    /// Posts an offer.
    pub(super) fn post(&self, offer: &str) -> Result<Taken, Trouble> {
        let bad = |_| Trouble {
            kind: TroubleKind::Refused,
            reason: "[ingest] url is not a URL once its secrets are in place".to_owned(),
        };
        let mut url = Url::parse(self.url.expose()).map_err(bad)?;
        for _ in 0..=HOPS {
            let mut request = self.agent.post(url.as_str()).content_type("application/sdp");
            if let Some(token) = &self.token {
                request = request.header("Authorization", format!("Bearer {}", token.expose()));
            }
            let mut response = request.send(offer).map_err(|error| unreachable(&error))?;
            let status = response.status();
            if matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
                url = self.next(&url, &response)?;
                continue;
            }
            if !matches!(status, StatusCode::CREATED | StatusCode::OK) {
                return Err(refused(status));
            }
            let resource = location(&url, &response).filter(|to| self.may(&url, to));
            let answer = response.body_mut().with_config().limit(ANSWER).read_to_string();
            return Ok(Taken { answer: answer.map_err(|error| unreachable(&error))?, resource });
        }
        Err(no("the server redirects in circles"))
    }

    /// Where a redirect leads, if it may.
    fn next(&self, from: &Url, response: &Response<Body>) -> Result<Url, Trouble> {
        let to = location(from, response).ok_or_else(|| no("the server redirects to nowhere"))?;
        if self.may(from, &to) {
            return Ok(to);
        }
        Err(no(
            "the server redirects to a host that is not one of [privacy] allowed-ingest-hosts, or away from https://",
        ))
    }

    fn may(&self, from: &Url, to: &Url) -> bool {
        let host = to.host_str().and_then(|host| Host::parse(host).ok());
        let allowed = host.is_some_and(|host| self.allowed.iter().any(|pattern| pattern.allows(&host)));
        allowed && to.scheme() == from.scheme() && to.username().is_empty() && to.password().is_none()
    }

    /// Deletes what an offer made, so that no ghost of it stays on the server.
    pub(super) fn delete(&self, resource: &Url) {
        let mut request = self.agent.delete(resource.as_str());
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {}", token.expose()));
        }
        match request.call() {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => tracing::warn!("the server keeps our WHIP session: HTTP {}", response.status().as_u16()),
            Err(error) => tracing::debug!("the WHIP session could not be deleted: {error}"),
        }
    }
}

fn location(from: &Url, response: &Response<Body>) -> Option<Url> {
    from.join(response.headers().get("Location")?.to_str().ok()?).ok()
}

fn no(reason: &str) -> Trouble {
    Trouble { kind: TroubleKind::Refused, reason: reason.to_owned() }
}

/// Why there was no answer at all.
fn unreachable(error: &ureq::Error) -> Trouble {
    let untrusted = |error| Trouble { kind: TroubleKind::Refused, reason: tls::explain(error).to_owned() };
    let away = |reason: &str| Trouble::away(reason);
    // What else a library may say some day is told as it says it.
    #[allow(clippy::wildcard_enum_match_arm)]
    match error {
        ureq::Error::Rustls(error) => untrusted(error),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => untrusted(error),
            None if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                away("connection refused: no ingest server listens on that port")
            }
            None => away("the server closed the connection"),
        },
        ureq::Error::HostNotFound => away("the host name cannot be resolved: see the network's DNS, or [ingest] url"),
        ureq::Error::Timeout(_) => away("no answer in time"),
        ureq::Error::ConnectionFailed => away("connection refused: no ingest server listens on that port"),
        other => away(&other.to_string()),
    }
}

/// Why the answer is no.
fn refused(status: StatusCode) -> Trouble {
    let (kind, reason) = match status.as_u16() {
        401 | 403 => (TroubleKind::Refused, "the server refuses the token: see [ingest] token"),
        404 | 410 => (TroubleKind::Refused, "there is no such WHIP endpoint: see the path in [ingest] url"),
        405 => (
            TroubleKind::Refused,
            "what is there is no WHIP endpoint, it takes no offers: see the path in [ingest] url",
        ),
        400 | 406 | 415 | 422 => (
            TroubleKind::Refused,
            "the server does not take this kind of stream: it needs H.264 constrained baseline, and Opus",
        ),
        409 => (
            TroubleKind::InUse,
            "the stream is in use: somebody else publishes there, or the server has not missed our last connection yet",
        ),
        429 => (TroubleKind::InUse, "the server asks for patience"),
        500..=599 => (TroubleKind::Away, "the server has trouble of its own"),
        _ => (TroubleKind::Refused, "the server gives an answer that is not WHIP's"),
    };
    Trouble { kind, reason: format!("{reason} (HTTP {})", status.as_u16()) }
}
