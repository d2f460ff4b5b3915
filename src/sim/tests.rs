//! The short form of the simulation.

use super::*;

#[test]
fn a_schedule_is_read_as_it_was_printed() {
    for seed in 0..200 {
        let schedule = Schedule::of_seed(seed);
        assert_eq!(Schedule::parse(&schedule.print()), Ok(schedule));
    }
    assert!(Schedule::parse("").is_err() && Schedule::parse("{\"seed\":1}\n{\"do\":\"fly\"}").is_err());
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    // Three of them have a platform.
    for seed in [0, 1, 2, 3, 11, 19] {
        let schedule = Schedule::of_seed(seed);
        let (first, second) = (run(&schedule, true).unwrap(), run(&schedule, true).unwrap());
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.digest, second.digest);
    }
}

#[test]
fn no_schedule_makes_the_box_break_its_rules() {
    // A debug build needs some 50 ms for each.
    let count = if std::env::var_os("TALLYBOX_LONG").is_some() { 20_000 } else { 80 };
    for seed in 0..count {
        let outcome = run(&Schedule::of_seed(seed), false).unwrap();
        assert_eq!(outcome.violation, None, "cargo run --release --example sim -- --seed {seed}");
    }
}

#[test]
fn no_platform_and_no_broker_make_the_box_break_its_rules() {
    let count = if std::env::var_os("TALLYBOX_LONG").is_some() { 5_000 } else { 6 };
    for seed in 0..count {
        for platform in [Platform::Plain, Platform::Trusted, Platform::Minors] {
            let outcome = run(&Schedule::with_platform(seed, platform), false).unwrap();
            let seen = "cargo run --release --example sim -- --platform";
            assert_eq!(outcome.violation, None, "{seen} {platform:?} --seed {seed}");
        }
    }
}

