use super::*;

const LIMIT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(5);

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Returns a server that has responded to 20 requests within `took`, the last time at 1 s.
fn warm(took: Duration) -> StallDetector {
    let mut detector = StallDetector::default();
    for _ in 0..20 {
        detector.on_started(at(0));
        detector.on_response(took, at(1_000));
    }
    detector
}

#[test]
fn checks_follow_the_usual_response_time() {
    assert_eq!(StallDetector::default().first_check(LIMIT, false), ms(1_000), "nothing is known");
    assert_eq!(warm(ms(5)).first_check(LIMIT, false), ms(250), "the floor");
    let usual = warm(ms(1_000)).first_check(LIMIT, false).as_millis();
    assert!((1_000..1_050).contains(&usual), "no deviation is left: {usual}");
    assert_eq!(warm(ms(10_000)).first_check(LIMIT, false), LIMIT);
    assert_eq!(warm(ms(5)).first_check(ms(100), false), ms(250), "the floor holds below small limits");
}

#[test]
fn requests_show_how_long_a_probe_takes_before_its_first_response() {
    assert_eq!(StallDetector::default().probe_silence(TIMEOUT), ms(1_000), "nothing is known");
    let mut detector = warm(ms(5));
    assert_eq!(detector.probe_silence(TIMEOUT), ms(250), "requests are fast");
    detector.on_probe_answered(Some(ms(1_000)), at(1_000));
    assert_eq!(detector.probe_silence(TIMEOUT), ms(3_000), "probes take longer than requests");
    assert_eq!(detector.probe_silence(ms(2_000)), ms(2_000), "the limit");
}

#[test]
fn a_response_shows_life_for_a_time() {
    let window = ms(1_000);
    assert!(!StallDetector::default().was_alive_within(window, at(500)), "no response yet");
    let detector = warm(ms(5));
    assert!(detector.was_alive_within(window, at(2_000)));
    assert!(!detector.was_alive_within(window, at(2_001)));
}

#[test]
fn usual_is_the_mean_and_four_deviations() {
    let mut times = ResponseTimes::default();
    times.observe(ms(100));
    assert_eq!(times.usual(), Some(ms(300)), "the first deviation is half of the time");
    times.observe(ms(200));
    assert_eq!(times.usual(), Some(Duration::from_micros(112_500 + 4 * 62_500)));
    times.observe(ms(120));
    let usual = times.usual().unwrap_or_default().as_micros();
    assert_eq!(usual, 113_437 + 4 * 48_750, "a shorter time than the mean deviates, too");
}

#[test]
fn a_stall_needs_a_request_and_a_probe_without_a_response() {
    let mut detector = warm(ms(5));
    detector.on_probe_answered(Some(ms(5)), at(1_000));
    let probe = Some(ProbeSilence { since: at(2_000), newest: at(2_000) });
    assert!(!detector.is_stalled(probe, TIMEOUT, at(2_500)), "no request is overdue");
    detector.on_overdue();
    assert!(!detector.is_stalled(None, TIMEOUT, at(2_500)), "no probe is unanswered");
    assert!(!detector.is_stalled(probe, TIMEOUT, at(2_249)) && detector.is_stalled(probe, TIMEOUT, at(2_250)));
    assert!(detector.is_stalled(probe, TIMEOUT, at(31_999)) && !detector.is_stalled(probe, TIMEOUT, at(32_000)));
    let renewed = Some(ProbeSilence { since: at(2_000), newest: at(20_000) });
    assert!(detector.is_stalled(renewed, TIMEOUT, at(32_000)), "another probe is unanswered");
    detector.on_probe_answered(None, at(2_100));
    detector.on_overdue();
    assert!(detector.is_stalled(renewed, TIMEOUT, at(20_250)), "the last probe is unanswered");
    detector.on_probe_answered(None, at(2_600));
    detector.on_overdue();
    assert!(!detector.is_stalled(probe, TIMEOUT, at(2_700)), "the server responded since");
}

