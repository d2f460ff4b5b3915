//! What makes a table honest: no provision without a row, no row without content, no "yes" without what shows it.

use std::collections::BTreeSet;

use super::tables::{Answer, Form, Mechanism, Row, Set, Tables};

/// What is wrong in the tables.
pub(super) fn mistakes(tables: &Tables) -> Vec<String> {
    let mut found = Vec::new();
    for (key, mechanism) in &tables.mechanisms {
        found.extend(of_mechanism(mechanism).into_iter().map(|what| format!("mechanisms {key}: {what}")));
    }
    for (name, set) in &tables.sets {
        found.extend(of_set(set).into_iter().map(|what| format!("{name}: {what}")));
        for row in &set.row {
            found.extend(of_row(row, set, tables).into_iter().map(|what| format!("{name} {}: {what}", row.id)));
        }
    }
    let used: BTreeSet<&String> = tables.sets.values().flat_map(|set| &set.row).flat_map(|row| &row.by).collect();
    found.extend(tables.mechanisms.keys().filter(|key| !used.contains(key)).map(|key| format!("no row is by {key}")));
    found
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn of_mechanism(mechanism: &Mechanism) -> Vec<&'static str> {
    let mut found = Vec::new();
    if [&mechanism.en, &mechanism.zh, &mechanism.does].into_iter().any(|text| is_blank(text)) {
        found.push("it has an empty text");
    }
    if mechanism.planned != mechanism.shown.is_empty() {
        found.push("what is planned shows nothing, and all else has what shows it");
    }
    found
}

/// The provision that a row belongs to.
fn provision(row: &Row, form: Form) -> &str {
    match form {
        Form::Ixit => row.id.split('/').next().unwrap_or_default(),
        Form::Table | Form::Ics => &row.id,
    }
}

fn of_set(set: &Set) -> Vec<String> {
    let mut found = Vec::new();
    let listed: BTreeSet<&str> = set.provisions.iter().map(String::as_str).collect();
    if listed.len() != set.provisions.len() || listed.is_empty() {
        found.push("a provision is listed twice, or none is".to_owned());
    }
    if is_blank(&set.source) || set.about.iter().any(|text| is_blank(text)) {
        found.push("its source or what it is about is empty".to_owned());
    }
    for number in &listed {
        let count = set.row.iter().filter(|row| provision(row, set.form) == *number).count();
        if count == 0 || (count > 1 && set.form != Form::Ixit) {
            found.push(format!("{number} has {count} rows"));
        }
    }
    let ids: BTreeSet<&str> = set.row.iter().map(|row| row.id.as_str()).collect();
    if ids.len() != set.row.len() {
        found.push("a row is there twice".to_owned());
    }
    let foreign = set.row.iter().filter(|row| !listed.contains(provision(row, set.form)));
    found.extend(foreign.map(|row| format!("{} is not in the list of provisions", row.id)));
    found
}

fn of_row(row: &Row, set: &Set, tables: &Tables) -> Vec<String> {
    let mut found = Vec::new();
    let unknown = row.by.iter().filter(|key| !tables.mechanisms.contains_key(*key));
    found.extend(unknown.map(|key| format!("there is no mechanism {key}")));
    let mechanisms: Vec<_> = row.by.iter().filter_map(|key| tables.mechanisms.get(key)).collect();
    let planned = mechanisms.iter().any(|mechanism| mechanism.planned);
    let shown = !row.shown.is_empty() || mechanisms.iter().any(|mechanism| !mechanism.planned);
    let open = row.open.is_some() || planned;
    let texts = [Some(&row.asks), row.zh.as_ref(), row.says.as_ref(), row.open.as_ref(), row.status.as_ref()];
    if texts.into_iter().flatten().any(|text| is_blank(text)) {
        found.push("a text is empty".to_owned());
    }
    if set.zh.is_some() && row.zh.is_none() {
        found.push("it has no Chinese title".to_owned());
    }
    if (set.form == Form::Ics) != row.status.is_some() {
        found.push("a status belongs to an ICS, and to nothing else".to_owned());
    }
    let wrong = match row.answer {
        Answer::Yes => (!shown || planned).then_some("\"yes\" needs what shows it, and nothing that is planned"),
        Answer::Part => (!shown || !open).then_some("\"part\" needs what shows it, and what is open"),
        Answer::No => (!open).then_some("\"no\" needs what is open"),
        Answer::NotApplicable => row.says.is_none().then_some("\"not-applicable\" needs a reason in says"),
        Answer::Platform => {
            (row.says.is_none() && row.by.is_empty()).then_some("\"platform\" needs what the box gives for it")
        }
    };
    found.extend(wrong.map(str::to_owned));
    found
}

/// Makes a table dishonest.
type Change = fn(&mut Set);

fn sample() -> Tables {
    let mechanism = Mechanism {
        en: "a".to_owned(),
        zh: "甲".to_owned(),
        does: "A.".to_owned(),
        shown: vec!["docs/ledger.md".to_owned()],
        ..Mechanism::default()
    };
    let planned = Mechanism { shown: Vec::new(), planned: true, ..mechanism.clone() };
    let set = toml::from_str(
        "title = \"T\"\nform = \"table\"\nabout = [\"x\"]\nsource = \"s\"\nprovisions = [\"1\", \"2\"]\nrow = [\n\
         { id = \"1\", asks = \"one\", answer = \"yes\", by = [\"a\"] },\n\
         { id = \"2\", asks = \"two\", answer = \"part\", by = [\"a\", \"p\"] },\n]",
    );
    Tables {
        mechanisms: [("a".to_owned(), mechanism), ("p".to_owned(), planned)].into(),
        sets: [("s".to_owned(), set.unwrap())].into(),
    }
}

/// Each change of the sample makes it dishonest in another way.
#[test]
fn each_mistake_is_found() {
    assert_eq!(mistakes(&sample()), Vec::<String>::new());
    let changes: [(&str, Change); 11] = [
        ("2 has 0 rows", |set| drop(set.row.pop())),
        ("1 has 2 rows", |set| set.row.push(set.row[0].clone())),
        ("9 is not in the list", |set| set.row[0].id = "9".to_owned()),
        ("listed twice", |set| set.provisions.push("1".to_owned())),
        ("a text is empty", |set| set.row[0].asks = " ".to_owned()),
        ("no mechanism x", |set| set.row[0].by.push("x".to_owned())),
        ("\"yes\" needs", |set| set.row[0].by.clear()),
        ("\"yes\" needs", |set| set.row[0].by.push("p".to_owned())),
        ("\"part\" needs", |set| drop(set.row[1].by.pop())),
        ("\"not-applicable\" needs", |set| set.row[0].answer = Answer::NotApplicable),
        ("no Chinese title", |set| set.zh = Some("标题".to_owned())),
    ];
    for (expected, change) in changes {
        let mut tables = sample();
        change(tables.sets.get_mut("s").unwrap());
        let found = mistakes(&tables);
        assert!(found.iter().any(|what| what.contains(expected)), "{expected}: {found:?}");
    }
}
