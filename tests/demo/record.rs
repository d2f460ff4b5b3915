//! The frames of the README's animated picture: the real page, box and stream. `tests/demo/record` calls it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::browser::Browser;
use crate::demo::Demo;
use crate::support::{poll, wait_until};

/// The page's upper part: the box and the stream. Screenshots are 800 pixels wide.
const SIZE: (u32, u32) = (1120, 610);
const SCALE: f64 = 5.0 / 7.0;
const SECOND: Duration = Duration::from_secs(1);

/// A finger that follows the pointer: screenshots have no pointer.
const FINGER: &str = "
    const finger = document.createElement('div');
    finger.style.cssText = 'position:fixed;z-index:9;width:44px;height:44px;margin:-22px;border-radius:50%;' +
        'background:#ffd9;border:2px solid #333a;pointer-events:none;left:360px;top:560px';
    document.body.append(finger);
    const at = (event) => { finger.style.left = event.clientX + 'px'; finger.style.top = event.clientY + 'px'; };
    addEventListener('pointermove', at, true);
    addEventListener('pointerdown', () => finger.style.background = '#fc3d', true);
    addEventListener('pointerup', () => finger.style.background = '#ffd9', true);";

struct Recorder {
    browser: Browser,
    folder: PathBuf,
}

impl Recorder {
    /// Writes a PNG in base64; its name is the browser's time in milliseconds.
    fn frame(&self) {
        let at = self.browser.value("Math.round(performance.now())").as_u64().unwrap();
        std::fs::write(self.folder.join(format!("{at:0>8}.b64")), self.browser.quick_screenshot()).unwrap();
    }

    fn film(&self, span: Duration) {
        poll(span, || {
            self.frame();
            None::<()>
        });
    }

    fn film_until(&self, what: &str, expression: &str) {
        wait_until(what, || {
            self.frame();
            self.browser.value(expression) == true
        });
    }

    /// A touch in steps, so that frames show the finger on the button.
    fn press(&self, selector: &str) {
        self.browser.pointer(selector, &json!([]));
        self.film(SECOND);
        self.browser.pointer(selector, &json!([{ "type": "pointerDown", "button": 0 }]));
        self.frame();
        self.browser.pointer(selector, &json!([{ "type": "pointerUp", "button": 0 }]));
    }
}

#[test]
#[ignore = "makes a picture for the README"]
fn record() {
    let folder = std::env::var_os("TALLYBOX_SCREENSHOTS").expect("TALLYBOX_SCREENSHOTS names the frames' directory");
    let demo = Demo::start();
    let recorder = Recorder { browser: Browser::open(&demo.url, 1280, 1000), folder: folder.into() };
    let browser = &recorder.browser;
    browser.scale(SIZE.0, SIZE.1, SCALE);
    wait_until("the platform hears the box", || browser.text("link") == "box online");
    browser.run(FINGER);

    recorder.film(SECOND);
    recorder.press("#record");
    recorder.film_until("the picture moves", "$('phase').dataset.phase === 'live' && player.video.currentTime > 1");
    assert_eq!(browser.value("$('lamp').dataset.pattern"), "solid", "the finger stayed too long: no sound");
    recorder.film(4 * SECOND);
    recorder.press("#mute");
    recorder.film_until("the mute is confirmed", "$('mute').getAttribute('aria-pressed') === 'true'");
    recorder.film(3 * SECOND);
    recorder.press("#record");
    recorder.film_until("it is idle", "$('phase').dataset.phase === 'idle'");
    recorder.film(2 * SECOND);
}
