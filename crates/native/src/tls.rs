//! TLS for clients: certificates from PEM files, selected by the host that the client names.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tunnel_balancer_tokio::host::{parse_certificates, read_pem};

use crate::options::TlsFiles;
use crate::settled::Settled;

/// The certificates of the listeners, and their files.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: Vec<TlsFiles>,
    /// The contents of each pair of files, or the error of reading them.
    contents: Settled<Vec<Result<Pem, String>>>,
}

/// A certificate and its key in PEM format.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pem {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

impl Certificates {
    /// Reads the files for the first time. `None` without files.
    ///
    /// # Errors
    /// If a file cannot be read or is invalid. The message names the file.
    pub(crate) fn open(files: Vec<TlsFiles>) -> Result<(Self, Option<TlsAcceptor>), String> {
        let certificates = Self { contents: Settled::new(read(&files)), files };
        let acceptor = if certificates.files.is_empty() { None } else { Some(certificates.acceptor()?) };
        Ok((certificates, acceptor))
    }

    /// Reads the files. Returns an acceptor if their contents changed and have settled.
    pub(crate) fn poll(&mut self) -> Option<Result<TlsAcceptor, String>> {
        self.contents.poll(read(&self.files)).then(|| self.acceptor())
    }

    /// Reads the files and returns an acceptor, changed or not. `None` without files.
    pub(crate) fn reload(&mut self) -> Option<Result<TlsAcceptor, String>> {
        self.contents.reload(read(&self.files));
        (!self.files.is_empty()).then(|| self.acceptor())
    }

    /// Returns the paths of the certificates.
    pub(crate) fn name(&self) -> String {
        self.files.iter().map(|files| files.certificates.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    fn acceptor(&self) -> Result<TlsAcceptor, String> {
        let pairs = self.files.iter().zip(self.contents.applied());
        let keys = pairs.map(|(files, pem)| certified_key(files, pem.as_ref().map_err(Clone::clone)?));
        let keys = BySni(keys.collect::<Result<_, String>>()?);
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(keys));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn read(files: &[TlsFiles]) -> Vec<Result<Pem, String>> {
    let pem = |files: &TlsFiles| {
        Ok(Pem { certificates: read_pem("certificate", &files.certificates)?, key: read_pem("key", &files.key)? })
    };
    files.iter().map(pem).collect()
}

fn certified_key(files: &TlsFiles, pem: &Pem) -> Result<Arc<CertifiedKey>, String> {
    let (certificates_of, key_of) = (files.certificates.display(), files.key.display());
    if is_encrypted(&pem.key) {
        return Err(format!("the key {key_of} is encrypted: write it without a passphrase, with `openssl pkey`"));
    }
    let certificates = parse_certificates(&pem.certificates, &files.certificates)?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            format!("no key found in {key_of}: expected a PEM block -----BEGIN PRIVATE KEY-----")
        }
        error => format!("cannot read the key {key_of}: {error}"),
    })?;
    let key = CertifiedKey::from_der(certificates, key, &ring::default_provider()).map_err(|error| match error {
        Error::InconsistentKeys(_) => format!("the key {key_of} does not belong to the certificate {certificates_of}"),
        error => format!("cannot use the certificate {certificates_of} with the key {key_of}: {error}"),
    })?;
    Ok(Arc::new(key))
}

/// Returns whether a file in PEM format has a key with a passphrase, in either of its formats.
fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// Selects the certificate by the host that the client names, and by the signatures that it
/// supports.
#[derive(Debug)]
struct BySni(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_supported = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let supported = || self.0.iter().filter(is_supported);
        let named = hello.server_name().and_then(|host| {
            let host = ServerName::try_from(host).ok()?;
            supported().find(|key| is_valid_for(key, &host))
        });
        named.or_else(|| supported().next()).cloned()
    }
}

fn is_valid_for(key: &CertifiedKey, host: &ServerName<'_>) -> bool {
    let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| verify_server_name(&certificate, host).is_ok())
}
