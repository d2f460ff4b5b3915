//! 200 boxes of the simulator: the real agent, each with a connection of its own. And the frames under 2,000 of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::browser::Browser;
use crate::site::{Broker, Site, no_faults, open_box, wait_for_command};
use crate::support::{Program, TALLYBOX, wait_for, wait_until};

fn program() -> PathBuf {
    let path = Path::new(TALLYBOX).with_file_name("tallybox-fleet");
    assert!(path.exists(), "{}: `cargo build -p tallybox-fleet` makes it", path.display());
    path
}

fn simulate(broker: &Broker, boxes: usize, options: &[&str]) -> Program {
    let mut command = Command::new(program());
    command.args(["sim", "--boxes", &boxes.to_string(), "--broker", &format!("mqtt://127.0.0.1:{}", broker.port)]);
    Program::start(command.args(options).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// How many boxes a button of the filters counts.
fn count(browser: &Browser, level: &str) -> usize {
    let shown = browser.value(&format!(
        "Number(document.querySelector('.chip[data-level={level}] b')?.textContent.replaceAll(',', '') ?? 0)"
    ));
    usize::try_from(shown.as_u64().unwrap()).unwrap()
}

#[test]
fn two_hundred_boxes_are_watched_stopped_and_found_again() {
    const BOXES: usize = 200;
    let mut broker = Broker::start();
    let _fleet =
        simulate(&broker, BOXES, &["--telemetry-interval", "2s", "--idle", "5s", "--live", "10m", "--ramp", "1s"]);
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", BOXES);
    // Staff press here and there: phases and lamps follow, and agree with each other.
    wait_until("some are live", || count(&browser, "live") > 20);
    let lamps = "[...document.querySelectorAll('.cell')].every((cell) => {
        const phase = cell.querySelector('.phase').textContent, lamp = cell.querySelector('.lamp').className;
        return { Idle: 'lamp lamp-dark', Live: 'lamp lamp-solid', Connecting: 'lamp lamp-fast-blink', Reconnecting: 'lamp lamp-double-blink' }[phase] === lamp
            || !['Idle', 'Live', 'Connecting', 'Reconnecting'].includes(phase);
    })";
    assert_eq!(browser.value(lamps), true);
    let drawn =
        "[...document.querySelectorAll('.spark path')].some((path) => (path.getAttribute('d') ?? '').includes('L'))";
    wait_until("lines of the bitrate are drawn", || browser.value(drawn) == true);
    assert!(
        browser.value("document.querySelectorAll('.cell').length").as_u64() < Some(100),
        "only what is in sight exists"
    );

    // One of them is stopped, by its own agent.
    browser.click(".chip[data-level=live]");
    wait_until("only live ones are shown", || {
        browser.value(
            "[...document.querySelectorAll('.cell .phase')].every((phase) => phase.textContent.startsWith('Live'))",
        ) == true
    });
    let id = browser.value("document.querySelector('.cell').dataset.id");
    open_box(&browser, id.as_str().unwrap());
    browser.click("[data-verb=stop]");
    wait_for_command(&browser, "stop", "done");
    let told = "document.querySelector('.events')?.textContent.includes('The platform stopped it.') ?? false";
    wait_until("its ledger says so", || browser.value(told) == true);
    browser.press_key("\u{e00c}");
    browser.click(".chip[data-level=every]");

    // A broker that restarts has forgotten all: boxes and page come back by themselves, each on its own.
    broker.kill();
    wait_until("nothing is known", || count(&browser, "gone") == BOXES);
    broker.run();
    wait_until("all are known again", || count(&browser, "gone") == 0 && count(&browser, "every") == BOXES);
    no_faults(&browser);
}

/// Milliseconds between frames while something happens, in order of size; the page is scrolled if `scroll` says so.
fn frames(browser: &Browser, seconds: u32, scroll: bool) -> Vec<f64> {
    let script = format!(
        "new Promise((done) => {{
            const spans = [], wall = document.querySelector('.wall'), end = performance.now() + {seconds}000;
            let before = performance.now(), step = 12;
            requestAnimationFrame(function frame() {{
                const now = performance.now();
                spans.push(now - before);
                before = now;
                if (wall && {scroll}) {{
                    wall.scrollTop += step;
                    if (wall.scrollTop <= 0 || wall.scrollTop + wall.clientHeight >= wall.scrollHeight - 1) step = -step;
                }}
                if (now < end) requestAnimationFrame(frame); else done(spans.slice(1).sort((a, b) => a - b));
            }});
        }})"
    );
    serde_json::from_value(browser.value(&script)).unwrap()
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let index = (sorted.len() as f64 * share) as usize;
    sorted[index.min(sorted.len() - 1)]
}

/// `make console-bench`: prints a table. The yardstick is the same browser with an empty page, on the same machine,
/// just before: a machine that is busy slows down both.
#[test]
#[ignore = "measures for minutes: make console-bench"]
fn frames_under_two_thousand_boxes() {
    const BOXES: usize = 2000;
    let broker = Broker::start();
    let interval = std::env::var("TALLYBOX_INTERVAL").unwrap_or_else(|_| "30s".to_owned());
    let _fleet = simulate(
        &broker,
        BOXES,
        &["--telemetry-interval", &interval, "--idle", "2m", "--live", "10m", "--ramp", "20s"],
    );
    let site = Site::start(&broker);
    let browser = site.open(&broker, "en");
    browser.click(".login .primary");
    // So many handshakes take a while on a busy machine.
    wait_for("all boxes are there", Duration::from_secs(600), || (count(&browser, "every") == BOXES).then_some(()));
    let empty = Browser::open("about:blank", 1280, 1000);
    let base = frames(&empty, 10, false);
    drop(empty);
    let row = |name: &str, spans: &[f64]| {
        let late = spans.iter().filter(|span| **span > 50.0).count();
        println!(
            "| {name} | {} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} | {:.1} % |",
            spans.len(),
            percentile(spans, 0.5),
            percentile(spans, 0.95),
            percentile(spans, 0.99),
            percentile(spans, 0.5) / percentile(&base, 0.5),
            percentile(spans, 0.95) / percentile(&base, 0.95),
            100.0 * f64::from(u32::try_from(late).unwrap()) / f64::from(u32::try_from(spans.len()).unwrap()),
        );
    };
    println!("telemetry every {interval} from {BOXES} boxes");
    println!("| what | frames | p50 ms | p95 ms | p99 ms | p50 / empty page | p95 / empty page | over 50 ms |");
    println!("|---|---|---|---|---|---|---|---|");
    row("empty page", &base);
    for (number, view) in [(1, "cards"), (2, "list"), (3, "lamps")] {
        browser.click(&format!(".views button:nth-child({number})"));
        wait_until(view, || browser.value("document.querySelector('.wall').dataset.view") == view);
        row(view, &frames(&browser, 15, false));
        row(&format!("{view}, scrolled"), &frames(&browser, 15, true));
    }
    let heap = browser.value("Math.round(performance.memory.usedJSHeapSize / 1048576)");
    println!("JavaScript's memory: {heap} MiB; elements: {}", browser.value("document.querySelectorAll('*').length"));
    assert!(heap != Value::Null);
    no_faults(&browser);
}
