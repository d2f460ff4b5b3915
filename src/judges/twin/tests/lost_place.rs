//! A power cut between the file and its place.

use super::*;

/// The power fails before the document in force has its place, and again while the next one is kept: it is not lost.
#[test]
fn a_document_without_its_place_is_not_overwritten_by_the_next() {
    let mut known = TestBox::new("");
    known.hand_in(1, json!({ "video.fps": 20 }));
    std::fs::rename(known.dir.path().join(NOTE), known.dir.path().join(NEXT)).unwrap();
    known.restart("", keys());
    assert_eq!(known.receive(&note(2, json!({ "video.fps": 10 }))), Receipt::New);
    // In the ledger, and kept; not in force.
    assert!(known.step());
    known.twin.next_step(&Refusals::default());
    known.restart("", keys());
    assert!(!known.kinds().contains(&"desired-dropped".to_owned()), "{:?}", known.facts);
    known.settle();
    assert_eq!((known.twin.config().video.fps, known.history.applied), (10, 2));
}
