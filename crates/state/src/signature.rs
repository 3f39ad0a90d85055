//! Signatures of messages and headers: HMAC-SHA-256 with a secret that both sides know.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Returns the signature of a time and a body, in hexadecimal. A signature for one `purpose` is
/// invalid for others.
pub(crate) fn sign(key: &[u8], purpose: &str, time: u64, body: &[u8]) -> String {
    // HMAC accepts keys of any length, so this never fails.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(format!("tunnel-balancer {purpose}\0{time}\0").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns whether a signature is valid. Takes the same time for all signatures of one length.
pub(crate) fn is_valid(key: &[u8], purpose: &str, time: u64, body: &[u8], given: &str) -> bool {
    sign(key, purpose, time, body).as_bytes().ct_eq(given.as_bytes()).into()
}

/// Splits `t=TIME,v1=SIGNATURE`.
pub(crate) fn parse(text: &str) -> Option<(u64, &str)> {
    let (time, signature) = text.strip_prefix("t=")?.split_once(",v1=")?;
    Some((time.parse().ok()?, signature))
}