/// Schedules that failed once, in their shortest form: whatever is changed, they hold.
const MENDED: [(&str, &str); 21] = [
    (
        "a reply whose time is over kept the guard's loop busy until its next second",
        r#"{"seed":17}
       {"do":"disk","ms":5000}
       {"do":"ask","by":"agent","wish":"request-start"}
       {"do":"wait","ms":3000}"#,
    ),
    (
        "a button that was about to settle kept the loop of a guard that ends busy",
        r#"{"seed":155}
       {"do":"touch","hold":1000,"bounces":0,"late":0}
       {"do":"wait","ms":3000}
       {"do":"touch","hold":2000,"bounces":0,"late":0}
       {"do":"wait","ms":10}
       {"do":"restart","policy":0}"#,
    ),
    (
        "an update that a failing disk began later had no end in the ledger",
        r#"{"seed":1101,"platform":"trusted"}
       {"do":"synchronised","is":true}
       {"do":"operator","what":{"release":{"serial":3,"key":1,"build":5}}}
       {"do":"wait","ms":3356}
       {"do":"faulty","changes":9}
       {"do":"wait","ms":5337}"#,
    ),
    (
        "the updater looked for the package of a release that came after its attempt had begun",
        r#"{"seed":262,"platform":"trusted"}
       {"do":"synchronised","is":true}
       {"do":"operator","what":{"release":{"serial":2,"key":1,"build":8,"life-s":86400}}}
       {"do":"wait","ms":5329}
       {"do":"operator","what":{"release":{"serial":6,"key":1,"build":5,"life-s":86400}}}"#,
    ),
    (
        "the judge held a box that was unbound and claimed again for locked",
        r#"{"seed":2148}
       {"do":"touch","hold":11191,"bounces":0,"late":0}
       {"do":"wait","ms":11259}
       {"do":"restart","policy":1}
       {"do":"touch","hold":2135,"bounces":0,"late":33}
       {"do":"touch","hold":231,"bounces":0,"late":99}"#,
    ),
    (
        "an update began just after a session that had failed at its start",
        r#"{"seed":6057,"platform":"trusted"}
       {"do":"synchronised","is":true}
       {"do":"operator","what":{"release":{"serial":6,"key":1,"build":8,"life-s":86400}}}
       {"do":"wait","ms":1544}
       {"do":"disk","ms":5881}
       {"do":"wait","ms":99}
       {"do":"touch","hold":293,"bounces":0,"late":0}"#,
    ),
    (
        "the agent downloaded the package of a release that the guard had refused: its serial was that of the one in force",
        r#"{"seed":218,"platform":"trusted"}
       {"do":"synchronised","is":true}
       {"do":"swap","build":6}
       {"do":"operator","what":{"release":{"serial":6,"key":1,"build":26,"life-s":86400}}}
       {"do":"wait","ms":4317}
       {"do":"operator","what":{"release":{"serial":6,"key":1,"build":10,"life-s":86400}}}
       {"do":"wait","ms":637}
       {"do":"agent","what":"stop"}"#,
    ),
    (
        "an unbinding that was under way was announced again when the platform asked for an erasure",
        r#"{"seed":12179,"platform":"trusted"}
       {"do":"helper","how":"never"}
       {"do":"touch","hold":10735,"bounces":0,"late":0}
       {"do":"wait","ms":10774}
       {"do":"operator","what":{"signed":{"verb":10,"key":2,"step":1,"of_epoch":true,"deadline_s":35,"for_box":true}}}"#,
    ),
    (
        "a touch that came down just before a session ended for another reason started the next one",
        r#"{"seed":18177}
       {"do":"plan","hello":17,"apply":40,"live":1483,"end":21,"quirk":null}
       {"do":"touch","hold":98,"bounces":0,"late":0}
       {"do":"wait","ms":183}
       {"do":"touch","hold":211,"bounces":2,"late":0}
       {"do":"wait","ms":16}
       {"do":"ask","by":"root","wish":"stop"}"#,
    ),
    (
        "the judge held an update whose package the end of service deleted for one that began without it",
        r#"{"seed":26587,"platform":"minors"}
       {"do":"synchronised","is":true}
       {"do":"operator","what":{"release":{"serial":1,"key":1,"build":20,"life-s":86400}}}
       {"do":"wait","ms":4864}
       {"do":"operator","what":{"release":{"serial":8,"key":1,"build":10,"life-s":86400}}}
       {"do":"wait","ms":4208}
       {"do":"operator","what":{"end-of-service":{"key":1}}}"#,
    ),
    (
        "an update began beside another one that a guard without its ledger did not know of",
        r#"{"seed":504067,"platform":"minors"}
       {"do":"synchronised","is":true}
       {"do":"operator","what":{"release":{"serial":4,"key":1,"build":7,"life-s":86400}}}
       {"do":"wait","ms":8332}
       {"do":"power-cut"}
       {"do":"wait","ms":5202}
       {"do":"synchronised","is":true}
       {"do":"faulty","changes":24}
       {"do":"wait","ms":1730}
       {"do":"wait","ms":8565}
       {"do":"kill"}
       {"do":"wait","ms":3000}
       {"do":"wait","ms":96}
       {"do":"touch","hold":21906,"bounces":0,"late":0}
       {"do":"panel","lost":true}
       {"do":"panel","lost":false}
       {"do":"touch","hold":74,"bounces":0,"late":0}
       {"do":"wait","ms":3500}
       {"do":"wait","ms":10860}
       {"do":"wait","ms":694}
       {"do":"agent","what":"kill"}
       {"do":"wait","ms":326}
       {"do":"wait","ms":1036}
       {"do":"broker","what":{"welcome":80}}
       {"do":"wait","ms":423}
       {"do":"agent","what":"stop"}
       {"do":"wait","ms":201}
       {"do":"agent","what":"stop"}"#,
    ),
    (
        "a probe ends what was asked of staff: the judge did not know",
        r#"{"seed":502331,"platform":"trusted"}
       {"do":"synchronised","is":true}
       {"do":"operator","what":{"release":{"serial":2,"key":1,"build":11,"life-s":86400}}}
       {"do":"wait","ms":1305}
       {"do":"power-cut"}
       {"do":"synchronised","is":true}
       {"do":"wait","ms":62}
       {"do":"agent","what":"kill"}
       {"do":"ask","by":"root","wish":"probe"}
       {"do":"touch","hold":62,"bounces":0,"late":0}
       {"do":"wait","ms":143}
       {"do":"touch","hold":65,"bounces":0,"late":0}"#,
    ),
    (
        "staff ask for sound while a mute's answer waits for the disk",
        r#"{"seed":34872}
       {"do":"touch","hold":58,"bounces":0,"late":0}
       {"do":"wait","ms":128}
       {"do":"ask","by":"root","wish":"mute"}
       {"do":"disk","ms":233}
       {"do":"mute-touch","hold":827}"#,
    ),
    (
        "a touch between two readings of the levels is known by its edges, and late",
        r#"{"seed":512789}
       {"do":"plan","hello":36,"apply":23,"live":2259,"end":46,"quirk":{"camera-lost":511}}
       {"do":"wait","ms":271}
       {"do":"plan","hello":26,"apply":54,"live":2887,"end":12,"quirk":"endless"}
       {"do":"wait","ms":390}
       {"do":"touch","hold":94,"bounces":0,"late":0}
       {"do":"wait","ms":3000}
       {"do":"wait","ms":603}
       {"do":"touch","hold":50,"bounces":0,"late":0}
       {"do":"wait","ms":2455}
       {"do":"wait","ms":1340}
       {"do":"touch","hold":569,"bounces":0,"late":1303}"#,
    ),
    (
        "a guard that is killed behind a touch leaves its capture to the unit's stop hook",
        r#"{"seed":560977}
       {"do":"plan","hello":52,"apply":23,"live":2219,"end":36,"quirk":"endless"}
       {"do":"touch","hold":45,"bounces":0,"late":0}
       {"do":"wait","ms":205}
       {"do":"touch","hold":62,"bounces":0,"late":0}
       {"do":"wait","ms":308}
       {"do":"kill"}"#,
    ),
    (
        "an update began while the box was being unbound, which had taken its package away",
        r#"{"seed":107347,"platform":"minors"}
       {"do":"synchronised","is":true}
       {"do":"restart","policy":1}
       {"do":"wait","ms":6000}
       {"do":"wait","ms":4463}
       {"do":"wait","ms":922}
       {"do":"wait","ms":2000}
       {"do":"wait","ms":1771}
       {"do":"touch","hold":19446,"bounces":0,"late":0}
       {"do":"helper","how":"never"}
       {"do":"touch","hold":323,"bounces":0,"late":0}
       {"do":"wait","ms":621}
       {"do":"broker","what":{"receive-maximum":15}}
       {"do":"kill"}
       {"do":"wait","ms":3000}
       {"do":"operator","what":{"release":{"serial":6,"key":1,"build":15,"life-s":86400}}}"#,
    ),
    (
        "what an update installed is judged before the next one begins",
        r#"{"seed":114227,"platform":"trusted"}
       {"do":"synchronised","is":true}
       {"do":"operator","what":{"release":{"serial":2,"key":1,"build":6,"life-s":86400}}}
       {"do":"wait","ms":6643}
       {"do":"operator","what":{"release":{"serial":6,"key":1,"build":23,"life-s":86400}}}
       {"do":"wait","ms":3951}
       {"do":"broker","what":{"receive-maximum":29}}
       {"do":"wait","ms":10832}"#,
    ),
    (
        "a guard that could not read its ledger unbound the box all the same",
        r#"{"seed":650875,"platform":"minors"}
       {"do":"operator","what":{"signed":{"verb":10,"key":2,"step":1,"of_epoch":true,"deadline_s":100,"for_box":true}}}
       {"do":"faulty","changes":5}
       {"do":"kill"}
       {"do":"wait","ms":375}
       {"do":"operator","what":{"signed":{"verb":11,"key":2,"step":-2,"of_epoch":true,"deadline_s":100,"for_box":true}}}"#,
    ),
    (
        "an answer that says that its entry is not written yet claims no entry",
        r#"{"seed":713803,"platform":"minors"}
       {"do":"synchronised","is":true}
       {"do":"operator","what":{"release":{"serial":5,"key":1,"build":26,"life-s":86400}}}
       {"do":"wait","ms":10630}
       {"do":"disk","ms":1937}
       {"do":"operator","what":{"signed":{"verb":8,"key":0,"step":1,"of_epoch":true,"deadline_s":100,"for_box":true}}}
       {"do":"wait","ms":1212}
       {"do":"power-cut"}"#,
    ),
    (
        "the status said what the lamp was to show a moment later",
        r#"{"seed":790031}
       {"do":"restart","policy":0}
       {"do":"wait","ms":31}
       {"do":"ask","by":"root","wish":{"flood":29}}
       {"do":"wait","ms":1938}
       {"do":"ask","by":"agent","wish":"stop"}
       {"do":"wait","ms":78}"#,
    ),
    (
        "an edge that is heard at the moment of the next one was handed on behind it",
        r#"{"seed":489709}
       {"do":"touch","hold":2604,"bounces":0,"late":0}
       {"do":"touch","hold":2,"bounces":1,"late":391}
       {"do":"wait","ms":397}
       {"do":"touch","hold":34533,"bounces":1,"late":0}"#,
    ),
];

#[test]
fn what_was_mended_stays_mended() {
    for (what, text) in MENDED {
        let outcome = run(&Schedule::parse(text).unwrap(), false).unwrap();
        assert_eq!(outcome.violation, None, "{what}");
    }
}
