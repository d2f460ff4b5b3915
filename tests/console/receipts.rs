//! What cannot be undone, on a real box: asked about with the box's name, followed over a reload, and proved by a
//! receipt.

use notes::{Note, SignerKey, VerifierKey};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::commands::{confirm, make_key, question, told, write};
use crate::site::{Broker, Site, no_faults, open_box, wait_for_boxes, wait_for_cell, wait_for_command};
use crate::support::test_box::TestBox;
use crate::support::{Program, wait_until};
use crate::trusted::shop;

/// The JSON of the receipt that the page hands out, which the box's key signed.
fn saved(browser: &Browser, key: &VerifierKey) -> Value {
    let text = browser.value("atob(document.querySelector('.receipt a[download]').href.split('base64,')[1])");
    // Base64 has bytes, not characters: a signature line begins with a dash that is three of them.
    let bytes: Vec<u8> = text.as_str().unwrap().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let note = Note::parse(&bytes).unwrap();
    assert_eq!(note.is_signed_by(key), Some(true));
    serde_json::from_str(notes::document(note.text()).unwrap().json).unwrap()
}

/// What the page finds with this key.
fn verdict(browser: &Browser, key: &str) -> Value {
    browser.run("document.querySelector('.receipt [role=status]').removeAttribute('data-result');");
    browser.run(&format!(
        "const form = document.querySelector('.receipt form'); form.elements.verifier.value = {}; form.requestSubmit();",
        json!(key)
    ));
    let mut found = Value::Null;
    wait_until("it is judged", || {
        found = browser.value("document.querySelector('.receipt [role=status]').dataset.result ?? null");
        found != Value::Null
    });
    found
}

#[test]
fn erasing_and_unbinding_name_the_box_and_leave_a_receipt() {
    let broker = Broker::start();
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 0);
    let verifier = make_key(&browser);
    let shop = shop(
        &broker,
        "rtmp://127.0.0.1:9/live/key",
        &[(&verifier, &["erase", "unbind", "update", "set-policy", "set-ingest"])],
    );
    let (mut guard, _agent) = (shop.start("guard"), shop.start("agent"));
    wait_for_boxes(&browser, 1);
    wait_for_cell(&browser, "test-box", "Idle", "dark");
    open_box(&browser, "test-box");
    let key = shop.status().unwrap()["identity"]["verifier-key"].as_str().unwrap().to_owned();
    let box_key: VerifierKey = key.parse().unwrap();

    question(&browser, "erase");
    let says = browser.value("document.querySelector('dialog.confirm').textContent").to_string();
    for words in ["test-box", "Unsent footage is destroyed.", "The consent ledger and the binding to the shop stay."] {
        assert!(says.contains(words), "{words}: {says}");
    }
    write(&browser, "box-name", "test-bo");
    confirm(&browser);
    wait_until("another name is none", || browser.text("confirm-error") == "Write exactly test-box.");
    assert_eq!(browser.value("document.activeElement.name"), "box-name");
    write(&browser, "box-name", "test-box");
    write(&browser, "reason", "consent-withdrawn");
    confirm(&browser);
    wait_for_command(&browser, "erase", "done");
    assert!(shop.kinds().contains(&"erased".to_owned()), "{:?}", shop.kinds());
    let started = shop.ledger().into_iter().find(|fact| fact["kind"] == "erasure-started").unwrap();
    assert_eq!(started["reason"], "consent-withdrawn", "{started}");
    wait_until("its receipt is there", || browser.value("document.querySelector('.receipt') !== null") == true);
    assert_eq!(saved(&browser, &box_key)["what"], "erase");
    let stranger = SignerKey::new("tallybox/test-box", &[3; 32]).unwrap().verifier_key().to_string();
    for (with, result) in [(key.as_str(), "good"), (&stranger, "other"), ("what is this", "noKey")] {
        assert_eq!(verdict(&browser, with), result, "{with}");
    }

    the_other_verbs_are_judged_by_the_box(&browser);
    an_unbinding_is_followed_over_a_reload(&browser, &shop, &mut guard, &box_key);
    no_faults(&browser);
}

