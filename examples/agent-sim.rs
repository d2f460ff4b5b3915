//! Simulates the agent: `cargo run --release --example agent-sim -- --schedules 1000`. Each schedule follows from its
//! seed; one that finds something is printed, shortened, and can be run again with `--schedule FILE`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tallybox::sim::agent::{AgentSchedule, AgentSimulator};

/// Runs simulated agents.
#[derive(Debug, Parser)]
struct Args {
    /// The first seed.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// How many schedules.
    #[arg(long, value_name = "N", default_value_t = 1)]
    schedules: u64,
    /// Runs the schedule in this file instead, a line of JSON.
    #[arg(long, value_name = "FILE")]
    schedule: Option<PathBuf>,
    /// Prints what happened at the broker.
    #[arg(long)]
    trace: bool,
    /// Ends with the first schedule that finds something, and leaves it as long as it is.
    #[arg(long)]
    first: bool,
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let args = Args::parse();
    let dir = tempfile::tempdir()?;
    let simulator = AgentSimulator::new(dir.path())?;
    let read = |path: &PathBuf| -> Result<AgentSchedule, Box<dyn std::error::Error>> {
        Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
    };
    let given = args.schedule.as_ref().map(read).transpose()?;
    let seeded = (args.seed..args.seed + args.schedules).map(AgentSchedule::of_seed);
    let (begun, mut count, mut failed) = (clock(), 0_u64, 0_u64);
    let mut slowest = std::time::Duration::ZERO;
    for schedule in given.into_iter().chain(seeded.take(if args.schedule.is_some() { 0 } else { usize::MAX })) {
        let run = simulator.run(&schedule)?;
        count += 1;
        slowest = slowest.max(run.recovered_after.unwrap_or_default());
        if args.trace {
            print!("{}", run.trace);
        }
        if !run.problems.is_empty() {
            failed += 1;
            println!("seed {}: {}", schedule.seed, run.problems.join("; "));
            if args.first {
                break;
            }
            println!("{}", serde_json::to_string(&simulator.shortened(&schedule)?)?);
        }
    }
    let took = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss)] // a rate is not that exact
    let rate = count as f64 / took;
    println!("{count} schedules, {failed} failed, {rate:.0} a second; the longest recovery took {slowest:?}");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[allow(clippy::disallowed_methods)] // the machine's own time, for the rate
fn clock() -> Instant {
    Instant::now()
}
