//! How long boxes may take to come back, as the release in force says.

use super::*;

#[test]
fn the_release_in_force_says_how_reconnects_are_spread_also_where_no_update_is_taken() {
    let mut bench = Bench::new("automatic = false\n");
    std::fs::remove_file(bench.dir.path().join("var/lib/dpkg/status")).unwrap();
    let with = |serial, spread| signed(&Release { reconnect_spread_s: spread, ..release(serial) }, &[1, 2]);
    let spread = |bench: &mut Bench| {
        bench.tick();
        (bench.updates.status().state, bench.updates.status().reconnect_spread_s)
    };
    assert_eq!(spread(&mut bench), (UpdateState::Off, None));
    bench.offer(&with(10, Some(600))).unwrap();
    assert_eq!(spread(&mut bench), (UpdateState::Off, Some(600)));
    // A broker that keeps boxes away: with an older index, one that no key signed, or one that one key too few did.
    bench.offer(&with(9, Some(3600))).unwrap_err();
    bench.offer(&with(11, Some(600)).replace("-s\":600", "-s\":3600")).unwrap_err();
    bench.offer(&signed(&Release { reconnect_spread_s: Some(3600), ..release(11) }, &[1])).unwrap_err();
    bench.restart(&LedgerState::default());
    assert_eq!(spread(&mut bench), (UpdateState::Off, Some(600)));
    bench.offer(&with(11, None)).unwrap();
    assert_eq!(spread(&mut bench), (UpdateState::Off, None));
}
