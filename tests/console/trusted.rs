//! A real box that trusts keys, and what an operator reads whose key it knows, does not know, or who may do less.

use notes::SignerKey;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::commands::{KEY, ask, confirm, make_key, question, told, write};
use crate::ingest::Nginx;
use crate::site::{Broker, Site, no_faults, open_box, wait_for_boxes, wait_for_cell, wait_for_command};
use crate::support::Program;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;

/// A box whose trust is `trust`: pairs of a verifier key and the roles that it has.
pub(crate) fn shop(broker: &Broker, ingest: &str, trust: &[(&str, &[&str])]) -> TestBox {
    let table = |(key, may): &(&str, &[&str])| format!("[[trust]]\nkey = \"{key}\"\nmay = {may:?}\n");
    let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"", broker.port);
    let more = trust.iter().map(table).collect();
    TestBox::new(&BoxConfig { mqtt, ingest: ingest.to_owned(), more, ..BoxConfig::default() })
}

/// Changes the page's language.
fn speak(browser: &Browser, lang: &str) {
    browser.run(&format!(
        "const list = document.querySelector('.language select'); list.value = '{lang}'; list.dispatchEvent(new Event('change'));"
    ));
}

/// The newest command of a verb was refused, which both languages say.
#[track_caller]
fn refused_as(browser: &Browser, verb: &str, en: &str, zh: &str) {
    wait_for_command(browser, verb, "refused");
    for (lang, words) in [("zh", zh), ("en", en)] {
        speak(browser, lang);
        assert!(told(browser, verb).contains(words), "{words}: {}", told(browser, verb));
    }
}

#[test]
fn a_box_that_trusts_this_key_obeys_it_within_its_roles() {
    let (broker, server) = (Broker::start(), Nginx::new());
    let site = Site::start(&broker);
    let browser = site.connect(&broker, "en", 0);
    let verifier = make_key(&browser);
    let shop = shop(&broker, &server.url(), &[(&verifier, &["request-start", "set-video", "identify"])]);
    let (mut guard, agent) = (shop.start("guard"), shop.start("agent"));
    wait_for_boxes(&browser, 1);
    wait_for_cell(&browser, "test-box", "Idle", "dark");
    open_box(&browser, "test-box");

    ask(&browser, "request-start");
    wait_for_command(&browser, "request-start", "done");
    assert!(
        told(&browser, "request-start").contains(&format!("signed by {KEY}")),
        "{}",
        told(&browser, "request-start")
    );
    assert_eq!((shop.phase().as_str(), shop.captures().len()), ("requested", 0), "a request opens nothing");
    wait_for_cell(&browser, "test-box", "Asked to start", "slow-pulse");
    shop.press();
    wait_for_cell(&browser, "test-box", "Live", "solid");
    assert_eq!(shop.captures().len(), 1);
    let commanded = |shop: &TestBox| shop.ledger().into_iter().find(|fact| fact["kind"] == "commanded").unwrap();
    assert_eq!(commanded(&shop)["key"], KEY, "the ledger names who asked");

    question(&browser, "set-video");
    write(&browser, "bitrate-kbps", "350");
    confirm(&browser);
    wait_for_command(&browser, "set-video", "done");
    assert_eq!(shop.status().unwrap()["video"]["bitrate-kbps"], 350);

    // What the key may not is refused by the box, in its words and in the operator's language.
    browser.click(".actions [data-verb=diagnose]");
    refused_as(&browser, "diagnose", "The key's roles on this box do not allow it.", "该密钥在此盒子上的角色不允许。");
    browser.click(".actions [data-verb=stop]");
    wait_for_command(&browser, "stop", "done");
    assert!(shop.captures().is_empty() && told(&browser, "stop").contains("not signed"));

    the_page_signs_anew_with_the_boxs_own_clock(&browser, &broker, &shop, &mut guard, &agent);
    another_key_is_refused(&browser);
    no_faults(&browser);
}

