//! The pages that the tables give: one for the mechanisms, one for each set, and an index with the counts.

use std::fmt::Write as _;

use super::evidence;
use super::tables::{Answer, Form, Mechanism, Row, Set, Tables};

/// Each page's name and text.
pub(super) fn all(tables: &Tables) -> Vec<(String, String)> {
    let mut pages = vec![("README.md".to_owned(), index(tables)), ("mechanisms.md".to_owned(), mechanisms(tables))];
    pages.extend(tables.sets.iter().map(|(name, set)| (format!("{name}.md"), page(set, tables))));
    pages
}

const GENERATED: &str =
    "Generated from the table of the same name with the ending `.toml`; tests hold the two together.";

/// Breaks a text into lines that an editor shows.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            word.clone_into(line);
        } else if line.chars().count() + 1 + word.chars().count() <= crate::LONGEST {
            write!(line, " {word}").unwrap();
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

fn cells<const N: usize>(cells: [String; N]) -> String {
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// What shows something, as a link where it can be read.
fn link(item: &str) -> String {
    if item.starts_with("make ") {
        return format!("`{item}`");
    }
    if let Some((words, file)) = evidence::as_words(item) {
        return format!("[{words}](../../{file})");
    }
    if let Some((file, line)) = item.split_once(": ") {
        return format!("[{file}](../../{file}): {line}");
    }
    let (path, heading) = item.split_once('#').unwrap_or((item, ""));
    let target = path.strip_prefix("docs/").map_or_else(|| format!("../../{path}"), |page| format!("../{page}"));
    let Some(page) = path.strip_suffix(".md") else { return format!("[{path}]({target})") };
    // The package brings not all pages, and then shows these words alone.
    let page = page.strip_prefix("docs/").unwrap_or(page);
    if heading.is_empty() {
        return format!("[{page}]({target})");
    }
    format!("[{page}: {}]({target}#{heading})", heading.replace('-', " "))
}

fn mechanisms(tables: &Tables) -> String {
    let about = "For privacy officers, auditors and developers: what the box does, and what shows it. The pages of \
                 conformity link here. The names of tests are sentences; in the sources they have underscores for \
                 spaces. What is called planned is designed and not built.";
    let mut page = format!("# Mechanisms · 机制\n\n{}\n\n{}\n", wrapped(about), wrapped(GENERATED));
    for (key, Mechanism { en, zh, does, shown, planned, open }) in &tables.mechanisms {
        write!(page, "\n## {key}\n**{en} · {zh}**{}\n\n{}\n", if *planned { " (planned)" } else { "" }, wrapped(does))
            .unwrap();
        if !shown.is_empty() {
            page.push('\n');
        }
        for item in shown {
            writeln!(page, "- {}", link(item)).unwrap();
        }
        if let Some(open) = open {
            write!(page, "\n{}\n", wrapped(&format!("*Open:* {open}"))).unwrap();
        }
    }
    page
}

fn answer(answer: Answer, form: Form, zh: bool) -> &'static str {
    match (form, answer) {
        (Form::Ics, Answer::Yes) => "Y",
        (Form::Ics, Answer::Part | Answer::No | Answer::Platform) => "N",
        (Form::Ics, Answer::NotApplicable) => "N/A",
        (Form::Table | Form::Ixit, Answer::Yes) if zh => "是 yes",
        (Form::Table | Form::Ixit, Answer::Yes) => "yes",
        (Form::Table | Form::Ixit, Answer::Part) if zh => "部分 in part",
        (Form::Table | Form::Ixit, Answer::Part) => "in part",
        (Form::Table | Form::Ixit, Answer::No) if zh => "否 no",
        (Form::Table | Form::Ixit, Answer::No) => "no",
        (Form::Table | Form::Ixit, Answer::NotApplicable) if zh => "不适用 not applicable",
        (Form::Table | Form::Ixit, Answer::NotApplicable) => "not applicable",
        (Form::Table | Form::Ixit, Answer::Platform) if zh => "平台 platform",
        (Form::Table | Form::Ixit, Answer::Platform) => "platform",
    }
}

/// What the box does for a row.
fn detail(row: &Row, tables: &Tables, zh: bool) -> String {
    let links = row.by.iter().filter_map(|key| tables.mechanisms.get(key).map(|mechanism| (key, mechanism)));
    let names = links.map(|(key, Mechanism { en, zh: chinese, planned, .. })| {
        let words = if zh { format!("{chinese} {en}") } else { en.clone() };
        format!("[{words}](mechanisms.md#{key}){}", if *planned { " (planned)" } else { "" })
    });
    names.chain(row.says.clone()).collect::<Vec<_>>().join("; ")
}

/// What shows it: the row's own, and the first thing that shows each mechanism.
fn shown(row: &Row, tables: &Tables) -> String {
    let leading = row.by.iter().filter_map(|key| tables.mechanisms.get(key)?.shown.first());
    let mut items: Vec<&String> = row.shown.iter().chain(leading).collect();
    let mut seen = std::collections::BTreeSet::new();
    items.retain(|item| seen.insert(*item));
    items.into_iter().map(|item| link(item)).collect::<Vec<_>>().join("; ")
}

fn open(row: &Row, tables: &Tables) -> String {
    let planned = row.by.iter().filter_map(|key| tables.mechanisms.get(key)).filter(|mechanism| mechanism.planned);
    let planned: Vec<&str> = planned.map(|mechanism| mechanism.en.as_str()).collect();
    let planned = (!planned.is_empty()).then(|| format!("not built yet: {}", planned.join("; ")));
    row.open.clone().into_iter().chain(planned).collect::<Vec<_>>().join("; ")
}

fn page(set: &Set, tables: &Tables) -> String {
    let title = set.zh.as_ref().map_or_else(|| set.title.clone(), |zh| format!("{zh} · {}", set.title));
    let mut page = format!("# {title}\n\n");
    for paragraph in set.about.iter().chain([&format!("*Numbers and wording:* {}", set.source), &GENERATED.to_owned()])
    {
        write!(page, "{}\n\n", wrapped(paragraph)).unwrap();
    }
    match set.form {
        Form::Table => table(&mut page, set, tables),
        Form::Ics => ics(&mut page, set, tables),
        Form::Ixit => ixit(&mut page, set, tables),
    }
    page
}

fn table(page: &mut String, set: &Set, tables: &Tables) {
    let zh = set.zh.is_some();
    page.push_str(if zh {
        "| 条款 no. | 要求 asks | 结论 answer | 机制 mechanism | 证据 shown by | 未尽 open |\n"
    } else {
        "| no. | asks | answer | mechanism | shown by | open |\n"
    });
    page.push_str("|---|---|---|---|---|---|\n");
    for row in &set.row {
        let asks = row.zh.as_ref().map_or_else(|| row.asks.clone(), |chinese| format!("{chinese} · {}", row.asks));
        let answer = answer(row.answer, set.form, zh).to_owned();
        page.push_str(&cells([
            row.id.clone(),
            asks,
            answer,
            detail(row, tables, zh),
            shown(row, tables),
            open(row, tables),
        ]));
    }
}

fn ics(page: &mut String, set: &Set, tables: &Tables) {
    page.push_str("| Reference | Status | Support | Asks | Detail | Shown by | Open | IXIT |\n|---|---|---|---|---|---|---|---|\n");
    for row in &set.row {
        let status = row.status.clone().unwrap_or_default();
        let support = answer(row.answer, set.form, false).to_owned();
        let ixit = row.ixit.iter().map(|number| ixit_link(*number, tables)).collect::<Vec<_>>().join(", ");
        let (detail, shown, open) = (detail(row, tables, false), shown(row, tables), open(row, tables));
        page.push_str(&cells([row.id.clone(), status, support, row.asks.clone(), detail, shown, open, ixit]));
    }
}

/// A link to a table of the IXIT.
fn ixit_link(number: u8, tables: &Tables) -> String {
    let found = tables.sets.iter().filter(|(_, set)| set.form == Form::Ixit).find_map(|(name, set)| {
        let id = set.provisions.iter().find(|id| id.split('-').next() == Some(&number.to_string()))?;
        let title = set.titles.get(id).map_or("", String::as_str);
        Some(format!("[{number}]({name}.md#ixit-{}-{})", id.to_lowercase(), title.replace(' ', "-")))
    });
    found.unwrap_or_else(|| panic!("there is no IXIT {number}"))
}

fn ixit(page: &mut String, set: &Set, tables: &Tables) {
    for number in &set.provisions {
        let title = set.titles.get(number).map_or("", String::as_str);
        write!(
            page,
            "## IXIT {number}: {title}\n\n| ID | what | mechanism | shown by | open |\n|---|---|---|---|---|\n"
        )
        .unwrap();
        for row in set.row.iter().filter(|row| row.id.split('/').next() == Some(number)) {
            let id = row.id.split('/').nth(1).unwrap_or(&row.id).to_owned();
            let what =
                if row.answer == Answer::NotApplicable { format!("{}: none", row.asks) } else { row.asks.clone() };
            page.push_str(&cells([id, what, detail(row, tables, false), shown(row, tables), open(row, tables)]));
        }
        page.push('\n');
    }
    let end = page.trim_end().len();
    page.truncate(end);
    page.push('\n');
}

/// The page that leads to the others: what stands between the marks of the kept page is written anew.
fn index(tables: &Tables) -> String {
    let kept = crate::text(&crate::root().join("docs/conformity/README.md"));
    let (before, rest) = kept.split_once("<!-- begin: generated -->\n").expect("the mark where the table begins");
    let (_, after) = rest.split_once("<!-- end: generated -->").expect("the mark where the table ends");
    let mut rows =
        "| page | rows | yes | in part | no | not applicable | platform |\n|---|---|---|---|---|---|---|\n".to_owned();
    for (name, set) in &tables.sets {
        let count = |answer| set.row.iter().filter(|row| row.answer == answer).count().to_string();
        let counts = [Answer::Yes, Answer::Part, Answer::No, Answer::NotApplicable, Answer::Platform].map(count);
        let [yes, part, no, none, platform] = counts;
        let title = set.zh.as_ref().map_or_else(|| set.title.clone(), |zh| format!("{zh} {}", set.title));
        rows.push_str(&cells([
            format!("[{title}]({name}.md)"),
            set.row.len().to_string(),
            yes,
            part,
            no,
            none,
            platform,
        ]));
    }
    let planned: Vec<_> = tables.mechanisms.iter().filter(|(_, mechanism)| mechanism.planned).collect();
    let built = tables.mechanisms.len() - planned.len();
    let mut summary = format!("{built} of {} mechanisms are built. Designed, and not built:", tables.mechanisms.len());
    if planned.is_empty() {
        summary.push_str(" none.");
    }
    for (key, Mechanism { en, zh, .. }) in planned {
        write!(summary, "\n- [{en} {zh}](mechanisms.md#{key})").unwrap();
    }
    format!("{before}<!-- begin: generated -->\n{rows}\n{summary}\n<!-- end: generated -->{after}")
}

#[test]
fn items_become_links_and_rows_tables() {
    assert_eq!(link("docs/ledger.md#the-hash"), "[ledger: the hash](../ledger.md#the-hash)");
    assert_eq!(link("SECURITY.md"), "[SECURITY](../../SECURITY.md)");
    assert_eq!(link("src/a.rs::b_c"), "[b c](../../src/a.rs)");
    assert_eq!(link("a.service: B=c"), "[a.service](../../a.service): B=c");
    assert_eq!(cells(["a|b".to_owned()]), "| a\\|b |\n");
    assert!(wrapped(&"word ".repeat(100)).lines().all(|line| line.chars().count() <= crate::LONGEST));
}
