//! Release documents, versions and the window for updates.

use jiff::Timestamp;
use rollout::{BoxView, Release, SessionView, Version, Window, decide};

use super::input::Input;
use super::oracle::assert_told;

/// Any text as a release document, and what a box does about it.
pub(super) fn release(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let release = match Release::parse(&text) {
        Ok(release) => release,
        Err(error) => return assert_told(&error.to_string()),
    };
    let written = release.to_json().expect("what was accepted can be written");
    let again = Release::parse(&written).expect("what was written is accepted");
    assert_eq!(again.to_json().as_ref(), Ok(&written));
    assert_eq!((again.digest(), again.serial), (release.digest(), release.serial));
    let installed: Version = "0.1.0".parse().expect("a version");
    for now in
        [None, Some(Timestamp::UNIX_EPOCH), Some(release.wave.start), Some(release.not_after), Some(Timestamp::MAX)]
    {
        let seen = BoxView {
            id: "box-1",
            channel: &release.channel,
            architecture: "arm64",
            installed: &installed,
            automatic: true,
            window: "23:00-01:30".parse().ok(),
            second_of_day: 86_399,
            now,
            session: SessionView::None,
            postponed: now,
            asked: false,
            given_up: false,
        };
        let decision = decide(&release, &seen);
        assert_eq!(decision, decide(&again, &seen));
        assert_told(decision.explain());
        assert!(release.deadline(seen.id) == again.deadline(seen.id));
    }
}

/// Three versions, which have one order, and a window.
pub(super) fn version(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let texts = [input.text(), input.text(), input.text()];
    let mut versions = Vec::new();
    for text in &texts {
        match text.parse::<Version>() {
            Ok(version) => {
                assert_eq!(version.as_str(), text);
                versions.push(version);
            }
            Err(error) => assert_told(&error.to_string()),
        }
    }
    for (one, other) in versions.iter().flat_map(|one| versions.iter().map(move |other| (one, other))) {
        assert_eq!(one.cmp(other), other.cmp(one).reverse(), "{one} {other}");
        for third in versions.iter().filter(|third| one <= other && other <= *third) {
            assert!(one <= third, "{one} {other} {third}");
        }
    }
    let text = String::from_utf8_lossy(input.rest());
    match text.parse::<Window>() {
        Ok(window) => {
            assert_eq!(window.to_string(), text);
            for second in [0, 1, 43_200, 86_399, 86_400, u32::MAX] {
                assert!(window.opens_in(second).as_secs() <= 86_400);
            }
        }
        Err(error) => assert_told(&error.to_string()),
    }
}