fn the_other_verbs_are_judged_by_the_box(browser: &Browser) {
    question(browser, "update");
    write(browser, "version", "9.9.9-1");
    confirm(browser);
    wait_for_command(browser, "update", "refused");
    assert!(told(browser, "update").contains("9.9.9-1"), "{}", told(browser, "update"));

    question(browser, "set-policy");
    write(browser, "note", "please");
    confirm(browser);
    wait_until("it is refused here", || browser.text("confirm-error").starts_with("This is no signed policy"));
    let policy = SignerKey::new("operator.example.cn/policy", &[8; 32]).unwrap();
    let text = "tallybox/policy/v1\n{\"version\":\"2027-01-01\",\"material\":true}\n";
    write(browser, "note", &Note::sign(text, &[&policy]).unwrap().to_string());
    let preview = "document.querySelector('dialog .hint')?.textContent ?? ''";
    wait_until("what it brings is told", || browser.value(preview).as_str().unwrap().contains("2027-01-01: material"));
    confirm(browser);
    // Nobody on this box may sign policies.
    wait_for_command(browser, "set-policy", "refused");
    assert!(told(browser, "set-policy").contains("The box says:"), "{}", told(browser, "set-policy"));

    question(browser, "set-ingest");
    write(browser, "url", "rtmp://127.0.0.1:9/other");
    write(browser, "stream-key", "of-the-stream");
    let shown = "document.querySelector('dialog .preview').textContent";
    wait_until("it is shown, without the key", || {
        browser.value(shown).as_str().unwrap().contains("rtmp://127.0.0.1:9/other")
    });
    assert!(!browser.value("document.querySelector('dialog').textContent").to_string().contains("of-the-stream"));
    confirm(browser);
    wait_for_command(browser, "set-ingest", "done");
}

/// The box has another configuration, and its guard starts anew. What the page shows may be of before: the agent has
/// found the new guard once that one was told of the broker.
pub(crate) fn change(shop: &TestBox, guard: &mut Program) {
    let text = std::fs::read_to_string(&shop.config).unwrap();
    std::fs::write(&shop.config, format!("{text}# changed\n")).unwrap();
    guard.kill();
    *guard = shop.start("guard");
    let told = || {
        shop.kinds().into_iter().rev().take_while(|kind| kind != "guard-started").any(|kind| kind == "broker-connected")
    };
    wait_until("the agent is back", told);
}

fn an_unbinding_is_followed_over_a_reload(
    browser: &Browser,
    shop: &TestBox,
    guard: &mut Program,
    box_key: &VerifierKey,
) {
    question(browser, "unbind");
    write(browser, "box-name", "test-box");
    confirm(browser);
    wait_for_command(browser, "unbind", "progress");
    assert!(told(browser, "unbind").contains("waits for staff"), "{}", told(browser, "unbind"));
    wait_for_cell(browser, "test-box", "Asked to unbind", "unbind-request");

    browser.run("location.reload();");
    wait_until("the form is back", || browser.value("document.querySelector('.login .primary') !== null") == true);
    browser.run("window.faults = [];");
    // A short press declines: whoever asked hears of it, though the page is another one since.
    browser.click(".login .primary");
    wait_for_command(browser, "unbind", "progress");
    shop.press();
    wait_for_command(browser, "unbind", "refused");
    assert!(told(browser, "unbind").contains("staff declined"), "{}", told(browser, "unbind"));
    assert_eq!(browser.value("Object.keys(sessionStorage)"), json!([]), "nothing waits any more");

    // Once they declined, staff are asked again only when something changed.
    question(browser, "unbind");
    write(browser, "box-name", "test-box");
    confirm(browser);
    wait_until("it is not asked again", || told(browser, "unbind").contains("not asked again"));
    change(shop, guard);
    wait_for_cell(browser, "test-box", "Idle", "dark");
    question(browser, "unbind");
    write(browser, "box-name", "test-box");
    confirm(browser);
    wait_for_command(browser, "unbind", "progress");
    shop.hold("2.6");
    wait_for_command(browser, "unbind", "done");
    assert_eq!(saved(browser, box_key)["what"], "unbind");
    assert_eq!(verdict(browser, &box_key.to_string()), "good");
    wait_for_cell(browser, "test-box", "Switched off", "unknown");
    browser.click(".actions [data-verb=unbind]");
    assert_eq!(browser.value("document.querySelector('dialog')"), Value::Null, "a box that is gone is asked nothing");
}

