//! Sizes in a file.

use crate::yaml_value::{quoted, service};

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

/// Checks that a valid size is at most a mebibyte, and that its bytes parse to the same value.
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
