//! A small board: 400 MB of memory for the whole box, and a processor that gets slower and faster again while the
//! stream is live.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ingest::{Nginx, packets};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, poll, timed, wait_until};

/// What is left of the 512 MB of a Raspberry Pi Zero 2 W.
const MEMORY: u64 = 400 * 1024 * 1024;
/// In microseconds: the kernel's default. It hands time out in slices of 5 ms to each processor, so that most of a
/// shorter period's would be lost.
const PERIOD: f64 = 100_000.0;

/// A group of processes with the memory of a small board, and a quota of the processor's time.
struct Board {
    /// One, or with cgroups of version 1 one for each controller: processor, memory.
    dirs: Vec<PathBuf>,
    is_v2: bool,
}

impl Board {
    /// `None`, with a word why: this test may make no groups here.
    fn new() -> Option<Self> {
        let top = Path::new("/sys/fs/cgroup");
        let name = format!("tallybox-board-{}", std::process::id());
        let is_v2 = std::fs::read_to_string(top.join("cgroup.subtree_control"))
            .is_ok_and(|all| ["cpu", "memory"].iter().all(|wanted| all.split_whitespace().any(|word| word == *wanted)));
        let dirs =
            if is_v2 { vec![top.join(name)] } else { ["cpu", "memory"].map(|one| top.join(one).join(&name)).into() };
        let this = Self { dirs, is_v2 };
        let limit = if is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
        let made = this.dirs.iter().try_for_each(std::fs::create_dir);
        let made = made.and_then(|()| std::fs::write(this.dirs[this.dirs.len() - 1].join(limit), MEMORY.to_string()));
        if let Err(error) = made {
            eprintln!("skipped: control groups need root: {error}");
            return None;
        }
        Some(this)
    }

    /// From now on its processes have so many processors' time; `None`: all that there are.
    fn set_processors(&self, processors: Option<f64>) {
        let quota = processors.map(|share| format!("{:.0}", (share * PERIOD).max(1000.0)));
        let write = |file: &str, text: String| std::fs::write(self.dirs[0].join(file), text).unwrap();
        if self.is_v2 {
            write("cpu.max", format!("{} {PERIOD}", quota.unwrap_or_else(|| "max".to_owned())));
        } else {
            write("cpu.cfs_period_us", format!("{PERIOD}"));
            write("cpu.cfs_quota_us", quota.unwrap_or_else(|| "-1".to_owned()));
        }
    }

    fn guard_of(&self, shop: &TestBox) -> Program {
        let log = std::fs::File::create(shop.path("log")).unwrap();
        let (plain, groups) = (shop.command(&["guard"]), self.dirs.iter().map(|dir| dir.join("cgroup.procs")));
        let groups: Vec<String> = groups.map(|file| file.display().to_string()).collect();
        let mut inside = Command::new("sh");
        inside.args([
            "-ec",
            &format!("for group in {}; do echo $$ >$group; done; exec \"$@\"", groups.join(" ")),
            "sh",
        ]);
        inside.arg(plain.get_program()).args(plain.get_args()).env("TALLYBOX_LOG", "info");
        let guard = Program::start(inside.stdin(Stdio::null()).stderr(log));
        wait_until("the guard answers", || shop.status().is_some());
        guard
    }

    /// What its processes have needed at most, in MiB.
    fn peak_mib(&self) -> u64 {
        let file = if self.is_v2 { "memory.peak" } else { "memory.max_usage_in_bytes" };
        let text = std::fs::read_to_string(self.dirs[self.dirs.len() - 1].join(file)).unwrap_or_default();
        text.trim().parse::<u64>().unwrap_or_default() / (1024 * 1024)
    }
}

impl Drop for Board {
    /// Its processes may be about to end.
    fn drop(&mut self) {
        for dir in &self.dirs {
            let _ = poll(Duration::from_secs(5), || std::fs::remove_dir(dir).ok());
        }
    }
}

/// Processor time of a process, in seconds: `utime` and `stime` of proc(5), in hundredths.
fn processor_seconds(pid: i32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// How many processors a process keeps busy, over some seconds.
fn processors_of(pid: i32) -> f64 {
    let begun = processor_seconds(pid);
    let (ended, took) =
        timed(|| poll(Duration::from_secs(4), || None::<f64>).unwrap_or_else(|| processor_seconds(pid)));
    (ended - begun) / took.as_secs_f64()
}

#[test]
fn a_processor_that_slows_down_gets_fewer_pictures_and_all_of_them_once_it_can() {
    let Some(board) = Board::new() else { return };
    let nginx = Nginx::new();
    let shop = TestBox::new(&BoxConfig {
        ingest: nginx.url(),
        // The example's size and rate, with an encoder that works on the processor.
        video: "source = \"test\"\nencoder = \"x264enc\"\nwidth = 1280\nheight = 720\nfps = 30\n".to_owned(),
        audio: "source = \"none\"\n".to_owned(),
        ..BoxConfig::default()
    });
    let _guard = board.guard_of(&shop);
    shop.press();
    shop.wait_for_phase("live");
    let stream = |field: &str| shop.status().unwrap()["stream"][field].clone();
    let fps = || stream("fps").as_f64().unwrap_or_default();
    wait_until("all pictures come", || fps() > 28.0);
    let capture = shop.captures()[0];
    let needed = processors_of(capture);

    board.set_processors(Some(needed / 0.7));
    eprintln!("{needed:.2} processors are needed, which is 70 % of what there is now");
    let relieved = poll(Duration::from_secs(8), || (stream("reduced") == true).then_some(()));
    assert!(relieved.is_none(), "a processor with room to spare is relieved: {}", shop.log());
    let is_long = std::env::var_os("TALLYBOX_LONG").is_some();
    for (quota, lines) in [(0.75, 720), (0.3, 480)].into_iter().take(if is_long { 2 } else { 1 }) {
        let before = stream("height");
        board.set_processors(Some(needed * quota));
        let ((), after) = timed(|| wait_until("it gives way", || fps() < 15.5 && stream("height") == lines));
        let (height, now) = (stream("height"), fps());
        eprintln!("with {quota} of what is needed: {before} to {height} lines, {now:.1} pictures/s after {after:?}");
    }
    board.set_processors(None);
    let ((), back) = timed(|| wait_until("it comes back", || stream("reduced") == false && fps() > 28.0));
    eprintln!("with all of it: back after {back:?}; {} MiB at most, of {}", board.peak_mib(), MEMORY >> 20);
    let changes = shop.log().matches("the picture has").count();
    shop.press();
    shop.wait_for_phase("idle");
    let times: Vec<f64> = packets(&nginx.recordings()[0], "v").iter().map(|packet| packet.pts).collect();
    let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.15).collect();
    assert!(gaps.iter().sum::<f64>() < 1.0, "pictures were lost at random: {gaps:?}");
    eprintln!("{changes} changes; {} pictures, longer gaps than of two at 15 a second: {gaps:?}", times.len());
}
