//! The virtual box is brought into each phase with the page's own buttons and switches: what the page then says, to
//! eyes and to screen readers.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::axe;
use crate::browser::Browser;
use crate::demo::Demo;
use crate::support::wait_until;

const OFF: &str = "Camera and microphone are off: no process exists that could open them.";
const LOST: &str = "Nothing is known of camera and microphone: this page has lost its connection to the demo.";

/// Waits until the page says this, and nothing else: the state, what is known of the camera, and what stands in the
/// place of the picture (empty: there is one).
#[track_caller]
fn says(browser: &Browser, state: &str, camera: &str, picture: &str) {
    let dark = if picture.is_empty() { String::new() } else { format!("{picture} {camera}") };
    let wanted = [state, camera, &dark].map(str::to_owned);
    let mut said = wanted.clone();
    let seen = crate::support::poll(std::time::Duration::from_secs(60), || {
        let shown = browser.value("$('dark').hidden ? '' : $('dark').textContent");
        said = [browser.text("phase"), browser.text("camera"), shown.as_str().unwrap_or_default().to_owned()];
        (said == wanted).then_some(())
    });
    assert!(seen.is_some(), "the page says {said:?} and not {wanted:?}");
}

#[track_caller]
fn stop_at(browser: &Browser, state: &str, camera: &str, picture: &str) {
    says(browser, state, camera, picture);
    axe::finds_nothing(browser, state);
    browser.keep(state);
}

/// Lets the page stand still at a phase that is too short to be looked at: the one that `freezeAt` names.
fn let_stand_still(browser: &Browser) {
    browser.value(
        "(() => {
            window.freezeAt = null; window.frozen = false;
            const real = hear.shop;
            hear.shop = (message) => {
                if (window.frozen) return;
                real(message);
                window.frozen = message.phase !== null && message.phase === window.freezeAt;
            };
            return true;
        })()",
    );
}

fn go_live(browser: &Browser) {
    // A click that no pointer and no key made, as screen readers and voice control send it.
    browser.value("$('record').click()");
    says(browser, "Live", "The camera is on.", "");
}

#[test]
fn each_phase_says_what_is_confirmed_and_is_accessible() {
    let demo = Demo::start();
    // Before it has heard anything the page claims nothing.
    let raw = ureq::get(&demo.url).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(
        raw.contains("Nothing is known of camera and microphone")
            && !raw.contains("no process")
            && !raw.contains("camera is o")
    );

    let browser = Browser::open(&demo.url, 1280, 1000);
    let_stand_still(&browser);
    axe::sees_what_is_wrong(&browser);
    wait_until("the platform hears the box", || browser.text("link") == "box online");
    stop_at(&browser, "Idle", OFF, "No stream.");

    // Without figures there is no plot, and no axis of one.
    let axes = "[...document.querySelectorAll('figure')].map((each) =>
        [each.querySelector('p').textContent, getComputedStyle(each.querySelector('svg')).visibility])";
    assert_eq!(browser.value(axes), Value::from(vec![json!(["no figures yet", "hidden"]); 5]));

    browser.click("[data-verb=request-start]");
    stop_at(&browser, "Asked to start", OFF, "No stream.");
    browser.click("[data-verb=stop]");
    wait_until("the command is answered", || browser.text("answer") == "Stop: The box has done it.");
    says(&browser, "Idle", OFF, "No stream.");

    browser.switch("#ingest");
    browser.key("record", " ", 100);
    let calling = "No stream yet: the box is calling the server.";
    stop_at(&browser, "Connecting", "The camera is on, or about to be opened.", calling);
    // The lamp blinks, but not for those who asked for less motion; the word for it stands below it in any case.
    browser.prefer_calm(true);
    wait_until("the lamp stands still", || browser.value("$('lamp').dataset.lit") == "still");
    browser.prefer_calm(false);
    wait_until("the lamp blinks", || browser.value("$('lamp').dataset.lit") != "still");
    assert_eq!(browser.text("lamp-words"), "Lamp: fast blink");
    browser.switch("#ingest");
    stop_at(&browser, "Live", "The camera is on.", "");
    assert_eq!(browser.value("$('mute').getAttribute('aria-pressed')"), "false");
    wait_until("sound is sent", || browser.text("microphone") == "The microphone is on.");

    browser.key("mute", "\u{e007}", 100);
    stop_at(&browser, "Live, without sound", "The camera is on.", "");
    assert_eq!(browser.value("$('mute').getAttribute('aria-pressed')"), "true");
    assert_eq!(
        (browser.text("microphone"), browser.text("mute-state")),
        ("No sound leaves the box.".into(), "Sound: muted".into())
    );
    browser.value("$('mute').click()");
    says(&browser, "Live", "The camera is on.", "");

    browser.switch("#ingest");
    let cut = "The stream is interrupted: the box cannot reach the server.";
    stop_at(&browser, "Reconnecting", "The camera is still on while the box looks for its server.", cut);
    browser.switch("#ingest");
    says(&browser, "Live", "The camera is on.", "");

    hung_and_stopped(&demo, &browser);
    without_broker_or_network(&browser);
    locked_policy_fault(&browser);
    without_guard(&demo, &browser);
    without_demo(&demo, &browser);

    browser.click("[data-hold='10']");
    stop_at(&browser, "Unbound", OFF, "No stream.");
    let mut demo = demo;
    assert_eq!(demo.program.finish(), Some(0));
    says(&browser, "Not known", LOST, "Whether a stream arrives is not known.");
}

