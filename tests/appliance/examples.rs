//! The configurations that are shipped, run: each example box against the example servers, with only names, ports and
//! paths replaced. What this machine does not have (button, camera, microphone) is simulated by a file in `conf.d`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::ingest::{packets, streams};
use crate::support::test_box::TestBox;
use crate::support::{Program, TALLYBOX, free_port, wait_until};

/// As `openssl rand -hex 24` makes it, which is what the files advise.
const KEY: &str = "5f0c4d3e2b1a49788796a5b4c3d2e1f05f0c4d3e2b1a4978";

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

fn examples() -> Vec<PathBuf> {
    let found = std::fs::read_dir(shipped("examples")).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = found.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    found.sort();
    found
}

/// A text with names, ports and paths replaced; each has to be in it.
#[track_caller]
fn replaced(name: &str, pairs: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(shipped(name)).unwrap();
    pairs.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from} in {name}");
        text.replace(from, to)
    })
}

/// The example servers, on ports of their own.
struct Servers {
    dir: tempfile::TempDir,
    tls: u16,
    rtmp: u16,
    mqtt: u16,
    operators: u16,
    _programs: Vec<Program>,
}

impl Servers {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        for (kind, name) in
            [("server", "localhost"), ("client", "shop-0042"), ("client", "shop-0043"), ("operator", "operator")]
        {
            let made =
                Command::new(shipped("servers/certificates")).arg(dir.path()).args([kind, name]).output().unwrap();
            assert!(made.status.success(), "{made:?}");
        }
        // Both servers give up root, and read their files as somebody else.
        for (name, mode) in [("", 0o777), ("localhost.key", 0o644)] {
            std::fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let (tls, rtmp, mqtt, gate) = (free_port(), free_port(), free_port(), free_port());
        let operators = free_port();
        let keys = replaced("servers/tallybox-keys.map", &[]) + &format!("\"{KEY}\" 1;\n");
        std::fs::write(at("keys.map"), keys).unwrap();
        std::fs::copy(shipped("servers/tallybox.acl"), at("tallybox.acl")).unwrap();
        let nginx = replaced(
            "servers/nginx.conf",
            &[
                ("listen 443 ", &format!("listen {tls} ")),
                (":1936", &format!(":{rtmp}")),
                (":8936", &format!(":{gate}")),
                ("/etc/nginx/certs/server", &at("localhost")),
                ("/etc/nginx/tallybox-keys.map", &at("keys.map")),
                ("/run/nginx.pid", &at("nginx.pid")),
                ("/var/log/nginx/error.log", &at("nginx.log")),
            ],
        );
        let mosquitto = replaced(
            "servers/mosquitto.conf",
            &[
                ("listener 8883", &format!("listener {mqtt}")),
                ("listener 8884", &format!("listener {operators}")),
                ("/etc/mosquitto/certs/operators.pem", &at("operators.pem")),
                ("/etc/mosquitto/certs/ca.pem", &at("ca.pem")),
                ("/etc/mosquitto/certs/server", &at("localhost")),
                ("/etc/mosquitto/tallybox.acl", &at("tallybox.acl")),
            ],
        );
        std::fs::write(at("nginx.conf"), nginx).unwrap();
        std::fs::write(at("mosquitto.conf"), mosquitto).unwrap();
        let log = |name: &str| std::fs::File::create(at(name)).unwrap();
        let server = |program: &str, arguments: &[&str], name: &str| {
            let installed = format!("/usr/sbin/{program}");
            let program = if Path::new(&installed).exists() { &installed } else { program };
            Program::start(Command::new(program).args(arguments).stdout(Stdio::null()).stderr(log(name)))
        };
        let programs = vec![
            server("nginx", &["-g", "daemon off;", "-c", &at("nginx.conf"), "-e", &at("nginx.log")], "nginx.err"),
            server("mosquitto", &["-c", &at("mosquitto.conf")], "mosquitto.log"),
        ];
        for port in [tls, rtmp, mqtt] {
            wait_until("the servers answer", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        }
        Self { dir, tls, rtmp, mqtt, operators, _programs: programs }
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// mosquitto's own client, with the certificate of `who`.
    fn client(&self, program: &str, who: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args([
            "-V",
            "mqttv5",
            "-h",
            "localhost",
            "-p",
            &if who == "operator" { self.operators } else { self.mqtt }.to_string(),
            "--cafile",
            &self.file("ca.pem"),
        ]);
        command.args(["--cert", &self.file(&format!("{who}.pem")), "--key", &self.file(&format!("{who}.key"))]);
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// What `who` hears within some seconds, at most `count` messages.
    fn heard(&self, who: &str, topic: &str, count: u32, seconds: u32) -> Vec<(String, String)> {
        let (count, seconds) = (count.to_string(), seconds.to_string());
        let format = ["-F", "%t %p", "-q", "1", "-t", topic, "-C", &count, "-W", &seconds];
        let output = self.client("mosquitto_sub", who, &format).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    }

    /// Publishes, retained if it is no command.
    fn say(&self, who: &str, topic: &str, payload: &str) {
        let retained = if topic.contains("/cmd/") { &[][..] } else { &["-r"] };
        let mut command = self.client("mosquitto_pub", who, &["-q", "1", "-t", topic, "-m", payload]);
        // A publish that the ACL refuses is no failure of the client.
        command.args(retained).output().unwrap();
    }

    /// What a viewer on the server gets in three seconds.
    fn watch(&self, key: &str) -> Option<PathBuf> {
        let file = self.dir.path().join("watched.flv");
        let _ = std::fs::remove_file(&file);
        let mut command = Command::new("timeout");
        command.args(["20", "ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-i"]);
        command.arg(format!("rtmp://127.0.0.1:{}/live/{key}", self.rtmp)).args(["-t", "3", "-c", "copy"]).arg(&file);
        let done = command.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        (done.success() && std::fs::metadata(&file).is_ok_and(|data| data.len() > 0)).then_some(file)
    }
}

/// A box with an example for its main file.
struct Example(TestBox);

impl Example {
    fn new(name: &str, pairs: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shop = TestBox { config: dir.path().join("tallybox.toml"), dir };
        std::fs::write(&shop.config, replaced(&format!("examples/{name}"), pairs)).unwrap();
        Self(shop)
    }

    /// A box at the example servers.
    fn at(servers: &Servers, path: &Path) -> Self {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (push, broker) = (format!("localhost:{}/", servers.tls), format!("localhost:{}", servers.mqtt));
        let this = Self::new(
            name,
            &[
                ("push.example.cn/", &push),
                ("push.example.cn", "localhost"),
                ("broker.example.cn:8883", &broker),
                ("/etc/tallybox/ca.pem", &servers.file("ca.pem")),
                ("/etc/tallybox/client.pem", &servers.file("shop-0042.pem")),
            ],
        );
        let silent = std::fs::read_to_string(&this.0.config).unwrap().contains("source = \"none\"");
        let sound = if silent { "none" } else { "test" };
        let dir = this.0.dir.path().display();
        std::fs::create_dir(this.0.path("conf.d")).unwrap();
        // On a busy machine servers read late, and the encoder would be asked for less.
        let here = format!(
            "[device]\ndata-dir = \"{dir}/data\"\nruntime-dir = \"{dir}/run\"\n[panel]\nbackend = \"sim\"\n\
             [video]\nsource = \"test\"\nadaptive = false\n[audio]\nsource = \"{sound}\"\n"
        );
        std::fs::write(this.0.path("conf.d/90-here.toml"), here).unwrap();
        this
    }

    /// `tallybox run`, on a machine that trusts the example authority.
    fn run(&self, servers: &Servers, key: &str) -> Program {
        let trust = format!("mount --bind {} /etc/ssl/certs/ca-certificates.crt; exec \"$@\"", servers.file("ca.pem"));
        let log = std::fs::File::create(self.0.path("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-ec", &trust, "sh", TALLYBOX, "run", "--config"]);
        command.arg(&self.0.config).env("STREAM_KEY", key);
        command.env("MQTT_KEY", std::fs::read_to_string(servers.file("shop-0042.key")).unwrap());
        let program = Program::start(command.stdin(Stdio::null()).stderr(log));
        wait_until("the guard answers", || self.0.status().is_some());
        program
    }
}

#[test]
fn each_is_valid_as_it_is() {
    let found = examples();
    assert!(found.len() >= 6, "{found:?}");
    let checked = Command::new(TALLYBOX).arg("check-config").args(&found).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

/// A number of a key in the file, as the integrator reads it.
fn number(path: &Path, key: &str) -> f64 {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap().to_owned();
    line.split('#').next().unwrap().trim().parse().unwrap()
}

/// Mean luminance of 20 x 20 pixels of the first picture, 16 being black.
fn brightness(file: &Path, x: u32, y: u32) -> u32 {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(file).args(["-frames:v", "1", "-vf", &format!("crop=20:20:{x}:{y}")]);
    let output = command.args(["-pix_fmt", "gray", "-f", "rawvideo", "-"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.stdout.len(), 400, "{output:?}");
    output.stdout.iter().map(|level| u32::from(*level)).sum::<u32>() / 400
}

#[test]
fn each_streams_to_the_example_servers() {
    let servers = Servers::start();
    for path in examples().iter().filter(|path| !path.ends_with("laptop.toml")) {
        let example = Example::at(&servers, path);
        let shop = &example.0;
        let mut run = example.run(&servers, KEY);
        // What the example before it left there says "stopped".
        wait_until("the box is online", || {
            let heard = servers.heard("operator", "tallybox/v1/shop-0042/availability", 1, 5);
            heard.first().is_some_and(|(_, payload)| payload == "online")
        });
        shop.press();
        shop.wait_for_phase("live");
        let watched = servers.watch(KEY).unwrap_or_else(|| panic!("{path:?}: nothing to watch\n{}", shop.log()));
        let size = format!("h264,{},{}", number(path, "width"), number(path, "height"));
        let sound = if path.ends_with("kiosk-no-sound.toml") { &[][..] } else { &["aac"] };
        let wanted: Vec<&str> = std::iter::once(size.as_str()).chain(sound.iter().copied()).collect();
        let mut found: Vec<String> = streams(&watched).lines().map(str::to_owned).collect();
        found.sort_by_key(|line| line.starts_with("aac"));
        assert_eq!(found, wanted, "{path:?}");
        if path.ends_with("counter-with-masks.toml") {
            // In the middle of each mask, and beside it.
            assert!(brightness(&watched, 166, 570) < 20 && brightness(&watched, 1150, 190) < 20, "{path:?}");
            assert!(brightness(&watched, 700, 200) > 40, "{path:?}: the rest of the test picture is bright there");
        }
        let frames = packets(&watched, "v");
        assert!(frames[0].key, "{path:?}: a viewer begins with a keyframe");
        #[allow(clippy::cast_precision_loss)] // some hundred
        let rate = (frames.len() - 1) as f64 / (frames[frames.len() - 1].pts - frames[0].pts);
        let share = rate / number(path, "fps");
        // A busy machine may drop some; more than were asked for there are never.
        assert!((0.8..1.03).contains(&share), "{path:?}: {rate} frames per second");
        // The platform stops it.
        servers.say("operator", "tallybox/v1/shop-0042/cmd/stop", &crate::broker::payload("c1", 0, 60).to_string());
        shop.wait_for_phase("idle");
        assert_eq!(run.finish(), Some(0));
        assert!(!std::fs::read_to_string(servers.file("nginx.log")).unwrap().contains(KEY), "keys are not for a log");
    }
}

#[test]
fn the_example_servers_keep_others_out() {
    let servers = Servers::start();
    let example = Example::at(&servers, &shipped("examples/usb-camera.toml"));
    let mut run = example.run(&servers, "not-the-key");
    wait_until("the box is online", || {
        !servers.heard("operator", "tallybox/v1/shop-0042/availability", 1, 5).is_empty()
    });
    // A key that is not known is refused, and said to be.
    example.0.press();
    let refused = |status: &Value| status["message"].as_str().or(status["reason"].as_str()).map(str::to_owned);
    wait_until("the server refuses", || {
        example
            .0
            .status()
            .as_ref()
            .and_then(refused)
            .is_some_and(|why| why.contains("refused") || why.contains("denied") || why.contains("key"))
    });
    assert!(servers.watch("not-the-key").is_none());
    example.0.press();
    example.0.wait_for_phase("idle");
    // Another box sees nothing of this one, and cannot speak or command in its name.
    assert!(servers.heard("shop-0043", "tallybox/v1/#", 1, 3).is_empty());
    let before = servers.heard("operator", "tallybox/v1/shop-0042/state", 1, 5);
    for topic in ["tallybox/v1/shop-0042/state", "tallybox/v1/shop-0042/cmd/identify", "tallybox/v1/shop-0043/state"] {
        servers.say("shop-0043", topic, "forged");
    }
    assert_eq!(servers.heard("operator", "tallybox/v1/shop-0042/state", 1, 5), before);
    let own = servers.heard("operator", "tallybox/v1/shop-0043/state", 1, 5);
    assert_eq!(own[0].1, "forged", "in its own name it may");
    // One that does come, and cannot be read, is in the ledger; so the other did not.
    servers.say("operator", "tallybox/v1/shop-0042/cmd/stop", "not JSON");
    wait_until("it is refused", || example.0.kinds().contains(&"command-refused".to_owned()));
    let refused: Vec<_> = example.0.ledger().into_iter().filter(|fact| fact["kind"] == "command-refused").collect();
    assert!(refused.len() == 1 && refused[0]["verb"] == "stop", "{refused:?}");
    // Without a certificate there is no connection at all.
    let mut stranger = Command::new("mosquitto_sub");
    stranger.args([
        "-h",
        "localhost",
        "-p",
        &servers.mqtt.to_string(),
        "--cafile",
        &servers.file("ca.pem"),
        "-t",
        "#",
        "-W",
        "3",
    ]);
    let output = stranger.output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(run.finish(), Some(0));
}

#[test]
fn the_laptop_runs_as_it_is() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let (ours, file) = (dir.path().join("box").display().to_string(), dir.path().join("laptop.flv"));
    let example = Example::new("laptop.toml", &[("/tmp/tallybox-laptop", &ours), ("1935", &port.to_string())]);
    let shop = &example.0;
    let mut listener = Command::new("ffmpeg");
    listener.args([
        "-hide_banner",
        "-loglevel",
        "error",
        "-listen",
        "1",
        "-i",
        &format!("rtmp://127.0.0.1:{port}/live/laptop"),
    ]);
    let mut listener =
        Program::start(listener.args(["-c", "copy"]).arg(&file).stdin(Stdio::null()).stderr(Stdio::null()));
    let mut run = shop.start("run");
    shop.press();
    shop.wait_for_phase("live");
    wait_until("the stream arrives", || std::fs::metadata(&file).is_ok_and(|data| data.len() > 100_000));
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(run.finish(), Some(0));
    wait_until("ffmpeg has it all", || !listener.is_running());
    assert_eq!(streams(&file).lines().collect::<Vec<_>>(), ["h264,640,360", "aac"]);
    assert!(packets(&file, "a").len() > 50);
}
