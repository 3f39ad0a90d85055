//! One client connection: TLS, the version of HTTP, and its timeouts.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tunnel_balancer_core::Reason;
use tunnel_balancer_tokio::host::error;

use crate::body::ProxyBody;
use crate::connections::{ConnectionPermit, GuardedStream};
use crate::listener::Acceptor;
use crate::options::Protocol;
use crate::peer::Peer;
use crate::redirect;
use crate::unread;

type Client = Pin<Box<TimeoutStream<GuardedStream<TcpStream>>>>;

/// Serves a connection to its end.
pub(crate) async fn serve(
    acceptor: Arc<Acceptor>,
    stream: TcpStream,
    client: IpAddr,
    mut permit: ConnectionPermit,
    protocol: Protocol,
) {
    let idle = acceptor.limits.idle;
    if let Some(permit) = &mut permit.1
        && timeout(idle, permit.wait()).await.is_err()
    {
        let detail = "the client has too many connections: one waited for the idle timeout";
        acceptor.rejections.add(Reason::TooManyConnections, client, detail);
        return;
    }
    // A connection works without either option.
    let _ = stream.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    limit_unsent(&stream);
    let mut stream = TimeoutStream::new(GuardedStream { stream, _permit: permit });
    // Responses that are not read are found first.
    stream.set_write_timeout(Some(idle + 2 * unread::INTERVAL));
    let connection = Connection { acceptor, client };
    let stream = Box::pin(stream);
    // In boxes, so that a connection has memory only for its protocol.
    match protocol {
        Protocol::Http => Box::pin(connection.http1(stream, connection.service("http"))).await,
        Protocol::Https => Box::pin(connection.https(stream)).await,
        Protocol::Redirect => Box::pin(connection.http1(stream, redirect_service(&connection.acceptor))).await,
    }
}

