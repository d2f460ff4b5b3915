//! Broker and ingest: names, ports, certificates. Asked side by side; a stream key is never sent.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::certificates::{self, Own, aged};
use super::tls::{self, Shaken};
use super::{CheckResult, CheckStatus, PATIENCE, fail, ok, warn};
use crate::certificate::{Age, Validity};
use crate::clock;
use crate::config::{Config, Destination, IngestScheme};
use crate::connect::{Destinations, Refusals, Unreachable};
use crate::transport_warnings::Warning;
use crate::trust::{self, SYSTEM_AUTHORITIES};

/// What to do about a server's certificate.
const RENEW: &str = "tell whoever keeps the server: it needs a new one";

/// `id`: the box's name at the broker, as far as it is known.
pub(super) fn rows(config: &Config, id: Option<&str>) -> Vec<CheckResult> {
    std::thread::scope(|scope| {
        let ingest = scope.spawn(|| ingest(config));
        let broker = scope.spawn(|| broker(config, id));
        [ingest, broker].into_iter().filter_map(|asked| asked.join().ok()).flatten().collect()
    })
}

/// Whether every server answered that was asked, content with the box or not. SRT's cannot be asked off air.
pub(super) fn all_answer(rows: &[CheckResult]) -> bool {
    let asked = |row: &&CheckResult| ["ingest", "broker"].contains(&row.check);
    rows.iter().filter(asked).all(|row| {
        let away = row.verdict == CheckStatus::Fail && !row.found.contains(ANSWERS);
        !away && !row.found.contains(UNASKED)
    })
}

/// What is found of a server that was reached.
const ANSWERS: &str = " answers";
/// What is found of one that could not be asked.
const UNASKED: &str = "shows only on air";

fn ingest(config: &Config) -> Vec<CheckResult> {
    config.ingest.destinations().map(|to| destination(config, to)).collect()
}

fn destination(config: &Config, to: &Destination) -> CheckResult {
    let way = Destinations::of_ingest(config);
    let (host, port) = (to.host.as_str(), to.port);
    match to.scheme() {
        IngestScheme::Srt => match resolve(&way, host, port) {
            Ok(_) => warn("ingest", format!("{host} has an address; whether SRT answers on port {port} {UNASKED}"), ""),
            Err((found, advice)) => fail("ingest", found, advice),
        },
        IngestScheme::Rtmp | IngestScheme::Http => row("ingest", (&way, host, port), None, &Own::None),
        IngestScheme::Rtmps | IngestScheme::Https => {
            let ca = to.ca_file.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
            row("ingest", (&way, host, port), Some((ca, None)), &Own::None)
        }
    }
}

fn broker(config: &Config, id: Option<&str>) -> Vec<CheckResult> {
    let (own, certificates) = certificates::own(config, id);
    let Some(mqtt) = &config.mqtt else {
        let none = warn("broker", "none configured: the box is not controlled from outside", "set [mqtt] url");
        return std::iter::once(none).chain(certificates).collect();
    };
    let ca = mqtt.ca_file.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
    let trusted = mqtt.tls.then_some((ca, mqtt.crl_file.as_deref()));
    let way = Destinations::of_broker(config, mqtt, Refusals::default());
    let asked = row("broker", (&way, mqtt.host.as_str(), mqtt.port), trusted, &own);
    let asked = if mqtt.tls || mqtt.host.is_loopback() || asked.verdict != CheckStatus::Ok {
        asked
    } else {
        warn("broker", asked.found, Warning::PlainMqtt.sentence())
    };
    let remarks = crate::agent::systemd_notifier::remarks(&config.agent_dir());
    let remarks = remarks.into_iter().map(|remark| warn("broker", remark, "the agent's log says since when"));
    std::iter::once(asked).chain(certificates).chain(name(config)).chain(remarks).collect()
}

/// Where the box's name comes from, if it is not what an image may be expected to have.
fn name(config: &Config) -> Option<CheckResult> {
    config.device.id.is_none().then(|| {
        let found =
            "there is no valid machine-id: the box's name at the broker comes from its key, and changes with it";
        warn("device-id", found, "run systemd-machine-id-setup and restart the box, or set [device] id")
    })
}

type Wrong = (String, String);

fn resolve(way: &Destinations, host: &str, port: u16) -> Result<Vec<SocketAddr>, Wrong> {
    way.resolve(host, port, PATIENCE, &|| false).map_err(|why| match why {
        Unreachable::NotAllowed => (format!("{host}: {why}"), "see [privacy] allowed-ingest-hosts".to_owned()),
        Unreachable::Outside => {
            (format!("{host}: {why}"), "see the network's DNS, or list the server's network there".to_owned())
        }
        Unreachable::Metered => {
            (format!("{host}: {why}"), "connect the cable or Wi-Fi, or set [ingest] metered-links = \"use\"".to_owned())
        }
        Unreachable::Unresolved
        | Unreachable::Refused
        | Unreachable::TimedOut
        | Unreachable::NoRoute
        | Unreachable::Broken
        | Unreachable::Stopped => {
            (format!("{host} has no address"), "see the network's DNS, or the host in the URL".to_owned())
        }
    })
}

/// The first of its addresses that answers.
fn reach(way: &Destinations, host: &str, port: u16) -> Result<TcpStream, Wrong> {
    let addresses = resolve(way, host, port)?;
    way.connect_any(&addresses, PATIENCE, &|| false).map_err(|why| {
        let advice = "see that the server runs, the port in the URL, and the firewall";
        (format!("{host}:{port}: {why}"), advice.to_owned())
    })
}

/// `trusted`: the file of authorities, and that of revoked certificates, if there is one; `None`: no TLS.
fn row(
    check: &'static str,
    (way, host, port): (&Destinations, &str, u16),
    trusted: Option<(&Path, Option<&Path>)>,
    own: &Own,
) -> CheckResult {
    let asked = reach(way, host, port).and_then(|mut stream| {
        let Some(trusted) = trusted else { return Ok(ok(check, format!("{host}:{port} answers, unencrypted"))) };
        let identity = match own {
            Own::Identity(identity) => Some(identity),
            Own::None | Own::Unusable => None,
        };
        let advice = |why: &str| trust::certificate_advice(why).unwrap_or("see the server's TLS settings").to_owned();
        let shaken = tls::handshake(&mut stream, host, trusted, identity);
        let Shaken { shown, refused } =
            shaken.map_err(|why| (format!("{host}:{port} answers: {why}"), advice(&why)))?;
        let validity = Validity::of_chain(&shown);
        let Some(why) = refused else {
            let validity = validity.map_err(|why| (format!("{host}:{port} answers: {why}"), advice(&why)))?;
            return Ok(aged(check, &format!("{host}:{port} answers, encrypted"), validity, RENEW));
        };
        // The dates say more than the word for it.
        if let Ok(validity) = validity
            && matches!(validity.age(clock::utc_now()), Age::Early | Age::Over)
        {
            return Ok(aged(check, &format!("{host}:{port} answers"), validity, RENEW));
        }
        if matches!(own, Own::Unusable) && trust::wants_certificate(&why) {
            let found = format!(
                "{host}:{port} answers, encrypted, and wants this box's certificate, which cannot be shown from here"
            );
            return Ok(warn(check, found, "see the rows secrets, files and client-cert"));
        }
        Err((format!("{host}:{port} answers: {why}"), advice(&why)))
    });
    asked.unwrap_or_else(|(found, advice)| fail(check, found, advice))
}
