//! axe-core in the page: what it finds, and what it does not look at.
#![allow(unreachable_pub)]

use std::path::PathBuf;

use serde_json::Value;

use crate::browser::Browser;

/// The widths and colour schemes in which each page is judged.
const WIDTHS: [u32; 2] = [1280, 360];
const SCHEMES: [&str; 2] = ["light", "dark"];
/// Whoever has little control over a finger or a pointer hits what is this large (WCAG 2.5.5), in CSS pixels.
const TARGET: u32 = 44;

fn source() -> String {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let file = PathBuf::from(home).join(".cache/tallybox/tools/axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/setup test brings it", file.display()))
}

const JUDGE: &str =
    "axe.run({ rules: { 'target-size': { enabled: true } } }).then((seen) => seen.violations.map((wrong) =>
    `${wrong.id}: ${wrong.help}: ${wrong.nodes.map((node) => node.target + ' ' + node.failureSummary).join('; ')}`))";

/// It would see a page that is wrong: a test that looks at nothing finds nothing.
#[track_caller]
pub fn sees_what_is_wrong(browser: &Browser) {
    browser.run(&source());
    browser.run("$('hint').style.color = '#ddd'; $('mute').querySelector('.sr').textContent = '';");
    let found = browser.value(JUDGE).to_string();
    for rule in ["color-contrast", "button-name"] {
        assert!(found.contains(rule), "{rule}: {found}");
    }
    browser.run("$('hint').style.color = ''; $('mute').querySelector('.sr').textContent = 'Mute button';");
}

/// Judges the page as it stands, in each width and scheme.
#[track_caller]
pub fn finds_nothing(browser: &Browser, what: &str) {
    for width in WIDTHS {
        for scheme in SCHEMES {
            browser.look_like(width, 1000, scheme);
            let found = browser.value(JUDGE);
            assert_eq!(found, Value::Array(Vec::new()), "{what}, {width} px, {scheme}");
            let small = browser.value(&format!(
                "[...document.querySelectorAll('button, input, a')].map((each) => each.closest('label') ?? each)
                    .filter((each) => {{ const box = each.getBoundingClientRect(); return box.width < {TARGET} || box.height < {TARGET}; }})
                    .map((each) => each.outerHTML)"
            ));
            assert_eq!(small, Value::Array(Vec::new()), "{what}: targets under {TARGET} px, {width} px wide");
            let over = browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(over, 0, "{what}: wider than the window of {width} px");
        }
    }
    browser.look_like(1280, 1000, "light");
}
