//! `tallybox demo` in a real browser: each promise that the page lets one try.
#![allow(clippy::unwrap_used, clippy::panic, clippy::duration_suboptimal_units, clippy::must_use_candidate)]

mod axe;
mod browser;
mod demo;
mod record;
#[path = "../support/mod.rs"]
mod support;
mod tour;

use std::process::Command;

use browser::Browser;
use demo::Demo;
use support::{TALLYBOX, wait_until};

/// Frames that the video element has decoded.
fn frames(browser: &Browser) -> u64 {
    browser.value("player.video.getVideoPlaybackQuality().totalVideoFrames").as_u64().unwrap()
}

#[track_caller]
fn plays(browser: &Browser) {
    wait_until("the video has a picture", || browser.value("player.video.videoWidth") == 1280);
    let before = frames(browser);
    wait_until("the video goes on", || frames(browser) > before + 30);
    let behind = "player.video.buffered.end(player.video.buffered.length - 1) - player.video.currentTime";
    wait_until("it is at the live edge", || browser.value(behind).as_f64().is_some_and(|seconds| seconds < 2.0));
}

fn screenshot(browser: &Browser, name: &str) {
    browser.value("window.scrollTo(0, 0)");
    if let Some(dir) = std::env::var_os("TALLYBOX_SCREENSHOTS") {
        std::fs::write(std::path::Path::new(&dir).join(name), browser.screenshot()).unwrap();
    }
}

#[test]
fn the_promises_can_be_tried() {
    let mut demo = Demo::start();
    let browser = Browser::open(&demo.url, 1280, 1000);
    browser.wait_for_phase("idle");
    wait_until("the platform hears the box", || browser.text("link") == "box online");
    assert_eq!(browser.value("document.getElementById('lamp').dataset.pattern"), "dark");
    assert_eq!(browser.value("document.getElementById('dark').hidden"), false);
    screenshot(&browser, "idle.b64");
    a_press_goes_on_air(&browser);
    servers_fail_and_come_back(&browser);
    the_platform_stops_it(&browser);
    holds_mean_what_they_say(&browser);
    assert_eq!(demo.program.finish(), Some(0));
}

fn a_press_goes_on_air(browser: &Browser) {
    // A remote request lights the lamp and starts nothing.
    browser.click("[data-verb=request-start]");
    browser.wait_for_phase("requested");
    assert_eq!(browser.value("document.getElementById('lamp').dataset.pattern"), "slow-pulse");

    // A press starts picture and sound, also the tap of a trackpad, which is shorter than the debounce.
    browser.press("#record", 5);
    browser.wait_for_phase("live");
    plays(browser);
    assert_eq!(browser.value("document.getElementById('lamp').dataset.lit"), "true");
    wait_until("the platform hears of it", || browser.text("m-phase") == "live");
    // How many pictures a busy machine makes is not what this is about.
    wait_until("telemetry comes", || browser.text("m-fps").parse::<u32>().is_ok_and(|fps| fps > 10));
    for figure in ["bitrate", "frames"] {
        let line = format!("document.querySelector('#plot-{figure} .line').getAttribute('d')");
        wait_until(&format!("{figure} is plotted"), || {
            browser.value(&line).as_str().unwrap().matches('L').count() >= 3
        });
        let label = format!("document.querySelector('#plot-{figure} svg').getAttribute('aria-label')");
        let told = browser.value(&label);
        assert!(told.as_str().is_some_and(|told| told.contains(" now; ") && told.contains("between")), "{told}");
    }
    wait_until("it has sound", || browser.value("player.video.webkitAudioDecodedByteCount > 0") == true);
    screenshot(browser, "live.b64");
    browser.resize(1280, 1500);
    screenshot(browser, "whole.b64");
    browser.resize(390, 2600);
    screenshot(browser, "phone.b64");
    browser.resize(1280, 1000);
}

fn servers_fail_and_come_back(browser: &Browser) {
    // The ingest dies and comes back.
    browser.switch("#ingest");
    browser.wait_for_phase("reconnecting");
    assert_eq!(browser.value("document.getElementById('lamp').dataset.pattern"), "double-blink");
    browser.switch("#ingest");
    browser.wait_for_phase("live");
    plays(browser);

    // The cable is pulled and put back.
    browser.switch("#network");
    browser.wait_for_phase("reconnecting");
    browser.switch("#network");
    browser.wait_for_phase("live");

    // The broker dies: the platform knows that it knows nothing, and hears all of it later.
    browser.switch("#broker");
    wait_until("the page says so", || browser.text("link") == "message broker is down");
    assert_eq!(browser.phase(), "live");
    browser.switch("#broker");
    wait_until("the box is back", || browser.text("link") == "box online");
}

fn the_platform_stops_it(browser: &Browser) {
    // Remote stops.
    browser.click("[data-verb=stop]");
    browser.wait_for_phase("idle");
    let off_air = "plots.points.at(-1) === null && document.querySelector('#plot-bitrate b').textContent === '–'";
    wait_until("nothing more is plotted", || browser.value(off_air) == true);
    wait_until("the video ends", || browser.value("document.getElementById('dark').hidden") == false);
    assert_eq!(browser.text("reason"), "The platform stopped it.");
    wait_until("the ledger says so", || browser.text("ledger").contains("session-stopped"));
}

fn holds_mean_what_they_say(browser: &Browser) {
    // A hold of more than 0.7 s and less than 3 s starts picture only; the next touch stops it on the way down.
    browser.press("#record", 1800);
    browser.wait_for_phase("live");
    plays(browser);
    assert_eq!(browser.value("document.getElementById('lamp').dataset.pattern"), "solid-notched");
    assert_eq!(browser.value("player.video.webkitAudioDecodedByteCount"), 0);
    browser.press("#record", 5);
    browser.wait_for_phase("idle");

    // Five seconds lock it, two unlock it.
    browser.hold_until("#record", "locked");
    browser.press("#record", 150);
    assert_eq!(browser.phase(), "locked");
    browser.hold_until("#record", "idle");
}

#[test]
fn only_loopback_is_listened_on_and_only_this_page_may_press() {
    let refused = Command::new(TALLYBOX).args(["demo", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("loopback only"));

    let demo = Demo::start();
    let url = demo.url.as_str();
    let status = |name: &str, value: &str| {
        let request = ureq::get(url).config().http_status_as_error(false).build().header(name, value);
        request.call().unwrap().status().as_u16()
    };
    assert_eq!(status("accept", "*/*"), 200);
    assert_eq!(status("host", "evil.example"), 403);
    assert_eq!(status("origin", "http://evil.example"), 403);
    let taken = url.trim_start_matches("http://");
    let second = Command::new(TALLYBOX).args(["demo", "--listen", taken]).output().unwrap();
    assert_eq!(second.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&second.stderr).contains("choose another port"));
}
