//! `tunnel-balancer monitor`: health checks from another place, for Workers.

use std::io::stdout;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tunnel_balancer_native::{
    KvNamespace, KvTarget, LogLayer, LogWriter, MonitorOptions, PushTarget, PushUrl, StartError,
};

use crate::log_options::LogOptions;
use crate::map_file::MapFile;
use crate::serve::hint;
use crate::{duration, input, monitor_key};

/// Probe all servers from this machine, and share the results with a Worker.
///
/// The Worker then knows of a failure before a request finds it. It has to accept messages: see
/// `health_sharing`. BALANCER_MONITOR_KEY in the environment is the secret of both.
///
/// The file is reloaded when it changes, or at SIGHUP. The log goes to stdout, as that of `serve`.
/// SIGTERM and SIGINT end the monitor.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer monitor --push https://app.example.com
  tunnel-balancer monitor --push https://app.example.com --once --log-format text

Exit codes: 0 stopped by a signal, or everything is shared; 1 a message of --once was not accepted, \
or an error of the operating system; 2 errors in the map or in the command.")]
pub(crate) struct Monitor {
    #[command(flatten)]
    map: MapFile,

    /// Worker with which health is shared: any of its URLs, such as `https://app.example.com`.
    /// Repeatable.
    #[arg(long, value_name = "URL", required_unless_present = "kv")]
    push: Vec<PushUrl>,

    /// Write health to this namespace of Workers KV when the state of a server changes.
    /// CLOUDFLARE_API_TOKEN in the environment has the permission Workers KV Storage: Edit.
    #[arg(long, value_name = "ACCOUNT_ID/NAMESPACE_ID")]
    kv: Option<KvNamespace>,

    /// URL of Cloudflare's API.
    #[arg(long, value_name = "URL", default_value = KvTarget::API, hide = true)]
    cloudflare_api: String,

    /// Share at least this often. Changes are shared at once.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = interval)]
    interval: Duration,

    /// Run every health check once, share the results and exit. A server is probed until `rise`
    /// probes in a row pass or `fall` fail, one each second.
    #[arg(long, conflicts_with = "interval")]
    once: bool,

    #[command(flatten)]
    log: LogOptions,
}

impl Monitor {
    pub(crate) fn run(self) -> ExitCode {
        if input::is_stdio(self.map.path()) {
            eprintln!("error: cannot monitor standard input: the map is reloaded when it changes");
            eprintln!("  hint: write it to a file and name that by `-f FILE`");
            return ExitCode::from(2);
        }
        let targets = || Ok::<_, String>((self.push()?, self.kv()?));
        let (push, kv) = match targets() {
            Ok(targets) => targets,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("error: cannot start: {error}");
                return ExitCode::FAILURE;
            }
        };
        let log = LogWriter::new(stdout(), self.log.format());
        LogLayer::new(log.clone(), self.log.level()).install();
        let options = MonitorOptions { file: self.map.path().to_owned(), push, kv, interval: self.interval };
        let is_missing = !options.file.exists();
        let result = if self.once {
            runtime.block_on(tunnel_balancer_native::monitor_once(options))
        } else {
            runtime.block_on(tunnel_balancer_native::monitor(options)).map(|()| true)
        };
        // A lookup of the system's resolver cannot be canceled, and may take many seconds.
        runtime.shutdown_background();
        log.flush();
        match result {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(StartError::Configuration(error)) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
            Err(error) => {
                let hint = hint(&error, is_missing).map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
                eprintln!("error: {error}{hint}");
                if matches!(error, StartError::File(_)) { ExitCode::from(2) } else { ExitCode::FAILURE }
            }
        }
    }

    fn push(&self) -> Result<Vec<PushTarget>, String> {
        self.push.iter().cloned().map(monitor_key::target).collect()
    }

    fn kv(&self) -> Result<Option<KvTarget>, String> {
        let Some(namespace) = &self.kv else { return Ok(None) };
        let name = KvTarget::TOKEN_VARIABLE;
        let hint = format!("\n  hint: set {name} in the environment");
        let token = std::env::var(name).map_err(|_| format!("error: missing secret {name}{hint}"))?;
        let target = KvTarget::new(&self.cloudflare_api, namespace, token.trim());
        target.map(Some).map_err(|error| format!("error: {error}{hint}"))
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(240);
    duration::within(text, range, "expected a duration from 1s to 4m: older facts are ignored")
}
