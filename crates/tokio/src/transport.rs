//! Connections to servers with the same TLS settings.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::HOST;
use http::uri::Scheme;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Builder, Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tunnel_balancer_core::ServerTls;

use crate::connection_auth;
use crate::connector::TcpConnector;
use crate::error;
use crate::h2_streams::StreamSlots;
use crate::request_body::RequestBody;
use crate::server_tls::{client_config, server_name};

/// Connection pools for all servers with the same TLS settings.
#[derive(Clone, Debug)]
pub struct Transport {
    /// Pools that use HTTP/2 if the server offers it, which needs TLS. Their number only grows.
    pools: Arc<Mutex<Vec<Arc<Connections>>>>,
    slots: StreamSlots,
    /// The connector of these pools.
    any: Connector,
    /// The settings of these pools.
    settings: Builder,
    /// The pool for HTTP/1.1: requests without TLS, with their own `Host`, and WebSockets.
    http1: Connections,
}

pub(crate) type Connections = Client<Connector, RequestBody>;
type Connector = HttpsConnector<TcpConnector>;

impl Transport {
    /// The connect timeout. It is shorter than the core's response timeouts, so that a machine that
    /// is off is distinguished from a slow one.
    const CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);

    /// The time for which an idle connection is kept. Many servers close it after 5 s (the default
    /// of Node and Apache), and a request that is sent at that moment is lost.
    const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

    /// The HTTP/2 flow-control window of a response of the first pool, in bytes: enough for 25 MB/s
    /// at 20 ms.
    const WIDE_WINDOW: u32 = 512 * 1024;

    /// The window of the other pools: with thousands of responses that are not read, the memory
    /// stays bounded.
    const NARROW_WINDOW: u32 = 16 * 1024;

    /// The maximum number of header fields of an HTTP/1 response. Their total size is limited to
    /// 400 KB.
    const RESPONSE_FIELDS: usize = 512;

    /// How often a request is sent again that a server did not process.
    const RESENDS: u32 = 5;

    /// Creates pools without connections. They keep at most `max_idle` idle ones to a server.
    ///
    /// # Errors
    /// If certificates cannot be read. The message names the file.
    pub fn new(tls: &ServerTls, max_idle: usize) -> Result<Self, String> {
        let tcp = TcpConnector::new(Self::CONNECT_TIMEOUT);
        let config = client_config(tls)?;
        let name = tls.server_name.as_deref().map(server_name).transpose()?;
        let https = || {
            let https = HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_or_http();
            match &name {
                Some(name) => https.with_server_name_resolver(FixedServerNameResolver::new(name.clone())),
                None => https,
            }
        };
        let any = https().enable_all_versions().wrap_connector(tcp.clone());
        let http1 = https().enable_http1().wrap_connector(tcp);
        let mut client = Client::builder(TokioExecutor::new());
        client.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(Self::POOL_IDLE_TIMEOUT);
        client.pool_max_idle_per_host(max_idle);
        // Detects connections that a router has dropped, before requests and probes are lost on
        // them.
        client.http2_keep_alive_interval(Duration::from_secs(10)).http2_keep_alive_timeout(Duration::from_secs(5));
        client.http2_keep_alive_while_idle(true);
        client.http1_preserve_header_case(true);
        // Accepts the syntax that browsers and other proxies accept. An error would count as a
        // failure of the server.
        client.http1_max_headers(Self::RESPONSE_FIELDS);
        client.http1_allow_spaces_after_header_name_in_responses(true);
        client.http1_allow_obsolete_multiline_headers_in_responses(true);
        let http1 = client.build(http1);
        Ok(Self { any, http1, settings: client, pools: Arc::default(), slots: StreamSlots::default() })
    }

    /// Sends a request over HTTP/1.1 or HTTP/2. The extensions of the response contain its stream
    /// slot. A request that the server did not process is sent again on another connection.
    ///
    /// A request with its own `Host` is sent over HTTP/1.1: with HTTP/2, the host is that of the
    /// URL.
    pub async fn send(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, Error> {
        if request.uri().scheme() != Some(&Scheme::HTTPS) || request.headers().contains_key(HOST) {
            return self.send_http1(request).await;
        }
        if request.body().is_replayable() {
            for _ in 0..Self::RESENDS {
                match self.send_once(request.clone()).await {
                    Err(error) if error::is_unprocessed(&error) => {}
                    sent => return sent,
                }
            }
        }
        self.send_once(request).await
    }

    async fn send_once(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, Error> {
        let Some(server) = request.uri().authority() else { return self.send_http1(request).await };
        let mut slot = self.slots.take(server);
        slot.wait().await;
        let mut response = connection_auth::send(&self.pool(slot.pool), request, || slot.on_connected()).await?;
        response.extensions_mut().insert(Arc::new(slot));
        Ok(response)
    }

    /// Sends a request over HTTP/1.1.
    pub async fn send_http1(&self, request: Request<RequestBody>) -> Result<Response<Incoming>, Error> {
        connection_auth::send(&self.http1, request, || ()).await
    }

    fn pool(&self, number: usize) -> Arc<Connections> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        while pools.len() <= number {
            let window = if pools.is_empty() { Self::WIDE_WINDOW } else { Self::NARROW_WINDOW };
            let mut settings = self.settings.clone();
            settings.http2_initial_stream_window_size(window);
            // The sum of its streams, so that clients that do not read cannot block others.
            settings.http2_initial_connection_window_size(StreamSlots::STREAMS_PER_CONNECTION as u32 * window);
            pools.push(Arc::new(settings.build(self.any.clone())));
        }
        Arc::clone(&pools[number])
    }
}
