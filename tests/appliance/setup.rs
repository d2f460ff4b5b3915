//! `tallybox setup` on a machine of the test's own: the files that it writes, what it refuses, and that it never leaves
//! half of it. With real units it runs in tests/deb.

mod machine;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Program, TALLYBOX, wait_until};
use machine::{ANSWERS, KEY, Machine, ended, ends};

#[test]
fn answers_become_files_and_do_so_once() {
    let machine = Machine::new();
    ended(&machine.answered(ANSWERS), 0);
    let first = machine.etc();
    for (name, mode) in [
        ("etc/tallybox/stream-key", 0o600),
        ("etc/tallybox/client.key", 0o600),
        ("etc/tallybox/ca.pem", 0o644),
        ("etc/tallybox/client.pem", 0o644),
        ("etc/tallybox/conf.d/10-setup.toml", 0o640),
        ("etc/systemd/system/tallybox-capture@.service.d/10-setup.conf", 0o644),
        ("etc/systemd/system/tallybox-agent.service.d/10-setup.conf", 0o644),
    ] {
        assert_eq!(first.get(name).map(|(_, mode, _)| *mode), Some(mode), "{name}");
    }
    assert_eq!(first.len(), 8, "with the main file, and nothing else: {:?}", first.keys());
    assert_eq!(first["etc/tallybox/stream-key"].0.trim(), KEY);
    let config = machine.read("etc/tallybox/conf.d/10-setup.toml");
    for line in ["id = \"shop-0042\"", "stream-key = \"${STREAM_KEY}\"", "client-key = \"${MQTT_KEY}\""] {
        assert!(config.contains(line), "{line}: {config}");
    }
    let agent = machine.read("etc/systemd/system/tallybox-agent.service.d/10-setup.conf");
    assert!(agent.contains("[Service]\nLoadCredential=MQTT_KEY:/etc/tallybox/client.key\n"), "{agent}");
    let main = machine.path("etc/tallybox/tallybox.toml");
    let checked = Command::new(TALLYBOX).arg("check-config").arg(&main).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    // Again: nothing is written anew.
    let said = ended(&machine.answered(ANSWERS), 0);
    assert!(said.contains("has all of it already") && machine.etc() == first, "{said}");
    // What somebody wrote into the file stays, and what is not answered too.
    machine.write(
        "etc/tallybox/conf.d/10-setup.toml",
        &format!("{config}telemetry-interval = \"5s\"\n[overlay]\nclock = true\n"),
    );
    ended(&machine.answered("camera = \"auto\"\n"), 0);
    let config = machine.read("etc/tallybox/conf.d/10-setup.toml");
    for line in
        ["source = \"auto\"", "telemetry-interval = \"5s\"", "clock = true", "push.example.cn", "broker.example.cn"]
    {
        assert!(config.contains(line), "{line}: {config}");
    }
    let before = machine.read("etc/tallybox/conf.d/10-setup.toml.bak");
    assert!(before.contains("source = \"test\""), "what it replaced is kept: {before}");
    assert!(!machine.path("etc/tallybox/stream-key.bak").exists(), "a former secret is not");
}

