//! What the page claims of a command that waits for staff while broker, guard or key go away.

use serde_json::Value;

use crate::commands::{confirm, make_key, question, told, write};
use crate::receipts::change;
use crate::site::{Broker, Site, command_status, no_faults, open_box, wait_for_boxes, wait_for_cell, wait_for_command};
use crate::support::wait_until;
use crate::trusted::{hint, shop};

#[test]
fn a_command_that_waits_for_staff_outlives_the_broker_and_not_the_guard() {
    let mut broker = Broker::start();
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 0);
    let verifier = make_key(&browser);
    let shop = shop(&broker, "rtmp://127.0.0.1:9/live/key", &[(&verifier, &["unbind"])]);
    let (mut guard, _agent) = (shop.start("guard"), shop.start("agent"));
    wait_for_boxes(&browser, 1);
    wait_for_cell(&browser, "test-box", "Idle", "dark");
    open_box(&browser, "test-box");
    let unbind = || {
        question(&browser, "unbind");
        write(&browser, "box-name", "test-box");
        confirm(&browser);
        wait_for_command(&browser, "unbind", "progress");
    };

    // Staff decline while nobody can hear it: the page asks for the answer once both are back.
    unbind();
    broker.kill();
    wait_for_cell(&browser, "test-box", "Not known", "unknown");
    assert_eq!(command_status(&browser, "unbind"), "progress", "no more is known");
    shop.press();
    shop.wait_for_phase("idle");
    broker.run();
    wait_for_command(&browser, "unbind", "refused");
    assert!(told(&browser, "unbind").contains("staff declined"), "{}", told(&browser, "unbind"));
    wait_for_cell(&browser, "test-box", "Idle", "dark");
    let asked = shop.kinds().iter().filter(|kind| *kind == "unbind-requested").count();
    assert_eq!(asked, 1, "to ask for the answer asks staff nothing");

    // A guard that restarts has forgotten what it asked, and nobody will answer. Nothing is asked again by itself.
    change(&shop, &mut guard);
    wait_for_cell(&browser, "test-box", "Idle", "dark");
    unbind();
    guard.kill();
    guard = shop.start("guard");
    wait_for_command(&browser, "unbind", "lost");
    assert!(told(&browser, "unbind").contains("the box's guard restarted"), "{}", told(&browser, "unbind"));
    wait_for_cell(&browser, "test-box", "Idle", "dark");
    assert_eq!(shop.kinds().iter().filter(|kind| *kind == "unbind-requested").count(), 2);
    assert_eq!(shop.phase(), "idle");

    // The browser's data was cleared: the key is gone, and the page says what to do.
    browser
        .value("new Promise((done) => { indexedDB.deleteDatabase('tallybox-console').onsuccess = () => done(true); })");
    browser.run("location.reload();");
    wait_until("the form is back", || browser.value("document.querySelector('.login .primary') !== null") == true);
    browser.run("window.faults = [];");
    browser.click(".login .primary");
    wait_until("there is no key", || hint(&browser).contains("make or import a key"));
    browser.click(".actions [data-verb=unbind]");
    assert_eq!(browser.value("document.querySelector('dialog')"), Value::Null);
    drop(guard);
    no_faults(&browser);
}
