//! Wrong commands over a real broker, retained ones among them: none runs, over kills of guard and agent, clock
//! steps and a restored disk; fresh ones run once.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};

use crate::broker::{Broker, Operator};
use crate::signed_commands::{CLASSES, Draft, WRONG, accepted, ask, assert_accepted, copy, restore, shop, wrong};
use crate::support::clock::WrongClock;
use crate::support::test_box::TestBox;
use crate::support::wait_until;

/// Commands that wait for their answers at once: the agent takes eight.
const AT_ONCE: usize = 6;

/// A wrong command's class, verb and payload, and whether it is retained.
fn attempt(number: usize, fresh: &Draft, seen: &[String]) -> (&'static str, &'static str, String, bool) {
    if number % (CLASSES + 1) == CLASSES {
        return ("retained", "unmute", fresh.with("id", format!("r{number}")).note(), true);
    }
    let (class, verb, payload) = wrong(number, fresh, seen);
    (class, verb, payload, false)
}

/// Sends them; each is refused.
fn send(
    operator: &mut Operator,
    (part, numbers): (&str, Range<usize>),
    fresh: &Draft,
    seen: &[String],
    sent: &mut BTreeMap<&'static str, usize>,
) {
    for begin in numbers.clone().step_by(AT_ONCE) {
        let some = begin..numbers.end.min(begin + AT_ONCE);
        for number in some.clone() {
            let (class, verb, payload, retain) = attempt(number, fresh, seen);
            *sent.entry(class).or_default() += 1;
            let correlation = format!("{part}-{number}");
            operator.publish(&json!({
                "verb": verb, "payload": payload, "retain": retain, "response": "answers/1",
                "correlation": correlation
            }));
        }
        for number in some {
            let correlation = format!("{part}-{number}");
            let is_answer = |message: &Value| message["correlation"] == correlation.as_str();
            let heard = operator.log.iter().rev().take(200).find(|message| is_answer(message)).cloned();
            let answer = heard.unwrap_or_else(|| operator.wait("an answer", is_answer))["payload"].take();
            assert_eq!(answer["ok"], false, "{part}: {answer}");
            let code = answer["code"].as_str().unwrap();
            assert!(!["busy", "unavailable"].contains(&code), "{part}: nobody judged it: {answer}");
        }
    }
}

/// A fresh command of a number runs once, however often it comes: there is nothing to unmute.
fn runs_once(operator: &mut Operator, number: &mut u32, shop: &TestBox, draft: &Draft, before: usize) {
    for _ in 0..2 {
        wait_until("it is judged", || ask(operator, number, "unmute", draft.note())["code"] == "refused");
    }
    assert_accepted(shop, before + 1, "it runs once");
}

#[test]
fn no_wrong_command_runs_over_a_broker() {
    let total = if std::env::var_os("TALLYBOX_LONG").is_some() { 12 * WRONG } else { 300 };
    let broker = Broker::new("");
    let mut operator = Operator::connect(broker.port);
    let shop = shop(broker.url());
    let clock = WrongClock::new(shop.dir.path(), 0, true);
    let mut guard = clock.guard(&shop, "one");
    let mut agent = shop.start("agent");
    operator.wait_for_phase("idle");
    let image = shop.path("image");
    copy(&shop.path("data"), &image);
    let (mut seen, mut sent, mut number) = (Vec::new(), BTreeMap::<_, usize>::new(), 0);
    for (round, part) in (0..).zip(["start", "guard", "agent", "clock", "restored"]) {
        match part {
            "guard" => {
                guard.kill();
                guard = clock.guard(&shop, "one");
            }
            "agent" => {
                agent.kill();
                agent = shop.start("agent");
                operator.wait("it is online", |message| message["payload"] == "online");
            }
            "clock" => clock.set(-400 * 86_400, false),
            "restored" => {
                agent.kill();
                restore(&shop, &mut guard, &image);
                guard = clock.guard(&shop, "two");
                agent = shop.start("agent");
                operator.wait("it is online", |message| message["payload"] == "online");
            }
            _ => {}
        }
        let before = accepted(&shop).len();
        let first = Draft::new(&shop, "unmute", 1 + 100 * round);
        runs_once(&mut operator, &mut number, &shop, &first, before);
        seen.push(first.note());
        let mut fresh = first;
        for begin in (0..total / 5).step_by(300) {
            // Its deadline has not passed when its turn comes.
            fresh = Draft::new(&shop, "unmute", 50 + 100 * round);
            send(&mut operator, (part, begin..(begin + 300).min(total / 5)), &fresh, &seen, &mut sent);
        }
        assert_accepted(&shop, before + 1, part);
        runs_once(&mut operator, &mut number, &shop, &fresh, before + 1);
        seen.push(fresh.note());
    }
    let all: usize = sent.values().sum();
    println!("{all} wrong commands, of which none ran: {sent:?}; 10 fresh ones, each of which ran once");
    assert_eq!((agent.finish(), guard.finish()), (Some(0), Some(0)));
    shop.verify();
}
