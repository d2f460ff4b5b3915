//! For tests of whatever keeps something on the disk: cuts the power at each change that it makes, in several ways of
//! losing what was not synced, and has the test judge what is left. Then once more while that is recovered. And has
//! changes fail, one or all from some on.

use std::fmt::Debug;
use std::path::Path;

use fastrand::Rng;
use rustix::io::Errno;

use super::{Loss, SimulatedDisk};
use crate::disk;

/// Where a scenario keeps its files.
pub(crate) const HOME: &str = "/data";

/// Bytes of a disk on which there is room for all.
const ROOM: u64 = 1 << 30;

/// What is tried.
pub(crate) struct Scenario<'a, A> {
    pub(crate) name: &'a str,
    /// Bytes that fit on the disk; `None`: enough.
    pub(crate) capacity: Option<u64>,
    /// Makes what is there before, durably.
    pub(crate) prepare: &'a dyn Fn(),
    /// The work in which the power is cut.
    pub(crate) work: &'a dyn Fn(&mut Run<A>),
    /// What is done when the power is back, given what is known. It is cut in that too.
    pub(crate) recover: &'a dyn Fn(&A),
    /// Panics where what is left is not what was acknowledged.
    pub(crate) judge: &'a dyn Fn(&A),
}

/// One run of the work.
pub(crate) struct Run<A> {
    disk: SimulatedDisk,
    known: A,
}

impl<A> Run<A> {
    /// Notes what somebody was told, or what is about to be tried; not after the cut, when nobody is there any more.
    pub(crate) fn note(&mut self, how: impl FnOnce(&mut A)) {
        if self.disk.cut_at().is_none() {
            how(&mut self.known);
        }
    }
}

/// The ways of losing that are always tried.
const PLAIN: [Loss; 5] = [Loss::Nothing, Loss::Everything, Loss::Contents, Loss::Names, Loss::AllButNewestName];

/// How many others are tried at each point; fewer where there are so many points that not all are tried in the short
/// form.
fn dice(step: usize) -> u64 {
    match (is_long(), step) {
        (true, 1) => 60,
        (true, _) => 12,
        (false, _) => 3,
    }
}

fn is_long() -> bool {
    std::env::var_os("TALLYBOX_LONG").is_some()
}

/// Says where it was when something fails.
struct Here(String);

impl Drop for Here {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// An empty folder for the scenario's files.
fn formatted(capacity: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(capacity);
    let _installed = disk.install();
    disk::create_dir(Path::new(HOME), 0o755).unwrap();
    disk.clone()
}

impl<A: Clone + Default + Debug> Scenario<'_, A> {
    /// Tries every point, or each `step`th of them in the short form. Returns how many points there are.
    pub(crate) fn try_all(&self, step: usize) -> u64 {
        let begin = self.begin();
        let all = self.run(&begin, None).0.changes();
        let (mut points, mut states) = (0, 0);
        for point in (0..=all).step_by(if is_long() { 1 } else { step }) {
            let (cut, known) = self.run(&begin, Some(point));
            let dice = (0..dice(step)).map(|number| Loss::Torn(point * 1000 + number));
            for loss in PLAIN.into_iter().chain(dice) {
                let at = cut.cut_at().unwrap_or_default();
                let _here = Here(format!("{}: cut at {point} of {all} ({at}), {loss:?}: {known:?}", self.name));
                self.judge_after(&cut.after_cut(loss), &known, loss);
                states += 1;
            }
            points += 1;
        }
        println!("{}: {points} points, {states} states", self.name);
        points
    }

    /// Has each change fail on a disk that is full or faulty, alone and with all that come after it, or each `step`th
    /// of them in the short form; then the disk works again, with and without a power cut in between.
    pub(crate) fn fail_all(&self, step: usize) {
        let begin = self.begin();
        let all = self.run(&begin, None).0.changes();
        for point in (0..all).step_by(if is_long() { 1 } else { step }) {
            for error in [Errno::NOSPC, Errno::IO] {
                for failing in [point..point + 1, point..u64::MAX] {
                    let disk = begin.after_cut(Loss::Nothing);
                    disk.fail(Some((failing.clone(), error)));
                    let known = self.run_on(&disk);
                    disk.fail(None);
                    let _here = Here(format!("{}: {failing:?} of {all} fail with {error}: {known:?}", self.name));
                    for left in [disk.after_cut(Loss::Everything), disk] {
                        let _installed = left.install();
                        (self.judge)(&known);
                    }
                }
            }
        }
    }

    fn begin(&self) -> SimulatedDisk {
        let begin = formatted(self.capacity.unwrap_or(ROOM));
        {
            let _installed = begin.install();
            (self.prepare)();
        }
        begin
    }

    fn run_on(&self, disk: &SimulatedDisk) -> A {
        let _installed = disk.install();
        let mut run = Run { disk: disk.clone(), known: A::default() };
        (self.work)(&mut run);
        run.known
    }

    fn run(&self, begin: &SimulatedDisk, cut: Option<u64>) -> (SimulatedDisk, A) {
        let disk = begin.after_cut(Loss::Nothing);
        if let Some(point) = cut {
            disk.cut_before(point);
        }
        let known = self.run_on(&disk);
        // Where it ended before that, the power is cut behind it.
        if cut.is_some() {
            disk.cut();
        }
        (disk, known)
    }

    fn judge_after(&self, left: &SimulatedDisk, known: &A, loss: Loss) {
        if let Loss::Torn(seed) = loss {
            let again = left.after_cut(Loss::Nothing);
            again.cut_before(Rng::with_seed(seed).u64(..40));
            {
                let _installed = again.install();
                (self.recover)(known);
            }
            again.cut();
            let _installed = again.after_cut(loss).install();
            (self.judge)(known);
        }
        let _installed = left.install();
        (self.judge)(known);
    }
}

/// What may be there, for something of which there is one at a time.
#[derive(Clone, Debug)]
pub(crate) struct Possible<T>(Vec<T>);

impl<T: Default> Default for Possible<T> {
    fn default() -> Self {
        Self(vec![T::default()])
    }
}

impl<T: Clone + PartialEq + Debug> Possible<T> {
    /// It is about to be replaced.
    pub(crate) fn attempt(&mut self, next: T) {
        self.0.push(next);
    }

    /// It was replaced, for good.
    pub(crate) fn settle(&mut self) {
        self.0 = self.0.pop().into_iter().collect();
    }

    /// Panics where it is something else.
    pub(crate) fn admit(&self, found: &T) {
        assert!(self.0.contains(found), "found {found:?}, possible are {:?}", self.0);
    }
}
