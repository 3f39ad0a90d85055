//! TLS to servers: which certificates are accepted.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tunnel_balancer_core::{ServerTls, Service};

use crate::pem::{parse_certificates, read_pem};

/// Returns the settings of connections to a server. Reads the file of `ca`.
///
/// # Errors
/// If the file, or the root certificates of the machine, cannot be read. The message names the
/// file.
pub fn client_config(tls: &ServerTls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &tls.ca {
        None if !tls.insecure_skip_verify => builder
            .with_native_roots()
            .map_err(|error| format!("cannot read the root certificates of the machine: {error}"))?,
        ca => {
            let trusted = ca.as_ref().map(|path| Trusted::read(Path::new(path), &provider)).transpose()?;
            let algorithms = provider.signature_verification_algorithms;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier { trusted, algorithms }))
        }
    };
    Ok(builder.with_no_client_auth())
}

/// Returns why the certificates of a server of the service cannot be used, if that is so. The
/// message names the service, the server and the file.
pub fn certificate_error(service: &Service) -> Option<String> {
    let mut servers = service.servers().iter().filter(|server| server.tls != ServerTls::default());
    servers.find_map(|server| {
        let error = client_config(&server.tls).err()?;
        Some(format!("{}, server {}: {error}", service.name(), server.name))
    })
}

/// Returns the name that a certificate has to be for.
pub(crate) fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    ServerName::try_from(address.unwrap_or(name).to_owned()).map_err(|error| format!("invalid name {name:?}: {error}"))
}

/// The certificates of a file.
#[derive(Debug)]
struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    as_roots: Arc<WebPkiServerVerifier>,
}

impl Trusted {
    fn read(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let certificates = parse_certificates(&read_pem("certificate", path)?, path)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let added = roots.add(certificate.clone());
            added.map_err(|error| format!("invalid certificate in {}: {error}", path.display()))?;
        }
        let as_roots = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
            .build()
            .map_err(|error| format!("cannot use the certificates in {}: {error}", path.display()))?;
        Ok(Self { certificates, as_roots })
    }
}

/// Accepts the certificates that the operator trusts.
#[derive(Debug)]
struct Verifier {
    /// `None`: any certificate.
    trusted: Option<Trusted>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trusted {
            // `openssl req -x509` marks a certificate as that of an authority, which cannot be that
            // of a server otherwise.
            Some(trusted) if !trusted.certificates.iter().any(|own| own == end_entity) => {
                trusted.as_roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
