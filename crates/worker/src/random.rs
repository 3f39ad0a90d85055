//! JavaScript's random numbers. Global scope has none: they are drawn while a request is answered.

use worker::js_sys;

/// 53 random bits.
pub(crate) fn bits() -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0.0..1.0 times 2^53 is in range")]
    let bits = (js_sys::Math::random() * (1_u64 << 53) as f64) as u64;
    bits
}
