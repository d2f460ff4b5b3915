//! A headless Chromium, driven over WebDriver.
#![allow(dead_code, unreachable_pub)] // each test program uses its own part

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Program, free_port, wait_for};

/// The key under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window.
pub struct Browser {
    _driver: Program,
    _profile: tempfile::TempDir,
    session: String,
}

fn call(url: &str, body: &Value) -> Value {
    let sent = ureq::post(url).config().http_status_as_error(false).build().send_json(body);
    sent.unwrap().body_mut().read_json().unwrap()
}

impl Browser {
    pub fn open(url: &str, width: u32, height: u32) -> Self {
        let port = free_port();
        let profile = tempfile::tempdir().unwrap();
        let mut chromedriver = Command::new("chromedriver");
        chromedriver.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = Program::start(&mut chromedriver);
        let base = format!("http://127.0.0.1:{port}");
        wait_for("chromedriver answers", Duration::from_secs(60), || ureq::get(format!("{base}/status")).call().ok());
        let profile_dir = format!("--user-data-dir={}", profile.path().display());
        let window = format!("--window-size={width},{height}");
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-sync",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            &window,
            &profile_dir,
        ];
        let options = json!({ "args": args });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let made = call(&format!("{base}/session"), &wanted);
        let id = made["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no browser: {made}"));
        let this = Self { session: format!("{base}/session/{id}"), _driver: driver, _profile: profile };
        this.go(url);
        this
    }

    /// Opens another page.
    pub fn go(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// An empty page, of the window's size and without anybody's wishes, as after [`Browser::open`].
    pub fn clear(&self) {
        self.go("about:blank");
        self.tools("Emulation.clearDeviceMetricsOverride", &json!({}));
        self.tools("Emulation.setEmulatedMedia", &json!({ "features": [] }));
    }

    fn post(&self, what: &str, body: &Value) -> Value {
        let mut answer = call(&format!("{}/{what}", self.session), body);
        assert!(answer["value"]["error"].is_null(), "{what}: {answer}");
        answer["value"].take()
    }

    /// The value of a JavaScript expression.
    pub fn value(&self, expression: &str) -> Value {
        self.post("execute/sync", &json!({ "script": format!("return {expression}"), "args": [] }))
    }

    pub fn text(&self, id: &str) -> String {
        self.value(&format!("document.getElementById('{id}').textContent")).as_str().unwrap_or_default().to_owned()
    }

    /// What the guard says, as the page was told it; `no-answer` or `unknown` where nothing is.
    pub fn phase(&self) -> String {
        self.value("document.getElementById('phase').dataset.phase").as_str().unwrap_or_default().to_owned()
    }

    /// Runs a program in the page.
    pub fn run(&self, script: &str) {
        self.post("execute/sync", &json!({ "script": script, "args": [] }));
    }

    /// Presses a key on an element, and holds it.
    pub fn key(&self, id: &str, key: &str, millis: u64) {
        self.value(&format!("document.getElementById('{id}').focus()"));
        let actions = json!([
            { "type": "keyDown", "value": key },
            { "type": "pause", "duration": millis },
            { "type": "keyUp", "value": key },
        ]);
        self.post("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    /// Presses a key on what has the focus.
    pub fn press_key(&self, key: &str) {
        let actions = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.post("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    fn tools(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// The size of the page in pixels, and `light` or `dark`.
    pub fn look_like(&self, width: u32, height: u32, scheme: &str) {
        self.scale(width, height, 1.0);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.tools("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    /// The size of the page in pixels, and how many pixels of a screenshot one of these has.
    pub fn scale(&self, width: u32, height: u32, factor: f64) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": factor, "mobile": false });
        self.tools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Whether whoever looks has asked for less motion.
    pub fn prefer_calm(&self, calm: bool) {
        let feature = json!({ "name": "prefers-reduced-motion", "value": if calm { "reduce" } else { "" } });
        self.tools("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    /// Keeps pictures of the page, wide and narrow, where `TALLYBOX_SCREENSHOTS` names a directory.
    pub fn keep(&self, name: &str) {
        let Some(dir) = std::env::var_os("TALLYBOX_SCREENSHOTS") else { return };
        for (width, height, scheme) in [(1280, 1000, "light"), (1280, 1800, "dark"), (360, 3600, "light")] {
            self.look_like(width, height, scheme);
            self.value("window.scrollTo(0, 0)");
            let name = format!("{}-{width}x{height}.b64", name.to_lowercase().replace([' ', ','], "-"));
            std::fs::write(std::path::Path::new(&dir).join(name), self.screenshot()).unwrap();
        }
        self.look_like(1280, 1000, "light");
    }

    #[track_caller]
    pub fn wait_for_phase(&self, phase: &str) {
        wait_for(&format!("phase {phase}"), Duration::from_secs(60), || (self.phase() == phase).then_some(()));
    }

    pub fn click(&self, selector: &str) {
        let element = self.post("element", &json!({ "using": "css selector", "value": selector }));
        let id = element[ELEMENT].as_str().unwrap();
        self.post(&format!("element/{id}/click"), &json!({}));
    }

    /// Moves a switch. A click is lost where the page's lines move just then, or the switch is not to be used yet.
    #[track_caller]
    pub fn switch(&self, selector: &str) {
        let is_on = || self.value(&format!("document.querySelector('{selector}').checked"));
        let before = is_on();
        wait_for(&format!("{selector} moves"), Duration::from_secs(30), || {
            self.click(selector);
            (is_on() != before).then_some(())
        });
    }

    /// Presses with the mouse and holds, as long as `millis` of the browser's own time.
    pub fn press(&self, selector: &str, millis: u64) {
        let press = json!([
            { "type": "pointerDown", "button": 0 },
            { "type": "pause", "duration": millis },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.pointer(selector, &press);
    }

    /// Presses with the mouse, and holds until the page says `phase`. The page itself lets go: what a hold brings lasts
    /// for some seconds only, and this program could look too late on a busy machine.
    #[track_caller]
    pub fn hold_until(&self, selector: &str, phase: &str) {
        self.value(&format!(
            "(() => {{
                const said = document.getElementById('phase').dataset, button = document.querySelector('{selector}');
                const seen = new MutationObserver(() => {{
                    if (said.phase !== '{phase}') return;
                    seen.disconnect();
                    button.dispatchEvent(new PointerEvent('pointercancel'));
                }});
                seen.observe(document.getElementById('phase'), {{ attributes: true }});
                return true;
            }})()"
        ));
        self.pointer(selector, &json!([{ "type": "pointerDown", "button": 0 }]));
        self.wait_for_phase(phase);
        self.finger(&json!([{ "type": "pointerUp", "button": 0 }]));
    }

    /// Moves the mouse to an element, then does `actions` there.
    pub fn pointer(&self, selector: &str, actions: &Value) {
        let element = self.post("element", &json!({ "using": "css selector", "value": selector }));
        let there = json!({ "type": "pointerMove", "duration": 0, "origin": element, "x": 0, "y": 0 });
        let all: Vec<_> = std::iter::once(&there).chain(actions.as_array().into_iter().flatten()).collect();
        self.finger(&json!(all));
    }

    fn finger(&self, actions: &Value) {
        let finger =
            json!({ "type": "pointer", "id": "finger", "parameters": { "pointerType": "mouse" }, "actions": actions });
        self.post("actions", &json!({ "actions": [finger] }));
    }

    pub fn resize(&self, width: u32, height: u32) {
        self.post("window/rect", &json!({ "width": width, "height": height }));
    }

    /// A PNG in base64, made in little time and therefore large.
    pub fn quick_screenshot(&self) -> String {
        let mut made = self.tools("Page.captureScreenshot", &json!({ "format": "png", "optimizeForSpeed": true }));
        serde_json::from_value(made["data"].take()).unwrap()
    }

    /// A PNG, in base64.
    pub fn screenshot(&self) -> String {
        let shot = ureq::get(format!("{}/screenshot", self.session)).call().unwrap().body_mut().read_json::<Value>();
        shot.unwrap()["value"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
    }
}
