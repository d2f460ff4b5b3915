//! Runs simulated boxes: see docs/simulation.md.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use clap::Parser;
use tallybox::sim::{Platform, Schedule, run, shrink};

/// Runs schedules until one of them fails, or all of them.
#[derive(Parser, Debug)]
struct Args {
    /// The first schedule's seed; alone: this schedule, with its trace.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many schedules, from that seed on.
    #[arg(long)]
    schedules: Option<u64>,
    /// Run the schedule in this file instead, with its trace.
    #[arg(long)]
    schedule: Option<PathBuf>,
    /// Make a schedule that fails as short as it can be made, and print it.
    #[arg(long)]
    shrink: bool,
    /// The platform behind each box's network, in place of the seed's own: plain, trusted or minors.
    #[arg(long, value_parser = platform)]
    platform: Option<Platform>,
    /// Go on behind a schedule that fails, and print it at once.
    #[arg(long, requires = "schedules")]
    keep_going: bool,
    /// How many threads.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
}

thread_local! {
    /// The schedule that this thread carries out.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

fn main() -> ExitCode {
    let args = Args::parse();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        eprintln!("seed {}: the box panics", SEED.get());
        before(panic);
    }));
    match work(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn platform(text: &str) -> Result<Platform, String> {
    match text {
        "none" => Ok(Platform::None),
        "plain" => Ok(Platform::Plain),
        "trusted" => Ok(Platform::Trusted),
        "minors" => Ok(Platform::Minors),
        _ => Err("write none, plain, trusted or minors".to_owned()),
    }
}

impl Args {
    fn schedule_of(&self, seed: u64) -> Schedule {
        self.platform.map_or_else(|| Schedule::of_seed(seed), |platform| Schedule::with_platform(seed, platform))
    }
}

/// Whether all held.
fn work(args: &Args) -> Result<bool, String> {
    let one = match (&args.schedule, args.schedules) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Some(Schedule::parse(&text)?)
        }
        (None, None) => Some(args.schedule_of(args.seed)),
        (None, Some(_)) => None,
    };
    match one {
        Some(schedule) => show(&schedule, args.shrink),
        None => many(args),
    }
}

/// Runs one schedule, and prints what happened.
fn show(schedule: &Schedule, shorten: bool) -> Result<bool, String> {
    let schedule = if shorten {
        let (short, tries) = shrink(schedule).map_err(|error| error.to_string())?;
        println!("# the shortest form, after {tries} tries");
        short
    } else {
        schedule.clone()
    };
    SEED.set(schedule.seed);
    print!("{}", schedule.print());
    let outcome = run(&schedule, true).map_err(|error| error.to_string())?;
    outcome.trace.iter().for_each(|line| println!("{line}"));
    println!("digest {:016x}", outcome.digest);
    if let Some(violation) = &outcome.violation {
        println!("VIOLATION {violation}");
    }
    Ok(outcome.violation.is_none())
}

#[allow(clippy::cast_precision_loss)] // figures for a person
fn many(args: &Args) -> Result<bool, String> {
    let count = args.schedules.unwrap_or(1);
    let (next, simulated, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let begun = SystemTime::now();
    let job = || -> Result<(), String> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count || (failed.load(Ordering::Relaxed) && !args.keep_going) {
                return Ok(());
            }
            let seed = args.seed + number;
            SEED.set(seed);
            let outcome = run(&args.schedule_of(seed), false).map_err(|error| error.to_string())?;
            simulated.fetch_add(outcome.simulated.as_secs(), Ordering::Relaxed);
            if let Some(violation) = outcome.violation {
                failed.store(true, Ordering::Relaxed);
                report(args, seed, &violation);
            }
        }
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..args.jobs.max(1)).map(|_| scope.spawn(job)).collect();
        jobs.into_iter().map(|job| job.join().unwrap_or_else(|_| Err("a schedule panicked".to_owned()))).collect()
    });
    let took = begun.elapsed().unwrap_or(Duration::ZERO).as_secs_f64();
    let done = next.load(Ordering::Relaxed).min(count);
    let (rate, days) = (done as f64 / took, simulated.load(Ordering::Relaxed) as f64 / 86_400.0);
    println!("{done} schedules in {took:.1} s: {rate:.0} a second, {days:.2} simulated days");
    found.into_iter().collect::<Result<(), String>>()?;
    Ok(!failed.into_inner())
}

fn report(args: &Args, seed: u64, violation: &str) {
    let of = args.platform.map_or_else(String::new, |platform| format!(" --platform {platform:?}").to_lowercase());
    println!("seed {seed}: {violation}");
    println!("see it: cargo run --release --example sim -- --seed {seed}{of}   (--shrink: its shortest form)");
}
