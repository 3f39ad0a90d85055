//! Commands, and the services that they make.

use tunnel_balancer_core::{Affinity, Server, ServerId, Service, Timestamp};
use tunnel_balancer_state::HistoryFilter;
use tunnel_balancer_state::control::{Action, Change, Command, Control, Override, Overrides};

const MINUTE: u64 = 60_000;
const NOW: u64 = 1_790_000_000_000;

fn service(address: &str, servers: &[&str]) -> Service {
    let servers = servers.iter().map(|name| Server::new(format!("{name}.example").parse().unwrap()));
    Service::new(address, servers.collect()).unwrap()
}

fn command(action: Action, server: Option<&str>) -> Command {
    Command {
        service: Some("app.test".to_owned()),
        server: server.map(str::to_owned),
        weight: (action == Action::Weight).then_some(5),
        on: (action == Action::Maintenance).then_some(true),
        ..Command::new(action)
    }
}

/// A control, and the services that it changes.
struct Setup {
    control: Control,
    services: Vec<Service>,
    now: u64,
}

impl Setup {
    fn new(servers: &[&str]) -> Self {
        Self { control: Control::default(), services: vec![service("app.test", servers)], now: NOW }
    }

    fn run(&mut self, command: &Command) -> Result<Vec<Override>, String> {
        let result = self.control.run(command, &self.services, self.now);
        result.map_err(|error| format!("{}: {}; {}", error.code, error.message, error.hint.unwrap_or_default()))
    }

    fn ok(&mut self, action: Action, server: Option<&str>) -> Vec<Override> {
        self.run(&command(action, server)).unwrap()
    }

    fn with(&mut self, action: Action, server: &str, change: impl FnOnce(&mut Command)) -> Vec<Override> {
        let mut command = command(action, Some(server));
        change(&mut command);
        self.run(&command).unwrap()
    }

    fn applied(&self) -> Service {
        self.control.overrides.apply(&self.services[0], self.now)
    }

    /// Returns the servers that get new clients, with `~` before those that drain and `-` before
    /// disabled ones, and the weights that differ from 1.
    fn rotation(&self) -> String {
        let servers = self
            .applied()
            .servers()
            .iter()
            .map(|server| {
                let sign = if !server.enabled {
                    "-"
                } else if server.drain {
                    "~"
                } else {
                    ""
                };
                let weight = if server.weight == 1 { String::new() } else { format!("*{}", server.weight) };
                format!("{sign}{}{weight}", server.name)
            })
            .collect::<Vec<_>>();
        servers.join(" ")
    }
}

#[test]
fn each_action_changes_the_service() {
    let mut setup = Setup::new(&["a", "b", "c"]);
    setup.ok(Action::Drain, Some("a"));
    assert_eq!(setup.rotation(), "~a b c");
    setup.ok(Action::Disable, Some("a"));
    assert_eq!(setup.rotation(), "-a b c", "a later change replaces an earlier one");
    setup.ok(Action::Drain, Some("a"));
    assert_eq!(setup.rotation(), "~a b c");
    setup.ok(Action::Weight, Some("b"));
    assert_eq!(setup.rotation(), "~a b*5 c");
    setup.ok(Action::Enable, Some("a"));
    assert_eq!(setup.rotation(), "a b*5 c");
    setup.ok(Action::Maintenance, None);
    assert!(setup.applied().maintenance && setup.applied().maintenance_until.is_none());
    let off = Command { on: Some(false), ..command(Action::Maintenance, None) };
    setup.run(&off).unwrap();
    assert!(!setup.applied().maintenance);
    setup.ok(Action::Disable, Some("b"));
    setup.ok(Action::Force, Some("b"));
    assert_eq!((setup.rotation().as_str(), setup.applied().forced), ("a b*5 c", ServerId::new(1)));
    setup.with(Action::Weight, "c", |command| command.weight = Some(0));
    assert_eq!(setup.rotation(), "a b*5 c*0");
    setup.ok(Action::Force, Some("c"));
    assert_eq!((setup.rotation().as_str(), setup.applied().forced), ("a -b*5 c", ServerId::new(2)));
    setup.ok(Action::Clear, None);
    assert_eq!((setup.rotation().as_str(), setup.applied().forced), ("a b c", None));
    assert_eq!(setup.applied(), setup.services[0]);
}

