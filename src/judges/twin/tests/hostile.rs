//! Documents that a hostile broker or an agent that was taken over may hand in, with kills in between, and an image of
//! the disk from before.

use notes::DocumentType;
use serde_json::{Value, json};

use super::{ID, KeyCode, Receipt, TestBox, keys, note, operator, signed, signer, stranger, text};

/// Each way in which a document can be wrong.
fn hostile(number: u64, highest: u64) -> String {
    let values = json!({"video.bitrate-kbps": 100 + number % 1000});
    let (next, op) = (highest + 1, operator());
    let good = signed(DocumentType::Desired, &text(ID, next, &values), &[&op]);
    let cut = usize::try_from(number * 7 % (good.len() as u64 - 1)).unwrap();
    match number % 16 {
        // Stale, replayed or with other bytes.
        0 => signed(DocumentType::Desired, &text(ID, number % highest, &values), &[&op]),
        1 => signed(DocumentType::Desired, &text(ID, highest, &values), &[&op]),
        2 => String::from_utf8_lossy(&good.as_bytes()[..cut]).into_owned(),
        // For another box, of another type, in another role, by nobody, by a stranger.
        3 => signed(DocumentType::Desired, &text(&format!("shop-{}", number + 2), next, &values), &[&op]),
        4 => signed(DocumentType::Command, &text(ID, next, &values), &[&op]),
        5 => signed(DocumentType::Desired, &text(ID, next, &values), &[&signer("operator.example.cn/stop", 2)]),
        6 => signed(DocumentType::Desired, &text(ID, next, &values), &[&stranger()]),
        7 => signed(DocumentType::Desired, &text(ID, next, &values), &[&signer("operator.example.cn/fleet", 3)]),
        // Changed after it was signed.
        8 => good.replace("100", "101").replacen(&format!("{}", 100 + number % 1000), "19999", 1),
        9 => {
            let mut bytes = good.into_bytes();
            bytes[cut] ^= 1 << (number % 7);
            String::from_utf8_lossy(&bytes).into_owned()
        }
        // Well signed, and nonsense.
        10 => signed(DocumentType::Desired, &json!({"box": ID, "version": next}).to_string(), &[&op]),
        11 => signed(DocumentType::Desired, &json!({"box": ID, "version": -1, "values": values}).to_string(), &[&op]),
        12 => signed(
            DocumentType::Desired,
            &json!({"box": ID, "version": next, "values": values, "x": 1}).to_string(),
            &[&op],
        ),
        13 => {
            let many: Value =
                (0..65).map(|key| (format!("video.key-{key}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
            signed(DocumentType::Desired, &text(ID, next, &many), &[&op])
        }
        14 => signed(DocumentType::Desired, &text(ID, 1 << 54, &values), &[&op]),
        _ => String::new(),
    }
}

#[test]
fn no_hostile_document_changes_anything_whatever_is_killed_in_between() {
    let rounds = if std::env::var_os("TALLYBOX_LONG").is_some() { 10_000 } else { 1_000 };
    let mut shop = TestBox::new("");
    let mut highest = 5;
    shop.hand_in(highest, json!({"video.bitrate-kbps": 2000}));
    let (mut kept, mut fresh, mut refused) = (shop.history.clone(), 1, 0);
    for number in 0..rounds {
        let before = (shop.bitrate(), shop.twin.config().hash.clone(), shop.history.clone(), shop.facts.len());
        let receipt = shop.receive(&hostile(number, highest));
        assert!(matches!(receipt, Receipt::Refused { .. }), "{number}: {receipt:?}");
        assert!(!shop.step(), "{number}");
        refused += 1;
        assert_eq!(before, (shop.bitrate(), shop.twin.config().hash.clone(), shop.history.clone(), shop.facts.len()));
        assert!(shop.report().error.is_some() && shop.report().for_version == Some(highest), "{number}");
        if number % 97 == 0 {
            shop.restart("", keys());
        }
        if number % 101 == 0 {
            // A fresh one is in force exactly once, with the guard killed after any step.
            highest += 1 + number % 3;
            let wanted = note(highest, json!({"video.bitrate-kbps": 1000 + highest}));
            assert_eq!(shop.receive(&wanted), Receipt::New);
            for _ in 0..number % 4 {
                shop.step();
            }
            shop.restart("", keys());
            assert!(matches!(shop.receive(&wanted), Receipt::New | Receipt::Repeated));
            shop.settle();
            assert_eq!(u64::from(shop.bitrate()), 1000 + highest);
            assert_eq!((shop.code("video.bitrate-kbps"), shop.report().error), (KeyCode::Ok, None));
            fresh += 1;
            if number < rounds / 2 {
                kept = shop.history.clone();
            }
        }
    }
    let applied = shop.kinds().iter().filter(|kind| *kind == "desired-applied").count();
    assert_eq!((applied, refused), (fresh, rounds), "each fresh one exactly once");
    // An image of the disk from before: only documents signed for this box can come, and the newest comes again.
    let newest = note(highest, json!({"video.bitrate-kbps": 1000 + highest}));
    shop.history = kept;
    shop.restart("", keys());
    // Nobody ever signed another document with the newest version.
    for number in (0..100).filter(|number| number % 16 != 1) {
        let refused = matches!(shop.receive(&hostile(number, highest)), Receipt::Refused { .. });
        assert!(refused || number % 16 == 0, "{number}");
    }
    shop.receive(&newest);
    shop.settle();
    // What the image's own document had hidden is not known: staff are asked.
    assert!(shop.twin.needs_agreement());
    shop.agree();
    assert_eq!(u64::from(shop.bitrate()), 1000 + highest);
}