#[test]
fn intervals_double_until_a_response_comes_in_the_usual_time() {
    let mut detector = warm(ms(5));
    let reported: Vec<bool> = (0..2).map(|_| detector.on_stalled()).collect();
    assert_eq!(reported, [true, false], "a stall is counted once");
    assert_eq!(detector.first_check(LIMIT, false), ms(500));
    assert!(detector.on_probe_answered(None, at(2_000)), "the end of a reported stall");
    assert!(detector.on_stalled());
    assert_eq!(detector.first_check(LIMIT, false), ms(1_000));
    detector.on_response(ms(2_000), at(3_000));
    assert!(detector.first_check(LIMIT, false) > ms(1_000), "a slow response ends the stall, not the back-off");
    for _ in 0..20 {
        detector.on_response(ms(5), at(4_000));
    }
    assert_eq!(detector.first_check(LIMIT, false), ms(250));
}

#[test]
fn ten_unanswered_requests_show_a_hung_application() {
    let mut detector = warm(ms(5));
    (0..9).for_each(|_| detector.on_started(at(2_000)));
    let is_unresponsive = |detector: &StallDetector, now| detector.is_unresponsive(at(2_000), LIMIT, at(now));
    assert!(!is_unresponsive(&detector, 60_000), "nine may be long polls");
    detector.on_started(at(3_000));
    assert!(!is_unresponsive(&detector, 4_999) && is_unresponsive(&detector, 5_000));
    detector.on_canceled(at(3_000));
    assert!(!is_unresponsive(&detector, 5_000), "nine are left");
    detector.on_started(at(3_000));
    detector.on_response(ms(3_000), at(5_000));
    assert!(!is_unresponsive(&detector, 60_000), "the count starts again");
}

#[test]
fn a_canceled_request_from_before_the_last_response_is_not_counted() {
    let mut detector = warm(ms(5));
    detector.on_started(at(1_500));
    detector.on_response(ms(5), at(1_600));
    (0..10).for_each(|_| detector.on_started(at(2_000)));
    detector.on_canceled(at(1_500));
    assert!(detector.is_unresponsive(at(1_500), LIMIT, at(60_000)));
    detector.on_canceled(at(2_000));
    assert!(!detector.is_unresponsive(at(1_500), LIMIT, at(60_000)));
}

#[test]
fn the_longest_response_is_remembered_for_five_minutes_at_least() {
    const EPOCH: u64 = 300_000;
    let mut longest = LongestResponse::default();
    longest.observe(ms(9), at(EPOCH - 1));
    assert_eq!(longest.get(at(2 * EPOCH - 1)), Some(ms(9)), "without a response since");
    longest.observe(ms(2), at(EPOCH));
    assert_eq!(longest.get(at(2 * EPOCH - 1)), Some(ms(9)));
    assert_eq!(longest.get(at(2 * EPOCH)), Some(ms(2)));
    assert_eq!(longest.get(at(3 * EPOCH)), None);
    longest.observe(ms(1), at(5 * EPOCH));
    assert_eq!(longest.get(at(5 * EPOCH)), Some(ms(1)), "a gap of more than an epoch");
}

#[test]
fn silence_is_measured_by_the_longest_response_of_the_last_minutes() {
    let hung = |took: Option<Duration>, silence: Duration, now: u64| {
        let mut detector = StallDetector::default();
        if let Some(took) = took {
            detector.on_response(took, at(1));
        }
        (0..10).for_each(|_| detector.on_started(at(now)));
        detector.is_unresponsive(at(now), LIMIT, at(now) + silence)
    };
    let table = [
        ("a short response", Some(ms(5)), 10, 3_000),
        ("1.5 times the longest", Some(ms(20_000)), 10, 30_000),
        ("a minute at most", Some(ms(90_000)), 10, 60_000),
        ("no response yet", None, 10, 60_000),
        ("expired after ten minutes", Some(ms(5)), 600_000, 60_000),
    ];
    for (case, took, start, silence) in table {
        assert!(hung(took, ms(silence), start), "{case}");
        assert!(!hung(took, ms(silence - 1), start), "{case}");
    }
}

#[test]
fn only_cancellations_of_unanswered_requests_reduce_their_count() {
    let mut detector = StallDetector::default();
    detector.on_started(at(5));
    detector.on_response(ms(5), at(10));
    (20..30).for_each(|start| detector.on_started(at(start)));
    detector.on_canceled(at(5));
    assert!(detector.is_unresponsive(at(20), LIMIT, at(60_000)), "sent before the last response");
    detector.on_canceled(at(20));
    assert!(!detector.is_unresponsive(at(20), LIMIT, at(60_000)), "nine are in flight");
}
