//! Dates in tests that run by the real clock: one that is written out passes some day, and its test fails from then on.

use std::path::Path;

/// What a document says of its time. The value after it begins behind a colon or an equals sign.
const FIELDS: [&str; 2] = ["not-after", "start"];

/// Lines that give a field a moment which is written out.
fn written_out(text: &str) -> Vec<&str> {
    let is_moment = |value: &str| value.trim_start_matches([' ', ':', '=', '"', '\\']).starts_with("20");
    let says = |line: &&str| {
        FIELDS.iter().any(|field| {
            let named = line.split(field).skip(1);
            named.into_iter().any(|rest| rest.starts_with(['"', ' ', '\\', '=']) && is_moment(rest))
        })
    };
    text.lines().filter(says).collect()
}

#[test]
fn tests_by_the_real_clock_have_no_date_that_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending = vec![root.join("tests"), root.join("crates/fleet/tests")];
    let mut found = Vec::new();
    while let Some(dir) = pending.pop() {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|end| end == "rs" || end == "py")
                && !path.ends_with("layers/dates.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                found.extend(written_out(&text).into_iter().map(|line| format!("{}: {}", path.display(), line.trim())));
            }
        }
    }
    assert!(found.is_empty(), "count from today, as tests/support/dates.rs does:\n{}", found.join("\n"));
}

#[test]
fn a_moment_that_is_written_out_is_found() {
    let text = r#"
        json!({ "not-after": "2027-03-01T00:00:00Z" })
        "wave": {"start": "2026-11-01T00:00:00Z"}
        start = "2026-11-01T00:00:00Z"
        "not-after": days_from_now(90), "start": at(2), "started": "2026-11-01T00:00:00Z"
    "#;
    assert_eq!(written_out(text).len(), 3);
}
