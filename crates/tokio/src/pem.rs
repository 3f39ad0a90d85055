//! Certificates in PEM files.

use std::fs::OpenOptions;
use std::io::{self, Read};
#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Reads a file in PEM format; `what` names its content.
pub fn read_pem(what: &str, path: &Path) -> Result<Vec<u8>, String> {
    /// A certificate with its chain has some kilobytes.
    const MAX_BYTES: usize = 1024 * 1024;
    read_regular(path, MAX_BYTES).map_err(|error| format!("cannot read the {what} {}: {error}", path.display()))
}

/// Parses the certificates of a PEM file, of which there is at least one.
pub fn parse_certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = path.display();
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("cannot read the certificate {path}: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("no certificate found in {path}: expected a PEM block -----BEGIN CERTIFICATE-----"));
    }
    Ok(certificates)
}

/// Reads at most `limit` bytes of a regular file. A pipe would block the proxy until another
/// process writes to it.
pub fn read_regular(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    options.custom_flags(libc::O_NONBLOCK);
    let file = options.read(true).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
