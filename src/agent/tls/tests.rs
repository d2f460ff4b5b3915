//! Rules and sessions, against OpenSSL's server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind};

use super::*;
use crate::config::Config;

/// Authority, server and box, and what revokes the server; P-256 as `config/servers/certificates` makes them.
const MAKE: &str = r"
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1; }
key ca.key
openssl req -x509 -new -key ca.key -subj /CN=authority -days 9 -addext keyUsage=critical,keyCertSign,cRLSign -out ca.pem
for who in server box other; do
  key $who.key
  openssl req -new -key $who.key -subj /CN=$who -out $who.csr
  printf 'basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n' >ext
  openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 9 -extfile ext -out $who.pem
done
printf '[ca]\ndefault_ca=a\n[a]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n' >ca.conf
: >index; echo 01 >number
printf '[crl]\nauthorityKeyIdentifier=keyid\n' >>ca.conf
openssl ca -config ca.conf -gencrl -crlexts crl -crldays 9 -cert ca.pem -keyfile ca.key -out none.crl
openssl ca -config ca.conf -revoke server.pem -cert ca.pem -keyfile ca.key
openssl ca -config ca.conf -gencrl -crlexts crl -crldays 9 -cert ca.pem -keyfile ca.key -out server.crl
";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("bash").args(["-ec", MAKE]).current_dir(dir.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn copy(&self, from: &str, to: &str) {
        std::fs::copy(self.path(from), self.path(to)).unwrap();
    }

    fn mqtt(&self, more: &str) -> Mqtt {
        for end in ["pem", "key"] {
            self.copy(&format!("box.{end}"), &format!("client.{end}"));
        }
        let at = |name: &str| self.path(name).display().to_string();
        let text = format!(
            "[ingest]\nurl = \"rtmp://127.0.0.1/live/x\"\n[mqtt]\nurl = \"mqtts://localhost\"\nca-file = \"{}\"\n\
             client-cert = \"{}\"\nclient-key = \"{}\"\n{more}\n",
            at("ca.pem"),
            at("client.pem"),
            at("client.key")
        );
        std::fs::write(self.path("tallybox.toml"), text).unwrap();
        Config::load(&self.path("tallybox.toml")).unwrap().mqtt.unwrap()
    }
}

/// `openssl s_server` that wants a client certificate and answers each connection.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(dir: &Path, version: &str) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0", version, "-cert", "server.pem", "-key", "server.key"]);
        command.args(["-CAfile", "ca.pem", "-Verify", "3", "-verify_return_error", "-www"]).current_dir(dir);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let accept = lines.find_map(|line| line.ok()?.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        // It would stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port: accept.rsplit_once(':').unwrap().1.parse().unwrap() }
    }

    /// One connection, and how its handshake went.
    fn visit(&self, rules: &TlsRules) -> Result<HandshakeKind, String> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(rules.client.clone(), name).unwrap();
        let mut tcp = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(|error| error.to_string())?;
        // Tickets come with the answer.
        stream.read_to_end(&mut Vec::new()).map_err(|error| error.to_string())?;
        Ok(tls.handshake_kind().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn sessions_are_resumed_as_long_as_the_files_are_the_same() {
    let files = Files::new();
    for version in ["-tls1_3", "-tls1_2"] {
        let server = Server::start(files.0.path(), version);
        let mqtt = files.mqtt("");
        let mut tls = Tls::default();
        let mut visit = || server.visit(&tls.rules(&mqtt).unwrap().0).unwrap();
        assert_eq!(visit(), HandshakeKind::Full, "{version}");
        let resumed = (0..10).filter(|_| visit() == HandshakeKind::Resumed).count();
        assert_eq!(resumed, 10, "{version}");
        // Another certificate: nothing of the former identity is shown again.
        files.copy("other.pem", "client.pem");
        files.copy("other.key", "client.key");
        assert_eq!((visit(), visit()), (HandshakeKind::Full, HandshakeKind::Resumed), "{version}");
        // After a handshake that failed the next one is a full one.
        tls.current.as_ref().unwrap().distrust_sessions();
        let mut visit = || server.visit(&tls.rules(&mqtt).unwrap().0).unwrap();
        assert_eq!((visit(), visit()), (HandshakeKind::Full, HandshakeKind::Resumed), "{version}");
    }
}

#[test]
fn a_renewal_that_is_half_done_keeps_the_former_certificates() {
    let files = Files::new();
    let mqtt = files.mqtt("");
    let mut tls = Tls::default();
    let (before, why) = tls.rules(&mqtt).unwrap();
    assert!(why.is_none() && before.names == ["box", "localhost"] && before.own_end.is_some());
    assert_eq!(tls.are_renewed(&mqtt), Ok(false));
    files.copy("other.pem", "client.pem");
    assert!(tls.are_renewed(&mqtt).unwrap_err().contains("do not belong together"));
    let (rules, why) = tls.rules(&mqtt).unwrap();
    assert!(Arc::ptr_eq(&rules, &before) && why.unwrap().contains("do not belong together"));
    for damage in ["", "-----BEGIN CERTIFICATE-----\nMIIB"] {
        std::fs::write(files.path("ca.pem"), damage).unwrap();
        assert!(tls.are_renewed(&mqtt).is_err());
        assert!(Arc::ptr_eq(&tls.rules(&mqtt).unwrap().0, &before), "{damage:?}");
    }
    assert!(Tls::default().rules(&mqtt).is_err(), "without former ones it is a mistake");
    let authority = Command::new("cat").arg(files.path("server.pem")).output().unwrap().stdout;
    std::fs::write(files.path("ca.pem"), authority).unwrap();
    files.copy("other.key", "client.key");
    assert_eq!(tls.are_renewed(&mqtt), Ok(true));
    assert_eq!(tls.rules(&mqtt).unwrap().0.names, ["other", "localhost"]);
    assert_eq!(tls.are_renewed(&mqtt), Ok(false));
}

#[test]
fn a_server_whose_certificate_was_revoked_is_refused() {
    let files = Files::new();
    let server = Server::start(files.0.path(), "-tls1_3");
    let list = files.path("list.crl");
    files.copy("none.crl", "list.crl");
    let mqtt = files.mqtt(&format!("crl-file = \"{}\"", list.display()));
    let mut tls = Tls::default();
    let visit = |tls: &mut Tls| server.visit(&tls.rules(&mqtt).unwrap().0);
    assert_eq!((visit(&mut tls), visit(&mut tls)), (Ok(HandshakeKind::Full), Ok(HandshakeKind::Resumed)));
    // A new list counts from the next connection on: a session of before is not resumed.
    files.copy("server.crl", "list.crl");
    let refused = visit(&mut tls).unwrap_err();
    assert!(crate::trust::certificate_advice(&refused).unwrap().contains("was revoked"), "{refused}");
    // Damage does not take the list away.
    std::fs::write(&list, "").unwrap();
    assert!(visit(&mut tls).is_err());
    assert!(Tls::default().rules(&mqtt).is_err());
}
