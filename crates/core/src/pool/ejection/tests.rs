use super::*;

fn settings() -> EjectionSettings {
    EjectionSettings { window_failures: None, ..EjectionSettings::default() }
}

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An ordinary attempt that ends at once.
fn attempt(ejection: &mut Ejection, impact: HealthImpact, now: Timestamp) -> Option<Change> {
    ejection.on_attempt(impact, false, now, now, &settings(), true)
}

/// The trial of an ejected server, at the moment it is first allowed.
fn failing_trial(ejection: &mut Ejection, now: Timestamp) -> Option<Change> {
    assert!(ejection.can_start_trial(now));
    ejection.start_trial(now, seconds(100));
    ejection.on_attempt(HealthImpact::Failure, true, now, now, &settings(), true)
}

fn ejected(millis: u64) -> Ejection {
    let mut ejection = Ejection::default();
    attempt(&mut ejection, HealthImpact::Fatal, at(millis));
    ejection
}

#[test]
fn out_01_only_consecutive_failures_eject() {
    use HealthImpact::{Failure, Success};
    let mut ejection = Ejection::default();
    for impact in [Failure, Failure, Success, Failure, Failure] {
        assert_eq!(attempt(&mut ejection, impact, at(0)), None);
    }
    assert_eq!(attempt(&mut ejection, Failure, at(0)), Some(Change::Ejected { duration: seconds(10) }));
}

#[test]
fn five_failures_of_the_last_20_responses_also_eject() {
    let settings = EjectionSettings::default();
    let eject_after = |pattern: &str| {
        let mut ejection = Ejection::default();
        pattern.chars().position(|response| {
            let impact = if response == '-' { HealthImpact::Failure } else { HealthImpact::Success };
            ejection.on_attempt(impact, false, at(0), at(0), &settings, true).is_some()
        })
    };
    assert_eq!(eject_after("-+-+-+-+-+"), Some(8), "the fifth failure");
    assert_eq!(eject_after(&"-++++".repeat(20)), None, "four of twenty");
    assert_eq!(eject_after(&("-+-+-+-+".to_owned() + &"+".repeat(12) + "-")), None, "the first has left the window");
    assert_eq!(eject_after(&("-+-+-+-+".to_owned() + &"+".repeat(11) + "-")), Some(19));
}

#[test]
fn out_02_an_ejection_ends_to_the_millisecond() {
    let ejection = ejected(0);
    assert_eq!(ejection.state(at(9_999)), EjectionState::Ejected(at(10_000)));
    assert_eq!(ejection.state(at(10_000)), EjectionState::Probation);
}

#[test]
fn out_06_durations_double_up_to_the_maximum() {
    let mut ejection = Ejection::default();
    let mut now = at(0);
    let mut durations = vec![attempt(&mut ejection, HealthImpact::Fatal, now)];
    for _ in 0..39 {
        let EjectionState::Ejected(until) = ejection.state(now) else { panic!("not ejected at {now:?}") };
        now = until;
        durations.push(failing_trial(&mut ejection, now));
    }
    let duration = |change: &Option<Change>| match change {
        Some(Change::Ejected { duration }) => duration.as_secs(),
        other => panic!("{other:?}"),
    };
    let durations: Vec<u64> = durations.iter().map(duration).collect();
    assert_eq!(durations[..6], [10, 20, 40, 80, 160, 300]);
    assert!(durations[6..].iter().all(|duration| *duration == 300));
}

#[test]
fn out_08_failures_of_requests_in_flight_at_the_ejection_are_ignored() {
    let mut ejection = ejected(1_000);
    for (impact, started) in [(HealthImpact::Fatal, 500), (HealthImpact::Success, 500), (HealthImpact::Success, 1_000)]
    {
        let change = ejection.on_attempt(impact, false, at(started), at(1_500), &settings(), true);
        assert_eq!(change, None, "{impact:?} of a request of {started}");
    }
    assert_eq!(ejection.state(at(1_500)), EjectionState::Ejected(at(11_000)));
    let change = ejection.on_attempt(HealthImpact::Success, false, at(1_001), at(1_500), &settings(), true);
    assert_eq!(change, Some(Change::Unejected));
}

