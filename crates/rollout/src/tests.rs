use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

const START: &str = "2026-12-01T02:00:00Z";

fn stage(permille: u16, over_s: u32, bake_s: u32) -> Stage {
    Stage { permille, over_s, bake_s, not_before: None, pause: false }
}

fn release() -> Release {
    let file = |name: &str| File {
        url: format!("https://updates.example.cn/tallybox_0.2.0-1_{name}.deb"),
        size: 10_000_000,
        sha256: Sha256Hex::of(name.as_bytes()),
    };
    Release {
        version: "0.2.0-1".parse().unwrap(),
        serial: 7,
        channel: "stable".to_owned(),
        files: Files { amd64: Some(file("amd64")), arm64: Some(file("arm64")), armhf: None },
        not_after: at("2027-03-01T00:00:00Z"),
        minimum_version: None,
        wave: Wave::everyone(at(START)),
        downgrade: false,
        security: true,
        reconnect_spread_s: None,
    }
}

fn with(change: impl FnOnce(&mut Release)) -> Release {
    let mut release = release();
    change(&mut release);
    release
}

/// What a box sees that is free to take the update a day after the wave's start.
fn free(installed: &Version) -> BoxView<'_> {
    BoxView {
        id: "shop-0042",
        channel: "stable",
        architecture: "arm64",
        installed,
        automatic: true,
        window: None,
        second_of_day: 12 * 3600,
        now: Some(at("2026-12-02T02:00:00Z")),
        session: SessionView::None,
        postponed: None,
        asked: false,
        given_up: false,
    }
}

#[test]
fn a_document_survives_the_way_through_json_and_keeps_its_digest() {
    let release = with(|release| {
        release.minimum_version = Some("0.1.0".parse().unwrap());
        release.reconnect_spread_s = Some(600);
        release.wave.stages = vec![Stage { pause: true, ..stage(10, 60, 60) }, stage(1000, 0, 0)];
        release.wave.abort = vec![AbortRule { on: Failure::Any, minimum: 3, permille: 50 }];
    });
    let json = release.to_json().unwrap();
    assert!(!json.contains('\n') && json.len() < 1500, "{json}");
    assert_eq!(Release::parse(&json).unwrap(), release);
    // Pinned: boxes and fleet tools of different versions have to agree on it.
    assert_eq!(release.digest().as_str(), "3674cebbb7fe1812e4d927d5afdf468d6384c109c8547e2773d19744fb1129e6");
}

#[test]
fn what_a_document_may_not_say_is_refused() {
    let json = release().to_json().unwrap();
    let refused = |from: &str, to: &str| {
        assert!(json.contains(from), "{from} is not in {json}");
        let text = json.replacen(from, to, 1);
        assert!(Release::parse(&text).is_err(), "taken: {text}");
    };
    refused("{\"version\"", "{\"other\":1,\"version\"");
    refused("{\"version\"", "{\"version\":\"0.3.0-1\",\"version\"");
    refused("\"amd64\":", "\"mips\":");
    refused("\"arm64\":", "\"amd64\":");
    refused("\"stable\"", "\"Stable\"");
    refused("\"stable\"", "\"../stable\"");
    refused("\"stable\"", "\"\"");
    refused("\"serial\":7", "\"serial\":0");
    refused("\"serial\":7", "\"serial\":-7");
    refused("\"serial\":7", "\"serial\":7.5");
    refused("\"serial\":7", "\"serial\":18446744073709551615");
    refused("\"serial\":7,", "");
    refused("0.2.0-1\"", "0.2.0-1 \"");
    refused("\"0.2.0-1\"", "\"v0.2\"");
    refused("https://", "http://");
    refused("https://", "https://user@");
    refused("https://updates.example.cn", "https://");
    refused(".deb\"", ".deb#x\"");
    refused(".deb\"", ".deb\\n\"");
    refused("\"size\":10000000", "\"size\":0");
    refused("\"size\":10000000", "\"size\":268435457");
    refused("2027-03-01", "2026-11-01");
    refused("2027-03-01", "2028-03-01");
    refused("\"permille\":1000", "\"permille\":1001");
    refused("\"permille\":1000", "\"permille\":0");
    refused("\"deadline-s\":86400", "\"deadline-s\":1");
    refused("\"state\":\"running\"", "\"state\":\"going\"");
    refused("\"security\":true", "\"security\":\"yes\"");
    let digest = Sha256Hex::of(b"arm64");
    refused(digest.as_str(), &digest.as_str().to_uppercase());
    refused(digest.as_str(), &digest.as_str()[1..]);
    let files = json.find("\"files\":{").unwrap();
    let end = json[files..].find("}},").unwrap() + files + 3;
    let none = format!("{}\"files\":{{}},{}", &json[..files], &json[end..]);
    assert!(Release::parse(&none).unwrap_err().to_string().contains("no package"), "{none}");
    assert!(Release::parse(&format!("{json}{}", " ".repeat(8192))).is_err(), "longer than a note");
    for spread in [0, 3_601] {
        assert!(with(|release| release.reconnect_spread_s = Some(spread)).to_json().is_err());
    }
    let stages = |stages: Vec<Stage>| with(|release| release.wave.stages = stages).to_json().is_ok();
    assert!(stages(vec![stage(10, 0, 0), stage(1000, 0, 0)]));
    assert!(!stages(vec![]) && !stages((1..=11).map(|share| stage(share, 0, 0)).collect()));
    assert!(!stages(vec![stage(10, 0, 0), stage(10, 0, 0)]) && !stages(vec![stage(1000, 2_592_001, 0)]));
}

