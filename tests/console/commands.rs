//! Commands from the page: to a real box, signed and unsigned, and what the page claims of each.

use notes::{Role, Trust, TrustedKey};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::site::{
    Broker, Lent, Site, command_status, no_faults, open_box, state, wait_for_boxes, wait_for_cell, wait_for_command,
};
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

pub(crate) const KEY: &str = "operator.example.cn/test-2026";

/// Makes a key in the page; its verifier key.
pub(crate) fn make_key(browser: &Browser) -> String {
    browser.click(".key");
    wait_until("the browser can sign", || {
        browser.value("document.querySelector('dialog [name=name]') !== null") == true
    });
    browser.run(&format!("document.querySelector('dialog [name=name]').value = '{KEY}';"));
    // Nothing is kept that nobody asked for.
    assert_eq!(browser.value("document.querySelector('dialog [name=keep]').checked"), false);
    browser.click("dialog [name=keep]");
    browser.click("dialog form .primary");
    wait_until("there is a key", || browser.value("document.getElementById('verifier') !== null") == true);
    let verifier = browser.text("verifier");
    browser.click("dialog .close");
    verifier
}

/// Opens the question before a verb.
pub(crate) fn question(browser: &Browser, verb: &str) {
    browser.click(&format!(".actions [data-verb={verb}]"));
    wait_until("it asks first", || browser.value("document.querySelector('dialog.confirm')?.open ?? false") == true);
}

/// Writes into a field of the question, as a keyboard does.
pub(crate) fn write(browser: &Browser, name: &str, value: &str) {
    browser.run(&format!(
        "const field = document.querySelector('dialog [name=\"{name}\"]'); field.value = {}; \
         field.dispatchEvent(new Event('input', {{ bubbles: true }}));",
        json!(value)
    ));
}

/// Says yes to the question.
pub(crate) fn confirm(browser: &Browser) {
    browser.click("dialog.confirm form .bar button:not([type])");
}

pub(crate) fn ask(browser: &Browser, verb: &str) {
    question(browser, verb);
    confirm(browser);
}

/// What the newest command of a verb says.
pub(crate) fn told(browser: &Browser, verb: &str) -> String {
    let text = browser.value(&format!("document.querySelector('.commands [data-verb={verb}]')?.textContent ?? ''"));
    text.as_str().unwrap().to_owned()
}

/// A real box: guard, agent, and a capture that calls a server that does not answer. It knows no key, and the page has
/// one: what such a box would refuse is not signed, and what needs a signature is not offered.
#[test]
fn a_real_box_is_stopped_and_asked() {
    let broker = Broker::start();
    let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"", broker.port);
    let shop = TestBox::new(&BoxConfig { mqtt, ..BoxConfig::default() });
    let (_guard, _agent) = (shop.start("guard"), shop.start("agent"));
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 1);
    wait_for_cell(&browser, "test-box", "Idle", "dark");
    make_key(&browser);

    open_box(&browser, "test-box");
    ask(&browser, "request-start");
    wait_for_command(&browser, "request-start", "done");
    assert!(told(&browser, "request-start").contains("not signed"), "{}", told(&browser, "request-start"));
    let held = "[...document.querySelectorAll('.actions [aria-disabled=true]')].map((button) => button.dataset.verb)";
    assert_eq!(browser.value(held), json!(["set-ingest", "set-policy", "update", "erase", "unbind"]));
    assert!(browser.text("noTrust").contains("this box knows no key"), "{}", browser.text("noTrust"));
    assert_eq!(shop.phase(), "requested");
    assert!(shop.captures().is_empty(), "a request opens nothing");

    shop.press();
    wait_for_cell(&browser, "test-box", "Connecting", "fast-blink");
    browser.click("[data-verb=stop]");
    wait_for_command(&browser, "stop", "done");
    assert!(shop.captures().is_empty(), "done: it is gone");
    wait_for_cell(&browser, "test-box", "Idle", "dark");
    let events = "[...document.querySelectorAll('.events li')].map((item) => item.dataset.kind)";
    wait_until("the ledger's entries came", || {
        let kinds = browser.value(events).to_string();
        ["requested", "session-started", "session-stopped"].iter().all(|kind| kinds.contains(kind))
    });
    let told =
        browser.value("document.querySelector('.events li[data-kind=session-stopped] span:last-child').textContent");
    assert_eq!(told, "Session 1 ended. The platform stopped it.");

    // What the box refuses is told in its words.
    browser.click("[data-verb=mute]");
    wait_for_command(&browser, "mute", "refused");
    let list = browser.value("document.querySelector('.commands li').textContent");
    assert!(list.as_str().unwrap().contains("there is no stream to mute"), "{list}");
    no_faults(&browser);
}

