//! Random events and delays.

use core::time::Duration;

use proptest::prelude::*;

use crate::{CaptureExit, CaptureReport, CaptureSettings, Event, Fault, Reason};

pub(super) fn any_event() -> impl Strategy<Value = Event> {
    let fault = prop::sample::select(Fault::ALL.to_vec());
    let outcome = prop::sample::select(vec![
        CaptureExit::Stopped,
        CaptureExit::ProbeFinished,
        CaptureExit::Failed,
        CaptureExit::Died,
        CaptureExit::NeverStarted,
    ]);
    prop_oneof![
        6 => Just(Event::Tick),
        6 => Just(Event::ButtonDown),
        6 => Just(Event::ButtonUp),
        1 => Just(Event::ButtonFoundDown),
        // Mostly untrue: the kernel's timestamps may make a touch longer, but never make something that cannot be
        // undone out of a short one.
        3 => (0_u64..40_000).prop_map(|held| Event::ButtonHeldFor(Duration::from_millis(held))),
        2 => Just(Event::MuteButtonDown),
        2 => Just(Event::RemoteRequest),
        1 => Just(Event::ProbeRequest),
        1 => Just(Event::RemoteStop),
        // It is final: rare, so that most scripts go on.
        1 => (0_u8..8).prop_map(|rare| if rare == 0 { Event::EndService } else { Event::Tick }),
        1 => Just(Event::RemoteMute),
        1 => Just(Event::RemoteUnmute),
        1 => Just(Event::PolicyChanged),
        3 => Just(Event::UnbindRequest),
        1 => Just(Event::AgreementNeeded),
        1 => Just(Event::AgreementWithdrawn),
        1 => prop::sample::select(vec![Reason::IngestNotAllowed, Reason::Shutdown, Reason::Erase]).prop_map(Event::Revoke),
        3 => prop::sample::select(vec![CaptureReport::Live, CaptureReport::Reconnecting]).prop_map(Event::CaptureReported),
        4 => (0_u64..6, any::<bool>()).prop_map(|(revision, muted)| Event::CaptureReported(CaptureReport::Applied(CaptureSettings { revision, muted }))),
        3 => outcome.prop_map(Event::CaptureExited),
        1 => fault.clone().prop_map(Event::FaultDetected),
        2 => fault.prop_map(Event::FaultCleared),
        1 => Just(Event::FaultDetected(Fault::Button)),
        2 => Just(Event::FaultCleared(Fault::Button)),
    ]
}

pub(super) fn any_delay() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..50, 4 => 50_u64..1000, 3 => 1000_u64..12_000, 1 => 12_000_u64..35_000, 1 => 12_000_u64..20_000_000]
}
