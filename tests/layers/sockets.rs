//! One way out: nothing but `src/connect` looks names up or opens sockets to other machines, and there is no public
//! server anywhere that the box or its console would talk to by default.

use std::path::Path;

use crate::sources;
use crate::tokens::{Token, tokens, without_tests};

/// Where connections to other machines may be made. The demo is no part of a box, nor is the fleet tool, which an
/// operator runs; what it shares with the box is in `src`.
const ROOM: [&str; 2] = ["src/connect.rs", "src/connect/"];
const NOT_THE_BOX: [&str; 2] = ["src/demo/", "crates/fleet/"];

/// What opens sockets or looks names up, as words in a row. (`UnixStream::connect` stays on the machine.)
const WAYS: [&[Token<'_>]; 14] = [
    &[Token::Word("TcpStream"), Token::Path, Token::Word("connect")],
    &[Token::Word("TcpStream"), Token::Path, Token::Word("connect_timeout")],
    &[Token::Word("TcpSocket")],
    &[Token::Word("UdpSocket")],
    &[Token::Word("ToSocketAddrs")],
    &[Token::Word("to_socket_addrs")],
    &[Token::Word("lookup_host")],
    &[Token::Word("getaddrinfo")],
    &[Token::Word("socket_with")],
    &[Token::Word("new_agent")],
    &[Token::Word("new_with_defaults")],
    &[Token::Word("ureq"), Token::Path, Token::Word("get")],
    &[Token::Word("ureq"), Token::Path, Token::Word("post")],
    &[Token::Word("RtcConfig"), Token::Path, Token::Word("set_ice_servers")],
];

fn ways(text: &str) -> Vec<String> {
    let all = tokens(text);
    let (code, _) = without_tests(&all);
    let found = WAYS.iter().filter(|way| code.windows(way.len()).any(|words| words == **way));
    found.map(|way| format!("{way:?}")).collect()
}

#[test]
fn connections_to_other_machines_are_made_in_one_place() {
    let mut room = 0;
    let mut elsewhere = Vec::new();
    for (path, text) in sources() {
        let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
        let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
        if is_test || is(&NOT_THE_BOX) {
            continue;
        }
        let found = ways(&text);
        if is(&ROOM) {
            room += found.len();
        } else if !found.is_empty() {
            elsewhere.push(format!("{path}: {}", found.join(", ")));
        }
    }
    assert!(room >= 4, "the room itself has only {room}: what is looked for has other names now");
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

/// The client library would connect by itself without this.
#[test]
fn the_broker_is_reached_through_the_boxs_own_connector() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/agent/broker.rs")).unwrap();
    assert!(text.contains("set_socket_connector"));
}

/// GStreamer's elements that open connections: only `srtsink`, which gets an address that was checked.
#[test]
fn no_other_element_of_gstreamer_has_a_network() {
    let elements =
        ["rtmp2sink", "rtmpsink", "souphttp", "udpsink", "udpsrc", "tcpclient", "rtspsrc", "uridecodebin", "playbin"];
    for (path, text) in sources() {
        if path.starts_with("src/capture/") && !path.contains("tests") {
            let code = text.split("#[cfg(test)]").next().unwrap();
            let found: Vec<_> = elements.iter().filter(|name| code.contains(&format!("\"{name}\""))).collect();
            assert!(found.is_empty(), "{path}: {found:?}");
            assert!(
                !code.contains("\"srtsink\"")
                    || path.starts_with("src/capture/output/srt/")
                    || path.ends_with("gst/plugins.rs"),
                "{path}"
            );
        }
    }
}

/// Names that stand for nobody (RFC 2606, RFC 6761), and those under which documents are read, not fetched by the box.
fn is_nobody(host: &str) -> bool {
    let example = ["example", "invalid", "test", "localhost", "local"];
    let documents = ["w3.org", "keepachangelog.com", "semver.org", "c2sp.org", "github.com", "docs.rs"];
    let under = |name: &str| host == name || host.ends_with(&format!(".{name}"));
    let of_examples = host.split('.').any(|label| example.contains(&label));
    of_examples || documents.into_iter().any(under) || host.parse::<std::net::IpAddr>().is_ok() || !host.contains('.')
}

/// Hosts behind `scheme://` in a text.
fn hosts(text: &str) -> Vec<String> {
    let schemes = ["http://", "https://", "stun:", "turn:", "ws://", "wss://", "mqtt://", "mqtts://", "ntp://"];
    let mut found = Vec::new();
    for scheme in schemes {
        for (at, _) in text.match_indices(scheme) {
            let rest = &text[at + scheme.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-.[]:@".contains(c))).unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default().trim_end_matches('.');
            if !host.is_empty() {
                found.push(host.to_ascii_lowercase());
            }
        }
    }
    found
}

#[test]
fn no_public_server_is_named_in_the_programs_or_the_console() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        if path.contains("tests") || path.starts_with("crates/fleet/") {
            continue;
        }
        // Comments name standards; what is compiled does not.
        let code: String = text.split("#[cfg(test)]").next().unwrap().lines().map(code_of).collect();
        found.extend(hosts(&code).into_iter().filter(|host| !is_nobody(host)).map(|host| format!("{path}: {host}")));
    }
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
    for folder in ["", "js", "js/text", "css"] {
        for entry in std::fs::read_dir(console.join(folder)).into_iter().flatten() {
            let path = entry.unwrap().path();
            let is_shipped = path.extension().is_some_and(|end| ["js", "html", "css", "svg"].iter().any(|e| end == *e));
            if is_shipped {
                let text = std::fs::read_to_string(&path).unwrap();
                let strange = hosts(&text).into_iter().filter(|host| !is_nobody(host));
                found.extend(strange.map(|host| format!("{}: {host}", path.display())));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(hosts("x https://stun.l.google.com:19302/ stun:a@b.c"), ["stun.l.google.com", "b.c"]);
}

fn code_of(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line }
}
