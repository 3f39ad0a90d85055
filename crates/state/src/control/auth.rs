//! The tokens of operators: that of the control API, which also allows traces and drills, and that
//! of the status endpoint, which allows traces.
//!
//! The token is compared by its hash, in constant time. Wrong tokens are limited, so that they
//! cannot fill the log; the limit never refuses the right one. A token of 16 random characters is
//! not found by trying, so the limit need not slow it down, and no client can lock operators out.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ControlError;
use super::http::ControlResponse;

/// The hash of the token.
#[derive(Clone)]
pub struct Token([u8; 32]);

/// The tokens that a host accepts.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    control: Option<Token>,
    status: Option<Token>,
}

/// The error for a token that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenError;

/// The recent requests with a wrong token or without one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failures {
    /// The time at which all of them are forgotten, in milliseconds since 1970.
    forgotten_at: u64,
}

impl Token {
    /// The smallest number of bytes.
    pub const MIN_LEN: usize = 16;

    /// Creates a token. White space around it is removed, such as the line break of a file.
    ///
    /// # Errors
    /// If it is shorter than [`MIN_LEN`](Self::MIN_LEN).
    pub fn new(token: &str) -> Result<Self, TokenError> {
        let token = token.trim();
        if token.len() < Self::MIN_LEN {
            return Err(TokenError);
        }
        Ok(Self(Sha256::digest(token.as_bytes()).into()))
    }

    /// Returns whether this is the token.
    pub fn is(&self, given: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(given.trim().as_bytes()).into();
        hash.ct_eq(&self.0).into()
    }

    /// Returns whether an `Authorization` header has the token.
    pub fn matches(&self, authorization: Option<&str>) -> bool {
        let given = authorization.and_then(|value| value.split_once(' '));
        given.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && self.is(token))
    }

    /// Returns the key of signatures.
    pub(crate) const fn key(&self) -> &[u8] {
        &self.0
    }
}

impl Tokens {
    /// Creates the tokens of a host: that of the control API, and that of the status endpoint.
    pub const fn new(control: Option<Token>, status: Option<Token>) -> Self {
        Self { control, status }
    }

    /// Returns the token of the control API, with which drills are signed.
    pub const fn control(&self) -> Option<&Token> {
        self.control.as_ref()
    }

    /// Returns whether a request with this token may have a trace.
    pub(crate) fn allow_trace(&self, given: &str) -> bool {
        self.control.iter().chain(&self.status).any(|token| token.is(given))
    }
}

impl fmt::Debug for Token {
    /// Omits the hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token is shorter than {} bytes", Token::MIN_LEN)
    }
}

impl std::error::Error for TokenError {}

impl Failures {
    /// The number of failures that get 401 at once. Each one is forgotten after [`Self::INTERVAL`].
    const BURST: u64 = 10;
    /// The time per failure, in milliseconds: 10 a minute.
    const INTERVAL: u64 = 6_000;

    /// Checks the `Authorization` header of a request.
    ///
    /// # Errors
    /// 401 for a wrong token, and 429 after ten of them within a minute.
    pub fn check(&mut self, token: &Token, authorization: Option<&str>, now: u64) -> Result<(), ControlResponse> {
        if token.matches(authorization) { Ok(()) } else { Err(self.refuse(authorization, now)) }
    }

    /// Returns the response to a request with a wrong token or without one: 401, and 429 after ten
    /// of them within a minute.
    pub fn refuse(&mut self, authorization: Option<&str>, now: u64) -> ControlResponse {
        let limit = now.saturating_add(Self::BURST * Self::INTERVAL);
        // A clock that was set back does not make the limit last longer.
        self.forgotten_at = self.forgotten_at.clamp(now, limit);
        let forgotten_at = self.forgotten_at.saturating_add(Self::INTERVAL);
        if forgotten_at > limit {
            let wait = (forgotten_at - limit).div_ceil(1_000);
            let error = ControlError::new(429, "rate_limited", "too many requests with a wrong token")
                .hint(format!("send the right token, or try again in {wait} s"));
            return ControlResponse { retry_after: Some(wait), ..error.into() };
        }
        self.forgotten_at = forgotten_at;
        let message = if authorization.is_none() { "a token is required" } else { "the token is wrong" };
        let error = ControlError::new(401, "unauthorized", message);
        error.hint("send the header `Authorization: Bearer TOKEN`").into()
    }
}