/// Every truncation, and every changed byte, is another document or none: nothing panics, and what is taken is
/// within the bounds.
#[test]
fn a_damaged_document_is_none_or_within_the_bounds() {
    let json = release().to_json().unwrap();
    for end in 0..json.len() {
        assert!(Release::parse(&json[..end]).is_err(), "{}", &json[..end]);
    }
    for place in 0..json.len() {
        for byte in [b'0', b'"', b'{', b'}', b',', b'-', b'x', b' ', b'\\'] {
            let mut bytes = json.clone().into_bytes();
            bytes[place] = byte;
            if let Ok(release) = Release::parse(&String::from_utf8(bytes).unwrap()) {
                release.to_json().unwrap();
            }
        }
    }
}

#[test]
fn only_a_higher_serial_replaces_a_document_and_channels_count_for_themselves() {
    let known = release().accepted("a");
    let follows = |serial, channel: &str, text: &str| {
        let new = with(|release| {
            release.serial = serial;
            channel.clone_into(&mut release.channel);
        });
        known.replaced_by(&new.accepted(text))
    };
    assert_eq!(follows(8, "stable", "a"), Replacement::New);
    assert_eq!(follows(7, "stable", "a"), Replacement::Repeated);
    assert_eq!(follows(7, "stable", "b"), Replacement::Conflicting);
    assert_eq!(follows(6, "stable", "a"), Replacement::Older);
    assert_eq!(follows(1, "beta", "b"), Replacement::New);
}

#[test]
fn the_digest_is_of_what_is_delivered_and_not_of_the_wave() {
    let digest = release().digest();
    let same = with(|release| {
        release.serial = 8;
        release.wave.state = WaveState::Paused;
        release.not_after = at("2027-02-01T00:00:00Z");
    });
    assert_eq!(same.digest(), digest);
    assert_ne!(with(|release| release.version = "0.2.1-1".parse().unwrap()).digest(), digest);
    assert_ne!(with(|release| release.channel = "beta".to_owned()).digest(), digest);
    assert_ne!(with(|release| release.files.armhf = release.files.arm64.clone()).digest(), digest);
}

/// Shares are even to what chance allows: of n boxes a share p has a standard deviation of sqrt(n p (1 - p)).
#[test]
fn ranks_are_stable_and_even_and_another_release_ranks_anew() {
    let (boxes, digest) = (100_000_u32, release().digest());
    let ranks: Vec<u32> = (0..boxes).map(|number| rank(digest.as_str(), &format!("shop-{number}"))).collect();
    assert!(ranks.iter().all(|rank| *rank < 1_000_000));
    for permille in [1_u32, 10, 100, 500, 900] {
        let share = f64::from(permille) / 1000.0;
        let count = u32::try_from(ranks.iter().filter(|rank| **rank < permille * 1000).count()).unwrap();
        let expected = f64::from(boxes) * share;
        let deviation = (expected * (1.0 - share)).sqrt();
        assert!((f64::from(count) - expected).abs() < 5.0 * deviation, "{permille}: {count} of {expected}");
    }
    // Who was early in one release is early in the next one no more often than anybody.
    let other = with(|release| release.version = "0.2.1-1".parse().unwrap()).digest();
    let both = (0..boxes).filter(|number| {
        let id = format!("shop-{number}");
        rank(digest.as_str(), &id) < 100_000 && rank(other.as_str(), &id) < 100_000
    });
    let both = u32::try_from(both.count()).unwrap();
    assert!((900..1100).contains(&both), "{both} of 100,000 are among the first tenth twice");
}

