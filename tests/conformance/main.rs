//! The conformance suite: black-box tests of every host of the balancer on real sockets.
//!
//! A case belongs here if it depends on bytes, connections, processes or the runtime of a host.
//! What can be decided on the virtual clock belongs to `scenarios`. `native` contains the cases of
//! the native proxy alone.
//!
//! Each pair of host and case is one test, such as `worker::failover::unknown_host_is_404`. A
//! filter selects hosts, themes or cases:
//!
//! ```text
//! cargo test -p tunnel-balancer-tests --test conformance -- native::failover::unknown_host_is_404
//! ```
//!
//! `--nocapture` prints the logs of passed cases, too. The differences between the hosts are
//! printed at the end.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tunnel_balancer_tests::log::Log;
use tunnel_balancer_tests::{Bench, Host, Target};

use crate::report::{CaseResult, Report};

/// Lists the cases of a file. The compiler reports a case that is not listed as dead code.
///
/// `name not on Worker: "reason"` excludes a case on a host, and a leading `not on Worker:
/// "reason";` excludes all cases of the file.
macro_rules! cases {
    (not on $host:ident: $why:literal; $($name:ident),+ $(,)?) => { cases![$($name not on $host: $why),+]; };
    ($($name:ident $(not on $host:ident: $why:literal)?),+ $(,)?) => {
        pub(crate) const CASES: &[crate::Case] = &[$(crate::Case {
            name: stringify!($name),
            except: &[$((tunnel_balancer_tests::Host::$host, $why))?],
            run: |bench| Box::pin($name(bench)),
        }),+];
    };
}

mod affinity;
mod autobahn;
mod chaos;
mod config;
mod drills;
mod ejection;
mod failover;
mod headers;
mod hostile;
mod hung;
mod invalid_responses;
mod load;
mod local_replies;
mod logs;
mod methods;
mod native;
mod original;
mod outage;
mod passthrough;
mod policies;
mod prefixes;
mod probes;
mod report;
mod retry;
mod rewriting;
mod slow;
mod status;
mod streaming;
mod subrequests;
mod traces;
mod volume;
mod websocket;
mod websocket_peers;

/// One case.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Hosts to which it does not apply, with the reasons.
    pub(crate) except: &'static [(Host, &'static str)],
    pub(crate) run: fn(Bench) -> Pin<Box<dyn Future<Output = ()>>>,
}

const THEMES: &[(&str, &[Case])] = &[
    ("original", original::CASES),
    ("passthrough", passthrough::CASES),
    ("headers", headers::CASES),
    ("rewriting", rewriting::CASES),
    ("methods", methods::CASES),
    ("invalid_responses", invalid_responses::CASES),
    ("streaming", streaming::CASES),
    ("subrequests", subrequests::CASES),
    ("websocket", websocket::CASES),
    ("websocket_peers", websocket_peers::CASES),
    ("autobahn", autobahn::CASES),
    ("failover", failover::CASES),
    ("retry", retry::CASES),
    ("ejection", ejection::CASES),
    ("probes", probes::CASES),
    ("slow", slow::CASES),
    ("hung", hung::CASES),
    ("policies", policies::CASES),
    ("affinity", affinity::CASES),
    ("config", config::CASES),
    ("load", load::CASES),
    ("logs", logs::CASES),
    ("volume", volume::CASES),
    ("outage", outage::CASES),
    ("chaos", chaos::CASES),
    ("prefixes", prefixes::CASES),
    ("local_replies", local_replies::CASES),
    ("hostile", hostile::CASES),
    ("status", status::CASES),
    ("admin", native::status::CASES),
    ("traces", traces::CASES),
    ("drills", drills::CASES),
    ("servers", native::servers::CASES),
    ("reload", native::reload::CASES),
    ("shutdown", native::shutdown::CASES),
    ("sockets", native::sockets::CASES),
    ("limits", native::limits::CASES),
    ("one_client", native::one_client::CASES),
    ("unread", native::unread::CASES),
    ("certificates", native::certificates::CASES),
    ("restart", native::restart::CASES),
    ("connections", native::connections::CASES),
    ("control", native::control::CASES),
    ("state_file", native::state_file::CASES),
    ("fidelity", native::fidelity::CASES),
    ("unprocessed", native::unprocessed::CASES),
    ("smuggling", native::smuggling::CASES),
    ("log", native::log::CASES),
    ("notifications", native::notifications::CASES),
    ("shared_health", native::shared_health::CASES),
    ("monitor", native::shared_health::monitor::CASES),
    ("monitor_kv", native::shared_health::kv::CASES),
];

/// The time limit of a case. Single waits time out earlier, with a better message.
const CASE_LIMIT: Duration = Duration::from_secs(120);

/// The number of concurrent cases. Most of their time they wait for timeouts and processes.
const CONCURRENT_CASES: usize = 8;

