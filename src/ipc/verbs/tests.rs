//! The table of verbs, and their parameters.

use serde_json::json;

use super::*;

#[test]
fn each_verb_has_its_own_row_and_word() {
    for (verb, row) in Verb::ALL.into_iter().zip(VERBS) {
        assert_eq!(verb, row.verb);
        assert_eq!(crate::wire::listed(&verb), verb.as_str());
        assert_eq!(Verb::of(verb.as_str()), Some(verb));
        assert_eq!(row.signed == Signed::Never, matches!(verb, Verb::Stop | Verb::Mute));
    }
    assert_eq!(Verb::of("policy"), None);
}

fn read(verb: Verb, fields: &Value) -> Result<Parameters, String> {
    Parameters::read(verb, fields.as_object().unwrap().clone())
}

#[test]
fn parameters_are_the_verbs_own() {
    let video = SetVideo { bitrate_kbps: Some(900), ..SetVideo::default() };
    assert_eq!(read(Verb::SetVideo, &json!({ "bitrate-kbps": 900 })), Ok(Parameters::SetVideo(video)));
    for verb in Verb::ALL {
        assert!(read(verb, &json!({ "force": true })).unwrap_err().contains("unknown field `force`"), "{verb:?}");
    }
    assert!(read(Verb::SetIngest, &json!({})).unwrap_err().contains("missing field `url`"));
}

#[test]
fn no_secret_is_repeated() {
    let fields = json!({ "url": "rtmp://a/b", "stream-key": ["live_secret"] });
    let wrong = read(Verb::SetIngest, &fields).unwrap_err();
    assert!(!wrong.contains("secret") && wrong.contains("expected a string"), "{wrong}");
    let fields = json!({ "url": "rtmp://a/live_secret" });
    assert!(!format!("{:?}", read(Verb::SetIngest, &fields)).contains("secret"));
    let wrong = read(Verb::SetVideo, &json!({ "fps": "secret" })).unwrap_err();
    assert!(!wrong.contains("secret"), "{wrong}");
}
