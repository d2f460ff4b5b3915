//! One way to the disk: what is kept across a power cut goes through `src/disk`, where a simulated disk can stand.

use crate::sources;
use crate::tokens::{Token, tokens, without_tests};

/// Who keeps something on the disk.
const KEEPERS: [&str; 15] = [
    "src/agent/",
    "src/guard/",
    "src/judges/",
    "src/ledger/",
    "src/atomic_file.rs",
    "src/erasure_files.rs",
    "src/overwrite.rs",
    "src/untrusted_file.rs",
    "src/update_files.rs",
    "src/cli/backed_up_file.rs",
    "src/cli/privacy/credentials.rs",
    "src/cli/setup/transaction.rs",
    "src/cli/take_config/",
    "src/updater/",
    "src/installed_package.rs",
];

/// What the kernel and the package provide, and what lives in memory: nothing of it is kept.
const NOT_KEPT: [&str; 8] = [
    "src/agent/telemetry.rs",
    "src/guard/capture_process/pidfd.rs",
    "src/guard/capture_process/units.rs",
    "src/guard/event_loop.rs",
    "src/guard/instance.rs",
    "src/guard/persistence_check.rs",
    "src/guard/program_check.rs",
    "src/guard/supply_voltage.rs",
];

fn goes_past_the_seam(text: &str) -> bool {
    let all = tokens(text);
    let (code, _) = without_tests(&all);
    code.iter().any(|token| [Token::Word("fs"), Token::Word("OpenOptions")].contains(token))
}

#[test]
fn what_is_kept_goes_through_one_place() {
    let (mut past, mut stale) = (Vec::new(), NOT_KEPT.to_vec());
    for (path, text) in sources() {
        let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
        if is_test || !KEEPERS.iter().any(|prefix| path.starts_with(prefix)) || !goes_past_the_seam(&text) {
            continue;
        }
        if NOT_KEPT.contains(&path.as_str()) {
            stale.retain(|known| *known != path);
        } else {
            past.push(path);
        }
    }
    assert!(past.is_empty(), "these have to use crate::disk: {past:#?}");
    assert!(stale.is_empty(), "these need no exception any more: {stale:#?}");
}