/// Themes that measure a steady load run after the others, and fewer at a time.
const LOADS: [&str; 2] = ["outage", "chaos"];
const CONCURRENT_LOADS: usize = 4;

/// Themes whose cases need the whole machine run last, one at a time.
const ALONE: [&str; 2] = ["autobahn", "volume"];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let report = Arc::<Report>::default();
    let trials: Vec<Trial> =
        Host::ALL.into_iter().flat_map(|host| trials(host, &report, arguments.nocapture)).collect();
    let missing = Host::ALL.into_iter().filter(|host| trials.iter().any(|trial| is_to_run(trial, *host, &arguments)));
    let missing: Vec<String> = missing.filter_map(|host| host.find().err()).collect();
    if !missing.is_empty() && !arguments.list {
        missing.iter().for_each(|instruction| eprintln!("conformance: {instruction}"));
        return ExitCode::FAILURE;
    }
    panic::set_hook(Box::new(|panic| PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()))));
    if arguments.list {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let is_one_of = |trial: &Trial, themes: &[&str]| trial.name().split("::").any(|part| themes.contains(&part));
    let (loads, others): (Vec<Trial>, Vec<Trial>) = trials.into_iter().partition(|trial| is_one_of(trial, &LOADS));
    let (alone, together) = others.into_iter().partition(|trial| is_one_of(trial, &ALONE));
    let most = arguments.test_threads.unwrap_or(CONCURRENT_CASES);
    let mut has_failed = false;
    for (trials, threads) in [(together, most), (loads, most.min(CONCURRENT_LOADS)), (alone, 1)] {
        arguments.test_threads = Some(threads);
        has_failed |= libtest_mimic::run(&arguments, trials).has_failed();
    }
    print!("{report}");
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Returns all cases as tests of one host.
fn trials(host: Host, report: &Arc<Report>, show_logs: bool) -> Vec<Trial> {
    let target = host.find();
    let cases = THEMES.iter().flat_map(|(theme, cases)| cases.iter().map(move |case| (theme, *case)));
    let trial = |(theme, case): (&&str, Case)| {
        let (name, target, report) = (format!("{theme}::{}", case.name), target.clone(), Arc::clone(report));
        Trial::ignorable_test(format!("{}::{name}", host.name()), move || {
            if let Some((_, why)) = case.except.iter().find(|(except, _)| host.is(*except)) {
                report.add(name, host, CaseResult::NotApplicable(why));
                return Ok(Completion::ignored_with(why));
            }
            let outcome = run(target?, case, show_logs);
            report.add(name, host, if outcome.is_ok() { CaseResult::Passed } else { CaseResult::Failed });
            outcome.map(|()| Completion::Completed)
        })
    };
    cases.map(trial).collect()
}

fn is_to_run(trial: &Trial, host: Host, arguments: &Arguments) -> bool {
    trial.name().starts_with(&format!("{}::", host.name())) && !arguments.is_filtered_out(trial)
}

thread_local! {
    /// Messages of the panics on this thread, on which a case, its servers and its traffic run.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Strings that no log may contain: crashes of the Worker and requests without a response.
const NEVER_LOGGED: [&str; 4] =
    ["panicked at", "RuntimeError: unreachable", "will never generate a response", "Uncaught exception"];

fn run(target: Target, case: Case, show_logs: bool) -> Result<(), Failed> {
    PANICS.take();
    let logs = Arc::<Mutex<Vec<Log>>>::default();
    let bench = Bench::new(target, Arc::clone(&logs));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limited = async { tokio::time::timeout(CASE_LIMIT, (case.run)(bench)).await };
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(limited)));
    drop(runtime);
    let panics = PANICS.take();
    if show_logs {
        println!("{}{}", case.name, tails(&logs));
    }
    match outcome {
        Ok(Ok(())) if panics.is_empty() => match NEVER_LOGGED.into_iter().find(|bad| tails(&logs).contains(bad)) {
            Some(bad) => Err(report(&[format!("the log contains {bad:?}")], &logs)),
            None => Ok(()),
        },
        Ok(Ok(())) => Err(report(&panics, &logs)),
        Ok(Err(_)) => Err(report(&[format!("the case took longer than {CASE_LIMIT:?}")], &logs)),
        Err(panic) if panics.is_empty() => Err(report(&[text(&*panic)], &logs)),
        Err(_) => Err(report(&panics, &logs)),
    }
}

fn report(panics: &[String], logs: &Mutex<Vec<Log>>) -> Failed {
    (panics.join("\n") + &tails(logs)).into()
}

fn tails(logs: &Mutex<Vec<Log>>) -> String {
    let logs = logs.lock().expect("no panic while locked");
    logs.iter().map(|log| format!("\n--- log of the target, its last lines ---\n{}", log.tail(60))).collect()
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}
