//! The random numbers of JavaScript. They are available only while a request is handled.

use worker::js_sys;

/// Returns 53 random bits.
pub(crate) fn bits() -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0.0..1.0 times 2^53 is in range")]
    let bits = (js_sys::Math::random() * (1_u64 << 53) as f64) as u64;
    bits
}
