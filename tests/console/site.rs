//! The console as it is served: nginx with the configuration that is shipped, mosquitto with WebSocket, and a browser.

use std::io::Write;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::support::{Program, free_port, wait_until};

pub(crate) const PREFIX: &str = "tallybox/v1";

fn program(name: &str) -> String {
    let usual = format!("/usr/sbin/{name}");
    if Path::new(&usual).exists() { usual } else { name.to_owned() }
}

fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// mosquitto, for boxes on one port and for browsers on the other.
pub(crate) struct Broker {
    pub(crate) port: u16,
    pub(crate) web: u16,
    dir: tempfile::TempDir,
    process: Option<Program>,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (port, web) = (free_port(), free_port());
        // Whoever comes back after an outage gets all that was kept at once.
        let config = format!(
            "user root\nallow_anonymous true\nmax_queued_messages 0\nlistener {port} 127.0.0.1\n\
             listener {web} 127.0.0.1\nprotocol websockets\n"
        );
        std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let mut this = Self { port, web, dir, process: None };
        this.run();
        this
    }

    pub(crate) fn run(&mut self) {
        let mut command = Command::new(program("mosquitto"));
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        command.arg("-c").arg(self.dir.path().join("mosquitto.conf")).stdout(Stdio::null()).stderr(log);
        self.process = Some(Program::start(&mut command));
        let (port, web) = (self.port, self.web);
        wait_until("the broker answers", || listens(port) && listens(web));
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(["-V", "5", "-p", &self.port.to_string()]);
        command
    }

    /// Publishes bytes below the prefix, as a box that can do anything would.
    pub(crate) fn publish(&self, topic: &str, payload: &[u8], retain: bool) {
        let mut command = self.client("mosquitto_pub");
        command.args(["-q", "1", "-t", &format!("{PREFIX}/{topic}")]).stdin(Stdio::piped());
        command.arg(if payload.is_empty() { "-n" } else { "-s" });
        if retain {
            command.arg("-r");
        }
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(payload).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// A box that says this of itself.
    pub(crate) fn state(&self, id: &str, state: &Value) {
        self.publish(&format!("{id}/availability"), b"online", true);
        self.publish(&format!("{id}/state"), state.to_string().as_bytes(), true);
    }

    /// The next message on a topic below the prefix, once `act` has run.
    pub(crate) fn next(&self, topic: &str, act: impl FnOnce()) -> String {
        let topic = format!("{PREFIX}/{topic}");
        // Line by line, or it would tell that it has subscribed at its end only.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-V", "5", "-p", &self.port.to_string()]);
        command.args(["-q", "1", "-t", &topic, "-C", "1", "-R", "-W", "60", "-d"]);
        let log = self.dir.path().join("heard");
        let mut child = Program::start(command.stdout(std::fs::File::create(&log).unwrap()));
        let heard = || std::fs::read_to_string(&log).unwrap();
        wait_until("mosquitto_sub has subscribed", || heard().contains("received SUBACK"));
        act();
        wait_until("a message comes", || child.0.try_wait().unwrap().is_some());
        let text = heard();
        // Between what it tells of acknowledging the message, and of its own end.
        let body = text.split_once("sending PUBACK").and_then(|(_, rest)| rest.split_once('\n')).unwrap().1;
        body.rsplit_once("\nClient ").unwrap().0.to_owned()
    }
}

/// A state as a box has it.
pub(crate) fn state(phase: &str, muted: bool, reason: Option<&str>) -> Value {
    let session = ["connecting", "live", "reconnecting", "stopping"].contains(&phase).then_some(7);
    json!({
        "phase": phase, "session": session, "since": "2026-11-24T09:50:32Z", "reason": reason, "muted": muted,
        "policy-version": "2022-07-11", "software": "tallybox 0.1.0", "epoch": "0123456789abcdef0123456789abcdef",
        "uptime-s": 4000,
    })
}

/// nginx with console/nginx.conf, on a port of its own.
pub(crate) struct Site {
    pub(crate) url: String,
    _process: Program,
    _dir: tempfile::TempDir,
}

impl Site {
    pub(crate) fn start(broker: &Broker) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // nginx drops root for its worker, which reads the files.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let files = dir.path().join("console");
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("console");
        assert!(Command::new("cp").arg("-r").arg(&source).arg(&files).status().unwrap().success());
        let mut server = std::fs::read_to_string(source.join("nginx.conf")).unwrap();
        let port = free_port();
        for (from, to) in [
            ("listen 443 ssl;", format!("listen 127.0.0.1:{port};")),
            ("    ssl_certificate /etc/nginx/console.pem;\n", String::new()),
            ("    ssl_certificate_key /etc/nginx/console.key;\n", String::new()),
            ("/usr/share/tallybox-fleet/console", files.display().to_string()),
            ("wss://broker.example.cn:8443", format!("ws://127.0.0.1:{}", broker.web)),
        ] {
            assert!(server.contains(from), "{from} in console/nginx.conf");
            server = server.replace(from, &to);
        }
        let at = dir.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {at}/{name};")).join(" ");
        let config = format!(
            "daemon off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\nhttp {{ include /etc/nginx/mime.types; \
             access_log off; {temporary}\n{server}\n}}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let mut command = Command::new(program("nginx"));
        command.arg("-c").arg(dir.path().join("nginx.conf")).arg("-e").arg(dir.path().join("error.log"));
        let process = Program::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        wait_until("nginx answers", || listens(port));
        Self { url: format!("http://127.0.0.1:{port}/"), _process: process, _dir: dir }
    }

