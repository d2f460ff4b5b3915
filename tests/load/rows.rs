//! The rows of the table: one load each.

use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, Plan, STALLED, Setup, is_long};
use crate::disks::{HANGS, KernelDisk};
use crate::figures::not_judged;
use crate::finger::capture;
use crate::limits::{Cgroup, NoDescriptors};
use crate::loads::{self, Load};
use crate::odd_broker::{Ack, OddBroker, connack};
use crate::support::wait_until;

/// Commands, or bytes of garbage, in each second.
const COMMANDS: u64 = 10_000;
const GARBAGE: u64 = 1_000_000;

fn flood(load: &mut Load, bench: &Bench) {
    loads::mqtt_commands(load, bench.port, COMMANDS);
    loads::socket_commands(load, &bench.shop);
    // What is not read yet when the flood is over has to be read all the same: the short form has half a second of it.
    load.reach("commands over MQTT", COMMANDS / 2);
    load.reach("commands at the control socket", 50);
}

#[test]
fn ten_thousand_commands_a_second() {
    Bench::new(Setup::default()).judge(&Plan::new("10,000 commands a second"), |bench| {
        let mut load = Load::default();
        flood(&mut load, bench);
        load
    });
}

fn litter(load: &mut Load, bench: &Bench) {
    let sockets = [
        ("run/guard.sock", "B at the control socket"),
        ("capture.sock", "B at capture's"),
        ("sealing.sock", "B at the sealing helper's"),
    ];
    for (socket, what) in sockets {
        loads::garbage_into(load, what, bench.shop.path(socket), GARBAGE);
    }
    for (_, what) in sockets {
        load.reach(what, GARBAGE / 2);
    }
}

#[test]
fn a_megabyte_of_garbage_a_second_at_each_socket() {
    Bench::new(Setup::default()).judge(&Plan::new("1 MB/s of garbage at each socket"), |bench| {
        let mut load = Load::default();
        litter(&mut load, bench);
        load
    });
}

#[test]
fn a_thousand_reconnects() {
    let odd = Arc::new(OddBroker::new());
    let bench = Bench::new(Setup { odd: Some(odd.clone()), ..Setup::default() });
    bench.judge(&Plan::new("1,000 reconnects, and a broker that hangs up"), |bench| {
        let mut load = Load::default();
        odd.change(|rules| rules.greeting = Vec::new());
        odd.hang_up();
        let mended = odd.clone();
        load.at_end(move || mended.change(|rules| rules.greeting = connack(0, &[])));
        loads::connections(&mut load, &bench.shop);
        load.reach("connections", 1000);
        load
    });
}

#[test]
fn a_broker_that_acknowledges_late() {
    let late = Duration::from_secs(if is_long() { 30 } else { 1 });
    let odd = Arc::new(OddBroker::new());
    let bench = Bench::new(Setup { odd: Some(odd.clone()), ..Setup::default() });
    let plan = Plan {
        before: late,
        after: late,
        ..Plan::new(format!("a broker that acknowledges after {} s", late.as_secs()))
    };
    bench.judge(&plan, |bench| {
        let mut load = Load::default();
        odd.change(|rules| rules.ack = Box::new(move |_, _| Ack::Late(late)));
        let mended = odd.clone();
        load.at_end(move || mended.change(|rules| rules.ack = Box::new(|_, _| Ack::Reason(0))));
        // What the box says meanwhile has to wait: commands too, as many as there may be.
        loads::socket_commands(&mut load, &bench.shop);
        load.reach("commands at the control socket", 100);
        load
    });
}

/// How long a disk hangs: in the short form too long for the ledger, and shorter than the issue of a fault.
fn hang() -> Duration {
    Duration::from_secs(if is_long() { 60 } else { 2 })
}

