//! Which policy version comes after which: a stick may bring a later one only, since staff are not asked about the
//! one that they acknowledged last.

use core::cmp::Ordering;

/// Whether `new` comes after `old`: numbers in them are compared as numbers, all else as text.
pub(super) fn follows(new: &str, old: &str) -> bool {
    compare(new, old) == Ordering::Greater
}

fn compare(mut one: &str, mut other: &str) -> Ordering {
    loop {
        match (one.is_empty(), other.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let (left, right) = (run(one), run(other));
        let order = if left.starts_with(digit) && right.starts_with(digit) {
            let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
            left.len().cmp(&right.len()).then(left.cmp(right))
        } else {
            left.cmp(right)
        };
        if order != Ordering::Equal {
            return order;
        }
        (one, other) = (&one[left.len()..], &other[right.len()..]);
    }
}

fn digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// The digits that `text` begins with, or what stands before the first digit.
fn run(text: &str) -> &str {
    let digits = text.starts_with(digit);
    let end = text.find(|c| digit(c) != digits).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::follows;

    #[test]
    fn versions_are_ordered_as_people_read_them() {
        let rising =
            ["1", "2", "9a", "10", "2022-07-11", "2022-07-12", "2022-11-1", "2022-11-01b", "2026-12", "v9", "v10"];
        for (index, one) in rising.iter().enumerate() {
            assert!(!follows(one, one), "{one}");
            for later in &rising[index + 1..] {
                assert!(follows(later, one) && !follows(one, later), "{one} {later}");
            }
        }
        // The same number written otherwise is no new version.
        assert!(!follows("2022-07-011", "2022-07-11") && !follows("02", "2"));
    }
}
