//! `tunnel-balancer serve`: a reverse proxy on this machine.

use std::fs::OpenOptions;
use std::io::{self, stdout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use tunnel_balancer_core::LogLevel;
use tunnel_balancer_native::{
    Limits, Listen, LogFormat, LogLayer, LogWriter, Options, Protocol, StartError, TlsFiles, TrustedProxies,
};

use crate::map_file::MapFile;
use crate::{address, input};

/// Serve the public hosts of services.yaml from this machine, as a reverse proxy.
///
/// It makes the same decisions as the Worker, from the same file. The file is reloaded when it
/// changes. A file with errors is rejected and logged, and the last valid one stays in use.
///
/// The log goes to stdout, one JSON object per line. SIGTERM and SIGINT drain requests in flight,
/// then exit; a second signal exits at once. SIGHUP reloads the file and the certificates. SIGUSR1
/// lets traffic return to servers that `failback: manual` holds back.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer serve
  tunnel-balancer serve --listen :443 --tls-cert cert.pem --tls-key key.pem --redirect-http :80
  Behind cloudflared on the same machine:
  tunnel-balancer serve --client-ip-header cf-connecting-ip --public-scheme https

Exit codes: 0 stopped by a signal; 1 cannot listen, or another error of the operating system; \
2 errors in the map or in the command.")]
pub(crate) struct Serve {
    #[command(flatten)]
    map: MapFile,

    /// Address to listen on: 127.0.0.1:8080, localhost:8080, an IPv6 address in brackets with a
    /// port, or all IPv4 addresses with :8080. Port 0 is any free port, which the log names.
    /// With --tls-cert it is for HTTPS, unless it begins with http://. Repeatable.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", value_parser = address::listener)]
    listen: Vec<(Option<Protocol>, SocketAddr)>,

    /// Address on which HTTP is redirected to HTTPS. Repeatable.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "tls_cert", value_parser = address::listen)]
    redirect_http: Vec<SocketAddr>,

    /// Certificate for TLS (PEM), followed by the intermediate certificates. It is reloaded when it
    /// changes. Repeatable, each with its key: clients get the first one that is valid for the
    /// host.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Vec<PathBuf>,

    /// Private key of the certificate (PEM). Repeatable, in the order of the certificates.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Vec<PathBuf>,

    /// Header in which a proxy in front of this one passes the client's address, such as
    /// cf-connecting-ip or x-forwarded-for. It is accepted only from --trusted-proxy. Default: the
    /// address of the connection is the client's.
    #[arg(long, value_name = "NAME", value_parser = header_name)]
    client_ip_header: Option<http::HeaderName>,

    /// Network of the proxies in front of this one. Repeatable.
    #[arg(long, value_name = "NETWORK", default_values = ["127.0.0.0/8", "::1/128"], value_parser = address::network)]
    trusted_proxy: Vec<IpNet>,

    /// Scheme that clients use, if a proxy in front of this one terminates TLS. Default: the scheme
    /// of the connection.
    #[arg(long, value_name = "SCHEME")]
    public_scheme: Option<Scheme>,

    /// Close a client's connection that is idle for this long before a request, within one, or
    /// while a response waits to be read. WebSockets and slow servers are not affected
    /// (`retry.timeout` bounds these).
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    idle_timeout: Duration,

    /// Abort a response if its server sends nothing for this long within the body.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    upstream_idle_timeout: Duration,

    /// Log events of this level and above. `debug` includes every failed probe.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Level,

    /// Format of the log.
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    log_format: Format,

    /// Where to log requests: `off`, `stdout` or `-`, or a file to append to.
    #[arg(long, value_name = "FILE", default_value = "stdout")]
    access_log: PathBuf,

    /// Wait this long for requests in flight when the process stops.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    drain_timeout: Duration,

    /// Largest headers of a request, 8KiB to 16MiB. Larger ones are rejected with 431.
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = header_size)]
    max_header_size: usize,

    /// Largest number of client connections, and of requests in flight. More of them wait. The
    /// limit of open files may allow fewer.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = at_least_one)]
    max_connections: usize,

    /// Largest number of connections per client address (IPv6: per /64). As many again wait, and
    /// more are closed. Trusted proxies are exempt. Default: 256, and no limit for private
    /// networks.
    #[arg(long, value_name = "NUMBER", value_parser = at_least_one)]
    max_connections_per_client: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Text,
}

