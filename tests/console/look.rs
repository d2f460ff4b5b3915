//! Keyboard, screen reader, phone, contrast: axe-core on each part of the page, and a run without a mouse.

use serde_json::{Value, json};

use crate::axe;
use crate::browser::Browser;
use crate::site::{Broker, Site, no_faults, open_box, state, wait_for_command};
use crate::support::wait_until;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const RIGHT: &str = "\u{e014}";
const END: &str = "\u{e010}";

fn some_boxes() -> Broker {
    let broker = Broker::start();
    for (id, phase, muted, reason) in [
        ("shop-1", "live", false, None),
        ("shop-2", "live", true, None),
        ("shop-3", "idle", false, Some("reconnect-window")),
        ("shop-4", "reconnecting", false, Some("push.example.cn:443: no answer")),
        ("shop-5", "policy", false, Some("policy-change")),
        ("shop-6", "fault", false, Some("lamp-fault")),
        ("shop-7", "requested", false, None),
        ("shop-8", "locked", false, Some("lock")),
    ] {
        broker.state(id, &state(phase, muted, reason));
    }
    broker.publish("shop-8/availability", b"offline", true);
    let telemetry = json!({ "temperature-c": 51.5, "fps": 30.0, "bitrate-kbps": 2400, "target-kbps": 2500, "dropped-frames": 0,
        "round-trip-ms": 31, "uptime-s": 86_400, "throttled": "0x0", "disk-free-mib": 9000, "reduced": false });
    for _ in 0..2 {
        broker.publish("shop-1/telemetry", telemetry.to_string().as_bytes(), false);
    }
    broker
}

/// Judges the page as it stands, and keeps pictures of it.
#[track_caller]
fn judge(browser: &Browser, what: &str) {
    axe::finds_nothing_but(browser, what, axe::SMALLEST);
    browser.keep(what);
}

const RECEIPT: &str = r#"tallybox/receipt/v1
{"box":"shop-1","what":"erase","at":"2026-11-29T10:00:00Z","files":3,"kept":[{"what":"binding","until":"unbind"}]}

— tallybox/shop-1 AAAA
"#;

fn each_part_is_accessible(lang: &str) {
    let broker = some_boxes();
    let site = Site::start(&broker);
    let browser = site.open(&broker, lang);
    axe::load(&browser);
    judge(&browser, &format!("{lang} form"));
    browser.click(".login .primary");
    crate::site::wait_for_boxes(&browser, 8);
    for (number, view) in [(2, "list"), (3, "lamps"), (1, "cards")] {
        browser.click(&format!(".views button:nth-child({number})"));
        judge(&browser, &format!("{lang} {view}"));
    }
    open_box(&browser, "shop-1");
    let erased = json!({ "id": "e1", "verb": "erase", "ok": true, "receipt": RECEIPT });
    broker.publish("shop-1/reply", erased.to_string().as_bytes(), false);
    wait_until("its receipt is there", || browser.value("document.querySelector('.receipt') !== null") == true);
    browser.run("document.querySelectorAll('.panel details').forEach((each) => { each.open = true; });");
    judge(&browser, &format!("{lang} details"));
    let dialog = |opener: &str, kind: &str| {
        browser.click(opener);
        wait_until(kind, || browser.value(&format!("document.querySelector('dialog.{kind}')?.open ?? false")) == true);
        judge(&browser, &format!("{lang} {kind} {}", opener.trim_matches(|c: char| !c.is_alphabetic())));
        browser.click("dialog .close");
    };
    dialog(".menu button:nth-child(2)", "help");
    dialog(".key", "keys");
    crate::commands::make_key(&browser);
    dialog(".key", "keys");
    for verb in ["set-video", "set-ingest", "set-policy", "erase"] {
        dialog(&format!(".actions [data-verb={verb}]"), "confirm");
    }
}

#[test]
fn each_part_is_accessible_in_english() {
    each_part_is_accessible("en");
}

#[test]
fn each_part_is_accessible_in_chinese() {
    each_part_is_accessible("zh");
}

