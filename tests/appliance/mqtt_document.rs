//! docs/mqtt.md, run: its lines are copied into a shell, against mosquitto with the shipped configuration and
//! certificates from the shipped script, with only name and port of the broker replaced.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::shipped_broker::ShippedBroker;
use crate::support::{Program, wait_for, wait_until};

const DOCUMENT: &str = include_str!("../../docs/mqtt.md");
/// Longest run of one block; what goes on until Ctrl-C is ended after it.
const PATIENCE: &str = "8";

/// Lines to copy, and what they print; none: whatever they print is of no account.
struct Block {
    script: String,
    output: Option<String>,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    // Every second part stands between fences; its first line is the language.
    for part in document.split("```").skip(1).step_by(2) {
        let (language, text) = part.split_once('\n').unwrap();
        match language {
            "sh" => found.push(Block { script: text.to_owned(), output: None }),
            "text" => found.last_mut().expect("output without a command").output = Some(text.to_owned()),
            other => assert_eq!(other, "json", "a block of another language"),
        }
    }
    found
}

/// Whether a line is as documented, where `…` stands for anything.
fn fits(line: &str, documented: &str) -> bool {
    let mut parts = documented.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || documented.ends_with('…')
}

#[test]
fn every_line_of_the_document_does_what_it_says() {
    let mut broker = ShippedBroker::new(&["shop-0042"], &[]);
    broker.start();
    let (dir, operators) = (&broker.dir, broker.operators);
    let shop = broker.test_box("shop-0042", broker.port);
    let _run = shop.start("run");
    wait_until("the box is connected", || shop.log().contains("connected to the broker"));

    let (mut before, mut compared) = (String::new(), 0);
    for Block { script, output } in blocks(DOCUMENT) {
        let script = script.replace("broker.example.cn -p 8884", &format!("localhost -p {operators}"));
        let whole = format!("set -u\n{before}{script}");
        let mut command = Command::new("timeout");
        command.args([PATIENCE, "bash", "-c", &whole]).current_dir(dir.path()).stdin(Stdio::null());
        let printed = dir.path().join("printed");
        let into = std::fs::File::create(&printed).unwrap();
        let mut running = Program::start(command.stdout(into.try_clone().unwrap()).stderr(into));
        let code = wait_for("a block ends", Duration::from_secs(60), || running.0.try_wait().unwrap()).code();
        let said = std::fs::read_to_string(&printed).unwrap();
        let Some(output) = output else {
            assert_eq!(
                (code, said.lines().filter(|line| !line.starts_with('{')).count()),
                (Some(0), 0),
                "{script}: {said}"
            );
            // What defines something is there for those that follow.
            if script.contains("BROKER=") || script.contains("() {") {
                before.push_str(&script);
            }
            continue;
        };
        let lines: Vec<&str> = said.lines().collect();
        for (number, documented) in output.lines().enumerate() {
            let line = lines.get(number).copied().unwrap_or_default();
            assert!(fits(line, documented), "{script}\nsays   {said}\nand not {output}\n{}", shop.log());
            compared += 1;
        }
    }
    assert!(compared >= 15, "{compared} lines of output were compared");
    assert!(shop.log().contains("command: request-start"), "{}", shop.log());
}
