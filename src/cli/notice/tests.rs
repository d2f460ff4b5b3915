//! The cards fit on their page, are readable, and say what the box does.

use super::page::{CAP, HEIGHT, WIDTH};
use super::*;
use crate::ipc::PolicyTexts;

fn config(text: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tallybox.toml");
    std::fs::write(&path, format!("[ingest]\nurl = \"rtmps://push.example.cn/live/x\"\n{text}")).unwrap();
    Config::load(&path).unwrap()
}

fn policy(contacts: &[&str]) -> PolicyDocument {
    let told = |url: &str| PolicyText { text: None, sha256: Some("0".repeat(64)), url: Some(url.to_owned()) };
    PolicyDocument {
        version: "2027-01-01".to_owned(),
        material: false,
        reasons: None,
        effective: None,
        texts: Some(PolicyTexts { zh: told("https://example.cn/zh"), en: told("https://example.cn/en") }),
        text_sha256: None,
        url: None,
        contacts: contacts.iter().map(|contact| (*contact).to_owned()).collect(),
        answer_days: Some(10),
    }
}

/// Every card there is for this box: its name, and its marks.
fn cards(config: &Config, policy: Option<&PolicyDocument>) -> Vec<(String, Vec<Mark>)> {
    let mut all = Vec::new();
    for language in [Language::En, Language::Zh] {
        let about = About { config, policy, language };
        let sheets = [("staff", about.staff()), ("public", about.public(false)), ("minors", about.public(true))];
        for (name, sheet) in sheets {
            let name = format!("{name} {language:?}");
            let marks = sheet.finish().unwrap_or_else(|| panic!("{name} does not fit"));
            all.push((name, marks));
        }
    }
    all
}

fn text(marks: &[Mark]) -> String {
    let lines = marks.iter().filter_map(|mark| match mark {
        Mark::Text { text, .. } => Some(text.as_str()),
        Mark::Bar { .. } => None,
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// What could not be delivered stays for the operator, two days.
const KEEPS: &str = "outage-buffer = \"disk\"\n[privacy]\nfootage-retention = \"2d\"\nfootage-recipient = \
                     \"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"\n";

const MINORS: &str = "outage-buffer = \"disk\"\n[consent]\nminors-mode = true\n";

#[test]
fn every_card_fits_and_its_main_lines_are_readable_at_two_metres() {
    let policy = policy(&["privacy@example.cn", "+86 10 0000 0000", "https://example.cn/complaints"]);
    for (config, policy) in [
        (config(""), None),
        (config(""), Some(&policy)),
        (config(MINORS), Some(&policy)),
        (config(KEEPS), Some(&policy)),
    ] {
        for (name, marks) in cards(&config, policy) {
            let mut main = 0;
            for mark in &marks {
                match mark {
                    Mark::Text { x, y, size, bold, .. } => {
                        assert!(*x >= 10.0 && *y > 10.0 && *y < HEIGHT - 10.0, "{name}: {mark:?}");
                        assert!(!bold || size * CAP >= 8.0, "{name}: {mark:?}");
                        main += usize::from(*bold);
                    }
                    Mark::Bar { x, width, .. } => assert!(x + width <= WIDTH - 10.0, "{name}: {mark:?}"),
                }
            }
            assert!(main >= 5, "{name}: {main} main lines");
        }
    }
}

#[test]
fn cards_say_what_this_box_does() {
    let policy = policy(&["privacy@example.cn"]);
    let said = |text_: &str, name: &str| {
        let all = cards(&config(text_), Some(&policy));
        text(&all.iter().find(|(known, _)| known == name).unwrap().1)
    };
    let plain = said("", "public En");
    for part in ["push.example.cn", "in memory", "184 days", "privacy@example.cn", "within 10 days", "2027-01-01"] {
        assert!(plain.contains(part), "{part}: {plain}");
    }
    assert!(plain.contains("https://example.cn/en") && said("", "public Zh").contains("https://example.cn/zh"));
    assert!(
        said("outage-buffer = \"disk\"\nreconnect-window = \"5m\"\n", "public En")
            .contains("on disk, encrypted, for at most 5 min")
    );
    // Footage that is kept: for whom, how long, and how staff destroy it. Nowhere else.
    for (name, words) in [
        ("public En", "is kept here for at most 2 d; only the operator can read it"),
        ("public Zh", "最长 2 天，仅运营者可以读取"),
        ("staff En", "Unsent footage is kept here, at most 2 d; holding for 5 s destroys it"),
        ("staff Zh", "未送达的录像在此保存，最长 2 天；按住 5 秒即销毁"),
    ] {
        let keeps = said(KEEPS, name);
        assert!(keeps.contains(words), "{name}: {keeps}");
        for other in ["", "outage-buffer = \"disk\"\n", &format!("{KEEPS}[consent]\nminors-mode = true\n")] {
            let none = said(other, name);
            let promises = ["only the operator", "仅运营者", "Unsent footage", "未送达的录像在此"];
            assert!(!promises.iter().any(|words| none.contains(words)), "{name}: {none}");
        }
    }
    assert!(
        said(&format!("{KEEPS}[consent]\nminors-mode = true\n"), "minors En").contains("nothing of it is stored here")
    );
    // Minors' mode keeps nothing on disk; the hold is promised where the box asks for it.
    let minors = said(MINORS, "minors En");
    assert!(minors.contains("in memory") && minors.contains("holds the button for 2 s"), "{minors}");
    assert!(!said("", "minors En").contains("holds the button"));
    assert!(said(MINORS, "staff Zh").contains("监护人按住 2 秒") && !said("", "staff Zh").contains("监护人"));
    assert!(said("", "staff En").contains("Hold 5 s: privacy lock"));
}

#[test]
fn a_policy_without_contacts_leaves_room_for_them() {
    let all = cards(&config(""), None);
    assert!(all.iter().all(|(_, marks)| text(marks).contains("......")));
    let of_2022 = text(&all[0].1);
    assert!(of_2022.contains("2022-07-11") && of_2022.contains("within 15 days"), "{of_2022}");
}

/// The cards of an example, as the documents show them.
#[test]
fn the_documents_show_the_cards_as_they_are() {
    let (config, policy) = (config(""), policy(&["privacy@example.cn", "+86 10 0000 0000"]));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/notices");
    for (language, code) in [(Language::En, "en"), (Language::Zh, "zh")] {
        let about = About { config: &config, policy: Some(&policy), language };
        for (name, card, sheet) in
            [("staff", Card::Staff, about.staff()), ("public", Card::Public, about.public(false))]
        {
            let svg = svg::draw(&about.title(card), language, &sheet.finish().unwrap());
            let path = format!("{folder}/{name}-{code}.svg");
            if std::env::var_os("TALLYBOX_BLESS").is_some() {
                std::fs::create_dir_all(folder).unwrap();
                std::fs::write(&path, &svg).unwrap();
            }
            let shown = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(shown == svg, "{path} is another card: TALLYBOX_BLESS=1 writes it anew");
        }
    }
}
