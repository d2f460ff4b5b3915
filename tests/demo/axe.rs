//! axe-core in the page: what it finds, and what it does not look at.
#![allow(dead_code, unreachable_pub)] // each test program uses its own part

use std::path::PathBuf;

use serde_json::Value;

use crate::browser::Browser;

/// The widths and colour schemes in which each page is judged.
const WIDTHS: [u32; 2] = [1280, 360];
const SCHEMES: [&str; 2] = ["light", "dark"];
/// Whoever has little control over a finger or a pointer hits what is this large (WCAG 2.5.5), in CSS pixels.
const TARGET: u32 = 44;
/// The least that WCAG 2.5.8 asks for, at conformance level AA.
pub const SMALLEST: u32 = 24;

fn source() -> String {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let file = PathBuf::from(home).join(".cache/tallybox/tools/axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/setup test brings it", file.display()))
}

/// All rules.
const ALL: &str = "rules: { 'target-size': { enabled: true } }";
/// Those that look at colours: in another scheme nothing else is another.
const COLOURS: &str = "runOnly: ['color-contrast', 'link-in-text-block']";

fn run(browser: &Browser, rules: &str) -> Value {
    browser.value(&format!(
        "axe.run({{ {rules} }}).then((seen) => seen.violations.map((wrong) =>
        `${{wrong.id}}: ${{wrong.help}}: ${{wrong.nodes.map((node) => node.target + ' ' + node.failureSummary).join('; ')}}`))"
    ))
}

/// Brings axe-core into the page.
pub fn load(browser: &Browser) {
    browser.run(&source());
}

/// What it finds in the page as it stands.
pub fn found(browser: &Browser) -> Value {
    run(browser, ALL)
}

/// It would see a page that is wrong: a test that looks at nothing finds nothing.
#[track_caller]
pub fn sees_what_is_wrong(browser: &Browser) {
    load(browser);
    browser.run("$('hint').style.color = '#ddd'; $('mute').querySelector('.sr').textContent = '';");
    let found = found(browser).to_string();
    for rule in ["color-contrast", "button-name"] {
        assert!(found.contains(rule), "{rule}: {found}");
    }
    browser.run("$('hint').style.color = ''; $('mute').querySelector('.sr').textContent = 'Mute button';");
}

/// Judges the page as it stands, in each width and scheme.
#[track_caller]
pub fn finds_nothing(browser: &Browser, what: &str) {
    finds_nothing_but(browser, what, TARGET);
}

/// The same, with targets of at least `target` pixels.
#[track_caller]
pub fn finds_nothing_but(browser: &Browser, what: &str, target: u32) {
    for width in WIDTHS {
        for scheme in SCHEMES {
            browser.look_like(width, 1000, scheme);
            let rules = if scheme == SCHEMES[0] { ALL } else { COLOURS };
            assert_eq!(run(browser, rules), Value::Array(Vec::new()), "{what}, {width} px, {scheme}");
            if scheme != SCHEMES[0] {
                continue;
            }
            let small = browser.value(&format!(
                "[...document.querySelectorAll('button, input, a')].map((each) => each.closest('label') ?? each).filter((each) => each.getClientRects().length > 0)
                    .filter((each) => {{ const box = each.getBoundingClientRect(); return box.width < {target} || box.height < {target}; }})
                    .map((each) => each.outerHTML)"
            ));
            assert_eq!(small, Value::Array(Vec::new()), "{what}: targets under {target} px, {width} px wide");
            let over = browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(over, 0, "{what}: wider than the window of {width} px");
        }
    }
    browser.look_like(1280, 1000, "light");
}
