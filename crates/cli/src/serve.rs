//! `tunnel-balancer serve`: a reverse proxy on this machine.

use std::fs::OpenOptions;
use std::io::{self, stdout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use tunnel_balancer_native::{
    Admin, Limits, Listen, LogFormat, LogLayer, LogWriter, Options, Protocol, PushTarget, PushUrl, StartError,
    TlsFiles, Token, TrustedProxies,
};

use crate::log_options::LogOptions;
use crate::map_file::MapFile;
use crate::token::TOKEN;
use crate::{address, duration, input, monitor_key};

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
    /// port, or all IPv4 addresses with :8080. Port 0 is any free port, which the log names. With
    /// --tls-cert it is for HTTPS, unless it begins with http://. Repeatable.
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
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    idle_timeout: Duration,

    /// Abort a response if its server sends nothing for this long within the body.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time)]
    upstream_idle_timeout: Duration,

    #[command(flatten)]
    log: LogOptions,

    /// Where to log requests: `off`, `stdout` or `-`, or a file to append to.
    #[arg(long, value_name = "FILE", default_value = "stdout")]
    access_log: PathBuf,

    /// Wait this long for requests in flight when the process stops.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
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

    /// Address for `tunnel-balancer ctl`, which changes servers at run time: 127.0.0.1:8081. With
    /// the environment variable BALANCER_CONTROL_TOKEN, requests need this token. Without it, the
    /// address has to be one of this machine.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address::listen)]
    admin: Option<SocketAddr>,

    /// File in which changes by `tunnel-balancer ctl`, and the history, survive a restart.
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,

    /// Share health with a Worker, and with all machines that share it: any URL of the Worker, such
    /// as `https://app.example.com`. BALANCER_MONITOR_KEY in the environment is its secret.
    #[arg(long, value_name = "URL")]
    monitor: Option<PushUrl>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scheme {
    Http,
    Https,
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
        if let Err(error) = self.check_listeners() {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
        let admin = match self.admin.map(admin).transpose() {
            Ok(admin) => admin,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let inputs = self.tls_cert.iter().chain(&self.tls_key).map(PathBuf::as_path).chain([self.map.path()]);
        if inputs.into_iter().any(|input| input::is_same_file(input, &self.access_log)) {
            eprintln!("error: --access-log {} would write to an input", self.access_log.display());
            return ExitCode::from(2);
        }
        let monitor = match self.monitor.clone().map(monitor_key::target).transpose() {
            Ok(monitor) => monitor,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let format = self.log.format();
        let level = self.log.level();
        let log = LogWriter::new(stdout(), format);
        let access_log = match access_log(&self.access_log, format, &log) {
            Ok(access_log) => access_log,
            Err(error) => {
                eprintln!("error: cannot open {}: {error}", self.access_log.display());
                return ExitCode::FAILURE;
            }
        };
        LogLayer::new(log.clone(), level).install();
        self.serve(admin, monitor, log, access_log)
    }

    fn check_listeners(&self) -> Result<(), String> {
        let is_https = |(protocol, _): &(Option<Protocol>, _)| *protocol == Some(Protocol::Https);
        if self.tls_cert.is_empty() && self.listen.iter().any(is_https) {
            return Err(
                "error: --listen https:// needs a certificate\n  hint: add `--tls-cert FILE --tls-key FILE`".to_owned()
            );
        }
        let is_http = |(protocol, _): &(Option<Protocol>, _)| *protocol == Some(Protocol::Http);
        if !self.tls_cert.is_empty() && self.listen.iter().all(is_http) {
            return Err(
                "error: no listener uses --tls-cert\n  hint: add `--listen https://:443`, or remove it".to_owned()
            );
        }
        // Port 0 is another port each time.
        let listen = self.listen.iter().map(|(_, address)| address).chain(&self.redirect_http).chain(&self.admin);
        let mut listen: Vec<&SocketAddr> = listen.filter(|address| address.port() != 0).collect();
        listen.sort();
        // The kernel would accept both, and distribute the connections among them.
        match listen.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                Err(format!("error: two listeners have the address {}\n  hint: choose another port", pair[0]))
            }
            None => Ok(()),
        }
    }

    fn serve(
        self,
        admin: Option<Admin>,
        monitor: Option<PushTarget>,
        log: LogWriter,
        access_log: Option<LogWriter>,
    ) -> ExitCode {
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("error: cannot start: {error}");
                return ExitCode::FAILURE;
            }
        };
        let missing = !self.map.path().exists();
        let options = self.options(admin, monitor);
        let served = runtime.block_on(tunnel_balancer_native::serve(options, log, access_log));
        // A lookup of the system's resolver cannot be canceled, and may take many seconds.
        runtime.shutdown_background();
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error @ StartError::Configuration(_)) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
            Err(error) => {
                let hint = hint(&error, missing).map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
                eprintln!("error: {error}{hint}");
                let is_input = matches!(error, StartError::File(_) | StartError::Tls(_));
                if is_input { ExitCode::from(2) } else { ExitCode::FAILURE }
            }
        }
    }

    fn options(self, admin: Option<Admin>, monitor: Option<PushTarget>) -> Options {
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
            admin,
            state_file: self.state_file,
            monitor,
        }
    }
}

/// Returns how to correct an error, if that is known. `missing`: there is no map.
pub(crate) fn hint(error: &StartError, missing: bool) -> Option<&'static str> {
    match error {
        StartError::File(_) if missing => Some("create it with `tunnel-balancer init`, or name another by `-f FILE`"),
        StartError::Listen(address, error) => match error.kind() {
            io::ErrorKind::PermissionDenied if address.port() < 1024 => {
                Some("ports below 1024 need the capability CAP_NET_BIND_SERVICE: see docs/serve.md")
            }
            io::ErrorKind::AddrInUse => Some("stop the program that listens there, or choose another port"),
            _ => None,
        },
        _ => None,
    }
}

/// Reads the token of the admin listener.
fn admin(address: SocketAddr) -> Result<Admin, String> {
    let token = std::env::var(TOKEN).ok().filter(|token| !token.trim().is_empty());
    let token = token.map(|token| Token::new(&token)).transpose();
    let hint = format!("set a longer one: `export {TOKEN}=$(openssl rand -hex 32)`");
    let token = token.map_err(|error| format!("error: {TOKEN}: {error}\n  hint: {hint}"))?;
    if token.is_none() && !address.ip().is_loopback() {
        let hint =
            format!("set one: `export {TOKEN}=$(openssl rand -hex 32)`, or use an address such as 127.0.0.1:8081");
        return Err(format!("error: --admin {address} needs a token: other machines can reach it\n  hint: {hint}"));
    }
    Ok(Admin { address, token })
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

fn time(text: &str) -> Result<Duration, String> {
    let range = Duration::from_nanos(1)..=Duration::MAX;
    duration::within(text, range, "expected a duration, such as 500ms, 30s or 5m")
}

fn header_size(text: &str) -> Result<usize, String> {
    let read = tunnel_balancer_config::parse_size(text).and_then(|bytes| usize::try_from(bytes).ok());
    let in_range = read.filter(|bytes| (8 * 1024..=16 * 1024 * 1024).contains(bytes));
    in_range.ok_or_else(|| "expected a size from 8KiB to 16MiB".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a number of at least 1".to_owned())
}