#[test]
fn the_configuration_is_overridden() {
    let mut setup = Setup::new(&["a", "b", "c"]);
    setup.services[0].servers_mut()[1].enabled = false;
    setup.services[0].servers_mut()[2].drain = true;
    setup.services[0].servers_mut()[2].weight = 0;
    setup.services[0].maintenance = true;
    for name in ["b", "c"] {
        setup.ok(Action::Enable, Some(name));
    }
    setup.with(Action::Weight, "c", |command| command.weight = Some(3));
    let off = Command { on: Some(false), ..command(Action::Maintenance, None) };
    setup.run(&off).unwrap();
    assert_eq!((setup.rotation().as_str(), setup.applied().maintenance), ("a b c*3", false));
    setup.ok(Action::Clear, Some("c"));
    assert_eq!(setup.rotation(), "a b ~c*0", "the configuration holds again");
}

#[test]
fn settings_that_are_not_changed_are_kept() {
    let mut setup = Setup::new(&["a", "b"]);
    setup.services[0].affinity = Some(Affinity::new("lb", "key"));
    setup.services[0].error_page = Some("<p>".to_owned());
    setup.ok(Action::Drain, Some("a"));
    let mut expected = setup.services[0].clone();
    expected.servers_mut()[0].drain = true;
    assert_eq!(setup.applied(), expected);
}

#[test]
fn a_change_ends_by_its_duration() {
    let mut setup = Setup::new(&["a", "b"]);
    let until = NOW + 30 * MINUTE;
    setup.with(Action::Drain, "a", |command| command.duration_ms = Some(30 * MINUTE));
    let maintenance = Command { duration_ms: Some(MINUTE), ..command(Action::Maintenance, None) };
    setup.run(&maintenance).unwrap();
    assert_eq!(setup.applied().maintenance_until, Some(Timestamp::from_millis(NOW + MINUTE)));
    assert_eq!(setup.control.overrides.next_expiry(), Some(NOW + MINUTE));
    setup.now = NOW + MINUTE;
    assert_eq!(setup.control.expire(setup.now).len(), 1);
    assert_eq!(setup.control.overrides.next_expiry(), Some(until));
    setup.now = until - 1;
    assert_eq!((setup.control.expire(setup.now), setup.rotation().as_str()), (vec![], "~a b"));
    setup.now = until;
    assert_eq!(setup.rotation(), "a b", "it has no effect, also before it is removed");
    let expired = setup.control.expire(setup.now);
    assert_eq!(expired.iter().map(|it| it.change).collect::<Vec<_>>(), [Change::Drain]);
    assert_eq!(setup.control.expire(setup.now), [], "each end is returned once");
    assert_eq!(setup.control.overrides.next_expiry(), None);
}

#[test]
fn the_last_server_stays() {
    let mut setup = Setup::new(&["a", "b"]);
    setup.ok(Action::Drain, Some("a"));
    let hint = "no_server_left: no server of `app.test` would get new clients; \
                enable another server first, or start maintenance of the service";
    for action in [Action::Drain, Action::Disable] {
        assert_eq!(setup.run(&command(action, Some("b"))), Err(hint.to_owned()));
    }
    let weight = Command { weight: Some(0), ..command(Action::Weight, Some("b")) };
    assert_eq!(setup.run(&weight), Err(hint.to_owned()));
    assert_eq!(setup.rotation(), "~a b", "a refused command changes nothing");
    setup.ok(Action::Maintenance, None);
    setup.ok(Action::Disable, Some("b"));
    let off = Command { on: Some(false), ..command(Action::Maintenance, None) };
    let error = setup.run(&off).unwrap_err();
    assert!(error.starts_with("no_server_left") && error.ends_with("enable a server first"), "{error}");
    assert_eq!(setup.ok(Action::Clear, None).len(), 3, "all at once");
    assert_eq!(setup.rotation(), "a b");
}

#[test]
fn a_forced_server_is_not_taken_out_of_rotation() {
    let mut setup = Setup::new(&["a", "b"]);
    setup.ok(Action::Force, Some("b"));
    for action in [Action::Drain, Action::Disable] {
        let error = setup.run(&command(action, Some("b"))).unwrap_err();
        assert!(error.starts_with("conflict: the server `b` is forced"), "{error}");
    }
    setup.ok(Action::Disable, Some("a"));
    let error = setup.run(&command(Action::Clear, Some("b"))).map(|changed| changed.len());
    assert_eq!(error, Ok(1), "`a` is disabled, and `b` gets requests without being forced");
    assert_eq!((setup.rotation().as_str(), setup.applied().forced), ("-a b", None));
}