#[test]
fn turns_come_stage_by_stage_spread_over_their_time() {
    let mut wave = Wave::everyone(at(START));
    wave.stages = vec![stage(10, 1000, 3600), stage(110, 10_000, 0), stage(1000, 0, 0)];
    let turn = |wave: &Wave, rank| match wave.turn(rank) {
        Turn::At(time) => time.duration_since(at(START)).as_secs(),
        Turn::BehindPause | Turn::Beyond => panic!("{rank} has no turn"),
    };
    assert_eq!([0, 5_000, 9_999].map(|rank| turn(&wave, rank)), [0, 500, 999]);
    // The second stage begins when the first one's time and its rest are over.
    assert_eq!([10_000, 60_000, 109_999].map(|rank| turn(&wave, rank)), [4600, 9600, 14_599]);
    assert_eq!([110_000, 999_999].map(|rank| turn(&wave, rank)), [14_600, 14_600]);
    assert_eq!(wave.deadline(0), Some(at("2026-12-02T02:00:00Z")));
    wave.stages[0].pause = true;
    assert_eq!((turn(&wave, 9_999), wave.turn(10_000)), (999, Turn::BehindPause));
    assert_eq!(wave.deadline(10_000), None);
    // After the pause the operator says when it goes on.
    wave.stages[0].pause = false;
    wave.stages[1].not_before = Some(at("2026-12-05T00:00:00Z"));
    assert_eq!(wave.turn(10_000), Turn::At(at("2026-12-05T00:00:00Z")));
    wave.stages.pop();
    assert_eq!(wave.turn(110_000), Turn::Beyond);
}

#[test]
fn a_wave_at_the_end_of_time_does_not_overflow() {
    let mut wave = Wave::everyone(Timestamp::MAX);
    wave.stages = (1..=10).map(|share| stage(share * 100, 2_592_000, 2_592_000)).collect();
    assert_eq!(wave.turn(999_999), Turn::At(Timestamp::MAX));
    assert_eq!(wave.deadline(999_999), Some(Timestamp::MAX));
}

#[test]
fn a_box_decides_by_what_lasts_longest() {
    let installed: Version = "0.1.0-1".parse().unwrap();
    let newer: Version = "0.3.0-1".parse().unwrap();
    let same: Version = "0.2.0-1".parse().unwrap();
    let seen = |change: &dyn Fn(&mut BoxView<'_>)| {
        let mut view = free(&installed);
        change(&mut view);
        decide(&release(), &view)
    };
    assert_eq!(seen(&|_| {}), Decision::Start);
    assert_eq!(decide(&release(), &free(&same)), Decision::Installed);
    assert_eq!(decide(&release(), &free(&newer)), Decision::Downgrade);
    assert_eq!(decide(&with(|release| release.downgrade = true), &free(&newer)), Decision::Start);
    let minimum = with(|release| release.minimum_version = Some("0.1.1".parse().unwrap()));
    assert_eq!(decide(&minimum, &free(&installed)), Decision::BelowMinimum);
    assert_eq!(seen(&|view| view.channel = "beta"), Decision::OtherChannel);
    assert_eq!(seen(&|view| view.architecture = "armhf"), Decision::OtherArchitecture);
    assert_eq!(seen(&|view| view.automatic = false), Decision::Manual);
    assert_eq!(seen(&|view| view.given_up = true), Decision::GivenUp);
    assert_eq!(seen(&|view| view.now = Some(at("2027-03-01T00:00:01Z"))), Decision::Expired);
    let early = at("2026-12-01T01:59:59Z");
    let turn = Decision::Wait { until: Some(at(START)), why: Hold::Turn };
    assert_eq!(seen(&|view| view.now = Some(early)), turn);
    let state = |state, asked| {
        let release = with(|release| release.wave.state = state);
        decide(&release, &BoxView { asked, ..free(&installed) })
    };
    assert_eq!((state(WaveState::Paused, false), state(WaveState::Paused, true)), (Decision::Paused, Decision::Start));
    assert_eq!(state(WaveState::Aborted, true), Decision::Aborted);
}

/// A clock that may be wrong neither expires a document nor starts it, and a session is left alone, whoever asks.
#[test]
fn neither_a_wrong_clock_nor_an_operator_gets_an_update_into_a_session() {
    let installed: Version = "0.1.0-1".parse().unwrap();
    for asked in [false, true] {
        let view = BoxView { asked, ..free(&installed) };
        let clock = Decision::Wait { until: None, why: Hold::Clock };
        assert_eq!(decide(&release(), &BoxView { now: None, ..view.clone() }), clock);
        let session = Decision::Wait { until: None, why: Hold::Session };
        assert_eq!(decide(&release(), &BoxView { session: SessionView::On, ..view.clone() }), session);
        for (ago, wanted) in [(0, Some(300)), (299, Some(1)), (300, None)] {
            let session = SessionView::EndedAgo(Duration::from_secs(ago));
            let decision = decide(&release(), &BoxView { session, ..view.clone() });
            let until = wanted.map(|wait| view.now.unwrap().checked_add(seconds(wait)).unwrap());
            match until {
                Some(_) => assert_eq!(decision, Decision::Fetch { until, why: Hold::Session }),
                None => assert_eq!(decision, Decision::Start),
            }
        }
    }
}