/// It would see a page that is wrong: a test that looks at nothing finds nothing.
#[test]
fn the_judge_sees_what_is_wrong() {
    let broker = some_boxes();
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 8);
    axe::load(&browser);
    browser.run(
        "document.querySelector('.count').style.color = '#ddd'; document.querySelector('.language .sr').remove();",
    );
    let found = axe::found(&browser).to_string();
    for rule in ["color-contrast", "select-name"] {
        assert!(found.contains(rule), "{rule}: {found}");
    }
}

fn press(browser: &Browser, key: &str) {
    browser.press_key(key);
}

fn focused(browser: &Browser) -> Value {
    browser.value("(({ dataset, id, name, className }) => dataset.verb ?? dataset.id ?? (id || name || className))(document.activeElement)")
}

/// Goes on with Tab until something has the focus; each stop on the way can be seen.
#[track_caller]
fn tab_to(browser: &Browser, wanted: &str) {
    let mut way = Vec::new();
    for _ in 0..60 {
        press(browser, TAB);
        let at = focused(browser);
        let outline = browser.value("getComputedStyle(document.activeElement).outlineStyle");
        assert!(outline != "none" || at == "", "{at} has the focus, and nobody sees it");
        if at == wanted {
            return;
        }
        way.push(at);
    }
    panic!("{wanted} is not reached: {way:?}");
}

#[test]
fn everything_works_without_a_mouse() {
    let broker = some_boxes();
    let site = Site::start(&broker);
    let browser = site.open(&broker, "en");
    tab_to(&browser, "broker");
    press(&browser, ENTER);
    crate::site::wait_for_boxes(&browser, 8);

    // The wall is one stop, in which the arrows move.
    tab_to(&browser, "shop-1");
    press(&browser, RIGHT);
    assert_eq!(focused(&browser), "shop-2");
    press(&browser, END);
    assert_eq!(focused(&browser), "shop-8");
    press(&browser, "\u{e011}");
    press(&browser, ENTER);
    wait_until("the details have the focus", || focused(&browser) == "box-title");
    tab_to(&browser, "stop");
    press(&browser, ENTER);
    wait_for_command(&browser, "stop", "nobody");
    let told = "document.getElementById('live').textContent";
    wait_until("it is read out", || {
        browser.value(told).as_str().is_some_and(|said| said.contains("Stop, shop-1: not delivered"))
    });
    press(&browser, ESCAPE);
    wait_until("the focus is back on the wall", || focused(&browser) == "shop-1");

    // Views, search and help by single keys; a key in the search is text.
    press(&browser, "v");
    wait_until("it is a list", || browser.value("document.querySelector('.wall').dataset.view") == "list");
    press(&browser, "/");
    assert_eq!(focused(&browser), "search");
    press(&browser, "v");
    assert_eq!(
        browser.value("[document.getElementById('search').value, document.querySelector('.wall').dataset.view]"),
        json!(["v", "list"])
    );
    press(&browser, ESCAPE);
    browser.run("document.activeElement.blur()");
    press(&browser, "?");
    wait_until("the help is there", || browser.value("document.querySelector('dialog.help')?.open ?? false") == true);
    press(&browser, ESCAPE);
    wait_until("the help is gone", || browser.value("document.querySelector('dialog')") == Value::Null);
    no_faults(&browser);
}

#[test]
fn whoever_asked_for_less_motion_has_signs_in_place_of_rhythm() {
    let broker = some_boxes();
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 8);
    let dark = "[...document.documentElement.classList].filter((name) => name.startsWith('off-')).length";
    wait_until("lamps blink", || browser.value(dark) != 0);
    browser.prefer_calm(true);
    wait_until("all stand still, lit", || browser.value(dark) == 0);
    let signs = "['double-blink', 'triple-blink', 'solid-notched', 'sos', 'slow-pulse'].map((name) =>
        getComputedStyle(document.querySelector(`.cell .lamp-${name}`), '::after').content)";
    let signs = browser.value(signs);
    let mut all: Vec<&str> = signs.as_array().unwrap().iter().map(|sign| sign.as_str().unwrap()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 5, "each pattern has a sign of its own: {signs}");
    assert!(!all.contains(&"none"), "{signs}");
}
