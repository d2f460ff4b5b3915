//! The tables of docs/mqtt.md, docs/ledger.md and docs/privacy.md, between
//! `<!-- begin: generated from the types: NAME -->` and
//! `<!-- end: generated -->`.

use std::fmt::Write as _;

use serde_json::Value;

use super::events::{FactRow, facts};
use super::messages::{self, parameters};
use crate::ipc::{Signed, VERBS};
use crate::privacy::{Settings, markdown};
use crate::text::Language;

const BEGIN: &str = "<!-- begin: generated from the types: ";
const END: &str = "<!-- end: generated -->";
/// Longest line of a document, in characters.
const LONGEST: usize = 120;

/// `text` up to its first sentence's end, and shorter where a line would be too long.
fn brief(text: &str, room: usize) -> String {
    let sentence = text.split(". ").next().unwrap_or(text).trim_end_matches('.');
    let mut brief = sentence;
    while brief.chars().count() > room {
        let Some(at) = brief.rfind([':', ',', ';', '(']).or_else(|| brief.rfind(" that ")) else { break };
        brief = &brief[..at];
    }
    brief.trim_end().to_owned()
}

fn row(lines: &mut String, cells: &[&str]) {
    writeln!(lines, "| {} |", cells.join(" | ")).unwrap();
}

fn topics() -> String {
    let mut lines = "| topic | from | QoS | retained | payload |\n|---|---|---|---|---|\n".to_owned();
    let mut last = String::new();
    for message in messages::all() {
        let topic = if message.is_command() { "cmd/<verb>" } else { &message.topic };
        if topic == last {
            continue;
        }
        last = topic.to_owned();
        let topic = topic.replace("{channel}", "<channel>");
        let retained = match (message.is_command(), message.retained) {
            (true, _) => "**never**",
            (false, true) => "yes",
            (false, false) => "no",
        };
        let says = if message.is_command() { "a command to the box" } else { &message.says };
        let from = if message.is_from_box { "box" } else { "platform" };
        row(&mut lines, &[&format!("`{topic}`"), from, &message.qos.to_string(), retained, says]);
    }
    lines
}

/// Each verb with what it does, what its answer means and when it is refused.
fn commands() -> String {
    let mut lines = String::new();
    for verb in &VERBS {
        let signed = match verb.signed {
            Signed::Never => "never signed",
            Signed::WithTrust => "signed with `[[trust]]`",
            Signed::Always => "always signed",
        };
        let long = if verb.is_long() { ", may take minutes" } else { "" };
        let (name, does, ok, refused) = (verb.verb.as_str(), verb.does, verb.ok_means, verb.refused);
        let steps: Vec<String> = verb.steps.iter().map(|step| format!("`{step}`")).collect();
        let progress = if steps.is_empty() { String::new() } else { format!(" `progress`: {}.", steps.join(", ")) };
        let text = format!("`{name}` ({signed}{long}): {does}. `\"ok\": true`: {ok}. Refused: {refused}.{progress}");
        lines += &item(&text);
    }
    lines
}

/// A list's item, in lines as long as a document's may be.
fn item(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), "-".to_owned());
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > LONGEST {
            lines.push_str(&line);
            lines.push('\n');
            line = " ".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

fn all_parameters() -> String {
    let mut lines = "| verb | parameters |\n|---|---|\n".to_owned();
    for verb in &VERBS {
        let schema = parameters(verb.verb);
        let required = |name: &String| {
            schema
                .get("required")
                .and_then(Value::as_array)
                .is_some_and(|names| names.iter().any(|known| known == name))
        };
        let names = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys);
        let names: Vec<_> = names.map(|name| format!("`{name}`{}", if required(name) { "" } else { "?" })).collect();
        if !names.is_empty() {
            row(&mut lines, &[&format!("`{}`", verb.verb.as_str()), &names.join(", ")]);
        }
    }
    lines
}

/// Each kind of fact, with all that its description says.
fn kinds() -> String {
    let item = |fact: FactRow| {
        let fields = fact.fields.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let fields = if fields.is_empty() { fields } else { format!(" ({fields})") };
        item(&format!("`{}`{fields}: {}", fact.kind, fact.means.replace('\n', " ")))
    };
    facts().into_iter().map(item).collect()
}

fn events() -> String {
    let mut lines = "| `kind` | fields | when |\n|---|---|---|\n".to_owned();
    for fact in facts() {
        let fields = fact.fields.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let kind = format!("`{}`", fact.kind);
        let room = LONGEST.saturating_sub(kind.len() + fields.len() + 10);
        row(&mut lines, &[&kind, &fields, &brief(&fact.means, room)]);
    }
    lines
}

/// The data inventory of boxes in general, below a heading of the second level.
fn inventory(language: Language) -> String {
    format!("\n{}\n", markdown(&Settings::in_general(), language, 3).trim_end())
}

/// `text` with its generated parts as they should be; the names of those parts.
pub(super) fn filled(text: &str) -> (String, Vec<String>) {
    let (mut done, mut names, mut rest) = (String::new(), Vec::new(), text);
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (name, behind) = behind.split_once(" -->").expect("a name and the end of the comment");
        let (_, after) = behind.split_once(END).expect("an end");
        let table = match name {
            "topics" => topics(),
            "commands" => commands(),
            "parameters" => all_parameters(),
            "events" => events(),
            "kinds" => kinds(),
            "inventory" => inventory(Language::En),
            "inventory in Chinese" => inventory(Language::Zh),
            other => panic!("there is no table {other}"),
        };
        write!(done, "{before}{BEGIN}{name} -->\n{table}{END}").unwrap();
        names.push(name.to_owned());
        rest = after;
    }
    (done + rest, names)
}