#[test]
fn a_wrong_answer_is_told_with_its_line_and_changes_nothing() {
    let machine = Machine::new();
    ended(&machine.answered(ANSWERS), 0);
    let before = machine.etc();
    machine.write("empty", "\n");
    // 2024, by a clock of openssl's own where it has one: `openssl ca` takes dates, on Debian 12 too.
    let script = "touch index && echo 01 >serial && openssl req -newkey rsa:2048 -nodes -subj /CN=shop-0042 -keyout old.key \
        -out old.csr && printf '[ca]\\ndefault_ca=c\\n[c]\\ndatabase=index\\nserial=serial\\nnew_certs_dir=.\\n\
        default_md=sha256\\npolicy=p\\n[p]\\ncommonName=supplied\\n' >ca.conf && openssl ca -batch -config ca.conf \
        -cert certs/ca.pem -keyfile certs/ca.key -startdate 20240101000000Z -enddate 20240201000000Z -in old.csr \
        -notext -out old.pem";
    let made = Command::new("sh").args(["-ec", script]).current_dir(machine.root.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    for (answers, code, wanted) in [
        ("ingest-url = \"rtmsp://push.example.cn/live\"", 78, "answers.toml:1:1: ingest-url: "),
        ("device-id = \"Shop 42\"", 78, "write 1 to 64 of a-z"),
        (
            "camera = \"auto\"\ndevice-id = \"shop-0043\"",
            78,
            "answers.toml:2:1: device-id: the certificate is for \"shop-0042\"",
        ),
        ("client-cert-file = \"certs/operator.pem\"", 78, "key and certificate do not belong together"),
        ("client-cert-file = \"certs/shop-0042.key\"", 78, "are the two files swapped?"),
        ("client-cert-file = \"old.pem\"\nclient-key-file = \"old.key\"", 78, "the certificate ended on 20"),
        ("ca-file = \"certs/none.pem\"", 78, "answers.toml:1:1: ca-file: "),
        ("ca-file = \"key\"", 78, "no certificate in PEM form"),
        ("stream-key-file = \"empty\"", 78, "is empty"),
        ("button-pin = 5\nlamp-pin = 5", 78, "are both pin 5"),
        ("policy-version = \"\"", 78, "is no date; write the day of the policy"),
        ("allowed-ingest-hosts = [\"other.example.cn\"]", 78, "is not one of allowed-ingest-hosts"),
        ("stream-key = \"hush-hush-key\"", 65, "answers.toml:1:1: stream-key is not known; write stream-key-file"),
        ("broker-url = \"mqtt://broker.example.cn\"", 78, "client-cert needs TLS"),
        ("wait-for-press = \"soon\"", 65, "answers.toml:1:1: wait-for-press"),
    ] {
        let said = ended(&machine.answered(answers), code);
        assert!(said.contains(wanted), "{answers}: {said}");
        assert!(machine.etc() == before, "{answers}: nothing is changed");
    }
    // A stream without a key says so where the address wants one.
    let fresh = Machine::new();
    let said = ended(&fresh.answered("ingest-url = \"rtmps://push.example.cn/live/${STREAM_KEY}\""), 78);
    assert!(said.contains("stream-key-file"), "{said}");
    let said = ended(&machine.command(&[]).output().unwrap(), 64);
    assert!(said.contains("--answers FILE"), "{said}");
    let said = ended(&machine.command(&["--answers", "/no/such"]).output().unwrap(), 66);
    assert!(said.contains("there is no /no/such"), "{said}");
    assert!(machine.etc() == before);
}

#[test]
fn another_user_is_told_to_call_it_as_root() {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=1000", TALLYBOX, "setup"]).stdin(Stdio::null());
    assert!(ended(&command.output().unwrap(), 77).contains("call it with sudo"));
}

/// The questions up to the last one, each with an answer.
const DIALOGUE: [(&str, &str); 15] = [
    ("Ingest server", "push.example.cn"),
    ("write", "rtmps://push.example.cn/live"),
    ("Stream key (does not show", KEY),
    ("MQTT broker", "mqtts://broker.example.cn:8883"),
    ("authority", "nowhere.pem"),
    ("nowhere.pem", "certs/ca.pem"),
    ("same authority?", "perhaps"),
    ("write yes or no", "yes"),
    ("client certificate", "certs/shop-0042.pem"),
    ("private key", "certs/operator.key"),
    ("do not belong together", "certs/shop-0042.key"),
    ("Name of this box", ""),
    ("Panel", "2"),
    ("Camera", ""),
    ("Microphone", ""),
];
const LAST: [(&str, &str); 2] = [("privacy policy", ""), ("Write these files", "yes")];

#[test]
fn at_a_terminal_each_answer_is_judged_at_once_and_no_secret_shows() {
    let machine = Machine::new();
    let dialogue: Vec<_> = DIALOGUE.into_iter().chain(LAST).collect();
    let (shown, end) = machine.at_terminal(&dialogue);
    assert_eq!(end, "ended 0 echo on", "{shown}");
    assert!(!shown.contains(KEY), "{shown}");
    assert_eq!(machine.read("etc/tallybox/stream-key").trim(), KEY);
    let config = machine.read("etc/tallybox/conf.d/10-setup.toml");
    assert!(
        config.contains("id = \"shop-0042\"") && config.contains("url = \"rtmps://push.example.cn/live\""),
        "{config}"
    );
    // Enter at each question keeps all of it.
    let before = machine.etc();
    let wrong = ["write", "nowhere.pem", "write yes or no", "do not belong together"];
    let questions = dialogue.iter().map(|(question, _)| *question).filter(|question| !wrong.contains(question));
    let again: Vec<_> = questions.map(|question| (question, "")).collect();
    let (shown, end) = machine.at_terminal(&again);
    assert_eq!(end, "ended 0 echo on", "{shown}");
    assert!(shown.contains("has all of it already") && machine.etc() == before, "{shown}");
}

#[test]
fn ctrl_c_at_each_question_changes_nothing() {
    let machine = Machine::new();
    let before = machine.etc();
    let dialogue: Vec<_> = DIALOGUE.into_iter().chain(LAST).collect();
    for count in 0..dialogue.len() {
        // The end of the terminal is one way to go, too.
        let key = if count % 3 == 2 { "^D" } else { "^C" };
        let mut part = dialogue[..=count].to_vec();
        part[count].1 = key;
        let (shown, end) = machine.at_terminal(&part);
        assert_eq!(end, "ended 75 echo on", "{shown}");
        assert!(shown.contains("nothing was changed") && machine.etc() == before, "{shown}");
    }
    let mut refused = dialogue;
    refused[DIALOGUE.len() + 1].1 = "no";
    let (shown, end) = machine.at_terminal(&refused);
    assert_eq!(end, "ended 75 echo on", "{shown}");
    assert!(machine.etc() == before, "{shown}");
}

#[test]
fn a_kill_leaves_the_old_or_the_new_and_never_both() {
    let machine = Machine::new();
    ended(&machine.answered(ANSWERS), 0);
    let content = |machine: &Machine| -> BTreeMap<String, String> {
        let whole = machine.etc().into_iter().filter(|(name, _)| !ends(name, &["bak", "new"]));
        whole.map(|(name, (text, _, _))| (name, text)).collect()
    };
    let old = content(&machine);
    machine.write("key2", "another-key\n");
    let other = ANSWERS.replace("push.example.cn", "other.example.cn").replace("\"key\"", "\"key2\"");
    let (mut kept, mut taken) = (0, 0);
    for round in 0..60 {
        machine.write("answers.toml", &other);
        let path = machine.path("answers.toml");
        let mut command = machine.command(&["--answers", path.to_str().unwrap()]);
        let mut setup = Program::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        std::thread::park_timeout(Duration::from_millis(round));
        setup.kill();
        // As a box does before it starts.
        ended(&machine.command(&["--undo"]).output().unwrap(), 0);
        let now = content(&machine);
        if now == old {
            kept += 1;
            continue;
        }
        taken += 1;
        assert!(now["etc/tallybox/stream-key"].contains("another-key"), "{now:?}");
        assert!(now["etc/tallybox/conf.d/10-setup.toml"].contains("other.example.cn"), "{now:?}");
        assert_eq!(now.len(), old.len());
        ended(&machine.answered(ANSWERS), 0);
        assert_eq!(content(&machine), old);
    }
    assert!(kept + taken == 60 && kept > 0, "{kept} {taken}");
}

#[test]
fn a_box_that_captures_is_left_alone() {
    let machine = Machine::new();
    let answers =
        ANSWERS.replace("rtmps://push.example.cn", "rtmp://127.0.0.1:9").replace("ingest-uses-ca = true\n", "");
    ended(&machine.answered(&answers), 0);
    let before = machine.etc();
    let Machine { root } = &machine;
    let main = machine.path("etc/tallybox/tallybox.toml");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(TALLYBOX);
        command.args(arguments).arg("--config").arg(&main).env("STREAM_KEY", KEY).stdin(Stdio::null());
        command
    };
    let status = || run(&["status", "--json"]).output().unwrap();
    let phase = || String::from_utf8_lossy(&status().stdout).into_owned();
    let log = std::fs::File::create(root.path().join("log")).unwrap();
    let mut guard = Program::start(run(&["guard"]).stderr(log));
    wait_until("the guard answers", || status().status.success());
    // It runs, and is none of systemd's: its files do not change under it.
    let said = ended(&machine.answered(&answers.replace("\"test\"", "\"auto\"")), 69);
    assert!(said.contains("stop it first") && machine.etc() == before, "{said}");
    assert!(run(&["press"]).status().unwrap().success());
    wait_until("it captures", || phase().contains("\"connecting\""));
    let said = ended(&machine.answered(&answers.replace("\"test\"", "\"auto\"")), 75);
    assert!(said.contains("the box is connecting") && machine.etc() == before, "{said}");
    assert!(run(&["press"]).status().unwrap().success());
    wait_until("it is idle", || phase().contains("\"idle\""));
    assert_eq!(guard.finish(), Some(0));
}