#[test]
fn a_disk_whose_syncs_hang() {
    let plan = Plan {
        limit: STALLED,
        rounds: 1,
        before: Duration::ZERO,
        after: hang(),
        ..Plan::new(format!("syncs that hang for {} s", hang().as_secs()))
    };
    Bench::new(Setup { with_hanging_syncs: true, ..Setup::default() }).judge(&plan, |bench| {
        let file = bench.shop.path(HANGS);
        std::fs::write(&file, "").unwrap();
        let mut load = Load::default();
        load.at_end(move || std::fs::remove_file(file).unwrap());
        load
    });
}

#[test]
fn a_disk_that_hangs_in_the_kernel() {
    let row = format!("a disk that hangs in the kernel for {} s", hang().as_secs());
    let scratch = tempfile::tempdir().unwrap();
    if KernelDisk::new(&scratch.path().join("image"), &scratch.path().join("disk")).is_none() {
        return not_judged(&row, "no disk can be mounted: run it as root");
    }
    let plan = Plan { limit: STALLED, rounds: 1, before: Duration::ZERO, after: hang(), ..Plan::new(row) };
    Bench::new(Setup { with_kernel_disk: true, ..Setup::default() }).judge(&plan, |bench| {
        let disk = bench.disk.clone().unwrap();
        disk.borrow_mut().set_frozen(true);
        let mut load = Load::default();
        load.at_end(move || disk.borrow_mut().set_frozen(false));
        load
    });
}

#[test]
fn a_machine_at_load_16() {
    let plan = Plan { limit: STALLED, ..Plan::new("16 busy processes") };
    Bench::new(Setup::default()).judge(&plan, |_| {
        let mut load = Load::default();
        loads::busy(&mut load, 16);
        loads::last(Duration::from_millis(500));
        load
    });
}

#[test]
fn sixty_four_megabytes_for_guard_and_agent() {
    let row = "64 MB for guard and agent, with both floods";
    let groups = ["guard", "agent"].map(|name| Cgroup::new(name, 64 << 20));
    let [Ok(guard), Ok(agent)] = groups else {
        return not_judged(row, &format!("{:?}", groups.map(Result::err)));
    };
    Bench::new(Setup { groups: Some([guard, agent]), ..Setup::default() }).judge(&Plan::new(row), |bench| {
        let mut load = Load::default();
        litter(&mut load, bench);
        flood(&mut load, bench);
        load
    });
}

/// Nothing can be opened, not even for a signal.
fn starve(bench: &Bench) -> Load {
    let mut load = Load::default();
    let taken = [bench.guard.pid(), bench.agent.pid()].map(NoDescriptors::new);
    // Somebody knocks and stays: the guard has no descriptor for that, and is to accept others once it has.
    let refusals = || bench.shop.log().matches("does not accept").count();
    let (before, mut knocks) = (refusals(), Vec::new());
    wait_until("the guard cannot accept", || {
        knocks.push(UnixStream::connect(bench.shop.path("run/guard.sock")).unwrap());
        refusals() > before
    });
    load.at_end(move || drop(taken));
    load.at_end(move || drop(knocks));
    load
}

/// A capture that hangs has to be killed, for which a guard may need what it cannot get. In the long form every other
/// one ends as it is asked to.
#[test]
fn no_free_descriptors_and_a_capture_that_hangs() {
    let rounds = Cell::new(0);
    let row = "no free descriptors, and a capture that hangs";
    Bench::new(Setup::default()).judge(&Plan::new(row), |bench| {
        let load = starve(bench);
        if rounds.replace(rounds.get() + 1) % 2 == 0 {
            kill_process(Pid::from_raw(capture(&bench.shop)).unwrap(), Signal::STOP).unwrap();
        }
        load
    });
}

#[test]
fn peers_that_hold_every_connection() {
    Bench::new(Setup::default()).judge(&Plan::new("peers that hold every connection"), |bench| {
        let mut load = Load::default();
        loads::held_connections(&mut load, &bench.shop);
        load.reach("connections that are held", 1000);
        load
    });
}