/// The note's JSON, as the guard's own verifier reads it.
fn verified(note: &str, verifier: &str, role: Role) -> Value {
    let keys = vec![TrustedKey { key: verifier.parse().unwrap(), may: vec![role] }];
    let trust = Trust { keys, ..Trust::default() };
    let checked = trust.verify(note.as_bytes(), role).unwrap_or_else(|why| panic!("{why}: {note:?}"));
    assert_eq!(checked.signers, [KEY]);
    serde_json::from_str(&checked.json).unwrap()
}

/// A box that is told of and not there, and the page that shows it.
fn one_box() -> (Broker, Site, Lent) {
    let broker = Broker::start();
    broker.state("shop-1", &state("idle", false, None));
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 1);
    (broker, site, browser)
}

fn reply(broker: &Broker, command: &Value, code: Option<&str>, epoch: &str, uptime: u64) {
    let answer = json!({
        "id": command["id"], "verb": command["verb"], "ok": code.is_none(), "error": code.map(|code| format!("it is {code}")),
        "code": code, "epoch": epoch, "uptime-s": uptime, "state": state("idle", false, None),
    });
    broker.publish("shop-1/reply", answer.to_string().as_bytes(), false);
}

#[test]
fn a_signed_command_is_what_the_guard_verifies_and_is_signed_anew_once() {
    let (broker, _site, browser) = one_box();
    let verifier = make_key(&browser);
    open_box(&browser, "shop-1");

    let first = broker.next("shop-1/cmd/identify", || browser.click("[data-verb=identify]"));
    let first = verified(&first, &verifier, Role::Identify);
    assert_eq!((first["box"].as_str(), first["verb"].as_str()), (Some("shop-1"), Some("identify")));
    assert_eq!(first["epoch"], "0123456789abcdef0123456789abcdef");
    let deadline = first["deadline-s"].as_u64().unwrap();
    assert!((4030..4100).contains(&deadline), "{deadline}: 30 s after the box's own time");

    // The box has restarted: the page signs once more, with what the answer tells, and no third time.
    let fresh = "f".repeat(32);
    let second = broker.next("shop-1/cmd/identify", || reply(&broker, &first, Some("wrong-epoch"), &fresh, 3));
    let second = verified(&second, &verifier, Role::Identify);
    assert_eq!(second["epoch"], fresh);
    assert!(second["seq"].as_u64() > first["seq"].as_u64() && second["id"] != first["id"], "{first} {second}");
    assert!((33..60).contains(&second["deadline-s"].as_u64().unwrap()), "{second}");
    reply(&broker, &second, Some("expired"), &fresh, 90);
    wait_for_command(&browser, "identify", "refused");

    // Parameters are within the signed text, and checked before.
    question(&browser, "set-video");
    write(&browser, "bitrate-kbps", "12");
    confirm(&browser);
    wait_until("it is refused here", || browser.text("confirm-error").starts_with("Write a whole number"));
    write(&browser, "bitrate-kbps", "1800");
    let video = broker.next("shop-1/cmd/set-video", || confirm(&browser));
    let video = verified(&video, &verifier, Role::SetVideo);
    assert_eq!(video["bitrate-kbps"], 1800);
    reply(&broker, &video, None, &fresh, 91);
    wait_for_command(&browser, "set-video", "done");

    // A box that said that it knows no key, and trusts one since: what it refuses is signed then.
    let mut keyless = state("idle", false, None);
    keyless["signed-commands"] = false.into();
    broker.state("shop-1", &keyless);
    let hint = "document.getElementById('noTrust') !== null";
    wait_until("it is heard", || browser.value(hint) == true);
    let plain = broker.next("shop-1/cmd/identify", || browser.click(".actions [data-verb=identify]"));
    let plain: Value = serde_json::from_str(&plain).unwrap();
    let note = broker.next("shop-1/cmd/identify", || reply(&broker, &plain, Some("unsigned"), &fresh, 95));
    assert_ne!(verified(&note, &verifier, Role::Identify)["id"], plain["id"]);

    broker.state("shop-1", &state("idle", false, None));
    the_key_survives_a_reload_and_never_shows(&browser, &broker, &verifier);
    no_faults(&browser);
}

