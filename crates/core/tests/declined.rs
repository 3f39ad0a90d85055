//! Requests that a server declines without a fault: those of other protocols than HTTP.

use tunnel_balancer_core::{
    Attempt, Body, EjectionState, Exchange, Failure, Finish, LocalReply, Outcome, Pool, ProbeKind, RequestMeta,
    ServerHealthCheck, ServerId, Step, Timestamp, Writes,
};

const NOW: Timestamp = Timestamp::from_millis(1_000);
const DECLINED: Outcome = Outcome::Failed(Failure::Declined);

fn attempt(step: Step) -> Attempt {
    let Step::Attempt(attempt) = step else { panic!("an attempt was expected: {step:?}") };
    attempt
}

#[test]
fn a_declined_request_goes_elsewhere_and_no_server_is_at_fault() {
    let pool = Pool::of(["postgres://10.0.0.1:5432", "postgres://10.0.0.2:5432"]).unwrap();
    pool.update(|state| {
        for _ in 0..20 {
            let (mut exchange, step) = Exchange::start(RequestMeta::write(), state, NOW);
            let first = attempt(step);
            assert_eq!(first.server().index(), 0);
            let second = attempt(exchange.report(state, first, DECLINED, NOW));
            assert_eq!(second.server().index(), 1);
            let last = exchange.report(state, second, DECLINED, NOW);
            assert!(matches!(last, Step::Finish(Finish::LocalReply(LocalReply::Unavailable { .. }))), "{last:?}");
        }
        for server in pool.service().all().iter() {
            assert_eq!(state.ejection_state(server, NOW), EjectionState::Active);
        }
        let status = state.status(NOW);
        assert!(status.servers.iter().all(|server| server.last_failure.is_none()), "{status:?}");
    });
}

#[test]
fn a_stream_that_was_read_is_not_sent_again() {
    let pool = Pool::of(["tcp://10.0.0.1:1", "tcp://10.0.0.2:1"]).unwrap();
    pool.update(|state| {
        let request = RequestMeta { body: Body::Once, ..RequestMeta::write() };
        let (mut exchange, step) = Exchange::start(request, state, NOW);
        let last = exchange.report(state, attempt(step), DECLINED, NOW);
        assert!(matches!(last, Step::Finish(Finish::LocalReply(_))), "{last:?}");
    });
}

#[test]
fn writes_go_to_the_primary_and_reads_anywhere() {
    let service =
        tunnel_balancer_core::Service::of("orders", ["postgres://a.example:5432", "postgres://b.example:5432"]);
    let service =
        service.and_then(|service| service.configure(|service| service.writes = Writes::PrimaryOnly)).unwrap();
    Pool::new(service, 1).update(|state| {
        state.set_drain(ServerId::new(0).unwrap(), true, NOW);
        let server = |state: &mut _, request| match Exchange::start(request, state, NOW).1 {
            Step::Attempt(attempt) => Ok(attempt.server().index()),
            step => Err(step),
        };
        assert_eq!(server(state, RequestMeta::read()), Ok(1));
        let refused = server(state, RequestMeta::write());
        assert!(matches!(refused, Err(Step::Finish(Finish::LocalReply(LocalReply::NoWrites { .. })))), "{refused:?}");
    });
}

#[test]
fn servers_of_other_protocols_are_probed_by_a_connection() {
    let pool = Pool::of(["postgres://10.0.0.1:5432", "http://10.0.0.2"]).unwrap();
    let [database, web] = pool.service().servers() else { unreachable!() };
    let ServerHealthCheck::Custom(check) = &database.health_check else { panic!("{database:?}") };
    assert_eq!((check.kind, check.address(database).as_str()), (ProbeKind::Tcp, "10.0.0.1:5432"));
    assert_eq!(web.health_check, ServerHealthCheck::Inherit);
}
