//! Versions of the policy: dates, so that everybody sees which one is newer.

use jiff::civil::Date;

/// Whether `text` names a policy: a day of the calendar, as `2022-07-11`.
pub fn is_policy_version(text: &str) -> bool {
    day(text).is_some()
}

/// Whether `new` comes after `old`. A ledger can have an older version's name that is no date: every date comes after
/// it.
pub fn policy_follows(new: &str, old: &str) -> bool {
    match (day(new), day(old)) {
        (Some(new), Some(old)) => new > old,
        (Some(_), None) => true,
        (None, Some(_) | None) => false,
    }
}

/// The day; nothing for any other way to write it, so that the same day is one version.
fn day(text: &str) -> Option<Date> {
    text.parse::<Date>().ok().filter(|day| day.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_day_and_days_have_an_order() {
        for message in [
            "",
            "1",
            "v2",
            "2022",
            "2022-7-11",
            "2022-02-30",
            "20220711",
            "2022-07-11 ",
            "2022-07-11T00:00",
            "11.07.2022",
        ] {
            assert!(!is_policy_version(message), "{message:?}");
            assert!(policy_follows("2022-07-11", message) && !policy_follows(message, "2022-07-11"), "{message:?}");
        }
        let rising = ["1999-12-31", "2022-07-11", "2022-07-12", "2022-11-01", "2026-01-01"];
        for (index, one) in rising.iter().enumerate() {
            assert!(is_policy_version(one) && !policy_follows(one, one), "{one}");
            for later in &rising[index + 1..] {
                assert!(policy_follows(later, one) && !policy_follows(one, later), "{one} {later}");
            }
        }
    }
}