fn the_page_signs_anew_with_the_boxs_own_clock(
    browser: &Browser,
    broker: &Broker,
    shop: &TestBox,
    guard: &mut Program,
    agent: &Program,
) {
    // Somebody at the broker says of the box that it runs for a day, while its agent is silent: what is signed for then
    // is refused, and signed once more with what the box says.
    let sent = "document.querySelectorAll('.commands [data-verb=identify]:not([data-status=sending])').length";
    agent.signal(Signal::STOP);
    let epoch = shop.status().unwrap()["epoch"].clone();
    let lie = json!({ "id": "of-nobody", "verb": "stop", "ok": true, "epoch": epoch, "uptime-s": 86_400 });
    broker.publish("test-box/reply", lie.to_string().as_bytes(), false);
    let shown = "[...document.querySelectorAll('.panel dd')].some((each) => /^(1 day|24 hr)/.test(each.textContent))";
    wait_until("the page takes it", || browser.value(shown) == true);
    browser.click(".actions [data-verb=identify]");
    wait_until("it is sent", || browser.value(sent) == 1);
    agent.signal(Signal::CONT);
    wait_for_command(browser, "identify", "done");
    assert!(told(browser, "identify").contains("sent again"), "{}", told(browser, "identify"));

    // The guard has restarted, and a broker shows the state of before: the page signs for an epoch that is over.
    assert_eq!(guard.finish(), Some(0));
    *guard = shop.start("guard");
    let page_has = |epoch: &Value| {
        let all = "[...document.querySelectorAll('.panel dd')].map((each) => each.textContent)";
        browser.value(all).as_array().unwrap().contains(epoch)
    };
    let next = shop.status().unwrap()["epoch"].clone();
    assert_ne!(next, epoch);
    wait_until("the page knows the new epoch", || page_has(&next));
    agent.signal(Signal::STOP);
    let mut before = crate::site::state("idle", false, None);
    before["epoch"] = epoch.clone();
    before["signed-commands"] = true.into();
    broker.publish("test-box/state", before.to_string().as_bytes(), false);
    wait_until("the page takes the old one", || page_has(&epoch));
    browser.click(".actions [data-verb=identify]");
    wait_until("it is sent", || browser.value(sent) == 2);
    agent.signal(Signal::CONT);
    wait_for_command(browser, "identify", "done");
    assert!(told(browser, "identify").contains("sent again"), "{}", told(browser, "identify"));
    let accepted = shop.ledger().into_iter().filter(|fact| fact["kind"] == "commanded" && fact["verb"] == "identify");
    assert_eq!(accepted.count(), 2, "each ran once");
}

/// What the page says where a key is missing.
pub(crate) fn hint(browser: &Browser) -> String {
    browser.value("document.getElementById('noKey')?.textContent ?? ''").as_str().unwrap().to_owned()
}

fn another_key_is_refused(browser: &Browser) {
    browser.click(".key");
    let destroy = "dialog .bar.end .plain";
    browser.click(destroy);
    browser.click(destroy);
    wait_until("there is no key", || browser.value("document.getElementById('verifier')") == Value::Null);
    browser.click("dialog .close");
    // Without one nothing is sent that the box would refuse.
    wait_until("it says so", || hint(browser).contains("make or import a key"));
    let open = "[...document.querySelectorAll('.actions [aria-disabled=false]')].map((button) => button.dataset.verb)";
    assert_eq!(browser.value(open), json!(["stop", "mute"]));

    make_key(browser);
    browser.click(".actions [data-verb=identify]");
    refused_as(
        browser,
        "identify",
        "The signature is wrong, or the box does not know the key.",
        "签名错误，或盒子不认识该密钥。",
    );
}

/// Puts a key into the page that others have, too.
fn import_key(browser: &Browser, signer: &SignerKey) {
    browser.click(".key");
    wait_until("the browser can sign", || {
        browser.value("document.querySelector('dialog [name=signer]') !== null") == true
    });
    write(browser, "signer", &signer.to_text());
    browser.click("dialog form .plain");
    wait_until("there is a key", || browser.value("document.getElementById('verifier') !== null") == true);
    browser.click("dialog .close");
}

/// Two consoles at once; the clock of one is five hours behind. The box's own clock counts.
#[test]
fn two_consoles_command_one_box_and_a_wrong_clock_does_not_matter() {
    let broker = Broker::start();
    let shared = SignerKey::new("operator.example.cn/shared", &[5; 32]).unwrap();
    let site = Site::start(&broker);
    let (left, right) = (site.connect(&broker, "en", 0), site.connect(&broker, "en", 0));
    right.run("const now = Date.now; Date.now = () => now() - 5 * 3600_000;");
    let own = make_key(&right);
    let known = shared.verifier_key().to_string();
    let shop = shop(
        &broker,
        "rtmp://127.0.0.1:9/live/key",
        &[(&known, &["identify", "diagnose"]), (&own, &["identify", "diagnose"])],
    );
    let (_guard, _agent) = (shop.start("guard"), shop.start("agent"));
    import_key(&left, &shared);
    for browser in [&left, &right] {
        wait_for_cell(browser, "test-box", "Idle", "dark");
        open_box(browser, "test-box");
        // What the other one asks is not shown as this one's.
        assert_eq!(browser.value("document.querySelectorAll('.commands li').length"), 0);
        browser.click(".actions [data-verb=diagnose]");
    }
    wait_for_command(&left, "diagnose", "done");
    wait_for_command(&right, "diagnose", "done");

    // With one key in both the numbers of the late one are too low: the box refuses them, and the page says why.
    right.click(".key");
    right.click("dialog .bar.end .plain");
    right.click("dialog .bar.end .plain");
    right.click("dialog .close");
    import_key(&right, &shared);
    right.click(".actions [data-verb=identify]");
    refused_as(&right, "identify", "check this computer's clock", "检查本机时钟");
    left.click(".actions [data-verb=identify]");
    wait_for_command(&left, "identify", "done");
    for browser in [&left, &right] {
        no_faults(browser);
    }
}
