//! What a WHIP server is told: each header and each line of the offer is in the inventory, and of the machine's
//! addresses the server learns the one that it sees anyway.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::wait_until;
use crate::whip::WhipServer;

/// The item of the inventory that a header is.
fn of_header(name: &str) -> String {
    match name {
        "host" => "whip.url".to_owned(),
        "authorization" => "whip.token".to_owned(),
        "content-type" | "content-length" | "accept" | "accept-encoding" => "whip.headers".to_owned(),
        other => format!("whip.{other}"),
    }
}

/// The item that a line of the offer is, by its kind.
fn of_line(kind: &str) -> String {
    let part = match kind {
        "v=" | "o=" | "s=" | "t=" | "a=group" | "a=msid-semantic" | "a=extmap-allow-mixed" => "session",
        "a=ice-ufrag" | "a=ice-pwd" | "a=ice-options" => "ice",
        "a=fingerprint" | "a=setup" => "fingerprint",
        "a=candidate" | "a=end-of-candidates" => "candidates",
        "m=" | "c=" | "b=" | "a=mid" | "a=msid" | "a=sendonly" | "a=rtpmap" | "a=fmtp" | "a=extmap" | "a=ssrc"
        | "a=ssrc-group" | "a=rtcp" | "a=rtcp-mux" | "a=rtcp-rsize" | "a=rtcp-fb" => "media",
        other => other,
    };
    format!("whip.sdp.{part}")
}

#[test]
fn all_that_a_whip_server_is_told_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let server = WhipServer::new(&dir.path().join("log"), None);
    let ingest = format!("http://127.0.0.1:{}/whip/live\"\ntoken = \"the-token\"\n#\"", server.port);
    let shop = TestBox::new(&BoxConfig { ingest, ..BoxConfig::default() });
    let mut guard = shop.start("guard");
    shop.press();
    shop.wait_for_phase("live");
    wait_until("pictures are decoded", || server.decoded("v").len() > 10);
    shop.press();
    shop.wait_for_phase("idle");
    guard.finish();

    let words = |kind: &str| server.lines(kind).into_iter().map(|words| words[1].clone()).collect::<BTreeSet<_>>();
    let (headers, lines) = (words("header"), words("sdp"));
    assert!(headers.contains("authorization") && lines.contains("a=candidate"), "{headers:?} {lines:?}");
    let told: BTreeSet<String> =
        headers.iter().map(|name| of_header(name)).chain(lines.iter().map(|kind| of_line(kind))).collect();
    let output = shop.call(&["privacy", "report", "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = report["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned());
    let listed: BTreeSet<String> = items.filter(|name| name.starts_with("whip.")).collect();
    assert_eq!(told, listed, "what is told is what is listed");
    assert_eq!(words("candidate").into_iter().collect::<Vec<_>>(), ["127.0.0.1"]);
}
