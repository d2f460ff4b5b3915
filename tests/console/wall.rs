//! What the wall says of boxes, and that it says nothing that it does not know.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::site::{Broker, Site, no_faults, state, wait_for_boxes, wait_for_cell};
use crate::support::wait_until;

/// Id, state, and what is to be seen: phase in English, phase in Chinese, lamp.
fn phases() -> Vec<(&'static str, Value, [&'static str; 3])> {
    vec![
        ("idle", state("idle", false, Some("press")), ["Idle", "空闲", "dark"]),
        ("asked", state("requested", false, None), ["Asked to start", "请求开播", "slow-pulse"]),
        ("connecting", state("connecting", false, None), ["Connecting", "正在连接", "fast-blink"]),
        ("live", state("live", false, None), ["Live", "直播中", "solid"]),
        ("silent", state("live", true, None), ["Live, without sound", "直播中（无声）", "solid-notched"]),
        ("reconnecting", state("reconnecting", true, None), ["Reconnecting", "正在重连", "double-blink"]),
        ("stopping", state("stopping", false, Some("press")), ["Stopping", "正在停止", "fast-blink"]),
        ("locked", state("locked", false, Some("lock")), ["Locked", "已锁定", "lock-flash"]),
        ("unbound", state("locked", false, Some("unbind")), ["Unbound", "已解除绑定", "lock-flash"]),
        ("policy", state("policy", false, Some("policy-change")), ["New privacy policy", "新隐私政策", "triple-blink"]),
        ("fault", state("fault", false, Some("lamp-fault")), ["Out of order", "故障", "sos"]),
        // Nobody drives the lamp of a box whose guard is away.
        ("guardless", state("fault", false, Some("guard-unreachable")), ["Out of order", "故障", "unknown"]),
        // A phase of a version that this page does not know.
        ("newer", state("hovering", false, None), ["Not known", "未知", "unknown"]),
    ]
}

#[track_caller]
fn each_phase_is_shown(browser: &Browser, language: usize) {
    for (id, _, words) in phases() {
        wait_for_cell(browser, id, words[language], words[2]);
    }
}

#[test]
fn each_phase_has_its_lamp_and_nothing_is_claimed_without_a_connection() {
    let mut broker = Broker::start();
    for (id, said, _) in phases() {
        broker.state(id, &said);
    }
    for (id, availability) in [("gone", "offline"), ("off", "stopped")] {
        broker.state(id, &state("live", false, None));
        broker.publish(&format!("{id}/availability"), availability.as_bytes(), true);
    }
    let site = Site::start(&broker);
    let all = phases().len() + 2;
    let browser = site.connect(&broker, "en", all);
    each_phase_is_shown(&browser, 0);
    wait_for_cell(&browser, "gone", "Offline", "unknown");
    wait_for_cell(&browser, "off", "Switched off", "unknown");
    // Where there is room for a lamp only, its words are read out.
    browser.click(".views button:nth-child(3)");
    for (id, words) in [
        ("gone", "gone, Offline, Lamp: not known"),
        ("silent", "silent, Live, without sound, Lamp: solid, with a dark notch"),
    ] {
        assert_eq!(
            browser.value(&format!("document.querySelector('[data-id={id}]').getAttribute('aria-label')")),
            words
        );
    }
    browser.click(".views button:nth-child(1)");

    // The other language, without a new connection.
    browser.run("const list = document.querySelector('.language select'); list.value = 'zh'; list.dispatchEvent(new Event('change'));");
    each_phase_is_shown(&browser, 1);
    assert_eq!(browser.value("document.documentElement.lang"), "zh-CN");
    browser.run("const list = document.querySelector('.language select'); list.value = 'en'; list.dispatchEvent(new Event('change'));");

    filters_search_and_groups(&browser);
    without_a_broker(&browser, &mut broker);
    no_faults(&browser);
}

fn shown(browser: &Browser) -> Value {
    browser.value("[...document.querySelectorAll('.cell')].map((cell) => cell.dataset.id)")
}

fn filters_search_and_groups(browser: &Browser) {
    browser.click(".chip[data-level=live]");
    wait_until("the live ones are left", || shown(browser) == json!(["live", "silent"]));
    browser.click(".chip[data-level=every]");
    browser.run("const field = document.getElementById('search'); field.value = 'lamp does not'; field.dispatchEvent(new Event('input'));");
    wait_until("the reason is found", || shown(browser) == json!(["fault"]));
    browser.run(
        "const field = document.getElementById('search'); field.value = ''; field.dispatchEvent(new Event('input'));",
    );
    let group = |name: &str| {
        browser.run(&format!(
            "const list = document.querySelector('.choice select'); list.value = '{name}'; list.dispatchEvent(new Event('change'));"
        ));
    };
    group("health");
    // `connecting` since a day ago, `fault` twice, `reconnecting`; the policy to watch; those that are not there.
    let titles = "[...document.querySelectorAll('.row.title')].map((row) => row.textContent)";
    let wanted = json!(["Needs attention · 4", "Watch · 1", "Not there · 2", "Well · 8"]);
    wait_until("the groups are there", || browser.value(titles) == wanted);
    group("none");
}

fn without_a_broker(browser: &Browser, broker: &mut Broker) {
    broker.kill();
    wait_until("the page says so", || {
        browser.value("document.querySelector('.banner.bad [role=alert]')?.textContent.startsWith('Connection to the broker lost')") == true
    });
    for (id, _, _) in phases() {
        wait_for_cell(browser, id, "Not known", "unknown");
    }
    browser.run("location.hash = '#live'");
    wait_until("its details say it too", || {
        browser.value("document.querySelector('.camera')?.textContent") == "Whether the camera is on is not known."
    });
    assert_eq!(browser.value("document.querySelector('[data-verb=stop]').getAttribute('aria-disabled')"), "true");
    browser.click("[data-verb=stop]");
    assert_eq!(browser.value("document.querySelectorAll('.commands li').length"), 0, "nothing waits to be sent later");
    browser.run("location.hash = ''");
    // A broker that forgot everything: only who speaks again is known again.
    broker.run();
    broker.state("live", &state("live", false, None));
    wait_for_cell(browser, "live", "Live", "solid");
    wait_for_cell(browser, "idle", "Not known", "unknown");
    assert_eq!(browser.value("document.querySelector('.banner.bad')"), Value::Null);
}

#[test]
fn a_form_that_cannot_connect_says_why() {
    let broker = Broker::start();
    let site = Site::start(&broker);
    let browser = site.open(&broker, "en");
    let says = |address: &str, words: &str| {
        browser.run(&format!(
            "const form = document.querySelector('.login form'); form.elements.broker.value = '{address}'; form.requestSubmit();"
        ));
        let told = "document.querySelector('.problem').textContent";
        wait_until(words, || browser.value(told).as_str().is_some_and(|told| told.contains(words)));
    };
    says("http://127.0.0.1", "begins with wss://");
    says("ws://broker.example.cn", "not encrypted");
    // Nothing listens there, and the policy names another broker: the browser tells the page no more than that.
    says("ws://127.0.0.1:9", "No connection");
    let kept = browser.value("[document.cookie, Object.keys(localStorage), Object.keys(sessionStorage)]");
    assert_eq!(kept, json!(["", [], []]), "nothing is kept that nobody asked for");
    browser.run("document.querySelector('[name=remember]').click()");
    says(&format!("ws://127.0.0.1:{}", broker.web), "");
    wait_for_boxes(&browser, 0);
    let kept = browser.value("Object.keys(localStorage)");
    assert_eq!(kept, json!(["tallybox-broker"]));
}