    /// A browser at the form, in a language, which notes everything that the policy forbids and each error.
    pub(crate) fn open(&self, broker: &Broker, lang: &str) -> Lent {
        let url = format!("{}?broker=ws://127.0.0.1:{}&lang={lang}", self.url, broker.web);
        let browser = Lent::new(&url);
        wait_until("the form is there", || browser.value("document.querySelector('.login form') !== null") == true);
        browser.run(
            "window.faults = [];
             new ReportingObserver((all) => all.forEach((each) => faults.push(JSON.stringify(each.body))), { buffered: true }).observe();
             addEventListener('error', (event) => faults.push(event.message));
             addEventListener('unhandledrejection', (event) => faults.push(String(event.reason)));",
        );
        browser
    }

    /// The same, connected, with as many boxes as are to be seen.
    pub(crate) fn connect(&self, broker: &Broker, lang: &str, boxes: usize) -> Lent {
        let browser = self.open(broker, lang);
        browser.click(".login .primary");
        wait_for_boxes(&browser, boxes);
        browser
    }
}

/// Browsers that no test uses just now: to start one takes as long as a short test. Each [`Site`] is an origin of its
/// own, so that what one test keeps in a browser no other finds.
struct Browsers {
    lent: usize,
    idle: Vec<Browser>,
}

static BROWSERS: Mutex<Browsers> = Mutex::new(Browsers { lent: 0, idle: Vec::new() });

/// A browser for as long as a test needs it. The last one that is given back ends all.
pub(crate) struct Lent(Option<Browser>);

impl Lent {
    fn new(url: &str) -> Self {
        let idle = BROWSERS.lock().unwrap_or_else(PoisonError::into_inner).idle.pop();
        let browser = idle.unwrap_or_else(|| Browser::open("about:blank", 1280, 1000));
        BROWSERS.lock().unwrap_or_else(PoisonError::into_inner).lent += 1;
        let this = Self(Some(browser));
        this.go(url);
        this
    }
}

impl Deref for Lent {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // In what a failed test leaves behind nobody else should look for faults.
        let browser = self.0.take().filter(|_| !std::thread::panicking());
        if let Some(browser) = &browser {
            browser.clear();
        }
        let mut pool = BROWSERS.lock().unwrap_or_else(PoisonError::into_inner);
        pool.idle.extend(browser);
        pool.lent -= 1;
        let ended = if pool.lent == 0 { std::mem::take(&mut pool.idle) } else { Vec::new() };
        drop(pool);
        drop(ended);
    }
}

#[track_caller]
pub(crate) fn wait_for_boxes(browser: &Browser, boxes: usize) {
    let count = "Number(document.querySelector('.chip b')?.textContent.replaceAll(',', ''))";
    wait_until(&format!("{boxes} boxes are counted"), || browser.value(count) == boxes);
}

/// Nothing was forbidden by the policy, and nothing failed.
#[track_caller]
pub(crate) fn no_faults(browser: &Browser) {
    assert_eq!(browser.value("faults"), json!([]));
}

/// What a box's cell says: phase and lamp.
pub(crate) fn cell(browser: &Browser, id: &str) -> Value {
    browser.value(&format!(
        "(() => {{ const cell = document.querySelector('.cell[data-id=\"{id}\"]');
            return cell && [cell.querySelector('.phase').textContent, cell.querySelector('.lamp').className]; }})()"
    ))
}

#[track_caller]
pub(crate) fn wait_for_cell(browser: &Browser, id: &str, phase: &str, lamp: &str) {
    let mut last = Value::Null;
    let seen = crate::support::poll(std::time::Duration::from_secs(60), || {
        last = cell(browser, id);
        (last[0] == phase && last[1] == format!("lamp lamp-{lamp}")).then_some(())
    });
    assert!(seen.is_some(), "{id}: {phase} and {lamp} wanted, {last} shown");
}

/// Opens the details of a box, from the wall.
#[track_caller]
pub(crate) fn open_box(browser: &Browser, id: &str) {
    browser.click(&format!(".cell[data-id='{id}']"));
    let title = "document.getElementById('box-title')?.textContent";
    wait_until("its details are there", || browser.value(title) == id);
}

/// How far the newest command of a verb got.
pub(crate) fn command_status(browser: &Browser, verb: &str) -> Value {
    browser.value(&format!("document.querySelector('.commands [data-verb={verb}]')?.dataset.status ?? null"))
}

#[track_caller]
pub(crate) fn wait_for_command(browser: &Browser, verb: &str, status: &str) {
    let mut last = Value::Null;
    let seen = crate::support::poll(std::time::Duration::from_secs(60), || {
        last = command_status(browser, verb);
        (last == status).then_some(())
    });
    let all = browser.value("document.querySelector('ol.commands')?.textContent ?? ''");
    assert!(seen.is_some(), "{verb}: {status} wanted, {last} shown: {all}");
}
