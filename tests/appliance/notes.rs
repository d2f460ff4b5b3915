//! Notes on an operator's machine: keys, signatures, and what verifies them, the document's own program too.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::TALLYBOX;

fn note(dir: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(TALLYBOX);
    command.arg("note").args(arguments).current_dir(dir);
    fed(&mut command, input)
}

fn fed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that does not read its input has ended for another reason, which its answer says.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[track_caller]
fn good(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.contains(why)), (Some(code), true), "{why}: {said}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

/// Makes a key, and returns its public half.
fn key(dir: &Path, name: &str) -> String {
    let file = format!("{}.key", name.rsplit('/').next().unwrap());
    good(&note(dir, &["key", "generate", "--name", name, "--out", &file], b"")).trim().to_owned()
}

#[test]
fn keys_are_made_once_and_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let public = key(dir.path(), "operator.example/fleet");
    assert!(public.starts_with("operator.example/fleet+"), "{public}");
    let file = dir.path().join("fleet.key");
    let before = std::fs::read(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(good(&note(dir.path(), &["key", "show", "fleet.key"], b"")).trim(), public);
    let again = note(dir.path(), &["key", "generate", "--name", "x", "--out", "fleet.key"], b"");
    refused(&again, 77, "never overwritten");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    refused(&note(dir.path(), &["key", "generate", "--name", "a b", "--out", "new.key"], b""), 64, "--name");
    assert!(!dir.path().join("new.key").exists());
    refused(&note(dir.path(), &["key", "show", "absent.key"], b""), 66, "absent.key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let sign = ["sign", "--key", "fleet.key", "--type", "desired"];
    refused(&note(dir.path(), &sign, b"{}"), 77, "chmod 600 fleet.key");
}

#[test]
fn what_is_signed_is_verified_by_keys_and_by_a_boxs_trust() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (key(dir.path(), "operator.example/old"), key(dir.path(), "operator.example/new"));
    let both = ["sign", "--key", "old.key", "--key", "new.key", "--type", "desired"];
    let signed = good(&note(dir.path(), &both, b"{\n  \"box\": \"b\",\n  \"version\": 3\n}\n"));
    assert!(
        signed.starts_with("tallybox/desired/v1\n{\"box\":\"b\",\"version\":3}\n\n\u{2014} operator.example/old "),
        "{signed}"
    );
    let verified = note(dir.path(), &["verify", "--key", &old, "--key", &new], signed.as_bytes());
    assert_eq!(good(&verified), "{\"box\":\"b\",\"version\":3}\n");

    let stranger = key(dir.path(), "operator.example/stranger");
    refused(&note(dir.path(), &["verify", "--key", &stranger], signed.as_bytes()), 77, "did not sign it");
    let changed = signed.replace("\"version\":3", "\"version\":4");
    refused(&note(dir.path(), &["verify", "--key", &old], changed.as_bytes()), 65, "is wrong");
    refused(&note(dir.path(), &["verify", "--key", &old], b"{}"), 65, "no signatures");
    refused(&note(dir.path(), &["verify", "--key", "nonsense"], signed.as_bytes()), 64, "--key");
    refused(&note(dir.path(), &["verify", "--key", &old, "absent"], b""), 66, "absent");

    let config = dir.path().join("box.toml");
    let table = |key: &str, may: &str| format!("[[trust]]\nkey = \"{key}\"\nmay = [\"{may}\"]\n");
    let text =
        format!("[ingest]\nurl = \"rtmps://h.example/live/k\"\n{}{}", table(&old, "desired"), table(&new, "unmute"));
    std::fs::write(&config, text).unwrap();
    let by = |role: &str, bytes: &str| {
        note(dir.path(), &["verify", "--config", "box.toml", "--role", role], bytes.as_bytes())
    };
    assert_eq!(good(&by("desired", &signed)), "{\"box\":\"b\",\"version\":3}\n");
    refused(&by("policy", &signed), 65, "here belongs a tallybox/policy/v1");
    let alone = ["sign", "--key", "new.key", "--type", "desired"];
    let by_new = good(&note(dir.path(), &alone, b"{}"));
    refused(&by("desired", &by_new), 77, "may not sign desired");
    refused(&by("desired", &changed), 65, "is wrong");
    std::fs::write(&config, "[ingest]\n").unwrap();
    refused(&by("desired", &signed), 78, "[ingest] url is missing");
}

