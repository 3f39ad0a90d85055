//! Signatures of S3 (AWS Signature Version 4), which include the `Host` of the request.

use ring::{digest, hmac};
use tunnel_balancer_tests::Request;
use tunnel_balancer_tests::server::ReceivedRequest;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const DATE: &str = "20150830T123600Z";
const SCOPE: [&str; 4] = ["20150830", "us-east-1", "service", "aws4_request"];
const SIGNED: [&str; 2] = ["host", "x-amz-date"];

/// Returns a signed `GET` for a path of a host.
pub(super) fn signed_get(path: &str, host: &str) -> Request {
    let signature = signature("GET", path, &[host, DATE]);
    let (scope, signed) = (SCOPE.join("/"), SIGNED.join(";"));
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={signed}, Signature={signature}");
    Request::get(path).host(host).header("X-Amz-Date", DATE).header("Authorization", &authorization)
}

/// Returns whether the signature of a request is the one of the headers that the server received.
pub(super) fn is_signed(request: &ReceivedRequest) -> bool {
    let values = SIGNED.map(|name| request.header(name).unwrap_or_default());
    let expected = signature(&request.method, &request.target, &values);
    request.header("authorization").is_some_and(|found| found.ends_with(&format!("Signature={expected}")))
}

/// Returns the signature of a request without a query and a body. `values` are those of [`SIGNED`].
fn signature(method: &str, path: &str, values: &[&str; 2]) -> String {
    let headers: String = SIGNED.iter().zip(values).map(|(name, value)| format!("{name}:{value}\n")).collect();
    let request = format!("{method}\n{path}\n\n{headers}\n{}\n{}", SIGNED.join(";"), hash(""));
    let text = format!("AWS4-HMAC-SHA256\n{DATE}\n{}\n{}", SCOPE.join("/"), hash(&request));
    let first = format!("AWS4{SECRET}").into_bytes();
    let key = SCOPE.iter().fold(first, |key, part| sign(&key, part).as_ref().to_vec());
    hex(sign(&key, &text).as_ref())
}

fn sign(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares a signature with the example `get-vanilla` of AWS.
pub(super) fn check_example() {
    let expected = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    assert_eq!(signature("GET", "/", &["example.amazonaws.com", DATE]), expected);
}
