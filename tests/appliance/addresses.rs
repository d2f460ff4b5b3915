//! Addresses, from the configuration to the wire: nobody is let in, keys and passwords arrive letter by letter, and
//! what cannot be used is said before a press.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::broker::Broker;
use crate::ingest::listens;
use crate::support::test_box::{BoxConfig, TestBox};
use crate::support::{Program, free_port, poll, wait_until};
use crate::whip::WhipServer;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn no_address_makes_a_server_of_the_box() {
    for query in [
        "mode=listener&localaddress=0.0.0.0",
        "mode=rendezvous&localaddress=0.0.0.0",
        "%6dode=listener",
        "mode=caller&mode=listener",
        "localaddress=0.0.0.0&localport=PORT&mode=rendezvous",
    ] {
        let port = free_port();
        let query = query.replace("PORT", &port.to_string());
        let shop =
            TestBox::new(&BoxConfig { ingest: format!("srt://127.0.0.1:{port}?{query}"), ..BoxConfig::default() });
        let mut guard = Program::start(shop.command(&["guard"]).stdin(Stdio::null()).stderr(Stdio::null()));
        // Where the guard takes it, somebody presses the button.
        let ended = poll(Duration::from_secs(30), || {
            let ended = guard.0.try_wait().unwrap();
            (ended.is_some() || shop.status().is_some()).then_some(ended)
        });
        if ended == Some(None) {
            shop.press();
            let opened = poll(Duration::from_secs(20), || listens("udp", port).then_some(()));
            panic!("{query} was taken; the box listens: {}", opened.is_some());
        }
        assert_eq!(ended.flatten().and_then(|status| status.code()), Some(78), "{query}");
        assert!(!listens("udp", port) && shop.captures().is_empty());
        let checked = Command::new(crate::support::TALLYBOX).arg("check-config").arg(&shop.config).output().unwrap();
        let said = text(&checked.stderr);
        assert!(checked.status.code() == Some(78) && said.contains("leave"), "{said}");
    }
}

/// An ffmpeg that takes one RTMP stream and says whether application and stream are those of its own address.
#[test]
fn applications_and_streams_are_those_that_ffmpeg_reads_in_the_same_address() {
    for path in [
        "live2?backup=1/abcd-efgh",
        "live-bvc/?streamname=live_1_2&key=k&schedule=rtmp",
        "app/instance/key?sign=ab==",
        "live/abcdefgh?path=%2Fa",
    ] {
        let port = free_port();
        let url = format!("rtmp://127.0.0.1:{port}/{path}");
        let shop = TestBox::new(&BoxConfig { ingest: url.clone(), ..BoxConfig::default() });
        let (file, said) = (shop.path("out.flv"), shop.path("ffmpeg"));
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "warning", "-listen", "1", "-i", &url]).args(["-c", "copy", "-y"]);
        let log = std::fs::File::create(&said).unwrap();
        let _listener = Program::start(command.arg(&file).stdin(Stdio::null()).stderr(log));
        wait_until("ffmpeg listens", || listens("tcp", port));
        let mut guard = shop.start("guard");
        shop.press();
        shop.wait_for_phase("live");
        shop.press();
        shop.wait_for_phase("idle");
        guard.finish();
        let said = std::fs::read_to_string(said).unwrap();
        assert!(!said.contains("match") && !said.contains("nexpected"), "{path}: {said}");
    }
}

/// A password with everything in it that means something in an address.
const PASSWORD: &str = "p%41/#?@:&=+ \u{df}%";

#[test]
fn a_password_is_taken_literally() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    let made = Command::new("mosquitto_passwd").args(["-c", "-b"]).arg(&file).args(["somebody", PASSWORD]).status();
    assert!(made.unwrap().success());
    let broker = Broker::new(&format!("allow_anonymous false\npassword_file {}", file.display()));
    let port = broker.port;
    for mqtt in [
        format!("url = \"mqtt://127.0.0.1:{port}\"\nuser = \"somebody\"\npassword = \"${{MQTT_PASSWORD}}\""),
        format!("url = \"mqtt://127.0.0.1:{port}\"\nuser = \"somebody\"\npassword = '{PASSWORD}'"),
        format!("url = \"mqtt://somebody:${{MQTT_PASSWORD}}@127.0.0.1:{port}\""),
        format!("url = \"mqtt://some%62ody:p%2541%2F%23%3F%40:&=+%20%C3%9F%25@127.0.0.1:{port}\""),
    ] {
        let shop = TestBox::new(&BoxConfig { mqtt: mqtt.clone(), ..BoxConfig::default() });
        let checked = shop.command(&["doctor", "--json"]).env("MQTT_PASSWORD", PASSWORD).output().unwrap();
        let rows: Vec<Value> = serde_json::from_slice(&checked.stdout).unwrap();
        let secrets = rows.iter().find(|row| row["check"] == "secrets").unwrap();
        assert_eq!(secrets["verdict"], "ok", "{secrets}");
        let mut guard = shop.start("guard");
        let mut agent = shop.start_with("agent", "MQTT_PASSWORD", PASSWORD);
        let connected = poll(Duration::from_secs(60), || shop.log().contains("connected to the broker").then_some(()));
        assert!(connected.is_some() && !shop.log().contains("p%41"), "{mqtt}: {}", shop.log());
        assert_eq!((agent.finish(), guard.finish()), (Some(0), Some(0)));
    }
}