#[test]
fn by_hand_comes_to_the_same_files() {
    let machine = Machine::new();
    let before = machine.etc();
    machine.write("answers.toml", ANSWERS);
    let path = machine.path("answers.toml");
    let said = ended(&machine.command(&["--by-hand", "--answers", path.to_str().unwrap()]).output().unwrap(), 0);
    assert!(machine.etc() == before, "it only says how");
    // As a shell does it, below the root; this machine has no group tallybox, and its systemd is not asked.
    let (files, _) = said.rsplit_once("\ntallybox check-config").unwrap();
    let etc = format!("{}/etc/", machine.root.path().display());
    let mut here = String::new();
    for line in files.lines() {
        let is_command = line.starts_with("install") || line.starts_with("chmod");
        let line = line.replace(" -g tallybox", "");
        here += &if is_command { line.replace(" /etc/", &format!(" {etc}")) } else { line };
        here.push('\n');
    }
    let done = Command::new("sh").args(["-c", &here]).output().unwrap();
    assert!(done.status.success(), "{done:?}\n{here}");
    let by_hand: BTreeMap<_, _> =
        machine.etc().into_iter().map(|(name, (text, mode, _))| (name, (text, mode))).collect();
    let other = Machine::new();
    ended(&other.answered(ANSWERS), 0);
    let by_setup: BTreeMap<_, _> =
        other.etc().into_iter().map(|(name, (text, mode, _))| (name, (text, mode))).collect();
    let main = "etc/tallybox/tallybox.toml";
    for (name, file) in by_setup.iter().filter(|(name, _)| *name != main && !ends(name, &["pem", "key"])) {
        assert_eq!(by_hand.get(name), Some(file), "{name}");
    }
    assert_eq!(by_hand.keys().collect::<Vec<_>>(), by_setup.keys().collect::<Vec<_>>());
}

