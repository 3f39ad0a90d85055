//! Errors of the runtime.

use std::fmt;

use worker::js_sys;
use worker::wasm_bindgen::{JsCast, JsValue};

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call of the runtime failed: its message.
///
/// That of `worker` has a case for each library that it uses, which would make the program 5 KB
/// larger.
#[derive(Debug)]
pub(crate) struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<JsValue> for Error {
    fn from(error: JsValue) -> Self {
        let message = error.dyn_ref::<js_sys::Error>().map(|error| error.to_string().into());
        Self(message.or_else(|| error.as_string()).unwrap_or_else(|| "unknown error".to_owned()))
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self(message.to_owned())
    }
}

impl From<Error> for JsValue {
    fn from(error: Error) -> Self {
        js_sys::Error::new(&error.0).into()
    }
}
