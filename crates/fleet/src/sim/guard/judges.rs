//! The box's own judges of what the platform signs, as a simulated guard has them from one start to the next.

use std::io;
use std::sync::Arc;

use monotonic::Monotonic;
use tallybox::config::Config;
use tallybox::ipc::Fact;
use tallybox::judges::commands::{CommandJudge, CommandsUnderWay, Epoch};
use tallybox::judges::policy_in_force::PolicyInForce;
use tallybox::judges::twin::{Question, Twin};
use tallybox::judges::verb_quotas::VerbQuotas;
use tallybox::ledger::{LedgerState, Refusals};

/// What judges, and what it has judged since the guard's start.
#[derive(Debug)]
pub(super) struct Judges {
    pub(super) commands: CommandJudge,
    pub(super) under_way: CommandsUnderWay,
    pub(super) quotas: VerbQuotas,
    pub(super) policy: PolicyInForce,
    pub(super) twin: Twin,
    pub(super) question: Question,
    /// What staff did not agree to.
    pub(super) refusals: Refusals,
}

impl Judges {
    /// Those of a guard that comes up, and what it has to write down about what was lost.
    pub(super) fn start(config: &Arc<Config>, state: &LedgerState, now: Monotonic) -> io::Result<(Self, Option<Fact>)> {
        let mut twin = Twin::new(config.clone());
        let lost = twin.restore(&state.desired, config.device.id.as_deref().unwrap_or_default());
        let judges = Self {
            commands: CommandJudge::new(Epoch::draw()?),
            under_way: CommandsUnderWay::default(),
            quotas: VerbQuotas::new(now),
            policy: PolicyInForce::restored(config, state),
            twin,
            question: Question::default(),
            refusals: state.refusals.clone(),
        };
        Ok((judges, lost))
    }
}
