//! Dates in tests that run by the real clock: one that is written out passes some day, and its test fails from then on.

use crate::files;

/// What a document says of its time. The value after it begins behind a colon or an equals sign.
const FIELDS: [&str; 2] = ["not-after", "start"];

/// Lines that give a field a moment which is written out.
fn written_out(text: &str) -> Vec<&str> {
    let is_moment = |value: &str| value.trim_start_matches([' ', ':', '=', '"', '\\']).starts_with("20");
    let says = |line: &&str| {
        FIELDS.iter().any(|field| {
            line.split(field).skip(1).any(|rest| rest.starts_with(['"', ' ', '\\', '=']) && is_moment(rest))
        })
    };
    text.lines().filter(says).collect()
}

#[test]
fn tests_by_the_real_clock_have_no_date_that_passes() {
    let mut found = Vec::new();
    for (path, text) in files(&["tests", "crates/fleet/tests"], &["rs", "py"]) {
        if path != "tests/layers/dates.rs" {
            found.extend(written_out(&text).into_iter().map(|line| format!("{path}: {}", line.trim())));
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
