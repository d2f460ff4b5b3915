//! Dates for what tests sign: one that is written out passes some day, and the test fails from then on.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};

/// The beginning of the day that is so many days away. It is the same one as long as this process lives.
pub(crate) fn days_from_now(days: i64) -> String {
    static NOW: LazyLock<Timestamp> = LazyLock::new(tallybox::clock::utc_now);
    (*NOW + SignedDuration::from_hours(24 * days)).strftime("%Y-%m-%dT00:00:00Z").to_string()
}