#[test]
fn unknown_names_are_refused_with_the_existing_ones() {
    let mut setup = Setup::new(&["chat-a", "chat-b", "other"]);
    let table = [
        ("app.tset", "chat-a", "unknown_service: unknown service `app.tset`; expected one of app.test"),
        ("x", "chat-a", "unknown_service: unknown service `x`; expected one of app.test"),
        ("app.test", "chat", "unknown_server: unknown server `chat`; expected one of chat-a, chat-b"),
        ("app.test", "z", "unknown_server: unknown server `z`; expected one of chat-a, chat-b, other"),
    ];
    for (service, server, expected) in table {
        let command = Command { service: Some(service.to_owned()), ..command(Action::Drain, Some(server)) };
        assert_eq!(setup.run(&command), Err(expected.to_owned()));
    }
    let clear = Command { service: Some("gone.test".to_owned()), ..Command::new(Action::Clear) };
    assert!(setup.run(&clear).unwrap_err().starts_with("unknown_service"));
}

#[test]
fn fields_are_checked() {
    let mut setup = Setup::new(&["a", "b"]);
    let table: &[(&str, &str)] = &[
        (r#"{"action":"drain"}"#, "invalid_command: `drain` needs the field `service`"),
        (r#"{"action":"drain","service":"app.test"}"#, "invalid_command: `drain` needs the field `server`"),
        (
            r#"{"action":"weight","service":"app.test","server":"a"}"#,
            "invalid_command: `weight` needs the field `weight`",
        ),
        (
            r#"{"action":"weight","service":"app.test","server":"a","weight":1001}"#,
            "out_of_range: expected a weight from",
        ),
        (
            r#"{"action":"drain","service":"app.test","server":"a","weight":1}"#,
            "invalid_command: `drain` has no field `weight`",
        ),
        (r#"{"action":"maintenance","service":"app.test"}"#, "invalid_command: `maintenance` needs the field `on`"),
        (
            r#"{"action":"maintenance","service":"app.test","server":"a","on":true}"#,
            "invalid_command: `maintenance` has no field `server`",
        ),
        (
            r#"{"action":"failback","service":"app.test","duration_ms":5000}"#,
            "invalid_command: `failback` has no field `duration_ms`",
        ),
        (r#"{"action":"clear","server":"a"}"#, "invalid_command: `clear` has no field `server`"),
        (
            r#"{"action":"drain","service":"app.test","server":"a","duration_ms":999}"#,
            "out_of_range: expected a duration from",
        ),
        (
            r#"{"action":"drain","service":"app.test","server":"a","duration_ms":2592000001}"#,
            "out_of_range: expected a duration",
        ),
        (
            r#"{"action":"drain","service":"app.test","server":"a","comment":"a\nb"}"#,
            "invalid_command: `comment` has a control",
        ),
        (
            r#"{"action":"drain","service":"app.test","server":"a","duration":1}"#,
            "invalid_command: not a command: unknown field",
        ),
        (r#"{"action":"stop","service":"app.test"}"#, "invalid_command: not a command: unknown variant"),
        (r#"[]"#, "invalid_command: not a command"),
        ("", "invalid_command: not a command"),
    ];
    for (json, expected) in table {
        let result = Command::parse(json.as_bytes())
            .map_err(|error| format!("{}: {}", error.code, error.message))
            .and_then(|command| setup.run(&command));
        let error = result.unwrap_err();
        assert!(error.starts_with(expected), "{json}\n{error}");
    }
    let comment = Command { comment: Some("x".repeat(201)), ..command(Action::Drain, Some("a")) };
    assert!(setup.run(&comment).unwrap_err().starts_with("out_of_range: expected at most 200 characters"));
    let comment = Command { comment: Some("\u{e4}".repeat(200)), ..command(Action::Drain, Some("a")) };
    setup.run(&comment).unwrap();
}

#[test]
fn changes_of_removed_services_and_servers_have_no_effect() {
    let mut setup = Setup::new(&["a", "b"]);
    setup.ok(Action::Drain, Some("a"));
    setup.services = vec![service("app.test", &["b"]), service("new.test", &["a"])];
    assert_eq!(setup.rotation(), "b");
    let new = setup.control.overrides.apply(&setup.services[1], NOW);
    assert_eq!(new, setup.services[1]);
    setup.services = vec![service("new.test", &["a"])];
    assert_eq!(setup.ok(Action::Clear, None).len(), 1, "they can be cleared");
}

#[test]
fn a_change_to_the_configured_value_only_ends_the_earlier_one() {
    let mut setup = Setup::new(&["a", "b"]);
    setup.ok(Action::Drain, Some("a"));
    setup.ok(Action::Enable, Some("a"));
    assert_eq!(setup.control.overrides.in_force(NOW).count(), 0);
    setup.services[0].servers_mut()[0].enabled = false;
    assert_eq!(setup.rotation(), "-a b", "a later edit of the configuration holds");
}

#[test]
fn failback_happens_once() {
    let mut setup = Setup::new(&["a", "b"]);
    let changed = setup.ok(Action::Failback, None);
    assert_eq!(changed[0].change, Change::Failback);
    assert_eq!(setup.control.overrides.in_force(NOW).count(), 0);
    assert_eq!(setup.control.overrides.failbacks_since(NOW - 1).collect::<Vec<_>>(), ["app.test"]);
    assert_eq!(setup.control.overrides.failbacks_since(NOW).count(), 0);
    setup.ok(Action::Failback, None);
    assert_eq!(setup.control.overrides.failbacks_since(NOW).count(), 1, "a second one is newer");
}

#[test]
fn the_latest_command_holds_although_the_clock_was_set_back() {
    let mut setup = Setup::new(&["a", "b"]);
    setup.ok(Action::Drain, Some("a"));
    setup.now = NOW - MINUTE;
    setup.ok(Action::Enable, Some("a"));
    assert_eq!(setup.rotation(), "a b");
    let mut stale = setup.control.clone();
    stale.merge(&setup.control, NOW);
    assert_eq!(stale, setup.control);
}

#[test]
fn every_change_is_in_the_history() {
    let mut setup = Setup::new(&["a", "b"]);
    setup.with(Action::Drain, "a", |command| {
        command.duration_ms = Some(MINUTE);
        command.comment = Some("new disk".to_owned());
        command.origin = Some("alice@laptop".to_owned());
    });
    setup.now += MINUTE;
    setup.control.expire(setup.now);
    setup.now += 1;
    setup.with(Action::Weight, "b", |_| ());
    setup.now += 1;
    setup.ok(Action::Clear, None);
    let lines = |filter: HistoryFilter| -> Vec<String> {
        let entries = setup.control.history.query(&filter);
        let line = entries.map(|it| {
            let words = [it.event.as_str(), it.server.as_deref().unwrap(), it.detail.as_deref().unwrap()];
            let [comment, origin] = [&it.comment, &it.origin].map(|text| text.as_deref().unwrap_or("-"));
            format!("{} {} {comment} {origin}", it.at - NOW, words.join(" "))
        });
        line.collect()
    };
    let all = [
        "60002 control_changed b weight 5 cleared - api",
        "60001 control_changed b weight 5 - api",
        "60000 control_expired a drain new disk alice@laptop",
        "0 control_changed a drain new disk alice@laptop",
    ];
    assert_eq!(lines(HistoryFilter::default()), all);
    let of_a = HistoryFilter { server: Some("a".to_owned()), limit: Some(1), ..HistoryFilter::default() };
    assert_eq!(lines(of_a), all[2..3]);
    let early = HistoryFilter { before: Some(NOW + 60_001), ..HistoryFilter::default() };
    assert_eq!(lines(early), all[2..]);
}

#[test]
fn the_number_of_changes_is_limited() {
    let mut setup = Setup::new(&["a", "b"]);
    setup.services = (0..=Overrides::CAPACITY).map(|nth| service(&format!("s{nth}.test"), &["a", "b"])).collect();
    let drain = |nth: usize| Command { service: Some(format!("s{nth}.test")), ..command(Action::Drain, Some("a")) };
    for nth in 0..Overrides::CAPACITY {
        setup.run(&drain(nth)).unwrap();
    }
    assert!(setup.run(&drain(Overrides::CAPACITY)).unwrap_err().starts_with("too_many"));
    setup.run(&drain(7)).expect("one that replaces another");
    let clear = Command { service: Some("s3.test".to_owned()), ..Command::new(Action::Clear) };
    setup.run(&clear).unwrap();
    setup.run(&drain(Overrides::CAPACITY)).unwrap();
}

#[test]
fn the_document_is_flat_json() {
    let mut setup = Setup::new(&["a", "b"]);
    setup.with(Action::Weight, "a", |command| {
        command.duration_ms = Some(MINUTE);
        command.comment = Some("slow disk".to_owned());
    });
    let json: serde_json::Value = serde_json::to_value(&setup.control).unwrap();
    let expected = serde_json::json!([{
        "action": "weight", "service": "app.test", "server": "a", "weight": 5, "since": NOW,
        "until": NOW + MINUTE, "comment": "slow disk", "origin": "api"
    }]);
    assert_eq!(json["overrides"], expected);
    let read: Control = serde_json::from_value(json).unwrap();
    assert_eq!(read, setup.control);
    assert!(serde_json::from_str::<Control>("{}").unwrap() == Control::default());
    assert!(serde_json::from_str::<Control>(r#"{"overrides":[{"action":"weight"}]}"#).is_err());
}