#[test]
fn out_18_exactly_one_trial_decides() {
    let mut ejection = ejected(0);
    assert!(!ejection.can_start_trial(at(9_999)));
    assert!(ejection.can_start_trial(at(10_000)));
    ejection.start_trial(at(10_000), seconds(5));
    assert!(!ejection.can_start_trial(at(14_999)), "one is in flight");
    assert!(ejection.can_start_trial(at(15_000)), "a trial that never reports does not block the next one");
    let longer = Change::Ejected { duration: seconds(20) };
    let failed = ejection.on_attempt(HealthImpact::Failure, true, at(10_000), at(12_000), &settings(), true);
    assert_eq!(failed, Some(longer));
    ejection.start_trial(at(32_000), seconds(5));
    let neutral = ejection.on_attempt(HealthImpact::Neutral, true, at(32_000), at(32_500), &settings(), true);
    assert_eq!((neutral, ejection.can_start_trial(at(32_500))), (None, true), "the trial showed nothing");
    ejection.start_trial(at(32_500), seconds(5));
    let passed = ejection.on_attempt(HealthImpact::Success, true, at(32_500), at(33_000), &settings(), true);
    assert_eq!((passed, ejection.state(at(33_000))), (Some(Change::Unejected), EjectionState::Active));
}

#[test]
fn ejections_decay_by_responses_and_time_together() {
    // (seconds of traffic, responses, duration of the next ejection)
    let table = [(0, 100, 20), (9, 100, 20), (10, 19, 20), (10, 20, 10), (86_400, 0, 20), (86_400, 19, 20)];
    for (active_for, responses, next) in table {
        let mut ejection = ejected(0);
        ejection.on_passing_probe(at(1_000), at(1_000));
        for _ in 0..responses {
            attempt(&mut ejection, HealthImpact::Success, at(1_000));
        }
        // The failure itself is also a response, so it is not counted here.
        let change = ejection.on_hung(Cause::Hung, at(1_000 + active_for * 1_000), &settings());
        let expected = Some(Change::Ejected { duration: seconds(next) });
        assert_eq!(change, expected, "{responses} responses in {active_for} s");
    }
}

#[test]
fn twenty_responses_forgive_one_ejection() {
    for (responses, next) in [(20, 20), (39, 20), (40, 10)] {
        let mut ejection = ejected(0);
        failing_trial(&mut ejection, at(10_000));
        ejection.on_passing_probe(at(31_000), at(31_000));
        for _ in 0..responses {
            attempt(&mut ejection, HealthImpact::Success, at(31_000));
        }
        let change = ejection.on_hung(Cause::Hung, at(86_400_000), &settings());
        assert_eq!(change, Some(Change::Ejected { duration: seconds(next) }), "{responses} responses");
    }
}

#[test]
fn a_passing_probe_ends_the_first_ejection_if_it_started_later() {
    let mut ejection = ejected(1_000);
    assert_eq!(ejection.on_passing_probe(at(999), at(1_500)), None, "started before the failure was known");
    assert_eq!(ejection.on_passing_probe(at(1_000), at(1_600)), Some(Change::Unejected));
}

#[test]
fn an_ineffective_probe_does_not_shorten_the_next_ejection() {
    let mut ejection = ejected(0);
    ejection.on_passing_probe(at(100), at(200));
    attempt(&mut ejection, HealthImpact::Fatal, at(300));
    assert_eq!(ejection.on_passing_probe(at(400), at(500)), None);
    assert_eq!(ejection.state(at(500)), EjectionState::Ejected(at(20_300)));
    assert_eq!(ejection.on_passing_probe(at(20_400), at(20_500)), Some(Change::Unejected), "in probation");
}

#[test]
fn a_hung_application_stays_ejected_despite_a_passing_probe() {
    for (cause, ends) in [(Cause::Hung, true), (Cause::ApplicationHung, false)] {
        let mut ejection = Ejection::default();
        ejection.on_hung(cause, at(0), &settings());
        assert_eq!(ejection.on_passing_probe(at(100), at(200)).is_some(), ends, "{cause:?}");
    }
}

#[test]
fn a_failed_trial_keeps_the_cause_unless_it_was_a_pause() {
    let mut hung = Ejection::default();
    hung.on_hung(Cause::Hung, at(0), &settings());
    let mut paused = Ejection::default();
    paused.on_retry_after(seconds(10), at(0), &settings());
    for (ejection, expected) in [(&mut hung, Cause::Hung), (&mut paused, Cause::Failures)] {
        assert!(failing_trial(ejection, at(10_000)).is_some());
        assert_eq!(ejection.cause(), expected);
    }
}

#[test]
fn a_long_pause_needs_consecutive_responses() {
    let pause = |seconds: u64, responses: u32| {
        let mut ejection = Ejection::default();
        (0..responses).find_map(|_| ejection.on_retry_after(Duration::from_secs(seconds), at(0), &settings()))
    };
    assert_eq!(pause(10, 1), Some(Change::Ejected { duration: seconds(10) }));
    assert_eq!(pause(11, 2), None);
    assert_eq!(pause(11, 3), Some(Change::Ejected { duration: seconds(11) }));
    assert_eq!(pause(3_600, 3), Some(Change::Ejected { duration: seconds(60) }));
}

