//! The cost of large files is proportional to their size.
//!
//! Cost is counted in allocations, which are the same on every machine. Each parse of the file
//! and each value makes some. So a list that is searched once per service, or a file that is parsed
//! once per error, shows as a factor.

use allocation_counter::{AllocationInfo, measure};
use tunnel_balancer_config::{Code, Errors, MAX_BYTES, parse};

/// Returns a file of services that `service` formats.
fn file(services: usize, service: fn(&str) -> String) -> String {
    let services = (0..services).map(|number| service(&format!("app{number:04}")));
    std::iter::once("services:\n".to_owned()).chain(services).collect()
}

/// Formats a service of a homelab: a public host, and the hostname of a tunnel at three places.
fn plain(name: &str) -> String {
    format!(
        "  {name}.example.com:\n    - {name}-home.example.com\n    - {name}-office.example.com\n    - \
         {name}-cloud.example.com\n"
    )
}

fn with_settings(name: &str) -> String {
    let servers = plain(name).replace("    - ", "      - ").replace("com:\n", "com:\n    servers:\n");
    format!("{servers}    health_check: {{ path: /healthz, interval: 1m }}\n")
}

fn with_a_warning(name: &str) -> String {
    format!("  {name}.example.com: [http://{name}-a.example.com, {name}-b.example.com, {name}-c.example.com]\n")
}

/// Formats a service with a warning at a list, whose position takes a reading of the whole file.
fn with_a_warning_at_a_list(name: &str) -> String {
    format!("  {name}.example.com: {{ servers: {name}.example.net, health_check: {{ expect_status: [200, 502] }} }}\n")
}

fn with_an_error(name: &str) -> String {
    with_settings(name).replace("interval", "intervall")
}

fn cost(yaml: &str) -> AllocationInfo {
    measure(|| drop(parse(yaml)))
}

#[test]
fn a_thousand_services_with_three_servers_fit() {
    for service in [plain, with_settings] {
        let yaml = file(1000, service);
        assert!(yaml.len() < MAX_BYTES, "{} bytes", yaml.len());
        let config = parse(&yaml).unwrap();
        assert_eq!(config.services.iter().map(|service| service.servers().len()).sum::<usize>(), 3000);
        assert!(config.warnings.is_empty());
        let peak = cost(&yaml).bytes_max;
        assert!(peak < 32 << 20, "{peak} bytes at a time");
    }
}

#[test]
fn four_times_the_services_cost_four_times_the_work() {
    for service in [plain, with_settings, with_a_warning, with_a_warning_at_a_list, with_an_error] {
        let (small, large) = (cost(&file(250, service)), cost(&file(1000, service)));
        let factor = large.count_total as f64 / small.count_total as f64;
        assert!((3.0..4.5).contains(&factor), "{factor} for {}", service("x"));
    }
}

#[test]
fn diagnostics_cost_one_more_parse_for_any_number() {
    let (good, warned) = (cost(&file(1000, plain)), cost(&file(1000, with_a_warning)));
    assert_eq!(parse(&file(1000, with_a_warning)).unwrap().warnings.len(), 1000);
    assert!(warned.count_total < 4 * good.count_total, "{} and {}", good.count_total, warned.count_total);

    let (good, wrong) = (cost(&file(1000, with_settings)), cost(&file(1000, with_an_error)));
    let errors = parse(&file(1000, with_an_error)).unwrap_err();
    assert_eq!((errors.diagnostics().len(), errors.suppressed()), (Errors::MAX_DIAGNOSTICS, 950));
    assert_eq!(errors.diagnostics()[0].code, Code::UnknownKey);
    assert!(wrong.count_total < 4 * good.count_total, "{} and {}", good.count_total, wrong.count_total);
}

#[test]
fn further_warnings_at_lists_have_the_position_of_the_first_item() {
    let config = parse(&file(110, with_a_warning_at_a_list)).unwrap();
    let [exact, further] = [0, 109].map(|index| &config.warnings[index]);
    assert_eq!((exact.line, exact.column, exact.end_column), (2, 87, 97));
    assert_eq!((further.line, further.column, further.end_column), (111, 88, 91));
    assert_eq!(further.path, "services.\"app0109.example.com\".health_check.expect_status");
}

#[test]
fn similar_services_are_searched_for_reported_errors_only() {
    let with_unknown = |count: usize| {
        let targets = (0..count / 100).map(|target| {
            let services: String = (0..100).map(|number| format!("apq{number:02}{target:02}.example.com, ")).collect();
            format!("  - {{ ntfy: https://ntfy.sh/t, services: [{services}] }}\n")
        });
        let notify: String = std::iter::once("notify:\n".to_owned()).chain(targets).collect();
        cost(&(notify + &file(300, plain))).count_total
    };
    let (few, many) = (with_unknown(100), with_unknown(800));
    assert!(many < 2 * few, "{few} and {many}");
}
