//! A box with a cable and a mobile router: the one is gone while the stream is live, and comes back.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, timed, wait_until};

/// Two networks, and a server behind both.
struct Networks {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    shop: TestBox,
}

impl Drop for Networks {
    fn drop(&mut self) {
        // Its server is in its process group.
        let group = rustix::process::Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

impl Networks {
    /// `None`, with a word why: this machine has no network namespaces for us.
    fn new() -> Option<Self> {
        use std::os::unix::process::CommandExt;
        let may = Command::new("unshare").args(["--net", "true"]).output();
        if !may.is_ok_and(|tried| tried.status.success()) {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let shop = TestBox::new(&BoxConfig {
            ingest: "rtmp://10.99.0.1/live/key-of-the-stream".to_owned(),
            mqtt: String::new(),
            more: "[privacy]\nallowed-ingest-hosts = [\"10.99.0.1\"]\n".to_owned(),
            ..BoxConfig::default()
        });
        let mut command = Command::new("unshare");
        command.args(["--net", "python3"]);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/appliance/two_networks.py")).arg(shop.path(""));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let (orders, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut this = Self { process, orders, answers, shop };
        this.hear("ready");
        Some(this)
    }

    fn hear(&mut self, word: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    fn order(&mut self, what: &str) {
        writeln!(self.orders, "{what}").unwrap();
        self.hear("done");
    }

    fn guard(&self) -> Program {
        let log = std::fs::File::create(self.shop.path("log")).unwrap();
        let plain = self.shop.command(&["guard"]);
        let mut inside = Command::new("nsenter");
        inside.args(["--net", "--target", &self.process.id().to_string()]);
        inside.arg(plain.get_program()).args(plain.get_args()).env("TALLYBOX_LOG", "info");
        Program::start(inside.stdin(Stdio::null()).stderr(log))
    }

    /// How many connections the server has recorded pictures of.
    fn recordings(&self) -> usize {
        let files = std::fs::read_dir(self.shop.path("")).unwrap().flatten();
        let videos = files.filter(|file| file.file_name().to_string_lossy().ends_with(".flv"));
        videos.filter(|file| file.metadata().unwrap().len() > 20_000).count()
    }
}

#[test]
fn a_stream_moves_to_the_network_that_is_left_and_back() {
    let Some(mut networks) = Networks::new() else { return };
    let _guard = networks.guard();
    wait_until("the guard answers", || networks.shop.status().is_some());
    networks.shop.press();
    networks.shop.wait_for_phase("live");
    wait_until("the server records", || networks.recordings() == 1);
    for (number, order) in ["down cable", "up cable 1", "down cable"].into_iter().enumerate() {
        networks.order(order);
        // Without a look at the route, TCP would go on for 8 s.
        let ((), away) = timed(|| wait_until("the stream goes on", || networks.recordings() == number + 2));
        eprintln!("{order}: the stream goes on after {away:?}");
        let told = networks.shop.log();
        let reason = "out of reach: 10.99.0.1:1935: the box has moved to another network";
        assert_eq!(told.matches(reason).count(), number + 1, "{told}");
    }
    networks.shop.press();
    networks.shop.wait_for_phase("idle");
}
