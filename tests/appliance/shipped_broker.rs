//! mosquitto as shipped in `config/servers`, with certificates from the shipped script; only ports and paths are
//! replaced.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, free_port, wait_until};

/// The broker, and everybody's certificates.
pub(crate) struct ShippedBroker {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) operators: u16,
    pub(crate) console: u16,
    program: Option<Program>,
}

fn shipped(name: &str) -> String {
    format!("{}/config/servers/{name}", env!("CARGO_MANIFEST_DIR"))
}

impl ShippedBroker {
    /// With boxes of these names, and an operator. `more` is replaced in its configuration as well.
    pub(crate) fn new(boxes: &[&str], more: &[(&str, &str)]) -> Self {
        let [port, operators, console] = std::array::from_fn(|_| free_port());
        let this = Self { dir: tempfile::tempdir().unwrap(), port, operators, console, program: None };
        this.certify("server", "localhost");
        this.certify("operator", "operator");
        for name in boxes {
            this.certify("client", name);
        }
        // mosquitto gives up root, and reads its files as somebody else.
        let at = |name: &str| this.dir.path().join(name);
        for (name, mode) in [("", 0o755), ("certs", 0o755), ("certs/localhost.key", 0o644)] {
            std::fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::copy(shipped("tallybox.acl"), at("acl")).unwrap();
        // As Debian's mosquitto.conf has it.
        std::fs::create_dir(at("conf.d")).unwrap();
        let folder = at("conf.d").display().to_string();
        std::fs::write(at("mosquitto.conf"), format!("persistence false\ninclude_dir {folder}\n")).unwrap();
        let usual = [
            ("listener 8883", format!("listener {}", this.port)),
            ("listener 8884", format!("listener {}", this.operators)),
            ("/etc/mosquitto/tallybox.acl", this.path("acl")),
        ];
        let more = more.iter().map(|(from, to)| (*from, (*to).to_owned()));
        this.include("mosquitto.conf", "conf.d/tallybox.conf", &more.chain(usual).collect::<Vec<_>>());
        this
    }

    /// With `mosquitto-console.conf` beside it, and these users' passwords.
    pub(crate) fn add_console(&self, users: &[&str], password: &str) {
        let passwords = self.path("passwords");
        let changes = [
            ("listener 8443", format!("listener {}", self.console)),
            ("/etc/mosquitto/tallybox.passwd", passwords.clone()),
        ];
        self.include("mosquitto-console.conf", "conf.d/tallybox-console.conf", &changes);
        std::fs::write(&passwords, "").unwrap();
        for user in users {
            let made = Command::new("mosquitto_passwd").args(["-b", &passwords, user, password]).status().unwrap();
            assert!(made.success());
        }
        std::fs::set_permissions(passwords, PermissionsExt::from_mode(0o644)).unwrap();
    }

    /// Installs a shipped file with other ports and paths.
    fn include(&self, name: &str, to: &str, changes: &[(&str, String)]) {
        let mut text = std::fs::read_to_string(shipped(name)).unwrap();
        let usual = [
            ("/etc/mosquitto/certs/server", self.path("certs/localhost")),
            ("/etc/mosquitto/certs/", self.path("certs/")),
        ];
        for (from, to) in changes.iter().chain(&usual[..1]) {
            assert!(text.contains(from), "{from} in {name}");
            text = text.replace(from, to);
        }
        text = text.replace(usual[1].0, &usual[1].1);
        std::fs::write(self.path(to), text).unwrap();
    }

    pub(crate) fn start(&mut self) {
        // One of before has the ports.
        drop(self.program.take());
        let log = std::fs::File::create(self.path("mosquitto.log")).unwrap();
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.args(["-c", &self.path("mosquitto.conf")]).stdout(Stdio::null()).stderr(log);
        self.program = Some(Program::start(&mut command));
        for port in [self.port, self.operators] {
            wait_until("the broker answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        }
    }

    /// A certificate by the shipped script.
    pub(crate) fn certify(&self, kind: &str, name: &str) {
        let certs = self.dir.path().join("certs");
        let made = Command::new(shipped("certificates")).arg(certs).args([kind, name]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub(crate) fn certificate(&self, name: &str) -> String {
        self.path(&format!("certs/{name}"))
    }

    /// A box with the certificate of this name, at `port` of this machine.
    pub(crate) fn test_box(&self, id: &str, port: u16) -> TestBox {
        let mqtt = format!(
            "url = \"mqtts://localhost:{port}\"\nca-file = \"{}\"\nclient-cert = \"{}\"\nclient-key = \"{}\"",
            self.certificate("ca.pem"),
            self.certificate(&format!("{id}.pem")),
            self.certificate(&format!("{id}.key"))
        );
        let shop = TestBox::new(&BoxConfig { mqtt, ..BoxConfig::default() });
        let config = std::fs::read_to_string(&shop.config).unwrap().replace("\"test-box\"", &format!("{id:?}"));
        std::fs::write(&shop.config, config).unwrap();
        shop
    }

    /// A shell command that has names of files and ports in its environment.
    pub(crate) fn sh(&self, script: &str) -> Output {
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(self.dir.path().join("certs"));
        command.env("PORT", self.port.to_string()).env("OPERATORS", self.operators.to_string());
        command.stdin(Stdio::null()).output().unwrap()
    }
}

pub(crate) fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/appliance").join(name);
    path.display().to_string()
}
