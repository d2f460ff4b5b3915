//! What staff did not agree to is not asked again, however the document is written.

use super::*;

const SERVER: &str = "rtmps://b.example.cn/live/k";

fn another_server(url: &str) -> Value {
    json!({ "ingest.second.url": url })
}

/// A box whose staff were asked about another server, and did not agree before that was withdrawn.
fn refused() -> TestBox {
    let mut shop = TestBox::new("");
    shop.hand_in(1, another_server(SERVER));
    assert!(shop.twin.needs_agreement());
    shop.hand_in(2, json!({}));
    assert!(!shop.twin.needs_agreement() && shop.refusals != Refusals::default());
    shop
}

#[test]
fn the_same_question_in_another_document_is_not_asked() {
    let mut shop = refused();
    for (version, url) in [(3, SERVER), (4, "rtmps://B.EXAMPLE.cn:443/another/key"), (5, "srt://b.example.cn:9000")] {
        assert_eq!(shop.hand_in(version, another_server(url)), Receipt::New, "{url}");
        let report = shop.report();
        let told = (shop.twin.needs_agreement(), report.code.as_deref(), report.for_version);
        assert_eq!(told, (false, Some("declined"), Some(2)), "{url}");
        assert!(report.error.unwrap().contains("b.example.cn"), "{url}");
    }
    // The broker repeats it at each connection, and a restart reads it from the disk.
    let last = note(5, another_server("srt://b.example.cn:9000"));
    assert_eq!((shop.receive(&last), shop.report().code.as_deref()), (Receipt::Repeated, Some("declined")));
    shop.restart("", keys());
    shop.settle();
    assert_eq!((shop.twin.needs_agreement(), shop.report().code.as_deref()), (false, Some("declined")));
    // Once something changes the broker's copy is a question again.
    shop.refusals.clear();
    shop.twin.reconsider();
    assert_eq!((shop.receive(&last), shop.report().code), (Receipt::New, None));
    shop.settle();
    assert!(shop.twin.needs_agreement());
}

#[test]
fn another_question_is_asked_and_one_that_is_open_goes_on() {
    let mut shop = TestBox::new("");
    shop.hand_in(1, json!({ "audio.device": "hw:1" }));
    assert!(shop.twin.needs_agreement());
    shop.hand_in(2, json!({}));
    let server = "rtmps://c.example.cn/live/k";
    shop.hand_in(3, another_server(server));
    assert!(shop.twin.needs_agreement());
    // The same with something more: neither is withdrawn.
    shop.hand_in(4, json!({ "ingest.second.url": server, "video.width": 1920, "video.height": 1080 }));
    assert!(shop.twin.needs_agreement());
    // Beside what was refused before it is not asked, and so it was not agreed to either.
    shop.hand_in(5, json!({ "ingest.second.url": server, "audio.device": "hw:2" }));
    assert!(!shop.twin.needs_agreement(), "{:?}", shop.report());
    shop.hand_in(6, another_server(server));
    assert_eq!((shop.twin.needs_agreement(), shop.report().code.as_deref()), (false, Some("declined")));
}

/// A platform that varies its question finds an end.
#[test]
fn after_five_refusals_nothing_more_is_asked() {
    let mut shop = TestBox::new("");
    let mut asked = 0;
    for number in 1..20 {
        shop.hand_in(2 * number, another_server(&format!("rtmps://s{number}.example.cn/live/k")));
        asked += u32::from(shop.twin.needs_agreement());
        shop.hand_in(2 * number + 1, json!({}));
    }
    assert_eq!(asked, 5);
}
