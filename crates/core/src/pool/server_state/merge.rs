//! What the facts of other pools change.

use super::facts::{EjectionFact, FailbackFact, HealthFact};
use super::observe::{Context, NONE, Transitions, spread};
use super::{Recovery, ServerState, released};
use crate::pool::ejection::Ejection;
use crate::pool::health::HealthState;

impl ServerState {
    pub(super) fn on_health_merged(&mut self, fact: HealthFact, context: Context<'_>) -> Transitions {
        let was_in_traffic = self.is_in_traffic();
        self.probed_at = fact.probed_at;
        self.health = HealthState::restored(fact.health, fact.contrary_streak);
        if let Some(check) = context.health_check() {
            let interval = spread(self.probe_interval(check), context.jitter);
            self.schedule.on_probed_elsewhere(fact.probed_at, fact.probed_at + interval);
        }
        self.start_slow_start(was_in_traffic, context);
        NONE
    }

    pub(super) fn on_ejection_merged(&mut self, fact: EjectionFact, context: Context<'_>) -> Transitions {
        let without_trial = |fact| EjectionFact { trial_until: None, ..fact };
        if without_trial(self.ejection_fact()) == without_trial(fact) {
            // A trial in another pool shows nothing about the server.
            self.ejection.on_trial_elsewhere(fact.trial_until);
            return NONE;
        }
        let was_in_traffic = self.is_in_traffic();
        self.state_changed_at = fact.changed_at;
        // The clock of the other host may be ahead, but later observations must be newer.
        let at = fact.changed_at.min(context.now);
        self.ejection = Ejection::restored(at, fact.ejected_until, fact.ejection_count, fact.cause, fact.trial_until);
        match fact.ejected_until {
            Some(_) => self.signals.on_failure_elsewhere(at),
            None => self.signals.on_success(at, at),
        }
        self.start_slow_start(was_in_traffic, context);
        NONE
    }

    pub(super) fn on_failback_merged(&mut self, fact: FailbackFact, context: Context<'_>) -> Transitions {
        self.failback = fact;
        if fact.awaiting {
            self.recovery = Recovery::AwaitingFailback { since: fact.changed_at };
            self.recovery = self.recovery_at(context.service, context.now);
        } else if matches!(self.recovery, Recovery::AwaitingFailback { .. }) {
            self.recovery = released(context.service, fact.changed_at);
        }
        NONE
    }

    /// Starts the slow start of a server that another pool saw return. Whether it is held back is a
    /// separate fact.
    fn start_slow_start(&mut self, was_in_traffic: bool, context: Context<'_>) {
        let has_returned = !was_in_traffic && self.is_in_traffic() && self.recovery == Recovery::None;
        if has_returned && context.service.slow_start.is_some() {
            self.recovery = Recovery::SlowStart { since: context.now };
        }
    }
}
