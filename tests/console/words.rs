//! Both languages are complete, and know every word that a box can say.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tallybox::ipc::VERBS;

use crate::browser::Browser;
use crate::site::{Broker, Site, no_faults};

fn wire(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The kinds of ledger entries, and the reasons of states.
fn said_by_boxes() -> Value {
    let ledger = wire("ledger.txt");
    let kinds: BTreeSet<&str> =
        ledger.lines().filter_map(|line| line.strip_prefix(" kind=")?.strip_suffix(" {}")).collect();
    let reasons = wire("reasons.txt");
    let reasons: BTreeSet<&str> =
        reasons.lines().filter_map(|line| Some(line.split_once(": ")?.1)).flat_map(|list| list.split(", ")).collect();
    let reasons: BTreeSet<&str> = reasons.into_iter().filter(|word| !word.is_empty()).collect();
    assert!(kinds.len() > 20 && reasons.len() > 15, "{kinds:?} {reasons:?}");
    json!({ "fact": kinds, "reason": reasons })
}

/// An entry of each kind, with a value in each field.
fn an_entry_of_each_kind() -> Value {
    let mut entries = serde_json::Map::new();
    for line in wire("ledger.txt").lines() {
        let Some((kind, rest)) = line.strip_prefix(" kind=").and_then(|rest| rest.split_once(['.', ' '])) else {
            continue;
        };
        let entry = entries.entry(kind).or_insert_with(|| json!({ "kind": kind }));
        let Some((field, value)) = rest.split_once(' ').filter(|(field, _)| !field.ends_with("[]")) else { continue };
        entry[field.trim_end_matches('?')] = match value {
            "u32" | "u64" => json!(3),
            "a boolean" => json!(true),
            "a timestamp string" => json!("2026-11-24T09:50:32Z"),
            _ => json!("some-text-of-sixteen-characters-or-more"),
        };
    }
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// Each code of a reply, and each step of a long command, has words in both languages.
fn commands_have_words(browser: &Browser) {
    let codes: Vec<String> = wire("reply-codes.txt").lines().map(str::to_owned).collect();
    let steps: Vec<String> = VERBS.iter().flat_map(|row| row.steps).map(|step| (*step).to_owned()).collect();
    assert!(codes.len() > 10 && steps.len() > 4, "{codes:?} {steps:?}");
    for (table, words) in [("codes", codes), ("progresses", steps)] {
        let unknown = browser.value(&format!(
            "import('./js/language.js').then(({{ all }}) => {}.filter((word) => !Object.values(all()).every((text) => Object.hasOwn(text.command.{table}, word))))",
            json!(words)
        ));
        assert_eq!(unknown, json!([]), "console/js/text has no words in {table} for these");
    }
}

#[test]
fn both_languages_are_complete() {
    let broker = Broker::start();
    let site = Site::start(&broker);
    let browser = site.open(&broker, "zh");
    let differences = browser.value(
        "import('./js/language.js').then(({ all }) => {
            const { en, zh } = all(), found = [];
            const walk = (path, left, right) => {
                if (typeof left !== typeof right) { found.push(`${path}: ${typeof left} and ${typeof right}`); return; }
                if (typeof left === 'function' && left.length !== right.length) found.push(`${path}: parameters`);
                if (typeof left !== 'object') return;
                for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) walk(`${path}.${key}`, left[key], right[key]);
            };
            walk('text', en, zh);
            return found;
        })",
    );
    assert_eq!(differences, json!([]));

    let unknown = browser.value(&format!(
        "import('./js/language.js').then(({{ all }}) => {{
            const said = {}, found = [];
            for (const [tag, text] of Object.entries(all())) for (const [table, words] of Object.entries(said))
                for (const word of words) if (!Object.hasOwn(text[table], word)) found.push(`${{tag}}: ${{table}} ${{word}}`);
            return found;
        }})",
        said_by_boxes()
    ));
    assert_eq!(unknown, json!([]), "console/js/text has no words for these");
    commands_have_words(&browser);

    // And each sentence finds the fields that it names.
    let wrong = browser.value(&format!(
        "Promise.all([import('./js/language.js'), import('./js/words.js')]).then(([language, words]) => {{
            const entries = {}, found = [];
            for (const tag of ['en', 'zh']) {{
                language.choose(tag);
                for (const entry of entries) {{
                    const said = words.sentence(entry);
                    if (/undefined|NaN|Invalid/.test(said) || said.startsWith(`${{entry.kind}} `) || said.startsWith(`${{entry.kind}}（`)) found.push(said);
                }}
            }}
            localStorage.clear();
            return found;
        }})",
        an_entry_of_each_kind()
    ));
    assert_eq!(wrong, json!([]));

    // What is on the page in Chinese has no word of English but names.
    let latin = browser.value("document.querySelector('.login').innerText.match(/[A-Za-z]{2,}[^\\n]*/g)");
    let text = latin.to_string();
    for english in ["Connect", "Password", "broker.", "optional"] {
        assert!(!text.contains(english) || english == "broker.", "{text}");
    }
    no_faults(&browser);
}

#[test]
fn the_vendored_files_are_those_that_are_listed() {
    let verify = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("console/vendor/verify");
    let said = std::process::Command::new(verify).arg("--offline").output().unwrap();
    assert!(said.status.success(), "{said:?}");
}