#[test]
fn a_command_gets_what_keeps_it_from_being_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let public = key(dir.path(), "operator.example/fleet");
    let state = "{\"phase\":\"idle\",\"epoch\":\"00112233445566778899aabbccddeeff\",\"uptime-s\":100}";
    std::fs::write(dir.path().join("state.json"), state).unwrap();
    let with = |verb: &str, more: &[&str], input: &[u8]| {
        let all = ["sign", "--key", "fleet.key", "--type", "command", "--box", "b", "--verb", verb];
        note(dir.path(), &[&all, more].concat(), input)
    };
    let of_state = ["--state", "state.json"];
    let signed = good(&with("set-video", &[&of_state[..], &["-"]].concat(), b"{\"fps\": 25}"));
    let json = good(&note(dir.path(), &["verify", "--key", &public], signed.as_bytes()));
    let command: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&command["deadline-s"], &command["fps"]), (&160.into(), &25.into()), "{command}");
    assert_eq!(command["epoch"], "00112233445566778899aabbccddeeff");
    assert!(command["seq"].as_u64().unwrap() > 1_700_000_000_000, "{command}");
    let given = ["--epoch", "00", "--uptime", "5", "--within", "10", "--seq", "7", "--id", "c7"];
    let json = good(&note(dir.path(), &["verify", "--key", &public], good(&with("unmute", &given, b"")).as_bytes()));
    assert_eq!(
        json,
        "{\"box\":\"b\",\"verb\":\"unmute\",\"id\":\"c7\",\"epoch\":\"00\",\"seq\":7,\"deadline-s\":15}\n"
    );

    refused(&with("start", &of_state, b""), 64, "choose one of: request-start");
    refused(&with("unmute", &[], b""), 64, "--state, or --epoch and --uptime");
    refused(&with("unmute", &[&of_state[..], &["-"]].concat(), b"{\"fps\":25}"), 64, "unknown field `fps`");
    refused(&with("unmute", &[&of_state[..], &["-"]].concat(), b"{\"seq\":25}"), 64, "seq is in the JSON");
    refused(&with("unmute", &[&of_state[..], &["-"]].concat(), b"{"), 65, "-: ");
    std::fs::write(dir.path().join("state.json"), "{}").unwrap();
    refused(&with("unmute", &of_state, b""), 65, "epoch and uptime-s are not in it");
}

#[test]
fn the_documents_program_verifies_as_tallybox_does() {
    let dir = tempfile::tempdir().unwrap();
    let public = key(dir.path(), "operator.example/fleet");
    let other = key(dir.path(), "operator.example/other");
    let document = include_str!("../../docs/notes.md");
    let program = document.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let path = dir.path().join("verify.py");
    std::fs::write(&path, program).unwrap();
    let by_document = |keys: &[&str], bytes: &[u8]| {
        let mut command = Command::new("python3");
        let output = fed(command.arg(&path).args(keys), bytes);
        assert!(output.status.success() || output.stderr.starts_with(b"refused: "), "{output:?}");
        output.status.success()
    };
    let by_tallybox = |keys: &[&str], bytes: &[u8]| {
        let keys: Vec<&str> = keys.iter().flat_map(|key| ["--key", *key]).collect();
        note(dir.path(), &[&["verify"], &keys[..]].concat(), bytes).status.success()
    };
    let sign = |keys: &[&str], json: &str| {
        let keys: Vec<&str> = keys.iter().flat_map(|key| ["--key", *key]).collect();
        let arguments = [&["sign", "--type", "policy"], &keys[..]].concat();
        good(&note(dir.path(), &arguments, json.as_bytes())).into_bytes()
    };
    let whole = sign(&["fleet.key", "other.key"], "{\"text\":\"隐私 \\u2028\"}");
    assert!(by_document(&[&public], &whole) && by_document(&[&public, &other], &whole));
    let alone = sign(&["other.key"], "{}");
    assert!(!by_document(&[&public], &alone) && by_document(&[&other], &alone));
    // Bits flipped, ends cut, letters added: wherever the two programs are asked they agree.
    let last = whole.len() - 1;
    for at in [0, 8, 19, 24, 40, last - 230, last - 200, last - 120, last - 90, last - 3, last - 2, last - 1, last] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        let ours = by_tallybox(&[&public], &flipped);
        assert_eq!(by_document(&[&public], &flipped), ours, "bit of byte {at}");
        assert_eq!(by_document(&[&public], &whole[..at]), by_tallybox(&[&public], &whole[..at]), "cut at {at}");
        assert!(!ours || at > last - 120, "byte {at} is signed, or is the signature itself");
    }
    for more in ["\n", " ", "\u{2014} x AAAAAAA=\n"] {
        let longer = [&whole, more.as_bytes()].concat();
        assert_eq!(by_document(&[&public], &longer), by_tallybox(&[&public], &longer), "{more:?} behind");
    }
    assert!(!by_document(&[&public.replace("fleet", "fleex")], &whole));
}
