//! Wrong, old and lost release indexes: none of them is taken, and none comes back.

use super::*;

/// What is wrong with them, in the order of the test's arms.
const CLASSES: [&str; 10] = [
    "wrong threshold",
    "role exceeded",
    "wrongly signed",
    "replayed",
    "reordered: another text of the serial",
    "truncated",
    "bit flipped",
    "signatures of another text",
    "misaddressed: another channel",
    "other document type",
];

/// Of forged, replayed, truncated, damaged, misplaced and under-signed releases none is taken, whatever their order.
#[test]
fn of_many_wrong_releases_none_is_taken() {
    let rounds = if std::env::var_os("TALLYBOX_LONG").is_some() { 12_000 } else { 1_000 };
    let mut bench = Bench::new("");
    let good = release(100);
    bench.offer(&signed(&good, &[1, 2])).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut refused, genuine) = ([0_u32; CLASSES.len()], signed(&release(200), &[1, 2]));
    let path = bench.dir.path().join("data").join(update_files::NOTE);
    let known = LedgerState { releases: [("stable".to_owned(), 100)].into(), ..LedgerState::default() };
    for round in 0..rounds {
        let kind = round % 10;
        match round % 250 {
            // The guard is killed; the clock is stepped; an older file is put back, until the broker's note comes.
            50 => bench.restart(&known),
            100 => bench.clock.utc = if round % 500 == 100 { Timestamp::UNIX_EPOCH } else { START.parse().unwrap() },
            150 => {
                std::fs::write(&path, signed(&release(50), &[1, 2])).unwrap();
                bench.restart(&known);
                assert_eq!(bench.serial(), None);
                bench.offer(&signed(&good, &[1, 2])).unwrap();
            }
            _ => {}
        }
        let serial = random.u64(101..10_000);
        let note = match kind {
            // One of two keys, keys that may not sign releases, keys that nobody knows.
            0 if round % 20 == 0 => signed(&release(serial), &[1]),
            // One key twice counts once.
            0 => twice(&signed(&release(serial), &[1])),
            1 => signed(&release(serial), &[2, 3]),
            2 => signed(&release(serial), &[4, 5]),
            // Older, however well it is signed; or the same serial with another text.
            3 => signed(&release(random.u64(1..100)), &[1, 2]),
            4 => signed(&Release { security: false, ..release(100) }, &[1, 2]),
            // Cut, and changed in one bit.
            5 => genuine.chars().take(random.usize(0..genuine.chars().count())).collect(),
            6 => {
                let mut bytes = genuine.clone().into_bytes();
                let place = random.usize(0..bytes.len());
                bytes[place] ^= 1 << random.u8(0..7);
                String::from_utf8_lossy(&bytes).into_owned()
            }
            // The text of one under the signatures of another; another channel; another type.
            7 => {
                let (_, signatures) = genuine.split_once("\n\n").unwrap();
                format!("{}\n{signatures}", text(&release(serial)))
            }
            8 => signed(&Release { channel: "beta".to_owned(), ..release(serial) }, &[1, 2]),
            _ => {
                let text = text(&release(serial)).replacen("release", "desired", 1);
                Note::sign(&text, &[&signer(1), &signer(2)]).unwrap().to_string()
            }
        };
        if note == genuine {
            continue;
        }
        let taken = bench.offer(&note);
        assert!(taken.is_err(), "round {round}, kind {kind} was taken: {note}");
        refused[kind] += 1;
    }
    let counted: Vec<_> = CLASSES.iter().zip(refused).collect();
    println!("{} wrong releases, of which none was taken: {counted:?}", refused.iter().sum::<u32>());
    assert!(refused.iter().all(|count| *count > 90), "{refused:?}");
    assert_eq!(bench.serial(), Some(100));
    // The judge is awake: the genuine one is taken.
    bench.offer(&genuine).unwrap();
    assert_eq!(bench.serial(), Some(200));
}

#[test]
fn what_is_in_force_survives_a_restart_and_the_loss_of_a_key_ends_it() {
    let mut bench = Bench::new("");
    let steps = bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    assert!(matches!(&steps[..], [Step::Record(Fact::UpdateOffered { serial: 7, keys, .. }), ..] if keys.len() == 2));
    bench.restart(&LedgerState::default());
    assert_eq!(bench.serial(), Some(7));
    // The same once more is nothing new, an older one is a replay also after the restart.
    assert_eq!(bench.offer(&signed(&release(7), &[2, 1])).unwrap(), []);
    assert!(bench.offer(&signed(&release(6), &[1, 2])).unwrap_err().contains("older than 7"));
    bench.config.trust.keys.remove(0);
    bench.restart(&LedgerState::default());
    assert_eq!((bench.serial(), bench.state().0), (None, UpdateState::Off));
}

/// The file was lost, damaged, or put back as it was: the ledger still knows the highest serial of the channel.
#[test]
fn no_older_release_comes_back_with_the_file() {
    let mut bench = Bench::new("");
    bench.offer(&signed(&release(6), &[1, 2])).unwrap();
    let path = bench.dir.path().join("data").join(update_files::NOTE);
    let older = std::fs::read(&path).unwrap();
    bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    let known = |serial| LedgerState {
        releases: [("stable".to_owned(), serial), ("beta".to_owned(), 99)].into(),
        ..LedgerState::default()
    };
    // The guard died before the ledger had it: it is made up for.
    bench.restart(&known(6));
    assert!(matches!(&bench.found, Some(Fact::UpdateOffered { serial: 7, keys, channel: Some(channel), .. })
        if keys.len() == 2 && channel == "stable"));
    bench.restart(&known(7));
    assert_eq!((bench.serial(), &bench.found), (Some(7), &None));
    for content in [Some(&older[..]), Some(b"damage"), None] {
        match content {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        bench.restart(&known(7));
        assert_eq!((bench.serial(), &bench.found), (None, &None));
        assert!(bench.offer(&signed(&release(6), &[1, 2])).unwrap_err().contains("older than 7"));
        bench.offer(&signed(&release(7), &[1, 2])).unwrap();
    }
}

/// The same note with its signature twice.
fn twice(note: &str) -> String {
    format!("{note}{}\n", note.lines().last().unwrap_or_default())
}
