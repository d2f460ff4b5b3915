//! The archive as the real `tar` and `sha256sum` see it, with and without a ledger.

use std::process::Command;

use super::*;

fn config(dir: &Path) -> Config {
    let path = dir.join("tallybox.toml");
    let text = format!(
        "# comment-canary\n[device]\nid = \"shop-1\"\ndata-dir = \"{0}/data\"\nruntime-dir = \"{0}/run\"\n[ingest]\n\
         url = \"rtmps://user-canary:pw-canary@a.example.cn/live/url-canary?key=query-canary\"\n\
         [ingest.second]\nurl = \"srt://b.example.cn:9\"\npassphrase = \"passphrase-canary\"\nstreamid = \"id-canary\"\n\
         [mqtt]\nurl = \"mqtts://127.0.0.1\"\nuser = \"shop\"\npassword = \"mqtt-canary\"\n",
        dir.display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::create_dir_all(dir.join("data/footage")).unwrap();
    std::fs::write(dir.join("data/footage/7-1.age"), "sealed").unwrap();
    Config::load(&path).unwrap()
}

#[test]
fn it_has_an_index_that_verifies_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let out = dir.path().join("shop.tar");
    run(&config, &out).unwrap();
    let all = std::fs::read(&out).unwrap();
    assert!(!String::from_utf8_lossy(&all).contains("canary"));
    let into = dir.path().join("into");
    std::fs::create_dir(&into).unwrap();
    assert!(Command::new("tar").arg("-xf").arg(&out).arg("-C").arg(&into).status().unwrap().success());
    let index: Value = serde_json::from_slice(&std::fs::read(into.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["box"], "shop-1");
    let files = index["files"].as_array().unwrap();
    for file in files {
        let path = into.join(file["name"].as_str().unwrap());
        let said = Command::new("sha256sum").arg(&path).output().unwrap().stdout;
        assert!(String::from_utf8(said).unwrap().starts_with(file["sha256"].as_str().unwrap()), "{file}");
        assert_eq!(std::fs::metadata(path).unwrap().len(), file["bytes"].as_u64().unwrap());
    }
    let names: Vec<&str> = files.iter().map(|file| file["name"].as_str().unwrap()).collect();
    for name in [
        "configuration/tallybox.toml",
        "inventory.en.json",
        "inventory.zh.json",
        "files.json",
        "README.en.md",
        "README.zh.md",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    // No guard, no ledger, no policy: said, and no error.
    let missing: Vec<&str> =
        index["missing"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(missing, ["status.json", "ledger.jsonl", "policy.note"]);
    let held = std::fs::read_to_string(into.join("files.json")).unwrap();
    assert!(held.contains("footage/7-1.age") && !held.contains("sealed"), "{held}");
    let redacted = std::fs::read_to_string(into.join("configuration/tallybox.toml")).unwrap();
    assert!(redacted.contains("rtmps://a.example.cn/") && redacted.contains("shop-1"), "{redacted}");
}

#[test]
fn a_bad_place_is_told_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    std::fs::write(dir.path().join("there"), "mine").unwrap();
    for (path, told) in [("there", "name another file"), ("", "is a folder"), ("no/where", "make its folder first")] {
        let error = run(&config, &dir.path().join(path)).unwrap_err();
        assert!(error.to_string().contains(told), "{path}: {error}");
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("there")).unwrap(), "mine");
    // A ledger that cannot be read: no archive without it.
    std::fs::write(dir.path().join("data/ledger.db"), "no ledger").unwrap();
    assert!(run(&config, &dir.path().join("broken.tar")).is_err());
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("broken")), "{left:?}");
}