#[test]
fn a_long_pause_that_is_not_granted_counts_as_a_failure() {
    let (mut ejection, settings) = (Ejection::default(), EjectionSettings::default());
    for _ in 0..4 {
        assert_eq!(ejection.on_retry_after(seconds(60), at(0), &settings), None);
        ejection.on_attempt(HealthImpact::Success, false, at(0), at(0), &settings, true);
    }
    let change = ejection.on_retry_after(seconds(60), at(0), &settings);
    assert_eq!(change, Some(Change::Ejected { duration: seconds(10) }), "the fifth failure of the last 20 responses");
}

#[test]
fn a_pause_neither_shortens_an_ejection_nor_ends_with_a_probe() {
    let mut ejection = ejected(0);
    assert_eq!(ejection.on_retry_after(seconds(1), at(100), &settings()), None);
    assert_eq!(ejection.state(at(9_999)), EjectionState::Ejected(at(10_000)));
    let mut paused = Ejection::default();
    paused.on_retry_after(seconds(10), at(0), &settings());
    assert_eq!(paused.on_passing_probe(at(100), at(200)), None);
    assert_eq!(paused.count(), 0, "a pause is no repetition");
}

#[test]
fn earlier_failures_and_results_without_a_server_do_not_count() {
    let settings = EjectionSettings::default();
    let report = |ejection: &mut Ejection, impact, now| {
        ejection.on_attempt(impact, false, at(now), at(now), &settings, true).is_some()
    };
    let mut ejection = Ejection::default();
    assert!(!(0..100).any(|_| report(&mut ejection, HealthImpact::Neutral, 0)));
    assert!((0..3).any(|_| report(&mut ejection, HealthImpact::Failure, 0)));
    assert!(ejection.on_passing_probe(at(1), at(1)).is_some());
    assert!(!report(&mut ejection, HealthImpact::Failure, 2), "three and one of the last twenty");
    assert!(!report(&mut ejection, HealthImpact::Success, 2));
    assert!(!(0..2).any(|_| report(&mut ejection, HealthImpact::Failure, 2)), "five of the last twenty");

    let mut paused = Ejection::default();
    assert!(!(0..2).any(|_| report(&mut paused, HealthImpact::Failure, 0)));
    assert!(paused.on_retry_after(seconds(1), at(0), &settings).is_some());
    assert!(report(&mut paused, HealthImpact::Success, 1));
    assert!(!report(&mut paused, HealthImpact::Failure, 2), "the first after the pause");
}

#[test]
fn the_late_result_of_an_expired_trial_is_ignored() {
    use HealthImpact::{Failure, Neutral, Success};
    let result = |ejection: &mut Ejection, impact, started, now| {
        ejection.on_attempt(impact, true, at(started), at(now), &settings(), true)
    };
    let mut ejection = ejected(0);
    ejection.start_trial(at(10_000), seconds(5));
    ejection.start_trial(at(15_000), seconds(5));
    ejection.cancel_trial(at(10_000));
    assert!(!ejection.can_start_trial(at(15_001)), "the second one is in flight");
    assert_eq!(result(&mut ejection, Neutral, 10_000, 15_002), None);
    assert!(!ejection.can_start_trial(at(15_003)));
    assert_eq!(result(&mut ejection, Failure, 15_000, 16_000), Some(Change::Ejected { duration: seconds(20) }));
    assert_eq!(result(&mut ejection, Success, 10_000, 17_000), None, "it started before the second ejection");
    assert_eq!(result(&mut ejection, Failure, 10_000, 17_000), None);
    assert_eq!(ejection.state(at(35_999)), EjectionState::Ejected(at(36_000)));
}

#[test]
fn a_neutral_outcome_does_not_eject_for_earlier_failures() {
    let mut ejection = Ejection::default();
    for _ in 0..4 {
        ejection.on_attempt(HealthImpact::Failure, false, at(0), at(0), &settings(), false);
    }
    assert_eq!(
        attempt(&mut ejection, HealthImpact::Neutral, at(1)),
        None,
        "the pool could not do without the server then"
    );
    assert!(attempt(&mut ejection, HealthImpact::Failure, at(2)).is_some());
}

#[test]
fn a_restored_ejection_decays_from_its_end() {
    let mut ejection = Ejection::restored(at(100_000), None, 1, Cause::Failures, None);
    (0..20).for_each(|_| {
        attempt(&mut ejection, HealthImpact::Success, at(100_000));
    });
    let change = ejection.on_hung(Cause::Hung, at(109_999), &settings());
    assert_eq!(change, Some(Change::Ejected { duration: seconds(20) }), "in traffic for less than 10 s");
}
