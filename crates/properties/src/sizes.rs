//! Sizes in a file.

use crate::written::{quoted, service};

pub(crate) const SEEDS: &[&str] = &[
    "0",
    "65536",
    "64KiB",
    "1MiB",
    "10B",
    "",
    "KiB",
    "64KB",
    "64 KiB",
    "1.5MiB",
    "-1",
    "99999999999999999999MiB",
    "+1",
];

/// A size that is read is within a mebibyte, and read again as the same from a number of bytes.
pub fn sizes(text: &str) {
    let limit = |text: &str| {
        service(&format!("retry: {{ max_buffered_body: {} }}", quoted(text)))
            .map(|service| service.retry.max_buffered_body)
    };
    let Ok(read) = limit(text) else { return };
    assert!(read <= 1 << 20, "{text:?} is {read}");
    assert_eq!(limit(&read.to_string()), Ok(read), "{text:?}");
    assert_eq!(limit(&format!("{read}B")), Ok(read), "{text:?}");
}
