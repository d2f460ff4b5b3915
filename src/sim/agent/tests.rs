//! Schedules for the agent, and what makes them worth anything: the same one gives the same bytes.

use rumqttc::mqttbytes::v5::DisconnectReasonCode;

use super::*;
use crate::sim::broker::{BrokerAction, ENDINGS};
use crate::sim::process::ProcessAction;

#[test]
fn an_agent_keeps_its_promises_whatever_broker_and_guard_do() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = AgentSimulator::new(dir.path()).unwrap();
    let count = if std::env::var_os("TALLYBOX_LONG").is_some() { 20_000 } else { 15 };
    for seed in 1..=count {
        let schedule = AgentSchedule::of_seed(seed);
        let run = simulator.run(&schedule).unwrap();
        assert_eq!(run.problems, [""; 0], "{}", serde_json::to_string(&schedule).unwrap());
    }
}

#[test]
fn the_same_schedule_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = AgentSimulator::new(dir.path()).unwrap();
    for seed in 1..6 {
        let schedule = AgentSchedule::of_seed(seed);
        let (first, second) = (simulator.run(&schedule).unwrap(), simulator.run(&schedule).unwrap());
        assert!(first.trace == second.trace, "{seed}");
    }
}

#[test]
fn a_schedule_is_a_line_that_can_be_read_again() {
    for seed in 0..200 {
        let schedule = AgentSchedule::of_seed(seed);
        let line = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<AgentSchedule>(&line).unwrap(), schedule);
    }
}

fn assert_good(has_trust: bool, steps: &[(u32, Action)]) {
    let dir = tempfile::tempdir().unwrap();
    let simulator = AgentSimulator::new(dir.path()).unwrap();
    let steps = steps.iter().map(|(after_ms, action)| Step { after_ms: *after_ms, action: action.clone() });
    let run = simulator.run(&AgentSchedule { seed: 1, has_trust, steps: steps.collect() }).unwrap();
    assert_eq!(run.problems, [""; 0], "{}", run.trace);
}

/// The place of a reason in a list of the broker's.
fn index<T: PartialEq>(all: &[T], wanted: &T) -> u8 {
    all.iter().position(|reason| reason == wanted).unwrap().try_into().unwrap()
}

#[test]
fn a_broker_that_is_slow_to_acknowledge_a_state_does_not_make_the_agent_turn_without_a_pause() {
    let steps = [
        (2_000, Action::Broker(BrokerAction::Late(20_000))),
        (0, Action::Guard(GuardAction::Phase(3))),
        (700, Action::Guard(GuardAction::Phase(0))),
        (30_000, Action::Broker(BrokerAction::Heal)),
    ];
    assert_good(false, &steps);
}

#[test]
fn a_broker_that_does_not_answer_the_subscription_is_left() {
    assert_good(false, &[(0, Action::Broker(BrokerAction::Deaf)), (90_000, Action::Broker(BrokerAction::Heal))]);
}

#[test]
fn what_a_broker_refused_is_tried_again_although_the_connection_holds() {
    for reason in [DisconnectReasonCode::QoSNotSupported, DisconnectReasonCode::RetainNotSupported] {
        let end = BrokerAction::End(index(&ENDINGS, &reason));
        assert_good(true, &[(1_000, Action::Broker(end)), (5_000, Action::Guard(GuardAction::Write(3)))]);
    }
    let desired = Action::Operator(OperatorAction::Desired { version: 1, key: 1 });
    assert_good(true, &[(0, Action::Broker(BrokerAction::RefuseFilters(0b1110))), (5_000, desired)]);
}

#[test]
fn a_desired_configuration_that_no_broker_keeps_does_not_reach_a_box_that_was_away() {
    let steps = [
        (2_000, Action::Broker(BrokerAction::WithoutRetain)),
        (1_000, Action::Broker(BrokerAction::Refused)),
        (1_000, Action::Process(ProcessAction::Kill)),
        (1_000, Action::Operator(OperatorAction::Desired { version: 1, key: 1 })),
    ];
    assert_good(true, &steps);
}

#[test]
fn a_stop_does_not_wait_for_the_answer_to_a_subscription() {
    let stop = || Action::Operator(OperatorAction::Plain { verb: 1, life_s: 60, retained: false });
    let steps = [
        (2_000, Action::Guard(GuardAction::Phase(3))),
        (0, Action::Guard(GuardAction::Slow(5_000))),
        (0, stop()),
        (1_000, Action::Broker(BrokerAction::Deaf)),
        (0, Action::Broker(BrokerAction::Cut)),
        (3_000, Action::Guard(GuardAction::Phase(3))),
        // The session was kept: what comes now is delivered before the subscription is answered.
        (5_000, stop()),
        (20_000, Action::Broker(BrokerAction::Heal)),
    ];
    assert_good(false, &steps);
}
