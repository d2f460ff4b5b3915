//! A server and a stream on it, in RTMP's terms, and which redirects are followed.

use super::auth::UserPassword;
use crate::capture::output::error::ConnectionError;
use crate::capture::output::target::IngestTarget;
use crate::config::{self, Host, IngestScheme, Secret, ServerUrl};
use crate::connect::Destinations;

/// A server, and the stream on it.
#[derive(Clone)]
pub(super) struct RtmpEndpoint {
    pub(super) tls: bool,
    pub(super) host: Host,
    pub(super) port: u16,
    /// `live`, or `app/instance`, with the URL's query.
    pub(super) application: String,
    /// The name of the stream: the key with which the box may publish.
    pub(super) stream: String,
    /// User and password.
    pub(super) login: Option<(String, String)>,
    /// The query for authentication that follows the application, from `?` on (see `auth`).
    pub(super) auth_query: String,
}

impl RtmpEndpoint {
    /// The configured endpoint.
    pub(super) fn new(
        target: &IngestTarget,
        options: &config::Rtmp,
        [application, stream]: [&Secret; 2],
        login: Option<&(Secret, Secret)>,
    ) -> Self {
        let exposed = |secret: &Secret| secret.expose().to_owned();
        Self {
            tls: options.tls,
            host: target.destination.host.clone(),
            port: target.destination.port,
            application: exposed(application),
            stream: exposed(stream),
            login: login.map(|(user, password)| (exposed(user), exposed(password))),
            auth_query: String::new(),
        }
    }

    /// User and password, where they are configured.
    pub(super) fn login(&self) -> Option<UserPassword<'_>> {
        self.login.as_ref().map(|(user, password)| UserPassword { user, password })
    }

    /// The `app` of the command `connect`.
    pub(super) fn app(&self) -> String {
        format!("{}{}", self.application, self.auth_query)
    }

    /// The `tcUrl` of the command `connect`.
    pub(super) fn tc_url(&self) -> String {
        let scheme = if self.tls { IngestScheme::Rtmps } else { IngestScheme::Rtmp };
        format!("{}/{}", config::origin(scheme, &self.host, self.port), self.app())
    }

    /// The endpoint that a redirect to `url` leads to; the stream stays the same.
    ///
    /// # Errors
    /// It is no RTMP URL, leaves TLS, or leads to a host that is not allowed: no other host may see the stream key.
    pub(super) fn redirected(&self, url: &str, allowed: &Destinations) -> Result<Self, ConnectionError> {
        let nowhere = |_| {
            ConnectionError::rejected(
                "the server sends this box to another server, by something that is not an RTMP URL",
            )
        };
        let ServerUrl { tls, host, port, application } = ServerUrl::parse(url.trim()).map_err(nowhere)?;
        // Some servers name the application, as `tcUrl` does, and some the stream too.
        let shorter = application.strip_suffix(&self.stream).and_then(|rest| rest.strip_suffix('/'));
        let application = shorter.filter(|rest| !rest.is_empty()).map(str::to_owned).unwrap_or(application);
        if self.tls && !tls {
            return Err(ConnectionError::rejected(
                "the server sends this box to another server without TLS: it keeps to rtmps://",
            ));
        }
        if !allowed.allows_host(&host) {
            let reason = "the server sends this box to a host that is not one of [privacy] allowed-ingest-hosts";
            return Err(ConnectionError::rejected(reason));
        }
        Ok(Self { tls, host, port, application, auth_query: String::new(), ..self.clone() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::HostPattern;

    pub(in super::super) fn endpoint() -> RtmpEndpoint {
        RtmpEndpoint {
            tls: false,
            host: Host::parse("push.example.cn").unwrap(),
            port: 1935,
            application: "live".to_owned(),
            stream: "key?sign=1".to_owned(),
            login: None,
            auth_query: String::new(),
        }
    }

    #[test]
    fn a_server_is_told_its_own_url_without_the_stream() {
        for (change, url) in [
            (RtmpEndpoint { ..endpoint() }, "rtmp://push.example.cn/live"),
            (RtmpEndpoint { port: 1936, ..endpoint() }, "rtmp://push.example.cn:1936/live"),
            (RtmpEndpoint { tls: true, port: 443, ..endpoint() }, "rtmps://push.example.cn/live"),
            (RtmpEndpoint { tls: true, ..endpoint() }, "rtmps://push.example.cn:1935/live"),
            (RtmpEndpoint { host: Host::parse("2001:db8::1").unwrap(), ..endpoint() }, "rtmp://[2001:db8::1]/live"),
            (
                RtmpEndpoint { auth_query: "?authmod=adobe&user=a".to_owned(), ..endpoint() },
                "rtmp://push.example.cn/live?authmod=adobe&user=a",
            ),
        ] {
            assert_eq!(change.tc_url(), url);
        }
    }

    #[test]
    fn a_redirect_leads_to_allowed_hosts_only_and_never_away_from_tls() {
        let hosts = ["push.example.cn", "*.edge.example.cn", "::1"].map(|host| HostPattern::parse(host).unwrap());
        let residency = crate::config::example("").residency;
        let allowed = Destinations::new(hosts, &residency, crate::connect::Refusals::default());
        let plain = RtmpEndpoint { auth_query: "?authmod=adobe".to_owned(), ..endpoint() };
        let encrypted = RtmpEndpoint { tls: true, ..endpoint() };
        for (from, url, to) in [
            (&plain, "rtmp://a.edge.example.cn/live", Ok("rtmp://a.edge.example.cn/live")),
            (&plain, "rtmp://a.edge.example.cn:19350/app/instance", Ok("rtmp://a.edge.example.cn:19350/app/instance")),
            (&plain, "rtmp://a.edge.example.cn/live/key?sign=1", Ok("rtmp://a.edge.example.cn/live")),
            (&plain, "rtmp://a.edge.example.cn/live?vhost=x", Ok("rtmp://a.edge.example.cn/live?vhost=x")),
            (&plain, "rtmps://push.example.cn/live", Ok("rtmps://push.example.cn/live")),
            (&plain, "rtmp://[::1]:5/live", Ok("rtmp://[::1]:5/live")),
            (&plain, "rtmp://edge.example.cn.attacker.test/live", Err("allowed-ingest-hosts")),
            (&plain, "rtmp://attacker.test/live", Err("allowed-ingest-hosts")),
            (&plain, "rtmp://push.example.cn@attacker.test/live", Err("not an RTMP URL")),
            (&plain, "rtmp://push.example.cn/${PATH}", Err("not an RTMP URL")),
            (&plain, "rtmp://PUSH.example.cn./live", Ok("rtmp://push.example.cn/live")),
            (&plain, "http://push.example.cn/live", Err("not an RTMP URL")),
            (&plain, "rtmp://push.example.cn", Err("not an RTMP URL")),
            (&plain, "", Err("not an RTMP URL")),
            (&encrypted, "rtmp://push.example.cn/live", Err("without TLS")),
            (&encrypted, "rtmps://a.edge.example.cn/live", Ok("rtmps://a.edge.example.cn/live")),
        ] {
            match (from.redirected(url, &allowed), to) {
                (Ok(endpoint), Ok(to)) => {
                    assert_eq!((endpoint.tc_url().as_str(), endpoint.stream.as_str()), (to, "key?sign=1"));
                }
                (Err(error), Err(why)) => assert!(error.reason.contains(why), "{url}: {}", error.reason),
                (outcome, _) => panic!("{url}: {:?}", outcome.map(|endpoint| endpoint.tc_url())),
            }
        }
    }
}