#[test]
fn a_box_whose_agent_cannot_use_its_configuration_goes_on() {
    let mqtt = "url = \"mqtt://127.0.0.1:9\"\nuser = \"u\"\npassword = \"${NOT_SET_ANYWHERE}\"".to_owned();
    let shop = TestBox::new(&BoxConfig { mqtt, ..BoxConfig::default() });
    let mut run = shop.start("run");
    wait_until("the agent has given up", || shop.log().contains("the box goes on without a broker"));
    shop.press();
    shop.wait_for_phase("connecting");
    assert!(run.is_running());
    shop.press();
    shop.wait_for_phase("idle");
    assert_eq!(run.finish(), Some(0));
}

#[test]
fn a_secret_that_cannot_be_used_is_told_before_a_press_and_after_it() {
    let ingest = "srt://127.0.0.1:9?passphrase=${SHORT_SECRET}".to_owned();
    let shop = TestBox::new(&BoxConfig { ingest, ..BoxConfig::default() });
    let said = "the passphrase has 9 bytes, and SRT takes 10 to 79";
    let mut check = Command::new(crate::support::TALLYBOX);
    let checked = check.arg("check-config").arg(&shop.config).env("SHORT_SECRET", "too-short").output().unwrap();
    assert!(checked.status.code() == Some(78) && text(&checked.stderr).contains(said), "{checked:?}");
    let doctor = shop.command(&["doctor", "--json"]).env("SHORT_SECRET", "too-short").output().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&doctor.stdout).unwrap();
    let failed = |row: &Value| row["check"] == "secrets" && row["verdict"] == "fail";
    let row = rows.iter().find(|row| failed(row)).unwrap();
    assert!(row["found"].as_str().unwrap().contains(said), "{row}");
    let _guard = shop.start_with("guard", "SHORT_SECRET", "too-short");
    shop.press();
    wait_until("it is said", || shop.status().unwrap()["message"].as_str().is_some_and(|text| text.contains(said)));
}

#[test]
fn a_host_is_named_whatever_else_has_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost whip.test\n").unwrap();
    let server = WhipServer::new(&dir.path().join("log"), None);
    let ingest = format!("http://whip.test:{}/whip/none", server.port);
    let shop = TestBox::new(&BoxConfig { ingest, ..BoxConfig::default() });
    let _guard = shop.start_guard_with(&format!("mount --bind {} /etc/hosts", hosts.display()));
    shop.press();
    wait_until("a reason is given", || shop.status().is_some_and(|status| status["reason"].is_string()));
    let reason = shop.status().unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with(&format!("whip.test:{}: ", server.port)), "{reason}");
    assert!(!reason.contains("…"), "{reason}");
}

#[test]
fn a_file_in_another_encoding_is_told_with_its_line() {
    let shop = TestBox::new(&BoxConfig::default());
    let check = || {
        let output = Command::new(crate::support::TALLYBOX).arg("check-config").arg(&shop.config).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    std::fs::create_dir(shop.path("conf.d")).unwrap();
    let overlay = "[overlay]\ntext = \"茶叶店\"\n";
    let utf16: Vec<u8> = overlay.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, said) in [
        (utf16, "conf.d/10.toml:1:1: is UTF-16"),
        (b"[overlay]\ntext = \"\xb2\xe8\xd2\xb6\xb5\xea\"\n".to_vec(), "conf.d/10.toml:2:9: the byte 0xB2"),
        ("[overlay]\n\u{feff}text = \"x\"\n".into(), "conf.d/10.toml:2:1: a byte order mark"),
        ("[overlay]\ntext\u{a0}= \"x\"\n".into(), "conf.d/10.toml:2:5: a no-break space"),
    ] {
        std::fs::write(shop.path("conf.d/10.toml"), &bytes).unwrap();
        let (code, heard) = check();
        assert!(code == Some(78) && heard.contains(said) && heard.contains("save the file as UTF-8"), "{heard}");
        let stick = shop.path("stick.toml");
        std::fs::write(&stick, &bytes).unwrap();
        std::fs::remove_file(shop.path("conf.d/10.toml")).unwrap();
        let taken = shop.command(&["take-config", stick.to_str().unwrap()]).output().unwrap();
        let heard = text(&taken.stderr);
        let line = said.split_once(':').unwrap().1;
        assert!(!taken.status.success() && heard.contains(&format!("stick.toml:{line}")), "{heard}");
        assert!(heard.contains("save the file as UTF-8"), "{heard}");
    }
    std::fs::write(shop.path("conf.d/10.toml"), format!("\u{feff}{overlay}")).unwrap();
    assert_eq!(check().0, Some(0), "a mark at the beginning is no mistake");
}