impl Serve {
    pub(crate) fn run(self) -> ExitCode {
        if input::is_stdio(self.map.path()) {
            eprintln!("error: cannot serve standard input: the map is reloaded when it changes");
            eprintln!("  hint: write it to a file and name that by `-f FILE`");
            return ExitCode::from(2);
        }
        if self.tls_cert.len() != self.tls_key.len() {
            let (certificates, keys) = (self.tls_cert.len(), self.tls_key.len());
            eprintln!("error: {certificates} of --tls-cert, but {keys} of --tls-key");
            eprintln!("  hint: give each certificate its key, in the same order");
            return ExitCode::from(2);
        }
        let is_https = |(protocol, _): &(Option<Protocol>, _)| *protocol == Some(Protocol::Https);
        if self.tls_cert.is_empty() && self.listen.iter().any(is_https) {
            eprintln!("error: --listen https:// needs a certificate");
            eprintln!("  hint: add `--tls-cert FILE --tls-key FILE`");
            return ExitCode::from(2);
        }
        let inputs = self.tls_cert.iter().chain(&self.tls_key).map(PathBuf::as_path).chain([self.map.path()]);
        if inputs.into_iter().any(|input| input::is_same_file(input, &self.access_log)) {
            eprintln!("error: --access-log {} would write to an input", self.access_log.display());
            return ExitCode::from(2);
        }
        let format = match self.log_format {
            Format::Json => LogFormat::Json,
            Format::Text => LogFormat::Text,
        };
        let level = match self.log_level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
        };
        let log = LogWriter::new(stdout(), format);
        let access_log = match access_log(&self.access_log, format, &log) {
            Ok(access_log) => access_log,
            Err(error) => {
                eprintln!("error: cannot open {}: {error}", self.access_log.display());
                return ExitCode::FAILURE;
            }
        };
        LogLayer::new(log.clone(), level).install();
        let code = self.serve(access_log.clone());
        log.flush();
        access_log.iter().for_each(LogWriter::flush);
        code
    }

    fn serve(self, access_log: Option<LogWriter>) -> ExitCode {
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("error: cannot start: {error}");
                return ExitCode::FAILURE;
            }
        };
        match runtime.block_on(tunnel_balancer_native::serve(self.options(), access_log)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error @ (StartError::Configuration(_) | StartError::Tls(_))) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn options(self) -> Options {
        let default = if self.tls_cert.is_empty() { Protocol::Http } else { Protocol::Https };
        let listeners = self.listen.iter().map(|(protocol, address)| (protocol.unwrap_or(default), *address));
        let redirects = self.redirect_http.iter().map(|address| (Protocol::Redirect, *address));
        let listen = listeners.chain(redirects).map(|(protocol, address)| Listen { address, protocol }).collect();
        let files = self.tls_cert.into_iter().zip(self.tls_key);
        let tls = files.map(|(certificates, key)| TlsFiles { certificates, key }).collect();
        Options {
            file: self.map.path().to_owned(),
            listen,
            tls,
            trusted: TrustedProxies { header: self.client_ip_header, networks: self.trusted_proxy },
            public_scheme: self.public_scheme.map(|scheme| match scheme {
                Scheme::Http => "http",
                Scheme::Https => "https",
            }),
            limits: Limits {
                idle: self.idle_timeout,
                upstream_idle: self.upstream_idle_timeout,
                drain: self.drain_timeout,
                header_size: self.max_header_size,
                connections: self.max_connections,
                connections_per_client: self.max_connections_per_client,
            },
        }
    }
}

/// Opens the access log. `None`: it is off.
fn access_log(target: &Path, format: LogFormat, log: &LogWriter) -> io::Result<Option<LogWriter>> {
    match target.to_str() {
        Some("off") => Ok(None),
        Some("stdout" | "-") => Ok(Some(log.clone())),
        _ => {
            let file = OpenOptions::new().create(true).append(true).open(target)?;
            Ok(Some(LogWriter::new(file, format)))
        }
    }
}

fn header_name(text: &str) -> Result<http::HeaderName, String> {
    text.parse().map_err(|_| "expected the name of a header".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = tunnel_balancer_config::parse_duration(text).filter(|duration| !duration.is_zero());
    read.ok_or_else(|| "expected a duration, such as 500ms, 30s or 5m".to_owned())
}

fn header_size(text: &str) -> Result<usize, String> {
    let read = tunnel_balancer_config::parse_size(text).and_then(|bytes| usize::try_from(bytes).ok());
    let in_range = read.filter(|bytes| (8 * 1024..=16 * 1024 * 1024).contains(bytes));
    in_range.ok_or_else(|| "expected a size from 8KiB to 16MiB".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a number of at least 1".to_owned())
}
