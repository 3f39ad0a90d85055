//! Other balancers, to compare the engine with.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http::StatusCode;
use tunnel_balancer_core::{Forwarded, RequestMeta};

use crate::caller::Caller;
use crate::clock::VirtualClock;

/// A balancer that replaces the engine in one isolate. It receives the same requests and reaches
/// the same servers.
pub trait Baseline: fmt::Debug {
    /// Handles one request.
    fn forward<'a>(
        &'a self,
        caller: &'a Caller,
        clock: &'a VirtualClock,
        meta: &'a RequestMeta,
    ) -> Pin<Box<dyn Future<Output = Forwarded<StatusCode>> + 'a>>;
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use super::*;
    use crate::{Arrivals, Behavior, Count, End, Record, Sim};
    use tunnel_balancer_core::{Failure, Outcome, Server, ServerId, Service};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Probes the second server and sends every request to the first.
    #[derive(Debug)]
    struct FirstServer;

    impl Baseline for FirstServer {
        fn forward<'a>(
            &'a self,
            caller: &'a Caller,
            _: &'a VirtualClock,
            _: &'a RequestMeta,
        ) -> Pin<Box<dyn Future<Output = Forwarded<StatusCode>> + 'a>> {
            Box::pin(async move {
                let [first, second] = caller.service().servers() else { unreachable!() };
                caller.probe(second, MS(10)).await;
                let status = match caller.send(first, MS(100)).await {
                    Outcome::Status(status) => status,
                    Outcome::Failed(_) => StatusCode::GATEWAY_TIMEOUT,
                };
                let mut forwarded = Forwarded::new(Ok(status));
                (forwarded.served_by, forwarded.attempts) = (ServerId::new(0), 1);
                forwarded
            })
        }
    }

    fn sim() -> Sim {
        let servers = ["a.example", "b.example"].map(|url| Server::new(url.parse().unwrap()));
        let mut sim = Sim::new(Service::new("app.example", servers.to_vec()).unwrap(), 1);
        sim.server(Duration::ZERO, "a", Behavior::status(530).after(MS(20)));
        sim.server(Duration::ZERO, "b", Behavior::status(200).after(MS(30)));
        sim.server(MS(1500), "a", Behavior::hangs());
        sim.arrivals(Arrivals::even(1.0).until(MS(2001)));
        sim.counts_only().record();
        sim
    }

    /// Arrival, end and status of each request. A status of 0 stands for a client that timed out.
    fn requests(record: &Record) -> Vec<(u128, u128, u16)> {
        let rows = record.requests.iter().map(|request| {
            let (end, status) = match request.end {
                Some((end, End::Answered { status, .. })) => (end.as_millis(), status.as_u16()),
                Some((end, End::TimedOut)) => (end.as_millis(), 0),
                None => (0, 0),
            };
            (request.at.as_millis(), end, status)
        });
        rows.collect()
    }

    #[test]
    fn a_baseline_receives_the_same_requests_and_servers() {
        let mut sim = sim();
        sim.baselines(|| Box::new(FirstServer));
        let trace = sim.run(MS(10_000));
        assert_eq!((trace.stats.total().attempts, trace.requests["a"], trace.probes["b"]), (3, 3, 3));
        let record = trace.record;
        assert_eq!(requests(&record), [(0, 30, 530), (1000, 1030, 530), (2000, 2110, 504)]);
        let last: Vec<_> = record.sent.iter().filter(|sent| sent.request == 2).collect();
        assert_eq!(
            last.iter().map(|sent| (sent.server.index(), sent.is_probe)).collect::<Vec<_>>(),
            [(1, true), (0, false)]
        );
        // A canceled attempt has an end time and no outcome.
        assert!(last.iter().all(|sent| sent.outcome.is_none()));
        assert_eq!(last.iter().map(|sent| sent.until.as_millis()).collect::<Vec<_>>(), [2010, 2110]);
        assert_eq!(record.changes, []);
        assert_eq!((trace.stats.total().hedges, trace.stats.total().aborted), (0, 1));
    }

    /// Sends every request to both servers and cancels the slower attempt.
    #[derive(Debug)]
    struct Hedge;

    impl Baseline for Hedge {
        fn forward<'a>(
            &'a self,
            caller: &'a Caller,
            _: &'a VirtualClock,
            _: &'a RequestMeta,
        ) -> Pin<Box<dyn Future<Output = Forwarded<StatusCode>> + 'a>> {
            Box::pin(async move {
                let [first, second] = caller.service().servers() else { unreachable!() };
                let (mut left, mut right) = (pin!(caller.send(first, MS(500))), pin!(caller.send(second, MS(500))));
                let outcome = poll_fn(|context| match left.as_mut().poll(context) {
                    Poll::Ready(outcome) => Poll::Ready(outcome),
                    Poll::Pending => right.as_mut().poll(context),
                })
                .await;
                let Outcome::Status(status) = outcome else { unreachable!() };
                let mut forwarded = Forwarded::new(Ok(status));
                (forwarded.served_by, forwarded.attempts) = (ServerId::new(0), 2);
                forwarded
            })
        }
    }

    #[test]
    fn the_loser_of_a_hedge_is_not_an_aborted_attempt() {
        let mut sim = sim();
        sim.server(Duration::ZERO, "a", Behavior::hangs());
        sim.baselines(|| Box::new(Hedge));
        let trace = sim.run(MS(10_000));
        let expected = Count { arrived: 3, served: 3, attempts: 6, hedges: 3, ..Count::default() };
        assert_eq!(trace.stats.total(), expected);
        assert!(trace.record.sent.iter().all(|sent| sent.outcome.is_none() == (sent.server.index() == 0)));
    }

    #[test]
    fn a_record_contains_requests_attempts_probes_and_changes() {
        let mut sim = sim();
        sim.client_timeout(MS(40));
        let record = sim.run(MS(10_000)).record;
        assert_eq!(requests(&record), [(0, 40, 0), (1000, 1030, 200), (2000, 2030, 200)]);
        let attempts = record.sent.iter().filter(|sent| !sent.is_probe);
        let attempts: Vec<_> = attempts.map(|sent| (sent.request, sent.server.index(), sent.outcome)).collect();
        let status = |code| Some(Outcome::Status(StatusCode::from_u16(code).unwrap()));
        assert_eq!(attempts, [(0, 0, status(530)), (0, 1, None), (1, 1, status(200)), (2, 1, status(200))]);
        let probes = record.sent.iter().filter(|sent| sent.is_probe).count();
        assert_eq!(record.changes.iter().map(|change| change.event.server.index()).collect::<Vec<_>>(), [0, 0, 1]);
        assert!(probes >= 2, "{probes}");
    }

    #[test]
    fn nothing_is_recorded_by_default() {
        let servers = vec![Server::new("a.example".parse().unwrap())];
        let mut sim = Sim::new(Service::new("app.example", servers).unwrap(), 1);
        sim.server(Duration::ZERO, "a", Behavior::fails(Failure::Connect));
        sim.get(MS(1));
        let record = sim.run(MS(100)).record;
        assert_eq!((record.requests.len(), record.sent.len(), record.changes.len()), (0, 0, 0));
    }
}