/// Capture hangs; then it is stopped, which takes as long as the guard is patient with it.
fn hung_and_stopped(demo: &Demo, browser: &Browser) {
    demo.signal("capture", Signal::STOP);
    let nothing = "The box says that it is live, but no picture arrives at this moment.";
    stop_at(browser, "Live", "The camera is on.", nothing);
    assert_eq!(browser.text("reason"), "Nothing arrives at the server at this moment.");
    browser.value("window.freezeAt = 'stopping'");
    browser.press("#record", 5);
    let stopping = "The camera is being switched off: its process still exists.";
    stop_at(browser, "Stopping", stopping, "The stream has ended.");
    browser.value("(window.freezeAt = null, window.frozen = false)");
    says(browser, "Idle", OFF, "No stream.");
}

/// What the operator's Stop does when it cannot arrive: it is refused, and says why.
fn without_broker_or_network(browser: &Browser) {
    go_live(browser);
    let down = "The message broker is down: no command reaches the box. Staff can still stop it with the button.";
    for (switch, badge, why) in [
        ("#broker", "message broker is down", down),
        (
            "#network",
            "box offline",
            "The box has lost its connection: no command reaches it. Staff can still stop it with the button.",
        ),
    ] {
        browser.click(switch);
        wait_until("the page says so", || browser.text("link") == badge);
        assert_eq!(browser.text("reach"), why);
        assert_eq!(browser.value("document.querySelector('[data-verb=stop]').getAttribute('aria-disabled')"), "true");
        assert_eq!(browser.text("m-phase"), "–", "the platform knows nothing");
        browser.click("[data-verb=stop]");
        wait_until("the stop is refused", || browser.text("answer") == format!("Stop: Not sent. {why}"));
        axe::finds_nothing(browser, badge);
        browser.click(switch);
        wait_until("the box is back", || browser.text("link") == "box online");
        wait_until("the platform hears of it", || browser.text("m-phase") == "live");
        says(browser, "Live", "The camera is on.", "");
    }
    browser.press("#record", 5);
    says(browser, "Idle", OFF, "No stream.");
}

fn locked_policy_fault(browser: &Browser) {
    browser.click("[data-hold='5']");
    stop_at(browser, "Locked", OFF, "No stream.");
    browser.key("record", "\u{e007}", 2300);
    says(browser, "Idle", OFF, "No stream.");

    browser.click("[data-act=new-policy]");
    stop_at(browser, "New privacy policy", OFF, "No stream.");
    browser.click("[data-hold='2']");
    says(browser, "Idle", OFF, "No stream.");

    browser.switch("#wire");
    browser.press("#record", 5);
    stop_at(browser, "Out of order", OFF, "No stream.");
    assert!(browser.text("reason").starts_with("The lamp does not work."), "{}", browser.text("reason"));
    assert_eq!(browser.text("lamp-words"), "Lamp: dead");
    browser.switch("#wire");
    says(browser, "Idle", OFF, "No stream.");
}

fn without_guard(demo: &Demo, browser: &Browser) {
    go_live(browser);
    // Nobody starts another one for now.
    demo.signal("run", Signal::STOP);
    browser.click("[data-act=kill-guard]");
    let off = "The camera is off all the same: no process exists that could open it.";
    stop_at(browser, "The box does not answer", off, "No stream arrives.");
    assert_eq!(browser.text("lamp-words"), "Lamp: lit", "a lamp keeps what it was told by a guard that died");
    demo.signal("run", Signal::CONT);
    says(browser, "Idle", OFF, "No stream.");

    demo.signal("guard", Signal::STOP);
    stop_at(browser, "The box has stopped answering", off, "No stream arrives.");
    demo.signal("guard", Signal::CONT);
    says(browser, "Idle", OFF, "No stream.");
}

/// The page's own connection: a demo that says nothing is no better than one that is gone.
fn without_demo(demo: &Demo, browser: &Browser) {
    go_live(browser);
    demo.program.signal(Signal::STOP);
    stop_at(browser, "Not known", LOST, "Whether a stream arrives is not known.");
    let shown = browser.value("[$('lost').hidden, $('lamp').dataset.lit, $('record').getAttribute('aria-disabled'), $('broker').disabled, $('link').textContent]");
    assert_eq!(shown, json!([false, "unknown", "true", true, "not known"]));
    // What is pressed meanwhile is not pressed later.
    browser.press("#record", 50);
    assert!(browser.text("hint").contains("cannot press"), "{}", browser.text("hint"));
    demo.program.signal(Signal::CONT);
    says(browser, "Live", "The camera is on.", "");
    assert_eq!(browser.value("$('lost').hidden"), true);
    browser.press("#record", 5);
    says(browser, "Idle", OFF, "No stream.");
}

/// A real v4l2src on a camera that is pulled out.
#[test]
fn a_lost_camera_is_told_from_a_live_one() {
    let demo = Demo::with_camera();
    let browser = Browser::open(&demo.url, 1280, 1000);
    axe::sees_what_is_wrong(&browser);
    says(&browser, "Idle", OFF, "No stream.");
    browser.press("#record", 5);
    says(&browser, "Live", "The camera is on.", "");
    assert_eq!(browser.text("microphone"), "The microphone may be on.", "this box has none, but does not say so");
    demo.unplug();
    let away = "The camera is away. The box opens it as soon as it is back.";
    stop_at(&browser, "Live, with a stand-in picture", away, "");
    demo.plug();
    says(&browser, "Live", "The camera is on.", "");
}