/// The forms ask for what a box takes: bounds, parameters and verbs are those of docs/schemas.
#[test]
fn the_forms_are_those_of_the_schemas() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
    let read =
        |name: &str| -> Value { serde_json::from_str(&std::fs::read_to_string(root.join(name)).unwrap()).unwrap() };
    let mut verbs = serde_json::Map::new();
    for entry in std::fs::read_dir(&root).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(verb) = name.strip_prefix("cmd-").and_then(|rest| rest.strip_suffix("-note.json")) else { continue };
        let signed = match (root.join(format!("cmd-{verb}.json")).exists(), verb) {
            (true, "stop" | "mute") => "never",
            (true, _) => "trust",
            (false, _) => "always",
        };
        let common = ["box", "verb", "id", "epoch", "seq", "deadline-s"];
        let fields = read(&name)["properties"].as_object().unwrap().clone();
        let parameters: Vec<String> =
            fields.into_iter().map(|(name, _)| name).filter(|name| !common.contains(&name.as_str())).collect();
        verbs.insert(verb.to_owned(), json!({ "signed": signed, "parameters": parameters }));
    }
    assert_eq!(verbs.len(), 12);
    let video = read("cmd-set-video-note.json")["properties"].clone();
    let bounds = |name: &str| json!([video[name]["minimum"], video[name]["maximum"]]);

    let broker = Broker::start();
    broker.state("shop-1", &crate::site::state("idle", false, None));
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 1);
    let table =
        browser.value("import('./js/verbs.js').then(({ VERBS, VIDEO, MOST_BYTES }) => ({ VERBS, VIDEO, MOST_BYTES }))");
    for name in ["bitrate-kbps", "width", "height", "fps"] {
        assert_eq!(table["VIDEO"][name], bounds(name), "{name}");
    }
    assert_eq!(table["MOST_BYTES"], notes::MAX_BYTES);
    let known: Vec<&String> = table["VERBS"].as_object().unwrap().keys().collect();
    assert_eq!(known.len(), verbs.len(), "{known:?}");

    make_key(&browser);
    open_box(&browser, "shop-1");
    for (verb, of_schema) in &verbs {
        assert_eq!(table["VERBS"][verb]["signed"], of_schema["signed"], "{verb}");
        if table["VERBS"][verb]["asks"] == false {
            assert_eq!(of_schema["parameters"], json!([]), "{verb} has no form");
            continue;
        }
        question(&browser, verb);
        let names = "[...document.querySelectorAll('dialog [name]')].map((field) => field.name).filter((name) => name !== 'box-name').sort()";
        let mut wanted: Vec<&str> =
            of_schema["parameters"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        wanted.sort_unstable();
        assert_eq!(browser.value(names), json!(wanted), "{verb}");
        browser.click("dialog .close");
        wait_until("it is closed", || browser.value("document.querySelector('dialog')") == Value::Null);
    }
    // An odd width is refused by the page as by the box.
    ask_odd(&browser);
    no_faults(&browser);
}

fn ask_odd(browser: &Browser) {
    question(browser, "set-video");
    write(browser, "width", "641");
    write(browser, "height", "360");
    confirm(browser);
    wait_until("it is refused here", || browser.text("confirm-error") == "Write an even number.");
    assert_eq!(browser.value("document.activeElement.name"), "width");
}