fn the_key_survives_a_reload_and_never_shows(browser: &Browser, broker: &Broker, verifier: &str) {
    browser.run("location.hash = ''; location.reload();");
    wait_until("the form is back", || browser.value("document.querySelector('.login .primary') !== null") == true);
    browser.run("window.faults = [];");
    browser.click(".login .primary");
    wait_for_boxes(browser, 1);
    assert_eq!(browser.value("document.querySelector('.key .quiet').textContent"), KEY);
    open_box(browser, "shop-1");
    let again = broker.next("shop-1/cmd/diagnose", || browser.click("[data-verb=diagnose]"));
    verified(&again, verifier, Role::Diagnose);
    let exported = browser.value(
        "import('./js/keys.js').then(async (keys) => {
            const { privateKey } = await keys.kept();
            return Promise.all(['pkcs8', 'jwk', 'raw'].map((form) => crypto.subtle.exportKey(form, privateKey).then(() => form, () => 'refused')));
        })",
    );
    assert_eq!(exported, json!(["refused", "refused", "refused"]));
}

/// An update starts guard and agent anew: another epoch, and the same command.
#[test]
fn an_update_is_answered_by_the_programs_that_come_after_it() {
    let (broker, _site, browser) = one_box();
    let verifier = make_key(&browser);
    open_box(&browser, "shop-1");
    question(&browser, "update");
    write(&browser, "version", "0.2.0-1");
    let command = broker.next("shop-1/cmd/update", || confirm(&browser));
    let command = verified(&command, &verifier, Role::Update);
    let progress = |step: &str| {
        let answer = json!({ "id": command["id"], "verb": "update", "ok": true, "error": null, "progress": step });
        broker.publish("shop-1/reply", answer.to_string().as_bytes(), false);
    };
    progress("downloading");
    wait_until("each step is told", || told(&browser, "update").contains("downloads the package"));
    progress("installing");
    wait_until("the last one too", || told(&browser, "update").contains("installs"));

    // The new guard knows nothing of it, should anybody ask.
    let fresh = "f".repeat(32);
    let mut anew = state("idle", false, None);
    (anew["epoch"], anew["uptime-s"], anew["software"]) = (fresh.clone().into(), 2.into(), "tallybox 0.2.0".into());
    broker.state("shop-1", &anew);
    reply(&broker, &command, Some("wrong-epoch"), &fresh, 3);
    let identify = broker.next("shop-1/cmd/identify", || browser.click("[data-verb=identify]"));
    reply(&broker, &verified(&identify, &verifier, Role::Identify), None, &fresh, 4);
    wait_for_command(&browser, "identify", "done");
    assert_eq!(command_status(&browser, "update"), "progress", "{}", told(&browser, "update"));

    reply(&broker, &command, Some("failed"), &fresh, 5);
    wait_for_command(&browser, "update", "refused");
    assert!(told(&browser, "update").contains("it is failed"), "{}", told(&browser, "update"));
    no_faults(&browser);
}

#[test]
fn nothing_is_claimed_that_nobody_confirmed() {
    let broker = Broker::start();
    broker.state("shop-1", &state("live", false, None));
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 1);
    open_box(&browser, "shop-1");

    // Nobody subscribes to commands: the broker says so.
    browser.click("[data-verb=stop]");
    wait_for_command(&browser, "stop", "nobody");

    // The broker has it, and no box answers: asked, and no more. Then the box accepts it, and only its state is done.
    let command = broker.next("shop-1/cmd/stop", || browser.click("[data-verb=stop]"));
    let command: Value = serde_json::from_str(&command).unwrap();
    wait_for_command(&browser, "stop", "asked");
    let answer = json!({ "id": command["id"], "verb": "stop", "ok": true, "error": null });
    broker.publish("shop-1/reply", answer.to_string().as_bytes(), false);
    wait_for_command(&browser, "stop", "accepted");
    broker.state("shop-1", &state("stopping", false, Some("remote-stop")));
    wait_for_cell(&browser, "shop-1", "Stopping", "fast-blink");
    assert_eq!(command_status(&browser, "stop"), "accepted", "capture may still be there");
    broker.state("shop-1", &state("idle", false, Some("remote-stop")));
    wait_for_command(&browser, "stop", "done");

    // An answer to another's command is no answer to ours.
    let command = broker.next("shop-1/cmd/diagnose", || browser.click("[data-verb=diagnose]"));
    assert!(serde_json::from_str::<Value>(&command).unwrap()["expires-at"].is_string(), "{command}");
    broker.publish("shop-1/reply", br#"{"id":"somebody-elses","verb":"diagnose","ok":true}"#, false);
    broker.publish("shop-2/reply", command.as_bytes(), false);
    wait_for_command(&browser, "diagnose", "lost");

    broker.publish("shop-1/availability", b"offline", true);
    wait_for_cell(&browser, "shop-1", "Offline", "unknown");
    wait_until("it says why nothing is sent", || {
        browser.text("block") == "The box is not there: a command would be lost."
    });
    no_faults(&browser);
}
