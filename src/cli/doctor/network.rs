//! Broker and ingest: names, ports, certificates. Asked side by side; a stream key is never sent.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{PATIENCE, Row, fail, ok, warn};
use crate::config::{Config, IngestScheme};

/// Debian's bundle of the authorities that it trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(super) fn rows(config: &Config) -> Vec<Row> {
    std::thread::scope(|scope| {
        let ingest = scope.spawn(|| ingest(config));
        let broker = scope.spawn(|| broker(config));
        [ingest, broker].into_iter().filter_map(|asked| asked.join().ok()).collect()
    })
}

fn ingest(config: &Config) -> Row {
    let ingest = &config.ingest;
    let (host, port) = (ingest.host.as_str(), ingest.port);
    match ingest.scheme {
        IngestScheme::Srt => match resolve(host, port) {
            Ok(_) => warn(
                "ingest",
                format!("{host} has an address; whether SRT answers on port {port} shows only on air"),
                "",
            ),
            Err((found, advice)) => fail("ingest", found, advice),
        },
        IngestScheme::Rtmp => row("ingest", host, port, None),
        IngestScheme::Rtmps => row("ingest", host, port, Some(Path::new(SYSTEM_AUTHORITIES))),
    }
}

fn broker(config: &Config) -> Row {
    let Some(mqtt) = &config.mqtt else {
        return warn("broker", "none configured: the box is not controlled from outside", "set [mqtt] url");
    };
    let ca = mqtt.ca_file.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
    row("broker", &mqtt.host, mqtt.port, mqtt.tls.then_some(ca))
}

type Wrong = (String, String);

fn resolve(host: &str, port: u16) -> Result<std::net::SocketAddr, Wrong> {
    let wrong = |why: String| {
        (format!("{host} has no address: {why}"), "see the network's DNS, or the host in the URL".to_owned())
    };
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    addresses.next().ok_or_else(|| wrong("none found".to_owned()))
}

fn row(check: &'static str, host: &str, port: u16, ca: Option<&Path>) -> Row {
    match ask(host, port, ca) {
        Ok(found) => ok(check, found),
        Err((found, advice)) => fail(check, found, advice),
    }
}

fn ask(host: &str, port: u16, ca: Option<&Path>) -> Result<String, Wrong> {
    let address = resolve(host, port)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| {
        (
            format!("{host}:{port}: {error}"),
            "see that the server runs, the port in the URL, and the firewall".to_owned(),
        )
    })?;
    let Some(ca) = ca else { return Ok(format!("{host}:{port} answers, unencrypted")) };
    let timeouts = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    timeouts.map_err(|error| (error.to_string(), String::new()))?;
    shake_hands(&mut stream, host, ca).map_err(|why| {
        let advice = if why.contains("valid for name") {
            "write in the URL the name that its certificate has"
        } else if why.contains("UnknownIssuer") {
            "its authority is not trusted: set ca-file, or install the authority"
        } else if why.contains("xpired") || why.contains("not valid yet") {
            "see this box's clock, and the certificate's dates"
        } else {
            "see the server's TLS settings"
        };
        (format!("{host}:{port}: {why}"), advice.to_owned())
    })?;
    Ok(format!("{host}:{port} answers, encrypted, and its certificate is good"))
}

fn shake_hands(stream: &mut TcpStream, host: &str, ca: &Path) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca).map_err(|error| format!("{}: {error}", ca.display()))?;
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
    while connection.is_handshaking() {
        connection.complete_io(stream).map_err(|error| error.to_string())?;
    }
    Ok(())
}