#[test]
fn a_key_that_stands_in_an_address_is_not_shown_as_a_default() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("etc/tallybox/conf.d")).unwrap();
    let own = format!(
        "[ingest]\nurl = \"rtmp://push.example.cn/live/{KEY}\"\n[mqtt]\nurl = \"mqtts://me:{KEY}@broker.example.cn\"\n"
    );
    machine.write("etc/tallybox/conf.d/05-own.toml", &own);
    let dialogue = [("Ingest server", ""), ("Stream key", ""), ("MQTT broker", ""), ("authority", "^C")];
    let (shown, end) = machine.at_terminal(&dialogue);
    assert_eq!(end, "ended 75 echo on", "{shown}");
    assert!(!shown.contains(KEY), "{shown}");
    assert!(
        shown.contains("[rtmp://push.example.cn/...]") && shown.contains("[mqtts://broker.example.cn/...]"),
        "{shown}"
    );
}

#[test]
fn a_certificate_whose_name_no_box_can_have_is_no_dead_end() {
    let machine = Machine::new();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/servers/certificates");
    let made = Command::new(program).arg(machine.path("certs")).args(["client", "Shop.42"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let answers = ANSWERS.replace("shop-0042", "Shop.42");
    ended(&machine.answered(&format!("{answers}device-id = \"shop-42\"\n")), 0);
    assert!(machine.read("etc/tallybox/conf.d/10-setup.toml").contains("id = \"shop-42\""));
}

#[test]
fn a_disk_that_is_full_changes_nothing() {
    let machine = Machine::new();
    ended(&machine.answered(ANSWERS), 0);
    machine.write("answers.toml", &ANSWERS.replace("push.example.cn", "other.example.cn"));
    // The folder on a disk of its own, which somebody has filled to the last byte.
    let script =
        "cp -a etc/tallybox kept; mount -t tmpfs -o size=64k,mode=755 none etc/tallybox; cp -a kept/. etc/tallybox
        dd if=/dev/zero of=etc/tallybox/fill bs=512 2>/dev/null || true
        sums() { find etc -type f ! -name '*.bak' | sort | xargs sha256sum; }
        before=$(sums); code=0; \"$@\" >said 2>&1 || code=$?
        cat said; [ $code = 74 ] && grep -q 'No space left' said && [ \"$before\" = \"$(sums)\" ]";
    let setup = machine.command(&["--answers", "answers.toml"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-ec", script, "sh"]).arg(setup.get_program());
    let output = command.args(setup.get_args()).current_dir(machine.root.path()).output().unwrap();
    assert!(ended(&output, 0).contains("everything is as it was before"));
}

#[test]
fn what_would_win_over_the_answers_is_told() {
    let machine = Machine::new();
    let drop_in = "etc/systemd/system/tallybox-capture@.service.d";
    std::fs::create_dir_all(machine.path(drop_in)).unwrap();
    std::fs::create_dir(machine.path("etc/tallybox/conf.d")).unwrap();
    let line = "LoadCredential=STREAM_KEY:/root/other-key";
    machine.write(&format!("{drop_in}/override.conf"), &format!("[Service]\n{line}\n"));
    machine.write("etc/tallybox/conf.d/20-own.toml", "[device]\nid = \"shop-0042\"\n[video]\nsource = \"libcamera\"\n");
    let said = ended(&machine.answered(ANSWERS), 0);
    assert!(said.contains(&format!("override.conf is read later and wins: its {line} counts")), "{said}");
    assert!(said.contains("20-own.toml is read later and wins: its [video] source counts"), "{said}");
    assert!(!said.contains("[device] id counts"), "the same value is no contradiction: {said}");
    // A file that is wrong is told before anything is asked, and again at the end.
    machine.write("etc/tallybox/conf.d/20-own.toml", "[vidoe]\nfps = 5\n");
    let before = machine.etc();
    let said = ended(&machine.answered(ANSWERS), 78);
    assert!(said.starts_with("The configuration is wrong now:") && said.contains("did you mean \"video\"?"), "{said}");
    assert!(machine.etc() == before, "{said}");
}
