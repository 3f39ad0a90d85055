//! `tunnel-balancer serve`: a reverse proxy on this machine.

use std::io::stdout;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use tunnel_balancer_native::{Limits, Log, Options, StartError, TlsFiles, TrustedProxies};

/// Serve the hosts of a services.yaml from this machine, as a reverse proxy.
///
/// The same file and the same decisions as in the Worker: who is asked, when another server is
/// tried, who is left out. The file is read again when it changes; mistakes in it are logged, and
/// the last good one stays in use.
///
/// The log goes to stdout, one JSON object a line. SIGTERM and SIGINT end the program when what
/// runs has come to its end (--drain-timeout at most; a second signal cuts that short), SIGHUP has
/// file and certificate read again, SIGUSR1 has traffic return where `failback: manual` holds it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer serve services.yaml
  tunnel-balancer serve services.yaml --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
  Behind cloudflared on the same machine:
  tunnel-balancer serve services.yaml --client-ip-header cf-connecting-ip --public-scheme https

Exit codes: 0 ended when told to; 1 cannot listen, or another refusal of the machine; 2 mistakes in the file or the command.")]
pub(crate) struct Serve {
    /// The services and their servers.
    #[arg(default_value = "services.yaml")]
    file: PathBuf,

    /// Address to listen on; may be given more than once. Port 0: any free one, named in the log.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: Vec<SocketAddr>,

    /// Speak TLS, with this certificate (PEM, with those up to a root behind it).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Header in which a proxy in front of this one names the client, such as cf-connecting-ip or
    /// x-forwarded-for. It is believed from --trust alone; without this, from nobody.
    #[arg(long, value_name = "NAME", value_parser = header_name)]
    client_ip_header: Option<http::HeaderName>,

    /// Where that proxy is; may be given more than once.
    #[arg(long, value_name = "NETWORK", default_values = ["127.0.0.0/8", "::1/128"], value_parser = network)]
    trust: Vec<IpNet>,

    /// What clients use when a proxy in front of this one ends their TLS. Default: what this one
    /// speaks.
    #[arg(long, value_name = "SCHEME")]
    public_scheme: Option<Scheme>,

    /// Close connections of clients that are silent for so long before or in a request, or do not
    /// take an answer. It does not end WebSockets, nor the wait for a slow server (`retry: timeout`
    /// does).
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    idle_timeout: Duration,

    /// Cut an answer off when its server is silent for so long in the middle of it.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    answer_idle_timeout: Duration,

    /// When told to end: how long to wait for what runs.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    drain_timeout: Duration,

    /// Largest headers of a request, 8KiB to 16MiB; larger ones are answered with 431.
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = header_size)]
    max_header_size: usize,

    /// Connections at a time. More wait.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = at_least_one)]
    max_connections: usize,

    /// Connections of one client at a time (IPv6: of one /64). More are closed. Trusted proxies may
    /// have any number.
    #[arg(long, value_name = "NUMBER", default_value_t = 256, value_parser = at_least_one)]
    max_connections_per_client: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scheme {
    Http,
    Https,
}

impl Serve {
    pub(crate) fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("error: cannot start: {error}");
                return ExitCode::FAILURE;
            }
        };
        match runtime.block_on(tunnel_balancer_native::serve(self.options(), Log::to(stdout()))) {
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
        Options {
            file: self.file,
            listen: self.listen,
            tls: self.tls_cert.zip(self.tls_key).map(|(certificates, key)| TlsFiles { certificates, key }),
            trusted: TrustedProxies { header: self.client_ip_header, networks: self.trust },
            public_scheme: self.public_scheme.map(|scheme| match scheme {
                Scheme::Http => "http",
                Scheme::Https => "https",
            }),
            limits: Limits {
                idle: self.idle_timeout,
                answer_idle: self.answer_idle_timeout,
                drain: self.drain_timeout,
                header_size: self.max_header_size,
                connections: self.max_connections,
                connections_per_client: self.max_connections_per_client,
            },
        }
    }
}

fn header_name(text: &str) -> Result<http::HeaderName, String> {
    text.parse().map_err(|_| "not the name of a header".to_owned())
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| "write an address or a network such as 10.0.0.0/8".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = tunnel_balancer_config::parse_duration(text).filter(|duration| !duration.is_zero());
    read.ok_or_else(|| "write a time such as 500ms, 30s or 5m".to_owned())
}

fn header_size(text: &str) -> Result<usize, String> {
    let read = tunnel_balancer_config::parse_size(text).and_then(|bytes| usize::try_from(bytes).ok());
    let in_range = read.filter(|bytes| (8 * 1024..=16 * 1024 * 1024).contains(bytes));
    in_range.ok_or_else(|| "write a size from 8KiB to 16MiB".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "write a number from 1".to_owned())
}
