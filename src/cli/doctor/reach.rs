//! Broker and ingest: names, ports, certificates. Asked side by side; a stream key is never sent.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::tls::{self, Identity};
use super::{PATIENCE, Row, fail, ok, warn};
use crate::agent::broker::names_in;
use crate::config::{Config, Destination, IngestScheme, Mqtt};
use crate::connect;
use crate::trust::{self, SYSTEM_AUTHORITIES};

pub(super) fn rows(config: &Config) -> Vec<Row> {
    std::thread::scope(|scope| {
        let ingest = scope.spawn(|| ingest(config));
        let broker = scope.spawn(|| broker(config));
        [ingest, broker].into_iter().filter_map(|asked| asked.join().ok()).flatten().collect()
    })
}

fn ingest(config: &Config) -> Vec<Row> {
    config.ingest.destinations().map(destination).collect()
}

fn destination(to: &Destination) -> Row {
    let (host, port) = (to.host.as_str(), to.port);
    match to.scheme() {
        IngestScheme::Srt => match resolve(host, port) {
            Ok(_) => warn(
                "ingest",
                format!("{host} has an address; whether SRT answers on port {port} shows only on air"),
                "",
            ),
            Err((found, advice)) => fail("ingest", found, advice),
        },
        IngestScheme::Rtmp | IngestScheme::Http => row("ingest", host, port, None, None),
        IngestScheme::Rtmps | IngestScheme::Https => {
            let ca = to.ca_file.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
            row("ingest", host, port, Some(ca), None)
        }
    }
}

fn broker(config: &Config) -> Vec<Row> {
    let Some(mqtt) = &config.mqtt else {
        return vec![warn("broker", "none configured: the box is not controlled from outside", "set [mqtt] url")];
    };
    let ca = mqtt.ca_file.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
    match own_certificate(mqtt) {
        Ok((identity, rows)) => {
            let asked = row("broker", mqtt.host.as_str(), mqtt.port, mqtt.tls.then_some(ca), identity.as_ref());
            let remarks = crate::agent::health::remarks(&config.agent_dir());
            let remarks = remarks.into_iter().map(|remark| warn("broker", remark, "the agent's log says since when"));
            let named = [name(config), identity.and_then(|own| other_name(config, &own))];
            std::iter::once(asked).chain(rows).chain(named.into_iter().flatten()).chain(remarks).collect()
        }
        Err(row) => vec![row],
    }
}

/// Where the box's name comes from, if it is not what an image may be expected to have.
fn name(config: &Config) -> Option<Row> {
    config.device.id.is_none().then(|| {
        let found =
            "there is no valid machine-id: the box's name at the broker comes from its key, and changes with it";
        warn("device-id", found, "run systemd-machine-id-setup and restart the box, or set [device] id")
    })
}

/// Some brokers take a client's id from its certificate.
fn other_name(config: &Config, own: &Identity) -> Option<Row> {
    let (id, names) = (config.device.id.as_ref()?, names_in(own.chain().first()?));
    (!names.is_empty() && !names.contains(id)).then(|| {
        let found = format!("it is for {:?}, and this box's id is {id:?}", names.join(", "));
        warn(
            "client-cert",
            found,
            "a broker that takes the one for the other refuses the box: set [device] id, or have one made",
        )
    })
}

/// The certificate that the broker knows this box by, and how long it is good.
fn own_certificate(mqtt: &Mqtt) -> Result<(Option<Identity>, Option<Row>), Row> {
    let (Some(cert), Some(key)) = (&mqtt.client_cert, &mqtt.client_key) else { return Ok((None, None)) };
    let wrong = |why: String| fail("broker", why, "see [mqtt] client-cert and client-key");
    let Ok(key) = key.resolve() else {
        // The row `secrets` tells.
        return Ok((None, None));
    };
    let identity = Identity::read(cert, key.expose()).map_err(wrong)?;
    let shown = cert.display().to_string();
    let row = match tls::validity(identity.chain()) {
        Ok(validity) => validity.row("client-cert", &shown, "have a new one made, and put it there"),
        Err(why) => return Err(wrong(format!("{shown}: {why}"))),
    };
    Ok((Some(identity), Some(row)))
}

type Wrong = (String, String);

fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Wrong> {
    connect::resolve(host, port, PATIENCE, &|| false)
        .map_err(|_| (format!("{host} has no address"), "see the network's DNS, or the host in the URL".to_owned()))
}

/// The first of its addresses that answers.
fn reach(host: &str, port: u16) -> Result<TcpStream, Wrong> {
    let addresses = resolve(host, port)?;
    connect::connect_any(&addresses, PATIENCE, &|| false).map_err(|why| {
        let advice = "see that the server runs, the port in the URL, and the firewall";
        (format!("{host}:{port}: {why}"), advice.to_owned())
    })
}

fn row(check: &'static str, host: &str, port: u16, ca: Option<&Path>, own: Option<&Identity>) -> Row {
    let asked = reach(host, port).and_then(|mut stream| {
        let Some(ca) = ca else { return Ok(ok(check, format!("{host}:{port} answers, unencrypted"))) };
        let shaken = tls::shake_hands(&mut stream, host, ca, own);
        let advice = |why: &str| trust::advice(why).unwrap_or("see the server's TLS settings").to_owned();
        let validity = shaken.map_err(|why| (format!("{host}:{port}: {why}"), advice(&why)))?;
        Ok(validity.row(check, &format!("{host}:{port} answers, encrypted"), "tell whoever keeps the server"))
    });
    asked.unwrap_or_else(|(found, advice)| fail(check, found, advice))
}
