//! Errors and their causes.

use std::error::Error;
use std::{io, iter};

use hyper_util::client::legacy::Error as ClientError;
use rustls::CertificateError;
use tunnel_balancer_core::Failure;

/// Returns an error and all its causes, outermost first.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| {
        // The source of an `io::Error` is the source of the error inside it, which would be
        // skipped.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// Returns the known cause of a failed connection in a few words. `None` for any other cause.
pub fn cause(error: &(dyn Error + 'static)) -> Option<String> {
    chain(error).find_map(|error| {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            if matches!(tls, rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) {
                return Some("the server speaks plain HTTP: write `http://…` in its URL".to_owned());
            }
            return Some(format!("TLS: {}", tls_cause(tls)));
        }
        if error.to_string().starts_with("dns error") {
            return Some("DNS: the hostname has no address".to_owned());
        }
        let cause = match error.downcast_ref::<io::Error>()?.kind() {
            io::ErrorKind::UnexpectedEof if error.to_string() == "tls handshake eof" => {
                "the server closed the connection during the TLS handshake"
            }
            io::ErrorKind::ConnectionRefused => "connection refused",
            io::ErrorKind::ConnectionReset => "connection reset",
            io::ErrorKind::TimedOut => "connect timeout",
            _ => return None,
        };
        Some(cause.to_owned())
    })
}

/// Returns why a TLS handshake failed, with the setting that corrects it.
fn tls_cause(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(invalid) = error else { return error.to_string() };
    match invalid {
        // A bad signature: another authority has the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the issuer of the certificate is not trusted: set `tls.ca`".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            // A name is written as `DnsName("box.lan")`.
            let inner = |name: &String| {
                let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
                inner.trim_matches('"').to_owned()
            };
            let names = presented.iter().map(inner).collect::<Vec<_>>().join(", ");
            let (names, expected) = (if names.is_empty() { "no name" } else { &names }, expected.to_str());
            format!("the certificate is for {names}, not for {expected}: set `tls.server_name`")
        }
        // The library that verifies certificates is not a dependency of this crate.
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            "CaUsedAsEndEntity" => {
                "the certificate is self-signed, or that of an authority: set `tls.ca` to a file with it".to_owned()
            }
            "UnsupportedCertVersion" => "the certificate has version 1 of X.509: create one of version 3".to_owned(),
            _ => error.to_string(),
        },
        _ => error.to_string(),
    }
}

