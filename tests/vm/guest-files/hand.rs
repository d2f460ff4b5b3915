//! In the guest: a finger on the buttons, and eyes on everything that matters, with the time of each change. It does
//! not ask tallybox: the lamp's line comes from gpio-sim, capture from the kernel's cgroup of its unit, open devices
//! from /proc.
//!
//! It does what standard input says (`button down`, `button up`, `button 150` for 150 ms, the same for `mute` and
//! `sense`) and writes `MILLISECONDS WHAT VALUE` for each change.
use std::fs::{self, File};
use std::io::{BufRead, Write};
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

const SLICE: &str = "/sys/fs/cgroup/system.slice/system-tallybox\\x2dcapture.slice";
const GUARD: &str = "/sys/fs/cgroup/system.slice/tallybox-guard.service/cgroup.procs";

/// The level of a gpio-sim line, whoever drives it.
fn level(line: &File) -> bool {
    let mut text = [0];
    line.read_at(&mut text, 0).is_ok() && text[0] == b'1'
}

fn pull(line: &str, up: bool) {
    let word = if up { "pull-up" } else { "pull-down" };
    fs::write(format!("/run/rig/{line}/pull"), word).expect("the simulated line can be moved");
}

/// Processes of capture's units.
fn captures() -> Vec<String> {
    // The slice is there from the first session on.
    let Ok(units) = fs::read_dir(SLICE) else { return Vec::new() };
    let lists = units.flatten().filter_map(|unit| fs::read_to_string(unit.path().join("cgroup.procs")).ok());
    lists.flat_map(|list| list.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Processes of the guard's unit: the guard, or what systemd runs before and after it.
fn guards() -> String {
    fs::read_to_string(GUARD).unwrap_or_default().trim_end().replace('\n', ",")
}

/// Cameras and microphones that these processes have open.
fn devices(processes: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for process in processes {
        for entry in fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let name = target.display().to_string();
            // Playing sound (pcm*p) and looking at what there is (control*) is not listening.
            let hears = name.starts_with("/dev/snd/pcm") && name.ends_with('c');
            if hears || name.starts_with("/dev/video") || name.starts_with("/dev/media") {
                found.push(name);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn obey() {
    for order in std::io::stdin().lock().lines().map_while(Result::ok) {
        let Some((line, what)) = order.split_once(' ') else { continue };
        // A button is pressed by pulling its line down; a sense pin is what it is.
        match what {
            "down" => pull(line, false),
            "up" => pull(line, true),
            millis => {
                pull(line, false);
                sleep(Duration::from_millis(millis.parse().expect("a number of milliseconds")));
                pull(line, true);
                // A finger that comes back at once was never away.
                sleep(Duration::from_millis(150));
            }
        }
    }
    std::process::exit(0);
}

fn main() {
    let begun = Instant::now();
    // Milliseconds since the machine came up, at this program's 0: what the ledger counts too.
    let uptime = fs::read_to_string("/proc/uptime").expect("the kernel tells how long it is up");
    let seconds: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).expect("a number of seconds");
    say(begun.elapsed(), "uptime", &format!("{:.0}", seconds * 1000.0));
    let lines = ["button", "mute", "lamp"].map(|name| {
        (name, File::open(format!("/run/rig/{name}/value")).expect("the simulated chip is there"))
    });
    std::thread::spawn(obey);
    let mut levels = [None; 3];
    let (mut guard, mut running, mut open, mut looked) = (None, None, None, Duration::MAX);
    loop {
        // A finger counts from when this look began, so that nothing seems quicker than it was; all else is told with
        // the time when all was looked at. Otherwise a pause in the middle would tear apart what was found together.
        let began = begun.elapsed();
        let mut changes: Vec<(&str, String)> = Vec::new();
        // The order matters: what is found lit here was lit before the devices below were looked at, and what is found
        // dark was dark before the processes were.
        for (index, (name, line)) in lines.iter().enumerate() {
            let now = level(line);
            if levels[index] != Some(now) {
                levels[index] = Some(now);
                let value = if now { "1" } else { "0" };
                match *name {
                    "lamp" => changes.push((name, value.to_owned())),
                    _ => say(began, name, value),
                }
            }
        }
        let guards = guards();
        if guard.as_ref() != Some(&guards) {
            changes.push(("guard", guards.clone()));
            guard = Some(guards);
        }
        let processes = captures();
        if running.as_ref() != Some(&processes) {
            changes.push(("capture", processes.join(",")));
            running = Some(processes.clone());
            looked = Duration::MAX;
        }
        // Looking costs the one processor more than the rest: often at first, then now and then.
        let often = if open.as_ref().is_some_and(Vec::is_empty) { 10 } else { 100 };
        if looked == Duration::MAX || began.saturating_sub(looked) >= Duration::from_millis(often) {
            looked = began;
            let found = devices(&processes);
            if open.as_ref() != Some(&found) {
                changes.push(("open", found.join(",")));
                open = Some(found);
            }
        }
        let ended = begun.elapsed();
        changes.iter().for_each(|(what, value)| say(ended, what, value));
        sleep(Duration::from_millis(3));
    }
}

fn say(at: Duration, what: &str, value: &str) {
    let mut out = std::io::stdout().lock();
    let told = writeln!(out, "{} {what} {value}", at.as_millis()).and_then(|()| out.flush());
    if told.is_err() {
        std::process::exit(0);
    }
}