/// Limits the data in the kernel that has not been sent. The kernel would buffer megabytes for a
/// fast client, and report progress only when a third of them has been read: a slow client would
/// look like one that reads nothing.
#[cfg(target_os = "linux")]
fn limit_unsent(stream: &TcpStream) {
    const UNSENT: u32 = 128 * 1024;

    // A connection works without it.
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

#[cfg(not(target_os = "linux"))]
fn limit_unsent(_: &TcpStream) {}

/// The requests of a connection.
trait HttpService:
    Service<Request<Incoming>, Response = Response<ProxyBody>, Error = Infallible, Future: Send + 'static>
{
}

impl<S> HttpService for S where
    S: Service<Request<Incoming>, Response = Response<ProxyBody>, Error = Infallible, Future: Send + 'static>
{
}

/// The context of a connection.
struct Connection {
    acceptor: Arc<Acceptor>,
    client: IpAddr,
}

impl Connection {
    async fn https(&self, mut stream: Client) {
        let acceptor = &self.acceptor;
        let Some(tls) = acceptor.tls.read().unwrap_or_else(PoisonError::into_inner).clone() else { return };
        let handshake = timeout(acceptor.limits.idle, async {
            if is_plain_http(&stream.get_ref().stream).await? {
                acceptor.rejections.add(Reason::PlainHttp, self.client, "plain HTTP on a listener for HTTPS");
                stream.write_all(PLAIN_HTTP_RESPONSE.as_bytes()).await?;
                // The request is read, because data that is not read resets the connection.
                let mut discarded = [0; 4096];
                let _ = stream.read(&mut discarded).await?;
                stream.shutdown().await?;
                return Ok(None);
            }
            tls.accept(stream).await.map(Some)
        });
        let mut stream = match acceptor.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(Some(stream)))) => stream,
            Some(Ok(Err(error))) if error::chain(&error).any(<dyn std::error::Error>::is::<rustls::Error>) => {
                return acceptor.rejections.add(Reason::TlsFailed, self.client, &error::describe(&error));
            }
            _ => return,
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            // Live clients respond to pings, which start after the HTTP/2 preface.
            let timeout = self.ping_interval() + acceptor.limits.idle;
            stream.get_mut().0.as_mut().set_read_timeout_pinned(Some(timeout));
            Box::pin(self.http2(stream)).await;
        } else {
            Box::pin(self.http1(stream, self.service("https"))).await;
        }
    }

    /// Serves HTTP/1.1 with upgrades. The version is not detected from the first bytes, because
    /// that wait would have no timeout.
    async fn http1(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: impl HttpService) {
        let (limits, stop) = (&self.acceptor.limits, &self.acceptor.stop);
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .preserve_header_case(true)
            // Also the keep-alive timeout between two requests.
            .header_read_timeout(limits.idle)
            .max_buf_size(limits.header_size);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let serving = async {
            let mut connection = pin!(connection.with_upgrades());
            let end = tokio::select! {
                end = connection.as_mut() => end,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            // The access log has the result of each request that reached a service.
            if let Err(error) = end
                && error.is_parse()
            {
                self.acceptor.rejections.add(Reason::BadRequest, self.client, &error::describe(&error));
            }
        };
        unread::run(serving, || self.acceptor.unread_timeout()).await;
    }

    /// Returns the interval of HTTP/2 pings to an idle client.
    fn ping_interval(&self) -> Duration {
        self.acceptor.limits.idle.min(Duration::from_secs(20))
    }

    async fn http2(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (proxy, limits, stop) = (&self.acceptor.proxy, &self.acceptor.limits, &self.acceptor.stop);
        let streams = Streams { acceptor: Arc::clone(&self.acceptor), active: Arc::new(watch::Sender::new(0)) };
        let mut active = streams.active.subscribe();
        let mut http = hyper::server::conn::http2::Builder::new(streams);
        http.timer(TokioTimer::new())
            .keep_alive_interval(self.ping_interval())
            .keep_alive_timeout(limits.idle)
            .max_concurrent_streams(proxy.shares().streams)
            .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX));
        let connection = http.serve_connection(TokioIo::new(stream), self.service("https"));
        let mut connection = pin!(connection);
        let end = tokio::select! {
            end = connection.as_mut() => end,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = idle(&mut active, limits.idle) => {
                connection.as_mut().graceful_shutdown();
                timeout(limits.idle, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = end
            && error::is_http2_violation(&error)
        {
            self.acceptor.rejections.add(Reason::BadRequest, self.client, &error::describe(&error));
        }
    }

    fn service(&self, scheme: &'static str) -> impl HttpService + use<> {
        let acceptor = Arc::clone(&self.acceptor);
        let peer = Peer { ip: self.client, scheme: self.acceptor.public_scheme.unwrap_or(scheme) };
        service_fn(move |request: Request<Incoming>| {
            let acceptor = Arc::clone(&acceptor);
            // In a box, so that an idle connection has no memory for a request.
            Box::pin(async move {
                let is_http1 = request.version() < Version::HTTP_2;
                let status = acceptor.status.respond_public(&request, peer.ip, &acceptor.rejections).await;
                let mut response = match status {
                    Some(response) => response,
                    None => acceptor.proxy.handle(request, peer).await,
                };
                if is_http1 && acceptor.closing.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok(response)
            })
        })
    }
}

fn redirect_service(
    acceptor: &Acceptor,
) -> impl Service<Request<Incoming>, Response = Response<ProxyBody>, Error = Infallible, Future: Send + 'static> + use<>
{
    let port = acceptor.https_port;
    service_fn(move |request| std::future::ready(Ok(redirect::respond(&request, port))))
}

/// The response to plain HTTP on a listener for HTTPS.
const PLAIN_HTTP_RESPONSE: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 57\r\nConnection: close\r\n\r\nThis port expects HTTPS: begin the address with https://\n";

/// Returns whether a connection begins with an HTTP method. TLS begins with the byte 22.
async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? > 0 && first[0].is_ascii_uppercase())
}

/// Waits until a connection has had no stream for this time.
async fn idle(active: &mut watch::Receiver<usize>, time: Duration) {
    loop {
        // The sender lives as long as the connection.
        let _ = active.wait_for(|active| *active == 0).await;
        if timeout(time, active.wait_for(|active| *active > 0)).await.is_err() {
            return;
        }
    }
}

/// The executor of HTTP/2 streams, each of which is a task.
#[derive(Clone)]
struct Streams {
    acceptor: Arc<Acceptor>,
    /// The number of streams of the connection.
    active: Arc<watch::Sender<usize>>,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (acceptor, active) = (Arc::clone(&self.acceptor), Active::new(&self.active));
        // Each function that takes it by value would need as much memory again.
        let stream = Box::pin(stream);
        self.acceptor.proxy.spawn(async move {
            unread::run(stream, || acceptor.unread_timeout()).await;
            drop(active);
        });
    }
}

/// One stream in the count of its connection.
struct Active(Arc<watch::Sender<usize>>);

impl Active {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_response_to_plain_http_is_right() {
        let (head, body) = PLAIN_HTTP_RESPONSE.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
