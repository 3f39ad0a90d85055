//! A self-signed certificate, and clients that trust only it.

use std::convert::Infallible;
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::server::conn as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::{NamedTempFile, TempDir};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tunnel_balancer_tests::within;

/// A certificate and its key, as files.
pub(super) struct Files {
    host: String,
    der: CertificateDer<'static>,
    certificate: String,
    key: String,
    _directory: TempDir,
}

impl Files {
    pub(super) fn new(host: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("tunnel-balancer-").tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (certificate, key) = (path("certificate.pem"), path("key.pem"));
        let der = CertificateDer::from(Vec::new());
        let mut files = Self { host: host.to_owned(), der, certificate, key, _directory: directory };
        files.renew();
        files
    }

    /// Puts another certificate and key in their place.
    pub(super) fn renew(&mut self) {
        let own = rcgen::generate_simple_self_signed([self.host.clone()]).expect("a certificate");
        fs::write(&self.certificate, own.cert.pem()).expect("a directory of our own");
        fs::write(&self.key, own.signing_key.serialize_pem()).expect("a directory of our own");
        self.der = own.cert.der().clone();
    }

    /// Makes the files useless.
    pub(super) fn spoil(&self) {
        fs::write(&self.certificate, "no certificate").expect("a directory of our own");
    }

    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    pub(super) fn arguments(&self) -> [&str; 4] {
        ["--tls-cert", &self.certificate, "--tls-key", &self.key]
    }
}

/// An authority of a home network, with a certificate of its own in a file.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

/// A certificate and its key, as PEM.
pub(super) struct Certificate {
    certificate: String,
    key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let file = NamedTempFile::new().expect("a file");
        fs::write(file.path(), issuer.pem()).expect("a file of our own");
        Self { issuer, file }
    }

    /// Returns the path of its certificate.
    pub(super) fn file(&self) -> String {
        self.file.path().display().to_string()
    }

    /// Returns its own certificate.
    pub(super) fn certificate(&self) -> Certificate {
        Certificate { certificate: self.issuer.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// Returns a certificate for a host.
    pub(super) fn certify(&self, host: &str) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([host.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Certificate { certificate, key: key.serialize_pem() }
    }
}

/// A client over TLS, with the protocol that it negotiated.
#[derive(Clone)]
pub(super) enum TlsClient {
    Http1(Arc<Mutex<http1::SendRequest<Full<Bytes>>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl TlsClient {
    /// Connects and speaks `alpn`, which the other side has to choose.
    pub(super) async fn connect(addr: SocketAddr, files: &Files, alpn: &str) -> Result<Self, Box<dyn Error>> {
        Self::connect_to(addr, files, &files.host, alpn).await
    }

    /// Connects and names this host.
    pub(super) async fn connect_to(
        addr: SocketAddr,
        files: &Files,
        host: &str,
        alpn: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let stream = TokioIo::new(tls_to(addr, files, host, alpn).await?);
        if alpn == "h2" {
            let (client, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            return Ok(Self::Http2(client));
        }
        let (client, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self::Http1(Arc::new(Mutex::new(client))))
    }

    pub(super) async fn send(&mut self, mut request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(client) => {
                let target = request.uri().path().parse().expect("a path");
                *request.uri_mut() = target;
                request.headers_mut().insert("host", "app.test".parse().expect("a host"));
                within("a response", client.lock().await.send_request(request)).await
            }
            Self::Http2(client) => {
                within("room for a request", client.ready()).await?;
                within("a response", client.send_request(request)).await
            }
        }
    }
}

/// A connection after its handshake.
pub(super) async fn tls(addr: SocketAddr, files: &Files, alpn: &str) -> Result<TlsStream<TcpStream>, Box<dyn Error>> {
    tls_to(addr, files, &files.host, alpn).await
}

async fn tls_to(
    addr: SocketAddr,
    files: &Files,
    host: &str,
    alpn: &str,
) -> Result<TlsStream<TcpStream>, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(files.der.clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.into()];
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = within("a TLS handshake", handshake).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
    Ok(stream)
}

pub(super) fn get(target: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://app.test{target}")).body(Full::default()).expect("a request")
}

pub(super) fn post(target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("https://app.test{target}")).body(Full::new(body.into())).expect("a request")
}

/// Requests that the server takes at a time on one connection of HTTP/2, as many as the RFC asks
/// for at least.
pub(super) const STREAMS: u32 = 100;

/// A server over TLS with HTTP/2. `/film` never ends, `/events` sends one event and stalls, and
/// every other response is the version of the request.
pub(super) async fn serve_http2(files: &Files) -> u16 {
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
    serve_with(files.der.clone(), key).await
}

/// The same with this certificate.
pub(super) async fn serve_http2_with(certificate: &Certificate) -> u16 {
    let der = CertificateDer::from_pem_slice(certificate.certificate.as_bytes()).expect("a certificate");
    serve_with(der, PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).expect("a key")).await
}

async fn serve_with(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = acceptor_with(certificate, key);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let (stream, service) = (TokioIo::new(stream), service_fn(film));
                // It ends with its client.
                let _ = if is_http2 {
                    let mut server = server::http2::Builder::new(TokioExecutor::new());
                    server.max_concurrent_streams(STREAMS).serve_connection(stream, service).await
                } else {
                    server::http1::Builder::new().serve_connection(stream, service).await
                };
            });
        }
    });
    port
}

/// Returns the acceptor of a server with HTTP/2.
pub(super) fn acceptor(files: &Files) -> TlsAcceptor {
    acceptor_with(files.der.clone(), PrivateKeyDer::from_pem_file(&files.key).expect("a key"))
}

fn acceptor_with(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
    let mut config = config.with_single_cert(vec![certificate], key).expect("a certificate that fits");
    config.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
    TlsAcceptor::from(Arc::new(config))
}

async fn film(request: Request<Incoming>) -> Result<Response<Film>, Infallible> {
    let (text, then) = match request.uri().path() {
        "/film" => (Bytes::from(vec![b'x'; 16 * 1024]), Then::Again),
        "/events" => ("data: hello\n\n".into(), Then::Silence),
        _ => (format!("{:?}", request.version()).into(), Then::End),
    };
    Ok(Response::new(Film { text, then, is_sent: false }))
}

/// A string, and the rest of the body.
struct Film {
    text: Bytes,
    then: Then,
    is_sent: bool,
}

#[derive(Clone, Copy)]
enum Then {
    Again,
    Silence,
    End,
}

impl Body for Film {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.then {
            Then::End if self.is_sent => Poll::Ready(None),
            Then::Silence if self.is_sent => Poll::Pending,
            _ => {
                self.is_sent = true;
                Poll::Ready(Some(Ok(Frame::data(self.text.clone()))))
            }
        }
    }
}