#[test]
fn a_window_and_a_postponement_hold_the_installation_and_not_the_download() {
    let installed: Version = "0.1.0-1".parse().unwrap();
    let window = Some("02:00-05:00".parse().unwrap());
    let now = free(&installed).now.unwrap();
    let later = |span| Some(now.checked_add(seconds(span)).unwrap());
    let closed = BoxView { window, second_of_day: 23 * 3600 + 30, ..free(&installed) };
    assert_eq!(decide(&release(), &closed), Decision::Fetch { until: later(3 * 3600 - 30), why: Hold::Window });
    assert_eq!(decide(&release(), &BoxView { asked: true, ..closed.clone() }), Decision::Start);
    assert_eq!(decide(&release(), &BoxView { second_of_day: 3 * 3600, ..closed }), Decision::Start);
    let postponed = BoxView { postponed: later(60), ..free(&installed) };
    assert_eq!(decide(&release(), &postponed), Decision::Fetch { until: later(60), why: Hold::Postponed });
    assert_eq!(decide(&release(), &BoxView { postponed: later(0), ..free(&installed) }), Decision::Start);
}

#[test]
fn windows_are_read_and_may_lie_over_midnight() {
    for wrong in ["", "02:00", "2:00-5:00", "02:00-24:00", "02:60-03:00", "02:00-02:00", "02:00 - 03:00", "+2:00-03:00"]
    {
        assert!(wrong.parse::<Window>().is_err(), "{wrong}");
    }
    let night: Window = "22:30-04:00".parse().unwrap();
    assert_eq!(night.to_string(), "22:30-04:00");
    let opens = |hour: u32, minute: u32| night.opens_in(hour * 3600 + minute * 60 + 15).as_secs();
    assert_eq!([opens(22, 30), opens(0, 0), opens(3, 59)], [0, 0, 0]);
    assert_eq!([opens(4, 0), opens(22, 29)], [18 * 3600 + 30 * 60 - 15, 45]);
}

#[test]
fn the_budget_counts_from_a_minimum_sample_on() {
    let mut wave = Wave::everyone(at(START));
    wave.minimum_sample = 20;
    wave.abort = vec![
        AbortRule { on: Failure::Failed, minimum: 2, permille: 100 },
        AbortRule { on: Failure::Silent, minimum: 5, permille: 200 },
    ];
    let judge = |succeeded, failed, silent| wave.judge(&Counts { succeeded, failed, silent });
    assert_eq!(judge(10, 9, 0), Verdict::TooFew);
    assert_eq!(judge(18, 2, 0), Verdict::GoOn, "a tenth is not more than a tenth");
    assert_eq!(judge(17, 3, 0), Verdict::Abort(wave.abort[0].clone()));
    assert_eq!(judge(15, 0, 5), Verdict::Abort(wave.abort[1].clone()));
    assert_eq!(judge(16, 0, 4), Verdict::GoOn, "four are fewer than the rule's five");
    assert_eq!(
        wave.judge(&Counts { succeeded: u32::MAX, failed: u32::MAX, silent: u32::MAX }),
        Verdict::Abort(wave.abort[0].clone())
    );
}

proptest! {
    #[test]
    fn any_text_is_refused_without_a_panic(text in ".{0,300}") {
        prop_assert!(Release::parse(&text).is_err());
        let _ = text.parse::<Version>();
        let _ = text.parse::<Window>();
    }

    /// A later stage never comes before an earlier one, whatever the spans.
    #[test]
    fn turns_never_go_back(
        spans in proptest::collection::vec((0_u32..2_592_000, 0_u32..2_592_000), 1..10),
        ranks in (0_u32..1_000_000, 0_u32..1_000_000),
    ) {
        let mut wave = Wave::everyone(at(START));
        let count = u16::try_from(spans.len()).unwrap();
        let stages = spans.into_iter().zip(1..).map(|((over, bake), number): (_, u16)| stage(1000 * number / count, over, bake));
        wave.stages = stages.collect();
        let (early, late) = (ranks.0.min(ranks.1), ranks.0.max(ranks.1));
        match (wave.turn(early), wave.turn(late)) {
            (Turn::At(early), Turn::At(late)) => prop_assert!(early <= late),
            (Turn::At(_) | Turn::BehindPause | Turn::Beyond, _) => prop_assert!(false, "everybody has a turn"),
        }
    }
}
