//! Looks for planted secrets in bytes: as they are, encoded in the usual ways, cut in two, and broken over lines.

use std::io::Write;
use std::process::{Command, Stdio};

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use sha2::Digest;

/// A value like no other for a name, with signs that URLs and base64 treat differently, and each half of its own.
pub(super) fn canary(name: &str) -> String {
    let digest = tallybox::hex(&sha2::Sha256::digest(name));
    format!("{}+/~{}", &digest[..18], &digest[18..36])
}

/// What is looked for.
pub(super) struct Secret {
    pub(super) name: &'static str,
    forms: Vec<String>,
    /// Bytes that no text has.
    raw: Vec<u8>,
}

impl Secret {
    /// One that is a text.
    pub(super) fn text(name: &'static str, text: &str) -> Self {
        let mut forms = encoded(text.as_bytes());
        forms.push(text.to_owned());
        let (first, second) = text.split_at(text.len() / 2);
        forms.extend([first.to_owned(), second.to_owned()]);
        let escaped =
            |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { percent(byte) };
        forms.push(text.bytes().map(escaped).collect());
        Self { name, forms, raw: Vec::new() }
    }

    /// A key of bytes.
    pub(super) fn key(name: &'static str, bytes: &[u8]) -> Self {
        Self { name, forms: encoded(bytes), raw: bytes.to_vec() }
    }
}

fn percent(byte: u8) -> String {
    format!("%{byte:02X}")
}

/// In hex, with each byte as in a URL, and in base64 at each place that it can have in a longer text.
fn encoded(bytes: &[u8]) -> Vec<String> {
    let hex = tallybox::hex(bytes);
    let all: String = bytes.iter().copied().map(percent).collect();
    let mut forms = vec![hex.to_uppercase(), hex, all.to_lowercase(), all];
    for before in 0..3 {
        let shifted = [&b"xyz"[..before], bytes].concat();
        for text in [Base64Unpadded::encode_string(&shifted), Base64UrlUnpadded::encode_string(&shifted)] {
            // Without the letters that its neighbours change.
            forms.push(text[(before * 8).div_ceil(6)..text.len() - 2].to_owned());
        }
    }
    forms
}

/// Which of `forms` stand in `text`, by grep: it reads a log of GStreamer's in the time that it takes to write it.
fn standing(forms: &str, text: &[u8]) -> Vec<String> {
    // In a file: as arguments they would be what is looked for.
    let mut patterns = tempfile::NamedTempFile::new().unwrap();
    patterns.write_all(forms.as_bytes()).unwrap();
    let mut grep = Command::new("grep");
    grep.args(["-a", "-o", "-F", "-f"]).arg(patterns.path()).env("LC_ALL", "C");
    grep.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut grep = grep.spawn().unwrap();
    let (mut into, text) = (grep.stdin.take().unwrap(), text.to_vec());
    let writer = std::thread::spawn(move || into.write_all(&text).unwrap());
    let output = grep.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The names of the secrets that are in `bytes`.
pub(super) fn found(secrets: &[Secret], bytes: &[u8]) -> Vec<&'static str> {
    let forms: Vec<&str> = secrets.iter().flat_map(|secret| &secret.forms).map(String::as_str).collect();
    // As where base64 was broken into lines.
    let squeezed: Vec<u8> = bytes.iter().copied().filter(|byte| !b"\r\n \\".contains(byte)).collect();
    let standing =
        if bytes.is_empty() { Vec::new() } else { standing(&forms.join("\n"), &[bytes, b"\n", &squeezed].concat()) };
    let raw = |key: &[u8]| !key.is_empty() && bytes.windows(key.len()).any(|window| window == key);
    let is_in = |secret: &&Secret| secret.forms.iter().any(|form| standing.contains(form)) || raw(&secret.raw);
    secrets.iter().filter(is_in).map(|secret| secret.name).collect()
}

/// The search finds what somebody leaks on purpose, in each form.
#[test]
fn a_planted_secret_is_found_in_each_form_and_nothing_else_is() {
    let text = canary("PLANTED");
    let key: Vec<u8> = (100..132).collect();
    let secrets = [Secret::text("text", &text), Secret::key("key", &key), Secret::text("other", &canary("OTHER"))];
    let hex = tallybox::hex(text.as_bytes());
    let base = |before: &str| Base64Unpadded::encode_string(format!("{before}{text}.").as_bytes());
    let broken = |text: &str| text.as_bytes().chunks(7).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    let url = Base64UrlUnpadded::encode_string(text.as_bytes());
    for leak in [
        format!("rtmp://a/{text}"),
        hex.to_uppercase(),
        broken(&hex),
        base("user:"),
        base("us:"),
        broken(&base("u:")),
        url,
        text.replace('+', "%2B").replace('/', "%2F").replace('~', "%7E"),
        text.bytes().map(percent).collect(),
        format!("{{\"url\":\"{}\"}}", text.replace('/', "\\/")),
        format!("the first half {} only", &text[..text.len() / 2]),
        format!("the second half {} only", &text[text.len() / 2..]),
    ] {
        assert_eq!(found(&secrets, leak.as_bytes()), ["text"], "{leak}");
    }
    assert_eq!(found(&secrets, &[b"\0\xff", &key[..], b"\xff"].concat()), ["key"]);
    assert_eq!(found(&secrets, Base64Unpadded::encode_string(&key).as_bytes()), ["key"]);
    assert_eq!(found(&secrets, &[&key[..31], b"\0"].concat()), [""; 0]);
    assert_eq!(found(&secrets, b"nothing of it"), [""; 0]);
}