/// Returns an error and all its causes in one line.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Returns whether an HTTP/2 connection was closed because its client violated the protocol.
pub fn is_http2_violation(error: &(dyn Error + 'static)) -> bool {
    let is_violation = |error: &h2::Error| error.is_library() && error.is_go_away();
    chain(error).filter_map(|error| error.downcast_ref::<h2::Error>()).any(is_violation)
}

/// Returns whether the cause of an error is a lack of file descriptors, memory or ports on this
/// machine.
pub fn is_local(error: &(dyn Error + 'static)) -> bool {
    let code = |error: &(dyn Error + 'static)| error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    chain(error).filter_map(code).any(|code| EXHAUSTED.contains(&code))
}

#[cfg(unix)]
const EXHAUSTED: [i32; 5] = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL];

/// ERROR_NOT_ENOUGH_MEMORY, WSAEMFILE, WSAENOBUFS and WSAEADDRNOTAVAIL.
#[cfg(not(unix))]
const EXHAUSTED: [i32; 4] = [8, 10_024, 10_055, 10_049];

/// Classifies the error of a client. Without a connection nothing was delivered; after that it is
/// unknown, unless a response arrived that cannot be parsed.
pub(crate) fn failure(error: &(dyn Error + 'static)) -> Failure {
    let is_connect = |error: &(dyn Error + 'static)| {
        error.downcast_ref::<ClientError>().is_some_and(ClientError::is_connect)
            || error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    match chain(error).any(is_connect) {
        true if is_local(error) => Failure::Local,
        true => Failure::Connect,
        false if is_invalid_response(error) => Failure::InvalidResponse,
        false => Failure::ConnectionLost,
    }
}

/// Returns whether the cause of an error is a response whose head cannot be parsed.
pub(crate) fn is_invalid_response(error: &(dyn Error + 'static)) -> bool {
    chain(error).filter_map(|error| error.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse)
}

/// Returns whether the cause of an error is that a server did not process a request of HTTP/2: the
/// server refused it, or it is closing the connection and the stream is above its last one (RFC
/// 9113, section 8.7).
pub(crate) fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    let is_refused = |error: &h2::Error| error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let mut causes = chain(error).filter_map(|error| error.downcast_ref::<h2::Error>());
    causes.any(|error| error.is_remote() && is_refused(error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;
    use rustls::pki_types::ServerName;

    use super::*;

    /// An error with a cause, as the connectors make them.
    #[derive(Debug, thiserror::Error)]
    #[error("tcp open error")]
    struct Open(#[source] io::Error);

    /// An error of the library that verifies certificates.
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct WebPki(&'static str);

    #[test]
    fn plain_http_on_a_tls_connection_is_named() {
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        let cause = cause(&io::Error::other(plain)).unwrap();
        assert_eq!(cause, "the server speaks plain HTTP: write `http://…` in its URL");
        let other = self::cause(&io::Error::other(rustls::Error::DecryptError)).unwrap();
        assert!(other.starts_with("TLS: "), "{other}");
    }

    #[test]
    fn rejected_certificates_are_named_with_their_setting() {
        let other = |name: &'static str| CertificateError::Other(OtherError(Arc::new(WebPki(name))));
        let other_name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("10.0.0.1").unwrap(),
            presented: vec!["DnsName(\"box.lan\")".to_owned(), "IpAddress(10.0.0.2)".to_owned()],
        };
        let table = [
            (CertificateError::UnknownIssuer, "TLS: the issuer of the certificate is not trusted: set `tls.ca`"),
            (CertificateError::BadSignature, "TLS: the issuer of the certificate is not trusted: set `tls.ca`"),
            (
                other("CaUsedAsEndEntity"),
                "TLS: the certificate is self-signed, or that of an authority: set `tls.ca` to a file with it",
            ),
            (other("UnsupportedCertVersion"), "TLS: the certificate has version 1 of X.509: create one of version 3"),
            (other("BadDer"), "TLS: invalid peer certificate: Other(OtherError(WebPki(\"BadDer\")))"),
            (other_name, "TLS: the certificate is for box.lan, 10.0.0.2, not for 10.0.0.1: set `tls.server_name`"),
            (CertificateError::Expired, "TLS: the certificate has expired"),
            (CertificateError::Revoked, "TLS: invalid peer certificate: Revoked"),
        ];
        for (error, expected) in table {
            let error = rustls::Error::InvalidCertificate(error);
            assert_eq!(cause(&io::Error::other(error)).as_deref(), Some(expected));
        }
    }

    #[test]
    fn connections_that_end_during_the_tls_handshake_are_named() {
        let closed = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        assert_eq!(cause(&closed).as_deref(), Some("the server closed the connection during the TLS handshake"));
        let other = io::Error::new(io::ErrorKind::UnexpectedEof, "early eof");
        assert_eq!(cause(&other), None);
    }

    #[cfg(unix)]
    #[test]
    fn exhausted_resources_are_found_at_any_depth() {
        let os = io::Error::from_raw_os_error;
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS, libc::EADDRNOTAVAIL] {
            assert!(is_local(&os(code)), "{code}");
            assert!(is_local(&Open(os(code))), "{code}");
            assert!(is_local(&io::Error::other(os(code))), "{code}");
            assert!(is_local(&io::Error::other(Open(io::Error::other(os(code))))), "{code}");
        }
        for code in [libc::ECONNREFUSED, libc::ECONNRESET, libc::ETIMEDOUT, libc::ENETUNREACH] {
            assert!(!is_local(&Open(os(code))), "{code}");
        }
        assert!(!is_local(&io::Error::other("another error")));
    }
}
