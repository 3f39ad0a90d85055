//! The random numbers of JavaScript. They are available only while a request is handled.

use crate::glue;

/// Returns 53 random bits.
pub(crate) fn bits() -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0.0..1.0 times 2^53 is in range")]
    let bits = (glue::random() * (1_u64 << 53) as f64) as u64;
    bits
}
